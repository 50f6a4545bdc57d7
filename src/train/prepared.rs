//! What a run needs before it has a folder.

use std::collections::BTreeMap;

use super::run::RunConfig;
use crate::dynamics::simulated::simulator;
use crate::env::{Env, EnvFactory, Spread};
use crate::error::{Error, Result};
use crate::learner::Agent;
use crate::parts::MODEL;

/// What the parameters of the environment are drawn from where an agent learns in simulation only.
pub(super) fn drawn(agent: &Agent, env: &mut dyn Env) -> Result<Option<Spread>> {
    if agent.hybrid.schedule.simulated != Some(true) {
        return Ok(None);
    }
    let Some(spread) = agent.parts.models.get(MODEL).and_then(|model| model.parameters()) else {
        let problem = "expected a model of kind `simulator`, in which it can learn";
        return Err(Error::config("loop.simulated", problem));
    };
    spread.prepare(simulator(env)?)?;
    Ok(Some(spread.clone()))
}

/// An environment and a fresh agent, without a folder yet.
pub struct Prepared {
    pub(super) config: RunConfig,
    pub(super) make: EnvFactory,
    pub(super) env: Box<dyn Env>,
    pub(super) drawn: Option<Spread>,
    pub(super) agent: Agent,
}

impl Prepared {
    /// What simulates the environment, and the versions ([`Env::versions`]).
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.env.versions()
    }
}
