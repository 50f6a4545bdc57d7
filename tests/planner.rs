//! Planners: closed forms of linear systems, importance sampling, identities, start states one by
//! one and at once.

#[path = "planner/around.rs"]
mod around;
#[path = "planner/blocks.rs"]
mod blocks;
#[path = "planner/cem.rs"]
mod cem;
#[path = "planner/fixtures.rs"]
mod fixtures;
#[path = "planner/gradient.rs"]
mod gradient;
#[path = "planner/identities.rs"]
mod identities;
#[path = "planner/lqr.rs"]
mod lqr;
#[path = "planner/rollouts.rs"]
mod rollouts;
#[path = "planner/sampling.rs"]
mod sampling;
