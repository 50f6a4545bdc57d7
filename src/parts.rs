//! The learned parts that the four uses work on: policy, critic, value, temperature, model.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::dynamics::{Dynamics, Ensemble};
use crate::error::{Error, Result};
use crate::nn::{Adam, AdamConfig, Params};
use crate::policy::{ActorConfig, SquashedGaussian};
use crate::shape::{self, Spec};
use crate::value::{QNet, Targeted, VNet};

/// A policy with its optimiser.
pub struct Actor {
    /// The policy.
    pub policy: SquashedGaussian,
    /// Its optimiser.
    pub adam: Adam,
    /// Longest gradient that is followed as it is (L2 norm).
    pub max_grad_norm: Option<f64>,
    /// Whether a loss was seen to move nothing else.
    alone: bool,
}

impl Actor {
    /// A policy with the optimiser of its config.
    ///
    /// # Errors
    /// [`Error::Config`] for optimiser settings out of range.
    pub fn new(policy: SquashedGaussian, config: &ActorConfig) -> Result<Self> {
        let adam = Adam::new(policy.net().params(), &config.adam(), &[])?;
        Ok(Self { policy, adam, max_grad_norm: config.max_grad_norm, alone: false })
    }

    /// One optimiser step down the gradient of a loss.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the gradient is not finite, or too large for Adam's moments;
    /// [`Error::Composition`] when the loss would move more than the policy.
    pub fn descend(&mut self, loss: &Tensor) -> Result<()> {
        if !std::mem::replace(&mut self.alone, true) {
            self.policy.net().params().alone_in(loss)?;
        }
        let gradients = &loss.backward()?;
        let Some(limit) = self.max_grad_norm else { return self.adam.step(gradients) };
        let Some(gradient) = self.policy.net().params().grad(gradients)? else {
            return self.adam.step(gradients);
        };
        // In f64: the squares of a gradient that needs shortening may overflow f32.
        let norm = shape::to_f64(&gradient)?.iter().map(|g| g * g).sum::<f64>().sqrt();
        self.adam.step_grad(&if norm > limit { (gradient * (limit / norm))? } else { gradient })
    }
}

/// An ensemble of Q networks with target networks and optimiser.
pub struct CriticPart {
    /// Online and target networks.
    pub q: Targeted<QNet>,
    /// Optimiser of the online networks.
    pub adam: Adam,
    /// Polyak step of the target.
    pub tau: f64,
}

/// A V network with target network and optimiser.
pub struct ValuePart {
    /// Online and target network.
    pub v: Targeted<VNet>,
    /// Optimiser of the online network.
    pub adam: Adam,
    /// Polyak step of the target.
    pub tau: f64,
}

/// How SAC's temperature is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemperatureConfig {
    /// Initial temperature alpha, reward units a nat. 1: code (log alpha starts at 0).
    pub initial: f64,
    /// Whether alpha follows the target entropy. true: paper (SAC with automatic temperature).
    pub automatic: bool,
    /// Target entropy in nats; `None` is `-A`: paper (SAC).
    pub target_entropy: Option<f64>,
    /// Learning rate of Adam on log alpha. 3e-4: code.
    pub lr: f64,
}

impl Default for TemperatureConfig {
    fn default() -> Self {
        Self { initial: 1.0, automatic: true, target_entropy: None, lr: 3e-4 }
    }
}

impl TemperatureConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `temperature`.
    pub fn validate(&self) -> Result<()> {
        let zero_allowed = !self.automatic && self.initial == 0.0;
        if !zero_allowed {
            crate::check::positive("temperature.initial", self.initial)?;
        }
        if let Some(target) = self.target_entropy.filter(|target| !target.is_finite()) {
            let problem = format!("expected a finite number of nats, got {target}");
            return Err(Error::config("temperature.target_entropy", problem));
        }
        crate::check::positive("temperature.lr", self.lr)
    }
}

/// SAC's temperature: fixed, or following a target entropy.
pub struct Temperature {
    /// `log alpha`, one number.
    pub log_alpha: Params,
    /// Its optimiser; `None` when fixed.
    pub adam: Option<Adam>,
    target_entropy: f64,
    fixed: f64,
}

impl Temperature {
    /// A temperature for `actions` action dimensions.
    ///
    /// # Errors
    /// [`Error::Config`] when a number is out of range.
    pub fn new(config: &TemperatureConfig, actions: usize, spec: &Spec) -> Result<Self> {
        config.validate()?;
        let log_alpha = Params::new(
            &[("log_alpha".into(), vec![1], vec![config.initial.max(1e-300).ln()])],
            spec,
        )?;
        let adam = match config.automatic {
            true => {
                let adam = AdamConfig { lr: config.lr, ..AdamConfig::default() };
                Some(Adam::new(&log_alpha, &adam, &[])?)
            }
            false => None,
        };
        let target_entropy = config.target_entropy.unwrap_or(-(actions as f64));
        Ok(Self { log_alpha, adam, target_entropy, fixed: config.initial })
    }

    /// The temperature alpha.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameter cannot be read.
    pub fn alpha(&self) -> Result<f64> {
        match self.adam {
            Some(_) => Ok(shape::scalar(&self.log_alpha.theta())?.exp()),
            None => Ok(self.fixed),
        }
    }

    /// One step on `-log_alpha (log pi + target entropy)` with the policy's log-probabilities
    /// `[B]` (Haarnoja et al. 2018b, eq. 18, in log alpha as the released codes have it).
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the log-probabilities are not finite.
    pub fn update(&mut self, log_prob: &Tensor) -> Result<()> {
        let Some(adam) = &mut self.adam else { return Ok(()) };
        let mean = shape::scalar(&log_prob.detach().mean_all()?)?;
        let gradient = -(mean + self.target_entropy);
        let theta = self.log_alpha.theta();
        let gradient = Tensor::new(&[gradient], theta.device())?.to_dtype(theta.dtype())?;
        adam.step_grad(&gradient)
    }
}

/// Everything an agent has learned. A part that a composition does not use is absent.
#[derive(Default)]
pub struct Parts {
    /// Discount.
    pub gamma: f64,
    /// The policy.
    pub actor: Option<Actor>,
    /// The action values.
    pub critic: Option<CriticPart>,
    /// The state value.
    pub value: Option<ValuePart>,
    /// The temperature.
    pub temperature: Option<Temperature>,
    /// The dynamics.
    pub model: Option<Model>,
}

/// The dynamics that the uses roll out: learned, or given.
pub enum Model {
    /// The probabilistic ensemble, fitted to the real data.
    Learned(Box<Ensemble>),
    /// Anything else whose state is the observation: the true model, a closure. Never fitted.
    Given(Box<dyn Dynamics>),
}

impl Model {
    /// What steps the states.
    #[must_use]
    pub fn dynamics(&self) -> &dyn Dynamics {
        match self {
            Model::Learned(ensemble) => ensemble.predictor(),
            Model::Given(dynamics) => dynamics.as_ref(),
        }
    }

    /// The ensemble, where the model is learned.
    #[must_use]
    pub fn learned(&self) -> Option<&Ensemble> {
        match self {
            Model::Learned(ensemble) => Some(ensemble),
            Model::Given(_) => None,
        }
    }

    /// The ensemble, where the model is learned.
    pub fn learned_mut(&mut self) -> Option<&mut Ensemble> {
        match self {
            Model::Learned(ensemble) => Some(ensemble),
            Model::Given(_) => None,
        }
    }

    /// How many members a step may choose from.
    #[must_use]
    pub fn members(&self) -> usize {
        self.learned().map_or(1, |ensemble| ensemble.elites().len())
    }
}

fn missing(part: &str) -> Error {
    let problem = format!("a use needs the {part}, which this composition does not have");
    Error::Composition { agent: "parts".into(), problem }
}

impl Parts {
    /// The policy.
    ///
    /// # Errors
    /// [`Error::Composition`] when there is none; [`crate::agent::Builder`] refuses such agents.
    pub fn policy(&self) -> Result<&SquashedGaussian> {
        self.actor.as_ref().map(|a| &a.policy).ok_or_else(|| missing("policy"))
    }

    /// The critic.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn critic(&self) -> Result<&CriticPart> {
        self.critic.as_ref().ok_or_else(|| missing("critic"))
    }

    /// The state value.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn value(&self) -> Result<&ValuePart> {
        self.value.as_ref().ok_or_else(|| missing("value"))
    }

    /// The model.
    ///
    /// # Errors
    /// As [`Parts::policy`].
    pub fn model(&self) -> Result<&Model> {
        self.model.as_ref().ok_or_else(|| missing("model"))
    }

    /// The temperature alpha; 0 without a temperature.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameter cannot be read.
    pub fn alpha(&self) -> Result<f64> {
        self.temperature.as_ref().map_or(Ok(0.0), Temperature::alpha)
    }
}
