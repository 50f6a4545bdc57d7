//! The contract of every native environment: clock, ends, errors, save and restore, rewards.

use hstep::Error;
use hstep::dynamics::native_model;
use hstep::env::native::{self, CartpoleSwingup, MountainCar, Native, Physics};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;
use proptest::prelude::*;

fn random_action(env: &dyn Simulator, rng: &mut Rng) -> Vec<f64> {
    let a: Vec<f64> = (0..env.info().action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect();
    env.info().denormalise(&a).unwrap()
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn names_are_known_and_typos_are_answered_with_the_nearest() {
    for name in native::names() {
        assert_eq!(native::make(name).unwrap().info().name, *name);
        assert_eq!(
            native_model(name, &hstep::shape::Spec::f32()).unwrap().state_dim(),
            native::make(name).unwrap().info().obs_dim
        );
    }
    let error = native::make("cartpole-swignup").err().unwrap();
    assert!(matches!(&error, Error::Config { key, .. } if key == "env"));
    assert!(error.to_string().contains("did you mean `cartpole-swingup`"), "{error}");
}

#[test]
fn the_clock_truncates_and_no_step_follows() {
    for (name, limit) in [
        ("pendulum", 200),
        ("mountain-car", 999),
        ("cartpole-swingup", 250),
        ("double-integrator", 100),
        ("acrobot", 250),
        ("reacher-2", 50),
        ("leg-2r", 200),
        ("stand-in", 1000),
    ] {
        let mut env = native::simulator(name).unwrap();
        let zero = vec![0.0; env.info().action_dim()];
        assert_eq!(env.info().max_steps, limit);
        assert!(env.step(&zero).unwrap_err().to_string().contains("call reset"));
        env.reset(&mut Rng::new(0)).unwrap();
        for t in 1..=limit {
            let step = env.step(&zero).unwrap();
            assert!(!step.terminated, "{name}");
            assert_eq!(step.truncated, t == limit, "{name} at step {t}");
        }
        let error = env.step(&zero).unwrap_err();
        assert!(matches!(error, Error::Env { .. }), "{error}");
        assert!(error.to_string().contains("time limit"), "{error}");
        // A model has no clock; and a new episode starts a new one.
        assert!(!env.simulate(&zero).unwrap().truncated);
        env.reset(&mut Rng::new(1)).unwrap();
        assert!(!env.step(&zero).unwrap().truncated);
    }
}

#[test]
fn the_car_terminates_at_the_goal_only_with_a_velocity_forward() {
    let mut car = Native::new(MountainCar::default());
    car.reset_to(&[0.44, 0.04]).unwrap();
    let step = car.step(&[0.5]).unwrap();
    assert!(step.terminated && !step.truncated);
    assert!((step.reward - (100.0 - 0.1 * 0.25)).abs() < 1e-12);
    let terminal = car.save();
    assert!(matches!(car.step(&[0.0]), Err(Error::Env { .. })));
    // As a model it stays there, for nothing.
    let still = car.simulate(&[1.0]).unwrap();
    assert!(still.terminated && still.reward == 0.0);
    assert_eq!(bits(&car.save()), bits(&terminal));

    // Beyond the goal but rolling back: goes on.
    car.reset_to(&[0.55, -0.03]).unwrap();
    let step = car.step(&[0.0]).unwrap();
    assert!(step.obs[0] > 0.45 && step.obs[1] < 0.0 && !step.terminated);
    assert_eq!(step.reward, 0.0);
}

#[test]
fn start_states_keep_their_ranges_and_depend_on_the_seed_alone() {
    let (pi, slight) = (std::f64::consts::PI, (-0.1, 0.1));
    // cos 0.766994 = 0.36 / (2 * 0.25): the foot at the centre of its ellipse.
    let (hip, knee) = ((0.666_994, 0.866_995), (-1.633_989, -1.433_988));
    let ranges: [(&str, &[(f64, f64)]); 6] = [
        ("pendulum", &[(-pi, pi), (-1.0, 1.0)]),
        ("mountain-car", &[(-0.6, -0.4), (0.0, 0.0)]),
        ("acrobot", &[slight; 4]),
        ("reacher-2", &[slight, slight, slight, slight, (-0.9, 0.9), (-0.9, 0.9)]),
        ("leg-2r", &[hip, knee, slight, slight, (-pi, pi)]),
        ("stand-in", &[slight; 17]),
    ];
    for (name, ranges) in ranges {
        let (mut env, mut rng) = (native::simulator(name).unwrap(), Rng::new(7));
        let mut seen = vec![(f64::INFINITY, f64::NEG_INFINITY); ranges.len()];
        for _ in 0..4000 {
            env.reset(&mut rng).unwrap();
            for (seen, x) in seen.iter_mut().zip(env.save()) {
                *seen = (seen.0.min(x), seen.1.max(x));
            }
        }
        for (&(low, high), &(least, most)) in ranges.iter().zip(&seen) {
            let slack = 0.01 * (high - low);
            assert!(low <= least && least <= low + slack, "{name}: {least} of {low}");
            assert!(high - slack <= most && most <= high, "{name}: {most} of {high}");
        }
    }
    for name in native::names() {
        let mut env = native::make(name).unwrap();
        let first = env.reset(&mut Rng::new(3)).unwrap();
        assert_eq!(bits(&first), bits(&env.reset(&mut Rng::new(3)).unwrap()));
        assert_ne!(bits(&first), bits(&env.reset(&mut Rng::new(4)).unwrap()));
    }
}

#[test]
fn a_restored_episode_goes_on_bit_for_bit_to_its_end() {
    for name in native::names() {
        let mut rng = Rng::new(5);
        let mut env = native::simulator(name).unwrap();
        env.reset(&mut rng).unwrap();
        for _ in 0..37 {
            env.step(&random_action(&*env, &mut rng)).unwrap();
        }
        let (saved, actions) = (env.save(), rng.state());
        assert_eq!(saved.len(), env.state_dim());
        let finish = |env: &mut dyn Simulator| {
            let mut rng = Rng::from_state(&actions);
            let mut trace = env.observe();
            loop {
                let step = env.step(&random_action(env, &mut rng)).unwrap();
                trace.extend(step.obs);
                trace.push(step.reward);
                if step.terminated || step.truncated {
                    trace.extend(env.save());
                    return bits(&trace);
                }
            }
        };
        let first = finish(&mut *env);
        // Into the same, ended environment, and into one that never ran.
        for mut other in [env, native::simulator(name).unwrap()] {
            other.restore(&saved).unwrap();
            assert_eq!(bits(&other.save()), bits(&saved));
            assert_eq!(first, finish(&mut *other), "{name}");
            // The end of an episode is a part of its state.
            let ended = other.save();
            other.restore(&saved).unwrap();
            other.restore(&ended).unwrap();
            let zero = vec![0.0; other.info().action_dim()];
            assert!(matches!(other.step(&zero), Err(Error::Env { .. })));
        }
    }
}

#[test]
fn garbled_saved_states_are_refused_and_change_nothing() {
    let mut env = native::simulator("pendulum").unwrap();
    env.reset(&mut Rng::new(0)).unwrap();
    let good = env.save();
    for bad in [
        vec![],
        vec![0.0],
        vec![0.1, 0.2, 0.0],
        vec![0.1, 0.2, 0.3, 0.0, 0.0],
        vec![0.1, 0.2, 1.5, 0.0],
        vec![0.1, 0.2, -1.0, 0.0],
        vec![0.1, 0.2, f64::NAN, 0.0],
        vec![0.1, 0.2, 1.0, 4.0],
        vec![0.1, 0.2, 1.0, f64::NAN],
    ] {
        assert!(env.restore(&bad).is_err(), "{bad:?}");
        assert_eq!(bits(&env.save()), bits(&good));
    }
}

#[test]
fn out_of_range_actions_are_clipped() {
    for name in native::names() {
        let mut env = native::simulator(name).unwrap();
        env.reset(&mut Rng::new(2)).unwrap();
        let start = env.save();
        let high = env.info().action_high.clone();
        let edge = env.step(&high).unwrap().obs;
        env.restore(&start).unwrap();
        let beyond: Vec<f64> = high.iter().map(|x| 3.0 * x).collect();
        assert_eq!(bits(&env.step(&beyond).unwrap().obs), bits(&edge), "{name}");
    }
}

#[test]
fn rewards_keep_their_ranges() {
    let pi2 = std::f64::consts::PI.powi(2);
    for (name, low, high) in [
        ("pendulum", -(pi2 + 0.1 * 64.0 + 0.004), 0.0),
        ("mountain-car", -0.1, 100.0),
        ("cartpole-swingup", 0.0, 1.0),
        ("double-integrator", f64::NEG_INFINITY, 0.0),
        ("acrobot", 0.0, 1.0),
        ("reacher-2", -(1.9 + 0.2), 0.0),
        ("leg-2r", 0.0, 1.0),
    ] {
        let (mut env, mut rng) = (native::simulator(name).unwrap(), Rng::new(9));
        for _ in 0..20 {
            env.reset(&mut rng).unwrap();
            let mut held = random_action(&*env, &mut rng);
            for t in 0.. {
                if t % 8 == 0 {
                    held = random_action(&*env, &mut rng);
                }
                let step = env.step(&held).unwrap();
                assert!((low..=high).contains(&step.reward), "{name}: {}", step.reward);
                if step.terminated || step.truncated {
                    break;
                }
            }
        }
    }
}

#[test]
fn the_pole_upright_at_rest_in_the_centre_is_the_best_and_hanging_the_worst() {
    let reward = |state: [f64; 4], u: f64| CartpoleSwingup::default().advance(&state, &[u], 0).1;
    assert!((reward([0.0; 4], 0.0) - 1.0).abs() < 1e-12);
    assert!(reward([0.0, 0.0, std::f64::consts::PI, 0.0], 0.0) < 1e-12);
    for worse in [[0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.4, 0.0], [0.0, 0.0, 0.0, 2.0]] {
        assert!(reward(worse, 0.0) < 0.96, "{worse:?}");
    }
    assert!(reward([0.0; 4], 1.0) < 0.81);
}

#[test]
fn the_cartpole_conserves_energy_without_force() {
    let (mut rng, mut touched) = (Rng::new(1), 0);
    for _ in 0..40 {
        let mut state = [1.9, 1.0, 3.0, 8.0].map(|most| most * (2.0 * rng.uniform() - 1.0));
        let before = CartpoleSwingup::default().energy(&state);
        let mut free = true;
        for t in 0..250 {
            state = CartpoleSwingup::default().advance(&state, &[0.0], t).0;
            free &= state[0].abs() < 2.0;
            // Round and round at 8 rad/s, the integrator errs by 1 % in 10 s; once the damped
            // springs at the track's ends are touched, energy only goes.
            let gain = CartpoleSwingup::default().energy(&state) - before;
            let bound = 0.01 * (1.0 + before.abs());
            assert!(gain < bound, "{gain} J more than {before} J, from {state:?}");
            assert!(!free || gain > -bound, "{gain} J of {before} J, from {state:?}");
        }
        touched += usize::from(!free);
    }
    assert!((5..35).contains(&touched), "{touched}");
    // The small swing of a free cart and rod: sqrt((M+m) g / (l ((4/3)(M+m) - m))) = 4.004 rad/s,
    // computed by hand from the masses; the pole hangs again after a period.
    let period = std::f64::consts::TAU / (1.1f64 * 9.81 / (0.5 * (4.0 / 3.0 * 1.1 - 0.1))).sqrt();
    let steps = 10.0 * period / 0.04;
    let mut state = [0.0, 0.0, std::f64::consts::PI + 1e-3, 0.0];
    for t in 0..steps.floor() as usize {
        state = CartpoleSwingup::default().advance(&state, &[0.0], t).0;
    }
    let ahead = steps.fract() * 0.04 * state[3];
    let angle = state[2] + ahead - std::f64::consts::PI;
    assert!((angle - 1e-3).abs() < 1e-5, "{angle}");
}

/// Lagrange's equations solved by Cramer's rule, by the midpoint rule in a thousand small steps.
#[test]
fn a_step_of_the_cartpole_solves_lagranges_equations() {
    let slope = |[_, v, angle, w]: [f64; 4], force: f64| {
        // [1.1, .05 cos; cos, 2/3] (x'', w') = (F + .05 w^2 sin, 9.81 sin).
        let (sin, cos) = angle.sin_cos();
        let (right, fall) = (force + 0.05 * w * w * sin, 9.81 * sin);
        let determinant = 1.1 * 2.0 / 3.0 - 0.05 * cos * cos;
        let push = (right * 2.0 / 3.0 - 0.05 * cos * fall) / determinant;
        [v, push, w, (1.1 * fall - cos * right) / determinant]
    };
    let ahead = |s: [f64; 4], d: [f64; 4], h: f64| [0, 1, 2, 3].map(|i| s[i] + h * d[i]);
    let mut rng = Rng::new(6);
    for _ in 0..20 {
        let start = [1.0, 1.0, 3.0, 3.0].map(|most| most * (2.0 * rng.uniform() - 1.0));
        let action = 2.0 * rng.uniform() - 1.0;
        let (mut state, h) = (start, 0.04 / 1000.0);
        for _ in 0..1000 {
            let middle = ahead(state, slope(state, 10.0 * action), h / 2.0);
            state = ahead(state, slope(middle, 10.0 * action), h);
        }
        let got = CartpoleSwingup::default().advance(&start, &[action], 0).0;
        for (got, want) in got.iter().zip(state) {
            assert!((got - want).abs() < 1e-5, "{got} against {want} from {start:?}");
        }
    }
}

#[test]
fn the_cart_stays_near_its_track_whatever_pushes_it() {
    let mut env = Native::new(CartpoleSwingup::default());
    let mut rng = Rng::new(0);
    for policy in 0..6 {
        env.reset(&mut rng).unwrap();
        for t in 0..250 {
            let [x, v, ..] = *env.state() else { unreachable!() };
            let push = match policy {
                0 => 1.0,
                1 => v,
                2 => x,
                // Runs up from one end to hit the other.
                3 => -x + 0.5 * v,
                _ => f64::from(t % (10 * policy) < 5 * policy) - 0.5,
            };
            let step = env.step(&[1.0f64.copysign(push)]).unwrap();
            assert!(step.obs[0].abs() < 3.0, "policy {policy}: {:?}", step.obs);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bad_actions_are_errors_and_change_nothing(
        which in 0..native::names().len(),
        action in prop::collection::vec(
            prop_oneof![
                Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY),
                any::<f64>(), -1.0..1.0,
            ],
            0..4,
        ),
    ) {
        let name = native::names()[which];
        let mut env = native::simulator(name).unwrap();
        env.reset(&mut Rng::new(0)).unwrap();
        let before = env.save();
        let result = env.step(&action);
        let error_is_right = match &result {
            _ if action.len() != env.info().action_dim() => matches!(result, Err(Error::Shape { .. })),
            _ if action.iter().any(|a| !a.is_finite()) => matches!(result, Err(Error::NonFinite { .. })),
            Ok(step) => step.obs.iter().all(|x| x.is_finite()),
            Err(_) => false,
        };
        prop_assert!(error_is_right, "{name}: {action:?} gave {result:?}");
        if result.is_err() {
            prop_assert_eq!(bits(&before), bits(&env.save()));
            prop_assert!(env.simulate(&action).is_err());
            prop_assert_eq!(bits(&before), bits(&env.save()));
        }
    }
}

/// No sum of actions drives the stand-in out of its box, and its states do not come to rest: what
/// is timed on it is neither overflow nor a constant.
#[test]
fn the_stand_in_stays_in_its_box_and_keeps_moving() {
    let (mut env, mut rng) = (native::simulator("stand-in").unwrap(), Rng::new(2));
    env.reset(&mut rng).unwrap();
    let mut last = env.observe();
    loop {
        let step = env.step(&random_action(&*env, &mut rng)).unwrap();
        assert!(step.obs.iter().all(|x| x.abs() < 1.0), "{:?}", step.obs);
        assert!(step.obs.iter().zip(&last).any(|(x, y)| (x - y).abs() > 1e-3));
        last = step.obs;
        if step.truncated {
            break;
        }
    }
    // The coefficients come from a seed in the code: another environment goes the same way.
    let (mut other, saved) = (native::simulator("stand-in").unwrap(), env.save());
    other.restore(&saved).unwrap();
    let push = [0.5; 6];
    assert_eq!(bits(&env.simulate(&push).unwrap().obs), bits(&other.simulate(&push).unwrap().obs));
}
