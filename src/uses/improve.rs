//! Improve: how the policy is changed.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::shared;
use super::{Ask, Needs, SharedRollout, horizon_label, repeat};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::limits;
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Rollout, Terminal, living};
use crate::parts::{ACTOR, CRITIC, MODEL, Parts};
use crate::replay::{Batch, Start};

/// What the policy descends.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The loss, with its graph to the policy's parameters.
    pub loss: Tensor,
    /// `log pi(a_0|s_0)` of the start states, `[B]`, without gradient: the temperature follows it.
    pub log_prob: Tensor,
    /// Model steps taken.
    pub model_steps: u64,
}

impl Loss {
    fn of(loss: Tensor, rollout: &Rollout) -> Result<Self> {
        let model_steps = (rollout.horizon() * rollout.states[0].dim(0)?) as u64;
        Ok(Self { loss, log_prob: rollout.log_probs[0].detach(), model_steps })
    }
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

    /// The rollout of the update that it scores, where it makes none of its own.
    fn rollout(&self) -> Option<&str> {
        None
    }

    /// The loss whose gradient the policy goes down.
    ///
    /// # Errors
    /// [`Error::Shape`] for start states that do not fit.
    fn loss(&self, ask: &Ask) -> Result<Loss>;
}

/// The pathwise gradient of `J_H`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let policy = parts.policy(ACTOR)?;
        let hstep = HStep {
            dynamics: match config.horizon {
                0 => None,
                _ => Some(parts.model(MODEL)?.dynamics()),
            },
            terminal: Terminal::Action {
                critic: parts.critic(CRITIC)?.online.as_ref(),
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

    fn loss(&self, ask: &Ask) -> Result<Loss> {
        let start = starts(ask.batch, self.0.starts)?;
        let s0 = start.rolled(self.0.horizon > 0);
        let (loss, rollout) = Pathwise::loss(self, ask.parts, s0, &Noise::key(ask.key))?;
        Loss::of(loss, &rollout)
    }
}

/// The pathwise gradient of a rollout that the target uses, too, with the mean of the critic's
/// members at its end (Kubo et al. 2025).
#[derive(Debug, Clone)]
pub struct PathwiseShared {
    /// Model steps H, those of the rollout.
    pub horizon: usize,
    /// The rollout of the update that it scores.
    pub rollout: String,
}

impl Improve for PathwiseShared {
    fn describe(&self) -> String {
        format!("pathwise of `{}`, {}", self.rollout, horizon_label(self.horizon, "mean Q"))
    }

    fn needs(&self) -> Needs {
        SharedRollout::NEEDS
    }

    fn validate(&self) -> Result<()> {
        crate::check::at_least("improve.horizon", self.horizon, 1)
    }

    fn rollout(&self) -> Option<&str> {
        Some(&self.rollout)
    }

    fn loss(&self, ask: &Ask) -> Result<Loss> {
        let parts = ask.parts;
        let rollout = shared(ask, &self.rollout)?;
        let critic = parts.critic(CRITIC)?.online.as_ref();
        let hstep = HStep {
            dynamics: Some(parts.model(MODEL)?.dynamics()),
            terminal: Terminal::Action { critic, reduce: Reduce::Mean, samples: 1 },
            horizon: self.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(Entropy::All, parts.alpha()?),
        };
        let loss = hstep.score(rollout)?.mean_all()?.neg()?;
        // The rollout's own steps are counted by the step that made it.
        Ok(Loss { loss, log_prob: rollout.log_probs[0].detach(), model_steps: 0 })
    }
}

/// The score-function gradient of `J_H`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let policy = parts.policy(ACTOR)?;
        let hstep = HStep {
            dynamics: model,
            terminal: Terminal::min_q(parts.critic(CRITIC)?.online.as_ref()),
            horizon: config.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(config.entropy, parts.alpha()?),
        };
        let (b, k) = (s0.dim(0)?, config.samples);
        let s0 = repeat(s0, k)?;
        let rollout = hstep.rollout(&s0, Actions::Policy(policy.frozen().as_ref()), noise)?;
        let score = hstep.score(&rollout)?.detach().reshape((k, b))?;
        // J - mean of the others = k / (k - 1) (J - mean of all).
        let centred = score.broadcast_sub(&score.mean_keepdim(0)?)?;
        let advantage = (centred * (k as f64 / (k as f64 - 1.0)))?.flatten_all()?;
        let mut log_prob = advantage.zeros_like()?;
        for t in 0..rollout.actions.len() {
            let obs = hstep.observed(&rollout, t)?;
            let of_step = policy.log_prob(&obs.detach(), &rollout.actions[t].detach())?;
            log_prob = (log_prob + living(&of_step, rollout.alive[t].as_ref())?)?;
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

    fn loss(&self, ask: &Ask) -> Result<Loss> {
        let Ask { parts, batch, key, .. } = *ask;
        let start = starts(batch, self.0.starts)?;
        let s0 = start.rolled(self.0.horizon > 0);
        let model = match self.0.horizon {
            0 => None,
            _ => Some(parts.model(MODEL)?.dynamics()),
        };
        let (loss, rollout) = ScoreFunction::loss(self, parts, model, s0, &Noise::key(key))?;
        Loss::of(loss, &rollout)
    }
}

/// `limit` starts spread evenly over the batch: its real rows come first, so its first rows would be
/// another mixture.
fn starts(batch: &Batch, limit: Option<usize>) -> Result<Start> {
    let (start, n) = (batch.start(), batch.obs.dim(0)?);
    match limit {
        Some(limit) if limit < n => {
            start.rows(&(0..limit).map(|i| (i * n / limit) as u32).collect::<Vec<_>>())
        }
        _ => Ok(start),
    }
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
            own: std::collections::BTreeMap::new(),
        };
        for limit in [4, 100, 128] {
            let rows = to_f64(&starts(&batch, Some(limit)).unwrap().obs).unwrap();
            assert_eq!(rows.len(), limit);
            assert!((rows.iter().sum::<f64>() - 0.75 * limit as f64).abs() <= 1.0);
        }
        assert_eq!(starts(&batch, Some(999)).unwrap().obs.dims(), [256, 1]);
        assert_eq!(starts(&batch, None).unwrap().obs.dims(), [256, 1]);
    }
}
