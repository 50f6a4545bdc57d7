//! Signals: the first ends in order, the second at once; a training run is resumed to the bit.

use std::path::Path;

use crate::hstep;
use crate::small::{ENDLESS, Running, Small, ended};

/// Starts a figure that would take very long, and waits until it has logged `words`.
fn long_figure(folder: &Path, setting: &str, words: &str) -> Running {
    let args = ["-v", "reproduce", "maac-fig3", "--out", folder.to_str().unwrap(), setting];
    let mut running = Running::start(&mut hstep(&args));
    running.wait_for(words);
    running
}

#[test]
fn the_first_signal_ends_in_order_with_75() {
    for name in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let running = long_figure(folder.path(), "seeds=1000000", "seed 0 done");
        running.signal(name);
        let (code, rest) = running.end();
        assert_eq!(code, Some(75), "{rest}");
        assert!(rest.contains("interrupted"), "{rest}");
        assert!(!folder.path().join("maac-fig3.png").exists());
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = long_figure(folder.path(), "horizon_max=1000", "computing");
    // Held, so that it meets both signals before it can end in order on the first. Two different
    // ones: two equal ones may be delivered as one.
    for name in ["-STOP", "-INT", "-TERM", "-CONT"] {
        running.signal(name);
    }
    let (code, rest) = running.end();
    assert_eq!(code, Some(130), "{rest}");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_ends_as_if_it_had_not_been() {
    for (algo, name) in [("mbpo", "-TERM"), ("maac", "-INT"), ("sac", "-INT")] {
        let run = Small::new(algo);
        let mut running = Running::start(&mut run.train(ENDLESS));
        running.wait_for_step(300);
        running.signal(name);
        let (code, rest) = running.end();
        assert_eq!(code, Some(75), "{rest}");
        let how = format!("`hstep resume {}` goes on", run.folder().display());
        assert!(rest.contains("interrupted: everything is saved") && rest.contains(&how), "{rest}");
        let marker = std::fs::read_to_string(run.file("INTERRUPTED")).unwrap();
        assert!(marker.contains(&how), "{marker}");

        // The step it stopped at is chance; nothing but that step is saved there.
        let steps = run.saved_step().unwrap() + 150;
        ended(&mut run.resume(steps));
        assert!(!run.file("INTERRUPTED").exists());
        run.assert_equals_uninterrupted(steps, name);
    }
}
