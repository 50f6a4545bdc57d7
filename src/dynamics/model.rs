//! A model that an agent keeps: dynamics, and how they are learned.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Dynamics, Ensemble, FitData};
use crate::env::Spread;
use crate::error::Result;
use crate::nn::{NamedParams, Optimiser, joined};
use crate::replay::{Replay, Start};
use crate::rng::Rng;

/// What a fit did; one that takes no step has not fitted anything.
#[derive(Debug, Clone, Default)]
pub struct Fitted {
    /// Gradient steps.
    pub steps: u64,
    /// Numbers for the metrics, by column.
    pub metrics: Vec<(String, f64)>,
}

/// What the states of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// The observations.
    Observed,
    /// What the model remembers of an episode: [`Model::initial`], then [`Model::update`]. The agent
    /// carries them along and stores them; after a fit they are computed anew from every episode's
    /// first observation on.
    Believed,
    /// The saved states of the environment ([`crate::env::Simulator::save`]).
    Simulated,
}

/// A model of the environment that an agent keeps. One that is given is never fitted; one that is
/// learned says so, is fitted to the real data, and is part of every checkpoint.
pub trait Model: Send + Sync {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// What steps the states.
    fn dynamics(&self) -> &dyn Dynamics;

    /// What its states are.
    fn states(&self) -> States {
        States::Observed
    }

    /// How many members a step may choose from.
    fn members(&self) -> usize {
        1
    }

    /// Whether it is learned: whether anything of it is trained.
    fn learns(&self) -> bool {
        !self.params().is_empty()
    }

    /// Whether its steps say where episodes end without being told by the environment
    /// ([`crate::env::Env::known`]): whoever says no is warned when an episode has ended.
    fn foresees_ends(&self) -> bool {
        false
    }

    /// Says that this episode of training begins, counted from 0: what is drawn an episode is drawn anew.
    fn begin_episode(&self, episode: u64) {
        let _ = episode;
    }

    /// The physical parameters that it simulates with, where it is a simulator.
    fn parameters(&self) -> Option<&Spread> {
        None
    }

    /// What is trained, by name.
    fn params(&self) -> NamedParams<'_> {
        Vec::new()
    }

    /// What is saved with them and not trained, by names of their own: scales, whether it is fitted.
    fn fixed(&self) -> NamedParams<'_> {
        Vec::new()
    }

    /// The optimiser of what is trained; its moments are saved.
    fn optimiser(&self) -> Option<&Optimiser> {
        None
    }

    /// The same, to be moved.
    fn optimiser_mut(&mut self) -> Option<&mut Optimiser> {
        None
    }

    /// How often its parameters were changed since it was made.
    fn writes(&self) -> u64 {
        self.params().iter().map(|(_, params)| params.writes()).sum()
    }

    /// Columns of the metrics that [`Model::fit`] fills in, for observations of length `obs_dim`.
    fn columns(&self, obs_dim: usize) -> Vec<String> {
        let _ = obs_dim;
        Vec::new()
    }

    /// Fits it to all of the real data.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] when data or loss are not finite.
    fn fit(&mut self, data: &Replay, rng: &mut Rng) -> Result<Fitted> {
        let _ = (data, rng);
        Ok(Fitted::default())
    }

    /// The state that a first observation `[B,O]` tells of, `[B,S]`; the observation itself unless
    /// the model keeps a belief.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn initial(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(obs.clone())
    }

    /// The state `[B,S]` once action `[B,A]` has led to observation `[B,O]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for rows of another width.
    fn update(&self, state: &Tensor, action: &Tensor, obs: &Tensor) -> Result<Tensor> {
        let _ = (state, action);
        self.initial(obs)
    }

    /// Everything that a continued training depends on; names start with `prefix.`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when memory runs out.
    fn named_tensors(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for (name, params) in self.params().into_iter().chain(self.fixed()) {
            all.extend(params.named_tensors(&joined(prefix, &name))?);
        }
        if let Some(optimiser) = self.optimiser() {
            all.extend(optimiser.named_tensors(&joined(prefix, "adam"))?);
        }
        Ok(all)
    }

    /// Goes on from what [`Model::named_tensors`] gave.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] or [`crate::Error::Shape`] when something is missing or does not
    /// fit.
    fn load_named(&mut self, prefix: &str, all: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, params) in self.params().into_iter().chain(self.fixed()) {
            params.load_named(&joined(prefix, &name), all)?;
        }
        match self.optimiser_mut() {
            Some(optimiser) => optimiser.load_named(&joined(prefix, "adam"), all),
            None => Ok(()),
        }
    }
}

/// The states `[B,S]` in which episodes begin that are observed so.
///
/// # Errors
/// As [`Model::initial`].
pub(crate) fn begun(model: &dyn Model, start: &Start) -> Result<Tensor> {
    match model.states() {
        States::Believed => model.initial(&start.obs),
        States::Observed | States::Simulated => Ok(start.state.clone()),
    }
}

/// Dynamics that are given under a name: the true model, a closure. Never fitted.
pub struct Given {
    /// How the table of algorithms names them.
    pub name: String,
    /// What steps the states.
    pub dynamics: Box<dyn Dynamics>,
}

impl Model for Given {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn dynamics(&self) -> &dyn Dynamics {
        self.dynamics.as_ref()
    }
}

/// The columns of how well the ensemble foresees ends: Brier scores of its probability and of the share of
/// ends, and how many ends have a probability above 1/2.
const OF_ENDS: [&str; 3] = ["termination_brier", "termination_base", "ends_foreseen"];

impl Model for Ensemble {
    fn describe(&self) -> String {
        format!("ensemble of {}", self.config().members)
    }

    fn dynamics(&self) -> &dyn Dynamics {
        self.predictor()
    }

    fn members(&self) -> usize {
        self.elites().len()
    }

    fn foresees_ends(&self) -> bool {
        self.learns_ends()
    }

    fn params(&self) -> NamedParams<'_> {
        self.parts().into_iter().map(|(name, params)| (name.to_string(), params)).collect()
    }

    fn columns(&self, obs_dim: usize) -> Vec<String> {
        let fixed = ["model_epochs", "model_nll", "model_cover_50", "model_cover_90"];
        let errors = (0..=obs_dim).map(|i| format!("model_rmse_{i}"));
        let ends = if self.learns_ends() { &OF_ENDS[..] } else { &[] };
        let ends = ends.iter().map(ToString::to_string);
        fixed.map(String::from).into_iter().chain(errors).chain(ends).collect()
    }

    fn fit(&mut self, data: &Replay, rng: &mut Rng) -> Result<Fitted> {
        // As the rows lie, no copy of them: the order means nothing to a fit.
        let stored = data.stored(0, data.len());
        let &[obs, action, reward, next_obs, cont, ..] = stored.as_slice() else {
            return Ok(Fitted::default());
        };
        let report = Ensemble::fit(self, &FitData { obs, action, reward, next_obs, cont }, rng)?;
        let calibration = report.calibration;
        let mut metrics = vec![("model_epochs".to_string(), report.epochs as f64)];
        let known = [
            ("model_nll", calibration.nll),
            ("model_cover_50", calibration.coverage_50),
            ("model_cover_90", calibration.coverage_90),
        ];
        metrics.extend(known.iter().filter_map(|(name, x)| Some((name.to_string(), (*x)?))));
        if let Some(ends) = calibration.ends {
            let known = OF_ENDS.into_iter().zip([Some(ends.brier), Some(ends.base), ends.foreseen]);
            metrics.extend(known.filter_map(|(name, x)| Some((name.to_string(), x?))));
        }
        let errors = calibration.rmse.iter().enumerate();
        metrics.extend(errors.map(|(i, rmse)| (format!("model_rmse_{i}"), *rmse)));
        Ok(Fitted { steps: report.steps as u64, metrics })
    }

    fn named_tensors(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        Ensemble::named_tensors(self, prefix)
    }

    fn load_named(&mut self, prefix: &str, all: &BTreeMap<String, Tensor>) -> Result<()> {
        Ensemble::load_named(self, prefix, all)
    }
}
