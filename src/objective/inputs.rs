//! What a rollout is given: terminal, cost, source of actions, noise.

use candle_core::Tensor;

use crate::dynamics::{Dynamics, Member, StepNoise};
use crate::error::{Error, Result};
use crate::ops;
use crate::policy::Policy;
use crate::rng::Key;
use crate::shape::{self, Spec};
use crate::value::{Critic, Value};

/// How the members of a critic ensemble become one number a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduce {
    /// The lowest member (clipped double Q).
    Min,
    /// The mean over members.
    Mean,
    /// One member.
    Member(usize),
    /// The lower of two members (REDQ's targets, with two drawn anew for every update).
    Pair(usize, usize),
    /// `(1/kappa) log mean_e exp(kappa q_e)`: between the mean, for kappa to 0, and the highest member
    /// (POLO, eq. 6, with the two constants that it leaves out).
    LogMeanExp(f64),
    /// `log sum_e exp(kappa q_e)`: POLO's eq. 6 as it is printed.
    LogSumExp(f64),
}

impl Reduce {
    /// `[E,B]` to `[B]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the member does not exist.
    pub fn apply(self, q: &Tensor) -> Result<Tensor> {
        let members = q.dim(0)?;
        let lower = |low: Tensor, other: Tensor| -> Result<Tensor> {
            // A NaN on either side must come through; it compares false with anything.
            let pick = low.gt(&other)?.maximum(&other.ne(&other)?)?;
            Ok(pick.where_cond(&other, &low)?)
        };
        let member = |e: usize| match e < members {
            true => Ok(q.get(e)?),
            false => Err(Error::shape("critic member", format!("an index below {members}"), e)),
        };
        match self {
            // max and min give a tie's gradient to both members; a `where` gives it to the first,
            // as torch's pairwise minimum of distinct numbers does.
            Reduce::Min => (1..members).try_fold(member(0)?, |low, e| lower(low, member(e)?)),
            Reduce::Mean => Ok(q.mean(0)?),
            Reduce::Member(e) => member(e),
            Reduce::Pair(a, b) => lower(member(a)?, member(b)?),
            Reduce::LogMeanExp(kappa) => {
                let most = q.max_keepdim(0)?.detach();
                let mean = (q.broadcast_sub(&most)? * kappa)?.exp()?.mean(0)?;
                Ok(((mean.log()? / kappa)? + most.squeeze(0)?)?)
            }
            Reduce::LogSumExp(kappa) => {
                let mean = Reduce::LogMeanExp(kappa).apply(q)?;
                Ok(mean.affine(kappa, (members as f64).ln())?)
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
    /// The members' `V_e(s_H)`, reduced to one number.
    Members {
        /// The state values.
        value: &'a dyn Value,
        /// How its members are reduced.
        reduce: Reduce,
    },
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Entropy {
    /// No step: plain rewards. `J_H` does not depend on H when V is the policy's plain value.
    None,
    /// The first action only (what MAAC's code does).
    First,
    /// Every action but the first: what a Q of the first state and action is worth (MVE's target).
    Rest,
    /// Every action, the one at `s_H` included where the terminal takes one. `J_H` does not depend
    /// on H when V is the policy's soft value.
    #[default]
    All,
}

impl Entropy {
    fn pays(self, t: usize) -> bool {
        match self {
            Entropy::None => false,
            Entropy::First => t == 0,
            Entropy::Rest => t > 0,
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

    /// Whether the action of step `t` pays.
    pub(super) fn pays(self, t: usize) -> bool {
        self.steps.pays(t) && self.coefficient != 0.0
    }

    /// Whether any action pays.
    pub(super) fn is_paid(self) -> bool {
        self.steps != Entropy::None && self.coefficient != 0.0
    }

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
    /// (MoPAC Algorithm 2; M-DeMoRL eq. 10-12). Without policy noise the base is the mode.
    Perturbed {
        /// The base policy.
        policy: &'a dyn Policy,
        /// What is added to its actions.
        delta: &'a Tensor,
        /// The sums are clipped to `[-limit, limit]`; 1 are the bounds of the actions.
        limit: f64,
    },
}

impl<'a> Actions<'a> {
    /// Whose actions they are, or are added to.
    pub(super) fn policy(self) -> Option<&'a dyn Policy> {
        match self {
            Actions::Policy(policy) | Actions::Perturbed { policy, .. } => Some(policy),
            Actions::Open(_) => None,
        }
    }

    /// What is given of them.
    pub(super) fn sequence(self) -> Option<&'a Tensor> {
        match self {
            Actions::Open(sequence) | Actions::Perturbed { delta: sequence, .. } => Some(sequence),
            Actions::Policy(_) => None,
        }
    }
}

/// The randomness of a rollout, fixed before it starts. The default is none: modes of policies,
/// means of models, the best member.
#[derive(Debug, Clone, Default)]
pub struct Noise {
    /// Of the policy: `[n,B,A]`, `n = H`, or `H +` the terminal's action samples.
    pub policy: Normals,
    /// Of the model: `[H,B,N]`, `N` the dynamics' noise width.
    pub model: Normals,
    /// Which member of the model takes a row's step.
    pub member: Members,
}

/// Standard normal numbers by (step, row).
#[derive(Debug, Clone, Default)]
pub enum Normals {
    /// Zeros.
    #[default]
    Zero,
    /// Explicit numbers, for small rollouts and tests.
    Tensor(Tensor),
    /// A function of (row, step): any size, nothing stored.
    Key(Key),
}

/// Which member of a model takes the steps of a row.
#[derive(Debug, Clone, Default)]
pub enum Members {
    /// The best one.
    #[default]
    Best,
    /// By uniform numbers in `[0,1)`, `[H,B]`.
    Tensor(Tensor),
    /// A fresh one every step (TS1 of PETS).
    Key(Key),
    /// One a row, kept for the whole rollout (STEVE's candidates; TSinf of PETS): a uniform number
    /// in `[0,1)` a row.
    Pinned(Vec<f64>),
    /// The mean over the members, without noise.
    Mean,
}

/// Which rows of a batch are rolled out together; noise is that of the batch.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// All of so many.
    All(usize),
    These(&'a [u32]),
}

impl Rows<'_> {
    pub fn len(self) -> usize {
        match self {
            Rows::All(b) => b,
            Rows::These(rows) => rows.len(),
        }
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|i| match self {
            Rows::All(_) => i,
            Rows::These(rows) => rows[i] as usize,
        })
    }

    /// These rows of `x` `[B,..]`.
    pub fn of(self, x: &Tensor) -> Result<Tensor> {
        let Rows::These(rows) = self else { return Ok(x.clone()) };
        ops::take_rows(x, rows)
    }
}

impl Normals {
    /// The numbers of step `t`, `[rows,width]`; `None` for zeros.
    fn at(&self, t: usize, rows: Rows, width: usize, spec: &Spec) -> Result<Option<Tensor>> {
        Ok(match (self, rows) {
            (Normals::Zero, _) => None,
            (Normals::Tensor(eps), _) => Some(rows.of(&eps.get(t)?)?),
            (Normals::Key(_), _) if width == 0 => None,
            (Normals::Key(key), Rows::All(b)) => Some(key.normals(0, b, width, t, spec)?),
            (Normals::Key(key), Rows::These(_)) => {
                let mut eps = vec![0f32; rows.len() * width];
                key.fill_rows(rows.indices(), width, t, &mut eps);
                let eps = Tensor::from_vec(eps, (rows.len(), width), &spec.device)?;
                Some(eps.to_dtype(spec.dtype)?)
            }
        })
    }

    /// Checks that there are numbers `[n,b,width]` of `steps` steps.
    fn check(&self, name: &str, steps: usize, b: usize, width: usize) -> Result<()> {
        match self {
            Normals::Tensor(eps) if steps > 0 => match *eps.dims() {
                [n, rows, w] if n >= steps && rows == b && w == width => Ok(()),
                ref dims => {
                    let expected = format!("[n >= {steps},{b},{width}]");
                    Err(Error::shape(format!("{name} noise"), expected, dims))
                }
            },
            _ => Ok(()),
        }
    }
}

impl Noise {
    /// Policy, model and members all by keys forked from `key`, a fresh member every step.
    #[must_use]
    pub fn key(key: Key) -> Self {
        Self {
            policy: Normals::Key(key.fork("policy")),
            model: Normals::Key(key.fork("model")),
            member: Members::Key(key.fork("member")),
        }
    }

    /// [`Noise::key`], but each row keeps one member: a number in `[0,1)` a row.
    #[must_use]
    pub fn pinned(key: Key, member: Vec<f64>) -> Self {
        Self { member: Members::Pinned(member), ..Self::key(key) }
    }

    /// Explicit numbers for the policy, `[n,B,A]`; the model is noise-free.
    #[must_use]
    pub fn of_policy(eps: Tensor) -> Self {
        Self { policy: Normals::Tensor(eps), ..Self::default() }
    }

    /// Checks that there are numbers for a rollout of `b` rows and so many model steps and draws of
    /// the policy.
    pub(super) fn check(
        &self,
        b: usize,
        (steps, draws): (usize, usize),
        dynamics: Option<&dyn Dynamics>,
        policy: Option<&dyn Policy>,
    ) -> Result<()> {
        if let Some(policy) = policy {
            self.policy.check("policy", draws, b, policy.action_dim())?;
        }
        let Some(dynamics) = dynamics.filter(|_| steps > 0) else { return Ok(()) };
        let (expected, got) = match &self.member {
            // The mean reads no numbers, and does not mind their shape.
            Members::Mean if dynamics.has_members() => return Ok(()),
            Members::Tensor(u) if dynamics.has_members() => {
                let fits = matches!(*u.dims(), [n, rows] if n >= steps && rows == b);
                (format!("[{steps},{b}]"), (!fits).then(|| u.dims().to_vec()))
            }
            Members::Pinned(u) if dynamics.has_members() => {
                (format!("[{b}]"), (u.len() != b).then(|| vec![u.len()]))
            }
            _ => (String::new(), None),
        };
        match got {
            Some(got) => Err(Error::shape("member noise", expected, got)),
            None => self.model.check("model", steps, b, dynamics.noise_dim()),
        }
    }

    /// The policy's numbers of draw `t`, `[rows,width]`.
    pub(super) fn policy(&self, t: usize, rows: Rows, width: usize, spec: &Spec) -> Result<Tensor> {
        match self.policy.at(t, rows, width, spec)? {
            Some(eps) => Ok(eps),
            None => spec.zeros((rows.len(), width)),
        }
    }

    /// What step `t` of these rows is given.
    pub(super) fn step(&self, t: usize, rows: Rows, dynamics: &dyn Dynamics) -> Result<StepNoise> {
        let of_member = if dynamics.keeps_members() { 0 } else { t };
        let member = match &self.member {
            _ if !dynamics.has_members() => Member::Best,
            Members::Best => Member::Best,
            Members::Mean => Member::Mean,
            Members::Tensor(u) => Member::Rows(shape::to_f64(&rows.of(&u.get(of_member)?)?)?),
            Members::Pinned(u) => Member::Rows(rows.indices().map(|row| u[row]).collect()),
            Members::Key(key) => {
                let mut u = vec![0.0; rows.len()];
                key.fill_uniforms(rows.indices(), of_member, &mut u);
                Member::Rows(u)
            }
        };
        let normal = match member {
            Member::Mean => None,
            _ => self.model.at(t, rows, dynamics.noise_dim(), dynamics.spec())?,
        };
        Ok(StepNoise { normal, member })
    }
}
