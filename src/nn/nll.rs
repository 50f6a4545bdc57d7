//! The Gaussian negative log-likelihood with softly bounded log-variance, as one operation.
//!
//! A row of `out` holds `T` means and `T` raw log-variances. With `softplus(x) = ln(1 + exp(x))`:
//! `v = max - softplus(max - raw)`, `logvar = min + softplus(v - min)`, and the loss is the sum over
//! members of the mean over rows and dimensions of `(mu - y)^2 exp(-logvar) + logvar`.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor, bail};

use super::kernel::{self, Nll, Real};
use super::layout::Net;
use super::params::Params;
use super::scratch::Scratch;
use super::slices::{Grad, Numbers, slice, with_slices};
use super::stack::Stack;
use crate::error::Result;
use crate::pool;

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

/// A loss with its gradients at all weights and at the bounds `[2T]`.
pub(crate) type Fit = (f64, Grad, Vec<f64>);

/// [`bounded_nll`] of the outputs of `net` for inputs `x` `[E,B,D]`, without a graph.
pub(crate) fn fit_gradients(
    net: &Stack,
    x: &Tensor,
    bounds: &Params,
    target: &Tensor,
) -> Result<Fit> {
    let (e, b, t) = target.dims3()?;
    crate::shape::exact(x, &[e, b, net.config().input], "inputs of the ensemble")?;
    let (x, target) = (x.contiguous()?, target.contiguous()?);
    let (theta, bounds) = (net.params().var().as_detached_tensor(), bounds.theta().detach());
    let tensors = [&x, &theta, &bounds, &target];
    let shape = Net::new(net.config());
    match x.dtype() {
        DType::F32 => Ok(with_slices(tensors, |s| {
            let (grad, loss, bounds) = fit_typed::<f32>(&shape, s, (b, t));
            (loss, Grad(Numbers::F32(grad)), bounds)
        })?),
        _ => Ok(with_slices(tensors, |s| {
            let (grad, loss, bounds) = fit_typed::<f64>(&shape, s, (b, t));
            (loss, Grad(Numbers::F64(grad)), bounds)
        })?),
    }
}

fn fit_typed<T: Real>(
    net: &Net,
    [x, theta, bounds, target]: [&[T]; 4],
    (b, t): (usize, usize),
) -> (Scratch<T>, f64, Vec<f64>) {
    let scale = T::from_f64(1.0 / (b * t).max(1) as f64);
    let (grad, sums) = net.regress_members(theta, x, b, |part, out, d_out| {
        let first = (part.member * b + part.rows.start) * t;
        let target = &target[first..][..part.rows.len() * t];
        let (mut d_bounds, mut loss) = (vec![T::default(); 2 * t], vec![T::default(); t]);
        let (d, l) = (&mut d_bounds, &mut loss);
        kernel::nll(Nll { out, target, bounds, scale, d_out, d_bounds: d, loss: l });
        (loss, d_bounds)
    });
    let (mut loss, mut d_bounds) = (0.0, vec![0.0; 2 * t]);
    for (part, d_part) in &sums {
        loss += part.iter().map(|l| l.to_f64()).sum::<f64>();
        d_bounds.iter_mut().zip(d_part).for_each(|(sum, d)| *sum += d.to_f64());
    }
    (grad, loss, d_bounds)
}

/// [`fit_gradients`] where the deviations are those of a member and output, `log_std` `[E,T]` and no
/// lower than `floor`: a member's loss is the mean over rows and dimensions of
/// `w ((mu - y)^2 / sigma^2 + 2 log sigma)` with weights `w` `[E,B]`. The gradient at `log_std` comes
/// last, and is zero below the floor.
pub(crate) fn own_gradients(
    net: &Stack,
    x: &Tensor,
    (log_std, floor): (&Tensor, f64),
    target: &Tensor,
    weight: &Tensor,
) -> Result<Fit> {
    let (e, b, t) = target.dims3()?;
    crate::shape::exact(x, &[e, b, net.config().input], "inputs of the ensemble")?;
    crate::shape::exact(log_std, &[e, t], "deviations of the ensemble")?;
    let (x, target, weight) = (x.contiguous()?, target.contiguous()?, weight.contiguous()?);
    let theta = net.params().var().as_detached_tensor();
    let log_std = log_std.detach().contiguous()?;
    let tensors = [&x, &theta, &log_std, &target, &weight];
    let (shape, sizes) = (Net::new(net.config()), (e, b, t));
    match x.dtype() {
        DType::F32 => Ok(with_slices(tensors, |s| {
            let (grad, loss, d) = own_typed::<f32>(&shape, s, sizes, floor);
            (loss, Grad(Numbers::F32(grad)), d)
        })?),
        _ => Ok(with_slices(tensors, |s| {
            let (grad, loss, d) = own_typed::<f64>(&shape, s, sizes, floor);
            (loss, Grad(Numbers::F64(grad)), d)
        })?),
    }
}

fn own_typed<T: Real>(
    net: &Net,
    [x, theta, log_std, target, weight]: [&[T]; 5],
    (e, b, t): (usize, usize, usize),
    floor: f64,
) -> (Scratch<T>, f64, Vec<f64>) {
    let scale = T::from_f64(1.0 / (b * t).max(1) as f64);
    let two = T::ONE + T::ONE;
    let low = T::from_f64(floor);
    // What a deviation adds to the loss, and the inverse of its square.
    let log_std: Vec<T> = log_std.iter().map(|x| if *x < low { low } else { *x }).collect();
    let inverse: Vec<T> = log_std.iter().map(|x| (T::default() - two * *x).exp()).collect();
    let (grad, sums) = net.regress_members(theta, x, b, |part, out, d_out| {
        let (m, first) = (part.member, part.member * b + part.rows.start);
        let (own, inverse) = (&log_std[m * t..][..t], &inverse[m * t..][..t]);
        let (mut loss, mut d_own) = (0.0, vec![0.0; t]);
        let rows = out.chunks_exact(t).zip(d_out.chunks_exact_mut(t));
        let given = target[first * t..].chunks_exact(t).zip(&weight[first..]);
        for ((out, d_out), (target, weight)) in rows.zip(given) {
            let each = *weight * scale;
            for i in 0..t {
                let error = out[i] - target[i];
                let slope = two * error * inverse[i];
                let square = error * error * inverse[i];
                d_out[i] = each * slope;
                loss += (each * (square + two * own[i])).to_f64();
                d_own[i] += (each * two * (T::ONE - square)).to_f64();
            }
        }
        (m, loss, d_own)
    });
    let (mut loss, mut d) = (0.0, vec![0.0; e * t]);
    for (member, part, d_part) in &sums {
        loss += part;
        d[member * t..][..t].iter_mut().zip(d_part).for_each(|(sum, d)| *sum += d);
    }
    for (d, log_std) in d.iter_mut().zip(&log_std) {
        *d = if *log_std <= low { 0.0 } else { *d };
    }
    (grad, loss, d)
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
