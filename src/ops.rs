//! Tensor operations that candle lacks, or whose gradient it gets wrong at an edge.

use candle_core::Tensor;

use crate::error::Result;
use crate::shape::to_f64;

/// Column `i` of `[B,W]`, as `[B,1]`.
pub fn column(x: &Tensor, i: usize) -> Result<Tensor> {
    Ok(x.narrow(1, i, 1)?)
}

/// The rows `rows` of `x` `[B,..]`, in this order; of a view too, which candle refuses.
pub fn take_rows(x: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let index = Tensor::from_slice(rows, rows.len(), x.device())?;
    Ok(x.contiguous()?.index_select(&index, 0)?)
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
