//! One gradient step of critic, value, policy, temperature and target networks.

use candle_core::Tensor;

use super::Counters;
use crate::agent::Hybrid;
use crate::error::{Error, Result};
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Terminal};
use crate::parts::Parts;
use crate::replay::Batch;
use crate::rng::Key;
use crate::shape;
use crate::train::Log;

/// One gradient step of every part; returns the model steps taken.
pub(super) fn update_parts(
    hybrid: &Hybrid,
    parts: &mut Parts,
    batch: &Batch,
    key: Key,
    log: &mut Log,
) -> Result<u64> {
    let mut model_steps = 0;
    if let Some(target) = &hybrid.target
        && let Some((y, steps)) = target.targets(parts, batch, key.fork("target"))?
    {
        model_steps += steps;
        update_critic(parts, batch, &y, log)?;
    }
    if parts.value.is_some() {
        update_value(parts, batch, key.fork("value"), log)?;
    }
    if let Some(improve) = &hybrid.improve
        && let Some(done) = improve.improve(parts, batch, key.fork("improve"))?
    {
        model_steps += done.model_steps;
        log.mean("actor_loss", done.loss);
        log.mean("entropy", -shape::scalar(&done.log_prob.mean_all()?)?);
        if let Some(temperature) = &mut parts.temperature {
            temperature.update(&done.log_prob)?;
        }
    }
    log.last("alpha", parts.alpha()?);
    if let Some(critic) = &parts.critic {
        critic.q.follow(critic.tau)?;
    }
    if let Some(value) = &parts.value {
        value.v.follow(value.tau)?;
    }
    Ok(model_steps)
}

/// `1/2 sum_e mean (Q_e(s,a) - y)^2`.
fn update_critic(parts: &mut Parts, batch: &Batch, y: &Tensor, log: &mut Log) -> Result<()> {
    let Some(critic) = &mut parts.critic else { return Ok(()) };
    let ((loss, mean), grad) = critic.q.online.regress(&batch.obs, &batch.action, |q| {
        let error = q.broadcast_sub(y)?;
        let loss = (error.sqr()?.mean(1)?.sum(0)? * 0.5)?;
        let gradient = (error / y.dim(0)?.max(1) as f64)?;
        Ok(((finite_scalar(&loss, "critic loss")?, shape::scalar(&q.mean_all()?)?), gradient))
    })?;
    log.mean("critic_loss", loss);
    log.mean("q_mean", mean);
    critic.adam.step_flat(&grad)
}

/// `1/2 mean (V(s) - (min_e Q'_e(s,a) - alpha log pi(a|s)))^2`, `a ~ pi(s)`, on the target critic.
fn update_value(parts: &mut Parts, batch: &Batch, key: Key, log: &mut Log) -> Result<()> {
    let terminal =
        Terminal::Action { critic: &parts.critic()?.q.target, reduce: Reduce::Min, samples: 1 };
    let hstep = HStep::model_free(terminal, Cost::entropy(Entropy::All, parts.alpha()?));
    let policy = parts.policy()?.frozen();
    let y = hstep.objective(&batch.obs, Actions::Policy(&policy), &Noise::key(key))?.detach();
    let Some(value) = &mut parts.value else { return Ok(()) };
    let v = value.v.online.value_tracked(&batch.obs)?;
    let loss = ((v - y)?.sqr()?.mean_all()? * 0.5)?;
    log.mean("value_loss", finite_scalar(&loss, "value loss")?);
    value.adam.step(&loss.backward()?)
}

fn finite_scalar(loss: &Tensor, quantity: &str) -> Result<f64> {
    let value = shape::scalar(loss)?;
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::NonFinite { quantity: quantity.into(), step: String::new() }),
    }
}

/// Fills in where in the run a number became non-finite.
pub(super) fn step_at<T>(result: Result<T>, counters: &Counters) -> Result<T> {
    result.map_err(|error| match error {
        Error::NonFinite { quantity, .. } => Error::NonFinite {
            quantity,
            step: format!("env step {}, gradient step {}", counters.env_steps, counters.grad_steps),
        },
        other => other,
    })
}
