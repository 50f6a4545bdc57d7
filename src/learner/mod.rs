//! The agent at work: a [`Hybrid`] with its networks, buffers and random streams.

mod columns;
mod update;

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::agent::{Hybrid, ModelSource};
use crate::dynamics::{Ensemble, FitData, MIN_FIT_ROWS, Recorded, open_loop_error};
use crate::env::{EnvInfo, Known};
use crate::error::{Error, Result};
use crate::limits;
use crate::nn::Adam;
use crate::parts::{Actor, CriticPart, Model, Parts, Temperature, ValuePart};
use crate::policy::SquashedGaussian;
use crate::replay::{Batch, Replay, TransitionRow};
use crate::rng::{Key, Rng, RngState};
use crate::shape::{self, Spec};
use crate::train::{Log, Phase, Stopwatch};
use crate::uses::{Memory, Moment};
use crate::value::{Network, QNet, Targeted, VNet};
use columns::Columns;
use update::{step_at, update_parts};

/// How much was done: the honest x-axes of every figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Environment steps, the random ones included.
    pub env_steps: u64,
    /// Steps of the learned model, one a row.
    pub model_steps: u64,
    /// Gradient steps of the policy and critic.
    pub grad_steps: u64,
    /// Gradient steps of the model.
    pub fit_steps: u64,
    /// Finished episodes.
    pub episodes: u64,
}

/// The random streams of an agent, one a purpose.
struct Streams {
    behave: Rng,
    fit: Rng,
    imagine: Rng,
    update: Rng,
}

/// A [`Hybrid`] that acts and learns.
pub struct Agent {
    /// What it is made of.
    pub hybrid: Hybrid,
    /// What it has learned.
    pub parts: Parts,
    /// Transitions of the environment.
    pub real: Replay,
    /// Imagined transitions.
    pub imagined: Replay,
    /// How much was done.
    pub counters: Counters,
    streams: Streams,
    memory: Memory,
    spec: Spec,
    info: EnvInfo,
}

impl Agent {
    /// A fresh agent for an environment; every network and stream is seeded from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit the environment.
    pub fn new(
        mut hybrid: Hybrid,
        info: &EnvInfo,
        known: Known,
        rng: &Rng,
        spec: &Spec,
    ) -> Result<Self> {
        limits::check(&hybrid, info)?;
        let (o, a) = (info.obs_dim, info.action_dim());
        let mut parts = Parts::default();
        if let Some(ac) = &hybrid.actor_critic {
            parts.gamma = ac.gamma;
            let policy = SquashedGaussian::new(&ac.actor, o, a, &mut rng.fork("policy"), spec)?;
            parts.actor = Some(Actor::new(policy, &ac.actor)?);
            let online = QNet::new(&ac.critic, o, a, &mut rng.fork("critic"), spec)?;
            let adam = Adam::new(online.net().params(), &ac.critic.adam(), &[])?;
            parts.critic = Some(CriticPart { q: Targeted::new(online)?, adam, tau: ac.critic.tau });
            parts.temperature = Some(Temperature::new(&ac.temperature, a, spec)?);
        }
        if let Some(config) = &hybrid.value {
            let online = VNet::new(config, o, &mut rng.fork("value"), spec)?;
            let adam = Adam::new(online.net().params(), &config.adam(), &[])?;
            parts.value = Some(ValuePart { v: Targeted::new(online)?, adam, tau: config.tau });
        }
        parts.model = match hybrid.model.take() {
            None => None,
            Some(ModelSource::Learned(config)) => {
                let model = Ensemble::new(&config, o, a, known, &mut rng.fork("model"), spec)?;
                Some(Model::Learned(Box::new(model)))
            }
            Some(ModelSource::Given(name, dynamics)) => {
                if (dynamics.state_dim(), dynamics.action_dim()) != (o, a) {
                    let problem = format!(
                        "the given model `{name}` has {} states and {} actions, the environment \
                         {o} observations and {a} actions",
                        dynamics.state_dim(),
                        dynamics.action_dim()
                    );
                    return Err(Error::Composition { agent: hybrid.name, problem });
                }
                Some(Model::Given(dynamics))
            }
        };
        Ok(Self {
            parts,
            real: Replay::new(hybrid.schedule.replay, o, a)?,
            imagined: Replay::new(hybrid.imagine.capacity(0).max(1), o, a)?,
            counters: Counters::default(),
            streams: Streams {
                behave: rng.fork("behave"),
                fit: rng.fork("fit"),
                imagine: rng.fork("imagine"),
                update: rng.fork("update"),
            },
            memory: Memory::default(),
            spec: spec.clone(),
            info: info.clone(),
            hybrid,
        })
    }

    /// Number type and device of the networks.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The normalised action to take after observation `obs` `[O]`: uniform during the random
    /// steps, then what the behave slot says.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the policy answers with a non-finite action.
    pub fn explore(&mut self, obs: &[f64]) -> Result<Vec<f64>> {
        let rng = &mut self.streams.behave;
        if self.counters.env_steps < self.hybrid.schedule.random_steps as u64 {
            return Ok((0..self.info.action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect());
        }
        let at = Moment { step: self.counters.env_steps, explore: true, key: rng.key() };
        let obs = self.spec.tensor(obs, (1, obs.len()))?;
        let acted = self.hybrid.behave.act(&self.parts, &obs, &mut self.memory, at)?;
        self.counters.model_steps += acted.model_steps;
        let action = shape::to_f64(&acted.action)?;
        self.finite("action of the policy", &action)?;
        Ok(action)
    }

    /// Forgets what belongs to the episode that has ended.
    pub fn begin_episode(&mut self) {
        self.memory = Memory::default();
    }

    /// The actions of evaluation, `[B,A]`, for observations `[B,O]` of the episodes that `memory`
    /// belongs to.
    ///
    /// # Errors
    /// As the behave slot.
    pub fn exploit(&self, obs: &Tensor, memory: &mut Memory, key: Key) -> Result<Tensor> {
        let at = Moment { step: self.counters.env_steps, explore: false, key };
        Ok(self.hybrid.behave.act(&self.parts, obs, memory, at)?.action)
    }

    /// Stores a transition of the environment.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when observation or reward are not finite.
    pub fn observe(&mut self, row: &TransitionRow) -> Result<()> {
        self.real.push(row)?;
        self.counters.env_steps += 1;
        Ok(())
    }

    /// Counts a step of the environment that is no transition: its simulation failed, and the state
    /// that it reports is not one that the action led to.
    pub fn lose(&mut self) {
        self.counters.env_steps += 1;
    }

    /// Fits, imagines and updates as far as they are due after the newest transition.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the quantity and the step.
    pub fn learn(&mut self, log: &mut Log, watch: &mut Stopwatch) -> Result<()> {
        let step = self.counters.env_steps;
        let schedule = &self.hybrid.schedule;
        let updates_per_step = schedule.updates_per_step;
        let Some(since) = step.checked_sub(schedule.random_steps as u64) else { return Ok(()) };
        let learned = self.parts.model.as_ref().and_then(Model::learned);
        let unfitted = learned.is_some_and(|model| !model.is_fitted());
        // Failed steps are no rows, so there may be too few when the random steps are over.
        if self.real.len() < if unfitted { MIN_FIT_ROWS } else { 1 } {
            return Ok(());
        }
        if self.parts.model.is_some() {
            let imagine_every = schedule.imagine_every.unwrap_or(schedule.fit_every);
            if unfitted || since.is_multiple_of(schedule.fit_every as u64) {
                watch.time(Phase::Model, || self.fit(log))?;
            }
            if unfitted || since.is_multiple_of(imagine_every as u64) {
                watch.time(Phase::Imagining, || self.imagine(log))?;
            }
        }
        if self.hybrid.improve.is_none() && self.hybrid.target.is_none() {
            return Ok(());
        }
        watch.time(Phase::Updates, || -> Result<()> {
            for _ in 0..updates_per_step {
                self.update(log)?;
            }
            Ok(())
        })
    }

    /// Fits the model on everything seen; reports its calibration.
    fn fit(&mut self, log: &mut Log) -> Result<()> {
        let model = self.parts.model.as_mut().and_then(Model::learned_mut);
        let Some(model) = model else { return Ok(()) };
        if model.is_fitted() {
            // The newest transitions are not in the training set yet: an honest open-loop test.
            let recent = Columns::newest(&self.real, self.hybrid.schedule.fit_every)?;
            let longest = OPEN_LOOP[OPEN_LOOP.len() - 1];
            let stretches = recent.stretches(self.info.obs_dim, self.info.action_dim(), longest);
            let recorded: Vec<Recorded> =
                stretches.iter().map(|(obs, action)| Recorded { obs, action }).collect();
            if !recorded.is_empty() {
                let error = open_loop_error(model.predictor(), &recorded, longest)?;
                for horizon in OPEN_LOOP {
                    let square: f64 = error.rmse[horizon - 1].iter().map(|e| e * e).sum();
                    let rmse = (square / self.info.obs_dim as f64).sqrt();
                    log.last(&format!("open_loop_rmse_{horizon}"), rmse);
                }
            }
        }
        // As the rows lie, no copy of them: the order means nothing to a fit.
        let [obs, action, reward, next_obs, _, _] = self.real.stored(0, self.real.len());
        let all = FitData { obs, action, reward, next_obs };
        let report = model.fit(&all, &mut self.streams.fit)?;
        self.counters.fit_steps += report.steps as u64;
        log.last("model_epochs", report.epochs as f64);
        let calibration = report.calibration;
        for (name, value) in [
            ("model_nll", calibration.nll),
            ("model_cover_50", calibration.coverage_50),
            ("model_cover_90", calibration.coverage_90),
        ] {
            if let Some(value) = value {
                log.last(name, value);
            }
        }
        for (i, rmse) in calibration.rmse.iter().enumerate() {
            log.last(&format!("model_rmse_{i}"), *rmse);
        }
        Ok(())
    }

    fn imagine(&mut self, log: &mut Log) -> Result<()> {
        let step = self.counters.env_steps;
        let capacity = self.hybrid.imagine.capacity(step);
        if capacity == 0 {
            return Ok(());
        }
        if capacity != self.imagined.capacity() {
            self.imagined.resize(capacity)?;
        }
        let rng = &mut self.streams.imagine;
        let (parts, real, spec) = (&self.parts, &self.real, &self.spec);
        let steps =
            self.hybrid.imagine.imagine(parts, real, &mut self.imagined, step, rng, spec)?;
        self.counters.model_steps += steps;
        log.last("imagined", self.imagined.len() as f64);
        Ok(())
    }

    /// One gradient step on a batch drawn from both buffers.
    fn update(&mut self, log: &mut Log) -> Result<()> {
        let ratio = self.hybrid.imagine.real_ratio(self.counters.env_steps);
        let n = self.hybrid.schedule.batch;
        let rng = &mut self.streams.update;
        let batch = Replay::mixed(&self.real, &self.imagined, n, ratio, rng, &self.spec)?;
        let key = rng.key();
        self.gradient_step(&batch, key, log)
    }

    /// One gradient step of every part on a batch `[n,..]` that is given: critic, value, policy,
    /// temperature, then the target networks. All noise comes from `key`; losses go into `log`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a batch of another environment, [`Error::NonFinite`] naming the loss
    /// and the step.
    pub fn gradient_step(&mut self, batch: &Batch, key: Key, log: &mut Log) -> Result<()> {
        self.counters.grad_steps += 1;
        let model_steps =
            step_at(update_parts(&self.hybrid, &mut self.parts, batch, key, log), &self.counters)?;
        self.counters.model_steps += model_steps;
        Ok(())
    }

    fn finite(&self, quantity: &str, x: &[f64]) -> Result<()> {
        match x.iter().all(|x| x.is_finite()) {
            true => Ok(()),
            false => step_at(
                Err(Error::NonFinite { quantity: quantity.into(), step: String::new() }),
                &self.counters,
            ),
        }
    }

    /// Every tensor of a checkpoint, by name.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a parameter cannot be read.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for (name, params, adam) in networks(&self.parts) {
            all.extend(params.named_tensors(&name)?);
            if let Some(adam) = adam {
                let state = adam.state()?.into_iter();
                all.extend(state.map(|(key, tensor)| (format!("adam.{name}.{key}"), tensor)));
            }
        }
        if let Some(model) = self.parts.model.as_ref().and_then(Model::learned) {
            all.extend(model.named_tensors("model")?);
        }
        if let Some(plan) = &self.memory.plan {
            all.insert(PLAN.into(), plan.clone());
        }
        Ok(all)
    }

    /// Puts the tensors of a checkpoint back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what is missing or misshapen.
    pub fn load_tensors(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, params, _) in networks(&self.parts) {
            params.load_named(&name, all)?;
        }
        for (name, adam) in optimisers(&mut self.parts) {
            let own = format!("adam.{name}.");
            let state = all.iter().filter_map(|(key, tensor)| {
                Some((key.strip_prefix(&own)?.to_string(), tensor.clone()))
            });
            adam.load_state(&state.collect())?;
        }
        if let Some(model) = self.parts.model.as_mut().and_then(Model::learned_mut) {
            model.load_named("model", all)?;
        }
        self.memory.plan = all.get(PLAN).cloned();
        Ok(())
    }

    /// Counters and positions of the random streams, as JSON by name.
    ///
    /// # Errors
    /// [`Error::Config`] when they cannot be written as JSON.
    pub fn state(&self) -> Result<BTreeMap<String, String>> {
        let s = &self.streams;
        let mut all = BTreeMap::from([("counters".to_string(), json(&self.counters)?)]);
        for (name, rng) in
            [("behave", &s.behave), ("fit", &s.fit), ("imagine", &s.imagine), ("update", &s.update)]
        {
            all.insert(format!("rng.{name}"), json(&rng.state())?);
        }
        Ok(all)
    }

    /// Puts counters and random streams back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what is missing or garbled.
    pub fn load_state(&mut self, all: &BTreeMap<String, String>) -> Result<()> {
        self.counters = from_json("counters", all)?;
        let s = &mut self.streams;
        for (name, rng) in [
            ("behave", &mut s.behave),
            ("fit", &mut s.fit),
            ("imagine", &mut s.imagine),
            ("update", &mut s.update),
        ] {
            let state: RngState = from_json(&format!("rng.{name}"), all)?;
            *rng = Rng::from_state(&state);
        }
        Ok(())
    }
}

/// The last plan's name in a checkpoint.
const PLAN: &str = "behave.plan";

/// Horizons at which the open-loop error of the model is reported.
pub const OPEN_LOOP: [usize; 3] = [1, 5, 15];

type Net<'a> = (String, &'a crate::nn::Params, Option<&'a Adam>);

/// Every network but the model's, with its name in a checkpoint.
fn networks(parts: &Parts) -> Vec<Net<'_>> {
    let mut all: Vec<Net> = Vec::new();
    if let Some(actor) = &parts.actor {
        all.push(("actor".into(), actor.policy.net().params(), Some(&actor.adam)));
    }
    if let Some(critic) = &parts.critic {
        all.push(("critic".into(), critic.q.online.net().params(), Some(&critic.adam)));
        all.push(("critic_target".into(), critic.q.target.net().params(), None));
    }
    if let Some(value) = &parts.value {
        all.push(("value".into(), value.v.online.net().params(), Some(&value.adam)));
        all.push(("value_target".into(), value.v.target.net().params(), None));
    }
    if let Some(temperature) = &parts.temperature {
        all.push(("temperature".into(), &temperature.log_alpha, temperature.adam.as_ref()));
    }
    all
}

fn optimisers(parts: &mut Parts) -> Vec<(&'static str, &mut Adam)> {
    let mut all = Vec::new();
    all.extend(parts.actor.as_mut().map(|p| ("actor", &mut p.adam)));
    all.extend(parts.critic.as_mut().map(|p| ("critic", &mut p.adam)));
    all.extend(parts.value.as_mut().map(|p| ("value", &mut p.adam)));
    let temperature = parts.temperature.as_mut().and_then(|t| t.adam.as_mut());
    all.extend(temperature.map(|adam| ("temperature", adam)));
    all
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::config("state", e.to_string()))
}

pub(crate) fn from_json<T: for<'a> Deserialize<'a>>(
    name: &str,
    all: &BTreeMap<String, String>,
) -> Result<T> {
    let text = all
        .get(name)
        .ok_or_else(|| Error::checkpoint(name, "this part of the state is missing"))?;
    serde_json::from_str(text).map_err(|e| Error::checkpoint(name, format!("garbled: {e}")))
}
