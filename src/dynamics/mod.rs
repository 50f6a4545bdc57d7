//! Dynamics: what takes a batch of states one step further, learned or known.

mod calibration;
mod ends;
mod ensemble;
mod ensemble_config;
mod ensemble_model;
mod ensemble_rows;
mod ensemble_step;
mod equations;
mod fit;
mod loss;
mod model;
pub mod simulated;

pub use calibration::{Calibration, OpenLoop, Recorded, open_loop_error};
pub use ends::EndScore;
pub use ensemble::Ensemble;
pub use ensemble_config::{EnsembleConfig, NoiseKind, Resample, Target, Termination};
pub use ensemble_model::EnsembleModel;
pub use equations::native_model;
pub use fit::{FitData, FitReport, MIN_FIT_ROWS};
pub(crate) use model::begun;
pub use model::{Fitted, Given, Model, States};
pub use simulated::{Draw, FnDynamics, SimulatedDynamics, SimulatorConfig};

use candle_core::Tensor;

use crate::error::Result;
pub use crate::forward::Member;
use crate::forward::RowDynamics;
use crate::shape::Spec;

/// The randomness of one model step; the default is the noise-free step (mean of the prediction of
/// the best member).
#[derive(Debug, Clone, Default)]
pub struct StepNoise {
    /// Standard normal numbers `[B,N]`, `N =` [`Dynamics::noise_dim`].
    pub normal: Option<Tensor>,
    /// Which member takes the step, for dynamics that have members.
    pub member: Member,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Next state `[B,S]`.
    pub next: Tensor,
    /// Reward of the step `[B]`.
    pub reward: Tensor,
    /// 1 where the episode goes on, 0 where it has terminated. `[B]`, no gradient.
    pub cont: Tensor,
}

/// A model of the environment, stepped a batch at a time.
///
/// A row's state is opaque: for learned models it is the observation, for simulators it is the
/// simulator's own saved state. Only [`Dynamics::observe`] knows.
///
/// Actions are normalised to `[-1, 1]`. Contract on gradients: they flow from every output to the
/// state and the action where the model is differentiable, and never to the model's own parameters
/// (training a model is the model's business).
pub trait Dynamics: Send + Sync {
    /// Length `S` of a state row.
    fn state_dim(&self) -> usize;

    /// Length `A` of an action row.
    fn action_dim(&self) -> usize;

    /// How many standard normal numbers a step takes a row; 0 for deterministic dynamics.
    fn noise_dim(&self) -> usize {
        0
    }

    /// Whether a step heeds [`StepNoise::member`].
    fn has_members(&self) -> bool {
        false
    }

    /// Whether a row keeps the member of its first step to the end of its rollout, even where a fresh
    /// one is drawn every step.
    fn keeps_members(&self) -> bool {
        false
    }

    /// Number type and device of the states.
    fn spec(&self) -> &Spec;

    /// The observation `[B,O]` of states `[B,S]`; the identity for learned models.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for states of another width.
    fn observe(&self, state: &Tensor) -> Result<Tensor> {
        Ok(state.clone())
    }

    /// One step from states `[B,S]` with normalised actions `[B,A]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for states or actions of another shape.
    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition>;

    /// The same step on plain rows of `f32`, for rollouts without gradients, where it has that form
    /// and its state is the observation.
    fn rows(&self) -> Option<Box<dyn RowDynamics + '_>> {
        None
    }
}
