//! A two-link arm in the horizontal plane that reaches for a target.

use std::f64::consts::TAU;

use candle_core::Tensor;

use super::two_link::Joints;
use super::{Link, Physics, TwoLink, ops};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

/// Masses (kg) and lengths (m) of the arm's links, uniform rods; damping (N m s/rad) of shoulder
/// and elbow; no gravity in the plane.
const ARM: TwoLink = TwoLink {
    links: [Link::rod(1.0, 0.5), Link::rod(1.0, 0.5)],
    damping: [0.2, 0.1],
    gravity: 0.0,
};
/// Greatest torques of shoulder and elbow, N m.
const MAX_TORQUE: [f64; 2] = [2.0, 1.0];
/// Least and greatest distance of a target from the shoulder, m.
const TARGETS: [f64; 2] = [0.2, 0.9];
/// Cost of a full torque.
const EFFORT: f64 = 0.1;
/// The distance is rounded off below this, m, so that it has a gradient at 0.
const ROUNDING: f64 = 1e-3;
/// s between two actions.
const DT: f64 = 0.04;
/// Runge-Kutta steps in that time.
const SUBSTEPS: usize = 2;
const MAX_STEPS: usize = 50;
/// Half the width of the uniform start noise of the angles (rad) and their rates (rad/s).
const START_NOISE: f64 = 0.1;

/// An arm of 1 m to bring to a random target by torques at shoulder and elbow.
///
/// State: shoulder and elbow angles, their rates, the target's `x` and `y` (m). Observation: cos
/// and sin of the shoulder, of the elbow, both rates, the target, and the vector from the target to
/// the fingertip. Actions: torques in N m, to 2 and 1. The body is a [`TwoLink`] without gravity. 50
/// steps of 0.04 s, no termination. Starts: stretched along `x` and at rest, all within 0.1; the
/// target uniform over the ring from 0.2 to 0.9 m round the shoulder.
///
/// A step's reward is `-(sqrt(d^2 + e^2) - e) - 0.1 |u|^2`, `d` the distance reached (m), `e` 1 mm,
/// `u` the torques as shares of their greatest.
///
/// After Gymnasium's `Reacher-v5` in what is observed and rewarded; the physics, the size (there
/// 0.2 m) and with it the weight of the effort against the distance are ours.
#[derive(Debug, Clone, Copy)]
pub struct Reacher2 {
    body: TwoLink,
}

impl Default for Reacher2 {
    fn default() -> Self {
        Self { body: ARM }
    }
}

impl Reacher2 {
    /// The arm's body.
    #[must_use]
    pub fn body() -> TwoLink {
        ARM
    }
}

impl Physics for Reacher2 {
    type State = [f64; 6];

    const PARAMETERS: &'static [(&'static str, Possible)] = TwoLink::PARAMETERS.split_at(6).0;

    fn parameter(&self, place: usize) -> f64 {
        self.body.parameter(place)
    }

    fn set_parameter(&mut self, place: usize, value: f64) {
        self.body.set_parameter(place, value);
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "reacher-2".into(),
            obs_dim: 10,
            action_low: MAX_TORQUE.map(|most| -most).to_vec(),
            action_high: MAX_TORQUE.to_vec(),
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 6] {
        let [q1, q2, w1, w2] = [0.0; 4].map(|_| START_NOISE * (2.0 * rng.uniform() - 1.0));
        // Uniform over the area: the square of the radius is uniform.
        let [low, high] = TARGETS.map(|r| r * r);
        let (radius, angle) = ((low + (high - low) * rng.uniform()).sqrt(), TAU * rng.uniform());
        [q1, q2, w1, w2, radius * angle.cos(), radius * angle.sin()]
    }

    fn observe(&self, &[q1, q2, w1, w2, x, y]: &[f64; 6]) -> Vec<f64> {
        let ([tip_x, tip_y], _) = self.body.tip(&[q1, q2, w1, w2]);
        vec![q1.cos(), q1.sin(), q2.cos(), q2.sin(), w1, w2, x, y, tip_x - x, tip_y - y]
    }

    fn advance(&self, state: &[f64; 6], action: &[f64], _step: usize) -> ([f64; 6], f64, bool) {
        let &[q1, q2, w1, w2, x, y] = state;
        let torque = [0, 1].map(|i| action[i].clamp(-MAX_TORQUE[i], MAX_TORQUE[i]));
        let joints = self.body.advance([q1, q2, w1, w2], torque, DT, SUBSTEPS);

        let ([tip_x, tip_y], _) = self.body.tip(&joints);
        let square = (tip_x - x).powi(2) + (tip_y - y).powi(2);
        let distance = (square + ROUNDING * ROUNDING).sqrt() - ROUNDING;
        let effort = (torque[0] / MAX_TORQUE[0]).powi(2) + (torque[1] / MAX_TORQUE[1]).powi(2);
        let [q1, q2, w1, w2] = joints;
        ([q1, q2, w1, w2, x, y], -distance - EFFORT * effort, false)
    }

    fn next(&self, obs: &Tensor, torque: &Tensor) -> Result<Tensor> {
        let torque = [ops::column(torque, 0)?, ops::column(torque, 1)?];
        let joints = self.body.advance_joints(Joints::of(obs)?, &torque, DT, SUBSTEPS)?;
        let target = obs.narrow(1, 6, 2)?;
        let tip = Tensor::cat(&self.body.tip_of(&joints)?.position, 1)?;
        let away = (tip - &target)?;
        let [c1, s1, c2, s2, w1, w2] = joints.columns();
        Ok(Tensor::cat(&[c1, s1, c2, s2, w1, w2, &target, &away], 1)?)
    }

    fn reward(&self, _obs: &Tensor, torque: &Tensor, next: &Tensor) -> Result<Tensor> {
        let square = (ops::column(next, 8)?.sqr()? + ops::column(next, 9)?.sqr()?)?;
        let distance = ((square + ROUNDING * ROUNDING)?.sqrt()? - ROUNDING)?;
        let share =
            |i: usize| -> Result<Tensor> { Ok((ops::column(torque, i)? / MAX_TORQUE[i])?.sqr()?) };
        let effort = ((share(0)? + share(1)?)? * EFFORT)?;
        Ok((distance + effort)?.neg()?.squeeze(1)?)
    }

    fn scene(&self, &[q1, q2, w1, w2, x, y]: &[f64; 6]) -> Option<Scene> {
        let shoulder = [0.0, 0.0];
        let [elbow, tip] = self.body.points(&[q1, q2, w1, w2]);
        Some(Scene {
            parts: vec![
                Part::circle(Role::Target, [x, y], 0.07),
                Part::capsule(Role::Body, shoulder, elbow, 0.06),
                Part::capsule(Role::Limb, elbow, tip, 0.05),
                Part::circle(Role::Fixed, shoulder, 0.04),
            ],
            ground: None,
            traced: vec![tip],
            camera: Camera { centre: shoulder, size: [2.3, 2.3] },
            time_step: Some(DT),
        })
    }
}
