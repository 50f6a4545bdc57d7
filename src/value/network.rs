//! Learned values: an ensemble of Q networks, and a V network, each with its target network.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Critic, LearnedCritic, LearnedValue, Value};
use crate::error::{Error, Result};
use crate::forward::{RowCritic, RowValue, Workspace};
use crate::limits;
use crate::nn::tile::PackedNet;
use crate::nn::{Activation, AdamConfig, Grad, Init, NamedParams, Stack, StackConfig};
use crate::rng::Rng;
use crate::shape::{self, Spec};

/// Networks and optimiser of a critic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        Ok(())
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
        let stack = config.stack(obs_dim + actions, config.members);
        Ok(Self { net: Stack::new(&stack, rng, spec)?, obs_dim, actions })
    }

    /// The networks.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    fn forward(&self, net: &Stack, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let b = shape::rows(obs, self.obs_dim, "observations of the critic")?;
        shape::exact(action, &[b, self.actions], "actions of the critic")?;
        let out = net.forward(&Tensor::cat(&[obs, action], 1)?)?;
        Ok(out.reshape((self.members(), b))?)
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
        let net = PackedNet::new(&self.net)?;
        Some(Box::new(QRows { net, members: self.members(), obs_dim: self.obs_dim }))
    }
}

impl LearnedCritic for QNet {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn tracked(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.forward(&self.net, obs, action)
    }

    fn copy(&self) -> Result<Box<dyn LearnedCritic>> {
        Ok(Box::new(Self { net: self.net.copy()?, ..self.clone() }))
    }

    fn regress(
        &self,
        obs: &Tensor,
        action: &Tensor,
        slope: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Vec<Grad>>> {
        let b = shape::rows(obs, self.obs_dim, "observations of the critic")?;
        shape::exact(action, &[b, self.actions], "actions of the critic")?;
        let ((), grad) = self.net.regress(&Tensor::cat(&[obs, action], 1)?, |q| {
            Ok(((), slope(&q.squeeze(2)?)?.unsqueeze(2)?))
        })?;
        Ok(Some(vec![grad]))
    }
}

struct QRows {
    net: PackedNet,
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
            work.input.extend_from_slice(&obs[i * o..][..o]);
            work.input.extend_from_slice(&action[i * a..][..a]);
        }
        for (m, out) in out.chunks_exact_mut(n.max(1)).enumerate() {
            self.net.forward(m, n, &work.input, out, &mut work.room);
        }
    }
}

/// A V network with one set of weights: online or target.
#[derive(Debug, Clone)]
pub struct VNet {
    net: Stack,
}

impl VNet {
    /// A fresh network.
    ///
    /// # Errors
    /// [`Error::Config`] for widths of zero.
    pub fn new(config: &CriticConfig, obs_dim: usize, rng: &mut Rng, spec: &Spec) -> Result<Self> {
        Ok(Self { net: Stack::new(&config.stack(obs_dim, 1), rng, spec)? })
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    fn forward(&self, net: &Stack, obs: &Tensor) -> Result<Tensor> {
        shape::rows(obs, self.net.config().input, "observations of the value")?;
        Ok(net.forward(obs)?.squeeze(1)?)
    }
}

impl Value for VNet {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        self.forward(&self.net.frozen(), obs)
    }

    fn rows(&self) -> Option<Box<dyn RowValue + '_>> {
        Some(Box::new(VRows(PackedNet::new(&self.net)?)))
    }
}

impl LearnedValue for VNet {
    fn params(&self) -> NamedParams<'_> {
        vec![(String::new(), self.net.params())]
    }

    fn tracked(&self, obs: &Tensor) -> Result<Tensor> {
        self.forward(&self.net, obs)
    }

    fn copy(&self) -> Result<Box<dyn LearnedValue>> {
        Ok(Box::new(Self { net: self.net.copy()? }))
    }
}

struct VRows(PackedNet);

impl RowValue for VRows {
    fn obs_dim(&self) -> usize {
        self.0.input
    }

    fn value(&self, obs: &[f32], out: &mut [f32], work: &mut Workspace) {
        self.0.forward(0, out.len(), obs, out, &mut work.room);
    }
}
