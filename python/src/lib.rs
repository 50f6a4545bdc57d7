//! The Python package `hstep`: what is compiled of it. `hstep/__init__.py` and its neighbours are what
//! people see; they check what comes in, and say what things are called.

// What Python hands over arrives by value, whatever is done with it.
#![allow(clippy::needless_pass_by_value)]

mod arrays;
mod env;
mod errors;
mod functions;
mod logging;
mod opened;
mod plan;
mod run;
mod thrown;
mod tools;

use hstep_experiments::IN_PYTHON;
use pyo3::prelude::*;

#[pymodule]
fn _hstep(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("IN_PYTHON", IN_PYTHON)?;
    m.add_class::<env::Maker>()?;
    m.add_class::<opened::Opened>()?;
    m.add_class::<plan::Simulator>()?;
    m.add_class::<run::Stop>()?;
    m.add_function(wrap_pyfunction!(run::train, m)?)?;
    m.add_function(wrap_pyfunction!(run::resume, m)?)?;
    m.add_function(wrap_pyfunction!(run::config, m)?)?;
    m.add_function(wrap_pyfunction!(run::resolved, m)?)?;
    m.add_function(wrap_pyfunction!(plan::plan, m)?)?;
    m.add_function(wrap_pyfunction!(tools::check_given, m)?)?;
    m.add_function(wrap_pyfunction!(tools::check_searched, m)?)?;
    m.add_function(wrap_pyfunction!(tools::compare, m)?)?;
    m.add_function(wrap_pyfunction!(tools::main, m)?)?;
    m.add_function(wrap_pyfunction!(tools::threads, m)?)?;
    m.add_function(wrap_pyfunction!(tools::after_fork, m)?)
}
