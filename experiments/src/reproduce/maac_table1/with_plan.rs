//! A trained policy at test time: by itself, and with a plan on top.

use std::path::Path;
use std::sync::Arc;

use hstep::Result;
use hstep::learner::Agent;
use hstep::train::{EvalConfig, Evaluation, evaluate};
use toml::Table;

use crate::registry::Registry;
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::test_plan::{self, Kind};

/// Evaluates the policy of the newest checkpoint in a run folder.
///
/// # Errors
/// [`Error::Checkpoint`] when there is none.
pub fn evaluate_policy(run: &Path, config: &EvalConfig) -> Result<Evaluation> {
    let (settings, agent) = agent(run)?;
    evaluate(&agent, &settings.factory(), config)
}

/// Evaluates the same policy as the start of a plan: the cross-entropy method over the learned
/// model with the critic at its end (MAAC, section 5.4), from the same start states.
///
/// # Errors
/// [`Error::Config`] for settings of the planner that do not fit, [`Error::Checkpoint`] as
/// [`evaluate_policy`].
pub fn evaluate_with_plan(run: &Path, planner: &Table, config: &EvalConfig) -> Result<Evaluation> {
    let (settings, mut agent) = agent(run)?;
    test_plan::plan(&mut agent, Kind::Cem, planner)?;
    evaluate(&agent, &settings.factory(), config)
}

fn agent(run: &Path) -> Result<(Settings, Agent)> {
    let settings = Settings::resolved(&Arc::new(Registry::new()), RunFolder::open(run)?.config()?)?;
    let agent = settings.trained(run, false)?;
    Ok((settings, agent))
}
