//! What a model says of its policy's episodes against what they become.

use candle_core::Tensor;

use super::episodes::Episodes;
use super::evaluate::EvalConfig;
use crate::dynamics::begun;
use crate::env::EnvFactory;
use crate::error::Result;
use crate::learner::Agent;
use crate::objective::{Actions, Cost, HStep, Members, Noise, Normals, Rollout, Terminal};
use crate::ops;
use crate::parts::{ACTOR, MODEL};
use crate::rng::Rng;
use crate::shape::to_f64;

/// Steps that are rolled out at once; bounds the memory, not the result's meaning.
const BLOCK: usize = 50;

/// Where several episodes, or rollouts, stand after some steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standing {
    /// Share of them that have not ended; a time limit is no end.
    pub alive: f64,
    /// Mean sum of the rewards so far, undiscounted.
    pub total: f64,
}

/// Episodes of a policy, and rollouts of the model from the same start states.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelBias {
    /// The episodes after `0, 1, ..` steps, to the end of the longest.
    pub episodes: Vec<Standing>,
    /// The rollouts after as many steps.
    pub rollouts: Vec<Standing>,
    /// Share of the rollouts whose states or rewards stopped being finite; they ended there.
    pub diverged: f64,
}

/// Runs episodes with the modes of the agent's policy, and `per_start` rollouts of its model from
/// each of their start states with the same modes, as long as the longest episode: sampled, a fresh
/// member every step. The difference is that of the returns under the model and under the true
/// dynamics (Janner et al. 2019, "When to Trust Your Model", section 4).
///
/// Errors add up over hundreds of model steps: rollouts that end where the episodes end speak for the
/// model, and others need not speak against rollouts of a few steps.
///
/// # Errors
/// [`crate::Error::Composition`] when the agent has no policy or no model, [`crate::Error::Config`]
/// for no rollouts; as the environment.
pub fn model_bias(
    agent: &Agent,
    make: &EnvFactory,
    config: &EvalConfig,
    per_start: usize,
) -> Result<ModelBias> {
    crate::check::at_least("per_start", per_start, 1)?;
    let policy = agent.parts.policy(ACTOR)?.frozen();
    let model = agent.parts.model(MODEL)?;
    let dynamics = model.dynamics();
    let streams = Rng::new(config.seed);
    let resets = streams.fork("evaluation");
    let mut starts = Vec::new();
    // Of every episode, whether it lives and what it has earned after every step.
    let mut courses = vec![vec![(true, 0.0)]; config.episodes];
    let mut next = 0;
    while next < config.episodes {
        let mut running = Episodes::start(make, next..config.episodes, &resets, |_, _| {})?;
        next = running.end();
        let start = running.stand(model.states(), agent.spec())?;
        starts.push(begun(model, &start)?);
        while !running.running().is_empty() {
            let actions = to_f64(&policy.mode(&running.batch(agent.spec())?)?)?;
            running.step(&actions, |i, env, _, step| {
                let (alive, total) = courses[i].last().copied().unwrap_or((true, 0.0));
                let alive = alive && !step.terminated && env.failure_kind().is_none();
                courses[i].push((alive, total + step.reward));
            })?;
        }
    }
    let starts = Tensor::cat(&starts, 0)?;
    let longest = courses.iter().map(Vec::len).max().unwrap_or(1) - 1;
    let mut episodes = Tally::new(config.episodes);
    for step in 1..=longest {
        for (i, course) in courses.iter().enumerate() {
            (episodes.alive[i], episodes.totals[i]) = course[step.min(course.len() - 1)];
        }
        episodes.note();
    }

    let streams = streams.fork("model bias");
    let mut rollouts = Tally::new(config.episodes * per_start);
    // The rows that live, and their states.
    let mut rows: Vec<usize> = (0..rollouts.alive.len()).collect();
    let start_of: Vec<u32> = rows.iter().map(|row| (row / per_start) as u32).collect();
    let mut state = ops::take_rows(&starts, &start_of)?;
    let mut diverged = 0;
    for from in (0..longest).step_by(BLOCK) {
        let horizon = BLOCK.min(longest - from);
        if rows.is_empty() {
            (0..horizon).for_each(|_| rollouts.note());
            continue;
        }
        let plain = HStep {
            dynamics: Some(dynamics),
            terminal: Terminal::Zero,
            horizon,
            gamma: 1.0,
            cost: Cost::NONE,
        };
        let streams = streams.fork(&from.to_string());
        let noise = Noise {
            policy: Normals::Zero,
            model: Normals::Key(streams.fork("model").key()),
            member: Members::Key(streams.fork("member").key()),
        };
        let rollout = plain.rollout_forward(&state, Actions::Policy(policy.as_ref()), &noise)?;
        for t in 0..horizon {
            diverged += rollouts.follow(&rows, &rollout, t)?;
        }
        let goes_on = (0..rows.len()).filter(|&i| rollouts.alive[rows[i]]);
        let goes_on: Vec<u32> = goes_on.map(|i| i as u32).collect();
        rows.retain(|&row| rollouts.alive[row]);
        state = ops::take_rows(&rollout.states[horizon], &goes_on)?;
    }
    let diverged = diverged as f64 / rollouts.alive.len() as f64;
    Ok(ModelBias { episodes: episodes.standings, rollouts: rollouts.standings, diverged })
}

/// Who lives, what each has earned, and where they stood after every step.
struct Tally {
    alive: Vec<bool>,
    totals: Vec<f64>,
    standings: Vec<Standing>,
}

impl Tally {
    fn new(n: usize) -> Self {
        let begun = Standing { alive: 1.0, total: 0.0 };
        Self { alive: vec![true; n], totals: vec![0.0; n], standings: vec![begun] }
    }

    /// Ends a step.
    fn note(&mut self) {
        let n = self.alive.len() as f64;
        let alive = self.alive.iter().filter(|&&alive| alive).count() as f64 / n;
        self.standings.push(Standing { alive, total: self.totals.iter().sum::<f64>() / n });
    }

    /// Step `t` of the rollout of `rows`; how many of them diverged.
    fn follow(&mut self, rows: &[usize], rollout: &Rollout, t: usize) -> Result<usize> {
        let (reward, cont) = (to_f64(&rollout.rewards[t])?, to_f64(&rollout.cont[t])?);
        let states = to_f64(&rollout.next[t])?;
        let width = states.len() / rows.len();
        let mut diverged = 0;
        for (i, &row) in rows.iter().enumerate() {
            if !self.alive[row] {
                continue;
            }
            let next = &states[i * width..(i + 1) * width];
            if !(reward[i].is_finite() && next.iter().all(|x| x.is_finite())) {
                self.alive[row] = false;
                diverged += 1;
                continue;
            }
            self.totals[row] += reward[i];
            self.alive[row] = cont[i] != 0.0;
        }
        self.note();
        Ok(diverged)
    }
}
