//! The fused head of the squashed Gaussian against the plain one.

use candle_core::{DType, Tensor, Var};
use hstep::nn::squashed::{mode_raw, sample_raw, split};
use hstep::rng::Rng;
use hstep::shape::{Spec, scalar, to_f64};

use super::close;

const BOUNDS: (f64, f64) = (-5.0, 2.0);

/// Raw outputs `[B,2A]` and noise `[B,A]`: ordinary ones, saturated ones, and log standard deviations
/// inside the bounds, on both and beyond both.
fn point(b: usize, a: usize, rng: &mut Rng) -> (Vec<f64>, Vec<f64>) {
    let raw = (0..b * 2 * a).map(|i| {
        let is_mean = i % (2 * a) < a;
        match (is_mean, rng.below(6)) {
            (true, 0) => 60.0 * rng.uniform() - 30.0,
            (true, _) => rng.normal(),
            (false, 0) => BOUNDS.0,
            (false, 1) => BOUNDS.1,
            (false, 2) => BOUNDS.0 - rng.uniform() * 20.0,
            (false, 3) => BOUNDS.1 + rng.uniform() * 20.0,
            (false, _) => rng.normal() - 1.0,
        }
    });
    let raw = raw.collect();
    // Halves: at log standard deviation 2 a larger one saturates, too, which is wanted, but rarely.
    (raw, (0..b * a).map(|_| 0.5 * rng.normal()).collect())
}

/// What arrives at `x` `[rows,width]` when it comes as it is, transposed or out of a wider tensor.
fn view(x: &Tensor, how: usize) -> Tensor {
    match how {
        0 => x.clone(),
        1 => x.t().unwrap().contiguous().unwrap().t().unwrap(),
        _ => {
            let wide = Tensor::cat(&[&x.zeros_like().unwrap(), x], 1).unwrap();
            wide.narrow(1, x.dim(1).unwrap(), x.dim(1).unwrap()).unwrap()
        }
    }
}

/// Action, log-density and the gradients of `raw` and `eps` through each of them and through both.
fn evaluate(raw: &Var, eps: &Var, how: usize, spec: &Spec) -> Vec<Vec<f64>> {
    let (action, log_prob) = sample_raw(&view(raw, how), BOUNDS, &view(eps, how), spec).unwrap();
    assert_eq!(log_prob.dims(), &action.dims()[..1]);
    let weights = |like: &Tensor, seed| Rng::new(seed).normals(like.shape().clone(), spec).unwrap();
    let of_action = (&action * weights(&action, 7)).unwrap().sum_all().unwrap();
    let of_density = (&log_prob * weights(&log_prob, 8)).unwrap().sum_all().unwrap();
    let both = (&of_action + &of_density).unwrap();
    let mut found = vec![to_f64(&action).unwrap(), to_f64(&log_prob).unwrap()];
    for loss in [of_action, of_density, both] {
        let grads = loss.backward().unwrap();
        found.extend([raw, eps].map(|x| to_f64(grads.get(x).unwrap()).unwrap()));
    }
    found
}

#[test]
fn fused_head_equals_the_plain_one_with_all_gradients() {
    let mut rng = Rng::new(41);
    for (b, a) in [(1, 1), (1, 6), (3, 2), (7, 5), (64, 1), (33, 17)] {
        let (raw, eps) = point(b, a, &mut rng);
        // The plain path in single precision rounds 1 - tanh^2 and sums of A logarithms: 1e-5.
        for (spec, tolerance) in [(Spec::f64(), 1e-10), (Spec::f32(), 1e-5)] {
            let var = |x: &[f64], w| Var::from_tensor(&spec.tensor(x, (b, w)).unwrap()).unwrap();
            let (raw, eps) = (var(&raw, 2 * a), var(&eps, a));
            let want = evaluate(&raw, &eps, 0, &spec.clone().plain());
            for how in 0..3 {
                let got = evaluate(&raw, &eps, how, &spec);
                for (got, want) in got.iter().zip(&want) {
                    close(got, want, tolerance);
                }
            }
        }
    }
}

#[test]
fn an_empty_batch_goes_through() {
    // The fused way only: candle's own operations panic on the second half of nothing.
    for spec in [Spec::f32(), Spec::f64()] {
        let raw = Var::from_tensor(&spec.zeros((0, 6)).unwrap()).unwrap();
        let (action, log_prob) =
            sample_raw(&raw, BOUNDS, &spec.zeros((0, 3)).unwrap(), &spec).unwrap();
        let mode = mode_raw(&raw, &spec).unwrap();
        for (result, dims) in [(action, &[0, 3][..]), (log_prob, &[0]), (mode, &[0, 3])] {
            assert_eq!(result.dims(), dims);
            let grads = result.backward().unwrap();
            assert_eq!(grads.get(&raw).unwrap().dims(), [0, 6]);
        }
        // A part that candle places beyond the end of its storage.
        let half = spec.zeros((0, 12)).unwrap().narrow(1, 6, 6).unwrap();
        assert_eq!(mode_raw(&half, &spec).unwrap().dims(), [0, 3]);
    }
}

#[test]
fn gradients_reach_only_what_is_tracked() {
    let spec = Spec::f64();
    let (raw, eps) = point(4, 2, &mut Rng::new(42));
    let var = |x: &[f64], w| Var::from_tensor(&spec.tensor(x, (4, w)).unwrap()).unwrap();
    let (raw, eps) = (var(&raw, 4), var(&eps, 2));
    let sum = |raw: &Tensor, eps: &Tensor| {
        let (action, log_prob) = sample_raw(raw, BOUNDS, eps, &spec).unwrap();
        (action.sum_all().unwrap() + log_prob.sum_all().unwrap()).unwrap()
    };
    let full = sum(&raw, &eps).backward().unwrap();
    for (raw_in, eps_in, tracked) in [
        (raw.as_tensor().clone(), eps.detach(), &raw),
        (raw.detach(), eps.as_tensor().clone(), &eps),
    ] {
        let grads = sum(&raw_in, &eps_in).backward().unwrap();
        assert_eq!(
            to_f64(grads.get(tracked).unwrap()).unwrap(),
            to_f64(full.get(tracked).unwrap()).unwrap()
        );
    }
    assert!(!sum(&raw.detach(), &eps.detach()).track_op());
}

#[test]
fn the_bounds_pass_the_gradient_and_what_is_beyond_does_not() {
    let beyond = 1e-9;
    let raw = [0.0, BOUNDS.0, 0.0, BOUNDS.1, 0.0, BOUNDS.0 - beyond, 0.0, BOUNDS.1 + beyond];
    for spec in [Spec::f64(), Spec::f64().plain()] {
        let raw = Var::from_tensor(&spec.tensor(&raw, (4, 2)).unwrap()).unwrap();
        let eps = spec.zeros((4, 1)).unwrap();
        let (_, log_prob) = sample_raw(&raw, BOUNDS, &eps, &spec).unwrap();
        let grads = log_prob.sum_all().unwrap().backward().unwrap();
        // At eps = 0 only the -log(std) of the density moves.
        let d_raw = to_f64(grads.get(&raw).unwrap()).unwrap();
        assert_eq!([d_raw[1], d_raw[3], d_raw[5], d_raw[7]], [-1.0, -1.0, 0.0, 0.0]);
        let (mean, log_std) = split(&raw, BOUNDS).unwrap();
        assert_eq!(to_f64(&mean).unwrap(), [0.0; 4]);
        assert_eq!(to_f64(&log_std).unwrap(), [BOUNDS.0, BOUNDS.1, BOUNDS.0, BOUNDS.1]);
    }
}

#[test]
fn mode_is_the_tanh_of_the_mean_in_both_ways() {
    for (spec, tolerance) in [(Spec::f64(), 1e-15), (Spec::f32(), 1e-6)] {
        for b in [1, 9] {
            let (raw, _) = point(b, 3, &mut Rng::new(43));
            let raw = Var::from_tensor(&spec.tensor(&raw, (b, 6)).unwrap()).unwrap();
            let evaluate = |spec: &Spec, how| {
                let mode = mode_raw(&view(&raw, how), spec).unwrap();
                let weights = Rng::new(9).normals((b, 3), spec).unwrap();
                let loss = (&mode * weights).unwrap().sum_all().unwrap();
                let grads = loss.backward().unwrap();
                [to_f64(&mode).unwrap(), to_f64(grads.get(&raw).unwrap()).unwrap()]
            };
            let want = evaluate(&spec.clone().plain(), 0);
            for how in 0..3 {
                let got = evaluate(&spec, how);
                close(&got[0], &want[0], tolerance);
                close(&got[1], &want[1], tolerance);
            }
        }
    }
}

#[test]
fn a_large_batch_is_the_same_on_any_number_of_threads() {
    let spec = Spec::f32();
    let (raw, eps) = point(10_007, 6, &mut Rng::new(44));
    let raw = spec.tensor(&raw, (10_007, 12)).unwrap();
    let eps = spec.tensor(&eps, (10_007, 6)).unwrap();
    let both = || {
        let (action, log_prob) = sample_raw(&raw, BOUNDS, &eps, &spec).unwrap();
        [to_f64(&action).unwrap(), to_f64(&log_prob).unwrap()]
    };
    let all = both();
    assert_eq!(all, hstep::pool::serially(both));
    let tail = |x: &Tensor| x.narrow(0, 10_000, 7).unwrap();
    let (action, log_prob) = sample_raw(&tail(&raw), BOUNDS, &tail(&eps), &spec).unwrap();
    assert_eq!(to_f64(&action).unwrap(), all[0][60_000..]);
    assert_eq!(to_f64(&log_prob).unwrap(), all[1][10_000..]);
}

#[test]
fn bad_shapes_are_refused_and_nan_is_not_hidden() {
    for spec in [Spec::f32(), Spec::f32().plain()] {
        let zeros = |b: usize, w: usize| spec.zeros((b, w)).unwrap();
        for (raw, eps) in [((2, 3), (2, 1)), ((2, 0), (2, 0)), ((2, 4), (2, 1)), ((2, 4), (3, 2))] {
            let (raw, eps) = (zeros(raw.0, raw.1), zeros(eps.0, eps.1));
            assert!(sample_raw(&raw, BOUNDS, &eps, &spec).is_err());
        }
        assert!(mode_raw(&zeros(2, 3), &spec).is_err());
        let other = zeros(2, 2).to_dtype(DType::F64).unwrap();
        assert!(sample_raw(&zeros(2, 4), BOUNDS, &other, &spec).is_err());
        let raw = spec.tensor(&[0.0, f64::NAN], (1, 2)).unwrap();
        let (_, log_prob) = sample_raw(&raw, BOUNDS, &zeros(1, 1), &spec).unwrap();
        assert!(scalar(&log_prob).unwrap().is_nan());
    }
}
