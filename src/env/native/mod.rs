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
mod maze;
mod model;
mod mountain_car;
mod ops;
mod pendulum;
mod reacher_2;
mod stand_in;
mod two_link;

use candle_core::Tensor;

use super::parameters::{self, Parameter, Possible};
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
pub use maze::Maze;
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

    /// The physical parameters that may be set: their names and what they can be.
    const PARAMETERS: &'static [(&'static str, Possible)] = &[];

    /// The value of a parameter by its place in [`Physics::PARAMETERS`].
    fn parameter(&self, _place: usize) -> f64 {
        f64::NAN
    }

    /// Sets a parameter by its place in [`Physics::PARAMETERS`]. What follows depends on the values
    /// alone, not on those before.
    fn set_parameter(&mut self, _place: usize, _value: f64) {}
}

/// The parameters of some equations, as they are.
pub(crate) fn parameters<P: Physics>(physics: &P) -> Vec<Parameter> {
    let named = P::PARAMETERS.iter().enumerate();
    named
        .map(|(place, &(name, possible))| Parameter {
            name: name.into(),
            value: physics.parameter(place),
            possible,
        })
        .collect()
}

const NAMES: [&str; 10] = [
    "pendulum",
    "pendulum-mpq",
    "mountain-car",
    "cartpole-swingup",
    "double-integrator",
    "acrobot",
    "reacher-2",
    "leg-2r",
    "maze",
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

/// Makes something of the equations of a native environment by name, `name?parameter=value` included.
pub(crate) fn for_physics<F: ForPhysics>(name: &str, maker: F) -> Result<F::Made> {
    let (base, settings) = parameters::split(name)?;
    let set = Set { name, settings, maker };
    match base {
        "pendulum" => set.make(Pendulum::default()),
        "pendulum-mpq" => set.make(Pendulum::mpq()),
        "mountain-car" => set.make(MountainCar::default()),
        "cartpole-swingup" => set.make(CartpoleSwingup::default()),
        "double-integrator" => set.make(DoubleIntegrator::default()),
        "acrobot" => set.make(Acrobot::default()),
        "reacher-2" => set.make(Reacher2::default()),
        "leg-2r" => set.make(Leg2R::default()),
        "maze" => set.make(Maze::default()),
        "stand-in" => set.make(StandIn::default()),
        _ => {
            let hint = nearest(base, NAMES).unwrap_or_default();
            let known = NAMES.join(", ");
            Err(Error::config(
                "env",
                format!("unknown environment `{base}`; did you mean `{hint}`? Known: {known}"),
            ))
        }
    }
}

/// Sets what a name says of parameters before anything is made.
struct Set<'a, F> {
    name: &'a str,
    settings: Vec<(&'a str, f64)>,
    maker: F,
}

impl<F: ForPhysics> Set<'_, F> {
    fn make<P: Physics>(self, mut physics: P) -> Result<F::Made> {
        let all = parameters(&physics);
        for (name, value) in self.settings {
            let place = parameters::place(self.name, &all, name, "env")?;
            all[place].check(value, "env")?;
            physics.set_parameter(place, value);
        }
        Ok(self.maker.make(physics))
    }
}

/// Checks a name, parameters included.
pub(crate) fn check(name: &str) -> Result<()> {
    struct Nothing;
    impl ForPhysics for Nothing {
        type Made = ();
        fn make<P: Physics>(self, _: P) {}
    }
    for_physics(name, Nothing)
}

/// A native environment by name.
///
/// # Errors
/// [`Error::Config`] for an unknown name, naming the nearest known one, or a parameter that cannot be
/// set so.
pub fn make(name: &str) -> Result<Box<dyn Env>> {
    Ok(simulator(name)?)
}

/// A native environment by name, as a [`Simulator`].
///
/// # Errors
/// As [`make`].
pub fn simulator(name: &str) -> Result<Box<dyn Simulator>> {
    struct Boxed<'a>(&'a str);
    impl ForPhysics for Boxed<'_> {
        type Made = Box<dyn Simulator>;
        fn make<P: Physics>(self, physics: P) -> Self::Made {
            Box::new(Native::new(physics).named(self.0))
        }
    }
    for_physics(name, Boxed(name))
}
