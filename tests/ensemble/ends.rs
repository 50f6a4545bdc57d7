//! Ends of episodes that the ensemble learns.

use hstep::dynamics::Termination;
use hstep::objective::{Actions, Cost, HStep, Members, Noise, Normals, Terminal};
use statrs::distribution::{ContinuousCDF, Normal};

use super::made::{arbitrary, close};
use super::*;

fn learning() -> EnsembleConfig {
    EnsembleConfig { learn_termination: Some(true), ..small() }
}

/// The probability that a step from `x` is the last one; half of the steps if `scale` is 1, else rare.
fn truth_of(scale: f64, x: f64) -> f64 {
    scale / (1.0 + (-2.0 * x).exp())
}

/// Transitions that end so, and 0 where one did.
fn ending(n: usize, scale: f64, rng: &mut Rng) -> (Data, Vec<f32>) {
    let data = linear_gaussian(n, rng);
    let firsts = data.obs.iter().step_by(2);
    let cont = firsts.map(|x| f32::from(u8::from(rng.uniform() >= truth_of(scale, (*x).into()))));
    let cont = cont.collect();
    (data, cont)
}

fn fit(config: &EnsembleConfig, n: usize, scale: f64, seed: u64) -> (Ensemble, FitReport) {
    let mut rng = Rng::new(seed);
    let (data, cont) = ending(n, scale, &mut rng);
    let known = Known::default();
    let mut ensemble = Ensemble::new(config, 2, 1, known, &mut rng, &Spec::f32()).unwrap();
    let report = ensemble.fit(&FitData { cont: &cont, ..data.view() }, &mut rng).unwrap();
    (ensemble, report)
}

/// The share of ends at `x` when the last number of the noise goes through its quantiles.
fn share_of_ends(model: &dyn Dynamics, x: f64) -> f64 {
    let n = 400;
    let spec = model.spec();
    let width = model.noise_dim();
    let mut eps = vec![0.0; n * width];
    for (i, row) in eps.chunks_mut(width).enumerate() {
        row[width - 1] = Normal::standard().inverse_cdf((i as f64 + 0.5) / n as f64);
    }
    let s = spec.tensor(&[x, 0.0].repeat(n), (n, 2)).unwrap();
    let a = spec.zeros((n, 1)).unwrap();
    let normal = Some(spec.tensor(&eps, (n, width)).unwrap());
    let cont = model.step(&s, &a, &StepNoise { normal, member: Member::Best }).unwrap().cont;
    1.0 - to_f64(&cont).unwrap().iter().sum::<f64>() / n as f64
}

#[test]
fn probabilities_are_those_of_the_data_with_and_without_a_weight() {
    // A twentieth of the rows end, an end weighs nineteenfold; half of them, it weighs as the rest.
    for (scale, tolerance) in [(0.1, 0.03), (1.0, 0.08)] {
        let config = EnsembleConfig {
            lr: 2e-3,
            patience: 25,
            improvement: 0.0,
            max_epochs: Some(30),
            ..learning()
        };
        let (ensemble, report) = fit(&config, 8000, scale, 3);
        for x in [-1.5, -0.5, 0.0, 0.5, 1.5] {
            let members = ensemble.elites().into_iter();
            let each = members.map(|m| share_of_ends(&ensemble.member(m as usize).unwrap(), x));
            let got = each.sum::<f64>() / config.elites as f64;
            let want = truth_of(scale, x);
            assert!((got - want).abs() < tolerance, "p({x}) = {got}, in truth {want}");
        }
        let ends = report.calibration.ends.unwrap();
        // No better than the noise of the ends themselves, and better than their share said of all.
        assert!(ends.brier < ends.base, "{ends:?}");
        let foreseen = ends.foreseen.unwrap();
        assert_eq!(foreseen > 0.5, scale == 1.0, "{ends:?}");
    }
}

#[test]
fn rollouts_end_by_a_draw_with_the_probability_or_at_a_half() {
    let config = EnsembleConfig { max_epochs: Some(8), ..learning() };
    let at = EnsembleConfig { termination: Some(Termination::Threshold), ..config.clone() };
    let (x, n) = (0.4, 20_000);
    for (config, draws) in [(config, true), (at, false)] {
        let (ensemble, _) = fit(&config, 2000, 0.6, 4);
        assert_eq!(ensemble.noise_dim(), if draws { 4 } else { 3 });
        let best = ensemble.member(ensemble.elites()[0] as usize).unwrap();
        let s0 = Spec::f32().tensor(&[x, 0.0].repeat(n), (n, 2)).unwrap();
        let actions = Spec::f32().zeros((n, 1, 1)).unwrap();
        let hstep = over(&best, 1);
        let noise = Noise::key(Rng::new(9).key());
        let rollout = hstep.rollout_forward(&s0, Actions::Open(&actions), &noise).unwrap();
        let ended = 1.0 - to_f64(&rollout.cont[0]).unwrap().iter().sum::<f64>() / n as f64;
        if draws {
            let p = share_of_ends(&best, x);
            assert!((0.05..0.95).contains(&p), "{p}");
            // Four standard errors, and the steps of the quantiles.
            let error = 4.0 * (p * (1.0 - p) / n as f64).sqrt() + 1.0 / 400.0;
            assert!((ended - p).abs() < error, "{ended} against {p}");
        } else {
            assert!(ended == 0.0 || ended == 1.0, "{ended}");
        }
    }
}

fn over(dynamics: &dyn Dynamics, horizon: usize) -> HStep<'_> {
    HStep {
        dynamics: Some(dynamics),
        terminal: Terminal::Zero,
        horizon,
        gamma: 0.9,
        cost: Cost::NONE,
    }
}

#[test]
fn forms_and_blocks_of_rows_end_alike() {
    for noise in [NoiseKind::PerInput, NoiseKind::PerOutput, NoiseKind::None] {
        let config = EnsembleConfig { noise: Some(noise), elites: 3, ..learning() };
        let spec = Spec::f32();
        let ensemble = arbitrary(&config, (2, 1), Known::default(), 6, &spec);
        let mut rng = Rng::new(7);
        let (n, h) = (700, 3);
        let s0 = rng.normals((n, 2), &spec).unwrap();
        let actions = rng.normals((n, h, 1), &spec).unwrap();
        let key = rng.key();
        let views: [&dyn Dynamics; 2] = [&ensemble, &ensemble.member(1).unwrap()];
        for (view, model) in views.into_iter().enumerate() {
            for member in [Members::Key(key.fork("m")), Members::Best, Members::Mean] {
                // A mean over members or a best one may be of one mind.
                let draws = matches!(member, Members::Key(_));
                let noise = Noise { model: Normals::Key(key), member, policy: Normals::Zero };
                let hstep = over(model, h);
                let rows = hstep.rollout_forward(&s0, Actions::Open(&actions), &noise).unwrap();
                let whole = hstep.rollout(&s0, Actions::Open(&actions), &noise).unwrap();
                let few = hstep
                    .rollout_forward(
                        &s0.narrow(0, 0, 9).unwrap(),
                        Actions::Open(&actions.narrow(0, 0, 9).unwrap()),
                        &noise,
                    )
                    .unwrap();
                for t in 0..h {
                    let of = |tensor: &Tensor| to_f64(tensor).unwrap();
                    let cont = of(&rows.cont[t]);
                    assert!(cont.contains(&0.0) || !draws, "{view}, {noise:?}");
                    assert_eq!(cont, of(&whole.cont[t]), "{view}, {noise:?}");
                    assert_eq!(cont[..9], of(&few.cont[t]), "{view}, {noise:?}");
                    let reward = of(&rows.rewards[t]);
                    assert_eq!(reward[..9], of(&few.rewards[t]), "{view}, {noise:?}");
                    close(&reward, &of(&whole.rewards[t]), 1e-4, "rewards");
                }
            }
        }
    }
}

#[test]
fn no_gradient_goes_through_an_end() {
    let ensemble = arbitrary(&learning(), (2, 1), Known::default(), 8, &Spec::f64());
    let mut rng = Rng::new(9);
    let var = |dims: (usize, usize), rng: &mut Rng| {
        Var::from_tensor(&rng.normals(dims, &Spec::f64()).unwrap()).unwrap()
    };
    let (s, a) = (var((40, 2), &mut rng), var((40, 1), &mut rng));
    let gradient = |ends: f64| {
        let mut eps = vec![0.3; 40 * 4];
        eps.chunks_mut(4).for_each(|row| row[3] = ends);
        let normal = Some(Spec::f64().tensor(&eps, (40, 4)).unwrap());
        let step = ensemble.step(&s, &a, &StepNoise { normal, member: Member::Best }).unwrap();
        assert!(!step.cont.track_op());
        let sum = (step.next.sum_all().unwrap() + step.reward.sum_all().unwrap()).unwrap();
        let all = to_f64(&step.cont).unwrap();
        (all, to_f64(sum.backward().unwrap().get(&s).unwrap()).unwrap())
    };
    let ((gone_on, slope), (ended, same)) = (gradient(9.0), gradient(-9.0));
    assert_eq!((gone_on, ended), (vec![1.0; 40], vec![0.0; 40]));
    assert_eq!(slope, same);
}

#[test]
fn a_fit_goes_on_from_what_was_saved_to_the_byte() {
    let config = EnsembleConfig { max_epochs: Some(2), ..learning() };
    let (mut ensemble, _) = fit(&config, 600, 0.1, 5);
    let saved = ensemble.named_tensors("model").unwrap();
    assert!(to_f64(&saved["model.ends.log_weight"]).unwrap()[0] > 1.0);
    let mut other =
        Ensemble::new(&config, 2, 1, Known::default(), &mut Rng::new(0), &Spec::f32()).unwrap();
    other.load_named("model", &saved).unwrap();
    let (data, cont) = ending(700, 0.05, &mut Rng::new(6));
    for model in [&mut ensemble, &mut other] {
        let data = FitData { cont: &cont, ..data.view() };
        model.fit(&data, &mut Rng::new(7)).unwrap();
    }
    assert_eq!(all(&ensemble), all(&other));
}

#[test]
fn what_is_missing_or_does_not_fit_is_refused() {
    let data = linear_gaussian(50, &mut Rng::new(1));
    let mut ensemble =
        Ensemble::new(&learning(), 2, 1, Known::default(), &mut Rng::new(0), &Spec::f32()).unwrap();
    for cont in [vec![], vec![0.5; 50]] {
        let data = FitData { cont: &cont, ..data.view() };
        let error = ensemble.fit(&data, &mut Rng::new(7)).unwrap_err().to_string();
        assert!(error.contains("50 numbers 0 or 1, for `model.learn_termination`"), "{error}");
    }
    let needless = EnsembleConfig { termination: Some(Termination::Sample), ..small() };
    let error = needless.validate().unwrap_err().to_string();
    assert!(error.contains("`model.termination`: expected nothing without"), "{error}");
}

#[test]
fn a_model_without_ends_is_written_as_before() {
    let text = serde_json::to_string(&EnsembleConfig::default()).unwrap();
    assert!(!text.contains("terminat"), "{text}");
    assert_eq!(EnsembleConfig::default().outputs(5), 10);
    assert_eq!(learning().outputs(5), 11);
}
