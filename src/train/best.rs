//! The checkpoint of the best evaluation, beside the newest ones.

use std::path::Path;

use super::folder::{best_folder, by_part};
use crate::checkpoint::{CheckpointDir, Snapshot};
use crate::error::Result;
use crate::learner::Agent;
use crate::metrics::Seal;

/// The state of a checkpoint that holds the best evaluation.
pub(super) const BEST: &str = "best";

/// The highest mean return of an evaluation so far, and where its checkpoint goes: without buffers, so it
/// can be evaluated and not gone on with.
pub(super) struct Best {
    dir: CheckpointDir,
    /// Of the evaluations since best checkpoints were asked for.
    pub value: Option<f64>,
}

impl Best {
    /// None yet.
    pub fn new(folder: &Path) -> Self {
        Self { dir: CheckpointDir::new(best_folder(folder)), value: None }
    }

    /// Keeps the agent where an evaluation of this mean return is better than all before it; `at` an
    /// environment step, with the rows written so far.
    pub fn offer(&mut self, value: f64, agent: &Agent, at: (u64, &Seal, &str)) -> Result<()> {
        if value.is_nan() || self.value.is_some_and(|best| value <= best) {
            return Ok(());
        }
        let (step, metrics, identity) = at;
        let (parts, states) = (by_part(agent.tensors()?), agent.state()?);
        let snapshot =
            Snapshot { parts, states, foreign: agent.foreign.clone(), ..Snapshot::default() };
        self.dir.save(&snapshot, step, metrics, identity)?;
        self.value = Some(value);
        Ok(())
    }
}
