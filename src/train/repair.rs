//! Going on with a checkpoint whose replay is damaged.

use std::path::Path;

use super::folder::{LOST, checkpoint_folder, lock};
use crate::checkpoint::{CheckpointDir, Snapshot};
use crate::error::{Error, Result};
use crate::json::{from_json, json};
use crate::replay::Replay;

/// What of the replay a repair keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The rows of chunks that are whole.
    Intact,
    /// No row.
    Nothing,
}

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// The step of the checkpoint that the run goes on from.
    pub step: u64,
    /// What is as it was.
    pub kept: Vec<String>,
    /// What is not; nothing was changed if it is empty.
    pub lost: Vec<String>,
}

/// Makes the checkpoint that a run goes on from readable again, by leaving out rows of its replay.
/// The run remembers what it lost, and is no longer what its settings alone say.
///
/// A folder with a checkpoint that is whole is left as it is, unless nothing is to be kept.
///
/// # Errors
/// [`Error::Checkpoint`] when no checkpoint's networks are whole, `metrics.csv` is not as it was
/// written, or another process runs the run; [`Error::Io`] for files that cannot be read or written.
pub fn repair(folder: &Path, keep: Keep) -> Result<Repaired> {
    let _lock = lock(folder)?;
    let at = checkpoint_folder(folder);
    let checkpoints = CheckpointDir::new(&at);
    let whole = if keep == Keep::Intact { checkpoints.load_latest() } else { Ok(None) };
    let (mut loaded, mut lost) = match whole {
        Ok(Some(loaded)) => (loaded, Vec::new()),
        Err(error) if !matches!(error, Error::Checkpoint { .. }) => return Err(error),
        _ => match checkpoints.salvage()? {
            Some(found) => found,
            None => return Err(Error::checkpoint(at, "holds no checkpoint: nothing to repair")),
        },
    };
    loaded.metrics.check(&folder.join("metrics.csv"))?;
    if keep == Keep::Nothing {
        for (name, buffer) in &mut loaded.buffers {
            if !buffer.is_empty() {
                lost.push(format!("buffer `{name}`: all {} rows", buffer.len()));
            }
            buffer.clear();
        }
    }
    let rows =
        |(name, buffer): (&String, &Replay)| format!("buffer `{name}`: {} rows", buffer.len());
    let kept = std::iter::once("networks, optimisers, random streams".to_owned())
        .chain(loaded.buffers.iter().map(rows))
        .collect();
    if !lost.is_empty() {
        let mut all: Vec<String> = match loaded.states.contains_key(LOST) {
            true => from_json(LOST, &loaded.states)?,
            false => Vec::new(),
        };
        all.extend(lost.iter().map(|what| format!("step {}: {what}", loaded.step)));
        loaded.states.insert(LOST.into(), json(&all)?);
        let buffers = loaded.buffers.iter().map(|(name, buffer)| (name.clone(), buffer)).collect();
        let snapshot = Snapshot {
            parts: loaded.parts,
            states: loaded.states,
            buffers,
            foreign: loaded.foreign,
        };
        checkpoints.save(&snapshot, loaded.step, &loaded.metrics, &loaded.config_hash)?;
    }
    // Newer checkpoints that had to be passed over are lost, too.
    lost.extend(loaded.warnings);
    Ok(Repaired { step: loaded.step, kept, lost })
}
