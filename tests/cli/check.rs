//! `hstep check`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{refused_with, run};

/// A model that takes a good action for a bad one.
const SWAPPED: &str = r#"{"gamma": "9/10", "reward": [[0, 0], [1, 1]],
    "transition": [[[0.9, 0.1], [1, 0]], [[0, 1], [0, 1]]],
    "model": [[[1, 0], ["9/10", "1/10"]], [[0, 1], [0, 1]]], "value": null}"#;

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("mdp.json");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn json(args: &[&str]) -> Value {
    let out = run(args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_problem_of_ones_own_is_answered_in_fractions() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), SWAPPED);
    let of = |more: &[&str]| {
        let mut args = vec!["check", "mopac-theorem-1", "--mdp", &path, "--horizon", "3", "--json"];
        args.extend(more);
        json(&args)
    };
    let got = of(&["--play", "receding", "--norm", "tv"]);
    for (key, value) in [
        ("gap", json!("90/19")),
        ("eps_f", json!("1/10")),
        ("eps_v", json!("0")),
        ("bound_printed", json!("271/1000")),
        ("bound_corrected", json!("18")),
        ("printed_holds", json!(false)),
        ("corrected_holds", json!(true)),
    ] {
        assert_eq!(got[key], value, "{key}");
    }
    assert_eq!(of(&["--norm", "l1", "--play", "executed"])["eps_f"], "1/5");
    // In words.
    let out = run(&["check", "mopac-theorem-1", "--mdp", &path, "--horizon", "1"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("gap                   90/19  (4.7368)"), "{text}");
}

#[test]
fn bad_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let reward: Vec<String> = (0..10_000).map(|_| "[0]".to_owned()).collect();
    let many = format!(r#"{{"gamma": 0.5, "reward": [{}], "transition": []}}"#, reward.join(","));
    let cases = [
        ("gamma".to_owned(), "not JSON"),
        (
            SWAPPED.replace("0.9, 0.1", "0.9, 0.2"),
            "`transition[0][0]`: expected probabilities that sum to 1",
        ),
        (SWAPPED.replace("0.9, 0.1", "1.1, -0.1"), "at least 0, got -1/10"),
        (SWAPPED.replace("\"9/10\", \"reward", "\"1\", \"reward"), "expected a discount"),
        (SWAPPED.replace("0.9, 0.1", "NaN, 0.1"), "not JSON"),
        (
            SWAPPED.replace("[[0, 0], [1, 1]]", "[[0, 0, 0], [1, 1, 1]]"),
            "`reward[0]`: expected 2 actions, got 3",
        ),
        (r#"{"gamma": 0.5, "reward": [], "transition": []}"#.to_owned(), "at least one state"),
        (many, "expected 1 to 2000 states"),
    ];
    for (text, words) in cases {
        let path = file(folder.path(), &text);
        let args = ["check", "mopac-theorem-1", "--mdp", &path, "--horizon", "2"];
        refused_with(&args, 2, words);
        let out = run(&args);
        assert_eq!(String::from_utf8_lossy(&out.stderr).trim_end().lines().count(), 1, "{words}");
    }
    let path = file(folder.path(), SWAPPED);
    let with = |more: &[&str]| {
        let mut args = vec!["check", "mopac-theorem-1", "--mdp", &path];
        args.extend(more);
        args.into_iter().map(String::from).collect::<Vec<_>>()
    };
    for (more, words) in [
        (vec!["--horizon", "0"], "expected at least 1 step, got 0"),
        (vec![], "for example `--horizon 3`"),
        (vec!["--horizon", "3", "--norm", "l2"], "expected one of tv, l1, got `l2`"),
        (vec!["--horizon", "3", "--play", "recede"], "did you mean `receding`?"),
    ] {
        let args = with(&more);
        refused_with(&args.iter().map(String::as_str).collect::<Vec<_>>(), 2, words);
    }
    refused_with(
        &["check", "mopac-theorem-1", "--mdp", "missing.json"],
        6,
        "cannot read missing.json",
    );
    refused_with(&["check", "polo-lemma-3"], 2, "did you mean `polo-lemma-1`?");
    let out = run(&["check", "mpq-free-energy", "--mdp", &path]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("not about finite processes"));
}

#[test]
fn a_search_leaves_figures_and_a_counterexample_that_can_be_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let common = ["check", "polo-lemma-2", "--evaluations", "10000", "--json"];
    let with = |more: &[&str]| json(&[&common[..], more].concat());
    let report = with(&["--out", out, "--threads", "2"]);
    assert_eq!(report["printed"]["holds"], false);
    assert_eq!(report["corrected"]["holds"], true);
    assert_eq!(report["search"]["evaluations"], 10_000);
    assert_eq!(report["counterexamples"][0]["printed"]["left"], "4/5");
    assert_eq!(report["counterexamples"][0]["printed"]["right"], "2/3");
    assert_eq!(with(&["--threads", "1"]), report, "threads change nothing");

    let png = std::fs::read(folder.path().join("bounds/polo-lemma-2.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let csv = std::fs::read_to_string(folder.path().join("data/bounds/polo-lemma-2.csv")).unwrap();
    assert!(csv.contains("corrected") && !csv.contains("NaN"));
    let witness = folder.path().join("data/bounds/polo-lemma-2.json");
    let again = json(&[
        "check",
        "polo-lemma-2",
        "--mdp",
        witness.to_str().unwrap(),
        "--horizon",
        "2",
        "--json",
    ]);
    assert_eq!((&again["gap"], &again["bound_printed"]), (&json!("4/5"), &json!("2/3")));
    assert_eq!(again["printed_holds"], false);
}

#[test]
fn all_statements_are_listed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let list = run(&["list", "bounds"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().count(), 10);
    let got = run(&["check", "all", "--evaluations", "5000", "--out", out]);
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    let text = String::from_utf8(got.stdout).unwrap();
    for name in list.lines().filter_map(|l| l.split_whitespace().next()) {
        assert!(text.contains(&format!("\n{name}  ")) || text.starts_with(name), "{name}");
    }
    // The table at the end: nine printed forms do not survive, all corrected ones do.
    let rows: Vec<&str> =
        text.lines().filter(|l| l.starts_with("| M") || l.starts_with("| P")).collect();
    assert_eq!(rows.len(), 10);
    assert_eq!(rows.iter().filter(|r| r.contains("none found")).count(), 1);
    assert!(
        rows.iter().all(|r| r.contains("| survives | 5 000 |") || r.contains("| survives | 4 9")),
        "{rows:#?}"
    );
    let ratios = std::fs::read_to_string(folder.path().join("data/bounds/ratios.csv")).unwrap();
    // Two edges and two forms of ten statements.
    assert_eq!(ratios.lines().next().unwrap().split(',').count(), 22);
    assert!(folder.path().join("bounds/summary.svg").exists());
}

/// Rows as `softmax` and NumPy's division give them.
const FLOATS: &str = r#"{"gamma": 0.9, "reward": [[0, 1], [0, 0]],
    "transition": [[[1, 0], [0, 1]], [[0, 1], [0, 1]]],
    "model": [[[0.8807970779778824, 0.11920292202211753], [0.3, 0.7]], [[0, 1], [0.1, 0.9]]]}"#;

#[test]
fn probabilities_of_programs_are_rounded_when_asked_and_else_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), FLOATS);
    let args = ["check", "mopac-theorem-1", "--mdp", &path, "--horizon", "3", "--json"];
    refused_with(&args, 2, "looks rounded: `--round` divides such a row by its sum");
    let got = json(&[&args[..], &["--round"]].concat());
    assert_eq!(got["rounded"], "1 rows, each divided by its sum");
    // What needs no rounding is left as it is.
    let exact = file(folder.path(), SWAPPED);
    let args = ["check", "mopac-theorem-1", "--mdp", &exact, "--horizon", "3", "--json"];
    assert_eq!(json(&[&args[..], &["--round"]].concat()), json(&args));
    // A row that is off by more is wrong, and one of zeros is a terminal state.
    let off = file(folder.path(), &FLOATS.replace("0.7]", "0.700001]"));
    let args = ["check", "mopac-theorem-1", "--mdp", &off, "--horizon", "3", "--round"];
    refused_with(&args, 2, "`model[0][1]`: expected probabilities that sum to 1");
    let zeros = file(folder.path(), &SWAPPED.replace("[0, 1], [0, 1]]],", "[0, 0], [0, 1]]],"));
    let args = ["check", "mopac-theorem-1", "--mdp", &zeros, "--horizon", "3"];
    refused_with(&args, 2, "a terminal state is written as one that leads to itself with reward 0");
}

#[test]
fn all_that_is_about_a_problem_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), SWAPPED);
    let all = json(&["check", "all", "--mdp", &path, "--horizon", "3", "--json"]);
    let names: Vec<&str> =
        all.as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
    let expected =
        ["mopac-theorem-1", "mopac-lemma-2", "polo-lemma-1", "polo-lemma-2", "demorl-lemma-1"];
    assert_eq!(names, expected);
    for (one, name) in all.as_array().unwrap().iter().zip(names) {
        let mut args = vec!["check", name, "--mdp", &path, "--json"];
        if name != "polo-lemma-1" {
            args.extend(["--horizon", "3"]);
        }
        assert_eq!(*one, json(&args));
    }
    // With two policies there is the sixth.
    let policies = r#""policy": [[1, 0], [0, 1]], "data_policy": [[0, 1], [0, 1]], "gamma""#;
    let path = file(folder.path(), &SWAPPED.replace("\"gamma\"", policies));
    let all = json(&["check", "all", "--mdp", &path, "--horizon", "3", "--json"]);
    assert_eq!(all.as_array().unwrap().last().unwrap()["result"], "maac-theorem-4.1");
}

#[test]
fn what_would_take_hours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // Five states, two actions, and in every row another denominator of 191 digits.
    let row = |k: usize| -> Vec<String> {
        let number = |end: usize| format!("1{}{end}", "0".repeat(188));
        let last = format!("{}/{}", number(k - 4), number(k));
        [vec![format!("1/{}", number(k)); 4], vec![last]].concat()
    };
    let states = |f: &dyn Fn(usize) -> Value| (0..5).map(f).collect::<Vec<Value>>();
    let problem = json!({
        "gamma": "99/100",
        "reward": states(&|s| json!([format!("{}/7", s), format!("{}/7", 10 + s)])),
        "transition": states(&|s| json!([row(21 + 4 * s), row(23 + 4 * s)])),
    });
    let path = file(folder.path(), &problem.to_string());
    let args = ["check", "demorl-lemma-1", "--mdp", &path, "--horizon", "10"];
    refused_with(&args, 2, "`horizon`: expected fewer steps: all 2^10 action sequences are tried");
    json(&["check", "demorl-lemma-1", "--mdp", &path, "--horizon", "1", "--json"]);
}

#[test]
fn problems_of_many_states_are_decided_in_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring.json");
    // A ring of 60 states: on, which is paid at the last one, or back to the first, which ends every tenth time.
    let ring = |s: usize| {
        let paid = if s == 59 { 1.0 } else { 0.0 };
        format!(
            "[[[1.0, {}, {paid}, false]], [[0.9, 0, 0.1, false], [0.1, 0, 0.1, true]]]",
            (s + 1) % 60
        )
    };
    let all: Vec<String> = (0..60).map(ring).collect();
    std::fs::write(&path, format!("{{\"gamma\": 0.9, \"P\": [{}]}}", all.join(","))).unwrap();
    let check = |more: &[&str]| {
        let mut command = crate::hstep(&["check", "all", "--horizon", "2", "--mdp"]);
        let out = command.arg(&path).args(more).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let text = check(&[]);
    assert_eq!(text.matches("arithmetic            intervals").count(), 3, "{text}");
    let json: Value = serde_json::from_str(&check(&["--json"])).unwrap();
    assert_eq!(json[0]["states"], 61);
    // Nothing errs: the loss is 0 and so is the bound, which only fractions can tell.
    assert_eq!(json[0]["corrected_holds"], "undecided");
    let gap = |i: usize, end: usize| json[i]["gap"][end].as_f64().unwrap();
    assert!((0..3).all(|i| gap(i, 0) == 0.0 && gap(i, 1) < 1e-9), "{json}");
}
