//! The processes of a sweep: started, watched, told to stop, tried again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use hstep::Error;

use super::board::Board;
use super::plan::Planned;
use super::{State, state};
use crate::exit::{self, Interrupted, SomeFailed};

/// How often the processes are looked at.
const TICK: Duration = Duration::from_millis(50);

/// What every process is started with.
pub struct Pool<'a> {
    pub binary: &'a Path,
    pub file: &'a Path,
    pub root: &'a Path,
    pub folder: &'a Path,
    pub lock: &'a File,
    pub jobs: usize,
    pub retries: usize,
    pub nice: i32,
    pub threads: usize,
}

/// A run and how often it was tried.
struct Attempt<'a> {
    run: &'a Planned,
    tries: usize,
}

impl Pool<'_> {
    /// Trains every run that is not done.
    ///
    /// # Errors
    /// [`SomeFailed`] naming the runs that failed in every try, [`Interrupted`] on a signal.
    pub fn run(&self, runs: &[Planned], stop: &AtomicBool, quiet: bool) -> Result<()> {
        let mut board = Board::new(runs, self.folder, quiet);
        let open = runs.iter().filter(|run| {
            state(&self.folder.join(&run.folder), run.settings.run.steps) != State::Done
        });
        let mut queue: VecDeque<Attempt> = open.map(|run| Attempt { run, tries: 0 }).collect();
        let mut working: Vec<(Attempt, Child)> = Vec::new();
        let (mut failed, mut told) = (Vec::new(), false);
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            while !stopping && working.len() < self.jobs {
                let Some(mut attempt) = queue.pop_front() else { break };
                attempt.tries += 1;
                let child = self.start(attempt.run)?;
                board.started(attempt.run);
                working.push((attempt, child));
            }
            if working.is_empty() {
                break;
            }
            if stopping && !told {
                told = true;
                working.iter().for_each(|(_, child)| terminate(child));
            }
            let mut still = Vec::with_capacity(working.len());
            for (attempt, mut child) in working {
                let ended = child.try_wait().map_err(Error::io("cannot wait for", self.binary))?;
                let Some(status) = ended else {
                    still.push((attempt, child));
                    continue;
                };
                let code = status.code();
                board.ended(attempt.run, code);
                let again = attempt.tries <= self.retries && code != Some(i32::from(exit::USAGE));
                match code {
                    Some(0) => {}
                    // It was told to save and stop, and the same command goes on.
                    _ if stopping => {}
                    _ if again => queue.push_back(attempt),
                    _ => failed.push(attempt.run.folder.clone()),
                }
            }
            working = still;
            board.look(working.iter().map(|(attempt, _)| attempt.run));
            std::thread::sleep(TICK);
        }
        board.finish();
        if stop.load(Ordering::Relaxed) {
            let how = "everything is saved; the same command goes on";
            return Err(Interrupted(how.into()).into());
        }
        if failed.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "{} of {} runs failed ({}); the reasons are in {}",
            failed.len(),
            runs.len(),
            failed.join(", "),
            self.folder.join("logs").display()
        );
        Err(SomeFailed(problem).into())
    }

    fn start(&self, run: &Planned) -> Result<Child> {
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(Error::io("cannot create", &logs))?;
        let path = logs.join(format!("{}.log", run.folder));
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(Error::io("cannot open", &path))?;
        // What holds the lock open is each process's input: the folder is free when all have ended.
        let lock = self.lock.try_clone().map_err(Error::io("cannot lock", self.folder))?;
        let mut command = Command::new(self.binary);
        command
            .arg("sweep")
            .arg(self.file)
            .arg("--out")
            .arg(self.root)
            .args(["--index", &run.index.to_string()])
            .args(["--upto", &run.settings.run.steps.to_string()])
            .args(["--threads", &self.threads.to_string()])
            .args(["--nice", &self.nice.to_string()])
            .args(["--child-of", &std::process::id().to_string()])
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        // Ctrl-C at a terminal must reach this process alone, which passes it on once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command.spawn().map_err(Error::io("cannot start", self.binary))?)
    }
}

/// Asks a process to save and end.
fn terminate(child: &Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        // It may have ended meanwhile.
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// Has this process killed with the sweep that started it, whose restart would meet it otherwise.
///
/// # Errors
/// [`Interrupted`] when that process is gone already.
pub fn end_with_parent(parent: Option<u32>) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| Error::io("cannot follow", "the sweep")(e.into()))?;
        let now = getppid().map(|pid| pid.as_raw_nonzero().get());
        if now != i32::try_from(parent).ok() {
            return Err(Interrupted("the sweep that started this run is gone".into()).into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}

/// Lowers the priority of this process.
///
/// # Errors
/// [`Error::Io`] for a higher priority than the user may have.
pub fn be_nice(by: i32) -> hstep::Result<()> {
    #[cfg(unix)]
    if by != 0 {
        rustix::process::nice(by)
            .map_err(|e| Error::io("cannot set", "the priority (--nice)")(e.into()))?;
    }
    #[cfg(not(unix))]
    let _ = by;
    Ok(())
}

/// What `BINARY --version` says: a sweep ends before it begins where that is no hstep.
///
/// # Errors
/// [`Error::Io`] when it cannot be started, [`Error::Config`] for another program.
pub fn version(binary: &Path) -> hstep::Result<String> {
    let out = Command::new(binary).arg("--version").output();
    let out = out.map_err(Error::io("cannot start", binary))?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if text.starts_with("hstep ") {
        return Ok(text);
    }
    let problem = format!("expected a binary of hstep, but {} says `{text}`", binary.display());
    Err(Error::config("--binary", problem))
}
