//! The numbers of tensors on the CPU as slices, and gradients that lie in one.

use candle_core::{CpuStorage, Device, Layout, Storage, Tensor, bail};

use super::kernel::Real;
use super::scratch::Scratch;
use crate::error::Result;

/// A flat gradient `[P]` of one parameter tensor.
pub struct Grad(pub(crate) Numbers);

impl From<Tensor> for Grad {
    fn from(flat: Tensor) -> Self {
        Self(Numbers::Tensor(flat))
    }
}

/// Where a gradient's numbers lie.
pub(crate) enum Numbers {
    F32(Scratch<f32>),
    F64(Scratch<f64>),
    /// Through plain operations.
    Tensor(Tensor),
}

impl Grad {
    /// As a tensor `[P]`.
    pub(crate) fn tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(match &self.0 {
            Numbers::F32(x) => Tensor::from_slice(x, x.len(), device)?,
            Numbers::F64(x) => Tensor::from_slice(x, x.len(), device)?,
            Numbers::Tensor(grad) => grad.clone(),
        })
    }
}

/// Cuts `data` into consecutive pieces of the given lengths.
pub(crate) fn cut<T>(mut data: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut pieces = Vec::with_capacity(lengths.size_hint().0);
    for n in lengths {
        let (piece, rest) = data.split_at_mut(n);
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// Calls `f` with the numbers of contiguous tensors on the CPU.
pub(crate) fn with_slices<T: Real, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[T]; N]) -> R,
) -> candle_core::Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices = [[].as_slice(); N];
    for (slot, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *slot = match &**storage {
            Storage::Cpu(storage) => slice::<T>(storage, layout)?,
            _ => bail!("a fused operation runs on the CPU only"),
        };
    }
    Ok(f(slices))
}

/// The numbers of a contiguous tensor.
pub(crate) fn slice<'a, T: Real>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("a fused operation: expected a contiguous tensor"),
    }
}
