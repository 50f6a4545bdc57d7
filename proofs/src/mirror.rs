//! M-DeMoRL's Theorem 1: the regret of dynamic mirror descent, on the interval `[-1, 1]`.

use super::number::{Number, largest, power, whole};
use hstep::{Error, Result};

/// Theorem 1, after Hall and Willett ("Dynamical Models and Tracking Regret in Online Convex
/// Programming", ICML 2013). Printed:
///
/// ```text
/// sum_{t=0..T} J(eta~_t) - J_r(eta*_t)
///   <= D_max / alpha_{T+1} + 4 M / alpha_T W + G^2 / (2 sigma) sum_{t=1..T} alpha_t + T R_{f,H}
/// W = sum_{t=0..T} |eta*_{t+1} - eta~_{t+1}|
/// ```
///
/// False: the regret has `T + 1` terms, the right side pays for `T`. What holds, for convex `J`, step sizes
/// that do not rise, and shifts that bring no two points further apart:
///
/// ```text
///   <= D_max / alpha_{T+1} + 4 M / alpha_T W + G^2 / (2 sigma) sum_{t=0..T} alpha_t + (T + 1) R_{f,H}
/// W = sum_{t=0..T} |eta*_{t+1} - Phi_{t+1}(eta*_t)|
/// ```
///
/// The two `W` agree where the shift does not depend on the last parameters, as in M-DeMoRL, whose shift
/// is the outer policy. `G` bounds the gradients of `J`, `M` is half the largest gradient of `psi`, `sigma`
/// the modulus of its convexity, `D_max` its largest Bregman divergence, `R_{f,H}` bounds `J - J_r`.
///
/// ---
///
#[doc = include_str!("../06-demorl-theorem-1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct RegretBound<T> {
    /// `D_max`.
    pub diameter: T,
    /// `M`.
    pub half_slope: T,
    /// `sigma`.
    pub sigma: T,
    /// `G_J`.
    pub gradient: T,
    /// `R_{f,H}`.
    pub model_error: T,
    /// `alpha_0, .., alpha_{T+1}`.
    pub alphas: Vec<T>,
    /// `W` as printed.
    pub printed_variation: T,
    /// `W` of the corrected form.
    pub variation: T,
}

impl<T: Number> RegretBound<T> {
    /// `T`, one less than the number of terms of the regret.
    fn last(&self) -> usize {
        self.alphas.len().saturating_sub(2)
    }

    fn with(&self, variation: &T, first: usize, terms: usize) -> T {
        let last = self.last();
        let steps = self.alphas[first..=last].iter().fold(T::zero(), |sum, a| sum + a);
        let two = T::ratio(2, 1);
        self.diameter.clone() / &self.alphas[last + 1]
            + two.clone() * &two * &self.half_slope / &self.alphas[last] * variation
            + power(&self.gradient, 2) / (two * &self.sigma) * steps
            + whole::<T>(terms) * &self.model_error
    }

    /// The printed right side.
    #[must_use]
    pub fn printed(&self) -> T {
        // An empty sum for T = 0.
        self.with(&self.printed_variation, 1, self.last())
    }

    /// What holds.
    #[must_use]
    pub fn corrected(&self) -> T {
        self.with(&self.variation, 0, self.last() + 1)
    }
}

/// One decision: `J(eta) = slope eta + curvature eta^2 / 2`, `J_r = J - bias - tilt eta`, a step size, and
/// the shift `Phi(eta) = keep eta + move` that leads to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<T> {
    /// Slope of `J` at 0.
    pub slope: T,
    /// Curvature of `J`, at least 0.
    pub curvature: T,
    /// Constant of `J - J_r`.
    pub bias: T,
    /// Slope of `J - J_r`.
    pub tilt: T,
    /// `alpha_t`.
    pub alpha: T,
    /// Factor of the shift.
    pub keep: T,
    /// Constant of the shift; `|keep| + |move| <= 1`.
    pub moved: T,
    /// The comparator `eta*_t`.
    pub comparator: T,
}

/// Mirror descent with `psi = eta^2 / 2` on `[-1, 1]`: decisions `t = 0, .., T`, and one more, of which only
/// step size, shift and comparator count.
#[derive(Debug, Clone, PartialEq)]
pub struct Regret<T> {
    /// `eta~_0`.
    pub start: T,
    /// `T + 2` decisions.
    pub decisions: Vec<Decision<T>>,
}

impl<T: Number> Regret<T> {
    /// A game that fulfils the assumptions.
    ///
    /// # Errors
    /// [`Error::Config`] naming the one that is broken.
    pub fn new(start: T, decisions: Vec<Decision<T>>) -> Result<Self> {
        let refuse = |key: &str, problem: String| Err(Error::config(key, problem));
        let inside = |x: &T| x.abs() <= T::one();
        if decisions.len() < 2 {
            let got = decisions.len();
            return refuse("decisions", format!("expected T + 2, at least 2, got {got}"));
        }
        if !inside(&start) {
            return refuse("start", format!("expected a point of [-1, 1], got {start}"));
        }
        for (t, d) in decisions.iter().enumerate() {
            let key = |name: &str| format!("decisions[{t}].{name}");
            let numbers = [&d.slope, &d.curvature, &d.bias, &d.tilt, &d.alpha, &d.keep, &d.moved];
            if let Some(x) = numbers.into_iter().find(|x| !x.is_finite()) {
                return refuse(&key("cost"), format!("expected finite numbers, got {x}"));
            }
            if !inside(&d.comparator) {
                let problem = format!("expected a point of [-1, 1], got {}", d.comparator);
                return refuse(&key("comparator"), problem);
            }
            if d.curvature < T::zero() {
                let problem = format!("expected at least 0, got {}", d.curvature);
                return refuse(&key("curvature"), problem);
            }
            if d.keep.abs() + d.moved.abs() > T::one() {
                let problem =
                    "expected |keep| + |move| of at most 1: the shift must not leave [-1, 1]";
                return refuse(&key("keep"), problem.into());
            }
            let before = t.checked_sub(1).map(|t| &decisions[t].alpha);
            if d.alpha <= T::zero() || before.is_some_and(|before| d.alpha > *before) {
                let problem =
                    format!("expected step sizes above 0 that do not rise, got {}", d.alpha);
                return refuse(&key("alpha"), problem);
            }
        }
        Ok(Self { start, decisions })
    }

    /// `eta~_0, .., eta~_{T+1}`.
    fn played(&self) -> Vec<T> {
        let mut shifted = vec![self.start.clone()];
        for pair in self.decisions.windows(2) {
            let (d, next) = (&pair[0], &pair[1]);
            let Some(eta) = shifted.last() else { break };
            let gradient = d.curvature.clone() * eta + &d.slope;
            let stepped = eta.clone() - d.alpha.clone() * gradient;
            let inside = clipped(stepped);
            shifted.push(next.keep.clone() * inside + &next.moved);
        }
        shifted
    }

    /// `sum_{t=0..T} J_t(eta~_t) - J_{r,t}(eta*_t)`.
    #[must_use]
    pub fn regret(&self) -> T {
        let cost = |d: &Decision<T>, x: &T| {
            d.slope.clone() * x + d.curvature.clone() * power(x, 2) / T::ratio(2, 1)
        };
        let played = self.played();
        let terms = self.decisions.iter().zip(&played).take(self.decisions.len() - 1);
        terms.fold(T::zero(), |sum, (d, eta)| {
            let real = cost(d, &d.comparator) - &d.bias - d.tilt.clone() * &d.comparator;
            sum + cost(d, eta) - real
        })
    }

    /// The constants of the theorem, as small as they can be.
    #[must_use]
    pub fn bound(&self) -> RegretBound<T> {
        let terms = || self.decisions.iter().take(self.decisions.len() - 1);
        let moves = |target: &dyn Fn(usize) -> T| {
            (1..self.decisions.len()).fold(T::zero(), |sum, t| {
                sum + (self.decisions[t].comparator.clone() - target(t)).abs()
            })
        };
        let played = self.played();
        let shifted_comparator = |t: usize| {
            let d = &self.decisions[t];
            d.keep.clone() * &self.decisions[t - 1].comparator + &d.moved
        };
        RegretBound {
            diameter: T::ratio(2, 1),
            half_slope: T::ratio(1, 2),
            sigma: T::one(),
            gradient: largest(terms().map(|d| d.slope.abs() + &d.curvature)),
            // J - J_r = bias + tilt eta is largest at an end of the interval.
            model_error: largest(terms().map(|d| d.tilt.abs() + &d.bias).chain([T::zero()])),
            alphas: self.decisions.iter().map(|d| d.alpha.clone()).collect(),
            printed_variation: moves(&|t| played[t].clone()),
            variation: moves(&shifted_comparator),
        }
    }
}

/// The nearest point of `[-1, 1]`.
fn clipped<T: Number>(x: T) -> T {
    if x > T::one() {
        T::one()
    } else if x < -T::one() {
        -T::one()
    } else {
        x
    }
}

/// Always the same cost `slope eta + curvature eta^2 / 2`, an exact model, one step size; the shift goes to
/// `shifts[t]` and the comparator is `comparators[t]`, `t = 0, .., T+1`.
///
/// # Errors
/// As [`Regret::new`].
pub fn constant_costs<T: Number>(
    slope: &T,
    curvature: &T,
    alpha: &T,
    shifts: &[T],
    comparators: &[T],
) -> Result<Regret<T>> {
    let decision = |(moved, comparator): (&T, &T)| Decision {
        slope: slope.clone(),
        curvature: curvature.clone(),
        bias: T::zero(),
        tilt: T::zero(),
        alpha: alpha.clone(),
        keep: T::zero(),
        moved: moved.clone(),
        comparator: comparator.clone(),
    };
    let start = shifts.first().cloned().unwrap_or_else(T::zero);
    Regret::new(start, shifts.iter().zip(comparators).map(decision).collect())
}
