//! `hstep train` and `hstep resume`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use hstep::config;
use hstep::train::{self, Keep, Observer, Progress};
use toml::Table;

use crate::cli::{Resume, Train};
use crate::exit::{Interrupted, SomeFailed};
use crate::output::{self, say};
use crate::presets::{self, Preset};
use crate::progress;
use crate::registry::Registry;
use crate::run_folder::{self, RunFolder};
use crate::runs::{self, Asked};
use crate::settings::Settings;

pub fn train(args: &Train, registry: &Arc<Registry>, stop: &AtomicBool, quiet: bool) -> Result<()> {
    let layers = layers(args)?;
    if args.print_config {
        let table = Settings::layered(registry, layers)?.table()?;
        return Ok(output::write(format_args!("{table}"))?);
    }
    let root = run_folder::root(args.out.as_deref());
    let Some(seeds) = &args.seeds else {
        return seed(&Settings::layered(registry, layers)?, &root, stop, quiet);
    };
    // All settings are known to be right before the first hour is spent.
    let with = |seed: &u64| {
        let mut layers = layers.clone();
        config::set(&mut layers, &format!("run.seed={seed}"))?;
        Settings::layered(registry, layers)
    };
    let all = seeds.0.iter().map(with).collect::<hstep::Result<Vec<_>>>()?;
    let mut failed = Vec::new();
    for settings in &all {
        match seed(settings, &root, stop, quiet) {
            Err(error) if error.is::<Interrupted>() => {
                let how = "everything is saved; the same command goes on";
                return Err(Interrupted(how.into()).into());
            }
            Err(error) => {
                tracing::error!("{error:#}");
                failed.push(settings.run.seed.to_string());
            }
            Ok(()) => {}
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let problem = format!("seeds {} of {} failed", failed.join(", "), all.len());
    Err(SomeFailed(problem).into())
}

/// Prints every setting, its value, its layer and its source.
pub fn show(args: &Train, registry: &Arc<Registry>) -> Result<()> {
    let alone = args.env.is_none() && !args.what.ends_with(".toml");
    let mut asked = args.clone();
    if alone {
        // Nothing of a task: the row itself, on whatever environment.
        asked.env = Some("pendulum".into());
        if matches!(presets::find(registry, &args.what)?.1, Preset::Bare) {
            asked.what.push_str("-paper");
        }
    }
    let mut all = Settings::layered(registry, layers(&asked)?)?.explained()?;
    all.retain(|setting| !alone || !setting.key.starts_with("run."));
    let rows = all.iter().map(|s| (s.key.as_str(), s.value.to_string(), s.layer, s.tag.as_str()));
    let rows: Vec<_> = rows.collect();
    let longest = |len: &dyn Fn(usize) -> usize| (0..rows.len()).map(len).max().unwrap_or(0);
    let (key, value) = (longest(&|i| rows[i].0.len()), longest(&|i| rows[i].1.len()).min(40));
    for (name, number, layer, tag) in &rows {
        say!("{}", format!("{name:key$}  {number:value$}  {layer:7}  {tag}").trim_end())?;
    }
    Ok(())
}

fn seed(settings: &Settings, root: &Path, stop: &AtomicBool, quiet: bool) -> Result<()> {
    let folder = start(settings, root, "train", stop, quiet)?;
    say!("{}", folder.path().display())?;
    Ok(())
}

/// The layers above the presets: a file, then options and `key=value`.
fn layers(args: &Train) -> Result<Table> {
    let asked = Asked {
        settings: args.settings.clone(),
        env: args.env.clone(),
        from: args.from.clone(),
        seed: args.seed,
        steps: args.steps,
        ..Asked::what(&args.what)?
    };
    Ok(asked.layers()?)
}

/// [`runs::start`], shown by a bar.
pub fn start(
    settings: &Settings,
    root: &Path,
    experiment: &str,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<RunFolder> {
    runs::start(settings, root, experiment, stop, &mut Bar::new(settings, quiet))
}

pub fn resume(
    args: &Resume,
    registry: &Arc<Registry>,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let folder = RunFolder::open(&args.run)?;
    let settings = runs::gone_on_with(registry, &folder, &args.settings, args.steps)?;
    if args.without_replay {
        let repaired = train::repair(folder.path(), Keep::Nothing)?;
        for lost in &repaired.lost {
            tracing::warn!("going on from step {} without {lost}", repaired.step);
        }
    }
    runs::execute(&settings, &folder, stop, &mut Bar::new(&settings, quiet))?;
    say!("{}", folder.path().display())?;
    Ok(())
}

/// Shows a run's progress: a bar on a terminal, a line an evaluation in the log.
pub struct Bar {
    bar: progress::Progress,
    label: String,
}

impl Bar {
    /// The bar of a run; hidden where stderr is no terminal, or `quiet`.
    pub fn new(settings: &Settings, quiet: bool) -> Self {
        let label = runs::label(settings);
        Self { bar: progress::Progress::new(&label, settings.run.steps, quiet), label }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish();
    }
}

impl Observer for Bar {
    fn begin(&mut self, done: u64) {
        self.bar.start_at(done);
    }

    fn step(&mut self, progress: &Progress) {
        let of = |name: &str| progress.log.get(name).unwrap_or(f64::NAN);
        self.bar.update(
            progress.counters.env_steps,
            &[
                ("return", progress.eval_return.unwrap_or(f64::NAN)),
                ("critic", of("critic_loss")),
                ("actor", of("actor_loss")),
            ],
        );
    }

    fn row(&mut self, row: &hstep::metrics::Row) {
        let of = |name: &str| row.get(name).unwrap_or(f64::NAN);
        let (label, step, reached) = (&self.label, of("env_steps"), of("eval_return"));
        match reached.is_nan() {
            true => tracing::info!("{label} step {step}"),
            false => tracing::info!("{label} step {step}: return {reached:.1}"),
        }
    }
}
