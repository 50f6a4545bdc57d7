//! One-dimensional systems whose gradients of `J_H` are known exactly: what Lemma 4.1 is tried on.

use super::gradient::{Constants, PrintedLemma, Step};
use crate::number::{Number, largest, power};
use hstep::Result;

/// `phi(s) = s / (1 + s^2)`: bounded, with slope in `[-1/8, 1]` and curvature below 3/2.
fn phi<T: Number>(s: &T) -> T {
    s.clone() / (T::one() + power(s, 2))
}

fn phi_slope<T: Number>(s: &T) -> T {
    let square = power(s, 2);
    (T::one() - &square) / power(&(T::one() + square), 2)
}

/// `s_t`, `a_t` and their derivatives in the policy's parameter.
#[derive(Debug, Clone)]
struct Point<T> {
    s: T,
    a: T,
    ds: T,
    da: T,
    /// The sizes of what `s` and `ds` are sums of: their rounding errors are in proportion.
    s_size: T,
    ds_size: T,
}

/// Dynamics `f(s, a) = state s + action a + constant + bend phi(s)` and terminal
/// `Q(s, a) = q_state s + q_action a + q_bend phi(s - q_shift)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps<T> {
    /// Slope of `f` in the state.
    pub state: T,
    /// Slope of `f` in the action.
    pub action: T,
    /// Constant of `f`.
    pub constant: T,
    /// Factor of `phi` in `f`.
    pub bend: T,
    /// Slope of `Q` in the state.
    pub q_state: T,
    /// Slope of `Q` in the action.
    pub q_action: T,
    /// Factor of `phi` in `Q`.
    pub q_bend: T,
    /// Where `phi` of `Q` has its origin.
    pub q_shift: T,
}

/// A system, a model of it, and a policy `pi(s) = theta (offset + feedback s)` with the one parameter
/// `theta`. The reward is `slope s + bend phi(s)`.
#[derive(Debug, Clone, PartialEq)]
pub struct System<T> {
    /// The discount.
    pub gamma: T,
    /// Model steps `H`.
    pub horizon: usize,
    /// The start state.
    pub start: T,
    /// The policy's parameter.
    pub theta: T,
    /// The policy's constant feature.
    pub offset: T,
    /// The policy's factor of the state.
    pub feedback: T,
    /// Slope of the reward.
    pub reward: T,
    /// Factor of `phi` in the reward.
    pub reward_bend: T,
    /// `f` and `Q`.
    pub truth: Maps<T>,
    /// `f^` and `Q^`.
    pub model: Maps<T>,
}

/// The error of a gradient beside the two bounds of it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientError<T> {
    /// `|grad J_H - grad J^_H|`.
    pub error: T,
    /// The printed Lemma 4.1.
    pub printed: T,
    /// The corrected one.
    pub corrected: T,
    /// The size of what the gradients are sums of, to judge rounding by.
    pub size: T,
}

impl<T: Number> Maps<T> {
    fn next(&self, x: &Point<T>) -> T {
        self.state.clone() * &x.s
            + self.action.clone() * &x.a
            + &self.constant
            + self.bend.clone() * phi(&x.s)
    }

    fn state_slope(&self, x: &Point<T>) -> T {
        self.bend.clone() * phi_slope(&x.s) + &self.state
    }

    fn q_state_slope(&self, x: &Point<T>) -> T {
        self.q_bend.clone() * phi_slope(&(x.s.clone() - &self.q_shift)) + &self.q_state
    }

    /// `max_s |d_s f|`: the slope of `phi` fills `[-1/8, 1]`.
    fn steepest(&self) -> T {
        let at = |slope: T| (self.state.clone() + self.bend.clone() * slope).abs();
        largest([at(T::one()), at(T::ratio(-1, 8))])
    }

    /// A bound of `|grad Q|`.
    fn steepest_q(&self) -> T {
        let state = self.q_state.abs() + self.q_bend.abs();
        (power(&state, 2) + power(&self.q_action, 2)).root_above(2)
    }
}

impl<T: Number> System<T> {
    /// Visited points `t = 0, .., H`.
    fn rollout(&self, maps: &Maps<T>) -> Vec<Point<T>> {
        let gain = self.theta.clone() * &self.feedback;
        let act = |s: T, ds: T, s_size: T, ds_size: T| {
            let feature = self.offset.clone() + self.feedback.clone() * &s;
            let a = self.theta.clone() * &feature;
            let da = feature + gain.clone() * &ds;
            Point { s, a, ds, da, s_size, ds_size }
        };
        let mut points = vec![act(self.start.clone(), T::zero(), self.start.abs(), T::zero())];
        for _ in 0..self.horizon {
            let Some(x) = points.last() else { break };
            let ds = maps.state_slope(x) * &x.ds + maps.action.clone() * &x.da;
            let feature = self.offset.abs() + self.feedback.abs() * &x.s_size;
            let (bend, action) = (maps.bend.abs(), maps.action.abs());
            let s_size = maps.state.abs() * &x.s_size
                + action.clone() * self.theta.abs() * &feature
                + maps.constant.abs()
                + &bend;
            // The slope of phi changes by at most 3/2 of what its argument does.
            let slope = maps.state.abs() + bend * (T::one() + T::ratio(3, 2) * &x.s_size);
            let ds_size = slope * &x.ds_size + action * (feature + gain.abs() * &x.ds_size);
            points.push(act(maps.next(x), ds, s_size, ds_size));
        }
        points
    }

    /// `r'(s)`.
    fn reward_slope(&self, s: &T) -> T {
        self.reward_bend.clone() * phi_slope(s) + &self.reward
    }

    /// `grad J_H = sum_{t<H} g^t r'(s_t) grad s_t + g^H (d_s Q grad s_H + d_a Q grad a_H)`, and the size of
    /// what it is a sum of.
    fn gradient(&self, maps: &Maps<T>, points: &[Point<T>]) -> (T, T) {
        let (mut sum, mut size, mut discount) = (T::zero(), T::zero(), T::one());
        let bent = |bend: &T, x: &Point<T>| bend.abs() * (T::one() + T::ratio(3, 2) * &x.s_size);
        for (t, x) in points.iter().enumerate() {
            let (slope, slope_size) = if t < self.horizon {
                let steep = self.reward.abs() + bent(&self.reward_bend, x);
                (self.reward_slope(&x.s) * &x.ds, steep * &x.ds_size)
            } else {
                let steep = maps.q_state.abs() + bent(&maps.q_bend, x);
                let feature = self.offset.abs() + self.feedback.abs() * &x.s_size;
                let da_size = feature + (self.theta.clone() * &self.feedback).abs() * &x.ds_size;
                (
                    maps.q_state_slope(x) * &x.ds + maps.q_action.clone() * &x.da,
                    steep * &x.ds_size + maps.q_action.abs() * da_size,
                )
            };
            size = size + discount.clone() * slope_size;
            sum = sum + discount.clone() * slope;
            discount = discount * &self.gamma;
        }
        (sum, size)
    }

    /// The error of the gradient and its bounds.
    ///
    /// # Errors
    /// As [`Constants::bound`].
    pub fn gradient_error(&self) -> Result<GradientError<T>> {
        let (truth, model) = (self.rollout(&self.truth), self.rollout(&self.model));
        let (true_gradient, true_size) = self.gradient(&self.truth, &truth);
        let (gradient, size) = self.gradient(&self.model, &model);
        Ok(GradientError {
            error: (true_gradient - gradient).abs(),
            printed: self.printed(&truth, &model).printed(),
            corrected: self.constants(&truth, &model).bound()?.total(),
            size: size + true_size,
        })
    }

    fn constants(&self, truth: &[Point<T>], model: &[Point<T>]) -> Constants<T> {
        let (f, g) = (&self.truth, &self.model);
        let step = |(x, y): (&Point<T>, &Point<T>)| Step {
            value_error: (g.next(y) - f.next(y)).abs(),
            state_slope_error: (g.state_slope(y) - f.state_slope(x)).abs(),
            action_slope_error: (g.action.clone() - &f.action).abs(),
            state_gradient: y.ds.abs(),
            action_gradient: y.da.abs(),
            reward_slope: self.reward_slope(&x.s).abs(),
        };
        let h = self.horizon;
        let (x, y) = (&truth[h], &model[h]);
        Constants {
            gamma: self.gamma.clone(),
            lipschitz_state: f.steepest(),
            lipschitz_action: f.action.abs(),
            lipschitz_policy: (self.theta.clone() * &self.feedback).abs(),
            smooth_parameters: self.feedback.abs(),
            smooth_policy: T::zero(),
            smooth_reward: self.reward_bend.abs() * T::ratio(3, 2),
            steps: truth[..h].iter().zip(model).map(step).collect(),
            last_state_gradient: y.ds.abs(),
            last_gradients: (x.ds.abs(), x.da.abs()),
            q_slopes: (g.q_state_slope(y).abs(), g.q_action.abs()),
            q_slope_errors: (
                (g.q_state_slope(y) - f.q_state_slope(x)).abs(),
                (g.q_action.clone() - &f.q_action).abs(),
            ),
        }
    }

    /// The printed lemma with constants as large as it can mean, that is charitably.
    fn printed(&self, truth: &[Point<T>], model: &[Point<T>]) -> PrintedLemma<T> {
        let (f, g, h) = (&self.truth, &self.model, self.horizon);
        let norm = |p: T, q: T| (power(&p, 2) + power(&q, 2)).root_above(2);
        let slope_error = |(x, y): (&Point<T>, &Point<T>)| {
            norm(g.state_slope(y) - f.state_slope(x), g.action.clone() - &f.action)
        };
        let q_slope_error = norm(
            g.q_state_slope(&model[h]) - f.q_state_slope(&truth[h]),
            g.q_action.clone() - &f.q_action,
        );
        // K >= 1 with |grad x_t| <= K^t for t >= 1.
        let growth = |points: &[Point<T>]| {
            let root = |(t, x): (usize, &Point<T>)| norm(x.ds.clone(), x.da.clone()).root_above(t);
            largest(points.iter().enumerate().skip(1).map(root).chain([T::one()]))
        };
        PrintedLemma {
            gamma: self.gamma.clone(),
            horizon: h,
            eps_f: largest(truth[..h].iter().zip(model).map(slope_error)),
            eps_q: q_slope_error,
            lipschitz_model: largest([
                norm(f.steepest(), f.action.clone()),
                norm(g.steepest(), g.action.clone()),
            ]),
            lipschitz_policy: (self.theta.clone() * &self.feedback).abs(),
            lipschitz_q: g.steepest_q(),
            growth: largest([growth(truth), growth(model)]),
        }
    }
}

impl<T: Number> Maps<T> {
    /// `f(s, a) = state s + action a`, `Q(s, a) = q_state s + q_action a`.
    #[must_use]
    pub fn linear(state: T, action: T, q_state: T, q_action: T) -> Self {
        let (constant, bend, q_bend, q_shift) = (T::zero(), T::zero(), T::zero(), T::zero());
        Self { state, action, constant, bend, q_state, q_action, q_bend, q_shift }
    }
}

/// No error of any derivative and yet one of the gradient. `f(s, a) = s + a`, the model adds `bias`, the
/// policy is the constant `theta = 0`, the reward `phi(s)`, `Q = phi` and `Q^` the same, moved along
/// with the model's last state.
///
/// True states stay at 0 and the model's are `bias, 2 bias, ..`: the error is
/// `|sum_{t<H} g^t t (phi'(0) - phi'(t bias))|`, while `eps_f = eps_Q = 0`. For `H = 2` and `bias = 1` it
/// is `g`.
#[must_use]
pub fn biased<T: Number>(gamma: T, horizon: usize, bias: &T) -> System<T> {
    let linear = Maps::linear(T::one(), T::one(), T::zero(), T::zero());
    let truth = Maps { q_bend: T::one(), ..linear };
    let q_shift = bias.clone() * T::ratio(horizon as i64, 1);
    let model = Maps { constant: bias.clone(), q_shift, ..truth.clone() };
    System {
        gamma,
        horizon,
        start: T::zero(),
        theta: T::zero(),
        offset: T::one(),
        feedback: T::zero(),
        reward: T::zero(),
        reward_bend: T::one(),
        truth,
        model,
    }
}

/// `f(s, a) = 0`, `f^(s, a) = eps a`, the policy `a = -k s` from `s_0 = 1`, no reward, `Q = Q^ = a`, `H = 1`:
/// the factor `1 + L_pi` that the recursion for the state needs to become one for `x = (s, a)`.
#[must_use]
pub fn feedback<T: Number>(gamma: T, k: &T, eps: &T) -> System<T> {
    let truth = Maps::linear(T::zero(), T::zero(), T::zero(), T::one());
    let model = Maps { action: eps.clone(), ..truth.clone() };
    System {
        gamma,
        horizon: 1,
        start: T::one(),
        theta: -k.clone(),
        offset: T::zero(),
        feedback: T::one(),
        reward: T::zero(),
        reward_bend: T::zero(),
        truth,
        model,
    }
}

/// Everything linear and positive, model and `Q^` too large by `eps`: the corrected bound is attained.
#[must_use]
pub fn positive<T: Number>(gamma: T, horizon: usize, eps: &T) -> System<T> {
    let q = T::ratio;
    let truth = Maps::linear(q(1, 2), q(1, 4), q(1, 1), q(1, 2));
    let more = |x: &T| x.clone() + eps;
    let model = Maps::linear(
        more(&truth.state),
        more(&truth.action),
        more(&truth.q_state),
        more(&truth.q_action),
    );
    System {
        gamma,
        horizon,
        start: T::one(),
        theta: q(1, 2),
        offset: q(1, 1),
        feedback: q(1, 2),
        reward: q(1, 1),
        reward_bend: T::zero(),
        truth,
        model,
    }
}
