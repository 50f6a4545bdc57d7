//! Transitions that were recorded elsewhere: a table as CSV, or arrays as NumPy writes them (`.npz`).

use std::path::{Path, PathBuf};

use candle_core::npy::NpzTensors;
use candle_core::{DType, Tensor};

use super::{COLUMNS, CONT};
use crate::error::{Error, Result};
use crate::files;

/// What says of a transition that the episode ended there, in place of `cont`.
const TERMINATED: &str = "terminated";

/// The transitions of a file, with actions in the environment's own units.
#[derive(Debug)]
pub struct Recorded {
    path: PathBuf,
    /// How the first row is called, and its number.
    first: (&'static str, usize),
    /// Numbers a row of obs, action, reward, next_obs, cont.
    pub widths: [usize; 5],
    /// All rows of these, one after the other.
    pub columns: [Vec<f64>; 5],
}

impl Recorded {
    /// Reads a file for observations `[obs_dim]` and actions `[action_dim]`.
    ///
    /// A CSV file has the columns `obs_0`, ..., `action_0`, ..., `reward`, `next_obs_0`, ... and
    /// `terminated` (1 or true where the episode ended) or `cont` (1 where it went on); an `.npz` file
    /// the arrays `obs` `[N,O]`, `action` `[N,A]`, `reward` `[N]`, `next_obs` `[N,O]` and
    /// `terminated` or `cont` `[N]`, written by `numpy.savez`. What else is there is not read.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file, and the line or row of a number that cannot be.
    pub fn read(path: &Path, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let csv = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => true,
            Some("npz") => false,
            _ => return Err(wrong(path, "expected a file .csv or .npz")),
        };
        let first = if csv { ("line", 2) } else { ("row", 0) };
        let widths = [obs_dim, action_dim, 1, obs_dim, 1];
        let columns = [const { Vec::new() }; 5];
        let mut all = Self { path: path.to_owned(), first, widths, columns };
        if csv {
            all.table()?;
        } else {
            all.arrays()?;
        }
        if all.rows() == 0 {
            return Err(wrong(path, "holds no transition"));
        }
        for (i, name) in COLUMNS.into_iter().enumerate() {
            let fits = |x: f64| (x as f32).is_finite() && (i != CONT || x == 0.0 || x == 1.0);
            if let Some(at) = all.columns[i].iter().position(|x| !fits(*x)) {
                let expected = if i == CONT { "0 or 1" } else { "a finite number" };
                let (row, x) = (at / all.widths[i], all.columns[i][at]);
                let problem = format!("`{name}`: expected {expected}, got {x}");
                return Err(all.wrong_in(row, &problem));
            }
        }
        Ok(all)
    }

    /// The number of transitions.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns[CONT].len()
    }

    /// An error about a row.
    #[must_use]
    pub fn wrong_in(&self, row: usize, problem: &str) -> Error {
        let (word, first) = self.first;
        wrong(&self.path, &format!("{word} {}: {problem}", row + first))
    }

    fn table(&mut self) -> Result<()> {
        let text = files::text(&self.path, files::METRICS)?;
        let path = self.path.clone();
        let broken = |e: csv::Error| wrong(&path, &e.to_string());
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(broken)?.clone();
        let place = |name: &str| header.iter().position(|own| own == name);
        let ended = self.end(|name| place(name).is_some())?;
        let mut places = Vec::new();
        for (i, (base, width)) in COLUMNS.into_iter().zip(self.widths).enumerate() {
            let names: Vec<String> = match i {
                CONT => vec![if ended { TERMINATED } else { base }.into()],
                2 => vec![base.into()],
                _ => (0..=width).map(|part| format!("{base}_{part}")).collect(),
            };
            for (part, name) in names.into_iter().enumerate() {
                match place(&name) {
                    Some(at) if part < width => places.push((i, at)),
                    None if part == width => {}
                    Some(_) => {
                        let problem =
                            format!("has a column `{name}`; expected {width} of `{base}`");
                        return Err(wrong(&path, &problem));
                    }
                    None => return Err(wrong(&path, &format!("has no column `{name}`"))),
                }
            }
        }
        for (row, record) in reader.records().enumerate() {
            let record = record.map_err(broken)?;
            for &(i, at) in &places {
                let text = &record[at];
                let number = match text {
                    "true" | "True" => Some(1.0),
                    "false" | "False" => Some(0.0),
                    text => text.parse::<f64>().ok(),
                };
                let Some(number) = number else {
                    let problem = format!("`{}`: expected a number, got `{text}`", &header[at]);
                    return Err(self.wrong_in(row, &problem));
                };
                let ends = i == CONT && ended;
                self.columns[i].push(if ends { 1.0 - number } else { number });
            }
        }
        Ok(())
    }

    fn arrays(&mut self) -> Result<()> {
        let path = self.path.clone();
        let broken = |e: candle_core::Error| {
            wrong(&path, &format!("{e}; expected what `numpy.savez` writes, in numbers or bools"))
        };
        // Before anything is allocated for what a file says of itself.
        let size = std::fs::metadata(&path).map_err(Error::io("cannot read", &path))?.len();
        let arrays = NpzTensors::new(&path).map_err(broken)?;
        let ended = self.end(|name| arrays.names().iter().any(|own| *own == name))?;
        let mut rows = None;
        for i in [2, 0, 1, 3, CONT] {
            let name = if i == CONT && ended { TERMINATED } else { COLUMNS[i] };
            if !arrays.names().iter().any(|own| *own == name) {
                return Err(wrong(&path, &format!("has no array `{name}`")));
            }
            let (shape, dtype) = arrays.get_shape_and_dtype(name).map_err(broken)?;
            let (dims, width) = (shape.dims(), self.widths[i]);
            let n = *rows.get_or_insert(dims.first().copied().unwrap_or(0));
            if *dims != [n, width] && !(width == 1 && *dims == [n]) {
                let expected =
                    if i == 2 || i == CONT { format!("[{n}]") } else { format!("[{n},{width}]") };
                let problem =
                    format!("array `{name}`: expected the shape {expected}, got {dims:?}");
                return Err(wrong(&path, &problem));
            }
            let bytes = n.checked_mul(width).and_then(|k| k.checked_mul(dtype.size_in_bytes()));
            if bytes.is_none_or(|bytes| bytes as u64 > size) {
                let problem = format!("array `{name}` {dims:?} is larger than the file");
                return Err(wrong(&path, &problem));
            }
            let read = |array: Tensor| array.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
            let numbers = arrays.get(name).and_then(|array| array.map_or(Ok(Vec::new()), read));
            self.columns[i] = numbers.map_err(broken)?;
        }
        if ended {
            self.columns[CONT].iter_mut().for_each(|x| *x = 1.0 - *x);
        }
        Ok(())
    }

    /// Whether ends are told by `terminated`, in place of `cont`.
    fn end(&self, has: impl Fn(&str) -> bool) -> Result<bool> {
        match (has(TERMINATED), has(COLUMNS[CONT])) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            _ => Err(wrong(&self.path, "expected one of `terminated` and `cont`")),
        }
    }
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::config("loop.data", format!("{}: {problem}", path.display()))
}
