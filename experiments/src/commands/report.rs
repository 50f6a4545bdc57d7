//! `hstep report`: what runs reached, where their time went, and how fast they were.

use std::path::{Path, PathBuf};

use anyhow::Result;
use hstep::log::Phase;
use hstep::metrics::{Table, read_csv};
use hstep::train::TOTAL_COLUMN;

use crate::cli::Report;
use crate::output::{say, write};
use crate::run_folder::{Marker, RunFolder};

/// One run in numbers.
struct Line {
    name: String,
    state: &'static str,
    reached: Reached,
    reading: Option<Reading>,
    speed: Option<Speed>,
}

/// What the evaluations of a run came to.
enum Reached {
    Numbers {
        steps: f64,
        last: f64,
        best: f64,
    },
    /// Why there are none.
    Nothing(&'static str),
}

/// What was done in a time, and the time.
struct Speed {
    from: f64,
    to: f64,
    rates: [Option<f64>; 4],
}

/// The columns of [`Speed::rates`].
const RATES: [&str; 4] = ["env steps/h", "updates/s", "fit steps/s", "model steps/s"];

pub fn run(args: &Report) -> Result<()> {
    let lines = lines(&args.runs)?;
    let wide = lines.iter().map(|l| l.name.len()).max().unwrap_or(3).max(3);
    say!("{:<wide$}  {:<11} {:>12} {:>10} {:>10}", "run", "state", "last eval at", "last", "best")?;
    for l in &lines {
        let (name, state) = (&l.name, l.state);
        match l.reached {
            Reached::Numbers { steps, last, best } => {
                say!("{name:<wide$}  {state:<11} {steps:>12} {last:>10.1} {best:>10.1}")?;
            }
            Reached::Nothing(why) => say!("{name:<wide$}  {state:<11} {why}")?,
        }
    }
    say!("\nSeconds of the last process, and their share:")?;
    write(format_args!("{:<wide$}  {:>8}", "run", "total"))?;
    for name in Phase::ALL.map(|phase| phase.column().trim_end_matches("_s")) {
        write(format_args!("  {name:>16}"))?;
    }
    say!("  {:>16}", "rest")?;
    for l in &lines {
        write(format_args!("{:<wide$}", l.name))?;
        if let Some(Reading { phases, total, .. }) = &l.reading {
            let total = total.unwrap_or_else(|| phases.iter().sum());
            write(format_args!("  {total:>8.1}"))?;
            let rest = (total - phases.iter().sum::<f64>()).max(0.0);
            for s in phases.iter().chain([&rest]) {
                let share = if total > 0.0 { 100.0 * s / total } else { 0.0 };
                write(format_args!("  {s:>8.1} {share:>5.1} %"))?;
            }
        }
        say!()?;
    }
    say!(
        "\nSpeed of the last process since it learns, evaluations included; updates and fit steps"
    )?;
    say!("by the time that they take themselves:")?;
    write(format_args!("{:<wide$}  {:>17}", "run", "env steps"))?;
    for name in RATES {
        write(format_args!("  {name:>13}"))?;
    }
    say!()?;
    for l in &lines {
        write(format_args!("{:<wide$}", l.name))?;
        if let Some(Speed { from, to, rates }) = &l.speed {
            write(format_args!("  {:>17}", format!("{from} to {to}")))?;
            for rate in rates {
                match rate {
                    Some(rate) => write(format_args!("  {rate:>13.1}"))?,
                    None => write(format_args!("  {:>13}", "-"))?,
                }
            }
        }
        say!()?;
    }
    Ok(())
}

/// A line a run. One that cannot be read has a line, too, and a warning that says why: in a job array
/// one stray folder must not hide all others. Where none can be read, the first reason is the error.
fn lines(runs: &[PathBuf]) -> Result<Vec<Line>> {
    let (mut lines, mut first, mut read) = (Vec::new(), None, false);
    for path in runs {
        lines.push(match line(path) {
            Ok(line) => {
                read = true;
                line
            }
            Err(error) => {
                let is_run = path.join("config.toml").exists();
                tracing::warn!("{error}");
                first.get_or_insert(error);
                let why = if is_run { "unreadable" } else { "no run folder" };
                let (name, reached) = (name(path), Reached::Nothing(why));
                Line { name, state: "-", reached, reading: None, speed: None }
            }
        });
    }
    match first {
        Some(error) if !read => Err(error.into()),
        _ => Ok(lines),
    }
}

fn name(path: &Path) -> String {
    let last = path.file_name().map(|name| name.to_string_lossy().into_owned());
    last.unwrap_or_else(|| path.display().to_string())
}

fn line(path: &Path) -> hstep::Result<Line> {
    let folder = RunFolder::open(path)?;
    let state = match folder.marker() {
        Some(Marker::Done) => "done",
        Some(Marker::Failed) => "failed",
        Some(Marker::Interrupted) => "interrupted",
        None => "running",
    };
    let (metrics, timing) = (path.join("metrics.csv"), path.join("timing.csv"));
    let nothing = |why| Line {
        name: name(path),
        state,
        reached: Reached::Nothing(why),
        reading: None,
        speed: None,
    };
    if !metrics.exists() {
        return Ok(nothing("not begun yet"));
    }
    let metrics = read_csv(&metrics)?;
    let evaluated = |name: &str| -> hstep::Result<Vec<f64>> {
        let (all, returns) = (metrics.column(name)?, metrics.column("eval_return")?);
        let both = all.into_iter().zip(returns).filter(|(_, reached)| reached.is_some());
        Ok(both.filter_map(|(x, _)| x).collect())
    };
    let (steps, returns) = (evaluated("env_steps")?, evaluated("eval_return")?);
    let reached = match (steps.last(), returns.last()) {
        (Some(&steps), Some(&last)) => {
            let best = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Reached::Numbers { steps, last, best }
        }
        _ => Reached::Nothing("no evaluation yet"),
    };
    if !timing.exists() {
        return Ok(Line { reached, ..nothing("") });
    }
    let mut clock = Clock::read(&read_csv(&timing)?)?;
    Ok(Line { reached, speed: clock.speed(&metrics)?, reading: clock.0.pop(), ..nothing("") })
}

/// A row of `timing.csv`.
struct Reading {
    env_steps: f64,
    /// Seconds in each of [`Phase::ALL`].
    phases: Vec<f64>,
    /// Seconds altogether; folders of earlier versions do not have them.
    total: Option<f64>,
}

/// The rows of `timing.csv` that the last process wrote.
struct Clock(Vec<Reading>);

impl Clock {
    fn read(timing: &Table) -> hstep::Result<Self> {
        let steps = timing.column("env_steps")?;
        let phases = Phase::ALL.map(|phase| timing.column(phase.column()));
        let phases = phases.into_iter().collect::<hstep::Result<Vec<_>>>()?;
        let total = timing.column(TOTAL_COLUMN).ok();
        let rows = steps.into_iter().enumerate().map(|(i, steps)| Reading {
            env_steps: steps.unwrap_or(0.0),
            phases: phases.iter().map(|phase| phase[i].unwrap_or(0.0)).collect(),
            total: total.as_ref().and_then(|total| total[i]),
        });
        let mut rows: Vec<Reading> = rows.collect();
        // A process begins with a row of zeros.
        if let Some(start) = rows.iter().rposition(|row| row.total == Some(0.0)) {
            rows.drain(..=start);
        }
        Ok(Self(rows))
    }

    /// From the first row with gradient steps behind it to the last; none before there are two rows.
    fn speed(&self, metrics: &Table) -> hstep::Result<Option<Speed>> {
        const COUNTERS: [&str; 4] = ["env_steps", "grad_steps", "fit_steps", "model_steps"];
        let counters = COUNTERS.map(|name| metrics.column(name));
        let counters = counters.into_iter().collect::<hstep::Result<Vec<_>>>()?;
        let counts_at = |steps: f64| -> Option<[f64; 4]> {
            let row = counters[0].iter().position(|s| *s == Some(steps))?;
            Some(std::array::from_fn(|i| counters[i][row].unwrap_or(0.0)))
        };
        let rows = self.0.iter().filter_map(|r| Some((counts_at(r.env_steps)?, r, r.total?)));
        let rows: Vec<([f64; 4], &Reading, f64)> = rows.collect();
        let learns = rows.iter().position(|(counts, ..)| counts[1] + counts[2] > 0.0);
        let (Some(last), Some(first)) = (rows.last(), rows.get(learns.unwrap_or(0))) else {
            return Ok(None);
        };
        let done: [f64; 4] = std::array::from_fn(|i| last.0[i] - first.0[i]);
        let wall = last.2 - first.2;
        let within = |phase: Phase| {
            let i = Phase::ALL.iter().position(|p| *p == phase);
            i.map_or(0.0, |i| last.1.phases[i] - first.1.phases[i])
        };
        let rate = |n: f64, seconds: f64| (n > 0.0 && seconds > 0.0).then_some(n / seconds);
        Ok((wall > 0.0).then(|| Speed {
            from: first.0[0],
            to: last.0[0],
            rates: [
                rate(done[0], wall / 3600.0),
                rate(done[1], within(Phase::Updates)),
                rate(done[2], within(Phase::Model)),
                rate(done[3], wall),
            ],
        }))
    }
}

/// The numbers of a column, rows without one left out.
pub fn column(table: &Table, name: &str) -> Result<Vec<f64>> {
    Ok(table.column(name)?.into_iter().flatten().collect())
}
