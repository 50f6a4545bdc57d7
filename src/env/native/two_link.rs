//! [`TwoLink`]: two rigid links in a plane, turned by torques at their joints; the body that the
//! leg, the reacher and the acrobot share.

use candle_core::Tensor;

use super::ops;
use crate::env::parameters::Possible;
use crate::error::Result;

/// A rigid link. Lengths along it are measured from the joint that carries it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// kg.
    pub mass: f64,
    /// From joint to end, m.
    pub length: f64,
    /// From joint to centre of mass, m.
    pub centre: f64,
    /// About the centre of mass, kg m^2.
    pub inertia: f64,
}

impl Link {
    /// A uniform rod: its centre in the middle, its inertia `m l^2 / 12`.
    #[must_use]
    pub const fn rod(mass: f64, length: f64) -> Self {
        Self { mass, length, centre: 0.5 * length, inertia: mass * length * length / 12.0 }
    }
}

/// A double pendulum with torques at both joints, the first of which is fixed at the origin.
///
/// `x` points along gravity and `y` so that angles turn from `x` to `y`; without gravity the plane
/// may be any. State `[q1, q2, w1, w2]`: the angle of the first link from `x` and that of the second
/// from the first (rad, not wrapped), and their rates (rad/s). The equations are those of the
/// standard manipulator form,
///
/// `M(q) w' + C(q, w) + G(q) + D w = torque`, with, where `c` are centres and `l` lengths,
///
/// * `M = [[a + 2 b cos q2, d + b cos q2], [d + b cos q2, d]]`, `d = I2 + m2 c2^2`,
///   `b = m2 l1 c2`, `a = I1 + m1 c1^2 + m2 l1^2 + d`,
/// * `C = b sin q2 [-(2 w1 + w2) w2, w1^2]`,
/// * `G = g [(m1 c1 + m2 l1) sin q1 + m2 c2 sin(q1 + q2), m2 c2 sin(q1 + q2)]`,
/// * `D` the diagonal of the joints' viscous damping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoLink {
    /// The link at the origin and the one that it carries.
    pub links: [Link; 2],
    /// Torque against each joint's rate, N m s/rad.
    pub damping: [f64; 2],
    /// Acceleration of free fall along `x`, m/s^2.
    pub gravity: f64,
}

impl TwoLink {
    /// The parameters of a body of uniform rods that may be set; gravity comes last.
    pub const PARAMETERS: &'static [(&'static str, Possible)] = &[
        ("mass-1", Possible::Positive),
        ("mass-2", Possible::Positive),
        ("length-1", Possible::Positive),
        ("length-2", Possible::Positive),
        ("damping-1", Possible::NotNegative),
        ("damping-2", Possible::NotNegative),
        ("gravity", Possible::NotNegative),
    ];

    /// The value of a parameter by its place.
    #[must_use]
    pub fn parameter(&self, place: usize) -> f64 {
        let ([one, two], [d1, d2]) = (&self.links, self.damping);
        [one.mass, two.mass, one.length, two.length, d1, d2, self.gravity][place]
    }

    /// Sets a parameter by its place; a link becomes a uniform rod.
    pub fn set_parameter(&mut self, place: usize, value: f64) {
        let link = &mut self.links[place % 2];
        match place {
            0 | 1 => *link = Link::rod(value, link.length),
            2 | 3 => *link = Link::rod(link.mass, value),
            4 | 5 => self.damping[place % 2] = value,
            _ => self.gravity = value,
        }
    }
}

/// `x + by * d`, joint by joint.
fn ahead(x: &[Tensor; 2], d: &[Tensor; 2], by: f64) -> Result<[Tensor; 2]> {
    Ok([(&x[0] + (&d[0] * by)?)?, (&x[1] + (&d[1] * by)?)?])
}

/// Angles as directions and rates of both joints, in tensors, each `[B,1]`.
#[derive(Debug, Clone)]
pub(super) struct Joints {
    pub cos: [Tensor; 2],
    pub sin: [Tensor; 2],
    pub rate: [Tensor; 2],
}

impl Joints {
    /// The first six columns of an observation: cos and sin of the first angle, those of the
    /// second, both rates.
    pub fn of(obs: &Tensor) -> Result<Self> {
        let column = |i| ops::column(obs, i);
        Ok(Self {
            cos: [column(0)?, column(2)?],
            sin: [column(1)?, column(3)?],
            rate: [column(4)?, column(5)?],
        })
    }

    /// Those six columns.
    pub fn columns(&self) -> [&Tensor; 6] {
        let Self { cos: [c1, c2], sin: [s1, s2], rate: [w1, w2] } = self;
        [c1, s1, c2, s2, w1, w2]
    }

    /// Cos and sin of the second link's own direction, `q1 + q2`.
    pub fn direction(&self) -> Result<(Tensor, Tensor)> {
        let Self { cos: [c1, c2], sin: [s1, s2], .. } = self;
        Ok((((c1 * c2)? - (s1 * s2)?)?, ((s1 * c2)? + (c1 * s2)?)?))
    }

    /// The same angles turned by `by`, at other rates.
    fn turned(&self, by: &[Tensor; 2], rate: [Tensor; 2]) -> Result<Self> {
        let (c1, s1) = ops::rotate(&self.cos[0], &self.sin[0], &by[0])?;
        let (c2, s2) = ops::rotate(&self.cos[1], &self.sin[1], &by[1])?;
        Ok(Self { cos: [c1, c2], sin: [s1, s2], rate })
    }
}

/// What the end of the second link does, each `[B,1]`.
pub(super) struct Tip {
    pub position: [Tensor; 2],
    pub velocity: [Tensor; 2],
}

impl TwoLink {
    /// `(a, b, d)` of the mass matrix.
    fn inertias(&self) -> (f64, f64, f64) {
        let [one, two] = &self.links;
        let d = two.inertia + two.mass * two.centre * two.centre;
        let b = two.mass * one.length * two.centre;
        let carried = one.mass * one.centre * one.centre + two.mass * one.length * one.length;
        (one.inertia + carried + d, b, d)
    }

    /// The factors of `sin q1` and `sin(q1 + q2)` in `G`.
    fn weights(&self) -> (f64, f64) {
        let [one, two] = &self.links;
        let first = one.mass * one.centre + two.mass * one.length;
        (self.gravity * first, self.gravity * two.mass * two.centre)
    }

    /// Where the second joint and the end of the second link are, m.
    #[must_use]
    pub fn points(&self, state: &[f64; 4]) -> [[f64; 2]; 2] {
        let (sin, cos) = state[0].sin_cos();
        [[self.links[0].length * cos, self.links[0].length * sin], self.tip(state).0]
    }

    /// The mass matrix `M`, kg m^2: symmetric and positive definite.
    #[must_use]
    pub fn mass_matrix(&self, &[_, q2, ..]: &[f64; 4]) -> [[f64; 2]; 2] {
        let ((a, b, d), cos) = (self.inertias(), q2.cos());
        [[a + 2.0 * b * cos, d + b * cos], [d + b * cos, d]]
    }

    /// `C + G + D w`, N m: the torques that keep both rates as they are.
    #[must_use]
    pub fn bias(&self, &[q1, q2, w1, w2]: &[f64; 4]) -> [f64; 2] {
        let ((_, b, _), (g1, g2)) = (self.inertias(), self.weights());
        let (whirl, fall) = (b * q2.sin(), g2 * (q1 + q2).sin());
        [
            -whirl * (2.0 * w1 + w2) * w2 + g1 * q1.sin() + fall + self.damping[0] * w1,
            whirl * w1 * w1 + fall + self.damping[1] * w2,
        ]
    }

    /// Time derivative of the state under torques in N m.
    #[must_use]
    pub fn slope(&self, state: &[f64; 4], torque: [f64; 2]) -> [f64; 4] {
        let ([[m11, m12], [_, m22]], bias) = (self.mass_matrix(state), self.bias(state));
        let (f1, f2) = (torque[0] - bias[0], torque[1] - bias[1]);
        let determinant = m11 * m22 - m12 * m12;
        let accelerations = [m22 * f1 - m12 * f2, m11 * f2 - m12 * f1];
        [state[2], state[3], accelerations[0] / determinant, accelerations[1] / determinant]
    }

    /// The state after `dt` seconds of constant torques, in `steps` Runge-Kutta steps of order 4.
    #[must_use]
    pub fn advance(&self, state: [f64; 4], torque: [f64; 2], dt: f64, steps: usize) -> [f64; 4] {
        let h = dt / steps as f64;
        (0..steps).fold(state, |s, _| ops::runge_kutta(s, h, |s| self.slope(s, torque)))
    }

    /// Mechanical energy in J, 0 at rest with both centres of mass level with the origin: constant
    /// without torques and damping.
    #[must_use]
    pub fn energy(&self, state: &[f64; 4]) -> f64 {
        let ([[m11, m12], [_, m22]], (g1, g2)) = (self.mass_matrix(state), self.weights());
        let &[q1, q2, w1, w2] = state;
        let kinetic = 0.5 * (m11 * w1 * w1 + 2.0 * m12 * w1 * w2 + m22 * w2 * w2);
        kinetic - g1 * q1.cos() - g2 * (q1 + q2).cos()
    }

    /// Position (m) and velocity (m/s) of the second link's end, each `[x, y]`.
    #[must_use]
    pub fn tip(&self, &[q1, q2, w1, w2]: &[f64; 4]) -> ([f64; 2], [f64; 2]) {
        let ((s1, c1), (s2, c2)) = (q1.sin_cos(), (q1 + q2).sin_cos());
        let (l1, l2) = (self.links[0].length, self.links[1].length);
        let (v1, v2) = (l1 * w1, l2 * (w1 + w2));
        ([l1 * c1 + l2 * c2, l1 * s1 + l2 * s2], [-v1 * s1 - v2 * s2, v1 * c1 + v2 * c2])
    }

    /// [`TwoLink::tip`] in tensors.
    pub(super) fn tip_of(&self, joints: &Joints) -> Result<Tip> {
        let (l1, l2) = (self.links[0].length, self.links[1].length);
        let (c2, s2) = joints.direction()?;
        let (x1, y1) = ((&joints.cos[0] * l1)?, (&joints.sin[0] * l1)?);
        let (x2, y2) = ((c2 * l2)?, (s2 * l2)?);
        let (w1, w2) = (&joints.rate[0], (&joints.rate[0] + &joints.rate[1])?);
        let down = ((&y1 * w1)? + (&y2 * &w2)?)?.neg()?;
        let aside = ((&x1 * w1)? + (&x2 * &w2)?)?;
        Ok(Tip { position: [(x1 + x2)?, (y1 + y2)?], velocity: [down, aside] })
    }

    /// [`TwoLink::bias`] in tensors.
    fn bias_of(&self, joints: &Joints) -> Result<[Tensor; 2]> {
        let ((_, b, _), (g1, g2)) = (self.inertias(), self.weights());
        let [w1, w2] = &joints.rate;
        let whirl = (&joints.sin[1] * b)?;
        let fall = (joints.direction()?.1 * g2)?;
        let drag = [(w1 * self.damping[0])?, (w2 * self.damping[1])?];
        let coriolis = ((&whirl * ((w1 * 2.0)? + w2)?)? * w2)?;
        let weight = ((&joints.sin[0] * g1)? + &fall)?;
        let centrifugal = (whirl * w1.sqr()?)?;
        Ok([((weight - coriolis)? + &drag[0])?, ((centrifugal + fall)? + &drag[1])?])
    }

    /// The accelerations of [`TwoLink::slope`] in tensors, each `[B,1]`.
    fn acceleration(&self, joints: &Joints, torque: &[Tensor; 2]) -> Result<[Tensor; 2]> {
        let ((a, b, d), cos) = (self.inertias(), &joints.cos[1]);
        let (m11, m12) = (cos.affine(2.0 * b, a)?, cos.affine(b, d)?);
        let bias = self.bias_of(joints)?;
        let (f1, f2) = ((&torque[0] - &bias[0])?, (&torque[1] - &bias[1])?);
        let determinant = ((&m11 * d)? - m12.sqr()?)?;
        let first = ((&f1 * d)? - (&m12 * &f2)?)?;
        let second = ((m11 * f2)? - (m12 * f1)?)?;
        Ok([(first / &determinant)?, (second / determinant)?])
    }

    /// [`TwoLink::advance`] in tensors; torques in N m, each `[B,1]`.
    pub(super) fn advance_joints(
        &self,
        mut joints: Joints,
        torque: &[Tensor; 2],
        dt: f64,
        steps: usize,
    ) -> Result<Joints> {
        let h = dt / steps as f64;
        for _ in 0..steps {
            // Runge-Kutta; angles are carried as turns from where the step began.
            let still = [joints.rate[0].zeros_like()?, joints.rate[1].zeros_like()?];
            let w1 = &joints.rate;
            let a1 = self.acceleration(&joints, torque)?;
            let at = |w: &[Tensor; 2], a: &[Tensor; 2], time: f64| {
                joints.turned(&ahead(&still, w, time)?, ahead(w1, a, time)?)
            };
            let second = at(w1, &a1, h / 2.0)?;
            let a2 = self.acceleration(&second, torque)?;
            let third = at(&second.rate, &a2, h / 2.0)?;
            let a3 = self.acceleration(&third, torque)?;
            let fourth = at(&third.rate, &a3, h)?;
            let a4 = self.acceleration(&fourth, torque)?;
            let mean = |k1, k2, k3, k4| ahead(&ahead(k1, &ahead(k2, k3, 1.0)?, 2.0)?, k4, 1.0);
            let turn = mean(w1, &second.rate, &third.rate, &fourth.rate)?;
            let rate = ahead(w1, &mean(&a1, &a2, &a3, &a4)?, h / 6.0)?;
            joints = joints.turned(&ahead(&still, &turn, h / 6.0)?, rate)?;
        }
        Ok(joints)
    }
}
