//! MoPAC (Morgan, Nandha, Chalvatzaki, D'Eramo, Dollar, Peters, "Model Predictive Actor-Critic",
//! ICRA 2021): Theorem 1 and Lemma 2.

use super::errors::{l1, policy_tv};
use super::mdp::Policy;
use super::number::{Number, dot, power};
use super::problem::{Problem, worst_loss};
use super::reading::{Norm, Play, Reading};
use hstep::{Error, Result};

/// Theorem 1, eq. (2) and (3): the loss of H-step MPC in a learned model with a learned value.
///
/// As printed, with `eps_f = |f^(s,a) - f*(s,a)|`, which is read as the largest distance of the
/// transition distributions:
///
/// ```text
/// J(pi*) - J(pi_MPC) <= 2 g^H eps_V / (1 - g^H) + r_max (1 - g^H) / (1 - g) eps_f        (2)
///                    <= r_max eps_f / (1 - g)                              for H -> inf  (3)
/// ```
///
/// Both are false in total variation and in L1, for either way of playing. What holds, for every
/// start state and every `H >= 1`:
///
/// ```text
/// receding   2 g^H eps_V / (1 - g)   + 2 g eps_TV R / (1 - g)^2
/// executed   2 g^H eps_V / (1 - g^H) + 2 g eps_TV R / (1 - g)^2
/// ```
///
/// Assumptions: a finite process, rewards known and within an interval of length `R`, plans that are
/// optimal in the model. Values have the unit of the reward. Any tie in a plan may go either way.
///
/// ---
///
#[doc = include_str!("../01-mopac-theorem-1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Theorem1<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// The horizon, at least 1.
    pub horizon: usize,
    /// `max_{s,a}` of the distance of model and truth, in `norm`.
    pub eps_f: T,
    /// `max_s |V^(s) - V*(s)|`.
    pub eps_v: T,
    /// `r_max` of the printed form.
    pub r_max: T,
    /// `R = max r - min r`.
    pub span: T,
    /// The norm of `eps_f`.
    pub norm: Norm,
    /// How plans are played.
    pub play: Play,
}

impl<T: Number> Theorem1<T> {
    /// The constants of a problem.
    #[must_use]
    pub fn of(problem: &Problem<T>, horizon: usize, reading: &Reading) -> Self {
        Self {
            gamma: problem.mdp.gamma().clone(),
            horizon,
            eps_f: reading.norm.error(&problem.model, problem.mdp.transition()),
            eps_v: problem.eps_v(),
            r_max: reading.range.of(&problem.mdp),
            span: problem.mdp.reward_span(),
            norm: reading.norm,
            play: reading.play,
        }
    }

    /// Eq. (2).
    #[must_use]
    pub fn printed(&self) -> T {
        let (one, two, gamma_h) = (T::one(), T::ratio(2, 1), power(&self.gamma, self.horizon));
        let value = two * &gamma_h * &self.eps_v / (one.clone() - &gamma_h);
        let model =
            self.r_max.clone() * (one.clone() - gamma_h) / (one - &self.gamma) * &self.eps_f;
        value + model
    }

    /// Eq. (3), the limit of long horizons.
    #[must_use]
    pub fn printed_limit(&self) -> T {
        self.r_max.clone() * &self.eps_f / (T::one() - &self.gamma)
    }

    /// What holds.
    #[must_use]
    pub fn corrected(&self) -> T {
        let (two, gamma_h) = (T::ratio(2, 1), power(&self.gamma, self.horizon));
        let left = T::one() - &self.gamma;
        let again = match self.play {
            Play::Receding => left.clone(),
            Play::Executed => T::one() - &gamma_h,
        };
        let value = two.clone() * gamma_h * &self.eps_v / again;
        let eps_tv = self.norm.to_tv(&self.eps_f);
        value + two * &self.gamma * eps_tv * &self.span / (left.clone() * left)
    }
}

/// Lemma 2, eq. (4): what a policy loses between model and truth, after Janner, Fu, Zhang and Levine
/// ("When to Trust Your Model", NeurIPS 2019, Theorem 4.1).
///
/// ```text
/// J(pi) - J^(pi) >= -[ 2 g r_max (eps_f + 2 eps_pi) / (1 - g^2) + 4 r_max eps_pi / (1 - g) ]
/// ```
///
/// is false as printed. With `(1 - g)^2`, as in the source, it is right; with the span `R <= 2 r_max`
/// of the rewards it reads
///
/// ```text
/// J(pi) - J^(pi) >= -[ g R (eps_TV + 2 eps_pi) / (1 - g)^2 + 2 R eps_pi / (1 - g) ]
/// ```
///
/// `eps_pi = max_s TV(pi, pi_D)` for the policy `pi_D` that the data come from. `eps_TV` may be the
/// maximum over states and actions, or the average that `pi_D` meets ([`Pair::met_error`]), which the
/// maximum over time of the source is never below.
///
/// ---
///
#[doc = include_str!("../02-mopac-lemma-2.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Lemma2<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// The model error, in `norm`.
    pub eps_f: T,
    /// The distance of the policies, in `norm`.
    pub eps_pi: T,
    /// `r_max` of the printed form.
    pub r_max: T,
    /// `R = max r - min r`.
    pub span: T,
    /// The norm of the errors.
    pub norm: Norm,
}

impl<T: Number> Lemma2<T> {
    /// The bracket of eq. (4).
    #[must_use]
    pub fn printed(&self) -> T {
        let (one, two) = (T::one(), T::ratio(2, 1));
        let errors = self.eps_f.clone() + two.clone() * &self.eps_pi;
        let squared = one.clone() - power(&self.gamma, 2);
        two.clone() * &self.gamma * &self.r_max * errors / squared
            + two.clone() * two * &self.r_max * &self.eps_pi / (one - &self.gamma)
    }

    /// What holds.
    #[must_use]
    pub fn corrected(&self) -> T {
        let (two, left) = (T::ratio(2, 1), T::one() - &self.gamma);
        let (eps_f, eps_pi) = (self.norm.to_tv(&self.eps_f), self.norm.to_tv(&self.eps_pi));
        let errors = eps_f + two.clone() * &eps_pi;
        self.gamma.clone() * &self.span * errors / power(&left, 2)
            + two * &self.span * eps_pi / left
    }
}

/// A policy, the policy that the data came from, and a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair<T> {
    /// Truth and model; the value is not used.
    pub problem: Problem<T>,
    /// `pi`.
    pub policy: Policy<T>,
    /// `pi_D`.
    pub data: Policy<T>,
}

impl<T: Number> Pair<T> {
    /// A pair of policies that fits the problem.
    ///
    /// # Errors
    /// [`Error::Config`] when a policy has another shape.
    pub fn new(problem: Problem<T>, policy: Policy<T>, data: Policy<T>) -> Result<Self> {
        for (name, policy) in [("policy", &policy), ("data_policy", &data)] {
            if policy.states() != problem.mdp.states() {
                let (states, got) = (problem.mdp.states(), policy.states());
                let problem = format!("expected {states} states, got {got}");
                return Err(Error::config(name, problem));
            }
        }
        Ok(Self { problem, policy, data })
    }

    /// `J^(pi) - J(pi)` `[S]`, by start state.
    #[must_use]
    pub fn gaps(&self) -> Vec<T> {
        let mdp = &self.problem.mdp;
        let truth = mdp.evaluate_policy(mdp.transition(), &self.policy);
        let model = mdp.evaluate_policy(&self.problem.model, &self.policy);
        model.into_iter().zip(truth).map(|(m, t)| m - t).collect()
    }

    /// `max_s J^(pi) - J(pi)` and the first state where it is.
    #[must_use]
    pub fn gap(&self) -> (T, usize) {
        let zero = vec![T::zero(); self.problem.mdp.states()];
        worst_loss(&self.gaps(), &zero)
    }

    /// The constants with the largest model error over states and actions.
    #[must_use]
    pub fn lemma(&self, reading: &Reading) -> Lemma2<T> {
        let mdp = &self.problem.mdp;
        let tv = policy_tv(&self.policy, &self.data);
        Lemma2 {
            gamma: mdp.gamma().clone(),
            eps_f: reading.norm.error(&self.problem.model, mdp.transition()),
            eps_pi: match reading.norm {
                Norm::Tv => tv,
                Norm::L1 => tv * T::ratio(2, 1),
            },
            r_max: reading.range.of(mdp),
            span: mdp.reward_span(),
            norm: reading.norm,
        }
    }

    /// The model error in total variation that the data policy meets from each start state `[S]`:
    /// `(1 - g) sum_t g^t E_{pi_D}[TV(s_t, a_t)]`. The proof of the source needs no more.
    #[must_use]
    pub fn met_error(&self) -> Vec<T> {
        let (mdp, model) = (&self.problem.mdp, &self.problem.model);
        let truth = mdp.transition();
        let distance = |s: usize| -> Vec<T> {
            (0..mdp.actions()).map(|a| l1(model.row(s, a), truth.row(s, a))).collect()
        };
        let here = |s: usize| dot(self.data.row(s), &distance(s)) / T::ratio(2, 1);
        let errors = (0..mdp.states()).map(here).collect();
        let sums = mdp.discounted(&truth.chain(&self.data), errors);
        sums.into_iter().map(|e| e * (T::one() - mdp.gamma())).collect()
    }
}
