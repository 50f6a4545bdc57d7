//! Target: what the critic regresses on.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::shared;
use super::{Ask, Needs, SharedRollout, horizon_label, repeat};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Terminal};
use crate::parts::{ACTOR, CRITIC, MODEL, Parts};
use crate::replay::Batch;
use crate::rng::Key;
use crate::shape::rows;

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

    /// The rollout of the update that it scores, where it makes none of its own.
    fn rollout(&self) -> Option<&str> {
        None
    }

    /// Regression targets.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch that does not fit.
    fn targets(&self, ask: &Ask) -> Result<Goals>;
}

/// What a critic regresses on, and where.
#[derive(Debug, Clone)]
pub struct Goals {
    /// Targets `[B]`, or `[E,B]` with one a member, without gradient.
    pub y: Tensor,
    /// Observations `[B,O]` of the pairs that they are the values of.
    pub obs: Tensor,
    /// Actions `[B,A]` of those pairs.
    pub action: Tensor,
    /// Model steps taken.
    pub model_steps: u64,
}

impl Goals {
    /// Values of the batch's own pairs.
    pub(super) fn of(batch: &Batch, y: Tensor, model_steps: u64) -> Self {
        Self { y, obs: batch.obs.clone(), action: batch.action.clone(), model_steps }
    }
}

/// `y = r + gamma cont x`, dead rows by `where`.
pub(super) fn backup(batch: &Batch, gamma: f64, x: &Tensor) -> Result<Tensor> {
    let future = batch.cont.ne(0.0)?.where_cond(x, &x.zeros_like()?)?;
    Ok((&batch.reward + (future * gamma)?)?.detach())
}

/// SAC's target: `y = r + gamma cont (min_e Q'_e(s', a') - alpha log pi(a'|s'))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        let critic = parts.critic(CRITIC)?.target();
        let terminal = Terminal::Action { critic, reduce: self.0, samples: 1 };
        let cost = Cost::entropy(Entropy::All, parts.alpha()?);
        let policy = parts.policy(ACTOR)?.frozen();
        let value = HStep::model_free(terminal, cost).objective(
            &batch.next_obs,
            Actions::Policy(policy.as_ref()),
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

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let y = self.with_noise(ask.parts, ask.batch, &Noise::key(ask.key))?;
        Ok(Goals::of(ask.batch, y, 0))
    }
}

/// The soft value of the policy: `min_e Q'_e(s,a) - alpha log pi(a|s)`, `a ~ pi(s)`, on the target
/// critic.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoftValue;

impl Target for SoftValue {
    fn describe(&self) -> String {
        "the critic".into()
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, ..Needs::default() }
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, batch, key, .. } = *ask;
        let terminal = Terminal::min_q(parts.critic(CRITIC)?.target());
        let hstep = HStep::model_free(terminal, Cost::entropy(Entropy::All, parts.alpha()?));
        let policy = parts.policy(ACTOR)?.frozen();
        let actions = Actions::Policy(policy.as_ref());
        let y = hstep.objective(&batch.obs, actions, &Noise::key(key))?.detach();
        Ok(Goals::of(batch, y, 0))
    }
}

/// STEVE's mix of horizons (Buckman et al. 2018, eq. 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let critic = parts.critic(CRITIC)?.target();
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
        let start = repeat(batch.next().rolled(model.is_some()), copies)?;
        // The middle of each member's share of [0,1): rounding cannot move it to a neighbour.
        let member = (0..copies * b).map(|i| ((i / b) as f64 + 0.5) / copies as f64).collect();
        let policy = parts.policy(ACTOR)?.frozen();
        let noise = Noise::pinned(key, member);
        let rollout = hstep.rollout(&start, Actions::Policy(policy.as_ref()), &noise)?;
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

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, batch, key, .. } = *ask;
        let (model, members) = match self.0.horizon {
            0 => (None, 1),
            _ => {
                let model = parts.model(MODEL)?;
                (Some(model.dynamics()), model.members())
            }
        };
        let y = self.with(parts, model, members, batch, key)?;
        let steps = self.0.horizon * members * batch.next_obs.dim(0)?;
        Ok(Goals::of(batch, y, steps as u64))
    }
}

/// Model-based value expansion on a rollout that improve uses, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MveConfig {
    /// Model steps T from `(s_0, a_0)`, those of the shared rollout. 5: paper (DHMBPO).
    pub horizon: usize,
    /// The terminal is the lower of two members drawn anew for every update; of all members
    /// otherwise. true: code (DHMBPO).
    pub pair: bool,
}

impl Default for MveConfig {
    fn default() -> Self {
        Self { horizon: 5, pair: true }
    }
}

/// The return of a shared rollout, for the critic at the rollout's own first pair (Kubo et al. 2025,
/// arXiv 2512.15439):
///
/// ```text
/// y = r_0 + sum_{0<t<T} gamma^t (r_t - alpha log pi_t) + gamma^T (Q'(s_T, a_T) - alpha log pi_T)
/// ```
///
/// The first action pays no entropy, since Q is the value of a pair; the last one does. At `T = 1` it
/// is TD(0) on the model's own transition.
#[derive(Debug, Clone)]
pub struct Mve {
    /// Settings.
    pub config: MveConfig,
    /// The rollout of the update that it scores.
    pub rollout: String,
}

impl Target for Mve {
    fn describe(&self) -> String {
        let terminal = if self.config.pair { "lower of 2 target Q" } else { "min target Q" };
        format!("MVE of `{}`, {}", self.rollout, horizon_label(self.config.horizon, terminal))
    }

    fn needs(&self) -> Needs {
        SharedRollout::NEEDS
    }

    fn validate(&self) -> Result<()> {
        crate::check::at_least("target.mve.horizon", self.config.horizon, 1)
    }

    fn rollout(&self) -> Option<&str> {
        Some(&self.rollout)
    }

    fn targets(&self, ask: &Ask) -> Result<Goals> {
        let Ask { parts, key, .. } = *ask;
        // Without its graph: nothing of a target is differentiated.
        let rollout = shared(ask, &self.rollout)?.detached()?;
        let critic = parts.critic(CRITIC)?.target();
        let reduce = if self.config.pair { pair(critic.members(), key) } else { Reduce::Min };
        let hstep = HStep {
            dynamics: Some(parts.model(MODEL)?.dynamics()),
            terminal: Terminal::Action { critic, reduce, samples: 1 },
            horizon: self.config.horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(Entropy::Rest, parts.alpha()?),
        };
        let y = hstep.score(&rollout)?.detach();
        let (obs, action) = (hstep.observed(&rollout, 0)?, rollout.actions[0].clone());
        // The rollout's own steps are counted by the step that made it.
        Ok(Goals { y, obs, action, model_steps: 0 })
    }
}

/// Two different members of `n`, drawn by `key`; the only one where there is one.
fn pair(n: usize, key: Key) -> Reduce {
    let draws = key.fork("pair").uniforms(0, 2, 0);
    let below = |u: f64, n: usize| ((u * n as f64) as usize).min(n.saturating_sub(1));
    let first = below(draws[0], n);
    let second = match n {
        0 | 1 => first,
        _ => (first + 1 + below(draws[1], n - 1)) % n,
    };
    Reduce::Pair(first, second)
}

/// Settings of the targets whose tables stand side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TargetConfig {
    /// Settings of `td0`.
    pub td0: Td0Config,
    /// Settings of `steve`.
    pub steve: SteveConfig,
}
