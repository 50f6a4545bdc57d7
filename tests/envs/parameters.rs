//! Physical parameters: of environments by their names, and of simulators that are the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::Tensor;
use hstep::dynamics::simulated::SimulatedDynamics;
use hstep::dynamics::{Draw, Dynamics, Member, Model, SimulatorConfig, StepNoise, native_model};
use hstep::env::{self, EnvFactory, native};
use hstep::objective::{Actions, Cost, HStep, Noise, Terminal};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

/// Every native environment and the parameters it says it has.
fn parameters() -> Vec<(&'static str, String, f64)> {
    let of = |name: &'static str| {
        let all = native::simulator(name).unwrap().parameters();
        all.into_iter().map(move |p| (name, p.name, p.value))
    };
    native::names().iter().flat_map(|name| of(name)).collect()
}

#[test]
fn a_parameter_in_a_name_is_heeded_by_simulator_and_equations() {
    let all = parameters();
    assert!(all.len() > 25, "{all:?}");
    for (base, parameter, value) in all {
        // Layouts are whole numbers.
        let other = if parameter == "layout" { 3.0 } else { 1.3 * value };
        let name = format!("{base}?{parameter}={other}");
        env::check(&name).unwrap();
        let mut set = env::simulator(&name).unwrap();
        let known = set.parameters();
        let own = known.iter().find(|p| p.name == parameter).unwrap();
        assert!((own.value - other).abs() < 1e-12 * other.abs(), "{name}");
        assert_eq!(set.info().name, name);

        let mut plain = env::simulator(base).unwrap();
        let mut rng = Rng::new(3);
        let mut differs = false;
        let model = native_model(&name, &Spec::f64()).unwrap();
        for _ in 0..5 {
            plain.reset(&mut rng).unwrap();
            set.reset(&mut Rng::new(0)).unwrap();
            if base == "maze" {
                plain.restore(&set.save()).unwrap();
            } else {
                set.restore(&plain.save()).unwrap();
            }
            for _ in 0..20 {
                let a: Vec<f64> =
                    (0..plain.info().action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect();
                let units = plain.info().denormalise(&a).unwrap();
                let before = Spec::f64().tensor(&set.observe(), (1, set.info().obs_dim)).unwrap();
                let action = Spec::f64().tensor(&a, (1, a.len())).unwrap();
                let smooth = model.step(&before, &action, &StepNoise::default()).unwrap();
                let (one, two) = (plain.step(&units).unwrap(), set.step(&units).unwrap());
                differs |= one.obs != two.obs || one.reward != two.reward;
                let pairs = to_f64(&smooth.next).unwrap().into_iter().zip(&two.obs);
                assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-9), "{name}");
                let reward = to_f64(&smooth.reward).unwrap()[0];
                assert!((reward - two.reward).abs() < 1e-9, "{name}");
            }
        }
        assert!(differs, "{name} does what {base} does");
    }
}

#[test]
fn a_heavier_rod_turns_slower() {
    let turned = |name: &str| {
        let mut env = env::simulator(name).unwrap();
        env.reset(&mut Rng::new(0)).unwrap();
        env.restore(&[0.0, 0.0, 0.0, 0.0]).unwrap();
        env.step(&[1.0]).unwrap().obs[2]
    };
    // Upright and at rest: the acceleration is 3 u / (m l^2), dt 0.05.
    assert!((turned("pendulum") - 0.15).abs() < 1e-7);
    assert!((turned("pendulum?mass=1.25") - 0.12).abs() < 1e-7);
    assert!((turned("pendulum?mass=1.25&length=2") - 0.03).abs() < 1e-7);
    assert!((turned("pendulum-mpq?mass=1.25") - 0.12).abs() < 1e-7);
    // MPQ's cost has no torque in it.
    let reward = |name: &str| {
        let mut env = env::simulator(name).unwrap();
        env.reset(&mut Rng::new(0)).unwrap();
        env.restore(&[0.5, 2.0, 0.0, 0.0]).unwrap();
        env.step(&[2.0]).unwrap().reward
    };
    assert!((reward("pendulum-mpq") + 0.65).abs() < 1e-12);
    assert!((reward("pendulum") + 0.654).abs() < 1e-12);
}

#[test]
fn wrong_parameters_are_one_clear_error() {
    for (name, says) in [
        ("pendulum?mas=1", "`pendulum` has no parameter `mas`; did you mean `mass`?"),
        ("pendulum?colour=1", "it has mass, length, gravity"),
        ("pendulum?mass=-1", "expected a number above 0 for `mass`, got -1"),
        ("pendulum?mass=inf", "expected a number above 0 for `mass`, got inf"),
        ("pendulum?mass=heavy", "expected pendulum?NAME=NUMBER"),
        ("pendulum?", "expected pendulum?NAME=NUMBER"),
        ("pendulum?mass=1&mass=2", "sets `mass` twice"),
        ("stand-in?mass=1", "`stand-in` has no physical parameters"),
        ("acrobot?damping-1=-0.1", "expected a number of 0 or above for `damping-1`"),
        ("maze?layout=1.5", "expected a whole number of 0 or above for `layout`"),
        ("pendulun?mass=1", "did you mean `pendulum"),
    ] {
        let text = env::check(name).unwrap_err().to_string();
        assert!(text.contains(says) && text.contains("`env`"), "{name}: {text}");
        assert!(env::make(name).is_err());
    }
}

fn table(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, value)| ((*name).into(), *value)).collect()
}

/// MPQ's pendulum: masses and lengths from 0.9 to 1.5 where 1 is true.
fn drawn(draw: Draw) -> SimulatorConfig {
    let both = |x| table(&[("mass", x), ("length", x)]);
    SimulatorConfig {
        bias: both(0.2),
        spread: both(0.3),
        draw: Some(draw),
        ..SimulatorConfig::default()
    }
}

fn model(config: &SimulatorConfig, spec: Spec) -> SimulatedDynamics {
    let make: EnvFactory = Arc::new(|| native::make("pendulum-mpq"));
    SimulatedDynamics::many(make, spec).unwrap().with(config, Rng::new(9)).unwrap()
}

fn starts(n: usize, spec: &Spec) -> Tensor {
    let upright: Vec<f64> = (0..n).flat_map(|_| [0.0, 0.0, 0.0, 0.0]).collect();
    spec.tensor(&upright, (n, 4)).unwrap()
}

/// What `3 u dt / (m l^2)` says of the parameters of each row, from upright and rest.
fn pushed(model: &SimulatedDynamics, member: Member, n: usize) -> Vec<f64> {
    let spec = Spec::f64();
    let action = spec.tensor(&vec![0.5; n], (n, 1)).unwrap();
    let noise = StepNoise { normal: None, member };
    let next = model.step(&starts(n, &spec), &action, &noise).unwrap().next;
    to_f64(&next).unwrap().chunks(4).map(|row| row[1]).collect()
}

#[test]
fn parameters_are_drawn_about_their_bias_and_a_member_is_a_draw() {
    let model = model(&drawn(Draw::Step), Spec::f64());
    let u: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
    let all = pushed(&model, Member::Rows(u.clone()), 1000);
    let speed = |m: f64, l: f64| 0.15 / (m * l * l);
    assert!(all.iter().all(|v| (speed(1.5, 1.5)..speed(0.9, 0.9)).contains(v)));
    let kinds: BTreeSet<u64> = all.iter().map(|v| v.to_bits()).collect();
    assert!(kinds.len() > 990);
    // The same number is the same simulator, whatever is beside it.
    assert_eq!(pushed(&model, Member::Rows(u[400..500].to_vec()), 100), all[400..500]);
    for middle in [Member::Best, Member::Mean] {
        assert!(pushed(&model, middle, 3).iter().all(|v| (v - speed(1.2, 1.2)).abs() < 1e-7));
    }
    assert!(model.has_members());
    let fixed = SimulatorConfig { parameters: table(&[("mass", 1.4)]), ..Default::default() };
    let fixed = self::model(&fixed, Spec::f64());
    assert!(!fixed.has_members());
    let got = pushed(&fixed, Member::Rows(vec![0.3]), 1)[0];
    assert!((got - speed(1.4, 1.0)).abs() < 1e-7, "{got}");
}

/// Speeds along a rollout without gravity tell the parameters of each step.
fn along(draw: Draw) -> Vec<Vec<f64>> {
    let make: EnvFactory = Arc::new(|| native::make("pendulum?gravity=0"));
    let spec = Spec::f64();
    let model = SimulatedDynamics::many(make, spec.clone()).unwrap();
    let model = model.with(&drawn(draw), Rng::new(9)).unwrap();
    let objective = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 6,
        gamma: 1.0,
        cost: Cost::NONE,
    };
    let actions = spec.tensor(&[0.2; 24], (4, 6, 1)).unwrap();
    let noise = Noise::key(Rng::new(5).key());
    let rollout = objective.rollout(&starts(4, &spec), Actions::Open(&actions), &noise).unwrap();
    let speeds: Vec<Vec<f64>> = rollout
        .states
        .iter()
        .map(|s| to_f64(s).unwrap().chunks(4).map(|row| row[1]).collect())
        .collect();
    (0..4).map(|row| (0..6).map(|t| speeds[t + 1][row] - speeds[t][row]).collect()).collect()
}

#[test]
fn a_rollout_keeps_its_parameters_or_draws_them_every_step() {
    let same = |x: &[f64]| x.iter().all(|v| (v - x[0]).abs() < 1e-9);
    let rollouts = along(Draw::Rollout);
    assert!(rollouts.iter().all(|steps| same(steps)), "{rollouts:?}");
    assert!(!same(&rollouts.iter().map(|steps| steps[0]).collect::<Vec<_>>()));
    let steps = along(Draw::Step);
    assert!(steps.iter().all(|steps| !same(steps)), "{steps:?}");
    let episode = along(Draw::Episode);
    assert!(same(&episode.concat()), "{episode:?}");
}

#[test]
fn an_episode_has_one_draw_and_the_next_another() {
    let model = model(&drawn(Draw::Episode), Spec::f64());
    let now = |episode: u64| {
        model.begin_episode(episode);
        let all = pushed(&model, Member::Rows(vec![0.1, 0.9]), 2);
        assert_eq!(all[0], all[1]);
        all[0]
    };
    let (first, second) = (now(0), now(1));
    assert_ne!(first, second);
    assert_eq!(now(0), first);
}

/// Whichever thread steps a row, and whatever it stepped before: the bits are those of its draw.
#[test]
fn draws_do_not_depend_on_threads() {
    let spec = Spec::f32();
    let many = model(&drawn(Draw::Rollout), spec.clone());
    let config = drawn(Draw::Rollout);
    let one = SimulatedDynamics::new(native::simulator("pendulum-mpq").unwrap(), spec.clone());
    let one = one.with(&config, Rng::new(9)).unwrap();
    let mut state = starts(203, &spec);
    let (key, bits) =
        (Rng::new(6).key(), |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    for t in 0..6 {
        let action = Rng::new(t).normals((203, 1), &spec).unwrap();
        let member = Member::Rows(key.uniforms(0, 203, t as usize));
        let noise = StepNoise { normal: None, member };
        let (a, b) = (
            many.step(&state, &action, &noise).unwrap(),
            one.step(&state, &action, &noise).unwrap(),
        );
        assert_eq!(bits(&a.next), bits(&b.next));
        assert_eq!(bits(&a.reward), bits(&b.reward));
        state = a.next;
    }
}

#[test]
fn settings_of_a_simulator_that_cannot_be_are_named() {
    let refused = |config: SimulatorConfig| {
        let make: EnvFactory = Arc::new(|| native::make("pendulum"));
        let model = SimulatedDynamics::many(make, Spec::f64()).unwrap();
        model.with(&config, Rng::new(9)).err().unwrap().to_string()
    };
    let none = SimulatorConfig::default;
    for (config, says) in [
        (
            SimulatorConfig { spread: table(&[("mas", 0.1)]), ..none() },
            "`model.spread.mas`: `pendulum` has no parameter `mas`; did you mean `mass`?",
        ),
        (
            SimulatorConfig { parameters: table(&[("mass", -1.0)]), ..none() },
            "`model.parameters.mass`: expected a number above 0 for `mass`, got -1",
        ),
        (
            SimulatorConfig { bias: table(&[("mass", -1.5)]), ..none() },
            "`model.bias.mass`: expected a number above 0 for `mass`, got -0.5",
        ),
        (
            SimulatorConfig { spread: table(&[("mass", 1.25)]), ..none() },
            "`model.spread.mass`: expected a number above 0 for `mass`, got -0.25",
        ),
        (SimulatorConfig { spread: table(&[("mass", -0.1)]), ..none() }, "`model.spread.mass`"),
    ] {
        let text = refused(config);
        assert!(text.contains(says), "{text}");
    }
}
