//! Imagine: which transitions to add to the data.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Needs, PlanTerminal, horizon_label};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::objective::{Actions, Cost, HStep, Noise, Rollout, Terminal};
use crate::parts::{ACTOR, MODEL, Parts};
use crate::planner::{Base, Planner, Problem};
use crate::replay::{Replay, Rows, STATE};
use crate::rng::{Key, Rng};
use crate::schedule::Schedule;
use crate::shape::Spec;

/// Which transitions to add to the data.
pub trait Imagine: Send {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// Checks its settings.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    fn validate(&self) -> Result<()>;

    /// Transitions that the model buffer should hold at environment step `step`; 0 for no buffer.
    fn capacity(&self, step: u64) -> usize;

    /// Share of real transitions in a training batch at environment step `step`.
    fn real_ratio(&self, step: u64) -> f64;

    /// Rolls out from states of `real` and stores what it visited in `model`. Returns the number
    /// of model steps taken.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] when the model predicts a non-finite number.
    fn imagine(
        &self,
        parts: &Parts,
        real: &Replay,
        model: &mut Replay,
        step: u64,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<u64>;
}

/// No imagined data.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoImagination;

impl Imagine for NoImagination {
    fn describe(&self) -> String {
        "none".into()
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn capacity(&self, _: u64) -> usize {
        0
    }

    fn real_ratio(&self, _: u64) -> f64 {
        1.0
    }

    fn imagine(
        &self,
        _: &Parts,
        _: &Replay,
        _: &mut Replay,
        _: u64,
        _: &mut Rng,
        _: &Spec,
    ) -> Result<u64> {
        Ok(0)
    }
}

/// MBPO's branched rollouts (Janner et al. 2019, Algorithm 2, lines 6-9).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BranchedConfig {
    /// Rollout length k, floored. 1: paper (all tasks but Hopper, Ant and Humanoid).
    pub horizon: Schedule,
    /// Start states drawn uniformly from the real data, a round of rollouts.
    /// 100,000: code.
    pub starts: usize,
    /// How many rounds of rollouts the model buffer holds. 4: code (one epoch of 1,000 steps at a
    /// fit every 250).
    pub retain_rounds: usize,
    /// Share of real transitions in a batch. 0.05: code.
    pub real_ratio: Schedule,
    /// Whether rows that have died are made up for by more rollouts, until `starts` times the horizon
    /// are stored; `None` is no: code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<bool>,
}

impl Default for BranchedConfig {
    fn default() -> Self {
        Self {
            horizon: Schedule::Constant(1.0),
            starts: 100_000,
            retain_rounds: 4,
            real_ratio: Schedule::Constant(0.05),
            fill: None,
        }
    }
}

impl BranchedConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `imagine`.
    pub fn validate(&self) -> Result<()> {
        self.horizon.validate("imagine.horizon", 1.0, 1000.0)?;
        self.real_ratio.validate("imagine.real_ratio", 0.0, 1.0)?;
        crate::check::at_least("imagine.starts", self.starts, 1)?;
        // The horizon is at most 1,000 by the check above.
        if self.starts.checked_mul(self.retain_rounds).and_then(|n| n.checked_mul(1000)).is_none() {
            let problem = format!("{} starts are more than can be counted", self.starts);
            return Err(crate::Error::config("imagine.starts", problem));
        }
        crate::check::count("imagine.starts", self.starts, crate::limits::STARTS)?;
        crate::check::at_least("imagine.retain_rounds", self.retain_rounds, 1)
    }
}

/// Policy rollouts of k steps from real states; every step is stored until a row terminates.
#[derive(Debug, Clone)]
pub struct Branched(pub BranchedConfig);

/// Start states that [`Branched`] rolls out at once: bounds the memory of 100,000.
pub const BRANCH_ROWS: usize = 10_000;

/// `horizon` steps of the policy's samples through the model from `s0` `[B,S]`, a random member a
/// row and step: one block of [`Branched`].
///
/// # Errors
/// [`crate::Error::Composition`] without a policy or a model, [`crate::Error::Shape`] for start
/// states that do not fit.
pub fn branch(parts: &Parts, s0: &Tensor, horizon: usize, key: Key) -> Result<Rollout> {
    let policy = parts.policy(ACTOR)?.frozen();
    let hstep = HStep {
        dynamics: Some(parts.model(MODEL)?.dynamics()),
        terminal: Terminal::Zero,
        horizon,
        gamma: parts.gamma,
        cost: Cost::NONE,
    };
    hstep.rollout_forward(s0, Actions::Policy(policy.as_ref()), &Noise::key(key))
}

impl Imagine for Branched {
    fn describe(&self) -> String {
        format!("branched k={}", self.0.horizon)
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, model: true, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn capacity(&self, step: u64) -> usize {
        self.0.retain_rounds * self.0.starts * self.0.horizon.count_at(step)
    }

    fn real_ratio(&self, step: u64) -> f64 {
        self.0.real_ratio.at(step)
    }

    fn imagine(
        &self,
        parts: &Parts,
        real: &Replay,
        model: &mut Replay,
        step: u64,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<u64> {
        let horizon = self.0.horizon.count_at(step);
        let mut left = self.0.starts;
        let mut steps = 0;
        let whole = (self.0.starts * horizon) as u64;
        while left > 0 || (self.0.fill == Some(true) && steps < whole) {
            left = if left > 0 { left } else { self.0.starts };
            let n = left.min(BRANCH_ROWS);
            left -= n;
            let s0 = real.sample(n, rng, spec)?.start().state;
            let rollout = branch(parts, &s0, horizon, rng.key())?;
            steps += store(parts.model(MODEL)?.dynamics(), &rollout, model)?;
        }
        Ok(steps)
    }
}

/// Stores the living transitions of a rollout; returns how many.
fn store(dynamics: &dyn Dynamics, rollout: &Rollout, buffer: &mut Replay) -> Result<u64> {
    let flat =
        |t: &Tensor| -> Result<Vec<f32>> { Ok(t.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?) };
    let mut stored = 0;
    let states = buffer.own().any(|(name, _)| name == STATE);
    for t in 0..rollout.horizon() {
        let live = match &rollout.alive[t] {
            None => None,
            Some(alive) => Some(flat(alive)?.iter().map(|&x| x != 0.0).collect::<Vec<_>>()),
        };
        let own = match states {
            true => vec![flat(&rollout.states[t])?, flat(&rollout.next[t])?],
            false => Vec::new(),
        };
        let rows = Rows {
            obs: &flat(&dynamics.observe(&rollout.states[t])?)?,
            action: &flat(&rollout.actions[t])?,
            reward: &flat(&rollout.rewards[t])?,
            next_obs: &flat(&dynamics.observe(&rollout.next[t])?)?,
            cont: &flat(&rollout.cont[t])?,
            own: own.iter().map(Vec::as_slice).collect(),
        };
        stored += buffer.push_batch(&rows, live.as_deref())? as u64;
    }
    Ok(stored)
}

/// Settings of [`Planned`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlannedConfig {
    /// Length H of the plans, floored. [5000, 85000, 5, 15]: paper (5 to 15, linear), code (MoPAC's
    /// first version: over 80 epochs, which begin after the random steps).
    pub horizon: Schedule,
    /// Start states drawn uniformly from the real data, a round of plans, floored. 10,000: paper.
    pub starts: Schedule,
    /// How many rounds the model buffer holds. 4: code (one epoch of 1,000 steps at a fit every
    /// 250).
    pub retain_rounds: usize,
    /// Share of real transitions in a batch. 0.05: code (MBPO).
    pub real_ratio: Schedule,
    /// What the last state is worth. `value`: paper.
    pub terminal: PlanTerminal,
    /// Whether plans go around samples of the policy; its modes otherwise. true: paper (MoPAC
    /// Algorithm 2, line 4; M-DeMoRL, note 3).
    pub sample: bool,
}

impl Default for PlannedConfig {
    fn default() -> Self {
        Self {
            horizon: Schedule::Linear([5_000.0, 85_000.0, 5.0, 15.0]),
            starts: Schedule::Constant(10_000.0),
            retain_rounds: 4,
            real_ratio: Schedule::Constant(0.05),
            terminal: PlanTerminal::Value,
            sample: true,
        }
    }
}

/// Rollouts along plans around the policy, from real states: MoPAC's Algorithm 2, and lines 10-16
/// of M-DeMoRL's Algorithm 1.
pub struct Planned {
    /// Horizon, start states, terminal.
    pub config: PlannedConfig,
    /// The planner.
    pub planner: Box<dyn Planner>,
}

impl Planned {
    /// Imagines along the plans of this planner.
    pub fn new(config: PlannedConfig, planner: impl Planner + 'static) -> Self {
        Self { config, planner: Box::new(planner) }
    }
}

/// Start states planned from at once: bounds the memory of the plans that are returned.
const PLANS: usize = 256;

impl Imagine for Planned {
    fn describe(&self) -> String {
        let label = horizon_label(self.config.horizon, self.config.terminal.label());
        format!("{} rollouts, {label}", self.planner.describe())
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, model: true, ..self.config.terminal.needs() }
    }

    fn validate(&self) -> Result<()> {
        let c = &self.config;
        c.horizon.validate("imagine.horizon", 1.0, 1000.0)?;
        // With the horizon of at most 1,000, what is held can be counted.
        c.starts.validate("imagine.starts", 1.0, 1e9)?;
        if c.retain_rounds > 1_000_000 {
            let problem = format!("expected at most 1,000,000, got {}", c.retain_rounds);
            return Err(crate::Error::config("imagine.retain_rounds", problem));
        }
        c.real_ratio.validate("imagine.real_ratio", 0.0, 1.0)?;
        crate::check::at_least("imagine.retain_rounds", c.retain_rounds, 1)?;
        self.planner.validate("planner")
    }

    fn capacity(&self, step: u64) -> usize {
        let c = &self.config;
        c.retain_rounds * c.starts.count_at(step) * c.horizon.count_at(step)
    }

    fn real_ratio(&self, step: u64) -> f64 {
        self.config.real_ratio.at(step)
    }

    fn imagine(
        &self,
        parts: &Parts,
        real: &Replay,
        model: &mut Replay,
        step: u64,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<u64> {
        let c = &self.config;
        let policy = parts.policy(ACTOR)?.frozen();
        let objective = HStep {
            dynamics: Some(parts.model(MODEL)?.dynamics()),
            terminal: c.terminal.of(parts, None)?,
            horizon: c.horizon.count_at(step),
            gamma: parts.gamma,
            cost: Cost::NONE,
        };
        let along = HStep { terminal: Terminal::Zero, ..objective };
        let base = Base::Policy { policy: policy.as_ref(), sample: c.sample };
        let mut left = c.starts.count_at(step);
        let mut steps = 0;
        while left > 0 {
            let n = left.min(PLANS);
            left -= n;
            let s0 = real.sample(n, rng, spec)?.start().state;
            let plan = self.planner.plan(&Problem { objective, s0: &s0, base }, rng.key())?;
            let noise = plan.noise(rng.key())?;
            let rollout = along.rollout_forward(&s0, plan.follow(policy.as_ref()), &noise)?;
            steps += plan.model_steps;
            steps += store(parts.model(MODEL)?.dynamics(), &rollout, model)?;
        }
        Ok(steps)
    }
}
