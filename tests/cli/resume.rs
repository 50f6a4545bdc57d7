//! Resume to the bit: after SIGKILL, with more steps, with another number of threads.

use std::path::PathBuf;

use crate::small::{ENDLESS, Running, STEPS, Small, ended, fails, list, reference};

#[test]
fn killed_at_printed_steps_ends_as_if_it_had_not_been() {
    for algo in ["mbpo", "maac", "mopac", "pets", "sac"] {
        let run = Small::new(algo);
        // Before the first checkpoint, while one is due (a row at 300 comes before it), between two.
        for step in [100, 300, 400, 600, 700] {
            let mut running = Running::start(&mut run.go_on(ENDLESS));
            running.wait_for_step(step);
            running.kill();
        }
        // A slow kill may have let a few more steps be saved.
        let steps = STEPS.max(run.saved_step().unwrap());
        ended(&mut run.resume(steps));
        run.assert_equals_uninterrupted(steps, "five kills");
    }
}

#[test]
fn more_steps_extend_a_finished_run() {
    for algo in ["mbpo", "pets", "sac"] {
        let run = Small::new(algo);
        // 470 is no step of a checkpoint, of an evaluation, of a fit, or of an episode's end.
        ended(&mut run.train(470));
        run.assert_equals_uninterrupted(470, "its end");
        ended(&mut run.resume(600));
        run.assert_equals_uninterrupted(600, "an extension by resume");
        ended(&mut run.train(STEPS));
        run.assert_equals_uninterrupted(STEPS, "an extension by train");
        ended(&mut run.train(STEPS));
        run.assert_equals_uninterrupted(STEPS, "a second start of the finished run");
    }
}

#[test]
fn an_extension_is_remembered() {
    let run = Small::new("sac");
    ended(&mut run.train(300));
    let mut running = Running::start(&mut run.resume(STEPS));
    running.wait_for("300 of 900 steps done");
    running.wait_for_step(400);
    running.kill();
    ended(crate::hstep(&["resume"]).arg(run.folder()));
    run.assert_equals_uninterrupted(STEPS, "an extension that was killed");
    let config = std::fs::read_to_string(run.file("config.toml")).unwrap();
    assert!(config.contains("steps = 900"), "{config}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    for algo in ["mbpo", "maac", "demorl", "sac"] {
        Small::finished(algo).assert_equals_uninterrupted(STEPS, "a second run");
    }
    let other = Small::new("sac");
    ended(other.train(STEPS).args(["--seed", "1"]));
    assert_ne!(other.result()["metrics.csv"], reference("sac", STEPS)["metrics.csv"]);
}

/// Large enough that work is shared out: 2,000 rollouts through five members.
fn wide() -> Small {
    Small::new("mbpo").with("imagine.starts=2000").with("model.batch=512")
}

/// Names of the pool's threads in a running process.
fn pool_threads(running: &Running) -> Vec<String> {
    let tasks = list(&PathBuf::from(format!("/proc/{}/task", running.child.id())));
    let names = tasks.iter().map(|task| std::fs::read_to_string(task.join("comm")).unwrap());
    names.filter(|name| name.starts_with("hstep-")).collect()
}

#[test]
fn one_thread_and_two_give_the_same_bytes() {
    let planning = || Small::new("mopac").with("imagine.starts=200");
    for make in [wide, planning] {
        let threads = |n: &str| {
            let run = make();
            ended(run.train(STEPS).args(["--threads", n]));
            run.result()
        };
        let (one, two) = (threads("1"), threads("2"));
        assert!(one == two, "one thread and two differ");
    }

    // That the helper beside the main thread was there, and is not where it is not asked for.
    for (n, expected) in [("1", 0), ("2", 1)] {
        let run = wide();
        let mut running = Running::start(run.train(ENDLESS).env("HSTEP_THREADS", n));
        running.wait_for_step(300);
        assert_eq!(pool_threads(&running).len(), expected, "{n} threads");
        running.kill();
    }
    let small = Small::new("sac");
    fails(small.train(STEPS).args(["--threads", "0"]), 2, &["`threads`: expected at least 1"]);
    fails(small.train(STEPS).env("HSTEP_THREADS", "two"), 2, &["number of threads, got `two`"]);
}

#[test]
fn small_work_stays_on_one_thread() {
    let run = Small::new("sac").with("loop.batch=64");
    let mut running = Running::start(run.train(ENDLESS).args(["--threads", "2"]));
    running.wait_for_step(300);
    assert_eq!(pool_threads(&running).len(), 0);
    running.kill();
}
