//! A trained policy at test time: by itself, and with a plan on top.

use std::path::Path;

use hstep::train::{EvalConfig, Evaluation, evaluate};
use hstep::{Error, Result};
use toml::Table;

use crate::run_folder::RunFolder;
use crate::settings::Settings;

/// Evaluates the policy of the newest checkpoint in a run folder.
///
/// # Errors
/// [`Error::Checkpoint`] when there is none.
pub fn evaluate_policy(run: &Path, config: &EvalConfig) -> Result<Evaluation> {
    let settings = Settings::resolved(RunFolder::open(run)?.config()?)?;
    let agent = settings.agent(run)?.ok_or_else(|| Error::checkpoint(run, "has no checkpoint"))?;
    evaluate(&agent, &settings.factory(), config)
}

/// Evaluates the same policy as the start of a plan: the cross-entropy method over the learned
/// model with the critic at its end (MAAC, section 5.4), from the same start states.
///
/// # Errors
/// [`Error::Config`]: not connected to a planner yet.
pub fn evaluate_with_plan(
    run: &Path,
    _planner: &Table,
    _config: &EvalConfig,
) -> Result<Evaluation> {
    RunFolder::open(run)?;
    planner_is_there().and(Err(Error::checkpoint(run, "cannot be evaluated with a plan")))
}

/// Refuses the figure before anything is trained for it.
///
/// # Errors
/// [`Error::Config`] as long as [`evaluate_with_plan`] has no planner.
pub fn planner_is_there() -> Result<()> {
    Err(Error::config("planner", "this version of hstep cannot plan at test time"))
}
