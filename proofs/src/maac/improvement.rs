//! Theorem 4.1: what a policy step on an erroneous gradient costs at most.

use crate::errors::policy_tv;
use crate::mdp::{Kernel, Mdp, Policy};
use crate::number::{Number, power};
use crate::problem::worst_loss;
use crate::reading::RewardRange;
use hstep::Result;

/// Theorem 4.1, for the policies `pi` and `pi^` that a step on the exact and on the approximate gradient
/// leads to.
///
/// ```text
/// J(pi^) >= J(pi) - 2 alpha r_max / (1 - g)  *  alpha c_3 (c_1 eps_f + c_2 eps_Q)
/// ```
///
/// False for the returns of the paper, which are not divided by `1/(1 - g)`: with `tv` for the bound
/// `alpha c_3 (..)` of the total variation (Lemma 4.2), the performance difference lemma (Kakade and
/// Langford 2002) gives
///
/// ```text
/// J(pi^) >= J(pi) - R tv / (1 - g)^2,     R = max r - min r <= 2 r_max
/// ```
///
/// and no smaller constant will do. One `alpha` is in `tv`; the proof has no second, so that for small
/// steps the printed form falls short by any factor.
///
/// ---
///
#[doc = include_str!("../../09-maac-theorem-4.1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Improvement<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// The step size.
    pub alpha: T,
    /// `max_s TV(pi(.|s), pi^(.|s))`, or a bound of it.
    pub tv: T,
    /// `r_max` of the printed form.
    pub r_max: T,
    /// `R = max r - min r`.
    pub span: T,
}

impl<T: Number> Improvement<T> {
    /// What is subtracted in the printed form.
    #[must_use]
    pub fn printed(&self) -> T {
        let factor = T::ratio(2, 1) * &self.alpha * &self.r_max / (T::one() - &self.gamma);
        factor * &self.tv
    }

    /// What must be subtracted.
    #[must_use]
    pub fn corrected(&self) -> T {
        self.span.clone() * &self.tv / power(&(T::one() - &self.gamma), 2)
    }
}

/// Two policies in a process.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<T> {
    /// The process.
    pub mdp: Mdp<T>,
    /// `pi`, after the exact step.
    pub exact: Policy<T>,
    /// `pi^`, after the approximate one.
    pub approximate: Policy<T>,
    /// The step size.
    pub alpha: T,
}

impl<T: Number> Step<T> {
    /// `max_s V^pi(s) - V^pi^(s)` and the first state where it is.
    #[must_use]
    pub fn gap(&self) -> (T, usize) {
        let value = |policy: &Policy<T>| self.mdp.evaluate_policy(self.mdp.transition(), policy);
        worst_loss(&value(&self.exact), &value(&self.approximate))
    }

    /// The constants, with the total variation itself in the place of its bound.
    #[must_use]
    pub fn theorem(&self, range: RewardRange) -> Improvement<T> {
        Improvement {
            gamma: self.mdp.gamma().clone(),
            alpha: self.alpha.clone(),
            tv: policy_tv(&self.exact, &self.approximate),
            r_max: range.of(&self.mdp),
            span: self.mdp.reward_span(),
        }
    }
}

/// Two states, two actions, the second of which leads from state 0 to state 1 for good; `pi` takes it
/// with probability `tv`, `pi^` never.
fn two_states<T: Number>(gamma: T, tv: &T, reward: &[Vec<T>], alpha: T) -> Result<Step<T>> {
    let mdp = Mdp::new(gamma, reward, Kernel::deterministic(&[vec![0, 1], vec![1, 1]])?)?;
    let (zero, one) = (T::zero, T::one);
    let exact = [vec![one() - tv, tv.clone()], vec![zero(), one()]];
    let approximate = [vec![one(), zero()], vec![zero(), one()]];
    Ok(Step {
        mdp,
        exact: Policy::new("exact", &exact, 2)?,
        approximate: Policy::new("approximate", &approximate, 2)?,
        alpha,
    })
}

/// State 1 pays 1, state 0 nothing: the loss is `g tv / ((1 - g) (1 - g + g tv))`.
///
/// # Errors
/// [`hstep::Error::Config`] for numbers that are no probability or no discount.
pub fn drifting<T: Number>(gamma: T, tv: &T, alpha: T) -> Result<Step<T>> {
    two_states(gamma, tv, &[vec![T::zero(); 2], vec![T::one(); 2]], alpha)
}

/// Leaving state 0 pays too: the loss is `tv / ((1 - g) (1 - g + g tv))`, which for small `tv` attains the
/// corrected form.
///
/// # Errors
/// As [`drifting`].
pub fn bad_habit<T: Number>(gamma: T, tv: &T, alpha: T) -> Result<Step<T>> {
    two_states(gamma, tv, &[vec![T::zero(), T::one()], vec![T::one(); 2]], alpha)
}
