//! A two-link leg whose foot follows an ellipse.

use std::f64::consts::{PI, TAU};

use candle_core::Tensor;

use super::two_link::Joints;
use super::{Link, Physics, TwoLink, ops};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;

/// Masses (kg) and lengths (m) of thigh and shank, uniform rods; damping (N m s/rad) of hip and
/// knee; gravity (m/s^2).
const LEG: TwoLink = TwoLink {
    links: [Link::rod(0.6, 0.25), Link::rod(0.3, 0.25)],
    damping: [0.15, 0.05],
    gravity: 9.81,
};
/// Greatest torques of hip and knee, N m.
const MAX_TORQUE: [f64; 2] = [3.0, 1.0];
/// Centre of the ellipse, m: down and forward of the hip.
const CENTRE: [f64; 2] = [0.36, 0.0];
/// Its semi-axes, m, down and forward.
const SEMI_AXES: [f64; 2] = [0.06, 0.15];
/// Time of one round, s.
const PERIOD: f64 = 1.5;
/// Units of length in a metre: the reward counts in decimetres.
const UNIT: f64 = 10.0;
/// s between two actions.
const DT: f64 = 0.02;
/// Runge-Kutta steps in that time.
const SUBSTEPS: usize = 2;
const MAX_STEPS: usize = 200;
/// Half the width of the uniform start noise of the angles (rad) and their rates (rad/s).
const START_NOISE: f64 = 0.1;
/// The share of the place in the reward; the rest is the velocity's.
const PLACE: f64 = 0.8;
/// Rate of the phase, rad/s.
const PACE: f64 = Leg2R::PACE;

/// A leg hanging from a fixed hip, to lead its foot round an ellipse by torques at hip and knee.
///
/// State: hip angle (rad, from straight down, forward positive), knee angle (from the thigh), their
/// rates, phase (rad, not wrapped). Observation: cos and sin of the hip, of the knee, both rates,
/// cos and sin of the phase. Actions: torques of hip and knee in N m, to 3 and 1. Angles have no
/// stops. The body is a [`TwoLink`], `x` down and `y` forward. 200 steps of 0.02 s, no termination.
///
/// At the phase `f` the foot should be at `p_d = (0.36 + 0.06 cos f, 0.15 sin f)` m, which goes
/// round once in 1.5 s. A step's reward is that of the state and phase that it reaches, equation 15
/// of M-DeMoRL,
///
/// `0.8 exp(-|p - p_d|^2) + 0.2 exp(-|p' - p_d'|^2)`, lengths in dm, times in s.
///
/// The task is that of section V there; its equation names no unit and the paper no mass, length,
/// ellipse or episode, so all of these are ours. In metres the first term is above 0.6 wherever the
/// foot of this leg can be and a leg that does nothing earns most of the reward; in centimetres it
/// vanishes beyond a finger's breadth. In decimetres, the ellipse being 3 dm by 1.2 dm, a foot that
/// hangs, swings at random, or stays at the ellipse's centre earns about 0.1, 0.1 and 0.27 a step,
/// and one that follows 0.98. The torques are about two and a half times those that following
/// needs. Starts: the foot near the centre and nearly at rest, the knee forward, any phase.
#[derive(Debug, Clone, Copy)]
pub struct Leg2R {
    body: TwoLink,
}

impl Default for Leg2R {
    fn default() -> Self {
        Self { body: LEG }
    }
}

impl Leg2R {
    /// The leg's body: what to give another simulator to compare with.
    #[must_use]
    pub fn body() -> TwoLink {
        LEG
    }

    /// Rate of the phase, rad/s.
    pub const PACE: f64 = TAU / PERIOD;

    /// What a step earns that reaches these joints (angles in rad, their rates in rad/s) and this
    /// phase (rad).
    #[must_use]
    pub fn earns(joints: &[f64; 4], phase: f64) -> f64 {
        Self::default().reached(joints, phase)
    }

    fn reached(&self, joints: &[f64; 4], phase: f64) -> f64 {
        let (place, velocity) = self.body.tip(joints);
        let (place_d, velocity_d) = Self::desired(phase);
        let near = (-UNIT * UNIT * square_distance(place, place_d)).exp();
        let along = (-UNIT * UNIT * square_distance(velocity, velocity_d)).exp();
        PLACE * near + (1.0 - PLACE) * along
    }

    /// Where the foot should be (m) and how fast it should move (m/s) at a phase (rad).
    #[must_use]
    pub fn desired(phase: f64) -> ([f64; 2], [f64; 2]) {
        let (sin, cos) = phase.sin_cos();
        let place = [CENTRE[0] + SEMI_AXES[0] * cos, CENTRE[1] + SEMI_AXES[1] * sin];
        (place, [-PACE * SEMI_AXES[0] * sin, PACE * SEMI_AXES[1] * cos])
    }
}

/// Square of the difference of two vectors.
fn square_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// `exp` of minus the square of the differences, in dm.
fn bell(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    Ok(((x.sqr()? + y.sqr()?)? * (-UNIT * UNIT))?.exp()?)
}

impl Physics for Leg2R {
    type State = [f64; 5];

    const PARAMETERS: &'static [(&'static str, Possible)] = TwoLink::PARAMETERS;

    fn parameter(&self, place: usize) -> f64 {
        self.body.parameter(place)
    }

    fn set_parameter(&mut self, place: usize, value: f64) {
        self.body.set_parameter(place, value);
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "leg-2r".into(),
            obs_dim: 8,
            action_low: MAX_TORQUE.map(|most| -most).to_vec(),
            action_high: MAX_TORQUE.to_vec(),
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 5] {
        // Equal links: the triangle of hip, knee and foot has two equal sides.
        let bend = (CENTRE[0] / (2.0 * self.body.links[0].length)).min(1.0).acos();
        let pose = [bend, -2.0 * bend, 0.0, 0.0];
        let [q1, q2, w1, w2] = pose.map(|rest| rest + START_NOISE * (2.0 * rng.uniform() - 1.0));
        [q1, q2, w1, w2, PI * (2.0 * rng.uniform() - 1.0)]
    }

    fn observe(&self, &[q1, q2, w1, w2, phase]: &[f64; 5]) -> Vec<f64> {
        vec![q1.cos(), q1.sin(), q2.cos(), q2.sin(), w1, w2, phase.cos(), phase.sin()]
    }

    fn advance(&self, state: &[f64; 5], action: &[f64], _step: usize) -> ([f64; 5], f64, bool) {
        let &[q1, q2, w1, w2, phase] = state;
        let torque = [0, 1].map(|i| action[i].clamp(-MAX_TORQUE[i], MAX_TORQUE[i]));
        let joints = self.body.advance([q1, q2, w1, w2], torque, DT, SUBSTEPS);
        let phase = phase + PACE * DT;
        let [q1, q2, w1, w2] = joints;
        ([q1, q2, w1, w2, phase], self.reached(&joints, phase), false)
    }

    fn next(&self, obs: &Tensor, torque: &Tensor) -> Result<Tensor> {
        let torque = [ops::column(torque, 0)?, ops::column(torque, 1)?];
        let joints = self.body.advance_joints(Joints::of(obs)?, &torque, DT, SUBSTEPS)?;
        let (cos, sin) = (ops::column(obs, 6)?, ops::column(obs, 7)?);
        let (s, c) = (PACE * DT).sin_cos();
        let phase = [((&cos * c)? - (&sin * s)?)?, ((sin * c)? + (cos * s)?)?];
        let [c1, s1, c2, s2, w1, w2] = joints.columns();
        Ok(Tensor::cat(&[c1, s1, c2, s2, w1, w2, &phase[0], &phase[1]], 1)?)
    }

    fn reward(&self, _obs: &Tensor, _torque: &Tensor, next: &Tensor) -> Result<Tensor> {
        let tip = self.body.tip_of(&Joints::of(next)?)?;
        let (cos, sin) = (ops::column(next, 6)?, ops::column(next, 7)?);
        let [x, y] = tip.position;
        let near = bell(
            &(x - cos.affine(SEMI_AXES[0], CENTRE[0])?)?,
            &(y - sin.affine(SEMI_AXES[1], CENTRE[1])?)?,
        )?;
        let [vx, vy] = tip.velocity;
        let along =
            bell(&(vx + (sin * (PACE * SEMI_AXES[0]))?)?, &(vy - (cos * (PACE * SEMI_AXES[1]))?)?)?;
        Ok(((near * PLACE)? + (along * (1.0 - PLACE))?)?.squeeze(1)?)
    }

    fn scene(&self, &[q1, q2, w1, w2, phase]: &[f64; 5]) -> Option<Scene> {
        let side = |[down, forward]: [f64; 2]| [forward, -down];
        let hip = [0.0, 0.0];
        let [knee, foot] = self.body.points(&[q1, q2, w1, w2]).map(side);
        let ellipse = (0..=64).map(|i| side(Self::desired(TAU * f64::from(i) / 64.0).0)).collect();
        Some(Scene {
            parts: vec![
                Part::path(Role::Target, ellipse),
                Part::capsule(Role::Body, hip, knee, 0.035),
                Part::capsule(Role::Limb, knee, foot, 0.025),
                Part::circle(Role::Fixed, hip, 0.02),
                Part::circle(Role::Target, side(Self::desired(phase).0), 0.018),
            ],
            ground: None,
            traced: vec![foot],
            camera: Camera { centre: [0.0, -0.22], size: [0.62, 0.62] },
            time_step: Some(DT),
        })
    }
}
