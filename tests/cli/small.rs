//! Small training runs, and what of a run folder must be byte-equal.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::{example, hstep, program};

/// Environment steps of a small run: ten rows of metrics, six checkpoints, eight model fits.
pub const STEPS: u64 = 900;
/// More steps than any test waits for.
pub const ENDLESS: u64 = 1_000_000;

const SETTINGS: [&str; 6] = [
    "run.checkpoint_every=150",
    "run.checkpoint_share=1.0",
    "run.eval.every=100",
    "run.eval.episodes=2",
    "loop.random_steps=200",
    "loop.updates_per_step=1",
];
const MODEL: [&str; 3] = ["loop.fit_every=100", "model.max_epochs=3", "imagine.starts=300"];
/// A planner that acts has no updates and imagines nothing; it carries its last plan along.
const PLANNER: [&str; 4] =
    ["loop.fit_every=100", "model.max_epochs=3", "behave.horizon=5", "planner.samples.count=16"];

/// A small run in a folder of its own.
pub struct Small {
    pub root: TempDir,
    algo: &'static str,
    env: &'static str,
    settings: Vec<&'static str>,
}

impl Small {
    pub fn new(algo: &'static str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let own: &[&str] = match algo {
            "sac" => &[],
            "pets" => &PLANNER,
            _ => &MODEL,
        };
        let settings = SETTINGS.iter().chain(own).copied().collect();
        Self { root, algo, env: "pendulum", settings }
    }

    /// The same on another environment, which has no preset of small networks.
    pub fn on(mut self, env: &'static str) -> Self {
        if env != self.env {
            self.settings.extend(["actor.hidden=[32, 32]", "critic.hidden=[32, 32]"]);
        }
        self.env = env;
        self
    }

    pub fn with(mut self, setting: &'static str) -> Self {
        self.settings.push(setting);
        self
    }

    /// A finished run of [`STEPS`].
    pub fn finished(algo: &'static str) -> Self {
        let small = Self::new(algo);
        ended(&mut small.train(STEPS));
        small
    }

    pub fn train(&self, steps: u64) -> Command {
        let mut command = self.command(&["train", self.algo, "--env", self.env, "--out"]);
        command.arg(self.root.path()).args(["--steps", &steps.to_string()]).args(&self.settings);
        command
    }

    /// `hstep`, or the example that knows the environment.
    pub fn command(&self, args: &[&str]) -> Command {
        match self.env {
            "blind-pendulum" => program(&example("own_environment"), args),
            _ => hstep(args),
        }
    }

    pub fn resume(&self, steps: u64) -> Command {
        let mut command = self.command(&["resume"]);
        command.arg(self.folder()).args(["--steps", &steps.to_string()]);
        command
    }

    /// What a user does after a crash: resume, or the first command again when nothing was saved.
    pub fn go_on(&self, steps: u64) -> Command {
        if self.newest_manifest().is_some() { self.resume(steps) } else { self.train(steps) }
    }

    /// The run folder, of which there must be one.
    pub fn folder(&self) -> PathBuf {
        let runs = list(&self.root.path().join("train"));
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn manifests(&self) -> Vec<PathBuf> {
        if !self.root.path().join("train").exists() {
            return Vec::new();
        }
        let files = list(&self.file("ckpt"));
        files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
    }

    pub fn newest_manifest(&self) -> Option<PathBuf> {
        self.manifests().pop()
    }

    /// The step of the newest checkpoint.
    pub fn saved_step(&self) -> Option<u64> {
        Some(manifest(&self.newest_manifest()?)["step"].as_u64().unwrap())
    }

    /// The files that the newest checkpoint names: chunks and tensors.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let manifest = manifest(&self.newest_manifest().expect("a checkpoint"));
        let ckpt = self.file("ckpt");
        let hash = |blob: &serde_json::Value| blob["hash"].as_str().unwrap().to_owned();
        let parts = manifest["parts"].as_object().unwrap().values();
        let tensors = parts.map(|blob| format!("tensors/{}.safetensors", hash(blob)));
        let buffers = manifest["buffers"].as_object().unwrap().values();
        let chunks = buffers.flat_map(|buffer| buffer["chunks"].as_array().unwrap());
        let chunks = chunks.map(|chunk| format!("chunks/{}.chunk", hash(chunk)));
        chunks.chain(tensors).map(|name| ckpt.join(name)).collect()
    }

    /// What must be byte-equal: `metrics.csv` and the newest checkpoint, by the name in the folder.
    pub fn result(&self) -> BTreeMap<String, Vec<u8>> {
        let manifest = self.newest_manifest().expect("a checkpoint");
        let files = self.blobs().into_iter().chain([manifest, self.file("metrics.csv")]);
        let name = |path: &Path| path.strip_prefix(self.folder()).unwrap().display().to_string();
        files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
    }

    pub fn assert_equals_uninterrupted(&self, steps: u64, after: &str) {
        let expected = reference_on(self.env, self.algo, steps);
        let got = self.result();
        let text = |all: &BTreeMap<String, Vec<u8>>| {
            String::from_utf8(all["metrics.csv"].clone()).unwrap()
        };
        assert_eq!(text(&got), text(&expected), "metrics.csv of {} after {after}", self.algo);
        let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&got), names(&expected), "files of {} after {after}", self.algo);
        assert!(got == *expected, "the newest checkpoint of {} after {after}", self.algo);
        assert!(self.file("DONE").exists(), "after {after}");
    }

    /// A copy of the run folder's whole tree in a new place.
    pub fn copy(&self) -> Self {
        let root = tempfile::tempdir().unwrap();
        let from = self.root.path().join("train");
        let copied = Command::new("cp").arg("-r").arg(from).arg(root.path()).status().unwrap();
        assert!(copied.success());
        Self { root, algo: self.algo, env: self.env, settings: self.settings.clone() }
    }

    /// Every file of the run's checkpoints and metrics.
    pub fn saved(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let ckpt = self.file("ckpt");
        let folders = [ckpt.clone(), ckpt.join("chunks"), ckpt.join("tensors")];
        let files = folders.iter().flat_map(|folder| list(folder)).filter(|path| path.is_file());
        let files = files.chain([self.file("metrics.csv")]);
        let name = |path: &Path| path.strip_prefix(self.folder()).unwrap().to_path_buf();
        files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
    }
}

/// The uninterrupted run's result; each is computed once.
pub fn reference(algo: &'static str, steps: u64) -> Arc<BTreeMap<String, Vec<u8>>> {
    reference_on("pendulum", algo, steps)
}

/// The same on another environment.
fn reference_on(
    env: &'static str,
    algo: &'static str,
    steps: u64,
) -> Arc<BTreeMap<String, Vec<u8>>> {
    type Key = (&'static str, &'static str, u64);
    type Results = BTreeMap<Key, Arc<BTreeMap<String, Vec<u8>>>>;
    static ALL: Mutex<Results> = Mutex::new(BTreeMap::new());
    // A poisoned lock means that another test could not make its reference: neither can this one.
    let mut all = ALL.lock().unwrap();
    let make = || {
        let small = Small::new(algo).on(env);
        ended(&mut small.train(steps));
        Arc::new(small.result())
    };
    Arc::clone(all.entry((env, algo, steps)).or_insert_with(make))
}

/// The body of a manifest.
pub fn manifest(path: &Path) -> serde_json::Value {
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    manifest["body"].take()
}

/// The files of a folder by name; none if it is not there.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs a command that must succeed; its stderr.
pub fn ended(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{command:?} gave {}:\n{text}", out.status);
    text
}

/// Runs a command that must fail with `code` and a message with all of `words`; its stderr.
pub fn fails(command: &mut Command, code: i32, words: &[&str]) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{command:?}, signal {:?}:\n{text}", status.signal());
    assert!(stdout.is_empty() && !text.contains("panicked"), "{command:?}:\n{text}");
    for words in words {
        assert!(text.contains(words), "`{words}` is not in the message of {command:?}:\n{text}");
    }
    text
}

/// A running command whose stderr is read line by line.
pub struct Running {
    pub child: Child,
    lines: BufReader<ChildStderr>,
}

/// A test that fails meanwhile must not leave an endless run behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads on until a line holds `words`.
    pub fn wait_for(&mut self, words: &str) {
        self.wait_until(words, |line| line.contains(words));
    }

    /// Reads on until a line holds any of the words, or to the end.
    pub fn wait_for_words(&mut self, words: &[&str]) {
        let mut line = String::new();
        while !words.iter().any(|word| line.contains(word)) {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return;
            }
        }
    }

    /// Reads on until the row of `step`, or of a later one, is written.
    pub fn wait_for_step(&mut self, step: u64) {
        self.wait_until("a step", |line| {
            let rest = line.split_once(" step ").and_then(|(_, rest)| rest.split_once(": return"));
            rest.is_some_and(|(at, _)| at.parse::<u64>().unwrap() >= step)
        });
    }

    fn wait_until(&mut self, what: &str, said: impl Fn(&str) -> bool) {
        let (mut line, mut all) = (String::new(), String::new());
        while !said(&line) {
            line.clear();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "ended before it said `{what}`:\n{all}");
            all.push_str(&line);
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// SIGKILL, which the process must still be there to receive.
    pub fn kill(self) {
        assert!(self.kill_unless_ended());
    }

    /// SIGKILL; false where the process has come to a good end before it.
    pub fn kill_unless_ended(mut self) -> bool {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        !status.success()
    }

    /// Waits for the end: exit code and the rest of stderr.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}
