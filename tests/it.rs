//! The integration tests of the library, in one binary: candle is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod critic_bias;
mod ensemble;
mod envs;
mod gymnasium;
mod heard;
mod house;
mod learning;
mod links;
mod model_bias;
#[cfg(feature = "mujoco")]
mod mujoco;
mod mutations;
mod nn;
mod noise;
mod objective;
mod planner;
mod pool;
mod rliable;
mod rooms;
mod store;
mod table;
mod uses;
