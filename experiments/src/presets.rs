//! Presets of environments: what an algorithm is set to on a task, under its bare name and as
//! `ALGO-2core`.

use hstep::algo::Entry;
use hstep::kinds::Kinds;
use hstep::{Error, Result, config};
use toml::{Table, Value};

use crate::registry::Registry;

/// What the presets of all native environments share.
const COMMON: &str = include_str!("../configs/native/common.toml");

/// Presets of the native environments, small enough for two cores.
const NATIVE: &[(&str, &str)] = &[
    ("pendulum", include_str!("../configs/native/pendulum.toml")),
    ("pendulum-mpq", include_str!("../configs/native/pendulum-mpq.toml")),
    ("cartpole-swingup", include_str!("../configs/native/cartpole-swingup.toml")),
    ("mountain-car", include_str!("../configs/native/mountain-car.toml")),
    ("double-integrator", include_str!("../configs/native/double-integrator.toml")),
    ("acrobot", include_str!("../configs/native/acrobot.toml")),
    ("reacher-2", include_str!("../configs/native/reacher-2.toml")),
    ("leg-2r", include_str!("../configs/native/leg-2r.toml")),
    ("maze", include_str!("../configs/native/maze.toml")),
];

/// Presets of the MuJoCo tasks (of every version of a task): the papers' settings, and what differs
/// where two cores are all there is.
const MUJOCO: &[(&str, &str, &str)] = &[
    (
        "HalfCheetah",
        include_str!("../configs/mujoco/half-cheetah.toml"),
        include_str!("../configs/mujoco/half-cheetah-2core.toml"),
    ),
    (
        "Hopper",
        include_str!("../configs/mujoco/hopper.toml"),
        include_str!("../configs/mujoco/hopper-2core.toml"),
    ),
    (
        "Walker2d",
        include_str!("../configs/mujoco/walker2d.toml"),
        include_str!("../configs/mujoco/walker2d-2core.toml"),
    ),
    (
        "Ant",
        include_str!("../configs/mujoco/ant.toml"),
        include_str!("../configs/mujoco/ant-2core.toml"),
    ),
    (
        "InvertedPendulum",
        include_str!("../configs/mujoco/inverted-pendulum.toml"),
        include_str!("../configs/mujoco/inverted-pendulum-2core.toml"),
    ),
];

/// Presets of tasks whose name has no other versions: the papers' settings.
const PAPERS: &[(&str, &str)] =
    &[("ball-in-cup-sparse", include_str!("../configs/mujoco/ball-in-cup.toml"))];

/// The suffix of an algorithm's name that asks for the settings of two cores.
pub const TWO_CORES: &str = "-2core";

/// The section of the learned dynamics.
const MODEL: &str = "model";

/// Which settings an algorithm's name asks for.
pub enum Preset {
    /// The paper's, adapted to the environment.
    Bare,
    /// The same, and then what two cores allow.
    TwoCores,
    /// A preset of the algorithm, as it stands.
    Named(String),
}

/// The algorithm and the preset called `name`.
///
/// # Errors
/// As [`hstep::algo::find`].
pub fn find(registry: &Registry, name: &str) -> Result<(Entry, Preset)> {
    if let Some(bare) = name.strip_suffix(TWO_CORES)
        && let (entry, None) = registry.find(bare)?
    {
        return Ok((entry, Preset::TwoCores));
    }
    let (entry, suffix) = registry.find(name)?;
    Ok((entry, suffix.map_or(Preset::Bare, Preset::Named)))
}

impl Preset {
    /// The settings of `entry` on `env`, those of the section `run` among them.
    ///
    /// # Errors
    /// [`Error::Config`] where the environment has no settings for two cores.
    pub fn layers(&self, entry: Entry, env: &str, kinds: &Kinds) -> Result<Table> {
        let (suffix, texts) = match self {
            Self::Named(suffix) => (Some(suffix.as_str()), Vec::new()),
            Self::Bare => (None, texts(env, false).unwrap_or_default()),
            Self::TwoCores => match texts(env, true) {
                Some(texts) => (None, texts),
                None => {
                    let tasks: Vec<_> = MUJOCO.iter().map(|(task, ..)| *task).collect();
                    let problem = format!(
                        "`{}{TWO_CORES}` has settings for {}, not for `{env}`; expected `{}`",
                        entry.name,
                        tasks.join(", "),
                        entry.name
                    );
                    return Err(Error::config("run.algo", problem));
                }
            },
        };
        let mut layers = entry.preset(suffix, kinds)?;
        let known: Vec<String> =
            layers.iter().filter(|(_, own)| is_usual(own)).map(|(name, _)| name.clone()).collect();
        for text in texts {
            config::merge(&mut layers, of_algorithm(text, env, entry, &known)?);
        }
        // What these variants pay for is a function of the observation, known to those who use them
        // (MAAC's code, Wang et al. 2019).
        if !matches!(self, Self::Named(_))
            && env.ends_with("-mbbl")
            && known.contains(&MODEL.into())
        {
            let own = Table::from_iter([("learn_reward".to_string(), Value::Boolean(false))]);
            let own = Table::from_iter([(MODEL.to_string(), Value::Table(own))]);
            config::merge(&mut layers, own);
        }
        Ok(layers)
    }
}

/// The files about an environment; `None` where there are no settings for two cores.
fn texts(env: &str, two_cores: bool) -> Option<Vec<&'static str>> {
    let task = env.split_once('-').map_or(env, |(task, _)| task);
    if let Some((_, own, fewer)) = MUJOCO.iter().find(|(name, ..)| *name == task) {
        return Some(if two_cores { vec![*own, *fewer] } else { vec![*own] });
    }
    if let Some((_, own)) = PAPERS.iter().find(|(name, _)| *name == env).filter(|_| !two_cores) {
        return Some(vec![*own]);
    }
    let base = env.split_once('?').map_or(env, |(base, _)| base);
    let own = NATIVE.iter().find(|(name, _)| *name == base).filter(|_| !two_cores)?;
    Some(vec![COMMON, own.1])
}

/// Whether a table is what the files about environments speak of: settings that have no kind, or the
/// kind of a part that is taken where none is named.
fn is_usual(own: &Value) -> bool {
    const USUAL: [&str; 4] = ["squashed-gaussian", "q", "v", "ensemble"];
    own.get("kind").is_none_or(|kind| kind.as_str().is_some_and(|kind| USUAL.contains(&kind)))
}

/// What a file sets for an algorithm: its section `common` as far as the algorithm has these parts,
/// then `model` where there is one, then the algorithm's own section.
fn of_algorithm(text: &str, env: &str, entry: Entry, known: &[String]) -> Result<Table> {
    let has = |part: &str| known.iter().any(|name| name == part);
    let mut preset: Table =
        text.parse().map_err(|e| Error::config(format!("preset of {env}"), format!("{e}")))?;
    let mut layers = section(&mut preset, "common")?;
    layers.retain(|part, _| part == "run" || has(part));
    if has(MODEL)
        && let Some(model) = preset.remove(MODEL)
    {
        config::merge(&mut layers, Table::from_iter([(MODEL.to_string(), model)]));
    }
    config::merge(&mut layers, section(&mut preset, entry.name)?);
    Ok(layers)
}

/// Takes a section out of a table; empty where there is none.
///
/// # Errors
/// [`Error::Config`] where it is no section.
pub fn section(table: &mut Table, key: &str) -> Result<Table> {
    match table.remove(key) {
        None => Ok(Table::new()),
        Some(Value::Table(section)) => Ok(section),
        Some(other) => Err(Error::config(key, format!("expected a section, got {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, env: &str, part: &str, key: &str) -> Option<Value> {
        let (entry, preset) = find(&Registry::new(), name).unwrap();
        let layers = preset.layers(entry, env, &Kinds::stock()).unwrap();
        layers[part].as_table().unwrap().get(key).cloned()
    }

    #[test]
    fn networks_on_native_environments_are_small_where_they_are_of_the_usual_kind() {
        let small = Value::from(vec![64, 64]);
        for name in ["sac", "reinforce", "mbpo", "steve", "maac", "mopac", "demorl", "dhmbpo"] {
            for part in ["actor", "critic"]
                .into_iter()
                .filter(|part| name != "reinforce" || *part == "actor")
            {
                let hidden = of(name, "pendulum", part, "hidden");
                assert_eq!(hidden.unwrap(), small, "{name}: {part}");
            }
        }
        for name in ["mbpo", "maac", "mopac", "demorl", "steve", "pets", "mppi-mbrl"] {
            assert_eq!(of(name, "pendulum", "model", "hidden").unwrap(), small, "{name}");
        }
        assert_eq!(of("polo", "pendulum", "value", "kind").unwrap().as_str(), Some("v-ensemble"));
        assert_ne!(of("polo", "pendulum", "value", "hidden").unwrap(), small);
    }

    #[test]
    fn a_reward_that_observations_hold_is_known() {
        for (name, env, learned) in [
            ("pets", "HalfCheetah-v4", true),
            ("pets", "HalfCheetah-mbbl", false),
            ("maac", "Ant-mbbl", false),
            ("maac-2core", "Hopper-mbbl", false),
            ("mbpo-2core", "Hopper-v5", true),
            // As the paper has it, and nothing of ours.
            ("maac-paper", "Ant-mbbl", true),
        ] {
            let value = of(name, env, "model", "learn_reward");
            assert_eq!(
                value.unwrap_or(Value::Boolean(true)),
                Value::Boolean(learned),
                "{name} {env}"
            );
        }
        let (sac, preset) = find(&Registry::new(), "sac").unwrap();
        assert!(preset.layers(sac, "Ant-mbbl", &Kinds::stock()).is_ok());
    }

    #[test]
    fn fits_before_plans_are_bounded_by_steps_alone() {
        for name in ["mopac-2core", "demorl-2core", "maac-2core"] {
            for env in ["HalfCheetah-v4", "InvertedPendulum-v4", "Ant-v4"] {
                assert_eq!(of(name, env, "model", "max_epochs"), None, "{name} {env}");
                assert_eq!(of(name, env, "model", "max_steps"), Some(Value::Integer(3000)));
            }
        }
        let own = of("mbpo-2core", "HalfCheetah-v4", "model", "max_epochs");
        assert_eq!(own, Some(Value::Integer(20)));
    }
}
