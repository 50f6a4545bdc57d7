//! What `hstep reproduce native-learning` takes as `key=value`.

use serde::{Deserialize, Serialize};

/// Seeds, budgets and the level to hold. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Environment steps of MBPO and MAAC on the pendulum; SAC has `pendulum_sac_steps`.
    pub pendulum_steps: u64,
    /// Environment steps of SAC on the pendulum.
    pub pendulum_sac_steps: u64,
    /// Environment steps on the cart-pole.
    pub cartpole_steps: u64,
    /// SAC's updates-to-data where it is matched to the others'.
    pub matched_updates: u64,
    /// The pendulum's return that is to be held.
    pub level: f64,
    /// Episodes an evaluation.
    pub episodes: usize,
    /// Runs at a time, one thread each.
    pub jobs: usize,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seeds: vec![0, 1, 2, 3, 4],
            pendulum_steps: 4_000,
            pendulum_sac_steps: 10_000,
            cartpole_steps: 10_000,
            matched_updates: 5,
            level: -200.0,
            episodes: 20,
            jobs: 2,
            bootstrap_seed: 0,
        }
    }
}
