//! Transitions: one, many, and a batch of tensors.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{NEXT_STATE, STATE};
use crate::error::Result;
use crate::ops;

/// One transition `(s_t, a_t, r_t, s_tp1, cont_t)`.
#[derive(Debug, Clone, PartialEq)]
pub struct TransitionRow<'a> {
    /// The observation `[O]`.
    pub obs: &'a [f32],
    /// The normalised action `[A]`, each in `[-1, 1]`.
    pub action: &'a [f32],
    /// The reward.
    pub reward: f32,
    /// The next observation `[O]`.
    pub next_obs: &'a [f32],
    /// 0 when the episode terminated here, otherwise 1 (also when it was truncated).
    pub cont: f32,
    /// The buffer's own columns, in their order.
    pub own: Vec<&'a [f32]>,
}

/// Many transitions, each column row-major.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    /// Observations `[n,O]`.
    pub obs: &'a [f32],
    /// Normalised actions `[n,A]`.
    pub action: &'a [f32],
    /// Rewards `[n]`.
    pub reward: &'a [f32],
    /// Next observations `[n,O]`.
    pub next_obs: &'a [f32],
    /// Continuations `[n]`, each 0 or 1.
    pub cont: &'a [f32],
    /// The buffer's own columns, in their order.
    pub own: Vec<&'a [f32]>,
}

impl<'a> Rows<'a> {
    pub(super) fn cells(&self) -> Vec<&'a [f32]> {
        let fixed = [self.obs, self.action, self.reward, self.next_obs, self.cont];
        fixed.into_iter().chain(self.own.iter().copied()).collect()
    }
}

/// Where a use of the objective begins: what is observed, and the model's states behind it.
#[derive(Debug, Clone)]
pub struct Start {
    /// Observations `[B,O]`.
    pub obs: Tensor,
    /// States of the model `[B,S]`; the observations themselves where its states are no others.
    pub state: Tensor,
}

impl Start {
    /// A start of these observations, and of these states where they are not the same.
    #[must_use]
    pub fn of(obs: &Tensor, state: Option<&Tensor>) -> Self {
        Self { obs: obs.clone(), state: state.unwrap_or(obs).clone() }
    }

    /// What a rollout starts from: the states with a model, the observations without.
    #[must_use]
    pub fn rolled(&self, model: bool) -> &Tensor {
        if model { &self.state } else { &self.obs }
    }

    /// These rows, in this order.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for a row that does not exist.
    pub fn rows(&self, rows: &[u32]) -> Result<Self> {
        Ok(Self {
            obs: ops::take_rows(&self.obs, rows)?,
            state: ops::take_rows(&self.state, rows)?,
        })
    }
}

/// A batch of transitions as tensors of a [`Spec`](crate::shape::Spec)'s number type.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Observations `[n,O]`.
    pub obs: Tensor,
    /// Normalised actions `[n,A]`.
    pub action: Tensor,
    /// Rewards `[n]`.
    pub reward: Tensor,
    /// Next observations `[n,O]`.
    pub next_obs: Tensor,
    /// Continuations `[n]`, each 0 or 1.
    pub cont: Tensor,
    /// The buffer's own columns `[n,W]`, by name.
    pub own: BTreeMap<String, Tensor>,
}

impl Batch {
    /// Where the transitions begin.
    #[must_use]
    pub fn start(&self) -> Start {
        Start::of(&self.obs, self.own.get(STATE))
    }

    /// Where they lead.
    #[must_use]
    pub fn next(&self) -> Start {
        Start::of(&self.next_obs, self.own.get(NEXT_STATE))
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reward.elem_count()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
