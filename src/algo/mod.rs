//! The algorithms: one table a row, each a composition of parts and four uses.
//!
//! `NAME.toml` holds what differs from the neutral defaults, each line with its tag: `paper`, `code` or
//! `ours`. The bare name is the paper's reading; `-paper` and `-code` are presets laid over it. A word
//! `kind` swaps what a slot holds ([`crate::kinds`]).

mod compose;
mod entry;

pub use crate::agent::table;
pub use entry::{About, Entry};

use crate::config;
use crate::error::{Error, Result};
use crate::kinds::Kinds;

/// The row of a name, with the presets besides the paper's, which is the row itself.
macro_rules! row {
    ($name:literal, $($preset:expr),*) => {
        Entry {
            name: $name,
            text: include_str!(concat!($name, ".toml")),
            presets: &[("paper", ""), $($preset),*],
        }
    };
}

/// Files of presets, one after the other.
macro_rules! text {
    ($($file:literal),*) => { concat!($(include_str!(concat!("presets/", $file, ".toml"))),*) };
}

const ROWS: [Entry; 16] = [
    row!("sac", ("code", "")),
    row!("reinforce",),
    row!("mbpo", ("code", text!("mbpo-code")), ("cured", text!("branched-cured", "cured"))),
    row!("steve", ("code", text!("steve-code"))),
    row!("maac", ("code", text!("maac-code")), ("cured", text!("branched-cured", "cured"))),
    row!("mopac", ("code", text!("mopac-code")), ("cured", text!("planned-cured", "cured"))),
    row!(
        "demorl",
        ("code", text!("demorl-code")),
        ("cured", text!("planned-cured", "cured")),
        ("literal", "planner.weights = \"literal\"")
    ),
    row!("dhmbpo",),
    row!("pets", ("code", "model.max_epochs = 5")),
    row!("mppi-mbrl", ("code", text!("mppi-mbrl-code"))),
    row!("mppi",),
    row!("soft-q-dr",),
    row!("soft-q",),
    row!("mpq-dr",),
    row!("mpq",),
    row!("polo",),
];

/// Every algorithm, in the order of the table.
#[must_use]
pub fn registry() -> Vec<Entry> {
    ROWS.to_vec()
}

/// Finds `maac`, `maac-code`, ...: the entry and the preset's suffix.
///
/// # Errors
/// [`Error::Config`] naming the nearest algorithm or preset.
pub fn find(name: &str) -> Result<(Entry, Option<String>)> {
    for entry in &ROWS {
        if name == entry.name {
            return Ok((*entry, None));
        }
        if let Some(suffix) = name.strip_prefix(entry.name).and_then(|s| s.strip_prefix('-')) {
            entry.preset(Some(suffix), &Kinds::stock())?;
            return Ok((*entry, Some(suffix.to_string())));
        }
    }
    let names = |e: &Entry| std::iter::once(e.name.to_string()).chain(e.preset_names());
    let names: Vec<String> = ROWS.iter().flat_map(names).collect();
    let hint = config::nearest(name, names.iter().map(String::as_str));
    let hint = hint.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let known = ROWS.map(|e| e.name).join(", ");
    Err(Error::config("algo", format!("unknown algorithm `{name}`{hint} (known: {known})")))
}
