//! The corpus of the fuzz targets, and a few changes of every input: what reads foreign bytes ends with a value or an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hstep::rng::Rng;

use crate::fuzz::{TARGETS, corpus};

/// One byte of `data` becomes another, or it is cut, or a piece of it stands twice.
fn changed(data: &[u8], rng: &mut Rng) -> Vec<u8> {
    let (mut data, at) = (data.to_vec(), rng.below(data.len().max(1)));
    match rng.below(4) {
        0 => data.truncate(at),
        1 => data.extend_from_within(at..),
        _ if data.is_empty() => data.push(0),
        _ => data[at] = rng.below(256) as u8,
    }
    data
}

#[test]
fn foreign_bytes_end_with_a_value_or_an_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, target) in TARGETS {
        let inputs = corpus(&root, name);
        assert!(!inputs.is_empty(), "{name}");
        // Each of these starts a process.
        let changes = if name == "frames" { 10 } else { 200 };
        for (file, data) in inputs {
            let mut rng = Rng::new(data.len() as u64);
            for change in 0..=changes {
                let input = if change == 0 { data.clone() } else { changed(&data, &mut rng) };
                let ran = catch_unwind(AssertUnwindSafe(|| target(&input)));
                assert!(ran.is_ok(), "{name}, change {change} of {}", file.display());
            }
        }
    }
}
