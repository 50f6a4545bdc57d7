//! What was measured, and its files below `data/cost`.

use std::path::Path;

use hstep::{Error, Result, files};

use super::config::Config;
use super::points::{self, Point};
use crate::bench::memory::StepMemory;
use crate::plot;

/// Everything that the figures are drawn of.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Threads computed with.
    pub threads: usize,
    /// The rate of matrix products in every turn, in GFLOP/s.
    pub limits: Vec<f64>,
    /// Every point with its seconds a step in every turn.
    pub times: Vec<(Point, Vec<f64>)>,
    /// Memory of the actor's step by horizon.
    pub memory: Vec<(usize, StepMemory)>,
}

const TIMES: &str = "varied,step,size,turn,seconds";
const LIMITS: &str = "threads,turn,gflops";
const MEMORY: &str = "horizon,forward_bytes,peak_bytes";

impl Measured {
    /// The best rate of matrix products, in GFLOP/s.
    pub fn limit(&self) -> f64 {
        self.limits.iter().copied().fold(0.0, f64::max)
    }

    /// Writes `times.csv`, `limits.csv` and `memory.csv`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
        let mut text = format!("{TIMES}\n");
        for (point, seconds) in &self.times {
            for (turn, seconds) in seconds.iter().enumerate() {
                text.push_str(&format!("{},{turn},{seconds}\n", named(*point)));
            }
        }
        plot::write(&folder.join("times.csv"), text.as_bytes())?;
        let mut text = format!("{LIMITS}\n");
        for (turn, limit) in self.limits.iter().enumerate() {
            text.push_str(&format!("{},{turn},{limit}\n", self.threads));
        }
        plot::write(&folder.join("limits.csv"), text.as_bytes())?;
        let mut text = format!("{MEMORY}\n");
        for (horizon, StepMemory { forward, peak }) in &self.memory {
            text.push_str(&format!("{horizon},{forward},{peak}\n"));
        }
        plot::write(&folder.join("memory.csv"), text.as_bytes())
    }

    /// Reads back what the settings of `config` want.
    ///
    /// # Errors
    /// [`Error::Io`] without the files, [`Error::Checkpoint`] for rows that cannot be read or are
    /// missing.
    pub fn read(config: &Config, folder: &Path) -> Result<Self> {
        let file = folder.join("limits.csv");
        let rows = rows(&file, LIMITS, |[threads, _, gflops]: [&str; 3]| {
            Some((threads.parse().ok()?, positive(gflops)?))
        })?;
        let limits: Vec<f64> = rows.iter().map(|(_, gflops)| *gflops).collect();
        let threads = match rows.first() {
            Some((threads, _)) => *threads,
            None => return Err(Error::checkpoint(file, "has no rate of matrix products")),
        };
        Ok(Self { threads, limits, times: times(config, folder)?, memory: memory(config, folder)? })
    }
}

/// `VARIED,STEP,SIZE`: a point in its file.
fn named(point: Point) -> String {
    format!("{},{},{}", point.varied.name(), point.step.names().0, point.size)
}

fn times(config: &Config, folder: &Path) -> Result<Vec<(Point, Vec<f64>)>> {
    let file = folder.join("times.csv");
    let rows = rows(&file, TIMES, |[varied, step, size, _, seconds]: [&str; 5]| {
        Some((format!("{varied},{step},{size}"), positive(seconds)?))
    })?;
    let mut out = Vec::new();
    for point in points::all(config) {
        let name = named(point);
        let of_it = rows.iter().filter(|(row, _)| *row == name);
        let seconds: Vec<f64> = of_it.map(|(_, seconds)| *seconds).collect();
        if seconds.len() != config.turns {
            return Err(not_those(&file, config.turns, seconds.len(), &name));
        }
        out.push((point, seconds));
    }
    Ok(out)
}

fn memory(config: &Config, folder: &Path) -> Result<Vec<(usize, StepMemory)>> {
    let file = folder.join("memory.csv");
    let rows = rows(&file, MEMORY, |[horizon, forward, peak]: [&str; 3]| {
        let memory = StepMemory { forward: forward.parse().ok()?, peak: peak.parse().ok()? };
        Some((horizon.parse::<usize>().ok()?, memory))
    })?;
    let find = |horizon: &usize| {
        let found = rows.iter().find(|(row, _)| row == horizon).copied();
        found.ok_or_else(|| not_those(&file, 1, 0, &horizon.to_string()))
    };
    config.memory_horizons.iter().map(find).collect()
}

fn not_those(file: &Path, want: usize, got: usize, name: &str) -> Error {
    let problem = format!(
        "expected {want} rows of {name}, got {got}: the data were measured with other settings; \
         measure again without --redraw, or give those settings"
    );
    Error::checkpoint(file, problem)
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0)
}

/// The rows of a file with these columns.
fn rows<const N: usize, T>(
    file: &Path,
    head: &str,
    row: impl Fn([&str; N]) -> Option<T>,
) -> Result<Vec<T>> {
    let text = files::text(file, files::METRICS)?;
    let mut lines = text.lines();
    if lines.next() != Some(head) {
        return Err(Error::checkpoint(file, format!("expected the columns {head}")));
    }
    let one = |line: &str| row(line.split(',').collect::<Vec<_>>().try_into().ok()?);
    let bad = |line: &str| Error::checkpoint(file, format!("`{line}` is no row of {head}"));
    lines.map(|line| one(line).ok_or_else(|| bad(line))).collect()
}
