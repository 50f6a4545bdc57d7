//! `hstep report`: what runs reached, where their time went, and how fast they were.

use std::path::Path;

use anyhow::Result;
use hstep::log::Phase;
use hstep::metrics::{Table, read_csv};
use hstep::train::TOTAL_COLUMN;

use crate::cli::Report;
use crate::output::{say, write};
use crate::page;
use crate::run_folder::{Marker, RunFolder};

/// One run in numbers.
struct Line {
    name: String,
    state: &'static str,
    /// The step of the last evaluation, its return, and the best one.
    reached: Option<(f64, f64, f64)>,
    /// Why it failed, or why there are no numbers.
    note: String,
    reading: Option<Reading>,
    speed: Option<Speed>,
}

/// What was done in a time, and the time.
struct Speed {
    from: f64,
    to: f64,
    rates: [Option<f64>; 4],
}

/// The state of what is no run folder.
const UNREADABLE: &str = "unreadable";
/// The state of a run that was not begun.
const WAITING: &str = "waiting";

/// The columns of [`Speed::rates`].
const RATES: [&str; 4] = ["env steps/h", "updates/s", "fit steps/s", "model steps/s"];

pub fn run(args: &Report) -> Result<()> {
    if let Some(out) = &args.html {
        return page::write(&args.runs, out);
    }
    let lines: Vec<Line> = args.runs.iter().map(|path| line(path)).collect();
    // One stray folder of a job array must not hide the others; with nothing to show it is an error.
    if lines.iter().all(|line| line.state == UNREADABLE)
        && let Some(first) = args.runs.first()
    {
        RunFolder::open(first)?;
    }
    let wide = lines.iter().map(|l| l.name.len()).max().unwrap_or(3).max(3);
    say!("{:<wide$}  {:<11} {:>12} {:>10} {:>10}", "run", "state", "last eval at", "last", "best")?;
    for l in &lines {
        let numbers = match l.reached {
            Some((steps, last, best)) => format!("{steps:>12} {last:>10.1} {best:>10.1}"),
            None => format!("{:>12} {:>10} {:>10}", "-", "-", "-"),
        };
        let row = format!("{:<wide$}  {:<11} {numbers}  {}", l.name, l.state, l.note);
        say!("{}", row.trim_end())?;
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

/// A row for every folder, whatever is wrong with it.
fn line(path: &Path) -> Line {
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let bare = |state, note: String| Line {
        name: name.clone(),
        state,
        reached: None,
        note,
        reading: None,
        speed: None,
    };
    let (state, note) = state(path);
    if [UNREADABLE, WAITING].contains(&state) {
        return bare(state, note);
    }
    let both = |note: &str, other: String| match note {
        "" => other,
        _ => format!("{note}; {other}"),
    };
    let metrics = match read_csv(&path.join("metrics.csv")) {
        Ok(metrics) => metrics,
        Err(error) => return bare(state, both(&note, error.to_string())),
    };
    let (reached, note) = match reached(&metrics) {
        Ok(Some(reached)) => (Some(reached), note),
        Ok(None) => (None, both(&note, "no evaluation yet".into())),
        Err(error) => (None, both(&note, error.to_string())),
    };
    match times(path, &metrics) {
        Ok((speed, reading)) => Line { reached, speed, reading, ..bare(state, note) },
        Err(error) => Line { reached, ..bare(state, both(&note, format!("no times: {error}"))) },
    }
}

/// How a run stands, and why where there is something to say.
pub fn state(path: &Path) -> (&'static str, String) {
    let folder = match RunFolder::open(path) {
        Ok(folder) => folder,
        Err(error) => return (UNREADABLE, error.to_string()),
    };
    match folder.marker() {
        Some(Marker::Done) => ("done", String::new()),
        Some(Marker::Failed) => ("failed", reason(path)),
        Some(Marker::Interrupted) => ("interrupted", String::new()),
        None if path.join("metrics.csv").exists() => ("running", String::new()),
        None => (WAITING, "no evaluation yet".into()),
    }
}

/// The first line of what a failed run left.
fn reason(path: &Path) -> String {
    let text = hstep::files::text_of_run(&path.join("FAILED"), 1 << 16).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The step of the last evaluation, its return, and the best one.
fn reached(metrics: &Table) -> Result<Option<(f64, f64, f64)>> {
    let (steps, returns) = (metrics.column("env_steps")?, metrics.column("eval_return")?);
    let both = steps.into_iter().zip(returns).filter_map(|(step, value)| Some((step?, value?)));
    let all: Vec<(f64, f64)> = both.collect();
    let best = all.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    Ok(all.last().map(|(step, last)| (*step, *last, best)))
}

fn times(path: &Path, metrics: &Table) -> Result<(Option<Speed>, Option<Reading>)> {
    let mut clock = Clock::read(&read_csv(&path.join("timing.csv"))?)?;
    Ok((clock.speed(metrics)?, clock.0.pop()))
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
