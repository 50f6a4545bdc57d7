//! The continuous mountain car of Gymnasium 1.4.0, `MountainCarContinuous-v0`.

use candle_core::Tensor;

use super::Physics;
use super::ops::{self, fits_single, single};
use crate::env::EnvInfo;
use crate::env::scene::{Camera, Ground, Part, Point, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

const POWER: f64 = 0.0015;
const SLOPE: f64 = 0.0025;
const MAX_SPEED: f64 = 0.07;
const MIN_POSITION: f64 = -1.2;
const MAX_POSITION: f64 = 0.6;
const GOAL_POSITION: f64 = 0.45;
const GOAL_VELOCITY: f64 = 0.0;
const GOAL_REWARD: f64 = 100.0;
const EFFORT: f64 = 0.1;
const MAX_STEPS: usize = 999;

/// A car too weak for its hill. State and observation: position (clipped to `[-1.2, 0.6]`) and
/// velocity (clipped to 0.07). Action: force in `[-1, 1]`. Terminates at position 0.45 with a
/// velocity that is not negative, for a reward of 100; every step costs `0.1 force^2`. 999 steps.
///
/// Equal to Gymnasium's to 1e-6 over whole episodes. For that, the default rounds where Gymnasium
/// does: its state is stored in single precision after every step, and its arithmetic follows the
/// number type of the action (an action that fits a `f32` exactly counts as one). Without the
/// rounding an episode drifts by up to 1e-5; [`MountainCar::double`] leaves it out and is what the
/// differentiable model equals to the last bits. As in Gymnasium, the cost of an out-of-range
/// action is that of the action before clipping.
#[derive(Debug, Clone, Copy)]
pub struct MountainCar {
    rounds: bool,
}

impl Default for MountainCar {
    fn default() -> Self {
        Self { rounds: true }
    }
}

impl MountainCar {
    /// The same car in double precision throughout.
    #[must_use]
    pub fn double() -> Self {
        Self { rounds: false }
    }
}

impl Physics for MountainCar {
    type State = [f64; 2];

    const TERMINATES: bool = true;

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "mountain-car".into(),
            obs_dim: 2,
            action_low: vec![-1.0],
            action_high: vec![1.0],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 2] {
        [-0.6 + 0.2 * rng.uniform(), 0.0]
    }

    fn observe(&self, state: &[f64; 2]) -> Vec<f64> {
        state.to_vec()
    }

    fn advance(
        &self,
        &[position, velocity]: &[f64; 2],
        action: &[f64],
        step: usize,
    ) -> ([f64; 2], f64, bool) {
        // Gymnasium's number types: the state of a reset is double, later ones are single; a double
        // number stays double in NumPy, while a Python float adapts to what it meets.
        let (action, wide_state) = (action[0], !self.rounds || step == 0);
        let force = action.clamp(-1.0, 1.0);
        let clipped = force != action;
        let narrow_action = self.rounds && !clipped && fits_single(action);
        let rounded = |wide: bool, x: f64| if wide { x } else { single(x) };

        let slope = SLOPE * rounded(wide_state, 3.0 * position).cos();
        let pull = if narrow_action {
            single(single(single(POWER) * force) - single(slope))
        } else {
            force * POWER - slope
        };
        let mut wide = wide_state || !(clipped || narrow_action);
        let mut velocity = rounded(wide, velocity + rounded(wide, pull));
        if velocity.abs() > rounded(wide, MAX_SPEED) {
            velocity = rounded(wide_state, MAX_SPEED.copysign(velocity));
            wide = wide_state;
        }
        let position = rounded(wide, position + velocity)
            .clamp(rounded(wide, MIN_POSITION), rounded(wide, MAX_POSITION));
        if position == rounded(wide, MIN_POSITION) && velocity < 0.0 {
            velocity = 0.0;
        }
        let goal = position >= rounded(wide, GOAL_POSITION) && velocity >= GOAL_VELOCITY;
        let reward = if goal { GOAL_REWARD } else { 0.0 } - EFFORT * action * action;
        ([rounded(!self.rounds, position), rounded(!self.rounds, velocity)], reward, goal)
    }

    fn next(&self, obs: &Tensor, force: &Tensor) -> Result<Tensor> {
        let (position, velocity) = (ops::column(obs, 0)?, ops::column(obs, 1)?);
        let slope = ((&position * 3.0)?.cos()? * SLOPE)?;
        let velocity = ((velocity + (force * POWER)?)? - slope)?;
        let velocity = ops::clip(&velocity, -MAX_SPEED, MAX_SPEED)?;
        let position = ops::clip(&(position + &velocity)?, MIN_POSITION, MAX_POSITION)?;
        // The left wall is inelastic.
        let stopped = (position.le(MIN_POSITION)? * velocity.lt(0.0)?)?;
        let velocity = stopped.where_cond(&velocity.zeros_like()?, &velocity)?;
        Ok(Tensor::cat(&[position, velocity], 1)?)
    }

    fn reward(&self, _obs: &Tensor, force: &Tensor, next: &Tensor) -> Result<Tensor> {
        let bonus = (goal(next)? * GOAL_REWARD)?;
        Ok((bonus - (force.sqr()? * EFFORT)?.squeeze(1)?)?)
    }

    fn continuation(&self, next: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some((1.0 - goal(next)?)?))
    }

    fn scene(&self, &[position, _]: &[f64; 2]) -> Option<Scene> {
        let slope = (1.35 * (3.0 * position).cos()).atan();
        let (sin, cos) = slope.sin_cos();
        // Lengths along and away from the hill, from where the car stands on it.
        let [x, y] = surface(position);
        let at = |along: f64, up: f64| [x + along * cos - up * sin, y + along * sin + up * cos];
        let wheel = |along| Part::circle(Role::Fixed, at(along, 0.03), 0.03);
        let [goal, foot] = surface(GOAL_POSITION);
        let pole = [[goal, foot], [goal, foot + 0.2], [goal + 0.07, foot + 0.165]];
        let steps = 90;
        let width = (MAX_POSITION - MIN_POSITION) / f64::from(steps);
        let hill = (0..=steps).map(|i| surface(MIN_POSITION + f64::from(i) * width)).collect();
        Some(Scene {
            parts: vec![
                Part::path(Role::Target, [&pole[..], &[[goal, foot + 0.13]]].concat()),
                Part::capsule(Role::Body, at(-0.05, 0.075), at(0.05, 0.075), 0.035),
                wheel(-0.05),
                wheel(0.05),
            ],
            ground: Some(Ground::Hill(hill)),
            traced: vec![at(0.0, 0.075)],
            camera: Camera { centre: [-0.3, 0.55], size: [1.8, 1.3] },
            time_step: None,
        })
    }
}

/// The hill as Gymnasium draws it.
fn surface(position: f64) -> Point {
    [position, 0.45 * (3.0 * position).sin() + 0.55]
}

/// 1 at the goal, else 0, `[B]`; no gradient.
fn goal(obs: &Tensor) -> Result<Tensor> {
    let (position, velocity) = (ops::column(obs, 0)?, ops::column(obs, 1)?);
    let there = (position.ge(GOAL_POSITION)? * velocity.ge(GOAL_VELOCITY)?)?;
    Ok(there.to_dtype(obs.dtype())?.squeeze(1)?)
}
