//! Line charts, described once and drawn as SVG and PNG, with the data behind them as CSV.
//!
//! Text in a PNG comes from a font inside the binary; nothing asks the system for fonts.

mod axis;
mod draw;
mod manifest;
mod marks;
mod paint;

use std::path::Path;

use hstep::{Error, Result};

pub use axis::{Axis, Scale, grouped};
pub use draw::save_pixels;
pub use manifest::{Provenance, commit};
pub use paint::{Anchor, letters, text_width};

/// A chart of one or more panels side by side, more than three in two lines.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without ending, for example `maac-fig3`; a folder may stand before it.
    pub name: String,
    /// One line above everything.
    pub title: String,
    /// A second line in smaller letters: what lines and bands are; left out when empty.
    pub caption: String,
    /// Width and height in CSS pixels; the PNG has twice as many.
    pub size: (u32, u32),
    /// The panels, left to right and then down.
    pub panels: Vec<Panel>,
}

/// One pair of axes with its lines; its legend stands above it, where no data are.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What the panel shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, the first on top.
    pub series: Vec<Series>,
    /// Short remarks on points.
    pub notes: Vec<Note>,
}

/// How the points of a series are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Joined by a line, the band as an area.
    Line,
    /// Markers only.
    Points,
    /// A marker each, the band as an upright bar.
    Whiskers,
    /// Upright bars from zero, the band as an interval at the end of each; those of all series of a
    /// panel share a unit of its axis.
    Bars,
    /// A line without markers.
    Rule,
    /// A thin pale line without markers and without a place in the legend.
    Thin,
    /// Squares of a matrix at whole numbers; the lower edge of the band is the share, in [0, 1], that
    /// is written in each and darkens it.
    Cells,
}

/// A line with an optional band around it, or markers.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend and the CSV.
    pub label: String,
    /// Which of the seven styles (colour, dash and marker together) it is drawn in.
    pub style: usize,
    /// A line, or markers.
    pub look: Look,
    /// Points `(x, y)` in order of `x`.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper edge at every point, or empty.
    pub band: Vec<(f64, f64)>,
}

/// A remark: a ring around a point, a short line, and words.
#[derive(Debug, Clone)]
pub struct Note {
    /// The point, in data units.
    pub at: (f64, f64),
    /// From the point to the middle of the words, in CSS pixels; downwards is positive.
    pub offset: (f64, f64),
    /// The words.
    pub text: String,
    /// The style whose colour the ring takes.
    pub style: usize,
}

impl Series {
    /// A line without a band.
    pub fn line(label: impl Into<String>, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), style, look: Look::Line, points, band: Vec::new() }
    }

    /// Markers without a line.
    pub fn points(label: impl Into<String>, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self { look: Look::Points, ..Self::line(label, style, points) }
    }

    /// Markers with an upright bar from low to high each: `(x, y, (low, high))`.
    pub fn whiskers(
        label: impl Into<String>,
        style: usize,
        points: &[(f64, f64, (f64, f64))],
    ) -> Self {
        let line = Self::line(label, style, points.iter().map(|p| (p.0, p.1)).collect());
        Self { look: Look::Whiskers, band: points.iter().map(|p| p.2).collect(), ..line }
    }

    /// Upright bars with an interval each: `(x, y, (low, high))`.
    pub fn bars(label: impl Into<String>, style: usize, points: &[(f64, f64, (f64, f64))]) -> Self {
        Self { look: Look::Bars, ..Self::whiskers(label, style, points) }
    }

    /// One of many lines of a style.
    pub fn thin(style: usize, points: Vec<(f64, f64)>) -> Self {
        Self { look: Look::Thin, ..Self::line("", style, points) }
    }

    /// Squares of a matrix: `(column, row, share)`.
    pub fn cells(style: usize, cells: &[(f64, f64, f64)]) -> Self {
        let line = Self::line("", style, cells.iter().map(|c| (c.0, c.1)).collect());
        Self { look: Look::Cells, band: cells.iter().map(|c| (c.2, c.2)).collect(), ..line }
    }

    /// The same line without markers.
    #[must_use]
    pub fn without_markers(self) -> Self {
        Self { look: Look::Rule, ..self }
    }

    /// The same line with a band from `low` to `high` at every point.
    #[must_use]
    pub fn with_band(self, band: Vec<(f64, f64)>) -> Self {
        Self { band, ..self }
    }
}

impl Figure {
    /// Writes `NAME.svg`, `NAME.png` and `data/NAME.csv` below `folder`, and the figure's entry in
    /// `manifest.json`. Returns the paths of the SVG, the PNG and the CSV.
    pub fn save(&self, folder: &Path, provenance: &Provenance) -> Result<Vec<std::path::PathBuf>> {
        let data = folder.join("data");
        let svg = folder.join(format!("{}.svg", self.name));
        let png = folder.join(format!("{}.png", self.name));
        let csv = data.join(format!("{}.csv", self.name));
        for file in [&svg, &csv] {
            let parent = file.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(Error::io("cannot create", parent))?;
        }
        write(&csv, self.csv().as_bytes())?;
        write(&svg, draw::svg(self)?.as_bytes())?;
        draw::png(self, &png)?;
        manifest::record(folder, &self.name, provenance)?;
        Ok(vec![svg, png, csv])
    }

    /// Every point drawn, one a row.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("panel,series,x,y,low,high\n");
        for panel in &self.panels {
            for series in &panel.series {
                for (i, (x, y)) in series.points.iter().enumerate() {
                    let band =
                        series.band.get(i).map_or(",".to_owned(), |b| format!("{},{}", b.0, b.1));
                    let (panel, label) = (quoted(&panel.title), quoted(&series.label));
                    out.push_str(&format!("{panel},{label},{x},{y},{band}\n"));
                }
            }
        }
        out
    }
}

/// A cell of a CSV file.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Writes a file so that a reader never meets half of it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = std::path::PathBuf::from(temporary);
    std::fs::write(&temporary, bytes).map_err(Error::io("cannot write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::io("cannot write", path))
}
