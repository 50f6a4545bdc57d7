//! The contract of every task: what it says it is, clock, clipping, start, save and restore, threads.

use std::sync::Arc;

use hstep::Error;
use hstep::env::mujoco::{self, Jacobian, Library, Model, Mujoco};
use hstep::env::{self, Env, Simulator};
use hstep::rng::Rng;

use super::{bits, on_its_way, random_action, ready, task};

#[test]
fn names_are_known_without_a_library_and_typos_are_answered_with_the_nearest() {
    let names = env::names();
    assert!(names.contains(&"pendulum") && names.contains(&"HalfCheetah-v4"));
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    for name in mujoco::names() {
        assert_eq!(env::info(name).unwrap().name, name);
    }
    let error = env::make("HalfChetah-v4").err().unwrap();
    assert!(matches!(&error, Error::Config { key, .. } if key == "env"));
    assert!(error.to_string().contains("did you mean `HalfCheetah-v4`"), "{error}");
    assert!(Mujoco::named("pendulum").err().unwrap().to_string().contains("known: HalfCheetah"));
    let error = hstep::dynamics::native_model("Hopper-v4", &hstep::shape::Spec::f32())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no differentiable equations") && error.contains("pendulum"), "{error}");
}

#[test]
fn what_is_said_of_a_task_is_what_it_does() {
    for name in mujoco::names() {
        let mut env = task(name);
        let info = env.info().clone();
        assert_eq!(info, env::info(name).unwrap());
        assert!(env.step(&info.action_high).unwrap_err().to_string().contains("call reset"));
        let obs = env.reset(&mut Rng::new(1)).unwrap();
        assert_eq!(obs.len(), info.obs_dim, "{name}");
        assert_eq!(bits(&obs), bits(&env.observe()), "{name}");
        let step = env.step(&info.action_high).unwrap();
        assert!(step.obs.len() == info.obs_dim && step.reward.is_finite(), "{name}");
    }
}

#[test]
fn the_clock_truncates_and_no_step_follows() {
    for (name, limit) in [("Reacher-v5", 50), ("Pusher-v5", 100), ("HalfCheetah-v4", 1000)] {
        let mut env = task(name);
        let zero = vec![0.0; env.info().action_dim()];
        env.reset(&mut Rng::new(0)).unwrap();
        for t in 1..=limit {
            let step = env.step(&zero).unwrap();
            assert_eq!((step.terminated, step.truncated), (false, t == limit), "{name} at {t}");
        }
        assert!(env.step(&zero).unwrap_err().to_string().contains("time limit"));
        assert!(!env.simulate(&zero).unwrap().truncated, "a model has no clock");
        env.reset(&mut Rng::new(1)).unwrap();
        assert!(!env.step(&zero).unwrap().truncated);
    }
}

#[test]
fn a_terminated_state_ends_the_episode_and_stays_where_it_is_in_a_model() {
    for name in ["Hopper-v4", "Ant-v5", "Humanoid-v4", "InvertedDoublePendulum-v5"] {
        let (mut env, mut rng) = (task(name), Rng::new(3));
        let (step, action) = 'end: loop {
            env.reset(&mut rng).unwrap();
            // Ant ends only where it jumps.
            for _ in 0..1000 {
                let action = random_action(&env, &mut rng);
                let step = env.step(&action).unwrap();
                if step.terminated {
                    break 'end (step, action);
                }
            }
        };
        assert!(matches!(env.step(&action), Err(Error::Env { .. })), "{name}");
        let ended = env.save();
        let still = env.simulate(&action).unwrap();
        assert!(still.terminated && still.reward == 0.0);
        assert_eq!(bits(&still.obs), bits(&step.obs));
        assert_eq!(bits(&env.save()), bits(&ended));
        assert!(env.jacobian(&action, 1e-6).unwrap_err().to_string().contains("terminated"));
    }
}

#[test]
fn a_restored_episode_goes_on_bit_for_bit() {
    for name in mujoco::names() {
        let mut rng = Rng::new(5);
        let mut env = on_its_way(name, &mut rng);
        let (saved, actions) = (env.save(), rng.state());
        assert_eq!(saved.len(), env.state_dim());
        let go_on = |env: &mut Mujoco| {
            let mut rng = Rng::from_state(&actions);
            let mut trace = env.observe();
            for _ in 0..60 {
                let step = env.simulate(&random_action(env, &mut rng)).unwrap();
                trace.extend(step.obs);
                trace.extend([step.reward, f64::from(step.terminated)]);
            }
            trace.extend(env.save());
            bits(&trace)
        };
        let first = go_on(&mut env);
        // Into the same environment, and into one that never ran.
        for mut other in [env, task(name)] {
            other.restore(&saved).unwrap();
            assert_eq!(bits(&other.save()), bits(&saved), "{name}");
            assert_eq!(first, go_on(&mut other), "{name}");
        }
    }
}

#[test]
fn garbled_saved_states_are_refused_and_change_nothing() {
    let mut env = on_its_way("Ant-v5", &mut Rng::new(0));
    let good = env.save();
    let n = good.len();
    let with = |at: usize, x: f64| {
        let mut bad = good.clone();
        bad[at] = x;
        bad
    };
    for bad in [
        vec![],
        vec![0.0],
        good[1..].to_vec(),
        [&good[..], &[0.0]].concat(),
        with(n - 1, 4.0),
        with(n - 1, f64::NAN),
        with(n - 2, 0.5),
        with(n - 2, -1.0),
    ] {
        assert!(env.restore(&bad).is_err());
        assert_eq!(bits(&env.save()), bits(&good));
    }
    assert!(matches!(env.reset_to(&[0.0], &[0.0]), Err(Error::Shape { .. })));
}

#[test]
fn out_of_range_actions_are_clipped_and_bad_ones_refused() {
    for name in mujoco::names() {
        let mut env = task(name);
        env.reset(&mut Rng::new(2)).unwrap();
        let start = env.save();
        let high = env.info().action_high.clone();
        let edge = env.step(&high).unwrap();
        env.restore(&start).unwrap();
        let beyond: Vec<f64> = high.iter().map(|x| 3.0 * x).collect();
        let clipped = env.step(&beyond).unwrap();
        assert_eq!(bits(&clipped.obs), bits(&edge.obs), "{name}");
        assert_eq!(clipped.reward.to_bits(), edge.reward.to_bits(), "{name}");
        let before = env.save();
        assert!(matches!(env.step(&high[1..]), Err(Error::Shape { .. })));
        let nan = vec![f64::NAN; high.len()];
        assert!(matches!(env.step(&nan), Err(Error::NonFinite { .. })));
        assert_eq!(bits(&env.save()), bits(&before), "{name}");
    }
}

/// Extremes of what `read` gives over many starts.
fn extremes(name: &str, read: impl Fn(&Mujoco) -> Vec<f64>) -> Vec<(f64, f64)> {
    let (mut env, mut rng) = (task(name), Rng::new(7));
    let mut seen: Vec<(f64, f64)> = Vec::new();
    for _ in 0..2000 {
        env.reset(&mut rng).unwrap();
        let now = read(&env);
        seen.resize(now.len(), (f64::INFINITY, f64::NEG_INFINITY));
        for (seen, x) in seen.iter_mut().zip(now) {
            *seen = (seen.0.min(x), seen.1.max(x));
        }
    }
    seen
}

#[test]
fn start_states_keep_their_ranges_and_depend_on_the_seed_alone() {
    let uniform = |seen: (f64, f64), middle: f64, half: f64| {
        let (low, high, slack) = (middle - half, middle + half, 0.02 * half);
        let (least, most) = seen;
        low <= least && least <= low + slack && high - slack <= most && most <= high
    };
    let hopper = extremes("Hopper-v4", |env| [env.qpos(), env.qvel()].concat());
    // Hopper stands 1.25 m high.
    let middle = |i: usize| if i == 1 { 1.25 } else { 0.0 };
    assert!(hopper.iter().enumerate().all(|(i, x)| uniform(*x, middle(i), 5e-3)), "{hopper:?}");
    let cheetah = extremes("HalfCheetah-v4", |env| env.qpos().to_vec());
    assert!(cheetah.iter().all(|x| uniform(*x, 0.0, 0.1)), "{cheetah:?}");
    // Of 2,000 normal numbers with a standard deviation of 0.1.
    let speeds = extremes("HalfCheetah-v4", |env| env.qvel().to_vec());
    let normal = |x: &(f64, f64)| (-0.5..-0.25).contains(&x.0) && (0.25..0.5).contains(&x.1);
    assert!(speeds.iter().all(normal), "{speeds:?}");

    let reacher = extremes("Reacher-v5", |env| {
        let q = env.qpos();
        vec![q[0], q[1], q[2], q[3], q[2].hypot(q[3]), env.qvel()[2].abs() + env.qvel()[3].abs()]
    });
    assert!(reacher[..2].iter().all(|x| uniform(*x, 0.0, 0.1)), "{reacher:?}");
    assert!(reacher[4].1 < 0.2 && reacher[4].1 > 0.198 && reacher[5] == (0.0, 0.0), "{reacher:?}");
    let pusher = extremes("Pusher-v5", |env| {
        let q = &env.qpos()[7..];
        vec![q[0], q[1], q[0].hypot(q[1]), q[2].abs() + q[3].abs()]
    });
    assert!(uniform(pusher[0], -0.15, 0.15) && uniform(pusher[1], 0.0, 0.2), "{pusher:?}");
    assert!(pusher[2].0 > 0.17 && pusher[2].0 < 0.18 && pusher[3] == (0.0, 0.0), "{pusher:?}");

    for name in mujoco::names() {
        let mut env = task(name);
        let first = env.reset(&mut Rng::new(3)).unwrap();
        assert_eq!(bits(&first), bits(&env.reset(&mut Rng::new(3)).unwrap()), "{name}");
        assert_ne!(bits(&first), bits(&env.reset(&mut Rng::new(4)).unwrap()), "{name}");
    }
}

#[test]
fn environments_share_a_model_and_threads_do_not_change_what_they_do() {
    ready::ready();
    let course = |seed: u64| {
        let (mut env, mut rng) = (task("Ant-v5"), Rng::new(seed));
        let mut trace = env.reset(&mut rng).unwrap();
        for _ in 0..200 {
            let step = env.simulate(&random_action(&env, &mut rng)).unwrap();
            trace.extend(step.obs);
            trace.push(step.reward);
        }
        (bits(&trace), env)
    };
    let alone: Vec<_> = (0..4).map(course).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..4).map(|seed| scope.spawn(move || course(seed))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    for ((one, env), (other, neighbour)) in alone.iter().zip(&together) {
        assert_eq!(one, other);
        assert!(Arc::ptr_eq(env.data().model(), neighbour.data().model()));
    }
}

/// A ball on a free joint, spinning and flying without gravity: its motion is known, and its state
/// of 13 numbers has 12 directions.
const BALL: &str = r#"
<mujoco>
  <option gravity="0 0 0" timestep="0.01" integrator="RK4"/>
  <worldbody>
    <body>
      <freejoint/>
      <geom size="0.1" mass="2"/>
    </body>
  </worldbody>
</mujoco>
"#;

#[test]
fn small_motions_of_a_free_body_are_six_and_not_seven() {
    ready::ready();
    let model = Model::from_text(&Library::get().unwrap(), "a ball", BALL).unwrap();
    assert_eq!((model.sizes().positions, model.sizes().velocities), (7, 6));
    let mut qpos = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let way = [0.1, 0.2, 0.3, 0.0, 0.0, std::f64::consts::PI];
    model.integrate(&mut qpos, &way, 0.5).unwrap();
    // Half of that way: a quarter turn about z is (cos 45, 0, 0, sin 45).
    let expected = [0.05, 0.1, 0.15, 0.5f64.sqrt(), 0.0, 0.0, 0.5f64.sqrt()];
    assert!(qpos.iter().zip(expected).all(|(q, e)| (q - e).abs() < 1e-12), "{qpos:?}");
    let mut back = [0.0; 6];
    let start = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    model.differentiate(&mut back, &start, &qpos).unwrap();
    assert!(back.iter().zip(way).all(|(b, w)| (b - w / 2.0).abs() < 1e-12), "{back:?}");
    assert!(matches!(model.differentiate(&mut back[1..], &start, &qpos), Err(Error::Shape { .. })));
}

/// `J x`.
fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

#[test]
fn the_jacobian_of_a_step_foretells_a_disturbed_step() {
    for name in ["HalfCheetah-v4", "Ant-v4", "InvertedDoublePendulum-v4"] {
        let mut rng = Rng::new(11);
        let mut env = on_its_way(name, &mut rng);
        let action: Vec<f64> = random_action(&env, &mut rng).iter().map(|a| 0.5 * a).collect();
        let here = env.save();
        let Jacobian { states, actions, state, action: by_action } =
            env.jacobian(&action, 1e-6).unwrap();
        assert_eq!(bits(&env.save()), bits(&here), "{name}");
        let v = states / 2;
        assert_eq!((v, actions), (env.qvel().len(), action.len()));

        // A disturbance along all directions at once, small enough for the second order not to show.
        let h = 1e-7;
        let direction: Vec<f64> = (0..states + actions).map(|_| rng.normal()).collect();
        let (of_state, of_action) = direction.split_at(states);
        let model = Arc::clone(env.data().model());
        let mut end = |sign: f64| {
            let mut qpos = env.qpos().to_vec();
            model.integrate(&mut qpos, &of_state[..v], sign * h).unwrap();
            let mut saved = here.clone();
            // Time, then positions, then velocities.
            saved[1..1 + qpos.len()].copy_from_slice(&qpos);
            let qvel = &mut saved[1 + qpos.len()..][..v];
            qvel.iter_mut().zip(&of_state[v..]).for_each(|(x, d)| *x += sign * h * d);
            env.restore(&saved).unwrap();
            let action: Vec<f64> =
                action.iter().zip(of_action).map(|(a, d)| a + sign * h * d).collect();
            env.simulate(&action).unwrap();
            let end = (env.qpos().to_vec(), env.qvel().to_vec());
            env.restore(&here).unwrap();
            end
        };
        let (down, up) = (end(-1.0), end(1.0));
        let mut turn = vec![0.0; v];
        model.differentiate(&mut turn, &down.0, &up.0).unwrap();
        turn.extend(up.1.iter().zip(&down.1).map(|(up, down)| up - down));
        let foretold: Vec<f64> = times(&state, of_state)
            .iter()
            .zip(times(&by_action, of_action))
            .map(|(a, b)| a + b)
            .collect();
        let size = foretold.iter().fold(0f64, |most, x| most.max(x.abs()));
        for (i, (got, foretold)) in turn.iter().zip(&foretold).enumerate() {
            // Differences over 2e-7 of numbers of order 1 to 10, rounded at 1e-15: some 1e-7 of the
            // largest; contacts add their solver's 1e-8 over 1e-7.
            let error = (got / (2.0 * h) - foretold).abs();
            assert!(error < 1e-3 * size.max(1.0), "{name}, {i}: {error:e} of {size}");
        }
    }
}
