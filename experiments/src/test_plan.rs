//! Planning at test time: a trained agent with a planner in the place of its policy (MAAC, section
//! 5.4).

use clap::ValueEnum;
use hstep::learner::Agent;
use hstep::planner::{
    Cem, CemConfig, Gradient, GradientConfig, MirrorDescent, MirrorDescentConfig, Mppi, MppiConfig,
    Planner, SamplesConfig, TemperatureKind,
};
use hstep::schedule::Schedule;
use hstep::uses::{Behave, Needs, PlanConfig, PlanFirst, PlanStart, PlanTerminal};
use hstep::{Error, Result, config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

/// Which planner; by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The cross-entropy method.
    Cem,
    /// Model predictive path integral control.
    Mppi,
    /// Mirror descent.
    Mirror,
    /// Ascent through the model.
    Gradient,
}

/// Puts a planner into the agent's behave slot. `layers` has the sections `behave` (horizon, gamma,
/// terminal, start) and `planner`; what it leaves out is: 5 steps, the agent's discount, Q at the end
/// and the policy's samples at the start; 100 candidates of one particle.
///
/// # Errors
/// [`Error::Config`] naming the key, or the part that the agent lacks.
pub fn plan(agent: &mut Agent, kind: Kind, layers: &Table) -> Result<String> {
    let have = Needs::had(&agent.parts);
    let acts = PlanConfig {
        horizon: Schedule::Constant(5.0),
        gamma: agent.parts.gamma,
        terminal: if have.critic { PlanTerminal::Q } else { PlanTerminal::Zero },
        start: if have.policy { PlanStart::Sample } else { PlanStart::Previous },
        ..PlanConfig::default()
    };
    if let Some(key) = layers.keys().find(|key| !["behave", "planner"].contains(&key.as_str())) {
        let problem = "unknown section; a plan has `behave` and `planner`";
        return Err(Error::config(key.clone(), problem));
    }
    let acts: PlanConfig = layered("behave", &acts, layers)?;
    let behave = PlanFirst { config: acts, planner: planner(kind, layers)? };
    behave.validate()?;
    let needs = behave.needs();
    if let [part, ..] = needs.lacking(have)[..] {
        let problem = format!(
            "`{}` needs a {part}, and this run has none; `behave.terminal=zero` needs no critic and \
             no value, `behave.start=previous` no policy",
            behave.describe()
        );
        return Err(Error::config("--plan", problem));
    }
    let label = behave.describe();
    agent.hybrid.behave = Box::new(behave);
    Ok(label)
}

/// A planner with the settings of the section `planner`; what it leaves out is: 100 candidates of one
/// particle, and what suits a planner that acts alone.
///
/// # Errors
/// [`Error::Config`] naming the key.
fn planner(kind: Kind, layers: &Table) -> Result<Box<dyn Planner>> {
    Ok(match kind {
        Kind::Cem => {
            let c = CemConfig { samples: SamplesConfig::default(), ..CemConfig::default() };
            Box::new(Cem::new(layered("planner", &c, layers)?))
        }
        Kind::Mppi => {
            let (temperature, temperature_kind) = (0.5, TemperatureKind::Spread);
            let c = MppiConfig { temperature, temperature_kind, ..MppiConfig::default() };
            Box::new(Mppi::new(layered("planner", &c, layers)?))
        }
        Kind::Mirror => {
            let c = MirrorDescentConfig::default();
            Box::new(MirrorDescent::new(layered("planner", &c, layers)?))
        }
        Kind::Gradient => {
            Box::new(Gradient::new(layered("planner", &GradientConfig::default(), layers)?))
        }
    })
}

/// A planner by its name, with the settings of the section `planner`.
///
/// # Errors
/// [`Error::Config`] naming the key, or for another name.
pub fn planner_named(name: &str, layers: &Table) -> Result<Box<dyn Planner>> {
    let kind = Kind::from_str(name, false).map_err(|_| {
        let problem = format!("expected `cem`, `mppi`, `mirror` or `gradient`, got `{name}`");
        Error::config("planner", problem)
    })?;
    planner(kind, layers)
}

/// A section laid over its defaults, keys in errors with its name in front.
fn layered<T: Serialize + DeserializeOwned + Default>(
    name: &str,
    base: &T,
    layers: &Table,
) -> Result<T> {
    let mut table = config::to_table(base)?;
    match layers.get(name) {
        None => {}
        Some(toml::Value::Table(layer)) => config::merge(&mut table, layer.clone()),
        Some(other) => {
            return Err(Error::config(name, format!("expected a section, got {other}")));
        }
    }
    config::parse(&table).map_err(|error| match error {
        Error::Config { key, problem } => Error::Config { key: format!("{name}.{key}"), problem },
        other => other,
    })
}
