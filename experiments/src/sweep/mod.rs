//! `hstep sweep`: many runs from one file, several processes at a time.

mod board;
mod halving;
mod plan;
mod processes;
mod slurm;

use std::collections::BTreeMap;
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
use crate::commands::{report, train};
use crate::output::{say, write as write_out};
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
    /// The job array that was submitted last, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slurm: Option<slurm::Submitted>,
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
    if args.status {
        return status(&runs, &folder);
    }
    let open: Vec<usize> = runs
        .iter()
        .filter(|run| state(&folder.join(&run.folder), run.settings.run.steps) != State::Done)
        .map(|run| run.index)
        .collect();
    if args.slurm && args.dry_run {
        let script = script(args, &plan, &open, runs.len(), &root)?;
        return Ok(write_out(format_args!("{script}"))?);
    }
    if args.list || args.dry_run {
        return list(&runs, &folder, args.dry_run);
    }
    let lock = locked(&folder)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe().map_err(Error::io("cannot find", "hstep"))?,
    };
    let version = processes::version(&binary)?;
    if args.slurm {
        return submit(args, (&plan, &runs, &open), version, &root);
    }
    write_list(&folder, &runs, version, None)?;
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
    let folder = root.join(&plan.name);
    if let Some(list) = read_list(&folder)?
        && list.runs.get(index).is_none_or(|listed| listed.folder != planned.folder)
    {
        let problem = format!(
            "run {index} of the file is not that of {}: the file was edited; `hstep sweep` \
             without --index writes the list anew",
            folder.join(LIST).display()
        );
        return Err(Error::config("--index", problem).into());
    }
    let at = crate::runs::place(&planned.settings, root, &plan.name)?;
    if state(&at, planned.settings.run.steps) != State::Done {
        train::start(&planned.settings, root, &plan.name, stop, quiet)?;
    }
    say!("{}", at.display())?;
    Ok(())
}

/// The list of a sweep that was begun.
fn read_list(folder: &Path) -> hstep::Result<Option<List>> {
    let path = folder.join(LIST);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let list = serde_json::from_slice(&text);
    list.map(Some).map_err(|e| Error::checkpoint(&path, format!("is no list of runs: {e}")))
}

/// The script for the runs that are `open`, of `runs` in all.
fn script(
    args: &Sweep,
    plan: &Plan,
    open: &[usize],
    runs: usize,
    root: &Path,
) -> hstep::Result<String> {
    if plan.halving.is_some() {
        let problem = "`[sweep.halving]` chooses between runs, which a job array does not wait for";
        return Err(Error::config("--slurm", problem));
    }
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("cannot find", path));
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe().map_err(Error::io("cannot find", "hstep"))?,
    };
    let (binary, file, root) = (absolute(&binary)?, absolute(&args.file)?, absolute(root)?);
    let folder = root.join(&plan.name);
    let place = slurm::Place { binary: &binary, file: &file, root: &root, folder: &folder };
    let tasks = plan.slurm.tasks(open.iter().copied());
    Ok(plan.slurm.script(&plan.name, &tasks, runs, &place))
}

/// Hands the runs that are open to Slurm.
fn submit(
    args: &Sweep,
    (plan, runs, open): (&Plan, &[Planned], &[usize]),
    version: String,
    root: &Path,
) -> Result<()> {
    let folder = root.join(&plan.name);
    if open.is_empty() {
        say!("all {} runs are done", runs.len())?;
        return Ok(());
    }
    if let Some(before) = read_list(&folder)?.and_then(|list| list.slurm) {
        let left = slurm::queue(before)?.len();
        if left > 0 {
            let problem = format!(
                "job {} has {left} tasks in the queue: wait for them (--status), or `scancel {}`",
                before.job, before.job
            );
            return Err(Error::config("--slurm", problem).into());
        }
    }
    // The tasks look at the list, so it is there before they begin.
    write_list(&folder, runs, version.clone(), None)?;
    let submitted = plan.slurm.submit(&script(args, plan, open, runs.len(), root)?, &folder)?;
    write_list(&folder, runs, version, Some(submitted))?;
    let tasks = plan.slurm.tasks(open.iter().copied()).len();
    say!("job {}: {} of {} runs in {tasks} tasks", submitted.job, open.len(), runs.len())?;
    Ok(())
}

/// Prints the runs, how their folders stand, and what Slurm says of their tasks.
fn status(runs: &[Planned], folder: &Path) -> Result<()> {
    let submitted = read_list(folder)?.and_then(|list| list.slurm);
    let queue = submitted.map(slurm::queue).transpose()?.unwrap_or_default();
    let mut counts = BTreeMap::new();
    for run in runs {
        let at = folder.join(&run.folder);
        let state = state(&at, run.settings.run.steps);
        let task = submitted.and_then(|submitted| slurm::of_run(&queue, submitted, run));
        let why = match (state, task) {
            (State::Failed, _) => report::state(&at).1,
            _ => String::new(),
        };
        let steps = format!("{}/{}", board::steps_done(&at), run.settings.run.steps);
        let line = format!(
            "{:>5}  {state:<11}  {:<10}  {steps:>15}  {}  {why}",
            run.index,
            task.unwrap_or("-"),
            run.folder
        );
        say!("{}", line.trim_end())?;
        *counts.entry(state.to_string()).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
    say!("\n{}; {} tasks in the queue", counts.join(", "), queue.len())?;
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

fn write_list(
    folder: &Path,
    runs: &[Planned],
    hstep: String,
    slurm: Option<slurm::Submitted>,
) -> Result<()> {
    let listed = |run: &Planned| Listed {
        index: run.index,
        folder: run.folder.clone(),
        steps: run.settings.run.steps,
        set: run.set.clone(),
    };
    let list = List { hstep, commit: commit(), slurm, runs: runs.iter().map(listed).collect() };
    let path: PathBuf = folder.join(LIST);
    write(&path, (serde_json::to_string_pretty(&list)? + "\n").as_bytes())?;
    Ok(())
}
