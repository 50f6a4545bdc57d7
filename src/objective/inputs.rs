//! What a rollout is given: terminal, cost, source of actions, noise.

use candle_core::Tensor;

use crate::dynamics::{Dynamics, StepNoise};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::rng::Key;
use crate::shape::{self, Spec};
use crate::value::{Critic, Value};

/// How the members of a critic ensemble become one number a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// The lowest member (clipped double Q).
    Min,
    /// The mean over members.
    Mean,
    /// One member.
    Member(usize),
}

impl Reduce {
    /// `[E,B]` to `[B]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the member does not exist.
    pub fn apply(self, q: &Tensor) -> Result<Tensor> {
        let members = q.dim(0)?;
        match self {
            // max and min give a tie's gradient to both members; a `where` gives it to the first,
            // as torch's pairwise minimum of distinct numbers does.
            Reduce::Min => {
                let mut low = q.get(0)?;
                for e in 1..members {
                    let other = q.get(e)?;
                    // A NaN on either side must come through; it compares false with anything.
                    let pick = low.gt(&other)?.maximum(&other.ne(&other)?)?;
                    low = pick.where_cond(&other, &low)?;
                }
                Ok(low)
            }
            Reduce::Mean => Ok(q.mean(0)?),
            Reduce::Member(e) if e < members => Ok(q.get(e)?),
            Reduce::Member(e) => {
                Err(Error::shape("critic member", format!("an index below {members}"), e))
            }
        }
    }
}

/// What the state at the horizon is worth.
#[derive(Clone, Copy)]
pub enum Terminal<'a> {
    /// Nothing.
    Zero,
    /// `V(s_H)`. A soft value contains the entropy of the action at `s_H` already.
    State(&'a dyn Value),
    /// `Q(s_H, a_H)` at one more action of the same source.
    Action {
        /// The action values.
        critic: &'a dyn Critic,
        /// How its members are reduced.
        reduce: Reduce,
        /// Actions drawn at `s_H`; `Q` is averaged over them before it is reduced.
        samples: usize,
    },
}

impl<'a> Terminal<'a> {
    /// `min_e Q_e(s_H, a_H)` at one action: SAC's terminal.
    #[must_use]
    pub fn min_q(critic: &'a dyn Critic) -> Self {
        Terminal::Action { critic, reduce: Reduce::Min, samples: 1 }
    }

    pub(super) fn needs_action(&self) -> bool {
        matches!(self, Terminal::Action { .. })
    }
}

/// Which of the H+1 steps pay the per-step cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entropy {
    /// No step: plain rewards. `J_H` does not depend on H when V is the policy's plain value.
    None,
    /// The first action only (what MAAC's code does).
    First,
    /// Every action, the one at `s_H` included where the terminal takes one. `J_H` does not depend
    /// on H when V is the policy's soft value.
    #[default]
    All,
}

impl Entropy {
    pub(super) fn pays(self, t: usize) -> bool {
        match self {
            Entropy::None => false,
            Entropy::First => t == 0,
            Entropy::All => true,
        }
    }
}

/// The per-step cost `alpha (log pi - log pi_0)`.
#[derive(Clone, Copy)]
pub struct Cost<'a> {
    /// Which steps pay.
    pub steps: Entropy,
    /// `alpha` of SAC, `lambda` of MPQ: reward units a nat.
    pub coefficient: f64,
    /// The prior `pi_0`; `None` is the uniform one, whose log is a constant left out.
    pub prior: Option<&'a dyn Policy>,
}

impl Cost<'_> {
    /// No cost at all.
    pub const NONE: Cost<'static> = Cost { steps: Entropy::None, coefficient: 0.0, prior: None };

    /// SAC's entropy bonus with temperature `alpha`.
    #[must_use]
    pub fn entropy(steps: Entropy, alpha: f64) -> Cost<'static> {
        Cost { steps, coefficient: alpha, prior: None }
    }
}

/// Where the actions of a rollout come from.
#[derive(Clone, Copy)]
pub enum Actions<'a> {
    /// `a_t ~ pi(s_t)`, reparameterised.
    Policy(&'a dyn Policy),
    /// A given sequence `[B,n,A]` with `n = H`, or `n = H + 1` where the terminal takes an action.
    Open(&'a Tensor),
    /// `clip(pi(s_t) + delta_t)` at the states really visited, `delta` `[B,n,A]` as in `Open`
    /// (MoPAC Algorithm 2; M-DeMoRL eq. 10-12). With noise-free policy noise the base is the mode.
    Perturbed {
        /// The base policy.
        policy: &'a dyn Policy,
        /// What is added to its actions.
        delta: &'a Tensor,
    },
}

/// The randomness of a rollout, fixed before it starts.
#[derive(Debug, Clone)]
pub enum Noise {
    /// None: modes of policies, means of models, the first member.
    Zero,
    /// Explicit numbers, for small rollouts and tests. Absent parts are noise-free.
    Tensors {
        /// `[n,B,A]`, `n = H`, or `H +` the terminal's action samples.
        policy: Option<Tensor>,
        /// `[H,B,N]`, `N` the dynamics' noise width.
        model: Option<Tensor>,
        /// `[H,B]`, uniform in `[0,1)`.
        member: Option<Tensor>,
    },
    /// A function of (row, step): any size, nothing stored.
    Key(Key),
    /// The same, but every row keeps one model member for the whole rollout (STEVE's candidates;
    /// TSinf of PETS): a number in `[0,1)` a row.
    Pinned {
        /// Policy and model noise.
        key: Key,
        /// Which member, a row.
        member: Vec<f64>,
    },
}

impl Noise {
    pub(super) fn policy(&self, t: usize, b: usize, a: usize, spec: &Spec) -> Result<Tensor> {
        match self {
            Noise::Tensors { policy: Some(eps), .. } => {
                let have = eps.dims();
                if have.len() != 3 || have[0] <= t || have[1] != b || have[2] != a {
                    let expected = format!("[n > {t},{b},{a}]");
                    return Err(Error::shape("policy noise", expected, have));
                }
                Ok(eps.get(t)?)
            }
            Noise::Key(key) | Noise::Pinned { key, .. } => {
                key.fork("policy").normals(0, b, a, t, spec)
            }
            _ => spec.zeros((b, a)),
        }
    }

    pub(super) fn step(&self, t: usize, b: usize, dynamics: &dyn Dynamics) -> Result<StepNoise> {
        match self {
            Noise::Zero => Ok(StepNoise::default()),
            Noise::Tensors { model, member, .. } => {
                let width = dynamics.noise_dim();
                let normal = match model {
                    Some(eps) if eps.dims().len() == 3 && eps.dims()[1..] == [b, width] => {
                        Some(eps.get(t)?)
                    }
                    Some(eps) => {
                        let expected = format!("[H,{b},{width}]");
                        return Err(Error::shape("model noise", expected, eps.dims()));
                    }
                    None => None,
                };
                let member = match member {
                    Some(u) => Some(shape::to_f64(&u.get(t)?)?),
                    None => None,
                };
                Ok(StepNoise { normal, member })
            }
            Noise::Key(key) | Noise::Pinned { key, .. } => {
                let width = dynamics.noise_dim();
                let normal = match width {
                    0 => None,
                    _ => Some(key.fork("model").normals(0, b, width, t, dynamics.spec())?),
                };
                let member = match self {
                    Noise::Pinned { member, .. } => Some(member.clone()),
                    _ => dynamics.has_members().then(|| {
                        let key = key.fork("member");
                        (0..b).map(|row| key.uniform(row, t)).collect()
                    }),
                };
                Ok(StepNoise { normal, member })
            }
        }
    }
}
