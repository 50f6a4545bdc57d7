//! The clock of an episode: how many steps were taken, and why no step can be taken if none can.

use super::EnvInfo;
use crate::error::{Error, Result};

/// Why no step can be taken, if none can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Terminated,
    Truncated,
    NotStarted,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Running, Self::Terminated, Self::Truncated, Self::NotStarted];
}

/// Steps taken and phase; saved as two numbers (0 running, 1 terminated, 2 truncated, 3 not
/// started).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub steps: usize,
    pub phase: Phase,
}

impl Clock {
    /// Numbers of a saved clock.
    pub const SAVED: usize = 2;

    /// Before the first episode.
    pub fn new() -> Self {
        Self { steps: 0, phase: Phase::NotStarted }
    }

    /// At the start of an episode.
    pub fn started() -> Self {
        Self { steps: 0, phase: Phase::Running }
    }

    /// Whether an episode is running.
    ///
    /// # Errors
    /// [`Error::Env`] saying why not.
    pub fn check(&self, info: &EnvInfo) -> Result<()> {
        let problem = match self.phase {
            Phase::Running => return Ok(()),
            Phase::NotStarted => "step before the first reset: call reset",
            Phase::Terminated => "step after the episode terminated: call reset",
            Phase::Truncated => "step after the time limit (or a failure) cut it: call reset",
        };
        Err(Error::env(&info.name, problem))
    }

    /// Whether a model of the environment takes steps: in all but a terminated state, where it stays.
    ///
    /// # Errors
    /// [`Error::Env`] before the first episode.
    pub fn goes_on(&self, info: &EnvInfo) -> Result<bool> {
        match self.phase {
            Phase::NotStarted => self.check(info).map(|()| true),
            Phase::Terminated => Ok(false),
            Phase::Running | Phase::Truncated => Ok(true),
        }
    }

    /// What a step left: whether it is truncated.
    ///
    /// As Gymnasium's TimeLimit, a last step that terminates is truncated as well.
    pub fn end(&mut self, terminated: bool, cut: bool, info: &EnvInfo) -> bool {
        let truncated = cut || self.steps >= info.max_steps;
        if terminated {
            self.phase = Phase::Terminated;
        } else if truncated {
            self.phase = Phase::Truncated;
        }
        truncated
    }

    /// As two numbers.
    pub fn save(&self) -> [f64; Self::SAVED] {
        [self.steps as f64, self.phase as usize as f64]
    }

    /// From two numbers.
    ///
    /// # Errors
    /// [`Error::Env`] for numbers that [`Clock::save`] does not give.
    pub fn restored([steps, phase]: [f64; Self::SAVED], info: &EnvInfo) -> Result<Self> {
        let phase_of = |p: &&Phase| **p as usize as f64 == phase;
        let Some(known) = Phase::ALL.iter().find(phase_of) else {
            let problem = format!("saved state has the phase {phase}, which is none of 0..=3");
            return Err(Error::env(&info.name, problem));
        };
        if !(steps.fract() == 0.0 && steps >= 0.0 && steps < u32::MAX.into()) {
            let problem = format!("saved state has a step counter of {steps}");
            return Err(Error::env(&info.name, problem));
        }
        Ok(Self { steps: steps as usize, phase: *known })
    }
}
