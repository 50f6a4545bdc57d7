//! The command line, run as a user runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary in an environment without home, fonts or search path.
fn hstep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hstep"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("FONTCONFIG_PATH", "/nonexistent")
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
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
}

fn refused_with(args: &[&str], code: i32, words: &str) {
    let (got, text) = refused(args);
    assert!(got == code && text.contains(words), "{args:?} gave {got}:\n{text}");
}

/// `y` by `x` of one line of one panel.
fn line(csv: &Path, panel: &str, series: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let line: Vec<f64> = rows
        .iter()
        .filter(|r| r[0].contains(panel) && &r[1] == series)
        .map(|r| r[3].parse().unwrap())
        .collect();
    assert!(!line.is_empty(), "no `{series}` in `{panel}`");
    line
}

fn lowest(errors: &[f64]) -> (usize, f64) {
    errors.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

#[test]
fn maac_fig3_has_its_shape_and_needs_no_system_font() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(&["reproduce", "maac-fig3", "--out", folder.path().to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");

    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    let (h, e) = lowest(&perturbed);
    assert!((0.75..=1.15).contains(&perturbed[0]), "H = 0: {}", perturbed[0]);
    assert!((7..=13).contains(&h) && (0.15..=0.27).contains(&e), "lowest {e} at {h}");
    assert!((0.2..=0.55).contains(&perturbed[60]), "H = 60: {}", perturbed[60]);

    let exact = line(&csv, "Q perturbed", "true dynamics");
    assert!(exact.windows(2).all(|w| w[1] < w[0]), "true dynamics must fall: {exact:?}");
    assert!(exact[60] < 2e-4, "H = 60: {}", exact[60]);

    // Learned from data: more data is better, and little data has a best horizon.
    let learned = |n: &str| line(&csv, "learned", n);
    let (few, more, many) =
        (learned("N = 100"), learned("N = 1\u{a0}000"), learned("N = 10\u{a0}000"));
    let (h, e) = lowest(&few);
    assert!((3..=25).contains(&h) && few[60] > 1.05 * e, "N = 100: lowest {e} at {h}");
    assert!(few[60] > 1.5 * more[60] && more[60] > 1.5 * many[60]);

    // The lemma's reading: at H = 0 no model is used, so only Q's error is left, the same for both.
    let same = folder.path().join("data/maac-fig3-same-horizon.csv");
    let (wrong, right) = (line(&same, "", "perturbed dynamics"), line(&same, "", "true dynamics"));
    assert!((wrong[0] - right[0]).abs() < 1e-9 && wrong[60] > 100.0 * right[60]);

    let png = std::fs::read(folder.path().join("maac-fig3.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 2400);
    let svg = std::fs::read_to_string(folder.path().join("maac-fig3.svg")).unwrap();
    assert!(svg.contains("best at H = ") && svg.contains("sans-serif") && !svg.contains("NaN"));
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let seeds = manifest["maac-fig3"]["seeds"].as_array().unwrap();
    assert_eq!(seeds.len(), 20);
    assert_eq!(manifest["maac-fig3"]["config_hash"].as_str().unwrap().len(), 8);
}

#[test]
fn maac_fig3_takes_its_numbers_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let settings = ["gamma=0.9", "dt=0.05", "k=[1, 1]", "model_error=0", "critic_error=0.2"];
    let more = ["seeds=[3, 5]", "horizon_max=12", "data_sizes=[50]"];
    let mut args = vec!["reproduce", "maac-fig3", "--out", out];
    args.extend(settings.iter().chain(&more));
    let output = run(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");
    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    assert_eq!(perturbed.len(), 13);
    // Without model error both lines are one.
    assert_eq!(perturbed, line(&csv, "Q perturbed", "true dynamics"));
    let seeds = std::fs::read_to_string(folder.path().join("data/maac-fig3-seeds.csv")).unwrap();
    assert!(seeds.contains(",3,12,") && seeds.contains(",5,0,") && !seeds.contains(",0,0,"));
}

#[test]
fn wrong_words_name_the_nearest_and_exit_with_2() {
    refused_with(&["trian"], 2, "'train'");
    refused_with(&["reproduce", "maac-fig2"], 2, "did you mean `maac-fig3`?");
    refused_with(&["train", "mapc", "--env", "pendulum"], 2, "did you mean `maac`?");
    refused_with(&["train", "sac", "--env", "pendulm"], 2, "did you mean `pendulum`?");
    refused_with(&["train", "sac"], 2, "config: `env`: missing");
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
fn files_that_cannot_be_written_or_are_no_runs_have_their_own_codes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    std::fs::write(&file, "").unwrap();
    let below = file.join("figures");
    let args = ["reproduce", "maac-fig3", "seeds=1", "--out", below.to_str().unwrap()];
    refused_with(&args, 6, "cannot create");
    refused_with(&["resume", folder.path().to_str().unwrap()], 4, "no run folder");
    refused_with(&["train", "missing.toml"], 6, "cannot read missing.toml");
}

#[test]
fn an_edited_resume_is_refused_by_key_and_more_steps_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("config.toml"), "steps = 10\n[improve]\nhorizon = 3\n")
        .unwrap();
    refused_with(&["resume", path, "improve.horizon=4"], 2, "`improve.horizon`: 3 against 4");
    let (_, text) = refused(&["resume", path, "--steps", "20"]);
    assert!(!text.contains("steps"), "{text}");
}

#[test]
fn help_shows_the_exit_codes_and_lists_go_to_stdout() {
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("Exit codes:"), "{text}");
    for code in ["0  success", "2  wrong", "75  interrupted", "70  a fault"] {
        assert!(text.contains(code), "{code} is not in\n{text}");
    }
    let list = run(&["-v", "list", "figures"]);
    assert!(String::from_utf8(list.stdout).unwrap().starts_with("maac-fig3"));
}

/// Starts a job that would not end by itself, and waits until it has logged `words`.
fn long_job(
    folder: &Path,
    setting: &str,
    words: &str,
) -> (std::process::Child, BufReader<std::process::ChildStderr>) {
    let out = folder.to_str().unwrap();
    let mut child = hstep(&["-v", "reproduce", "maac-fig3", "--out", out, setting])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the job ended by itself");
    }
    (child, lines)
}

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_first_signal_ends_in_order_with_75() {
    for name in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, mut lines) = long_job(folder.path(), "seeds=1000000", "seed 0 done");
        signal(&child, name);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(75), "{rest}");
        assert!(rest.contains("interrupted"), "{rest}");
        assert!(!folder.path().join("maac-fig3.png").exists());
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // A horizon so long that the first signal is not looked at for a while.
    let (mut child, mut lines) = long_job(folder.path(), "horizon_max=1000", "computing");
    // Two different signals: two equal ones may be delivered as one.
    signal(&child, "-INT");
    signal(&child, "-TERM");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
}
