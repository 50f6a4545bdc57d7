//! The places, armed by the environment.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The places there are, in the order in which a training run reaches them.
pub const POINTS: [&str; 8] = [
    "inside-model-fitting",
    "metrics-half-row",
    "chunk-half-written",
    "manifest-half-written",
    "after-temporary-write",
    "before-rename",
    "after-rename",
    "before-pruning",
];

struct Armed {
    name: String,
    left: AtomicU64,
}

/// Aborts the process here if `HSTEP_FAULT` says so; otherwise costs one comparison.
pub fn point(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| std::env::var("HSTEP_FAULT").ok().and_then(|v| parse(&v)));
    if let Some(armed) = armed
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ = writeln!(std::io::stderr(), "HSTEP_FAULT: aborting at `{name}`");
        std::process::abort();
    }
}

fn parse(value: &str) -> Option<Armed> {
    let (name, count) = value.split_once(':').unwrap_or((value, "1"));
    let count = count.parse().ok().filter(|&count| count > 0);
    if count.is_none() || !POINTS.contains(&name) {
        tracing::warn!(
            "HSTEP_FAULT={value} ignored: expected NAME[:COUNT], NAME one of {POINTS:?}"
        );
        return None;
    }
    count.map(|count| Armed { name: name.to_owned(), left: AtomicU64::new(count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_counts_are_read() {
        let read = |v| parse(v).map(|a| (a.name, a.left.into_inner()));
        assert_eq!(read("before-rename"), Some(("before-rename".into(), 1)));
        assert_eq!(read("after-rename:3"), Some(("after-rename".into(), 3)));
        for bad in ["", "nowhere", "after-rename:", "after-rename:0", "after-rename:x"] {
            assert_eq!(read(bad), None);
        }
    }
}
