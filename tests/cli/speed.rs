//! What a run costs: where its time goes, and what its buffers hold.

use hstep::metrics::{Table, read_csv};

use crate::small::{STEPS, Small, ended, fails};
use crate::{hstep, run};

fn timing(small: &Small) -> (Table, Vec<Option<f64>>) {
    let table = read_csv(&small.file("timing.csv")).unwrap();
    let total = table.column("total_s").unwrap();
    (table, total)
}

/// The line of the report's last table that belongs to the run.
fn speed(small: &Small) -> Vec<String> {
    let folder = small.folder();
    let out = run(&["report", folder.to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("rest") && text.contains("total"), "{text}");
    let line = text.lines().last().unwrap();
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_report_has_all_the_time_and_the_speed_of_the_last_process() {
    let small = Small::finished("mbpo");
    let (table, total) = timing(&small);
    assert_eq!(total[0], Some(0.0), "no row where the process begins");
    for (row, total) in total.iter().enumerate() {
        let booked = table.columns.iter().filter(|c| c.ends_with("_s") && *c != "total_s");
        let booked: f64 = booked.map(|c| table.column(c).unwrap()[row].unwrap()).sum();
        assert!(booked <= total.unwrap(), "row {row}: {booked} of {total:?}");
    }
    // It learns from step 200 on.
    let line = speed(&small);
    assert_eq!(line[..3], ["200", "to", "900"].map(String::from));
    assert!(line[3..].iter().all(|rate| rate.parse::<f64>().unwrap() > 0.0), "{line:?}");

    ended(&mut small.resume(STEPS + 200));
    let (_, total) = timing(&small);
    assert_eq!(total.iter().filter(|t| **t == Some(0.0)).count(), 2);
    assert_eq!(speed(&small)[..3], ["1000", "to", "1100"].map(String::from));
    // Nothing to do is no process worth a row.
    ended(&mut small.resume(STEPS + 200));
    assert_eq!(timing(&small).1, total);
}

/// By the buffers' own count, which is the same everywhere; the process's peak stands beside it.
#[test]
fn full_buffers_hold_less_than_twice_their_rows() {
    let out = run(&["memory", "--rows", "20000"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let bytes = |stage: &str| -> usize {
        let line = text.lines().find(|line| line.starts_with(stage)).unwrap();
        line[stage.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    // 17 + 6 + 1 + 17 + 1 numbers of four bytes a row, in each of two buffers.
    assert_eq!(bytes("raw"), 2 * 20_000 * 42 * 4);
    // The real one alone, as it grew; then both.
    assert!(bytes("filled, at most") < bytes("raw"), "{text}");
    for stage in ["fitted, imagined", "checkpointed"] {
        assert!((bytes("raw")..2 * bytes("raw")).contains(&bytes(stage)), "{text}");
    }
}

#[test]
fn a_report_of_many_runs_does_not_stop_at_one() {
    let good = Small::finished("sac");
    let copy = |name: &str| {
        let to = good.root.path().join("train").join(name);
        let status =
            std::process::Command::new("cp").arg("-r").arg(good.folder()).arg(&to).status();
        assert!(status.unwrap().success());
        to
    };
    let root = tempfile::tempdir().unwrap();
    let mut runs = vec![good.folder()];
    for (name, spoil) in [
        (
            "begun",
            &(|run: &std::path::Path| {
                let metrics = run.join("metrics.csv");
                let text = std::fs::read_to_string(&metrics).unwrap();
                let header = text.lines().next().unwrap();
                std::fs::write(&metrics, format!("{header}\n")).unwrap();
            }) as &dyn Fn(&std::path::Path),
        ),
        ("waiting", &|run| std::fs::remove_file(run.join("metrics.csv")).unwrap()),
        ("clockless", &|run| std::fs::remove_file(run.join("timing.csv")).unwrap()),
        ("garbled", &|run| std::fs::write(run.join("metrics.csv"), "a,b\n1\n").unwrap()),
        ("stray", &|run| std::fs::remove_file(run.join("config.toml")).unwrap()),
    ] {
        let to = copy(name);
        spoil(&to);
        let kept = root.path().join(name);
        std::fs::rename(&to, &kept).unwrap();
        runs.push(kept);
    }
    runs.push(root.path().join("absent"));
    let out = hstep(&["report"]).args(&runs).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{text}");
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name}: {text}")).split_whitespace().collect::<Vec<_>>()
    };
    let name = good.folder().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(row(&name)[1..3], ["done", "900"]);
    let said = |name: &str| row(name)[1..].join(" ");
    assert_eq!(said("begun"), "done - - - no evaluation yet");
    assert_eq!(row("clockless")[1..3], ["done", "900"]);
    assert!(said("clockless").contains("no times"), "{text}");
    for (name, state, why) in [
        ("waiting", "done", "metrics.csv"),
        ("garbled", "done", "line: 2"),
        ("stray", "unreadable", "no run folder"),
        ("absent", "unreadable", "no run folder"),
    ] {
        let words = said(name);
        assert!(words.starts_with(&format!("{state} - - - ")) && words.contains(why), "{words}");
    }
    // Nothing that can be read is an error.
    fails(hstep(&["report"]).args(&runs[5..]), 4, &["no run folder"]);
}

#[test]
fn a_part_without_a_form_on_rows_is_named_once() {
    for (model, said) in [("run.model=learned", 0), ("run.model=oracle", 1)] {
        let small = Small::new("mbpo").with(model);
        let out = small.train(300).arg("-v").output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stderr).unwrap();
        let lines = text.lines().filter(|line| line.contains("the dynamics has no form on rows"));
        assert_eq!(lines.count(), said, "{model}: {text}");
    }
}
