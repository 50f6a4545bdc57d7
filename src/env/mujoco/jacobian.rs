//! Derivatives of a step, by differences: MuJoCo's own refuse the Runge-Kutta integrator, which most
//! of the tasks use.

use super::{Mujoco, Parts};
use crate::env::{Env as _, Simulator as _};
use crate::error::{Error, Result};

/// Derivatives of the state after a step with respect to state and action before, row-major.
///
/// The state is that of small motions: a turn for every position (a free joint has six, not seven)
/// and the velocities, `S = 2V`; activations of actuators, which no task's model has, are left out.
/// Actions are in the environment's own units.
#[derive(Debug, Clone, PartialEq)]
pub struct Jacobian {
    /// `S`.
    pub states: usize,
    /// `A`.
    pub actions: usize,
    /// `d next / d state`, `[S,S]`.
    pub state: Vec<f64>,
    /// `d next / d action`, `[S,A]`.
    pub action: Vec<f64>,
}

/// What is disturbed.
enum Along {
    Position(usize),
    Velocity(usize),
    Action(usize),
}

impl Mujoco {
    /// The [`Jacobian`] of the step by `action` from the present state, by centred differences of
    /// half-width `h` (1e-6 is a good one). The state stays as it is. On the bound of an action the
    /// clip halves its column.
    ///
    /// # Errors
    /// As [`crate::env::Simulator::simulate`]; [`Error::Env`] where a step fails or the episode has
    /// terminated, [`Error::Config`] for an `h` that is not positive.
    pub fn jacobian(&mut self, action: &[f64], h: f64) -> Result<Jacobian> {
        crate::check::positive("h", h)?;
        self.info().check_action(action)?;
        if !self.goes_on()? {
            let problem = "no derivative here: the episode has terminated";
            return Err(Error::env(self.task().name, problem));
        }
        let here = self.save();
        let result = self.differences(&here, action, h);
        self.restore(&here)?;
        result
    }

    fn differences(&mut self, here: &[f64], action: &[f64], h: f64) -> Result<Jacobian> {
        let v = self.data().model().sizes().velocities;
        let (states, actions) = (2 * v, action.len());
        let mut jacobian = Jacobian {
            states,
            actions,
            state: vec![0.0; states * states],
            action: vec![0.0; states * actions],
        };
        let positions = (0..v).map(Along::Position);
        let velocities = (0..v).map(Along::Velocity);
        for (column, along) in positions.chain(velocities).enumerate() {
            let slope = self.slope(here, action, &along, h)?;
            for (row, d) in slope.into_iter().enumerate() {
                jacobian.state[row * states + column] = d;
            }
        }
        for column in 0..actions {
            let slope = self.slope(here, action, &Along::Action(column), h)?;
            for (row, d) in slope.into_iter().enumerate() {
                jacobian.action[row * actions + column] = d;
            }
        }
        Ok(jacobian)
    }

    /// `(f(x + h) - f(x - h)) / 2h` along one direction.
    fn slope(&mut self, here: &[f64], action: &[f64], along: &Along, h: f64) -> Result<Vec<f64>> {
        let (qpos, qvel) = self.disturbed(here, action, along, -h)?;
        let (qpos_up, qvel_up) = self.disturbed(here, action, along, h)?;
        let mut turn = vec![0.0; qvel.len()];
        self.data().model().differentiate(&mut turn, &qpos, &qpos_up)?;
        let change = qvel_up.iter().zip(&qvel).map(|(up, down)| up - down);
        Ok(turn.iter().copied().chain(change).map(|d| d / (2.0 * h)).collect())
    }

    /// Positions and velocities after a step from a disturbed state.
    fn disturbed(
        &mut self,
        here: &[f64],
        action: &[f64],
        along: &Along,
        by: f64,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        self.restore(here)?;
        let mut action = action.to_vec();
        match *along {
            Along::Position(i) => {
                let (mut qpos, mut way) = (self.qpos().to_vec(), vec![0.0; self.qvel().len()]);
                way[i] = by;
                self.data().model().integrate(&mut qpos, &way, 1.0)?;
                self.set_part(Parts::QPOS, &qpos)?;
            }
            Along::Velocity(i) => {
                let mut qvel = self.qvel().to_vec();
                qvel[i] += by;
                self.set_part(Parts::QVEL, &qvel)?;
            }
            Along::Action(i) => action[i] += by,
        }
        self.simulate(&action)?;
        if let Some(why) = self.failure() {
            let problem = format!("no derivative here: MuJoCo: {why}");
            return Err(Error::env(self.task().name, problem));
        }
        Ok((self.qpos().to_vec(), self.qvel().to_vec()))
    }
}
