//! `metrics.csv` and `timing.csv`: fixed columns, one line a row, whole lines only.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Row;
use super::seal::{Seal, Sealing};
use crate::error::{Error, Result};
use crate::fault;
use crate::files;

/// Writes the two CSV files of a run folder.
#[derive(Debug)]
pub struct MetricsWriter {
    metrics: Csv,
    sealing: Sealing,
    timing: Csv,
}

impl MetricsWriter {
    /// Starts both files anew in the folder `dir`, which must exist: `metrics.csv` with
    /// `columns`, `timing.csv` with `timing_columns`.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written; [`Error::Config`] when a column's name is
    /// empty, occurs twice, or has a comma, a quote or a line break in it.
    pub fn create(dir: &Path, columns: &[&str], timing_columns: &[&str]) -> Result<Self> {
        Ok(Self {
            metrics: Csv::create(dir.join("metrics.csv"), columns)?,
            sealing: Sealing::of(header(columns)?.as_bytes()),
            timing: Csv::create(dir.join("timing.csv"), timing_columns)?,
        })
    }

    /// Goes on after an interruption: `metrics.csv` is cut back to what it was at the checkpoint
    /// that was loaded. `timing.csv` is only added to: the times of steps that are done twice stand
    /// there twice.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when `metrics.csv` is not as `seal` says (see [`Seal::check`]), or has
    /// other columns; else as [`MetricsWriter::create`].
    pub fn resume(
        dir: &Path,
        columns: &[&str],
        timing_columns: &[&str],
        seal: &Seal,
    ) -> Result<Self> {
        let (metrics, timing) = (dir.join("metrics.csv"), dir.join("timing.csv"));
        let sealing = Sealing::of(&seal.check(&metrics)?);
        Ok(Self {
            metrics: Csv::resume(metrics, columns, seal.bytes)?,
            sealing,
            timing: match Csv::resume(timing.clone(), timing_columns, whole_lines(&timing)?) {
                // Times are worth no refusal: a damaged file is started anew.
                Err(Error::Checkpoint { .. }) => Csv::create(timing, timing_columns)?,
                other => other?,
            },
        })
    }

    /// Adds a row to `metrics.csv`; columns that `row` does not name stay empty.
    ///
    /// # Errors
    /// [`Error::Config`] when `row` names a column that does not exist; [`Error::Io`] when the
    /// disk is full.
    pub fn write(&mut self, row: &Row) -> Result<()> {
        let line = self.metrics.write(row, Some("metrics-half-row"))?;
        self.sealing.add(line.as_bytes());
        Ok(())
    }

    /// Adds a row to `timing.csv`.
    ///
    /// # Errors
    /// As [`MetricsWriter::write`].
    pub fn write_timing(&mut self, row: &Row) -> Result<()> {
        self.timing.write(row, None).map(drop)
    }

    /// Puts `metrics.csv` on the disk and returns what was written to it, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn sync(&mut self) -> Result<Seal> {
        self.metrics.sync()?;
        Ok(self.sealing.seal())
    }
}

#[derive(Debug)]
struct Csv {
    path: PathBuf,
    file: File,
    columns: Vec<String>,
}

impl Csv {
    fn create(path: PathBuf, columns: &[&str]) -> Result<Self> {
        let header = header(columns)?;
        let mut file = File::create(&path).map_err(Error::io("cannot create", &path))?;
        file.write_all(header.as_bytes()).map_err(Error::io("cannot write", &path))?;
        Ok(Self { path, file, columns: owned(columns) })
    }

    fn resume(path: PathBuf, columns: &[&str], len: u64) -> Result<Self> {
        let header = header(columns)?;
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::checkpoint(path, "is missing: the run cannot be resumed"));
            }
            Err(error) => return Err(Error::io("cannot open", path)(error)),
        };
        check_end(&path, &mut file, &header, len)?;
        let cut = file.set_len(len).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(Error::io("cannot shorten", &path))?;
        Ok(Self { path, file, columns: owned(columns) })
    }

    /// Writes a row; its line.
    fn write(&mut self, row: &Row, half: Option<&str>) -> Result<String> {
        if let Some((name, _)) =
            row.iter().find(|(name, _)| !self.columns.iter().any(|c| c == name))
        {
            let known = self.columns.join(", ");
            let problem = format!("is no column of {}; there are {known}", self.path.display());
            return Err(Error::config(name, problem));
        }
        let cells: Vec<String> =
            self.columns.iter().map(|c| row.get(c).map(number).unwrap_or_default()).collect();
        let line = cells.join(",") + "\n";
        let (first, second) = line.as_bytes().split_at(line.len() / 2);
        self.append(first)?;
        if let Some(point) = half {
            fault::point(point);
        }
        self.append(second)?;
        Ok(line)
    }

    /// Unbuffered: what a row says is in the file when the call returns.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("cannot write", &self.path))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("cannot flush", &self.path))
    }
}

/// Checks that the file starts with `header` and has a row's end at `len`.
fn check_end(path: &Path, file: &mut File, header: &str, len: u64) -> Result<()> {
    let fail = || Error::io("cannot read", path);
    let there = file.metadata().map_err(fail())?.len();
    if there < len {
        let problem = format!(
            "has {there} bytes, the checkpoint was saved with {len}: rows are lost; restore the \
             file, or start a new run"
        );
        return Err(Error::checkpoint(path, problem));
    }
    let mut start = vec![0; header.len()];
    if len < header.len() as u64
        || file.read_exact(&mut start).is_err()
        || start != header.as_bytes()
    {
        let problem = format!("does not start with the columns `{}`", header.trim_end());
        return Err(Error::checkpoint(path, problem));
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(len - 1)).and_then(|_| file.read_exact(&mut last)).map_err(fail())?;
    if last != *b"\n" {
        return Err(Error::checkpoint(path, format!("no row ends after {len} bytes: garbled")));
    }
    Ok(())
}

/// The length of the file's whole lines; 0 if it is not there.
fn whole_lines(path: &Path) -> Result<u64> {
    if !path.exists() {
        return Ok(0);
    }
    let bytes = files::of_run(path, files::METRICS)?;
    Ok(bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at as u64 + 1))
}

fn header(columns: &[&str]) -> Result<String> {
    for (i, name) in columns.iter().enumerate() {
        if name.is_empty() || name.contains([',', '"', '\n', '\r']) {
            let problem = "a column's name must not be empty or hold a comma, quote or line break";
            return Err(Error::config(*name, problem));
        }
        if columns[..i].contains(name) {
            return Err(Error::config(*name, "this column's name occurs twice"));
        }
    }
    Ok(columns.join(",") + "\n")
}

fn owned(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|&name| name.to_owned()).collect()
}

/// The shortest text that reads back as the same number.
fn number(x: f64) -> String {
    let plain = x == 0.0 || !x.is_finite() || (1e-5..1e16).contains(&x.abs());
    if plain { format!("{x}") } else { format!("{x:e}") }
}

/// A CSV file of numbers that was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`; `None` where a cell is empty.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// The cells of the column called `name`.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such column.
    pub fn column(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let Some(at) = self.columns.iter().position(|c| c == name) else {
            let problem = format!("is no column; there are {}", self.columns.join(", "));
            return Err(Error::config(name, problem));
        };
        Ok(self.rows.iter().map(|row| row[at]).collect())
    }
}

/// The columns called `names` of a file that a [`MetricsWriter`] wrote, each with a cell a row. What
/// stands beside them is passed over: of a thousand runs that takes a second, where [`read_csv`]
/// takes many.
///
/// # Errors
/// As [`read_csv`] for these columns, and [`Error::Config`] when one is not there.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Vec<Vec<Option<f64>>>> {
    let bytes = files::of_run(path, files::METRICS)?;
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&bytes[..whole])
        .map_err(|e| Error::checkpoint(path, format!("is no text: {e}")))?;
    let mut lines = text.lines();
    let Some(head) = lines.next() else {
        return Err(Error::checkpoint(path, "is empty: expected a line of column names"));
    };
    let place = |name: &&str| {
        head.split(',').position(|column| column == *name).ok_or_else(|| {
            let problem = format!("is no column of {}; there are {head}", path.display());
            Error::config(*name, problem)
        })
    };
    let places = names.iter().map(place).collect::<Result<Vec<usize>>>()?;
    let end = places.iter().max().map_or(0, |last| last + 1);
    let mut columns = vec![Vec::new(); names.len()];
    for (row, line) in lines.enumerate() {
        let fail =
            |problem: String| Error::checkpoint(path, format!("line {}: {problem}", row + 2));
        let mut found = 0;
        for (at, cell) in line.split(',').take(end).enumerate() {
            for (column, _) in columns.iter_mut().zip(&places).filter(|(_, place)| **place == at) {
                let number = if cell.is_empty() { None } else { Some(cell.parse()) };
                column
                    .push(number.transpose().map_err(|_| fail(format!("`{cell}` is no number")))?);
            }
            found += 1;
        }
        if found < end {
            return Err(fail(format!("expected at least {end} cells, got {found}")));
        }
    }
    Ok(columns)
}

/// Reads a file that a [`MetricsWriter`] wrote. A last line without its end is left out: the run
/// is still going, or was interrupted there.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Checkpoint`] naming the line when one has
/// another number of cells than there are columns, or a cell is no number.
pub fn read_csv(path: &Path) -> Result<Table> {
    let text = files::of_run(path, files::METRICS)?;
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..whole]);
    let mut records = reader.records();
    let fail = |error: ::csv::Error| Error::checkpoint(path, error.to_string());
    let Some(first) = records.next().transpose().map_err(fail)? else {
        return Err(Error::checkpoint(path, "is empty: expected a line of column names"));
    };
    let columns = first.iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for record in records {
        let record = record.map_err(fail)?;
        let line = record.position().map_or(0, ::csv::Position::line);
        let cell = |cell: &str| match cell {
            "" => Ok(None),
            _ => cell.parse().map(Some).map_err(|_| {
                Error::checkpoint(path, format!("line {line}: `{cell}` is no number"))
            }),
        };
        rows.push(record.iter().map(cell).collect::<Result<_>>()?);
    }
    Ok(Table { columns, rows })
}
