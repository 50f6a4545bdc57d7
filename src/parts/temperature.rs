//! SAC's temperature: the weight of the policy's entropy.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::{Adam, AdamConfig, Params};
use crate::shape::{self, Spec};

/// How SAC's temperature is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
