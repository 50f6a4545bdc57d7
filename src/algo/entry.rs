//! A row: its table, its presets, and what becomes of them.

use serde::Deserialize;
use toml::{Table, Value};

use super::compose;
use crate::agent::{Builder, Hybrid};
use crate::config;
use crate::error::{Error, Result};
use crate::kinds::Kinds;

/// An algorithm as the command line sees it: a table, and presets that are laid over it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The bare name, for example `maac`.
    pub name: &'static str,
    /// Its table, each line with its tag.
    pub text: &'static str,
    /// The suffixes of its presets (`paper` is the row itself), and what each lays over the row.
    pub presets: &'static [(&'static str, &'static str)],
}

/// What a row says of itself in its section `row`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// As the table of algorithms prints it.
    pub title: String,
    /// Authors, year, title.
    pub citation: String,
    /// Settings that its older configurations do not have.
    #[serde(default)]
    later: Vec<String>,
}

/// Settings that no older configuration has.
const LATER: &str = "actor.kind critic.kind value.kind model.kind planner.kind behave.kind \
                     imagine.kind improve.kind";

impl Entry {
    /// The names of its presets: `maac-paper`, `maac-code`, ...
    pub fn preset_names(&self) -> impl Iterator<Item = String> + use<> {
        let name = self.name;
        self.presets.iter().map(move |(suffix, _)| format!("{name}-{suffix}"))
    }

    /// The settings of a preset (`None` is the paper's), before any override.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown preset.
    pub fn preset(&self, suffix: Option<&str>, kinds: &Kinds) -> Result<Table> {
        let suffix = suffix.unwrap_or("paper");
        let Some((_, text)) = self.presets.iter().find(|(name, _)| *name == suffix) else {
            let names: Vec<_> = self.preset_names().collect();
            let problem = format!("unknown preset `{suffix}`; there are {}", names.join(", "));
            return Err(Error::config("algo", problem));
        };
        let (_, mut table) = self.row()?;
        config::merge(&mut table, self.parsed(text)?);
        self.resolve(&table, kinds)
    }

    /// What the row says of itself, and its settings.
    fn row(&self) -> Result<(About, Table)> {
        let mut table = self.parsed(self.text)?;
        let about = table.remove("row").unwrap_or(Value::Boolean(false)).try_into();
        let wrong = |e: toml::de::Error| Error::config(self.name, format!("[row]: {e}"));
        Ok((about.map_err(wrong)?, table))
    }

    fn parsed(&self, text: &str) -> Result<Table> {
        text.parse().map_err(|e| Error::config(self.name, format!("this is no TOML: {e}")))
    }

    /// Its title and citation.
    ///
    /// # Errors
    /// [`Error::Config`] for a row that says nothing of itself.
    pub fn about(&self) -> Result<About> {
        Ok(self.row()?.0)
    }

    /// The composition of a table.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Composition`].
    pub fn build(&self, table: &Table) -> Result<Hybrid> {
        self.builder(table, &Kinds::stock())?.build()
    }

    /// The builder of a table, for a slot to be swapped in Rust; `kinds` is what its words can mean.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit.
    pub fn builder(&self, table: &Table, kinds: &Kinds) -> Result<Builder> {
        let About { title, citation, .. } = self.about()?;
        compose::builder(&title, &citation, kinds, &self.completed(table)?)
    }

    /// The table with every default written out, once it is known to be valid.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn resolve(&self, table: &Table, kinds: &Kinds) -> Result<Table> {
        compose::resolve(kinds, &self.completed(table)?)
    }

    /// What an older configuration lacks: the words that choose, and tables that were added later.
    fn completed(&self, table: &Table) -> Result<Table> {
        let (mut all, (About { later, .. }, row)) = (table.clone(), self.row()?);
        for (name, own) in row.iter().filter(|(_, own)| own.is_table()) {
            match (all.get_mut(name), own.get("kind")) {
                (None, _) if later.contains(name) => drop(all.insert(name.clone(), own.clone())),
                (Some(Value::Table(there)), Some(kind)) => {
                    there.entry("kind").or_insert_with(|| kind.clone());
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// What of a resolved table tells one run from another: without the settings that were added
    /// later and mean what was before, so that the folders of older runs keep their names.
    ///
    /// # Errors
    /// As [`Entry::preset`].
    pub fn identity(&self, resolved: &Table, kinds: &Kinds) -> Result<Table> {
        let usual = config::flat(&self.preset(None, kinds)?, &[]);
        let of_row = self.about()?.later;
        let later: Vec<&str> = of_row.iter().map(String::as_str).chain(LATER.split(' ')).collect();
        let before = config::flat(resolved, &later);
        let mut own = Table::new();
        for (key, value) in config::flat(resolved, &[]) {
            if before.contains_key(&key) || usual.get(&key) != Some(&value) {
                config::insert(&mut own, &key, value)?;
            }
        }
        // A kind without settings: without the word nothing would say that the slot is filled.
        for (name, slot) in resolved.iter().filter(|(name, _)| !of_row.contains(name)) {
            if let Some(kind) = slot.get("kind").filter(|_| !own.contains_key(name)) {
                config::insert(&mut own, &format!("{name}.kind"), kind.clone())?;
            }
        }
        Ok(own)
    }
}
