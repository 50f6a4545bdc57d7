//! What `hstep reproduce maac-lemma-4.1` takes as `key=value`.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

/// Systems, policies and models of the check of Lemma 4.1. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seeds of policies, models and start states, fixed before anything is computed.
    pub seeds: Vec<u64>,
    /// Start states a seed, uniform in `|s_i| <= start`.
    pub starts: usize,
    /// Half-width of the box of start states.
    pub start: f64,
    /// Half-width of the box that every state must stay in; the Lipschitz constants hold there.
    pub half_width: f64,
    /// The longest horizon.
    pub horizon: usize,
    /// Discount.
    pub gamma: f64,
    /// Units of the policy's hidden layer (tanh).
    pub units: usize,
    /// Steps after which the true Q is cut off.
    pub q_steps: usize,
    /// Standard deviation of each entry of what is added to the dynamics' matrices.
    pub model_error: f64,
    /// Size of the linear function added to Q.
    pub q_error: f64,
    /// What the biased model adds to every coordinate of the next state.
    pub bias: f64,
    /// Random transitions that the ensemble is fitted to, and states and actions that the critic is.
    pub rows: usize,
    /// Gradient steps of the critic.
    pub critic_steps: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seeds: vec![0, 1, 2, 3, 4],
            starts: 8,
            start: 1.0,
            half_width: 5.0,
            horizon: 12,
            gamma: 0.95,
            units: 16,
            q_steps: 100,
            model_error: 0.01,
            q_error: 0.1,
            bias: 0.05,
            rows: 3_000,
            critic_steps: 2_000,
        }
    }
}

impl Config {
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        for (key, n) in [
            ("seeds", self.seeds.len()),
            ("starts", self.starts),
            ("horizon", self.horizon),
            ("units", self.units),
            ("q_steps", self.q_steps),
            ("critic_steps", self.critic_steps),
        ] {
            check::at_least(key, n, 1)?;
        }
        check::at_least("rows", self.rows, 100)?;
        let positive = [("start", self.start), ("half_width", self.half_width)];
        for (key, x) in positive {
            if !(x.is_finite() && x > 0.0) {
                return Err(Error::config(key, format!("expected a number above 0, got {x}")));
            }
        }
        if !(0.0..1.0).contains(&self.gamma) {
            return Err(Error::config(
                "gamma",
                format!("expected 0 <= gamma < 1, got {}", self.gamma),
            ));
        }
        Ok(())
    }
}
