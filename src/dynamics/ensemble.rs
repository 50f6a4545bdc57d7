//! The ensemble with its optimisers: what is trained, saved and restored.

use std::collections::BTreeMap;
use std::ops::Deref;

use candle_core::Tensor;

use super::{Dynamics, EnsembleConfig, EnsembleModel, StepNoise, Transition, ensemble_model};
use crate::env::Known;
use crate::error::{Error, Result};
use crate::forward::RowDynamics;
use crate::nn::{Adam, AdamConfig, Stack};
use crate::rng::Rng;
use crate::shape::Spec;

/// The probabilistic ensemble of PETS and MBPO, trainable by [`Ensemble::fit`].
///
/// It derefs to its [`EnsembleModel`], the predicting side, which can be cloned out and stays in
/// step with later fits.
pub struct Ensemble {
    pub(super) model: EnsembleModel,
    pub(super) adam: Adam,
    /// The bounds belong to all members; their optimiser is separate because they do not decay.
    pub(super) bounds_adam: Adam,
    pub(super) fitted: bool,
}

impl Deref for Ensemble {
    type Target = EnsembleModel;

    fn deref(&self) -> &EnsembleModel {
        &self.model
    }
}

fn optimisers(model: &EnsembleModel) -> Result<(Adam, Adam)> {
    let config = AdamConfig { lr: model.config.lr, ..AdamConfig::default() };
    let adam = Adam::new(model.net.params(), &config, &model.config.weight_decay)?;
    Ok((adam, Adam::new(&model.bounds, &config, &[])?))
}

impl Ensemble {
    /// A freshly initialised ensemble for observations of length `O = obs_dim` and normalised
    /// actions of length `A = action_dim`.
    ///
    /// # Errors
    /// [`Error::Config`] for numbers out of range, or `learn_reward = false` without a known reward.
    pub fn new(
        config: &EnsembleConfig,
        obs_dim: usize,
        action_dim: usize,
        known: Known,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let model = EnsembleModel::new(config, obs_dim, action_dim, known, rng, spec)?;
        let (adam, bounds_adam) = optimisers(&model)?;
        Ok(Self { model, adam, bounds_adam, fitted: false })
    }

    /// The predicting side; it sees every later fit.
    #[must_use]
    pub fn model(&self) -> EnsembleModel {
        self.model.clone()
    }

    /// The predicting side, borrowed.
    #[must_use]
    pub fn predictor(&self) -> &EnsembleModel {
        &self.model
    }

    /// Whether it has been fitted to data.
    #[must_use]
    pub fn is_fitted(&self) -> bool {
        self.fitted
    }

    /// Gradient steps taken by Adam since its moments were last reset.
    #[must_use]
    pub fn adam_steps(&self) -> u64 {
        self.adam.steps()
    }

    /// New weights, bounds and moments.
    pub(super) fn reset(&mut self, rng: &mut Rng) -> Result<()> {
        let (net, spec) = (&self.model.net, self.model.net.spec());
        let fresh = Stack::new(net.config(), rng, spec)?;
        net.params().set_flat(&fresh.params().to_flat()?)?;
        let bounds = ensemble_model::bounds(&self.model.config, self.model.target_dim(), spec)?;
        self.model.bounds.set_flat(&bounds.to_flat()?)?;
        (self.adam, self.bounds_adam) = optimisers(&self.model)?;
        Ok(())
    }

    /// Everything that a continued training depends on: weights, bounds, Adam's moments,
    /// normalisers, elites, and whether it was fitted; names start with `prefix.`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn named_tensors(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let model = &self.model;
        let mut all = BTreeMap::new();
        for (name, params) in self.parts() {
            all.extend(params.named_tensors(&format!("{prefix}.{name}"))?);
        }
        for (name, adam) in [("adam", &self.adam), ("bounds_adam", &self.bounds_adam)] {
            let state = adam.state()?.into_iter();
            all.extend(state.map(|(key, t)| (format!("{prefix}.{name}.{key}"), t)));
        }
        let (elites, device) = (model.elites(), &model.net.spec().device);
        let n = elites.len();
        all.insert(format!("{prefix}.elites"), Tensor::from_vec(elites, n, device)?);
        let fitted = vec![u8::from(self.fitted)];
        all.insert(format!("{prefix}.fitted"), Tensor::from_vec(fitted, 1, device)?);
        Ok(all)
    }

    /// Goes on from what [`Ensemble::named_tensors`] gave; training continues bit for bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] or [`Error::Shape`] when something is missing or does not fit this
    /// configuration.
    pub fn load_named(&mut self, prefix: &str, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        let get = |name: &str| {
            let missing = || Error::checkpoint(prefix, format!("`{prefix}.{name}` is missing"));
            saved.get(&format!("{prefix}.{name}")).ok_or_else(missing)
        };
        let elites = get("elites")?.to_vec1::<u32>()?;
        let config = &self.model.config;
        let valid = elites.iter().all(|m| (*m as usize) < config.members);
        if !valid || elites.len() != config.elites {
            let problem = format!("elites {elites:?} do not fit {} members", config.members);
            return Err(Error::checkpoint(prefix, problem));
        }
        let fitted = get("fitted")?.to_vec1::<u8>()?.first() == Some(&1);
        for (name, params) in self.parts() {
            params.load_named(&format!("{prefix}.{name}"), saved)?;
        }
        let below = |name: &str| -> BTreeMap<String, Tensor> {
            let start = format!("{prefix}.{name}.");
            let own = saved.iter().filter_map(|(n, t)| Some((n.strip_prefix(&start)?.into(), t)));
            own.map(|(n, t)| (n, t.clone())).collect()
        };
        self.adam.load_state(&below("adam"))?;
        self.bounds_adam.load_state(&below("bounds_adam"))?;
        self.model.set_elites(elites);
        self.fitted = fitted;
        Ok(())
    }

    pub(super) fn parts(&self) -> Vec<(&'static str, &crate::nn::Params)> {
        let m = &self.model;
        let mut all = vec![
            ("net", m.net.params()),
            ("bounds", &m.bounds),
            ("inputs", m.inputs.params()),
            ("targets", m.targets.params()),
        ];
        all.extend(m.ends.as_ref().map(|ends| ("ends", ends)));
        all
    }
}

impl Dynamics for Ensemble {
    fn state_dim(&self) -> usize {
        self.model.state_dim()
    }

    fn action_dim(&self) -> usize {
        self.model.action_dim()
    }

    fn noise_dim(&self) -> usize {
        self.model.noise_dim()
    }

    fn has_members(&self) -> bool {
        self.model.has_members()
    }

    fn spec(&self) -> &Spec {
        self.model.spec()
    }

    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition> {
        self.model.step(state, action, noise)
    }

    fn rows(&self) -> Option<Box<dyn RowDynamics + '_>> {
        self.model.rows()
    }
}
