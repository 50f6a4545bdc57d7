//! The probabilistic ensemble: what it recovers, what it reports, and that it resumes bit for bit.

mod ends;
mod gradient;
pub mod made;
mod noise;
mod reports;
mod step;

use std::sync::Arc;

use candle_core::{Tensor, Var};
use hstep::Error;
use hstep::dynamics::{
    Dynamics, Ensemble, EnsembleConfig, FitData, FitReport, Member, NoiseKind, Resample, StepNoise,
    Target,
};
use hstep::env::{Known, RewardFn};
use hstep::nn::Store;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

/// `s' = A s + B a + noise`, reward `s0 - 0.5 a + noise`, noises of different size a dimension.
const A: [[f64; 2]; 2] = [[0.9, 0.2], [-0.1, 0.8]];
const B: [f64; 2] = [0.3, -0.5];
const SIGMA: [f64; 3] = [0.05, 0.2, 0.1];

struct Data {
    obs: Vec<f32>,
    action: Vec<f32>,
    reward: Vec<f32>,
    next_obs: Vec<f32>,
}

impl Data {
    fn view(&self) -> FitData<'_> {
        FitData {
            obs: &self.obs,
            action: &self.action,
            reward: &self.reward,
            next_obs: &self.next_obs,
            cont: &[],
        }
    }
}

fn truth(s: [f64; 2], a: f64) -> [f64; 3] {
    [
        A[0][0] * s[0] + A[0][1] * s[1] + B[0] * a,
        A[1][0] * s[0] + A[1][1] * s[1] + B[1] * a,
        s[0] - 0.5 * a,
    ]
}

fn linear_gaussian(n: usize, rng: &mut Rng) -> Data {
    let mut d = Data { obs: vec![], action: vec![], reward: vec![], next_obs: vec![] };
    for _ in 0..n {
        let (s, a) = ([rng.normal(), 2.0 * rng.normal()], 2.0 * rng.uniform() - 1.0);
        let y = truth(s, a);
        d.obs.extend(s.map(|x| x as f32));
        d.action.push(a as f32);
        d.next_obs.extend((0..2).map(|i| (y[i] + SIGMA[i] * rng.normal()) as f32));
        d.reward.push((y[2] + SIGMA[2] * rng.normal()) as f32);
    }
    d
}

fn small() -> EnsembleConfig {
    EnsembleConfig {
        members: 4,
        elites: 2,
        hidden: vec![24],
        lr: 5e-3,
        batch: 128,
        weight_decay: vec![],
        ..EnsembleConfig::default()
    }
}

fn known_reward() -> Known {
    let reward: RewardFn = Arc::new(|s: &Tensor, a: &Tensor, _: &Tensor| {
        Ok((s.narrow(1, 0, 1)? - (a * 0.5)?)?.squeeze(1)?)
    });
    Known { reward: Some(reward), continuation: None }
}

fn fitted(config: &EnsembleConfig, n: usize, spec: &Spec) -> (Ensemble, FitReport) {
    let mut rng = Rng::new(21);
    let data = linear_gaussian(n, &mut rng);
    let mut ensemble = Ensemble::new(config, 2, 1, known_reward(), &mut rng, spec).unwrap();
    let report = ensemble.fit(&data.view(), &mut rng).unwrap();
    (ensemble, report)
}

fn all(ensemble: &Ensemble) -> Vec<u8> {
    Store::new(ensemble.named_tensors("model").unwrap()).to_bytes().unwrap()
}

#[test]
fn recovers_a_linear_gaussian_system_and_knows_its_noise() {
    let by_output = (Some(NoiseKind::PerOutput), Some(Resample::Exponential));
    let of_residuals = (Some(NoiseKind::Residual), None);
    for (normalise_targets, (noise, resample)) in
        [(false, (None, None)), (true, (None, None)), (true, by_output), (true, of_residuals)]
    {
        // The early stop watches means only; patience lets the variances settle too.
        let config = EnsembleConfig {
            normalise_targets,
            noise,
            resample,
            lr: 2e-3,
            patience: 25,
            improvement: 0.0,
            ..small()
        };
        let (ensemble, report) = fitted(&config, 6000, &Spec::f32());
        // Fresh data, judged by the true means and the true noise.
        let mut rng = Rng::new(5);
        let n = 4000;
        let test = linear_gaussian(n, &mut rng);
        let tensor =
            |x: &[f32], w: usize| Tensor::from_slice(x, (n, w), &Spec::f32().device).unwrap();
        let (s, a) = (tensor(&test.obs, 2), tensor(&test.action, 1));
        let mean = ensemble.mean().step(&s, &a, &StepNoise::default()).unwrap();
        let best = ensemble.member(ensemble.elites()[0] as usize).unwrap();
        let at = |eps: f64| {
            let normal =
                Some((Tensor::ones((n, 3), s.dtype(), s.device()).unwrap() * eps).unwrap());
            best.step(&s, &a, &StepNoise { normal, ..StepNoise::default() }).unwrap()
        };
        let (low, high) = (at(0.0), at(1.0));
        for (d, noise) in SIGMA.into_iter().enumerate() {
            let column = |t: &hstep::dynamics::Transition| match d {
                2 => to_f64(&t.reward).unwrap(),
                d => to_f64(&t.next.narrow(1, d, 1).unwrap()).unwrap(),
            };
            let (m, lo, hi) = (column(&mean), column(&low), column(&high));
            let mut square = 0.0;
            let (mut std, mut inside) = (0.0, 0.0);
            for i in 0..n {
                let row = [f64::from(test.obs[2 * i]), f64::from(test.obs[2 * i + 1])];
                let y = truth(row, f64::from(test.action[i]))[d];
                square += (m[i] - y).powi(2) / n as f64;
                let sigma = hi[i] - lo[i];
                std += sigma / n as f64;
                let seen = if d == 2 { test.reward[i] } else { test.next_obs[2 * i + d] };
                inside += f64::from(u8::from((f64::from(seen) - lo[i]).abs() < sigma)) / n as f64;
            }
            let error = square.sqrt();
            assert!(error < 0.35 * noise, "dimension {d}: error {error}");
            assert!((std / noise - 1.0).abs() < 0.12, "dimension {d}: sigma {std}");
            // One deviation holds 68.27 %; binomial standard error 0.74 %, and the model's own error.
            assert!((inside - 0.6827).abs() < 0.045, "dimension {d}: inside {inside}");
            let rmse = report.calibration.rmse[d];
            // The holdout RMSE is the noise: 1200 rows, standard error 2 %.
            assert!((rmse / noise - 1.0).abs() < 0.1, "dimension {d}: rmse {rmse}");
        }
        let c = &report.calibration;
        assert!((c.coverage_50.unwrap() - 0.5).abs() < 0.04, "{c:?}");
        assert!((c.coverage_90.unwrap() - 0.9).abs() < 0.03, "{c:?}");
        // The entropy of the true noise: what the best possible model scores.
        let entropy =
            SIGMA.iter().map(|s| 0.5 * (std::f64::consts::TAU * s * s).ln() + 0.5).sum::<f64>()
                / 3.0;
        let nll = c.nll.unwrap();
        assert!(nll > entropy - 0.05 && nll < entropy + 0.12, "{nll} against {entropy}");
    }
}

#[test]
fn elites_are_sorted_and_the_best_weights_come_back() {
    let config = EnsembleConfig { max_epochs: Some(12), patience: 100, lr: 0.05, ..small() };
    let (ensemble, report) = fitted(&config, 600, &Spec::f64());
    assert_eq!((report.epochs, report.steps), (12, 12 * 4));
    assert_eq!(report.rows, (480, 120));
    let error = &report.holdout_mse;
    let mut order: Vec<u32> = (0..4).collect();
    order.sort_by(|a, b| error[*a as usize].total_cmp(&error[*b as usize]));
    assert_eq!(report.elites, order[..2]);
    assert_eq!(ensemble.elites(), report.elites);

    // The holdout rows again: the fit's stream is known. Every member must now have its best error.
    let mut rng = Rng::new(21);
    let data = linear_gaussian(600, &mut rng);
    drop(Ensemble::new(&config, 2, 1, known_reward(), &mut rng, &Spec::f64()).unwrap());
    let held = &rng.permutation(600)[..120];
    let pick = |x: &[f32], w: usize| {
        let rows: Vec<f64> =
            held.iter().flat_map(|i| &x[i * w..(i + 1) * w]).map(|x| f64::from(*x)).collect();
        Spec::f64().tensor(&rows, (120, w)).unwrap()
    };
    let (s, a) = (pick(&data.obs, 2), pick(&data.action, 1));
    for (m, best) in error.iter().enumerate() {
        let t = ensemble.member(m).unwrap().step(&s, &a, &StepNoise::default()).unwrap();
        let next = to_f64(&(t.next - pick(&data.next_obs, 2)).unwrap().sqr().unwrap()).unwrap();
        let reward = t.reward.unsqueeze(1).unwrap() - pick(&data.reward, 1);
        let reward = to_f64(&reward.unwrap().sqr().unwrap()).unwrap();
        let mse = (next.iter().sum::<f64>() + reward.iter().sum::<f64>()) / 360.0;
        assert!((mse - best).abs() < 1e-6 * best, "member {m}: {mse} {best}");
    }
}

#[test]
fn patience_ends_a_fit() {
    let config = EnsembleConfig { patience: 2, improvement: 0.9, ..small() };
    let (_, report) = fitted(&config, 300, &Spec::f32());
    // The first epoch always counts, later ones would have to be ten times better.
    assert!(report.epochs <= 6, "{}", report.epochs);
    // MBPO's release goes on until the stale epochs exceed 5: one that improves and six that do not.
    let released = EnsembleConfig { improvement: 0.999_999, lr: 1e-6, ..small() };
    assert_eq!(fitted(&released, 300, &Spec::f32()).1.epochs, 7);
    let limited = EnsembleConfig { max_steps: Some(7), ..small() };
    assert_eq!(fitted(&limited, 300, &Spec::f32()).1.steps, 7);
}

/// `sum(c outputs)` of a step and its gradients of state and action.
fn step_loss(
    model: &dyn Dynamics,
    s: &Var,
    a: &Var,
    noise: &StepNoise,
) -> (f64, Vec<f64>, Vec<f64>) {
    let t = model.step(s, a, noise).unwrap();
    let next = (t.next.sin().unwrap()).sum_all().unwrap();
    let loss = (next + t.reward.sqr().unwrap().sum_all().unwrap()).unwrap();
    let grads = loss.backward().unwrap();
    let of = |v: &Var| to_f64(grads.get(v.as_tensor()).unwrap()).unwrap();
    (hstep::shape::scalar(&loss).unwrap(), of(s), of(a))
}

#[test]
fn gradients_reach_state_and_action_and_no_parameter() {
    let spec = Spec::f64();
    for (target, learn_reward) in [(Target::Change, true), (Target::Next, false)] {
        let config = EnsembleConfig {
            target,
            learn_reward,
            normalise_targets: true,
            max_epochs: Some(2),
            ..small()
        };
        let (ensemble, _) = fitted(&config, 400, &spec);
        let mut rng = Rng::new(3);
        let var = |t: Tensor| Var::from_tensor(&t).unwrap();
        let (s, a) =
            (var(rng.normals((5, 2), &spec).unwrap()), var(rng.normals((5, 1), &spec).unwrap()));
        let noise = StepNoise {
            normal: Some(rng.normals((5, ensemble.noise_dim()), &spec).unwrap()),
            member: Member::Rows((0..5).map(|_| rng.uniform()).collect()),
        };
        let views: [&dyn Dynamics; 3] = [&ensemble, &ensemble.mean(), &ensemble.member(3).unwrap()];
        for model in views {
            let noise = StepNoise {
                normal: if model.noise_dim() > 0 { noise.normal.clone() } else { None },
                ..noise.clone()
            };
            let (_, ds, da) = step_loss(model, &s, &a, &noise);
            for (v, grad) in [(&s, ds), (&a, da)] {
                let at = to_f64(v).unwrap();
                for i in 0..at.len() {
                    let moved = |h: f64| {
                        let mut x = at.clone();
                        x[i] += h;
                        v.set(&spec.tensor(&x, v.shape().clone()).unwrap()).unwrap();
                        step_loss(model, &s, &a, &noise).0
                    };
                    let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    v.set(&spec.tensor(&at, v.shape().clone()).unwrap()).unwrap();
                    let scale = slope.abs().max(1.0);
                    assert!((slope - grad[i]).abs() < 1e-7 * scale, "{slope} {}", grad[i]);
                }
            }
            let t = model.step(&s, &a, &noise).unwrap();
            let loss = (t.next.sum_all().unwrap() + t.reward.sum_all().unwrap()).unwrap();
            let grads = loss.backward().unwrap();
            assert!(ensemble.net().params().grad(&grads).unwrap().is_none());
            assert!(ensemble.bounds().grad(&grads).unwrap().is_none());
            assert!(!t.cont.track_op());
        }
    }
}

#[test]
fn log_variances_stay_inside_their_bounds() {
    let (ensemble, _) =
        fitted(&EnsembleConfig { max_epochs: Some(2), ..small() }, 400, &Spec::f64());
    let bound = |name: &str| to_f64(&ensemble.bounds().view(name).unwrap()).unwrap();
    let (max, min) = (bound("max"), bound("min"));
    assert!(max.iter().all(|m| *m != 0.5) && min.iter().all(|m| *m != -10.0), "bounds must learn");
    // States far outside the data drive the raw outputs to extremes.
    let far = (Rng::new(1).normals((200, 2), &Spec::f64()).unwrap() * 1e4).unwrap();
    let a = Spec::f64().zeros((200, 1)).unwrap();
    let step = |eps: f64| {
        let normal = Some((Spec::f64().zeros((200, 3)).unwrap() + eps).unwrap());
        ensemble.step(&far, &a, &StepNoise { normal, ..StepNoise::default() }).unwrap().reward
    };
    let std = to_f64(&(step(1.0) - step(0.0)).unwrap()).unwrap();
    for s in std {
        // The two soft steps leave the interval [min, max] by less than exp(min - max).
        let slack = (min[2] - max[2]).exp();
        let logvar = 2.0 * s.ln();
        // The deviation is a difference of large numbers: its own rounding on top.
        let rounding = 1e-9 / s;
        assert!(logvar <= max[2] + slack + rounding && logvar >= min[2] - rounding, "{logvar}");
    }
}

#[test]
fn targets_far_from_zero_are_standardised_and_put_back() {
    let config = EnsembleConfig { normalise_targets: true, max_epochs: Some(20), ..small() };
    let mut rng = Rng::new(21);
    let mut data = linear_gaussian(400, &mut rng);
    data.reward.iter_mut().for_each(|r| *r += 50.0);
    let known = Known::default();
    let mut ensemble = Ensemble::new(&config, 2, 1, known, &mut rng, &Spec::f64()).unwrap();
    ensemble.fit(&data.view(), &mut rng).unwrap();
    let s = Spec::f64().tensor(&[0.5, -1.0], (1, 2)).unwrap();
    let a = Spec::f64().tensor(&[0.4], (1, 1)).unwrap();
    let reward = ensemble.mean().step(&s, &a, &StepNoise::default()).unwrap().reward;
    let (got, want) = (to_f64(&reward).unwrap()[0], 50.0 + truth([0.5, -1.0], 0.4)[2]);
    assert!((got - want).abs() < 0.2, "{got} against {want}");
}

#[test]
fn the_bounds_are_pulled_together() {
    let config = EnsembleConfig { logvar_bound_coef: 10.0, max_epochs: Some(2), ..small() };
    let (ensemble, _) = fitted(&config, 400, &Spec::f64());
    let bound = |name: &str| to_f64(&ensemble.bounds().view(name).unwrap()).unwrap();
    assert!(bound("max").iter().all(|max| *max < config.logvar_max));
    assert!(bound("min").iter().all(|min| *min > config.logvar_min));
}

#[test]
fn each_row_picks_its_elite() {
    let (ensemble, _) =
        fitted(&EnsembleConfig { max_epochs: Some(1), ..small() }, 200, &Spec::f64());
    let mut rng = Rng::new(2);
    let (s, a) =
        (rng.normals((4, 2), &Spec::f64()).unwrap(), rng.normals((4, 1), &Spec::f64()).unwrap());
    let step = |m: &dyn Dynamics, member: Member| {
        let noise = StepNoise { normal: None, member };
        to_f64(&m.step(&s, &a, &noise).unwrap().next).unwrap()
    };
    let e = ensemble.elites();
    let by_member: Vec<_> =
        e.iter().map(|m| step(&ensemble.member(*m as usize).unwrap(), Member::Best)).collect();
    assert_eq!(step(&ensemble, Member::Best), by_member[0]);
    let mixed = step(&ensemble, Member::Rows(vec![0.0, 0.499, 0.5, 0.999_999]));
    assert_eq!(mixed[..4], by_member[0][..4]);
    assert_eq!(mixed[4..], by_member[1][4..]);
    let mean = step(&ensemble.mean(), Member::Best);
    assert_eq!(mean, step(&ensemble, Member::Mean));
    for i in 0..8 {
        assert!((mean[i] - 0.5 * (by_member[0][i] + by_member[1][i])).abs() < 1e-12);
    }
    assert!(ensemble.has_members() && !ensemble.mean().has_members());
    assert_eq!((ensemble.noise_dim(), ensemble.mean().noise_dim()), (3, 0));
    assert!(ensemble.member(4).is_err());
    // Empty batches, as a rollout has when every row has terminated.
    let none = ensemble
        .step(&s.narrow(0, 0, 0).unwrap(), &a.narrow(0, 0, 0).unwrap(), &StepNoise::default())
        .unwrap();
    assert_eq!((none.next.dims(), none.reward.dims()), (&[0usize, 2][..], &[0usize][..]));
}

#[test]
fn switches_do_what_they_say() {
    let quick = EnsembleConfig { max_epochs: Some(30), ..small() };
    let (det, report) =
        fitted(&EnsembleConfig { probabilistic: false, ..quick.clone() }, 1500, &Spec::f32());
    assert_eq!((det.noise_dim(), report.calibration.nll), (0, None));
    // Deterministic means reach the noise floor too.
    assert!((report.calibration.rmse[1] / SIGMA[1] - 1.0).abs() < 0.15, "{report:?}");

    let (next, report) =
        fitted(&EnsembleConfig { target: Target::Next, ..quick.clone() }, 1500, &Spec::f32());
    assert!((report.calibration.rmse[1] / SIGMA[1] - 1.0).abs() < 0.15, "{report:?}");
    let (change, _) = fitted(&quick, 1500, &Spec::f32());
    let (s, a) = (
        Spec::f32().tensor(&[1.0, -2.0], (1, 2)).unwrap(),
        Spec::f32().tensor(&[0.5], (1, 1)).unwrap(),
    );
    let want = truth([1.0, -2.0], 0.5);
    for model in [&det, &next, &change] {
        let t = model.mean().step(&s, &a, &StepNoise::default()).unwrap();
        let got = to_f64(&t.next).unwrap();
        assert!(
            (got[0] - want[0]).abs() < 0.1 && (got[1] - want[1]).abs() < 0.15,
            "{got:?} {want:?}"
        );
    }

    let known = EnsembleConfig { learn_reward: false, ..quick.clone() };
    let (model, report) = fitted(&known, 300, &Spec::f64());
    assert_eq!((model.target_dim(), report.calibration.rmse.len()), (2, 2));
    let s = Spec::f64().tensor(&[1.0, -2.0], (1, 2)).unwrap();
    let a = Spec::f64().tensor(&[0.5], (1, 1)).unwrap();
    let t = model.step(&s, &a, &StepNoise::default()).unwrap();
    assert_eq!(to_f64(&t.reward).unwrap(), [0.75]);

    let err = Ensemble::new(&known, 2, 1, Known::default(), &mut Rng::new(1), &Spec::f32()).err();
    assert!(err.unwrap().to_string().contains("learn_reward"));
}

#[test]
fn known_continuation_is_used_without_gradient() {
    let continuation: RewardFn = Arc::new(|_, _, next| {
        Ok(next.narrow(1, 0, 1)?.gt(0.0)?.to_dtype(next.dtype())?.squeeze(1)?)
    });
    let known = Known { reward: None, continuation: Some(continuation) };
    let config = EnsembleConfig { target: Target::Next, ..small() };
    let ensemble = Ensemble::new(&config, 2, 1, known, &mut Rng::new(1), &Spec::f32()).unwrap();
    let mut rng = Rng::new(9);
    let s = rng.normals((40, 2), &Spec::f32()).unwrap();
    let t = ensemble.step(&s, &Spec::f32().zeros((40, 1)).unwrap(), &StepNoise::default()).unwrap();
    let next = to_f64(&t.next.narrow(1, 0, 1).unwrap()).unwrap();
    let want: Vec<f64> = next.iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
    assert_eq!(to_f64(&t.cont).unwrap(), want);
    assert!(want.contains(&0.0) && want.contains(&1.0));
}

#[test]
fn warm_start_keeps_weights_and_moments() {
    let mut rng = Rng::new(4);
    let data = linear_gaussian(300, &mut rng);
    for warm_start in [true, false] {
        let config =
            EnsembleConfig { warm_start, first_max_steps: Some(6), max_steps: Some(5), ..small() };
        let mut e =
            Ensemble::new(&config, 2, 1, Known::default(), &mut Rng::new(1), &Spec::f32()).unwrap();
        assert!(!e.is_fitted());
        let first = e.fit(&data.view(), &mut rng).unwrap();
        let second = e.fit(&data.view(), &mut rng).unwrap();
        assert!(e.is_fitted());
        assert_eq!((first.steps, second.steps), (6, 5));
        assert_eq!(e.adam_steps(), if warm_start { 11 } else { 5 });
        assert_eq!(second.train_loss < 0.9 * first.train_loss, warm_start, "{first:?} {second:?}");
    }
}

#[test]
fn restored_training_continues_bit_for_bit() {
    for spec in [Spec::f32(), Spec::f32().plain()] {
        let config = EnsembleConfig { max_epochs: Some(3), normalise_targets: true, ..small() };
        let mut rng = Rng::new(4);
        let (data, more) = (linear_gaussian(300, &mut rng), linear_gaussian(400, &mut rng));
        let make = |seed| {
            Ensemble::new(&config, 2, 1, Known::default(), &mut Rng::new(seed), &spec).unwrap()
        };
        let mut one = make(1);
        one.fit(&data.view(), &mut rng).unwrap();
        let saved = Store::from_bytes(&all(&one), "memory", &spec.device).unwrap();
        let state = rng.state();
        let want = one.fit(&more.view(), &mut rng).unwrap();

        let mut two = make(2);
        let view = two.model();
        two.load_named("model", &saved.tensors).unwrap();
        assert!(two.is_fitted());
        let got = two.fit(&more.view(), &mut Rng::from_state(&state)).unwrap();
        assert_eq!(got, want);
        assert!(all(&one) == all(&two), "the trained models differ");
        // A view taken before the restore sees the new model.
        assert_eq!(view.elites(), two.elites());

        let mut broken = saved.tensors.clone();
        broken.remove("model.adam.m");
        assert!(two.load_named("model", &broken).unwrap_err().to_string().contains("`m`"));
        let mut broken = saved.tensors;
        broken.insert(
            "model.elites".into(),
            Tensor::from_vec(vec![0u32, 9], 2, &spec.device).unwrap(),
        );
        assert!(matches!(two.load_named("model", &broken), Err(Error::Checkpoint { .. })));
    }
}
