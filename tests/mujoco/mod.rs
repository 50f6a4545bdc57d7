//! Environments on MuJoCo. The tests fetch the library and the models if they are not here.

mod contract;
mod cup;
mod failures;
mod golden;
mod known;
mod leg;
mod looks;
mod newer;
pub mod ready;

use hstep::env::mujoco::Mujoco;
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;

/// A task, its library fetched first.
fn task(name: &str) -> Mujoco {
    ready::ready();
    Mujoco::named(name).unwrap()
}

fn random_action(env: &dyn Simulator, rng: &mut Rng) -> Vec<f64> {
    let a: Vec<f64> = (0..env.info().action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect();
    env.info().denormalise(&a).unwrap()
}

fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// A task in the middle of an episode, some of its bodies touching something.
fn on_its_way(name: &str, rng: &mut Rng) -> Mujoco {
    let mut env = task(name);
    env.reset(rng).unwrap();
    for _ in 0..30 {
        let step = env.step(&random_action(&env, rng)).unwrap();
        if step.terminated || step.truncated {
            env.reset(rng).unwrap();
        }
    }
    env
}
