//! How a part is made once its environment is known.

use super::{CriticPart, PolicyPart, ValuePart};
use crate::dynamics::{
    Ensemble, EnsembleConfig, Given, MIN_FIT_ROWS, Model, SimulatedDynamics, SimulatorConfig,
};
use crate::env::{EnvFactory, Known};
use crate::error::{Error, Result};
use crate::json::json;
use crate::limits::Network;
use crate::nn::Normaliser;
use crate::policy::{ActorConfig, SquashedGaussian};
use crate::rng::Rng;
use crate::shape::Spec;
use crate::value::{CriticConfig, QNet, VEnsemble, VNet, ValueEnsembleConfig};

/// What a part is made for.
pub struct Place<'a> {
    /// Length `O` of an observation.
    pub obs_dim: usize,
    /// Length `A` of an action.
    pub action_dim: usize,
    /// What is known of rewards and ends.
    pub known: Known,
    /// How observations are standardised for policies, critics and values, where they are.
    pub observations: Option<Normaliser>,
    /// Makes more of the environments, where that can be.
    pub env: Option<&'a EnvFactory>,
    /// Number type and device.
    pub spec: &'a Spec,
}

/// Makes a part: the settings of a stock one, or anything of a person's own.
pub trait Make<P>: Send {
    /// How the table of algorithms names the part.
    fn describe(&self) -> String;

    /// All that the part depends on, as text: a checkpoint is refused by a part of other settings.
    ///
    /// # Errors
    /// [`Error::Config`] when they cannot be written.
    fn settings(&self) -> Result<String>;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// The networks that it will have for observations of length `obs_dim` and `actions` action
    /// dimensions: what they take is estimated before they are made. `part` is its name.
    fn networks(&self, part: &str, obs_dim: usize, actions: usize) -> Vec<Network> {
        let _ = (part, obs_dim, actions);
        Vec::new()
    }

    /// Fewest transitions that it learns from.
    fn least_rows(&self) -> usize {
        0
    }

    /// The part, its first numbers drawn from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Composition`] for settings that do not fit the place.
    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<P>;
}

/// A part of a person's own, made by a closure. The name and the version stand for all that it
/// depends on: give another version whenever the closure changes what is computed.
pub struct Own<F> {
    name: String,
    version: String,
    make: F,
}

impl<F> Own<F> {
    /// A part that `make` makes.
    pub fn new(name: impl Into<String>, version: impl Into<String>, make: F) -> Self {
        Self { name: name.into(), version: version.into(), make }
    }
}

impl<P, F: FnOnce(&Place, &mut Rng) -> Result<P> + Send> Make<P> for Own<F> {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn settings(&self) -> Result<String> {
        Ok(format!("{} {}", self.name, self.version))
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<P> {
        (self.make)(place, rng)
    }
}

/// A dense stack of the part's own table.
fn network(part: &str, [input, output]: [usize; 2], hidden: &[usize], members: usize) -> Network {
    Network {
        hidden_key: format!("{part}.hidden"),
        members_key: format!("{part}.members"),
        input,
        hidden: hidden.to_vec(),
        output,
        members,
        rows: None,
    }
}

impl Make<PolicyPart> for ActorConfig {
    fn describe(&self) -> String {
        "squashed Gaussian".into()
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn validate(&self) -> Result<()> {
        ActorConfig::validate(self)
    }

    fn networks(&self, part: &str, obs_dim: usize, actions: usize) -> Vec<Network> {
        vec![network(part, [obs_dim, 2 * actions], &self.hidden, 1)]
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<PolicyPart> {
        let policy =
            SquashedGaussian::new(&self, place.obs_dim, place.action_dim, rng, place.spec)?;
        let policy = policy.standardised(place.observations.clone());
        let PolicyPart { policy, optimiser } = PolicyPart::new(policy, &self.adam())?;
        Ok(PolicyPart { policy, optimiser: optimiser.with_max_grad_norm(self.max_grad_norm) })
    }
}

impl Make<CriticPart> for CriticConfig {
    fn describe(&self) -> String {
        format!("{} Q networks", self.members)
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn validate(&self) -> Result<()> {
        CriticConfig::validate(self)
    }

    fn networks(&self, part: &str, obs_dim: usize, actions: usize) -> Vec<Network> {
        vec![network(part, [obs_dim + actions, 1], &self.hidden, self.members)]
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<CriticPart> {
        let online = QNet::new(&self, place.obs_dim, place.action_dim, rng, place.spec)?;
        let online = online.standardised(place.observations.clone());
        CriticPart::new(online, &self.adam(), Some(self.tau))
    }
}

impl Make<ValuePart> for CriticConfig {
    fn describe(&self) -> String {
        "a V network".into()
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn validate(&self) -> Result<()> {
        CriticConfig::validate(self)
    }

    fn networks(&self, part: &str, obs_dim: usize, _: usize) -> Vec<Network> {
        vec![network(part, [obs_dim, 1], &self.hidden, 1)]
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<ValuePart> {
        let online = VNet::new(&self, place.obs_dim, rng, place.spec)?;
        let online = online.standardised(place.observations.clone());
        ValuePart::new(online, &self.adam(), Some(self.tau))
    }
}

impl Make<ValuePart> for ValueEnsembleConfig {
    fn describe(&self) -> String {
        format!("{} V networks", self.members)
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn validate(&self) -> Result<()> {
        ValueEnsembleConfig::validate(self)
    }

    fn networks(&self, part: &str, obs_dim: usize, _: usize) -> Vec<Network> {
        vec![network(part, [obs_dim, 1], &self.hidden, 2 * self.members)]
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<ValuePart> {
        let online = VEnsemble::new(&self, place.obs_dim, rng, place.spec)?;
        let online = online.standardised(place.observations.clone());
        ValuePart::new(online, &self.adam(), None)
    }
}

impl Make<Box<dyn Model>> for EnsembleConfig {
    fn describe(&self) -> String {
        format!("ensemble of {}", self.members)
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn validate(&self) -> Result<()> {
        EnsembleConfig::validate(self)
    }

    fn networks(&self, part: &str, obs_dim: usize, actions: usize) -> Vec<Network> {
        let sizes = [obs_dim + actions, self.outputs(obs_dim + 1)];
        let rows = Some(self.batch);
        vec![Network { rows, ..network(part, sizes, &self.hidden, self.members) }]
    }

    fn least_rows(&self) -> usize {
        MIN_FIT_ROWS
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<Box<dyn Model>> {
        let Place { obs_dim, action_dim, known, spec, .. } = place;
        Ok(Box::new(Ensemble::new(&self, *obs_dim, *action_dim, known.clone(), rng, spec)?))
    }
}

impl Make<Box<dyn Model>> for SimulatorConfig {
    fn describe(&self) -> String {
        "simulator".into()
    }

    fn settings(&self) -> Result<String> {
        json(self)
    }

    fn make(self: Box<Self>, place: &Place, rng: &mut Rng) -> Result<Box<dyn Model>> {
        let Some(make) = place.env else {
            let problem = "its environment cannot be made again, so nothing can simulate it";
            return Err(Error::Composition { agent: "simulator".into(), problem: problem.into() });
        };
        let simulators = SimulatedDynamics::many(make.clone(), place.spec.clone())?;
        Ok(Box::new(simulators.with(&self, rng.fork("episodes"))?))
    }
}

impl Make<Box<dyn Model>> for Given {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn settings(&self) -> Result<String> {
        Ok(self.name.clone())
    }

    fn make(self: Box<Self>, place: &Place, _: &mut Rng) -> Result<Box<dyn Model>> {
        let widths = (self.dynamics.state_dim(), self.dynamics.action_dim());
        if widths == (place.obs_dim, place.action_dim) {
            return Ok(self);
        }
        let problem = format!(
            "it has {} states and {} actions, the environment {} observations and {} actions",
            widths.0, widths.1, place.obs_dim, place.action_dim
        );
        Err(Error::Composition { agent: format!("given model `{}`", self.name), problem })
    }
}
