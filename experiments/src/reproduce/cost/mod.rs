//! What a step costs against the sizes of networks, batches and rollouts: its time beside what the
//! matrix products alone would take, and the memory that a backward pass through the model needs.
//!
//! The times are of the workloads of `hstep bench`, at other sizes.

mod config;
mod data;
mod figures;
mod points;

use std::time::Instant;

use hstep::pool;
use toml::Table;

use self::config::Config;
use self::data::Measured;
use super::shared::{finish, layered, provenance};
use super::{Effort, Job, Outcome};
use crate::bench::{limit, memory, repeat, work};

const NAME: &str = "cost";

/// Matrix products are measured for so many times as long as a point: there are four shapes.
const LIMIT_SHARE: f64 = 4.0;

/// Measures, or reads the data of an earlier measurement; then draws and tabulates.
///
/// # Errors
/// For settings that are refused, data that are missing, a signal.
pub fn run(settings: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let config: Config = layered(&Config::at(effort), settings)?;
    config.check()?;
    let folder = job.folder.join("data").join(NAME);
    let measured = if job.redraw {
        Measured::read(&config, &folder)?
    } else {
        let measured = measure(&config, job)?;
        measured.write(&folder)?;
        measured
    };
    let provenance = provenance(NAME, (&config, settings), Vec::new(), effort, job)?;
    let mut files = vec![folder];
    for figure in [figures::time(&measured), figures::memory(&measured)] {
        files.extend(figure.save(job.folder, &provenance)?);
    }
    finish(files, NAME, &figures::tables(&measured), job)
}

/// Every point in turn, and all of that again, so that a disturbance meets all points alike.
fn measure(config: &Config, job: &Job) -> anyhow::Result<Measured> {
    let threads = pool::threads();
    let mut memories = Vec::new();
    for &horizon in &config.memory_horizons {
        let memory = memory::of_a_step(horizon);
        // The signal that stops this process may have ended the other one.
        job.step(&format!("{NAME}: memory of {horizon} model steps"))?;
        memories.push((horizon, memory?));
    }
    let mut works = Vec::new();
    for point in points::all(config) {
        let (workload, sizes) = point.work();
        let mut work = work::work(workload, &sizes)?;
        repeat(&mut work, 0.0, 1)?;
        works.push((point, work, Vec::new()));
        job.step(&format!("{NAME}: {point:?} made"))?;
    }
    let mut limits = Vec::new();
    for turn in 0..config.turns {
        limits.push(limit::gflops(threads, LIMIT_SHARE * config.seconds));
        for (point, work, seconds) in &mut works {
            let start = Instant::now();
            let calls = repeat(work, config.seconds, 1)?;
            seconds.push(start.elapsed().as_secs_f64() / calls as f64);
            job.step(&format!("{NAME}: turn {turn}, {point:?}"))?;
        }
        tracing::info!("{NAME}: turn {} of {} done", turn + 1, config.turns);
    }
    let times = works.into_iter().map(|(point, _, seconds)| (point, seconds)).collect();
    Ok(Measured { threads, limits, times, memory: memories })
}
