//! Rollouts without gradients: blocks of rows go through the whole horizon, one block a task.
//!
//! Equal to the rollouts through tensors but for rounding (1e-5 relative), for any blocking and
//! number of threads bit for bit. Where a part has no form on rows, tensors take over.

use candle_core::{DType, Tensor};

use super::{Actions, Entropy, HStep, Members, Noise, Normals, Reduce, Rollout, Terminal};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::forward::{
    RowCritic, RowDynamics, RowMembers, RowPolicy, RowValue, StepIn, StepOut, Workspace,
};
use crate::nn::pool;
use crate::shape::{Ops, to_f64};

/// Rows of one member that are one task: the weights are read from the second cache that often.
const PINNED_ROWS: usize = 64;
/// Rows of a task whose members change from step to step, or differ: several members share them.
const MIXED_ROWS: usize = 512;

/// `J_H` of every row, and what was done.
#[derive(Debug, Clone)]
pub struct Returns {
    /// `J_H` `[B]`.
    pub returns: Vec<f64>,
    /// The actions taken `[B,n,A]`, row-major, where they were asked for.
    pub actions: Option<Vec<f32>>,
}

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
struct Engine<'a> {
    dynamics: Option<Box<dyn RowDynamics + 'a>>,
    source: Source<'a>,
    end: End<'a>,
    horizon: usize,
    gamma: f64,
    /// `S` and `A`.
    s: usize,
    a: usize,
    /// Standard normal numbers of the model a row and step.
    noise_dim: usize,
    has_members: bool,
    /// Actions of a sequence that was given.
    given: usize,
}

/// What one task found, rows in its own order.
struct Found {
    returns: Vec<f32>,
    /// A step after the other: `[H+1][n,S]`, `[n][n,A]`, `[H][n]` twice.
    states: Vec<Vec<f32>>,
    actions: Vec<Vec<f32>>,
    rewards: Vec<Vec<f32>>,
    cont: Vec<Vec<f32>>,
}

/// What is kept of a rollout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Returns,
    Actions,
    All,
}

/// Explicit noise, read once: `[n,B,width]`.
enum Numbers<'a> {
    Zero,
    Given { numbers: Vec<f32>, b: usize },
    Key(&'a crate::rng::Key),
}

impl<'a> Numbers<'a> {
    fn new(normals: &'a Normals, b: usize, width: usize, steps: usize, name: &str) -> Result<Self> {
        Ok(match normals {
            Normals::Zero => Self::Zero,
            Normals::Key(_) if width == 0 => Self::Zero,
            Normals::Key(key) => Self::Key(key),
            Normals::Tensor(eps) => {
                match eps.dims() {
                    &[n, rows, w] if n >= steps && rows == b && w == width => {}
                    dims => {
                        let expected = format!("[n >= {steps},{b},{width}]");
                        return Err(Error::shape(format!("{name} noise"), expected, dims));
                    }
                }
                let numbers = eps.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                Self::Given { numbers, b }
            }
        })
    }

    /// The numbers of `rows` at step `t`; `None` for zeros.
    fn at<'b>(
        &self,
        rows: &[u32],
        t: usize,
        width: usize,
        out: &'b mut Vec<f32>,
    ) -> Option<&'b [f32]> {
        let rows = rows.iter().map(|row| *row as usize);
        out.resize(rows.len() * width, 0.0);
        match self {
            Self::Zero => return None,
            Self::Key(key) => key.fill_rows(rows, width, t, out),
            Self::Given { numbers, b } => {
                for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
                    out.copy_from_slice(&numbers[(t * b + row) * width..][..width]);
                }
            }
        }
        Some(out)
    }
}

/// The rows of every task: of one member where each row keeps its own, else as they come.
fn tasks(b: usize, members: Option<&[f64]>) -> Vec<Vec<u32>> {
    let Some(members) = members else {
        let n = b.div_ceil(MIXED_ROWS).max(1);
        let cut = |i: usize| (i * b / n) as u32;
        return (0..n)
            .map(|i| (cut(i)..cut(i + 1)).collect())
            .filter(|t: &Vec<u32>| !t.is_empty())
            .collect();
    };
    let mut order: Vec<u32> = (0..b as u32).collect();
    order.sort_by(|i, j| members[*i as usize].total_cmp(&members[*j as usize]));
    let mut tasks = Vec::new();
    // Equal numbers are one member; different ones may be, too, which costs only some speed.
    for own in order.chunk_by(|i, j| members[*i as usize] == members[*j as usize]) {
        let n = own.len().div_ceil(PINNED_ROWS);
        tasks.extend((0..n).map(|i| own[i * own.len() / n..(i + 1) * own.len() / n].to_vec()));
    }
    tasks
}

impl<'a> Engine<'a> {
    /// `None` where a part has no form on rows.
    fn new(hstep: &HStep<'a>, actions: Actions<'a>, given: &'a [f32], s: usize) -> Option<Self> {
        if hstep.cost.steps != Entropy::None && hstep.cost.coefficient != 0.0 {
            return None;
        }
        let dynamics = match hstep.dynamics {
            Some(dynamics) if hstep.horizon > 0 => Some(dynamics.rows()?),
            _ => None,
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
        let end = match hstep.terminal {
            Terminal::Zero => End::Zero,
            Terminal::State(value) => End::State(value.rows()?),
            Terminal::Action { critic, reduce, samples } => {
                let critic = critic.rows()?;
                if matches!(reduce, Reduce::Member(e) if e >= critic.members()) {
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
    fn run(
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
                    if extra == 0 && keep != Keep::Returns {
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

impl HStep<'_> {
    /// `J_H` a row without gradients, with the actions taken if `actions_too`; blocks of rows share
    /// the threads.
    ///
    /// # Errors
    /// As [`HStep::objective`].
    pub fn returns(
        &self,
        s0: &Tensor,
        actions: Actions,
        noise: &Noise,
        actions_too: bool,
    ) -> Result<Returns> {
        let keep = if actions_too { Keep::Actions } else { Keep::Returns };
        if let Some((tasks, found)) = self.forward(s0, actions, noise, keep)? {
            let b = s0.dim(0)?;
            let mut returns = vec![0.0; b];
            for (rows, found) in tasks.iter().zip(&found) {
                for (row, value) in rows.iter().zip(&found.returns) {
                    returns[*row as usize] = f64::from(*value);
                }
            }
            let actions = actions_too.then(|| {
                let n = found.first().map_or(0, |f| f.actions.len());
                let steps = |f: &Found, t: usize| f.actions[t].clone();
                let width = found.first().map_or(0, |f| f.actions.first().map_or(0, Vec::len))
                    / tasks.first().map_or(1, |t| t.len().max(1));
                let mut all = vec![0.0; b * n * width];
                for t in 0..n {
                    for (rows, found) in tasks.iter().zip(&found) {
                        let of_step = steps(found, t);
                        for (row, a) in rows.iter().zip(of_step.chunks_exact(width.max(1))) {
                            all[(*row as usize * n + t) * width..][..width].copy_from_slice(a);
                        }
                    }
                }
                all
            });
            return Ok(Returns { returns, actions });
        }
        let rollout = self.rollout(s0, actions, noise)?;
        let returns = to_f64(&self.score(&rollout)?)?;
        let actions = match actions_too {
            true => {
                let all = Tensor::stack(&rollout.actions, 1)?.to_dtype(DType::F32)?;
                Some(all.flatten_all()?.to_vec1()?)
            }
            false => None,
        };
        Ok(Returns { returns, actions })
    }

    /// [`HStep::rollout`] without gradients; log-probabilities and costs are left out.
    ///
    /// # Errors
    /// As [`HStep::rollout`].
    pub fn rollout_forward(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<Rollout> {
        let Some((tasks, found)) = self.forward(s0, actions, noise, Keep::All)? else {
            return self.rollout(s0, actions, noise);
        };
        let b = s0.dim(0)?;
        // Puts the tasks' rows of one step back in order.
        let join = |pick: &dyn Fn(&Found) -> &Vec<f32>, vector: bool| -> Result<Tensor> {
            let total: usize = found.iter().map(|f| pick(f).len()).sum();
            let width = total.checked_div(b).unwrap_or(0);
            let mut all = vec![0f32; total];
            for (rows, found) in tasks.iter().zip(&found) {
                for (row, x) in rows.iter().zip(pick(found).chunks_exact(width.max(1))) {
                    all[*row as usize * width..][..width].copy_from_slice(x);
                }
            }
            let tensor = Tensor::from_vec(all, (b, width), s0.device())?;
            Ok(if vector { tensor.squeeze(1)? } else { tensor })
        };
        let steps = |n: usize, pick: fn(&Found, usize) -> &Vec<f32>, vector: bool| {
            (0..n).map(|t| join(&|f| pick(f, t), vector)).collect::<Result<Vec<_>>>()
        };
        let h = self.horizon;
        let cont = steps(h, |f, t| &f.cont[t], true)?;
        let mut alive: Vec<Option<Tensor>> = vec![None];
        for (t, cont) in cont.iter().enumerate() {
            let ends = found.iter().any(|f| f.cont[t].contains(&0.0));
            alive.push(if ends { Some(cont.clone()) } else { None });
        }
        let n = self.decisions();
        Ok(Rollout {
            states: steps(h + 1, |f, t| &f.states[t], false)?,
            actions: steps(n, |f, t| &f.actions[t], false)?,
            rewards: steps(h, |f, t| &f.rewards[t], true)?,
            cont,
            log_probs: vec![Tensor::zeros(b, DType::F32, s0.device())?; n],
            costs: vec![None; n],
            alive,
            more: Vec::new(),
        })
    }

    /// The tasks and what they found; `None` where the rollout has to go through tensors.
    fn forward(
        &self,
        s0: &Tensor,
        actions: Actions,
        noise: &Noise,
        keep: Keep,
    ) -> Result<Option<(Vec<Vec<u32>>, Vec<Found>)>> {
        let (b, spec) = self.check(s0, actions)?;
        if spec.ops != Ops::Fused || !spec.device.is_cpu() || spec.dtype != DType::F32 || b == 0 {
            return Ok(None);
        }
        let flat = |t: &Tensor| -> Result<Vec<f32>> { Ok(t.flatten_all()?.to_vec1()?) };
        let given = match actions {
            Actions::Open(sequence) | Actions::Perturbed { delta: sequence, .. } => flat(sequence)?,
            Actions::Policy(_) => Vec::new(),
        };
        let start = flat(s0)?;
        let Some(engine) = Engine::new(self, actions, &given, start.len() / b) else {
            return Ok(None);
        };
        let draws = match self.terminal {
            Terminal::Action { samples, .. } => self.horizon + samples.max(1),
            _ => self.horizon,
        };
        let policy = match actions {
            Actions::Open(_) => Numbers::Zero,
            _ => Numbers::new(&noise.policy, b, engine.a, draws, "policy")?,
        };
        let model = Numbers::new(&noise.model, b, engine.noise_dim, self.horizon, "model")?;
        let given_members = match &noise.member {
            Members::Tensor(u) if engine.has_members => {
                if u.dims().len() != 2 || u.dim(0)? < self.horizon || u.dim(1)? != b {
                    let expected = format!("[{},{b}]", self.horizon);
                    return Err(Error::shape("member noise", expected, u.dims()));
                }
                Some(to_f64(u)?)
            }
            Members::Pinned(u) if engine.has_members && u.len() != b => {
                return Err(Error::shape("member noise", format!("[{b}]"), [u.len()]));
            }
            _ => None,
        };
        let pinned = match &noise.member {
            Members::Pinned(u) if engine.has_members => Some(u.as_slice()),
            _ => None,
        };
        let tasks = tasks(b, pinned);
        let mut found: Vec<Option<Result<Found>>> = tasks.iter().map(|_| None).collect();
        let work = tasks.iter().zip(&mut found).collect();
        pool::for_each(work, true, |(rows, found): (&Vec<u32>, &mut Option<Result<Found>>)| {
            let (noises, members) = ((&policy, &model), given_members.as_deref());
            *found = Some(engine.run(rows, &start, noises, &noise.member, members, b, keep));
        });
        let found = found.into_iter().flatten().collect::<Result<Vec<Found>>>()?;
        Ok(Some((tasks, found)))
    }
}
