//! Ensembles whose every number is arbitrary: nothing is zero, one or equal by construction.

use candle_core::Tensor;
use hstep::dynamics::{Ensemble, EnsembleConfig};
use hstep::env::Known;
use hstep::rng::Rng;
use hstep::shape::Spec;

/// Weights, biases, bounds, normalisers and elites drawn.
pub fn arbitrary(
    config: &EnsembleConfig,
    (o, a): (usize, usize),
    known: Known,
    seed: u64,
    spec: &Spec,
) -> Ensemble {
    let mut rng = Rng::new(seed);
    let mut ensemble = Ensemble::new(config, o, a, known, &mut rng, spec).unwrap();
    let mut saved = ensemble.named_tensors("m").unwrap();
    for (name, tensor) in &mut saved {
        let n = tensor.elem_count();
        let mut around = |centre: f64, spread: f64| -> Vec<f64> {
            (0..n).map(|_| centre + spread * (2.0 * rng.uniform() - 1.0)).collect()
        };
        let numbers = match name.as_str() {
            "m.inputs.mean" | "m.targets.mean" => around(0.0, 0.5),
            "m.inputs.std" | "m.targets.std" => around(0.8, 0.3),
            "m.bounds.max" => around(0.3, 0.4),
            "m.bounds.min" => around(-3.0, 0.5),
            "m.ends.log_weight" => around(0.5, 0.4),
            "m.bounds.log_std" => around(-1.0, 1.0),
            biases if biases.starts_with("m.net.") && biases.ends_with(".b") => around(0.0, 0.2),
            _ => continue,
        };
        *tensor = spec.tensor(&numbers, tensor.shape().clone()).unwrap();
    }
    let order = rng.permutation(config.members);
    let elites: Vec<u32> = order[..config.elites].iter().map(|m| *m as u32).collect();
    let elites = Tensor::from_vec(elites, config.elites, &spec.device);
    saved.insert("m.elites".into(), elites.unwrap());
    ensemble.load_named("m", &saved).unwrap();
    ensemble
}

/// The same numbers in another implementation or number type.
pub fn twin(ensemble: &Ensemble, (o, a): (usize, usize), known: Known, spec: &Spec) -> Ensemble {
    let mut other = Ensemble::new(ensemble.config(), o, a, known, &mut Rng::new(0), spec).unwrap();
    other.load_named("m", &ensemble.named_tensors("m").unwrap()).unwrap();
    other
}

/// Differences of at most `relative` times the largest number.
pub fn close(got: &[f64], want: &[f64], relative: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= relative * scale, "{what} [{i}]: {g} against {w} of {scale}");
    }
}
