//! What `hstep reproduce polo-lemma2` takes as `key=value`.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

/// Grids on the pendulum. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Grid points along the angle, and as many along the velocity, of each resolution.
    pub points: Vec<usize>,
    /// Horizons, in rising order.
    pub horizons: Vec<usize>,
    /// Discount.
    pub gamma: f64,
    /// Largest error of the value, as a share of the span of V*.
    pub error: f64,
    /// Seeds of the errors, fixed before anything is computed.
    pub seeds: Vec<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            points: vec![41, 81],
            horizons: vec![1, 2, 4, 8, 16, 32, 64],
            gamma: 0.95,
            error: 0.1,
            seeds: vec![0, 1, 2, 3, 4],
        }
    }
}

impl Config {
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        check::at_least("points", self.points.len(), 1)?;
        check::at_least("horizons", self.horizons.len(), 1)?;
        check::at_least("horizons[0]", self.horizons[0], 1)?;
        check::at_least("seeds", self.seeds.len(), 1)?;
        if let Some(few) = self.points.iter().find(|n| !(5..=401).contains(*n)) {
            return Err(Error::config("points", format!("expected 5 to 401, got {few}")));
        }
        if !self.horizons.is_sorted() {
            return Err(Error::config("horizons", "expected numbers in rising order"));
        }
        check::fraction("error", self.error)?;
        if !(0.0..=0.999).contains(&self.gamma) {
            let problem = format!("expected a number in [0, 0.999], got {}", self.gamma);
            return Err(Error::config("gamma", problem));
        }
        Ok(())
    }
}
