//! Environments in plain Rust, each also as a differentiable model.
//!
//! A file here is one [`Physics`]: its equations once in `f64` and once in tensor operations.
//! [`Native`] makes an environment of it (episodes, clock, save and restore), [`Model`] makes
//! [`crate::dynamics::Dynamics`] of it (batches, gradients); a test holds the two against each other.

mod acrobot;
mod cartpole_swingup;
mod double_integrator;
mod episode;
mod leg_2r;
mod model;
mod mountain_car;
mod ops;
mod pendulum;
mod reacher_2;
mod stand_in;
mod two_link;

use candle_core::Tensor;

use super::scene::Scene;
use super::{Env, EnvInfo, Simulator};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::Spec;
use crate::suggest::nearest;

pub use acrobot::Acrobot;
pub use cartpole_swingup::CartpoleSwingup;
pub use double_integrator::DoubleIntegrator;
pub use episode::Native;
pub use leg_2r::Leg2R;
pub use model::Model;
pub use mountain_car::MountainCar;
pub use pendulum::Pendulum;
pub use reacher_2::Reacher2;
pub use stand_in::StandIn;
pub use two_link::{Link, TwoLink};

/// The equations of a task: deterministic, and with a reward and termination that are functions of
/// observations and actions.
///
/// Units are the environment's own. The tensor half works on observations `[B,O]`, as learned
/// models do; actions `[B,A]` reach it already clipped to their range.
pub trait Physics: Clone + Send + Sync + 'static {
    /// The physical state, an array of `f64`.
    type State: AsRef<[f64]> + AsMut<[f64]> + Copy + Default + Send;

    /// Name, sizes, bounds and time limit.
    fn info(&self) -> EnvInfo;

    /// A start state.
    fn start(&self, rng: &mut Rng) -> Self::State;

    /// The observation of a state, length `O`.
    fn observe(&self, state: &Self::State) -> Vec<f64>;

    /// The next state, the reward, and whether the episode has terminated, after `step` steps
    /// before this one.
    fn advance(&self, state: &Self::State, action: &[f64], step: usize)
    -> (Self::State, f64, bool);

    /// [`Physics::advance`] in tensors: the next observation `[B,O]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    fn next(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor>;

    /// The reward `r(s, a, s')`, `[B]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    fn reward(&self, obs: &Tensor, action: &Tensor, next: &Tensor) -> Result<Tensor>;

    /// 1 where the episode goes on at `s'`, else 0, `[B]`; `None` for a task that never terminates.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    fn continuation(&self, _next: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What a state looks like; `None` for a task that has no body.
    fn scene(&self, _state: &Self::State) -> Option<Scene> {
        None
    }

    /// Whether [`Physics::continuation`] is ever 0.
    const TERMINATES: bool = false;
}

const NAMES: [&str; 8] = [
    "pendulum",
    "mountain-car",
    "cartpole-swingup",
    "double-integrator",
    "acrobot",
    "reacher-2",
    "leg-2r",
    "stand-in",
];

/// The names [`make`] knows.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &NAMES
}

fn build(name: &str, spec: &Spec) -> Result<(Box<dyn Simulator>, Box<dyn Dynamics>)> {
    fn both<P: Physics>(physics: &P, spec: &Spec) -> (Box<dyn Simulator>, Box<dyn Dynamics>) {
        let model = Model::new(physics.clone(), spec.clone());
        (Box::new(Native::new(physics.clone())), Box::new(model))
    }
    match name {
        "pendulum" => Ok(both(&Pendulum, spec)),
        "mountain-car" => Ok(both(&MountainCar::default(), spec)),
        "cartpole-swingup" => Ok(both(&CartpoleSwingup, spec)),
        "double-integrator" => Ok(both(&DoubleIntegrator::default(), spec)),
        "acrobot" => Ok(both(&Acrobot, spec)),
        "reacher-2" => Ok(both(&Reacher2, spec)),
        "leg-2r" => Ok(both(&Leg2R, spec)),
        "stand-in" => Ok(both(&StandIn::default(), spec)),
        _ => {
            let hint = nearest(name, NAMES).unwrap_or_default();
            let known = NAMES.join(", ");
            Err(Error::config(
                "env",
                format!("unknown environment `{name}`; did you mean `{hint}`? Known: {known}"),
            ))
        }
    }
}

/// A native environment by name.
///
/// # Errors
/// [`Error::Config`] for an unknown name, naming the nearest known one.
pub fn make(name: &str) -> Result<Box<dyn Env>> {
    Ok(simulator(name)?)
}

/// A native environment by name, as a [`Simulator`].
///
/// # Errors
/// As [`make`].
pub fn simulator(name: &str) -> Result<Box<dyn Simulator>> {
    Ok(build(name, &Spec::f64())?.0)
}

/// The true dynamics of a native environment as a differentiable [`Model`] on observations.
///
/// # Errors
/// As [`make`].
pub fn model(name: &str, spec: &Spec) -> Result<Box<dyn Dynamics>> {
    Ok(build(name, spec)?.1)
}
