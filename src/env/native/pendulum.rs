//! The pendulum swing-up of Gymnasium 1.4.0, `Pendulum-v1`.

use std::f64::consts::{PI, TAU};

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::EnvInfo;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

const GRAVITY: f64 = 10.0;
const MASS: f64 = 1.0;
const LENGTH: f64 = 1.0;
const DT: f64 = 0.05;
const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f64 = 2.0;
const MAX_STEPS: usize = 200;

/// Acceleration a unit of `sin(angle)`: a uniform rod about its end has the inertia `m l^2 / 3`.
const FALL: f64 = 3.0 * GRAVITY / (2.0 * LENGTH);
/// Acceleration a unit of torque.
const PUSH: f64 = 3.0 / (MASS * LENGTH * LENGTH);

/// A rod to swing up and hold. State: angle (rad, 0 upright, not wrapped) and angular velocity
/// (rad/s, clipped to 8). Observation: cos, sin, angular velocity. Action: torque in `[-2, 2]` N m.
/// 200 steps, no termination.
///
/// Equal to Gymnasium's to 1e-6 over whole episodes, with one thing to know: Gymnasium computes in
/// the number type of the action, single precision for actions that its action space samples,
/// double for Python floats, and near upright that difference alone grows to 1e-4 within an
/// episode. So here an action that fits a `f32` exactly is multiplied as one. Gymnasium's
/// observations are rounded to `f32`; these are not (2.4e-7).
#[derive(Debug, Clone, Copy, Default)]
pub struct Pendulum;

/// The angle in `[-pi, pi)`.
fn wrapped(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}

impl Physics for Pendulum {
    type State = [f64; 2];

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "pendulum".into(),
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
        let push = ops::product_as_typed(PUSH, torque);
        let effort = 0.001 * torque * torque;
        let cost = wrapped(angle).powi(2) + 0.1 * velocity * velocity + effort;
        let velocity = (velocity + (FALL * angle.sin() + push) * DT).clamp(-MAX_SPEED, MAX_SPEED);
        ([angle + velocity * DT, velocity], -cost, false)
    }

    fn next(&self, obs: &Tensor, torque: &Tensor) -> Result<Tensor> {
        let (cos, sin, velocity) =
            (ops::column(obs, 0)?, ops::column(obs, 1)?, ops::column(obs, 2)?);
        let acceleration = ((&sin * FALL)? + (torque * PUSH)?)?;
        let velocity = ops::clip(&(velocity + (acceleration * DT)?)?, -MAX_SPEED, MAX_SPEED)?;
        let (cos, sin) = ops::rotate(&cos, &sin, &(&velocity * DT)?)?;
        Ok(Tensor::cat(&[cos, sin, velocity], 1)?)
    }

    fn reward(&self, obs: &Tensor, torque: &Tensor, _next: &Tensor) -> Result<Tensor> {
        let angle = ops::angle(&ops::column(obs, 0)?, &ops::column(obs, 1)?)?;
        let velocity = ops::column(obs, 2)?;
        let cost = ((angle.sqr()? + (velocity.sqr()? * 0.1)?)? + (torque.sqr()? * 0.001)?)?;
        Ok(cost.neg()?.squeeze(1)?)
    }

    fn scene(&self, &[angle, _]: &[f64; 2]) -> Option<Scene> {
        // As Gymnasium draws it: positive angles turn to the left.
        let tip = [-LENGTH * angle.sin(), LENGTH * angle.cos()];
        let pivot = [0.0, 0.0];
        Some(Scene {
            parts: vec![
                Part::capsule(Role::Body, pivot, tip, 0.1),
                Part::circle(Role::Fixed, pivot, 0.05),
            ],
            ground: None,
            traced: vec![tip],
            camera: Camera { centre: pivot, size: [2.5, 2.5] },
            time_step: Some(DT),
        })
    }
}
