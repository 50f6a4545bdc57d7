//! `hstep eval`: the policy of a run's newest checkpoint, a plan around it, its critic, or its model,
//! on fixed start states.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use hstep::config::check;
use hstep::learner::Agent;
use hstep::train::{EnvFactory, EvalConfig, Standing, critic_bias, evaluate, model_bias};
use hstep::uses::Needs;
use hstep::{Error, config, limits};
use serde_json::{Value, json};
use toml::Table;

use crate::cli::Eval;
use crate::output::say;
use crate::registry::Registry;
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::test_plan;

pub fn run(args: &Eval, registry: &Arc<Registry>) -> Result<()> {
    check::count("episodes", args.episodes, limits::EPISODES)?;
    let folder = RunFolder::open(&args.run)?;
    let settings = Settings::resolved(registry, folder.config()?)?;
    let mut agent = settings.trained(folder.path(), args.best)?;
    let mut acting = None;
    if let Some(kind) = args.plan {
        let mut layers = Table::new();
        config::set_all(&mut layers, &args.settings)?;
        acting = Some(test_plan::plan(&mut agent, kind, &layers)?);
    }
    let have = Needs::had(&agent.parts);
    if args.critic && !have.critic {
        let problem = "needs a critic, and this run has none: it acts by plans alone";
        return Err(Error::config("--critic", problem).into());
    }
    if args.model && !(have.model && have.policy) {
        let problem = "needs a model and a policy, and this run does not have both";
        return Err(Error::config("--model", problem).into());
    }
    let config = EvalConfig { episodes: args.episodes, ..settings.run.eval.clone() };
    let steps = agent.counters.env_steps;
    if args.json {
        let mut all = as_json(args, &agent, &settings.factory(), &config)?;
        all["run"] = json!(folder.path().display().to_string());
        all["acting"] = json!(acting);
        all["env_steps"] = json!(steps);
        return Ok(say!("{all:#}")?);
    }
    acting.map_or(Ok(()), |acting| say!("acting      {acting}"))?;
    say!("env_steps   {steps}")?;
    say!("episodes    {}", args.episodes)?;
    if args.critic {
        return critic(&agent, &settings.factory(), &config);
    }
    if args.model {
        return model(&agent, &settings.factory(), &config);
    }
    let result = evaluate(&agent, &settings.factory(), &config)?;
    say!("return      {:.3} (standard deviation {:.3})", result.mean(), result.std())?;
    say!("length      {:.1}", result.length())?;
    if let Some(line) = failed(&result.failures) {
        say!("failed      {line}")?;
    }
    Ok(())
}

/// What was measured, every episode of it.
fn as_json(args: &Eval, agent: &Agent, make: &EnvFactory, config: &EvalConfig) -> Result<Value> {
    if args.critic {
        let bias = critic_bias(agent, make, config)?;
        return Ok(json!({
            "states": bias.states.len(), "predicted": bias.predicted(), "reached": bias.reached(),
            "bias": bias.mean(), "bias_std": bias.std(), "unseen": bias.own(),
        }));
    }
    if args.model {
        let bias = model_bias(agent, make, config, PER_START)?;
        let curve = |of: &[Standing]| {
            let (alive, total): (Vec<f64>, Vec<f64>) =
                of.iter().map(|s| (s.alive, s.total)).unzip();
            json!({ "alive": alive, "return": total })
        };
        return Ok(json!({
            "episodes": curve(&bias.episodes), "rollouts": curve(&bias.rollouts), "diverged": bias.diverged,
        }));
    }
    let done = evaluate(agent, make, config)?;
    Ok(json!({
        "return": done.mean(), "return_std": done.std(), "length": done.length(),
        "returns": done.returns, "lengths": done.lengths, "failures": done.failures,
    }))
}

/// What the critic says against what the sampled policy reaches.
fn critic(agent: &Agent, make: &EnvFactory, config: &EvalConfig) -> Result<()> {
    let bias = critic_bias(agent, make, config)?;
    let (reached, mean, std) = (bias.reached(), bias.mean(), bias.std());
    let share = |x: f64| 100.0 * x / reached.abs();
    say!("states      {}", bias.states.len())?;
    say!("critic      {:.3} (smallest member, mean over the states)", bias.predicted())?;
    say!("reached     {reached:.3} (discounted, with the entropy bonus)")?;
    say!("bias        {mean:+.3} ({:+.1} % of what was reached)", share(mean))?;
    say!("spread      {std:.3} ({:.1} %; standard deviation over the states)", share(std))?;
    say!("unseen      {:.1} % (weight of what follows the time limit)", 100.0 * bias.own())?;
    Ok(())
}

/// Rollouts in the model from each start state.
const PER_START: usize = 20;
/// Lines of the table.
const LINES: usize = 10;

/// What the model says of the policy's episodes against what becomes of them.
fn model(agent: &Agent, make: &EnvFactory, config: &EvalConfig) -> Result<()> {
    let bias = model_bias(agent, make, config, PER_START)?;
    let longest = bias.episodes.len() - 1;
    let lines = LINES.min(longest);
    say!("rollouts    {} in the model", config.episodes * PER_START)?;
    say!()?;
    say!("steps   alive here  in the model   return here  in the model")?;
    for step in (1..=lines).map(|line| longest * line / lines) {
        let (here, there) = (bias.episodes[step], bias.rollouts[step]);
        let alive = format!("{:>10.3}  {:>12.3}", here.alive, there.alive);
        say!("{step:>5}   {alive}   {:>11.3}  {:>12.3}", here.total, there.total)?;
    }
    if bias.diverged > 0.0 {
        say!()?;
        let share = 100.0 * bias.diverged;
        say!("diverged    {share:.1} % of the rollouts (they count as ended there)")?;
    }
    Ok(())
}

/// How many episodes failures of the simulation cut, by kind; `None` if they cut none.
pub fn failed(kinds: &[&str]) -> Option<String> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_insert(0) += 1;
    }
    let each: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} by {kind}")).collect();
    (!each.is_empty()).then(|| format!("{} (episodes cut by the simulation)", each.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_kind() {
        assert_eq!(failed(&[]), None);
        let line = failed(&["qvel", "qacc", "qvel"]).unwrap();
        assert_eq!(line, "1 by qacc, 2 by qvel (episodes cut by the simulation)");
    }
}
