//! One task of a rollout on rows: its parts, and the loop over the horizon.

use super::numbers::Numbers;
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::forward::{
    RowCritic, RowDynamics, RowMembers, RowPolicy, RowValue, StepIn, StepOut, Workspace,
};
use crate::objective::{Actions, Entropy, HStep, Members, Reduce, Terminal};

/// Where the actions of a block come from.
enum Source<'a> {
    Open(&'a [f32]),
    Policy(Box<dyn RowPolicy + 'a>),
    Perturbed { policy: Box<dyn RowPolicy + 'a>, delta: &'a [f32], limit: f32 },
}

enum End<'a> {
    Zero,
    State(Box<dyn RowValue + 'a>),
    Action { critic: Box<dyn RowCritic + 'a>, reduce: Reduce, samples: usize },
}

/// A rollout on rows.
pub(super) struct Engine<'a> {
    dynamics: Option<Box<dyn RowDynamics + 'a>>,
    source: Source<'a>,
    end: End<'a>,
    horizon: usize,
    gamma: f64,
    /// `S` and `A`.
    s: usize,
    pub a: usize,
    /// Standard normal numbers of the model a row and step.
    pub noise_dim: usize,
    pub has_members: bool,
    /// Actions of a sequence that was given.
    given: usize,
}

/// What one task found, rows in its own order.
pub(super) struct Found {
    pub returns: Vec<f32>,
    /// A step after the other: `[H+1][n,S]`, `[n][n,A]`, `[H][n]` twice.
    pub states: Vec<Vec<f32>>,
    /// What the dynamics said, `[H][n,S]`.
    pub next: Vec<Vec<f32>>,
    pub actions: Vec<Vec<f32>>,
    pub rewards: Vec<Vec<f32>>,
    pub cont: Vec<Vec<f32>>,
}

/// What is kept of a rollout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Returns,
    Actions,
    All,
}

impl<'a> Engine<'a> {
    /// `None` where a part has no form on rows, or the parts do not fit each other: the rollout
    /// through tensors says what is wrong.
    pub fn new(
        hstep: &HStep<'a>,
        actions: Actions<'a>,
        given: &'a [f32],
        s: usize,
    ) -> Option<Self> {
        if hstep.cost.steps != Entropy::None && hstep.cost.coefficient != 0.0 {
            return None;
        }
        // Asked for at horizon 0, too: only dynamics on rows observe their state as it is.
        let dynamics = match hstep.dynamics {
            Some(dynamics) => Some(dynamics.rows()?),
            None => None,
        };
        let source = match actions {
            Actions::Open(_) => Source::Open(given),
            Actions::Policy(policy) => Source::Policy(policy.rows()?),
            Actions::Perturbed { policy, limit, .. } => {
                Source::Perturbed { policy: policy.rows()?, delta: given, limit: limit as f32 }
            }
        };
        let (a, sequence) = match actions {
            Actions::Open(sequence) | Actions::Perturbed { delta: sequence, .. } => {
                (sequence.dims().last().copied()?, sequence.dims().get(1).copied()?)
            }
            Actions::Policy(policy) => (policy.action_dim(), 0),
        };
        let fits = match (&source, actions) {
            (Source::Policy(rows) | Source::Perturbed { policy: rows, .. }, _)
                if rows.obs_dim() != s =>
            {
                false
            }
            (_, Actions::Perturbed { policy, .. }) => policy.action_dim() == a,
            _ => true,
        };
        if !fits || hstep.dynamics.is_some_and(|d| d.action_dim() != a) {
            return None;
        }
        let end = match hstep.terminal {
            Terminal::Zero => End::Zero,
            Terminal::State(value) => {
                let value = value.rows()?;
                if value.obs_dim() != s {
                    return None;
                }
                End::State(value)
            }
            Terminal::Action { critic, reduce, samples } => {
                let critic = critic.rows()?;
                let missing = match reduce {
                    Reduce::Member(e) => e >= critic.members(),
                    Reduce::Pair(a, b) => a.max(b) >= critic.members(),
                    Reduce::Min | Reduce::Mean => false,
                };
                if missing || critic.widths() != (s, a) {
                    return None;
                }
                End::Action { critic, reduce, samples: samples.max(1) }
            }
        };
        Some(Self {
            dynamics,
            source,
            end,
            horizon: hstep.horizon,
            gamma: hstep.gamma,
            s,
            a,
            noise_dim: hstep.dynamics.map_or(0, Dynamics::noise_dim),
            has_members: hstep.dynamics.is_some_and(Dynamics::has_members),
            given: sequence,
        })
    }

    /// How many members the dynamics have.
    pub fn members(&self) -> usize {
        self.dynamics.as_ref().map_or(1, |dynamics| dynamics.members())
    }

    /// The actions of `rows` at step `t`; `draw` numbers the noise.
    #[allow(clippy::too_many_arguments)]
    fn act(
        &self,
        rows: &[u32],
        (t, draw): (usize, usize),
        obs: &[f32],
        noise: &Numbers,
        eps: &mut Vec<f32>,
        action: &mut [f32],
        work: &mut Workspace,
    ) {
        let of_row = |sequence: &'a [f32], row: u32| -> &'a [f32] {
            &sequence[(row as usize * self.given + t) * self.a..][..self.a]
        };
        match &self.source {
            Source::Open(sequence) => {
                for (row, action) in rows.iter().zip(action.chunks_exact_mut(self.a.max(1))) {
                    action.copy_from_slice(of_row(sequence, *row));
                }
            }
            Source::Policy(policy) => {
                // Without noise a sample is the squashed mean, which is the mode.
                policy.act(obs, noise.at(rows, draw, self.a, eps), action, work);
            }
            Source::Perturbed { policy, delta, limit } => {
                policy.act(obs, noise.at(rows, draw, self.a, eps), action, work);
                for (row, action) in rows.iter().zip(action.chunks_exact_mut(self.a.max(1))) {
                    for (action, delta) in action.iter_mut().zip(of_row(delta, *row)) {
                        let moved = *action + delta;
                        // Written so that NaN stays NaN.
                        let above = if moved < -limit { -limit } else { moved };
                        *action = if above > *limit { *limit } else { above };
                    }
                }
            }
        }
    }

    /// One task: all rows through the whole horizon.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &self,
        rows: &[u32],
        s0: &[f32],
        (policy_noise, model_noise): (&Numbers, &Numbers),
        members: &Members,
        given_members: Option<&[f64]>,
        b: usize,
        keep: Keep,
    ) -> Result<Found> {
        let (n, s) = (rows.len(), self.s);
        let mut work = Workspace::default();
        let mut found = Found {
            returns: Vec::new(),
            states: Vec::new(),
            next: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            cont: Vec::new(),
        };
        let mut state: Vec<f32> =
            rows.iter().flat_map(|row| &s0[*row as usize * s..][..s]).copied().collect();
        let mut next = vec![0.0; n * s];
        let (mut action, mut eps, mut normal) = (vec![0.0; n * self.a], Vec::new(), Vec::new());
        let (mut reward, mut cont) = (vec![0.0; n], vec![1.0; n]);
        let (mut alive, mut sum) = (vec![true; n], vec![0.0f32; n]);
        let mut uniform: Vec<f64> = Vec::new();
        let mut discount = 1.0f64;
        if keep == Keep::All {
            found.states.push(state.clone());
        }
        for t in 0..self.horizon {
            let Some(dynamics) = &self.dynamics else { break };
            self.act(rows, (t, t), &state, policy_noise, &mut eps, &mut action, &mut work);
            let member = match members {
                _ if !self.has_members => RowMembers::Best,
                Members::Best => RowMembers::Best,
                Members::Mean => RowMembers::Mean,
                Members::Key(key) => {
                    uniform.resize(n, 0.0);
                    key.fill_uniforms(rows.iter().map(|row| *row as usize), t, &mut uniform);
                    RowMembers::Rows(&uniform)
                }
                Members::Pinned(u) => {
                    if t == 0 {
                        uniform = rows.iter().map(|row| u[*row as usize]).collect();
                    }
                    RowMembers::Rows(&uniform)
                }
                Members::Tensor(_) => {
                    let u = given_members.unwrap_or(&[]);
                    uniform.clear();
                    uniform.extend(rows.iter().map(|row| u[t * b + *row as usize]));
                    RowMembers::Rows(&uniform)
                }
            };
            let normal = match member {
                RowMembers::Mean => None,
                _ => model_noise.at(rows, t, self.noise_dim, &mut normal),
            };
            let given = StepIn { state: &state, action: &action, normal, member };
            let out = StepOut { next: &mut next, reward: &mut reward, cont: &mut cont };
            dynamics.step(given, out, &mut work)?;
            for i in 0..n {
                if !alive[i] {
                    next[i * s..][..s].copy_from_slice(&state[i * s..][..s]);
                    (reward[i], cont[i]) = (0.0, 0.0);
                }
                sum[i] += reward[i] * discount as f32;
                alive[i] = cont[i] != 0.0;
            }
            if keep == Keep::All {
                found.next.push(next.clone());
            }
            // The state in which a row dies is not gone on from.
            for i in (0..n).filter(|&i| !alive[i]) {
                next[i * s..][..s].copy_from_slice(&state[i * s..][..s]);
            }
            discount *= self.gamma;
            std::mem::swap(&mut state, &mut next);
            if keep == Keep::All {
                found.states.push(state.clone());
                found.rewards.push(reward.clone());
                found.cont.push(cont.clone());
            }
            if keep != Keep::Returns {
                found.actions.push(action.clone());
            }
        }
        let mut worth = vec![0.0f32; n];
        match &self.end {
            End::Zero => {}
            End::State(value) => value.value(&state, &mut worth, &mut work),
            End::Action { critic, reduce, samples } => {
                let e = critic.members();
                let (mut q, mut total) = (vec![0.0f32; e * n], vec![0.0f32; e * n]);
                for extra in 0..*samples {
                    let at = (self.horizon, self.horizon + extra);
                    self.act(rows, at, &state, policy_noise, &mut eps, &mut action, &mut work);
                    if keep == Keep::All || (extra == 0 && keep == Keep::Actions) {
                        found.actions.push(action.clone());
                    }
                    critic.q(&state, &action, &mut q, &mut work);
                    total.iter_mut().zip(&q).for_each(|(total, q)| *total += q);
                }
                let count = *samples as f32;
                for (i, worth) in worth.iter_mut().enumerate() {
                    let of_row = (0..e).map(|m| total[m * n + i] / count);
                    *worth = match reduce {
                        // NaN on either side comes through.
                        Reduce::Min => of_row.fold(f32::INFINITY, |low, q| {
                            if low.is_nan() || low <= q { low } else { q }
                        }),
                        Reduce::Mean => of_row.sum::<f32>() / e as f32,
                        Reduce::Member(m) => total[m * n + i] / count,
                        Reduce::Pair(a, b) => {
                            let (low, q) = (total[a * n + i] / count, total[b * n + i] / count);
                            if low.is_nan() || low <= q { low } else { q }
                        }
                    };
                }
            }
        }
        for ((sum, worth), alive) in sum.iter_mut().zip(&worth).zip(&alive) {
            if *alive {
                *sum += worth * discount as f32;
            }
        }
        found.returns = sum;
        Ok(found)
    }
}
