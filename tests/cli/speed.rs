//! What a run costs: where its time goes, and what its buffers hold.

use hstep::metrics::{Table, read_csv};

use crate::run;
use crate::small::{STEPS, Small, ended};

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
