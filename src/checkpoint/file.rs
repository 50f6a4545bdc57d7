//! Files that are either there and whole, or not there; and what can be wrong with one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fault;

/// The ending of a file that is still being written.
pub(super) const TEMPORARY: &str = "tmp";

/// Why a part of a checkpoint could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// Truncated, garbled or missing: an older checkpoint may serve instead.
    Garbled(Error),
    /// Of another version, or unreadable for another reason: an older checkpoint must not be used
    /// in silence.
    Fatal(Error),
}

impl Failure {
    /// What is wrong.
    pub fn error(&self) -> &Error {
        match self {
            Self::Garbled(error) | Self::Fatal(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// A [`Failure::Garbled`].
pub(super) fn garbled(path: &Path, problem: impl Into<String>) -> Failure {
    Failure::Garbled(Error::checkpoint(path, problem))
}

/// A [`Failure::Fatal`] that names both versions.
pub(super) fn other_version(path: &Path, found: u32, own: u32) -> Failure {
    let problem = format!(
        "has format version {found}, this build of hstep reads version {own}: use the build that \
         wrote it (`meta.json` names its commit), or start a new run"
    );
    Failure::Fatal(Error::checkpoint(path, problem))
}

/// Reads the whole of a file that must have `expected` bytes, or at most `limit` if that is `None`.
/// Its length is looked at before anything is allocated.
pub(super) fn read(path: &Path, expected: Option<u64>, limit: u64) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return garbled(path, "is missing");
        }
        Failure::Fatal(Error::io("cannot read", path)(source))
    })?;
    let len = file.metadata().map_err(Error::io("cannot read", path))?.len();
    if expected.is_some_and(|expected| expected != len) {
        let expected = expected.unwrap_or_default();
        return Err(garbled(path, format!("has {len} bytes, expected {expected}")));
    }
    if len > limit {
        return Err(garbled(path, format!("has {len} bytes, more than the limit of {limit}")));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(len).read_to_end(&mut bytes).map_err(Error::io("cannot read", path))?;
    Ok(bytes)
}

/// Writes a file that appears under its name only when it is whole and on the disk. On an error the
/// temporary file is removed where possible.
///
/// `half` is the fault point reached when half of it is written; `whole` those before the file is
/// on the disk and before it gets its name.
pub(super) fn write(path: &Path, bytes: &[u8], half: &str, whole: Option<[&str; 2]>) -> Result<()> {
    let temporary = temporary(path);
    let written = write_temporary(&temporary, bytes, half, whole).and_then(|()| {
        fs::rename(&temporary, path).map_err(Error::io("cannot rename into place", path))
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_temporary(path: &Path, bytes: &[u8], half: &str, whole: Option<[&str; 2]>) -> Result<()> {
    let fail = || Error::io("cannot write", path);
    let mut file = File::create(path).map_err(fail())?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first).map_err(fail())?;
    fault::point(half);
    file.write_all(second).map_err(fail())?;
    if let Some([written, _]) = whole {
        fault::point(written);
    }
    file.sync_all().map_err(fail())?;
    if let Some([_, synced]) = whole {
        fault::point(synced);
    }
    Ok(())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    name.into()
}

/// Creates a folder and those above it.
pub(super) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("cannot create the folder", path))
}

/// Puts a folder's list of names on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = File::open(path).and_then(|folder| folder.sync_all());
        folder.map_err(Error::io("cannot flush the folder", path))?;
    }
    Ok(())
}

/// The files of a folder in the order of their names; none if the folder is not there.
pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = || Error::io("cannot list the folder", path);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail()(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(fail())?.path());
    }
    files.sort();
    Ok(files)
}

/// Removes a file; that it is already gone is no error.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}
