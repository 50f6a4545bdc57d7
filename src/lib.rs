//! Differentiable, model-based reinforcement learning: one H-step objective and its four uses.
#![deny(missing_docs)]

pub mod agent;
pub mod algo;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod dynamics;
pub mod env;
mod error;
pub mod fault;
pub mod learner;
pub mod lqr;
pub mod metrics;
pub mod nn;
pub mod objective;
pub mod parts;
pub mod policy;
pub mod replay;
pub mod rng;
pub mod schedule;
pub mod shape;
pub mod suggest;
pub mod train;
pub mod uses;
pub mod value;

pub use error::{Error, Result};
