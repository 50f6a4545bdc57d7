//! Limits of the weights, equal planners, units, the filter, the ratio, refusals.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::lqr::Matrix;
use hstep::objective::{Actions, Cost, HStep, Noise, Terminal};
use hstep::planner::{
    Base, EliteWeights, MirrorDescent, MirrorDescentConfig, Mppi, MppiConfig, Plan, Planner,
    Problem, TemperatureKind, Utility,
};
use hstep::shape::Spec;
use hstep::value::{FnCritic, FnValue};

use super::fixtures::*;

/// A curved system, noisy if `noise` is not 0, with rewards `scale r + shift`.
fn curved(noise: f64, scale: f64, shift: f64) -> impl Dynamics {
    let step = move |s: &Tensor, a: &Tensor, given: &StepNoise| {
        let mut next = ((s * 0.9)? + (s.sin()? * a)?)?;
        if let Some(eps) = &given.normal {
            next = (next + (eps * noise)?)?;
        }
        let reward = (s.sqr()?.sum(1)? + (a - 0.3)?.sqr()?.sum(1)?)?.neg()?;
        let reward = ((reward * scale)? + shift)?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(ACT, ACT, Spec::f64(), step).with_noise(if noise == 0.0 { 0 } else { ACT })
}

fn over(model: &dyn Dynamics, horizon: usize) -> HStep<'_> {
    let terminal = Terminal::Zero;
    HStep { dynamics: Some(model), terminal, horizon, gamma: 0.9, cost: Cost::NONE }
}

fn starts() -> Tensor {
    normals(61, &[3, ACT])
}

fn row(x: &[f64], i: usize, of: usize) -> &[f64] {
    &x[i * x.len() / of..(i + 1) * x.len() / of]
}

fn best(returns: &[f64]) -> usize {
    (0..returns.len()).max_by(|i, j| returns[*i].total_cmp(&returns[*j])).unwrap()
}

#[test]
fn no_temperature_takes_the_best_candidate_and_one_candidate_is_the_plan() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    for (count, temperature) in [(50, 0.0), (50, 1e-12), (1, 1.0)] {
        for prior_ratio in [false, true] {
            let config = MppiConfig {
                samples: samples(count, 1, 1.0),
                temperature,
                prior_ratio,
                ..MppiConfig::default()
            };
            let plan = mppi(&config, over(&model, 3), &s0, Base::Zero, key(62));
            let (returns, candidates) = (numbers(&plan.returns), numbers(&plan.samples));
            for start in 0..3 {
                let returns = row(&returns, start, 3);
                let top = best(returns);
                let of_start = row(&candidates, start, 3);
                assert_eq!(row(&numbers(&plan.actions), start, 3), row(of_start, top, count));
                if !prior_ratio {
                    // lambda log mean exp(R / lambda): the best return but for lambda log K.
                    close(&[numbers(&plan.value)[start]], &[returns[top]], 1e-10, "value");
                }
            }
        }
    }
}

#[test]
fn an_infinite_temperature_gives_the_mean_of_the_proposal_or_of_the_prior() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    let base = tensor(&[0.3; 3 * 2 * ACT], &[3, 2, ACT]);
    for (prior_ratio, want) in [(false, 0.3), (true, 0.0)] {
        let config = MppiConfig {
            samples: samples(20_000, 1, f64::INFINITY),
            temperature: f64::INFINITY,
            prior_ratio,
            ..MppiConfig::default()
        };
        let plan = mppi(&config, over(&model, 2), &s0, Base::Open(&base), key(63));
        let (weights, x) = (numbers(&plan.weights), numbers(&plan.samples));
        for (i, got) in numbers(&plan.mean).iter().enumerate() {
            let (start, at) = (i / (2 * ACT), i % (2 * ACT));
            let x: Vec<f64> = row(&x, start, 3).iter().skip(at).step_by(2 * ACT).copied().collect();
            let error = standard_error(row(&weights, start, 3), &x, want);
            // Four standard errors, for twelve numbers a case.
            assert!((got - want).abs() < 4.0 * error && error < 0.02, "{got} +- {error}: {want}");
        }
    }
}

#[test]
fn mppi_is_mirror_descent_with_the_exponential_utility() {
    let (model, s0) = (curved(0.2, 1.0, 0.0), starts());
    let a = MppiConfig {
        samples: samples(30, 2, 1.0),
        iterations: 3,
        temperature: 0.5,
        temperature_decay: 0.8,
        noise: 0.6,
        noise_decay: 0.7,
        step: 0.6,
        ..MppiConfig::default()
    };
    let b = MirrorDescentConfig {
        samples: a.samples.clone(),
        iterations: 3,
        utility: Utility::Exponential,
        temperature: 0.5,
        temperature_decay: 0.8,
        noise: 0.6,
        noise_decay: 0.7,
        step: 0.6,
        ..MirrorDescentConfig::default()
    };
    let open = (normals(64, &[3, 4, ACT]) * 0.3).unwrap();
    for base in [Base::Zero, Base::Open(&open)] {
        let one = mppi(&a, over(&model, 4), &s0, base, key(65));
        let two = descent(&b, over(&model, 4), &s0, base, key(65));
        for (name, pick) in [
            ("actions", (|p| &p.actions) as fn(&Plan) -> &Tensor),
            ("mean", |p| &p.mean),
            ("samples", |p| &p.samples),
            ("returns", |p| &p.returns),
            ("weights", |p| &p.weights),
            ("log_normaliser", |p| &p.log_normaliser),
            ("value", |p| &p.value),
            ("effective_samples", |p| &p.effective_samples),
        ] {
            assert_eq!(numbers(pick(&one)), numbers(pick(&two)), "{name}");
        }
        assert_eq!(one.model_steps, two.model_steps);
        // K, P, iterations, H and starts.
        assert_eq!(one.model_steps, 30 * 2 * 3 * 4 * 3);
    }
}

#[test]
fn a_step_goes_part_of_the_way() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    let open = (normals(64, &[3, 4, ACT]) * 0.3).unwrap();
    let with = |step| {
        let config = MppiConfig { samples: samples(30, 1, 1.0), step, ..MppiConfig::default() };
        numbers(&mppi(&config, over(&model, 4), &s0, Base::Open(&open), key(65)).mean)
    };
    let want: Vec<f64> =
        with(1.0).iter().zip(numbers(&open)).map(|(g, m)| 0.7 * m + 0.3 * g).collect();
    close(&with(0.3), &want, 1e-14, "mean");
}

#[test]
fn a_temperature_in_spreads_ignores_units_and_offsets_of_the_reward() {
    let s0 = starts();
    let with = |kind, scale, shift| {
        let model = curved(0.0, scale, shift);
        let config = MppiConfig {
            samples: samples(40, 1, 1.0),
            iterations: 2,
            temperature: 0.3,
            temperature_kind: kind,
            ..MppiConfig::default()
        };
        numbers(&mppi(&config, over(&model, 3), &s0, Base::Zero, key(66)).actions)
    };
    let plain = with(TemperatureKind::Spread, 1.0, 0.0);
    close(&with(TemperatureKind::Spread, 17.0, -5.0), &plain, 1e-11, "spread");
    // An absolute temperature ignores the offset only.
    let absolute = with(TemperatureKind::Absolute, 1.0, 0.0);
    close(&with(TemperatureKind::Absolute, 1.0, -5.0), &absolute, 1e-11, "offset");
    assert!((with(TemperatureKind::Absolute, 17.0, 0.0)[0] - absolute[0]).abs() > 1e-3);
    // Equal returns have no spread; then the mean of all candidates is the plan.
    let flat = with(TemperatureKind::Spread, 0.0, 1.0);
    assert!(flat.iter().all(|x| x.is_finite()) && flat != plain);
}

/// The normal numbers of a start state's candidates.
fn drawn(seed: u64, iteration: usize, count: usize, width: usize) -> Vec<Vec<f64>> {
    let key = key(seed).fork("candidates");
    let row = |k| {
        let mut numbers = vec![0.0; width];
        key.fill_normals(k, iteration, &mut numbers);
        numbers
    };
    (0..count).map(row).collect()
}

/// `F` for three taps over four steps of two actions, written out: a row an output.
fn filter_matrix([b0, b1, b2]: [f64; 3]) -> Matrix {
    let of_steps =
        [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [b2, b1, b0, 0.0], [0.0, b2, b1, b0]];
    Matrix::from_fn(8, 8, |i, j| if i % 2 == j % 2 { of_steps[i / 2][j / 2] } else { 0.0 })
}

#[test]
fn the_filter_mixes_a_steps_noise_with_that_of_the_steps_before() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), normals(61, &[1, ACT]));
    let taps = [0.5, 0.3, -0.2];
    let config = MppiConfig {
        samples: samples(5, 1, f64::INFINITY),
        filter: taps.to_vec(),
        noise: 0.4,
        ..MppiConfig::default()
    };
    let plan = mppi(&config, over(&model, 4), &s0, Base::Zero, key(67));
    let f = filter_matrix(taps);
    for (x, eps) in numbers(&plan.samples).chunks(8).zip(drawn(67, 0, 5, 8)) {
        let want = f.mul(&column(&eps)).unwrap().scale(0.4);
        close(x, want.data(), 1e-14, "sigma F eps");
    }
    // A filter longer than the plan never has its full length.
    let long = MppiConfig { filter: vec![0.5; 9], ..config };
    let plan = mppi(&long, over(&model, 4), &s0, Base::Zero, key(67));
    let want: Vec<f64> = drawn(67, 0, 5, 8).concat().iter().map(|e| 0.4 * e).collect();
    close(&numbers(&plan.samples), &want, 1e-14, "sigma eps");
}

/// `log N(x; mean, sigma^2 F F')` by its covariance.
fn log_density(x: &[f64], mean: &[f64], sigma: f64, f: &Matrix) -> f64 {
    let covariance = f.mul(&f.t()).unwrap().scale(sigma * sigma);
    let off = column(&x.iter().zip(mean).map(|(x, m)| x - m).collect::<Vec<_>>());
    let square = off.t().mul(&covariance.solve(&off).unwrap()).unwrap().at(0, 0);
    let root = covariance.cholesky().unwrap();
    let log_det: f64 = (0..x.len()).map(|i| 2.0 * root.at(i, i).ln()).sum();
    -0.5 * (square + log_det + x.len() as f64 * (2.0 * std::f64::consts::PI).ln())
}

#[test]
fn the_ratio_is_that_of_two_gaussian_densities() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), normals(61, &[1, ACT]));
    for taps in [None, Some([0.5, 0.3, -0.2])] {
        let config = MppiConfig {
            samples: samples(6, 1, f64::INFINITY),
            iterations: 1,
            temperature: f64::INFINITY,
            filter: taps.map_or(Vec::new(), |t| t.to_vec()),
            noise: 0.6,
            noise_decay: 0.7,
            prior_ratio: true,
            ..MppiConfig::default()
        };
        let run = |iterations| {
            let config = MppiConfig { iterations, ..config.clone() };
            mppi(&config, over(&model, 4), &s0, Base::Zero, key(68))
        };
        let (before, plan) = (run(1), run(2));
        let f = taps.map_or(Matrix::identity(8), filter_matrix);
        let (mean, log_mean) = (numbers(&before.mean), numbers(&plan.log_normaliser)[0]);
        // At an infinite temperature weights are p / q over K times their mean.
        for (x, w) in numbers(&plan.samples).chunks(8).zip(numbers(&plan.weights)) {
            let got = (6.0 * w).ln() + log_mean;
            let prior = log_density(x, &[0.0; 8], 0.6, &f);
            close(&[got], &[prior - log_density(x, &mean, 0.42, &f)], 1e-10, "log p / q");
        }
        // Around the prior itself nothing is corrected.
        close(&numbers(&before.log_normaliser), &[0.0], 1e-12, "log-normaliser");
        close(&numbers(&before.weights), &[1.0 / 6.0; 6], 1e-12, "weights");
    }
}

#[test]
fn nothing_leaves_the_limit() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    let base = (normals(69, &[3, 3, ACT]) * 2.0).unwrap();
    let config = MppiConfig { samples: samples(20, 1, 0.4), noise: 2.0, ..MppiConfig::default() };
    let elites =
        MirrorDescentConfig { samples: config.samples.clone(), step: 0.5, ..Default::default() };
    let objective = over(&model, 3);
    for plan in [
        mppi(&config, objective, &s0, Base::Open(&base), key(70)),
        descent(&elites, objective, &s0, Base::Open(&base), key(70)),
    ] {
        let greatest = |t: &Tensor| numbers(t).iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        // Some samples are far beyond, so the bound is met.
        assert_eq!(greatest(&plan.samples), 0.4);
        assert!(greatest(&plan.actions) <= 0.4);
        // The returns are those of the clipped actions.
        let wide = s0.unsqueeze(1).unwrap().broadcast_as((3, 20, ACT)).unwrap();
        let wide = wide.reshape((60, ACT)).unwrap();
        let taken = plan.samples.reshape((60, 3, ACT)).unwrap();
        let j = objective.objective(&wide, Actions::Open(&taken), &Noise::default()).unwrap();
        close(&numbers(&plan.returns), &numbers(&j), 1e-13, "returns");
    }
}

/// One action with `Q = 0.1 a^2 + shift`, candidates from a fixed base.
fn around_shift(config: &MirrorDescentConfig, shift: f64) -> hstep::Result<Plan> {
    let function =
        move |_: &Tensor, a: &Tensor| Ok(((a.sqr()?.sum(1)? * 0.1)? + shift)?.unsqueeze(0)?);
    let critic = FnCritic { members: 1, function };
    let objective = HStep::model_free(Terminal::min_q(&critic), Cost::NONE);
    let (s0, base) = (tensor(&[0.0], &[1, 1]), tensor(&[0.0, 0.0], &[1, 1, 2]));
    let problem = Problem { objective, s0: &s0, base: Base::Open(&base) };
    MirrorDescent::new(config.clone()).plan(&problem, key(71))
}

#[test]
fn elites_are_the_best_and_literal_weights_are_their_costs() {
    let of = |weights| MirrorDescentConfig {
        samples: samples(20, 1, f64::INFINITY),
        elites: 0.25,
        weights,
        temperature: 0.05,
        ..MirrorDescentConfig::default()
    };
    for kind in
        [EliteWeights::Literal, EliteWeights::Uniform, EliteWeights::Shifted, EliteWeights::Softmax]
    {
        // Returns above 0 are costs below 0.
        let plan = around_shift(&of(kind), 1.0).unwrap();
        let (returns, weights) = (numbers(&plan.returns), numbers(&plan.weights));
        let mut order: Vec<usize> = (0..20).collect();
        order.sort_by(|i, j| returns[*j].total_cmp(&returns[*i]));
        let elite: Vec<f64> = order[..5].iter().map(|i| returns[*i]).collect();
        let (low, high) = (elite[4], elite[0]);
        let raw: Vec<f64> = elite
            .iter()
            .map(|r| match kind {
                // Eq. 14: C / sum C with C = -R.
                EliteWeights::Literal => -r,
                EliteWeights::Uniform => 1.0,
                EliteWeights::Shifted => r - low + 1e-3 * (high - low),
                EliteWeights::Softmax => ((r - high) / 0.05).exp(),
            })
            .collect();
        let total: f64 = raw.iter().sum();
        let mut want = [0.0; 20];
        order[..5].iter().zip(&raw).for_each(|(i, w)| want[*i] = w / total);
        close(&weights, &want, 1e-12, "weights");
        let x = numbers(&plan.samples);
        for i in 0..2 {
            let mean: f64 = (0..20).map(|k| want[k] * x[2 * k + i]).sum();
            close(&[numbers(&plan.actions)[i]], &[mean], 1e-12, "eq. 9");
        }
        close(&numbers(&plan.log_normaliser), &[0.25_f64.ln()], 1e-12, "log of the share");
    }
    // Costs above 0, and of both signs among the elites.
    let literal = of(EliteWeights::Literal);
    let mut elite = numbers(&around_shift(&of(EliteWeights::Uniform), 0.0).unwrap().returns);
    elite.sort_by(|x, y| y.total_cmp(x));
    let top = elite[0];
    assert!(elite[4] < 0.9 * top);
    for shift in [-5.0, -0.9 * top] {
        let message = around_shift(&literal, shift).unwrap_err().to_string();
        for part in ["must all be negative", "`shifted`", "planner.weights"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn the_plain_cost_climbs_by_the_covariance_of_action_and_return() {
    let config = MirrorDescentConfig {
        samples: samples(20, 1, f64::INFINITY),
        utility: Utility::Cost,
        step: 3.0,
        ..MirrorDescentConfig::default()
    };
    let plan = around_shift(&config, 7.0).unwrap();
    let (r, x) = (numbers(&plan.returns), numbers(&plan.samples));
    let mean = r.iter().sum::<f64>() / 20.0;
    for i in 0..2 {
        let climb: f64 = (0..20).map(|k| (r[k] - mean) * x[2 * k + i] / 20.0).sum();
        close(&[numbers(&plan.mean)[i]], &[3.0 * climb], 1e-12, "eq. 8");
    }
    close(&numbers(&plan.value), &[mean], 1e-12, "value");
}

#[test]
fn a_plan_over_no_action_is_refused_and_a_q_makes_it_one() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    let value = FnValue(|s: &Tensor| Ok(s.sum(1)?));
    let critic = bowl(1.0, 0.2);
    let planners: [Box<dyn Planner>; 2] =
        [Box::new(Mppi::default()), Box::new(MirrorDescent::default())];
    for planner in planners {
        let mut objective = over(&model, 0);
        for terminal in [Terminal::Zero, Terminal::State(&value)] {
            objective.terminal = terminal;
            let problem = Problem { objective, s0: &s0, base: Base::Zero };
            let message = planner.plan(&problem, key(72)).unwrap_err().to_string();
            assert!(message.contains("no action") && message.contains("horizon"), "{message}");
        }
        objective.terminal = Terminal::min_q(&critic);
        let problem = Problem { objective, s0: &s0, base: Base::Zero };
        assert_eq!(planner.plan(&problem, key(72)).unwrap().actions.dims(), [3, 1, ACT]);
        // Without dynamics nothing says how long an action is.
        objective.dynamics = None;
        let problem = Problem { objective, s0: &s0, base: Base::Zero };
        let message = planner.plan(&problem, key(72)).unwrap_err().to_string();
        assert!(message.contains("start from a sequence or a policy"), "{message}");
    }
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_planned() {
    let (model, s0) = (curved(0.0, 1.0, 0.0), starts());
    let problem = Problem { objective: over(&model, 2), s0: &s0, base: Base::Zero };
    let good = MppiConfig::default();
    for (key_name, config) in [
        ("samples.count", MppiConfig { samples: samples(0, 1, 1.0), ..good.clone() }),
        ("samples.particles", MppiConfig { samples: samples(5, 0, 1.0), ..good.clone() }),
        ("samples.limit", MppiConfig { samples: samples(5, 1, f64::NAN), ..good.clone() }),
        ("iterations", MppiConfig { iterations: 0, ..good.clone() }),
        ("temperature", MppiConfig { temperature: f64::NAN, ..good.clone() }),
        ("filter", MppiConfig { filter: vec![0.0, 1.0], ..good.clone() }),
        ("step", MppiConfig { step: 1.5, ..good.clone() }),
    ] {
        let message = Mppi::new(config).plan(&problem, key(73)).unwrap_err().to_string();
        assert!(message.contains(&format!("planner.{key_name}")), "{message}");
    }
    let good = MirrorDescentConfig::default();
    for (key_name, config) in [
        ("samples.count", MirrorDescentConfig { samples: samples(0, 1, 1.0), ..good.clone() }),
        ("iterations", MirrorDescentConfig { iterations: 0, ..good.clone() }),
        ("elites", MirrorDescentConfig { elites: 0.0, ..good }),
    ] {
        let message = MirrorDescent::new(config).plan(&problem, key(73)).unwrap_err().to_string();
        assert!(message.contains(&format!("planner.{key_name}")), "{message}");
    }
}

#[test]
fn a_plan_moves_one_step_ahead() {
    let mean = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1, 3, 2]);
    let ahead = hstep::planner::shifted(&mean).unwrap();
    assert_eq!(numbers(&ahead), [3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    let one = tensor(&[1.0, 2.0], &[1, 1, 2]);
    assert_eq!(numbers(&hstep::planner::shifted(&one).unwrap()), [0.0, 0.0]);
    for dims in [&[1, 0, 2][..], &[1, 2]] {
        let message = hstep::planner::shifted(&Spec::f64().zeros(dims).unwrap()).unwrap_err();
        assert!(message.to_string().contains("mean of a plan"), "{message}");
    }
}
