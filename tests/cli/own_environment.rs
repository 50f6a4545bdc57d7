//! A program of one's own around the command line: `examples/own_environment.rs`.

use crate::hstep;
use crate::small::{ENDLESS, Running, STEPS, Small, ended, fails};

#[test]
fn an_environment_of_ones_own_has_every_command() {
    let run = Small::new("sac").on("blind-pendulum");
    let mut running = Running::start(&mut run.train(ENDLESS));
    running.wait_for_step(300);
    running.kill();
    // A slow kill may have let a few more steps be saved.
    let steps = STEPS.max(run.saved_step().unwrap());
    ended(&mut run.resume(steps));
    run.assert_equals_uninterrupted(steps, "a kill");

    let of_run = |args: &[&str]| {
        let mut command = run.command(args);
        command.arg(run.folder());
        command
    };
    let said = |command: &mut std::process::Command| {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(said(&mut of_run(&["eval", "--episodes", "2"])).contains("return "));
    assert!(said(&mut of_run(&["verify"])).contains("whole"));
    let picture = run.root.path().join("strip.svg");
    let out = ["render", "--format", "svg", "--out", picture.to_str().unwrap()];
    said(&mut of_run(&out));
    assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg"));
    let envs = said(&mut run.command(&["list", "envs"]));
    assert!(envs.contains("blind-pendulum") && envs.contains("2 observations"), "{envs}");
    assert!(envs.lines().any(|line| line.starts_with("pendulum ")), "{envs}");

    // The stock program does not know it; a slip of this one is told of the near name.
    let words = ["`run.env`", "there is no environment `blind-pendulum`"];
    fails(hstep(&["eval"]).arg(run.folder()), 2, &words);
    let slip = ["train", "sac", "--env", "blind-pendulm", "--print-config"];
    fails(&mut run.command(&slip), 2, &["did you mean `blind-pendulum`?"]);
}
