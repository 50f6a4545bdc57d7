//! What is known about an environment beside its samples: below environments, which tell it, and
//! models, which use it.

use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;

/// A reward `r(s, a, s')` in tensor operations: observation `[B,O]`, normalised action `[B,A]`,
/// next observation `[B,O]` to `[B]`.
pub type RewardFn = Arc<dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync>;

/// Continuation of `(s, a, s')`: the shapes of [`RewardFn`]; 1 goes on, 0 has terminated. `[B]`.
pub type ContinuationFn = RewardFn;

/// What is known about an environment beside its samples; both may be used inside models.
#[derive(Clone, Default)]
pub struct Known {
    /// The reward function, where it can be written down.
    pub reward: Option<RewardFn>,
    /// The continuation function; `None` where episodes never terminate, or nobody knows when. Inside a
    /// learned model they then never do.
    pub continuation: Option<ContinuationFn>,
}
