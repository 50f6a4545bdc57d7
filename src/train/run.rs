//! What a run is, who watches it, and how it ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evaluate::EvalConfig;
use crate::error::{Error, Result};
use crate::learner::Counters;
use crate::limits;
use crate::log::Log;
use crate::metrics::Row;
use crate::shape::Precision;

/// What a run is, apart from its algorithm's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Algorithm or preset, for example `maac` or `maac-code`.
    pub algo: String,
    /// Environment.
    pub env: String,
    /// Seed of everything but the evaluation's start states.
    pub seed: u64,
    /// Environment steps, the random ones included. Raising it extends a finished run.
    pub steps: u64,
    /// Environment steps between checkpoints.
    pub checkpoint_every: u64,
    /// Largest share of the run's time that checkpoints may take: one that is due earlier is left
    /// out. The last one is always written.
    pub checkpoint_share: f64,
    /// Whether the checkpoint of the best evaluation is kept as well, in `best/`; false: ours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// The dynamics of an algorithm that has a model.
    pub model: ModelChoice,
    /// What planned and imagined rollouts are computed in. `bf16` is faster where the processor
    /// multiplies bfloat16 numbers and less exact (4e-3 relative); gradients are in f32 always.
    pub precision: Precision,
    /// A run folder, whose weights this run begins with: those of policies, critics, values and models
    /// of the same names, with their normalisers. Optimisers, temperature and replay are fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The content hash of those weights, written by the program; others are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_hash: Option<String>,
    /// When and how the policy is evaluated.
    pub eval: EvalConfig,
}

/// Which dynamics an algorithm with a model uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelChoice {
    /// The ensemble, learned from the real data.
    #[default]
    Learned,
    /// The environment's own equations, where they are known and differentiable: the oracle.
    Oracle,
    /// A function that the program gives: a library's or Python's own.
    Given,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            algo: String::new(),
            env: String::new(),
            seed: 0,
            steps: 100_000,
            checkpoint_every: 1_000,
            checkpoint_share: 0.02,
            best: false,
            model: ModelChoice::default(),
            precision: Precision::F32,
            from: None,
            from_hash: None,
            eval: EvalConfig::default(),
        }
    }
}

impl RunConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `run`.
    pub fn validate(&self) -> Result<()> {
        crate::check::at_least("run.steps", self.steps as usize, 1)?;
        crate::check::at_least("run.checkpoint_every", self.checkpoint_every as usize, 1)?;
        crate::check::fraction("run.checkpoint_share", self.checkpoint_share)?;
        crate::check::count("run.eval.episodes", self.eval.episodes, limits::EPISODES)
    }
}

/// Where a run stands; handed to the [`Observer`] after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What was done.
    pub counters: &'a Counters,
    /// Environment steps of the whole run.
    pub steps: u64,
    /// Mean return of the newest evaluation.
    pub eval_return: Option<f64>,
    /// Sums since the last row of the metrics.
    pub log: &'a Log,
}

/// Watches a run: a progress bar, a logger, a test.
pub trait Observer {
    /// Before the first step of this process; so many are done already.
    fn begin(&mut self, done: u64) {
        let _ = done;
    }

    /// After every environment step.
    fn step(&mut self, progress: &Progress);

    /// After every row of the metrics.
    fn row(&mut self, row: &Row) {
        let _ = row;
    }

    /// Whether the state is still good after an error that ended the run, and is to be saved where it
    /// stands; else the last checkpoint stays the newest.
    fn saves(&self, error: &Error) -> bool {
        let _ = error;
        false
    }
}

/// A closure watches every step.
impl<F: FnMut(&Progress)> Observer for F {
    fn step(&mut self, progress: &Progress) {
        self(progress);
    }
}

/// Watches nothing.
impl Observer for () {
    fn step(&mut self, _: &Progress) {}
}

/// How a run ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Done,
    /// The stop flag was raised; everything is saved.
    Interrupted,
}
