//! One page about many runs: curves, groups, where the time went, and every run with its state. It needs nothing beside
//! itself, and is written to a file (`hstep report --html`) or served while runs go (`hstep watch`).

mod data;
mod serve;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use serve::watch;

use crate::output::say;
use crate::plot;
use data::Page;

/// The page with its data in it. In JSON within a page nothing may end the element: `<` is written as an escape.
fn html(page: &Page) -> Result<String> {
    let data = serde_json::to_string(page)?.replace('<', "\\u003c");
    let whole = include_str!("page.html").replacen("/*STYLE*/", include_str!("page.css"), 1);
    // The data last: what they hold is not looked through.
    let whole = whole.replacen("/*SCRIPT*/", include_str!("page.js"), 1);
    Ok(whole.replacen("/*DATA*/", &data, 1))
}

/// Writes the page about the runs among and below `paths` to `out`.
pub fn write(paths: &[PathBuf], out: &Path) -> Result<()> {
    let page = Page::collect(paths, false);
    plot::write(out, html(&page)?.as_bytes())?;
    say!("{}: {} runs", out.display(), page.runs.len())?;
    Ok(())
}
