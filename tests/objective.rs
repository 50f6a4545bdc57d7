//! The objective: finite differences, identities, closed forms, golden values.

#[path = "objective/costs.rs"]
mod costs;
#[path = "objective/fixtures.rs"]
mod fixtures;
#[path = "objective/forward.rs"]
mod forward;
#[path = "objective/gradients.rs"]
mod gradients;
#[path = "objective/identities.rs"]
mod identities;
#[path = "objective/rollouts.rs"]
mod rollouts;
