//! `hstep report`: what runs reached, and where their time went.

use std::path::PathBuf;

use anyhow::Result;
use hstep::Error;
use hstep::metrics::{Table, read_csv};
use hstep::train::Phase;

use crate::cli::Report;
use crate::output::say;
use crate::run_folder::{Marker, RunFolder};

/// One run in numbers.
struct Line {
    name: String,
    state: &'static str,
    steps: f64,
    last: f64,
    best: f64,
    seconds: Vec<f64>,
}

pub fn run(args: &Report) -> Result<()> {
    let lines: Vec<Line> = args.runs.iter().map(line).collect::<Result<_>>()?;
    let wide = lines.iter().map(|l| l.name.len()).max().unwrap_or(3).max(3);
    say!("{:<wide$}  {:<11} {:>12} {:>10} {:>10}", "run", "state", "last eval at", "last", "best")?;
    for l in &lines {
        say!(
            "{:<wide$}  {:<11} {:>12} {:>10.1} {:>10.1}",
            l.name,
            l.state,
            l.steps,
            l.last,
            l.best
        )?;
    }
    say!("\nSeconds of the last process, and their share:")?;
    crate::output::write(format_args!("{:<wide$}", "run"))?;
    for phase in Phase::ALL {
        crate::output::write(format_args!("  {:>16}", phase.column().trim_end_matches("_s")))?;
    }
    say!()?;
    for l in &lines {
        let all: f64 = l.seconds.iter().sum();
        crate::output::write(format_args!("{:<wide$}", l.name))?;
        for s in &l.seconds {
            crate::output::write(format_args!(
                "  {:>8.1} {:>5.1} %",
                s,
                if all > 0.0 { 100.0 * s / all } else { 0.0 }
            ))?;
        }
        say!()?;
    }
    Ok(())
}

fn line(path: &PathBuf) -> Result<Line> {
    let folder = RunFolder::open(path)?;
    let metrics = read_csv(&path.join("metrics.csv"))?;
    let timing = read_csv(&path.join("timing.csv"))?;
    let returns: Vec<f64> = column(&metrics, "eval_return")?;
    let missing = || Error::checkpoint(path, "no evaluation yet: nothing to report");
    let last = |values: &[f64]| values.last().copied().ok_or_else(missing);
    let seconds = Phase::ALL
        .iter()
        .map(|phase| Ok(column(&timing, phase.column())?.last().copied().unwrap_or(0.0)))
        .collect::<Result<_>>()?;
    Ok(Line {
        name: path
            .file_name()
            .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned()),
        state: match folder.marker() {
            Some(Marker::Done) => "done",
            Some(Marker::Failed) => "failed",
            Some(Marker::Interrupted) => "interrupted",
            None => "running",
        },
        steps: last(&column(&metrics, "env_steps")?)?,
        last: last(&returns)?,
        best: returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        seconds,
    })
}

/// The numbers of a column, rows without one left out.
pub fn column(table: &Table, name: &str) -> Result<Vec<f64>> {
    Ok(table.column(name)?.into_iter().flatten().collect())
}
