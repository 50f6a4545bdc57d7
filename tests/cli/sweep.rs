//! `hstep sweep` and `hstep train --seeds`: lists, kills, signals, failures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::hstep;
use crate::small::{ENDLESS, Running, ended, fails, list};

const SETTINGS: &str = "[run]\ncheckpoint_every = 100\ncheckpoint_share = 1.0\n\
                        eval.every = 100\neval.episodes = 1\n\
                        [loop]\nrandom_steps = 100\nupdates_per_step = 1\n";

/// A sweep in a folder of its own.
struct Sweep {
    root: TempDir,
    file: PathBuf,
}

impl Sweep {
    fn new(steps: u64, sweep: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("small.toml");
        let own = SETTINGS.replace("[run]\n", &format!("[run]\nsteps = {steps}\n"));
        std::fs::write(&file, format!("{own}[sweep]\nenvs = ['pendulum']\n{sweep}")).unwrap();
        Self { root, file }
    }

    fn run(&self, args: &[&str]) -> Command {
        let mut command = hstep(&["-v", "sweep"]);
        command.arg(&self.file).arg("--out").arg(self.root.path()).args(args);
        command
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("small")
    }

    fn runs(&self) -> Vec<PathBuf> {
        let all = list(&self.folder()).into_iter();
        all.filter(|path| path.join("config.toml").exists()).collect()
    }

    /// The metrics of every run, by the name of its folder.
    fn metrics(&self) -> BTreeMap<String, String> {
        let name = |run: &Path| run.file_name().unwrap().to_string_lossy().into_owned();
        let text = |run: &Path| std::fs::read_to_string(run.join("metrics.csv")).unwrap();
        self.runs().iter().map(|run| (name(run), text(run))).collect()
    }
}

const CROSSED: &str = "algos = ['sac', 'mbpo', 'maac']\nseeds = '0..1'\n";
/// Small fits for the two algorithms that have a model.
const SMALL: &str = "[[sweep.list]]\nrun.algo = 'sac'\n\
                     [[sweep.list]]\nrun.algo = 'mbpo'\nloop.fit_every = 100\nmodel.max_epochs = 2\n\
                     imagine.starts = 200\n\
                     [[sweep.list]]\nrun.algo = 'maac'\nloop.fit_every = 100\nmodel.max_epochs = 2\n\
                     imagine.starts = 200\n";

#[test]
fn a_killed_sweep_goes_on_to_the_same_bytes() {
    let sweep = format!("seeds = '0..1'\n{SMALL}");
    let whole = Sweep::new(400, &sweep);
    ended(&mut whole.run(&["--jobs", "2"]));
    let expected = whole.metrics();
    assert_eq!(expected.len(), 6);

    let killed = Sweep::new(400, &sweep);
    // On a busy machine what is left may be through before a later signal; the first always comes.
    let mut kills = 0;
    for words in [" step 100", " begins", " step 200", " begins", " step 100"] {
        let mut running = Running::start(&mut killed.run(&["--jobs", "2"]));
        running.wait_for_words(&[words, "error"]);
        if !running.kill_unless_ended() {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 1, "{kills} kills");
    ended(&mut killed.run(&["--jobs", "2"]));
    assert_eq!(killed.metrics(), expected);
    assert!(killed.runs().iter().all(|run| run.join("DONE").exists()));

    // Nothing is left to do, and more seeds are added to what is there.
    let said = ended(&mut killed.run(&[]));
    assert!(!said.contains(" begins"), "{said}");
    let text = std::fs::read_to_string(&killed.file).unwrap();
    std::fs::write(&killed.file, text.replace("'0..1'", "'0..2'")).unwrap();
    let lines = ended_out(&mut killed.run(&["--list"]));
    let count = |state: &str| lines.lines().filter(|line| line.contains(state)).count();
    assert_eq!((count("  done "), count("  waiting ")), (6, 3), "{lines}");
}

#[test]
fn ctrl_c_saves_all_and_the_same_command_goes_on() {
    let sweep = Sweep::new(ENDLESS, "algos = ['sac']\nseeds = '0..3'\n");
    let mut running = Running::start(&mut sweep.run(&["--jobs", "2"]));
    running.wait_for(" step 200");
    running.signal("-INT");
    let (code, rest) = running.end();
    assert_eq!(code, Some(75), "{rest}");
    assert!(rest.contains("the same command goes on"), "{rest}");
    let runs = sweep.runs();
    assert_eq!(runs.len(), 2, "two at a time");
    assert!(runs.iter().all(|run| run.join("INTERRUPTED").exists()));
    // Where they stopped is chance, less than one evaluation after the last row.
    let last =
        |text: &String| text.lines().last().unwrap().split(',').next().unwrap().parse::<u64>();
    let furthest = sweep.metrics().values().map(|text| last(text).unwrap_or(0)).max().unwrap();
    let text = std::fs::read_to_string(&sweep.file).unwrap();
    let steps = (furthest + 200).to_string();
    let text = text.replace("'0..3'", "[0, 1]").replace(&ENDLESS.to_string(), &steps);
    std::fs::write(&sweep.file, text).unwrap();
    ended(&mut sweep.run(&["--jobs", "2"]));
    assert!(sweep.runs().iter().all(|run| run.join("DONE").exists()));
}

#[test]
fn a_run_that_fails_is_tried_again_then_skipped_and_the_code_says_so() {
    // A number that is not finite ends the second run of each seed.
    let bad = "seeds = [0, 1]\nalgos = ['sac']\n[sweep.grid]\ncritic.lr = [1e-3, 1e30]\n";
    let sweep = Sweep::new(300, bad);
    let said = fails(&mut sweep.run(&["--retries", "2"]), 7, &["2 of 4 runs failed", "logs"]);
    assert_eq!(said.matches("failed with exit code 5").count(), 6, "{said}");
    let state = |name: &str| sweep.runs().iter().filter(|run| run.join(name).exists()).count();
    assert_eq!((state("DONE"), state("FAILED")), (2, 2));
    let out = ended_out(&mut sweep.run(&["--list"]));
    assert_eq!((out.matches("  failed ").count(), out.matches("  done ").count()), (2, 2), "{out}");
}

fn ended_out(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_dry_run_writes_nothing_and_an_index_runs_one() {
    let sweep = Sweep::new(100, CROSSED);
    let out = ended_out(&mut sweep.run(&["--dry-run"]));
    assert!(out.contains("6 of 6 runs would be trained"), "{out}");
    assert!(out.lines().nth(1).unwrap().contains("run.algo=\"mbpo\""), "{out}");
    assert!(!sweep.folder().exists());

    ended(&mut sweep.run(&["--index", "3"]));
    let runs = sweep.runs();
    assert_eq!(runs.len(), 1);
    assert!(runs[0].file_name().unwrap().to_string_lossy().starts_with("sac-pendulum-s1-"));
    fails(&mut sweep.run(&["--index", "6"]), 2, &["expected a run from 0 to 5, got 6"]);
}

#[test]
fn an_index_of_an_edited_file_is_refused() {
    let sweep = Sweep::new(100, "algos = ['sac']\nseeds = [0]\n");
    ended(&mut sweep.run(&[]));
    let list = std::fs::read_to_string(sweep.folder().join("sweep.json")).unwrap();
    assert!(list.contains("\"hstep\": \"hstep ") && list.contains("sac-pendulum-s0-"), "{list}");
    let text = std::fs::read_to_string(&sweep.file).unwrap();
    std::fs::write(&sweep.file, text.replace("seeds = [0]", "seeds = [1]")).unwrap();
    fails(&mut sweep.run(&["--index", "0"]), 2, &["the file was edited"]);
}

#[test]
fn another_binary_and_another_sweep_at_work_are_refused() {
    let sweep = Sweep::new(ENDLESS, "algos = ['sac']\nseeds = [0]\n");
    fails(&mut sweep.run(&["--binary", "/bin/true"]), 2, &["expected a binary of hstep"]);
    let mut running = Running::start(&mut sweep.run(&[]));
    running.wait_for(" begins");
    fails(&mut sweep.run(&[]), 2, &["another sweep is at work"]);
    running.kill();
}

#[test]
fn seeds_of_train_are_runs_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let args = ["train", "sac", "--env", "pendulum", "--steps", "100", "--out"];
    let mut command = hstep(&args);
    command.arg(root.path()).args(["run.eval.every=100", "loop.random_steps=50"]);
    let out = ended_out(command.args(["--seeds", "0..2"]));
    assert_eq!(out.lines().count(), 3, "{out}");
    for (i, folder) in out.lines().enumerate() {
        assert!(folder.contains(&format!("-s{i}-")) && Path::new(folder).join("DONE").exists());
    }
    let words = ["both ends count", "4..0"];
    fails(&mut hstep(&["train", "sac", "--env", "pendulum", "--seeds", "4..0"]), 2, &words);
}

#[test]
fn halving_leaves_the_weak_behind_and_resumes_the_others_exactly() {
    let grid = "algos = ['sac']\nseeds = [0]\n[sweep.grid]\nactor.lr = [1e-5, 1e-4, 1e-3, 1e-2]\n";
    let whole = Sweep::new(400, grid);
    ended(&mut whole.run(&["--jobs", "2"]));
    let halved = Sweep::new(400, &format!("{grid}[sweep.halving]\nfirst = 100\nfactor = 2\n"));
    let said = ended(&mut halved.run(&["--jobs", "2"]));
    assert!(said.contains("after 100 steps 2 of 4 runs go on"), "{said}");
    let (expected, got) = (whole.metrics(), halved.metrics());
    let mut rows: Vec<usize> = got.values().map(|text| text.lines().count()).collect();
    rows.sort_unstable();
    let all = expected.values().next().unwrap().lines().count();
    assert_eq!(rows[3], all);
    assert!(rows[0] == rows[1] && rows[1] < rows[2] && rows[2] < rows[3], "{rows:?}");
    for (name, text) in &got {
        assert!(expected[name].starts_with(text.as_str()), "{name}\n{text}\n{}", expected[name]);
    }
    // Again, everything is there.
    let said = ended(&mut halved.run(&[]));
    assert!(!said.contains(" begins"), "{said}");
}
