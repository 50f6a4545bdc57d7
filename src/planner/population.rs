//! Candidates: drawing action sequences and rolling them out.

use std::ops::Range;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Base, Plan, Problem, weights};
use crate::error::{Error, Result};
use crate::objective::{Actions, Members, Noise, Normals};
use crate::policy::Policy;
use crate::rng::Key;
use crate::shape::{Spec, to_f64};

/// Which member of an ensemble takes the steps of a planned rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberChoice {
    /// A fresh one every step (PETS, TS1).
    #[default]
    Step,
    /// One a rollout, kept to its end (PETS, TSinf; MoPAC, section IV).
    Rollout,
    /// One a start state, for all of its rollouts (MoPAC's code).
    Start,
    /// The mean over the members, without noise.
    Mean,
    /// All of them, without noise: of `n` members, particle `p` of `P` keeps member
    /// `floor((p + 1/2) n / P)`. With as many particles as elites a candidate goes through each
    /// once, best first; a multiple of that goes through each equally often.
    Every,
}

/// How many candidates there are and how they are rolled out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SamplesConfig {
    /// Action sequences K a start state, an iteration.
    pub count: usize,
    /// Rollouts P of each sequence; their returns are averaged before sequences are compared.
    pub particles: usize,
    /// Which member of an ensemble takes the steps.
    pub members: MemberChoice,
    /// Actions are clipped to `[-limit, limit]`; 1 are their bounds, `inf` does not clip.
    pub limit: f64,
}

impl Default for SamplesConfig {
    fn default() -> Self {
        Self { count: 100, particles: 1, members: MemberChoice::Step, limit: 1.0 }
    }
}

/// Rollouts a start state at most; a block of start states is never smaller than one.
const MOST_ROWS: usize = 1_000_000;

impl SamplesConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `section`.
    pub fn validate(&self, section: &str) -> Result<()> {
        crate::check::at_least(&format!("{section}.samples.count"), self.count, 1)?;
        crate::check::at_least(&format!("{section}.samples.particles"), self.particles, 1)?;
        if self.count.checked_mul(self.particles).is_none_or(|rows| rows > MOST_ROWS) {
            let problem = format!(
                "expected at most {MOST_ROWS} rollouts a start state, got {} of {} particles",
                self.count, self.particles
            );
            return Err(Error::config(format!("{section}.samples.count"), problem));
        }
        match self.limit > 0.0 {
            true => Ok(()),
            false => {
                let problem = format!("expected a number above 0, or inf, got {}", self.limit);
                Err(Error::config(format!("{section}.samples.limit"), problem))
            }
        }
    }

    /// Rollouts a start state.
    pub(super) fn rows(&self) -> usize {
        self.count * self.particles
    }

    /// How the size is shown in the table of algorithms.
    pub(super) fn label(&self) -> String {
        match self.particles {
            1 => format!("K={}", self.count),
            p => format!("K={}x{p}", self.count),
        }
    }

    /// The noise of one rollout a start state that follows a plan. A rollout cannot go through every
    /// member: where the candidates did, it keeps one of them, drawn at random.
    pub(super) fn noise_of_one(members: MemberChoice, starts: usize, key: Key) -> Noise {
        let one = Self { count: 1, members, ..Self::default() };
        match members {
            MemberChoice::Every => {
                let kept = Self { members: MemberChoice::Rollout, ..one };
                Noise { model: Normals::Zero, ..kept.noise(0..starts, key) }
            }
            _ => one.noise(0..starts, key),
        }
    }

    /// The noise of these rows of a population's rollouts; `key` is the iteration's.
    pub(super) fn noise(&self, rows: Range<usize>, key: Key) -> Noise {
        let wide = key.spread(self.rows());
        let member = match self.members {
            MemberChoice::Step => Members::Key(wide.fork("member").skip(rows.start)),
            MemberChoice::Rollout => {
                Members::Pinned(wide.fork("member").uniforms(rows.start, rows.len(), 0))
            }
            MemberChoice::Start => {
                let key = key.fork("member").shared(self.rows());
                Members::Pinned(key.uniforms(rows.start, rows.len(), 0))
            }
            MemberChoice::Mean => Members::Mean,
            MemberChoice::Every => {
                let p = self.particles;
                // The middle of a member's share of [0, 1), where no rounding can reach another.
                let middle = |row: usize| ((row % p) as f64 + 0.5) / p as f64;
                Members::Pinned(rows.clone().map(middle).collect())
            }
        };
        // Dynamics without members know no mean; without noise holds for them, too.
        let model = match self.members {
            MemberChoice::Mean | MemberChoice::Every => Normals::Zero,
            _ => Normals::Key(wide.fork("model").skip(rows.start)),
        };
        Noise { policy: Normals::Zero, model, member }
    }
}

/// `[B,..]` with each row repeated `k` times in a row: `[Bk,..]`.
pub(crate) fn each(x: &Tensor, k: usize) -> Result<Tensor> {
    if k == 1 {
        return Ok(x.clone());
    }
    let mut wide = x.dims().to_vec();
    wide.insert(1, k);
    let mut flat = x.dims().to_vec();
    flat[0] *= k;
    Ok(x.unsqueeze(1)?.broadcast_as(wide)?.reshape(flat)?)
}

/// What candidates are added to.
#[derive(Clone, Copy)]
pub(super) enum Around<'a> {
    /// Nothing: they are actions.
    Nothing,
    /// The actions of a policy at the states visited, with this noise of the policy.
    Policy(&'a dyn Policy, &'a Normals),
}

/// Candidates that were rolled out.
#[derive(Clone)]
pub(super) struct Population {
    /// The actions taken, particles averaged: `[B,K,NA]`, row-major.
    pub taken: Vec<f64>,
    /// Returns `[B,K]`, particles averaged; minus infinity where not finite.
    pub returns: Vec<f64>,
}

impl Population {
    /// Replaces one of `b` start states' candidates by those of `other`.
    pub fn take_over(&mut self, other: &Self, start: usize, b: usize) {
        for (own, other) in [(&mut self.taken, &other.taken), (&mut self.returns, &other.returns)] {
            let each = own.len() / b.max(1);
            own[start * each..(start + 1) * each].copy_from_slice(of_start(other, start, b));
        }
    }
}

/// The sizes of a search: `B`, `K`, `N A`, and the number type.
#[derive(Clone)]
pub(super) struct Sizes {
    pub b: usize,
    pub k: usize,
    pub n: usize,
    pub a: usize,
    pub spec: Spec,
}

/// Numbers that the candidates of a start state may have: 400 MB in single precision.
const MOST_NUMBERS: usize = 100_000_000;

impl Sizes {
    pub fn of(problem: &Problem, k: usize) -> Result<Self> {
        let (b, n, a, spec) = problem.sizes()?;
        if k.saturating_mul(n * a) > MOST_NUMBERS {
            let problem = format!(
                "{k} candidates of {n} actions of length {a} are more than {MOST_NUMBERS} numbers a \
                 start state: lower the number of candidates or the horizon"
            );
            return Err(Error::config("planner.samples.count", problem));
        }
        Ok(Self { b, k, n, a, spec })
    }

    /// Numbers a sequence.
    pub fn width(&self) -> usize {
        self.n * self.a
    }

    /// Standard normal numbers `[B,K,NA]` of an iteration.
    pub fn normals(&self, key: Key, iteration: usize) -> Vec<f64> {
        let key = key.fork("candidates").spread(self.k);
        key.rows(0, self.b * self.k, self.width(), iteration)
    }

    pub fn tensor(&self, data: &[f64]) -> Result<Tensor> {
        self.spec.tensor(data, (self.b, self.n, self.a))
    }
}

impl Problem<'_> {
    /// Rolls out the candidates `x` `[B,K,NA]` and scores them; counts the model steps. Refuses a
    /// start state none of whose candidates has a finite return.
    pub(super) fn population(
        &self,
        sizes: &Sizes,
        samples: &SamplesConfig,
        x: &[f64],
        around: Around,
        key: Key,
        model_steps: &mut u64,
    ) -> Result<Population> {
        let found = self.rolled_out(sizes, samples, x, around, key, model_steps)?;
        for of_start in found.returns.chunks(sizes.k) {
            weights::some_finite(of_start)?;
        }
        Ok(found)
    }

    /// [`Problem::population`] of any returns.
    pub(super) fn rolled_out(
        &self,
        sizes: &Sizes,
        samples: &SamplesConfig,
        x: &[f64],
        around: Around,
        key: Key,
        model_steps: &mut u64,
    ) -> Result<Population> {
        let &Sizes { b, k, n, a, ref spec } = sizes;
        let (p, rows) = (samples.particles, b * samples.rows());
        let s0 = each(self.s0, samples.rows())?;
        let mut noise = samples.noise(0..rows, key);
        let limit = samples.limit;
        let mut taken: Vec<f64> = match around {
            Around::Nothing => x.iter().map(|x| x.clamp(-limit, limit)).collect(),
            Around::Policy(..) => x.to_vec(),
        };
        let sequences = each(&spec.tensor(&taken, (b * k, n, a))?, p)?;
        let actions = match around {
            Around::Nothing => Actions::Open(&sequences),
            Around::Policy(policy, normals) => {
                noise.policy = normals.clone();
                Actions::Perturbed { policy, delta: &sequences, limit }
            }
        };
        let around_policy = matches!(around, Around::Policy(..));
        let found = self.objective.returns(&s0, actions, &noise, around_policy)?;
        *model_steps += (self.objective.horizon * rows) as u64;
        if let Some(visited) = found.actions {
            taken = mean_of_particles(&visited, p, n * a);
        }
        let returns = found
            .returns
            .chunks(p)
            .map(|of_particles| of_particles.iter().sum::<f64>() / p as f64)
            .map(|r| if r.is_finite() { r } else { f64::NEG_INFINITY })
            .collect::<Vec<f64>>();
        Ok(Population { taken, returns })
    }

    /// The noise of the policy behind the base: `each` rows share it with their start state.
    pub(super) fn policy_noise(&self, key: Key, each: usize) -> Normals {
        match self.base {
            Base::Policy { sample: true, .. } => Normals::Key(key.fork("policy").shared(each)),
            _ => Normals::Zero,
        }
    }

    /// Noise of the policy that each candidate has for itself and its particles share; candidate 0
    /// of every start state has none. The numbers are written out because a key has no zeros.
    pub(super) fn candidate_noise(
        &self,
        sizes: &Sizes,
        particles: usize,
        key: Key,
    ) -> Result<Normals> {
        let draws = self.objective.draws();
        let (rows, a) = (sizes.b * sizes.k * particles, sizes.a);
        let key = key.fork("policy").spread(sizes.k).shared(particles);
        let mut numbers: Vec<f64> = Vec::with_capacity(draws * rows * a);
        for draw in 0..draws {
            let mut eps = key.rows(0, rows, a, draw);
            for of_start in eps.chunks_mut(sizes.k * particles * a) {
                of_start[..particles * a].fill(0.0);
            }
            numbers.append(&mut eps);
        }
        Ok(Normals::Tensor(sizes.spec.tensor(&numbers, (draws, rows, a))?))
    }

    /// The base as actions `[B,N,A]`, row-major: a policy's are those of its noise-free rollout.
    pub(super) fn base_actions(
        &self,
        sizes: &Sizes,
        key: Key,
        model_steps: &mut u64,
    ) -> Result<Vec<f64>> {
        match self.base {
            Base::Zero => Ok(vec![0.0; sizes.b * sizes.width()]),
            Base::Open(base) => to_f64(base),
            Base::Policy { policy, .. } => {
                let zero = sizes.spec.zeros((sizes.b, sizes.n, sizes.a))?;
                let normals = self.policy_noise(key, 1);
                let base =
                    self.actions_around(policy, &zero, &normals, f64::INFINITY, model_steps)?;
                // A rollout that a poor model lets run away says nothing from there on.
                Ok(to_f64(&base)?
                    .into_iter()
                    .map(|a| if a.is_finite() { a } else { 0.0 })
                    .collect())
            }
        }
    }

    /// The actions `[B,N,A]` of the model's noise-free rollout around a policy.
    pub(super) fn actions_around(
        &self,
        policy: &dyn Policy,
        delta: &Tensor,
        normals: &Normals,
        limit: f64,
        model_steps: &mut u64,
    ) -> Result<Tensor> {
        let noise = Noise { policy: normals.clone(), model: Normals::Zero, member: Members::Mean };
        let actions = Actions::Perturbed { policy, delta, limit };
        let rollout = self.objective.rollout_forward(self.s0, actions, &noise)?;
        *model_steps += (rollout.horizon() * self.s0.dim(0)?) as u64;
        Ok(Tensor::stack(&rollout.actions, 1)?)
    }

    /// Puts a plan of actions together.
    pub(super) fn planned(
        &self,
        sizes: &Sizes,
        samples: &SamplesConfig,
        mean: &[f64],
        last: &Population,
        weighted: &[weights::Weighted],
        model_steps: u64,
    ) -> Result<Plan> {
        let &Sizes { b, k, n, a, ref spec } = sizes;
        let limit = samples.limit;
        let column = |f: fn(&weights::Weighted) -> f64| -> Result<Tensor> {
            spec.tensor(&weighted.iter().map(f).collect::<Vec<_>>(), b)
        };
        let all: Vec<f64> = weighted.iter().flat_map(|w| w.weights.iter().copied()).collect();
        let mean = sizes.tensor(mean)?;
        Ok(Plan {
            actions: mean.clamp(-limit, limit)?,
            mean,
            around_policy: false,
            policy_noise: Normals::Zero,
            members: samples.members,
            limit,
            samples: spec.tensor(&last.taken, (b, k, n, a))?,
            returns: spec.tensor(&last.returns, (b, k))?,
            weights: spec.tensor(&all, (b, k))?,
            log_normaliser: column(|w| w.log_normaliser)?,
            value: column(|w| w.value)?,
            effective_samples: column(weights::Weighted::effective)?,
            model_steps,
        })
    }
}

/// The mean over each `p` consecutive sequences of length `width`.
fn mean_of_particles(x: &[f64], p: usize, width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; x.len() / p.max(1)];
    for (mean, of_particles) in mean.chunks_mut(width.max(1)).zip(x.chunks(p * width.max(1))) {
        for x in of_particles.chunks(width.max(1)) {
            mean.iter_mut().zip(x).for_each(|(m, x)| *m += x / p as f64);
        }
    }
    mean
}

/// `sum_k w_k x_k` of one start state's candidates `[K,width]`.
pub(super) fn weighted_mean(w: &[f64], x: &[f64], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    for (w, x) in w.iter().zip(x.chunks(width)).filter(|(w, _)| **w != 0.0) {
        for (m, x) in mean.iter_mut().zip(x) {
            *m += w * x;
        }
    }
    mean
}

/// What belongs to one of `b` start states in `[B,..]`, row-major.
pub(super) fn of_start(x: &[f64], start: usize, b: usize) -> &[f64] {
    let each = x.len() / b.max(1);
    &x[start * each..(start + 1) * each]
}

/// `x_k = m + sigma eps_k`: a Gaussian around each start state's mean, `[B,K,NA]`.
pub(super) fn gaussian(mean: &[f64], sigma: f64, mut eps: Vec<f64>, sizes: &Sizes) -> Vec<f64> {
    let width = sizes.width();
    let means = mean.chunks(width).flat_map(|m| std::iter::repeat_n(m, sizes.k));
    for (x, m) in eps.chunks_mut(width).zip(means) {
        x.iter_mut().zip(m).for_each(|(x, m)| *x = m + sigma * *x);
    }
    eps
}
