//! Rewards and ends as functions of observations, against the simulator's.

use candle_core::{Tensor, Var};
use hstep::env::mujoco::{self, Mujoco};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::{random_action, task};

/// A transition as it was and as it is known.
struct Seen {
    obs: Vec<f64>,
    action: Vec<f64>,
    next: Vec<f64>,
    reward: f64,
    terminated: bool,
}

/// A random walk over `steps` steps, beyond the ends of episodes every now and then.
fn walk(env: &mut Mujoco, steps: usize) -> Vec<Seen> {
    let (mut rng, mut all) = (Rng::new(21), Vec::new());
    let mut obs = env.reset(&mut rng).unwrap();
    let limits = env.info().action_high.clone();
    for _ in 0..steps {
        let units = random_action(env, &mut rng);
        let action = units.iter().zip(&limits).map(|(a, most)| a / most).collect();
        let step = env.simulate(&units).unwrap();
        let (next, reward, terminated) = (step.obs.clone(), step.reward, step.terminated);
        all.push(Seen { obs, action, next, reward, terminated });
        obs = if step.terminated { env.reset(&mut rng).unwrap() } else { step.obs };
    }
    all
}

fn tensors(seen: &[Seen], spec: &Spec) -> [Tensor; 3] {
    let rows = |read: fn(&Seen) -> &Vec<f64>| {
        let numbers: Vec<f64> = seen.iter().flat_map(|s| read(s).iter().copied()).collect();
        spec.tensor(&numbers, (seen.len(), numbers.len() / seen.len())).unwrap()
    };
    [rows(|s| &s.obs), rows(|s| &s.action), rows(|s| &s.next)]
}

/// Whether reward and continuation of a task are known.
fn expected(name: &str) -> (bool, bool) {
    let of = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let seen = name.ends_with("-mbbl");
    let reward = of(&["InvertedPendulum", "Reacher", "Pusher", "HumanoidStandup", "leg", "ball"]);
    let ends = of(&["Hopper", "Walker2d", "Ant", "Humanoid-", "Inverted"]);
    (reward || seen, ends && !seen)
}

#[test]
fn what_is_known_is_what_the_simulator_says() {
    for name in mujoco::names() {
        let mut env = task(name);
        let known = env.known();
        assert_eq!(
            (known.reward.is_some(), known.continuation.is_some()),
            expected(name),
            "{name}"
        );
        let steps = if env.info().obs_dim > 100 { 300 } else { 1500 };
        let seen = walk(&mut env, steps);
        let [obs, action, next] = tensors(&seen, &Spec::f64());
        if let Some(reward) = &known.reward {
            let got = to_f64(&reward(&obs, &action, &next).unwrap()).unwrap();
            for (got, seen) in got.iter().zip(&seen) {
                // Sums in another order.
                let near = 1e-10 * seen.reward.abs().max(1.0);
                assert!((got - seen.reward).abs() < near, "{name}: {got} {}", seen.reward);
            }
        }
        let ends = seen.iter().filter(|s| s.terminated).count();
        let Some(continuation) = &known.continuation else {
            assert_eq!(ends, 0, "{name} terminated");
            continue;
        };
        assert!(ends > 1 || name.starts_with("Ant"), "{name} terminated {ends} times");
        let got = to_f64(&continuation(&obs, &action, &next).unwrap()).unwrap();
        // Also of the double pendulum, whose height lags what is observed by a frame of five.
        let wrong = got.iter().zip(&seen).filter(|(c, s)| (**c == 0.0) != s.terminated).count();
        assert_eq!(wrong, 0, "{name}: of {ends} ends");
    }
}

#[test]
fn every_bound_of_health_ends_an_episode_just_beyond_it() {
    let cont = |name: &str, obs: &[f64]| {
        let known = task(name).known();
        let row = Spec::f64().tensor(obs, (1, obs.len())).unwrap();
        let action = Tensor::zeros((1, 1), candle_core::DType::F64, &row.device().clone()).unwrap();
        to_f64(&known.continuation.unwrap()(&row, &action, &row).unwrap()).unwrap()[0] == 1.0
    };
    let with = |n: usize, pairs: &[(usize, f64)]| {
        let mut obs = vec![0.0; n];
        pairs.iter().for_each(|(i, x)| obs[*i] = *x);
        obs
    };
    for (name, n, pairs, goes_on) in [
        ("Hopper-v4", 11, vec![(0, 0.71)], true),
        ("Hopper-v4", 11, vec![(0, 0.7)], false),
        ("Hopper-v4", 11, vec![(0, 1.2), (1, 0.199)], true),
        ("Hopper-v4", 11, vec![(0, 1.2), (1, -0.2)], false),
        ("Hopper-v4", 11, vec![(0, 1.2), (3, -99.0)], true),
        // MBPO's released function misses the lower bound.
        ("Hopper-v4", 11, vec![(0, 1.2), (3, -101.0)], false),
        ("Hopper-v4", 11, vec![(0, 1.2), (3, f64::NAN)], false),
        ("Walker2d-v5", 17, vec![(0, 0.81), (1, -0.99)], true),
        ("Walker2d-v5", 17, vec![(0, 0.8)], false),
        ("Walker2d-v5", 17, vec![(0, 2.0)], false),
        ("Walker2d-v5", 17, vec![(0, 1.0), (1, 1.0)], false),
        ("Ant-v4", 27, vec![(0, 0.2)], true),
        ("Ant-v4", 27, vec![(0, 1.0)], true),
        ("Ant-v4", 27, vec![(0, 0.19)], false),
        ("Ant-v4", 27, vec![(0, 0.5), (20, f64::INFINITY)], false),
        ("Humanoid-v4", 376, vec![(0, 1.0)], false),
        ("Humanoid-mbpo", 45, vec![(0, 1.0)], true),
        ("Humanoid-mbpo", 45, vec![(0, 2.01)], false),
        ("InvertedPendulum-v5", 4, vec![(1, 0.2)], true),
        ("InvertedPendulum-v5", 4, vec![(1, -0.21)], false),
        // Both poles 0.6 m: upright 1.2 m; 1.0 m where both lean by 0.5857 rad together.
        ("InvertedDoublePendulum-v4", 11, vec![(3, 1.0), (4, 1.0)], true),
        ("InvertedDoublePendulum-v4", 11, vec![(1, 0.5), (3, 0.75f64.sqrt()), (4, 1.0)], true),
        ("InvertedDoublePendulum-v4", 11, vec![(1, 0.6), (3, 0.8), (4, 1.0)], false),
    ] {
        assert_eq!(cont(name, &with(n, &pairs)), goes_on, "{name} {pairs:?}");
    }
}

#[test]
fn known_rewards_have_gradients_even_where_nothing_is_far() {
    let spec = Spec::f64();
    for name in ["HalfCheetah-mbbl", "Reacher-v5", "Pusher-v5"] {
        let known = task(name).known();
        let env = task(name);
        let (o, a) = (env.info().obs_dim, env.info().action_dim());
        let next = Var::from_tensor(&spec.zeros((1, o)).unwrap()).unwrap();
        let action = Var::from_tensor(&spec.tensor(&vec![0.25; a], (1, a)).unwrap()).unwrap();
        let reward = known.reward.unwrap()(&next, &action, &next).unwrap();
        let gradients = reward.sum_all().unwrap().backward().unwrap();
        let of_next = to_f64(gradients.get(&next).unwrap()).unwrap();
        assert!(of_next.iter().all(|g| g.is_finite()), "{name}: {of_next:?}");
        let most = env.info().action_high[0];
        let weight = if name.starts_with("Reacher") { 1.0 } else { 0.1 };
        for g in to_f64(gradients.get(&action).unwrap()).unwrap() {
            // - d/da weight (most a)^2
            assert!((g + weight * 2.0 * most * most * 0.25).abs() < 1e-12, "{name}: {g}");
        }
    }
}
