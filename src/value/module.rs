//! Values that are a person's own networks.

use candle_core::Tensor;
use candle_nn::Module;

use super::{Critic, LearnedCritic, LearnedValue, Value};
use crate::error::{Error, Result};
use crate::nn::{ModuleNet, NamedParams};
use crate::shape;

/// An ensemble of candle modules, each from observation and action `[B,O+A]` to `[B,1]`.
pub struct ModuleCritic<M> {
    members: Vec<ModuleNet<M>>,
    obs_dim: usize,
    actions: usize,
}

impl<M: Module> ModuleCritic<M> {
    /// An ensemble of these networks, for observations of length `obs_dim` and `actions` action
    /// dimensions.
    ///
    /// # Errors
    /// [`Error::Config`] for no network.
    pub fn new(members: Vec<ModuleNet<M>>, obs_dim: usize, actions: usize) -> Result<Self> {
        if members.is_empty() {
            return Err(Error::config("critic.members", "expected at least 1, got 0"));
        }
        Ok(Self { members, obs_dim, actions })
    }

    fn each(
        &self,
        obs: &Tensor,
        action: &Tensor,
        forward: impl Fn(&ModuleNet<M>, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let b = shape::rows(obs, self.obs_dim, "observations of the critic")?;
        shape::exact(action, &[b, self.actions], "actions of the critic")?;
        let pair = Tensor::cat(&[obs, action], 1)?;
        let q = self.members.iter().map(|net| {
            let q = forward(net, &pair)?;
            shape::exact(&q, &[b, 1], "output of the critic's network")?;
            Ok(q.squeeze(1)?)
        });
        Ok(Tensor::stack(&q.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

impl<M: Module + 'static> Critic for ModuleCritic<M> {
    fn members(&self) -> usize {
        self.members.len()
    }

    fn q(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.each(obs, action, ModuleNet::frozen)
    }
}

impl<M: Module + 'static> LearnedCritic for ModuleCritic<M> {
    fn params(&self) -> NamedParams<'_> {
        let members = self.members.iter().enumerate();
        members
            .flat_map(|(i, net)| {
                net.params().into_iter().map(move |(name, p)| (format!("{i}.{name}"), p))
            })
            .collect()
    }

    fn tracked(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        self.each(obs, action, ModuleNet::tracked)
    }

    fn copy(&self) -> Result<Box<dyn LearnedCritic>> {
        let members = self.members.iter().map(ModuleNet::copy).collect::<Result<_>>()?;
        Ok(Box::new(Self { members, ..*self }))
    }
}

/// A candle module from observations `[B,O]` to `[B,1]`.
pub struct ModuleValue<M> {
    net: ModuleNet<M>,
    obs_dim: usize,
}

impl<M: Module> ModuleValue<M> {
    /// A value for observations of length `obs_dim`.
    #[must_use]
    pub fn new(net: ModuleNet<M>, obs_dim: usize) -> Self {
        Self { net, obs_dim }
    }

    fn checked(&self, obs: &Tensor, v: Result<Tensor>) -> Result<Tensor> {
        let b = shape::rows(obs, self.obs_dim, "observations of the value")?;
        let v = v?;
        shape::exact(&v, &[b, 1], "output of the value's network")?;
        Ok(v.squeeze(1)?)
    }
}

impl<M: Module + 'static> Value for ModuleValue<M> {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        self.checked(obs, self.net.frozen(obs))
    }
}

impl<M: Module + 'static> LearnedValue for ModuleValue<M> {
    fn params(&self) -> NamedParams<'_> {
        self.net.params()
    }

    fn tracked(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(self.checked(obs, self.net.tracked(obs))?.unsqueeze(0)?)
    }

    fn copy(&self) -> Result<Box<dyn LearnedValue>> {
        Ok(Box::new(Self { net: self.net.copy()?, obs_dim: self.obs_dim }))
    }
}
