//! A squashed Gaussian whose means and standard deviations come from a person's own network.

use candle_core::Tensor;
use candle_nn::Module;

use super::{ActionSample, LearnedPolicy, Policy};
use crate::error::Result;
use crate::nn::{ModuleNet, NamedParams, squashed};
use crate::shape;

/// `a = tanh(mu(s) + sigma(s) eps)`, with the raw `[mu, log sigma]` `[B,2A]` of a candle module.
pub struct ModulePolicy<M> {
    net: ModuleNet<M>,
    obs_dim: usize,
    actions: usize,
    log_std: (f64, f64),
    frozen: bool,
}

impl<M: Module> ModulePolicy<M> {
    /// A policy whose network takes observations `[B,O]`, `O = obs_dim`, to `[B,2A]`, `A = actions`:
    /// means before squashing, then log standard deviations, kept within `log_std`.
    #[must_use]
    pub fn new(net: ModuleNet<M>, obs_dim: usize, actions: usize, log_std: (f64, f64)) -> Self {
        Self { net, obs_dim, actions, log_std, frozen: false }
    }

    fn raw(&self, obs: &Tensor) -> Result<Tensor> {
        let b = shape::rows(obs, self.obs_dim, "observations of the policy")?;
        let raw = if self.frozen { self.net.frozen(obs)? } else { self.net.tracked(obs)? };
        shape::exact(&raw, &[b, 2 * self.actions], "output of the policy's network")?;
        Ok(raw)
    }
}

impl<M: Module + 'static> Policy for ModulePolicy<M> {
    fn action_dim(&self) -> usize {
        self.actions
    }

    fn sample(&self, obs: &Tensor, noise: &Tensor) -> Result<ActionSample> {
        let raw = self.raw(obs)?;
        let (action, log_prob) = squashed::sample_raw(&raw, self.log_std, noise, self.net.spec())?;
        Ok(ActionSample { action, log_prob })
    }

    fn mode(&self, obs: &Tensor) -> Result<Tensor> {
        squashed::mode_raw(&self.raw(obs)?, self.net.spec())
    }

    fn log_prob(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let (mean, log_std) = squashed::split(&self.raw(obs)?, self.log_std)?;
        squashed::log_prob(&mean, &log_std, action)
    }
}

impl<M: Module + 'static> LearnedPolicy for ModulePolicy<M> {
    fn params(&self) -> NamedParams<'_> {
        self.net.params()
    }

    fn frozen(&self) -> Box<dyn Policy> {
        Box::new(Self { net: self.net.clone(), frozen: true, ..*self })
    }
}
