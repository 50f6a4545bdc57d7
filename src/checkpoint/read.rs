//! Reading checkpoints: all of one, its parts alone, or what of its replay is whole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::file::{self, Failure, garbled};
use super::manifest::{Blob, Buffer, Manifest};
use super::{CheckpointDir, Foreign, Loaded, Tensors, chunk, read_manifest};
use crate::error::{Error, Result};
use crate::hash::digest;
use crate::metrics::Seal;
use crate::replay::Replay;

/// What of the replay must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    All,
    Intact,
    None,
}

/// What became of a checkpoint's files.
#[derive(Debug)]
pub struct Checked {
    /// The step it was saved at.
    pub step: u64,
    /// The identity of its configuration and what `metrics.csv` was; none if the manifest itself is
    /// damaged.
    pub of: Option<(String, Seal)>,
    /// Rows of each replay buffer.
    pub rows: BTreeMap<String, usize>,
    /// Every file that is not as it was written, and in what.
    pub problems: Vec<String>,
}

impl CheckpointDir {
    /// Reads the newest checkpoint that is whole; `None` if the folder has none at all.
    ///
    /// One that is truncated, garbled or incomplete is passed over with a warning.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there are checkpoints but none is whole, or one is of another
    /// format version; [`Error::Io`] when a file cannot be read.
    pub fn load_latest(&self) -> Result<Option<Loaded>> {
        self.newest(Rows::All, &mut Vec::new())
    }

    /// The same without the replay buffers, which are not looked at.
    ///
    /// # Errors
    /// As [`CheckpointDir::load_latest`].
    pub fn load_parts(&self) -> Result<Option<Loaded>> {
        self.newest(Rows::None, &mut Vec::new())
    }

    /// The newest checkpoint whose parts are whole, with the rows of those chunks that are; in their
    /// buffers the oldest row lies first. Also says which rows are lost.
    ///
    /// # Errors
    /// As [`CheckpointDir::load_latest`].
    pub fn salvage(&self) -> Result<Option<(Loaded, Vec<String>)>> {
        let mut lost = Vec::new();
        let found = self.newest(Rows::Intact, &mut lost)?;
        Ok(found.map(|loaded| (loaded, lost)))
    }

    /// Reads every file of every checkpoint, from the newest to the oldest.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed.
    pub fn verify(&self) -> Result<Vec<Checked>> {
        let checked = |(step, path): (u64, PathBuf)| {
            let mut found = Checked { step, of: None, rows: BTreeMap::new(), problems: Vec::new() };
            match read_manifest(&path).and_then(|m| expect_step(m, step, &path)) {
                Ok(manifest) => self.verify_files(&path, manifest, &mut found),
                Err(failure) => found.problems.push(failure.error().to_string()),
            }
            found
        };
        Ok(self.manifests()?.into_iter().map(checked).collect())
    }

    fn verify_files(&self, path: &Path, manifest: Manifest, found: &mut Checked) {
        let mut problems = Vec::new();
        for (name, buffer) in &manifest.buffers {
            found.rows.insert(name.clone(), buffer.len);
            match self.load_buffer(path, name, buffer, &mut problems) {
                Ok(_) => {}
                Err(failure) => problems.push(failure.error().to_string()),
            }
        }
        let foreign = manifest.foreign.iter();
        let foreign = foreign.filter_map(|(name, s)| Some((name, s.tensors.as_ref()?)));
        for (name, blob) in manifest.parts.iter().chain(foreign) {
            if let Err(failure) = self.load_tensors(path, blob) {
                problems.push(format!("part `{name}`: {}", failure.error()));
            }
        }
        found.problems = problems;
        found.of = Some((manifest.config_hash, manifest.metrics));
    }

    fn newest(&self, rows: Rows, lost: &mut Vec<String>) -> Result<Option<Loaded>> {
        let problems = loop {
            let manifests = self.manifests()?;
            match self.first_whole(&manifests, rows, lost)? {
                Ok(found) => return Ok(found),
                Err(problems) if self.manifests()? == manifests => break problems,
                // A running run has saved and pruned meanwhile: what was looked for is gone, and newer
                // ones are there.
                Err(_) => {}
            }
        };
        let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let mut problem = format!("none is whole: {}. ", listed.join("; "));
        let parts = if rows == Rows::All { self.load_parts() } else { Ok(None) };
        problem += &match parts {
            Ok(Some(parts)) => format!(
                "The networks of step {} are: `hstep eval` and `hstep render` work, `hstep repair` \
                 keeps the rows of the replay that are whole, `hstep resume --without-replay` none",
                parts.step
            ),
            _ => "Remove the folder to start anew".to_owned(),
        };
        Err(Error::checkpoint(&self.path, problem))
    }

    /// The first of `manifests` whose checkpoint is whole, `None` if there is none at all; else what is
    /// wrong with each.
    fn first_whole(
        &self,
        manifests: &[(u64, PathBuf)],
        rows: Rows,
        lost: &mut Vec<String>,
    ) -> Result<Result<Option<Loaded>, Vec<Error>>> {
        let mut problems: Vec<Error> = Vec::new();
        for (step, path) in manifests {
            lost.clear();
            match self.load(*step, path, rows, lost) {
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

    fn load(
        &self,
        step: u64,
        path: &Path,
        rows: Rows,
        lost: &mut Vec<String>,
    ) -> Result<Loaded, Failure> {
        let manifest = expect_step(read_manifest(path)?, step, path)?;
        let mut buffers = BTreeMap::new();
        if rows != Rows::None {
            for (name, buffer) in &manifest.buffers {
                buffers.insert(name.clone(), self.load_buffer(path, name, buffer, lost)?);
            }
        }
        if rows == Rows::All && !lost.is_empty() {
            return Err(garbled(path, lost.join("; ")));
        }
        let mut parts = BTreeMap::new();
        for (name, blob) in &manifest.parts {
            parts.insert(name.clone(), self.load_tensors(path, blob)?);
        }
        let mut foreign = BTreeMap::new();
        for (name, stranger) in manifest.foreign {
            let tensors = stranger.tensors.map(|blob| self.load_tensors(path, &blob));
            let tensors = tensors.transpose()?.unwrap_or_default();
            foreign.insert(name, Foreign { states: stranger.states, tensors });
        }
        Ok(Loaded {
            step,
            metrics: manifest.metrics,
            config_hash: manifest.config_hash,
            parts,
            states: manifest.states,
            buffers,
            foreign,
            warnings: Vec::new(),
        })
    }

    /// The buffer as it was; with the rows that are left, from the oldest to the newest, if chunks
    /// are damaged, which are added to `lost`.
    fn load_buffer(
        &self,
        manifest: &Path,
        name: &str,
        buffer: &Buffer,
        lost: &mut Vec<String>,
    ) -> Result<Replay, Failure> {
        let wrong = || garbled(manifest, format!("the geometry of buffer `{name}` is impossible"));
        let Buffer { capacity, len, oldest, ref columns, ref chunks } = *buffer;
        let ring = oldest == 0 || (oldest < len && len == capacity);
        if !ring || len > capacity || len.div_ceil(chunk::ROWS) != chunks.len() {
            return Err(wrong());
        }
        let named: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.width)).collect();
        let mut replay = Replay::of_columns(capacity, &named).map_err(|_| wrong())?;
        let mut gaps = Vec::new();
        for (i, blob) in chunks.iter().enumerate() {
            let first = i * chunk::ROWS;
            let rows = chunk::ROWS.min(len - first);
            let bytes = chunk::file_len(rows, columns).ok_or_else(wrong)?;
            let hash = blob.digest().ok_or_else(wrong)?;
            let path = self.chunk_path(&blob.hash);
            let read = file::read(&path, Some(bytes), bytes)
                .and_then(|file| chunk::decode(&path, &file, &hash, rows, columns));
            match read {
                Ok(numbers) => replay.append_stored(&numbers)?,
                Err(Failure::Garbled(problem)) => {
                    let last = first + rows - 1;
                    lost.push(format!(
                        "buffer `{name}`, rows {first} to {last} of {len}: {problem}"
                    ));
                    gaps.push(first..first + rows);
                }
                Err(fatal) => return Err(fatal),
            }
        }
        // A ring that begins inside a gap goes on with the first row behind it.
        let before = |gap: &Range<usize>| gap.len().min(oldest.saturating_sub(gap.start));
        replay.set_oldest(oldest - gaps.iter().map(before).sum::<usize>());
        if !gaps.is_empty() {
            replay.resize(capacity)?;
        }
        Ok(replay)
    }

    fn load_tensors(&self, manifest: &Path, blob: &Blob) -> Result<Tensors, Failure> {
        let Some(hash) = blob.digest() else {
            return Err(garbled(manifest, "the name of a tensor file is garbled"));
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

fn expect_step(manifest: Manifest, step: u64, path: &Path) -> Result<Manifest, Failure> {
    if manifest.step == step {
        return Ok(manifest);
    }
    Err(garbled(path, format!("is the manifest of step {}, not {step}", manifest.step)))
}
