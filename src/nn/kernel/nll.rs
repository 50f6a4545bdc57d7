//! The Gaussian negative log-likelihood of one member's rows.

use super::super::scratch::Scratch;
use super::elementary::{Real, exp_minus, softplus_all};

/// What one member of [`crate::nn::bounded_nll`] reads and writes.
pub(in crate::nn) struct Nll<'a, T> {
    /// Means and raw log-variances `[B,2T]`.
    pub out: &'a [T],
    /// Targets `[B,T]`.
    pub target: &'a [T],
    /// Upper, then lower bounds of the log-variance `[2T]`.
    pub bounds: &'a [T],
    /// Factor of loss and gradients.
    pub scale: T,
    /// Gradient of `out` `[B,2T]`.
    pub d_out: &'a mut [T],
    /// Gradient of `bounds` `[2T]`, added up.
    pub d_bounds: &'a mut [T],
    /// Loss a dimension `[T]`, added up.
    pub loss: &'a mut [T],
}

/// `(mu - y)^2 / var + logvar` with its gradients; see [`crate::nn::bounded_nll`] for the bounds. The costly
/// functions run over flat arrays, because rows are too short to vectorise.
pub(in crate::nn) fn nll<T: Real>(member: Nll<'_, T>) {
    let Nll { out, target, bounds, scale, d_out, d_bounds, loss } = member;
    let width = loss.len();
    let (max, min) = bounds.split_at(width);
    let (d_max, d_min) = d_bounds.split_at_mut(width);
    let n = target.len();
    // First `max - raw`, then its softplus; then `max - that - min`, and its softplus; then logvar.
    let mut v = Scratch::take(n);
    for (row, v) in out.chunks_exact(2 * width).zip(v.chunks_exact_mut(width)) {
        for ((v, max), raw) in v.iter_mut().zip(max).zip(&row[width..]) {
            *v = *max - *raw;
        }
    }
    let (mut slope1, mut slope2) = (Scratch::take(n), Scratch::take(n));
    softplus_all(&mut v, &mut slope1);
    for row in v.chunks_exact_mut(width) {
        row.iter_mut().zip(max.iter().zip(min)).for_each(|(v, (max, min))| *v = *max - *v - *min);
    }
    softplus_all(&mut v, &mut slope2);
    for row in v.chunks_exact_mut(width) {
        row.iter_mut().zip(min).for_each(|(v, min)| *v += *min);
    }
    let mut precision = Scratch::take(n);
    exp_minus(&mut precision, &v);

    let rows = out.chunks_exact(2 * width).zip(d_out.chunks_exact_mut(2 * width));
    for (r, (row, d_row)) in rows.enumerate() {
        let own = r * width..(r + 1) * width;
        let (y, logvar, precision) =
            (&target[own.clone()], &v[own.clone()], &precision[own.clone()]);
        let (slope1, slope2) = (&slope1[own.clone()], &slope2[own]);
        let (d_mu, d_raw) = d_row.split_at_mut(width);
        for i in 0..width {
            let error = row[i] - y[i];
            let ratio = error * error * precision[i];
            let d_logvar = scale * (T::ONE - ratio);
            let d_inner = d_logvar * slope2[i];
            loss[i] += scale * (ratio + logvar[i]);
            d_mu[i] = scale * (error + error) * precision[i];
            d_raw[i] = d_inner * slope1[i];
            d_max[i] += d_inner * (T::ONE - slope1[i]);
            d_min[i] += d_logvar * (T::ONE - slope2[i]);
        }
    }
}
