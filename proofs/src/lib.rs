//! The papers' bounds: as printed, and as they hold.
//!
//! Each bound is a small type with a `printed` and a `corrected` form, generic over the numbers
//! ([`Number`]): `f64` to search, [`Rational`] to be certain. Nothing here knows tensors. The pages with the
//! proofs in words and the Coq files lie beside this crate; its README has them in one table.
//!
//! | statement | type | verdict |
//! |---|---|---|
//! | MoPAC, Theorem 1 | [`mopac::Theorem1`] | false |
//! | MoPAC, Lemma 2 | [`mopac::Lemma2`] | false with `1 - g^2`, true with `(1 - g)^2` |
//! | POLO, Lemma 1 | [`polo::Lemma1`] | true as an order, constant 2 |
//! | POLO, Lemma 2 | [`polo::Lemma2`] | false with a new plan at every step, true for plans run to their end |
//! | M-DeMoRL, Lemma 1 | [`demorl::Lemma1`] | true, not sharp |
//! | M-DeMoRL, Theorem 1 | [`mirror::RegretBound`] | false by one term |
//! | MAAC, Lemma 4.1 | [`maac::PrintedLemma`], [`maac::Constants`] | false |
//! | MAAC, Lemma 4.2 | [`maac::Variation`] | false without bounded states and small steps |
//! | MAAC, Theorem 4.1 | [`maac::Improvement`] | false |
//! | MPQ, eq. (5)-(7) | [`mpq::Soft`] | true only without chance and discount |
//!
//! The objects: a finite process ([`mdp::Mdp`]), its optimal value and that of a policy, plans over H
//! steps in a model ([`play::Plan`]) and what playing them is worth, model and value errors
//! ([`errors`]), all put together in a [`problem::Problem`]. Values are sums of discounted rewards, not
//! divided by `1/(1 - g)`; the left side of a bound is the maximum over start states, because the
//! statements are made for any distribution of them. What the papers leave open is a
//! [`reading::Reading`].
//!
//! Problems of many states are decided in intervals ([`wide`], [`interval::Interval`]): every figure holds the
//! exact value, and a verdict may be open.
//!
//! [`families`] has the problems that break or attain bounds, [`attack`] searches for more, and
//! [`check`] puts everything about a statement into a report:
//!
//! ```
//! use hstep_proofs::families::swapped;
//! use hstep_proofs::mopac::Theorem1;
//! use hstep_proofs::number::{Number, Rational};
//! use hstep_proofs::problem::Favour;
//! use hstep_proofs::reading::{Play, Reading};
//!
//! // The model believes in the wrong one of two actions, with probability 1/10 instead of 0.
//! let q = Rational::ratio;
//! let problem = swapped(q(9, 10), &[q(1, 10), q(0, 1)], &[q(0, 1), q(1, 10)])?;
//! let bound = Theorem1::of(&problem, 1, &Reading::default());
//! let loss = problem.play(1, Play::Receding, Favour::Index)?.gap;
//! assert_eq!(loss.to_string(), "90/19");
//! assert_eq!(bound.printed().to_string(), "1/10");
//! assert_eq!(bound.corrected().to_string(), "18");
//! # Ok::<(), hstep::Error>(())
//! ```
#![deny(missing_docs)]

pub mod attack;
pub mod check;
pub mod demorl;
pub mod errors;
mod exact;
pub mod families;
pub mod file;
pub mod interval;
mod linear;
pub mod maac;
pub mod mdp;
pub mod mirror;
pub mod mopac;
pub mod mpq;
pub mod number;
pub mod play;
pub mod polo;
pub mod problem;
pub mod reading;
pub mod wide;

pub use number::{Number, Rational};
