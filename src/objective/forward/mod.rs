//! Rollouts without gradients: blocks of rows go through the whole horizon, one block a task.
//!
//! Equal to the rollouts through tensors but for rounding (1e-5 relative), for any blocking and
//! number of threads bit for bit. Where a part has no form on rows, tensors take over.

mod engine;
mod numbers;

use std::cell::OnceCell;

use candle_core::{DType, Tensor};

use super::{Actions, HStep, Members, Noise, Rollout, Terminal};
use crate::error::{Error, Result};
use crate::nn::pool;
use crate::shape::{Ops, to_f64};
use engine::{Engine, Found, Keep};
use numbers::Numbers;

/// Rows of one member that are one task: the weights are read from the second cache that often.
const OWN_ROWS: usize = 64;
/// Rows of a task whose members change from step to step, at most: several members share them.
const MIXED_ROWS: usize = 512;

/// `J_H` of every row, and what was done.
#[derive(Debug, Clone)]
pub struct Returns {
    /// `J_H` `[B]`.
    pub returns: Vec<f64>,
    /// The actions taken `[B,n,A]`, row-major, where they were asked for.
    pub actions: Option<Vec<f64>>,
}

/// The rows of every task, and what it found.
type Blocks = (Vec<Vec<u32>>, Vec<Found>);

/// How rows choose their member.
enum Choice<'a> {
    /// Each keeps one of `n`, by its number in `[0,1)`.
    Kept(&'a [f64], usize),
    /// Each a new one every step.
    Fresh,
    /// All rows do the same.
    Same,
}

/// The rows of every task: of one member where each row keeps its own, else as they come. What a row
/// becomes does not depend on it.
fn tasks(b: usize, choice: &Choice) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..b as u32).collect();
    let cut = |rows: &[u32], most: usize| -> Vec<Vec<u32>> {
        let n = rows.len().div_ceil(most);
        (0..n).map(|i| rows[i * rows.len() / n..(i + 1) * rows.len() / n].to_vec()).collect()
    };
    match *choice {
        Choice::Same => cut(&order, OWN_ROWS),
        // Every thread has something to do, and every member still has some rows of a task.
        Choice::Fresh => cut(&order, (b / 4).clamp(2 * OWN_ROWS, MIXED_ROWS)),
        Choice::Kept(members, n) => {
            let member = |row: &u32| (members[*row as usize] * n as f64) as usize;
            order.sort_by_key(member);
            let of_members = order.chunk_by(|i, j| member(i) == member(j));
            of_members.flat_map(|own| cut(own, OWN_ROWS)).collect()
        }
    }
}

impl HStep<'_> {
    /// `J_H` a row without gradients, with the actions taken if `actions_too`; blocks of rows share
    /// the threads.
    ///
    /// # Errors
    /// As [`HStep::objective`].
    pub fn returns(
        &self,
        s0: &Tensor,
        actions: Actions,
        noise: &Noise,
        actions_too: bool,
    ) -> Result<Returns> {
        let keep = if actions_too { Keep::Actions } else { Keep::Returns };
        if let Some((tasks, found)) = self.forward(s0, actions, noise, keep)? {
            let b = s0.dim(0)?;
            let mut returns = vec![0.0; b];
            for (rows, found) in tasks.iter().zip(&found) {
                for (row, value) in rows.iter().zip(&found.returns) {
                    returns[*row as usize] = f64::from(*value);
                }
            }
            let actions = actions_too.then(|| {
                let n = found.first().map_or(0, |f| f.actions.len());
                let width = found.first().map_or(0, |f| f.actions.first().map_or(0, Vec::len))
                    / tasks.first().map_or(1, |t| t.len().max(1));
                let mut all = vec![0.0; b * n * width];
                for t in 0..n {
                    for (rows, found) in tasks.iter().zip(&found) {
                        let of_step = found.actions[t].chunks_exact(width.max(1));
                        for (row, action) in rows.iter().zip(of_step) {
                            let own = &mut all[(*row as usize * n + t) * width..][..width];
                            own.iter_mut().zip(action).for_each(|(to, a)| *to = f64::from(*a));
                        }
                    }
                }
                all
            });
            return Ok(Returns { returns, actions });
        }
        let rollout = self.rollout(s0, actions, noise)?;
        let returns = to_f64(&self.score(&rollout)?)?;
        let actions = match actions_too {
            true if rollout.actions.is_empty() => Some(Vec::new()),
            true => Some(to_f64(&Tensor::stack(&rollout.actions, 1)?)?),
            false => None,
        };
        Ok(Returns { returns, actions })
    }

    /// [`HStep::rollout`] without gradients; log-probabilities and costs are left out.
    ///
    /// # Errors
    /// As [`HStep::rollout`].
    pub fn rollout_forward(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<Rollout> {
        let Some((tasks, found)) = self.forward(s0, actions, noise, Keep::All)? else {
            return self.rollout(s0, actions, noise);
        };
        let b = s0.dim(0)?;
        // Puts the tasks' rows of one step back in order.
        let join = |pick: &dyn Fn(&Found) -> &Vec<f32>, vector: bool| -> Result<Tensor> {
            let total: usize = found.iter().map(|f| pick(f).len()).sum();
            let width = total.checked_div(b).unwrap_or(0);
            let mut all = vec![0f32; total];
            for (rows, found) in tasks.iter().zip(&found) {
                for (row, x) in rows.iter().zip(pick(found).chunks_exact(width.max(1))) {
                    all[*row as usize * width..][..width].copy_from_slice(x);
                }
            }
            let tensor = Tensor::from_vec(all, (b, width), s0.device())?;
            Ok(if vector { tensor.squeeze(1)? } else { tensor })
        };
        let steps = |n: usize, pick: fn(&Found, usize) -> &Vec<f32>, vector: bool| {
            (0..n).map(|t| join(&|f| pick(f, t), vector)).collect::<Result<Vec<_>>>()
        };
        let h = self.horizon;
        let cont = steps(h, |f, t| &f.cont[t], true)?;
        let mut alive: Vec<Option<Tensor>> = vec![None];
        for (t, cont) in cont.iter().enumerate() {
            let ends = found.iter().any(|f| f.cont[t].contains(&0.0));
            alive.push(if ends { Some(cont.clone()) } else { None });
        }
        let n = self.decisions();
        let taken = found.first().map_or(0, |f| f.actions.len());
        let mut actions = steps(taken, |f, t| &f.actions[t], false)?;
        let more = actions.split_off(n).into_iter().map(|action| (action, None)).collect();
        Ok(Rollout {
            states: steps(h + 1, |f, t| &f.states[t], false)?,
            next: steps(h, |f, t| &f.next[t], false)?,
            actions,
            rewards: steps(h, |f, t| &f.rewards[t], true)?,
            cont,
            log_probs: vec![Tensor::zeros(b, DType::F32, s0.device())?; n],
            costs: vec![None; n],
            alive,
            more,
            observations: vec![OnceCell::new(); h + 1],
        })
    }

    /// The tasks and what they found; `None` where the rollout has to go through tensors.
    fn forward(
        &self,
        s0: &Tensor,
        actions: Actions,
        noise: &Noise,
        keep: Keep,
    ) -> Result<Option<Blocks>> {
        let (b, spec) = self.check(s0, actions)?;
        if spec.ops != Ops::Fused || !spec.device.is_cpu() || spec.dtype != DType::F32 || b == 0 {
            return Ok(None);
        }
        let flat = |t: &Tensor| -> Result<Vec<f32>> { Ok(t.flatten_all()?.to_vec1()?) };
        let given = match actions {
            Actions::Open(sequence) | Actions::Perturbed { delta: sequence, .. } => flat(sequence)?,
            Actions::Policy(_) => Vec::new(),
        };
        let start = flat(s0)?;
        let Some(engine) = Engine::new(self, actions, &given, start.len() / b) else {
            return Ok(None);
        };
        let draws = match self.terminal {
            Terminal::Action { samples, .. } => self.horizon + samples.max(1),
            _ => self.horizon,
        };
        let policy = match actions {
            Actions::Open(_) => Numbers::Zero,
            _ => Numbers::new(&noise.policy, b, engine.a, draws, "policy")?,
        };
        let model = match noise.member {
            // The mean has no noise; numbers of another width are no error there.
            Members::Mean if engine.has_members => Numbers::Zero,
            _ => Numbers::new(&noise.model, b, engine.noise_dim, self.horizon, "model")?,
        };
        let given_members = match &noise.member {
            Members::Tensor(u) if engine.has_members => {
                if u.dims().len() != 2 || u.dim(0)? < self.horizon || u.dim(1)? != b {
                    let expected = format!("[{},{b}]", self.horizon);
                    return Err(Error::shape("member noise", expected, u.dims()));
                }
                Some(to_f64(u)?)
            }
            Members::Pinned(u) if engine.has_members && u.len() != b => {
                return Err(Error::shape("member noise", format!("[{b}]"), [u.len()]));
            }
            _ => None,
        };
        let choice = match &noise.member {
            Members::Pinned(u) if engine.has_members => Choice::Kept(u, engine.members()),
            Members::Key(_) | Members::Tensor(_) if engine.has_members => Choice::Fresh,
            _ => Choice::Same,
        };
        let tasks = tasks(b, &choice);
        let mut found: Vec<Option<Result<Found>>> = tasks.iter().map(|_| None).collect();
        let work = tasks.iter().zip(&mut found).collect();
        pool::for_each(work, true, |(rows, found): (&Vec<u32>, &mut Option<Result<Found>>)| {
            let (noises, members) = ((&policy, &model), given_members.as_deref());
            *found = Some(engine.run(rows, &start, noises, &noise.member, members, b, keep));
        });
        let found = found.into_iter().flatten().collect::<Result<Vec<Found>>>()?;
        Ok(Some((tasks, found)))
    }
}
