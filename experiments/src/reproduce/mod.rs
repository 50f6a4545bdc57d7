//! The figures that can be drawn again, by name.

mod maac_fig3;
mod native;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Interrupted;

use hstep::suggest::nearest;
use hstep::{Error, Result};
use toml::Table;

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Seconds: fewer seeds, to see that it works.
    Quick,
    /// What the README shows.
    Usual,
    /// Everything, for the record.
    Full,
}

/// What a reproduction hands back.
#[derive(Debug)]
pub struct Outcome {
    /// Lines for the reader: numbers beside the expected ones.
    pub summary: Vec<String>,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Where a reproduction writes, and how it hears that it should stop.
pub struct Job<'a> {
    /// The folder of the figures.
    pub folder: &'a Path,
    /// Set by the first SIGINT or SIGTERM.
    pub stop: &'a AtomicBool,
}

impl Job<'_> {
    /// Logs a finished piece of work, and ends the job when it was asked to stop.
    pub fn step(&self, done: &str) -> Result<(), Interrupted> {
        tracing::debug!("{done}");
        if self.stop.load(Ordering::Relaxed) {
            return Err(Interrupted("nothing was written; run the same command again".to_owned()));
        }
        Ok(())
    }
}

/// One figure or table.
pub struct Reproduction {
    /// The name on the command line.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Draws it, from `key=value` overrides.
    pub run: fn(&Table, Effort, &Job) -> anyhow::Result<Outcome>,
}

/// Every figure.
pub const ALL: &[Reproduction] = &[
    Reproduction {
        name: "maac-fig3",
        about: "MAAC, Figure 3: error of the policy gradient against the horizon",
        run: maac_fig3::run,
    },
    Reproduction {
        name: "native-learning",
        about: "SAC, MBPO and MAAC on pendulum and cart-pole: curves, tables (half an hour)",
        run: native::run,
    },
];

/// Finds a figure by name.
pub fn find(name: &str) -> Result<&'static Reproduction> {
    ALL.iter().find(|r| r.name == name).ok_or_else(|| {
        let names = ALL.iter().map(|r| r.name);
        Error::config(
            "figure",
            match nearest(name, names.clone()) {
                Some(near) => format!("there is no figure `{name}`; did you mean `{near}`?"),
                None => format!(
                    "there is no figure `{name}`; there are: {}",
                    names.collect::<Vec<_>>().join(", ")
                ),
            },
        )
    })
}
