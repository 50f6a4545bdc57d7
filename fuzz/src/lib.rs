//! What reads bytes that come from elsewhere, each as a function of such bytes. Whatever they are, it ends with a value
//! or an error: no panic, no hang, no allocation beyond what `fuzz/run` allows.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use candle_core::Device;
use hstep::algo;
use hstep::checkpoint::CheckpointDir;
use hstep::config;
use hstep::env::Env as _;
use hstep::env::gymnasium::{Gymnasium, Options};
use hstep::kinds::Kinds;
use hstep::metrics::read_csv;
use hstep::nn::Store;
use hstep::rng::Rng;
use hstep_proofs::check::{self, measure};
use hstep_proofs::file;
use twox_hash::XxHash3_128;

/// A function of foreign bytes, and its name.
type Target = (&'static str, fn(&[u8]));

/// The targets by name.
pub const TARGETS: [Target; 6] = [
    ("config", config),
    ("mdp", mdp),
    ("checkpoint", checkpoint),
    ("store", store),
    ("metrics", metrics),
    ("frames", frames),
];

/// Layers of settings: an algorithm's name, a file of settings, and `key=value`, a line each after a line `---`.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let (file, assignments) = rest.split_once("\n---\n").unwrap_or((rest, ""));
    let kinds = Kinds::stock();
    let Ok((entry, preset)) = algo::find(name) else { return };
    let Ok(mut table) = entry.preset(preset.as_deref(), &kinds) else { return };
    let Ok(given) = config::parse_text(Path::new("fuzzed.toml"), file) else { return };
    config::merge(&mut table, given);
    if config::set_all(&mut table, &assignments.lines().collect::<Vec<_>>()).is_err() {
        return;
    }
    let Ok(resolved) = entry.resolve(&table, &kinds) else { return };
    // What a run writes down is read again as the same.
    let written = entry.identity(&resolved, &kinds).unwrap();
    assert_eq!(entry.resolve(&written, &kinds).unwrap(), resolved);
    let _ = entry.build(&resolved);
}

/// A decision process of one's own, for `hstep check --mdp`.
pub fn mdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for round in [false, true] {
        let Ok(given) = file::from_json(&text, round) else { continue };
        let options = check::Options { horizon: Some(2), ..check::Options::default() };
        for name in ["mopac-theorem-1", "polo-lemma-2"] {
            let _ = measure(name, &given, &options);
        }
    }
}

/// Between the files of a checkpoint.
const NEXT: &[u8] = b"\n--next--\n";

/// A checkpoint: the body of its manifest, and files, a marker before each. `@HASH2@` and `@BYTES2@` stand for what they
/// are of file 2; checksums are made to fit, or nothing would get past them.
pub fn checkpoint(data: &[u8]) {
    let mut pieces = split(data);
    let body = pieces.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let mut body = String::from_utf8_lossy(body).into_owned();
    for (i, piece) in pieces.iter().take(8).enumerate() {
        let (bytes, hash) = sealed(piece);
        for (name, ending) in [("chunks", "chunk"), ("tensors", "safetensors")] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(format!("{hash}.{ending}")), &bytes)
                .unwrap();
        }
        body = body.replace(&format!("@HASH{i}@"), &hash);
        body = body.replace(&format!("\"@BYTES{i}@\""), &bytes.len().to_string());
    }
    let checksum = hex(body.as_bytes());
    let manifest = match data.first() {
        Some(b'{') => format!(
            "{{\"format\":\"hstep-checkpoint\",\"version\":2,\"checksum\":\"{checksum}\",\"body\":{body}}}"
        ),
        _ => body,
    };
    std::fs::write(folder.path().join("manifest-000000000007.json"), manifest).unwrap();
    let checkpoints = CheckpointDir::new(folder.path());
    let whole = checkpoints.verify().unwrap().iter().all(|found| found.problems.is_empty());
    assert_eq!(whole, checkpoints.load_latest().is_ok());
    let _ = (checkpoints.load_parts(), checkpoints.salvage());
}

fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = vec![data];
    while let Some(last) = pieces.pop() {
        let Some(at) = last.windows(NEXT.len()).position(|window| window == NEXT) else {
            pieces.push(last);
            break;
        };
        pieces.extend([&last[..at], &last[at + NEXT.len()..]]);
    }
    pieces
}

/// A file whose own length and checksum fit, where it is a chunk, and the hash that names it.
fn sealed(piece: &[u8]) -> (Vec<u8>, String) {
    let mut bytes = piece.to_vec();
    if bytes.len() < 36 || !bytes.starts_with(b"hstepchk") {
        return (bytes, hex(piece));
    }
    let (header, payload) = bytes.split_at_mut(36);
    header[12..20].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[20..].copy_from_slice(&XxHash3_128::oneshot(payload).to_be_bytes());
    let hash = hex(payload);
    (bytes, hash)
}

fn hex(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

/// Tensors of a part.
pub fn store(data: &[u8]) {
    if let Ok(store) = Store::from_bytes(data, "fuzzed.safetensors", &Device::Cpu) {
        let again = store.to_bytes().unwrap();
        assert!(Store::from_bytes(&again, "again.safetensors", &Device::Cpu).is_ok());
    }
}

/// Rows of metrics.
pub fn metrics(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    std::fs::write(&path, data).unwrap();
    if let Ok(table) = read_csv(&path) {
        for name in &table.columns {
            let _ = table.column(name);
        }
    }
}

/// What a process says that is asked for an environment, a reset and two steps.
pub fn frames(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let (answers, program) = (folder.path().join("answers"), folder.path().join("python"));
    std::fs::write(&answers, data).unwrap();
    // It reads nothing: the requests fit into the pipe.
    std::fs::write(&program, format!("#!/bin/sh\nexec cat '{}'\n", answers.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options =
        Options { python: program, timeout: Duration::from_secs(5), ..Options::default() };
    let Ok(mut env) = Gymnasium::new("gym:Fuzzed-v0", &options) else { return };
    let (mut rng, centre) = (Rng::new(0), vec![0.0; env.info().action_dim()]);
    if let Ok(obs) = env.reset(&mut rng) {
        assert_eq!(obs.len(), env.info().obs_dim);
        for _ in 0..2 {
            if env.step(&centre).is_err() {
                break;
            }
        }
    }
}

/// The files of a target's corpus.
pub fn corpus(root: &Path, target: &str) -> Vec<(OsString, Vec<u8>)> {
    let folder = root.join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap()))
        .collect()
}
