//! Activation functions of the hidden layers.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The nonlinearity after every hidden layer; the last layer is linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(z, 0)`, with derivative 0 at 0.
    Relu,
    /// `tanh(z)`.
    Tanh,
    /// `z / (1 + exp(-z))`, also called SiLU.
    Swish,
}

impl Activation {
    /// The activation of every element, through plain candle operations.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when candle refuses the tensor.
    pub fn apply(self, z: &Tensor) -> Result<Tensor> {
        Ok(match self {
            // candle's own relu has derivative 1 at 0; a selection has the usual 0 there.
            // `z <= 0` picks the zero, so that NaN stays NaN.
            Self::Relu => z.le(0.0)?.where_cond(&z.zeros_like()?, z)?,
            Self::Tanh => z.tanh()?,
            Self::Swish => z.silu()?,
        })
    }
}
