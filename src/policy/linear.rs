//! The linear(-Gaussian) policy of control theory: `a = -K s + sigma eps`.

use candle_core::{Tensor, Var};

use super::{ActionSample, Policy};
use crate::error::Result;
use crate::shape::{self, Spec};

/// `a = -K s + sigma eps`, unsquashed, with `K` `[A,S]` trainable.
#[derive(Debug, Clone)]
pub struct Linear {
    gain: Var,
    sigma: f64,
    track: bool,
}

impl Linear {
    /// A policy with gain `k`, row-major `[A,S]`, and standard deviation `sigma` of its actions.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when `k` has not `a x s` numbers.
    pub fn new(k: &[f64], a: usize, s: usize, sigma: f64, spec: &Spec) -> Result<Self> {
        Ok(Self { gain: Var::from_tensor(&spec.tensor(k, (a, s))?)?, sigma, track: true })
    }

    /// The gain `K`, `[A,S]`.
    #[must_use]
    pub fn gain(&self) -> &Var {
        &self.gain
    }

    /// The same policy without gradients to `K`.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { track: false, ..self.clone() }
    }

    fn mean(&self, obs: &Tensor) -> Result<Tensor> {
        let (_, s) = self.gain.dims2()?;
        shape::rows(obs, s, "observations of a linear policy")?;
        let gain =
            if self.track { self.gain.as_tensor().clone() } else { self.gain.as_detached_tensor() };
        Ok(obs.matmul(&gain.t()?)?.neg()?)
    }
}

impl Policy for Linear {
    fn action_dim(&self) -> usize {
        self.gain.dims()[0]
    }

    fn sample(&self, obs: &Tensor, noise: &Tensor) -> Result<ActionSample> {
        let mean = self.mean(obs)?;
        let action = (&mean + (noise * self.sigma)?)?;
        Ok(ActionSample { log_prob: self.density(&action, &mean)?, action })
    }

    fn mode(&self, obs: &Tensor) -> Result<Tensor> {
        self.mean(obs)
    }

    fn log_prob(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.density(action, &self.mean(obs)?)
    }
}

impl Linear {
    /// Gaussian log-density; zeros when deterministic.
    fn density(&self, action: &Tensor, mean: &Tensor) -> Result<Tensor> {
        let b = mean.dim(0)?;
        if self.sigma == 0.0 {
            return Ok(Tensor::zeros(b, mean.dtype(), mean.device())?);
        }
        let z = ((action - mean)? / self.sigma)?;
        let norm =
            self.action_dim() as f64 * (self.sigma.ln() + 0.5 * (2.0 * std::f64::consts::PI).ln());
        Ok(((z.sqr()?.sum(1)? * -0.5)? - norm)?)
    }
}
