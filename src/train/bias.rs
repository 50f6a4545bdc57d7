//! What a critic says against what its policy reaches.

use candle_core::Tensor;

use super::episodes::Episodes;
use super::evaluate::EvalConfig;
use crate::env::EnvFactory;
use crate::error::Result;
use crate::learner::Agent;
use crate::parts::{ACTOR, CRITIC};
use crate::policy::ActionSample;
use crate::rng::{Key, Rng};
use crate::shape::to_f64;

/// A visited state and action, with the critic's value and the one that was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Which of the episodes.
    pub episode: usize,
    /// The step within it, from 0.
    pub step: usize,
    /// The observation, length `O`.
    pub obs: Vec<f64>,
    /// `min_e Q_e(s,a)` of the online networks.
    pub predicted: f64,
    /// `r_t + sum_{k>t} gamma^{k-t} (r_k - alpha log pi(a_k|s_k))` along the episode.
    pub reached: f64,
    /// The weight of the critic's own value within `reached`: `gamma` to the number of steps up to
    /// the time limit; 0 where the episode terminated.
    pub own: f64,
}

/// The bias of a critic along the episodes of its policy (Fujimoto et al. 2018, section 4; normalised
/// as in Chen et al. 2021, "Randomized Ensembled Double Q-Learning", section 3).
#[derive(Debug, Clone, PartialEq)]
pub struct CriticBias {
    /// All states that were judged; never empty.
    pub states: Vec<Judged>,
}

impl CriticBias {
    fn mean_of(&self, f: impl Fn(&Judged) -> f64) -> f64 {
        self.states.iter().map(f).sum::<f64>() / self.states.len() as f64
    }

    /// Mean value that the critic gives.
    #[must_use]
    pub fn predicted(&self) -> f64 {
        self.mean_of(|s| s.predicted)
    }

    /// Mean value that was reached.
    #[must_use]
    pub fn reached(&self) -> f64 {
        self.mean_of(|s| s.reached)
    }

    /// Mean of `predicted - reached`: above 0, the critic overestimates.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean_of(|s| s.predicted - s.reached)
    }

    /// Standard deviation of `predicted - reached` over the states (population form).
    #[must_use]
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        self.mean_of(|s| (s.predicted - s.reached - mean).powi(2)).sqrt()
    }

    /// Mean weight of the critic's own value in what was reached.
    #[must_use]
    pub fn own(&self) -> f64 {
        self.mean_of(|s| s.own)
    }
}

/// One step of an episode.
struct Visit {
    obs: Vec<f64>,
    q: f64,
    log_prob: f64,
    reward: f64,
}

/// Runs episodes with samples of the agent's policy and compares its critic, smallest member, with
/// the discounted sum of what followed, the entropy bonus at the present temperature included.
///
/// What follows a time limit or a failed simulation is the critic's own value there, which makes its
/// bias look smaller: so only the first half of such an episode is judged ([`Judged::own`] is the
/// weight that is left).
///
/// # Errors
/// [`crate::Error::Composition`] when the agent has no policy or no critic; as the environment.
pub fn critic_bias(agent: &Agent, make: &EnvFactory, config: &EvalConfig) -> Result<CriticBias> {
    let streams = Rng::new(config.seed);
    let key = streams.fork("critic bias").key();
    let starts = streams.fork("evaluation");
    let mut visits: Vec<Vec<Visit>> = (0..config.episodes).map(|_| Vec::new()).collect();
    let mut ends: Vec<Option<Vec<f64>>> = vec![None; config.episodes];
    let (mut next, mut longest) = (0, 0);
    while next < config.episodes {
        let mut episodes = Episodes::start(make, next..config.episodes, &starts, |_, _| {})?;
        next = episodes.end();
        let mut step = 0;
        while !episodes.running().is_empty() {
            let rows = episodes.running().to_vec();
            let obs = episodes.batch(agent.spec())?;
            let width = obs.dim(1)?;
            let (q, sampled) = judge(agent, &obs, &rows, key, step)?;
            let log_prob = to_f64(&sampled.log_prob)?;
            let obs = to_f64(&obs)?;
            let mut row = 0;
            episodes.step(&to_f64(&sampled.action)?, |i, env, _, taken| {
                let here = obs[row * width..(row + 1) * width].to_vec();
                let (q, log_prob) = (q[row], log_prob[row]);
                row += 1;
                if env.failure_kind().is_some() {
                    // No transition: the state before it is the last of which something is known.
                    ends[i] = Some(here);
                    return;
                }
                visits[i].push(Visit { obs: here, q, log_prob, reward: taken.reward });
                if taken.truncated && !taken.terminated {
                    ends[i] = Some(taken.obs.clone());
                }
            })?;
            step += 1;
        }
        longest = longest.max(step);
    }
    let rest = values_at(agent, &ends, key, longest)?;
    let (gamma, alpha) = (agent.parts.gamma, agent.parts.alpha()?);
    let mut states = Vec::new();
    for (episode, (visits, rest)) in visits.into_iter().zip(rest).enumerate() {
        let judged = if rest.is_some() { visits.len().div_ceil(2) } else { visits.len() };
        let mut own = if rest.is_some() { 1.0 } else { 0.0 };
        let mut value = rest.unwrap_or(0.0);
        for (step, visit) in visits.into_iter().enumerate().rev() {
            let reached = visit.reward + gamma * value;
            own *= gamma;
            value = reached - alpha * visit.log_prob;
            if step < judged {
                let predicted = visit.q;
                states.push(Judged { episode, step, obs: visit.obs, predicted, reached, own });
            }
        }
    }
    Ok(CriticBias { states })
}

/// The policy's samples at `obs` `[B,O]`, whose noise belongs to the episodes `rows`, and
/// `min_e Q_e` of them, `[B]`.
fn judge(
    agent: &Agent,
    obs: &Tensor,
    rows: &[usize],
    key: Key,
    step: usize,
) -> Result<(Vec<f64>, ActionSample)> {
    let policy = agent.parts.policy(ACTOR)?.frozen();
    let width = policy.action_dim();
    let mut noise = vec![0.0; rows.len() * width];
    key.fill_rows(rows.iter().copied(), width, step, &mut noise);
    let noise = agent.spec().tensor(&noise, (rows.len(), width))?;
    let sampled = policy.sample(obs, &noise)?;
    let q = agent.parts.critic(CRITIC)?.online.q(obs, &sampled.action)?.min(0)?;
    Ok((to_f64(&q)?, sampled))
}

/// The soft values `min_e Q_e(s,a) - alpha log pi(a|s)` of the states at which episodes were cut.
fn values_at(
    agent: &Agent,
    ends: &[Option<Vec<f64>>],
    key: Key,
    step: usize,
) -> Result<Vec<Option<f64>>> {
    let rows: Vec<usize> = (0..ends.len()).filter(|&i| ends[i].is_some()).collect();
    let mut out = vec![None; ends.len()];
    let Some(&first) = rows.first() else { return Ok(out) };
    let width = ends[first].as_ref().map_or(0, Vec::len);
    let flat: Vec<f64> = ends.iter().flatten().flatten().copied().collect();
    let obs = agent.spec().tensor(&flat, (rows.len(), width))?;
    let (q, sampled) = judge(agent, &obs, &rows, key, step)?;
    let alpha = agent.parts.alpha()?;
    for ((&i, q), log_prob) in rows.iter().zip(q).zip(to_f64(&sampled.log_prob)?) {
        out[i] = Some(q - alpha * log_prob);
    }
    Ok(out)
}
