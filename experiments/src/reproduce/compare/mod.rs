//! Figures that compare learning curves: contenders by seeds, trained side by side, resumed, read
//! back, drawn and tabulated. A figure is a config that knows its plan, and what to draw of it.

mod data;
mod measure;
mod panel;
mod plan;
mod runs;
mod table;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

pub use measure::{held, random_return, reached};
pub use panel::{curves, seed_words};
pub use plan::{Contender, Plan, quoted, usual_steps};
pub use runs::{Results, Run};
pub use table::{Answer, held_table, ratio, seed_names, seed_table};

pub use crate::compare::{LEVEL, Markdown, ROUNDS, algorithm, environment, interval, last_mean};

use super::shared::{finish, layered, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::Figure;

/// A figure made of learning curves; the implementing struct is what can be set of it.
pub trait Comparison: Serialize + DeserializeOwned + Default {
    /// Its name on the command line and below `figures/data`.
    const NAME: &'static str;

    /// The name of its picture and table.
    fn file(&self) -> String {
        Self::NAME.to_owned()
    }

    /// The settings for this much work, before `key=value`.
    fn with_effort(effort: Effort) -> Self;

    /// The same with a folder of published curves, where the figure has use for them.
    #[must_use]
    fn with_reference(self, _folder: Option<&Path>) -> Self {
        self
    }

    /// Refuses what cannot be drawn, by key.
    ///
    /// # Errors
    /// [`hstep::Error::Config`] naming the key.
    fn validate(&self) -> hstep::Result<()>;

    /// Who is compared, on which seeds.
    fn plan(&self) -> Plan;

    /// The figures, each with a name of its own.
    ///
    /// # Errors
    /// For curves that cannot be averaged.
    fn figures(&self, results: &Results) -> hstep::Result<Vec<Figure>>;

    /// The tables in Markdown.
    ///
    /// # Errors
    /// For curves that cannot be summed up.
    fn tables(&self, results: &Results) -> hstep::Result<String>;
}

/// Trains what is missing, or reads the data of an earlier drawing; then draws and tabulates.
///
/// # Errors
/// For settings that are refused, a run that fails, a signal.
pub fn run<C: Comparison>(settings: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let config = configured::<C>(settings, effort)?.with_reference(job.reference);
    let plan = config.plan();
    let results = results(&plan, job)?;
    let figures = config.figures(&results)?;
    let seeds = plan.seeds.clone();
    let provenance = provenance(C::NAME, (&config, settings), seeds, effort, job)?;
    let mut files = vec![data::folder(plan.figure, job.folder)];
    for figure in figures {
        files.extend(figure.save(job.folder, &provenance)?);
    }
    finish(files, &config.file(), &config.tables(&results)?, job)
}

/// The settings of an effort with `key=value` laid over them.
///
/// # Errors
/// [`hstep::Error::Config`] naming the key.
pub fn configured<C: Comparison>(settings: &Table, effort: Effort) -> hstep::Result<C> {
    let config = layered(&C::with_effort(effort), settings)?;
    config.validate()?;
    config.plan().validate()?;
    Ok(config)
}

/// Every run of the plan: trained and kept beside the figure, or read back from there.
///
/// # Errors
/// For a run that fails or is missing, a signal.
pub fn results(plan: &Plan, job: &Job) -> anyhow::Result<Results> {
    if job.redraw {
        return Ok(data::read(plan, job.folder)?);
    }
    let results = runs::train_all(plan, job)?;
    data::keep(plan.figure, &results, job.folder)?;
    Ok(results)
}
