//! The squashed Gaussian against the change of variables, quadrature and finite differences.

use candle_core::Var;
use hstep::nn::softplus;
use hstep::nn::squashed::{log_prob, sample};
use hstep::rng::Rng;
use hstep::shape::{Spec, scalar, to_f64};

use super::close;

#[test]
fn softplus_is_stable_and_its_gradient_right() {
    let points = [-800.0, -40.0, -1.5, -1e-9, 0.0, 1e-9, 2.0, 50.0, 800.0];
    let x = Var::from_tensor(&Spec::f64().tensor(&points, points.len()).unwrap()).unwrap();
    let y = softplus(&x).unwrap();
    let want: Vec<f64> = points
        .iter()
        .map(|x: &f64| if *x > 30.0 { x + (-x).exp() } else { x.exp().ln_1p() })
        .collect();
    close(&to_f64(&y).unwrap(), &want, 1e-15);
    let grads = y.sum_all().unwrap().backward().unwrap();
    let slope: Vec<f64> = points.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    close(&to_f64(grads.get(&x).unwrap()).unwrap(), &slope, 1e-15);
}

fn squashed_at(mean: f64, log_std: f64, action: f64) -> f64 {
    let t = |v: f64| Spec::f64().tensor(&[v], (1, 1)).unwrap();
    scalar(&log_prob(&t(mean), &t(log_std), &t(action)).unwrap()).unwrap()
}

#[test]
fn squashed_density_is_the_change_of_variables_and_integrates_to_one() {
    use statrs::distribution::{Continuous, ContinuousCDF, Normal};
    for (mean, log_std) in [(0.0f64, -0.7f64), (0.8, -1.2), (-1.5, 0.3)] {
        let normal = Normal::new(mean, log_std.exp()).unwrap();
        for action in [-0.999, -0.4, 0.0, 0.3, 0.97f64] {
            let want = normal.ln_pdf(action.atanh()) - (1.0 - action * action).ln();
            assert!((squashed_at(mean, log_std, action) - want).abs() < 1e-11);
        }
        // Simpson over the inside, the normal's own tails outside.
        let (low, high, n) = (-0.9999f64, 0.9999f64, 40_000);
        let h = (high - low) / f64::from(n);
        let xs: Vec<f64> = (0..=n).map(|i| low + h * f64::from(i)).collect();
        let t = |v: &[f64]| Spec::f64().tensor(v, (v.len(), 1)).unwrap();
        let (m, s) = (vec![mean; xs.len()], vec![log_std; xs.len()]);
        let p = to_f64(&log_prob(&t(&m), &t(&s), &t(&xs)).unwrap()).unwrap();
        let inside: f64 = p
            .iter()
            .enumerate()
            .map(|(i, lp)| {
                let weight =
                    if i == 0 || i == n as usize { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
                weight * lp.exp() * h / 3.0
            })
            .sum();
        let tails = normal.cdf(low.atanh()) + 1.0 - normal.cdf(high.atanh());
        assert!((inside + tails - 1.0).abs() < 1e-6, "{}", inside + tails);
    }
}

#[test]
fn squashed_sample_agrees_with_its_density_and_saturates_gracefully() {
    let spec = Spec::f64();
    let mut rng = Rng::new(12);
    let mean = rng.normals((6, 2), &spec).unwrap();
    let log_std = (rng.normals((6, 2), &spec).unwrap() * 0.3).unwrap();
    let eps = rng.normals((6, 2), &spec).unwrap();
    let (action, lp) = sample(&mean, &log_std, &eps).unwrap();
    let again = log_prob(&mean, &log_std, &action).unwrap();
    close(&to_f64(&again).unwrap(), &to_f64(&lp).unwrap(), 1e-8);
    // Far out: finite value and gradient in f32, where 1 - tanh^2 is exactly 0.
    let spec = Spec::f32();
    let mean = Var::from_tensor(&spec.tensor(&[30.0, -200.0], (1, 2)).unwrap()).unwrap();
    let zeros = spec.zeros((1, 2)).unwrap();
    let (action, lp) = sample(&mean, &zeros, &zeros).unwrap();
    assert_eq!(to_f64(&action).unwrap(), [1.0, -1.0]);
    // log N(0) - 2 (ln 2 - |u|) an element.
    let want = 2.0 * (-0.5 * std::f64::consts::TAU.ln() - 2.0 * 2f64.ln()) + 2.0 * 230.0;
    assert!((scalar(&lp).unwrap() - want).abs() < 1e-3);
    let grads = lp.sum_all().unwrap().backward().unwrap();
    close(&to_f64(grads.get(&mean).unwrap()).unwrap(), &[2.0, -2.0], 1e-6);
    assert!(squashed_at(0.0, 0.0, 1.0).is_finite());
    assert!(sample(&mean, &zeros, &spec.zeros((1, 3)).unwrap()).is_err());
}

#[test]
fn squashed_gradients_match_finite_differences() {
    let spec = Spec::f64();
    let loss = |numbers: &[f64]| {
        let x = Var::from_tensor(&spec.tensor(numbers, (1, 6)).unwrap()).unwrap();
        let part = |i| x.narrow(1, i, 2).unwrap();
        let (a, lp) = sample(&part(0), &part(2), &part(4)).unwrap();
        let given = (part(4) * 0.3).unwrap();
        let other = log_prob(&part(0), &part(2), &given).unwrap();
        let loss = (a.sqr().unwrap().sum_all().unwrap() + lp.sum_all().unwrap()).unwrap();
        let loss = (loss + other.sum_all().unwrap()).unwrap();
        (scalar(&loss).unwrap(), to_f64(loss.backward().unwrap().get(&x).unwrap()).unwrap())
    };
    let at = [0.3, -1.1, -0.2, 0.4, 0.7, -1.3];
    let (_, grad) = loss(&at);
    for i in 0..at.len() {
        let (mut up, mut down) = (at, at);
        up[i] += 1e-5;
        down[i] -= 1e-5;
        let slope = (loss(&up).0 - loss(&down).0) / 2e-5;
        assert!((slope - grad[i]).abs() < 1e-8, "{i}: {slope} {}", grad[i]);
    }
}
