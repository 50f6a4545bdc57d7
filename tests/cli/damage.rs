//! Run folders that lost something: nothing is lost in silence, and what is whole can be used.

use std::path::{Path, PathBuf};

use crate::hstep;
use crate::small::{STEPS, Small, ended, fails, list, manifest};

/// A finished run whose two checkpoints share a full chunk, which has one flipped bit: its path.
fn with_a_damaged_chunk() -> (Small, PathBuf) {
    // 260 updates of the imagined rows, more than a chunk holds.
    let run = Small::new("mbpo").with("imagine.starts=70000").with("loop.fit_every=500");
    ended(&mut run.train(620));
    let shared = run.manifests().into_iter().map(|path| {
        let buffers = manifest(&path)["buffers"].clone();
        let chunks = buffers["imagined"]["chunks"].as_array().unwrap().clone();
        chunks[0]["hash"].as_str().unwrap().to_owned()
    });
    let shared: Vec<String> = shared.collect();
    assert!(shared.len() == 2 && shared[0] == shared[1], "{shared:?}");
    let chunk = run.file("ckpt").join("chunks").join(format!("{}.chunk", shared[0]));
    let mut bytes = std::fs::read(&chunk).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    (run, chunk)
}

fn command(name: &str, folder: &Path) -> std::process::Command {
    let mut command = hstep(&[name]);
    command.arg(folder);
    command
}

/// What a command that must succeed prints.
fn said(command: &mut std::process::Command) -> String {
    let out = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert!(out.status.success(), "{command:?}:\n{stderr}");
    stdout
}

/// What `verify` prints of a folder that is not whole.
fn not_whole(folder: &Path) -> String {
    let out = command("verify", folder).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains(": NOT WHOLE"), "{text}");
    text
}

#[test]
fn a_run_that_lost_its_checkpoints_does_not_start_again() {
    let whole = Small::finished("sac");
    type Loss = fn(&Small);
    let losses: [Loss; 2] = [
        |run| std::fs::remove_dir_all(run.file("ckpt")).unwrap(),
        |run| run.manifests().iter().for_each(|path| std::fs::remove_file(path).unwrap()),
    ];
    for lose in losses {
        let run = whole.copy();
        lose(&run);
        let words = ["ckpt: holds no checkpoint, but", "restore this folder"];
        for marked in [true, false] {
            let before = std::fs::read(run.file("metrics.csv")).unwrap();
            fails(&mut run.resume(STEPS + 50), 4, &words);
            fails(&mut run.train(STEPS + 50), 4, &words);
            assert!(not_whole(&run.folder()).contains("there is no checkpoint"));
            assert_eq!(std::fs::read(run.file("metrics.csv")).unwrap(), before);
            assert_eq!(run.file("DONE").exists(), marked);
            // Without the mark, the rows tell.
            let _ = std::fs::remove_file(run.file("DONE"));
        }
    }
    // A link, to a disk that is not mounted, is refused as every link is.
    let run = whole.copy();
    std::fs::remove_dir_all(run.file("ckpt")).unwrap();
    std::os::unix::fs::symlink("/nonexistent/disk", run.file("ckpt")).unwrap();
    let before = std::fs::read(run.file("metrics.csv")).unwrap();
    fails(&mut run.resume(STEPS + 50), 4, &["ckpt"]);
    fails(&mut run.train(STEPS + 50), 4, &["ckpt"]);
    assert_eq!(std::fs::read(run.file("metrics.csv")).unwrap(), before);
}

#[test]
fn rows_changed_after_the_fact_are_refused_by_name() {
    let run = Small::finished("sac");
    assert!(said(&mut command("verify", &run.folder())).contains("10 rows as they were written"));
    let path = run.file("metrics.csv");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replacen("\n100,", "\n101,", 1)).unwrap();
    let words = ["metrics.csv: line 3 (it begins with `101`) is not as it was written"];
    fails(&mut run.resume(STEPS + 50), 4, &words);
    fails(&mut command("repair", &run.folder()), 4, &words);
    assert!(not_whole(&run.folder()).contains(words[0]));
    std::fs::write(&path, good).unwrap();
    ended(&mut run.resume(STEPS));
    run.assert_equals_uninterrupted(STEPS, "a refusal");
}

#[test]
fn a_damaged_chunk_is_named_and_the_rest_is_used() {
    let (run, chunk) = with_a_damaged_chunk();
    let folder = run.folder();
    let chunk = chunk.file_name().unwrap().to_str().unwrap();
    let words = [
        "buffer `imagined`, rows 0 to 65535",
        chunk,
        "does not match",
        "hstep repair",
        "--without-replay",
    ];
    let before = run.saved();
    fails(&mut run.resume(650), 4, &words);
    let checked = not_whole(&folder);
    assert_eq!(checked.matches(chunk).count(), 2, "{checked}");
    // The networks are whole.
    let evaluated = said(command("eval", &folder).args(["--episodes", "1"]));
    assert!(evaluated.contains("env_steps   620"), "{evaluated}");
    said(command("render", &folder).args(["--format", "svg"]));
    assert!(run.saved() == before);

    let without = run.copy();
    let mut resume = without.resume(650);
    let text = ended(resume.arg("--without-replay"));
    for lost in
        ["step 620 without buffer `imagined`", "step 620 without buffer `real`: all 620 rows"]
    {
        assert!(text.contains(lost), "`{lost}` is not in\n{text}");
    }
    // What is new came after it, and the run remembers.
    let saved = manifest(&without.newest_manifest().unwrap());
    assert_eq!((&saved["step"], &saved["buffers"]["real"]["len"]), (&650.into(), &30.into()));
    assert!(saved["states"]["lost"].as_str().unwrap().contains("step 620: buffer `real`"));
    assert!(said(&mut command("verify", &without.folder())).contains(": whole"));

    let repaired = said(&mut command("repair", &folder));
    for words in [
        "kept        networks",
        "kept        buffer `real`: 620 rows",
        "lost        buffer `imagined`, rows 0",
    ] {
        assert!(repaired.contains(words), "`{words}` is not in\n{repaired}");
    }
    ended(&mut run.resume(650));
    let saved = manifest(&run.newest_manifest().unwrap());
    assert_eq!((&saved["step"], &saved["buffers"]["real"]["len"]), (&650.into(), &650.into()));
    let again = said(&mut command("repair", &folder));
    assert!(again.contains("nothing was damaged"), "{again}");
}

#[test]
fn verify_looks_at_settings_marks_and_every_folder() {
    let run = Small::finished("sac");
    let other = run.copy();
    let config = std::fs::read_to_string(other.file("config.toml")).unwrap();
    std::fs::write(other.file("config.toml"), config.replace("steps = 900", "steps = 950"))
        .unwrap();
    let text = not_whole(&other.folder());
    assert!(text.contains("DONE, but its newest checkpoint is of step 900 of 950"), "{text}");
    let edited = config.replace("batch = 256", "batch = 64");
    std::fs::write(other.file("config.toml"), edited).unwrap();
    let text = not_whole(&other.folder());
    assert!(text.contains("loop.batch") && text.contains("belongs to other settings"), "{text}");
    for path in list(&other.file("ckpt").join("tensors")) {
        std::fs::remove_file(path).unwrap();
    }
    let text = not_whole(&other.folder());
    assert!(text.contains("part `actor`") && text.contains("is missing"), "{text}");
    fails(&mut command("eval", &other.folder()), 4, &["none is whole", "Remove the folder"]);

    let out = command("verify", &run.folder()).arg(other.folder()).arg("nowhere").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!((text.matches(": whole").count(), text.matches(": NOT WHOLE").count()), (1, 2));
    assert!(text.contains("no run folder"), "{text}");
    assert!(String::from_utf8(out.stderr).unwrap().contains("2 of 3 not whole"));
}

#[test]
fn settings_are_restored_as_the_run_was_started_with_them() {
    let whole = Small::finished("sac");
    let config = std::fs::read_to_string(whole.file("config.toml")).unwrap();
    let half = &config[..config.len() / 2];
    for damaged in [Some(half), Some(&config.replace("batch = 256", "batch = 64")), None] {
        let run = whole.copy();
        let file = run.file("config.toml");
        match damaged {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        // What `meta.json` says counts only where the checkpoints were written under it.
        let meta = std::fs::read_to_string(run.file("meta.json")).unwrap();
        std::fs::write(run.file("meta.json"), meta.replace("\"tau\": 0.005", "\"tau\": 0.5"))
            .unwrap();
        fails(&mut command("repair", &run.folder()), 4, &["config.toml"]);
        std::fs::write(run.file("meta.json"), meta).unwrap();

        let text = said(&mut command("repair", &run.folder()));
        assert!(text.contains("restored    config.toml, as meta.json has it"), "{text}");
        ended(&mut run.resume(STEPS));
        run.assert_equals_uninterrupted(STEPS, "settings that were restored");
    }
}

#[test]
fn a_run_that_another_program_began_is_gone_on_with_and_warned_of() {
    let run = Small::finished("sac");
    let path = run.file("meta.json");
    let meta = std::fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&meta).unwrap();
    let commit = value["built_from"].as_str().unwrap_or_default();
    assert!(commit.is_empty() || commit.len() >= 40, "{meta}");
    let resumed = || {
        let out = run.resume(STEPS + 20).output().unwrap();
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(!resumed().contains("another program"));
    let candle = value["dependencies"]["candle-core"].as_str().unwrap();
    let other =
        meta.replace(&format!("\"candle-core\": \"{candle}\""), "\"candle-core\": \"0.1.0\"");
    std::fs::write(&path, other).unwrap();
    let said = resumed();
    assert!(said.contains(&format!("candle-core 0.1.0, now {candle}")), "{said}");
}
