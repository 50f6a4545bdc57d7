//! What a run reports between two rows of its metrics: means of losses, last values, clock times.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Sums since the last row; part of a checkpoint, so that a resumed run writes the same rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub struct Log(BTreeMap<String, (f64, u64)>);

/// The sums as text: the error of a bad model may well be infinite, and JSON has no word for that.
type Saved = BTreeMap<String, (String, u64)>;

impl From<Log> for Saved {
    fn from(log: Log) -> Self {
        log.0.into_iter().map(|(name, (sum, count))| (name, (sum.to_string(), count))).collect()
    }
}

impl TryFrom<Saved> for Log {
    type Error = std::num::ParseFloatError;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        let sums = saved.into_iter();
        sums.map(|(name, (sum, count))| Ok((name, (sum.parse()?, count))))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Log {
    /// Adds a number to the mean of `name`.
    pub fn mean(&mut self, name: &str, x: f64) {
        let (sum, count) = self.0.entry(name.to_string()).or_default();
        *sum += x;
        *count += 1;
    }

    /// Replaces the value of `name`.
    pub fn last(&mut self, name: &str, x: f64) {
        self.0.insert(name.to_string(), (x, 1));
    }

    /// Adds 1 to the count of `name`.
    pub fn count(&mut self, name: &str) {
        self.0.entry(name.to_string()).or_insert((0.0, 1)).0 += 1.0;
    }

    /// The present value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|(sum, count)| sum / *count as f64)
    }

    /// Every value, by name; empties the log.
    pub fn take(&mut self) -> BTreeMap<String, f64> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(name, (sum, count))| (name, sum / count as f64))
            .collect()
    }
}

/// Where the clock time goes. Kept apart from the metrics: those must be byte-equal, this cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Environment steps.
    Environment,
    /// Finding the actions of training: planning, or the policy alone.
    Planning,
    /// Model fits.
    Model,
    /// Imagined rollouts.
    Imagining,
    /// Gradient steps of policy and critic.
    Updates,
    /// Evaluation episodes.
    Evaluation,
    /// Checkpoints.
    Checkpoint,
}

impl Phase {
    /// Every phase, in the order of `timing.csv`.
    pub const ALL: [Phase; 7] = [
        Phase::Environment,
        Phase::Planning,
        Phase::Model,
        Phase::Imagining,
        Phase::Updates,
        Phase::Evaluation,
        Phase::Checkpoint,
    ];

    /// Its column in `timing.csv`.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Phase::Environment => "environment_s",
            Phase::Planning => "planning_s",
            Phase::Model => "model_s",
            Phase::Imagining => "imagining_s",
            Phase::Updates => "updates_s",
            Phase::Evaluation => "evaluation_s",
            Phase::Checkpoint => "checkpoint_s",
        }
    }
}

/// Seconds spent in each phase by this process.
#[derive(Debug, Clone)]
pub struct Stopwatch {
    booked: BTreeMap<Phase, f64>,
    start: Instant,
}

impl Default for Stopwatch {
    /// A stopwatch that starts now.
    fn default() -> Self {
        Self { booked: BTreeMap::new(), start: Instant::now() }
    }
}

impl Stopwatch {
    /// Runs `work` and books its time on `phase`.
    pub fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.booked.entry(phase).or_default() += start.elapsed().as_secs_f64();
        result
    }

    /// Share of `phase` in all the time booked; 0 before any is.
    #[must_use]
    pub fn share(&self, phase: Phase) -> f64 {
        let all: f64 = self.booked.values().sum();
        if all > 0.0 { self.seconds(phase) / all } else { 0.0 }
    }

    /// Seconds booked on `phase`.
    #[must_use]
    pub fn seconds(&self, phase: Phase) -> f64 {
        self.booked.get(&phase).copied().unwrap_or(0.0)
    }

    /// Seconds since it was started, booked or not.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// The clock time.
pub(crate) fn seconds_since_1970() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_come_back_from_a_checkpoint_to_the_bit() {
        let mut log = Log::default();
        for x in [0.1, 0.2, 1e-300] {
            log.mean("mean", x);
        }
        log.last("inf", f64::NEG_INFINITY);
        let text = crate::json::json(&log).unwrap();
        let all = BTreeMap::from([("log".to_string(), text)]);
        assert_eq!(crate::json::from_json::<Log>("log", &all).unwrap(), log);
        log.last("nan", f64::NAN);
        let all = BTreeMap::from([("log".to_string(), crate::json::json(&log).unwrap())]);
        let read: Log = crate::json::from_json("log", &all).unwrap();
        assert!(read.get("nan").unwrap().is_nan());
    }
}
