//! Values: what a state, or a state with an action, is worth beyond the horizon.

mod function;
mod network;

pub use function::{FnCritic, FnValue};
pub use network::{CriticConfig, Network, QNet, Targeted, VNet};

use candle_core::Tensor;

use crate::error::Result;
use crate::forward::{RowCritic, RowValue};

/// A state value `V(s)`: observations `[B,O]` to `[B]`.
///
/// Contract on gradients: they flow to the observation, never to the value's own parameters.
pub trait Value: Send + Sync {
    /// `V(s)`, `[B]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn value(&self, obs: &Tensor) -> Result<Tensor>;

    /// The same value on plain rows of `f32`, for rollouts without gradients, where it has that
    /// form.
    fn rows(&self) -> Option<Box<dyn RowValue + '_>> {
        None
    }
}

/// An ensemble of action values `Q_e(s, a)`: observations `[B,O]` and actions `[B,A]` to `[E,B]`.
///
/// Contract on gradients: they flow to observation and action, never to the critic's own parameters.
pub trait Critic: Send + Sync {
    /// Number `E` of members.
    fn members(&self) -> usize;

    /// `Q_e(s, a)` of every member, `[E,B]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations or actions of another shape.
    fn q(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor>;

    /// The same critic on plain rows of `f32`, for rollouts without gradients, where it has that
    /// form.
    fn rows(&self) -> Option<Box<dyn RowCritic + '_>> {
        None
    }
}
