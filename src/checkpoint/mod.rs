//! Checkpoints: everything a run needs to go on as if it had not stopped.
//!
//! A checkpoint knows nothing about agents: it is named tensors, named strings (counters, positions
//! of random streams, the environment's state) and replay buffers. In its folder lie
//!
//! * `chunks/HASH.chunk`: 65,536 rows of a buffer each, immutable, so that a checkpoint writes only
//!   the chunks that changed since the last;
//! * `tensors/HASH.safetensors`: the tensors, readable by any safetensors reader;
//! * `manifest-STEP.json`: what belongs to the checkpoint of that step.
//!
//! `HASH` is a 128-bit hash of the content. A file is written under a temporary name, flushed to
//! the disk and renamed, the manifest last: whenever the process ends, the newest manifest is
//! whole. The last two are kept.

mod chunk;
mod file;
mod hash;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::fault;
use crate::replay::Replay;
use file::{Failure, TEMPORARY, garbled};
use hash::{digest, hex};
use manifest::{Blob, Buffer, Manifest};

/// What a checkpoint is made of.
#[derive(Debug, Default)]
pub struct Snapshot<'a> {
    /// Parameters, optimiser moments, normalisers; of any shape.
    pub tensors: BTreeMap<String, Tensor>,
    /// Everything small, usually as JSON.
    pub states: BTreeMap<String, String>,
    /// The replay buffers.
    pub buffers: BTreeMap<String, &'a Replay>,
}

/// A checkpoint that was read back.
#[derive(Debug)]
pub struct Loaded {
    /// The step it was saved at.
    pub step: u64,
    /// The length in bytes of `metrics.csv` at that step.
    pub metrics_len: u64,
    /// The identity of the configuration it belongs to.
    pub config_hash: String,
    /// The tensors, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
    /// The strings.
    pub states: BTreeMap<String, String>,
    /// The replay buffers, laid out as they were.
    pub buffers: BTreeMap<String, Replay>,
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

    /// Where the manifest of `step` lies.
    #[must_use]
    pub fn manifest_path(&self, step: u64) -> PathBuf {
        self.path.join(format!("manifest-{step:012}.json"))
    }

    /// Saves the checkpoint of `step` and removes what only older ones than the previous need, and
    /// checkpoints of later steps (a future that was given up when an older one was loaded).
    ///
    /// `metrics_len` is the length of `metrics.csv`, already flushed to the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or not writable: the previous checkpoint is untouched
    /// and what was written of this one is removed where possible. [`Error::Checkpoint`] when a
    /// tensor cannot be stored.
    pub fn save(
        &self,
        snapshot: &Snapshot,
        step: u64,
        metrics_len: u64,
        config_hash: &str,
    ) -> Result<()> {
        let mut new = Vec::new();
        let saved = self.write(snapshot, step, metrics_len, config_hash, &mut new);
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
        metrics_len: u64,
        config_hash: &str,
        new: &mut Vec<PathBuf>,
    ) -> Result<Manifest> {
        file::create_folder(&self.chunks())?;
        file::create_folder(&self.tensors())?;
        let mut buffers = BTreeMap::new();
        for (name, replay) in &snapshot.buffers {
            buffers.insert(name.clone(), self.write_buffer(replay, new)?);
        }
        let tensors = safetensors::serialize(&snapshot.tensors, None)
            .map_err(|error| Error::checkpoint(&self.path, format!("cannot store: {error}")))?;
        let tensors = self.write_blob(&tensors, &digest(&tensors), Self::tensors_path, new)?;
        file::sync_folder(&self.chunks())?;
        file::sync_folder(&self.tensors())?;

        let manifest = Manifest {
            buffers,
            config_hash: config_hash.to_owned(),
            metrics_len,
            states: snapshot.states.clone(),
            step,
            tensors,
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
            len: replay.len(),
            oldest: replay.oldest(),
            widths: replay.widths(),
        })
    }

    /// Writes a file named by its content, unless it is there.
    fn write_blob(
        &self,
        bytes: &[u8],
        digest: &[u8; 16],
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

    /// Reads the newest checkpoint that is whole; `None` if the folder has none at all.
    ///
    /// One that is truncated, garbled or incomplete is passed over with a warning.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there are checkpoints but none is whole, or one is of another
    /// format version; [`Error::Io`] when a file cannot be read.
    pub fn load_latest(&self) -> Result<Option<Loaded>> {
        loop {
            let manifests = self.manifests()?;
            let problems = match self.load_first(&manifests)? {
                Ok(loaded) => return Ok(loaded),
                Err(problems) => problems,
            };
            // A running run may have saved and pruned meanwhile: what was looked for is gone, and newer
            // ones are there.
            if self.manifests()? != manifests {
                continue;
            }
            let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let problem =
                format!("none is whole: {}. Remove the folder to start anew", listed.join("; "));
            return Err(Error::checkpoint(&self.path, problem));
        }
    }

    /// The first of `manifests` whose checkpoint is whole, `None` if there is none at all; else what is
    /// wrong with each.
    fn load_first(
        &self,
        manifests: &[(u64, PathBuf)],
    ) -> Result<Result<Option<Loaded>, Vec<Error>>> {
        let mut problems: Vec<Error> = Vec::new();
        for (step, path) in manifests {
            match self.load(*step, path) {
                Ok(mut loaded) => {
                    for problem in problems {
                        let warning = format!("{problem}; going on from step {step} instead");
                        tracing::warn!("{warning}");
                        loaded.warnings.push(warning);
                    }
                    return Ok(Ok(Some(loaded)));
                }
                Err(Failure::Garbled(problem)) => problems.push(problem),
                Err(Failure::Fatal(problem)) => return Err(problem),
            }
        }
        Ok(if problems.is_empty() { Ok(None) } else { Err(problems) })
    }

    fn load(&self, step: u64, path: &Path) -> Result<Loaded, Failure> {
        let manifest = read_manifest(path)?;
        if manifest.step != step {
            let problem = format!("is the manifest of step {}, not {step}", manifest.step);
            return Err(garbled(path, problem));
        }
        let mut buffers = BTreeMap::new();
        for (name, buffer) in &manifest.buffers {
            buffers.insert(name.clone(), self.load_buffer(path, name, buffer)?);
        }
        Ok(Loaded {
            step,
            metrics_len: manifest.metrics_len,
            config_hash: manifest.config_hash,
            tensors: self.load_tensors(path, &manifest.tensors)?,
            states: manifest.states,
            buffers,
            warnings: Vec::new(),
        })
    }

    fn load_buffer(&self, manifest: &Path, name: &str, buffer: &Buffer) -> Result<Replay, Failure> {
        let wrong = || garbled(manifest, format!("the geometry of buffer `{name}` is impossible"));
        let Buffer { capacity, len, oldest, widths, ref chunks } = *buffer;
        let shape_fits = widths[2] == 1 && widths[4] == 1 && widths[0] == widths[3];
        if !shape_fits || len > capacity || len.div_ceil(chunk::ROWS) != chunks.len() {
            return Err(wrong());
        }
        let empty = Replay::new(capacity, widths[0], widths[1]).map_err(|_| wrong())?;
        let mut replay = empty.with_state(widths[5]);
        for blob in chunks {
            let rows = chunk::ROWS.min(len - replay.len());
            let bytes = chunk::file_len(rows, widths).ok_or_else(wrong)?;
            let hash = blob.digest().ok_or_else(wrong)?;
            let path = self.chunk_path(&blob.hash);
            let read = file::read(&path, Some(bytes), bytes)?;
            replay.append_stored(&chunk::decode(&path, &read, &hash, rows, widths)?);
        }
        if replay.set_oldest(oldest) { Ok(replay) } else { Err(wrong()) }
    }

    fn load_tensors(
        &self,
        manifest: &Path,
        blob: &Blob,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let Some(hash) = blob.digest() else {
            return Err(garbled(manifest, "the name of the tensor file is garbled"));
        };
        let path = self.tensors_path(&blob.hash);
        let bytes = file::read(&path, Some(blob.bytes), blob.bytes)?;
        if digest(&bytes) != hash {
            return Err(garbled(&path, "its content does not match its checksum"));
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| garbled(&path, error.to_string()))?;
        Ok(tensors.into_iter().collect())
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    Manifest::decode(path, &file::read(path, None, manifest::MAX_BYTES)?)
}
