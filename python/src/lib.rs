//! The Python package `hstep`: what is compiled of it.
use pyo3::prelude::*;

#[pymodule]
fn _hstep(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))
}
