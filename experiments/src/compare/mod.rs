//! Comparing runs: grouping them, summing them up, tables and figures. What `hstep compare` does, and
//! what the figures of `hstep reproduce` share with it.

pub mod curve;
pub mod export;
mod figures;
pub mod folders;
pub mod groups;
mod markdown;
mod names;
pub mod summary;

use std::path::PathBuf;

use hstep::config::check;
use hstep::stats::mean;
use hstep::{Error, Result};

pub use curve::{Points, between};
pub use markdown::{Markdown, interval};
pub use names::{algorithm, environment};

use crate::cli::Compare;
use crate::output::{say, write};
use crate::plot::{self, Figure, Provenance};
use crate::reproduce::published;
pub use figures::{Across, Drawing, in_order};
use folders::{Left, Run};

/// Coverage of every interval.
pub const LEVEL: f64 = 0.95;
/// Rounds of every bootstrap of a number in a table.
pub const ROUNDS: usize = 10_000;

/// Mean of the last `k` values.
pub fn last_mean(points: &[(f64, f64)], k: usize) -> f64 {
    let last: Vec<f64> = points.iter().rev().take(k).map(|p| p.1).collect();
    mean(&last)
}

/// What is compared, and how.
#[derive(Debug, Clone)]
pub struct Question {
    /// Run folders, or folders of them.
    pub runs: Vec<PathBuf>,
    /// The column of the metrics.
    pub column: String,
    /// How many of its last values are averaged.
    pub last: usize,
    /// Runs that end before this step are left out, and the others cut there.
    pub steps: Option<u64>,
    /// A file with the scales that scores are normalised by.
    pub normalise: Option<PathBuf>,
    /// Whether runs are compared with those of the same seed alone.
    pub paired: bool,
}

/// What runs reached, in groups of equal settings over seeds.
pub struct Answer {
    groups: Vec<groups::Group>,
    rows: Vec<summary::Row>,
    overall: Vec<summary::Overall>,
    beats: Vec<summary::Beats>,
}

impl Answer {
    /// Everything as JSON: `groups`, `overall`, `improvement`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        export::as_json(&self.rows, &self.overall, &self.beats)
    }
}

/// Compares runs; those left out are warned of.
///
/// # Errors
/// For paths without runs, and runs that cannot be compared.
pub fn compare(asked: &Question) -> Result<Answer> {
    check::at_least("--last", asked.last, 1)?;
    let (runs, mut left) = folders::read(&folders::find(&asked.runs)?, &asked.column);
    let runs = long_enough(runs, asked.steps, &mut left);
    let groups = groups::group(runs, &mut left);
    for Left(folder, why) in &left {
        tracing::warn!("left out: {}: {why}", folder.display());
    }
    if groups.is_empty() {
        let problem = "no run is left to compare; the warnings say why";
        return Err(Error::config("RUN", problem));
    }
    let rows = summary::rows(&groups, asked.last)?;
    let scales = asked.normalise.as_deref().map(|file| summary::Scales::read(file, &groups));
    let overall = match scales.transpose()? {
        Some(scales) => summary::overall(&rows, &scales)?,
        None => Vec::new(),
    };
    let beats = summary::improvements(&rows, asked.paired)?;
    Ok(Answer { groups, rows, overall, beats })
}

/// `hstep compare`.
///
/// # Errors
/// As [`compare`]; for files that cannot be written.
pub fn run(args: &Compare) -> anyhow::Result<()> {
    let Answer { groups, rows, overall, beats } = compare(&Question {
        runs: args.runs.clone(),
        column: args.column.clone(),
        last: args.last,
        steps: args.steps,
        normalise: args.normalise.clone(),
        paired: args.paired,
    })?;
    let labels = summary::labels(&rows);

    let mut grids = export::by_environment(&rows, &args.column, args.last);
    let envs = grids.len();
    if !overall.is_empty() {
        grids.push(export::over_all(&overall, envs));
    }
    if !beats.is_empty() {
        grids.push(export::matrix(&labels, &beats, args.paired));
    }
    let intervals = export::intervals(&rows);
    for grid in &grids {
        write(format_args!("{}\n", grid.text()))?;
    }
    say!("{intervals}")?;
    if let Some(path) = &args.markdown {
        let mut out = Markdown::default();
        grids.iter().for_each(|grid| grid.markdown(&mut out));
        out.text(&intervals);
        plot::write(path, out.finish().as_bytes())?;
    }
    if let Some(path) = &args.json {
        export::json(path, &rows, &overall, &beats)?;
    }
    if let Some(path) = &args.csv {
        export::csv(path, &groups)?;
    }
    if let Some(folder) = &args.out {
        let (column, reference) = (args.column.as_str(), args.reference.as_deref());
        let drawing = Drawing {
            groups: &groups,
            rows: &rows,
            column,
            reference,
            whole: false,
            styles: in_order,
        };
        let mut all = drawing.curves(Across::Steps)?;
        all.extend(drawing.curves(Across::CoreHours)?);
        all.extend(figures::profiles(&overall)?);
        all.extend(figures::matrix(&labels, &beats, args.paired));
        draw(&all, &groups, folder)?;
    }
    Ok(())
}

/// The runs that go at least to `steps`, up to there.
fn long_enough(runs: Vec<Run>, steps: Option<u64>, left: &mut Vec<Left>) -> Vec<Run> {
    let Some(steps) = steps.map(|steps| steps as f64) else { return runs };
    let mut kept = Vec::new();
    for mut run in runs {
        let end = run.curve.last().map_or(0.0, |p| p.0);
        if end < steps {
            left.push(Left(run.folder, format!("ends at step {end}, before {steps}")));
            continue;
        }
        run.curve.retain(|p| p.0 <= steps);
        kept.push(run);
    }
    kept
}

fn draw(all: &[Figure], groups: &[groups::Group], folder: &std::path::Path) -> Result<()> {
    let mut seeds: Vec<u64> = groups.iter().flat_map(groups::Group::seeds).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let names = groups.iter().flat_map(|g| &g.runs).filter_map(|run| run.folder.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let table = toml::Table::from_iter([("runs".to_owned(), names.into())]);
    let provenance = Provenance {
        command: "hstep compare".into(),
        config_hash: hstep::config::hash8(&table, &[]),
        commit: plot::commit(),
        seeds,
    };
    for figure in all {
        for file in figure.save(folder, &provenance)? {
            say!("{}", file.display())?;
        }
    }
    Ok(())
}
