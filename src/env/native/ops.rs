//! What the equations of motion are made of: tensor operations, integration, rounding.

pub use crate::ops::{angle, clip, column, rotate};

/// One step of the classical Runge-Kutta method of order 4, `h` long.
pub fn runge_kutta<const N: usize>(
    state: [f64; N],
    h: f64,
    slope: impl Fn(&[f64; N]) -> [f64; N],
) -> [f64; N] {
    let ahead = |d: [f64; N], time: f64| std::array::from_fn(|i| state[i] + time * d[i]);
    let k1 = slope(&state);
    let k2 = slope(&ahead(k1, h / 2.0));
    let k3 = slope(&ahead(k2, h / 2.0));
    let k4 = slope(&ahead(k3, h));
    ahead(std::array::from_fn(|i| (k1[i] + 2.0 * (k2[i] + k3[i]) + k4[i]) / 6.0), h)
}

/// Rounded to single precision.
pub fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

/// Whether `x` is a number that a `f32` holds exactly.
pub fn fits_single(x: f64) -> bool {
    single(x) == x
}

/// `factor * x` as NumPy computes it for a Python float `factor`: in single precision when `x` is.
pub fn product_as_typed(factor: f64, x: f64) -> f64 {
    // The double product of two singles is exact, so one rounding makes it the single product.
    if fits_single(x) { single(single(factor) * x) } else { factor * x }
}
