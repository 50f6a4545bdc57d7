//! The training loss of the ensemble.

use candle_core::{Tensor, Var};

use super::EnsembleModel;
use crate::error::{Error, Result};
use crate::nn::{Grad, Params, bounded_nll, fit_gradients};
use crate::shape::Ops;

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
    if !model.config.probabilistic {
        return Ok(((out - target)?.sqr()?.sum_all()? / (b * t) as f64)?);
    }
    let spec = model.net.spec();
    let fit = match spec.ops {
        Ops::Fused if spec.device.is_cpu() => bounded_nll(out, bounds, target)?,
        _ => plain_nll(model, bounds, out, target)?,
    };
    let width = (bounds.view("max")?.sum_all()? - bounds.view("min")?.sum_all()?)?;
    Ok((fit + (width * model.config.logvar_bound_coef)?)?)
}

/// The loss of the network's outputs for inputs `x` `[E,B,D]`, with its gradients at the weights
/// and, for probabilistic members, at the bounds.
pub(super) fn gradients(
    model: &EnsembleModel,
    x: &Tensor,
    target: &Tensor,
) -> Result<(f64, Grad, Option<Tensor>)> {
    let (spec, t) = (model.net.spec(), model.target_dim());
    let dims = [model.config.members, x.dim(1)?, t];
    crate::shape::exact(target, &dims, "targets of the model")?;
    if model.config.probabilistic && spec.ops == Ops::Fused && spec.device.is_cpu() {
        let (fit, grad, mut d_bounds) = fit_gradients(&model.net, x, &model.bounds, target)?;
        let (bounds, coef) = (model.bounds.to_flat()?, model.config.logvar_bound_coef);
        // Laid out as max, then min.
        let (max, min) = bounds.split_at(t);
        let width = max.iter().sum::<f64>() - min.iter().sum::<f64>();
        let (d_max, d_min) = d_bounds.split_at_mut(t);
        d_max.iter_mut().for_each(|d| *d += coef);
        d_min.iter_mut().for_each(|d| *d -= coef);
        return Ok((fit + coef * width, grad, Some(spec.tensor(&d_bounds, 2 * t)?)));
    }
    let ((value, bounds), grad) = model.net.regress(x, |out| {
        let out = Var::from_tensor(&out.detach())?;
        let value = loss(model, &model.bounds, out.as_tensor(), target)?;
        let grads = value.backward()?;
        let none = || Error::config("model loss", "does not depend on the outputs");
        let d_out = grads.get(out.as_tensor()).cloned().ok_or_else(none)?;
        Ok(((crate::shape::scalar(&value)?, model.bounds.grad(&grads)?), d_out))
    })?;
    Ok((value, grad, bounds.filter(|_| model.config.probabilistic)))
}

/// [`bounded_nll`] through plain candle operations.
fn plain_nll(
    model: &EnsembleModel,
    bounds: &Params,
    out: &Tensor,
    target: &Tensor,
) -> Result<Tensor> {
    let (_, b, t) = target.dims3()?;
    let (mean, logvar) = model.gaussian(out, bounds)?;
    let squared = (mean - target)?.sqr()?;
    let Some(logvar) = logvar else { return Ok(squared.sum_all()?) };
    Ok((((squared * logvar.neg()?.exp()?)? + logvar)?.sum_all()? / (b * t) as f64)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::EnsembleConfig;
    use crate::env::Known;
    use crate::rng::Rng;
    use crate::shape::{Spec, scalar, to_f64};

    #[test]
    fn the_fused_loss_equals_the_plain_one_with_all_gradients() {
        for (spec, tolerance) in [(Spec::f64(), 1e-12), (Spec::f32(), 1e-5)] {
            for b in [1, 7, 900] {
                let mut rng = Rng::new(b as u64);
                let config = EnsembleConfig {
                    hidden: vec![],
                    weight_decay: vec![],
                    ..EnsembleConfig::default()
                };
                let model =
                    EnsembleModel::new(&config, 4, 2, Known::default(), &mut rng, &spec).unwrap();
                // Raw log-variances far beyond both bounds are among them.
                let out = (rng.normals((7, b, 10), &spec).unwrap() * 6.0).unwrap();
                let out = Var::from_tensor(&out).unwrap();
                let y = rng.normals((7, b, 5), &spec).unwrap();
                let [fused, plain] = [bounded_nll(&out, &model.bounds, &y), {
                    plain_nll(&model, &model.bounds, &out, &y)
                }]
                .map(|loss| {
                    let loss = (loss.unwrap() * 3.0).unwrap();
                    let grads = loss.backward().unwrap();
                    let bounds = model.bounds.grad(&grads).unwrap().unwrap();
                    let parts =
                        [grads.get(out.as_tensor()).unwrap(), &bounds].map(|g| to_f64(g).unwrap());
                    (scalar(&loss).unwrap(), parts)
                });
                assert!((fused.0 / plain.0 - 1.0).abs() < 10.0 * tolerance, "b = {b}");
                for (got, want) in fused.1.iter().zip(&plain.1) {
                    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
                    for (g, w) in got.iter().zip(want) {
                        assert!((g - w).abs() <= tolerance * scale, "{g} {w} {scale}");
                    }
                }
            }
        }
    }
}
