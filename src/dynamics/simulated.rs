//! Dynamics that are not learned: simulators, and any closure.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dynamics, Model, States, StepNoise, Transition};
use crate::env::{Env, EnvFactory, EnvInfo, Simulator, Step};
use crate::error::{Error, Result};
use crate::pool;
use crate::shape::{Spec, exact, rows, to_f64};

/// Reward of a step at which a simulation fails: a plan through it must not be the best, also where
/// all rewards are negative. The number is that of MuJoCo MPC (`kMaxReturnValue`).
pub const FAILED: f64 = -1e6;

/// Settings of a simulator that an agent has for its model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorConfig {}

/// Simulators used as the model.
///
/// A state row is what [`Simulator::save`] returns, an observation what [`Simulator::observe`]
/// does. There are no gradients. The time limit does not end a rollout, and a terminated row stays
/// where it is (see [`Simulator::simulate`]). A step at which the simulation fails is rewarded with
/// [`FAILED`] and ends its rollout. In `f32` the saved states are rounded; exact rollouts need `f64`.
///
/// Where more simulators can be made, every thread has one, and rows are shared out by their number
/// alone: results are bit-equal for any number of threads.
pub struct SimulatedDynamics {
    /// Those that nobody uses at the moment.
    idle: Mutex<Vec<Box<dyn Env>>>,
    make: Option<EnvFactory>,
    info: EnvInfo,
    state_dim: usize,
    spec: Spec,
}

/// Rows that one simulator takes after each other: long enough to be worth a thread's while.
const BLOCK: usize = 8;

impl SimulatedDynamics {
    /// The model that `simulator` is; rows are simulated one after the other.
    #[must_use]
    pub fn new(simulator: Box<dyn Simulator>, spec: Spec) -> Self {
        let (info, state_dim) = (simulator.info().clone(), simulator.state_dim());
        let idle = Mutex::new(vec![simulator as Box<dyn Env>]);
        Self { idle, make: None, info, state_dim, spec }
    }

    /// The model that the environments of `make` are; rows are shared among the threads.
    ///
    /// # Errors
    /// [`Error::Env`] when the state of these environments cannot be saved; as `make`.
    pub fn many(make: EnvFactory, spec: Spec) -> Result<Self> {
        let mut env = make()?;
        let (info, state_dim) = (env.info().clone(), simulator(env.as_mut())?.state_dim());
        Ok(Self { idle: Mutex::new(vec![env]), make: Some(make), info, state_dim, spec })
    }

    /// One that nobody uses, for the time of `f`.
    fn borrowed<T>(&self, f: impl FnOnce(&mut dyn Simulator) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut env = match (taken, &self.make) {
            (Some(env), _) => env,
            (None, Some(make)) => make()?,
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

impl Model for SimulatedDynamics {
    fn describe(&self) -> String {
        "simulator".into()
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

    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn observe(&self, state: &Tensor) -> Result<Tensor> {
        let obs = self.each_row(state, |_, simulator| Ok(simulator.observe()))?;
        self.spec.tensor(&obs.concat(), (obs.len(), self.info.obs_dim))
    }

    fn step(&self, state: &Tensor, action: &Tensor, _noise: &StepNoise) -> Result<Transition> {
        let (b, a) =
            (rows(state, self.state_dim, "state of a simulated model")?, self.action_dim());
        exact(action, &[b, a], "action of a simulated model")?;
        let actions = to_f64(action)?;
        let steps = self.each_row(state, |row, simulator| {
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
