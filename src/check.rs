//! Range checks of configuration values, with the key in the message.

use crate::error::{Error, Result};
use crate::limits;

/// A finite number above zero.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn positive(key: &str, x: f64) -> Result<()> {
    if x.is_finite() && x > 0.0 {
        Ok(())
    } else {
        Err(Error::config(key, format!("expected a finite number above 0, got {x}")))
    }
}

/// A number of at least 0, infinity among them.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn not_negative(key: &str, x: f64) -> Result<()> {
    if x >= 0.0 { Ok(()) } else { Err(Error::config(key, format!("expected 0 or more, got {x}"))) }
}

/// A number in `[0, 1]`.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn fraction(key: &str, x: f64) -> Result<()> {
    if (0.0..=1.0).contains(&x) {
        Ok(())
    } else {
        Err(Error::config(key, format!("expected a number in [0, 1], got {x}")))
    }
}

/// A count of at least `low`.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn at_least(key: &str, n: usize, low: usize) -> Result<()> {
    if n >= low {
        Ok(())
    } else {
        Err(Error::config(key, format!("expected at least {low}, got {n}")))
    }
}

/// A count of at least 1 and at most `high`.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn count(key: &str, n: usize, high: usize) -> Result<()> {
    at_least(key, n, 1)?;
    if n <= high {
        Ok(())
    } else {
        Err(Error::config(key, format!("expected at most {high}, got {n}")))
    }
}

/// Hidden widths of a network: none of them zero, and none beyond what can be meant.
///
/// # Errors
/// [`Error::Config`] naming `key`.
pub fn hidden(key: &str, widths: &[usize]) -> Result<()> {
    if widths.contains(&0) {
        return Err(Error::config(
            key,
            format!("a layer of width 0 carries nothing, got {widths:?}"),
        ));
    }
    if widths.len() > limits::LAYERS {
        let problem = format!("expected at most {} layers, got {}", limits::LAYERS, widths.len());
        return Err(Error::config(key, problem));
    }
    match widths.iter().find(|width| **width > limits::WIDTH) {
        Some(width) => {
            let problem = format!("expected widths of at most {}, got {width}", limits::WIDTH);
            Err(Error::config(key, problem))
        }
        None => Ok(()),
    }
}
