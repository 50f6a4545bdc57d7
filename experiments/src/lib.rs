//! The command line of hstep as a library: [`Registry::main`] runs every command, on the stock
//! environments, algorithms and kinds and on a person's own.

// The code of the page is compiled with the doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/own-parts.md")]
struct OwnParts;

mod algos;
mod bench;
mod check;
mod cli;
mod commands;
mod compare;
mod counting;
pub mod exit;
mod export;
mod memory;
mod output;
mod page;
mod plot;
mod presets;
mod progress;
mod registry;
mod render;
mod reproduce;
mod run_folder;
pub mod runs;
mod seeds;
mod settings;
mod signals;
mod start;
mod sweep;
mod test_plan;

pub use check::measure_given;
pub use commands::train::Bar;
pub use compare::{Answer, Question, compare};
pub use counting::Counting;
pub use registry::{IN_PYTHON, Registry};
pub use run_folder::{RunFolder, root};
pub use settings::Settings;
pub use test_plan::planner_named;
