//! Action values that run away where the learned model does not know the ends of episodes: it goes on where
//! the environment has stopped, and a policy that reaches such places earns there for ever.

use serde::{Deserialize, Serialize};

use super::{Agent, Counters};
use crate::error::{Error, Result};
use crate::parts::{Parts, Temperature};

/// Updates that the size of Q is averaged over.
const UPDATES: u64 = 1_000;
/// How many times the most that Q can be.
const BEYOND: f64 = 3.0;
/// Entropy an action dimension, in nats, that a policy is thought to have at most.
const NATS: f64 = 2.0;

/// How a learned model comes to know where episodes end.
pub const WAYS_OUT: &str = "set `model.learn_termination=true`, or say where they end: by a Python function \
                            `terminated(obs, action, next_obs)` beside a `gym:` environment, by `Env::known` \
                            in Rust (docs/own-parts.md)";

/// The sum of mean |Q| since the last look, as text: JSON has no word for infinity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "(String, u64)", try_from = "(String, u64)")]
pub(super) struct Sizes {
    sum: f64,
    updates: u64,
}

impl From<Sizes> for (String, u64) {
    fn from(sizes: Sizes) -> Self {
        (sizes.sum.to_string(), sizes.updates)
    }
}

impl TryFrom<(String, u64)> for Sizes {
    type Error = std::num::ParseFloatError;

    fn try_from((sum, updates): (String, u64)) -> Result<Self, Self::Error> {
        Ok(Self { sum: sum.parse()?, updates })
    }
}

impl Sizes {
    pub fn is_empty(&self) -> bool {
        self.updates == 0
    }

    /// Adds an update's mean |Q|; the mean of [`UPDATES`] of them, once there are so many.
    fn add(&mut self, size: f64) -> Option<f64> {
        self.sum += size;
        self.updates += 1;
        if self.updates < UPDATES {
            return None;
        }
        let Self { sum, updates } = std::mem::take(self);
        Some(sum / updates as f64)
    }
}

/// What |Q| does not come to by rewards up to `reward`: infinity without a discount.
fn most(parts: &Parts, reward: f64) -> Result<f64> {
    if parts.gamma >= 1.0 {
        return Ok(f64::INFINITY);
    }
    let alpha = parts.temperature.as_ref().map_or(Ok(0.0), Temperature::alpha)?;
    Ok(BEYOND * (reward + alpha * parts.action_dim as f64 * NATS) / (1.0 - parts.gamma))
}

impl Agent {
    /// Whether it learns a model that is not told where episodes end and does not learn it either.
    #[must_use]
    pub fn is_blind_to_ends(&self) -> bool {
        let mut models = self.parts.models.values();
        self.ends_unknown && models.any(|model| model.learns() && !model.foresees_ends())
    }

    /// Stops a run whose Q has become larger than any return, once an episode has ended.
    pub(super) fn check_size_of_q(&mut self, size: f64) -> Result<()> {
        let Some(mean) = self.sizes.add(size) else { return Ok(()) };
        // reward and cont stand third and fifth.
        let stored = self.real.stored(0, self.real.len());
        let &[_, _, reward, _, cont, ..] = stored.as_slice() else { return Ok(()) };
        if !cont.contains(&0.0) {
            return Ok(());
        }
        let largest = f64::from(reward.iter().fold(0.0f32, |most, r| most.max(r.abs())));
        let most = most(&self.parts, largest)?;
        if mean <= most {
            return Ok(());
        }
        let Counters { env_steps, grad_steps, .. } = self.counters;
        let problem = format!(
            "mean |Q| of the last {UPDATES} updates is {mean:.4}, more than {most:.4} = {BEYOND} (largest |r| \
             + {NATS} alpha A) / (1 - gamma): the learned model does not know where episodes of `{}` end; \
             {WAYS_OUT}",
            self.info.name
        );
        let step = format!("env step {env_steps}, gradient step {grad_steps}");
        Err(Error::Diverged { problem, step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_averaged_over_a_thousand_updates_also_through_text() {
        let mut sizes = Sizes::default();
        for i in 0..UPDATES - 1 {
            assert_eq!(sizes.add(i as f64 * 0.1), None);
        }
        let text = serde_json::to_string(&sizes).unwrap();
        let mut again: Sizes = serde_json::from_str(&text).unwrap();
        assert_eq!(again, sizes);
        let mean = again.add(99.9).unwrap();
        assert!((mean - 49.95).abs() < 1e-9 && again.is_empty(), "{mean}");
    }
}
