//! Learned values: an ensemble of Q networks, and a V network, each with its target network.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BoundsConfig, Critic, LearnedCritic, LearnedValue, Value, ValueBounds};
use crate::error::{Error, Result};
use crate::forward::{RowCritic, RowValue, Workspace};
use crate::limits;
use crate::nn::tile::PackedNet;
use crate::nn::{
    Activation, AdamConfig, Grad, Init, NamedParams, Normaliser, RowNormaliser, Stack, StackConfig,
    standardised,
};
use crate::rng::Rng;
use crate::shape::{self, Spec};

/// Networks and optimiser of a critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CriticConfig {
    /// Hidden widths. `[256, 256]`: code (softlearning).
    pub hidden: Vec<usize>,
    /// Activation. ReLU: code.
    pub activation: Activation,
    /// Initial weights. Glorot uniform: code (softlearning's default).
    pub init: Init,
    /// Learning rate of Adam. 3e-4: paper (SAC), code.
    pub lr: f64,
    /// Number of Q networks. 2: paper (clipped double Q).
    pub members: usize,
    /// Polyak step of the target networks, every gradient step. 5e-3: paper (SAC), code.
    pub tau: f64,
    /// Whether the last layer starts at zero; `None` is no: code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_last: Option<bool>,
    /// Bounds of the value, to which outputs are scaled and targets clipped; `None` is without: code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<BoundsConfig>,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            init: Init::GlorotUniform,
            lr: 3e-4,
            members: 2,
            tau: 5e-3,
            zero_last: None,
            bounds: None,
        }
    }
}

impl CriticConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `critic`.
    pub fn validate(&self) -> Result<()> {
        crate::check::hidden("critic.hidden", &self.hidden)?;
        crate::check::positive("critic.lr", self.lr)?;
        crate::check::count("critic.members", self.members, limits::MEMBERS)?;
        if !(self.tau > 0.0 && self.tau <= 1.0) {
            let problem = format!("expected a number in (0, 1], got {}", self.tau);
            return Err(Error::config("critic.tau", problem));
        }
        self.bounds.as_ref().map_or(Ok(()), BoundsConfig::validate)
    }

    /// The optimiser's settings.
    #[must_use]
    pub fn adam(&self) -> AdamConfig {
        AdamConfig { lr: self.lr, ..AdamConfig::default() }
    }

    fn stack(&self, input: usize, members: usize) -> StackConfig {
        StackConfig {
            input,
            hidden: self.hidden.clone(),
            output: 1,
            activation: self.activation,
            members,
            init: self.init,
        }
    }
}

/// An ensemble of Q networks with one set of weights: online or target.
#[derive(Debug, Clone)]
pub struct QNet {
    net: Stack,
    inputs: Option<Normaliser>,
    bounds: Option<ValueBounds>,
    /// Whether values are kept within the bounds, as those of targets are.
    clipped: bool,
    obs_dim: usize,
    actions: usize,
}

impl QNet {
    /// Fresh networks.
    ///
    /// # Errors
    /// [`Error::Config`] for widths of zero.
    pub fn new(
        config: &CriticConfig,
        obs_dim: usize,
        actions: usize,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let net = Stack::new(&config.stack(obs_dim + actions, config.members), rng, spec)?;
        if config.zero_last == Some(true) {
            net.scale_last(0.0)?;
        }
        let bounds = match &config.bounds {
            Some(config) => Some(ValueBounds::new(config, spec)?),
            None => None,
        };
        Ok(Self { net, inputs: None, bounds, clipped: false, obs_dim, actions })
    }

    /// The same networks, which standardise their observations so.
    #[must_use]
    pub fn standardised(self, inputs: Option<Normaliser>) -> Self {
        Self { inputs, ..self }
    }

    /// The networks.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    fn forward(&self, net: &Stack, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let x = self.inputs(obs, action)?;
        let out = net.forward(&x)?.reshape((self.members(), x.dim(0)?))?;
        match &self.bounds {
            Some(bounds) => bounds.scale(&out, self.clipped),
            None => Ok(out),
        }
    }

    /// What the networks read, `[B,O+A]`.
    fn inputs(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let b = shape::rows(obs, self.obs_dim, "observations of the critic")?;
        shape::exact(action, &[b, self.actions], "actions of the critic")?;
        Ok(match &self.inputs {
            Some(inputs) => Tensor::cat(&[&inputs.apply(obs)?, action], 1)?,
            None => Tensor::cat(&[obs, action], 1)?,
        })
    }
}

impl Critic for QNet {
    fn members(&self) -> usize {
        self.net.config().members
    }

    fn q(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.forward(&self.net.frozen(), obs, action)
    }

    fn rows(&self) -> Option<Box<dyn RowCritic + '_>> {
        let inputs = match &self.inputs {
            Some(inputs) => Some(inputs.rows()?),
            None => None,
        };
        let bounds = match &self.bounds {
            Some(bounds) => Some(bounds.get().ok()?),
            None => None,
        };
        let (net, members) = (self.net.packed()?, self.members());
        let Self { clipped, obs_dim, .. } = *self;
        Some(Box::new(QRows { net, inputs, bounds, clipped, members, obs_dim }))
    }
}

impl LearnedCritic for QNet {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn tracked(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.forward(&self.net, obs, action)
    }

    /// The values of what follows are targets: they stay within the bounds.
    fn copy(&self) -> Result<Box<dyn LearnedCritic>> {
        Ok(Box::new(Self { net: self.net.copy()?, clipped: true, ..self.clone() }))
    }

    fn bounds(&self) -> Option<&ValueBounds> {
        self.bounds.as_ref()
    }

    fn regress(
        &self,
        obs: &Tensor,
        action: &Tensor,
        slope: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Vec<Grad>>> {
        let ((), grad) = self.net.regress(&self.inputs(obs, action)?, |out| {
            let out = out.squeeze(2)?;
            let slope = match &self.bounds {
                Some(bounds) => (slope(&bounds.scale(&out, false)?)? * bounds.half_width()?)?,
                None => slope(&out)?,
            };
            Ok(((), slope.unsqueeze(2)?))
        })?;
        Ok(Some(vec![grad]))
    }
}

struct QRows {
    net: PackedNet,
    inputs: Option<RowNormaliser>,
    bounds: Option<(f64, f64)>,
    clipped: bool,
    members: usize,
    obs_dim: usize,
}

impl RowCritic for QRows {
    fn members(&self) -> usize {
        self.members
    }

    fn widths(&self) -> (usize, usize) {
        (self.obs_dim, self.net.input - self.obs_dim)
    }

    fn q(&self, obs: &[f32], action: &[f32], out: &mut [f32], work: &mut Workspace) {
        let (n, o) = (out.len() / self.members, self.obs_dim);
        let a = self.net.input - o;
        work.input.clear();
        for i in 0..n {
            let obs = &obs[i * o..][..o];
            match &self.inputs {
                Some(inputs) => work.input.extend(inputs.row(obs)),
                None => work.input.extend_from_slice(obs),
            }
            work.input.extend_from_slice(&action[i * a..][..a]);
        }
        for (m, out) in out.chunks_exact_mut(n.max(1)).enumerate() {
            self.net.forward(m, n, &work.input, out, &mut work.room);
        }
        let Some((low, high)) = self.bounds else { return };
        let (centre, half) = ((0.5 * (high + low)) as f32, (0.5 * (high - low)) as f32);
        out.iter_mut().for_each(|q| *q = centre + half * *q);
        if self.clipped {
            out.iter_mut().for_each(|q| *q = q.clamp(low as f32, high as f32));
        }
    }
}

/// A V network with one set of weights: online or target.
#[derive(Debug, Clone)]
pub struct VNet {
    net: Stack,
    inputs: Option<Normaliser>,
}

impl VNet {
    /// A fresh network.
    ///
    /// # Errors
    /// [`Error::Config`] for widths of zero.
    pub fn new(config: &CriticConfig, obs_dim: usize, rng: &mut Rng, spec: &Spec) -> Result<Self> {
        let net = Stack::new(&config.stack(obs_dim, 1), rng, spec)?;
        if config.zero_last == Some(true) {
            net.scale_last(0.0)?;
        }
        Ok(Self { net, inputs: None })
    }

    /// The same network, which standardises its observations so.
    #[must_use]
    pub fn standardised(self, inputs: Option<Normaliser>) -> Self {
        Self { inputs, ..self }
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    fn forward(&self, net: &Stack, obs: &Tensor) -> Result<Tensor> {
        shape::rows(obs, self.net.config().input, "observations of the value")?;
        let out = match &self.inputs {
            Some(inputs) => net.forward(&inputs.apply(obs)?)?,
            None => net.forward(obs)?,
        };
        Ok(out.squeeze(1)?)
    }
}

impl Value for VNet {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        self.forward(&self.net.frozen(), obs)
    }

    fn rows(&self) -> Option<Box<dyn RowValue + '_>> {
        let inputs = match &self.inputs {
            Some(inputs) => Some(inputs.rows()?),
            None => None,
        };
        Some(Box::new(VRows { net: self.net.packed()?, inputs }))
    }
}

impl LearnedValue for VNet {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn tracked(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(self.forward(&self.net, obs)?.unsqueeze(0)?)
    }

    fn copy(&self) -> Result<Box<dyn LearnedValue>> {
        Ok(Box::new(Self { net: self.net.copy()?, ..self.clone() }))
    }
}

struct VRows {
    net: PackedNet,
    inputs: Option<RowNormaliser>,
}

impl RowValue for VRows {
    fn obs_dim(&self) -> usize {
        self.net.input
    }

    fn value(&self, obs: &[f32], out: &mut [f32], work: &mut Workspace) {
        let obs = standardised(self.inputs.as_ref(), obs, self.net.input, &mut work.input);
        self.net.forward(0, out.len(), obs, out, &mut work.room);
    }
}
