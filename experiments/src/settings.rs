//! From layers of settings to a run: algorithm defaults (the paper's), the preset of its name, the
//! preset of a native environment, a file, `key=value`.

use std::path::Path;
use std::sync::Arc;

use hstep::agent::Hybrid;
use hstep::algo::{self, Entry};
use hstep::env::{gymnasium, native};
use hstep::learner::Agent;
use hstep::shape::{Precision, Spec};
use hstep::suggest::nearest;
use hstep::train::{EnvFactory, ModelChoice, RunConfig, Trainer, saved_agent};
use hstep::{Error, Result, config};
use toml::{Table, Value};

/// Settings that do not change what a run computes step by step: raising `run.steps` extends it.
pub const NOT_IDENTITY: &[&str] = &["run.steps", "run.checkpoint_every", "run.checkpoint_share"];

/// What the presets of all native environments share.
const COMMON: &str = include_str!("../configs/native/common.toml");

/// Presets of the native environments, small enough for two cores.
const NATIVE: &[(&str, &str)] = &[
    ("pendulum", include_str!("../configs/native/pendulum.toml")),
    ("cartpole-swingup", include_str!("../configs/native/cartpole-swingup.toml")),
    ("mountain-car", include_str!("../configs/native/mountain-car.toml")),
    ("double-integrator", include_str!("../configs/native/double-integrator.toml")),
    ("acrobot", include_str!("../configs/native/acrobot.toml")),
    ("reacher-2", include_str!("../configs/native/reacher-2.toml")),
    ("leg-2r", include_str!("../configs/native/leg-2r.toml")),
];

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
        let (entry, suffix) = algo::find(&named.algo)?;
        let mut algorithm = entry.preset(suffix.as_deref())?;
        // A preset of the released code is meant as it stands; only the bare name adapts.
        let mut defaults = config::to_table(&RunConfig::default())?;
        if suffix.is_none() {
            let mut native = native_preset(&named.env, entry)?;
            config::merge(&mut defaults, section(&mut native, "run")?);
            config::merge(&mut algorithm, native);
        }
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
        let (entry, _) = algo::find(&run_config(&run)?.algo)?;
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
        if name.starts_with(gymnasium::PREFIX) {
            let bridge = gymnasium::Bridge::new(name);
            return Arc::new(move || Ok(Box::new(bridge.make()?)));
        }
        Arc::new(move || native::make(&name))
    }

    fn hybrid(&self) -> Result<Hybrid> {
        let hybrid = self.entry.build(&self.algorithm)?;
        match self.run.model {
            ModelChoice::Learned => Ok(hybrid),
            ModelChoice::Oracle => {
                let env = &self.run.env;
                if env.starts_with(gymnasium::PREFIX) {
                    let problem = "`oracle` takes a native environment's own equations; those of \
                                   one in Python are not known";
                    return Err(Error::config("run.model", problem));
                }
                hybrid.with_given_model(format!("true {env}"), native::model(env, &Spec::f32())?)
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

fn section(table: &mut Table, key: &str) -> Result<Table> {
    match table.remove(key) {
        None => Ok(Table::new()),
        Some(Value::Table(section)) => Ok(section),
        Some(other) => Err(Error::config(key, format!("expected a section, got {other}"))),
    }
}

/// What a native environment sets for an algorithm: in the file common to all and then in its own,
/// the section `common` as far as the algorithm has its parts, then `model` where there is one, then
/// the algorithm's own section.
fn native_preset(env: &str, entry: Entry) -> Result<Table> {
    let Some((_, own)) = NATIVE.iter().find(|(name, _)| *name == env) else {
        return Ok(Table::new());
    };
    let known = entry.preset(None)?;
    let mut layers = Table::new();
    for text in [COMMON, own] {
        let mut preset: Table =
            text.parse().map_err(|e| Error::config(format!("preset of {env}"), format!("{e}")))?;
        let mut common = section(&mut preset, "common")?;
        common.retain(|part, _| part == "run" || known.contains_key(part));
        config::merge(&mut layers, common);
        if known.contains_key("model")
            && let Some(model) = preset.remove("model")
        {
            config::merge(&mut layers, Table::from_iter([("model".to_string(), model)]));
        }
        config::merge(&mut layers, section(&mut preset, entry.name)?);
    }
    Ok(layers)
}

fn known_environment(name: &str) -> Result<()> {
    if native::names().contains(&name) || gymnasium::is_name(name)? {
        return Ok(());
    }
    let problem = match nearest(name, native::names().iter().copied()) {
        Some(near) => format!("there is no environment `{name}`; did you mean `{near}`?"),
        None => format!("there is no environment `{name}`; there are {:?}", native::names()),
    };
    Err(Error::config("run.env", problem))
}
