//! Dynamics that are not learned: a simulator (the oracle), and any closure.

use std::sync::Mutex;

use candle_core::Tensor;

use super::{Dynamics, StepNoise, Transition};
use crate::env::{EnvInfo, Simulator, Step};
use crate::error::{Error, Result};
use crate::shape::{Spec, exact, rows, to_f64};

/// Reward of a step at which a simulation fails: a plan through it must not be the best, also where
/// all rewards are negative. The number is that of MuJoCo MPC (`kMaxReturnValue`).
pub const FAILED: f64 = -1e6;

/// A simulator used as the model.
///
/// A state row is what [`Simulator::save`] returns, an observation what [`Simulator::observe`]
/// does. There are no gradients. The time limit does not end a rollout, and a terminated row stays
/// where it is (see [`Simulator::simulate`]). A step at which the simulation fails is rewarded with
/// [`FAILED`] and ends its rollout. In `f32` the saved states are rounded; exact rollouts need `f64`.
pub struct SimulatedDynamics {
    simulator: Mutex<Box<dyn Simulator>>,
    info: EnvInfo,
    state_dim: usize,
    spec: Spec,
}

impl SimulatedDynamics {
    /// The model that `simulator` is; rows are simulated one after the other.
    #[must_use]
    pub fn new(simulator: Box<dyn Simulator>, spec: Spec) -> Self {
        let (info, state_dim) = (simulator.info().clone(), simulator.state_dim());
        Self { simulator: Mutex::new(simulator), info, state_dim, spec }
    }

    /// Runs `f` for every row with the simulator restored to that row's state.
    fn each_row<T>(
        &self,
        state: &Tensor,
        mut f: impl FnMut(usize, &mut dyn Simulator) -> Result<T>,
    ) -> Result<Vec<T>> {
        rows(state, self.state_dim, "state of a simulated model")?;
        // A simulator is restored before every use, so one that a panic left behind is still good.
        let mut simulator =
            self.simulator.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let states = to_f64(state)?;
        let each = |(row, saved): (usize, &[f64])| {
            simulator.restore(saved)?;
            f(row, simulator.as_mut())
        };
        states.chunks(self.state_dim.max(1)).enumerate().map(each).collect()
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
