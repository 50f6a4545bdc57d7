//! An ensemble of V networks, each on top of a prior that stays as it was drawn.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LearnedValue, Value};
use crate::error::Result;
use crate::limits;
use crate::nn::{Activation, AdamConfig, Init, NamedParams, Normaliser, Stack, StackConfig};
use crate::rng::Rng;
use crate::shape::{self, Spec};

/// Networks and optimiser of an ensemble of state values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValueEnsembleConfig {
    /// Hidden widths of a member. `[16, 16]`: paper (POLO, humanoid).
    pub hidden: Vec<usize>,
    /// Activation. tanh: paper (POLO).
    pub activation: Activation,
    /// Initial weights, of the priors too. Glorot uniform: ours.
    pub init: Init,
    /// Learning rate of Adam. 1e-3: paper (POLO; Adam's default).
    pub lr: f64,
    /// Number of members. 6: paper (POLO).
    pub members: usize,
    /// What the prior of a member is multiplied by; 0 is without. 1: ours (the paper gives no number).
    pub prior: f64,
}

impl Default for ValueEnsembleConfig {
    fn default() -> Self {
        Self {
            hidden: vec![16, 16],
            activation: Activation::Tanh,
            init: Init::GlorotUniform,
            lr: 1e-3,
            members: 6,
            prior: 1.0,
        }
    }
}

impl ValueEnsembleConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `value`.
    pub fn validate(&self) -> Result<()> {
        crate::check::hidden("value.hidden", &self.hidden)?;
        crate::check::positive("value.lr", self.lr)?;
        crate::check::count("value.members", self.members, limits::MEMBERS)?;
        crate::check::not_negative("value.prior", self.prior)
    }

    /// The optimiser's settings.
    #[must_use]
    pub fn adam(&self) -> AdamConfig {
        AdamConfig { lr: self.lr, ..AdamConfig::default() }
    }
}

/// `V_e(s) = f_e(s) + beta p_e(s)` with a prior `p_e` that is never trained (Osband et al. 2018; POLO,
/// section 2.2): where there is no data the members keep disagreeing.
#[derive(Debug, Clone)]
pub struct VEnsemble {
    net: Stack,
    prior: Stack,
    scale: f64,
    inputs: Option<Normaliser>,
}

impl VEnsemble {
    /// Fresh networks and priors.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for widths of zero.
    pub fn new(
        config: &ValueEnsembleConfig,
        obs_dim: usize,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let stack = StackConfig {
            input: obs_dim,
            hidden: config.hidden.clone(),
            output: 1,
            activation: config.activation,
            members: config.members,
            init: config.init,
        };
        let prior = Stack::new(&stack, &mut rng.fork("prior"), spec)?;
        let net = Stack::new(&stack, rng, spec)?;
        Ok(Self { net, prior, scale: config.prior, inputs: None })
    }

    /// The same networks, which standardise their observations so.
    #[must_use]
    pub fn standardised(self, inputs: Option<Normaliser>) -> Self {
        Self { inputs, ..self }
    }

    fn forward(&self, net: &Stack, obs: &Tensor) -> Result<Tensor> {
        let b = shape::rows(obs, net.config().input, "observations of the value")?;
        let obs = match &self.inputs {
            Some(inputs) => inputs.apply(obs)?,
            None => obs.clone(),
        };
        let all = (net.config().members, b);
        let trained = net.forward(&obs)?.reshape(all)?;
        if self.scale == 0.0 {
            return Ok(trained);
        }
        Ok((trained + (self.prior.frozen().forward(&obs)?.reshape(all)? * self.scale)?)?)
    }
}

impl Value for VEnsemble {
    /// The mean of the members.
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(self.values(obs)?.mean(0)?)
    }

    fn members(&self) -> usize {
        self.net.config().members
    }

    fn values(&self, obs: &Tensor) -> Result<Tensor> {
        self.forward(&self.net.frozen(), obs)
    }
}

impl LearnedValue for VEnsemble {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn fixed(&self) -> NamedParams<'_> {
        vec![(String::new(), self.prior.params())]
    }

    fn tracked(&self, obs: &Tensor) -> Result<Tensor> {
        self.forward(&self.net, obs)
    }

    fn copy(&self) -> Result<Box<dyn LearnedValue>> {
        Ok(Box::new(Self { net: self.net.copy()?, ..self.clone() }))
    }
}
