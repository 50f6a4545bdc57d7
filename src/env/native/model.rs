//! [`Model`]: a [`Physics`] as a differentiable model on observations.

use std::sync::Arc;

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::{ContinuationFn, EnvInfo, Known};
use crate::error::Result;
use crate::shape::{Spec, exact, rows};

/// The true dynamics in tensor operations: the state is the observation, gradients are pathwise.
///
/// Clipped quantities have the gradient of the clip; the jump of a reward at a goal and the
/// continuation have none.
#[derive(Debug, Clone)]
pub struct Model<P: Physics> {
    physics: P,
    info: EnvInfo,
    spec: Spec,
    clips: bool,
}

impl<P: Physics> Model<P> {
    /// The model of `physics` in the number type of `spec`.
    #[must_use]
    pub fn new(physics: P, spec: Spec) -> Self {
        Self { info: physics.info(), physics, spec, clips: true }
    }

    /// The same model taking actions beyond `[-1, 1]` as they are: where closed forms such as LQR's
    /// are compared.
    #[must_use]
    pub fn without_clipping(self) -> Self {
        Self { clips: false, ..self }
    }

    /// Name, sizes, bounds and time limit of the environment.
    #[must_use]
    pub fn info(&self) -> &EnvInfo {
        &self.info
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// One step from observations `[B,O]` with normalised actions `[B,A]`: the next observations
    /// `[B,O]`, the rewards `[B]` and the continuation `[B]`.
    pub(crate) fn advance(&self, state: &Tensor, action: &Tensor) -> Result<[Tensor; 3]> {
        self.check(state, action)?;
        let units = self.units(action)?;
        let next = self.physics.next(state, &units)?;
        let reward = self.reward(state, &units, &next)?;
        let cont = self.continuation(&next)?;
        Ok([next, reward, cont])
    }

    /// Reward and continuation as functions of observations and normalised actions, in the number
    /// type of what they are given.
    #[must_use]
    pub fn known(&self) -> Known {
        let (model, again) = (self.clone(), self.clone());
        let continuation: ContinuationFn = Arc::new(move |_, _, next| again.continuation(next));
        Known {
            reward: Some(Arc::new(move |obs, action, next| {
                model.check(obs, action)?;
                model.reward(obs, &model.units(action)?, next)
            })),
            continuation: P::TERMINATES.then_some(continuation),
        }
    }

    /// Normalised actions `[B,A]` in the environment's units.
    fn units(&self, action: &Tensor) -> Result<Tensor> {
        let clipped = if self.clips { ops::clip(action, -1.0, 1.0)? } else { action.clone() };
        let bounds = || self.info.action_low.iter().zip(&self.info.action_high);
        let row = |v: Vec<f64>| {
            Tensor::from_vec(v, (1, self.info.action_dim()), action.device())?
                .to_dtype(action.dtype())
        };
        let middle = row(bounds().map(|(low, high)| 0.5 * (low + high)).collect())?;
        let half = row(bounds().map(|(low, high)| 0.5 * (high - low)).collect())?;
        Ok(clipped.broadcast_mul(&half)?.broadcast_add(&middle)?)
    }

    fn reward(&self, obs: &Tensor, units: &Tensor, next: &Tensor) -> Result<Tensor> {
        rows(next, self.info.obs_dim, "next observation of a native model")?;
        self.physics.reward(obs, units, next)
    }

    fn continuation(&self, next: &Tensor) -> Result<Tensor> {
        let b = rows(next, self.info.obs_dim, "next observation of a native model")?;
        match self.physics.continuation(next)? {
            Some(cont) => Ok(cont.detach()),
            None => Ok(Tensor::ones(b, next.dtype(), next.device())?),
        }
    }

    fn check(&self, obs: &Tensor, action: &Tensor) -> Result<()> {
        let b = rows(obs, self.info.obs_dim, "observation of a native model")?;
        exact(action, &[b, self.info.action_dim()], "action of a native model")
    }
}
