//! Which Python, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// The variable that names the interpreter.
pub const PYTHON: &str = "HSTEP_PYTHON";
/// The variable with the seconds that an answer may take.
pub const TIMEOUT: &str = "HSTEP_GYM_TIMEOUT";

/// How the Python process is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The interpreter. `python3`, from the search path of programs: ours.
    pub python: PathBuf,
    /// How long any answer may take, the first import included. 60 s: ours.
    pub timeout: Duration,
    /// Folders in front of Python's search path of modules. None: ours.
    pub path: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { python: "python3".into(), timeout: Duration::from_secs(60), path: Vec::new() }
    }
}

impl Options {
    /// The defaults, with the interpreter of `HSTEP_PYTHON` and the seconds of
    /// `HSTEP_GYM_TIMEOUT` where they are set.
    ///
    /// # Errors
    /// [`Error::Config`] for a time that is no positive number of seconds.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut options = Self::default();
        if let Some(python) = set(PYTHON) {
            options.python = python.into();
        }
        if let Some(text) = set(TIMEOUT) {
            options.timeout = seconds(&text.to_string_lossy())?;
        }
        Ok(options)
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let parsed = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    parsed.filter(|time| !time.is_zero()).ok_or_else(|| {
        Error::config(TIMEOUT, format!("expected a number of seconds above 0, got `{text}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        for wrong in ["", "0", "-1", "inf", "nan", "1e300", "soon"] {
            let error = seconds(wrong).unwrap_err().to_string();
            assert!(error.contains("`HSTEP_GYM_TIMEOUT`: expected a number of seconds"), "{error}");
        }
    }
}
