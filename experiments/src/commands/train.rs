//! `hstep train` and `hstep resume`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use hstep::checkpoint::CheckpointDir;
use hstep::train::{self, Keep, Observer, Outcome, Progress, Trainer, checkpoint_folder};
use hstep::{Error, config};
use toml::{Table, Value};

use crate::cli::{Resume, Train};
use crate::exit::{Interrupted, SomeFailed};
use crate::output::{self, say};
use crate::presets::{self, Preset};
use crate::progress;
use crate::registry::Registry;
use crate::run_folder::{self, Identity, Marker, RunFolder};
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
    let from_file = args.what.ends_with(".toml");
    let mut layers = if from_file { config::read(&args.what)? } else { Table::new() };
    config::set_all(&mut layers, &args.settings)?;
    let named = layers.get("run").is_some_and(|run| run.get("algo").is_some());
    if !from_file {
        config::set(&mut layers, &format!("run.algo={}", text(&args.what)))?;
    } else if layers.contains_key("base") && !named {
        // A composition of one's own is called as its file.
        let stem = Path::new(&args.what).file_stem().unwrap_or_default().to_string_lossy();
        config::set(&mut layers, &format!("run.algo={}", text(&stem)))?;
    }
    for (key, value) in [("env", &args.env), ("from", &args.from)] {
        if let Some(value) = value {
            config::set(&mut layers, &format!("run.{key}={}", text(value)))?;
        }
    }
    for (key, value) in [("seed", args.seed), ("steps", args.steps)] {
        if let Some(value) = value {
            config::set(&mut layers, &format!("run.{key}={value}"))?;
        }
    }
    let has = |key| layers.get("run").is_some_and(|run| run.get(key).is_some());
    for key in ["algo", "env"] {
        if !has(key) {
            let problem = "missing; write for example `hstep train sac --env pendulum`";
            return Err(Error::config(format!("run.{key}"), problem).into());
        }
    }
    Ok(layers)
}

/// A word as TOML writes it, whatever is in it.
fn text(word: &str) -> Value {
    Value::String(word.to_owned())
}

/// Where the folder of a run is below `root`.
pub fn place(settings: &Settings, root: &Path, experiment: &str) -> hstep::Result<PathBuf> {
    Ok(root.join(identity(settings, experiment, &settings.table()?).folder()))
}

fn identity<'a>(settings: &'a Settings, experiment: &'a str, config: &'a Table) -> Identity<'a> {
    let run = &settings.run;
    Identity { experiment, algo: &run.algo, env: &run.env, seed: run.seed, config }
}

/// Runs a run in its folder below `root`, which is made where it is not there, as [`execute`] does.
pub fn start(
    settings: &Settings,
    root: &Path,
    experiment: &str,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<RunFolder> {
    let table = settings.table()?;
    let identity = identity(settings, experiment, &table);
    if let Some(folder) = RunFolder::find(root, &identity)? {
        execute(settings, &folder, stop, quiet)?;
        return Ok(folder);
    }
    // Before the folder: settings that do not fit the environment leave none.
    let prepared = settings.prepare()?;
    let folder = RunFolder::create(root, &identity, &prepared.versions())?;
    let mut trainer = prepared.open(folder.path(), &settings.identity()?)?;
    trainer.describe(&settings.table()?)?;
    to_the_end(settings, &folder, trainer, stop, quiet)?;
    Ok(folder)
}

pub fn resume(
    args: &Resume,
    registry: &Arc<Registry>,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let folder = RunFolder::open(&args.run)?;
    folder.expect_unedited()?;
    let mut now = folder.config()?;
    config::set_all(&mut now, &args.settings)?;
    if let Some(steps) = args.steps {
        config::set(&mut now, &format!("run.steps={steps}"))?;
    }
    let settings = Settings::resolved(registry, now)?;
    folder.expect_config(&settings.table()?)?;
    if args.without_replay {
        let repaired = train::repair(folder.path(), Keep::Nothing)?;
        for lost in &repaired.lost {
            tracing::warn!("going on from step {} without {lost}", repaired.step);
        }
    }
    execute(&settings, &folder, stop, quiet)?;
    say!("{}", folder.path().display())?;
    Ok(())
}

/// Runs to the end, or to the first signal, and marks the folder accordingly.
pub fn execute(
    settings: &Settings,
    folder: &RunFolder,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let saved = checkpoint_folder(folder.path());
    if let Some(marker) = folder.marker()
        && CheckpointDir::new(&saved).is_empty()?
    {
        let problem = format!(
            "holds no checkpoint, but the run is marked {}: restore this folder (is its disk \
             mounted?), or remove the run's folder to start anew",
            marker.file()
        );
        return Err(Error::checkpoint(saved, problem).into());
    }
    to_the_end(settings, folder, settings.trainer(folder.path())?, stop, quiet)
}

fn to_the_end(
    settings: &Settings,
    folder: &RunFolder,
    mut trainer: Trainer,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let path = folder.path();
    let (done, steps) = (trainer.agent().counters.env_steps, settings.run.steps);
    if done > steps {
        let problem = format!("{done} steps are done already; expected at least that, got {steps}");
        return Err(Error::config("run.steps", problem).into());
    }
    folder.update_config(&settings.table()?)?;
    folder.clear_marker()?;
    let run = &settings.run;
    let label = format!("{} {} s{}", run.algo, run.env, run.seed);
    tracing::info!("{label}: {done} of {} steps done, in {}", run.steps, path.display());
    let mut bar = Bar { bar: progress::Progress::new(&label, run.steps, quiet), label };
    bar.bar.start_at(done);
    let outcome = trainer.run(stop, &mut bar);
    bar.bar.finish();
    match outcome {
        Ok(Outcome::Done) => {
            let at = trainer.agent().counters.env_steps;
            folder.mark(Marker::Done, &format!("{at} environment steps"))?;
            Ok(())
        }
        Ok(Outcome::Interrupted) => {
            let how = format!("`hstep resume {}` goes on", path.display());
            folder.mark(Marker::Interrupted, &how)?;
            Err(Interrupted(format!("everything is saved; {how}")).into())
        }
        Err(error) => {
            // The run's own error is the one to report, whether or not the mark can be left.
            let _ = folder.mark(Marker::Failed, &error.to_string());
            Err(error).with_context(|| format!("the run in {} failed", path.display()))
        }
    }
}

/// Shows a run's progress: a bar on a terminal, a line an evaluation in the log.
struct Bar {
    bar: progress::Progress,
    label: String,
}

impl Observer for Bar {
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
