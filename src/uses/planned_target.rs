//! Targets that are plans: no policy is needed.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::behave::KEPT;
use super::target::backup;
use super::{Ask, Goals, Needs, Target, horizon_label};
use crate::error::{Error, Result};
use crate::objective::{Cost, HStep, Reduce, Terminal};
use crate::parts::{CRITIC, MODEL, VALUE};
use crate::planner::{Base, Planner, Problem};

/// Settings of [`FreeEnergy`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreeEnergyConfig {
    /// Model steps of the plans; 0 plans one action on the critic alone.
    pub horizon: usize,
    /// Iterations of the planner; `None` is as many as it acts with. 3: paper (MPQ, appendix B).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
}

/// The negative free energy of a plan from the next state (MPQ, eq. 17; rewards for costs):
///
/// ```text
/// y = r + gamma cont lambda log mean_k exp(R_k / lambda) p_k / q_k
/// ```
///
/// with the returns `R_k` of the plan's last candidates, which end in the target critic. It has no
/// policy: where there is no model either, it is soft Q-learning with one sampled action.
pub struct FreeEnergy {
    /// Settings.
    pub config: FreeEnergyConfig,
    /// The planner.
    pub planner: Box<dyn Planner>,
}

impl Target for FreeEnergy {
    fn describe(&self) -> String {
        let label = horizon_label(self.config.horizon, "target Q");
        format!("free energy of {}, {label}", self.planner.describe())
    }

    fn needs(&self) -> Needs {
        Needs { critic: true, model: self.config.horizon > 0, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        self.planner.validate("planner")
    }

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, batch, key, .. } = *ask;
        let horizon = self.config.horizon;
        let dynamics = match horizon {
            0 => None,
            _ => Some(parts.model(MODEL)?.dynamics()),
        };
        let objective = HStep {
            dynamics,
            terminal: Terminal::min_q(parts.critic(CRITIC)?.target()),
            horizon,
            gamma: parts.gamma,
            cost: Cost::NONE,
        };
        let next = batch.next();
        let s0 = next.rolled(dynamics.is_some());
        let still = parts.still(s0, objective.decisions())?;
        let problem = Problem { objective, s0, base: Base::Open(&still) };
        let plan = self.planner.plan(&problem, key)?;
        let y = backup(batch, parts.gamma, &plan.value)?;
        Ok(Goals::of(batch, y, plan.model_steps))
    }
}

/// The best of the rollouts that were planned with, each member of V at their ends (POLO, eq. 7):
/// `y_e = max_k (R_k + gamma^N cont_k V_e(s_N,k))`, `[E,B]`. The rollouts are those kept when the state
/// was acted in (`behave.keep`); their ends are valued anew.
#[derive(Debug, Clone, Copy)]
pub struct BestKept {
    /// Model steps N of a rollout.
    pub steps: usize,
    /// Discount within a rollout.
    pub gamma: f64,
}

impl Target for BestKept {
    fn describe(&self) -> String {
        format!("the best kept rollout, {}", horizon_label(self.steps, "each V"))
    }

    fn needs(&self) -> Needs {
        Needs { value: true, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, batch, .. } = *ask;
        let missing = || {
            let problem = "no rollouts are stored with the transitions: set `behave.keep`";
            Error::config("behave.keep", problem)
        };
        let column = |i: usize| batch.own.get(KEPT[i]).ok_or_else(missing);
        let (gained, cont) = (column(0)?, column(2)?);
        let (b, k) = gained.dims2()?;
        let end = column(1)?.reshape((b * k, ()))?;
        let value = parts.value(VALUE)?.target();
        let v = value.values(&end)?.reshape((value.members(), b, k))?;
        let living = cont.ne(0.0)?.broadcast_as(v.shape())?.where_cond(&v, &v.zeros_like()?)?;
        let discount = self.gamma.powi(self.steps as i32);
        let y = (living * discount)?.broadcast_add(gained)?.max(2)?.detach();
        Ok(Goals::of(batch, y, 0))
    }
}

/// Settings of [`Replanned`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplannedConfig {
    /// Model steps N of the plans.
    pub horizon: usize,
    /// Discount within them.
    pub gamma: f64,
}

impl Default for ReplannedConfig {
    fn default() -> Self {
        Self { horizon: 64, gamma: 0.99 }
    }
}

/// POLO's eq. 7 to the letter: every member of V has a plan of its own from the stored state, and the best
/// rollout of its last candidates is its target, `[E,B]`.
pub struct Replanned {
    /// Settings.
    pub config: ReplannedConfig,
    /// The planner.
    pub planner: Box<dyn Planner>,
}

impl Target for Replanned {
    fn describe(&self) -> String {
        let label = horizon_label(self.config.horizon, "each V");
        format!("{} a member, {label}", self.planner.describe())
    }

    fn needs(&self) -> Needs {
        Needs { value: true, model: true, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        crate::check::at_least("target.horizon", self.config.horizon, 1)?;
        crate::check::fraction("target.gamma", self.config.gamma)?;
        self.planner.validate("planner")
    }

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, batch, key, .. } = *ask;
        let value = parts.value(VALUE)?.target();
        let start = batch.start();
        let (mut all, mut model_steps) = (Vec::with_capacity(value.members()), 0);
        for member in 0..value.members() {
            let objective = HStep {
                dynamics: Some(parts.model(MODEL)?.dynamics()),
                terminal: Terminal::Members { value, reduce: Reduce::Member(member) },
                horizon: self.config.horizon,
                gamma: self.config.gamma,
                cost: Cost::NONE,
            };
            let problem = Problem { objective, s0: &start.state, base: Base::Zero };
            let plan = self.planner.plan(&problem, key.fork(&member.to_string()))?;
            model_steps += plan.model_steps;
            all.push(plan.returns.max(1)?);
        }
        Ok(Goals::of(batch, Tensor::stack(&all, 0)?.detach(), model_steps))
    }
}
