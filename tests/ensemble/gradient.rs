//! A gradient step of the ensemble, a member at a time, against separate operations.

use std::collections::BTreeMap;

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, Ensemble, EnsembleConfig, Member, NoiseKind, StepNoise};
use hstep::env::Known;
use hstep::nn::Activation;
use hstep::pool;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::made::{arbitrary, close, twin};

const O: usize = 3;
const A: usize = 2;

fn made(members: usize, hidden: &[usize], activation: Activation, spec: &Spec) -> Ensemble {
    let config = EnsembleConfig {
        members,
        elites: 1,
        hidden: hidden.to_vec(),
        activation,
        weight_decay: vec![],
        ..EnsembleConfig::default()
    };
    arbitrary(&config, (O, A), Known::default(), members as u64, spec)
}

/// Inputs and targets of a gradient step on `b` rows a member.
fn batch(members: usize, b: usize, spec: &Spec) -> [Tensor; 2] {
    let mut rng = Rng::new((100 * members + b) as u64);
    [O + A, O + 1].map(|width| {
        let x: Vec<f64> =
            (0..members * b * width).map(|_| f64::from(rng.normal() as f32)).collect();
        spec.tensor(&x, (members, b, width)).unwrap()
    })
}

/// The loss of one step, and everything that it changed.
fn stepped(ensemble: &mut Ensemble, b: usize) -> (f64, BTreeMap<String, Vec<f64>>) {
    let [x, y] = batch(ensemble.config().members, b, ensemble.net().spec());
    let loss = ensemble.fit_step(&x, &y).unwrap();
    let all = ensemble.named_tensors("m").unwrap();
    (loss, all.into_iter().map(|(name, t)| (name, to_f64(&t).unwrap())).collect())
}

#[test]
fn members_one_by_one_are_the_whole_ensemble() {
    for members in 1..=5 {
        for b in [1, 3, 64, 65, 256] {
            for activation in [Activation::Relu, Activation::Tanh, Activation::Swish] {
                let hidden: &[usize] = if b == 3 { &[] } else { &[9, 20] };
                let mut plain = made(members, hidden, activation, &Spec::f64().plain());
                let mut fused = twin(&plain, (O, A), Known::default(), &Spec::f64());
                let (want_loss, want) = stepped(&mut plain, b);
                let (loss, got) = stepped(&mut fused, b);
                let what = format!("{members} members, {b} rows, {activation:?}");
                close(&[loss], &[want_loss], 1e-10, &what);
                // With the first moment, the gradients: Adam's first step keeps only their signs.
                assert!(want["m.adam.m"].iter().any(|m| *m != 0.0));
                assert!(want["m.bounds_adam.m"].iter().all(|m| *m != 0.0));
                assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
                for (name, want) in &want {
                    close(&got[name], want, 1e-10, &format!("{name}, {what}"));
                }

                let mut single = twin(&plain, (O, A), Known::default(), &Spec::f32());
                // The step has moved `plain`: an f64 twin of the rounded numbers is the reference.
                let mut plain = twin(&single, (O, A), Known::default(), &Spec::f64().plain());
                let (want_loss, want) = stepped(&mut plain, b);
                let (loss, got) = stepped(&mut single, b);
                // Sums of up to 256 rows, rounded to 24 bits each, a few layers deep.
                close(&[loss], &[want_loss], 2e-5, &what);
                for name in ["m.adam.m", "m.bounds_adam.m"] {
                    close(&got[name], &want[name], 2e-5, &format!("f32 {name}, {what}"));
                }
            }
        }
    }
}

#[test]
fn a_gradient_step_has_equal_bits_on_one_thread_or_several() {
    // Large enough to be shared; the last of three members is two tasks.
    for members in [2, 3] {
        let step = || {
            let mut ensemble = made(members, &[80, 80], Activation::Swish, &Spec::f32());
            stepped(&mut ensemble, 256)
        };
        let pooled = step();
        assert!(pooled == step() && pooled == pool::serially(step), "{members} members");
    }
}

#[test]
fn noise_by_output_is_its_formula() {
    let config = EnsembleConfig {
        members: 3,
        elites: 1,
        hidden: vec![6],
        weight_decay: vec![],
        noise: Some(NoiseKind::PerOutput),
        ..EnsembleConfig::default()
    };
    for spec in [Spec::f64(), Spec::f64().plain()] {
        let mut ensemble = arbitrary(&config, (O, A), Known::default(), 4, &spec);
        let (b, t) = (7, O + 1);
        let [x, y] = batch(3, b, &spec);
        let mean = to_f64(&ensemble.net().forward_each(&x).unwrap()).unwrap();
        let log_std = ensemble.bounds().to_flat().unwrap();
        let y = to_f64(&y).unwrap();
        let (mut want, mut slope) = (0.0, vec![0.0; 3 * t]);
        for (i, (mean, y)) in mean.iter().zip(&y).enumerate() {
            let own = i / (b * t) * t + i % t;
            let z = (mean - y) / log_std[own].exp();
            want += (z * z + 2.0 * log_std[own]) / (b * t) as f64;
            slope[own] += (2.0 - 2.0 * z * z) / (b * t) as f64;
        }
        let (loss, all) = stepped(&mut ensemble, b);
        close(&[loss], &[want], 1e-12, "loss");
        // Adam's first moment is a tenth of the first gradient.
        let slope: Vec<f64> = slope.iter().map(|s| 0.1 * s).collect();
        close(&all["m.bounds_adam.m"], &slope, 1e-12, "deviations");
        // The scatter is that of a step: s' = s + m_y + sd_y (mu + exp(log_std) eps).
        let step = |eps: f64| {
            let noise = StepNoise {
                normal: Some((spec.zeros((1, t)).unwrap() + eps).unwrap()),
                member: Member::Best,
            };
            let (s, a) = (spec.zeros((1, O)).unwrap(), spec.zeros((1, A)).unwrap());
            to_f64(&ensemble.predictor().step(&s, &a, &noise).unwrap().next).unwrap()
        };
        let (quiet, loud) = (step(0.0), step(1.0));
        let (best, scale) = (ensemble.elites()[0] as usize, &all["m.targets.std"]);
        let log_std = &all["m.bounds.log_std"];
        for i in 0..O {
            let want = scale[i] * log_std[best * t + i].max(1e-3f64.ln()).exp();
            assert!((loud[i] - quiet[i] - want).abs() < 1e-12, "{i}");
        }
    }
}
