//! The learned parts that the uses and the steps of an update work on, by name: policies, critics,
//! values, models, and the temperature. A part brings its parameters, its optimiser and, where it
//! has one, its follower; what trains, follows, saves and checks them goes by the names.

mod make;
mod temperature;

pub use make::{Make, Own, Place};
pub use temperature::{Temperature, TemperatureConfig};

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::dynamics::Model;
use crate::error::{Error, Result};
use crate::nn::{Adam, AdamConfig, NamedParams, Optimiser, joined, polyak};
use crate::policy::LearnedPolicy;
use crate::value::{Critic, LearnedCritic, LearnedValue, Value};

/// The policy that the stock uses work on, and its table of settings.
pub const ACTOR: &str = "actor";
/// The critic that the stock uses work on.
pub const CRITIC: &str = "critic";
/// The state value that the stock uses work on.
pub const VALUE: &str = "value";
/// The model that the stock uses roll out.
pub const MODEL: &str = "model";

/// A policy with its optimiser.
pub struct PolicyPart {
    /// The policy.
    pub policy: Box<dyn LearnedPolicy>,
    /// Its optimiser.
    pub optimiser: Optimiser,
}

impl PolicyPart {
    /// A policy with an optimiser of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for optimiser settings out of range.
    pub fn new(policy: impl LearnedPolicy + 'static, adam: &AdamConfig) -> Result<Self> {
        let optimiser = Optimiser::new(&policy.params(), adam)?;
        Ok(Self { policy: Box::new(policy), optimiser })
    }
}

/// Action values with their optimiser and, where they have one, their follower.
pub struct CriticPart {
    /// Trained.
    pub online: Box<dyn LearnedCritic>,
    /// Follows: `target <- (1 - tau) target + tau online`.
    pub target: Option<Box<dyn LearnedCritic>>,
    /// The optimiser of the trained ones.
    pub optimiser: Optimiser,
    /// Polyak step of the follower.
    pub tau: f64,
}

impl CriticPart {
    /// Action values, followed with steps of `tau` where one is given.
    ///
    /// # Errors
    /// [`Error::Config`] for optimiser settings out of range.
    pub fn new(
        online: impl LearnedCritic + 'static,
        adam: &AdamConfig,
        tau: Option<f64>,
    ) -> Result<Self> {
        let optimiser = Optimiser::new(&online.params(), adam)?;
        let target = tau.map(|_| online.copy()).transpose()?;
        Ok(Self { online: Box::new(online), target, optimiser, tau: tau.unwrap_or_default() })
    }

    /// The follower; the trained values themselves where nothing follows them.
    #[must_use]
    pub fn target(&self) -> &dyn Critic {
        self.target.as_deref().unwrap_or(self.online.as_ref())
    }

    /// One optimiser step for a loss of Q `[E,B]` whose gradient at Q is `slope(Q)`; Q is what
    /// [`LearnedCritic::tracked`] gives, and comes without a graph. A mean has its `1 / B` in the slope.
    ///
    /// # Errors
    /// [`Error::Shape`] for a batch that does not fit, [`Error::NonFinite`] as the optimiser.
    pub fn regress(
        &mut self,
        obs: &Tensor,
        action: &Tensor,
        slope: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        if let Some(gradients) = self.online.regress(obs, action, slope)? {
            return self.optimiser.step(&gradients);
        }
        let q = self.online.tracked(obs, action)?;
        let slope = slope(&q.detach())?.detach();
        self.optimiser.descend(&(q * slope)?.sum_all()?)
    }

    /// One Polyak step of the follower.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameters cannot be written.
    pub fn follow(&self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        follow(&target.params(), &self.online.params(), self.tau)
    }
}

/// A state value with its optimiser and, where it has one, its follower.
pub struct ValuePart {
    /// Trained.
    pub online: Box<dyn LearnedValue>,
    /// Follows, as [`CriticPart::target`].
    pub target: Option<Box<dyn LearnedValue>>,
    /// The optimiser of the trained one.
    pub optimiser: Optimiser,
    /// Polyak step of the follower.
    pub tau: f64,
}

impl ValuePart {
    /// A state value, followed with steps of `tau` where one is given.
    ///
    /// # Errors
    /// [`Error::Config`] for optimiser settings out of range.
    pub fn new(
        online: impl LearnedValue + 'static,
        adam: &AdamConfig,
        tau: Option<f64>,
    ) -> Result<Self> {
        let optimiser = Optimiser::new(&online.params(), adam)?;
        let target = tau.map(|_| online.copy()).transpose()?;
        Ok(Self { online: Box::new(online), target, optimiser, tau: tau.unwrap_or_default() })
    }

    /// The follower; the trained value itself where nothing follows it.
    #[must_use]
    pub fn target(&self) -> &dyn Value {
        self.target.as_deref().unwrap_or(self.online.as_ref())
    }

    /// One Polyak step of the follower.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameters cannot be written.
    pub fn follow(&self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        follow(&target.params(), &self.online.params(), self.tau)
    }
}

fn follow(target: &NamedParams, online: &NamedParams, tau: f64) -> Result<()> {
    target.iter().zip(online).try_for_each(|((_, to), (_, from))| polyak(to, from, tau))
}

/// Everything an agent has learned, by name. A part that a composition does not use is absent.
#[derive(Default)]
pub struct Parts {
    /// Discount.
    pub gamma: f64,
    /// Length `A` of an action.
    pub action_dim: usize,
    /// The policies.
    pub policies: BTreeMap<String, PolicyPart>,
    /// The action values.
    pub critics: BTreeMap<String, CriticPart>,
    /// The state values.
    pub values: BTreeMap<String, ValuePart>,
    /// The temperature.
    pub temperature: Option<Temperature>,
    /// The dynamics.
    pub models: BTreeMap<String, Box<dyn Model>>,
}

fn found<'a, P>(all: &'a BTreeMap<String, P>, kind: &str, name: &str) -> Result<&'a P> {
    all.get(name).ok_or_else(|| missing(kind, name))
}

fn found_mut<'a, P>(all: &'a mut BTreeMap<String, P>, kind: &str, name: &str) -> Result<&'a mut P> {
    all.get_mut(name).ok_or_else(|| missing(kind, name))
}

fn missing(kind: &str, name: &str) -> Error {
    let problem = format!("a use needs the {kind} `{name}`, which this composition does not have");
    Error::Composition { agent: "parts".into(), problem }
}

/// The parameters of one network, by its name in a checkpoint.
type Network<'a> = (String, NamedParams<'a>);

impl Parts {
    /// The policy `name`.
    ///
    /// # Errors
    /// [`Error::Composition`] when there is none; [`crate::agent::Builder`] refuses such agents.
    pub fn policy(&self, name: &str) -> Result<&dyn LearnedPolicy> {
        Ok(found(&self.policies, "policy", name)?.policy.as_ref())
    }

    /// The policy `name` with its optimiser, to be changed.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn policy_mut(&mut self, name: &str) -> Result<&mut PolicyPart> {
        found_mut(&mut self.policies, "policy", name)
    }

    /// The critic `name`.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn critic(&self, name: &str) -> Result<&CriticPart> {
        found(&self.critics, "critic", name)
    }

    /// The critic `name`, to be changed.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn critic_mut(&mut self, name: &str) -> Result<&mut CriticPart> {
        found_mut(&mut self.critics, "critic", name)
    }

    /// The state value `name`.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn value(&self, name: &str) -> Result<&ValuePart> {
        found(&self.values, "value", name)
    }

    /// The state value `name`, to be changed.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn value_mut(&mut self, name: &str) -> Result<&mut ValuePart> {
        found_mut(&mut self.values, "value", name)
    }

    /// The model `name`.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn model(&self, name: &str) -> Result<&dyn Model> {
        Ok(found(&self.models, "model", name)?.as_ref())
    }

    /// `n` actions in the middle of their range for each of `s0` `[B,S]`: `[B,n,A]`.
    pub(crate) fn still(&self, s0: &Tensor, n: usize) -> Result<Tensor> {
        let sizes = (s0.dim(0)?, n, self.action_dim);
        Ok(Tensor::zeros(sizes, s0.dtype(), s0.device())?)
    }

    /// Forgets the moments of every optimiser but the models'.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn reset_optimisers(&mut self) -> Result<()> {
        let policies = self.policies.values_mut().map(|part| &mut part.optimiser);
        let critics = self.critics.values_mut().map(|part| &mut part.optimiser);
        let values = self.values.values_mut().map(|part| &mut part.optimiser);
        policies.chain(critics).chain(values).try_for_each(Optimiser::reset)?;
        let temperature = self.temperature.as_mut().and_then(|t| t.adam.as_mut());
        temperature.map_or(Ok(()), Adam::reset)
    }

    /// The temperature alpha; 0 without a temperature.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameter cannot be read.
    pub fn alpha(&self) -> Result<f64> {
        self.temperature.as_ref().map_or(Ok(0.0), Temperature::alpha)
    }

    /// Every network but the models', followers included.
    fn networks(&self) -> Vec<Network<'_>> {
        let mut all: Vec<Network> = Vec::new();
        all.extend(self.policies.iter().map(|(name, part)| (name.clone(), part.policy.params())));
        for (name, part) in &self.critics {
            all.push((name.clone(), part.online.params()));
            all.extend(part.target.iter().map(|t| (follower(name), t.params())));
            let bounds = part.online.bounds().into_iter();
            all.extend(
                bounds.map(|b| (format!("{name}_bounds"), vec![(String::new(), b.params())])),
            );
        }
        for (name, part) in &self.values {
            all.push((name.clone(), part.online.params()));
            all.extend(part.target.iter().map(|t| (follower(name), t.params())));
            all.push((format!("{name}_fixed"), part.online.fixed()));
        }
        let temperature = self.temperature.iter();
        all.extend(temperature.map(|t| (TEMPERATURE.into(), vec![(String::new(), &t.log_alpha)])));
        all
    }

    /// Every tensor that a continued training depends on, by name.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a parameter cannot be read.
    pub fn named_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for (name, network) in self.networks() {
            for (own, params) in network {
                all.extend(params.named_tensors(&joined(&name, &own))?);
            }
        }
        let policies = self.policies.iter().map(|(name, part)| (name, &part.optimiser));
        let critics = self.critics.iter().map(|(name, part)| (name, &part.optimiser));
        let values = self.values.iter().map(|(name, part)| (name, &part.optimiser));
        for (name, optimiser) in policies.chain(critics).chain(values) {
            all.extend(optimiser.named_tensors(&moments(name))?);
        }
        if let Some(adam) = self.temperature.as_ref().and_then(|t| t.adam.as_ref()) {
            let state = adam.state()?.into_iter();
            all.extend(state.map(|(key, t)| (format!("{}.{key}", moments(TEMPERATURE)), t)));
        }
        for (name, model) in &self.models {
            all.extend(model.named_tensors(name)?);
        }
        Ok(all)
    }

    /// Goes on from what [`Parts::named_tensors`] gave; training continues bit for bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] or [`Error::Shape`] naming what is missing or does not fit.
    pub fn load_named(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, network) in self.networks() {
            for (own, params) in network {
                params.load_named(&joined(&name, &own), all)?;
            }
        }
        let policies = self.policies.iter_mut().map(|(name, part)| (name, &mut part.optimiser));
        let critics = self.critics.iter_mut().map(|(name, part)| (name, &mut part.optimiser));
        let values = self.values.iter_mut().map(|(name, part)| (name, &mut part.optimiser));
        for (name, optimiser) in policies.chain(critics).chain(values) {
            optimiser.load_named(&moments(name), all)?;
        }
        if let Some(adam) = self.temperature.as_mut().and_then(|t| t.adam.as_mut()) {
            let own = format!("{}.", moments(TEMPERATURE));
            let state = all.iter().filter_map(|(key, tensor)| {
                Some((key.strip_prefix(&own)?.to_string(), tensor.clone()))
            });
            adam.load_state(&state.collect())?;
        }
        self.models.iter_mut().try_for_each(|(name, model)| model.load_named(name, all))
    }
}

const TEMPERATURE: &str = "temperature";

/// The name of what follows the part `name`.
fn follower(name: &str) -> String {
    format!("{name}_target")
}

/// The name of a part's moments.
fn moments(name: &str) -> String {
    format!("adam.{name}")
}
