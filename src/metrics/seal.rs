//! What `metrics.csv` was when a checkpoint was saved, so that rows changed since are noticed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::{Stream, digest, hex};

/// The beginning of `metrics.csv` that a checkpoint was saved with.
///
/// The fields are in the order of the alphabet, as everything in a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-128 of those bytes, 32 hexadecimal digits.
    pub hash: String,
    /// The first 8 digits of each line's hash, one after the other: they name the line that changed.
    pub lines: String,
}

impl Seal {
    /// The sealed beginning of the file at `path`, which must be as it was.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the file is missing, lost rows, or has a row that was changed, which
    /// is named; [`Error::Io`] when it cannot be read.
    pub fn check(&self, path: &Path) -> Result<Vec<u8>> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::checkpoint(path, "is missing: the run cannot be resumed")
            }
            _ => Error::io("cannot open", path)(error),
        })?;
        let fail = || Error::io("cannot read", path);
        let there = file.metadata().map_err(fail())?.len();
        let mut text = Vec::new();
        file.take(self.bytes).read_to_end(&mut text).map_err(fail())?;
        if text.len() as u64 == self.bytes && hex(&digest(&text)) == self.hash {
            return Ok(text);
        }
        Err(Error::checkpoint(path, self.difference(&text, there)))
    }

    /// Why `text`, of a file of `there` bytes, is not what was sealed.
    fn difference(&self, text: &[u8], there: u64) -> String {
        let mut lines = text.split_inclusive(|&b| b == b'\n');
        for (at, known) in self.lines.as_bytes().chunks(DIGITS).enumerate() {
            let Some(line) = lines.next().filter(|line| line.ends_with(b"\n")) else { break };
            if short(line).as_bytes() != known {
                let line = String::from_utf8_lossy(line);
                let first = line.split(',').next().unwrap_or_default().trim_end();
                return format!(
                    "line {} (it begins with `{first}`) is not as it was written: restore the \
                     file, or start a new run",
                    at + 1
                );
            }
        }
        if there < self.bytes {
            return format!(
                "has {there} bytes, the checkpoint was saved with {}: rows are lost; restore the \
                 file, or start a new run",
                self.bytes
            );
        }
        format!(
            "its first {} bytes are not as they were written: restore the file, or start a new run",
            self.bytes
        )
    }
}

const DIGITS: usize = 8;

fn short(line: &[u8]) -> String {
    hex(&digest(line)).chars().take(DIGITS).collect()
}

/// Makes the [`Seal`] of a file line by line: from what was written, not from what the file says.
#[derive(Debug, Default)]
pub(super) struct Sealing {
    all: Stream,
    bytes: u64,
    lines: String,
}

impl Sealing {
    /// Goes on from a beginning that was checked.
    pub fn of(text: &[u8]) -> Self {
        let mut sealing = Self::default();
        text.split_inclusive(|&b| b == b'\n').for_each(|line| sealing.add(line));
        sealing
    }

    pub fn add(&mut self, line: &[u8]) {
        self.all.add(line);
        self.bytes += line.len() as u64;
        self.lines.push_str(&short(line));
    }

    pub fn seal(&self) -> Seal {
        let hash = hex(&self.all.digest());
        Seal { bytes: self.bytes, hash, lines: self.lines.clone() }
    }
}
