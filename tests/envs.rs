//! Environments: against Gymnasium, against their own differentiable models, and as simulators.

mod episodes;
mod golden;
mod lqr;
mod lqr_gradient;
mod models;
mod parameters;
mod scenes;
mod simulated;
mod two_link;
