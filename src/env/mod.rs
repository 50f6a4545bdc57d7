//! Environments: what an agent acts in.
//!
//! [`Env`] is the contract of every environment; a [`Simulator`] can also save and restore its
//! state exactly, which is what checkpoints and planning with the true model need. [`make`] knows
//! every environment by its name.

mod clock;
#[cfg(unix)]
pub mod gymnasium;
#[cfg(feature = "mujoco")]
pub mod mujoco;
pub mod native;
pub mod parameters;
mod registry;
pub mod scene;

pub use crate::known::{ContinuationFn, Known, RewardFn};
pub use parameters::{Parameter, Spread};
pub use registry::{check, info, make, names, simulator};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{ANSWER, Error, Result};
use crate::rng::Rng;

/// What never changes about an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvInfo {
    /// The name by which the command line knows it.
    pub name: String,
    /// Length `O` of an observation.
    pub obs_dim: usize,
    /// Lowest action, in the environment's own units, length `A`.
    pub action_low: Vec<f64>,
    /// Highest action, in the environment's own units, length `A`.
    pub action_high: Vec<f64>,
    /// Steps after which an episode is truncated.
    pub max_steps: usize,
}

impl EnvInfo {
    /// Length `A` of an action.
    #[must_use]
    pub fn action_dim(&self) -> usize {
        self.action_low.len()
    }

    /// Checks an action in the environment's own units.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length than `A`, [`Error::NonFinite`] for NaN or infinity.
    pub fn check_action(&self, action: &[f64]) -> Result<()> {
        if action.len() != self.action_dim() {
            let place = format!("action of environment `{}`", self.name);
            return Err(Error::shape(place, format!("[{}]", self.action_dim()), [action.len()]));
        }
        if action.iter().any(|a| !a.is_finite()) {
            return Err(Error::NonFinite {
                quantity: "action".into(),
                step: format!("a step of environment `{}`", self.name),
            });
        }
        Ok(())
    }

    /// Checks numbers that the environment has answered: networks and buffers hold them as `f32`. `what`
    /// names them, `step` says when it was.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the first that is NaN, infinite or beyond `f32`.
    pub fn check_answer(&self, what: &str, x: &[f64], step: impl FnOnce() -> String) -> Result<()> {
        let Some(i) = x.iter().position(|x| !(*x as f32).is_finite()) else { return Ok(()) };
        let index = if x.len() > 1 { format!("[{i}]") } else { String::new() };
        let beyond = if x[i].is_finite() { ", beyond what f32 holds" } else { "" };
        let value = format!("{:e}", x[i]).to_lowercase();
        let quantity = format!("{ANSWER}{}`: {what}{index} is {value}{beyond}", self.name);
        Err(Error::NonFinite { quantity, step: step() })
    }

    /// Maps an action from `[-1, 1]` to the environment's units; values outside are clipped.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length, [`Error::NonFinite`] for NaN.
    pub fn denormalise(&self, action: &[f64]) -> Result<Vec<f64>> {
        if action.len() != self.action_dim() {
            let place = format!("action of environment `{}`", self.name);
            return Err(Error::shape(place, format!("[{}]", self.action_dim()), [action.len()]));
        }
        if action.iter().any(|a| a.is_nan()) {
            return Err(Error::NonFinite {
                quantity: "action".into(),
                step: format!("a step of environment `{}`", self.name),
            });
        }
        let bounds = self.action_low.iter().zip(&self.action_high);
        Ok(action
            .iter()
            .zip(bounds)
            .map(|(a, (lo, hi))| lo + (a.clamp(-1.0, 1.0) + 1.0) * 0.5 * (hi - lo))
            .collect())
    }
}

/// What one step of an environment gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Observation after the step, length `O`.
    pub obs: Vec<f64>,
    /// Reward of the step.
    pub reward: f64,
    /// The episode ended in a state without a future: its value is zero.
    pub terminated: bool,
    /// The episode was cut, by the clock or because the simulation failed: the state still has a
    /// value.
    pub truncated: bool,
}

/// An environment with continuous observations and actions.
///
/// Implementers guarantee: all randomness comes from the `rng` of [`Env::reset`] (a stochastic
/// environment keeps a fork of it as part of its state); `step` after the end of an episode is an
/// error, never a silent reset; actions are in the environment's own units and out-of-range
/// actions are clipped.
pub trait Env: Send {
    /// Name, sizes, bounds and time limit.
    fn info(&self) -> &EnvInfo;

    /// Starts an episode and returns its first observation, length `O`.
    ///
    /// # Errors
    /// [`Error::Env`] when the environment cannot start.
    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>>;

    /// Applies an action in the environment's own units, length `A`.
    ///
    /// # Errors
    /// [`Error::Shape`] for an action of another length, [`Error::NonFinite`] for a non-finite
    /// action, [`Error::Env`] when no episode is running or the environment fails.
    fn step(&mut self, action: &[f64]) -> Result<Step>;

    /// Reward and continuation as functions, where they are known.
    fn known(&self) -> Known {
        Known::default()
    }

    /// What simulates it beside hstep, and the versions; none by default. A run is resumed on the same
    /// ones only, or, where they do not bind, with a warning.
    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Whether it should be the only one of its kind that evaluates, one episode after the other, because
    /// more of them take long to make or cannot be had. No by default.
    fn is_dear(&self) -> bool {
        false
    }

    /// Whether a run may not go on with other [`Env::versions`]. Yes by default.
    fn versions_bind(&self) -> bool {
        true
    }

    /// What it looks like in its present state, if it says so; of no use before the first reset.
    fn scene(&self) -> Option<scene::Scene> {
        None
    }

    /// What it looks like now, by its own renderer, where it makes such pictures as it goes.
    ///
    /// # Errors
    /// [`Error::Env`] where the renderer fails.
    fn picture(&self) -> Result<Option<scene::Image>> {
        Ok(None)
    }

    /// What makes pictures of so many pixels (width, height) with the environment's own renderer.
    ///
    /// # Errors
    /// [`Error::Env`] where there is none, or it lacks a library.
    fn painter(&self, size: [usize; 2]) -> Result<Box<dyn scene::Painter>> {
        let _ = size;
        Err(Error::env(&self.info().name, "this environment has no renderer of its own"))
    }

    /// The kinds of failure for which its simulation can cut an episode; each is a column
    /// `failed_KIND` of the metrics, so short and in small letters. None by default.
    fn failure_kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Which of [`Env::failure_kinds`] cut the last step, if one did: that step is truncated.
    fn failure_kind(&self) -> Option<&'static str> {
        None
    }

    /// This environment as a [`Simulator`], if it is one.
    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        None
    }
}

/// Makes fresh environments: one to train in, more to evaluate in or to plan with.
pub type EnvFactory = Arc<dyn Fn() -> Result<Box<dyn Env>> + Send + Sync>;

/// An environment whose state can be saved and restored bit for bit.
pub trait Simulator: Env {
    /// Length of [`Simulator::save`].
    fn state_dim(&self) -> usize;

    /// The whole state of the running episode: physics, clock, own randomness.
    fn save(&self) -> Vec<f64>;

    /// Goes back to a saved state; what follows is bit-equal to what followed then.
    ///
    /// # Errors
    /// [`Error::Shape`] for a state of another length.
    fn restore(&mut self, state: &[f64]) -> Result<()>;

    /// The observation of the present state, length `O`.
    fn observe(&self) -> Vec<f64>;

    /// Its physical parameters, as they are; none by default.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Makes some of [`Simulator::parameters`] those that [`Simulator::set_varied`] sets.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name, naming the nearest known one.
    fn vary(&mut self, names: &[&str]) -> Result<()> {
        let place = |name: &&str| parameters::place(&self.info().name, &[], name, "parameter");
        names.iter().try_for_each(|name| place(name).map(|_| ()))
    }

    /// Sets the parameters of [`Simulator::vary`], in its order, for the steps to come. What follows
    /// depends on these values alone, not on those before; the saved state does not have them.
    ///
    /// # Errors
    /// [`Error::Env`] where the simulator refuses them.
    fn set_varied(&mut self, values: &[f64]) -> Result<()> {
        let _ = values;
        Ok(())
    }

    /// One step as a model takes it: the time limit does not end the episode, and a terminated
    /// state stays where it is with reward 0.
    ///
    /// A failed simulation ([`Env::failure_kind`]) leaves the state where it was, terminated and with
    /// reward 0.
    ///
    /// The default is [`Env::step`], right for simulators that never end; all others override it.
    ///
    /// # Errors
    /// As [`Env::step`], but not for a step past the time limit.
    fn simulate(&mut self, action: &[f64]) -> Result<Step> {
        self.step(action)
    }
}
