//! What can be set from the command line as `key=value`.

use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

/// Seeds, as a count (0, 1, ...) or one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of seeds or a list of seeds such as [0, 1, 2]")]
pub enum Seeds {
    /// Seeds `0..n`.
    Count(u32),
    /// These seeds.
    List(Vec<u64>),
}

impl Seeds {
    /// The seeds one by one.
    pub fn list(&self) -> Vec<u64> {
        match self {
            Self::Count(n) => (0..u64::from(*n)).collect(),
            Self::List(seeds) => seeds.clone(),
        }
    }
}

/// The experiment. The paper gives no numbers; these are ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Discount factor (ours).
    pub gamma: f64,
    /// Time step of the double integrator in seconds (ours).
    pub dt: f64,
    /// Gain of the policy `a = -K s`: position, velocity (ours).
    pub k: Vec<f64>,
    /// Standard deviation of the error of every entry of A and B (ours).
    pub model_error: f64,
    /// Spectral norm of the error of the Q matrix, relative to that of the matrix (ours).
    pub critic_error: f64,
    /// Largest horizon (ours).
    pub horizon_max: usize,
    /// Seeds of the errors and of the data (ours).
    pub seeds: Seeds,
    /// Numbers of transitions a model and a Q are learned from, one line each (ours).
    pub data_sizes: Vec<usize>,
    /// Standard deviation of the noise on every observed next state (ours).
    pub transition_noise: f64,
    /// Standard deviation of the noise on every observed cost (ours).
    pub cost_noise: f64,
    /// Standard deviation of the exploration added to the actions of the data (ours).
    pub exploration: f64,
    /// Ridge penalty of both regressions (ours).
    pub ridge: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gamma: 0.95,
            dt: 0.1,
            k: vec![1.0, 1.2],
            model_error: 0.01,
            critic_error: 0.1,
            horizon_max: 60,
            seeds: Seeds::Count(20),
            data_sizes: vec![100, 1000, 10_000],
            transition_noise: 0.1,
            cost_noise: 0.5,
            exploration: 1.0,
            ridge: 1e-6,
        }
    }
}

impl Config {
    /// Refuses what cannot be computed, by key.
    pub fn check(&self) -> Result<()> {
        let need = |ok: bool, key: &str, expected: &str, got: String| {
            if ok {
                Ok(())
            } else {
                Err(Error::config(key, format!("expected {expected}, got {got}")))
            }
        };
        let spread = "a finite number, zero or more";
        let sizes = |x: f64| x.is_finite() && x >= 0.0;
        let gamma = self.gamma > 0.0 && self.gamma < 1.0;
        need(gamma, "gamma", "0 < gamma < 1", self.gamma.to_string())?;
        need(self.dt.is_finite() && self.dt > 0.0, "dt", "a time above zero", self.dt.to_string())?;
        let k_fits = self.k.len() == 2 && self.k.iter().all(|k| k.is_finite());
        need(k_fits, "k", "two finite gains such as [1, 1.2]", format!("{:?}", self.k))?;
        for (key, value) in [
            ("model_error", self.model_error),
            ("critic_error", self.critic_error),
            ("transition_noise", self.transition_noise),
            ("cost_noise", self.cost_noise),
            ("exploration", self.exploration),
            ("ridge", self.ridge),
        ] {
            need(sizes(value), key, spread, value.to_string())?;
        }
        let horizon = self.horizon_max;
        need((1..=1000).contains(&horizon), "horizon_max", "1 to 1000", horizon.to_string())?;
        need(!self.seeds.list().is_empty(), "seeds", "at least one seed", "none".to_owned())?;
        // Seven quadratic features: fewer transitions do not determine Q.
        let enough = self.data_sizes.iter().all(|&n| (8..=10_000_000).contains(&n));
        need(
            enough,
            "data_sizes",
            "8 to 10000000 transitions each",
            format!("{:?}", self.data_sizes),
        )
    }
}
