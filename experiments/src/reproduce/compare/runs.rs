//! The runs behind a figure: made once, resumed where they stopped, several at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use hstep::Error;
use hstep::metrics::{Table, read_csv};

use super::plan::{Contender, Plan};
use crate::commands::train;
use crate::compare::Points;
use crate::exit::Interrupted;
use crate::reproduce::Job;
use crate::run_folder::{self, Marker, RunFolder};
use crate::settings::Settings;

/// One finished run.
pub struct Run {
    /// Whose run it is.
    pub contender: Contender,
    /// Its seed.
    pub seed: u64,
    /// The folder its metrics were read from.
    pub folder: PathBuf,
    metrics: Table,
}

impl Run {
    /// Reads what a run measured.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it ended before the contender's steps.
    pub fn read(contender: Contender, seed: u64, folder: PathBuf) -> hstep::Result<Self> {
        let metrics = read_csv(&folder.join("metrics.csv"))?;
        let run = Self { contender, seed, folder, metrics };
        let done = last_step(&run.metrics)?;
        if done < run.contender.steps {
            let problem = format!("ends at step {done}; expected {}", run.contender.steps);
            return Err(Error::checkpoint(&run.folder, problem));
        }
        Ok(run)
    }

    /// `column` by environment step, up to the contender's steps; rows without it are left out.
    ///
    /// # Errors
    /// [`Error::Config`] for a column that is not there, [`Error::Checkpoint`] when it has fewer
    /// than two values.
    pub fn curve(&self, column: &str) -> hstep::Result<Points> {
        let (steps, values) = (self.metrics.column("env_steps")?, self.metrics.column(column)?);
        let both = steps.into_iter().zip(values).filter_map(|(x, y)| Some((x?, y?)));
        let points: Points = both.filter(|p| p.0 <= self.contender.steps as f64).collect();
        if points.len() < 2 {
            let problem = format!(
                "`{column}` has fewer than two values within {} steps: train longer or evaluate \
                 more often",
                self.contender.steps
            );
            return Err(Error::checkpoint(&self.folder, problem));
        }
        Ok(points)
    }
}

/// The runs of a plan, contender by contender, seeds in the plan's order.
pub struct Results(pub Vec<Run>);

impl Results {
    /// The runs of a contender, one a seed.
    pub fn of(&self, contender: &Contender) -> Vec<&Run> {
        self.0.iter().filter(|r| r.contender == *contender).collect()
    }

    /// The curves of a contender, one a seed.
    ///
    /// # Errors
    /// As [`Run::curve`].
    pub fn curves(&self, contender: &Contender, column: &str) -> hstep::Result<Vec<Points>> {
        self.of(contender).into_iter().map(|r| r.curve(column)).collect()
    }

    /// A number of each curve of a contender, one a seed.
    ///
    /// # Errors
    /// As [`Run::curve`], and those of `measure`.
    pub fn each(
        &self,
        contender: &Contender,
        column: &str,
        measure: impl Fn(&[(f64, f64)]) -> hstep::Result<f64>,
    ) -> hstep::Result<Vec<f64>> {
        self.curves(contender, column)?.iter().map(|c| measure(c)).collect()
    }

    /// The same of several contenders, by label.
    ///
    /// # Errors
    /// As [`Results::each`].
    pub fn rows(
        &self,
        contenders: &[Contender],
        column: &str,
        measure: impl Fn(&[(f64, f64)]) -> hstep::Result<f64>,
    ) -> hstep::Result<Vec<(String, Vec<f64>)>> {
        let row = |c: &Contender| Ok((c.label.clone(), self.each(c, column, &measure)?));
        contenders.iter().map(row).collect()
    }
}

/// Every run of every contender and seed. Those that are done are read back.
pub fn train_all(plan: &Plan, job: &Job) -> anyhow::Result<Results> {
    let root = run_folder::root(None);
    let mut all = Vec::new();
    for contender in &plan.contenders {
        for &seed in &plan.seeds {
            all.push((contender, seed, plan.settings(contender, seed)?));
        }
    }
    train_each(&distinct(all.iter().map(|(_, _, s)| s))?, plan, &root, job)?;
    let read = |(contender, seed, settings): (&Contender, u64, Settings)| {
        let folder = crate::runs::place(&settings, &root, plan.figure)?;
        Ok(Run::read(contender.clone(), seed, folder)?)
    };
    all.into_iter().map(read).collect::<anyhow::Result<_>>().map(Results)
}

/// One settings a run folder, the longest: contenders may share runs.
fn distinct<'a>(all: impl Iterator<Item = &'a Settings>) -> hstep::Result<Vec<Settings>> {
    let mut out: Vec<(String, Settings)> = Vec::new();
    for settings in all {
        let identity = settings.identity()?;
        match out.iter_mut().find(|(known, _)| *known == identity) {
            Some((_, known)) if known.run.steps < settings.run.steps => *known = settings.clone(),
            Some(_) => {}
            None => out.push((identity, settings.clone())),
        }
    }
    Ok(out.into_iter().map(|(_, settings)| settings).collect())
}

fn train_each(queue: &[Settings], plan: &Plan, root: &Path, job: &Job) -> anyhow::Result<()> {
    let next = Mutex::new(0_usize);
    let failed = Mutex::new(None);
    let take = || {
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        queue.get(*next - 1)
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                while let Some(settings) = take() {
                    if job.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = one(settings, plan.figure, root, job) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if job.stop.load(Ordering::Relaxed) {
        let how = "finished runs are kept; run the same command again";
        return Err(Interrupted(how.into()).into());
    }
    Ok(())
}

fn one(settings: &Settings, figure: &str, root: &Path, job: &Job) -> anyhow::Result<()> {
    let path = crate::runs::place(settings, root, figure)?;
    if path.join("metrics.csv").exists() {
        let folder = RunFolder::open(&path)?;
        let (done, wanted) = (steps_done(&folder)?, settings.run.steps);
        // A run that was to go further need not have come to its own end.
        if done > wanted || (done == wanted && folder.marker() == Some(Marker::Done)) {
            return Ok(());
        }
    }
    train::start(settings, root, figure, job.stop, true).map(drop)
}

fn steps_done(folder: &RunFolder) -> hstep::Result<u64> {
    last_step(&read_csv(&folder.path().join("metrics.csv"))?)
}

fn last_step(metrics: &Table) -> hstep::Result<u64> {
    Ok(metrics.column("env_steps")?.into_iter().flatten().last().unwrap_or(0.0) as u64)
}
