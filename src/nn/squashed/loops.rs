//! Loops of the squashed Gaussian over raw slices. The costly functions run over flat arrays,
//! because rows are too short to vectorise.

use std::f64::consts::{LN_2, TAU};

use crate::nn::kernel::Real;
use crate::vectorised::vectorised;

/// `x` within the bounds; NaN stays.
#[inline(always)]
fn clip<T: Real>(x: T, (low, high): (T, T)) -> T {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// A block of rows of `raw` and `eps` to actions, standard deviations and log-densities; shapes as
/// in [`super::fused`].
pub(super) fn forward<T: Real>(
    raw: &[T],
    eps: &[T],
    bounds: (T, T),
    action: &mut [T],
    std: &mut [T],
    log_prob: &mut [T],
) {
    let a = eps.len() / log_prob.len().max(1);
    let rows = action.chunks_exact_mut(a).zip(std.chunks_exact_mut(a));
    for ((mean, log_std), raw) in rows.zip(raw.chunks_exact(2 * a)) {
        mean.copy_from_slice(&raw[..a]);
        log_std.iter_mut().zip(&raw[a..]).for_each(|(l, raw)| *l = clip(*raw, bounds));
    }
    let mut density = vec![T::default(); eps.len()];
    sample(action, std, eps, &mut density);
    for (log_prob, density) in log_prob.iter_mut().zip(density.chunks_exact(a)) {
        *log_prob = density.iter().fold(T::default(), |sum, d| sum + *d);
    }
}

vectorised! {
    /// `action` from the mean to `tanh(u)`, `std` from its logarithm to itself, and the log-density of
    /// each element.
    fn sample<T: Real>(action: &mut [T], std: &mut [T], eps: &[T], density: &mut [T]) {
        for (((action, std), eps), of) in action.iter_mut().zip(std).zip(eps).zip(density) {
            let log_std = *std;
            *std = log_std.exp();
            let u = *action + *std * *eps;
            *of = self::density(u, *eps, log_std);
            *action = u.tanh();
        }
    }
}

/// Log-densities of a block of given actions, clipped to plus and minus `edge`; shapes as in
/// [`super::fused`].
pub(super) fn given(
    raw: &[f32],
    action: &[f32],
    bounds: (f32, f32),
    edge: f32,
    log_prob: &mut [f32],
) {
    let a = action.len() / log_prob.len().max(1);
    let mut log_std = Vec::with_capacity(action.len());
    let mut mean = Vec::with_capacity(action.len());
    for raw in raw.chunks_exact(2 * a) {
        mean.extend_from_slice(&raw[..a]);
        log_std.extend_from_slice(&raw[a..]);
    }
    let mut density = action.to_vec();
    densities(&mut density, &mean, &log_std, bounds, edge);
    for (log_prob, density) in log_prob.iter_mut().zip(density.chunks_exact(a)) {
        *log_prob = density.iter().sum();
    }
}

vectorised! {
    /// From an action to its log-density, an element each.
    fn densities(x: &mut [f32], mean: &[f32], log_std: &[f32], bounds: (f32, f32), edge: f32) {
        for ((x, mean), log_std) in x.iter_mut().zip(mean).zip(log_std) {
            let action = clip(*x, (-edge, edge));
            let log_std = clip(*log_std, bounds);
            // artanh; a zero that NaN makes NaN again.
            let u = 0.5 * (ln(1.0 + action) - ln(1.0 - action)) + 0.0 * action;
            let z = (u - mean) * Real::exp(-log_std);
            *x = density(u, z, log_std);
        }
    }
}

/// The logarithm of a positive, normal number, without branches or table: `x = 2^n (1 + m)` with
/// `1 + m` within a factor `sqrt(2)` of 1.
#[inline(always)]
fn ln(x: f32) -> f32 {
    const LOWEST: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let above = x.to_bits().wrapping_sub(LOWEST);
    let n = (above as i32 >> 23) as f32;
    let m = f32::from_bits((above & 0x007f_ffff).wrapping_add(LOWEST)) - 1.0;
    n * std::f32::consts::LN_2 + m.ln_1p_unit()
}

/// The log-density of `tanh(u)` where `u` has standardised value `z`.
#[inline(always)]
fn density<T: Real>(u: T, z: T, log_std: T) -> T {
    let (half, two, zero) = (T::from_f64(0.5), T::from_f64(2.0), T::default());
    let size = if u < zero { zero - u } else { u };
    // ln(1 - tanh(u)^2), which is even in u.
    let slope = two * (T::from_f64(LN_2) - size - (zero - two * size).exp().ln_1p_unit());
    zero - half * z * z - log_std - T::from_f64(0.5 * TAU.ln()) - slope
}

vectorised! {
    /// `x <- tanh(x)`.
    pub(super) fn tanh<T: Real>(x: &mut [T]) {
        for x in x {
            *x = x.tanh();
        }
    }
}

/// By which result a gradient arrives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Through {
    Action,
    LogProb,
}

/// Where a gradient is taken; shapes as in [`super::fused`].
pub(super) struct Point<'a, T> {
    pub raw: &'a [T],
    pub eps: &'a [T],
    pub action: &'a [T],
    pub std: &'a [T],
    /// `A`.
    pub width: usize,
    pub bounds: (T, T),
}

/// The gradients of `raw` and, unless it is empty, of `eps`, from that of the actions `[B,A]` or of
/// the log-densities `[B]`:
///
/// - `da/du = 1 - a^2`, and `d(log p)/du = 2 a`, besides which `log p` has `-l` and `-eps^2 / 2`;
/// - `du/dm = 1`, `du/dl = std eps`, `du/d(eps) = std`;
/// - `dl/dr = 1` between the bounds and on them, and 0 outside.
pub(super) fn backward<T: Real>(
    point: &Point<T>,
    upstream: &[T],
    through: Through,
    d_raw: &mut [T],
    d_eps: &mut [T],
) {
    let &Point { raw, eps, action, std, width: a, bounds: (low, high) } = point;
    let zero = T::default();
    for (row, (d_raw, raw)) in
        d_raw.chunks_exact_mut(2 * a).zip(raw.chunks_exact(2 * a)).enumerate()
    {
        let own = row * a..(row + 1) * a;
        let (eps, action, std) = (&eps[own.clone()], &action[own.clone()], &std[own.clone()]);
        let (d_mean, d_log_std) = d_raw.split_at_mut(a);
        for i in 0..a {
            let (d_u, direct) = match through {
                Through::Action => (upstream[row * a + i] * (T::ONE - action[i] * action[i]), zero),
                Through::LogProb => (upstream[row] * (action[i] + action[i]), upstream[row]),
            };
            let outside = raw[a + i] < low || raw[a + i] > high;
            d_mean[i] = d_u;
            d_log_std[i] = if outside { zero } else { d_u * std[i] * eps[i] - direct };
            if let Some(d_eps) = d_eps.get_mut(row * a + i) {
                *d_eps = d_u * std[i] - direct * eps[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_exact_to_rounding_where_a_density_needs_it() {
        for i in 1..2_000_000u32 {
            let x = i as f32 * 1e-6;
            let (got, want) = (f64::from(ln(x)), f64::from(x).ln());
            assert!((got - want).abs() < 2e-7 * want.abs().max(0.5), "{x}: {got} against {want}");
        }
    }

    #[test]
    fn an_action_that_is_not_a_number_has_no_density() {
        let mut log_prob = [0.0; 2];
        given(&[0.1, -0.2, 0.3, 0.1], &[f32::NAN, 2.0], (-5.0, 2.0), 0.999, &mut log_prob);
        assert!(log_prob[0].is_nan() && log_prob[1].is_finite(), "{log_prob:?}");
    }
}
