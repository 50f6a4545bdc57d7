//! Checkpoints: everything a run needs to go on as if it had not stopped.
//!
//! A checkpoint knows nothing about agents: it is parts of named tensors, named strings (counters,
//! positions of random streams, the environment's state) and replay buffers. In its folder lie
//!
//! * `chunks/HASH.chunk`: 65,536 rows of a buffer each, immutable, so that a checkpoint writes only
//!   the chunks that changed since the last;
//! * `tensors/HASH.safetensors`: the tensors of a part, readable by any safetensors reader;
//! * `manifest-STEP.json`: what belongs to the checkpoint of that step, and what `metrics.csv` was.
//!
//! `HASH` is the content's XXH3-128. A file is written under a temporary name, flushed to the disk
//! and renamed, the manifest last: whenever the process ends, the newest manifest is whole. The last
//! two are kept. They share the chunks that did not change, so damage to one of those is damage to
//! both: the parts can be read without the replay ([`CheckpointDir::load_parts`]), and the rows of
//! whole chunks without the others ([`CheckpointDir::salvage`]).

mod chunk;
mod file;
mod manifest;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::fault;
use crate::hash::{Digest, digest, hex};
use crate::metrics::Seal;
use crate::replay::Replay;
use file::{Failure, TEMPORARY};
use manifest::{Blob, Buffer, Manifest, Stranger};
pub use read::Checked;

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What a user's own part wants to find again: hstep saves it and gives it back, and does not look
/// into it.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// Everything small, as text of any form.
    pub states: BTreeMap<String, String>,
    /// Numbers, of any shape.
    pub tensors: Tensors,
}

/// What a checkpoint is made of.
#[derive(Debug, Default)]
pub struct Snapshot<'a> {
    /// Parameters, optimiser moments, normalisers by the part they belong to; of any shape.
    pub parts: BTreeMap<String, Tensors>,
    /// Everything small, usually as JSON.
    pub states: BTreeMap<String, String>,
    /// The replay buffers.
    pub buffers: BTreeMap<String, &'a Replay>,
    /// What parts that hstep does not know have saved, by their names.
    pub foreign: BTreeMap<String, Foreign>,
}

/// A checkpoint that was read back.
#[derive(Debug)]
pub struct Loaded {
    /// The step it was saved at.
    pub step: u64,
    /// What `metrics.csv` was at that step.
    pub metrics: Seal,
    /// The identity of the configuration it belongs to.
    pub config_hash: String,
    /// The tensors of each part, on the CPU.
    pub parts: BTreeMap<String, Tensors>,
    /// The strings.
    pub states: BTreeMap<String, String>,
    /// The replay buffers, laid out as they were; none after [`CheckpointDir::load_parts`].
    pub buffers: BTreeMap<String, Replay>,
    /// What parts that hstep does not know have saved.
    pub foreign: BTreeMap<String, Foreign>,
    /// What was wrong with newer checkpoints that had to be passed over.
    pub warnings: Vec<String>,
}

/// A folder of checkpoints.
#[derive(Debug, Clone)]
pub struct CheckpointDir {
    path: PathBuf,
}

impl CheckpointDir {
    /// The folder `path`; it is created when something is saved.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether it holds no checkpoint, whole or not.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.manifests()?.is_empty())
    }

    /// Where the manifest of `step` lies.
    #[must_use]
    pub fn manifest_path(&self, step: u64) -> PathBuf {
        self.path.join(format!("manifest-{step:012}.json"))
    }

    /// Saves the checkpoint of `step` and removes what only older ones than the previous need, and
    /// checkpoints of later steps (a future that was given up when an older one was loaded).
    ///
    /// `metrics` is what `metrics.csv` is, already flushed to the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or not writable: the previous checkpoint is untouched
    /// and what was written of this one is removed where possible. [`Error::Checkpoint`] when a
    /// tensor cannot be stored.
    pub fn save(
        &self,
        snapshot: &Snapshot,
        step: u64,
        metrics: &Seal,
        config_hash: &str,
    ) -> Result<()> {
        let mut new = Vec::new();
        let saved = self.write(snapshot, step, metrics, config_hash, &mut new);
        if saved.is_err() {
            // The first error is the one to report.
            new.iter().for_each(|path| drop(file::remove(path)));
        }
        let manifest = saved?;
        fault::point("after-rename");
        file::sync_folder(&self.path)?;
        fault::point("before-pruning");
        self.prune(&manifest)
    }

    /// Writes everything up to the manifest; lists in `new` the files that were not there before.
    fn write(
        &self,
        snapshot: &Snapshot,
        step: u64,
        metrics: &Seal,
        config_hash: &str,
        new: &mut Vec<PathBuf>,
    ) -> Result<Manifest> {
        file::create_folder(&self.chunks())?;
        file::create_folder(&self.tensors())?;
        let mut buffers = BTreeMap::new();
        for (name, replay) in &snapshot.buffers {
            buffers.insert(name.clone(), self.write_buffer(replay, new)?);
        }
        let mut parts = BTreeMap::new();
        for (name, tensors) in &snapshot.parts {
            parts.insert(name.clone(), self.write_tensors(tensors, new)?);
        }
        let mut foreign = BTreeMap::new();
        for (name, Foreign { states, tensors }) in &snapshot.foreign {
            let some = !tensors.is_empty();
            let tensors = some.then(|| self.write_tensors(tensors, new)).transpose()?;
            foreign.insert(name.clone(), Stranger { states: states.clone(), tensors });
        }
        file::sync_folder(&self.chunks())?;
        file::sync_folder(&self.tensors())?;

        let manifest = Manifest {
            buffers,
            config_hash: config_hash.to_owned(),
            foreign,
            metrics: metrics.clone(),
            parts,
            states: snapshot.states.clone(),
            step,
        };
        let path = self.manifest_path(step);
        let bytes = manifest
            .encode()
            .map_err(|error| Error::checkpoint(&path, format!("cannot write: {error}")))?;
        if bytes.len() as u64 > manifest::MAX_BYTES {
            let problem = "the states are larger than 64 MiB: store them as tensors";
            return Err(Error::checkpoint(&path, problem));
        }
        let points = Some(["after-temporary-write", "before-rename"]);
        file::write(&path, &bytes, "manifest-half-written", points)?;
        Ok(manifest)
    }

    fn write_buffer(&self, replay: &Replay, new: &mut Vec<PathBuf>) -> Result<Buffer> {
        let mut chunks = Vec::new();
        for first in (0..replay.len()).step_by(chunk::ROWS) {
            let rows = chunk::ROWS.min(replay.len() - first);
            let (bytes, digest) = chunk::encode(replay, first, rows);
            chunks.push(self.write_blob(&bytes, &digest, Self::chunk_path, new)?);
        }
        Ok(Buffer {
            capacity: replay.capacity(),
            chunks,
            columns: chunk::columns(replay),
            len: replay.len(),
            oldest: replay.oldest(),
        })
    }

    fn write_tensors(&self, tensors: &Tensors, new: &mut Vec<PathBuf>) -> Result<Blob> {
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|error| Error::checkpoint(&self.path, format!("cannot store: {error}")))?;
        self.write_blob(&bytes, &digest(&bytes), Self::tensors_path, new)
    }

    /// Writes a file named by its content, unless it is there.
    fn write_blob(
        &self,
        bytes: &[u8],
        digest: &Digest,
        path: impl Fn(&Self, &str) -> PathBuf,
        new: &mut Vec<PathBuf>,
    ) -> Result<Blob> {
        let blob = Blob { bytes: bytes.len() as u64, hash: hex(digest) };
        let path = path(self, &blob.hash);
        // A file gets its name only when it is whole, but may be damaged later: the run then goes
        // on from an older checkpoint and comes by this content again.
        if file::read(&path, Some(blob.bytes), blob.bytes).is_ok_and(|there| there == bytes) {
            return Ok(blob);
        }
        file::write(&path, bytes, "chunk-half-written", None)?;
        new.push(path);
        Ok(blob)
    }

    fn chunks(&self) -> PathBuf {
        self.path.join("chunks")
    }

    fn tensors(&self) -> PathBuf {
        self.path.join("tensors")
    }

    fn chunk_path(&self, hash: &str) -> PathBuf {
        self.chunks().join(format!("{hash}.chunk"))
    }

    fn tensors_path(&self, hash: &str) -> PathBuf {
        self.tensors().join(format!("{hash}.safetensors"))
    }

    /// The manifests with their steps, from the newest to the oldest.
    fn manifests(&self) -> Result<Vec<(u64, PathBuf)>> {
        let step = |path: &Path| -> Option<u64> {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("manifest-")?.strip_suffix(".json")?.parse().ok()
        };
        let files = file::list(&self.path)?.into_iter();
        let mut found: Vec<_> = files.filter_map(|path| Some((step(&path)?, path))).collect();
        found.sort();
        found.reverse();
        Ok(found)
    }

    /// Keeps `newest` and the newest readable manifest before it, with the files they name.
    fn prune(&self, newest: &Manifest) -> Result<()> {
        let mut keep: BTreeSet<PathBuf> = BTreeSet::from([self.manifest_path(newest.step)]);
        let mut kept = vec![newest.clone()];
        for (step, path) in self.manifests()? {
            if step < newest.step
                && kept.len() < 2
                && let Ok(previous) = read_manifest(&path)
            {
                keep.insert(path);
                kept.push(previous);
            }
        }
        for blob in kept.iter().flat_map(Manifest::blobs) {
            keep.insert(self.chunk_path(&blob.hash));
            keep.insert(self.tensors_path(&blob.hash));
        }
        let manifests = self.manifests()?.into_iter().map(|(_, path)| path);
        let ends = |path: &PathBuf, end: &str| path.extension().is_some_and(|e| e == end);
        let temporary = file::list(&self.path)?.into_iter().filter(|path| ends(path, TEMPORARY));
        let blobs =
            [file::list(&self.chunks())?, file::list(&self.tensors())?].into_iter().flatten();
        let blobs = blobs.filter(|path| {
            ends(path, TEMPORARY) || ends(path, "chunk") || ends(path, "safetensors")
        });
        manifests
            .chain(temporary)
            .chain(blobs)
            .filter(|path| !keep.contains(path))
            .try_for_each(|path| file::remove(&path))
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    Manifest::decode(path, &file::read(path, None, manifest::MAX_BYTES)?)
}
