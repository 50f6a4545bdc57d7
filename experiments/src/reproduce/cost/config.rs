//! What `hstep reproduce cost` takes as `key=value`.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

use super::super::Effort;

/// Which sizes are measured, and how often. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rounds; each measures every size once.
    pub turns: usize,
    /// Seconds that a size is measured for in a round, at least one step.
    pub seconds: f64,
    /// Members of the ensemble.
    pub members: Vec<usize>,
    /// Widths of the hidden layers.
    pub widths: Vec<usize>,
    /// Rows of a batch.
    pub batches: Vec<usize>,
    /// Model steps of the actor's step and of the plan.
    pub horizons: Vec<usize>,
    /// Model steps of the actor's step whose memory is measured.
    pub memory_horizons: Vec<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            turns: 15,
            seconds: 0.1,
            members: vec![1, 2, 4, 7, 11, 16],
            widths: vec![64, 128, 256, 512, 1024],
            batches: vec![64, 128, 256, 512, 1024, 2048, 4096],
            horizons: vec![1, 2, 5, 10, 20, 50],
            memory_horizons: vec![1, 2, 5, 10, 20, 50],
        }
    }
}

impl Config {
    /// The settings for this much work.
    pub fn at(effort: Effort) -> Self {
        let usual = Self::default();
        match effort {
            Effort::Quick => Self {
                turns: 5,
                seconds: 0.01,
                members: vec![1, 4, 16],
                widths: vec![64, 256, 1024],
                batches: vec![64, 512, 4096],
                horizons: vec![1, 10, 50],
                ..usual
            },
            Effort::Usual => usual,
            Effort::Full => Self { turns: 31, ..usual },
        }
    }

    /// Refuses what cannot be measured or drawn, by key.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        check::at_least("turns", self.turns, 1)?;
        check::positive("seconds", self.seconds)?;
        sizes("members", &self.members, 1, 64)?;
        sizes("widths", &self.widths, 1, 4096)?;
        sizes("batches", &self.batches, 1, 65_536)?;
        sizes("horizons", &self.horizons, 1, 200)?;
        // Of one horizon there is no slope.
        sizes("memory_horizons", &self.memory_horizons, 2, 200)
    }
}

/// At least `count` rising numbers from 1 to `most`.
fn sizes(key: &str, sizes: &[usize], count: usize, most: usize) -> Result<()> {
    let rising = sizes.windows(2).all(|pair| pair[0] < pair[1]);
    if rising && sizes.len() >= count && sizes.iter().all(|n| (1..=most).contains(n)) {
        return Ok(());
    }
    let expected = format!("expected {count} or more rising numbers from 1 to {most}");
    Err(Error::config(key, format!("{expected}, got {sizes:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effort_passes_its_own_check_and_repeats_five_times() {
        for effort in [Effort::Quick, Effort::Usual, Effort::Full] {
            let config = Config::at(effort);
            config.check().unwrap();
            assert!(config.turns >= 5);
        }
    }

    #[test]
    fn sizes_rise_within_their_range() {
        for bad in [&[][..], &[0, 1], &[2, 2], &[3, 2], &[1, 65]] {
            let error = sizes("members", bad, 1, 64).unwrap_err().to_string();
            assert!(error.contains("`members`: expected 1 or more rising"), "{error}");
        }
        assert!(
            sizes("members", &[1, 64], 2, 64).is_ok() && sizes("members", &[1], 2, 64).is_err()
        );
    }
}
