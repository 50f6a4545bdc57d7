//! The Gaussian negative log-likelihood with softly bounded log-variance, as one operation.
//!
//! A row of `out` holds `T` means and `T` raw log-variances. With `softplus(x) = ln(1 + exp(x))`:
//! `v = max - softplus(max - raw)`, `logvar = min + softplus(v - min)`, and the loss is the sum over
//! members of the mean over rows and dimensions of `(mu - y)^2 exp(-logvar) + logvar`.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor, bail};

use super::fused::{slice, with_slices};
use super::kernel::{self, Nll, Real};
use super::{Params, pool};
use crate::error::{Error, Result};

/// Numbers above which the members are shared among threads.
const PARALLEL_FROM: usize = 50_000;

/// The loss of `out` `[E,B,2T]` against `target` `[E,B,T]`: a scalar, with gradients to `out` and to
/// `bounds`, whose flat tensor holds `max` `[T]`, then `min` `[T]`. On the CPU only.
///
/// # Errors
/// [`crate::Error::Shape`] when outputs, bounds and targets do not fit, [`crate::Error::Tensor`] on
/// another device or for another number type than `f32` and `f64`.
pub fn bounded_nll(out: &Tensor, bounds: &Params, target: &Tensor) -> Result<Tensor> {
    let (e, b, t) = target.dims3()?;
    crate::shape::exact(out, &[e, b, 2 * t], "output of the ensemble")?;
    crate::shape::exact(&bounds.theta(), &[2 * t], "bounds of the log-variance")?;
    let op = NllOp { dims: (e, b, t), grads: OnceLock::new() };
    let (out, target) = (out.contiguous()?, target.detach().contiguous()?);
    Ok(out.apply_op3(&bounds.theta(), &target, op)?)
}

/// [`bounded_nll`] without a graph: the loss, and its gradients at `out` and at the bounds `[2T]`.
pub(crate) fn bounded_nll_gradients(
    out: &Tensor,
    bounds: &Params,
    target: &Tensor,
) -> Result<(f64, Tensor, Tensor)> {
    let (e, b, t) = target.dims3()?;
    crate::shape::exact(out, &[e, b, 2 * t], "output of the ensemble")?;
    let op = NllOp { dims: (e, b, t), grads: OnceLock::new() };
    let (out, target) = (out.contiguous()?, target.contiguous()?);
    let theta = bounds.var().as_detached_tensor();
    let loss = match out.dtype() {
        DType::F32 => with_slices([&out, &theta, &target], |[o, b, t]| op.run::<f32>(o, b, t))?,
        _ => with_slices([&out, &theta, &target], |[o, b, t]| op.run::<f64>(o, b, t))?,
    };
    let device = out.device();
    let tensor = |storage: CpuStorage, like: &Tensor| -> Result<Tensor> {
        Ok(match storage {
            CpuStorage::F32(x) => Tensor::from_vec(x, like.shape(), device)?,
            CpuStorage::F64(x) => Tensor::from_vec(x, like.shape(), device)?,
            _ => return Err(Error::config("dtype", "expected f32 or f64")),
        })
    };
    let loss = match loss {
        CpuStorage::F32(x) => x.first().map(|x| f64::from(*x)),
        CpuStorage::F64(x) => x.first().copied(),
        _ => None,
    };
    match (loss, op.grads.into_inner()) {
        (Some(loss), Some((d_out, d_bounds))) => {
            Ok((loss, tensor(d_out, &out)?, tensor(d_bounds, &theta)?))
        }
        _ => Err(Error::config("model loss", "gave no value")),
    }
}

struct NllOp {
    dims: (usize, usize, usize),
    /// Gradients of `out` and of the bounds, found along with the value.
    grads: OnceLock<(CpuStorage, CpuStorage)>,
}

impl NllOp {
    fn run<T: Real>(&self, out: &[T], bounds: &[T], target: &[T]) -> CpuStorage {
        let (e, b, t) = self.dims;
        let scale = T::from_f64(1.0 / (b * t).max(1) as f64);
        let mut d_out = vec![T::default(); out.len()];
        let mut d_members = vec![T::default(); e * 2 * t];
        let mut losses = vec![T::default(); e * t];
        if b > 0 {
            let inputs = out.chunks_exact(2 * b * t).zip(target.chunks_exact(b * t));
            let sums = d_members.chunks_exact_mut(2 * t).zip(losses.chunks_exact_mut(t));
            let tasks: Vec<_> = inputs
                .zip(d_out.chunks_exact_mut(2 * b * t))
                .zip(sums)
                .map(|(((out, target), d_out), (d_bounds, loss))| Nll {
                    out,
                    target,
                    bounds,
                    scale,
                    d_out,
                    d_bounds,
                    loss,
                })
                .collect();
            pool::for_each(tasks, out.len() >= PARALLEL_FROM, kernel::nll);
        }
        let mut d_bounds = vec![T::default(); 2 * t];
        kernel::add_rows(&mut d_bounds, &d_members);
        let loss = losses.into_iter().fold(T::default(), |sum, l| sum + l);
        let wrap = T::to_cpu_storage_owned;
        self.grads.get_or_init(|| (wrap(d_out), wrap(d_bounds)));
        wrap(vec![loss])
    }
}

impl CustomOp3 for NllOp {
    fn name(&self) -> &'static str {
        "bounded-nll"
    }

    fn cpu_fwd(
        &self,
        out: &CpuStorage,
        l1: &Layout,
        bounds: &CpuStorage,
        l2: &Layout,
        target: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let loss = match out {
            CpuStorage::F32(_) => {
                self.run::<f32>(slice(out, l1)?, slice(bounds, l2)?, slice(target, l3)?)
            }
            CpuStorage::F64(_) => {
                self.run::<f64>(slice(out, l1)?, slice(bounds, l2)?, slice(target, l3)?)
            }
            _ => bail!("bounded nll: expected f32 or f64"),
        };
        Ok((loss, Shape::from(())))
    }

    fn bwd(
        &self,
        out: &Tensor,
        bounds: &Tensor,
        _: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some((d_out, d_bounds)) = self.grads.get() else {
            bail!("bounded nll: backward without forward")
        };
        let by = upstream.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let scaled = |storage: &CpuStorage, like: &Tensor| {
            let grad = match storage {
                CpuStorage::F32(x) => Tensor::from_slice(x, like.shape(), like.device())?,
                CpuStorage::F64(x) => Tensor::from_slice(x, like.shape(), like.device())?,
                _ => bail!("bounded nll: expected f32 or f64"),
            };
            if by == 1.0 { Ok(grad) } else { grad * by }
        };
        let d_bounds = bounds.track_op().then(|| scaled(d_bounds, bounds)).transpose()?;
        Ok((Some(scaled(d_out, out)?), d_bounds, None))
    }
}
