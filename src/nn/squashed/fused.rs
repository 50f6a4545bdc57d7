//! A policy head as two operations on `(raw, eps)` with their own backward passes.
//!
//! `raw` `[B,2A]` holds means `m` and raw log standard deviations `r`, `eps` `[B,A]` is the noise:
//!
//! - `l = clip(r)`, `u = m + exp(l) eps`, `a = tanh(u)`: [`Action`] `[B,A]`;
//! - `log p = sum -eps^2 / 2 - l - ln(2 pi) / 2 - ln(1 - a^2)`: [`LogProb`] `[B]`.
//!
//! The first computes both, the second hands out what is there already. They are two operations,
//! not one with a wider result, because a gradient through a part of a tensor costs candle a copy of
//! the whole; and a caller who follows only one of the two pays for one.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Storage, Tensor, bail};

use super::loops::{self, Through};
use crate::error::Result;
use crate::nn::kernel::Real;
use crate::nn::slices::slice;
use crate::pool;

/// Rows that one thread takes at a time.
const PIECE: usize = 4096;

/// Numbers above which the threads share the rows.
const PARALLEL_FROM: usize = 50_000;

/// Action `[B,A]` and log-density `[B]`; shapes are already checked.
pub(super) fn sample(raw: &Tensor, eps: &Tensor, bounds: (f64, f64)) -> Result<(Tensor, Tensor)> {
    let (raw, eps) = (raw.contiguous()?, eps.contiguous()?);
    let head = Arc::new(Head {
        dims: eps.dims2()?,
        bounds,
        tracked: raw.track_op() || eps.track_op(),
        kept: OnceLock::new(),
    });
    let action = raw.apply_op2(&eps, Action(head.clone()))?;
    let log_prob = raw.apply_op2(&eps, LogProb(head))?;
    Ok((action, log_prob))
}

/// `tanh(m)` `[B,A]`; the shape is already checked.
pub(super) fn mode(raw: &Tensor) -> Result<Tensor> {
    Ok(raw.contiguous()?.apply_op1(Mode)?)
}

/// [`slice`], also of an empty part, which candle may place beyond the end of its storage.
fn numbers<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    if layout.shape().elem_count() == 0 { Ok(&[]) } else { slice(storage, layout) }
}

/// What both operations know.
struct Head {
    /// `B` and `A`.
    dims: (usize, usize),
    /// Lowest and highest log standard deviation.
    bounds: (f64, f64),
    /// Whether there will be a backward pass.
    tracked: bool,
    kept: OnceLock<Kept>,
}

/// What the forward pass leaves behind.
struct Kept {
    log_prob: CpuStorage,
    /// Actions and standard deviations `[B,A]`; empty where nothing is tracked.
    action: CpuStorage,
    std: CpuStorage,
}

impl Head {
    fn run<T: Real>(&self, raw: &[T], eps: &[T]) -> CpuStorage {
        let (b, a) = self.dims;
        let bounds = (T::from_f64(self.bounds.0), T::from_f64(self.bounds.1));
        let mut action = vec![T::default(); b * a];
        let mut std = vec![T::default(); b * a];
        let mut log_prob = vec![T::default(); b];
        let inputs = raw.chunks(PIECE * 2 * a).zip(eps.chunks(PIECE * a));
        let outputs = action.chunks_mut(PIECE * a).zip(std.chunks_mut(PIECE * a));
        let tasks = inputs.zip(outputs).zip(log_prob.chunks_mut(PIECE)).collect();
        pool::for_each(tasks, b * a >= PARALLEL_FROM, |(((raw, eps), (action, std)), log_prob)| {
            loops::forward(raw, eps, bounds, action, std, log_prob);
        });
        let wrap = T::to_cpu_storage_owned;
        let keep = |x: &Vec<T>| wrap(if self.tracked { x.clone() } else { Vec::new() });
        let kept = Kept { log_prob: wrap(log_prob), action: keep(&action), std: keep(&std) };
        self.kept.get_or_init(|| kept);
        wrap(action)
    }

    /// The gradients of `raw` and `eps` that arrive by way of action or log-density.
    fn bwd(
        &self,
        raw: &Tensor,
        eps: &Tensor,
        upstream: &Tensor,
        through: Through,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        match raw.dtype() {
            DType::F32 => self.bwd_typed::<f32>(raw, eps, upstream, through),
            _ => self.bwd_typed::<f64>(raw, eps, upstream, through),
        }
    }

    fn bwd_typed<T: Real>(
        &self,
        raw: &Tensor,
        eps: &Tensor,
        upstream: &Tensor,
        through: Through,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.get() else {
            bail!("squashed Gaussian: backward without forward")
        };
        let upstream = upstream.contiguous()?;
        let (b, a) = self.dims;
        let mut d_raw = vec![T::default(); b * 2 * a];
        let mut d_eps = vec![T::default(); if eps.track_op() { b * a } else { 0 }];
        let tensors = [raw, eps, &upstream].map(Tensor::storage_and_layout);
        let [raw_in, eps_in, upstream] = tensors.each_ref().map(|(s, layout)| match &**s {
            Storage::Cpu(storage) => numbers::<T>(storage, layout),
            _ => bail!("squashed Gaussian: the fused operation runs on the CPU only"),
        });
        let bounds = (T::from_f64(self.bounds.0), T::from_f64(self.bounds.1));
        let point = loops::Point {
            raw: raw_in?,
            eps: eps_in?,
            action: T::cpu_storage_as_slice(&kept.action)?,
            std: T::cpu_storage_as_slice(&kept.std)?,
            width: a,
            bounds,
        };
        loops::backward(&point, upstream?, through, &mut d_raw, &mut d_eps);
        let d_raw = match raw.track_op() {
            true => Some(Tensor::from_vec(d_raw, raw.shape(), raw.device())?),
            false => None,
        };
        let d_eps = match eps.track_op() {
            true => Some(Tensor::from_vec(d_eps, eps.shape(), eps.device())?),
            false => None,
        };
        Ok((d_raw, d_eps))
    }
}

struct Action(Arc<Head>);

impl CustomOp2 for Action {
    fn name(&self) -> &'static str {
        "squashed-gaussian-action"
    }

    fn cpu_fwd(
        &self,
        raw: &CpuStorage,
        raw_layout: &Layout,
        eps: &CpuStorage,
        eps_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let action = match raw {
            CpuStorage::F32(_) => {
                self.0.run::<f32>(numbers(raw, raw_layout)?, numbers(eps, eps_layout)?)
            }
            CpuStorage::F64(_) => {
                self.0.run::<f64>(numbers(raw, raw_layout)?, numbers(eps, eps_layout)?)
            }
            _ => bail!("squashed Gaussian: expected f32 or f64"),
        };
        Ok((action, self.0.dims.into()))
    }

    fn bwd(
        &self,
        raw: &Tensor,
        eps: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.bwd(raw, eps, upstream, Through::Action)
    }
}

struct LogProb(Arc<Head>);

impl CustomOp2 for LogProb {
    fn name(&self) -> &'static str {
        "squashed-gaussian-log-prob"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        match self.0.kept.get() {
            Some(kept) => Ok((kept.log_prob.clone(), self.0.dims.0.into())),
            None => bail!("squashed Gaussian: the log-density comes after the action"),
        }
    }

    fn bwd(
        &self,
        raw: &Tensor,
        eps: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.bwd(raw, eps, upstream, Through::LogProb)
    }
}

struct Mode;

impl Mode {
    fn run<T: Real>(raw: &[T], a: usize) -> CpuStorage {
        let mut means: Vec<T> =
            raw.chunks_exact(2 * a).flat_map(|row| &row[..a]).copied().collect();
        loops::tanh(&mut means);
        T::to_cpu_storage_owned(means)
    }
}

impl CustomOp1 for Mode {
    fn name(&self) -> &'static str {
        "squashed-gaussian-mode"
    }

    fn cpu_fwd(&self, raw: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (b, width) = l.shape().dims2()?;
        let a = width / 2;
        let action = match raw {
            CpuStorage::F32(_) => Self::run::<f32>(numbers(raw, l)?, a),
            CpuStorage::F64(_) => Self::run::<f64>(numbers(raw, l)?, a),
            _ => bail!("squashed Gaussian: expected f32 or f64"),
        };
        Ok((action, (b, a).into()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        action: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let action = action.detach();
        let d_mean = (upstream * action.sqr()?.affine(-1.0, 1.0)?)?;
        Ok(Some(Tensor::cat(&[&d_mean, &d_mean.zeros_like()?], 1)?))
    }
}
