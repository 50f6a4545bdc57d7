//! The algorithms: one file a row of the table, each a composition of parts and four uses.
//!
//! The bare name of an algorithm is its paper's reading; `-paper` and `-code` name the presets.
//! Presets are TOML laid over the defaults, so a config file or `key=value` can change any of it.

mod demorl;
mod dhmbpo;
mod maac;
mod mbpo;
mod mopac;
mod mppi_mbrl;
mod pets;
mod reinforce;
mod sac;
mod steve;

pub use demorl::DemorlConfig;
pub use dhmbpo::{DhmbpoConfig, PairConfig, RolloutConfig};
pub use maac::MaacConfig;
pub use mbpo::MbpoConfig;
pub use mopac::MopacConfig;
pub use mppi_mbrl::MppiMbrlConfig;
pub use pets::PetsConfig;
pub use reinforce::ReinforceConfig;
pub use sac::SacConfig;
pub use steve::{SteveSacConfig, SteveTarget};

use serde::{Serialize, de::DeserializeOwned};
use toml::Table;

use crate::agent::Hybrid;
use crate::config;
use crate::error::{Error, Result};

/// An algorithm: a config with the paper's defaults, and how it becomes a composition.
pub trait Algorithm: Serialize + DeserializeOwned + Default {
    /// The bare name, for example `maac`.
    const NAME: &'static str;
    /// Authors, year, title.
    const CITATION: &'static str;
    /// Presets by suffix, TOML laid over the defaults. `paper` is always there, empty if need be.
    const PRESETS: &'static [(&'static str, &'static str)];

    /// The composition.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Composition`] for settings that do not fit.
    fn compose(&self) -> Result<Hybrid>;
}

/// An algorithm as the command line sees it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The bare name.
    pub name: &'static str,
    /// Authors, year, title.
    pub citation: &'static str,
    presets: &'static [(&'static str, &'static str)],
    defaults: fn() -> Result<Table>,
    build: fn(&Table) -> Result<Hybrid>,
    resolve: fn(&Table) -> Result<Table>,
}

impl Entry {
    /// The entry of an algorithm; a person's own algorithm makes one the same way.
    #[must_use]
    pub fn of<A: Algorithm>() -> Self {
        Self {
            name: A::NAME,
            citation: A::CITATION,
            presets: A::PRESETS,
            defaults: || config::to_table(&A::default()),
            build: |table| config::parse::<A>(table)?.compose(),
            resolve: |table| config::to_table(&config::parse::<A>(table)?),
        }
    }

    /// The names of its presets: `maac-paper`, `maac-code`, ...
    pub fn preset_names(&self) -> impl Iterator<Item = String> + use<> {
        let name = self.name;
        self.presets.iter().map(move |(suffix, _)| format!("{name}-{suffix}"))
    }

    /// The settings of a preset (`None` is the paper's), before any override.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown preset.
    pub fn preset(&self, suffix: Option<&str>) -> Result<Table> {
        let suffix = suffix.unwrap_or("paper");
        let found = self.presets.iter().find(|(name, _)| *name == suffix);
        let Some((_, text)) = found else {
            let names: Vec<_> = self.preset_names().collect();
            let problem = format!("unknown preset `{suffix}`; there are {}", names.join(", "));
            return Err(Error::config("algo", problem));
        };
        let mut table = (self.defaults)()?;
        let layer = text.parse::<Table>().map_err(|e| Error::config("algo", e.to_string()))?;
        config::merge(&mut table, layer);
        Ok(table)
    }

    /// The composition of a resolved table.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Composition`].
    pub fn build(&self, table: &Table) -> Result<Hybrid> {
        (self.build)(table)
    }

    /// The table with every default written out, once it is known to be valid.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn resolve(&self, table: &Table) -> Result<Table> {
        (self.resolve)(table)
    }
}

/// Every algorithm, in the order of the table.
#[must_use]
pub fn registry() -> Vec<Entry> {
    vec![
        Entry::of::<SacConfig>(),
        Entry::of::<ReinforceConfig>(),
        Entry::of::<MbpoConfig>(),
        Entry::of::<SteveSacConfig>(),
        Entry::of::<MaacConfig>(),
        Entry::of::<MopacConfig>(),
        Entry::of::<DemorlConfig>(),
        Entry::of::<DhmbpoConfig>(),
        Entry::of::<PetsConfig>(),
        Entry::of::<MppiMbrlConfig>(),
    ]
}

/// Finds `maac`, `maac-code`, ...: the entry and the preset's suffix.
///
/// # Errors
/// [`Error::Config`] naming the nearest algorithm or preset.
pub fn find(name: &str) -> Result<(Entry, Option<String>)> {
    let entries = registry();
    for entry in &entries {
        if name == entry.name {
            return Ok((*entry, None));
        }
        if let Some(suffix) = name.strip_prefix(entry.name).and_then(|s| s.strip_prefix('-')) {
            entry.preset(Some(suffix))?;
            return Ok((*entry, Some(suffix.to_string())));
        }
    }
    let names: Vec<String> = entries
        .iter()
        .flat_map(|e| std::iter::once(e.name.to_string()).chain(e.preset_names()))
        .collect();
    let nearest = crate::suggest::nearest(name, names.iter().map(String::as_str));
    let hint = nearest.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let known: Vec<_> = entries.iter().map(|e| e.name).collect();
    let problem = format!("unknown algorithm `{name}`{hint} (known: {})", known.join(", "));
    Err(Error::config("algo", problem))
}

/// The table of the four uses, one row a composition, columns padded.
#[must_use]
pub fn table(rows: &[[String; 6]]) -> String {
    let head = ["algorithm", "dynamics", "behave", "imagine", "improve", "target"];
    let head = head.map(String::from);
    let all: Vec<&[String; 6]> = std::iter::once(&head).chain(rows).collect();
    let width = |c: usize| all.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for (i, row) in all.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if i == 0 {
            let rules: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
            text.push_str(&rules.join("  "));
            text.push('\n');
        }
    }
    text
}
