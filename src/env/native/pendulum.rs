//! The pendulum swing-up of Gymnasium 1.4.0, `Pendulum-v1`.

use std::f64::consts::{PI, TAU};

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

const DT: f64 = 0.05;
const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f64 = 2.0;
const MAX_STEPS: usize = 200;

/// A rod to swing up and hold. State: angle (rad, 0 upright, not wrapped) and angular velocity
/// (rad/s, clipped to 8). Observation: cos, sin, angular velocity. Action: torque in `[-2, 2]` N m.
/// 200 steps, no termination.
///
/// Equal to Gymnasium's to 1e-6 over whole episodes, with one thing to know: Gymnasium computes in
/// the number type of the action, single precision for actions that its action space samples,
/// double for Python floats, and near upright that difference alone grows to 1e-4 within an
/// episode. So here an action that fits a `f32` exactly is multiplied as one. Gymnasium's
/// observations are rounded to `f32`; these are not (2.4e-7).
///
/// [`Pendulum::mpq`] is the same task without the cost of torques: that of MPQ (Bhardwaj et al. 2020,
/// full paper, table 1: `angle^2 + 0.1 velocity^2`, 10 s, a random start; time step and torques, which
/// the paper does not state, are Gymnasium's).
#[derive(Debug, Clone, Copy)]
pub struct Pendulum {
    name: &'static str,
    /// kg, of a uniform rod.
    mass: f64,
    /// m.
    length: f64,
    /// m/s^2.
    gravity: f64,
    /// Cost of a squared torque.
    effort: f64,
}

impl Default for Pendulum {
    fn default() -> Self {
        Self { name: "pendulum", mass: 1.0, length: 1.0, gravity: 10.0, effort: 0.001 }
    }
}

impl Pendulum {
    /// The task of MPQ.
    #[must_use]
    pub fn mpq() -> Self {
        Self { name: "pendulum-mpq", effort: 0.0, ..Self::default() }
    }

    /// Acceleration a unit of `sin(angle)`: a uniform rod about its end has the inertia `m l^2 / 3`.
    fn fall(&self) -> f64 {
        3.0 * self.gravity / (2.0 * self.length)
    }

    /// Acceleration a unit of torque.
    fn push(&self) -> f64 {
        3.0 / (self.mass * self.length * self.length)
    }
}

/// The angle in `[-pi, pi)`.
fn wrapped(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}

impl Physics for Pendulum {
    type State = [f64; 2];

    const PARAMETERS: &'static [(&'static str, Possible)] = &[
        ("mass", Possible::Positive),
        ("length", Possible::Positive),
        ("gravity", Possible::NotNegative),
    ];

    fn parameter(&self, place: usize) -> f64 {
        [self.mass, self.length, self.gravity][place]
    }

    fn set_parameter(&mut self, place: usize, value: f64) {
        *[&mut self.mass, &mut self.length, &mut self.gravity][place] = value;
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: self.name.into(),
            obs_dim: 3,
            action_low: vec![-MAX_TORQUE],
            action_high: vec![MAX_TORQUE],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 2] {
        [PI * (2.0 * rng.uniform() - 1.0), 2.0 * rng.uniform() - 1.0]
    }

    fn observe(&self, &[angle, velocity]: &[f64; 2]) -> Vec<f64> {
        vec![angle.cos(), angle.sin(), velocity]
    }

    fn advance(
        &self,
        &[angle, velocity]: &[f64; 2],
        action: &[f64],
        _step: usize,
    ) -> ([f64; 2], f64, bool) {
        let torque = action[0].clamp(-MAX_TORQUE, MAX_TORQUE);
        let push = ops::product_as_typed(self.push(), torque);
        let effort = self.effort * torque * torque;
        let cost = wrapped(angle).powi(2) + 0.1 * velocity * velocity + effort;
        let velocity =
            (velocity + (self.fall() * angle.sin() + push) * DT).clamp(-MAX_SPEED, MAX_SPEED);
        ([angle + velocity * DT, velocity], -cost, false)
    }

    fn next(&self, obs: &Tensor, torque: &Tensor) -> Result<Tensor> {
        let (cos, sin, velocity) =
            (ops::column(obs, 0)?, ops::column(obs, 1)?, ops::column(obs, 2)?);
        let acceleration = ((&sin * self.fall())? + (torque * self.push())?)?;
        let velocity = ops::clip(&(velocity + (acceleration * DT)?)?, -MAX_SPEED, MAX_SPEED)?;
        let (cos, sin) = ops::rotate(&cos, &sin, &(&velocity * DT)?)?;
        Ok(Tensor::cat(&[cos, sin, velocity], 1)?)
    }

    fn reward(&self, obs: &Tensor, torque: &Tensor, _next: &Tensor) -> Result<Tensor> {
        let angle = ops::angle(&ops::column(obs, 0)?, &ops::column(obs, 1)?)?;
        let velocity = ops::column(obs, 2)?;
        let cost = ((angle.sqr()? + (velocity.sqr()? * 0.1)?)? + (torque.sqr()? * self.effort)?)?;
        Ok(cost.neg()?.squeeze(1)?)
    }

    fn scene(&self, &[angle, _]: &[f64; 2]) -> Option<Scene> {
        // As Gymnasium draws it: positive angles turn to the left.
        let tip = [-self.length * angle.sin(), self.length * angle.cos()];
        let pivot = [0.0, 0.0];
        Some(Scene {
            parts: vec![
                Part::capsule(Role::Body, pivot, tip, 0.1),
                Part::circle(Role::Fixed, pivot, 0.05),
            ],
            ground: None,
            traced: vec![tip],
            camera: Camera { centre: pivot, size: [2.5 * self.length.max(1.0); 2] },
            time_step: Some(DT),
        })
    }
}
