//! Tensor operations that candle lacks, or whose gradient it gets wrong at an edge.

use candle_core::Tensor;

use crate::error::Result;
use crate::shape::to_f64;

/// Column `i` of `[B,W]`, as `[B,1]`.
pub fn column(x: &Tensor, i: usize) -> Result<Tensor> {
    Ok(x.narrow(1, i, 1)?)
}

/// `x` clipped to `[low, high]`; its gradient is 1 inside and on the bounds, 0 outside.
///
/// candle's own `clamp` has the gradient 1/2 on a bound, where saturated `tanh` actions sit.
pub fn clip(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let full = |v: f64| Tensor::full(v, x.dims(), x.device())?.to_dtype(x.dtype());
    let x = x.lt(low)?.where_cond(&full(low)?, x)?;
    Ok(x.gt(high)?.where_cond(&full(high)?, &x)?)
}

/// The angle of the vectors `(cos, sin)` in `(-pi, pi]`; they need not have length 1.
///
/// candle has no `atan2`. The angle is computed outside the graph; what is added is zero in value
/// and has the first derivative `d angle = (cos d sin - sin d cos) / (cos^2 + sin^2)`.
pub fn angle(cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (c, s) = (to_f64(cos)?, to_f64(sin)?);
    let like = |v: Vec<f64>| Tensor::from_vec(v, cos.dims(), cos.device())?.to_dtype(cos.dtype());
    let value = like(c.iter().zip(&s).map(|(c, s)| s.atan2(*c)).collect())?;
    // The vector (0, 0) has no angle: finite numbers there keep NaN out of the other rows.
    let square: Vec<f64> = c.iter().zip(&s).map(|(c, s)| (c * c + s * s).max(1e-12)).collect();
    let (c, s) = (cos.detach(), sin.detach());
    let turn = ((c * sin)? - (s * cos)?)?.div(&like(square)?)?;
    Ok((value + turn)?)
}

/// The vectors `(cos, sin)` turned by `by` radians.
pub fn rotate(cos: &Tensor, sin: &Tensor, by: &Tensor) -> Result<(Tensor, Tensor)> {
    let (c, s) = (by.cos()?, by.sin()?);
    Ok((((cos * &c)? - (sin * &s)?)?, ((sin * &c)? + (cos * &s)?)?))
}

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
