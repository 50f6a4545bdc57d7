//! The papers' bounds: counterexamples by a second method, the corrected forms, the search.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exactly;
mod files;
mod formulas;
mod searches;
mod second_method;
mod wide;

use hstep_proofs::number::Number as _;
use hstep_proofs::{Rational, number};

/// `p/q`.
fn q(p: i64, q: i64) -> Rational {
    Rational::ratio(p, q)
}

/// A number as it is written.
fn n(text: &str) -> Rational {
    number::parse(text).unwrap()
}
