//! The training loss of the ensemble.

use candle_core::{Tensor, Var};

use super::ends::{Ended, cross_entropy};
use super::ensemble_model::LEAST_STD;
use super::{EnsembleModel, NoiseKind};
use crate::error::{Error, Result};
use crate::nn::{Grad, Params, bounded_nll, fit_gradients, own_gradients};
use crate::shape::Ops;

/// The loss of `out` `[E,B,2T]` (or `[E,B,T]`) against normalised targets `[E,B,T]`: a scalar.
///
/// A member's loss is the mean over batch and dimensions of `(mu - y)^2 / var + logvar`, each times
/// `var^beta` without a gradient where there is a beta, plain
/// squared error for deterministic members, a row with its `weight` `[E,B]` where there is one;
/// members are summed; the bounds of the log-variance are pulled together by
/// `coef (sum max - sum min)`. Where ends are learned and given, their cross-entropy is added.
pub(super) fn loss(
    model: &EnsembleModel,
    bounds: &Params,
    out: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ended: Option<&Ended>,
) -> Result<Tensor> {
    let (spec, t) = (model.net.spec(), model.target_dim());
    let usual = has_fused_form(model) && weight.is_none();
    let fit = match usual && spec.ops == Ops::Fused && spec.device.is_cpu() {
        true if model.learns_ends() => {
            bounded_nll(&out.narrow(2, 0, 2 * t)?.contiguous()?, bounds, target)?
        }
        true => bounded_nll(out, bounds, target)?,
        false => plain_nll(model, bounds, out, target, weight)?,
    };
    let fit = match ended {
        Some(ended) => (fit + cross_entropy(out, ended, weight)?)?,
        None => fit,
    };
    if model.config.noise() != NoiseKind::PerInput {
        return Ok(fit);
    }
    let width = (bounds.view("max")?.sum_all()? - bounds.view("min")?.sum_all()?)?;
    Ok((fit + (width * model.config.logvar_bound_coef)?)?)
}

/// Whether the likelihood has an operation of its own.
fn has_fused_form(model: &EnsembleModel) -> bool {
    model.config.noise() == NoiseKind::PerInput && model.config.beta.is_none()
}

/// The loss of the network's outputs for inputs `x` `[E,B,D]`, with its gradients at the weights
/// and, where noise is learned, at what else it has.
pub(super) fn gradients(
    model: &EnsembleModel,
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ended: Option<&Ended>,
) -> Result<(f64, Grad, Option<Tensor>)> {
    let (spec, t) = (model.net.spec(), model.target_dim());
    let dims = [model.config.members, x.dim(1)?, t];
    crate::shape::exact(target, &dims, "targets of the model")?;
    if let Some(weight) = weight {
        crate::shape::exact(weight, &dims[..2], "weights of the model's rows")?;
    }
    // With a logit of ends the outputs go through separate operations, the network as ever.
    let fused = spec.ops == Ops::Fused && spec.device.is_cpu() && !model.learns_ends();
    let noise = model.config.noise();
    if fused && has_fused_form(model) && weight.is_none() {
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
    if fused && noise != NoiseKind::PerInput {
        let learned = noise == NoiseKind::PerOutput;
        let log_std = match learned {
            true => model.bounds.view("log_std")?.detach(),
            // Deviations of 1: squared error.
            false => spec.zeros((dims[0], t))?,
        };
        let equal = || Tensor::ones((dims[0], dims[1]), spec.dtype, &spec.device);
        let weight = weight.cloned().map_or_else(equal, Ok)?;
        let deviations = (&log_std, LEAST_STD.ln());
        let (value, grad, d) = own_gradients(&model.net, x, deviations, target, &weight)?;
        let d = learned.then(|| spec.tensor(&d, d.len())).transpose()?;
        return Ok((value, grad, d));
    }
    let ((value, bounds), grad) = model.net.regress(x, |out| {
        let out = Var::from_tensor(&out.detach())?;
        let value = loss(model, &model.bounds, out.as_tensor(), target, weight, ended)?;
        let grads = value.backward()?;
        let none = || Error::config("model loss", "does not depend on the outputs");
        let d_out = grads.get(out.as_tensor()).cloned().ok_or_else(none)?;
        Ok(((crate::shape::scalar(&value)?, model.bounds.grad(&grads)?), d_out))
    })?;
    let learned = matches!(noise, NoiseKind::PerInput | NoiseKind::PerOutput);
    Ok((value, grad, bounds.filter(|_| learned)))
}

/// The mean over rows and dimensions, through plain candle operations.
fn plain_nll(
    model: &EnsembleModel,
    bounds: &Params,
    out: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Tensor> {
    let (e, b, t) = target.dims3()?;
    let members: Vec<u32> = (0..e as u32).collect();
    let (mean, logvar) = model.gaussian(out, bounds, &members)?;
    let squared = (mean - target)?.sqr()?;
    let each = match logvar.filter(|_| model.config.noise() != NoiseKind::Residual) {
        Some(logvar) => {
            let each = ((squared * logvar.neg()?.exp()?)? + &logvar)?;
            match model.config.beta {
                Some(beta) => (each * (logvar.detach() * beta)?.exp()?)?,
                None => each,
            }
        }
        None => squared,
    };
    let each = match weight {
        Some(weight) => each.broadcast_mul(&weight.unsqueeze(2)?)?,
        None => each,
    };
    Ok((each.sum_all()? / (b * t) as f64)?)
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
                    plain_nll(&model, &model.bounds, &out, &y, None)
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

    #[test]
    fn beta_goes_from_the_likelihood_to_squared_error() {
        let (spec, mut rng) = (Spec::f64(), Rng::new(3));
        let out = Var::from_tensor(&rng.normals((2, 4, 6), &spec).unwrap()).unwrap();
        let y = rng.normals((2, 4, 3), &spec).unwrap();
        // Loss, its gradient at the outputs, and log-variances.
        let mut of = |beta, noise| {
            let config = EnsembleConfig {
                members: 2,
                elites: 1,
                hidden: vec![],
                weight_decay: vec![],
                noise: Some(noise),
                beta,
                ..EnsembleConfig::default()
            };
            let model =
                EnsembleModel::new(&config, 2, 1, Known::default(), &mut rng, &spec).unwrap();
            let loss = plain_nll(&model, &model.bounds, &out, &y, None).unwrap();
            let grads = loss.backward().unwrap();
            let logvar = model.gaussian(&out, &model.bounds, &[0, 1]).unwrap().1;
            let logvar = logvar.map(|logvar| to_f64(&logvar).unwrap()).unwrap_or_default();
            let d_out = to_f64(grads.get(out.as_tensor()).unwrap()).unwrap();
            (scalar(&loss).unwrap(), d_out, logvar)
        };
        let likelihood = of(None, NoiseKind::PerInput);
        assert_eq!(of(Some(0.0), NoiseKind::PerInput), likelihood);
        let (_, squared, _) = of(None, NoiseKind::None);
        for beta in [0.5, 1.0] {
            let (_, got, logvar) = of(Some(beta), NoiseKind::PerInput);
            for (i, got) in got.iter().enumerate() {
                let (row, d) = (i / 6, i % 6);
                // The weight is var^beta, at the mean and at the variance of a prediction.
                let weight = (beta * logvar[3 * row + d % 3]).exp();
                assert!((got - weight * likelihood.1[i]).abs() < 1e-14);
                if beta == 1.0 && d < 3 {
                    assert!((got - squared[i]).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn a_row_of_weight_two_is_that_row_twice() {
        let unlearned = [NoiseKind::Residual, NoiseKind::None];
        for noise in [NoiseKind::PerInput, NoiseKind::PerOutput].into_iter().chain(unlearned) {
            let spec = Spec::f64();
            let mut rng = Rng::new(5);
            let config = EnsembleConfig {
                members: 2,
                elites: 1,
                hidden: vec![3],
                weight_decay: vec![],
                noise: Some(noise),
                logvar_bound_coef: 0.0,
                ..EnsembleConfig::default()
            };
            let model =
                EnsembleModel::new(&config, 2, 1, Known::default(), &mut rng, &spec).unwrap();
            let (x, y) =
                (rng.normals((2, 2, 3), &spec).unwrap(), rng.normals((2, 2, 3), &spec).unwrap());
            let twice = |x: &Tensor| Tensor::cat(&[x, &x.narrow(1, 1, 1).unwrap()], 1).unwrap();
            let weight = spec.tensor(&[1.0, 2.0, 1.0, 2.0], (2, 2)).unwrap();
            let (weighted, _, bounds) = gradients(&model, &x, &y, Some(&weight), None).unwrap();
            let (doubled, _, want) = gradients(&model, &twice(&x), &twice(&y), None, None).unwrap();
            // A mean over two rows, and one over three.
            assert!((2.0 * weighted - 3.0 * doubled).abs() < 1e-12, "{noise:?}");
            let numbers = |t: Option<Tensor>| t.map(|t| to_f64(&t).unwrap()).unwrap_or_default();
            for (got, want) in numbers(bounds).iter().zip(numbers(want)) {
                assert!((2.0 * got - 3.0 * want).abs() < 1e-12, "{noise:?}");
            }
        }
    }
}
