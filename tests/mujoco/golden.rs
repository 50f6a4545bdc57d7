//! Trajectories of Gymnasium, step by step; `tests/golden/make_mujoco.py` made them.

use std::path::PathBuf;

use hstep::env::mujoco::Library;
use hstep::env::{self, Env, Simulator};
use serde_json::Value;

use super::{ready, task};

/// The generator of the actions, see there.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f64 * (-23f64).exp2() - 1.0) as f32
    }
}

/// FNV-1a, 32 bits.
pub fn fnv(numbers: impl Iterator<Item = f64>) -> u32 {
    let bytes = numbers.flat_map(f64::to_le_bytes);
    bytes.fold(0x811C_9DC5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

pub fn folder() -> PathBuf {
    ready::root().join("tests/golden/mujoco")
}

pub fn json(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(file)).unwrap()).unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Observations to the bit; sines and cosines, which come from other libraries, to their last bit.
fn assert_observed(name: &str, step: usize, got: &[f64], expected: &[f64], loose: &[usize]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let place = format!("{name}, step {step}, column {i}: {got:e} against {expected:e}");
        if loose.contains(&i) {
            assert!((got - expected).abs() <= f64::EPSILON, "{place}");
        } else {
            assert_eq!(got.to_bits(), expected.to_bits(), "{place}");
        }
    }
}

/// Steps and terminations of a replay.
fn replay(name: &str) -> usize {
    let header = json(&format!("{name}.json"));
    let mut env = task(name);
    let info = env.info().clone();
    assert_eq!(info.max_steps as u64, header["max_steps"].as_u64().unwrap(), "{name}");
    let high = numbers(&header["high"]);
    // Gymnasium rounds the bounds to single precision.
    let single = |x: &[f64]| x.iter().map(|x| f64::from(*x as f32)).collect::<Vec<_>>();
    assert_eq!(single(&info.action_high), high, "{name}");
    assert_eq!(single(&info.action_low), numbers(&header["low"]), "{name}");

    let loose: Vec<usize> = numbers(&header["unhashed"]).iter().map(|i| *i as usize).collect();
    let (qpos, qvel) = (numbers(&header["qpos"]), numbers(&header["qvel"]));
    let full = header["observations"].as_object().unwrap();
    let first = env.reset_to(&qpos, &qvel).unwrap();
    assert_observed(name, 0, &first, &numbers(&full["0"]), &loose);

    let mut lcg = Lcg(header["seed"].as_u64().unwrap());
    let scale = header["scale"].as_f64().unwrap() as f32;
    let rows = std::fs::read_to_string(folder().join(format!("{name}.csv"))).unwrap();
    assert_eq!(rows.lines().count(), 1000);
    let mut terminations = 0;
    for (row, step) in rows.lines().zip(1..) {
        let action: Vec<f64> =
            high.iter().map(|most| f64::from(lcg.next() * (*most as f32 * scale))).collect();
        let got = env.simulate(&action).unwrap();
        let [hash, reward, terminated] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("{name}, step {step}: {row}")
        };
        if let Some(expected) = full.get(&step.to_string()) {
            assert_observed(name, step, &got.obs, &numbers(expected), &loose);
        }
        let hashed = got.obs.iter().enumerate().filter(|(i, _)| !loose.contains(i));
        let own = format!("{:08x}", fnv(hashed.map(|(_, x)| *x)));
        assert_eq!(own, hash, "{name}, step {step}: the observation differs");
        let reward: f64 = reward.parse().unwrap();
        // Gymnasium sums the squares of single-precision actions.
        let near = 1e-6 * reward.abs().max(1.0);
        assert!((got.reward - reward).abs() < near, "{name}, step {step}: {} {reward}", got.reward);
        assert_eq!(got.terminated, terminated == "1", "{name}, step {step}: terminated");
        if got.terminated {
            terminations += 1;
            env.reset_to(&qpos, &qvel).unwrap();
        }
    }
    terminations
}

#[test]
fn every_task_of_gymnasium_goes_the_same_way_to_the_bit() {
    ready::ready();
    let provenance = json("provenance.json");
    let version = Library::get().unwrap().version();
    assert_eq!(provenance["mujoco"], version, "trajectories belong to one version");
    let mut replayed = 0;
    for name in env::names() {
        let gymnasium = name.ends_with("-v4") || name.ends_with("-v5");
        if !gymnasium {
            continue;
        }
        let terminations = replay(name);
        let ends = ["Hopper", "Walker", "Ant", "Humanoid-", "Inverted"];
        let may_end = ends.iter().any(|start| name.starts_with(start));
        assert!(may_end || terminations == 0, "{name}");
        // That the ends are compared at all. Ant seldom ends.
        assert!(!may_end || name.starts_with("Ant") || terminations > 2, "{name}: {terminations}");
        replayed += 1;
    }
    assert_eq!(replayed, 21);
    // The one that Gymnasium itself refuses on this MuJoCo.
    let refused: Vec<_> = provenance["refused"].as_object().unwrap().keys().collect();
    assert_eq!(refused, ["Pusher-v4"]);
    let error = env::make("Pusher-v4").err().unwrap().to_string();
    assert!(error.contains("not defined on MuJoCo 3") && error.contains("`Pusher-v5`"), "{error}");
}
