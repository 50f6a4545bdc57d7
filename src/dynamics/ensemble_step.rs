//! A step of the ensemble as one operation with its own backward pass: standardise, network of the
//! row's member, soft bounds of the log-variance, sample, back to raw numbers.
//!
//! With `x = ((s, a) - m_x) / sd_x` and the network's `(mu, raw)`,
//!
//! ```text
//! v = max - softplus(max - raw),   logvar = min + softplus(v - min)
//! target = m_y + sd_y mu + sd_y exp(logvar / 2) eps
//! ```
//!
//! and the next state is `s + target` (or `target`). No gradient reaches weights, bounds or
//! statistics.

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor, bail};

use super::ensemble_model::LEAST_STD;
use super::{EnsembleModel, NoiseKind, Target};
use crate::error::Result;
use crate::nn::ops::{Net, Real, Route, Rows, Tape, Wanted, slice, with_slices};
use crate::nn::{exp_half, softplus_all};

impl EnsembleModel {
    /// Next states and, where it is learned, the reward: `[B,T]`, row `b` by member `member[b]`; last, and
    /// without a gradient, the logit of an end where that is learned: `[B,T+1]`.
    pub(super) fn fused_step(
        &self,
        state: &Tensor,
        action: &Tensor,
        eps: Option<&Tensor>,
        member: &[u32],
    ) -> Result<Tensor> {
        let wanted = Wanted { dx: state.track_op() || action.track_op(), dw: false };
        let eps = match eps {
            Some(eps) if self.config.drawn() != NoiseKind::None => {
                Some(eps.narrow(1, 0, self.target_dim())?.detach().contiguous()?)
            }
            _ => None,
        };
        let op = Step {
            net: Net::new(self.net.config()),
            rows: Rows::new(self.config.members, member.len(), Route::Rows(member)),
            widths: (self.obs_dim, self.action_dim, self.target_dim()),
            change: self.config.target == Target::Change,
            ends: self.learns_ends(),
            own_std: self.config.noise().is_by_output().then(|| member.to_vec()),
            theta: self.net.params().var().as_detached_tensor(),
            bounds: self.bounds.var().as_detached_tensor(),
            inputs: self.inputs.params().var().as_detached_tensor(),
            targets: self.targets.params().var().as_detached_tensor(),
            eps,
            wanted,
            kept32: OnceLock::new(),
            kept64: OnceLock::new(),
        };
        Ok(state.contiguous()?.apply_op2(&action.contiguous()?, op)?)
    }
}

/// What the backward pass needs.
struct Kept<T: Real> {
    tape: Tape<T>,
    /// Derivative of the raw target with respect to the raw log-variance, `[B,T]`.
    factor: Option<Vec<T>>,
}

struct Step {
    net: Net,
    rows: Rows,
    /// Observation, action, target.
    widths: (usize, usize, usize),
    change: bool,
    /// Whether the network's last output is the logit of an end.
    ends: bool,
    /// The members of the rows, where the noise is that of a member and output.
    own_std: Option<Vec<u32>>,
    theta: Tensor,
    bounds: Tensor,
    inputs: Tensor,
    targets: Tensor,
    eps: Option<Tensor>,
    wanted: Wanted,
    kept32: OnceLock<Kept<f32>>,
    kept64: OnceLock<Kept<f64>>,
}

impl Step {
    fn forward<T: Real>(
        &self,
        state: &[T],
        action: &[T],
    ) -> candle_core::Result<(Vec<T>, Kept<T>)> {
        let parts = [&self.theta, &self.bounds, &self.inputs, &self.targets];
        let eps = self.eps.as_ref();
        with_slices(parts, |[theta, bounds, inputs, targets]| {
            let (o, a, t) = self.widths;
            let b = state.len() / o;
            let (mean, std) = inputs.split_at(o + a);
            let mut x = Vec::with_capacity(b * (o + a));
            for (s, a) in state.chunks_exact(o).zip(action.chunks_exact(a)) {
                let raw = s.iter().chain(a).zip(mean).zip(std);
                x.extend(raw.map(|((x, m), s)| (*x - *m) / *s));
            }
            let (y, tape) = self.net.forward(&self.rows, theta, &x, self.wanted);
            let (mean, std) = targets.split_at(t);
            let width = self.net.output();
            let mut out = Vec::with_capacity(b * t);
            for y in y.chunks_exact(width) {
                out.extend(y.iter().zip(mean).zip(std).map(|((y, m), s)| *y * *s + *m));
            }
            let factor = match (eps, &self.own_std) {
                (None, _) => None,
                (Some(eps), Some(member)) => {
                    let noisy = |[eps]: [&[T]; 1]| add_own(&mut out, member, bounds, std, eps);
                    with_slices([eps], noisy)?;
                    None
                }
                (Some(eps), None) => {
                    let noisy = |[eps]: [&[T]; 1]| self.add_noise(&mut out, &y, bounds, std, eps);
                    Some(with_slices([eps], noisy)?)
                }
            };
            if self.change {
                for (out, state) in out.chunks_exact_mut(t).zip(state.chunks_exact(o)) {
                    out.iter_mut().zip(state).for_each(|(out, s)| *out += *s);
                }
            }
            if self.ends {
                let rows = out.chunks_exact(t).zip(y.chunks_exact(width));
                out =
                    rows.flat_map(|(out, y)| out.iter().chain(&y[width - 1..])).copied().collect();
            }
            Ok((out, Kept { tape, factor }))
        })?
    }

    /// `out += sd_y exp(logvar / 2) eps`; returns the derivatives of that by `raw`.
    fn add_noise<T: Real>(
        &self,
        out: &mut [T],
        y: &[T],
        bounds: &[T],
        scale: &[T],
        eps: &[T],
    ) -> Vec<T> {
        let t = self.widths.2;
        let (max, min) = bounds.split_at(t);
        let mut v: Vec<T> = Vec::with_capacity(out.len());
        for y in y.chunks_exact(self.net.output()) {
            v.extend(y[t..].iter().zip(max).map(|(raw, max)| *max - *raw));
        }
        let (mut inner, mut outer) = (vec![T::default(); v.len()], vec![T::default(); v.len()]);
        softplus_all(&mut v, &mut inner);
        for v in v.chunks_exact_mut(t) {
            v.iter_mut().zip(max.iter().zip(min)).for_each(|(v, (max, min))| *v = *max - *v - *min);
        }
        softplus_all(&mut v, &mut outer);
        for v in v.chunks_exact_mut(t) {
            v.iter_mut().zip(min).for_each(|(v, min)| *v += *min);
        }
        exp_half(&mut v);
        let half = T::from_f64(0.5);
        // v is the standard deviation from here on; d exp(logvar / 2) = exp(logvar / 2) / 2.
        for (((row, v), eps), (inner, outer)) in out
            .chunks_exact_mut(t)
            .zip(v.chunks_exact(t))
            .zip(eps.chunks_exact(t))
            .zip(inner.chunks_exact_mut(t).zip(outer.chunks_exact(t)))
        {
            for i in 0..t {
                let noise = v[i] * scale[i] * eps[i];
                row[i] += noise;
                inner[i] = half * noise * inner[i] * outer[i];
            }
        }
        inner
    }

    fn backward<T: Real>(
        &self,
        state: &Tensor,
        action: &Tensor,
        d_out: &Tensor,
        kept: &OnceLock<Kept<T>>,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = kept.get() else { bail!("ensemble step: backward without forward") };
        let (o, a, t) = self.widths;
        let tensors = [d_out, &self.theta, &self.inputs, &self.targets];
        let (ds, da) = with_slices(tensors, |[d_out, theta, inputs, targets]| {
            let (scale, width) = (&targets[t..], self.net.output());
            let d_out: Cow<[T]> = match self.ends {
                true => d_out.chunks_exact(t + 1).flat_map(|d| &d[..t]).copied().collect(),
                false => d_out.into(),
            };
            let b = d_out.len() / t;
            let mut dy = vec![T::default(); b * width];
            for (i, (dy, d)) in dy.chunks_exact_mut(width).zip(d_out.chunks_exact(t)).enumerate() {
                dy.iter_mut().zip(d).zip(scale).for_each(|((dy, d), s)| *dy = *d * *s);
                if let Some(factor) = &kept.factor {
                    let factor = &factor[i * t..][..t];
                    for ((dy, d), f) in dy[t..].iter_mut().zip(d).zip(factor) {
                        *dy = *d * *f;
                    }
                }
            }
            let grads = self.net.backward(&self.rows, theta, &[], &dy, &kept.tape, self.wanted);
            let dx = grads.dx.unwrap_or_default();
            let std = &inputs[o + a..];
            let (mut ds, mut da) = (Vec::with_capacity(b * o), Vec::with_capacity(b * a));
            for (dx, d) in dx.chunks_exact(o + a).zip(d_out.chunks_exact(t)) {
                let raw = dx.iter().zip(std).map(|(dx, s)| *dx / *s);
                let through = d.iter().map(|d| if self.change { *d } else { T::default() });
                ds.extend(raw.clone().take(o).zip(through).map(|(dx, d)| dx + d));
                da.extend(raw.skip(o));
            }
            (ds, da)
        })?;
        let tensor = |d: Vec<T>, like: &Tensor| Tensor::from_vec(d, like.shape(), like.device());
        Ok((Some(tensor(ds, state)?), Some(tensor(da, action)?)))
    }
}

/// `out += sd_y exp(log_std) eps`, by the deviations `[E,T]` of the rows' members.
fn add_own<T: Real>(out: &mut [T], member: &[u32], log_std: &[T], scale: &[T], eps: &[T]) {
    let t = scale.len();
    let floor = T::from_f64(LEAST_STD.ln());
    let std: Vec<T> = log_std.iter().map(|x| if *x < floor { floor } else { *x }.exp()).collect();
    for ((row, member), eps) in out.chunks_exact_mut(t).zip(member).zip(eps.chunks_exact(t)) {
        let std = &std[*member as usize * t..][..t];
        for (((x, std), scale), eps) in row.iter_mut().zip(std).zip(scale).zip(eps) {
            *x += *std * *scale * *eps;
        }
    }
}

impl CustomOp2 for Step {
    fn name(&self) -> &'static str {
        "ensemble-step"
    }

    fn cpu_fwd(
        &self,
        state: &CpuStorage,
        l1: &Layout,
        action: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = Shape::from((l1.dims()[0], self.widths.2 + usize::from(self.ends)));
        let storage = match state {
            CpuStorage::F32(_) => {
                let (out, kept) = self.forward::<f32>(slice(state, l1)?, slice(action, l2)?)?;
                self.kept32.get_or_init(|| kept);
                CpuStorage::F32(out)
            }
            CpuStorage::F64(_) => {
                let (out, kept) = self.forward::<f64>(slice(state, l1)?, slice(action, l2)?)?;
                self.kept64.get_or_init(|| kept);
                CpuStorage::F64(out)
            }
            _ => bail!("ensemble step: expected f32 or f64"),
        };
        Ok((storage, shape))
    }

    fn bwd(
        &self,
        state: &Tensor,
        action: &Tensor,
        _: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_out = d_out.contiguous()?;
        match state.dtype() {
            DType::F32 => self.backward(state, action, &d_out, &self.kept32),
            _ => self.backward(state, action, &d_out, &self.kept64),
        }
    }
}
