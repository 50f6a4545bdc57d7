//! Parts as functions of plain rows: what a rollout without gradients goes through.
//!
//! Every part of a rollout can offer this second form of itself ([`crate::dynamics::Dynamics::rows`]
//! and its like). It is made for one rollout, reads the parameters as they are then, computes in
//! `f32` without a graph, and what a row becomes does not depend on the rows beside it. A part that
//! has none sends the rollout through tensors.

use crate::error::Result;
use crate::nn::tile::Room;

/// Working memory of one thread's block of rows, used again from step to step.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) room: Room,
    pub(crate) input: Vec<f32>,
    pub(crate) output: Vec<f32>,
    pub(crate) head: Vec<f32>,
    pub(crate) order: Vec<u32>,
}

/// Which member of a model takes a row's step.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Member {
    /// The best one, for every row.
    #[default]
    Best,
    /// By a uniform number in `[0,1)` a row.
    Rows(Vec<f64>),
    /// None: the mean of all members' means, without noise.
    Mean,
}

/// One step of some rows, row-major: what is given.
#[derive(Debug, Clone, Copy)]
pub struct StepIn<'a> {
    /// States `[n,S]`.
    pub state: &'a [f32],
    /// Normalised actions `[n,A]`.
    pub action: &'a [f32],
    /// Standard normal numbers `[n,N]`; `None` for zeros.
    pub normal: Option<&'a [f32]>,
    /// Who steps.
    pub member: &'a Member,
}

/// One step of some rows, row-major: where the results go.
#[derive(Debug)]
pub struct StepOut<'a> {
    /// Next states `[n,S]`.
    pub next: &'a mut [f32],
    /// Rewards `[n]`.
    pub reward: &'a mut [f32],
    /// 1 where the episode goes on, 0 where it has terminated. `[n]`
    pub cont: &'a mut [f32],
}

/// Dynamics on rows; the state is the observation.
pub trait RowDynamics: Send + Sync {
    /// The step of [`crate::dynamics::Dynamics::step`].
    ///
    /// # Errors
    /// As there.
    fn step(&self, given: StepIn, out: StepOut, work: &mut Workspace) -> Result<()>;

    /// How many members [`Member::Rows`] chooses among; 1 for dynamics without.
    fn members(&self) -> usize {
        1
    }
}

/// A policy on rows.
pub trait RowPolicy: Send + Sync {
    /// Length `O` of an observation.
    fn obs_dim(&self) -> usize;

    /// Actions `[n,A]` at observations `[n,O]`: samples with the standard normal numbers `eps`
    /// `[n,A]`, modes without; and their `log pi(a|s)` `[n]` where it is asked for.
    fn act(
        &self,
        obs: &[f32],
        eps: Option<&[f32]>,
        action: &mut [f32],
        log_prob: Option<&mut [f32]>,
        work: &mut Workspace,
    );

    /// `log pi(a|s)` `[n]` of given actions `[n,A]` at observations `[n,O]`.
    fn log_prob(&self, obs: &[f32], action: &[f32], out: &mut [f32], work: &mut Workspace);
}

/// A state value on rows.
pub trait RowValue: Send + Sync {
    /// Length `O` of an observation.
    fn obs_dim(&self) -> usize;

    /// `V(s)` `[n]` of observations `[n,O]`.
    fn value(&self, obs: &[f32], out: &mut [f32], work: &mut Workspace);
}

/// Action values on rows.
pub trait RowCritic: Send + Sync {
    /// Number `E` of members.
    fn members(&self) -> usize;

    /// Lengths `O` of an observation and `A` of an action.
    fn widths(&self) -> (usize, usize);

    /// `Q_e(s, a)` `[E,n]` of observations `[n,O]` and actions `[n,A]`.
    fn q(&self, obs: &[f32], action: &[f32], out: &mut [f32], work: &mut Workspace);
}
