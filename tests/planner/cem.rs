//! CEM against closed forms, and against itself written down a second time.

use candle_core::Tensor;
use hstep::Error;
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::nn::Activation;
use hstep::objective::{Actions, Noise, Terminal};
use hstep::planner::{Base, Cem, CemConfig, Plan, Planner, Problem, SamplesConfig, SearchResult};
use hstep::policy::{ActorConfig, SquashedGaussian};
use hstep::rng::{Key, Rng};
use hstep::shape::{Spec, to_f64};
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::gradient::{objective, one_step, optimal, regulator, starts, worst};

fn config(count: usize, iterations: usize) -> CemConfig {
    let samples = SamplesConfig { count, ..SamplesConfig::default() };
    CemConfig { samples, iterations, settled: 0.0, ..CemConfig::default() }
}

fn key() -> Key {
    Rng::new(17).key()
}

fn plan(config: &CemConfig, dynamics: &dyn Dynamics, n: usize, s0: &Tensor, base: Base) -> Plan {
    let problem = Problem { objective: objective(dynamics, Terminal::Zero, n), s0, base };
    Cem::new(config.clone()).plan(&problem, key()).unwrap()
}

fn zeros(b: usize) -> Tensor {
    Spec::f64().zeros((b, 1)).unwrap()
}

fn sequence(x: &[f64]) -> Tensor {
    Spec::f64().tensor(x, (1, x.len(), 1)).unwrap()
}

/// Two states, one action, noise in the first state.
fn noisy() -> impl Dynamics {
    let step = |s: &Tensor, a: &Tensor, noise: &StepNoise| {
        let push = Tensor::cat(&[a, &(a * 0.5)?], 1)?;
        let mut next = ((s * 0.9)? + push)?;
        if let Some(eps) = &noise.normal {
            next = (next + (Tensor::cat(&[eps, &eps.zeros_like()?], 1)? * 0.1)?)?;
        }
        let reward = (next.sqr()?.sum(1)? + (a.sqr()?.sum(1)? * 0.3)?)?.neg()?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(2, 1, Spec::f64(), step).with_noise(1)
}

fn policy() -> SquashedGaussian {
    let config =
        ActorConfig { hidden: vec![6], activation: Activation::Tanh, ..ActorConfig::default() };
    SquashedGaussian::new(&config, 2, 1, &mut Rng::new(8), &Spec::f64()).unwrap()
}

#[test]
fn the_search_finds_riccatis_actions() {
    let (dynamics, value, gain) = regulator();
    let (s0, n) = (starts(3), 5);
    let objective = objective(&dynamics, Terminal::State(&value), n);
    let problem = Problem { objective, s0: &s0, base: Base::Zero };
    let mut config = config(400, 30);
    (config.samples.limit, config.noise) = (f64::INFINITY, 1.0);
    let plan = Cem::new(config.clone()).plan(&problem, key()).unwrap();
    let error = worst(&plan.actions, &optimal(&s0, &gain, n));
    println!("relative error {error:.1e}");
    assert!(error < 1e-6, "{error}");
    let worth = to_f64(&hstep::value::Value::value(&value, &s0).unwrap()).unwrap();
    assert!(worst(&plan.value, &worth) < 1e-6);
    // Elites are weighted alike: 40 of 400.
    let share = to_f64(&plan.log_normaliser).unwrap();
    assert!(share.iter().all(|l| (l - 0.1f64.ln()).abs() < 1e-12));
    assert!(to_f64(&plan.effective_samples).unwrap().iter().all(|e| (e - 40.0).abs() < 1e-9));
    assert_eq!(plan.model_steps, 30 * 400 * 3 * n as u64);
}

/// One population from N(0, 1): its ranks are those of the normal numbers drawn, its moments those of
/// the truncated normal distribution.
#[test]
fn truncated_numbers_have_their_distribution() {
    let dynamics = one_step(0, |_, a| a.sqr()?.neg());
    let (k, n) = (10_000, 4);
    let mut config = config(k, 1);
    (config.samples.limit, config.noise) = (f64::INFINITY, 1.0);
    let drawn = |truncation| {
        let config = CemConfig { truncation, ..config.clone() };
        to_f64(&plan(&config, &dynamics, n, &zeros(1), Base::Zero).samples).unwrap()
    };
    let (whole, normal) = (drawn(f64::INFINITY), Normal::standard());
    for bound in [2.0, 0.7] {
        let x = drawn(bound);
        let mass = 2.0 * normal.cdf(bound) - 1.0;
        for (x, eps) in x.iter().zip(&whole).take(2_000) {
            let rank = (normal.cdf(*x) - normal.cdf(-bound)) / mass;
            assert!((rank - normal.cdf(*eps)).abs() < 1e-10, "{x} {eps}");
        }
        assert!(x.iter().all(|x| x.abs() <= bound + 1e-12));
        let moment = |p| x.iter().map(|x| x.powi(p)).sum::<f64>() / x.len() as f64;
        // E x^2 = 1 - 2 b phi(b) / mass, E x^4 = 3 E x^2 - 2 b^3 phi(b) / mass.
        let edge = 2.0 * bound * normal.pdf(bound) / mass;
        let second = 1.0 - edge;
        let fourth = 3.0 * second - bound * bound * edge;
        // Five standard errors of 40,000 numbers.
        let error = |of_square: f64, of: f64| 5.0 * ((of_square - of * of) / 40_000.0).sqrt();
        assert!(moment(1).abs() < error(second, 0.0));
        assert!((moment(2) - second).abs() < error(fourth, second), "{} {second}", moment(2));
        assert!((moment(4) - fourth).abs() < error(moment(8), fourth), "{} {fourth}", moment(4));
    }
}

/// PETS's loop for one start state, written down again with sorting by hand.
#[test]
fn three_populations_are_those_of_the_loop_written_again() {
    let reward = |a: &[f64]| -(a[0] - 0.8).powi(2) - (a[0] + a[1] - 0.3).powi(2);
    let dynamics = one_step(0, |next, a| {
        // s_1 = a_0 and s_2 = a_0 + a_1 from s_0 = 0: the first term is paid by the step from 0.
        let first = (next - a)?.abs()?.lt(1e-12)?.to_dtype(a.dtype())?;
        let (one, two) = ((next - 0.8)?.sqr()?, ((next - 0.3)?.sqr()? / super::gradient::GAMMA)?);
        ((&first * one)? + ((first.ones_like()? - first)? * two)?)?.neg()
    });
    let (k, alpha, elites) = (40, 0.1, 4);
    let base = [0.9, -0.6];
    let config = CemConfig { truncation: f64::INFINITY, ..config(k, 3) };
    let got = plan(&config, &dynamics, 2, &zeros(1), Base::Open(&sequence(&base)));

    let (mut m, mut v): ([f64; 2], [f64; 2]) = (base, [0.25, 0.25]);
    let (mut samples, mut returns) = (Vec::new(), Vec::new());
    for i in 0..3 {
        let sigma = [0, 1].map(|d: usize| v[d].sqrt().min((1.0 - m[d].abs()) / 2.0));
        samples.clear();
        for row in 0..k {
            let mut eps = [0.0; 2];
            key().fork("candidates").fill_normals(row, i, &mut eps);
            samples.push([0, 1].map(|d: usize| (m[d] + sigma[d] * eps[d]).clamp(-1.0, 1.0)));
        }
        returns = samples.iter().map(|a| reward(a)).collect();
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&i, &j| f64::total_cmp(&returns[j], &returns[i]));
        for d in 0..2 {
            let x: Vec<f64> = order[..elites].iter().map(|&e| samples[e][d]).collect();
            let mean = x.iter().sum::<f64>() / elites as f64;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / elites as f64;
            m[d] = alpha * m[d] + (1.0 - alpha) * mean;
            v[d] = alpha * v[d] + (1.0 - alpha) * var;
        }
    }
    assert!(worst(&got.samples, &samples.concat()) < 1e-12);
    assert!(worst(&got.returns, &returns) < 1e-12);
    assert!(worst(&got.actions, &m) < 1e-12);
}

/// 64 starts, in blocks, are the 64 one by one, though they settle after different numbers of
/// iterations.
#[test]
fn starts_do_not_see_each_other() {
    let (dynamics, policy) = (noisy(), policy());
    let s0 = (starts(64) * 1.5).unwrap();
    let open = (Rng::new(6).normals((64, 3, 1), &Spec::f64()).unwrap() * 0.3).unwrap();
    let mut config = CemConfig { settled: 0.02, policy_noise: 0.1, ..config(300, 6) };
    config.samples.particles = 2;
    let objective = objective(&dynamics, Terminal::Zero, 3);
    for around_policy in [false, true] {
        let planned = |config: &CemConfig, rows: std::ops::Range<usize>| {
            let s0 = s0.narrow(0, rows.start, rows.len()).unwrap().contiguous().unwrap();
            let open = open.narrow(0, rows.start, rows.len()).unwrap().contiguous().unwrap();
            let base = match around_policy {
                true => Base::Policy { policy: &policy, sample: true },
                false => Base::Open(&open),
            };
            let problem = Problem { objective, s0: &s0, base };
            Cem::new(config.clone()).plan(&problem, key().skip(rows.start)).unwrap()
        };
        let many = planned(&config, 0..64);
        for i in 0..64 {
            let one = planned(&config, i..i + 1);
            let parts = [
                (&many.actions, &one.actions),
                (&many.samples, &one.samples),
                (&many.returns, &one.returns),
                (&many.weights, &one.weights),
                (&many.value, &one.value),
            ];
            for (many, one) in parts {
                let many = to_f64(&many.narrow(0, i, 1).unwrap()).unwrap();
                let one = to_f64(one).unwrap();
                assert!(many.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5), "start {i}");
            }
        }
        // Some starts, but not all, had settled one iteration before the last.
        let shorter = planned(&CemConfig { iterations: 4, ..config.clone() }, 0..64);
        let (long, short) = (to_f64(&many.actions).unwrap(), to_f64(&shorter.actions).unwrap());
        let equal = long.chunks(3).zip(short.chunks(3)).filter(|(a, b)| a == b).count();
        println!("{equal} of 64 had settled");
        assert!((1..64).contains(&equal), "{equal}");
    }
}

#[test]
fn a_settled_search_saves_its_model_steps() {
    let dynamics = one_step(0, |_, a| a.sqr()?.neg());
    let steps = |settled| {
        let config = CemConfig { settled, ..config(50, 8) };
        plan(&config, &dynamics, 2, &zeros(1), Base::Zero).model_steps
    };
    assert_eq!((steps(0.0), steps(1.0)), (8 * 100, 100));
}

#[test]
fn around_a_policy_candidate_zero_is_its_mode() {
    let (dynamics, policy, s0) = (noisy(), policy(), starts(4));
    let (mut config, n) = (config(20, 1), 3);
    let objective = objective(&dynamics, Terminal::Zero, n);
    let zero = Spec::f64().zeros((4, n, 1)).unwrap();
    let modes = Actions::Perturbed { policy: &policy, delta: &zero, limit: 1.0 };
    let quiet = objective.rollout(&s0, modes, &Noise::default()).unwrap();
    let first = to_f64(&quiet.actions[0]).unwrap();
    for sample in [false, true] {
        for (policy_noise, particles) in [(0.0, 1), (0.2, 1), (0.2, 3)] {
            (config.policy_noise, config.samples.particles) = (policy_noise, particles);
            let base = Base::Policy { policy: &policy, sample };
            let got = plan(&config, &dynamics, n, &s0, base);
            let samples = to_f64(&got.samples).unwrap();
            // The first actions: the model's noise is in the later states.
            for (of_start, mode) in samples.chunks(20 * n).zip(&first) {
                let firsts: Vec<f64> = of_start.chunks(n).map(|x| x[0]).collect();
                assert!((firsts[0] - mode).abs() < 1e-12);
                let others = firsts[1..].iter().filter(|x| (*x - mode).abs() > 1e-9).count();
                let apart = if sample || policy_noise > 0.0 { 19 } else { 0 };
                assert_eq!(others, apart, "sample {sample}, noise {policy_noise}");
            }
        }
    }
    // A candidate's particles share its noise: the first actions do not depend on their number.
    config.policy_noise = 0.0;
    let firsts = |particles| {
        let mut config = config.clone();
        config.samples.particles = particles;
        let base = Base::Policy { policy: &policy, sample: true };
        let samples = plan(&config, &dynamics, n, &s0, base).samples;
        samples.narrow(2, 0, 1).unwrap()
    };
    assert!(worst(&firsts(3), &to_f64(&firsts(1)).unwrap()) < 1e-12);
}

#[test]
fn candidates_without_a_finite_return_are_no_elites() {
    let dynamics = one_step(0, |_, a| a.log()? - a);
    let config = CemConfig { elites: 1.0, smoothing: 0.0, ..config(64, 1) };
    let got = plan(&config, &dynamics, 1, &zeros(3), Base::Zero);
    let (samples, weights) = (to_f64(&got.samples).unwrap(), to_f64(&got.weights).unwrap());
    let share = to_f64(&got.log_normaliser).unwrap();
    let (actions, value) = (to_f64(&got.actions).unwrap(), to_f64(&got.value).unwrap());
    for start in 0..3 {
        let x = &samples[start * 64..][..64];
        let good: Vec<f64> = x.iter().copied().filter(|x| *x > 0.0).collect();
        let n = good.len() as f64;
        assert!((good.len() > 10) && (good.len() < 54));
        for (x, w) in x.iter().zip(&weights[start * 64..]) {
            assert!((w - if *x > 0.0 { 1.0 / n } else { 0.0 }).abs() < 1e-12);
        }
        assert!((share[start] - (n / 64.0).ln()).abs() < 1e-12);
        assert!((actions[start] - good.iter().sum::<f64>() / n).abs() < 1e-12);
        let mean = good.iter().map(|x| x.ln() - x).sum::<f64>() / n;
        assert!((value[start] - mean).abs() < 1e-12);
    }
    // None at all is an error, not a plan.
    let dynamics = one_step(0, |_, a| (a.abs()?.neg()? - 1.0)?.log());
    let objective = objective(&dynamics, Terminal::Zero, 1);
    let problem = Problem { objective, s0: &zeros(3), base: Base::Zero };
    let error = Cem::new(config).plan(&problem, key()).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
}

#[test]
fn bounds_narrow_the_search_and_a_floor_frees_it() {
    let dynamics = one_step(0, |_, a| a.sqr()?.neg());
    let at = |x: f64, config: &CemConfig| {
        plan(config, &dynamics, 1, &zeros(1), Base::Open(&sequence(&[x])))
    };
    let outside =
        |plan: &Plan| to_f64(&plan.samples).unwrap().iter().filter(|x| x.abs() >= 1.0).count();
    let config = config(500, 1);
    assert_eq!(outside(&at(0.9, &config)), 0);
    // A standard deviation of 0.05 rather than 0.5: the variance of the truncated normal is 0.774.
    let x = to_f64(&at(0.9, &config).samples).unwrap();
    let spread = x.iter().map(|x| (x - 0.9).powi(2)).sum::<f64>() / 500.0;
    assert!((spread / 0.0025 / 0.7737 - 1.0).abs() < 0.2, "{spread}");
    assert!(outside(&at(0.9, &CemConfig { bounded: false, ..config.clone() })) > 100);
    // On the bound there is no way back without a floor; beyond it a base is clipped to it.
    let long = CemConfig { iterations: 20, ..config };
    for base in [1.0, 1.7] {
        assert_eq!(to_f64(&at(base, &long).actions).unwrap(), [1.0]);
        let freed = at(base, &CemConfig { min_noise: 0.1, ..long.clone() });
        assert!(to_f64(&freed.actions).unwrap()[0].abs() < 0.1);
    }
}

#[test]
fn the_best_candidate_ever_can_be_the_plan() {
    // Narrow populations walk up a slope; in the last step down from 0.3 they overshoot.
    let dynamics = one_step(0, |_, a| (a - 0.3)?.abs()?.neg());
    let at = |result, iterations| {
        let config = CemConfig { result, ..config(30, iterations) };
        plan(&config, &dynamics, 2, &zeros(4), Base::Zero)
    };
    let (mean, best) = (at(SearchResult::Mean, 6), at(SearchResult::Best, 6));
    assert_eq!(to_f64(&mean.mean).unwrap(), to_f64(&best.mean).unwrap());
    assert_eq!(to_f64(&mean.mean).unwrap(), to_f64(&mean.actions).unwrap());
    let worth = |a: &[f64]| -(a[0] - 0.3).abs() - super::gradient::GAMMA * (a[1] - 0.3).abs();
    let mut highest = vec![f64::NEG_INFINITY; 4];
    for iterations in 1..=6 {
        let returns = to_f64(&at(SearchResult::Best, iterations).returns).unwrap();
        for (high, of_start) in highest.iter_mut().zip(returns.chunks(30)) {
            *high = of_start.iter().copied().fold(*high, f64::max);
        }
    }
    for (a, high) in to_f64(&best.actions).unwrap().chunks(2).zip(&highest) {
        assert!((worth(a) - high).abs() < 1e-12);
    }
}

#[test]
fn bad_settings_name_their_key() {
    type Change = fn(&mut CemConfig);
    let cases: [(&str, Change); 11] = [
        ("planner.samples.particles", |c| c.samples.particles = 0),
        ("planner.iterations", |c| c.iterations = 0),
        ("planner.elites", |c| c.elites = 0.0),
        ("planner.elites", |c| c.elites = 1.5),
        ("planner.smoothing", |c| c.smoothing = 1.0),
        ("planner.smoothing", |c| c.smoothing = f64::NAN),
        ("planner.noise", |c| c.noise = 0.0),
        ("planner.truncation", |c| c.truncation = -2.0),
        ("planner.min_noise", |c| c.min_noise = f64::INFINITY),
        ("planner.settled", |c| c.settled = -0.1),
        ("planner.policy_noise", |c| c.policy_noise = f64::NAN),
    ];
    Cem::default().validate("planner").unwrap();
    for (key, change) in cases {
        let mut config = CemConfig::default();
        change(&mut config);
        let error = Cem::new(config).validate("planner").unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
    let error = hstep::config::parse::<CemConfig>(&"elite = 0.2".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("did you mean `elites`"), "{error}");
    let table = "result = 'best'\ntruncation = inf\nsamples.count = 9".parse().unwrap();
    let parsed = hstep::config::parse::<CemConfig>(&table).unwrap();
    assert_eq!((parsed.result, parsed.truncation), (SearchResult::Best, f64::INFINITY));
    assert_eq!(Cem::new(parsed).describe(), "CEM K=9x20, 5 iterations");
}
