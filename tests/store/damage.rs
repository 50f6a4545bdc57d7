//! Checkpoints that are damaged, or read while they are written.

use std::fs;

use hstep::Error;
use hstep::checkpoint::CheckpointDir;
use hstep::replay::{Replay, TransitionRow};
use tempfile::TempDir;

use super::checkpoint::{problem, seal, small, snapshot};
use super::replay::filled;

/// Rows enough for three chunks, in a ring that begins inside the second one.
fn ring() -> Replay {
    let mut replay = Replay::new(140_000, 1, 1).unwrap();
    for i in 0..210_000 {
        let obs = [i as f32];
        let (action, reward, cont) = (&[0.5][..], 1.0, 1.0);
        let row =
            TransitionRow { obs: &obs, action, reward, next_obs: &obs, cont, own: Vec::new() };
        replay.push(&row).unwrap();
    }
    replay
}

/// Chunks that did not change belong to both checkpoints: a bit that flips in one takes the replay
/// of both, by name, and neither the networks nor the other chunks.
#[test]
fn a_damaged_chunk_loses_its_rows_and_no_more() {
    let folder = TempDir::new().unwrap();
    let dir = CheckpointDir::new(folder.path());
    let replay = ring();
    for step in [1, 2] {
        let saved = snapshot(&[step as f64], &[("real", &replay)]);
        dir.save(&saved, step, &seal(0), "cafe").unwrap();
    }
    assert!(dir.verify().unwrap().iter().all(|found| found.problems.is_empty()));
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.manifest_path(2)).unwrap()).unwrap();
    let chunks = &manifest["body"]["buffers"]["real"]["chunks"];
    assert_eq!(chunks.as_array().unwrap().len(), 3);
    // Where the ring begins, before it, and after it.
    for (chunk, first) in [(1, 65_536), (0, 0), (2, 131_072)] {
        let name = format!("{}.chunk", chunks[chunk]["hash"].as_str().unwrap());
        let path = folder.path().join("chunks").join(&name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[200] ^= 1;
        fs::write(&path, &bad).unwrap();

        let message = problem(&dir);
        let last = (first + 65_535).min(139_999);
        let rows = format!("buffer `real`, rows {first} to {last} of 140000");
        for words in [rows.as_str(), &name, "does not match", "step 2 are", "--without-replay"] {
            assert!(message.contains(words), "`{words}` is not in {message}");
        }
        let parts = dir.load_parts().unwrap().unwrap();
        assert_eq!(parts.parts["policy"]["policy/w"].to_vec1::<f32>().unwrap(), [2.0]);
        assert!(parts.step == 2 && parts.warnings.is_empty() && parts.buffers.is_empty());
        let found = dir.verify().unwrap();
        assert!(found.iter().all(|found| found.problems[0].contains(&name)), "{found:?}");

        let (salvaged, lost) = dir.salvage().unwrap().unwrap();
        assert!(salvaged.step == 2 && lost.len() == 1 && lost[0].contains(&rows), "{lost:?}");
        // Rows lie at the place that is their number modulo the capacity.
        let numbers = (70_000..210_000).filter(|i| !(first..=last).contains(&(i % 140_000)));
        let left = salvaged.buffers["real"].iter().map(|row| row.obs[0]);
        assert!(left.eq(numbers.map(|i| i as f32)), "chunk {chunk}");
        assert_eq!(salvaged.buffers["real"].capacity(), 140_000);
        // A run that goes on has the rows still: its next save mends the file.
        let saved = snapshot(&[2.0], &[("real", &replay)]);
        dir.save(&saved, 2, &seal(0), "cafe").unwrap();
        assert!(fs::read(&path).unwrap() == good);
    }
    assert_eq!(dir.salvage().unwrap().unwrap().0.buffers["real"], replay);
}

#[test]
fn a_reader_looks_again_when_a_run_has_pruned_meanwhile() {
    let (folder, dir) = small();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let done = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Every checkpoint has other tensors and another chunk, so every save prunes some.
            for step in (11usize..).take_while(|_| !done()) {
                let buffer = filled(3, 0..step);
                let snapshot = snapshot(&[step as f64], &[("real", &buffer)]);
                dir.save(&snapshot, step as u64, &seal(99), "cafe").unwrap();
            }
        });
        let reader = CheckpointDir::new(folder.path().join("ckpt"));
        let read: Result<Vec<u64>, Error> =
            (0..3_000).map(|_| Ok(reader.load_latest()?.unwrap().step)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(read.unwrap().is_sorted());
    });
}
