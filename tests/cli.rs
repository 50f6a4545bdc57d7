//! The command line, run as a user runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/begun.rs"]
mod begun;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/compare.rs"]
mod compare;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/figures.rs"]
mod figures;
#[path = "../fuzz/src/lib.rs"]
mod fuzz;
#[path = "cli/fuzzed.rs"]
mod fuzzed;
#[path = "cli/gym.rs"]
mod gym;
#[path = "cli/limits.rs"]
mod limits;
#[cfg(feature = "mujoco")]
#[path = "cli/mujoco.rs"]
mod mujoco;
#[path = "cli/own_environment.rs"]
mod own_environment;
#[path = "cli/plans.rs"]
mod plans;
#[cfg(feature = "mujoco")]
#[path = "mujoco/ready.rs"]
mod ready;
#[path = "cli/render.rs"]
mod render;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/small.rs"]
mod small;
#[path = "cli/speed.rs"]
mod speed;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/sweep.rs"]
mod sweep;
#[path = "cli/trust.rs"]
mod trust;
#[path = "cli/words.rs"]
mod words;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary in an environment without home, fonts or search path.
fn hstep(args: &[&str]) -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_hstep")), args)
}

/// An example of the library, which `cargo test --workspace` has built.
fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_hstep")).with_file_name("examples").join(name);
    assert!(path.exists(), "build it: cargo build --release --workspace --examples");
    path
}

fn program(path: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("FONTCONFIG_PATH", "/nonexistent")
        // Where MuJoCo's folder is.
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(args);
    command
}

fn run(args: &[&str]) -> Output {
    hstep(args).output().unwrap()
}

/// Exit code and stderr of a command that must fail.
fn refused(args: &[&str]) -> (i32, String) {
    let out = run(args);
    assert!(!out.status.success(), "{args:?} succeeded");
    assert!(out.stdout.is_empty(), "{args:?} wrote to stdout");
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!text.contains("panicked"), "{args:?} panicked:\n{text}");
    (out.status.code().unwrap(), text)
}

fn refused_with(args: &[&str], code: i32, words: &str) {
    let (got, text) = refused(args);
    assert!(got == code && text.contains(words), "{args:?} gave {got}:\n{text}");
}
