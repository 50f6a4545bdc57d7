//! Successive halving: all runs a little, the best of them further, and so on. Runs are resumed, so that
//! the last ones are to the bit what they would have been without the others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use hstep::metrics::read_columns;
use hstep::stats::mean;

use super::plan::{Halving, Planned};
use super::processes::Pool;
use crate::exit::SomeFailed;

/// Trains in stages. Settings are compared over their seeds, on each environment for itself, by the
/// mean of the last evaluation; those of which a run failed are left behind.
///
/// # Errors
/// As [`Pool::run`].
pub fn run(
    pool: &Pool,
    mut runs: Vec<Planned>,
    halving: Halving,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let (mut budget, mut failed) = (halving.first, Vec::new());
    loop {
        let last = runs.iter().all(|run| run.settings.run.steps <= budget);
        let stage: Vec<Planned> = runs.iter().map(|run| upto(run, budget)).collect();
        match pool.run(&stage, stop, quiet) {
            Err(error) if error.is::<SomeFailed>() => failed.push(error.to_string()),
            other => other?,
        }
        if last {
            break;
        }
        let before = runs.len();
        runs = survivors(pool.folder, runs, budget, halving.factor as usize);
        tracing::info!("after {budget} steps {} of {before} runs go on", runs.len());
        budget = budget.saturating_mul(halving.factor);
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(SomeFailed(failed.join("; ")).into()),
    }
}

/// The same run, that far at most.
fn upto(run: &Planned, budget: u64) -> Planned {
    let mut run = run.clone();
    run.settings.run.steps = run.settings.run.steps.min(budget);
    run
}

/// The runs of the best settings on each environment: one in `factor`, at least one.
fn survivors(folder: &Path, runs: Vec<Planned>, budget: u64, factor: usize) -> Vec<Planned> {
    let mut settings: BTreeMap<(String, Vec<String>), Vec<f64>> = BTreeMap::new();
    for run in &runs {
        let reached = reached(&folder.join(&run.folder), budget);
        settings.entry(key(run)).or_default().push(reached);
    }
    let mut ranked: BTreeMap<String, Vec<(f64, Vec<String>)>> = BTreeMap::new();
    for ((env, set), scores) in settings {
        ranked.entry(env).or_default().push((mean(&scores), set));
    }
    let mut kept = Vec::new();
    for (env, mut of_env) in ranked {
        // The sort is stable: of equals the first in the list goes on.
        of_env.sort_by(|a, b| b.0.total_cmp(&a.0));
        of_env.truncate(of_env.len().div_ceil(factor));
        kept.extend(of_env.into_iter().map(|(_, set)| (env.clone(), set)));
    }
    runs.into_iter().filter(|run| kept.contains(&key(run))).collect()
}

/// Environment, and what is set but for the seed.
fn key(run: &Planned) -> (String, Vec<String>) {
    let set = run.set.iter().filter(|set| !set.starts_with("run.seed=")).cloned().collect();
    (run.settings.run.env.clone(), set)
}

/// The last return up to `budget`; minus infinity of a run that has none or ended before.
fn reached(folder: &Path, budget: u64) -> f64 {
    let columns = read_columns(&folder.join("metrics.csv"), &["env_steps", "eval_return"]);
    let Ok(columns) = columns else { return f64::NEG_INFINITY };
    let both = columns[0].iter().zip(&columns[1]);
    let upto = both.filter(|(step, _)| step.is_some_and(|step| step <= budget as f64));
    let last = upto.filter_map(|(_, value)| *value).next_back();
    match folder.join("FAILED").exists() {
        true => f64::NEG_INFINITY,
        false => last.unwrap_or(f64::NEG_INFINITY),
    }
}
