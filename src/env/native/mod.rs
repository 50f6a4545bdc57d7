//! Environments in plain Rust, each also as a differentiable model.
//!
//! A file here is one [`Physics`]: its equations once in `f64` and once in tensor operations.
//! [`Native`] makes an environment of it (episodes, clock, save and restore), [`Model`] a
//! differentiable model (batches, gradients); a test holds the two against each other.

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
use crate::error::{Error, Result};
use crate::rng::Rng;
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

/// What is made of the equations of an environment, whichever they are.
pub(crate) trait ForPhysics {
    /// What comes of it.
    type Made;

    /// Makes it.
    fn make<P: Physics>(self, physics: P) -> Self::Made;
}

/// Makes something of the equations of a native environment by name.
pub(crate) fn for_physics<F: ForPhysics>(name: &str, maker: F) -> Result<F::Made> {
    match name {
        "pendulum" => Ok(maker.make(Pendulum)),
        "mountain-car" => Ok(maker.make(MountainCar::default())),
        "cartpole-swingup" => Ok(maker.make(CartpoleSwingup)),
        "double-integrator" => Ok(maker.make(DoubleIntegrator::default())),
        "acrobot" => Ok(maker.make(Acrobot)),
        "reacher-2" => Ok(maker.make(Reacher2)),
        "leg-2r" => Ok(maker.make(Leg2R)),
        "stand-in" => Ok(maker.make(StandIn::default())),
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
    struct Boxed;
    impl ForPhysics for Boxed {
        type Made = Box<dyn Simulator>;
        fn make<P: Physics>(self, physics: P) -> Self::Made {
            Box::new(Native::new(physics))
        }
    }
    for_physics(name, Boxed)
}
