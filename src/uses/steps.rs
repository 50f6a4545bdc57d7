//! Learning as a list: the steps of one update, in their order.
//!
//! SAC's update is `critic` on its target, `actor` by its improve, the temperature, and then what
//! follows; a V is one more step, and a loss of a person's own is one more kind. A step says what it
//! reads of the steps before it, so that a list in an impossible order is refused.

use candle_core::Tensor;

use super::ask::shared;
use super::{Ask, Goals, Improve, Loss, Needs, Rollouts, SharedRollout, Target};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::parts::{ACTOR, CRITIC, CriticPart, Parts, VALUE, ValuePart};
use crate::replay::Batch;
use crate::rng::Key;
use crate::shape::{self, Spec};

/// How much of an update is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// All of it.
    Whole,
    /// The values alone: what changes a policy, or follows one that was changed, is left out.
    Evaluation,
}

/// What the steps of one update work on and leave to each other.
pub struct Update<'a> {
    /// What is learned.
    pub parts: &'a mut Parts,
    /// Transitions `[n,..]`, real and imagined.
    pub batch: &'a Batch,
    /// The noise of this update; a step forks it by its own name.
    pub key: Key,
    /// What is reported.
    pub log: &'a mut Log,
    /// How much of it is done.
    pub pass: Pass,
    /// Model steps taken so far, one a row.
    pub model_steps: u64,
    /// `log pi(a_0|s_0)` of the newest change of a policy, before it, `[B]`.
    pub log_prob: Option<Tensor>,
    /// The rollouts that steps share, by name.
    pub rollouts: Rollouts,
    /// The mean |Q| of this update's critic, for whoever gives a number to be replaced; `None` is not asked.
    pub size_of_q: Option<f64>,
}

impl<'a> Update<'a> {
    /// An update that nothing has been done of.
    pub fn new(parts: &'a mut Parts, batch: &'a Batch, key: Key, log: &'a mut Log) -> Self {
        let (log_prob, rollouts) = (None, Rollouts::new());
        let (pass, model_steps, size_of_q) = (Pass::Whole, 0, None);
        Self { parts, batch, key, log, pass, model_steps, log_prob, rollouts, size_of_q }
    }

    /// What a use of the objective is given, with the noise of the name `stream`.
    #[must_use]
    pub fn ask(&self, stream: &str) -> Ask<'_> {
        let key = self.key.fork(stream);
        Ask { parts: self.parts, batch: self.batch, key, rollouts: &self.rollouts }
    }
}

/// What a step leaves to the steps after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// [`Update::log_prob`].
    LogProb,
    /// The rollout of this name.
    Rollout(String),
}

/// One step of an update.
pub trait Step: Send {
    /// How errors and the table of algorithms name it.
    fn describe(&self) -> String;

    /// Which column of the table of algorithms it fills in, if any.
    fn column(&self) -> Option<Column> {
        None
    }

    /// Whether it changes a policy, or follows one that was changed.
    fn improves(&self) -> bool {
        false
    }

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// What it reads that an earlier step has to leave.
    fn reads(&self) -> Vec<Left> {
        Vec::new()
    }

    /// What it leaves.
    fn leaves(&self) -> Vec<Left> {
        Vec::new()
    }

    /// Checks its settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Columns of the metrics that it reports: every name that it gives to [`Update::log`], and no column
    /// of the run's own (`eval_return`, ...). A name that does not stand here ends the run at the next row.
    fn metrics(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes the step.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the quantity, [`Error::Shape`] for a batch that does not fit.
    fn take(&self, update: &mut Update) -> Result<()>;
}

/// A column of the table of algorithms that a step of an update fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// How the policy is changed.
    Improve,
    /// What the critic regresses on.
    Target,
}

/// A rollout of the policy through the model, with its graph, for later steps to share.
pub struct RollOut {
    /// Its name.
    pub name: String,
    /// Model steps.
    pub horizon: usize,
}

impl Step for RollOut {
    fn describe(&self) -> String {
        format!("rollout `{}`, H={}", self.name, self.horizon)
    }

    fn needs(&self) -> Needs {
        SharedRollout::NEEDS
    }

    fn leaves(&self) -> Vec<Left> {
        vec![Left::Rollout(self.name.clone())]
    }

    fn validate(&self) -> Result<()> {
        crate::check::at_least("rollout.horizon", self.horizon, 1)
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Update { parts, batch, key, pass, .. } = update;
        let graph = *pass == Pass::Whole;
        let key = key.fork(&self.name);
        let rollout = SharedRollout::new(parts, batch, self.horizon, graph, key)?;
        update.model_steps += (self.horizon * batch.len()) as u64;
        update.rollouts.insert(self.name.clone(), rollout);
        Ok(())
    }
}

/// The bounds of the critic's values, by the rewards less their costs of a shared rollout.
pub struct BoundValues {
    /// The rollout.
    pub rollout: String,
}

impl Step for BoundValues {
    fn describe(&self) -> String {
        format!("the bounds of the values by `{}`", self.rollout)
    }

    fn needs(&self) -> Needs {
        SharedRollout::NEEDS
    }

    fn reads(&self) -> Vec<Left> {
        vec![Left::Rollout(self.rollout.clone())]
    }

    fn metrics(&self) -> Vec<String> {
        vec!["q_low".into(), "q_high".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let ask = update.ask("bounds");
        let rollout = shared(&ask, &self.rollout)?;
        let mut gains = Vec::new();
        for t in 0..rollout.horizon() {
            let gain = match &rollout.costs[t] {
                Some(cost) => (&rollout.rewards[t] - cost)?,
                None => rollout.rewards[t].clone(),
            };
            let (gain, alive) = (shape::to_f64(&gain)?, rollout.alive[t].as_ref());
            let alive = alive.map(shape::to_f64).transpose()?;
            let lives = |i: usize| alive.as_ref().is_none_or(|alive| alive[i] != 0.0);
            gains.extend(gain.iter().enumerate().filter(|(i, _)| lives(*i)).map(|(_, gain)| *gain));
        }
        follow(update, &gains)
    }
}

/// The bounds of the critic's values, by the rewards of the batch less the cost of an action of the policy there.
pub struct BoundByBatch;

impl Step for BoundByBatch {
    fn describe(&self) -> String {
        "the bounds of the values by the batch".into()
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, critic: true, ..Needs::default() }
    }

    fn metrics(&self) -> Vec<String> {
        vec!["q_low".into(), "q_high".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Update { parts, batch, key, .. } = update;
        let (policy, obs) = (parts.policy(ACTOR)?.frozen(), &batch.obs);
        let spec = Spec { dtype: obs.dtype(), device: obs.device().clone(), ..Spec::f32() };
        let eps = key.fork("bounds").normals(0, obs.dim(0)?, policy.action_dim(), 0, &spec)?;
        let cost = (policy.sample(obs, &eps)?.log_prob * parts.alpha()?)?;
        let gains = shape::to_f64(&(&batch.reward - cost)?)?;
        follow(update, &gains)
    }
}

/// The bounds of the critic, where it has any, move towards the quantiles of `gains`.
fn follow(update: &mut Update, gains: &[f64]) -> Result<()> {
    let Some(bounds) = update.parts.critic(CRITIC)?.online.bounds() else { return Ok(()) };
    bounds.follow(gains, update.parts.gamma)?;
    let (low, high) = bounds.get()?;
    update.log.last("q_low", low);
    update.log.last("q_high", high);
    Ok(())
}

/// The critic on its target: `1/2 sum_e mean (Q_e(s,a) - y)^2`.
pub struct RegressCritic(pub Box<dyn Target>);

impl Step for RegressCritic {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn column(&self) -> Option<Column> {
        Some(Column::Target)
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn reads(&self) -> Vec<Left> {
        self.0.rollout().map(|name| Left::Rollout(name.into())).into_iter().collect()
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn metrics(&self) -> Vec<String> {
        vec!["critic_loss".into(), "q_mean".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Goals { y, obs, action, model_steps } = self.0.targets(&update.ask("target"))?;
        update.model_steps += model_steps;
        let Update { parts, log, size_of_q, .. } = update;
        let (mut loss, mut mean) = (0.0, 0.0);
        parts.critic_mut(CRITIC)?.regress(&obs, &action, &mut |q| {
            let error = q.broadcast_sub(&y)?;
            loss = finite(&(error.sqr()?.mean(1)?.sum(0)? * 0.5)?, "critic loss")?;
            mean = shape::scalar(&q.mean_all()?)?;
            if let Some(size) = size_of_q {
                *size = shape::scalar(&q.abs()?.mean_all()?)?;
            }
            Ok((error / y.dim(0)?.max(1) as f64)?)
        })?;
        log.mean("critic_loss", loss);
        log.mean("q_mean", mean);
        Ok(())
    }
}

/// V on its target: `1/2 sum_e mean (V_e(s) - y_e)^2`.
pub struct RegressValue(pub Box<dyn Target>);

impl Step for RegressValue {
    fn describe(&self) -> String {
        format!("V on {}", self.0.describe())
    }

    fn needs(&self) -> Needs {
        Needs { value: true, ..self.0.needs() }
    }

    fn reads(&self) -> Vec<Left> {
        self.0.rollout().map(|name| Left::Rollout(name.into())).into_iter().collect()
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn metrics(&self) -> Vec<String> {
        vec!["value_loss".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Goals { y, obs, model_steps, .. } = self.0.targets(&update.ask("value"))?;
        update.model_steps += model_steps;
        let Update { parts, log, .. } = update;
        let value = parts.value_mut(VALUE)?;
        let v = value.online.tracked(&obs)?;
        let members = v.dim(0)? as f64;
        let loss = (v.broadcast_sub(&y)?.sqr()?.mean_all()? * (0.5 * members))?;
        log.mean("value_loss", finite(&loss, "value loss")?);
        value.optimiser.descend(&loss)
    }
}

/// The policy, by one way of improving it.
pub struct ImprovePolicy(pub Box<dyn Improve>);

impl Step for ImprovePolicy {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn column(&self) -> Option<Column> {
        Some(Column::Improve)
    }

    fn improves(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn reads(&self) -> Vec<Left> {
        self.0.rollout().map(|name| Left::Rollout(name.into())).into_iter().collect()
    }

    fn leaves(&self) -> Vec<Left> {
        vec![Left::LogProb]
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn metrics(&self) -> Vec<String> {
        vec!["actor_loss".into(), "entropy".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Loss { loss, log_prob, model_steps } = self.0.loss(&update.ask("improve"))?;
        update.model_steps += model_steps;
        let value = finite(&loss, "actor loss")?;
        update.parts.policy_mut(ACTOR)?.optimiser.descend(&loss)?;
        update.log.mean("actor_loss", value);
        update.log.mean("entropy", -shape::scalar(&log_prob.mean_all()?)?);
        update.log_prob = Some(log_prob);
        Ok(())
    }
}

/// The temperature, after the policy whose entropy it heeds.
pub struct FollowEntropy;

impl Step for FollowEntropy {
    fn describe(&self) -> String {
        "the temperature".into()
    }

    fn improves(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn reads(&self) -> Vec<Left> {
        vec![Left::LogProb]
    }

    fn metrics(&self) -> Vec<String> {
        vec!["alpha".into()]
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        let Update { parts, log, log_prob, .. } = update;
        if let (Some(temperature), Some(log_prob)) = (&mut parts.temperature, log_prob) {
            temperature.update(log_prob)?;
        }
        log.last("alpha", parts.alpha()?);
        Ok(())
    }
}

/// One Polyak step of everything that follows.
pub struct FollowTargets;

impl Step for FollowTargets {
    fn describe(&self) -> String {
        "the targets".into()
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn take(&self, update: &mut Update) -> Result<()> {
        update.parts.critics.values().try_for_each(CriticPart::follow)?;
        update.parts.values.values().try_for_each(ValuePart::follow)
    }
}

fn finite(loss: &Tensor, quantity: &str) -> Result<f64> {
    let value = shape::scalar(loss)?;
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::NonFinite { quantity: quantity.into(), step: String::new() }),
    }
}
