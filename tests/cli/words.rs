//! Words on the command line: wrong ones name the nearest, right ones print to stdout.

use crate::{hstep, refused_with, run};

#[test]
fn wrong_words_name_the_nearest_and_exit_with_2() {
    refused_with(&["trian"], 2, "'train'");
    refused_with(&["reproduce", "maac-fig33"], 2, "did you mean `maac-fig3`?");
    refused_with(&["train", "mapc", "--env", "pendulum"], 2, "did you mean `maac`?");
    refused_with(&["train", "sac", "--env", "pendulm"], 2, "did you mean `pendulum`?");
    refused_with(&["train", "sac"], 2, "config: `run.env`: missing");
    refused_with(&["list", "algo"], 2, "'algos'");
    refused_with(&["train", "sac", "--sead", "1"], 2, "'--seed'");
    let figure = ["reproduce", "maac-fig3"];
    let with = |setting| [figure[0], figure[1], setting];
    refused_with(&with("gama=0.9"), 2, "`gama`: unknown key; did you mean `gamma`?");
    refused_with(&with("dt=fast"), 2, "`dt`: expected a number, got string \"fast\"");
    refused_with(&with("dt"), 2, "expected `key=value`");
    refused_with(&with("gamma=1.5"), 2, "`gamma`: expected 0 < gamma < 1, got 1.5");
    refused_with(&with("k=[1]"), 2, "`k`: expected two finite gains");
    refused_with(&with("k=[-30, 0]"), 2, "not stable");
    refused_with(&with("seeds=many"), 2, "`seeds`: expected a number of seeds or a list");
    refused_with(&with("data_sizes=[3]"), 2, "`data_sizes`: expected 8 to");
}

#[test]
fn help_shows_the_exit_codes_and_lists_go_to_stdout() {
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("Exit codes:"), "{text}");
    for code in ["0  success", "2  wrong", "75  interrupted", "70  a fault"] {
        assert!(text.contains(code), "{code} is not in\n{text}");
    }
    let shown = run(&["show", "maac", "--env", "pendulum", "improve.samples=2"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.split_whitespace().next() == Some(key));
        found
            .unwrap_or_else(|| panic!("no {key} in\n{shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("gamma")[1..], ["0.99", "row", "code"]);
    assert_eq!(line("loop.updates_per_step")[1..], ["5", "preset"]);
    assert_eq!(line("improve.samples")[1..], ["2", "given"]);
    assert_eq!(line("critic.tau")[1..], ["0.005", "default"]);
    assert_eq!(line("run.eval.every")[1..], ["500", "preset"]);
    let row = String::from_utf8(run(&["show", "maac"]).stdout).unwrap();
    assert!(!row.contains("preset") && !row.contains("run."), "nothing of a task:\n{row}");
    assert!(row.lines().any(|line| line.starts_with("improve.samples") && line.contains(" row ")));
    let printed = run(&["train", "maac", "--env", "pendulum", "--print-config"]);
    let printed: toml::Table = String::from_utf8(printed.stdout).unwrap().parse().unwrap();
    assert_eq!(printed["loop"]["updates_per_step"].as_integer(), Some(5));

    let list = run(&["-v", "list", "figures"]);
    assert!(String::from_utf8(list.stdout).unwrap().starts_with("maac-fig3"));
}

#[test]
fn a_reader_that_leaves_is_no_fault_and_a_full_disk_is_an_io_error() {
    let binary = env!("CARGO_BIN_EXE_hstep");
    let script = format!("set -o pipefail; for i in 1 2 3; do {binary} list algos; done | true");
    let piped = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    let script = format!("{binary} list algos > /dev/full");
    let full = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(6), "{said}");
    assert!(said.contains("cannot write standard output") && !said.contains("panicked"), "{said}");
}

#[test]
fn the_doctor_says_what_is_missing_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = |runs: &str, threads: &str| {
        let mut command = hstep(&["doctor", "--threads", threads]);
        command.env("HSTEP_RUNS", folder.path().join(runs));
        let done = command.env("HSTEP_PYTHON", "/nonexistent/python").output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap()
    };
    let said = doctor("runs", "1");
    for what in ["processor", "threads     1 of", "GB free", "locks", "MuJoCo", "gymnasium"] {
        assert!(said.contains(what), "{what} is not in\n{said}");
    }
    assert!(said.contains("-> for gym: environments install Python"), "{said}");
    assert!(!folder.path().join("runs").exists(), "it makes no folder");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing");
    assert!(doctor("runs", "200").contains("-> ask for no more than there are"));
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let done = run(&["completions", shell]);
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && text.contains("reproduce"), "{shell}");
    }
    refused_with(&["completions", "csh"], 2, "bash");
}
