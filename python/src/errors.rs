//! Errors of the library as exceptions of Python, with the texts of the command line.

use anyhow::Error as Any;
use hstep::Error;
use hstep_experiments::exit::Interrupted;
use pyo3::prelude::*;

/// The class in `hstep.errors` of an error, by its innermost cause that has one.
fn class(error: &Any) -> &'static str {
    let of = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<Interrupted>() {
            return Some("Interrupted");
        }
        Some(match cause.downcast_ref::<Error>()? {
            Error::Shape { .. } => "ShapeError",
            Error::Config { .. } => "ConfigError",
            Error::Composition { .. } => "CompositionError",
            Error::Env { .. } => "EnvError",
            Error::Checkpoint { .. } => "CheckpointError",
            Error::NonFinite { .. } => "NonFiniteError",
            Error::Diverged { .. } => "DivergedError",
            Error::Io { .. } => "FileError",
            _ => "HstepError",
        })
    };
    error.chain().find_map(of).unwrap_or("HstepError")
}

/// An exception of the class `hstep.errors.NAME`.
pub fn named(py: Python<'_>, name: &str, text: String) -> PyErr {
    let made = py
        .import("hstep.errors")
        .and_then(|errors| errors.getattr(name))
        .and_then(|class| class.call1((text,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// What Python raises for an error.
pub fn exception(py: Python<'_>, error: &Any) -> PyErr {
    named(py, class(error), format!("{error:#}"))
}

/// `Result` with an exception in the place of an error.
pub trait Raised<T> {
    /// The value, or the exception of the error.
    fn raised(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Any>> Raised<T> for Result<T, E> {
    fn raised(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error.into()))
    }
}
