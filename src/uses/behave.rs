//! Behave: which action to take in the environment.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Needs, PlanTerminal, horizon_label};
use crate::error::Result;
use crate::objective::{Cost, HStep};
use crate::parts::{ACTOR, MODEL, Parts};
use crate::planner::{Base, Planner, Problem, shifted};
use crate::rng::Key;
use crate::schedule::Schedule;
use crate::shape::Spec;

/// What a way of acting carries from step to step; a row belongs to a running episode.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The mean of the last plan `[B,N,A]`; `None` at the start of an episode.
    pub plan: Option<Tensor>,
}

impl Memory {
    /// Goes on with these episodes alone, in this order.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for a row that does not exist.
    pub fn keep(&mut self, rows: &[u32]) -> Result<()> {
        if let Some(plan) = &self.plan {
            let index = Tensor::from_slice(rows, rows.len(), plan.device())?;
            self.plan = Some(plan.index_select(&index, 0)?);
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

    /// Normalised actions for observations `[B,O]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn act(&self, parts: &Parts, obs: &Tensor, memory: &mut Memory, at: Moment) -> Result<Acted>;
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

    fn act(&self, parts: &Parts, obs: &Tensor, _: &mut Memory, at: Moment) -> Result<Acted> {
        let policy = parts.policy(ACTOR)?.frozen();
        if !at.explore {
            return Ok(Acted { action: policy.mode(obs)?, model_steps: 0 });
        }
        let spec = Spec { dtype: obs.dtype(), device: obs.device().clone(), ..Spec::f32() };
        let eps = at.key.normals(0, obs.dim(0)?, policy.action_dim(), 0, &spec)?;
        Ok(Acted { action: policy.sample(obs, &eps)?.action, model_steps: 0 })
    }
}

/// Where the search for an action starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            horizon: Schedule::Constant(30.0),
            gamma: 1.0,
            terminal: PlanTerminal::Zero,
            start: PlanStart::Previous,
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
        Needs { policy, model: true, ..self.config.terminal.needs() }
    }

    fn gamma(&self) -> Option<f64> {
        Some(self.config.gamma)
    }

    fn validate(&self) -> Result<()> {
        let lowest = if self.config.terminal == PlanTerminal::Q { 0.0 } else { 1.0 };
        self.config.horizon.validate("behave.horizon", lowest, 1000.0)?;
        crate::check::fraction("behave.gamma", self.config.gamma)?;
        self.planner.validate("planner")
    }

    fn act(&self, parts: &Parts, obs: &Tensor, memory: &mut Memory, at: Moment) -> Result<Acted> {
        let c = &self.config;
        let objective = HStep {
            dynamics: Some(parts.model(MODEL)?.dynamics()),
            terminal: c.terminal.of(parts)?,
            horizon: c.horizon.count_at(at.step),
            gamma: c.gamma,
            cost: Cost::NONE,
        };
        let policy = match c.start {
            PlanStart::Mode | PlanStart::Sample => Some(parts.policy(ACTOR)?.frozen()),
            PlanStart::Previous | PlanStart::Zero => None,
        };
        let previous = match (&c.start, &memory.plan) {
            (PlanStart::Previous, Some(plan)) => {
                Some(of_length(&shifted(plan)?, objective.decisions())?)
            }
            _ => None,
        };
        let base = match (&policy, &previous) {
            (Some(policy), _) => {
                Base::Policy { policy: policy.as_ref(), sample: c.start == PlanStart::Sample }
            }
            (None, Some(plan)) => Base::Open(plan),
            (None, None) => Base::Zero,
        };
        let plan = self.planner.plan(&Problem { objective, s0: obs, base }, at.key)?;
        let action = plan.first()?;
        memory.plan = (c.start == PlanStart::Previous).then_some(plan.mean);
        Ok(Acted { action, model_steps: plan.model_steps })
    }
}
