//! Target: what the critic regresses on.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Needs, repeat};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Terminal};
use crate::parts::Parts;
use crate::replay::Batch;
use crate::rng::Key;
use crate::shape::rows;
use crate::value::Critic;

/// What the critic regresses on.
pub trait Target: Send {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// Checks its settings.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    fn validate(&self) -> Result<()>;

    /// Regression targets `[B]`, without gradient, and the model steps taken; `None` for uses that
    /// train no critic.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch that does not fit.
    fn targets(&self, parts: &Parts, batch: &Batch, key: Key) -> Result<Option<(Tensor, u64)>>;
}

/// `y = r + gamma cont x`, dead rows by `where`.
fn backup(batch: &Batch, gamma: f64, x: &Tensor) -> Result<Tensor> {
    let future = batch.cont.ne(0.0)?.where_cond(x, &x.zeros_like()?)?;
    Ok((&batch.reward + (future * gamma)?)?.detach())
}

/// SAC's target: `y = r + gamma cont (min_e Q'_e(s', a') - alpha log pi(a'|s'))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Td0Config {
    /// Take the lowest member; the mean otherwise. true: paper (clipped double Q).
    pub min: bool,
}

impl Default for Td0Config {
    fn default() -> Self {
        Self { min: true }
    }
}

/// One-step temporal difference: `J_0` of the next state on the target networks.
#[derive(Debug, Clone, Copy)]
pub struct Td0(pub Reduce);

impl Td0 {
    /// The targets with given noise `[1,B,A]` for the next action, `[B]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch that does not fit.
    pub fn with_noise(&self, parts: &Parts, batch: &Batch, noise: &Noise) -> Result<Tensor> {
        let terminal =
            Terminal::Action { critic: &parts.critic()?.q.target, reduce: self.0, samples: 1 };
        let cost = Cost::entropy(Entropy::All, parts.alpha()?);
        let policy = parts.policy()?.frozen();
        let value = HStep::model_free(terminal, cost).objective(
            &batch.next_obs,
            Actions::Policy(&policy),
            noise,
        )?;
        backup(batch, parts.gamma, &value)
    }
}

impl Target for Td0 {
    fn describe(&self) -> String {
        match self.0 {
            Reduce::Min => "TD(0) (min target Q)".into(),
            _ => "TD(0) (mean target Q)".into(),
        }
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn targets(&self, parts: &Parts, batch: &Batch, key: Key) -> Result<Option<(Tensor, u64)>> {
        Ok(Some((self.with_noise(parts, batch, &Noise::key(key))?, 0)))
    }
}

/// STEVE's mix of horizons (Buckman et al. 2018, eq. 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteveConfig {
    /// Longest horizon H of the candidates. 2: code (MAAC).
    pub horizon: usize,
    /// A candidate is the mean of the lowest Q a model member (true), or of every Q (false). The
    /// variance is over every member and every Q either way. true: ours, so that H = 0 is SAC's
    /// target; the STEVE paper averages.
    pub min: bool,
    /// Added to the variances. 1e-8: code (STEVE).
    pub epsilon: f64,
}

impl Default for SteveConfig {
    fn default() -> Self {
        Self { horizon: 2, min: true, epsilon: 1e-8 }
    }
}

impl SteveConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `target.steve`.
    pub fn validate(&self) -> Result<()> {
        if self.horizon > 200 {
            let problem = format!("expected at most 200 model steps, got {}", self.horizon);
            return Err(crate::Error::config("target.steve.horizon", problem));
        }
        // Smaller ones vanish in f32, and two candidates without variance would divide 0 by 0.
        if !(self.epsilon.is_finite() && self.epsilon >= 1e-30) {
            let problem =
                format!("expected a finite number of at least 1e-30, got {}", self.epsilon);
            return Err(crate::Error::config("target.steve.epsilon", problem));
        }
        Ok(())
    }
}

/// Inverse-variance mix of the candidate targets `r + gamma J_h(s')`, h = 0..H, over every model
/// member and every target Q.
#[derive(Debug, Clone)]
pub struct Steve(pub SteveConfig);

impl Steve {
    /// Weighted mix of candidates `[M,E,B]`, one a horizon: `[B]`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for candidates of different shapes.
    pub fn mix(&self, candidates: &[Tensor]) -> Result<Tensor> {
        let (mut weights, mut means) = (Vec::new(), Vec::new());
        for x in candidates {
            let mean = x.mean_keepdim((0, 1))?;
            let variance = x.broadcast_sub(&mean)?.sqr()?.mean((0, 1))?;
            weights.push((variance + self.0.epsilon)?.recip()?);
            means.push(match self.0.min {
                true => x.min(1)?.mean(0)?,
                false => mean.squeeze(0)?.squeeze(0)?,
            });
        }
        let (weights, means) = (Tensor::stack(&weights, 0)?, Tensor::stack(&means, 0)?);
        let total = weights.sum_keepdim(0)?;
        Ok((weights.broadcast_div(&total)? * means)?.sum(0)?)
    }

    /// The targets for a model whose members are pinned one a copy of the batch, `[B]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch that does not fit.
    pub fn with(
        &self,
        parts: &Parts,
        model: Option<&dyn Dynamics>,
        members: usize,
        batch: &Batch,
        key: Key,
    ) -> Result<Tensor> {
        let critic = &parts.critic()?.q.target;
        let hstep = HStep {
            dynamics: model,
            terminal: Terminal::min_q(critic),
            horizon: self.0.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(Entropy::All, parts.alpha()?),
        };
        let b = batch.next_obs.dim(0)?;
        rows(&batch.next_obs, batch.obs.dim(1)?, "next observations")?;
        let copies = if self.0.horizon == 0 { 1 } else { members };
        let start = repeat(&batch.next_obs, copies)?;
        // The middle of each member's share of [0,1): rounding cannot move it to a neighbour.
        let member = (0..copies * b).map(|i| ((i / b) as f64 + 0.5) / copies as f64).collect();
        let policy = parts.policy()?.frozen();
        let noise = Noise::pinned(key, member);
        let rollout = hstep.rollout(&start, Actions::Policy(&policy), &noise)?;
        // Rows are copy by copy: [E, M B] to [M, E, B].
        let candidates: Vec<Tensor> = hstep
            .by_horizon_and_member(&rollout)?
            .iter()
            .map(|j| Ok(j.reshape((critic.members(), copies, b))?.transpose(0, 1)?.contiguous()?))
            .collect::<Result<_>>()?;
        backup(batch, parts.gamma, &self.mix(&candidates)?)
    }
}

impl Target for Steve {
    fn describe(&self) -> String {
        format!("inverse-variance over 0..{} (every member, every Q)", self.0.horizon)
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, model: self.0.horizon > 0, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn targets(&self, parts: &Parts, batch: &Batch, key: Key) -> Result<Option<(Tensor, u64)>> {
        let (model, members) = match self.0.horizon {
            0 => (None, 1),
            _ => {
                let model = parts.model()?;
                (Some(model.dynamics()), model.members())
            }
        };
        let y = self.with(parts, model, members, batch, key)?;
        let steps = self.0.horizon * members * batch.next_obs.dim(0)?;
        Ok(Some((y, steps as u64)))
    }
}

/// Which target an algorithm uses, as a config file writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// [`Td0`].
    #[default]
    Td0,
    /// [`Steve`].
    Steve,
}

/// The choice of target with the settings of each kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TargetConfig {
    /// Which kind.
    pub kind: TargetKind,
    /// Settings of `td0`.
    pub td0: Td0Config,
    /// Settings of `steve`.
    pub steve: SteveConfig,
}

impl TargetConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `target`.
    pub fn validate(&self) -> Result<()> {
        self.steve.validate()
    }

    /// The target.
    #[must_use]
    pub fn build(&self) -> Box<dyn Target> {
        match self.kind {
            TargetKind::Td0 => Box::new(Td0(if self.td0.min { Reduce::Min } else { Reduce::Mean })),
            TargetKind::Steve => Box::new(Steve(self.steve.clone())),
        }
    }
}
