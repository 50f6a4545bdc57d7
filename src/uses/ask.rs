//! What a use of the objective is given in an update, and the rollouts that several uses share.

use std::collections::BTreeMap;

use super::Needs;
use crate::error::{Error, Result};
use crate::objective::{Actions, Cost, Entropy, HStep, Noise, Rollout, Terminal};
use crate::parts::{ACTOR, CRITIC, MODEL, Parts};
use crate::replay::Batch;
use crate::rng::Key;

/// What an improve or a target works on.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What is learned.
    pub parts: &'a Parts,
    /// Transitions `[n,..]`, real and imagined.
    pub batch: &'a Batch,
    /// The noise of this use.
    pub key: Key,
    /// The rollouts that earlier steps of the update have left, by name.
    pub rollouts: &'a Rollouts,
}

/// Rollouts with their graphs, by name.
pub type Rollouts = BTreeMap<String, SharedRollout>;

/// A rollout of the policy through the model, with its graph, for the steps after it to score.
///
/// It remembers how often the parameters that it went through had been changed. A graph reads them
/// as they are when it is gone through backward, so after a change its gradients would be wrong
/// without a word; asking for it then is an error.
#[derive(Debug)]
pub struct SharedRollout {
    rollout: Rollout,
    writes: u64,
}

impl SharedRollout {
    /// Rolls out `horizon` steps from where the batch's transitions begin, and draws the action at the last
    /// state; every action pays its entropy, so that any scoring of it can. Without a `graph` nothing
    /// can be differentiated through it.
    ///
    /// # Errors
    /// [`Error::Composition`] for a missing part, [`Error::Shape`] for a batch that does not fit.
    pub fn new(
        parts: &Parts,
        batch: &Batch,
        horizon: usize,
        graph: bool,
        key: Key,
    ) -> Result<Self> {
        let hstep = HStep {
            dynamics: Some(parts.model(MODEL)?.dynamics()),
            terminal: Terminal::min_q(parts.critic(CRITIC)?.online.as_ref()),
            horizon,
            gamma: parts.gamma,
            cost: Cost::entropy(Entropy::All, parts.alpha()?),
        };
        let (policy, noise) = (parts.policy(ACTOR)?, Noise::key(key));
        let start = batch.start().state;
        let rollout = match graph {
            true => hstep.rollout(&start, Actions::Policy(policy), &noise)?,
            false => {
                let policy = policy.frozen();
                hstep.rollout(&start, Actions::Policy(policy.as_ref()), &noise)?
            }
        };
        Ok(Self { rollout, writes: writes(parts)? })
    }

    /// The rollout, while its graph holds.
    ///
    /// # Errors
    /// [`Error::Composition`] when policy or model have been changed since.
    pub fn rollout(&self, parts: &Parts) -> Result<&Rollout> {
        if writes(parts)? == self.writes {
            return Ok(&self.rollout);
        }
        let problem = "the policy or the model was changed after it was rolled out, so its gradients \
                       would be wrong: let the steps that share it come before that change, or roll \
                       out anew";
        Err(Error::Composition { agent: "a shared rollout".into(), problem: problem.into() })
    }

    /// What it cannot do without.
    pub(super) const NEEDS: Needs = Needs { policy: true, critic: true, model: true, value: false };
}

/// How often the parameters of the policy and the model were changed.
fn writes(parts: &Parts) -> Result<u64> {
    let policy = parts.policy(ACTOR)?.params();
    let policy: u64 = policy.iter().map(|(_, params)| params.writes()).sum();
    Ok(policy + parts.model(MODEL)?.writes())
}

/// The rollout `name` of this update.
///
/// # Errors
/// [`Error::Composition`] when no step before has left it, or its graph no longer holds.
pub(super) fn shared<'a>(ask: &Ask<'a>, name: &str) -> Result<&'a Rollout> {
    let Some(found) = ask.rollouts.get(name) else {
        let problem = format!("no step before this one leaves the rollout `{name}`");
        return Err(Error::Composition { agent: "an update".into(), problem });
    };
    found.rollout(ask.parts)
}
