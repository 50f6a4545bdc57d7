//! Behave: which action to take in the environment.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Needs, PlanTerminal, horizon_label};
use crate::error::Result;
use crate::objective::{Actions, Cost, HStep, Noise, Reduce, Terminal};
use crate::ops;
use crate::parts::{ACTOR, MODEL, Parts};
use crate::planner::{Base, Plan, Planner, Problem, each, shifted};
use crate::replay::Start;
use crate::rng::Key;
use crate::schedule::Schedule;
use crate::shape::{self, Spec};

/// What a way of acting carries from step to step; a row belongs to a running episode.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The mean of the last plan `[B,N,A]`; `None` at the start of an episode.
    pub plan: Option<Tensor>,
    /// The model's belief `[B,S]`, of a model that has one; `None` at the start of an episode.
    pub belief: Option<Tensor>,
    /// The actions `[B,A]` since that belief, if there was one.
    pub action: Option<Tensor>,
}

impl Memory {
    /// Goes on with these episodes alone, in this order.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for a row that does not exist.
    pub fn keep(&mut self, rows: &[u32]) -> Result<()> {
        for own in [&mut self.plan, &mut self.belief, &mut self.action].into_iter().flatten() {
            *own = ops::take_rows(own, rows)?;
        }
        Ok(())
    }
}

/// The moment at which an action is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Environment steps so far.
    pub step: u64,
    /// False in evaluation.
    pub explore: bool,
    /// The noise; row `i` belongs to row `i` of the observations.
    pub key: Key,
}

/// Actions, and what finding them took.
#[derive(Debug, Clone)]
pub struct Acted {
    /// Normalised actions `[B,A]`.
    pub action: Tensor,
    /// Model steps taken, one a row.
    pub model_steps: u64,
    /// What is stored with the transitions, `[B,W]` each, in the order of [`Behave::columns`]; empty in
    /// evaluation.
    pub columns: Vec<Tensor>,
}

impl Acted {
    /// Actions, with nothing to be stored beside them.
    #[must_use]
    pub fn new(action: Tensor, model_steps: u64) -> Self {
        Self { action, model_steps, columns: Vec::new() }
    }
}

/// Which action to take in the environment.
pub trait Behave: Send {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// Checks its settings.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// The discount by which it plans, where it does.
    fn gamma(&self) -> Option<f64> {
        None
    }

    /// Columns that it has stored with the transitions, name and width, for observations of length
    /// `obs_dim`.
    fn columns(&self, obs_dim: usize) -> Vec<(String, usize)> {
        let _ = obs_dim;
        Vec::new()
    }

    /// Normalised actions `[B,A]` at `start`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn act(&self, parts: &Parts, start: &Start, memory: &mut Memory, at: Moment) -> Result<Acted>;
}

/// A sample of the policy; its mode in evaluation.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicySample;

impl Behave for PolicySample {
    fn describe(&self) -> String {
        "policy".into()
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, ..Needs::default() }
    }

    fn act(&self, parts: &Parts, start: &Start, _: &mut Memory, at: Moment) -> Result<Acted> {
        let (policy, obs) = (parts.policy(ACTOR)?.frozen(), &start.obs);
        if !at.explore {
            return Ok(Acted::new(policy.mode(obs)?, 0));
        }
        let spec = Spec { dtype: obs.dtype(), device: obs.device().clone(), ..Spec::f32() };
        let eps = at.key.normals(0, obs.dim(0)?, policy.action_dim(), 0, &spec)?;
        Ok(Acted::new(policy.sample(obs, &eps)?.action, 0))
    }
}

/// Where the search for an action starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanStart {
    /// The last plan, one step on; zeros in an episode's first step.
    #[default]
    Previous,
    /// Zeros, always.
    Zero,
    /// The policy's modes.
    Mode,
    /// The policy's samples.
    Sample,
}

/// Settings of [`PlanFirst`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanConfig {
    /// Model steps H, floored.
    pub horizon: Schedule,
    /// Discount within the plan.
    pub gamma: f64,
    /// What the last state is worth.
    pub terminal: PlanTerminal,
    /// Where the search starts.
    pub start: PlanStart,
    /// With an ensemble of V at the end: kappa of the soft maximum of its members; `None` is their mean.
    /// 0.01: ours (POLO has another scale).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimism: Option<f64>,
    /// Whether that soft maximum is the log of the sum, as POLO's eq. 6 is printed: without dividing by
    /// kappa and by the number of members. `None` is no: ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal: Option<bool>,
    /// What is stored of the rollouts that were planned with; `None` is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepConfig>,
}

impl PlanConfig {
    /// How the members of an ensemble of V at the end are reduced, where that is not to their mean.
    #[must_use]
    pub fn reduce(&self) -> Option<Reduce> {
        self.optimism.map(|kappa| match self.literal {
            Some(true) => Reduce::LogSumExp(kappa),
            _ => Reduce::LogMeanExp(kappa),
        })
    }
}

/// What is stored of a plan: the ends of its best rollouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// How many of the best rollouts. 8: ours.
    pub rollouts: usize,
    /// Their first model steps N, at most the horizon. 64: ours.
    pub steps: usize,
}

impl Default for KeepConfig {
    fn default() -> Self {
        Self { rollouts: 8, steps: 64 }
    }
}

/// The columns of [`KeepConfig`] for `k` rollouts: discounted rewards `[k]`, last observations `[k,O]`,
/// and 0 for those that have ended before.
pub(super) const KEPT: [&str; 3] = ["plan_return", "plan_end", "plan_cont"];

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            horizon: Schedule::Constant(30.0),
            gamma: 1.0,
            terminal: PlanTerminal::Zero,
            start: PlanStart::Previous,
            optimism: None,
            literal: None,
            keep: None,
        }
    }
}

/// Model predictive control: plans at every step and takes the plan's first action.
pub struct PlanFirst {
    /// Horizon, terminal, start.
    pub config: PlanConfig,
    /// The planner.
    pub planner: Box<dyn Planner>,
}

impl PlanFirst {
    /// Acts by this planner.
    pub fn new(config: PlanConfig, planner: impl Planner + 'static) -> Self {
        Self { config, planner: Box::new(planner) }
    }
}

/// A plan `[B,N,A]` brought to `n` actions: cut off, or zeros behind it.
fn of_length(plan: &Tensor, n: usize) -> Result<Tensor> {
    let (_, have, _) = plan.dims3()?;
    if have >= n {
        return Ok(plan.narrow(1, 0, n)?.contiguous()?);
    }
    Ok(plan.pad_with_zeros(1, 0, n - have)?)
}

impl Behave for PlanFirst {
    fn describe(&self) -> String {
        let c = &self.config;
        let label = horizon_label(c.horizon, c.terminal.label());
        let around = match c.start {
            PlanStart::Mode | PlanStart::Sample => " around the policy",
            PlanStart::Previous | PlanStart::Zero => "",
        };
        format!("{}{around}, {label}", self.planner.describe())
    }

    fn needs(&self) -> Needs {
        let policy = matches!(self.config.start, PlanStart::Mode | PlanStart::Sample);
        let model = self.config.horizon != Schedule::Constant(0.0);
        Needs { policy, model, ..self.config.terminal.needs() }
    }

    fn gamma(&self) -> Option<f64> {
        Some(self.config.gamma)
    }

    fn validate(&self) -> Result<()> {
        let lowest = if self.config.terminal == PlanTerminal::Q { 0.0 } else { 1.0 };
        self.config.horizon.validate("behave.horizon", lowest, 1000.0)?;
        crate::check::fraction("behave.gamma", self.config.gamma)?;
        if let Some(kappa) = self.config.optimism {
            crate::check::positive("behave.optimism", kappa)?;
        }
        if let Some(keep) = &self.config.keep {
            crate::check::at_least("behave.keep.rollouts", keep.rollouts, 1)?;
            crate::check::at_least("behave.keep.steps", keep.steps, 1)?;
        }
        self.planner.validate("planner")
    }

    fn columns(&self, obs_dim: usize) -> Vec<(String, usize)> {
        let keep = self.config.keep.iter();
        keep.flat_map(|keep| {
            let k = keep.rollouts;
            KEPT.iter().zip([k, k * obs_dim, k]).map(|(name, width)| ((*name).into(), width))
        })
        .collect()
    }

    fn act(&self, parts: &Parts, start: &Start, memory: &mut Memory, at: Moment) -> Result<Acted> {
        let c = &self.config;
        let horizon = c.horizon.count_at(at.step);
        let dynamics = match horizon {
            0 => None,
            _ => Some(parts.model(MODEL)?.dynamics()),
        };
        let objective = HStep {
            dynamics,
            terminal: c.terminal.of(parts, c.reduce())?,
            horizon,
            gamma: c.gamma,
            cost: Cost::NONE,
        };
        let s0 = start.rolled(dynamics.is_some());
        let policy = match c.start {
            PlanStart::Mode | PlanStart::Sample => Some(parts.policy(ACTOR)?.frozen()),
            PlanStart::Previous | PlanStart::Zero => None,
        };
        let n = objective.decisions();
        let previous = match (&c.start, &memory.plan) {
            (PlanStart::Previous, Some(plan)) => Some(of_length(&shifted(plan)?, n)?),
            // Without dynamics nothing else says how long an action is.
            _ if dynamics.is_none() => Some(parts.still(s0, n)?),
            _ => None,
        };
        let base = match (&policy, &previous) {
            (Some(policy), _) => {
                Base::Policy { policy: policy.as_ref(), sample: c.start == PlanStart::Sample }
            }
            (None, Some(plan)) => Base::Open(plan),
            (None, None) => Base::Zero,
        };
        let plan = self.planner.plan(&Problem { objective, s0, base }, at.key)?;
        let mut acted = Acted::new(plan.first()?, plan.model_steps);
        if let Some(keep) = c.keep.as_ref().filter(|_| at.explore) {
            let objective = HStep { terminal: Terminal::Zero, ..objective };
            acted.columns = kept(keep, objective, s0, &plan, at.key.fork("kept"))?;
            acted.model_steps += (s0.dim(0)? * keep.rollouts * keep.steps.min(horizon)) as u64;
        }
        memory.plan = (c.start == PlanStart::Previous).then_some(plan.mean);
        Ok(acted)
    }
}

/// The columns of [`KEPT`]: the best of the last candidates, rolled out once more.
fn kept(
    keep: &KeepConfig,
    objective: HStep,
    s0: &Tensor,
    plan: &Plan,
    key: Key,
) -> Result<Vec<Tensor>> {
    let (b, k, ..) = plan.samples.dims4()?;
    let n = keep.rollouts;
    let returns = shape::to_f64(&plan.returns)?;
    let mut rows: Vec<u32> = Vec::with_capacity(b * n);
    for start in 0..b {
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&i, &j| returns[start * k + j].total_cmp(&returns[start * k + i]));
        // Where there are fewer candidates than are kept, the best is kept again.
        rows.extend((0..n).map(|i| (start * k + order[if i < k { i } else { 0 }]) as u32));
    }
    let best = ops::take_rows(&plan.samples.flatten(0, 1)?, &rows)?;
    let objective = HStep { horizon: objective.horizon.min(keep.steps), ..objective };
    let from = each(s0, n)?;
    let rollout = objective.rollout(&from, Actions::Open(&best), &Noise::key(key))?;
    let h = objective.horizon;
    let gained = objective.score(&rollout)?.reshape((b, n))?;
    let end = objective.observed(&rollout, h)?;
    let cont = match &rollout.alive[h] {
        Some(alive) => alive.reshape((b, n))?,
        None => gained.ones_like()?,
    };
    Ok(vec![gained, end.reshape((b, ()))?, cont])
}
