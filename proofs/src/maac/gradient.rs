//! Lemma 4.1: the error of the gradient of `J_H` through an erroneous model and Q.

use crate::number::{Number, geometric, power};
use hstep::{Error, Result};

/// What is known of step `t` of a rollout. Norms of matrices are spectral, or any consistent ones;
/// `x = (s, a)`; a hat is the model's; `grad` is in the policy's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<T> {
    /// `|f^(x^_t) - f(x^_t)|`: the one-step error of the model where it goes.
    pub value_error: T,
    /// `|d_s f^(x^_t) - d_s f(x_t)|`.
    pub state_slope_error: T,
    /// `|d_a f^(x^_t) - d_a f(x_t)|`.
    pub action_slope_error: T,
    /// `|grad s^_t|`.
    pub state_gradient: T,
    /// `|grad a^_t|`.
    pub action_gradient: T,
    /// `|d_s r(s_t)|`, at the true state.
    pub reward_slope: T,
}

/// What the corrected Lemma 4.1 needs, for one start state. It holds for dynamics without chance, or
/// with one and the same noise in model and truth; for an expectation take the mean of the bounds.
///
/// ---
///
#[doc = include_str!("../../07-maac-lemma-4.1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Constants<T> {
    /// The discount.
    pub gamma: T,
    /// Lipschitz constant of `f` in the state.
    pub lipschitz_state: T,
    /// Lipschitz constant of `f` in the action.
    pub lipschitz_action: T,
    /// `L_pi`, of the policy in the state.
    pub lipschitz_policy: T,
    /// Lipschitz constant, in the state, of the policy's derivative in its parameters.
    pub smooth_parameters: T,
    /// Lipschitz constant, in the state, of the policy's derivative in the state.
    pub smooth_policy: T,
    /// Lipschitz constant of the reward's derivative.
    pub smooth_reward: T,
    /// Steps `0, .., H-1`.
    pub steps: Vec<Step<T>>,
    /// `|grad s^_H|`.
    pub last_state_gradient: T,
    /// `|grad s_H|` and `|grad a_H|`, of the truth.
    pub last_gradients: (T, T),
    /// `|d_s Q^(x^_H)|` and `|d_a Q^(x^_H)|`.
    pub q_slopes: (T, T),
    /// `|d_s Q^(x^_H) - d_s Q(x_H)|` and the same in the action.
    pub q_slope_errors: (T, T),
}

/// The bound, and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientBound<T> {
    /// Bounds of `e_t = |s^_t - s_t|`, `t = 0, .., H`.
    pub state_errors: Vec<T>,
    /// Bounds of `D_t = |grad s^_t - grad s_t|`, `t = 0, .., H`.
    pub gradient_errors: Vec<T>,
    /// The share of the rewards.
    pub rewards: T,
    /// The share of the terminal Q.
    pub terminal: T,
}

impl<T: Number> GradientBound<T> {
    /// The bound of `|grad J_H - grad J^_H|`.
    #[must_use]
    pub fn total(&self) -> T {
        self.rewards.clone() + &self.terminal
    }
}

impl<T: Number> Constants<T> {
    /// Lemma 4.1, corrected:
    ///
    /// ```text
    /// e_0 = D_0 = 0
    /// e_{t+1} <= v_t + (l_s + l_a L_pi) e_t
    /// A_t      = (m_theta + m_pi |grad s^_t|) e_t + L_pi D_t             >= |grad a^_t - grad a_t|
    /// D_{t+1} <= d^s_t |grad s^_t| + d^a_t |grad a^_t| + l_s D_t + l_a A_t
    /// |grad J - grad J^| <= sum_{t<H} g^t ( |r'(s_t)| D_t + m_r e_t |grad s^_t| )
    ///   + g^H ( dQ_s |grad s_H| + dQ_a |grad a_H| + |d_s Q^| D_H + |d_a Q^| A_H )
    /// ```
    ///
    /// with `v` the value errors of the model, `d` those of its derivatives, `l` Lipschitz constants of
    /// `f` and `m` those of derivatives. By the product rule, adding and subtracting at each factor. The
    /// printed lemma has no `v`: an error of the model's value moves the points where derivatives are
    /// taken, and no constants make up for it.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when a number of the result is not finite.
    pub fn bound(&self) -> Result<GradientBound<T>> {
        let (mut e, mut d) = (vec![T::zero()], vec![T::zero()]);
        let (mut rewards, mut discount) = (T::zero(), T::one());
        for step in &self.steps {
            let (Some(e_t), Some(d_t)) = (e.last().cloned(), d.last().cloned()) else { break };
            let b = &step.state_gradient;
            let of_reward =
                step.reward_slope.clone() * &d_t + self.smooth_reward.clone() * &e_t * b;
            rewards = rewards + discount.clone() * of_reward;
            let a_t = self.action_gradient_error(&e_t, &d_t, b);
            let forward = self.lipschitz_state.clone()
                + self.lipschitz_action.clone() * &self.lipschitz_policy;
            e.push(step.value_error.clone() + forward * e_t);
            d.push(
                step.state_slope_error.clone() * b
                    + step.action_slope_error.clone() * &step.action_gradient
                    + self.lipschitz_state.clone() * d_t
                    + self.lipschitz_action.clone() * a_t,
            );
            discount = discount * &self.gamma;
        }
        let last = |x: &[T]| x.last().cloned().unwrap_or_else(T::zero);
        let (e_h, d_h) = (last(&e), last(&d));
        let a_h = self.action_gradient_error(&e_h, &d_h, &self.last_state_gradient);
        let q_errors = self.q_slope_errors.0.clone() * &self.last_gradients.0
            + self.q_slope_errors.1.clone() * &self.last_gradients.1;
        let carried = self.q_slopes.0.clone() * d_h + self.q_slopes.1.clone() * a_h;
        let terminal = discount * (q_errors + carried);
        let bound = GradientBound { state_errors: e, gradient_errors: d, rewards, terminal };
        if bound.total().is_finite() {
            return Ok(bound);
        }
        let step = format!("horizon {}", self.steps.len());
        Err(Error::NonFinite { quantity: "gradient error bound".into(), step })
    }

    /// `A_t`.
    fn action_gradient_error(&self, e: &T, d: &T, state_gradient: &T) -> T {
        let bent = self.smooth_policy.clone() * state_gradient + &self.smooth_parameters;
        bent * e + self.lipschitz_policy.clone() * d
    }
}

/// Lemma 4.1 as printed, with the constants of its proof (appendix A.1).
///
/// ```text
/// E |grad J - grad J^| <= c_1(H) eps_f + c_2(H) eps_Q,    L = L_f + L_f L_pi,    |grad x_t| <= K^t
/// c_1 = L/(L-1) ( ((gKL)^H - 1)/(gKL - 1) - ((gK)^H - 1)/(gK - 1) ) + L_Q (L^H - 1)/(L - 1) (gK)^H
/// c_2 = (gK)^H
/// ```
///
/// False: `eps_f` and `eps_Q` compare derivatives at the points where model and truth have got to, so
/// that both can be 0 while the gradients differ. `c_1` has also lost the Lipschitz constant of the
/// reward, and its closed form is short of the sum that it stands for by `((gK)^H - 1)/(gK - 1)`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintedLemma<T> {
    /// The discount.
    pub gamma: T,
    /// The horizon.
    pub horizon: usize,
    /// `max_t |grad f^(x^_t) - grad f(x_t)|`.
    pub eps_f: T,
    /// `|grad Q^(x^_H) - grad Q(x_H)|`.
    pub eps_q: T,
    /// `L_f`.
    pub lipschitz_model: T,
    /// `L_pi`.
    pub lipschitz_policy: T,
    /// `L_Q`.
    pub lipschitz_q: T,
    /// `K >= 1`.
    pub growth: T,
}

impl<T: Number> PrintedLemma<T> {
    /// `c_1(H)`.
    #[must_use]
    pub fn c1(&self) -> T {
        let l = self.lipschitz_model.clone() * (T::one() + &self.lipschitz_policy);
        let gk = self.gamma.clone() * &self.growth;
        // (G(gKL) - G(gK)) / (L - 1) = sum_{t<H} (gK)^t (1 + L + .. + L^(t-1)), also for L = 1.
        let term = |t: usize| power(&gk, t) * geometric(&l, t);
        let rewards = (0..self.horizon).fold(T::zero(), |sum, t| sum + term(t));
        let q = self.lipschitz_q.clone() * geometric(&l, self.horizon) * power(&gk, self.horizon);
        l * rewards + q
    }

    /// `c_2(H)`.
    #[must_use]
    pub fn c2(&self) -> T {
        power(&(self.gamma.clone() * &self.growth), self.horizon)
    }

    /// The right side.
    #[must_use]
    pub fn printed(&self) -> T {
        self.c1() * &self.eps_f + self.c2() * &self.eps_q
    }
}
