//! A run in its folder: begun, gone on with, and marked by how it ended. What `hstep train` and the Python
//! package share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use hstep::checkpoint::CheckpointDir;
use hstep::train::{Observer, Outcome, Trainer, checkpoint_folder};
use hstep::{Error, config};
use toml::{Table, Value};

use crate::exit::Interrupted;
use crate::registry::Registry;
use crate::run_folder::{Identity, Marker, RunFolder};
use crate::settings::Settings;

/// What is asked for above the presets: an algorithm's name, a file or a table, and what is laid over it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The settings of a file or a table; empty for a bare algorithm.
    pub table: Table,
    /// The algorithm, unless the table says one; a composition of one's own is called so.
    pub name: Option<String>,
    /// Assignments `key=value`, the last one winning.
    pub settings: Vec<String>,
    /// The environment.
    pub env: Option<String>,
    /// A run folder whose weights the run begins with.
    pub from: Option<String>,
    /// The seed of everything random.
    pub seed: Option<u64>,
    /// Environment steps.
    pub steps: Option<u64>,
}

impl Asked {
    /// An algorithm by its name, or a file that ends in `.toml`.
    ///
    /// # Errors
    /// As [`config::read`].
    pub fn what(what: &str) -> hstep::Result<Self> {
        if !what.ends_with(".toml") {
            return Ok(Self { name: Some(what.to_owned()), ..Self::default() });
        }
        let stem = Path::new(what).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self::table(config::read(what)?, &stem))
    }

    /// A table of settings; one with a `base` and without `run.algo` is a composition of this name.
    #[must_use]
    pub fn table(table: Table, name: &str) -> Self {
        let own = table.contains_key("base").then(|| name.to_owned());
        Self { table, name: own, ..Self::default() }
    }

    /// The layers above the presets.
    ///
    /// # Errors
    /// [`Error::Config`] for an assignment that is none, or without an algorithm or an environment.
    pub fn layers(&self) -> hstep::Result<Table> {
        let from_table = !self.table.is_empty();
        let mut layers = self.table.clone();
        config::set_all(&mut layers, &self.settings)?;
        let named = layers.get("run").is_some_and(|run| run.get("algo").is_some());
        if let Some(name) = self.name.as_ref().filter(|_| !(from_table && named)) {
            config::set(&mut layers, &format!("run.algo={}", text(name)))?;
        }
        for (key, value) in [("env", &self.env), ("from", &self.from)] {
            if let Some(value) = value {
                config::set(&mut layers, &format!("run.{key}={}", text(value)))?;
            }
        }
        for (key, value) in [("seed", self.seed), ("steps", self.steps)] {
            if let Some(value) = value {
                config::set(&mut layers, &format!("run.{key}={value}"))?;
            }
        }
        let has = |key| layers.get("run").is_some_and(|run| run.get(key).is_some());
        for key in ["algo", "env"] {
            if !has(key) {
                let problem = "missing; write for example `hstep train sac --env pendulum`";
                return Err(Error::config(format!("run.{key}"), problem));
            }
        }
        Ok(layers)
    }
}

/// A word as TOML writes it, whatever is in it.
fn text(word: &str) -> Value {
    Value::String(word.to_owned())
}

/// Where the folder of a run is below `root`.
///
/// # Errors
/// As [`Settings::table`].
pub fn place(settings: &Settings, root: &Path, experiment: &str) -> hstep::Result<PathBuf> {
    Ok(root.join(identity(settings, experiment, &settings.table()?).folder()))
}

fn identity<'a>(settings: &'a Settings, experiment: &'a str, config: &'a Table) -> Identity<'a> {
    let run = &settings.run;
    Identity { experiment, algo: &run.algo, env: &run.env, seed: run.seed, config }
}

/// Runs a run in its folder below `root`, which is made where it is not there, as [`execute`] does.
///
/// # Errors
/// As [`execute`]; for settings that do not fit the environment, which leave no folder.
pub fn start(
    settings: &Settings,
    root: &Path,
    experiment: &str,
    stop: &AtomicBool,
    watch: &mut dyn Observer,
) -> Result<RunFolder> {
    let table = settings.table()?;
    let identity = identity(settings, experiment, &table);
    if let Some(folder) = RunFolder::find(root, &identity)? {
        execute(settings, &folder, stop, watch)?;
        return Ok(folder);
    }
    // Before the folder: settings that do not fit the environment leave none.
    let prepared = settings.prepare()?;
    let folder = RunFolder::create(root, &identity, &prepared.versions())?;
    let mut trainer = prepared.open(folder.path(), &settings.identity()?)?;
    trainer.describe(&settings.table()?)?;
    to_the_end(settings, &folder, trainer, stop, watch)?;
    Ok(folder)
}

/// The settings with which the run in `folder` goes on: its own, with what may change laid over them.
///
/// # Errors
/// [`Error::Config`] for a `config.toml` that was edited, or a setting that would make it another run.
pub fn gone_on_with(
    registry: &Arc<Registry>,
    folder: &RunFolder,
    settings: &[String],
    steps: Option<u64>,
) -> hstep::Result<Settings> {
    folder.expect_unedited()?;
    let mut now = folder.config()?;
    config::set_all(&mut now, settings)?;
    if let Some(steps) = steps {
        config::set(&mut now, &format!("run.steps={steps}"))?;
    }
    let settings = Settings::resolved(registry, now)?;
    folder.expect_config(&settings.table()?)?;
    Ok(settings)
}

/// Runs to the end, or until `stop` is raised, and marks the folder accordingly.
///
/// # Errors
/// [`Interrupted`] when it was stopped; as [`Trainer::open`] and [`Trainer::run`].
pub fn execute(
    settings: &Settings,
    folder: &RunFolder,
    stop: &AtomicBool,
    watch: &mut dyn Observer,
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
    to_the_end(settings, folder, settings.trainer(folder.path())?, stop, watch)
}

/// What a run is called where several are spoken of.
#[must_use]
pub fn label(settings: &Settings) -> String {
    let run = &settings.run;
    format!("{} {} s{}", run.algo, run.env, run.seed)
}

fn to_the_end(
    settings: &Settings,
    folder: &RunFolder,
    mut trainer: Trainer,
    stop: &AtomicBool,
    watch: &mut dyn Observer,
) -> Result<()> {
    let path = folder.path();
    let (done, steps) = (trainer.agent().counters.env_steps, settings.run.steps);
    if done > steps {
        let problem = format!("{done} steps are done already; expected at least that, got {steps}");
        return Err(Error::config("run.steps", problem).into());
    }
    if done > 0 {
        folder.warn_of_versions();
    }
    folder.update_config(&settings.table()?)?;
    folder.clear_marker()?;
    tracing::info!("{}: {done} of {steps} steps done, in {}", label(settings), path.display());
    watch.begin(done);
    match trainer.run(stop, watch) {
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
            if watch.saves(&error) {
                // The run's own error is the one to report, whether or not this works.
                let _ = trainer.save();
            }
            // The same holds for the mark.
            let _ = folder.mark(Marker::Failed, &error.to_string());
            Err(error).with_context(|| format!("the run in {} failed", path.display()))
        }
    }
}
