//! N environments in N processes, stepped at once.

use std::sync::Arc;

use super::{Gymnasium, Name, Options, Process, locked};
use crate::env::{EnvInfo, Step};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Equal environments in a process each: every request goes to all of them before the first answer
/// is waited for, so they compute side by side. Answers are in order, and the same for any timing.
///
/// For programs of one's own: a run of `hstep` trains on one environment, and its evaluation's share a
/// process ([`super::Bridge`]).
pub struct GymnasiumVec {
    members: Vec<Gymnasium>,
}

impl GymnasiumVec {
    /// `members` environments `gym:ID`, all started at once.
    ///
    /// # Errors
    /// As [`Gymnasium::new`]; [`Error::Config`] for no members.
    pub fn new(name: &str, members: usize, options: &Options) -> Result<Self> {
        crate::check::at_least("members", members, 1)?;
        let name = Name::parse(name)?;
        let begun = (0..members).map(|_| Gymnasium::begin(&name, options));
        let begun = begun.collect::<Result<Vec<_>>>()?;
        let members = begun.into_iter().map(|begun| begun.finish(&name)).collect::<Result<_>>()?;
        Ok(Self { members })
    }

    /// What is the same for all of them.
    #[must_use]
    pub fn info(&self) -> &EnvInfo {
        &self.members[0].info
    }

    /// The environments.
    #[must_use]
    pub fn members(&self) -> &[Gymnasium] {
        &self.members
    }

    /// Starts episodes in the environments `which`, seeds drawn in that order; their first
    /// observations, length `O` each.
    ///
    /// # Errors
    /// The first of the members' errors, after all have answered; [`Error::Shape`] for a number
    /// that is no member's or comes twice.
    pub fn reset(&mut self, which: &[usize], rng: &mut Rng) -> Result<Vec<Vec<f64>>> {
        let send = |env: &mut Gymnasium, process: &mut Process, _| env.send_reset(process, rng);
        self.each(which, send, Gymnasium::receive_reset)
    }

    /// Takes a step in the environments `which`: one action each, in the environment's own units,
    /// length `A`.
    ///
    /// # Errors
    /// As [`GymnasiumVec::reset`] and [`crate::env::Env::step`]; [`Error::Shape`] for another
    /// number of actions.
    pub fn step(&mut self, which: &[usize], actions: &[Vec<f64>]) -> Result<Vec<Step>> {
        if which.len() != actions.len() {
            let place = format!("actions of {} environments", which.len());
            return Err(Error::shape(place, format!("[{},A]", which.len()), [actions.len()]));
        }
        let send = |env: &mut Gymnasium, process: &mut Process, i: usize| {
            env.send_step(process, &actions[i])
        };
        self.each(which, send, Gymnasium::receive_step)
    }

    /// Sends to all, then receives from all that were sent to.
    fn each<T>(
        &mut self,
        which: &[usize],
        mut send: impl FnMut(&mut Gymnasium, &mut Process, usize) -> Result<()>,
        receive: impl Fn(&mut Gymnasium, &mut Process) -> Result<T>,
    ) -> Result<Vec<T>> {
        let members = self.members.len();
        for (i, member) in which.iter().enumerate() {
            if *member >= members || which[..i].contains(member) {
                let expected = format!("numbers below {members}, each once");
                return Err(Error::shape("environments of a vector", expected, which));
            }
        }
        let hosts: Vec<_> = which.iter().map(|&m| Arc::clone(&self.members[m].host)).collect();
        let mut sent = Vec::with_capacity(which.len());
        for (i, (&member, host)) in which.iter().zip(&hosts).enumerate() {
            sent.push(send(&mut self.members[member], &mut locked(host), i));
        }
        let mut got = Vec::with_capacity(which.len());
        for ((&member, host), sent) in which.iter().zip(&hosts).zip(sent) {
            let env = &mut self.members[member];
            got.push(sent.and_then(|()| receive(env, &mut locked(host))));
        }
        got.into_iter().collect()
    }
}
