//! [`Native`]: a [`Physics`] as an environment with episodes, a clock and exact save and restore.

use super::{Model, Physics};
use crate::env::scene::Scene;
use crate::env::{Env, EnvInfo, Known, Simulator, Step};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Why no step can be taken, if none can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Terminated,
    Truncated,
    NotStarted,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Running, Self::Terminated, Self::Truncated, Self::NotStarted];
}

/// An environment from its equations.
///
/// A saved state is the physical state, the number of steps taken, and the phase of the episode
/// (0 running, 1 terminated, 2 truncated, 3 not started).
#[derive(Debug, Clone)]
pub struct Native<P: Physics> {
    physics: P,
    info: EnvInfo,
    state: P::State,
    steps: usize,
    phase: Phase,
}

impl<P: Physics> Native<P> {
    /// An environment whose first episode has not started.
    #[must_use]
    pub fn new(physics: P) -> Self {
        let info = physics.info();
        Self { physics, info, state: P::State::default(), steps: 0, phase: Phase::NotStarted }
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
        (self.steps, self.phase) = (0, Phase::Running);
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
        let (state, reward, terminated) = self.physics.advance(&self.state, action, self.steps);
        (self.state, self.steps) = (state, self.steps + 1);
        Step { obs: self.observe(), reward, terminated, truncated: false }
    }

    fn error<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::env(self.info.name.clone(), problem))
    }
}

impl<P: Physics> Env for Native<P> {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.state = self.physics.start(rng);
        (self.steps, self.phase) = (0, Phase::Running);
        Ok(self.observe())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        match self.phase {
            Phase::Running => {}
            Phase::NotStarted => return self.error("step before the first reset: call reset"),
            Phase::Terminated => {
                return self.error("step after the episode terminated: call reset");
            }
            Phase::Truncated => return self.error("step after the time limit: call reset"),
        }
        let mut step = self.advance(action);
        // As Gymnasium's TimeLimit: a last step that terminates is truncated as well.
        step.truncated = self.steps >= self.info.max_steps;
        if step.terminated {
            self.phase = Phase::Terminated;
        } else if step.truncated {
            self.phase = Phase::Truncated;
        }
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
        self.state.as_ref().len() + 2
    }

    fn save(&self) -> Vec<f64> {
        let mut state = self.state.as_ref().to_vec();
        state.extend([self.steps as f64, self.phase as usize as f64]);
        state
    }

    fn restore(&mut self, state: &[f64]) -> Result<()> {
        let [physical @ .., steps, phase] = state else {
            let place = format!("saved state of environment `{}`", self.info.name);
            return Err(Error::shape(place, format!("[{}]", self.state_dim()), [state.len()]));
        };
        let phase_of = |p: &&Phase| **p as usize as f64 == *phase;
        let Some(phase) = Phase::ALL.iter().find(phase_of) else {
            return self
                .error(format!("saved state has the phase {phase}, which is none of 0..=3"));
        };
        if !(steps.fract() == 0.0 && *steps >= 0.0 && *steps < u32::MAX.into()) {
            return self.error(format!("saved state has a step counter of {steps}"));
        }
        self.set(physical)?;
        (self.steps, self.phase) = (*steps as usize, *phase);
        Ok(())
    }

    fn observe(&self) -> Vec<f64> {
        self.physics.observe(&self.state)
    }

    fn simulate(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        match self.phase {
            Phase::NotStarted => self.error("step before the first reset: call reset"),
            Phase::Terminated => {
                Ok(Step { obs: self.observe(), reward: 0.0, terminated: true, truncated: false })
            }
            Phase::Running | Phase::Truncated => {
                let step = self.advance(action);
                self.phase = if step.terminated { Phase::Terminated } else { Phase::Running };
                Ok(step)
            }
        }
    }
}
