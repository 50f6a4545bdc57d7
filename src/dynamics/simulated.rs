//! Dynamics that are not learned: simulators, and any closure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dynamics, Member, Model, States, StepNoise, Transition};
use crate::env::parameters::{self, Spread};
use crate::env::{Env, EnvFactory, EnvInfo, Simulator, Step};
use crate::error::{Error, Result};
use crate::pool;
use crate::rng::Rng;
use crate::shape::{Spec, exact, rows, to_f64};

/// Reward of a step at which a simulation fails: a plan through it must not be the best, also where
/// all rewards are negative. The number is that of MuJoCo MPC (`kMaxReturnValue`).
pub const FAILED: f64 = -1e6;

/// Settings of a simulator that an agent has for its model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorConfig {
    /// Physical parameters by name, in their own units; those that are not named are the environment's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
    /// What is added to a parameter, as a share of it: the simulator is wrong by so much.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bias: BTreeMap<String, f64>,
    /// Half the width of the uniform distribution that a parameter is drawn from, as a share of it,
    /// about its value with the bias.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spread: BTreeMap<String, f64>,
    /// When parameters with a spread are drawn anew; `None` is for every rollout of a plan: ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<Draw>,
}

/// When the parameters of a simulator are drawn anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// For every rollout of every plan; a rollout keeps its own.
    #[default]
    Rollout,
    /// For every step, unless the planner keeps a rollout to a member.
    Step,
    /// For every episode of training; all plans of an episode have the same.
    Episode,
}

impl SimulatorConfig {
    /// The distribution of the parameters of `simulator`; of none where none is named.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, for unknown parameters and impossible values.
    pub fn distribution(&self, simulator: &dyn Simulator) -> Result<Spread> {
        let all = simulator.parameters();
        let mut found = Spread::default();
        let tables =
            [("parameters", &self.parameters), ("bias", &self.bias), ("spread", &self.spread)];
        let names: BTreeSet<(&String, &str)> = tables
            .iter()
            .flat_map(|(table, own)| own.keys().map(move |name| (name, *table)))
            .collect();
        let of = |table: &BTreeMap<String, f64>, name: &str| table.get(name).copied();
        for (name, table) in names {
            let key = format!("model.{table}.{name}");
            let own = &all[parameters::place(&simulator.info().name, &all, name, &key)?];
            if found.names.contains(name) {
                continue;
            }
            let value = of(&self.parameters, name).unwrap_or(own.value);
            let (bias, spread) = (of(&self.bias, name), of(&self.spread, name));
            let (bias, spread) = (bias.unwrap_or(0.0), spread.unwrap_or(0.0));
            let middle = value * (1.0 + bias);
            let half = value.abs() * spread;
            own.check(value, &format!("model.parameters.{name}"))?;
            own.check(middle, &format!("model.bias.{name}"))?;
            crate::check::not_negative(&format!("model.spread.{name}"), spread)?;
            own.check(middle - half, &format!("model.spread.{name}"))?;
            found.names.push(name.clone());
            found.middle.push(middle);
            found.half.push(half);
        }
        Ok(found)
    }
}

/// Simulators used as the model.
///
/// A state row is what [`Simulator::save`] returns, an observation what [`Simulator::observe`]
/// does. There are no gradients. The time limit does not end a rollout, and a terminated row stays
/// where it is (see [`Simulator::simulate`]). A step at which the simulation fails is rewarded with
/// [`FAILED`] and ends its rollout. In `f32` the saved states are rounded; exact rollouts need `f64`.
///
/// Where more simulators can be made, every thread has one, and rows are shared out by their number
/// alone: results are bit-equal for any number of threads.
///
/// Parameters with a spread are drawn for every row from the noise that chooses members ([`Member`]):
/// such a simulator is an ensemble of as many members as there are numbers. Its best member and its
/// mean are the middle of the distribution. Observations are those of the newest parameters where
/// they depend on them.
pub struct SimulatedDynamics {
    /// Those that nobody uses at the moment.
    idle: Mutex<Vec<Box<dyn Env>>>,
    make: Option<EnvFactory>,
    info: EnvInfo,
    state_dim: usize,
    spec: Spec,
    spread: Spread,
    draw: Draw,
    /// The stream of the episodes' draws.
    rng: Rng,
    episode: AtomicU64,
}

/// Rows that one simulator takes after each other: long enough to be worth a thread's while.
const BLOCK: usize = 8;

impl SimulatedDynamics {
    /// The model that `simulator` is; rows are simulated one after the other.
    #[must_use]
    pub fn new(simulator: Box<dyn Simulator>, spec: Spec) -> Self {
        let (info, state_dim) = (simulator.info().clone(), simulator.state_dim());
        Self::of(simulator, None, info, state_dim, spec)
    }

    fn of(
        env: Box<dyn Env>,
        make: Option<EnvFactory>,
        info: EnvInfo,
        state_dim: usize,
        spec: Spec,
    ) -> Self {
        Self {
            idle: Mutex::new(vec![env]),
            make,
            info,
            state_dim,
            spec,
            spread: Spread::default(),
            draw: Draw::default(),
            rng: Rng::new(0),
            episode: AtomicU64::new(0),
        }
    }

    /// The model that the environments of `make` are; rows are shared among the threads.
    ///
    /// # Errors
    /// [`Error::Env`] when the state of these environments cannot be saved; as `make`.
    pub fn many(make: EnvFactory, spec: Spec) -> Result<Self> {
        let mut env = make()?;
        let (info, state_dim) = (env.info().clone(), simulator(env.as_mut())?.state_dim());
        Ok(Self::of(env, Some(make), info, state_dim, spec))
    }

    /// The same with parameters, biased and drawn, as `config` says; `rng` is the stream of the draws of
    /// episodes.
    ///
    /// # Errors
    /// As [`SimulatorConfig::distribution`].
    pub fn with(mut self, config: &SimulatorConfig, rng: Rng) -> Result<Self> {
        for env in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let simulator = simulator(env.as_mut())?;
            self.spread = config.distribution(simulator)?;
            self.spread.prepare(simulator)?;
        }
        self.draw = config.draw.unwrap_or_default();
        self.rng = rng;
        Ok(self)
    }

    /// Parameters of the rows of a step; none where they never change.
    fn drawn(&self, rows: usize, member: &Member) -> Vec<Vec<f64>> {
        if !self.spread.varies() {
            return Vec::new();
        }
        let chosen = |u: &f64| self.spread.drawn(&mut Rng::new(u.to_bits()));
        match (self.draw, member) {
            (Draw::Episode, _) => {
                let episode = self.episode.load(Ordering::Relaxed);
                vec![self.spread.drawn(&mut self.rng.fork(&episode.to_string())); rows]
            }
            (_, Member::Rows(u)) => u.iter().map(chosen).collect(),
            (_, Member::Best | Member::Mean) => vec![self.spread.middle.clone(); rows],
        }
    }

    /// One that nobody uses, for the time of `f`.
    fn borrowed<T>(&self, f: impl FnOnce(&mut dyn Simulator) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut env = match (taken, &self.make) {
            (Some(env), _) => env,
            (None, Some(make)) => {
                let mut env = make()?;
                self.spread.prepare(simulator(env.as_mut())?)?;
                env
            }
            (None, None) => {
                let problem = "the only simulator is in use, or was lost by a panic";
                return Err(Error::env(&self.info.name, problem));
            }
        };
        let result = f(simulator(env.as_mut())?);
        // Before every use it is restored, so one that an error left behind is still good.
        idle().push(env);
        result
    }

    /// Runs `f` for every row with a simulator restored to that row's state.
    fn each_row<T: Send>(
        &self,
        state: &Tensor,
        f: impl Fn(usize, &mut dyn Simulator) -> Result<T> + Sync + Send,
    ) -> Result<Vec<T>> {
        let n = rows(state, self.state_dim, "state of a simulated model")?;
        let states = to_f64(state)?;
        let of_block = |block: usize| {
            self.borrowed(|simulator| {
                let rows = block * BLOCK..n.min((block + 1) * BLOCK);
                rows.map(|row| {
                    simulator.restore(&states[row * self.state_dim..][..self.state_dim])?;
                    f(row, simulator)
                })
                .collect::<Result<Vec<T>>>()
            })
        };
        let found: Vec<Mutex<Option<Result<Vec<T>>>>> =
            (0..n.div_ceil(BLOCK)).map(|_| Mutex::new(None)).collect();
        let blocks: Vec<(usize, &Mutex<_>)> = found.iter().enumerate().collect();
        pool::for_each(blocks, self.make.is_some(), |(block, slot)| {
            let done = of_block(block);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        });
        let mut all = Vec::with_capacity(n);
        for slot in found {
            let done = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            all.extend(done.transpose()?.unwrap_or_default());
        }
        Ok(all)
    }
}

/// The environment as the simulator that a model is.
pub(crate) fn simulator(env: &mut dyn Env) -> Result<&mut dyn Simulator> {
    let name = env.info().name.clone();
    let problem = "its state cannot be saved, so it cannot be simulated as the model: learn one";
    env.as_simulator().ok_or_else(|| Error::env(&name, problem))
}

/// Draws the parameters of the next step of an environment whose parameters were prepared. The draw is
/// a function of the state before the step, so nothing has to be saved for it.
pub(crate) fn randomise(env: &mut dyn Env, spread: &Spread) -> Result<()> {
    let simulator = simulator(env)?;
    // FNV-1a over the bits of the state.
    let bytes = simulator.save().into_iter().flat_map(|x| x.to_bits().to_le_bytes());
    let seed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    simulator.set_varied(&spread.drawn(&mut Rng::new(seed)))
}

impl Model for SimulatedDynamics {
    fn describe(&self) -> String {
        "simulator".into()
    }

    fn begin_episode(&self, episode: u64) {
        self.episode.store(episode, Ordering::Relaxed);
    }

    fn parameters(&self) -> Option<&Spread> {
        Some(&self.spread)
    }

    fn dynamics(&self) -> &dyn Dynamics {
        self
    }

    fn states(&self) -> States {
        States::Simulated
    }
}

impl Dynamics for SimulatedDynamics {
    fn state_dim(&self) -> usize {
        self.state_dim
    }

    fn action_dim(&self) -> usize {
        self.info.action_dim()
    }

    fn has_members(&self) -> bool {
        self.spread.varies() && self.draw != Draw::Episode
    }

    fn keeps_members(&self) -> bool {
        self.draw == Draw::Rollout
    }

    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn observe(&self, state: &Tensor) -> Result<Tensor> {
        let obs = self.each_row(state, |_, simulator| Ok(simulator.observe()))?;
        self.spec.tensor(&obs.concat(), (obs.len(), self.info.obs_dim))
    }

    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition> {
        let (b, a) =
            (rows(state, self.state_dim, "state of a simulated model")?, self.action_dim());
        exact(action, &[b, a], "action of a simulated model")?;
        let actions = to_f64(action)?;
        let drawn = self.drawn(b, &noise.member);
        let steps = self.each_row(state, |row, simulator| {
            if let Some(values) = drawn.get(row) {
                simulator.set_varied(values)?;
            }
            let units = self.info.denormalise(&actions[row * a..(row + 1) * a])?;
            let Step { reward, terminated, .. } = simulator.simulate(&units)?;
            let reward = if simulator.failure_kind().is_some() { FAILED } else { reward };
            Ok((simulator.save(), reward, if terminated { 0.0 } else { 1.0 }))
        })?;
        let next: Vec<f64> = steps.iter().flat_map(|(saved, ..)| saved.iter().copied()).collect();
        let column = |f: fn(&(Vec<f64>, f64, f64)) -> f64| steps.iter().map(f).collect::<Vec<_>>();
        Ok(Transition {
            next: self.spec.tensor(&next, (b, self.state_dim))?,
            reward: self.spec.tensor(&column(|s| s.1), b)?,
            cont: self.spec.tensor(&column(|s| s.2), b)?,
        })
    }
}

/// A closure `(state [B,S], action [B,A], noise) -> Transition` used as the model; gradients are
/// what its tensor operations make them.
pub struct FnDynamics<F> {
    state_dim: usize,
    action_dim: usize,
    noise_dim: usize,
    spec: Spec,
    f: F,
}

impl<F> FnDynamics<F>
where
    F: Fn(&Tensor, &Tensor, &StepNoise) -> Result<Transition> + Send + Sync,
{
    /// The model that `f` is, with states of length `state_dim` and actions of `action_dim`.
    pub fn new(state_dim: usize, action_dim: usize, spec: Spec, f: F) -> Self {
        Self { state_dim, action_dim, noise_dim: 0, spec, f }
    }

    /// The same, taking `noise_dim` standard normal numbers a row and step.
    #[must_use]
    pub fn with_noise(self, noise_dim: usize) -> Self {
        Self { noise_dim, ..self }
    }
}

impl<F> Dynamics for FnDynamics<F>
where
    F: Fn(&Tensor, &Tensor, &StepNoise) -> Result<Transition> + Send + Sync,
{
    fn state_dim(&self) -> usize {
        self.state_dim
    }

    fn action_dim(&self) -> usize {
        self.action_dim
    }

    fn noise_dim(&self) -> usize {
        self.noise_dim
    }

    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition> {
        let b = rows(state, self.state_dim, "state of a closure model")?;
        exact(action, &[b, self.action_dim], "action of a closure model")?;
        let step = (self.f)(state, action, noise)?;
        for (what, t, dims) in [
            ("next state", &step.next, &[b, self.state_dim][..]),
            ("reward", &step.reward, &[b]),
            ("continuation", &step.cont, &[b]),
        ] {
            if t.dims() != dims {
                let place = format!("{what} that a closure model returned");
                return Err(Error::shape(place, format!("{dims:?}"), t.dims()));
            }
        }
        Ok(step)
    }
}
