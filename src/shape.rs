//! Shapes, number type and device.
//!
//! The letters used in every doc comment: `B` batch, `H` horizon, `S` state, `A` action,
//! `O` observation, `E` ensemble, `K` samples, `P` parameters.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Which implementation of the dense stacks and of Adam runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ops {
    /// Fused operations with their own backward pass (CPU only).
    #[default]
    Fused,
    /// Plain candle operations: the reference in tests, and what other devices use.
    Plain,
}

/// What the products of a rollout without gradients are computed in; sums are in `f32`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Factors rounded to bfloat16: twice as fast where the processor multiplies them, with a
    /// relative error of some 4e-3.
    Bf16,
}

/// Number type, device and choice of implementation; travels with every network.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `F32` to train, `F64` to check.
    pub dtype: DType,
    /// Where tensors live.
    pub device: Device,
    /// Fused or plain operations.
    pub ops: Ops,
    /// Of rollouts without gradients, on the CPU in `f32`.
    pub precision: Precision,
}

impl Spec {
    /// `f32` on the CPU: what training uses.
    #[must_use]
    pub fn f32() -> Self {
        Self { dtype: DType::F32, device: Device::Cpu, ops: Ops::Fused, precision: Precision::F32 }
    }

    /// `f64` on the CPU: what checks of gradients and identities use.
    #[must_use]
    pub fn f64() -> Self {
        Self { dtype: DType::F64, ..Self::f32() }
    }

    /// The same, through plain candle operations.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { ops: Ops::Plain, ..self }
    }

    /// A tensor of this number type from `f64` numbers in row-major order.
    ///
    /// # Errors
    /// [`Error::Tensor`] when `data` has another length than `shape`.
    pub fn tensor(&self, data: &[f64], shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if data.len() != shape.elem_count() {
            return Err(Error::shape("tensor from numbers", format!("{shape:?}"), [data.len()]));
        }
        Ok(match self.dtype {
            DType::F32 => {
                let data: Vec<f32> = data.iter().map(|&x| x as f32).collect();
                Tensor::from_vec(data, shape, &self.device)?
            }
            _ => Tensor::from_slice(data, shape, &self.device)?.to_dtype(self.dtype)?,
        })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the device is out of memory.
    pub fn zeros(&self, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
        Ok(Tensor::zeros(shape.into(), self.dtype, &self.device)?)
    }
}

/// Copies a tensor of any float type out as `f64` numbers in row-major order.
///
/// # Errors
/// [`Error::Tensor`] when the tensor cannot be read.
pub fn to_f64(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?)
}

/// The single number of a scalar (or one-element) tensor.
///
/// # Errors
/// [`Error::Shape`] when there is not exactly one element.
pub fn scalar(t: &Tensor) -> Result<f64> {
    match to_f64(t)?.as_slice() {
        [x] => Ok(*x),
        _ => Err(Error::shape("scalar", "one element", t.dims())),
    }
}

/// Checks that `t` is `[B, width]` and returns `B`.
///
/// # Errors
/// [`Error::Shape`] naming `place`.
pub fn rows(t: &Tensor, width: usize, place: &str) -> Result<usize> {
    match t.dims() {
        [b, w] if *w == width => Ok(*b),
        dims => Err(Error::shape(place, format!("[B,{width}]"), dims)),
    }
}

/// Checks that `t` has exactly the dimensions `dims`.
///
/// # Errors
/// [`Error::Shape`] naming `place`.
pub fn exact(t: &Tensor, dims: &[usize], place: &str) -> Result<()> {
    if t.dims() == dims { Ok(()) } else { Err(Error::shape(place, format!("{dims:?}"), t.dims())) }
}
