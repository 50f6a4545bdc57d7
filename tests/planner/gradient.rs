//! Ascent through the model against Riccati's solution and other closed forms.

use candle_core::Tensor;
use hstep::Error;
use hstep::dynamics::{Dynamics, FnDynamics, SimulatedDynamics, StepNoise, Transition};
use hstep::env::native::{self, DoubleIntegrator, Model};
use hstep::lqr::Matrix;
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{
    Ascent, Base, Gradient, GradientConfig, Plan, Planner, Problem, SamplesConfig,
};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::value::{FnCritic, FnValue, Value};

pub const GAMMA: f64 = 0.97;

pub fn starts(b: usize) -> Tensor {
    Rng::new(4).normals((b, 2), &Spec::f64()).unwrap()
}

/// The double integrator with no bounds, `-x' P x` and the gain of Riccati.
pub fn regulator() -> (impl Dynamics, impl Value, Matrix) {
    let task = DoubleIntegrator::default();
    let (gain, p) = task.lqr(GAMMA).unwrap().riccati().unwrap();
    let rows: Vec<f64> = (0..4).map(|i| p.at(i / 2, i % 2)).collect();
    let value = FnValue(move |x: &Tensor| {
        let p = Spec::f64().tensor(&rows, (2, 2))?;
        Ok((x.matmul(&p)? * x)?.sum(1)?.neg()?)
    });
    (Model::new(task, Spec::f64()).without_clipping(), value, gain)
}

/// The optimal normalised actions `[B,n]`: `u = -K x` along the closed loop, forces to 5.
pub fn optimal(s0: &Tensor, gain: &Matrix, n: usize) -> Vec<f64> {
    let dt = 0.1;
    let along = |x: &[f64]| {
        let (mut x, mut v, mut out) = (x[0], x[1], Vec::new());
        for _ in 0..n {
            let u = -(gain.at(0, 0) * x + gain.at(0, 1) * v);
            (x, v) = (x + dt * v + 0.5 * dt * dt * u, v + dt * u);
            out.push(u / 5.0);
        }
        out
    };
    to_f64(s0).unwrap().chunks(2).flat_map(along).collect()
}

pub fn objective<'a>(dynamics: &'a dyn Dynamics, terminal: Terminal<'a>, n: usize) -> HStep<'a> {
    HStep { dynamics: Some(dynamics), terminal, horizon: n, gamma: GAMMA, cost: Cost::NONE }
}

/// One state and action: `next = s + a` and a reward of the action.
pub fn one_step(
    noise: usize,
    reward: impl Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor> + Send + Sync,
) -> impl Dynamics {
    let step = move |s: &Tensor, a: &Tensor, noise: &StepNoise| {
        let mut next = (s + a)?;
        if let Some(eps) = &noise.normal {
            next = (next + (eps * 0.3)?)?;
        }
        let reward = reward(&next, a)?.squeeze(1)?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(1, 1, Spec::f64(), step).with_noise(noise)
}

pub fn worst(got: &Tensor, expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let got = to_f64(got).unwrap();
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).fold(0.0_f64, |m, (g, e)| m.max((g - e).abs())) / scale
}

fn config(ascent: Ascent, count: usize, limit: f64) -> GradientConfig {
    let samples = SamplesConfig { count, limit, ..SamplesConfig::default() };
    GradientConfig { samples, ascent, ..GradientConfig::default() }
}

fn plan(config: &GradientConfig, objective: HStep, s0: &Tensor, base: Base) -> Plan {
    let key = Rng::new(9).key();
    Gradient::new(config.clone()).plan(&Problem { objective, s0, base }, key).unwrap()
}

#[test]
fn ascent_finds_riccatis_actions() {
    let (dynamics, value, gain) = regulator();
    let (s0, n) = (starts(3), 8);
    let expected = optimal(&s0, &gain, n);
    let objective = objective(&dynamics, Terminal::State(&value), n);
    let adam = GradientConfig { steps: 1500, lr: 0.02, ..config(Ascent::Adam, 2, f64::INFINITY) };
    let by_adam = plan(&adam, objective, &s0, Base::Zero);
    let lbfgs = GradientConfig { steps: 150, ..config(Ascent::Lbfgs, 2, f64::INFINITY) };
    let by_lbfgs = plan(&lbfgs, objective, &s0, Base::Zero);
    let (a, l) = (worst(&by_adam.actions, &expected), worst(&by_lbfgs.actions, &expected));
    println!("Adam {a:.1e}, L-BFGS {l:.1e} in {} model steps", by_lbfgs.model_steps);
    assert!(a < 1e-3 && l < 1e-6, "Adam {a}, L-BFGS {l}");
    // J at the optimum is the value of the start state.
    let worth = to_f64(&value.value(&s0).unwrap()).unwrap();
    assert!(worst(&by_lbfgs.value, &worth) < 1e-10);
    assert_eq!(to_f64(&by_lbfgs.log_normaliser).unwrap(), [0.0; 3]);
    assert_eq!(to_f64(&by_lbfgs.effective_samples).unwrap(), [1.0; 3]);
    // Every gradient is a rollout of 2 x 3 rows, and so are the final returns.
    assert_eq!(by_adam.model_steps, (1500 + 1) * 6 * n as u64);
}

/// `-(a_1 - 2)^2 - (a_2 - 0.2)^2 - a_1 a_2`: without bounds the optimum is (2.53, -1.07), in the box
/// it is `a_1 = 1`, `a_2 = -0.3`. Started at the wrong corner, where `a_1` must leave one bound for
/// the other and `a_2` its bound for the inside.
#[test]
fn bounds_hold_and_let_go() {
    let step = |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let (x, y) = (a.narrow(1, 0, 1)?, a.narrow(1, 1, 1)?);
        let squares = ((&x - 2.0)?.sqr()? + (&y - 0.2)?.sqr()?)?;
        let reward = (squares + (x * y)?)?.neg()?.squeeze(1)?;
        Ok(Transition { next: s.clone(), cont: reward.ones_like()?, reward })
    };
    let dynamics = FnDynamics::new(1, 2, Spec::f64(), step);
    let objective = objective(&dynamics, Terminal::Zero, 1);
    let s0 = Spec::f64().zeros((1, 1)).unwrap();
    for corner in [[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]] {
        let base = Spec::f64().tensor(&corner, (1, 1, 2)).unwrap();
        let find = |ascent, limit, lr| {
            let config = GradientConfig { steps: 400, lr, ..config(ascent, 1, limit) };
            plan(&config, objective, &s0, Base::Open(&base)).actions
        };
        let free = [7.6 / 3.0, -3.2 / 3.0];
        for limit in [1.0, f64::INFINITY] {
            let expected = if limit == 1.0 { [1.0, -0.3] } else { free };
            let (a, l) = (find(Ascent::Adam, limit, 0.05), find(Ascent::Lbfgs, limit, 0.1));
            let (a, l) = (worst(&a, &expected), worst(&l, &expected));
            assert!(a < 1e-3 && l < 1e-7, "{corner:?}, limit {limit}: Adam {a}, L-BFGS {l}");
        }
    }
}

#[test]
fn the_noise_of_a_plan_is_fixed() {
    // With its own noise, 4 particles of -(a + 0.3 eps - 0.2)^2 have their best a in closed form.
    let dynamics = one_step(1, |next, _| (next - 0.2)?.sqr()?.neg());
    let objective = objective(&dynamics, Terminal::Zero, 1);
    let s0 = Spec::f64().zeros((2, 1)).unwrap();
    for ascent in [Ascent::Adam, Ascent::Lbfgs] {
        let mut config = GradientConfig { steps: 400, lr: 0.02, ..config(ascent, 3, 1.0) };
        config.samples.particles = 4;
        let plan = plan(&config, objective, &s0, Base::Zero);
        let key = Rng::new(9).key().fork("rollouts").fork("model");
        let eps = to_f64(&key.normals(0, 24, 1, 0, &Spec::f64()).unwrap()).unwrap();
        let best: Vec<f64> =
            eps.chunks(4).map(|e| 0.2 - 0.3 * e.iter().sum::<f64>() / 4.0).collect();
        let error = worst(&plan.samples, &best);
        assert!(error < 1e-6, "{ascent:?}: {error}");
    }
}

#[test]
fn restarts_find_the_higher_hill() {
    // -(a^2 - 1/4)^2 + a / 10 has its lower top left of 0, where the base is.
    let hills =
        |_: &Tensor, a: &Tensor| (a.sqr()? - 0.25)?.sqr()?.neg()?.broadcast_add(&(a * 0.1)?);
    let dynamics = one_step(0, hills);
    let objective = objective(&dynamics, Terminal::Zero, 1);
    let s0 = Spec::f64().zeros((5, 1)).unwrap();
    let base = Spec::f64().tensor(&[-0.5; 5], (5, 1, 1)).unwrap();
    for ascent in [Ascent::Adam, Ascent::Lbfgs] {
        let climb = |k| {
            let config = GradientConfig { noise: 1.0, ..config(ascent, k, 1.0) };
            plan(&config, objective, &s0, Base::Open(&base))
        };
        let (one, many) = (climb(1), climb(24));
        assert!(to_f64(&one.actions).unwrap().iter().all(|a| *a < -0.3), "{ascent:?}");
        assert!(to_f64(&many.actions).unwrap().iter().all(|a| *a > 0.5), "{ascent:?}");
        let returns = to_f64(&many.returns).unwrap();
        let value = to_f64(&many.value).unwrap();
        for (returns, value) in returns.chunks(24).zip(value) {
            assert_eq!(returns.iter().copied().fold(f64::NEG_INFINITY, f64::max), value);
        }
    }
}

#[test]
fn a_restart_that_is_not_finite_is_dropped_alone() {
    // log a - a: no number left of 0, where the base is; its top is at 1.
    let dynamics = one_step(0, |_, a| a.log()? - a);
    let objective = objective(&dynamics, Terminal::Zero, 1);
    let s0 = Spec::f64().zeros((4, 1)).unwrap();
    let base = Spec::f64().tensor(&[-0.1; 4], (4, 1, 1)).unwrap();
    for ascent in [Ascent::Adam, Ascent::Lbfgs] {
        let config = GradientConfig { steps: 300, lr: 0.05, ..config(ascent, 16, 1.0) };
        let plan = plan(&config, objective, &s0, Base::Open(&base));
        assert!(worst(&plan.actions, &[1.0; 4]) < 1e-3, "{ascent:?}");
        let (returns, weights) = (to_f64(&plan.returns).unwrap(), to_f64(&plan.weights).unwrap());
        assert!(returns.chunks(16).all(|r| r[0] == f64::NEG_INFINITY));
        assert!(weights.chunks(16).all(|w| w[0] == 0.0 && w.iter().sum::<f64>() == 1.0));
        // The base alone leaves nothing.
        let alone = GradientConfig {
            samples: SamplesConfig { count: 1, ..config.samples.clone() },
            ..config
        };
        let problem = Problem { objective, s0: &s0, base: Base::Open(&base) };
        let error = Gradient::new(alone).plan(&problem, Rng::new(0).key()).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    }
}

/// With noise, particles and blocks: 64 starts at once are the 64 one by one.
#[test]
fn starts_do_not_see_each_other() {
    let dynamics = one_step(1, |next, a| (next.sin()? - (a.sqr()? * 0.2)?)?.neg());
    let objective = objective(&dynamics, Terminal::Zero, 3);
    let s0 = (Rng::new(2).normals((64, 1), &Spec::f64()).unwrap() * 2.0).unwrap();
    for (ascent, count, b) in [(Ascent::Adam, 150, 64), (Ascent::Lbfgs, 3, 16)] {
        let s0 = s0.narrow(0, 0, b).unwrap();
        let mut config = GradientConfig { steps: 10, ..config(ascent, count, 1.0) };
        config.samples.particles = 2;
        let (planner, key) = (Gradient::new(config), Rng::new(3).key());
        let many = planner.plan(&Problem { objective, s0: &s0, base: Base::Zero }, key).unwrap();
        for i in 0..b {
            let row = s0.narrow(0, i, 1).unwrap();
            let problem = Problem { objective, s0: &row, base: Base::Zero };
            let one = planner.plan(&problem, key.skip(i)).unwrap();
            let same = |many: &Tensor, one: &Tensor| {
                let many = to_f64(&many.narrow(0, i, 1).unwrap()).unwrap();
                let one = to_f64(one).unwrap();
                assert!(many.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-9), "{ascent:?} {i}");
            };
            same(&many.actions, &one.actions);
            same(&many.returns, &one.returns);
        }
    }
}

#[test]
fn a_model_without_gradients_is_refused() {
    let mut simulator = native::simulator("double-integrator").unwrap();
    simulator.reset(&mut Rng::new(1)).unwrap();
    let saved = simulator.save();
    let s0 = Spec::f64().tensor(&saved, (1, saved.len())).unwrap();
    let dynamics = SimulatedDynamics::new(simulator, Spec::f64());
    // With a Q terminal the last action has a gradient even so.
    let critic = FnCritic {
        members: 1,
        function: |_: &Tensor, a: &Tensor| Ok(a.sqr()?.sum(1)?.neg()?.unsqueeze(0)?),
    };
    for terminal in [Terminal::Zero, Terminal::min_q(&critic)] {
        for ascent in [Ascent::Adam, Ascent::Lbfgs] {
            let objective = objective(&dynamics, terminal, 2);
            let problem = Problem { objective, s0: &s0, base: Base::Zero };
            let planner = Gradient::new(config(ascent, 2, 1.0));
            let error = planner.plan(&problem, Rng::new(0).key()).unwrap_err().to_string();
            assert!(error.contains("simulator") && error.contains("`mppi`"), "{error}");
        }
    }
    // Without any model the Q terminal is all there is, and is climbed.
    let base = Spec::f64().tensor(&[0.7], (1, 1, 1)).unwrap();
    let objective = HStep::model_free(Terminal::min_q(&critic), Cost::NONE);
    let found = plan(&config(Ascent::Lbfgs, 2, 1.0), objective, &s0, Base::Open(&base));
    assert!(to_f64(&found.actions).unwrap()[0].abs() < 1e-7);
}

#[test]
fn bad_settings_name_their_key() {
    type Change = fn(&mut GradientConfig);
    let cases: [(&str, Change); 6] = [
        ("planner.samples.count", |c| c.samples.count = 0),
        ("planner.steps", |c| c.steps = 0),
        ("planner.lr", |c| c.lr = 0.0),
        ("planner.lr", |c| c.lr = f64::NAN),
        ("planner.noise", |c| c.noise = -1.0),
        ("planner.noise", |c| c.noise = f64::INFINITY),
    ];
    let good = GradientConfig::default();
    Gradient::new(good.clone()).validate("planner").unwrap();
    for (key, change) in cases {
        let mut config = good.clone();
        change(&mut config);
        let error = Gradient::new(config).validate("planner").unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
    let table = "restarts = 3".parse().unwrap();
    assert!(hstep::config::parse::<GradientConfig>(&table).is_err());
    let table = "ascent = 'lbfgs'\nsteps = 7".parse().unwrap();
    let parsed = hstep::config::parse::<GradientConfig>(&table).unwrap();
    assert_eq!((parsed.ascent, parsed.steps, parsed.samples.count), (Ascent::Lbfgs, 7, 4));
    assert_eq!(Gradient::new(parsed).describe(), "gradient K=4, 7 steps of L-BFGS");
}
