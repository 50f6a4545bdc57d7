//! Differentiable, model-based reinforcement learning: one H-step objective and its four uses.
#![deny(missing_docs)]

pub mod agent;
pub mod algo;
pub mod checkpoint;
pub mod config;
pub mod dynamics;
pub mod env;
mod error;
pub mod lqr;
pub mod metrics;
pub mod nn;
pub mod objective;
pub mod policy;
pub mod replay;
pub mod rng;
pub mod shape;
pub mod suggest;
pub mod train;
pub mod uses;
pub mod value;

pub use error::{Error, Result};
