//! How fast the parts of training run, against the tools that people would use instead.
//!
//! The rates are measured by `benches/peers/compare.py`, which leaves them, their ratios and a table
//! below `figures/data`; here the ratios are drawn.

use std::path::Path;

use hstep::{Error, Result, files};
use toml::Table;

use super::shared::provenance;
use super::{Effort, Job, Outcome};
use crate::plot::{Axis, Figure, Panel, Series};

const NAME: &str = "peers";

/// A figure each: what the rows call it, the figure's name, words of its title.
const PRECISIONS: [(&str, &str, &str); 2] =
    [("f32", NAME, "single precision"), ("bf16", "peers-bf16", "bfloat16")];

/// Names on the axis, in its order.
const WORKLOADS: [(&str, &str); 9] = [
    ("a", "SAC update"),
    ("b", "model fit"),
    ("c10k", "branch 10k"),
    ("c100k", "branch 100k"),
    ("d100", "plan 100"),
    ("d500", "plan 500"),
    ("d64", "64 plans"),
    ("e5", "actor H=5"),
    ("e10", "actor H=10"),
];

/// hstep's rate by that of the best peer.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    workload: String,
    threads: usize,
    precision: String,
    turns: usize,
    ratio: f64,
    interval: (f64, f64),
}

/// Draws the ratios that were measured.
///
/// # Errors
/// [`Error::Config`] for any setting, [`Error::Io`] without measurements, [`Error::Checkpoint`] for
/// rows that cannot be read.
pub fn run(settings: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    if let Some(key) = settings.keys().next() {
        let problem = "this figure has no settings: it is drawn from what \
                       benches/peers/compare.py measured";
        return Err(Error::config(key, problem).into());
    }
    let data = job.folder.join("data");
    let rows = read(&data.join(NAME).join("summary.csv"))?;
    let provenance = provenance(NAME, (settings, settings), Vec::new(), effort, job)?;
    let mut files = Vec::new();
    for figure in PRECISIONS.iter().filter_map(|precision| figure(&rows, precision)) {
        files.extend(figure.save(job.folder, &provenance)?);
    }
    let table = data.join(format!("{NAME}.md"));
    let text = files::text(&table, files::METRICS)?;
    Ok(Outcome { summary: text.lines().map(String::from).collect(), files })
}

const HEAD: &str = "workload,threads,precision,turns,ratio,low,high";

fn read(file: &Path) -> Result<Vec<Row>> {
    let text = files::text(file, files::METRICS)?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(Error::checkpoint(file, format!("expected the columns {HEAD}")));
    }
    let row = |line: &str| -> Option<Row> {
        let cells: [&str; 7] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        let [workload, threads, precision, turns, ratio, low, high] = cells;
        let number = |text: &str| text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
        WORKLOADS.iter().find(|(name, _)| *name == workload)?;
        Some(Row {
            workload: workload.into(),
            threads: threads.parse().ok()?,
            precision: precision.into(),
            turns: turns.parse().ok()?,
            ratio: number(ratio)?,
            interval: (number(low)?, number(high)?),
        })
    };
    let bad = |line: &str| Error::checkpoint(file, format!("`{line}` is no row of ratios"));
    lines.map(|line| row(line).ok_or_else(|| bad(line))).collect()
}

/// `1 thread`, `2 threads`.
fn threads(n: usize) -> String {
    format!("{n} thread{}", if n == 1 { "" } else { "s" })
}

/// The bars of one precision, a colour a number of threads, where there are any.
fn figure(rows: &[Row], (precision, name, words): &(&str, &str, &str)) -> Option<Figure> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.precision == *precision).collect();
    let turns = rows.iter().map(|row| row.turns).min()?;
    let lowest = rows.iter().map(|row| row.ratio).fold(f64::INFINITY, f64::min);
    let fastest = rows.iter().map(|row| row.ratio).fold(0.0, f64::max);
    let highest = rows.iter().map(|row| row.interval.1).fold(1.0, f64::max);
    let there = |name: &str| rows.iter().any(|row| row.workload == name);
    let shown: Vec<_> = WORKLOADS.iter().filter(|(name, _)| there(name)).collect();
    let mut counts: Vec<usize> = rows.iter().map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let n = counts.len() as f64;
    // Where the bars of a number of threads stand within a unit of the axis.
    let side = |i: usize| (i as f64 - (n - 1.0) / 2.0) * 0.8 / n;
    let bars = counts.iter().enumerate().map(|(i, &n)| {
        let of = |name: &str| rows.iter().find(|row| row.threads == n && row.workload == name);
        let point = |(at, (name, _)): (usize, &&(&str, &str))| {
            of(name).map(|row| (at as f64 + side(i), row.ratio, row.interval))
        };
        let points: Vec<_> = shown.iter().enumerate().filter_map(point).collect();
        Series::bars(threads(n), i, &points)
    });
    let end = shown.len() as f64 - 0.5;
    let one = Series::line("the best peer", 4, vec![(-0.5, 1.0), (end, 1.0)]).without_markers();
    Some(Figure {
        name: (*name).into(),
        title: format!("{lowest:.2} to {fastest:.2} times as fast as the best peer, {words}"),
        caption: format!(
            "Ratio of medians of {turns} turns, PyTorch and JAX on the same machine; 95 % bootstrap \
             intervals over turns"
        ),
        size: (1080, 520),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::named("", shown.iter().map(|(_, label)| (*label).to_owned()).collect()),
            y: Axis::linear("ratio; above 1 hstep is faster").between(0.0, 1.05 * highest),
            series: std::iter::once(one).chain(bars).collect(),
            notes: Vec::new(),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(text: &str) -> Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary.csv");
        std::fs::write(&file, text).unwrap();
        read(&file)
    }

    #[test]
    fn ratios_are_read_and_stand_side_by_side() {
        let text = format!(
            "{HEAD}\na,1,f32,10,2.0,1.9,2.1\na,2,f32,10,1.5,1.4,1.6\ne5,2,f32,9,0.8,0.7,0.9\n\
             d64,2,bf16,10,1.2,1.1,1.3\n"
        );
        let rows = read_back(&text).unwrap();
        let [Some(single), Some(half)] = PRECISIONS.map(|p| figure(&rows, &p)) else { panic!() };
        assert!(single.caption.contains("9 turns") && half.caption.contains("10 turns"));
        let (single, half) = (&single.panels[0], &half.panels[0]);
        assert_eq!(single.x.names, ["SAC update", "actor H=5"]);
        assert_eq!(half.x.names, ["64 plans"]);
        let [one, first, second] = single.series.as_slice() else { panic!() };
        assert!(one.points.iter().all(|p| p.1 == 1.0));
        assert_eq!((first.label.as_str(), second.label.as_str()), ("1 thread", "2 threads"));
        assert_eq!(first.points, [(-0.2, 2.0)]);
        assert_eq!(second.points, [(0.2, 1.5), (1.2, 0.8)]);
        assert_eq!(second.band, [(1.4, 1.6), (0.7, 0.9)]);
    }

    #[test]
    fn rows_that_are_no_ratios_are_refused() {
        for row in
            ["a,1,f32,10,2.0,1.9", "zz,1,f32,10,2,1,3", "a,1,f32,10,nan,1,3", "a,1,f32,10,2,0,3"]
        {
            let error = read_back(&format!("{HEAD}\n{row}\n")).unwrap_err().to_string();
            assert!(error.contains(&format!("`{row}` is no row of ratios")), "{error}");
        }
        assert!(read_back("a,b\n").unwrap_err().to_string().contains("expected the columns"));
    }
}
