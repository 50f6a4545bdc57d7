//! The manifest: which files make up the checkpoint of one step, and the small states themselves.
//!
//! A first line `hstep-manifest VERSION LENGTH CHECKSUM`, then that many bytes of JSON with sorted
//! keys. The same state gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{Failure, garbled, other_version};
use super::hash::{digest, hex};

const MAGIC: &str = "hstep-manifest";
const VERSION: u32 = 1;
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
    pub fn digest(&self) -> Option<[u8; 16]> {
        let bytes = u128::from_str_radix(&self.hash, 16).ok()?.to_be_bytes();
        (hex(&bytes) == self.hash).then_some(bytes)
    }
}

/// A replay buffer: its geometry and its chunks in the order in which the rows lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Buffer {
    pub capacity: usize,
    pub chunks: Vec<Blob>,
    pub len: usize,
    pub oldest: usize,
    pub widths: [usize; 6],
}

/// The fields are in the order of the alphabet, as everything in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub buffers: BTreeMap<String, Buffer>,
    pub config_hash: String,
    pub metrics_len: u64,
    pub states: BTreeMap<String, String>,
    pub step: u64,
    pub tensors: Blob,
}

impl Manifest {
    /// The file's bytes.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = serde_json::to_vec_pretty(self)?;
        body.push(b'\n');
        let mut file = header(&body).into_bytes();
        file.extend_from_slice(&body);
        Ok(file)
    }

    /// Reads the bytes of the manifest at `path`.
    pub fn decode(path: &Path, file: &[u8]) -> Result<Self, Failure> {
        let end = file.iter().position(|&b| b == b'\n').map_or(file.len(), |at| at + 1);
        let (line, body) = file.split_at(end);
        let mut words = line.split(|&b| b == b' ');
        if words.next() != Some(MAGIC.as_bytes()) {
            return Err(garbled(path, "is no manifest of hstep (its first word is another)"));
        }
        let version = words.next().and_then(|w| std::str::from_utf8(w).ok()?.parse().ok());
        match version {
            Some(VERSION) => {}
            Some(other) if words.count() == 2 => return Err(other_version(path, other, VERSION)),
            _ => return Err(garbled(path, "its first line is garbled")),
        }
        if line != header(body).as_bytes() {
            let problem = "is truncated or garbled: its length or checksum does not match";
            return Err(garbled(path, problem));
        }
        serde_json::from_slice(body)
            .map_err(|error| garbled(path, format!("its content is not as expected: {error}")))
    }

    /// Every file named by content that this checkpoint needs.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let chunks = self.buffers.values().flat_map(|buffer| &buffer.chunks);
        chunks.chain(std::iter::once(&self.tensors))
    }
}

fn header(body: &[u8]) -> String {
    format!("{MAGIC} {VERSION} {} {}\n", body.len(), hex(&digest(body)))
}
