//! Tables on the screen, in Markdown, as CSV and JSON.

use std::fmt::Write as _;
use std::path::Path;

use hstep::metrics::read_csv;
use hstep::{Error, Result};

use super::groups::Group;
use super::markdown::Grid;
use super::summary::{Beats, Estimate, Overall, Row};
use crate::plot::{quoted, write};

/// A number as a reader wants it: no decimals beyond sense.
fn number(x: f64) -> String {
    let digits = match x.abs() {
        a if a >= 1000.0 => 0,
        a if a >= 10.0 => 1,
        _ => 3,
    };
    format!("{x:.digits$}")
}

fn cell(estimate: &Estimate) -> String {
    let value = number(estimate.value);
    match estimate.interval {
        Some((low, high)) => format!("{value} [{}, {}]", number(low), number(high)),
        None => value,
    }
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A table for each environment.
pub fn by_environment(rows: &[Row], column: &str, last: usize) -> Vec<Grid> {
    let mut grids: Vec<Grid> = Vec::new();
    let what = match last {
        1 => format!("the last `{column}`"),
        _ => format!("the mean of the last {last} values of `{column}`"),
    };
    for of_env in rows.chunk_by(|a, b| a.env == b.env) {
        let hours = of_env.iter().any(|row| row.per_core_hour.is_some());
        let mut names = head(&["", "seeds", "IQM", "mean", "median", "area"]);
        names.extend(hours.then(|| "gain per core-hour".to_owned()));
        let line = |row: &Row| {
            let mut cells = vec![row.label.clone(), row.seeds.len().to_string()];
            cells.extend([cell(&row.iqm), cell(&row.mean), number(row.median), cell(&row.area)]);
            if hours {
                cells.push(row.per_core_hour.as_ref().map_or("-".into(), cell));
            }
            cells
        };
        let title = format!("{} at step {}: {what}", of_env[0].env, of_env[0].steps);
        grids.push(Grid { title, head: names, rows: of_env.iter().map(line).collect() });
    }
    grids
}

/// The table over all environments.
pub fn over_all(overall: &[Overall], envs: usize) -> Grid {
    let line = |o: &Overall| {
        let cells = [&o.iqm, &o.median, &o.mean, &o.optimality_gap].map(cell);
        std::iter::once(o.label.clone()).chain(cells).collect()
    };
    Grid {
        title: format!("All {envs} environments, normalised: 0 is random, 1 the reference"),
        head: head(&["", "IQM", "median", "mean", "optimality gap"]),
        rows: overall.iter().map(line).collect(),
    }
}

/// The probabilities that the row's runs beat the column's.
pub fn matrix(labels: &[&str], beats: &[Beats], paired: bool) -> Grid {
    let of = |left: &str, right: &str| beats.iter().find(|b| b.left == left && b.right == right);
    // Long names stand once, with a number.
    let short = labels.iter().all(|label| label.chars().count() <= 24);
    let name = |i: usize| if short { labels[i].to_owned() } else { format!("{}", i + 1) };
    let line = |(i, left): (usize, &&str)| {
        let cells = labels.iter().map(|right| match of(left, right) {
            Some(beats) => cell(&beats.probability),
            None => "-".into(),
        });
        let first = if short { name(i) } else { format!("{}: {left}", name(i)) };
        std::iter::once(first).chain(cells).collect()
    };
    let which = if paired { "with the same seed beats" } else { "beats" };
    Grid {
        title: format!("Probability that a run of the row {which} one of the column"),
        head: std::iter::once(String::new()).chain((0..labels.len()).map(name)).collect(),
        rows: labels.iter().enumerate().map(line).collect(),
    }
}

/// What the intervals are, in words.
pub fn intervals(rows: &[Row]) -> String {
    let fewest = rows.iter().map(|row| row.seeds.len()).min().unwrap_or(0);
    let by = |what: &str| {
        rows.iter().flat_map(|row| [&row.iqm, &row.mean]).any(|estimate| estimate.by == what)
    };
    let mut parts = Vec::new();
    if by("bootstrap") {
        let narrow = if rows.iter().any(|row| row.seeds.len() == 5) {
            ", which is narrow at five seeds"
        } else {
            ""
        };
        parts.push(format!("95 % stratified bootstrap, percentile{narrow}"));
    }
    if by("t") {
        parts.push("95 % t interval of the mean below five seeds".to_owned());
    }
    if fewest == 1 {
        parts.push("none for one seed".to_owned());
    }
    format!("Intervals: {}.", parts.join("; "))
}

/// The metrics of all runs in one file, a row an evaluation: run, group, environment, seed, and every
/// column that a run has.
///
/// # Errors
/// [`Error::Io`], and as [`read_csv`].
pub fn csv(path: &Path, groups: &[Group]) -> Result<()> {
    let mut columns: Vec<String> = Vec::new();
    let mut tables = Vec::new();
    for (group, run) in groups.iter().flat_map(|g| g.runs.iter().map(move |run| (g, run))) {
        let table = read_csv(&run.folder.join("metrics.csv"))?;
        for column in &table.columns {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        tables.push((group, run, table));
    }
    let mut out = format!("run,group,env,seed,{}\n", columns.join(","));
    for (group, run, table) in tables {
        let places: Vec<Option<usize>> =
            columns.iter().map(|c| table.columns.iter().position(|own| own == c)).collect();
        let folder = run.folder.display().to_string();
        let names = [&folder, &group.label, &group.env].map(|text| quoted(text));
        for row in &table.rows {
            out.push_str(&format!("{},{}", names.join(","), run.seed));
            for place in &places {
                out.push(',');
                if let Some(value) = place.and_then(|i| row[i]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "{value}");
                }
            }
            out.push('\n');
        }
    }
    write(path, out.as_bytes())
}

/// Everything that the tables say, and the scores of every seed.
pub fn as_json(rows: &[Row], overall: &[Overall], beats: &[Beats]) -> serde_json::Value {
    serde_json::json!({ "groups": rows, "overall": overall, "improvement": beats })
}

/// Writes [`as_json`] into a file.
///
/// # Errors
/// [`Error::Io`].
pub fn json(path: &Path, rows: &[Row], overall: &[Overall], beats: &[Beats]) -> Result<()> {
    let text = serde_json::to_string_pretty(&as_json(rows, overall, beats))
        .map_err(|e| Error::io("cannot write", path)(std::io::Error::other(e)))?;
    write(path, format!("{text}\n").as_bytes())
}
