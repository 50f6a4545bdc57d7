//! The agent at work: a [`Hybrid`] with its networks, buffers and random streams.

mod begin;
mod learn;
mod runaway;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::agent::{Hybrid, Sources};
use crate::checkpoint::Foreign;
use crate::dynamics::States;
use crate::env::{EnvFactory, EnvInfo, Known};
use crate::error::{Error, Result};
use crate::json::{from_json, json};
use crate::limits;
use crate::nn::{Moments, Normaliser};
use crate::parts::{ACTOR, MODEL, Parts, Place, Temperature};
use crate::replay::{NEXT_STATE, Replay, STATE, Start, TransitionRow};
use crate::rng::{Key, Rng, RngState};
use crate::shape::{self, Spec};
use crate::uses::{Memory, Moment};
pub use runaway::WAYS_OUT;

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

/// The model's state at the newest action, and what its choice has to be stored.
#[derive(Default)]
struct Taken {
    state: Vec<f32>,
    columns: Vec<Vec<f32>>,
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
    /// What a user's own parts save with the agent, by their names.
    pub foreign: BTreeMap<String, Foreign>,
    streams: Streams,
    memory: Memory,
    /// What the newest action was taken at, and what is stored with it.
    taken: Taken,
    /// The observations seen, and how they are standardised, where they are.
    seen: Option<(Moments, Normaliser)>,
    /// What it is made of, as [`Hybrid::composition`] says it.
    composition: Vec<String>,
    spec: Spec,
    info: EnvInfo,
    /// Whether nothing is known of where episodes end.
    ends_unknown: bool,
    /// How large Q was, where that is watched.
    sizes: runaway::Sizes,
}

impl Agent {
    /// A fresh agent for an environment; every network and stream is seeded from `rng`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit the environment.
    pub fn new(
        hybrid: Hybrid,
        info: &EnvInfo,
        known: Known,
        rng: &Rng,
        spec: &Spec,
    ) -> Result<Self> {
        Self::within(hybrid, info, known, None, rng, spec)
    }

    /// [`Agent::new`] where more of the environments can be made: simulators that are the model.
    ///
    /// # Errors
    /// As [`Agent::new`]; as `make`.
    pub fn within(
        mut hybrid: Hybrid,
        info: &EnvInfo,
        known: Known,
        make: Option<&EnvFactory>,
        rng: &Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let (o, a) = (info.obs_dim, info.action_dim());
        hybrid.schedule = hybrid.schedule.within(info.max_steps);
        limits::check(hybrid.networks(o, a), hybrid.schedule.batch)?;
        let composition = hybrid.composition()?;
        let seen = match hybrid.schedule.standardise {
            Some(true) => Some((Moments::new(o), Normaliser::identity(o, spec)?)),
            _ => None,
        };
        let ends_unknown = known.continuation.is_none();
        let observations = seen.as_ref().map(|(_, normaliser)| normaliser.clone());
        let place = Place { obs_dim: o, action_dim: a, known, observations, env: make, spec };
        let (replay, kept) = (hybrid.schedule.replay, hybrid.behave.columns(o));
        let imagines = hybrid.imagine.capacity(u64::MAX);
        check_columns(&hybrid, &kept, imagines)?;
        let parts = Parts {
            gamma: hybrid.discount(info.max_steps),
            action_dim: a,
            policies: made(&mut hybrid.policies, &place, rng)?,
            critics: made(&mut hybrid.critics, &place, rng)?,
            values: made(&mut hybrid.values, &place, rng)?,
            models: made(&mut hybrid.models, &place, rng)?,
            temperature: match &hybrid.temperature {
                Some(config) => Some(Temperature::new(config, a, spec)?),
                None => None,
            },
        };
        let of_states = |mut replay: Replay| -> Result<Replay> {
            let model = parts.models.get(MODEL).filter(|m| m.states() != States::Observed);
            for name in model.iter().flat_map(|_| [STATE, NEXT_STATE]) {
                let width = model.map_or(0, |model| model.dynamics().state_dim());
                replay = replay.with_column(name, width)?;
            }
            Ok(replay)
        };
        let real = of_states(Replay::new(replay, o, a)?)?;
        let real = kept.iter().try_fold(real, |real, (name, width)| real.with_column(name, *width));
        let imagined = of_states(Replay::new(hybrid.imagine.capacity(0).max(1), o, a)?)?;
        Ok(Self {
            parts,
            real: real?,
            imagined,
            counters: Counters::default(),
            foreign: BTreeMap::new(),
            streams: Streams {
                behave: rng.fork("behave"),
                fit: rng.fork("fit"),
                imagine: rng.fork("imagine"),
                update: rng.fork("update"),
            },
            memory: Memory::default(),
            taken: Taken::default(),
            seen,
            composition,
            spec: spec.clone(),
            info: info.clone(),
            ends_unknown,
            sizes: runaway::Sizes::default(),
            hybrid,
        })
    }

    /// Number type and device of the networks.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What the states of its model are.
    #[must_use]
    pub fn states(&self) -> States {
        self.parts.models.get(MODEL).map_or(States::Observed, |model| model.states())
    }

    /// Whether its model's states are the saved ones of the environment.
    #[must_use]
    pub fn simulates(&self) -> bool {
        self.states() == States::Simulated
    }

    /// The normalised action to take after observation `obs` `[O]`: uniform during the random
    /// steps, then what the behave slot says. `state` is the environment's saved one, where that is
    /// the model's ([`Agent::simulates`]).
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the policy answers with a non-finite action, [`Error::Composition`]
    /// when the state is missing.
    pub fn explore(&mut self, obs: &[f64], state: Option<&[f64]>) -> Result<Vec<f64>> {
        let obs = self.spec.tensor(obs, (1, obs.len()))?;
        let state = state.map(|x| self.spec.tensor(x, (1, x.len()))).transpose()?;
        let mut memory = std::mem::take(&mut self.memory);
        let start = self.begin(Start::of(&obs, state.as_ref()), &mut memory);
        self.memory = memory;
        let start = start?;
        if self.states() != States::Observed {
            self.taken.state = flat(&start.state)?;
        }
        let rng = &mut self.streams.behave;
        if self.counters.env_steps < self.hybrid.schedule.random_steps as u64 {
            return Ok((0..self.info.action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect());
        }
        let at = Moment { step: self.counters.env_steps, explore: true, key: rng.key() };
        let acted = self.hybrid.behave.act(&self.parts, &start, &mut self.memory, at)?;
        self.counters.model_steps += acted.model_steps;
        self.taken.columns = acted.columns.iter().map(flat).collect::<Result<_>>()?;
        let action = shape::to_f64(&acted.action)?;
        self.finite("action of the policy", &action)?;
        Ok(action)
    }

    /// The start with the states that the model believes in, where it believes in any.
    fn begin(&self, start: Start, memory: &mut Memory) -> Result<Start> {
        let Some(model) = self.parts.models.get(MODEL) else { return Ok(start) };
        if model.states() != States::Believed {
            let widths = (start.state.dim(1)?, model.dynamics().state_dim());
            return match model.states() == States::Simulated && widths.0 != widths.1 {
                true => Err(Error::shape(
                    "state of the simulator",
                    format!("[1,{}]", widths.1),
                    [widths.0],
                )),
                false => Ok(start),
            };
        }
        let belief = match (memory.belief.take(), memory.action.take()) {
            (Some(belief), Some(action)) => model.update(&belief, &action, &start.obs)?,
            (Some(belief), None) => belief,
            (None, _) => model.initial(&start.obs)?,
        };
        memory.belief = Some(belief.clone());
        Ok(Start::of(&start.obs, Some(&belief)))
    }

    /// Forgets what belongs to the episode that has ended.
    pub fn begin_episode(&mut self) {
        self.memory = Memory::default();
        self.tell_of_episode();
    }

    fn tell_of_episode(&self) {
        self.parts.models.values().for_each(|model| model.begin_episode(self.counters.episodes));
    }

    /// The actions of evaluation, `[B,A]`, where the episodes stand that `memory` belongs to.
    ///
    /// # Errors
    /// As the behave slot.
    pub fn exploit(&self, start: &Start, memory: &mut Memory, key: Key) -> Result<Tensor> {
        let at = Moment { step: self.counters.env_steps, explore: false, key };
        let start = self.begin(start.clone(), memory)?;
        let action = self.hybrid.behave.act(&self.parts, &start, memory, at)?.action;
        memory.action = memory.belief.is_some().then(|| action.clone());
        Ok(action)
    }

    /// Stores a transition of the environment; `next` is its saved state after it, as in
    /// [`Agent::explore`]. Its own columns are added here.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when observation or reward are not finite.
    pub fn observe(&mut self, row: &TransitionRow, next: Option<&[f64]>) -> Result<()> {
        let next = match (self.states(), self.parts.models.get(MODEL), &self.memory.belief) {
            (States::Observed, ..) => None,
            (States::Believed, Some(model), Some(belief)) => {
                let action = self.spec.tensor(&wide(row.action), (1, row.action.len()))?;
                let obs = self.spec.tensor(&wide(row.next_obs), (1, row.next_obs.len()))?;
                let belief = model.update(belief, &action, &obs)?;
                let next = flat(&belief)?;
                self.memory.belief = Some(belief);
                Some(next)
            }
            _ => next.map(|next| next.iter().map(|x| *x as f32).collect()),
        };
        let states = next.iter().flat_map(|next| [&self.taken.state[..], next]);
        let own = states.chain(self.taken.columns.iter().map(Vec::as_slice)).collect();
        self.real.push(&TransitionRow { own, ..row.clone() })?;
        if let Some((moments, _)) = &mut self.seen {
            moments.push(row.obs);
        }
        self.counters.env_steps += 1;
        Ok(())
    }

    /// Counts a step of the environment that is no transition: its simulation failed, and the state
    /// that it reports is not one that the action led to.
    pub fn lose(&mut self) {
        self.counters.env_steps += 1;
    }

    /// The columns of the metrics that its parts and steps report.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        // Files of the same run begin alike, whatever order its steps have.
        const FIRST: [&str; 6] =
            ["critic_loss", "q_mean", "actor_loss", "entropy", "alpha", "value_loss"];
        let steps: Vec<String> = self.hybrid.learn.iter().flat_map(|step| step.metrics()).collect();
        let known = FIRST.iter().filter(|name| steps.iter().any(|own| own == *name));
        let own = steps.iter().filter(|name| !FIRST.contains(&name.as_str()));
        let mut all: Vec<String> = known.map(ToString::to_string).chain(own.cloned()).collect();
        if !self.parts.models.is_empty() {
            all.push("imagined".into());
        }
        for model in self.parts.models.values().filter(|model| model.learns()) {
            all.extend(model.columns(self.info.obs_dim));
            all.extend(OPEN_LOOP.map(|h| format!("open_loop_rmse_{h}")));
        }
        all
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
        let mut all = self.parts.named_tensors()?;
        let Memory { plan, belief, .. } = &self.memory;
        for (name, tensor) in [(PLAN, plan), (BELIEF, belief)] {
            all.extend(tensor.iter().map(|tensor| (name.to_string(), tensor.clone())));
        }
        if let Some((moments, normaliser)) = &self.seen {
            let flat = moments.to_flat();
            all.insert(SEEN.into(), Tensor::from_slice(&flat, flat.len(), &Device::Cpu)?);
            all.extend(normaliser.params().named_tensors(STANDARD)?);
        }
        Ok(all)
    }

    /// Puts the tensors of a checkpoint back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what is missing or misshapen.
    pub fn load_tensors(&mut self, all: &BTreeMap<String, Tensor>) -> Result<()> {
        self.parts.load_named(all)?;
        let here = |plan: &Tensor| plan.to_device(&self.spec.device)?.to_dtype(self.spec.dtype);
        self.memory.plan = all.get(PLAN).map(here).transpose()?;
        self.memory.belief = all.get(BELIEF).map(here).transpose()?;
        if let Some((moments, normaliser)) = &mut self.seen {
            let missing =
                || Error::checkpoint("agent", format!("`{SEEN}` is missing or misshapen"));
            let flat = shape::to_f64(all.get(SEEN).ok_or_else(missing)?)?;
            *moments = moments.from_flat(&flat).ok_or_else(missing)?;
            normaliser.params().load_named(STANDARD, all)?;
        }
        Ok(())
    }

    /// Counters and positions of the random streams, as JSON by name.
    ///
    /// # Errors
    /// [`Error::Config`] when they cannot be written as JSON.
    pub fn state(&self) -> Result<BTreeMap<String, String>> {
        let s = &self.streams;
        let mut all = BTreeMap::from([
            ("composition".to_string(), json(&self.composition)?),
            ("counters".to_string(), json(&self.counters)?),
        ]);
        for (name, rng) in
            [("behave", &s.behave), ("fit", &s.fit), ("imagine", &s.imagine), ("update", &s.update)]
        {
            all.insert(format!("rng.{name}"), json(&rng.state())?);
        }
        if !self.sizes.is_empty() {
            all.insert(SIZES.into(), json(&self.sizes)?);
        }
        Ok(all)
    }

    /// Puts counters and random streams back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what is missing or garbled, or what was composed otherwise.
    pub fn load_state(&mut self, all: &BTreeMap<String, String>) -> Result<()> {
        let saved: Vec<String> = from_json("composition", all)?;
        let mut lines = saved.iter().zip(&self.composition);
        if let Some((then, now)) = lines.find(|(then, now)| then != now) {
            let problem = format!(
                "another composition wrote it: `{then}`, here `{now}`; resume with the one that \
                 began the run, or start in another folder"
            );
            return Err(Error::checkpoint("composition", problem));
        }
        self.counters = from_json("counters", all)?;
        self.tell_of_episode();
        self.sizes = match all.contains_key(SIZES) {
            true => from_json(SIZES, all)?,
            false => runaway::Sizes::default(),
        };
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

/// The names of what was seen of the observations, and of how they are standardised.
const SEEN: &str = "observations_seen";
const STANDARD: &str = "observations";
/// The name of how large Q was since the last look.
const SIZES: &str = "sizes_of_q";
/// The last plan's name in a checkpoint.
const PLAN: &str = "behave.plan";
/// The name of what the model believes of the running episode.
const BELIEF: &str = "behave.belief";

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Refuses columns of the behave slot that some transitions would lack.
fn check_columns(hybrid: &Hybrid, kept: &[(String, usize)], imagines: usize) -> Result<()> {
    let Some((name, _)) = kept.first() else { return Ok(()) };
    let problem = match (hybrid.schedule.random_steps, imagines) {
        (0, 0) => return Ok(()),
        (0, _) => "imagined transitions have none: imagine nothing".to_string(),
        (n, _) => format!("random actions have none: set `loop.random_steps` to 0, it is {n}"),
    };
    let problem = format!("what it does is stored as `{name}`, and {problem}");
    Err(Error::Composition { agent: hybrid.name.clone(), problem })
}

/// Horizons at which the open-loop error of the model is reported.
pub const OPEN_LOOP: [usize; 3] = [1, 5, 15];

/// The parts of one kind, each from the stream of its name; takes their sources.
fn made<P>(sources: &mut Sources<P>, place: &Place, rng: &Rng) -> Result<BTreeMap<String, P>> {
    let sources = std::mem::take(sources).into_iter();
    sources
        .map(|(name, source)| {
            // The stock policy's stream is older than its name.
            let stream = if name == ACTOR { "policy" } else { name.as_str() };
            let part = source.make(place, &mut rng.fork(stream))?;
            Ok((name, part))
        })
        .collect()
}

/// Fills in where in the run a number became non-finite.
fn step_at<T>(result: Result<T>, counters: &Counters) -> Result<T> {
    result.map_err(|error| match error {
        Error::NonFinite { quantity, .. } => Error::NonFinite {
            quantity,
            step: format!("env step {}, gradient step {}", counters.env_steps, counters.grad_steps),
        },
        other => other,
    })
}
