//! Values: what a state, or a state with an action, is worth beyond the horizon.

mod bounds;
mod ensemble;
mod function;
mod module;
mod network;

pub use bounds::{BoundsConfig, ValueBounds};
pub use ensemble::{VEnsemble, ValueEnsembleConfig};
pub use function::{FnCritic, FnValue};
pub use module::{ModuleCritic, ModuleValue};
pub use network::{CriticConfig, QNet, VNet};

use candle_core::Tensor;

use crate::error::Result;
use crate::forward::{RowCritic, RowValue};
use crate::nn::{Grad, NamedParams};

/// A state value `V(s)`: observations `[B,O]` to `[B]`.
///
/// Contract on gradients: they flow to the observation, never to the value's own parameters.
pub trait Value: Send + Sync {
    /// `V(s)`, `[B]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn value(&self, obs: &Tensor) -> Result<Tensor>;

    /// Number `E` of members; 1 unless it is an ensemble.
    fn members(&self) -> usize {
        1
    }

    /// The values of every member, `[E,B]`.
    ///
    /// # Errors
    /// As [`Value::value`].
    fn values(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(self.value(obs)?.unsqueeze(0)?)
    }

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

/// A state value that is learned.
pub trait LearnedValue: Value {
    /// What is trained, by name.
    fn params(&self) -> NamedParams<'_>;

    /// What is saved with them and never trained, by name.
    fn fixed(&self) -> NamedParams<'_> {
        Vec::new()
    }

    /// The values of every member with gradients to the parameters, `[E,B]`.
    ///
    /// # Errors
    /// As [`Value::value`].
    fn tracked(&self, obs: &Tensor) -> Result<Tensor>;

    /// A deep copy that shares nothing: what follows it slowly.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when memory runs out.
    fn copy(&self) -> Result<Box<dyn LearnedValue>>;
}

/// An ensemble of action values that is learned.
pub trait LearnedCritic: Critic {
    /// What is trained, by name.
    fn params(&self) -> NamedParams<'_>;

    /// `Q_e(s, a)` with gradients to the parameters, `[E,B]`: what a loss is made of.
    ///
    /// Only `CriticPart::regress` and steps of one's own ask for it. So a critic that a step of one's own
    /// trains may give it what that loss needs, for example the quantiles of every member `[E N,B]`, and
    /// by [`Critic::q`] the values that they stand for, `[E,B]`.
    ///
    /// # Errors
    /// As [`Critic::q`].
    fn tracked(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor>;

    /// A deep copy that shares nothing: what follows it slowly.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when memory runs out.
    fn copy(&self) -> Result<Box<dyn LearnedCritic>>;

    /// The bounds of its values, where it has any; they are found rather than trained.
    fn bounds(&self) -> Option<&ValueBounds> {
        None
    }

    /// The gradients of the parameters for a loss of Q `[E,B]` (what [`LearnedCritic::tracked`] gives)
    /// whose gradient at Q is `slope(Q)`, in the order of [`LearnedCritic::params`], where there is a way
    /// without a graph.
    ///
    /// # Errors
    /// As [`Critic::q`], or as `slope`.
    fn regress(
        &self,
        obs: &Tensor,
        action: &Tensor,
        slope: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Vec<Grad>>> {
        let _ = (obs, action, slope);
        Ok(None)
    }
}
