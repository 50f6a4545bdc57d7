//! The acrobot: two hanging links to swing up and hold by a torque between them.

use candle_core::Tensor;

use super::two_link::Joints;
use super::{Link, Physics, TwoLink};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

/// Masses (kg) and lengths (m) of the links, uniform rods; damping (N m s/rad) of shoulder and
/// elbow; gravity (m/s^2).
const BODY: TwoLink = TwoLink {
    links: [Link::rod(1.0, 0.5), Link::rod(1.0, 0.5)],
    damping: [0.02, 0.3],
    gravity: 9.81,
};
/// Greatest torque of the elbow, N m.
const MAX_TORQUE: f64 = 8.0;
/// s between two actions.
const DT: f64 = 0.04;
/// Runge-Kutta steps in that time.
const SUBSTEPS: usize = 4;
const MAX_STEPS: usize = 250;
/// Half the width of the uniform start noise, in every coordinate.
const START_NOISE: f64 = 0.1;
/// Width (standard deviation) of the reward's bell curve over the rates, rad/s.
const SPIN_WIDTH: f64 = 4.0;

/// Two links to swing up by a torque at the elbow alone; nothing turns the shoulder.
///
/// State: the first link's angle (rad, 0 hanging, not wrapped), the second's from the first, their
/// rates. Observation: cos and sin of the first angle, of the second, both rates. Action: torque in
/// N m, to 8. The body is a [`TwoLink`]. 250 steps of 0.04 s, no termination. Starts: hanging, every
/// coordinate within 0.1 of rest.
///
/// A step's reward, in `[0, 1]`, is that of the state reached and of the action:
///
/// `up_1 (1 + up_2)/2 * (1 + slow)/2 * (4 + idle)/5`, `up = (1 - cos)/2` of each link's own
/// direction, `slow = exp(-(w1^2 + w2^2) / 32)`, `idle = 1 - (torque / 8)^2`.
///
/// The underactuated arm is Spong's (1995, "The swing up control problem for the acrobot"); size,
/// torque and reward are ours; held random torques just swing it up. The control suite's reward (Tassa et al. 2018, arXiv 1801.00690) is
/// nearly flat until the tip is near the top; this one has the factors of our cart-pole, and counts
/// the elbow's height before the tip's: the tip's alone would pay half for folding the elbow, which
/// needs no swing.
#[derive(Debug, Clone, Copy)]
pub struct Acrobot {
    body: TwoLink,
}

impl Default for Acrobot {
    fn default() -> Self {
        Self { body: BODY }
    }
}

impl Acrobot {
    /// The acrobot's body.
    #[must_use]
    pub fn body() -> TwoLink {
        BODY
    }
}

impl Physics for Acrobot {
    type State = [f64; 4];

    const PARAMETERS: &'static [(&'static str, Possible)] = TwoLink::PARAMETERS;

    fn parameter(&self, place: usize) -> f64 {
        self.body.parameter(place)
    }

    fn set_parameter(&mut self, place: usize, value: f64) {
        self.body.set_parameter(place, value);
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "acrobot".into(),
            obs_dim: 6,
            action_low: vec![-MAX_TORQUE],
            action_high: vec![MAX_TORQUE],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 4] {
        [0.0; 4].map(|_| START_NOISE * (2.0 * rng.uniform() - 1.0))
    }

    fn observe(&self, &[q1, q2, w1, w2]: &[f64; 4]) -> Vec<f64> {
        vec![q1.cos(), q1.sin(), q2.cos(), q2.sin(), w1, w2]
    }

    fn advance(&self, state: &[f64; 4], action: &[f64], _step: usize) -> ([f64; 4], f64, bool) {
        let torque = action[0].clamp(-MAX_TORQUE, MAX_TORQUE);
        let next = self.body.advance(*state, [0.0, torque], DT, SUBSTEPS);

        let [q1, q2, w1, w2] = next;
        let up = |direction: f64| 0.5 * (1.0 - direction.cos());
        let slow = (-0.5 * (w1 * w1 + w2 * w2) / (SPIN_WIDTH * SPIN_WIDTH)).exp();
        let idle = 1.0 - (torque / MAX_TORQUE).powi(2);
        let height = up(q1) * (0.5 + 0.5 * up(q1 + q2));
        (next, height * (0.5 + 0.5 * slow) * (0.8 + 0.2 * idle), false)
    }

    fn next(&self, obs: &Tensor, torque: &Tensor) -> Result<Tensor> {
        let torque = [torque.zeros_like()?, torque.clone()];
        let joints = self.body.advance_joints(Joints::of(obs)?, &torque, DT, SUBSTEPS)?;
        Ok(Tensor::cat(&joints.columns(), 1)?)
    }

    fn reward(&self, _obs: &Tensor, torque: &Tensor, next: &Tensor) -> Result<Tensor> {
        let joints = Joints::of(next)?;
        let first = joints.cos[0].affine(-0.5, 0.5)?;
        // (1 + (1 - cos)/2) / 2.
        let second = joints.direction()?.0.affine(-0.25, 0.75)?;
        let [w1, w2] = &joints.rate;
        let spin = ((w1.sqr()? + w2.sqr()?)? * (-0.5 / (SPIN_WIDTH * SPIN_WIDTH)))?;
        let slow = spin.exp()?.affine(0.5, 0.5)?;
        let idle = torque.sqr()?.affine(-0.2 / (MAX_TORQUE * MAX_TORQUE), 1.0)?;
        Ok((((first * second)? * slow)? * idle)?.squeeze(1)?)
    }

    fn scene(&self, state: &[f64; 4]) -> Option<Scene> {
        let shoulder = [0.0, 0.0];
        // The body's `x` points down.
        let [elbow, tip] = self.body.points(state).map(|[down, aside]| [aside, -down]);
        Some(Scene {
            parts: vec![
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
