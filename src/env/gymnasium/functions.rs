//! What a Python environment tells of rewards and ends: functions of a batch, called over the bridge.

use std::sync::Arc;

use candle_core::Tensor;

use super::frame::{MAX_FRAME, Operation, Parts, numbers};
use super::{Host, OTHER_LENGTH, locked};
use crate::env::{EnvInfo, Known};
use crate::error::{Error, Result};
use crate::shape::to_f64;

/// The name of the function that says which steps end the episode.
pub const TERMINATED: &str = "terminated";
/// The name of the function that says what a step earns.
pub const REWARD: &str = "reward";

/// The functions of one environment; Python answers one call after another.
struct Functions {
    host: Host,
    slot: u32,
    info: EnvInfo,
}

/// What the functions of these names say.
pub(super) fn known(host: &Host, slot: u32, info: &EnvInfo, names: &[String]) -> Known {
    let has = |name: &str| names.iter().any(|own| own == name);
    let functions = Arc::new(Functions { host: Arc::clone(host), slot, info: info.clone() });
    let (for_ends, for_rewards) = (Arc::clone(&functions), functions);
    Known {
        continuation: has(TERMINATED).then(|| -> crate::env::ContinuationFn {
            Arc::new(move |s, a, next| {
                for_ends.ask(Operation::Terminated, [s, a, next], |parts| {
                    Some(if parts.u8()? == 0 { 1.0 } else { 0.0 })
                })
            })
        }),
        reward: has(REWARD).then(|| -> crate::env::RewardFn {
            Arc::new(move |s, a, next| {
                if s.track_op() || a.track_op() || next.track_op() {
                    let problem = "its Python function `reward` has no gradient, and this algorithm \
                                   needs one: set `model.learn_reward=true`";
                    return Err(Error::env(&for_rewards.info.name, problem));
                }
                for_rewards.ask(Operation::Reward, [s, a, next], number)
            })
        }),
    }
}

fn number(parts: &mut Parts) -> Option<f64> {
    parts.f64()
}

impl Functions {
    /// A number a row, `[B]`, each read by `one` from the answer; frames have as many rows as fit.
    fn ask(
        &self,
        operation: Operation,
        of: [&Tensor; 3],
        one: impl Fn(&mut Parts) -> Option<f64>,
    ) -> Result<Tensor> {
        let (n, o, a) = (of[0].dim(0)?, self.info.obs_dim, self.info.action_dim());
        for (tensor, width) in of.into_iter().zip([o, a, o]) {
            crate::shape::exact(tensor, &[n, width], "batch of a function in Python")?;
        }
        let [obs, action, next] = [to_f64(of[0])?, to_f64(of[1])?, to_f64(of[2])?];
        let action = action.chunks(a).map(|row| self.info.denormalise(row));
        let action = action.collect::<Result<Vec<_>>>()?.concat();
        let most = ((MAX_FRAME - 64) / (8 * (2 * o + a))).max(1);
        let mut all = Vec::with_capacity(n);
        for first in (0..n).step_by(most) {
            let rows = first..(first + most).min(n);
            let of_rows = |x: &[f64], width: usize| {
                numbers(x[rows.start * width..rows.end * width].iter().copied())
            };
            let mut body = (rows.len() as u32).to_le_bytes().to_vec();
            for (x, width) in [(&obs, o), (&action, a), (&next, o)] {
                body.extend(of_rows(x, width));
            }
            let mut process = locked(&self.host);
            process.send(operation, self.slot, &body)?;
            let answer = process.receive(operation)?;
            let mut parts = Parts(&answer);
            let read: Option<Vec<f64>> = rows.map(|_| one(&mut parts)).collect();
            let read = read.filter(|_| parts.end().is_some());
            all.extend(read.ok_or_else(|| process.garbled(operation, OTHER_LENGTH))?);
        }
        Ok(Tensor::from_vec(all, n, of[0].device())?.to_dtype(of[0].dtype())?)
    }
}
