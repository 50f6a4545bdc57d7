//! The tanh-squashed Gaussian policy of SAC.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionSample, LearnedPolicy, Policy};
use crate::error::{Error, Result};
use crate::forward::{RowPolicy, Workspace};
use crate::nn::tile::PackedNet;
use crate::nn::{
    Activation, AdamConfig, Init, NamedParams, Normaliser, RowNormaliser, Stack, StackConfig,
    softplus_values, squashed, standardised,
};
use crate::rng::Rng;
use crate::shape::{self, Spec};

/// What the network's second half of outputs says of the standard deviation before squashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deviation {
    /// Its logarithm.
    Exp,
    /// `sigma = ln(1 + exp(x)) + 1e-5` (the released code of Kubo et al. 2025).
    Softplus,
}

/// The least deviation of [`Deviation::Softplus`].
const LEAST: f64 = 1e-5;

/// The policy's network and optimiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActorConfig {
    /// Hidden widths. `[256, 256]`: code (softlearning), used by every paper here.
    pub hidden: Vec<usize>,
    /// Activation. ReLU: code.
    pub activation: Activation,
    /// Initial weights. Glorot uniform: code (softlearning's default).
    pub init: Init,
    /// Learning rate of Adam. 3e-4: paper (SAC), code.
    pub lr: f64,
    /// Lowest log standard deviation before squashing. -20: code.
    pub log_std_min: f64,
    /// Highest log standard deviation before squashing. 2: code.
    pub log_std_max: f64,
    /// How the deviation is read off the network; `None` is `exp`: code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Deviation>,
    /// Longest gradient that is followed as it is (L2 norm); a longer one is shortened to it.
    /// `None`, no limit: code. Worth setting where a gradient goes through many model steps.
    pub max_grad_norm: Option<f64>,
}

impl Default for ActorConfig {
    fn default() -> Self {
        Self {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            init: Init::GlorotUniform,
            lr: 3e-4,
            log_std_min: -20.0,
            log_std_max: 2.0,
            deviation: None,
            max_grad_norm: None,
        }
    }
}

impl ActorConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `actor`.
    pub fn validate(&self) -> Result<()> {
        crate::check::hidden("actor.hidden", &self.hidden)?;
        crate::check::positive("actor.lr", self.lr)?;
        if let Some(norm) = self.max_grad_norm {
            crate::check::positive("actor.max_grad_norm", norm)?;
        }
        let ordered = self.log_std_min < self.log_std_max;
        if !(ordered && self.log_std_min.is_finite() && self.log_std_max.is_finite()) {
            let problem = format!(
                "must lie below `actor.log_std_max` = {}, got {}",
                self.log_std_max, self.log_std_min
            );
            return Err(Error::config("actor.log_std_min", problem));
        }
        Ok(())
    }

    /// The optimiser's settings.
    #[must_use]
    pub fn adam(&self) -> AdamConfig {
        AdamConfig { lr: self.lr, ..AdamConfig::default() }
    }
}

/// `a = tanh(mu(s) + sigma(s) eps)` (Haarnoja et al. 2018, appendix C).
#[derive(Debug, Clone)]
pub struct SquashedGaussian {
    net: Stack,
    inputs: Option<Normaliser>,
    actions: usize,
    log_std: (f64, f64),
    softplus: bool,
}

impl SquashedGaussian {
    /// A fresh policy for observations of width `obs_dim` and `actions` action dimensions.
    ///
    /// # Errors
    /// [`Error::Config`] for widths of zero.
    pub fn new(
        config: &ActorConfig,
        obs_dim: usize,
        actions: usize,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let stack = StackConfig {
            input: obs_dim,
            hidden: config.hidden.clone(),
            output: 2 * actions,
            activation: config.activation,
            members: 1,
            init: config.init,
        };
        let log_std = (config.log_std_min, config.log_std_max);
        let net = Stack::new(&stack, rng, spec)?;
        let softplus = config.deviation == Some(Deviation::Softplus);
        Ok(Self { net, inputs: None, actions, log_std, softplus })
    }

    /// The same policy, which standardises its observations so.
    #[must_use]
    pub fn standardised(self, inputs: Option<Normaliser>) -> Self {
        Self { inputs, ..self }
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    /// The same policy without gradients to its parameters.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { net: self.net.frozen(), ..self.clone() }
    }

    /// Means and raw log standard deviations `[B,2A]`.
    fn raw(&self, obs: &Tensor) -> Result<Tensor> {
        shape::rows(obs, self.net.config().input, "observations of the policy")?;
        let raw = match &self.inputs {
            Some(inputs) => self.net.forward(&inputs.apply(obs)?)?,
            None => self.net.forward(obs)?,
        };
        if !self.softplus {
            return Ok(raw);
        }
        let a = self.actions;
        let std = (squashed::softplus(&raw.narrow(1, a, a)?.contiguous()?)? + LEAST)?;
        Ok(Tensor::cat(&[raw.narrow(1, 0, a)?.contiguous()?, std.log()?], 1)?)
    }
}

impl Policy for SquashedGaussian {
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

    fn rows(&self) -> Option<Box<dyn RowPolicy + '_>> {
        let net = self.net.packed()?;
        let inputs = match &self.inputs {
            Some(inputs) => Some(inputs.rows()?),
            None => None,
        };
        let Self { actions, log_std, softplus, .. } = *self;
        Some(Box::new(GaussianRows { net, inputs, actions, log_std, softplus }))
    }
}

impl LearnedPolicy for SquashedGaussian {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn frozen(&self) -> Box<dyn Policy> {
        Box::new(SquashedGaussian::frozen(self))
    }
}

struct GaussianRows {
    net: PackedNet,
    inputs: Option<RowNormaliser>,
    actions: usize,
    log_std: (f64, f64),
    softplus: bool,
}

impl GaussianRows {
    /// Means and raw log standard deviations `[n,2A]`, in `work.output`.
    fn raw(&self, obs: &[f32], n: usize, work: &mut Workspace) {
        let a = self.actions;
        work.output.resize(2 * n * a, 0.0);
        let obs = standardised(self.inputs.as_ref(), obs, self.net.input, &mut work.input);
        self.net.forward(0, n, obs, &mut work.output, &mut work.room);
        if self.softplus {
            for head in work.output.chunks_exact_mut(2 * a) {
                softplus_values(&mut head[a..]);
                head[a..].iter_mut().for_each(|x| *x = (*x + LEAST as f32).ln());
            }
        }
    }
}

impl RowPolicy for GaussianRows {
    fn obs_dim(&self) -> usize {
        self.net.input
    }

    fn act(
        &self,
        obs: &[f32],
        eps: Option<&[f32]>,
        action: &mut [f32],
        log_prob: Option<&mut [f32]>,
        work: &mut Workspace,
    ) {
        let a = self.actions;
        self.raw(obs, action.len() / a.max(1), work);
        if let Some(log_prob) = log_prob {
            let (raw, std) = (&work.output, &mut work.head);
            return squashed::act_densely(raw, eps, self.log_std, action, log_prob, std);
        }
        // Means and log standard deviations apart, so that the costly functions run over long arrays.
        work.head.clear();
        for (head, action) in work.output.chunks_exact(2 * a).zip(action.chunks_exact_mut(a)) {
            action.copy_from_slice(&head[..a]);
            work.head.extend_from_slice(&head[a..]);
        }
        squashed::act(action, &work.head, eps, self.log_std);
    }

    fn log_prob(&self, obs: &[f32], action: &[f32], out: &mut [f32], work: &mut Workspace) {
        self.raw(obs, out.len(), work);
        squashed::densities(&work.output, action, self.log_std, out);
    }
}
