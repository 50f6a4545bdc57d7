//! What is known of a task from observations and actions alone, in tensor operations: for rollouts
//! of a learned model.
//!
//! A reward is known where it is a function of the two observations and the action; Gymnasium's
//! walkers earn a mean velocity that no observation has, and theirs is learned. An end is known
//! everywhere, exactly but for two tasks: Hopper's also asks whether velocities are below 100, which
//! the observation has clipped to 10; and that of the double pendulum reads a height which lags the
//! observed angles by a frame.

use std::sync::Arc;

use candle_core::Tensor;

use super::cup;
use super::definition::{End, Reward, Task, When, Within};
use super::tasks::PUSHER_COLUMNS;
use crate::env::native::{Leg2R, Model};
use crate::env::{ContinuationFn, Known, RewardFn};
use crate::error::Result;
use crate::ops::{clip, column};
use crate::shape::{Spec, exact, rows};

/// Reward and continuation of a task, in the number type of what they are given.
pub(super) fn known(task: &'static Task) -> Known {
    if task.reward == Reward::Leg {
        return Model::new(Leg2R::default(), Spec::f64()).known();
    }
    let reward: RewardFn = Arc::new(move |obs, action, next| {
        let b = rows(obs, task.obs_dim, "observation of a known reward")?;
        exact(next, &[b, task.obs_dim], "next observation of a known reward")?;
        exact(action, &[b, task.limits.len()], "action of a known reward")?;
        earned(task, obs, action, next)
    });
    let continuation: ContinuationFn = Arc::new(move |_, _, next| {
        rows(next, task.obs_dim, "next observation of a known continuation")?;
        Ok(goes_on(task, next)?.detach())
    });
    Known {
        reward: (!matches!(task.reward, Reward::Forward { .. } | Reward::Tip { .. }))
            .then_some(reward),
        continuation: (task.end != End::Never).then_some(continuation),
    }
}

/// Sum of squared actions, `[B]`, from normalised ones `[B,A]`: all ranges are symmetric.
fn effort(task: &Task, action: &Tensor) -> Result<Tensor> {
    let limits = Tensor::from_slice(task.limits, (1, task.limits.len()), action.device())?;
    let units = clip(action, -1.0, 1.0)?.broadcast_mul(&limits.to_dtype(action.dtype())?)?;
    Ok(units.sqr()?.sum(1)?)
}

/// Euclidean length of the rows of `[B,N]`, `[B]`.
fn norm(x: &Tensor) -> Result<Tensor> {
    // Keeps the gradient at 0 finite; far below what single precision adds up.
    Ok((x.sqr()?.sum(1)? + 1e-24)?.sqrt()?)
}

fn earned(task: &Task, obs: &Tensor, action: &Tensor, next: &Tensor) -> Result<Tensor> {
    let effort = effort(task, action)?;
    let one = |x: &Tensor, i: usize| -> Result<Tensor> { Ok(column(x, i)?.squeeze(1)?) };
    match task.reward {
        Reward::Seen { velocity, height } => {
            let earned = (one(obs, velocity)? - (effort * 0.1)?)?;
            match height {
                None => Ok(earned),
                Some(height) => {
                    let error = (one(obs, 0)? - height)?.sqr()?;
                    Ok((earned + error.affine(-3.0, 1.0)?)?)
                }
            }
        }
        Reward::Balance { always: true } => Ok(effort.ones_like()?),
        Reward::Balance { always: false } => Ok(goes_on(task, next)?.detach()),
        Reward::Reach { column, when } => {
            let seen = match when {
                When::Before => obs,
                When::After => next,
            };
            let far = norm(&seen.narrow(1, column, task.obs_dim - column)?)?;
            Ok((far + effort)?.neg()?)
        }
        Reward::Push => {
            let [hand, object, goal] = PUSHER_COLUMNS;
            let at = |column: usize| next.narrow(1, column, 3);
            let to_goal = norm(&(at(object)? - at(goal)?)?)?;
            let to_hand = norm(&(at(object)? - at(hand)?)?)?;
            Ok(((to_goal + (effort * 0.1)?)? + (to_hand * 0.5)?)?.neg()?)
        }
        Reward::StandUp(contact) => {
            // The forces are the last columns; the world's, where left out, are 0.
            let forces = 6 * (HUMANOID_BODIES - usize::from(task.obs_dim == HUMANOID_V5));
            let forces = next.narrow(1, task.obs_dim - forces, forces)?;
            let squares = clip(&forces, -contact.clip, contact.clip)?.sqr()?.sum(1)?;
            let cost = (squares * contact.weight)?;
            let cost = clip(&cost, f64::NEG_INFINITY, contact.most)?;
            let height = (one(next, 0)? * (1.0 / task.timestep))?;
            Ok((((height - (effort * 0.1)?)? - cost)? + 1.0)?)
        }
        Reward::Caught { always } => {
            let at = |i: usize| one(next, i);
            let away = [
                ((at(0)? - at(2)?)? + (cup::MIDDLE[0]))?,
                ((at(1)? - at(3)?)? + (cup::MIDDLE[1]))?,
            ];
            let near =
                |x: &Tensor| -> Result<Tensor> { Ok(x.abs()?.lt(cup::FREE)?.to_dtype(x.dtype())?) };
            Ok(((near(&away[0])? * near(&away[1])?)? + always)?)
        }
        Reward::Forward { .. } | Reward::Tip { .. } | Reward::Leg => Ok(effort.zeros_like()?),
    }
}

/// Bodies of the humanoid, the world included.
const HUMANOID_BODIES: usize = 14;
/// Observations of the humanoid without the world.
const HUMANOID_V5: usize = 348;

/// 1 where no end is seen in observations `[B,O]`, else 0. `[B]`
fn goes_on(task: &Task, next: &Tensor) -> Result<Tensor> {
    let dtype = next.dtype();
    match task.end {
        End::Never => Ok(Tensor::ones(next.dims()[0], dtype, next.device())?),
        End::Unhealthy { within, most } => {
            let first = task.first_position();
            let mut cont = finite(next)?;
            for Within { qpos, low, high, closed } in within {
                let x = next.narrow(1, qpos - first, 1)?.squeeze(1)?;
                let inside = if *closed {
                    (x.ge(*low)?.to_dtype(dtype)? * x.le(*high)?.to_dtype(dtype)?)?
                } else {
                    (x.gt(*low)?.to_dtype(dtype)? * x.lt(*high)?.to_dtype(dtype)?)?
                };
                cont = (cont * inside)?;
            }
            if most.is_finite() {
                let rest = next.narrow(1, 2 - first, task.obs_dim + first - 2)?;
                cont = (cont * rest.abs()?.lt(most)?.to_dtype(dtype)?.min(1)?)?;
            }
            Ok(cont)
        }
        End::TipDown => {
            // x, sines of both angles, cosines of both; both poles are 0.6 m.
            let of = |i| next.narrow(1, i, 1)?.squeeze(1);
            let (s1, s2, c1, c2) = (of(1)?, of(2)?, of(3)?, of(4)?);
            let second = ((&c1 * c2)? - (s1 * s2)?)?;
            let height = ((c1 + second)? * 0.6)?;
            Ok(height.gt(1.0)?.to_dtype(dtype)?)
        }
    }
}

/// 1 where every number of a row is finite, else 0.
fn finite(x: &Tensor) -> Result<Tensor> {
    // Not a number is not below anything.
    Ok(x.abs()?.lt(f64::INFINITY)?.to_dtype(x.dtype())?.min(1)?)
}
