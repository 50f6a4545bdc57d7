//! Lemma 4.2: how far two policy steps lead apart.

use statrs::function::erf::erf;

use crate::number::{Number, power};

/// Lemma 4.2: after steps of size `alpha` on gradients that differ by at most `gradient_error`,
///
/// ```text
/// max_s TV(pi_theta, pi_theta^) <= alpha c_3 (c_1 eps_f + c_2 eps_Q)
/// ```
///
/// The proof takes `c_3 = sqrt(F)/2` from the Fisher information `F` at one parameter and a step that
/// is "small enough". As stated it is false: with unbounded states the left side can be the same for
/// every step size, and with a large step `F` may vanish where the step begins. What holds, for a
/// policy that is differentiable in its parameters, is
///
/// ```text
/// c_3 = 1/2 max sqrt(lambda_max F(s, theta')),   over the states there are and theta' between the two,
/// ```
///
/// because `TV(pi_theta, pi_theta^) <= 1/2 int E|score| <= 1/2 int sqrt(F)` along the segment. A Gaussian
/// with mean `theta s`, `|s| <= S`, has `c_3 = S / (2 sigma)`.
///
/// ---
///
#[doc = include_str!("../../08-maac-lemma-4.2.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Variation<T> {
    /// The step size.
    pub alpha: T,
    /// `c_3`.
    pub c3: T,
    /// `|grad J - grad J^|`, or its bound.
    pub gradient_error: T,
}

impl<T: Number> Variation<T> {
    /// The right side: printed with `c_3` at one parameter, corrected with it along the segment.
    #[must_use]
    pub fn bound(&self) -> T {
        self.alpha.clone() * &self.c3 * &self.gradient_error
    }
}

/// A policy that sees a state `s` through `x = theta s`.
pub trait PolicyFamily {
    /// `TV` of the policies at `x` and `y`.
    fn tv(&self, x: f64, y: f64) -> f64;

    /// The Fisher information about `x`.
    fn information(&self, x: f64) -> f64;

    /// `max_{low <= s <= high} s sqrt(I(theta s))`, for `0 <= low <= high`.
    fn steepest(&self, theta: f64, low: f64, high: f64) -> f64;

    /// `c_3` at `theta`: the reading of the proof.
    fn local_c3(&self, theta: f64, low: f64, high: f64) -> f64 {
        0.5 * self.steepest(theta, low, high)
    }

    /// `c_3` along the segment; for families whose information falls with `|x|`.
    fn segment_c3(&self, from: f64, to: f64, low: f64, high: f64) -> f64 {
        let nearest_zero =
            if from.signum() == to.signum() { from.abs().min(to.abs()) } else { 0.0 };
        self.local_c3(nearest_zero, low, high)
    }
}

/// A Gaussian of mean `x` and standard deviation `sigma`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// The standard deviation.
    pub sigma: f64,
}

impl PolicyFamily for Gaussian {
    fn tv(&self, x: f64, y: f64) -> f64 {
        erf((x - y).abs() / (8.0_f64.sqrt() * self.sigma))
    }

    fn information(&self, _: f64) -> f64 {
        self.sigma.powi(-2)
    }

    fn steepest(&self, _: f64, _: f64, high: f64) -> f64 {
        high / self.sigma
    }
}

/// Two actions with log-odds `x`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bernoulli;

/// Where `z tanh z = 1`: `s sqrt(I(theta s)) = s / (2 cosh(theta s / 2))` is largest at
/// `theta s = 2 z`.
const TURN: f64 = 1.199_678_640_257_733_8;

impl PolicyFamily for Bernoulli {
    fn tv(&self, x: f64, y: f64) -> f64 {
        let p = |x: f64| 1.0 / (1.0 + (-x).exp());
        (p(x) - p(y)).abs()
    }

    fn information(&self, x: f64) -> f64 {
        (2.0 * (x / 2.0).cosh()).powi(-2)
    }

    fn steepest(&self, theta: f64, low: f64, high: f64) -> f64 {
        let s = if theta == 0.0 { high } else { (2.0 * TURN / theta.abs()).clamp(low, high) };
        s * self.information(theta * s).sqrt()
    }
}

/// Two actions, the first with probability `1/2 + x / (2 (1 + x^2))`: smooth, and rational.
#[derive(Debug, Clone, PartialEq)]
pub struct Rise;

impl Rise {
    /// The probability of the first action.
    #[must_use]
    pub fn probability<T: Number>(x: &T) -> T {
        (T::one() + x.clone() / (T::one() + power(x, 2))) / T::ratio(2, 1)
    }

    /// The Fisher information about `x`: `(1 - x^2)^2 / ((1 + x^2)^2 (1 + x^2 + x^4))`, at most 1, and 0
    /// at `x = 1`.
    #[must_use]
    pub fn information<T: Number>(x: &T) -> T {
        let square = power(x, 2);
        let curved = T::one() + &square + power(&square, 2);
        power(&(T::one() - &square), 2) / (power(&(T::one() + square), 2) * curved)
    }
}
