//! Evaluation: deterministic episodes from fixed start states.

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::episodes::Episodes;
use crate::env::{Env, EnvFactory};
use crate::error::Result;
use crate::learner::Agent;
use crate::rng::Rng;
use crate::shape::to_f64;
use crate::uses::Memory;

/// When and how the policy is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Environment steps between evaluations; 0 for none, with a row of the metrics every 1,000 steps.
    /// 1,000: code (MBPO).
    pub every: u64,
    /// Episodes an evaluation. 20: ours (MBPO's code runs one).
    pub episodes: usize,
    /// Seed of the start states; the same ones in every evaluation and for every run's seed.
    pub seed: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { every: 1_000, episodes: 20, seed: 20_200 }
    }
}

/// Returns and lengths of evaluation episodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Undiscounted return of each episode.
    pub returns: Vec<f64>,
    /// Steps of each episode.
    pub lengths: Vec<usize>,
    /// The kinds of failure ([`Env::failure_kinds`]) that cut episodes, one entry an episode that was.
    pub failures: Vec<&'static str>,
}

impl Evaluation {
    /// Mean return.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// Standard deviation of the returns over episodes (population form).
    #[must_use]
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let sum: f64 = self.returns.iter().map(|r| (r - mean).powi(2)).sum();
        (sum / self.returns.len() as f64).sqrt()
    }

    /// Mean length in steps.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.lengths.iter().sum::<usize>() as f64 / self.lengths.len() as f64
    }
}

/// What is seen of an evaluation: an environment after its reset, or after a step.
pub struct Moment<'a> {
    /// Which of the episodes.
    pub episode: usize,
    /// Its environment, in the state that was reached.
    pub env: &'a mut dyn Env,
    /// The action that led there, normalised; `None` after the reset.
    pub action: Option<&'a [f64]>,
    /// The sum of the rewards so far.
    pub total: f64,
}

/// Runs the evaluation episodes side by side, one environment each, one batch a step; or one after the
/// other in one environment, where more are dear ([`Env::is_dear`]).
///
/// # Errors
/// As the environment and the behave slot.
pub fn evaluate(agent: &Agent, make: &EnvFactory, config: &EvalConfig) -> Result<Evaluation> {
    evaluate_watched(agent, make, config, &mut |_: Moment| {})
}

/// [`evaluate`], given up with `None` where `stop` is raised before its end: plans can make an
/// evaluation take minutes.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_until(
    agent: &Agent,
    make: &EnvFactory,
    config: &EvalConfig,
    stop: &AtomicBool,
) -> Result<Option<Evaluation>> {
    run(agent, make, config, &mut |_: Moment| {}, &|| stop.load(Ordering::Relaxed))
}

/// [`evaluate`], shown moment by moment.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_watched(
    agent: &Agent,
    make: &EnvFactory,
    config: &EvalConfig,
    watch: &mut dyn FnMut(Moment),
) -> Result<Evaluation> {
    // Nobody stops it: it comes to its end.
    run(agent, make, config, watch, &|| false).map(Option::unwrap_or_default)
}

fn run(
    agent: &Agent,
    make: &EnvFactory,
    config: &EvalConfig,
    watch: &mut dyn FnMut(Moment),
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let starts = Rng::new(config.seed).fork("evaluation");
    let mut out = Evaluation {
        returns: vec![0.0; config.episodes],
        lengths: vec![0; config.episodes],
        failures: Vec::new(),
    };
    let mut keys = starts.fork("planner");
    let mut next = 0;
    while next < config.episodes {
        let mut episodes =
            Episodes::start(make, next..config.episodes, &starts, |episode, env| {
                watch(Moment { episode, env, action: None, total: 0.0 });
            })?;
        next = episodes.end();
        let mut memory = Memory::default();
        while !episodes.running().is_empty() {
            if stopped() {
                return Ok(None);
            }
            let start = episodes.stand(agent.states(), agent.spec())?;
            let actions = to_f64(&agent.exploit(&start, &mut memory, keys.key())?)?;
            let before = episodes.running().len();
            let goes_on = episodes.step(&actions, |i, env, action, step| {
                out.returns[i] += step.reward;
                out.lengths[i] += 1;
                if step.terminated || step.truncated {
                    out.failures.extend(env.failure_kind());
                }
                watch(Moment { episode: i, env, action: Some(action), total: out.returns[i] });
            })?;
            if goes_on.len() < before {
                memory.keep(&goes_on)?;
            }
        }
    }
    Ok(Some(out))
}
