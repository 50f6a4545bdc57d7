//! The manifest: which files make up the checkpoint of one step, and the small states themselves.
//!
//! One JSON object `{format, version, checksum, body}`. The checksum is the content hash of the body
//! as JSON without white space and with sorted keys, so any JSON tool can check it. The same state
//! gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{Failure, garbled, other_version};
use crate::hash::{Digest, digest, hex, parse};
use crate::metrics::Seal;

const FORMAT: &str = "hstep-checkpoint";
const VERSION: u32 = 2;
/// How a manifest of version 1 begins: it was no JSON before its second line.
const VERSION_1: &[u8] = b"hstep-manifest 1 ";
/// No manifest is larger; what is large belongs into tensors and buffers.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// A file named by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blob {
    pub bytes: u64,
    pub hash: String,
}

impl Blob {
    /// The hash as bytes, if it is written as 32 lower-case hexadecimal digits.
    pub fn digest(&self) -> Option<Digest> {
        parse(&self.hash)
    }
}

/// A column of a replay buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub name: String,
    pub width: usize,
}

/// A replay buffer: its geometry and its chunks in the order in which the rows lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Buffer {
    pub capacity: usize,
    pub chunks: Vec<Blob>,
    pub columns: Vec<Column>,
    pub len: usize,
    pub oldest: usize,
}

/// What a user's part has saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stranger {
    pub states: BTreeMap<String, String>,
    pub tensors: Option<Blob>,
}

/// The body. The fields are in the order of the alphabet, as everything in a manifest: the checksum
/// rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub buffers: BTreeMap<String, Buffer>,
    pub config_hash: String,
    pub foreign: BTreeMap<String, Stranger>,
    pub metrics: Seal,
    pub parts: BTreeMap<String, Blob>,
    pub states: BTreeMap<String, String>,
    pub step: u64,
}

/// What every version says of itself.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<B> {
    format: String,
    version: u32,
    checksum: String,
    body: B,
}

impl Manifest {
    /// The file's bytes.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let (format, checksum) = (FORMAT.to_owned(), self.checksum()?);
        let whole = Whole { format, version: VERSION, checksum, body: self };
        serde_json::to_vec_pretty(&whole)
    }

    fn checksum(&self) -> serde_json::Result<String> {
        Ok(hex(&digest(&serde_json::to_vec(self)?)))
    }

    /// Reads the bytes of the manifest at `path`.
    pub fn decode(path: &Path, file: &[u8]) -> Result<Self, Failure> {
        let wrong = |error| garbled(path, format!("is truncated or garbled: {error}"));
        if file.starts_with(VERSION_1) {
            return Err(other_version(path, 1, VERSION));
        }
        let head: Head = serde_json::from_slice(file).map_err(wrong)?;
        if head.format != FORMAT {
            let problem = format!("is no manifest of hstep: its `format` is not `{FORMAT}`");
            return Err(garbled(path, problem));
        }
        if head.version != VERSION {
            return Err(other_version(path, head.version, VERSION));
        }
        let whole: Whole<Self> = serde_json::from_slice(file).map_err(wrong)?;
        if whole.checksum != whole.body.checksum().map_err(wrong)? {
            return Err(garbled(path, "is garbled: its body does not match its checksum"));
        }
        Ok(whole.body)
    }

    /// Every file named by content that this checkpoint needs.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let chunks = self.buffers.values().flat_map(|buffer| &buffer.chunks);
        let foreign = self.foreign.values().filter_map(|stranger| stranger.tensors.as_ref());
        chunks.chain(self.parts.values()).chain(foreign)
    }
}
