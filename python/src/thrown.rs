//! What the user's own Python code has raised, kept on its way through the library.

use std::sync::{Arc, Mutex, PoisonError};

use hstep::Error;
use pyo3::prelude::*;

/// The first exception of a run that came out of the user's code.
#[derive(Clone, Default)]
pub struct Thrown(Arc<Mutex<Option<PyErr>>>);

impl Thrown {
    /// Keeps an exception, and gives the error that takes it through the library.
    pub fn keep(&self, py: Python<'_>, place: &str, error: PyErr) -> Error {
        let trace = error.traceback(py).and_then(|trace| trace.format().ok()).unwrap_or_default();
        let problem = format!("{trace}{error}");
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
        Error::env(place, problem)
    }

    /// Whether anything was raised.
    pub fn any(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What was raised, which is then forgotten.
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A result with the original exception in the place of the error that carried it.
    pub fn or<T>(&self, result: PyResult<T>) -> PyResult<T> {
        match (result, self.take()) {
            (Err(_), Some(original)) => Err(original),
            (result, _) => result,
        }
    }
}
