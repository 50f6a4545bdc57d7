//! Sizes that cannot be meant: one line, and neither memory nor a folder is taken.

use std::process::Command;

use crate::small::{Running, STEPS, Small, fails};

/// `command` with so many kibibytes of memory.
fn within(command: &Command, kibibytes: u32) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("ulimit -v {kibibytes}; exec \"$@\""), "bash"]);
    bash.arg(command.get_program()).args(command.get_args());
    bash
}

#[test]
fn huge_sizes_are_refused_by_key_before_anything_is_allocated() {
    for (algo, setting, words) in [
        ("sac", "actor.hidden=[9223372036854775807]", "`actor.hidden`: expected widths of at most"),
        ("sac", "critic.hidden=[4000000000]", "`critic.hidden`: expected widths of at most"),
        ("sac", "critic.members=9223372036854775807", "`critic.members`: expected at most 1000"),
        ("sac", "run.eval.episodes=4000000000", "`run.eval.episodes`: expected at most 10000"),
        (
            "sac",
            "actor.hidden=[1000000,1000000]",
            "`actor.hidden`: networks of 1.000e12 parameters",
        ),
        ("maac", "model.members=4000000000", "`model.members`: expected at most 1000"),
        ("maac", "model.hidden=[4000000000]", "`model.hidden`: expected widths of at most"),
        ("maac", "model.batch=4000000000", "`model.batch`: expected at most 1000000"),
        ("maac", "improve.samples=4000000000", "`improve.samples`: expected at most 10000"),
        (
            "maac",
            "improve.last_samples=4000000000",
            "`improve.last_samples`: expected at most 10000",
        ),
        ("maac", "imagine.starts=4000000000", "`imagine.starts`: expected at most 10000000"),
    ] {
        let run = Small::new(algo).with(setting);
        fails(&mut within(&run.train(STEPS), 3_000_000), 2, &[words]);
        assert!(!run.root.path().join("train").exists(), "{setting} left a folder");
    }
    let batch = Small::new("sac").with("loop.batch=4000000000").with("loop.replay=4000000000");
    fails(&mut batch.train(STEPS), 2, &["`loop.batch`: expected at most 1000000"]);
}

#[test]
fn networks_beyond_the_memory_of_the_process_are_refused() {
    let run = Small::new("sac").with("actor.hidden=[20000,20000]");
    let words = ["`actor.hidden`: networks of 4.001e8 parameters", "and there are 2.0 GB"];
    fails(&mut within(&run.train(STEPS), 2_000_000), 2, &words);
    assert!(!run.root.path().join("train").exists());
}

#[test]
fn more_threads_than_any_use_are_refused() {
    let run = Small::new("sac");
    let words = ["`threads`: expected at most", "got 40000"];
    fails(run.train(STEPS).args(["--threads", "40000"]), 2, &words);
    fails(run.train(STEPS).env("HSTEP_THREADS", "40000"), 2, &words);
}

#[test]
fn a_run_says_what_its_replay_buffers_will_come_to() {
    let run = Small::new("sac").with("loop.replay=1000000000000");
    // Rows of 36 bytes, as many as there are steps or as fit.
    for (steps, words) in [(1_000_000_000_000, "3.6e4 GB"), (50_000_000_000, "1.8e3 GB")] {
        let mut running = Running::start(&mut run.train(steps));
        running.wait_for(&format!("the replay buffers will take up to {words}, this machine has"));
        running.kill();
    }
}
