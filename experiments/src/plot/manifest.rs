//! `manifest.json`: for every figure, what made it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hstep::{Error, Result, files};
use serde::{Deserialize, Serialize};

/// What made a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line that draws it again.
    pub command: String,
    /// The hash of the resolved configuration.
    pub config_hash: String,
    /// The commit of the working tree, when git knows one; `-dirty` when it has changes.
    pub commit: Option<String>,
    /// The seeds averaged over.
    pub seeds: Vec<u64>,
}

/// The commit of the working tree in the current folder, or `None` without git.
#[must_use]
pub fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"])?;
    // Figures are written before they are committed, so they do not count as changes.
    let dirty = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!figures"]);
    Some(if dirty.is_none_or(|d| d.is_empty()) { head } else { format!("{head}-dirty") })
}

/// Adds or replaces the entry of `figure`, leaving the others as they are.
pub fn record(folder: &Path, figure: &str, provenance: &Provenance) -> Result<()> {
    let path = folder.join("manifest.json");
    let mut entries: BTreeMap<String, Provenance> = match path.exists() {
        true => serde_json::from_str(&files::text(&path, files::TEXT)?).map_err(|e| {
            Error::config(
                path.display().to_string(),
                format!("not a manifest of figures ({e}); delete it to start a new one"),
            )
        })?,
        false => BTreeMap::new(),
    };
    entries.insert(figure.to_owned(), provenance.clone());
    let text = serde_json::to_string_pretty(&entries).map_err(super::paint::failed)?;
    super::write(&path, format!("{text}\n").as_bytes())
}
