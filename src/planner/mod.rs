//! Planners: action sequences that make the H-step objective large.
//!
//! A planner is given a [`Problem`] (an [`HStep`] with its dynamics, terminal and horizon, start
//! states, and where the search starts) and returns a [`Plan`]. It knows neither algorithm nor
//! environment. Each file has its update equation on top:
//!
//! * [`Mppi`]: weights `exp(R / lambda)`, with or without the importance ratio to a prior,
//! * [`MirrorDescent`]: M-DeMoRL's family of utilities, MPPI's among them,
//! * [`Cem`]: a Gaussian refitted to the elites,
//! * [`Gradient`]: ascent through the model.
//!
//! Start states do not see each other: planning many at once gives what planning them one by one
//! with their rows' noise gives.

mod cem;
mod gradient;
mod mirror_descent;
mod mppi;
mod population;
mod weights;

pub use cem::{Cem, CemConfig, SearchResult};
pub use gradient::{Ascent, Gradient, GradientConfig};
pub use mirror_descent::{EliteWeights, MirrorDescent, MirrorDescentConfig, Utility};
pub use mppi::{Mppi, MppiConfig, TemperatureKind};
pub(crate) use population::each;
pub use population::{MemberChoice, SamplesConfig};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::objective::{Actions, HStep, Noise, Normals};
use crate::policy::Policy;
use crate::rng::Key;
use crate::shape::{self, Spec};

/// Where the search for an action sequence starts.
#[derive(Clone, Copy)]
pub enum Base<'a> {
    /// Zero actions, the middle of their range.
    Zero,
    /// A sequence `[B,N,A]`, `N` the number of actions of a rollout.
    Open(&'a Tensor),
    /// The policy, at the states that a rollout really visits.
    Policy {
        /// The policy.
        policy: &'a dyn Policy,
        /// Its samples; its modes otherwise.
        sample: bool,
    },
}

/// What is planned.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The objective, with its own dynamics, terminal and horizon.
    pub objective: HStep<'a>,
    /// Start states `[B,S]`.
    pub s0: &'a Tensor,
    /// Where the search starts.
    pub base: Base<'a>,
}

/// What a planner found; `N` actions a sequence, `K` candidates a start state.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The planned actions `[B,N,A]`, within the limit. Around a policy, those of the noise-free
    /// rollout that follows the plan; the first action is exact either way.
    pub actions: Tensor,
    /// The mean of the search distribution `[B,N,A]`: actions, or what is added to the policy's.
    pub mean: Tensor,
    /// Whether [`Plan::mean`] is added to the policy's actions at the states visited.
    pub around_policy: bool,
    /// The noise of the policy that the plan goes around; zeros where that is its mode.
    pub policy_noise: Normals,
    /// Which member of the model stepped the candidates.
    pub members: MemberChoice,
    /// The limit that actions were clipped to.
    pub limit: f64,
    /// The last candidates' actions `[B,K,N,A]`, particles averaged.
    pub samples: Tensor,
    /// Their returns `J_H` `[B,K]`, particles averaged; minus infinity where not finite.
    pub returns: Tensor,
    /// Their weights `[B,K]`, which sum to 1.
    pub weights: Tensor,
    /// The log of the utility's mean over the candidates, `[B]`: for MPPI
    /// `log mean_k exp(R_k / lambda) p_k / q_k`, for elites the log of their share, else 0.
    pub log_normaliser: Tensor,
    /// What the plan is worth in units of reward, `[B]`: for exponential utilities `lambda` times
    /// the log-normaliser (the negative free energy), else the weighted mean of the returns.
    pub value: Tensor,
    /// Effective sample size `1 / sum_k w_k^2`, `[B]`, between 1 and K.
    pub effective_samples: Tensor,
    /// Model steps taken, one a row.
    pub model_steps: u64,
}

impl Plan {
    /// The plan as a source of actions for a rollout; `policy` is the one that was planned around.
    #[must_use]
    pub fn follow<'a>(&'a self, policy: &'a dyn Policy) -> Actions<'a> {
        match self.around_policy {
            true => Actions::Perturbed { policy, delta: &self.mean, limit: self.limit },
            false => Actions::Open(&self.actions),
        }
    }

    /// The noise of a rollout that follows the plan through the model, with the members chosen as for
    /// the candidates: row `i` is start state `i`, and `key` is fresh.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    pub fn noise(&self, key: Key) -> Result<Noise> {
        let fresh = SamplesConfig::noise_of_one(self.members, self.actions.dim(0)?, key);
        Ok(Noise { policy: self.policy_noise.clone(), ..fresh })
    }

    /// The first actions `[B,A]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    pub fn first(&self) -> Result<Tensor> {
        Ok(self.actions.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)
    }
}

/// Searches for action sequences.
pub trait Planner: Send + Sync {
    /// Its name and size, as the table of algorithms shows it.
    fn describe(&self) -> String;

    /// Checks its settings; keys in errors are below `section`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    fn validate(&self, section: &str) -> Result<()>;

    /// Plans from every start state. Row `i` of the start states reads the numbers of row `i` of
    /// `key`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range (below `planner`) or a plan without any action,
    /// [`Error::Shape`] for start states or a base that do not fit, [`Error::NonFinite`] when no
    /// candidate of a start state has a finite return.
    fn plan(&self, problem: &Problem, key: Key) -> Result<Plan>;
}

/// A plan moved one step ahead, `[B,N,A]`; the step that comes into view starts at zero, as in PETS's
/// code. (Repeating the last action would carry an action on its bound along: CEM's deviation there
/// is no more than half the distance to the bound, so such an action cannot come back.)
///
/// # Errors
/// [`Error::Shape`] for another number of dimensions, or no action.
pub fn shifted(mean: &Tensor) -> Result<Tensor> {
    let n = match mean.dims() {
        &[_, n, _] if n > 0 => n,
        dims => return Err(Error::shape("mean of a plan", "[B,N,A], N > 0", dims)),
    };
    let last = mean.narrow(1, n - 1, 1)?.zeros_like()?;
    Ok(Tensor::cat(&[&mean.narrow(1, 1, n - 1)?, &last], 1)?)
}

/// Rows that are rolled out at once: bounds the memory of many start states.
const BLOCK_ROWS: usize = 16_384;

impl<'a> Problem<'a> {
    /// `B`, `N`, `A` and the number type.
    pub(crate) fn sizes(&self) -> Result<(usize, usize, usize, Spec)> {
        let n = self.objective.decisions();
        if n == 0 {
            let problem = "a plan over no action at all: horizon 0 needs a Q terminal, which takes \
                           one action; set the horizon to 1 or more, or end in a Q";
            return Err(Error::config("horizon", problem));
        }
        let spec = match self.objective.dynamics {
            Some(dynamics) => dynamics.spec().clone(),
            None => {
                Spec { dtype: self.s0.dtype(), device: self.s0.device().clone(), ..Spec::f32() }
            }
        };
        let b = self.s0.dim(0)?;
        let a = match (self.objective.dynamics, self.base) {
            (Some(dynamics), _) => dynamics.action_dim(),
            (None, Base::Policy { policy, .. }) => policy.action_dim(),
            (None, Base::Open(base)) => base.dims().last().copied().unwrap_or(0),
            (None, Base::Zero) => {
                let problem = "without dynamics the length of an action is unknown: start from a \
                               sequence or a policy";
                return Err(Error::config("base", problem));
            }
        };
        if let Base::Open(base) = self.base {
            shape::exact(base, &[b, n, a], "base sequence of a plan")?;
        }
        Ok((b, n, a, spec))
    }

    /// Plans blocks of start states with `rows` rollouts each, and joins the plans.
    fn in_blocks(
        &self,
        rows: usize,
        key: Key,
        plan: impl Fn(&Problem, Key) -> Result<Plan>,
    ) -> Result<Plan> {
        let (b, ..) = self.sizes()?;
        let block = (BLOCK_ROWS / rows.max(1)).max(1);
        if b <= block {
            return plan(self, key);
        }
        let mut plans = Vec::new();
        for first in (0..b).step_by(block) {
            let n = block.min(b - first);
            let s0 = self.s0.narrow(0, first, n)?.contiguous()?;
            let open = match self.base {
                Base::Open(base) => Some(base.narrow(0, first, n)?.contiguous()?),
                _ => None,
            };
            let base = open.as_ref().map_or(self.base, Base::Open);
            let part = Problem { objective: self.objective, s0: &s0, base };
            plans.push(plan(&part, key.skip(first))?);
        }
        join(&plans)
    }
}

fn join(plans: &[Plan]) -> Result<Plan> {
    let cat = |pick: fn(&Plan) -> &Tensor| -> Result<Tensor> {
        Ok(Tensor::cat(&plans.iter().map(pick).collect::<Vec<_>>(), 0)?)
    };
    let Some(first) = plans.first() else { return Err(Error::config("plan", "no start states")) };
    Ok(Plan {
        actions: cat(|p| &p.actions)?,
        mean: cat(|p| &p.mean)?,
        samples: cat(|p| &p.samples)?,
        returns: cat(|p| &p.returns)?,
        weights: cat(|p| &p.weights)?,
        log_normaliser: cat(|p| &p.log_normaliser)?,
        value: cat(|p| &p.value)?,
        effective_samples: cat(|p| &p.effective_samples)?,
        model_steps: plans.iter().map(|p| p.model_steps).sum(),
        policy_noise: first.policy_noise.clone(),
        ..*first
    })
}
