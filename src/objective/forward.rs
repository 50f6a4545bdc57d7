//! Rollouts without gradients: blocks of rows go through the whole horizon, one block a task.
//!
//! Equal to the rollouts through tensors but for rounding (1e-5 relative), for any blocking and
//! number of threads bit for bit. Where a part has no form on rows, tensors take over.

use candle_core::{DType, Tensor};

use super::inputs::Rows;
use super::rows::Forms;
use super::{Actions, Given, HStep, Members, Noise, Rollout};
use crate::error::Result;
use crate::ops;
use crate::pool;
use crate::shape::{Ops, to_f64};

/// Rows of a task, at least (fewer are too many calls for their arithmetic) and at most (their
/// activations stay in the second cache); of several members, when they change from step to step.
const ROWS: (usize, usize) = (64, 256);
/// See [`ROWS`].
const MIXED_ROWS: (usize, usize) = (128, 512);

/// `J_H` of every row, and what was done.
#[derive(Debug, Clone)]
pub struct Returns {
    /// `J_H` `[B]`.
    pub returns: Vec<f64>,
    /// The actions taken `[B,n,A]`, row-major, where they were asked for.
    pub actions: Option<Vec<f64>>,
}

/// The rows of every task.
type Tasks = Vec<Vec<u32>>;

/// The tasks of `b` rows, with members of `n` chosen by `members`: of one member where each row
/// keeps its own, else as they come. What a row becomes does not depend on it.
fn tasks(b: usize, n: usize, members: &Members) -> Tasks {
    let mut order: Vec<u32> = (0..b as u32).collect();
    let cut = |rows: &[u32], most: usize| -> Vec<Vec<u32>> {
        let n = rows.len().div_ceil(most);
        (0..n).map(|i| rows[i * rows.len() / n..(i + 1) * rows.len() / n].to_vec()).collect()
    };
    // Every thread has something to do.
    let own = (b / 8).clamp(ROWS.0, ROWS.1);
    match members {
        Members::Pinned(members) if n > 1 => {
            let member = |row: &u32| (members[*row as usize] * n as f64) as usize;
            order.sort_by_key(member);
            let of_members = order.chunk_by(|i, j| member(i) == member(j));
            of_members.flat_map(|rows| cut(rows, own)).collect()
        }
        Members::Key(_) | Members::Tensor(_) if n > 1 => {
            cut(&order, (b / 4).clamp(MIXED_ROWS.0, MIXED_ROWS.1))
        }
        _ => cut(&order, own),
    }
}

/// What the tasks found, `[rows,..]` each, as one batch in its own order.
fn joined(tasks: &[Vec<u32>], found: &[Tensor]) -> Result<Tensor> {
    let whole = Tensor::cat(found, 0)?;
    let order = tasks.concat();
    if order.is_sorted() {
        return Ok(whole);
    }
    let mut places = vec![0u32; order.len()];
    order.iter().zip(0..).for_each(|(row, place)| places[*row as usize] = place);
    ops::take_rows(&whole, &places)
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
        let sum = |hstep: &HStep, rollout: Rollout| -> Result<(Tensor, Option<Tensor>)> {
            let wanted = actions_too && !rollout.actions.is_empty();
            let taken = wanted.then(|| Tensor::stack(&rollout.actions, 1)).transpose()?;
            Ok((hstep.score(&rollout)?, taken))
        };
        let (returns, taken) = match self.on_rows(s0, actions, noise, sum)? {
            Some((tasks, found)) => {
                let (returns, taken): (Vec<_>, Vec<_>) = found.into_iter().unzip();
                let taken: Option<Vec<Tensor>> = taken.into_iter().collect();
                let taken = taken.map(|taken| joined(&tasks, &taken)).transpose()?;
                (joined(&tasks, &returns)?, taken)
            }
            None => sum(self, self.rollout(s0, actions, noise)?)?,
        };
        let actions = match taken {
            Some(taken) => Some(to_f64(&taken)?),
            None => actions_too.then(Vec::new),
        };
        Ok(Returns { returns: to_f64(&returns)?, actions })
    }

    /// [`HStep::rollout`] without gradients; log-probabilities are zeros where no action pays.
    ///
    /// # Errors
    /// As [`HStep::rollout`].
    pub fn rollout_forward(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<Rollout> {
        match self.on_rows(s0, actions, noise, |_, rollout| Ok(rollout))? {
            Some((tasks, found)) => Rollout::joined(&found, &|parts| joined(&tasks, parts)),
            None => self.rollout(s0, actions, noise),
        }
    }

    /// The rows of every task, and what `found` makes of their rollout; `None` where the rollout has
    /// to go through tensors.
    fn on_rows<T: Send>(
        &self,
        s0: &Tensor,
        actions: Actions,
        noise: &Noise,
        found: impl Fn(&HStep, Rollout) -> Result<T> + Sync + Send,
    ) -> Result<Option<(Tasks, Vec<T>)>> {
        let (b, spec) = self.check(s0, actions, noise)?;
        if spec.ops != Ops::Fused || !spec.device.is_cpu() || spec.dtype != DType::F32 || b == 0 {
            return Ok(None);
        }
        let Some(forms) = Forms::new(self, actions, s0.dim(1)?) else { return Ok(None) };
        let objective = forms.objective(self);
        let (s0, sequence) = (s0.detach(), actions.sequence().map(Tensor::detach));
        let run = |rows: &[u32]| -> Result<T> {
            let rows = Rows::These(rows);
            let own = sequence.as_ref().map(|sequence| rows.of(sequence)).transpose()?;
            let actions = forms.actions(actions, own.as_ref());
            let given = Given::new(actions, noise, rows, &spec)?;
            found(&objective, objective.roll(&rows.of(&s0)?, &given)?)
        };
        let tasks = tasks(b, forms.members(), &noise.member);
        let mut results: Vec<Option<Result<T>>> = tasks.iter().map(|_| None).collect();
        let work = tasks.iter().zip(&mut results).collect();
        pool::for_each(work, true, |(rows, result): (&Vec<u32>, &mut Option<Result<T>>)| {
            *result = Some(run(rows));
        });
        let results = results.into_iter().flatten().collect::<Result<Vec<T>>>()?;
        Ok(Some((tasks, results)))
    }
}
