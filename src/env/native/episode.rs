//! [`Native`]: a [`Physics`] as an environment with episodes, a clock and exact save and restore.

use super::{Model, Physics};
use crate::env::clock::{Clock, Phase};
use crate::env::parameters::{self, Parameter};
use crate::env::scene::Scene;
use crate::env::{Env, EnvInfo, Known, Simulator, Step};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// An environment from its equations.
///
/// A saved state is the physical state, the number of steps taken, and the phase of the episode
/// (0 running, 1 terminated, 2 truncated, 3 not started).
#[derive(Debug, Clone)]
pub struct Native<P: Physics> {
    physics: P,
    info: EnvInfo,
    state: P::State,
    clock: Clock,
    /// The places of the parameters that [`Simulator::set_varied`] sets.
    varied: Vec<usize>,
}

impl<P: Physics> Native<P> {
    /// An environment whose first episode has not started.
    #[must_use]
    pub fn new(physics: P) -> Self {
        let info = physics.info();
        Self { physics, info, state: P::State::default(), clock: Clock::new(), varied: Vec::new() }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.info.name = name.into();
        self
    }

    /// The equations.
    #[must_use]
    pub fn physics(&self) -> &P {
        &self.physics
    }

    /// The physical state, in the order that the [`Physics`] documents.
    #[must_use]
    pub fn state(&self) -> &[f64] {
        self.state.as_ref()
    }

    /// Starts an episode in a given physical state and returns its observation.
    ///
    /// # Errors
    /// [`Error::Shape`] for a state of another length.
    pub fn reset_to(&mut self, state: &[f64]) -> Result<Vec<f64>> {
        self.set(state)?;
        self.clock = Clock::started();
        Ok(self.observe())
    }

    fn set(&mut self, state: &[f64]) -> Result<()> {
        let own = self.state.as_mut();
        if own.len() != state.len() {
            let place = format!("physical state of environment `{}`", self.info.name);
            return Err(Error::shape(place, format!("[{}]", own.len()), [state.len()]));
        }
        own.copy_from_slice(state);
        Ok(())
    }

    fn advance(&mut self, action: &[f64]) -> Step {
        let (state, reward, terminated) =
            self.physics.advance(&self.state, action, self.clock.steps);
        self.state = state;
        self.clock.steps += 1;
        Step { obs: self.observe(), reward, terminated, truncated: false }
    }
}

impl<P: Physics> Env for Native<P> {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.state = self.physics.start(rng);
        self.clock = Clock::started();
        Ok(self.observe())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        self.clock.check(&self.info)?;
        let mut step = self.advance(action);
        step.truncated = self.clock.end(step.terminated, false, &self.info);
        Ok(step)
    }

    fn known(&self) -> Known {
        Model::new(self.physics.clone(), crate::shape::Spec::f64()).known()
    }

    fn scene(&self) -> Option<Scene> {
        self.physics.scene(&self.state)
    }

    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        Some(self)
    }
}

impl<P: Physics> Simulator for Native<P> {
    fn state_dim(&self) -> usize {
        self.state.as_ref().len() + Clock::SAVED
    }

    fn save(&self) -> Vec<f64> {
        let mut state = self.state.as_ref().to_vec();
        state.extend(self.clock.save());
        state
    }

    fn restore(&mut self, state: &[f64]) -> Result<()> {
        let [physical @ .., steps, phase] = state else {
            let place = format!("saved state of environment `{}`", self.info.name);
            return Err(Error::shape(place, format!("[{}]", self.state_dim()), [state.len()]));
        };
        let clock = Clock::restored([*steps, *phase], &self.info)?;
        self.set(physical)?;
        self.clock = clock;
        Ok(())
    }

    fn observe(&self) -> Vec<f64> {
        self.physics.observe(&self.state)
    }

    fn parameters(&self) -> Vec<Parameter> {
        super::parameters(&self.physics)
    }

    fn vary(&mut self, names: &[&str]) -> Result<()> {
        let (all, env) = (self.parameters(), &self.info.name);
        let places = names.iter().map(|name| parameters::place(env, &all, name, "parameter"));
        self.varied = places.collect::<Result<_>>()?;
        Ok(())
    }

    fn set_varied(&mut self, values: &[f64]) -> Result<()> {
        for (place, value) in self.varied.iter().zip(values) {
            self.physics.set_parameter(*place, *value);
        }
        Ok(())
    }

    fn simulate(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        if self.clock.goes_on(&self.info)? {
            let step = self.advance(action);
            self.clock.phase = if step.terminated { Phase::Terminated } else { Phase::Running };
            return Ok(step);
        }
        Ok(Step { obs: self.observe(), reward: 0.0, terminated: true, truncated: false })
    }
}
