//! From a table of settings to a composition.

use toml::{Table, Value};

use crate::agent::{Builder, Hybrid, LoopConfig};
use crate::config;
use crate::error::{Error, Result};
use crate::kinds::{Head, Kinds, Within, parse, section};
use crate::parts::{ACTOR, CRITIC, MODEL, TemperatureConfig, VALUE};

/// The tables that every composition knows.
const SLOTS: &str =
    "loop actor critic value temperature model planner behave imagine improve target";

fn is_slot(name: &str) -> bool {
    SLOTS.split(' ').any(|slot| slot == name)
}

const HEAD: [&str; 3] = ["gamma", "acts", "learn"];

fn head(table: &Table) -> Result<Head> {
    let own = table.iter().filter(|(key, _)| HEAD.contains(&key.as_str()));
    config::parse(&own.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Every setting written out.
pub(super) fn resolve(kinds: &Kinds, table: &Table) -> Result<Table> {
    let head = head(table)?;
    let steps = head.learn.clone().unwrap_or_default();
    let mut all = config::to_table(&head)?;
    for name in table.keys().filter(|name| !HEAD.contains(&name.as_str())) {
        if !is_slot(name) && !steps.contains(name) {
            let known = SLOTS.split(' ').chain(HEAD).chain(steps.iter().map(String::as_str));
            return Err(config::unknown(name, known));
        }
        let Some(own) = section(table, name)? else { continue };
        let resolved = match name.as_str() {
            "loop" => config::to_table(&parse::<LoopConfig>(name, own)?)?,
            "temperature" => config::to_table(&parse::<TemperatureConfig>(name, own)?)?,
            ACTOR => kinds.policy.resolve(name, own)?,
            CRITIC => kinds.critic.resolve(name, own)?,
            VALUE => kinds.value.resolve(name, own)?,
            MODEL => kinds.model.resolve(name, own)?,
            "planner" => kinds.planner.resolve(name, own)?,
            "behave" => kinds.behave.resolve(name, own)?,
            "imagine" => kinds.imagine.resolve(name, own)?,
            "improve" => kinds.improve.resolve(name, own)?,
            "target" => kinds.target.resolve(name, own)?,
            step => kinds.step.resolve(step, &of_step(step, own))?,
        };
        all.insert(name.clone(), Value::Table(resolved));
    }
    Ok(all)
}

/// The table of a step: its name is its kind where it names none.
fn of_step(name: &str, own: &Table) -> Table {
    let mut own = own.clone();
    own.entry("kind").or_insert_with(|| Value::String(name.into()));
    own
}

/// The builder of a table, for more to be changed in it.
pub(super) fn builder(
    title: &str,
    citation: &str,
    kinds: &Kinds,
    table: &Table,
) -> Result<Builder> {
    let head = head(table)?;
    let within = Within { kinds, table };
    let mut builder = Hybrid::builder(title, citation);
    let hybrid = builder.hybrid_mut();
    if let Some(own) = section(table, "loop")? {
        hybrid.schedule = parse::<LoopConfig>("loop", own)?;
    }
    if let Some(own) = section(table, "temperature")? {
        hybrid.temperature = Some(parse::<TemperatureConfig>("temperature", own)?);
    }
    let parts = (&mut hybrid.policies, &mut hybrid.critics, &mut hybrid.values, &mut hybrid.models);
    parts.0.extend(within.slot(ACTOR, &kinds.policy)?.map(|part| (ACTOR.into(), part)));
    parts.1.extend(within.slot(CRITIC, &kinds.critic)?.map(|part| (CRITIC.into(), part)));
    parts.2.extend(within.slot(VALUE, &kinds.value)?.map(|part| (VALUE.into(), part)));
    parts.3.extend(within.slot(MODEL, &kinds.model)?.map(|part| (MODEL.into(), part)));
    if head.acts == Some(false)
        && let Some(own) = section(table, "behave")?
        && !kinds.behave.is_default("behave", own)?
    {
        return Err(Error::config("behave", "is used only with `acts = true`, and it is false"));
    }
    if head.acts != Some(false)
        && let Some(behave) = within.slot("behave", &kinds.behave)?
    {
        hybrid.behave = behave;
    }
    if head.acts != Some(true)
        && let Some(imagine) = within.slot("imagine", &kinds.imagine)?
    {
        hybrid.imagine = imagine;
    }
    hybrid.gamma = head.gamma.or_else(|| hybrid.behave.gamma());
    let Some(learn) = head.learn else {
        return Ok(builder
            .uses(within.slot("improve", &kinds.improve)?, within.slot("target", &kinds.target)?));
    };
    let step = |name: &String| {
        let own = section(table, name).ok().flatten().filter(|_| !is_slot(name));
        let own = of_step(name, &own.cloned().unwrap_or_default());
        kinds.step.build(name, &own, &within).map_err(|error| match error {
            // Without a table of its own, the list is where it stands.
            Error::Config { key, problem } if key == format!("{name}.kind") => {
                Error::config("learn", problem)
            }
            other => other,
        })
    };
    let steps = learn.iter().map(step).collect::<Result<Vec<_>>>()?;
    Ok(builder.learn(steps))
}
