//! The Python process: frames in and out with a time limit, and an end without a trace.
//!
//! Python has three pipes: requests, answers, and what it says (its stderr, where its stdout goes
//! too). All three are watched while an answer is waited for, so that none of them fills up. The
//! process leads a group of its own: a Ctrl-C at the terminal does not reach it, and what the
//! environment starts ends with it. A fourth pipe carries nothing: when this process is killed, it
//! closes, and the group ends (`end_with_parent` in `server.py`).

use std::io::{ErrorKind, PipeWriter, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::frame::{MAGIC, MAX_FRAME, Operation, Parts, VERSION, request};
use super::options::{Options, PYTHON, TIMEOUT};
use crate::error::{Error, Result};

const SERVER: &str = include_str!("server.py");
/// How long Python may take to say where it was, or to close its environments.
const FAREWELL: Duration = Duration::from_secs(3);
/// As much as is kept of what Python says.
const MAX_WORDS: usize = 1 << 14;
/// As much as is read at once: memory grows with what has come, not with what was announced.
const BLOCK: usize = 1 << 14;
/// A time limit that a clock can still add to its own time: 30 years.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

pub(super) struct Process {
    /// The environment's name, for errors.
    env: String,
    python: String,
    child: Child,
    /// `None` once it was closed.
    requests: Option<ChildStdin>,
    /// This and the next: `None` once they were closed at the other end.
    answers: Option<ChildStdout>,
    words: Option<ChildStderr>,
    /// What came of answers that are not whole yet.
    inbox: Vec<u8>,
    /// The end of what Python said since the last request.
    said: Vec<u8>,
    pub timeout: Duration,
    /// Why nothing can be asked any more.
    ended: Option<String>,
    greeted: bool,
    reaped: bool,
    slots: u32,
    /// Closed last: with it the group of processes ends.
    _life: PipeWriter,
}

/// Which pipes can be read or written.
struct Ready {
    answers: bool,
    words: bool,
    requests: bool,
}

impl Process {
    /// Starts Python, and waits for nothing.
    ///
    /// # Errors
    /// [`Error::Env`] when there is no such interpreter.
    pub fn start(env: &str, options: &Options) -> Result<Self> {
        let python = options.python.display().to_string();
        let failed = |problem: String| {
            let hint = format!("{PYTHON} names another interpreter");
            Error::env(env, format!("cannot start Python as `{python}`: {problem}; {hint}"))
        };
        let mut command = Command::new(&options.python);
        // Python's end goes through `exec`. A process that another thread starts meanwhile gets it too,
        // which does no harm: it is the end here that counts.
        let (watched, life) = std::io::pipe().map_err(|e| failed(e.to_string()))?;
        rustix::io::fcntl_setfd(&watched, FdFlags::empty()).map_err(|e| failed(e.to_string()))?;
        command.arg("-c").arg(SERVER).arg(watched.as_raw_fd().to_string()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let inherited = std::env::var_os("PYTHONPATH").filter(|path| !path.is_empty());
        let all = options.path.iter().cloned();
        let all = all.chain(inherited.iter().flat_map(std::env::split_paths));
        // An empty entry, as of `PYTHONPATH=$UNSET:folder`, would be the current folder.
        let all: Vec<_> = all.filter(|path| !path.as_os_str().is_empty()).collect();
        let all = std::env::join_paths(all).map_err(|e| failed(e.to_string()))?;
        command.env("PYTHONPATH", all);
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), answers, words) = pipes else {
            return Err(failed("it has no pipes".into()));
        };
        // A request may not fit the pipe: it is written as far as it goes, between two looks at
        // the other pipes.
        rustix::io::ioctl_fionbio(&requests, true).map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            env: env.to_owned(),
            python,
            child,
            requests: Some(requests),
            answers,
            words,
            inbox: Vec::new(),
            said: Vec::new(),
            timeout: options.timeout,
            ended: None,
            greeted: false,
            reaped: false,
            slots: 0,
            _life: life,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A number for one more environment in this process.
    pub fn slot(&mut self) -> u32 {
        self.slots += 1;
        self.slots
    }

    /// Whether an environment can still be asked for anything here.
    pub fn lives(&self) -> bool {
        self.ended.is_none()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Error::Env`] when Python does not take it in time.
    pub fn send(&mut self, operation: Operation, slot: u32, rest: &[u8]) -> Result<()> {
        self.check_lives()?;
        if !self.said.is_empty() {
            tracing::debug!("{}: {}", self.env, String::from_utf8_lossy(&self.said).trim_end());
            self.said.clear();
        }
        let frame = request(operation, slot, rest);
        let deadline = self.deadline();
        let mut left = &frame[..];
        while !left.is_empty() {
            let ready = self.turn(true, deadline)?;
            if ready.requests {
                match self.write(left) {
                    Ok(n) => left = &left[n..],
                    // A closed pipe: whoever waits for the answer learns how Python has ended.
                    Err(_) => return Ok(()),
                }
            } else if Instant::now() >= deadline {
                return Err(self.timed_out(operation));
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(pipe) = &mut self.requests else { return Err(ErrorKind::BrokenPipe.into()) };
        match pipe.write(bytes) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            other => other,
        }
    }

    /// The answer to the last request.
    ///
    /// # Errors
    /// [`Error::Env`] with Python's own words when it failed, ended, or took too long.
    pub fn receive(&mut self, operation: Operation) -> Result<Vec<u8>> {
        self.check_lives()?;
        let deadline = self.deadline();
        self.greet(operation, deadline)?;
        let length = self.read(4, operation, deadline)?;
        let length = Parts(&length).u32().map_or(0, |n| n as usize);
        if length == 0 || length > MAX_FRAME {
            let problem = format!("a frame of {length} bytes came, where 1 to {MAX_FRAME} fit");
            return Err(self.garbled(operation, &problem));
        }
        let mut answer = self.read(length, operation, deadline)?;
        match answer.remove(0) {
            0 => Ok(answer),
            1 => Err(self.failed(operation, &String::from_utf8_lossy(&answer))),
            other => Err(self.garbled(operation, &format!("an answer of the kind {other} came"))),
        }
    }

    /// Reads the greeting, once.
    fn greet(&mut self, operation: Operation, deadline: Instant) -> Result<()> {
        if self.greeted {
            return Ok(());
        }
        let greeting = self.read(MAGIC.len() + 4, operation, deadline)?;
        if greeting != [&MAGIC[..], &VERSION.to_le_bytes()].concat() {
            let (came, python) = (String::from_utf8_lossy(&greeting), &self.python);
            let problem = format!("{came:?} came first: is `{python}` Python, and does it print?");
            return Err(self.garbled(operation, &problem));
        }
        self.greeted = true;
        Ok(())
    }

    /// The next `n` bytes of the answers.
    fn read(&mut self, n: usize, operation: Operation, deadline: Instant) -> Result<Vec<u8>> {
        while self.inbox.len() < n {
            if self.answers.is_none() {
                return Err(self.gone(operation));
            }
            let ready = self.turn(false, deadline)?;
            if !ready.answers && Instant::now() >= deadline {
                return Err(self.timed_out(operation));
            }
        }
        let rest = self.inbox.split_off(n);
        Ok(std::mem::replace(&mut self.inbox, rest))
    }

    /// One look at the pipes: waits, and reads what can be read.
    fn turn(&mut self, writing: bool, deadline: Instant) -> Result<Ready> {
        let ready = self.wait(writing, deadline);
        ready
            .and_then(|ready| self.take_in(&ready).map(|()| ready))
            .map_err(|e| self.end(format!("cannot talk to Python: {e}")))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout.min(LONGEST)
    }

    /// Waits until a pipe can be read, or written where `writing`, but not beyond `deadline`.
    fn wait(&self, writing: bool, deadline: Instant) -> std::io::Result<Ready> {
        let (answers, words) = (self.answers.as_ref(), self.words.as_ref());
        let requests = self.requests.as_ref().filter(|_| writing);
        let mut pipes = Vec::with_capacity(3);
        pipes.extend(answers.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        pipes.extend(words.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        pipes.extend(requests.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(std::io::Error::other)?;
            match poll(&mut pipes, Some(&left)) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let mut moved = pipes.iter().map(|pipe| !pipe.revents().is_empty());
        let mut of = |there: bool| there && moved.next().unwrap_or(false);
        Ok(Ready {
            answers: of(answers.is_some()),
            words: of(words.is_some()),
            requests: of(requests.is_some()),
        })
    }

    /// Reads what can be read; a pipe that was closed at the other end is closed here too.
    fn take_in(&mut self, ready: &Ready) -> std::io::Result<()> {
        let mut block = [0; BLOCK];
        let mut read = |pipe: &mut dyn Read| match pipe.read(&mut block) {
            Ok(n) => Ok(Some(block[..n].to_vec())),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(None),
            Err(e) => Err(e),
        };
        if ready.answers
            && let Some(pipe) = &mut self.answers
            && let Some(new) = read(pipe)?
        {
            if new.is_empty() {
                self.answers = None;
            }
            self.inbox.extend(new);
        }
        if ready.words
            && let Some(pipe) = &mut self.words
            && let Some(new) = read(pipe)?
        {
            if new.is_empty() {
                self.words = None;
            }
            self.said.extend(new);
            self.said.drain(..self.said.len().saturating_sub(MAX_WORDS));
        }
        Ok(())
    }

    /// Listens until `done` or until nothing has come for the time of a farewell.
    fn listen(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + FAREWELL;
        while !done(self) && Instant::now() < deadline {
            let heard = self.wait(false, deadline).and_then(|ready| self.take_in(&ready));
            if heard.is_err() {
                return;
            }
            self.inbox.clear();
        }
    }

    fn check_lives(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(why) => Err(Error::env(&self.env, format!("Python has ended before: {why}"))),
        }
    }

    /// An exception in Python; the process goes on.
    fn failed(&self, operation: Operation, text: &str) -> Error {
        // A traceback begins on a line of its own.
        let space = if text.contains('\n') { "\n" } else { " " };
        let mut problem = format!("{} failed in Python:{space}{text}", operation.name());
        if text.contains("No module named 'gymnasium'") {
            let python = &self.python;
            problem.push_str(&format!(
                "\nInstall it for `{python}` (`{python} -m pip install gymnasium`), or name an \
                 interpreter that has it in {PYTHON}."
            ));
        }
        Error::env(&self.env, problem)
    }

    /// Something other than the answer came: what follows cannot be trusted.
    pub fn garbled(&mut self, operation: Operation, problem: &str) -> Error {
        self.end(format!("{}: {problem}", operation.name()))
    }

    /// The other end of the answers is closed.
    fn gone(&mut self, operation: Operation) -> Error {
        self.listen(|own| own.words.is_none());
        let exited = self.wait_for_exit();
        let status = self.reap();
        let how = match status {
            Some(status) if exited => status.to_string(),
            _ => "it closed its pipes".into(),
        };
        let said = self.last_words();
        self.end(format!("Python ended in {} ({how}){said}", operation.name()))
    }

    /// No answer within the time limit: Python says where it is, and is ended.
    fn timed_out(&mut self, operation: Operation) -> Error {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.listen(|own| own.answers.is_none());
        self.listen(|own| own.words.is_none());
        let said = self.last_words();
        let (limit, name) = (self.timeout.as_secs_f64(), operation.name());
        self.end(format!(
            "no answer to {name} within {limit} s ({TIMEOUT} sets another limit){said}"
        ))
    }

    fn last_words(&self) -> String {
        let said = String::from_utf8_lossy(&self.said);
        if said.trim().is_empty() {
            return String::new();
        }
        format!("; its last words:\n{}", said.trim_end())
    }

    /// Ends the process for good; the reason is what every later request is told.
    fn end(&mut self, reason: String) -> Error {
        self.reap();
        self.ended = Some(reason.clone());
        Error::env(&self.env, reason)
    }

    /// Whether Python exits by itself before long; it stays to be waited for.
    fn wait_for_exit(&self) -> bool {
        let deadline = Instant::now() + FAREWELL;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let pid = Pid::from_child(&self.child);
        while Instant::now() < deadline {
            match waitid(WaitId::Pid(pid), look) {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    /// Kills the whole group and waits for the process; nothing of it is left then.
    fn reap(&mut self) -> Option<ExitStatus> {
        self.requests = None;
        // As long as the process was not waited for, its number cannot be another's.
        if !std::mem::replace(&mut self.reaped, true) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lives() {
            let quit = request(Operation::Quit, 0, &[]);
            let _ = self.write(&quit);
            self.requests = None;
            self.listen(|own| own.answers.is_none());
            self.reap();
        }
    }
}
