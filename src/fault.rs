//! Places where a crash test can end the process.
//!
//! `HSTEP_FAULT=name` or `HSTEP_FAULT=name:count` aborts the process, as a power cut would, when
//! the place is reached for the `count`-th time (the first, if not said). That is so with the feature
//! `fault-injection` alone, which only tests switch on; in any other build the places are empty.

#[cfg(feature = "fault-injection")]
mod armed;
#[cfg(feature = "fault-injection")]
pub use armed::{POINTS, point};

/// A place that a crash test may abort at: nothing in this build.
#[cfg(not(feature = "fault-injection"))]
pub(crate) fn point(_name: &str) {}
