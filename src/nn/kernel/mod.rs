//! Loops over raw slices: matrix products, activations, Adam, Polyak averaging.
//!
//! The loops are compiled for several vector widths, see [`crate::vectorised`]; `product.rs` has
//! the only `unsafe` of this folder.

mod elementary;
mod nll;
mod product;

pub(crate) use elementary::{
    Pair, Real, add_scaled_noise, exp_half, softplus_all, softplus_values, tanh_all,
};
pub(super) use nll::{Nll, nll};
pub(super) use product::{dz_wt, x_w, xt_dz};

use crate::vectorised::vectorised;

/// What follows the matrix product of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Linear,
    Relu,
    Tanh,
    Swish,
}

/// `z <- f(z + bias)` a row at a time; and, when `slope` is not empty, `slope <- f'(z + bias)`.
#[inline(always)]
fn each<T: Real>(
    z: &mut [T],
    bias: &[T],
    slope: &mut [T],
    f: impl Fn(T) -> T,
    f_slope: impl Fn(T) -> (T, T),
) {
    let width = bias.len();
    if slope.is_empty() {
        for row in z.chunks_exact_mut(width) {
            for (z, b) in row.iter_mut().zip(bias) {
                *z = f(*z + *b);
            }
        }
        return;
    }
    for (row, slopes) in z.chunks_exact_mut(width).zip(slope.chunks_exact_mut(width)) {
        for ((z, b), s) in row.iter_mut().zip(bias).zip(slopes) {
            (*z, *s) = f_slope(*z + *b);
        }
    }
}

vectorised! {
    /// Bias and activation of `z` `[n,O]` in place, see [`each`].
    pub(super) fn activate<T: Real>(after: After, z: &mut [T], bias: &[T], slope: &mut [T]) {
        let zero = T::default();
        match after {
            After::Linear => each(z, bias, slope, |v| v, |v| (v, T::ONE)),
            After::Relu => each(
                z,
                bias,
                slope,
                // Written so that NaN stays NaN.
                |v| if v <= zero { zero } else { v },
                |v| if v <= zero { (zero, zero) } else { (v, T::ONE) },
            ),
            After::Tanh => each(z, bias, slope, Real::tanh, |v| {
                let h = v.tanh();
                (h, T::ONE - h * h)
            }),
            After::Swish => each(z, bias, slope, |v| v * v.sigmoid(), |v| {
                let s = v.sigmoid();
                let h = v * s;
                (h, s + h * (T::ONE - s))
            }),
        }
    }
}

vectorised! {
    /// `x <- x * y`.
    pub(super) fn multiply<T: Real>(x: &mut [T], y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x *= *y;
        }
    }
}

vectorised! {
    /// `x <- 0` where `y` is at most 0; NaN is not.
    pub(super) fn where_positive<T: Real>(x: &mut [T], y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = if *y <= T::default() { T::default() } else { *x };
        }
    }
}

vectorised! {
    /// `sum <- sum + x`.
    pub(super) fn add<T: Real>(sum: &mut [T], x: &[T]) {
        for (s, x) in sum.iter_mut().zip(x) {
            *s += *x;
        }
    }
}

vectorised! {
    /// `sum [O] <- sum + the rows of x [n,O]`.
    pub(super) fn add_rows<T: Real>(sum: &mut [T], x: &[T]) {
        for row in x.chunks_exact(sum.len()) {
            for (s, x) in sum.iter_mut().zip(row) {
                *s += *x;
            }
        }
    }
}

vectorised! {
    /// Whether no element is NaN or infinite.
    pub(super) fn all_finite<T: Real>(x: &[T]) -> bool {
        x.iter().fold(true, |ok, x| ok & x.finite())
    }
}

vectorised! {
    /// The largest magnitude.
    pub(crate) fn largest<T: Real>(x: &[T]) -> T::Magnitude {
        x.iter().fold(T::Magnitude::default(), |m, x| m.max(x.magnitude()))
    }
}

vectorised! {
    /// `target <- (1 - tau) target + tau online`.
    pub(super) fn polyak<T: Real>(target: &mut [T], online: &[T], tau: T) {
        let keep = T::ONE - tau;
        for (t, o) in target.iter_mut().zip(online) {
            *t = keep * *t + tau * *o;
        }
    }
}

/// The numbers of one Adam step; the bias corrections are `1 - beta^t`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamStep<T> {
    pub lr: T,
    pub beta1: T,
    pub beta2: T,
    pub eps: T,
    pub correction1: T,
    pub correction2: T,
    pub weight_decay: T,
}

vectorised! {
    /// One Adam step over flat slices of equal length.
    pub(super) fn adam<T: Real>(theta: &mut [T], m: &mut [T], v: &mut [T], grad: &[T], step: AdamStep<T>) {
        let AdamStep { lr, beta1, beta2, eps, correction1, correction2, weight_decay } = step;
        let (rest1, rest2) = (T::ONE - beta1, T::ONE - beta2);
        // lr (m / c1) / (sqrt(v / c2) + eps) with one division an element.
        let (rate, root) = (lr / correction1, T::ONE / correction2.sqrt());
        for (((theta, m), v), g) in theta.iter_mut().zip(m).zip(v).zip(grad) {
            let g = *g + weight_decay * *theta;
            // Where gradients have ended (dead units), moments would come to rest at subnormal numbers.
            *m = (beta1 * *m + rest1 * g).flushed();
            *v = (beta2 * *v + rest2 * (g * g)).flushed();
            *theta -= rate * *m / (v.sqrt() * root + eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::elementary::softplus;
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-200_000..=200_000).map(|i| i as f32 * 1e-4)
    }

    #[test]
    fn elementary_functions_in_f32_are_accurate() {
        for x in grid() {
            let (want, got) = (f64::from(x).sigmoid(), f64::from(x.sigmoid()));
            assert!((got / want - 1.0).abs() < 3e-7, "sigmoid({x}): {got} {want}");
            let (want, got) = (f64::from(x).exp(), f64::from(Real::exp(x)));
            assert!((got / want - 1.0).abs() < 3e-7, "exp({x}): {got} {want}");
            let ((want, _), (got, _)) = (softplus(f64::from(x)), softplus(x));
            assert!((f64::from(got) / want - 1.0).abs() < 4e-7, "softplus({x}): {got} {want}");
            let (want, got) = (f64::from(x).tanh(), f64::from(Real::tanh(x)));
            let err = if x == 0.0 { got.abs() } else { (got / want - 1.0).abs() };
            assert!(err < 3e-7, "tanh({x}): {got} {want}");
        }
    }

    #[test]
    fn extremes_saturate_and_nan_stays() {
        assert_eq!(Real::tanh(1e30f32), 1.0);
        assert_eq!(Real::tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(f32::INFINITY.sigmoid(), 1.0);
        assert!((-1000f32).sigmoid() < 1e-37);
        assert!(f32::NAN.sigmoid().is_nan() && Real::tanh(f32::NAN).is_nan());
        let mut z = [f32::NAN, -1.0, 2.0];
        activate(After::Relu, &mut z, &[0.0], &mut []);
        assert!(z[0].is_nan() && z[1] == 0.0 && z[2] == 2.0);
    }

    #[test]
    fn finiteness_is_seen_anywhere() {
        let mut x = vec![1f32; 1003];
        assert!(all_finite(&x));
        x[1001] = f32::INFINITY;
        assert!(!all_finite(&x));
    }
}
