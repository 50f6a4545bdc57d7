//! `hstep sweep`: many runs from one file, several processes at a time.

mod board;
mod halving;
mod plan;
mod processes;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use hstep::Error;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::cli::Sweep;
use crate::commands::train;
use crate::output::say;
use crate::plot::{commit, write};
use crate::registry::Registry;
use crate::run_folder::{self, Marker, RunFolder};
use plan::{Plan, Planned};

/// The list of a sweep's runs, in its folder.
const LIST: &str = "sweep.json";
/// Held by a sweep and by the processes that it started.
const LOCK: &str = "lock";
/// How long a sweep waits for what an earlier one left behind: its processes end with it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `sweep.json` says.
#[derive(Serialize, Deserialize)]
struct List {
    /// The version of hstep that the processes run, and the binary's name.
    hstep: String,
    /// The commit of the working tree that the sweep was begun in.
    commit: Option<String>,
    runs: Vec<Listed>,
}

/// A run in that list.
#[derive(Serialize, Deserialize)]
struct Listed {
    index: usize,
    folder: String,
    steps: u64,
    set: Vec<String>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Waiting,
    Begun,
    Interrupted,
    Failed,
    Done,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Begun => "begun",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Done => "done",
        })
    }
}

/// How the run in `folder` stands that is to have `steps`.
pub fn state(folder: &Path, steps: u64) -> State {
    let Ok(run) = RunFolder::open(folder) else { return State::Waiting };
    match run.marker() {
        Some(Marker::Done) if board::steps_done(folder) >= steps => State::Done,
        // Further than is wanted now, as a survivor of halving is.
        Some(Marker::Interrupted) | None if board::steps_done(folder) > steps => State::Done,
        Some(Marker::Failed) => State::Failed,
        Some(Marker::Interrupted) => State::Interrupted,
        // Done with fewer steps than are wanted now: it goes on.
        Some(Marker::Done) | None => State::Begun,
    }
}

/// `hstep sweep`.
///
/// # Errors
/// For a file that cannot be read or resolved, for runs that fail, on a signal.
pub fn run(
    args: &Sweep,
    registry: &Arc<Registry>,
    stop: &AtomicBool,
    threads: Option<usize>,
    quiet: bool,
) -> Result<()> {
    check::at_least("--jobs", args.jobs, 1)?;
    let plan = Plan::read(registry, &args.file)?;
    let root = run_folder::root(args.out.as_deref());
    let folder = root.join(&plan.name);
    if let Some(index) = args.index {
        processes::end_with_parent(args.child_of)?;
        processes::be_nice(args.nice)?;
        return one(&plan, (index, args.upto), &root, stop, quiet);
    }
    let runs = plan.resolve_all()?;
    if args.list || args.dry_run {
        return list(&runs, &folder, args.dry_run);
    }
    let lock = locked(&folder)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe().map_err(Error::io("cannot find", "hstep"))?,
    };
    let version = processes::version(&binary)?;
    write_list(&folder, &runs, version)?;
    let pool = processes::Pool {
        binary: &binary,
        file: &args.file,
        root: &root,
        folder: &folder,
        lock: &lock,
        jobs: args.jobs,
        retries: args.retries,
        nice: args.nice,
        threads: threads.unwrap_or(1),
    };
    match plan.halving {
        None => pool.run(&runs, stop, quiet),
        Some(halving) => halving::run(&pool, runs, halving, stop, quiet),
    }
}

/// One run in this process, `upto` a step where halving says so.
fn one(
    plan: &Plan,
    (index, upto): (usize, Option<u64>),
    root: &Path,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<()> {
    let mut planned = plan.resolve(index)?;
    if let Some(upto) = upto {
        planned.settings.run.steps = upto;
    }
    let path = root.join(&plan.name).join(LIST);
    if let Ok(text) = std::fs::read(&path) {
        let list: List = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is no list of runs: {e}")))?;
        if list.runs.get(index).is_none_or(|listed| listed.folder != planned.folder) {
            let problem = format!(
                "run {index} of the file is not that of {}: the file was edited; `hstep sweep` \
                 without --index writes the list anew",
                path.display()
            );
            return Err(Error::config("--index", problem).into());
        }
    }
    let at = train::place(&planned.settings, root, &plan.name)?;
    if state(&at, planned.settings.run.steps) != State::Done {
        train::start(&planned.settings, root, &plan.name, stop, quiet)?;
    }
    say!("{}", at.display())?;
    Ok(())
}

/// Prints the runs and how they stand.
fn list(runs: &[Planned], folder: &Path, dry: bool) -> Result<()> {
    let mut open = 0;
    for run in runs {
        let state = state(&folder.join(&run.folder), run.settings.run.steps);
        open += usize::from(state != State::Done);
        say!("{:>5}  {state:<11}  {}  {}", run.index, run.folder, run.set.join(" "))?;
    }
    if dry {
        say!("\n{open} of {} runs would be trained, below {}", runs.len(), folder.display())?;
    }
    Ok(())
}

/// Takes the sweep's folder for this process and those that it starts.
fn locked(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let path = folder.join(LOCK);
    let lock = File::create(&path).map_err(Error::io("cannot create", &path))?;
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while let Err(error) = lock.try_lock() {
        if let std::fs::TryLockError::Error(error) = error {
            return Err(Error::io("cannot lock", &path)(error).into());
        }
        if waited >= PATIENCE {
            let problem = format!("{}: another sweep is at work there", folder.display());
            return Err(Error::config("sweep", problem).into());
        }
        std::thread::sleep(step);
        waited += step;
    }
    Ok(lock)
}

fn write_list(folder: &Path, runs: &[Planned], hstep: String) -> Result<()> {
    let listed = |run: &Planned| Listed {
        index: run.index,
        folder: run.folder.clone(),
        steps: run.settings.run.steps,
        set: run.set.clone(),
    };
    let list = List { hstep, commit: commit(), runs: runs.iter().map(listed).collect() };
    let path: PathBuf = folder.join(LIST);
    write(&path, (serde_json::to_string_pretty(&list)? + "\n").as_bytes())?;
    Ok(())
}
