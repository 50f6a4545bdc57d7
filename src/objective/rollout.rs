//! What a rollout leaves: the numbers of every step.

use std::cell::OnceCell;

use candle_core::Tensor;

use crate::error::{Error, Result};

/// What a rollout visited. A row that terminated stays in the last state it lived in, with zero
/// reward: the state that it died in may be infinite, and masking what comes of it would protect
/// the value, not the gradient.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// `s_0..s_H`, the states gone on from, `H + 1` tensors `[B,S]`.
    pub states: Vec<Tensor>,
    /// Where the steps led, `H` tensors `[B,S]`: as `states` from `s_1` on, but for the state in
    /// which a row dies, which stands here.
    pub next: Vec<Tensor>,
    /// The actions taken, `[B,A]` each: `H`, and one more where the terminal takes an action.
    pub actions: Vec<Tensor>,
    /// Rewards `r_0..r_{H-1}`, `[B]` each, zero once a row is dead.
    pub rewards: Vec<Tensor>,
    /// Continuation `cont_0..cont_{H-1}`, `[B]` each, 0 or 1.
    pub cont: Vec<Tensor>,
    /// `log pi(a_t|s_t)`, `[B]` each, one an action; zeros where actions were given, and for
    /// perturbed actions that pay no cost.
    pub log_probs: Vec<Tensor>,
    /// Costs `c_t`, `[B]` each, one an action; `None` where the step does not pay.
    pub costs: Vec<Option<Tensor>>,
    /// Whether a row lives at step t: the product of `cont` before it. `H + 1` tensors `[B]`;
    /// `None` stands for "all rows live".
    pub alive: Vec<Option<Tensor>>,
    /// More actions at `s_H` with their costs, where the terminal averages over several.
    pub more: Vec<(Tensor, Option<Tensor>)>,
    /// What was observed of `states`: to observe a simulator's state is to restore it, so it is done
    /// once, and where somebody looks.
    pub(super) observations: Vec<OnceCell<Tensor>>,
}

impl Rollout {
    /// The same numbers without their graph.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    pub fn detached(&self) -> Result<Self> {
        Self::joined(std::slice::from_ref(self), &|one| Ok(one[0].detach()))
    }

    /// Rollouts of other rows, but the same steps, as one; `join` puts what they have of each tensor
    /// together.
    pub(super) fn joined(all: &[Self], join: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Self> {
        let Some(first) = all.first() else {
            return Err(Error::shape("rollouts to join", "one or more", 0));
        };
        let one = |pick: &dyn Fn(&Self) -> &Tensor| -> Result<Tensor> {
            join(&all.iter().map(|rollout| pick(rollout).clone()).collect::<Vec<_>>())
        };
        let some = |pick: &dyn Fn(&Self) -> &Option<Tensor>| -> Result<Option<Tensor>> {
            let of: Option<Vec<Tensor>> = all.iter().map(|rollout| pick(rollout).clone()).collect();
            of.map(|of| join(&of)).transpose()
        };
        let steps = |pick: fn(&Self) -> &[Tensor]| -> Result<Vec<Tensor>> {
            (0..pick(first).len()).map(|t| one(&|rollout| &pick(rollout)[t])).collect()
        };
        let cont = steps(|rollout| &rollout.cont)?;
        // Where some rows have died, those live that the step before left alive.
        let alive = |t: usize| {
            let died = all.iter().any(|rollout| rollout.alive[t].is_some());
            died.then(|| cont[t - 1].clone())
        };
        Ok(Self {
            states: steps(|rollout| &rollout.states)?,
            next: steps(|rollout| &rollout.next)?,
            actions: steps(|rollout| &rollout.actions)?,
            rewards: steps(|rollout| &rollout.rewards)?,
            log_probs: steps(|rollout| &rollout.log_probs)?,
            costs: (0..first.costs.len())
                .map(|t| some(&|rollout| &rollout.costs[t]))
                .collect::<Result<_>>()?,
            alive: (0..first.alive.len()).map(alive).collect(),
            more: (0..first.more.len())
                .map(|i| Ok((one(&|r| &r.more[i].0)?, some(&|r| &r.more[i].1)?)))
                .collect::<Result<_>>()?,
            observations: vec![OnceCell::new(); first.states.len()],
            cont,
        })
    }

    /// Number of steps `H`.
    #[must_use]
    pub fn horizon(&self) -> usize {
        self.rewards.len()
    }
}
