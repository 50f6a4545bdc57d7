//! Runs that abort at a named point, as in a power cut, and are resumed: the end is byte-equal to
//! that of a run that was never interrupted.

use std::os::unix::process::ExitStatusExt as _;

use hstep::fault::POINTS;

use crate::small::{STEPS, Small, ended, list, manifest};

/// What an aborted run leaves behind.
#[derive(Debug)]
struct Wreck {
    /// Names of files still being written, without their hashes.
    temporary: Vec<String>,
    /// `metrics.csv` ends inside a row.
    half_row: bool,
    /// `metrics.csv` is longer than the newest checkpoint says.
    rows_beyond: bool,
    manifests: usize,
}

impl Wreck {
    fn of(run: &Small) -> Self {
        let ckpt = run.file("ckpt");
        let folders = [ckpt.clone(), ckpt.join("chunks"), ckpt.join("tensors")];
        let temporary = folders.iter().flat_map(|folder| list(folder)).filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".tmp")?.to_owned();
            Some(name.split_once('.')?.1.to_owned())
        });
        let metrics = std::fs::read(run.file("metrics.csv")).unwrap();
        let saved = run.newest_manifest().map(|path| manifest(&path)["metrics"]["bytes"].as_u64());
        Self {
            temporary: temporary.collect(),
            half_row: metrics.last() != Some(&b'\n'),
            rows_beyond: saved.flatten().is_some_and(|saved| saved < metrics.len() as u64),
            manifests: run.manifests().len(),
        }
    }

    /// That the run was met in the state which the point is there for.
    fn assert_is_of(&self, point: &str, count: u64) {
        let has = |end: &str| self.temporary.iter().any(|name| name == end);
        let met = match point {
            "metrics-half-row" => self.half_row,
            "chunk-half-written" => has("chunk") || has("safetensors"),
            "manifest-half-written" | "after-temporary-write" | "before-rename" => has("json"),
            // The new manifest is there, and the oldest one not yet gone.
            "after-rename" | "before-pruning" => self.manifests as u64 == count.min(3),
            "inside-model-fitting" => !self.half_row && self.temporary.is_empty(),
            _ => panic!("`{point}` is new: say what it leaves behind"),
        };
        assert!(met, "`{point}:{count}` left {self:?}");
    }
}

fn crash_and_resume(algo: &'static str, point: &str, count: u64) -> Wreck {
    let run = Small::new(algo);
    let fault = format!("{point}:{count}");
    let out = run.train(STEPS).env("HSTEP_FAULT", &fault).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.signal(), Some(6), "{algo} did not reach `{fault}`:\n{text}");
    assert!(text.contains(&format!("aborting at `{point}`")), "{text}");
    let wreck = Wreck::of(&run);
    wreck.assert_is_of(point, count);
    ended(&mut run.go_on(STEPS));
    run.assert_equals_uninterrupted(STEPS, &fault);
    let left = Wreck::of(&run);
    assert!(left.temporary.is_empty() && left.manifests == 2, "{fault}: {left:?}");
    wreck
}

#[test]
fn mbpo_aborted_anywhere_ends_as_if_it_had_not_been() {
    let mut wrecks = Vec::new();
    for point in POINTS {
        for count in [1, 2, 5] {
            wrecks.push(crash_and_resume("mbpo", point, count));
        }
    }
    let met = |what: fn(&Wreck) -> bool| wrecks.iter().filter(|wreck| what(wreck)).count();
    assert!(met(|wreck| !wreck.temporary.is_empty()) >= 12, "no partial checkpoints: {wrecks:?}");
    assert!(met(|wreck| wreck.half_row) == 3, "no half rows: {wrecks:?}");
    assert!(met(|wreck| wreck.rows_beyond) >= 3, "no rows after the checkpoint: {wrecks:?}");
    assert!(met(|wreck| wreck.manifests == 0) >= 3, "no crash before the first checkpoint");
}

#[test]
fn maac_and_sac_aborted_anywhere_end_as_if_they_had_not_been() {
    for point in POINTS {
        crash_and_resume("maac", point, 3);
        if point != "inside-model-fitting" {
            crash_and_resume("sac", point, 4);
        }
    }
}

#[test]
fn a_run_aborted_again_and_again_ends_as_if_it_had_not_been() {
    let run = Small::new("mbpo");
    for point in POINTS.iter().cycle().take(2 * POINTS.len()) {
        // Counted from where the process starts, so every one gets a little further.
        let out = run.go_on(STEPS).env("HSTEP_FAULT", format!("{point}:2")).output().unwrap();
        assert_ne!(out.status.code(), Some(70), "{}", String::from_utf8_lossy(&out.stderr));
        if out.status.success() {
            break;
        }
        assert_eq!(out.status.signal(), Some(6), "{}", String::from_utf8_lossy(&out.stderr));
    }
    ended(&mut run.go_on(STEPS));
    run.assert_equals_uninterrupted(STEPS, "several faults");
}
