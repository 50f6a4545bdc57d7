//! Bad input and bad luck: a message, an exit code of its own, and what was saved is still there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::small::{ENDLESS, Running, STEPS, Small, ended, fails};
use crate::{hstep, refused_with};

#[test]
fn wrong_settings_are_refused_by_key_before_anything_is_written() {
    let cases = [
        ("loop.btach=3", "`loop.btach`: unknown key; did you mean `loop.batch`?"),
        ("lop.batch=3", "`lop`: unknown key; did you mean `loop`?"),
        ("loop.batch=many", "`loop.batch`: expected a whole number, zero or more, got string"),
        ("actor.lr=true", "`actor.lr`: expected a number, got boolean `true`"),
        ("temperature.initial=-1", "`temperature.initial`: expected a finite number above 0"),
        ("gamma=1.5", "`gamma`: expected a number in [0, 1], got 1.5"),
        ("run.eval.episodes=0", "`run.eval.episodes`: expected at least 1, got 0"),
        ("imagine.horizon=[9, 5, 1, 15]", "`imagine.horizon`: a schedule is [from_step, to_step"),
        ("imagine.horizon=[9, 5, 1, 15]", "did you swap them?"),
        ("loop=[1,2,3]", "`loop`: expected a table, such as { key = value }, got a list"),
        ("actor=[]", "`actor`: expected a table"),
        ("actor=[[32,32]]", "`actor`: expected a table"),
        ("run.eval=[50,1]", "`run.eval`: expected a table"),
        ("model.elites=9", "`model.elites`: expected at most `model.members`, got 9"),
        ("model.hidden=[64, 0]", "`model.hidden`: a layer of width 0"),
    ];
    for (setting, words) in cases {
        let run = Small::new("mbpo").with(setting);
        fails(&mut run.train(STEPS), 2, &[words]);
        assert!(!run.root.path().join("train").exists(), "{setting} left a folder");
    }
}

#[test]
fn folders_that_cannot_be_written_or_are_no_runs_have_their_own_codes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    std::fs::write(&file, "").unwrap();
    // Below a regular file: nobody may write there, whatever the permissions.
    let below = file.join("below");
    let below = below.to_str().unwrap();
    refused_with(&["reproduce", "maac-fig3", "seeds=1", "--out", below], 6, "cannot create");
    let train = ["train", "sac", "--env", "pendulum", "--out", below];
    refused_with(&train, 6, &format!("cannot create {below}"));
    refused_with(&["train", "missing.toml"], 6, "cannot read missing.toml");
    let empty = folder.path().to_str().unwrap();
    for command in ["resume", "eval"] {
        refused_with(&[command, empty], 4, "no run folder: it has no config.toml");
    }
    std::fs::write(folder.path().join("config.toml"), "[run]\nalgo = ").unwrap();
    refused_with(&["resume", empty], 2, "config.toml");
}

#[test]
fn a_resume_with_other_settings_is_refused_by_key() {
    let run = Small::finished("sac");
    let before = run.saved();
    let resume = |setting: &str| {
        let mut command = run.resume(STEPS);
        command.arg(setting);
        command
    };
    let words =
        ["config: `loop.batch`: the run", "was started with another value", "256 against 64"];
    fails(&mut resume("loop.batch=64"), 2, &words);
    fails(&mut resume("run.seed=3"), 2, &["`run.seed`", "0 against 3"]);
    fails(&mut resume("loop.btach=64"), 2, &["did you mean `loop.batch`?"]);

    // What is edited in the file is found, too, whichever command comes upon it.
    let config = std::fs::read_to_string(run.file("config.toml")).unwrap();
    let edited = config.replace("batch = 256", "batch = 64");
    assert_ne!(edited, config);
    std::fs::write(run.file("config.toml"), edited).unwrap();
    fails(&mut run.resume(STEPS), 2, &words);
    fails(&mut run.train(STEPS), 2, &["`loop.batch`", "64 against 256"]);
    // Without the start's settings, the checkpoint still knows that it is another run's.
    std::fs::remove_file(run.file("meta.json")).unwrap();
    fails(&mut run.resume(STEPS), 4, &["written with other settings"]);
    assert!(run.saved() == before && run.file("DONE").exists());

    std::fs::write(run.file("config.toml"), config).unwrap();
    ended(run.resume(1000).arg("run.checkpoint_every=7"));
    run.assert_equals_uninterrupted(1000, "refused resumes");
}

/// How a file can be damaged.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    Garbled,
    Gone,
}

impl Damage {
    const ALL: [Self; 3] = [Self::Truncated, Self::Garbled, Self::Gone];

    fn deal(self, path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        match self {
            Self::Truncated => bytes.truncate(bytes.len() / 2),
            Self::Garbled => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            }
            Self::Gone => return std::fs::remove_file(path).unwrap(),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// Manifest, chunks and tensors of the newest checkpoint.
fn checkpoint_files(run: &Small) -> Vec<PathBuf> {
    run.newest_manifest().into_iter().chain(run.blobs()).collect()
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_previous_one() {
    let whole = Small::finished("mbpo");
    for i in 0..checkpoint_files(&whole).len() {
        for damage in Damage::ALL {
            let run = whole.copy();
            let file = &checkpoint_files(&run)[i];
            damage.deal(file);
            let said = ended(&mut run.resume(STEPS));
            // A manifest that is gone is no damage anyone can see.
            if !(i == 0 && matches!(damage, Damage::Gone)) {
                let warned = said.contains("WARN") && said.contains(&file.display().to_string());
                let from = said.contains("going on from step 750 instead");
                assert!(warned && from, "{damage:?} {}:\n{said}", file.display());
            }
            run.assert_equals_uninterrupted(STEPS, &format!("{damage:?} {}", file.display()));
        }
    }
}

#[test]
fn without_a_whole_checkpoint_nothing_is_touched() {
    let run = Small::finished("sac");
    let folder = run.folder();
    for manifest in run.manifests() {
        Damage::Garbled.deal(&manifest);
    }
    let before = run.saved();
    let words = ["none is whole", "does not match", "Remove the folder to start anew"];
    fails(&mut run.resume(STEPS), 4, &words);
    fails(&mut run.train(STEPS), 4, &words);
    fails(hstep(&["eval"]).arg(&folder), 4, &words);
    assert!(run.saved() == before);
}

#[test]
fn a_checkpoint_of_another_version_is_refused_and_not_passed_over() {
    let whole = Small::finished("sac");
    let manifest = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replacen("\"version\": 2", "\"version\": 3", 1).into_bytes();
    };
    let chunk = |bytes: &mut Vec<u8>| bytes[8] = 3;
    type Edit<'a> = &'a dyn Fn(&mut Vec<u8>);
    let edits: [(usize, Edit); 2] = [(0, &manifest), (1, &chunk)];
    for (i, edit) in edits {
        let run = whole.copy();
        let path = &checkpoint_files(&run)[i];
        let mut bytes = std::fs::read(path).unwrap();
        edit(&mut bytes);
        std::fs::write(path, bytes).unwrap();
        let before = run.saved();
        let words = ["has format version 3, this build of hstep reads version 2"];
        fails(&mut run.resume(STEPS), 4, &words);
        if i == 0 {
            fails(hstep(&["eval"]).arg(run.folder()), 4, &words);
        }
        assert!(run.saved() == before);
    }
}

#[test]
fn metrics_that_lost_rows_are_refused() {
    let run = Small::finished("sac");
    let metrics = run.file("metrics.csv");
    Damage::Truncated.deal(&metrics);
    let before = run.saved();
    fails(&mut run.resume(1000), 4, &["metrics.csv", "rows are lost"]);
    std::fs::remove_file(&metrics).unwrap();
    fails(&mut run.resume(1000), 4, &["metrics.csv", "is missing"]);
    std::fs::write(&metrics, &before[Path::new("metrics.csv")]).unwrap();
    assert!(run.saved() == before);
}

/// `command` with files of at most `kibibytes`: as a full disk, for all but small files.
fn limited(command: &Command, kibibytes: u32) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("ulimit -f {kibibytes}; exec \"$@\""), "bash"]);
    bash.arg(command.get_program()).args(command.get_args());
    bash.env("LC_ALL", "C");
    bash
}

#[test]
fn a_full_disk_ends_the_run_with_the_last_checkpoint_whole() {
    for (kibibytes, every, file) in [
        // The tensors need about 200 KiB.
        (100, 150, ".safetensors.tmp: File too large"),
        // `metrics.csv` meets the limit inside a row, and there is no checkpoint before.
        (1, 100_000, "metrics.csv: File too large"),
    ] {
        let run = Small::new("sac");
        ended(&mut run.train(300));
        let before = run.saved();
        let mut resume = run.resume(STEPS);
        resume.arg(format!("run.checkpoint_every={every}"));
        fails(&mut limited(&resume, kibibytes), 6, &["cannot write", file]);
        let marker = std::fs::read_to_string(run.file("FAILED")).unwrap();
        assert!(marker.contains("cannot write"), "{marker}");
        let mut after = run.saved();
        // Rows may have been added; what was there must not have changed.
        let metrics = Path::new("metrics.csv");
        assert!(after[metrics].len() > before[metrics].len());
        assert!(after[metrics].starts_with(&before[metrics]));
        after.insert(metrics.into(), before[metrics].clone());
        assert!(after == before, "{file} changed the checkpoint");
        ended(hstep(&["eval"]).arg(run.folder()));
        ended(&mut run.resume(STEPS));
        assert!(!run.file("FAILED").exists());
        run.assert_equals_uninterrupted(STEPS, file);
    }
    let run = Small::new("sac");
    fails(&mut limited(&run.train(STEPS), 0), 6, &["cannot write"]);
    ended(&mut run.train(STEPS));
    run.assert_equals_uninterrupted(STEPS, "a full disk from the start");
}

#[test]
fn numbers_that_blow_up_are_named_and_never_saved() {
    let blow_up = |settings: &[&'static str], words: &[&str], saved: u64| {
        let run = settings.iter().fold(Small::new("sac"), |run, setting| run.with(setting));
        let place = format!("the run in {}", run.root.path().display());
        let words: Vec<&str> =
            words.iter().copied().chain([&*place, "the last checkpoint is untouched"]).collect();
        fails(&mut run.train(STEPS), 5, &words);
        let marker = std::fs::read_to_string(run.file("FAILED")).unwrap();
        assert!(marker.contains("non-finite number in"), "{marker}");
        assert_eq!(run.saved_step(), Some(saved));
        let before = run.saved();
        // Going on meets the same end, and still the checkpoint is whole.
        fails(&mut run.go_on(STEPS), 5, &words);
        assert!(run.saved() == before);
        ended(hstep(&["eval"]).arg(run.folder()));
    };
    let at = "the evaluation at env step 200";
    blow_up(&["actor.lr=1e30"], &["action of the policy", at], 150);
    let at = "actor loss at env step 200, gradient step 1";
    blow_up(&["critic.lr=1e30"], &[at], 150);
    // On the very step of a checkpoint, and nothing else looks at the numbers before it.
    let settings = ["actor.lr=1e39", "run.checkpoint_every=200", "run.eval.every=1000"];
    blow_up(&settings, &["`actor.", "the checkpoint of env step 200"], 0);
}

#[test]
fn a_run_belongs_to_one_process() {
    let run = Small::new("sac");
    let mut running = Running::start(&mut run.train(ENDLESS));
    running.wait_for_step(200);
    let words = ["another process is running this very run"];
    fails(&mut run.resume(STEPS), 4, &words);
    fails(&mut run.train(STEPS), 4, &words);
    // Looking at it is allowed.
    ended(hstep(&["eval", "--episodes", "1"]).arg(run.folder()));
    running.kill();
    let steps = STEPS.max(run.saved_step().unwrap());
    ended(&mut run.resume(steps));
    run.assert_equals_uninterrupted(steps, "two processes");
}

#[test]
fn fewer_steps_than_are_done_are_refused() {
    let run = Small::finished("sac");
    let before = std::fs::read(run.folder().join("config.toml")).unwrap();
    for mut command in [run.resume(300), run.train(300)] {
        fails(&mut command, 2, &["`run.steps`: 900 steps are done already"]);
    }
    assert_eq!(std::fs::read(run.folder().join("config.toml")).unwrap(), before);
}
