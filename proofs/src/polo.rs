//! POLO (Lowrey, Rajeswaran, Kakade, Todorov, Mordatch, "Plan Online, Learn Offline", ICLR 2019):
//! Lemmas 1 and 2.

use super::number::{Number, power};
use super::reading::Play;

/// Lemma 1, eq. (2): the loss of the policy that is greedy with respect to `V^`.
///
/// ```text
/// J(pi*) - J(greedy) = Theta(g eps / (1 - g))    in the worst case
/// ```
///
/// True as an order. A constant is not given; 1 is too small and 2 is right and cannot be improved
/// (Bertsekas and Tsitsiklis, *Neuro-Dynamic Programming*, 1996, section 6.1). `eps = max_s |V^ - V*|`
/// has the unit of the reward.
///
/// ---
///
#[doc = include_str!("../03-polo-lemma-1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Lemma1<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// `max_s |V^(s) - V*(s)|`.
    pub eps_v: T,
}

impl<T: Number> Lemma1<T> {
    /// `g eps / (1 - g)`: the order, with constant one.
    #[must_use]
    pub fn printed(&self) -> T {
        self.gamma.clone() * &self.eps_v / (T::one() - &self.gamma)
    }

    /// `2 g eps / (1 - g)`.
    #[must_use]
    pub fn corrected(&self) -> T {
        T::ratio(2, 1) * self.printed()
    }
}

/// Lemma 2, eq. (4): the loss of H-step MPC with the true dynamics and `V^` at the end.
///
/// ```text
/// J(pi*) - J(pi_MPC) <= 2 g^H eps / (1 - g^H)
/// ```
///
/// The paper's MPC (eq. 3) plans anew at every step; for it the lemma is false whenever `H >= 2`, and
/// `2 g^H eps / (1 - g)` is right and tight. It is true, and tight, when the H-step feedback plan is
/// run to its end before the next is made. With chance in the dynamics the plan must be a feedback
/// plan, as the paper's remark says: for action sequences neither form holds.
///
/// ---
///
#[doc = include_str!("../04-polo-lemma-2.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Lemma2<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// The horizon, at least 1.
    pub horizon: usize,
    /// `max_s |V^(s) - V*(s)|`.
    pub eps_v: T,
    /// How plans are played.
    pub play: Play,
}

impl<T: Number> Lemma2<T> {
    /// Eq. (4).
    #[must_use]
    pub fn printed(&self) -> T {
        self.with_denominator(T::one() - power(&self.gamma, self.horizon))
    }

    /// What holds.
    #[must_use]
    pub fn corrected(&self) -> T {
        match self.play {
            Play::Receding => self.with_denominator(T::one() - &self.gamma),
            Play::Executed => self.printed(),
        }
    }

    fn with_denominator(&self, denominator: T) -> T {
        T::ratio(2, 1) * power(&self.gamma, self.horizon) * &self.eps_v / denominator
    }
}
