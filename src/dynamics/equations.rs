//! The equations of a native environment as dynamics.

use candle_core::Tensor;

use super::{Dynamics, StepNoise, Transition};
use crate::env::native::{ForPhysics, Model, Physics, for_physics, names};
use crate::error::{Error, Result};
use crate::shape::Spec;

impl<P: Physics> Dynamics for Model<P> {
    fn state_dim(&self) -> usize {
        self.info().obs_dim
    }

    fn action_dim(&self) -> usize {
        self.info().action_dim()
    }

    fn spec(&self) -> &Spec {
        self.spec()
    }

    fn step(&self, state: &Tensor, action: &Tensor, _noise: &StepNoise) -> Result<Transition> {
        let [next, reward, cont] = self.advance(state, action)?;
        Ok(Transition { next, reward, cont })
    }
}

/// The true dynamics of a native environment by its name, as a differentiable model on observations.
///
/// # Errors
/// As [`crate::env::check`]; [`Error::Config`] for an environment that is not native.
pub fn native_model(name: &str, spec: &Spec) -> Result<Box<dyn Dynamics>> {
    struct Boxed<'a>(&'a Spec);
    impl ForPhysics for Boxed<'_> {
        type Made = Box<dyn Dynamics>;
        fn make<P: Physics>(self, physics: P) -> Self::Made {
            Box::new(Model::new(physics, self.0.clone()))
        }
    }
    crate::env::check(name)?;
    if names().contains(&name.split_once('?').map_or(name, |(base, _)| base)) {
        return for_physics(name, Boxed(spec));
    }
    let problem = format!(
        "`{name}` has no differentiable equations; expected a native environment: {}",
        names().join(", ")
    );
    Err(Error::config("env", problem))
}
