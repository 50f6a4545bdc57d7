//! Episodes from fixed start states, side by side: one environment each, one batch a step; or one after
//! the other where environments are dear.

use std::ops::Range;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::dynamics::States;
use crate::dynamics::simulated::simulator;
use crate::env::{Env, EnvFactory, Step};
use crate::error::{Error, Result};
use crate::replay::Start;
use crate::rng::Rng;
use crate::shape::Spec;

/// The running episode, beside the simulator's own state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Episode {
    pub obs: Vec<f64>,
    pub total: f64,
    pub length: u64,
    pub simulator: Option<Vec<f64>>,
}

/// The episodes of an evaluation that are still running.
pub(super) struct Episodes {
    first: usize,
    envs: Vec<Box<dyn Env>>,
    obs: Vec<Vec<f64>>,
    running: Vec<usize>,
}

impl Episodes {
    /// Resets one environment an episode, or, where they are dear ([`Env::is_dear`]), one for the first of
    /// the `episodes` alone; `seen` is shown each.
    pub fn start(
        make: &EnvFactory,
        episodes: Range<usize>,
        starts: &Rng,
        mut seen: impl FnMut(usize, &mut dyn Env),
    ) -> Result<Self> {
        let (first, mut envs, mut obs) = (episodes.start, Vec::new(), Vec::new());
        for i in episodes {
            let mut env = make()?;
            let start = env.reset(&mut starts.fork(&i.to_string()))?;
            env.info().check_answer("observation", &start, at)?;
            obs.push(start);
            seen(i, env.as_mut());
            let alone = env.is_dear();
            envs.push(env);
            if alone {
                break;
            }
        }
        Ok(Self { running: (first..first + envs.len()).collect(), first, envs, obs })
    }

    /// The first episode that is not among these.
    pub fn end(&self) -> usize {
        self.first + self.envs.len()
    }

    /// Which episodes are running: the row of a batch to the episode.
    pub fn running(&self) -> &[usize] {
        &self.running
    }

    /// Where the running episodes stand; with the saved states of their environments where these are
    /// the states of a model.
    pub fn stand(&mut self, states: States, spec: &Spec) -> Result<Start> {
        let obs = self.batch(spec)?;
        if states != States::Simulated {
            return Ok(Start::of(&obs, None));
        }
        let saved = self.running.iter().map(|&i| saved(self.envs[i - self.first].as_mut()));
        let saved = saved.collect::<Result<Vec<_>>>()?;
        let width = saved.first().map_or(0, Vec::len);
        let state = spec.tensor(&saved.concat(), (saved.len(), width))?;
        Ok(Start::of(&obs, Some(&state)))
    }

    /// The observations of the running episodes `[B,O]`.
    pub fn batch(&self, spec: &Spec) -> Result<Tensor> {
        let width = self.running.first().map_or(0, |&i| self.obs[i - self.first].len());
        let rows: Vec<f64> =
            self.running.iter().flat_map(|&i| &self.obs[i - self.first]).copied().collect();
        spec.tensor(&rows, (self.running.len(), width))
    }

    /// Steps the running episodes with normalised actions `[B,A]`, row-major; `seen` is shown each
    /// episode, its environment, the action and the step. Returns the rows that go on.
    pub fn step(
        &mut self,
        actions: &[f64],
        mut seen: impl FnMut(usize, &mut dyn Env, &[f64], &Step),
    ) -> Result<Vec<u32>> {
        if !actions.iter().all(|a| a.is_finite()) {
            let quantity = "action of the policy".into();
            return Err(Error::NonFinite { quantity, step: "an evaluation".into() });
        }
        let wide = actions.len() / self.running.len().max(1);
        let mut next = Vec::with_capacity(self.running.len());
        let mut goes_on = Vec::with_capacity(self.running.len());
        for (row, &i) in self.running.iter().enumerate() {
            let action = &actions[row * wide..(row + 1) * wide];
            let env = &mut self.envs[i - self.first];
            let own = env.info().denormalise(action)?;
            let step = env.step(&own)?;
            env.info().check_answer("reward", &[step.reward], at)?;
            env.info().check_answer("observation", &step.obs, at)?;
            seen(i, env.as_mut(), action, &step);
            if !(step.terminated || step.truncated) {
                next.push(i);
                goes_on.push(row as u32);
            }
            self.obs[i - self.first] = step.obs;
        }
        self.running = next;
        Ok(goes_on)
    }
}

/// The saved state of an environment that a simulator of it is the model of.
pub(super) fn saved(env: &mut dyn Env) -> Result<Vec<f64>> {
    Ok(simulator(env)?.save())
}

fn at() -> String {
    "an evaluation".into()
}
