//! Output and signals of all commands: nobody reads, the disk is full, a scheduler warns.

use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use crate::hstep;
use crate::small::{ENDLESS, Running, STEPS, Small, fails};

/// A stream that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn training_goes_on_when_nobody_reads_its_log() {
    for stream in [unread, full] {
        let run = Small::new("sac");
        let status = run.train(STEPS).stderr(stream()).stdout(unread()).status().unwrap();
        assert_eq!(status.code(), Some(0));
        run.assert_equals_uninterrupted(STEPS, "a log that nobody reads");
    }
}

#[test]
fn an_error_keeps_its_code_when_nobody_reads_it() {
    for (args, code) in [
        (&["train", "nosuch", "--env", "pendulum"][..], 2),
        (&["resume", "/nonexistent"], 4),
        (&["train", "missing.toml"], 6),
        (&["no-such-command"], 2),
        (&["--help"], 0),
    ] {
        for stream in [unread, full] {
            let status = hstep(args).stderr(stream()).stdout(unread()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{args:?}");
        }
    }
    let out = hstep(&["list", "algos"]).stdout(full()).output().unwrap();
    assert_eq!(out.status.code(), Some(6));
}

#[test]
fn what_steers_a_terminal_does_not_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let evil = folder.path().join("a\u{1b}[2J\u{9b}b\r\u{202e}c");
    std::fs::create_dir(&evil).unwrap();
    let evil = evil.to_str().unwrap();
    for args in [
        &["resume", evil][..],
        &["report", evil],
        &["train", evil, "--env", "pendulum"],
        &["train", "sac", "--env", evil],
        &[evil],
        &["-v", evil],
    ] {
        let out = hstep(args).output().unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']), "{args:?}: {text:?}");
        assert!(text.contains("\\u{9b}b\\u{d}\\u{202e}c"), "{args:?}: {text}");
    }
}

#[test]
fn a_file_that_may_not_grow_is_a_full_disk_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", "ulimit -f 0; exec \"$@\" >results", "bash"]).current_dir(folder.path());
    bash.arg(env!("CARGO_BIN_EXE_hstep")).args(["list", "algos"]);
    fails(&mut bash, 6, &["cannot write standard output"]);
}

/// Whether a child of this process hears SIGHUP: under `nohup` none does.
fn hears_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 0
}

#[test]
fn the_warnings_of_schedulers_save_and_end_with_75() {
    let heard = |name: &&str| *name != "-HUP" || hears_hang_ups();
    for name in ["-HUP", "-USR1", "-USR2", "-XCPU"].into_iter().filter(heard) {
        let run = Small::new("sac");
        let mut running = Running::start(&mut run.train(ENDLESS));
        running.wait_for_step(200);
        running.signal(name);
        let (code, rest) = running.end();
        assert_eq!(code, Some(75), "{name}: {rest}");
        assert!(run.file("INTERRUPTED").exists() && run.saved_step().unwrap() >= 200);
    }
}

#[test]
fn warnings_that_are_repeated_leave_the_time_to_save() {
    let run = Small::new("sac");
    let mut running = Running::start(&mut run.train(ENDLESS));
    running.wait_for_step(100);
    // Held, so that it meets all of them before it has saved.
    for name in ["-STOP", "-USR1", "-HUP", "-XCPU", "-USR2", "-TERM", "-CONT"] {
        running.signal(name);
    }
    let (code, rest) = running.end();
    assert_eq!(code, Some(75), "{rest}");
    assert!(run.file("INTERRUPTED").exists());
}

#[test]
fn a_closed_terminal_does_not_end_what_was_started_under_nohup() {
    let run = Small::new("sac");
    let train = run.train(ENDLESS);
    let mut bash = Command::new("bash");
    bash.args(["-c", "trap '' HUP; exec \"$@\"", "bash"]).arg(train.get_program());
    let mut running = Running::start(bash.args(train.get_args()));
    running.wait_for_step(100);
    running.signal("-HUP");
    // Some rows were in the pipe before the signal; twenty more evaluations were not.
    running.wait_for_step(2_000);
    running.signal("-TERM");
    assert_eq!(running.end().0, Some(75));
}

#[test]
fn words_that_are_no_utf_8_are_taken_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(std::ffi::OsStr::from_bytes(b"runs-\xff"));
    let mut train = hstep(&["train", "sac", "--env", "pendulum", "--steps", "20", "--out"]);
    let status = train.arg(&out).args(["loop.random_steps=30", "run.eval.episodes=1"]).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let run = std::fs::read_dir(out.join("train")).unwrap().next().unwrap().unwrap().path();
    let meta = std::fs::read_to_string(run.join("meta.json")).unwrap();
    assert!(run.join("DONE").exists() && meta.contains("runs-\u{fffd}"), "{meta}");

    let bad = std::ffi::OsStr::from_bytes(b"\xff");
    fails(hstep(&["train", "sac", "--env"]).arg(bad), 2, &["invalid UTF-8"]);
    fails(hstep(&["list", "algos"]).env("HSTEP_THREADS", bad), 2, &["`HSTEP_THREADS`: expected"]);
}
