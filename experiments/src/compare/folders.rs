//! Run folders: found below what was named, and read side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hstep::metrics::read_columns;
use hstep::train::TOTAL_COLUMN;
use hstep::{Error, Result, config};
use serde::Deserialize;
use toml::{Table, Value};

use super::Points;

/// Folders within folders that are looked through, at most.
const DEPTH: usize = 4;

/// What a run was and what it measured.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// Its resolved settings.
    pub settings: Table,
    /// The algorithm, as it was named.
    pub algo: String,
    /// The environment.
    pub env: String,
    /// The seed.
    pub seed: u64,
    /// The compared column by environment step.
    pub curve: Points,
    /// Core-hours by environment step; `None` where the threads or the times are not known.
    pub hours: Option<Points>,
}

/// A folder that could not be used, and why.
pub struct Left(pub PathBuf, pub String);

/// The run folders among and below `paths`, each once.
///
/// # Errors
/// [`Error::Io`] for a path that cannot be read, [`Error::Config`] where there is no run.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        below(path, DEPTH, &mut found)?;
        if found.len() == before {
            let problem =
                format!("{}: no run folder there (one has a config.toml)", path.display());
            return Err(Error::config("RUN", problem));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn below(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.join("config.toml").is_file() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("cannot read", path))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("cannot read", path))?;
        // Links are not followed: they may lead back.
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

/// Reads every folder, and says which could not be used.
pub fn read(folders: &[PathBuf], column: &str) -> (Vec<Run>, Vec<Left>) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = folders.len().div_ceil(workers).max(1);
    let mut all = Vec::with_capacity(folders.len());
    std::thread::scope(|scope| {
        let each = |part| scope.spawn(move || read_part(part, column));
        let threads: Vec<_> = folders.chunks(share).map(each).collect();
        all.extend(threads.into_iter().filter_map(|t| t.join().ok()).flatten());
    });
    let (mut runs, mut left) = (Vec::new(), Vec::new());
    for (folder, run) in folders.iter().zip(all) {
        match run {
            Ok(run) if run.curve.len() < 2 => {
                left.push(Left(folder.clone(), format!("fewer than two values of `{column}` yet")));
            }
            Ok(run) => runs.push(run),
            Err(error) => left.push(Left(folder.clone(), error.to_string())),
        }
    }
    (runs, left)
}

fn read_part(folders: &[PathBuf], column: &str) -> Vec<Result<Run>> {
    folders.iter().map(|folder| read_one(folder, column)).collect()
}

fn read_one(folder: &Path, column: &str) -> Result<Run> {
    let settings = config::read(folder.join("config.toml"))?;
    let run = settings.get("run").and_then(Value::as_table);
    let missing = |key: &str| Error::config(format!("run.{key}"), "is not in its config.toml");
    let of = |key: &str| run.and_then(|run| run.get(key)).ok_or_else(|| missing(key));
    let word = |key: &str| of(key)?.as_str().map(str::to_owned).ok_or_else(|| missing(key));
    let seed = of("seed")?.as_integer().and_then(|s| u64::try_from(s).ok());
    let columns = read_columns(&folder.join("metrics.csv"), &["env_steps", column])?;
    let both = columns[0].iter().zip(&columns[1]);
    Ok(Run {
        algo: word("algo")?,
        env: word("env")?,
        seed: seed.ok_or_else(|| missing("seed"))?,
        curve: both.filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect(),
        hours: hours(folder)?,
        settings,
        folder: folder.to_path_buf(),
    })
}

/// What of `meta.json` is read.
#[derive(Deserialize)]
struct Meta {
    threads: Option<u32>,
}

/// Core-hours by environment step: the time of all the run's processes, what was done twice included,
/// times its threads.
pub fn hours(folder: &Path) -> Result<Option<Points>> {
    let meta = std::fs::read(folder.join("meta.json")).unwrap_or_default();
    let threads = serde_json::from_slice::<Meta>(&meta).ok().and_then(|meta| meta.threads);
    let timing = folder.join("timing.csv");
    let (Some(threads), true) = (threads, timing.is_file()) else { return Ok(None) };
    // Folders of earlier versions have no total.
    let Ok(columns) = read_columns(&timing, &["env_steps", TOTAL_COLUMN]) else { return Ok(None) };
    let rows = columns[0].iter().zip(&columns[1]);
    let rows = rows.filter_map(|(step, total)| Some(((*step)?, (*total)?)));
    Ok(Some(core_hours(rows, f64::from(threads))))
}

/// From `(step, seconds of this process)`: a process begins with a row of zero seconds.
fn core_hours(rows: impl Iterator<Item = (f64, f64)>, threads: f64) -> Points {
    let (mut before, mut last) = (0.0, 0.0);
    let mut at: BTreeMap<u64, f64> = BTreeMap::new();
    for (step, seconds) in rows {
        if seconds == 0.0 {
            before += last;
        }
        last = seconds;
        // Steps that were done again after a crash end the second time.
        at.insert(step as u64, (before + seconds) * threads / 3600.0);
    }
    at.into_iter().map(|(step, hours)| (step as f64, hours)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_hours_add_up_over_processes_and_threads() {
        let rows = [(0.0, 0.0), (10.0, 1800.0), (20.0, 3600.0), (10.0, 0.0), (20.0, 1800.0)];
        let got = core_hours(rows.into_iter(), 2.0);
        assert_eq!(got, [(0.0, 0.0), (10.0, 2.0), (20.0, 3.0)]);
    }
}
