//! The training loss of the ensemble.

use candle_core::Tensor;

use super::EnsembleModel;
use crate::error::Result;
use crate::nn::Params;

/// The loss of `out` `[E,B,2T]` (or `[E,B,T]`) against normalised targets `[E,B,T]`: a scalar.
///
/// A member's loss is the mean over batch and dimensions of `(mu - y)^2 / var + logvar`, plain
/// squared error for deterministic members; members are summed; the bounds of the log-variance are
/// pulled together by `coef (sum max - sum min)`.
pub(super) fn loss(
    model: &EnsembleModel,
    bounds: &Params,
    out: &Tensor,
    target: &Tensor,
) -> Result<Tensor> {
    let (_, b, t) = target.dims3()?;
    let (mean, logvar) = model.gaussian(out, bounds)?;
    let squared = (mean - target)?.sqr()?;
    let Some(logvar) = logvar else {
        return Ok((squared.sum_all()? / (b * t) as f64)?);
    };
    let fit = ((squared * logvar.neg()?.exp()?)? + logvar)?.sum_all()?;
    let width = (bounds.view("max")?.sum_all()? - bounds.view("min")?.sum_all()?)?;
    Ok(((fit / (b * t) as f64)? + (width * model.config.logvar_bound_coef)?)?)
}
