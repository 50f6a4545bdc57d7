//! Policies: observations to normalised actions in `[-1, 1]`.

mod gaussian;
mod linear;
mod module;

pub use gaussian::{ActorConfig, Deviation, SquashedGaussian};
pub use linear::Linear;
pub use module::ModulePolicy;

use candle_core::Tensor;

use crate::error::Result;
use crate::forward::RowPolicy;
use crate::nn::NamedParams;

/// Actions and how likely they were.
#[derive(Debug, Clone)]
pub struct ActionSample {
    /// Actions `[B,A]` in `[-1, 1]`.
    pub action: Tensor,
    /// `log pi(a|s)`, `[B]`; zeros for a deterministic policy.
    pub log_prob: Tensor,
}

/// A policy `pi(a|s)`, reparameterised: its noise is an input.
pub trait Policy: Send + Sync {
    /// Length `A` of an action.
    fn action_dim(&self) -> usize;

    /// The action for observations `[B,O]` and standard normal noise `[B,A]`; gradients flow to the
    /// observation and to the policy's parameters (unless the policy is a frozen view).
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations or noise of another shape.
    fn sample(&self, obs: &Tensor, noise: &Tensor) -> Result<ActionSample>;

    /// The noise-free action `[B,A]`, as used in evaluation.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn mode(&self, obs: &Tensor) -> Result<Tensor>;

    /// `log pi(a|s)` of given actions `[B,A]`, `[B]`; the score-function gradient needs it.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations or actions of another shape.
    fn log_prob(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor>;

    /// The same policy on plain rows of `f32`, for rollouts without gradients, where it has that
    /// form.
    fn rows(&self) -> Option<Box<dyn RowPolicy + '_>> {
        None
    }
}

/// A policy that is learned.
pub trait LearnedPolicy: Policy {
    /// What is trained, by name.
    fn params(&self) -> NamedParams<'_>;

    /// The same policy, numbers still shared, without gradients to its parameters.
    fn frozen(&self) -> Box<dyn Policy>;
}
