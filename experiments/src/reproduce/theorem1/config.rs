//! What `hstep reproduce mopac-theorem-1` takes as `key=value`.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

/// A training run on finite worlds. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seeds of the runs, fixed before anything is computed.
    pub seeds: Vec<u64>,
    /// Steps of the run after which everything is measured, in order.
    pub steps: Vec<u64>,
    /// Horizons, in order.
    pub horizons: Vec<usize>,
    /// Discount.
    pub gamma: f64,
    /// Chance of a random action; otherwise the one of largest Q.
    pub explore: f64,
    /// Chance of a fresh start.
    pub restart: f64,
    /// Q-learning's step size is the number of visits to the power of minus this.
    pub decay: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seeds: vec![0, 1, 2, 3, 4],
            steps: vec![300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
            horizons: vec![1, 2, 3, 5, 8, 12, 20, 30, 50],
            gamma: 0.95,
            explore: 0.5,
            restart: 0.02,
            decay: 0.6,
        }
    }
}

impl Config {
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        check::at_least("seeds", self.seeds.len(), 1)?;
        check::at_least("steps", self.steps.len(), 1)?;
        check::at_least("horizons", self.horizons.len(), 1)?;
        check::at_least("horizons[0]", self.horizons[0], 1)?;
        for (key, sorted) in
            [("steps", self.steps.is_sorted()), ("horizons", self.horizons.is_sorted())]
        {
            if !sorted {
                return Err(Error::config(key, "expected numbers in rising order"));
            }
        }
        for (key, x) in
            [("gamma", self.gamma), ("explore", self.explore), ("restart", self.restart)]
        {
            if !(0.0..=1.0).contains(&x) || (key == "gamma" && x == 1.0) {
                return Err(Error::config(key, format!("expected a number in [0,1], got {x}")));
            }
        }
        Ok(())
    }
}
