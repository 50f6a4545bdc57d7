//! Values that are known: zero by [`crate::objective::Terminal::Zero`], anything else as a closure.

use candle_core::Tensor;

use super::{Critic, Value};
use crate::error::Result;

/// A state value given as a closure, `[B,O]` to `[B]`.
pub struct FnValue<F>(pub F);

impl<F: Fn(&Tensor) -> Result<Tensor> + Send + Sync> Value for FnValue<F> {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        (self.0)(obs)
    }
}

/// An action value given as a closure, `[B,O]` and `[B,A]` to `[E,B]`.
pub struct FnCritic<F> {
    /// Number `E` of members that the closure returns.
    pub members: usize,
    /// The closure.
    pub function: F,
}

impl<F: Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync> Critic for FnCritic<F> {
    fn members(&self) -> usize {
        self.members
    }

    fn q(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        (self.function)(obs, action)
    }
}
