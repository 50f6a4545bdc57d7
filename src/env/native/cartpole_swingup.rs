//! Cart-pole swing-up: a pole hanging from a cart is to be swung up and held at the track's centre.

use std::f64::consts::PI;

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

/// Force of a full action, N.
const MAX_FORCE: f64 = 10.0;
/// Half the free track, m: beyond it damped springs push back.
const TRACK: f64 = 2.0;
/// Stiffness of those springs, N/m.
const SPRING: f64 = 100.0;
/// Their damping a metre of compression, N s/m^2: the force stays continuous at contact.
const DAMPING: f64 = 40.0;
/// s.
const DT: f64 = 0.04;
const MAX_STEPS: usize = 250;
/// Half the width of the uniform start noise, in every coordinate.
const START_NOISE: f64 = 0.1;

/// Widths (standard deviations) of the reward's bell curves.
const CENTRE_WIDTH: f64 = 1.0;
const SPIN_WIDTH: f64 = 4.0;

/// A pole to swing up by a force on its cart. State: position (m), velocity, angle (rad, 0 upright,
/// not wrapped), angular velocity. Observation: position, velocity, cos, sin, angular velocity.
/// Action in `[-1, 1]`, of 10 N. The pole starts hanging, every coordinate within 0.1 of rest.
///
/// No termination: beyond 2 m damped springs push the cart back, so the track's ends are a part of
/// the physics and its position is bounded: 2.6 m under full force along the velocity. No other friction; a Runge-Kutta step of order 4 every 0.04 s, 250 steps.
///
/// The reward of a step, in `[0, 1]`, is that of the state reached and of the action:
///
/// `(1 + cos)/2 * (1 + near)/2 * (1 + slow)/2 * (4 + idle)/5`, `near = exp(-x^2 / 2)`,
/// `slow = exp(-angular_velocity^2 / 32)`, `idle = 1 - action^2`.
///
/// The factors are those of the DeepMind control suite's smooth cart-pole reward (Tassa et al.
/// 2018, arXiv 1801.00690), with Gaussians of our own widths; physics and time step are ours,
/// chosen such that a few thousand steps are enough to learn from.
#[derive(Debug, Clone, Copy)]
pub struct CartpoleSwingup {
    /// kg.
    cart: f64,
    /// kg; the pole is a uniform rod.
    pole: f64,
    /// Half the pole's length, m.
    half: f64,
    /// m/s^2.
    gravity: f64,
}

impl Default for CartpoleSwingup {
    fn default() -> Self {
        Self { cart: 1.0, pole: 0.1, half: 0.5, gravity: 9.81 }
    }
}

/// Coordinates that start at the state, in tensors; the angle is carried as a turn from the
/// observed direction, so that no arc tangent is needed. Each `[B,1]`.
struct Point {
    x: Tensor,
    v: Tensor,
    turn: Tensor,
    w: Tensor,
}

impl Point {
    fn ahead(&self, slope: &Self, time: f64) -> Result<Self> {
        Ok(Self {
            x: (&self.x + (&slope.x * time)?)?,
            v: (&self.v + (&slope.v * time)?)?,
            turn: (&self.turn + (&slope.turn * time)?)?,
            w: (&self.w + (&slope.w * time)?)?,
        })
    }

    /// [`CartpoleSwingup::slope`] in tensors; `cos` and `sin` are those of the observation, `force` is in N.
    fn slope(
        &self,
        system: &CartpoleSwingup,
        [cos, sin]: [&Tensor; 2],
        force: &Tensor,
    ) -> Result<Self> {
        let (total, moment) = (system.total(), system.moment());
        let (cos, sin) = ops::rotate(cos, sin, &self.turn)?;
        let beyond = (&self.x - ops::clip(&self.x, -TRACK, TRACK)?)?;
        let whirl = ((self.w.sqr()? * &sin)? * moment)?;
        let bumper = ((&beyond * SPRING)? + ((beyond.abs()? * DAMPING)? * &self.v)?)?;
        let push = (((force - bumper)? + whirl)? / total)?;
        let inertia = cos.sqr()?.affine(-moment / total, system.half * (4.0 / 3.0))?;
        let spin = (((sin * system.gravity)? - (&cos * &push)?)? / inertia)?;
        let cart = (push - ((&spin * &cos)? * (moment / total))?)?;
        Ok(Self { x: self.v.clone(), v: cart, turn: self.w.clone(), w: spin })
    }
}

impl CartpoleSwingup {
    fn total(&self) -> f64 {
        self.cart + self.pole
    }

    fn moment(&self) -> f64 {
        self.pole * self.half
    }

    /// Lagrange's equations of a cart with a uniform rod,
    ///
    /// `(M + m) x'' + m l (w' cos - w^2 sin) = F`, `(4/3) l w' + x'' cos = g sin`.
    ///
    /// Returns the time derivative of the state under `action`.
    fn slope(&self, &[x, v, angle, w]: &[f64; 4], action: f64) -> [f64; 4] {
        let (total, moment) = (self.total(), self.moment());
        let (sin, cos) = angle.sin_cos();
        let beyond = x - x.clamp(-TRACK, TRACK);
        let bumper = -SPRING * beyond - DAMPING * beyond.abs() * v;
        let push = (MAX_FORCE * action + bumper + moment * w * w * sin) / total;
        let inertia = self.half * (4.0 / 3.0) - moment / total * cos * cos;
        let spin = (self.gravity * sin - cos * push) / inertia;
        [v, push - moment / total * spin * cos, w, spin]
    }

    /// Mechanical energy of a state in J, springs included: constant while no force acts and no
    /// spring is touched, and never rising without force.
    #[must_use]
    pub fn energy(&self, &[x, v, angle, w]: &[f64; 4]) -> f64 {
        let (total, moment) = (self.total(), self.moment());
        let kinetic = 0.5 * total * v * v
            + moment * v * w * angle.cos()
            + 0.5 * (4.0 / 3.0) * moment * self.half * w * w;
        let spring = 0.5 * SPRING * (x - x.clamp(-TRACK, TRACK)).powi(2);
        kinetic + moment * self.gravity * angle.cos() + spring
    }
}

impl Physics for CartpoleSwingup {
    type State = [f64; 4];

    const PARAMETERS: &'static [(&'static str, Possible)] = &[
        ("cart-mass", Possible::Positive),
        ("pole-mass", Possible::Positive),
        ("half-length", Possible::Positive),
        ("gravity", Possible::NotNegative),
    ];

    fn parameter(&self, place: usize) -> f64 {
        [self.cart, self.pole, self.half, self.gravity][place]
    }

    fn set_parameter(&mut self, place: usize, value: f64) {
        *[&mut self.cart, &mut self.pole, &mut self.half, &mut self.gravity][place] = value;
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "cartpole-swingup".into(),
            obs_dim: 5,
            action_low: vec![-1.0],
            action_high: vec![1.0],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 4] {
        [0.0, 0.0, PI, 0.0].map(|rest| rest + START_NOISE * (2.0 * rng.uniform() - 1.0))
    }

    fn observe(&self, &[x, v, angle, w]: &[f64; 4]) -> Vec<f64> {
        vec![x, v, angle.cos(), angle.sin(), w]
    }

    fn advance(&self, state: &[f64; 4], action: &[f64], _step: usize) -> ([f64; 4], f64, bool) {
        let a = action[0].clamp(-1.0, 1.0);
        let next = ops::runge_kutta(*state, DT, |s| self.slope(s, a));

        let [x, _, angle, w] = next;
        let upright = 0.5 * (1.0 + angle.cos());
        let near = (-0.5 * (x / CENTRE_WIDTH).powi(2)).exp();
        let slow = (-0.5 * (w / SPIN_WIDTH).powi(2)).exp();
        let idle = 1.0 - a * a;
        let reward = upright * (0.5 + 0.5 * near) * (0.5 + 0.5 * slow) * (0.8 + 0.2 * idle);
        (next, reward, false)
    }

    fn next(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let (cos, sin) = (ops::column(obs, 2)?, ops::column(obs, 3)?);
        let force = (action * MAX_FORCE)?;
        let (x, v, w) = (ops::column(obs, 0)?, ops::column(obs, 1)?, ops::column(obs, 4)?);
        let s = Point { turn: w.zeros_like()?, x, v, w };
        let k1 = s.slope(self, [&cos, &sin], &force)?;
        let k2 = s.ahead(&k1, DT / 2.0)?.slope(self, [&cos, &sin], &force)?;
        let k3 = s.ahead(&k2, DT / 2.0)?.slope(self, [&cos, &sin], &force)?;
        let k4 = s.ahead(&k3, DT)?.slope(self, [&cos, &sin], &force)?;
        let next = s.ahead(&k1, DT / 6.0)?.ahead(&k2, DT / 3.0)?.ahead(&k3, DT / 3.0)?;
        let Point { x, v, turn, w } = next.ahead(&k4, DT / 6.0)?;
        let (cos, sin) = ops::rotate(&cos, &sin, &turn)?;
        Ok(Tensor::cat(&[x, v, cos, sin, w], 1)?)
    }

    fn reward(&self, _obs: &Tensor, action: &Tensor, next: &Tensor) -> Result<Tensor> {
        let bell = |i: usize, width: f64| -> Result<Tensor> {
            Ok((ops::column(next, i)?.sqr()? * (-0.5 / (width * width)))?.exp()?)
        };
        let upright = ops::column(next, 2)?.affine(0.5, 0.5)?;
        let near = bell(0, CENTRE_WIDTH)?.affine(0.5, 0.5)?;
        let slow = bell(4, SPIN_WIDTH)?.affine(0.5, 0.5)?;
        let idle = action.sqr()?.affine(-0.2, 1.0)?;
        Ok((((upright * near)? * slow)? * idle)?.squeeze(1)?)
    }

    fn scene(&self, &[x, _, angle, _]: &[f64; 4]) -> Option<Scene> {
        let (sin, cos) = angle.sin_cos();
        let tip = [x + 2.0 * self.half * sin, 2.0 * self.half * cos];
        let post = |x: f64| Part::path(Role::Fixed, vec![[x, -0.1], [x, 0.1]]);
        Some(Scene {
            parts: vec![
                Part::path(Role::Fixed, vec![[-2.9, 0.0], [2.9, 0.0]]),
                // Where the springs begin, at the cart's own ends.
                post(-TRACK - 0.3),
                post(TRACK + 0.3),
                Part::path(Role::Target, vec![[0.0, -0.2], [0.0, -0.12]]),
                Part::capsule(Role::Body, [x - 0.2, 0.0], [x + 0.2, 0.0], 0.1),
                Part::capsule(Role::Limb, [x, 0.0], tip, 0.05),
                Part::circle(Role::Fixed, [x, 0.0], 0.035),
            ],
            ground: None,
            traced: vec![tip],
            camera: Camera { centre: [0.0, 0.0], size: [6.0, 2.5] },
            time_step: Some(DT),
        })
    }
}
