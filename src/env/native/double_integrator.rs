//! A mass on a line with quadratic cost: the task whose answers are known in closed form.

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::EnvInfo;
use crate::env::scene::{Camera, Ground, Part, Role, Scene};
use crate::error::Result;
use crate::lqr::{Lqr, Matrix};
use crate::rng::Rng;

/// The double integrator. State and observation: position and velocity. Action: force in
/// `[-limit, limit]`. One step is `x' = A x + B u` with `A = [[1, dt], [0, 1]]`,
/// `B = [dt^2/2, dt]`; its reward is `-(x' Q x + u' R u)` of the state before the step,
/// `Q = diag(q)`. Starts are normal with standard deviation `start` in both coordinates. No
/// termination.
///
/// The actions of an episode are clipped, which LQR's formulae ignore: compare them on
/// [`super::Model::without_clipping`], or with a `limit` that is not reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleIntegrator {
    /// Time step, s.
    pub dt: f64,
    /// Weights of position and velocity in the cost.
    pub q: [f64; 2],
    /// Weight of the squared force in the cost.
    pub r: f64,
    /// Greatest force.
    pub limit: f64,
    /// Standard deviation of a start state.
    pub start: f64,
    /// Steps after which an episode is truncated.
    pub max_steps: usize,
}

impl Default for DoubleIntegrator {
    /// `dt` .1, `Q = diag(1, .1)`, `R = .1`, starts of unit covariance, forces to 5, 100 steps.
    fn default() -> Self {
        Self { dt: 0.1, q: [1.0, 0.1], r: 0.1, limit: 5.0, start: 1.0, max_steps: 100 }
    }
}

impl DoubleIntegrator {
    /// The same task in matrices, forces in their own units, discounted by `gamma`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a discount outside `(0, 1]`.
    pub fn lqr(&self, gamma: f64) -> Result<Lqr> {
        let dt = self.dt;
        Lqr::new(
            Matrix::from_rows(&[&[1.0, dt], &[0.0, 1.0]])?,
            Matrix::from_rows(&[&[0.5 * dt * dt], &[dt]])?,
            Matrix::diagonal(&self.q),
            Matrix::diagonal(&[self.r]),
            gamma,
        )
    }
}

impl Physics for DoubleIntegrator {
    type State = [f64; 2];

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "double-integrator".into(),
            obs_dim: 2,
            action_low: vec![-self.limit],
            action_high: vec![self.limit],
            max_steps: self.max_steps,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 2] {
        [self.start * rng.normal(), self.start * rng.normal()]
    }

    fn observe(&self, state: &[f64; 2]) -> Vec<f64> {
        state.to_vec()
    }

    fn advance(&self, &[x, v]: &[f64; 2], action: &[f64], _step: usize) -> ([f64; 2], f64, bool) {
        let (dt, u) = (self.dt, action[0].clamp(-self.limit, self.limit));
        let cost = self.q[0] * x * x + self.q[1] * v * v + self.r * u * u;
        ([x + dt * v + 0.5 * dt * dt * u, v + dt * u], -cost, false)
    }

    fn next(&self, obs: &Tensor, force: &Tensor) -> Result<Tensor> {
        let (dt, x, v) = (self.dt, ops::column(obs, 0)?, ops::column(obs, 1)?);
        let x = ((x + (&v * dt)?)? + (force * (0.5 * dt * dt))?)?;
        let v = (v + (force * dt)?)?;
        Ok(Tensor::cat(&[x, v], 1)?)
    }

    fn reward(&self, obs: &Tensor, force: &Tensor, _next: &Tensor) -> Result<Tensor> {
        let (x, v) = (ops::column(obs, 0)?, ops::column(obs, 1)?);
        let state = ((x.sqr()? * self.q[0])? + (v.sqr()? * self.q[1])?)?;
        Ok((state + (force.sqr()? * self.r)?)?.neg()?.squeeze(1)?)
    }

    fn scene(&self, &[x, _]: &[f64; 2]) -> Option<Scene> {
        Some(Scene {
            parts: vec![
                Part::path(Role::Target, vec![[0.0, 0.0], [0.0, 0.9]]),
                Part::capsule(Role::Body, [x - 0.15, 0.25], [x + 0.15, 0.25], 0.25),
            ],
            ground: Some(Ground::Level(0.0)),
            traced: vec![[x, 0.25]],
            // A mass that goes far is followed.
            camera: Camera { centre: [x - x.clamp(-2.5, 2.5), 0.3], size: [6.0, 1.6] },
            time_step: Some(self.dt),
        })
    }
}
