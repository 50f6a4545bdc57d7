//! `hstep verify` and `hstep repair`: whether run folders hold what they promise, and what can be done.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use hstep::Error;
use hstep::checkpoint::CheckpointDir;
use hstep::files;
use hstep::metrics::read_csv;
use hstep::train::{self, Keep, checkpoint_folder};
use toml::Table;

use crate::cli::{Repair, Verify};
use crate::output::say;
use crate::registry::Registry;
use crate::run_folder::{Marker, RunFolder};
use crate::settings::Settings;

pub fn verify(args: &Verify, registry: &Arc<Registry>) -> Result<()> {
    let mut damaged = 0;
    for run in &args.runs {
        let mut found = Found::default();
        if let Err(error) = found.look(run, registry) {
            found.problems.push(error.to_string());
        }
        let state = if found.problems.is_empty() { "whole" } else { "NOT WHOLE" };
        say!("{}: {state}", run.display())?;
        for line in found.whole.iter().chain(&found.problems) {
            say!("  {line}")?;
        }
        damaged += usize::from(!found.problems.is_empty());
    }
    if damaged > 0 {
        let of = args.runs.len();
        let problem = format!(
            "{damaged} of {of} not whole: restore what is named, or see what `hstep repair` can keep"
        );
        return Err(Error::checkpoint("run folders", problem).into());
    }
    Ok(())
}

/// What was found in a run folder.
#[derive(Default)]
struct Found {
    whole: Vec<String>,
    problems: Vec<String>,
}

impl Found {
    /// Notes what of a folder is as it was written; an error means that it is none, or cannot be read.
    fn look(&mut self, run: &Path, registry: &Arc<Registry>) -> hstep::Result<()> {
        let folder = RunFolder::open(run)?;
        self.note(folder.expect_unedited(), "settings: those that the run was started with");
        let settings = Settings::resolved(registry, folder.config()?)?;
        let (identity, metrics) = (settings.identity()?, run.join("metrics.csv"));
        let checkpoints = CheckpointDir::new(checkpoint_folder(run)).verify()?;
        for found in &checkpoints {
            let rows: Vec<String> =
                found.rows.iter().map(|(name, rows)| format!(", {rows} rows {name}")).collect();
            let name = format!("checkpoint of step {}", found.step);
            match &found.of {
                Some((of, _)) if *of != identity => self.problems.push(format!(
                    "{name}: belongs to other settings (identity {of}, those of config.toml are {identity})"
                )),
                _ if found.problems.is_empty() => self.whole.push(name.clone() + &rows.concat()),
                _ => {}
            }
            self.problems.extend(found.problems.iter().map(|problem| format!("{name}: {problem}")));
        }
        let newest = checkpoints.first();
        match newest.and_then(|found| found.of.as_ref()) {
            Some((_, seal)) => {
                let lines = seal.lines.len() / 8;
                let what =
                    format!("metrics.csv: {} rows as they were written", lines.saturating_sub(1));
                self.note(seal.check(&metrics).map(drop), &what);
            }
            None if newest.is_none()
                && metrics.exists()
                && !read_csv(&metrics)?.rows.is_empty() =>
            {
                self.problems.push("metrics.csv has rows, but there is no checkpoint".into());
            }
            None => {}
        }
        let (marker, steps) = (folder.marker(), settings.run.steps);
        let done = newest.map_or(0, |found| found.step);
        if marker == Some(Marker::Done) && done < steps {
            self.problems
                .push(format!("DONE, but its newest checkpoint is of step {done} of {steps}"));
        }
        Ok(())
    }

    fn note(&mut self, result: hstep::Result<()>, whole: &str) {
        match result {
            Ok(()) => self.whole.push(whole.to_owned()),
            Err(error) => self.problems.push(error.to_string()),
        }
    }
}

/// Restores what can be restored, and says what is lost.
pub fn repair(args: &Repair, registry: &Arc<Registry>) -> Result<()> {
    files::check_folder(&args.run)?;
    let fit = |folder: RunFolder| {
        folder.expect_unedited()?;
        Settings::resolved(registry, folder.config()?)
    };
    let settings = RunFolder::open(&args.run).and_then(fit).err();
    if let Some(problem) = &settings
        && !restore_settings(&args.run, registry)?
    {
        return Err(Error::checkpoint(args.run.join("config.toml"), problem.to_string()).into());
    }
    let folder = RunFolder::open(&args.run)?;
    let repaired = train::repair(folder.path(), Keep::Intact)?;
    say!("step        {}", repaired.step)?;
    if let Some(problem) = &settings {
        say!("restored    config.toml, as meta.json has it ({problem})")?;
    }
    for kept in &repaired.kept {
        say!("kept        {kept}")?;
    }
    for lost in &repaired.lost {
        say!("lost        {lost}")?;
    }
    if repaired.lost.is_empty() && settings.is_none() {
        say!("nothing was damaged, nothing was changed")?;
    }
    Ok(())
}

/// Writes `config.toml` anew by `meta.json`, if the checkpoints were written under those settings, and not under those
/// of `config.toml`: then it is `meta.json` that is damaged.
fn restore_settings(run: &Path, registry: &Arc<Registry>) -> hstep::Result<bool> {
    let Some(started) = RunFolder::started_with(run) else { return Ok(false) };
    let checkpoints = CheckpointDir::new(checkpoint_folder(run)).verify()?;
    let Some((theirs, _)) = checkpoints.iter().find_map(|found| found.of.as_ref()) else {
        return Ok(false);
    };
    let fit = |table: Table| {
        let identity = Settings::resolved(registry, table).and_then(|settings| settings.identity());
        identity.is_ok_and(|identity| identity == *theirs)
    };
    let now = RunFolder::open(run).and_then(|folder| folder.config());
    let damaged = fit(started.clone()) && !now.is_ok_and(fit);
    if damaged {
        RunFolder::rewrite_config(run, &started)?;
    }
    Ok(damaged)
}
