//! What most reproductions begin and end with.

use std::path::PathBuf;

use hstep::{Error, Result, config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::{Effort, Job, Outcome, command};
use crate::plot::{self, Provenance};

/// The settings `usual` with `key=value` laid over them.
///
/// # Errors
/// [`Error::Config`] naming the key.
pub fn layered<C>(usual: &C, settings: &Table) -> Result<C>
where
    C: Serialize + DeserializeOwned + Default,
{
    let mut table = config::to_table(usual)?;
    config::merge(&mut table, settings.clone());
    config::parse(&table)
}

/// Refuses `--redraw` for what keeps no data because it takes only `this_long`.
///
/// # Errors
/// [`Error::Config`].
pub fn never_redrawn(figure: &str, this_long: &str, job: &Job) -> Result<()> {
    if job.redraw {
        let problem = format!("{figure} is computed in {this_long}; draw it without --redraw");
        return Err(Error::config("figure", problem));
    }
    Ok(())
}

/// What made a figure of `config`, which came of `settings`.
///
/// # Errors
/// When the settings cannot be TOML.
pub fn provenance(
    figure: &str,
    (config, settings): (&impl Serialize, &Table),
    seeds: Vec<u64>,
    effort: Effort,
    job: &Job,
) -> Result<Provenance> {
    Ok(Provenance {
        command: command(figure, settings, effort, job),
        // How many runs went on at a time changes nothing.
        config_hash: config::hash8(&config::to_table(config)?, &["jobs"]),
        commit: plot::commit(),
        seeds,
    })
}

/// Writes the tables beside the data and hands everything back.
///
/// # Errors
/// [`Error::Io`].
pub fn finish(
    mut files: Vec<PathBuf>,
    figure: &str,
    tables: &str,
    job: &Job,
) -> anyhow::Result<Outcome> {
    let path = job.folder.join("data").join(format!("{figure}.md"));
    plot::write(&path, tables.as_bytes())?;
    files.push(path);
    Ok(Outcome { summary: tables.lines().map(String::from).collect(), files })
}
