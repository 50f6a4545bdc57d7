//! From layers of settings to a run: algorithm defaults (the paper's), the preset of its name, the
//! preset of a native environment, a file, `key=value`.

use std::path::Path;
use std::sync::Arc;

use hstep::agent::Hybrid;
use hstep::algo::Entry;
use hstep::dynamics::native_model;
use hstep::env;
#[cfg(unix)]
use hstep::env::gymnasium;
use hstep::learner::Agent;
use hstep::shape::{Precision, Spec};
use hstep::train::{EnvFactory, ModelChoice, Prepared, RunConfig, Trainer, saved_agent};
use hstep::{Error, Result, config};
use toml::{Table, Value};

use crate::presets::{self, section};

/// Settings that do not change what a run computes step by step: raising `run.steps` extends it.
pub const NOT_IDENTITY: &[&str] = &["run.steps", "run.checkpoint_every", "run.checkpoint_share"];

/// A run with every setting resolved.
#[derive(Clone)]
pub struct Settings {
    /// What the run is, apart from its algorithm.
    pub run: RunConfig,
    entry: Entry,
    algorithm: Table,
}

impl Settings {
    /// Resolves the settings of `layers` (a file with `key=value` laid over it): the algorithm and
    /// the environment stand in its section `run`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, and the nearest known one.
    pub fn layered(mut layers: Table) -> Result<Self> {
        let run = section(&mut layers, "run")?;
        let named = run_config(&run)?;
        let (entry, preset) = presets::find(&named.algo)?;
        let mut algorithm = preset.layers(entry, &named.env)?;
        let mut defaults = config::to_table(&RunConfig::default())?;
        config::merge(&mut defaults, section(&mut algorithm, "run")?);
        config::merge(&mut defaults, run);
        config::merge(&mut algorithm, layers);
        Self::exact(&defaults, entry, &algorithm)
    }

    /// The settings of a resolved `config.toml`, with nothing laid below it.
    ///
    /// # Errors
    /// As [`Settings::layered`].
    pub fn resolved(mut table: Table) -> Result<Self> {
        let run = section(&mut table, "run")?;
        let (entry, _) = presets::find(&run_config(&run)?.algo)?;
        Self::exact(&run, entry, &table)
    }

    fn exact(run: &Table, entry: Entry, algorithm: &Table) -> Result<Self> {
        let run = run_config(run)?;
        run.validate()?;
        known_environment(&run.env)?;
        let algorithm = entry.resolve(algorithm)?;
        let settings = Self { run, entry, algorithm };
        settings.hybrid()?;
        Ok(settings)
    }

    /// Everything written out: what `config.toml` holds.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting cannot be written as TOML.
    pub fn table(&self) -> Result<Table> {
        let mut table = self.algorithm.clone();
        table.insert("run".into(), Value::Table(config::to_table(&self.run)?));
        Ok(table)
    }

    /// The hash of everything that matters for what is computed.
    ///
    /// # Errors
    /// As [`Settings::table`].
    pub fn identity(&self) -> Result<String> {
        Ok(config::hash8(&self.table()?, NOT_IDENTITY))
    }

    /// Opens the run in `folder`, fresh or at its newest checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::open`].
    pub fn trainer(&self, folder: &Path) -> Result<Trainer> {
        let (hybrid, make, identity) = (self.hybrid()?, self.factory(), self.identity()?);
        Trainer::open(self.run.clone(), hybrid, make, folder, &identity, &self.spec())
    }

    /// The environment and the agent of a run that has no folder yet.
    ///
    /// # Errors
    /// As [`Trainer::prepare`].
    pub fn prepare(&self) -> Result<Prepared> {
        Trainer::prepare(self.run.clone(), self.hybrid()?, self.factory(), &self.spec())
    }

    /// The agent of the newest checkpoint in `folder`; `None` before the first.
    ///
    /// # Errors
    /// As [`hstep::train::saved_agent`].
    pub fn agent(&self, folder: &Path) -> Result<Option<Agent>> {
        let (hybrid, make, identity) = (self.hybrid()?, self.factory(), self.identity()?);
        saved_agent(&self.run, hybrid, &make, folder, &identity, &self.spec())
    }

    /// Number type and device of the networks; says where bfloat16 is asked for in vain.
    fn spec(&self) -> Spec {
        if self.run.precision == Precision::Bf16 && !hstep::nn::has_bf16() {
            tracing::warn!(
                "run.precision = \"bf16\": this processor does not multiply bfloat16 numbers \
                 (AVX-512 BF16); rollouts are computed in f32"
            );
        }
        Spec { precision: self.run.precision, ..Spec::f32() }
    }

    /// Fresh environments of this run.
    pub fn factory(&self) -> EnvFactory {
        let name = self.run.env.clone();
        #[cfg(unix)]
        if name.starts_with(gymnasium::PREFIX) {
            let bridge = Arc::new(gymnasium::Bridge::new(name));
            return Arc::new(move || Ok(Box::new(bridge.lend()?)));
        }
        Arc::new(move || env::make(&name))
    }

    fn hybrid(&self) -> Result<Hybrid> {
        let hybrid = self.entry.build(&self.algorithm)?;
        match self.run.model {
            ModelChoice::Learned => Ok(hybrid),
            ModelChoice::Oracle => {
                let name = &self.run.env;
                let model = native_model(name, &Spec::f32()).map_err(|e| in_run("model", e))?;
                hybrid.with_given_model(format!("true {name}"), model)
            }
        }
    }
}

/// The section `run`, with its name in front of the key of an error.
fn run_config(run: &Table) -> Result<RunConfig> {
    config::parse(run).map_err(|error| match error {
        Error::Config { key, problem } => {
            // The nearest key is named in the section's own words too.
            let unknown = "unknown key; did you mean `";
            let problem = problem.replace(unknown, &format!("{unknown}run."));
            Error::Config { key: format!("run.{key}"), problem }
        }
        other => other,
    })
}

fn known_environment(name: &str) -> Result<()> {
    env::check(name).map_err(|error| in_run("env", error))
}

/// An error about the environment's name as one about the key that holds it.
fn in_run(key: &str, error: Error) -> Error {
    match error {
        Error::Config { problem, .. } => Error::config(format!("run.{key}"), problem),
        other => other,
    }
}
