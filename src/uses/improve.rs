//! Improve: how the policy is changed.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Needs, horizon_label, repeat};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::limits;
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Rollout, Terminal};
use crate::parts::Parts;
use crate::policy::Policy;
use crate::replay::Batch;
use crate::rng::Key;
use crate::shape::scalar;

/// What an update of the policy reports.
#[derive(Debug, Clone)]
pub struct Improvement {
    /// The loss that was descended.
    pub loss: f64,
    /// `log pi(a_0|s_0)` of the batch before the update, `[B]`: the temperature follows it.
    pub log_prob: Tensor,
    /// Model steps taken.
    pub model_steps: u64,
}

/// How the policy is changed.
pub trait Improve: Send {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// Checks its settings.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    fn validate(&self) -> Result<()>;

    /// One gradient step of the policy on a batch of start states; `None` for uses that leave the
    /// policy alone.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when loss or gradient are not finite.
    fn improve(&self, parts: &mut Parts, batch: &Batch, key: Key) -> Result<Option<Improvement>>;
}

/// The pathwise gradient of `J_H`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathwiseConfig {
    /// Model steps H. 0: the model-free actor step of SAC.
    pub horizon: usize,
    /// Trajectories from each start state.
    pub samples: usize,
    /// Actions drawn at the last state of each trajectory.
    pub last_samples: usize,
    /// Which actions earn entropy.
    pub entropy: Entropy,
    /// Start states a gradient step; `None` is the whole batch.
    pub starts: Option<usize>,
}

impl Default for PathwiseConfig {
    fn default() -> Self {
        Self { horizon: 0, samples: 1, last_samples: 1, entropy: Entropy::All, starts: None }
    }
}

impl PathwiseConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `improve`.
    pub fn validate(&self) -> Result<()> {
        crate::check::count("improve.samples", self.samples, limits::SAMPLES)?;
        crate::check::count("improve.last_samples", self.last_samples, limits::SAMPLES)?;
        if self.horizon > 200 {
            let problem = format!(
                "backpropagation through {} model steps is not useful; expected at most 200",
                self.horizon
            );
            return Err(Error::config("improve.horizon", problem));
        }
        crate::check::at_least("improve.starts", self.starts.unwrap_or(1), 1)
    }
}

/// Descends `-mean J_H` by backpropagation through the model (MAAC section 4.3); at `H = 0` this is
/// the actor step of SAC (Haarnoja et al. 2018b, eq. 7).
#[derive(Debug, Clone)]
pub struct Pathwise(pub PathwiseConfig);

impl Pathwise {
    /// SAC's actor step.
    #[must_use]
    pub fn model_free() -> Self {
        Self(PathwiseConfig::default())
    }

    /// The loss `-mean J_H` with its graph, and the rollout behind it.
    ///
    /// # Errors
    /// [`Error::Shape`] for start states that do not fit.
    pub fn loss(&self, parts: &Parts, s0: &Tensor, noise: &Noise) -> Result<(Tensor, Rollout)> {
        let config = &self.0;
        let policy = parts.policy()?;
        let hstep = HStep {
            dynamics: match config.horizon {
                0 => None,
                _ => Some(parts.model()?.dynamics()),
            },
            terminal: Terminal::Action {
                critic: &parts.critic()?.q.online,
                reduce: Reduce::Min,
                samples: config.last_samples,
            },
            horizon: config.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(config.entropy, parts.alpha()?),
        };
        let s0 = repeat(s0, config.samples)?;
        let rollout = hstep.rollout(&s0, Actions::Policy(policy), noise)?;
        Ok((hstep.score(&rollout)?.mean_all()?.neg()?, rollout))
    }

    /// One gradient step of the policy from start states `[B,S]`, with noise that is given.
    ///
    /// # Errors
    /// As [`Improve::improve`].
    pub fn step(&self, parts: &mut Parts, s0: &Tensor, noise: &Noise) -> Result<Improvement> {
        let (loss, rollout) = self.loss(parts, s0, noise)?;
        descend(parts, &loss, &rollout)
    }
}

impl Improve for Pathwise {
    fn describe(&self) -> String {
        format!("pathwise, {}", horizon_label(self.0.horizon, "min Q"))
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, model: self.0.horizon > 0, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn improve(&self, parts: &mut Parts, batch: &Batch, key: Key) -> Result<Option<Improvement>> {
        let s0 = starts(batch, self.0.starts)?;
        self.step(parts, &s0, &Noise::key(key)).map(Some)
    }
}

/// The score-function gradient of `J_H`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreFunctionConfig {
    /// Model steps H. 5: ours.
    pub horizon: usize,
    /// Trajectories from each start state; their mean without the row itself is the baseline.
    /// 4: ours.
    pub samples: usize,
    /// Which actions earn entropy. `all`: ours.
    pub entropy: Entropy,
    /// Start states a gradient step; `None` is the whole batch.
    pub starts: Option<usize>,
}

impl Default for ScoreFunctionConfig {
    fn default() -> Self {
        Self { horizon: 5, samples: 4, entropy: Entropy::All, starts: None }
    }
}

impl ScoreFunctionConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `improve`.
    pub fn validate(&self) -> Result<()> {
        crate::check::at_least("improve.samples", self.samples, 2)?;
        crate::check::count("improve.samples", self.samples, limits::SAMPLES)?;
        crate::check::at_least("improve.starts", self.starts.unwrap_or(1), 1)
    }
}

/// REINFORCE through the model: `-mean (J_H - b) sum_t log pi(a_t|s_t)` at detached actions, with
/// the leave-one-out mean of the same start state's other trajectories as baseline `b`.
#[derive(Debug, Clone)]
pub struct ScoreFunction(pub ScoreFunctionConfig);

impl ScoreFunction {
    /// The surrogate loss, whose gradient is the score-function estimate, and the rollout.
    ///
    /// # Errors
    /// [`Error::Shape`] for start states that do not fit.
    pub fn loss(
        &self,
        parts: &Parts,
        model: Option<&dyn Dynamics>,
        s0: &Tensor,
        noise: &Noise,
    ) -> Result<(Tensor, Rollout)> {
        let config = &self.0;
        let policy = parts.policy()?;
        let hstep = HStep {
            dynamics: model,
            terminal: Terminal::min_q(&parts.critic()?.q.online),
            horizon: config.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(config.entropy, parts.alpha()?),
        };
        let (b, k) = (s0.dim(0)?, config.samples);
        let s0 = repeat(s0, k)?;
        let rollout = hstep.rollout(&s0, Actions::Policy(&policy.frozen()), noise)?;
        let score = hstep.score(&rollout)?.detach().reshape((k, b))?;
        // J - mean of the others = k / (k - 1) (J - mean of all).
        let centred = score.broadcast_sub(&score.mean_keepdim(0)?)?;
        let advantage = (centred * (k as f64 / (k as f64 - 1.0)))?.flatten_all()?;
        let mut log_prob = advantage.zeros_like()?;
        for t in 0..rollout.actions.len() {
            let obs = match model {
                Some(model) => model.observe(&rollout.states[t])?,
                None => rollout.states[t].clone(),
            };
            let of_step = policy.log_prob(&obs.detach(), &rollout.actions[t].detach())?;
            log_prob = match &rollout.alive[t] {
                None => (log_prob + of_step)?,
                Some(alive) => (log_prob + (of_step * alive)?)?,
            };
        }
        Ok(((log_prob * advantage)?.mean_all()?.neg()?, rollout))
    }
}

impl Improve for ScoreFunction {
    fn describe(&self) -> String {
        format!("score function, {}", horizon_label(self.0.horizon, "min Q"))
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, model: self.0.horizon > 0, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn improve(&self, parts: &mut Parts, batch: &Batch, key: Key) -> Result<Option<Improvement>> {
        let s0 = starts(batch, self.0.starts)?;
        let model = match self.0.horizon {
            0 => None,
            _ => Some(parts.model()?.dynamics()),
        };
        let (loss, rollout) = self.loss(parts, model, &s0, &Noise::key(key))?;
        descend(parts, &loss, &rollout).map(Some)
    }
}

/// `limit` start states spread evenly over the batch: its real rows come first, so its first rows
/// would be another mixture.
fn starts(batch: &Batch, limit: Option<usize>) -> Result<Tensor> {
    let n = batch.obs.dim(0)?;
    match limit {
        Some(limit) if limit < n => {
            let rows: Vec<u32> = (0..limit).map(|i| (i * n / limit) as u32).collect();
            let rows = Tensor::from_vec(rows, limit, batch.obs.device())?;
            Ok(batch.obs.index_select(&rows, 0)?)
        }
        _ => Ok(batch.obs.clone()),
    }
}

/// One step of the policy's optimiser down `loss`.
fn descend(parts: &mut Parts, loss: &Tensor, rollout: &Rollout) -> Result<Improvement> {
    let value = scalar(loss)?;
    if !value.is_finite() {
        return Err(Error::NonFinite { quantity: "actor loss".into(), step: "an update".into() });
    }
    let gradients = loss.backward()?;
    let Some(actor) = &mut parts.actor else { return Err(Error::config("actor", "missing")) };
    actor.descend(&gradients)?;
    let model_steps = (rollout.horizon() * rollout.states[0].dim(0)?) as u64;
    Ok(Improvement { loss: value, log_prob: rollout.log_probs[0].detach(), model_steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Spec, to_f64};

    #[test]
    fn a_part_of_the_batch_has_the_mixture_of_the_whole() {
        let spec = Spec::f64();
        // 64 real rows (0), then 192 imagined ones (1), as the replay mixes them.
        let kind: Vec<f64> = (0..256).map(|i| f64::from(u8::from(i >= 64))).collect();
        let column = spec.tensor(&kind, (256, 1)).unwrap();
        let batch = Batch {
            obs: column.clone(),
            action: column.clone(),
            reward: column.squeeze(1).unwrap(),
            next_obs: column.clone(),
            cont: column.squeeze(1).unwrap(),
            state: None,
        };
        for limit in [4, 100, 128] {
            let rows = to_f64(&starts(&batch, Some(limit)).unwrap()).unwrap();
            assert_eq!(rows.len(), limit);
            assert!((rows.iter().sum::<f64>() - 0.75 * limit as f64).abs() <= 1.0);
        }
        assert_eq!(starts(&batch, Some(999)).unwrap().dims(), [256, 1]);
        assert_eq!(starts(&batch, None).unwrap().dims(), [256, 1]);
    }
}
