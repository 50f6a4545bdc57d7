//! Checks of the papers' bounds, comparisons of runs, and the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use hstep::Error;
use hstep_experiments::{Question, Registry, compare as compared, measure_given};
use hstep_proofs::check::{Options, check as searched};
use hstep_proofs::file;
use pyo3::prelude::*;

use crate::errors::Raised as _;

/// How a statement is read, and how long is searched.
#[derive(FromPyObject)]
pub struct Reading {
    norm: String,
    play: String,
    reward_range: Option<String>,
    horizon: Option<usize>,
    evaluations: Option<u64>,
    seconds: Option<f64>,
    seed: u64,
}

impl Reading {
    fn options(self) -> Result<Options, Error> {
        let usual = Options::default();
        Ok(Options {
            norm: self.norm.parse()?,
            play: self.play.parse()?,
            range: self.reward_range.map(|range| range.parse()).transpose()?,
            horizon: self.horizon,
            evaluations: self.evaluations.unwrap_or(usual.evaluations),
            seconds: self.seconds,
            seed: self.seed,
        })
    }
}

/// A statement on a problem of one's own, given as JSON; a list of objects as JSON.
#[pyfunction]
pub fn check_given(
    py: Python<'_>,
    result: String,
    problem: String,
    reading: Reading,
    round: bool,
    intervals: bool,
) -> PyResult<String> {
    let found = py.detach(|| {
        let problem = file::read(&problem, round, intervals)?;
        measure_given(&result, &problem, &reading.options()?)
    });
    Ok(serde_json::Value::from(found.raised(py)?).to_string())
}

/// Searches where a statement fails; an object as JSON.
#[pyfunction]
pub fn check_searched(py: Python<'_>, result: String, reading: Reading) -> PyResult<String> {
    let report = py.detach(|| searched(&result, &reading.options()?, &|_| {}));
    Ok(report.raised(py)?.to_json().to_string())
}

/// Compares runs; an object as JSON.
#[pyfunction]
pub fn compare(
    py: Python<'_>,
    runs: Vec<PathBuf>,
    column: String,
    last: usize,
    steps: Option<u64>,
    normalise: Option<PathBuf>,
    paired: bool,
) -> PyResult<String> {
    crate::logging::begin();
    let asked = Question { runs, column, last, steps, normalise, paired };
    let answer = py.detach(|| compared(&asked));
    Ok(answer.raised(py)?.json().to_string())
}

/// Runs the command line; its exit code.
#[pyfunction]
pub fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| Registry::new().main_with(arguments))
}

/// The processor's threads that computations use.
#[pyfunction]
pub fn threads() -> usize {
    hstep::pool::threads()
}

/// To be called in a fork of the process, before anything else.
#[pyfunction]
pub fn after_fork() {
    hstep::pool::after_fork();
}
