//! Numbers that change over a run: horizons, mixing ratios.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A constant, or a linear ramp between two environment steps (held outside).
///
/// In a config file: a number, or `[from_step, to_step, from, to]` as in the papers' tables.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, or [from_step, to_step, from, to] in environment steps"
)]
pub enum Schedule {
    /// The same at every step.
    Constant(f64),
    /// `[from_step, to_step, from, to]`, steps in environment steps.
    Linear([f64; 4]),
}

impl Schedule {
    /// The value at an environment step.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        match *self {
            Schedule::Constant(x) => x,
            Schedule::Linear([start, end, from, to]) => {
                let done = ((step as f64 - start) / (end - start)).clamp(0.0, 1.0);
                from + done * (to - from)
            }
        }
    }

    /// The value at a step, rounded down: MBPO's reading of a horizon schedule.
    #[must_use]
    pub fn count_at(&self, step: u64) -> usize {
        // A ramp that should reach an integer may end a rounding error below it.
        (self.at(step) + 1e-9).floor().max(0.0) as usize
    }

    /// Checks the ramp and the range `[low, high]` of its values.
    ///
    /// # Errors
    /// [`Error::Config`] naming `key`.
    pub fn validate(&self, key: &str, low: f64, high: f64) -> Result<()> {
        let values: &[f64] = match self {
            Schedule::Constant(x) => std::slice::from_ref(x),
            Schedule::Linear([start, end, ..]) if !(*start >= 0.0 && end > start) => {
                let problem = format!(
                    "a schedule is [from_step, to_step, from, to] with from_step < to_step, got \
                     from_step {start} and to_step {end}; did you swap them?"
                );
                return Err(Error::config(key, problem));
            }
            Schedule::Linear(ramp) => &ramp[2..],
        };
        match values.iter().find(|x| !(low..=high).contains(*x)) {
            None => Ok(()),
            Some(x) => {
                Err(Error::config(key, format!("expected values in [{low}, {high}], got {x}")))
            }
        }
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Schedule::Constant(x) => write!(f, "{x}"),
            Schedule::Linear([_, _, from, to]) => write!(f, "{from} to {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hopper_schedule_of_mbpo_floors() {
        let k = Schedule::Linear([20_000.0, 150_000.0, 1.0, 15.0]);
        assert_eq!(k.count_at(0), 1);
        assert_eq!(k.count_at(20_000), 1);
        assert_eq!(k.count_at(29_285), 1);
        assert_eq!(k.count_at(29_286), 2);
        assert_eq!(k.count_at(150_000), 15);
        assert_eq!(k.count_at(900_000), 15);
    }

    #[test]
    fn a_backward_schedule_is_refused_by_key() {
        let error = Schedule::Linear([10.0, 5.0, 1.0, 2.0]).validate("imagine.horizon", 0.0, 50.0);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("imagine.horizon") && text.contains("swap"), "{text}");
        assert!(Schedule::Constant(-1.0).validate("k", 0.0, 50.0).is_err());
    }

    #[test]
    fn it_reads_as_a_number_or_four() {
        #[derive(Deserialize)]
        struct Two {
            a: Schedule,
            b: Schedule,
        }
        let two: Two = toml::from_str("a = 3.0\nb = [0.0, 10.0, 1.0, 5.0]").unwrap();
        assert_eq!(two.a, Schedule::Constant(3.0));
        assert_eq!(two.b.at(5), 3.0);
    }
}
