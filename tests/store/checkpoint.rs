//! Checkpoints: equal after a round trip, small when little changed, and never silently wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use hstep::Error;
use hstep::checkpoint::{CheckpointDir, Foreign, Snapshot, Tensors};
use hstep::metrics::Seal;
use hstep::replay::{Replay, TransitionRow};
use proptest::prelude::*;
use tempfile::TempDir;

use super::replay::{filled, push};

/// What `metrics.csv` was; nobody looks at the file here.
pub fn seal(bytes: u64) -> Seal {
    Seal { bytes, ..Seal::default() }
}

fn tensor(numbers: &[f64], dtype: DType) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

pub fn snapshot<'a>(numbers: &[f64], buffers: &[(&str, &'a Replay)]) -> Snapshot<'a> {
    let one = |name: &str, tensor| Tensors::from([(name.to_owned(), tensor)]);
    let alpha = Tensor::new(0.25f64, &Device::Cpu).unwrap();
    let parts = [
        ("policy".to_owned(), one("policy/w", tensor(numbers, DType::F32))),
        ("temperature".to_owned(), one("log_alpha", alpha)),
    ];
    let mine = Foreign {
        states: [("any".to_owned(), "\u{1} not JSON {".to_owned())].into(),
        tensors: one("w", tensor(&[0.5], DType::F64)),
    };
    Snapshot {
        parts: parts.into(),
        foreign: [("mine".to_owned(), mine)].into(),
        states: [("rng".to_owned(), r#"{"word":"é\n"}"#.to_owned())].into(),
        buffers: buffers.iter().map(|&(name, replay)| (name.to_owned(), replay)).collect(),
    }
}

/// A folder with one small checkpoint of step 10.
pub fn small() -> (TempDir, CheckpointDir) {
    let folder = TempDir::new().unwrap();
    let dir = CheckpointDir::new(folder.path().join("ckpt"));
    dir.save(&snapshot(&[1.0], &[("real", &filled(3, 0..4))]), 10, &seal(99), "cafe").unwrap();
    (folder, dir)
}

/// Every file below `path`, with its content.
fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

fn names(path: &Path) -> BTreeSet<String> {
    tree(path).keys().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

pub fn problem(dir: &CheckpointDir) -> String {
    match dir.load_latest().unwrap_err() {
        Error::Checkpoint { problem, .. } => problem,
        other => panic!("expected Error::Checkpoint, got {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn what_is_saved_is_loaded(
        capacity in 1usize..50,
        pushed in 0usize..120,
        numbers in prop::collection::vec(any::<f32>(), 0..20),
        state in ".*",
        step in 0u64..1_000_000_000_000,
    ) {
        let folder = TempDir::new().unwrap();
        let dir = CheckpointDir::new(folder.path());
        prop_assert!(dir.load_latest().unwrap().is_none());
        let (real, model) = (filled(capacity, 0..pushed), Replay::new(7, 4, 2).unwrap());
        let model = model.with_column("state", 3).unwrap();
        let wide: Vec<f64> = numbers.iter().map(|&x| f64::from(x)).collect();
        let mut saved = snapshot(&wide, &[("real", &real), ("model", &model)]);
        saved.states.insert("any".into(), state);
        dir.save(&saved, step, &seal(17), "cafe").unwrap();

        let loaded = dir.load_latest().unwrap().unwrap();
        prop_assert_eq!((loaded.step, &loaded.metrics), (step, &seal(17)));
        prop_assert_eq!(loaded.config_hash.as_str(), "cafe");
        prop_assert_eq!(&loaded.states, &saved.states);
        prop_assert_eq!(&loaded.buffers["real"], &real);
        prop_assert_eq!(&loaded.buffers["model"], &model);
        prop_assert!(loaded.warnings.is_empty());
        prop_assert!(loaded.parts.keys().eq(saved.parts.keys()));
        prop_assert_eq!(&loaded.foreign["mine"].states, &saved.foreign["mine"].states);
        prop_assert_eq!(loaded.foreign["mine"].tensors["w"].to_vec1::<f64>().unwrap(), [0.5]);
        let bits = |t: &Tensor| -> Vec<u32> {
            t.to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
        };
        prop_assert_eq!(bits(&loaded.parts["policy"]["policy/w"]), bits(&saved.parts["policy"]["policy/w"]));
        let alpha = &loaded.parts["temperature"]["log_alpha"];
        prop_assert_eq!((alpha.dims().len(), alpha.to_scalar::<f64>().unwrap()), (0, 0.25));

        // Saving what was loaded gives the same bytes.
        let copy = TempDir::new().unwrap();
        let again = Snapshot {
            parts: loaded.parts,
            states: loaded.states,
            foreign: loaded.foreign,
            buffers: loaded.buffers.iter().map(|(name, b)| (name.clone(), b)).collect(),
        };
        CheckpointDir::new(copy.path()).save(&again, step, &seal(17), "cafe").unwrap();
        let (a, b) = (tree(folder.path()), tree(copy.path()));
        prop_assert!(a.values().eq(b.values()));
        prop_assert_eq!(names(folder.path()), names(copy.path()));
    }
}

/// A million rows of the pendulum's width: 16 chunks at first, then only what changed.
#[test]
fn only_changed_chunks_are_written() {
    let folder = TempDir::new().unwrap();
    let dir = CheckpointDir::new(folder.path());
    let chunks = || names(&folder.path().join("chunks"));
    let mut replay = Replay::new(1_000_000, 3, 1).unwrap();
    let add = |replay: &mut Replay, rows: std::ops::Range<usize>| {
        for i in rows {
            let obs = [i as f32; 3];
            let (action, reward, cont) = (&[0.5][..], 1.0, 1.0);
            let row =
                TransitionRow { obs: &obs, action, reward, next_obs: &obs, cont, own: Vec::new() };
            replay.push(&row).unwrap();
        }
    };
    let timed = |what: &str, replay: &Replay, step: u64| {
        let start = Instant::now();
        dir.save(&snapshot(&[1.0], &[("real", replay)]), step, &seal(0), "").unwrap();
        println!("{what}: {:.3} s", start.elapsed().as_secs_f64());
        chunks()
    };
    add(&mut replay, 0..999_000);
    let first = timed("first save of 999,000 rows", &replay, 1);
    // A file that is written again is a new one to the file system.
    let files = || -> BTreeMap<PathBuf, u64> {
        let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
        let chunks = tree(&folder.path().join("chunks")).into_keys();
        chunks.map(|path| (path.clone(), inode(&path))).collect()
    };
    let before = files();
    let unchanged = timed("save with nothing new", &replay, 2);
    assert_eq!(files(), before);
    assert_eq!((first.len(), &unchanged), (16, &first));

    // The ring closes: the last chunk fills up, the first is overwritten in part.
    add(&mut replay, 999_000..1_000_500);
    let second = timed("save after 1,500 more rows", &replay, 3);
    assert_eq!(second.difference(&first).count(), 2);
    assert_eq!(second.intersection(&first).count(), 16, "the previous checkpoint's chunks stay");
    assert!(files().iter().filter(|(path, inode)| before.get(*path) == Some(inode)).count() == 16);
    let third = timed("save with nothing new", &replay, 4);
    assert_eq!(third.len(), 16);

    let start = Instant::now();
    let loaded = dir.load_latest().unwrap().unwrap();
    println!("load of 1,000,000 rows: {:.3} s", start.elapsed().as_secs_f64());
    assert_eq!(loaded.buffers["real"], replay);
}

#[test]
fn the_last_two_are_kept_and_stale_files_go() {
    let (_folder, dir) = small();
    let ckpt = dir.manifest_path(0).parent().unwrap().to_owned();
    let mut replay = filled(3, 0..4);
    let stale = ["manifest-000000000011.json.tmp", "chunks/ab.chunk", "chunks/ab.chunk.tmp"];
    for name in stale.iter().chain(&["tensors/ab.safetensors", "note.txt"]) {
        fs::write(ckpt.join(name), "stale").unwrap();
    }
    for step in [20, 30, 40] {
        push(&mut replay, step);
        dir.save(&snapshot(&[step as f64], &[("real", &replay)]), step as u64, &seal(0), "")
            .unwrap();
    }
    let steps: Vec<bool> = [10, 20, 30, 40].map(|s| dir.manifest_path(s).exists()).into();
    assert_eq!(steps, [false, false, true, true]);
    assert_eq!(names(&ckpt.join("chunks")).len(), 2);
    // The policy of each, and what both share: the temperature and what is foreign.
    assert_eq!(names(&ckpt.join("tensors")).len(), 4);
    assert!(stale.iter().all(|name| !ckpt.join(name).exists()));
    assert!(ckpt.join("note.txt").exists(), "only own files are removed");
}

#[test]
fn a_garbled_checkpoint_gives_way_to_the_previous_one() {
    let (_folder, dir) = small();
    let ten = filled(3, 0..4);
    dir.save(&snapshot(&[2.0], &[("real", &filled(3, 0..9))]), 20, &seal(0), "").unwrap();
    fs::write(dir.manifest_path(20), "{\"format\": \"hstep-").unwrap();
    let loaded = dir.load_latest().unwrap().unwrap();
    assert_eq!((loaded.step, &loaded.buffers["real"]), (10, &ten));
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert!(warning.contains("manifest-000000000020.json: is truncated or garbled"), "{warning}");
    assert!(warning.ends_with("going on from step 10 instead"), "{warning}");

    // The next checkpoint keeps the whole one as its previous, not the garbled one.
    dir.save(&snapshot(&[3.0], &[("real", &ten)]), 30, &seal(0), "").unwrap();
    let there = [10, 20, 30].map(|step| dir.manifest_path(step).exists());
    assert_eq!(there, [true, false, true]);

    // A missing chunk counts as garbled too.
    dir.save(&snapshot(&[4.0], &[("real", &filled(3, 0..7))]), 40, &seal(0), "").unwrap();
    let chunks = names(&dir.manifest_path(0).with_file_name("chunks"));
    let thirty = fs::read_to_string(dir.manifest_path(30)).unwrap();
    let new = chunks.iter().find(|name| !thirty.contains(name.trim_end_matches(".chunk"))).unwrap();
    fs::remove_file(dir.manifest_path(0).with_file_name("chunks").join(new)).unwrap();
    let loaded = dir.load_latest().unwrap().unwrap();
    assert!(loaded.step == 30 && loaded.warnings[0].contains("is missing"));

    // A run that goes on from there and saves earlier than the lost step gives that future up.
    dir.save(&snapshot(&[5.0], &[("real", &ten)]), 35, &seal(0), "").unwrap();
    let loaded = dir.load_latest().unwrap().unwrap();
    assert!(loaded.step == 35 && loaded.warnings.is_empty());
    assert!(dir.manifest_path(30).exists() && !dir.manifest_path(40).exists());
}

/// For each of the three kinds of files, every damaged version of its bytes must be an error.
fn damaged(damage: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let (_folder, dir) = small();
    for path in tree(dir.manifest_path(10).parent().unwrap()).into_keys() {
        let good = fs::read(&path).unwrap();
        for bad in damage(&good) {
            // In place: some file systems flush a file that is emptied and written anew.
            let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all(&bad).unwrap();
            file.set_len(bad.len() as u64).unwrap();
            let message = problem(&dir);
            let name = path.file_name().unwrap().to_str().unwrap();
            let other_version = message.contains("has format version");
            assert!(other_version || message.contains(name), "{message}");
        }
        fs::write(&path, &good).unwrap();
        assert!(dir.load_latest().unwrap().unwrap().warnings.is_empty());
    }
}

#[test]
fn truncation_anywhere_is_an_error() {
    damaged(|good| (0..good.len()).map(|n| good[..n].to_vec()).collect());
    damaged(|good| vec![[good, b"x"].concat(), [good, good].concat()]);
}

#[test]
fn a_flip_of_any_bit_is_an_error() {
    damaged(|good| {
        let flips = (0..8 * good.len()).map(|bit| {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            bad
        });
        flips.collect()
    });
}

#[test]
fn other_versions_are_named_and_not_passed_over() {
    let (_folder, dir) = small();
    dir.save(&snapshot(&[2.0], &[("real", &filled(3, 0..9))]), 20, &seal(0), "").unwrap();
    let path = dir.manifest_path(20);
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"version\": 2", "\"version\": 3", 1);
    let older = "hstep-manifest 1 3 1e60a960f2fa1a0e9a5cd6f0c9c9f5a3\n{}\n".to_owned();
    for (version, text) in [(3, newer), (1, older)] {
        fs::write(&path, text).unwrap();
        let error = dir.load_latest().unwrap_err().to_string();
        let expected = format!(
            "manifest-000000000020.json: has format version {version}, this build of hstep reads \
             version 2: use the build that wrote it (`meta.json` names its commit), or start"
        );
        assert!(error.contains(&expected), "{error}");
    }
    fs::write(&path, text).unwrap();

    for path in tree(&path.with_file_name("chunks")).into_keys() {
        let mut bytes = fs::read(&path).unwrap();
        bytes[8] = 7;
        fs::write(&path, bytes).unwrap();
    }
    let error = dir.load_latest().unwrap_err().to_string();
    assert!(error.contains(".chunk: has format version 7, this build"), "{error}");
}

/// The manifest of step 10 with an edited body, under a checksum that fits it.
fn resigned(dir: &CheckpointDir, edit: impl Fn(&str) -> String) -> String {
    let text = edit(&fs::read_to_string(dir.manifest_path(10)).unwrap());
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    // As any JSON tool would: the body's keys are sorted already.
    let body = serde_json::to_vec(&manifest["body"]).unwrap();
    let checksum = format!("{:032x}", twox_hash::XxHash3_128::oneshot(&body));
    if manifest["checksum"] == checksum.as_str() {
        return text;
    }
    manifest["checksum"] = checksum.into();
    serde_json::to_string_pretty(&manifest).unwrap()
}

/// Lengths that would take terabytes, under checksums that fit: refused before anything of that
/// size is allocated (the test would be killed otherwise).
#[test]
fn forged_lengths_allocate_nothing() {
    let (_folder, dir) = small();
    let path = dir.manifest_path(10);
    let good = resigned(&dir, str::to_owned);
    assert_eq!(good, fs::read_to_string(&path).unwrap(), "the test signs as the library does");
    let huge = 1u64 << 60;
    let width = |n: u64| format!("\"width\": {n}\n");
    let forgeries: [(String, String, &str); 7] = [
        ("\"len\": 3".into(), "\"len\": 0".into(), "geometry of buffer `real`"),
        ("\"len\": 3".into(), format!("\"len\": {huge}"), "geometry of buffer `real`"),
        ("\"oldest\": 1".into(), format!("\"oldest\": {huge}"), "geometry of buffer `real`"),
        ("\"capacity\": 3".into(), "\"capacity\": 0".into(), "geometry of buffer `real`"),
        (width(2), width(huge), "geometry of buffer `real`"),
        (width(2), width(1_000_000_000), "expected 24000000"),
        ("\"step\": 10".into(), "\"step\": 11".into(), "is the manifest of step 11, not 10"),
    ];
    for (from, to, expected) in forgeries {
        let forged = resigned(&dir, |body| {
            assert!(body.contains(&from), "{body}");
            body.replace(&from, &to)
        });
        fs::write(&path, forged).unwrap();
        let message = problem(&dir);
        assert!(message.contains(expected), "{from} -> {to}: {message}");
        fs::write(&path, &good).unwrap();
    }
    // A capacity is only a limit: a large one is fine and takes no memory.
    fs::write(&path, resigned(&dir, |b| b.replace("\"oldest\": 1", "\"oldest\": 0"))).unwrap();
    let larger = resigned(&dir, |b| b.replace("\"capacity\": 3", &format!("\"capacity\": {huge}")));
    fs::write(&path, larger).unwrap();
    let loaded = dir.load_latest().unwrap().unwrap();
    assert!(loaded.buffers["real"].allocated_bytes() < 10_000);
}

#[test]
fn a_folder_that_cannot_be_is_an_io_error() {
    let folder = TempDir::new().unwrap();
    let regular = folder.path().join("regular");
    fs::write(&regular, "a file").unwrap();
    let dir = CheckpointDir::new(regular.join("ckpt"));
    let error = dir.save(&snapshot(&[1.0], &[]), 1, &seal(0), "").unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(&regular)), "{error}");
}

/// A save that fails half way: the previous checkpoint and the folder are as they were.
#[test]
fn a_failed_save_leaves_the_previous_checkpoint() {
    let (_folder, dir) = small();
    let ckpt = dir.manifest_path(0).parent().unwrap().to_owned();
    // A folder in the manifest's place lets everything but the last rename succeed.
    fs::create_dir_all(dir.manifest_path(20).join("x")).unwrap();
    let before = tree(&ckpt);
    let error =
        dir.save(&snapshot(&[9.0], &[("real", &filled(3, 0..9))]), 20, &seal(0), "").unwrap_err();
    assert!(matches!(error, Error::Io { action: "cannot rename into place", .. }), "{error}");
    assert_eq!(tree(&ckpt), before);
    fs::remove_dir_all(dir.manifest_path(20)).unwrap();
    assert_eq!(dir.load_latest().unwrap().unwrap().step, 10);
}

const CRASH_FOLDER: &str = "HSTEP_TEST_CRASH_FOLDER";

/// The child of the next test: saves steps 1, 2 and 3 unless a fault ends it. As a test of its own
/// it has nothing to do.
#[test]
fn crash_child() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    save_three(&CheckpointDir::new(folder));
}

fn save_three(dir: &CheckpointDir) {
    let mut replay = Replay::new(5, 2, 1).unwrap();
    for step in 1..=3 {
        push(&mut replay, step);
        dir.save(&snapshot(&[step as f64], &[("real", &replay)]), step as u64, &seal(0), "")
            .unwrap();
    }
}

#[test]
fn a_process_aborted_anywhere_leaves_a_whole_checkpoint() {
    // Each save reaches `chunk-half-written` twice, for its chunk and for its policy, the first one
    // for two more parts; the fault strikes in the third save.
    for (name, count, newest, temporary) in [
        ("chunk-half-written", 7, 2, true),
        ("chunk-half-written", 8, 2, true),
        ("manifest-half-written", 3, 2, true),
        ("after-temporary-write", 3, 2, true),
        ("before-rename", 3, 2, true),
        ("after-rename", 3, 3, false),
        ("before-pruning", 3, 3, false),
    ] {
        let folder = TempDir::new().unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::checkpoint::crash_child", "--nocapture"])
            .env("HSTEP_FAULT", format!("{name}:{count}"))
            .env(CRASH_FOLDER, folder.path())
            .output()
            .unwrap();
        assert!(!child.status.success(), "{name} was not reached");
        let message = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(message.contains(&format!("aborting at `{name}`")), "{message}");
        assert_eq!(names(folder.path()).iter().any(|n| n.ends_with(".tmp")), temporary, "{name}");

        let dir = CheckpointDir::new(folder.path());
        let loaded = dir.load_latest().unwrap().unwrap();
        assert_eq!((loaded.step, loaded.buffers["real"].len()), (newest, newest as usize));
        assert!(loaded.warnings.is_empty());
        // Done again, the folder is as if nothing had happened.
        save_three(&dir);
        let undisturbed = TempDir::new().unwrap();
        save_three(&CheckpointDir::new(undisturbed.path()));
        assert!(tree(folder.path()).values().eq(tree(undisturbed.path()).values()), "{name}");
    }
}
