//! The tanh-squashed Gaussian: `a = tanh(u)`, `u ~ N(mean, exp(log_std)^2)`, elements independent.
//!
//! Its log-density is that of `u` less `sum log(1 - tanh(u)^2)`. The last term saturates when taken
//! literally; `log(1 - tanh(u)^2) = 2 (ln 2 - u - softplus(-2u))` does not.

mod fused;
mod loops;

use std::f64::consts::{LN_2, TAU};

use candle_core::{D, DType, Tensor};

use super::kernel;
use crate::error::{Error, Result};
use crate::shape::{Ops, Spec};

/// `log(1 + exp(x))` of every element, without overflow, with gradient `1 / (1 + exp(-x))`.
///
/// # Errors
/// [`crate::Error::Tensor`] when candle refuses the tensor.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    // max(x, 0) + log(1 + exp(-|x|)). At 0 candle takes relu' = 1 and abs' = 1, which together give
    // the right derivative 1 - 1/2.
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}

/// Log-density of `action = tanh(u)` where `u` has standardised value `z` under the Gaussian.
fn density(u: &Tensor, z: &Tensor, log_std: &Tensor) -> Result<Tensor> {
    let gauss = ((z.sqr()? * -0.5)? - log_std)?;
    let gauss = (gauss - 0.5 * TAU.ln())?;
    // 2 (ln 2 - u - softplus(-2u))
    let slope = ((softplus(&(u * -2.0)?)? + u)? * -2.0)?;
    let slope = (slope + 2.0 * LN_2)?;
    Ok((gauss - slope)?.sum(D::Minus1)?)
}

/// A reparameterised sample: `mean`, `log_std` and standard normal `eps`, all `[B,A]`, to the action
/// `[B,A]` in `(-1, 1)` and its log-density `[B]`. `eps = 0` gives the mode before squashing.
///
/// # Errors
/// [`crate::Error::Shape`] when the shapes differ.
pub fn sample(mean: &Tensor, log_std: &Tensor, eps: &Tensor) -> Result<(Tensor, Tensor)> {
    crate::shape::exact(log_std, mean.dims(), "log_std of a squashed Gaussian")?;
    crate::shape::exact(eps, mean.dims(), "noise of a squashed Gaussian")?;
    let u = (mean + (log_std.exp()? * eps)?)?;
    Ok((u.tanh()?, density(&u, eps, log_std)?))
}

/// Actions from means (in `action`), in place: `tanh(mean + exp(log_std) eps)`, or `tanh(mean)`
/// without noise; the log standard deviations are kept within their bounds.
pub(crate) fn act(action: &mut [f32], log_std: &[f32], eps: Option<&[f32]>, bounds: (f64, f64)) {
    if let Some(eps) = eps {
        kernel::add_scaled_noise(action, log_std, eps, bounds.0 as f32, bounds.1 as f32);
    }
    kernel::tanh_all(action);
}

/// Actions `[n,A]` with their log-densities `[n]` from the raw output `[n,2A]` of a policy's network;
/// noise and bounds as in [`act`]. Leaves the standard deviations in `std`.
pub(crate) fn act_densely(
    raw: &[f32],
    eps: Option<&[f32]>,
    (low, high): (f64, f64),
    action: &mut [f32],
    log_prob: &mut [f32],
    std: &mut Vec<f32>,
) {
    std.resize(action.len(), 0.0);
    let zeros = if eps.is_none() { vec![0.0; action.len()] } else { Vec::new() };
    let bounds = (low as f32, high as f32);
    loops::forward(raw, eps.unwrap_or(&zeros), bounds, action, std, log_prob);
}

/// Log-densities `[n]` of given actions `[n,A]` under the raw output `[n,2A]` of a policy's network,
/// as [`log_prob`] has them.
pub(crate) fn densities(raw: &[f32], action: &[f32], bounds: (f64, f64), out: &mut [f32]) {
    let bounds = (bounds.0 as f32, bounds.1 as f32);
    loops::given(raw, action, bounds, EDGE as f32, out);
}

/// What actions in `f32` are clipped to before their density is taken.
const EDGE: f64 = 1.0 - 1e-6;

/// Log-density `[B]` of given actions `[B,A]` under `mean` and `log_std` `[B,A]`.
///
/// Actions are clipped to `[-1 + c, 1 - c]` first (`c` = 1e-6 in `f32`, 1e-12 in `f64`), because the
/// inverse of tanh is infinite at the edges; a clipped action gets no gradient.
///
/// # Errors
/// [`crate::Error::Shape`] when the shapes differ.
pub fn log_prob(mean: &Tensor, log_std: &Tensor, action: &Tensor) -> Result<Tensor> {
    crate::shape::exact(log_std, mean.dims(), "log_std of a squashed Gaussian")?;
    crate::shape::exact(action, mean.dims(), "action of a squashed Gaussian")?;
    let limit = if action.dtype() == DType::F64 { 1.0 - 1e-12 } else { EDGE };
    let inside = action.abs()?.lt(limit)?;
    // A selection, not a clamp: candle's clamp has derivative 1/2 at its edges.
    let edge = (action.sign()?.detach() * limit)?;
    let action = inside.where_cond(action, &edge)?;
    // atanh(a) = (log(1 + a) - log(1 - a)) / 2
    let u = (((&action + 1.0)?.log()? - action.affine(-1.0, 1.0)?.log()?)? * 0.5)?;
    let z = ((&u - mean)? * log_std.neg()?.exp()?)?;
    density(&u, &z, log_std)
}

/// Mean and log standard deviation `[B,A]` from the raw output `[B,2A]` of a policy's network: its
/// first half, and its second half within `bounds`. The gradient passes the bounds on and between
/// them and not beyond. NaN stays.
///
/// # Errors
/// [`crate::Error::Shape`] when `raw` is not `[B,2A]`.
pub fn split(raw: &Tensor, bounds: (f64, f64)) -> Result<(Tensor, Tensor)> {
    let a = actions(raw)?;
    let log_std = raw.narrow(1, a, a)?.contiguous()?;
    // A selection, not a clamp: candle's clamp has derivative 1/2 at its edges.
    let edge = |at: f64| -> Result<Tensor> { Ok(log_std.zeros_like()?.affine(1.0, at)?) };
    let (low, high) = (edge(bounds.0)?, edge(bounds.1)?);
    let raised = log_std.lt(&low)?.where_cond(&low, &log_std)?;
    let log_std = log_std.gt(&high)?.where_cond(&high, &raised)?;
    Ok((raw.narrow(1, 0, a)?.contiguous()?, log_std))
}

/// [`sample`] from the raw output `[B,2A]` of a policy's network, split as by [`split`], with
/// gradients to `raw` and `eps` `[B,A]`; fused or plain as `spec` says.
///
/// # Errors
/// [`crate::Error::Shape`] when the shapes do not fit, [`crate::Error::Tensor`] when the number types
/// differ.
pub fn sample_raw(
    raw: &Tensor,
    bounds: (f64, f64),
    eps: &Tensor,
    spec: &Spec,
) -> Result<(Tensor, Tensor)> {
    let a = actions(raw)?;
    crate::shape::exact(eps, &[raw.dim(0)?, a], "noise of a squashed Gaussian")?;
    if is_fused(spec) {
        return fused::sample(raw, eps, bounds);
    }
    let (mean, log_std) = split(raw, bounds)?;
    sample(&mean, &log_std, eps)
}

/// `tanh` of the mean, `[B,A]`, from the raw output `[B,2A]` of a policy's network.
///
/// # Errors
/// [`crate::Error::Shape`] when `raw` is not `[B,2A]`.
pub fn mode_raw(raw: &Tensor, spec: &Spec) -> Result<Tensor> {
    let a = actions(raw)?;
    if is_fused(spec) {
        return fused::mode(raw);
    }
    Ok(raw.narrow(1, 0, a)?.contiguous()?.tanh()?)
}

fn is_fused(spec: &Spec) -> bool {
    matches!(spec.ops, Ops::Fused) && spec.device.is_cpu()
}

/// `A` of a raw output `[B,2A]`.
fn actions(raw: &Tensor) -> Result<usize> {
    match raw.dims() {
        [_, width] if *width > 0 && width.is_multiple_of(2) => Ok(width / 2),
        dims => Err(Error::shape("raw output of a policy", "[B,2A]", dims)),
    }
}
