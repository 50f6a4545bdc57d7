//! Ascent of the objective through the model.
//!
//! ```text
//! maximise R(u_k) = mean_p J_H(s_0; u_k)  over  |u_k| <= limit,   u_1 = base,  u_k ~ N(base, sigma^2)
//! Adam:    u <- clip(u + lr Adam(dR/du))
//! L-BFGS:  u <- clip(u + t B dR/du),   B from the last differences of u and dR/du
//! ```
//!
//! The gradient is the pathwise one, as that of MAAC's policy is, but of a sequence of actions. The
//! noise of every rollout is drawn once a plan, so `R` is one function from the first step to the
//! last. The best of the `K` ascents of a start state is the plan.
//!
//! Adam works on all sequences at once; being elementwise on a sum, none sees another. L-BFGS
//! (Liu and Nocedal 1989, by candle-optimisers) takes one at a time. A step that does not ascend is
//! taken back and `t`, 1 at most, halved. For L-BFGS the model is given clipped actions; a step that
//! leaves the bounds is projected onto them. After both the memory `B` starts anew, on those actions
//! alone that are inside the bounds or that the gradient pulls inside.

use std::cell::Cell;
use std::ops::Range;

use candle_core::{Tensor, Var};
use candle_optimisers::lbfgs::{Lbfgs, ParamsLBFGS};
use candle_optimisers::{LossOptimizer, Model, ModelOutcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::population::{Around, Sizes, each, gaussian, of_start, weighted_mean};
use super::weights::{self, Weighted};
use super::{MemberChoice, Plan, Planner, Problem, SamplesConfig};
use crate::check;
use crate::error::{Error, Result};
use crate::nn::{Adam, AdamConfig, Params};
use crate::objective::Actions;
use crate::ops::clip;
use crate::rng::Key;
use crate::shape::{scalar, to_f64};

/// How the gradient is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ascent {
    /// Adam, all sequences at once.
    #[default]
    Adam,
    /// L-BFGS, one sequence after the other.
    Lbfgs,
}

/// Settings of [`Gradient`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GradientConfig {
    /// The candidates: restarts K. 4, one member a rollout: ours.
    pub samples: SamplesConfig,
    /// Gradients a sequence; L-BFGS may stop before. 50: ours.
    pub steps: usize,
    /// Learning rate of Adam, of an action range of `[-1, 1]`; length of L-BFGS's first step, which
    /// knows no curvature yet. 0.1: ours.
    pub lr: f64,
    /// How the gradient is followed. `adam`: ours.
    pub ascent: Ascent,
    /// Standard deviation of the restarts around the base; the first one is the base. 0.5: ours.
    pub noise: f64,
}

impl Default for GradientConfig {
    fn default() -> Self {
        Self {
            samples: SamplesConfig {
                count: 4,
                members: MemberChoice::Rollout,
                ..SamplesConfig::default()
            },
            steps: 50,
            lr: 0.1,
            ascent: Ascent::Adam,
            noise: 0.5,
        }
    }
}

/// The planner.
#[derive(Debug, Clone, Default)]
pub struct Gradient {
    /// Its settings.
    pub config: GradientConfig,
}

impl Gradient {
    /// A planner with these settings.
    #[must_use]
    pub fn new(config: GradientConfig) -> Self {
        Self { config }
    }

    fn plan_block(&self, problem: &Problem, key: Key) -> Result<Plan> {
        let c = &self.config;
        let sizes = Sizes::of(problem, c.samples.count)?;
        let (width, limit) = (sizes.width(), c.samples.limit);
        let mut model_steps = 0;
        let base = problem.base_actions(&sizes, key, &mut model_steps)?;
        let mut eps = sizes.normals(key, 0);
        let restarts = eps.chunks_mut(width).enumerate();
        restarts.filter(|(row, _)| row.is_multiple_of(sizes.k)).for_each(|(_, e)| e.fill(0.0));
        let start = gaussian(&base, c.noise, eps, &sizes).into_iter();
        let rise = Rise {
            problem,
            samples: &c.samples,
            sizes: &sizes,
            key: key.fork("rollouts"),
            model_steps: Cell::new(0),
        };
        let start = start.map(|x| x.clamp(-limit, limit)).collect();
        let (x, lost) = match c.ascent {
            Ascent::Adam => self.adam(&rise, start)?,
            Ascent::Lbfgs => self.lbfgs(&rise, start)?,
        };
        model_steps += rise.model_steps.get();
        let mut found = problem.rolled_out(
            &sizes,
            &c.samples,
            &x,
            Around::Nothing,
            rise.key,
            &mut model_steps,
        )?;
        for (r, _) in found.returns.iter_mut().zip(lost).filter(|(_, lost)| *lost) {
            *r = f64::NEG_INFINITY;
        }
        let (mut mean, mut weighted) = (Vec::new(), Vec::new());
        for start in 0..sizes.b {
            let returns = of_start(&found.returns, start, sizes.b);
            weights::some_finite(returns)?;
            let best = Weighted { log_normaliser: 0.0, ..weights::softmax(returns, 0.0, None) };
            mean.extend(weighted_mean(&best.weights, of_start(&x, start, sizes.b), width));
            weighted.push(best);
        }
        problem.planned(&sizes, &c.samples, &mean, &found, &weighted, model_steps)
    }

    /// Ascends from all sequences `x` `[B,K,NA]` at once. Gives where they end, and which were lost
    /// to a return or gradient that is not finite.
    fn adam(&self, rise: &Rise, x: Vec<f64>) -> Result<(Vec<f64>, Vec<bool>)> {
        let Sizes { b, k, n, a, ref spec } = *rise.sizes;
        let (width, limit) = (n * a, self.config.samples.limit);
        let mut lost = vec![false; b * k];
        let u = Params::new(&[("actions".into(), vec![b * k, n, a], x)], spec)?;
        let config = AdamConfig { lr: self.config.lr, ..AdamConfig::default() };
        let mut adam = Adam::new(&u, &config, &[])?;
        for _ in 0..self.config.steps {
            let returns = rise.returns(&u.view("actions")?, 0..b * k)?;
            let grads = returns.sum_all()?.neg()?.backward()?;
            let mut grad = to_f64(&u.grad(&grads)?.ok_or_else(not_differentiable)?)?;
            for (i, r) in to_f64(&returns)?.into_iter().enumerate() {
                let grad = &mut grad[i * width..(i + 1) * width];
                lost[i] |= !(r.is_finite() && grad.iter().all(|g| usable(*g)));
                if lost[i] {
                    grad.fill(0.0);
                }
            }
            adam.step_grad(&spec.tensor(&grad, b * k * width)?)?;
            let projected: Vec<f64> =
                u.to_flat()?.into_iter().map(|x| x.clamp(-limit, limit)).collect();
            u.set_flat(&projected)?;
        }
        Ok((u.to_flat()?, lost))
    }

    /// [`Gradient::adam`] by L-BFGS, one sequence after the other.
    fn lbfgs(&self, rise: &Rise, mut x: Vec<f64>) -> Result<(Vec<f64>, Vec<bool>)> {
        let width = rise.sizes.width();
        let lost = x
            .chunks_mut(width)
            .enumerate()
            .map(|(i, x)| Ok(!self.climb(rise, i, x)?))
            .collect::<Result<_>>()?;
        Ok((x, lost))
    }

    /// Ascends from the `i`-th sequence `x` `[NA]`; false where a return or gradient is not finite.
    fn climb(&self, rise: &Rise, i: usize, x: &mut [f64]) -> Result<bool> {
        let Sizes { n, a, ref spec, .. } = *rise.sizes;
        let (limit, mut left) = (self.config.samples.limit, self.config.steps);
        let mut length = Length { first: self.config.lr, later: 1.0 };
        while left > 0 && length.first > SHORTEST * self.config.lr {
            let u = Var::from_tensor(&spec.tensor(x, (1, n, a))?)?;
            let returns = rise.returns(u.as_tensor(), i..i + 1)?;
            let grads = returns.sum_all()?.backward()?;
            let grad = to_f64(grads.get(u.as_tensor()).ok_or_else(not_differentiable)?)?;
            if !(scalar(&returns)?.is_finite() && grad.iter().all(|g| usable(*g))) {
                return Ok(false);
            }
            let free = x.iter().zip(&grad).map(|(x, g)| x.abs() < limit || x * g < 0.0);
            let free: Vec<f64> = free.map(|free| f64::from(u8::from(free))).collect();
            let one = OneSequence { rise, i, limit, u, free: spec.tensor(&free, (1, n, a))? };
            if one.search(x, &mut left, &mut length)? {
                break;
            }
        }
        Ok(true)
    }
}

/// Length of steps of L-BFGS: of the first one, which goes along the gradient of length 1, and of
/// those that come after.
struct Length {
    first: f64,
    later: f64,
}

/// Differences that L-BFGS remembers.
const HISTORY: usize = 20;
/// First steps are halved down to this share of the learning rate.
const SHORTEST: f64 = 1e-3;

/// Whether Adam can square it in single precision.
fn usable(g: f64) -> bool {
    ((g * g) as f32).is_finite()
}

fn not_differentiable() -> Error {
    let problem = "`gradient` climbs through the model, but no gradient comes back from it to the \
                   actions (a simulator has none): use a learned or native model, or a planner that \
                   only compares returns: `mppi`, `cem`, `mirror`";
    Error::config("planner", problem)
}

/// What is ascended: the returns of the sequences of a block, with the noise of `key`.
struct Rise<'a> {
    problem: &'a Problem<'a>,
    samples: &'a SamplesConfig,
    sizes: &'a Sizes,
    key: Key,
    model_steps: Cell<u64>,
}

impl Rise<'_> {
    /// `R` `[n]` of the sequences `x` `[n,N,A]` that are those of `range` among the `B K` of the
    /// block.
    fn returns(&self, x: &Tensor, range: Range<usize>) -> Result<Tensor> {
        let (p, n) = (self.samples.particles, range.len());
        let rows = range.start * p..range.end * p;
        let s0 = each(self.problem.s0, self.samples.rows())?.narrow(0, rows.start, rows.len())?;
        let (objective, noise) = (self.problem.objective, self.samples.noise(rows, self.key));
        let rollout = objective.rollout(&s0.contiguous()?, Actions::Open(&each(x, p)?), &noise)?;
        self.model_steps.set(self.model_steps.get() + (rollout.horizon() * n * p) as u64);
        // A terminal alone would give the last action a gradient; the model must give all of them.
        let mut steps = rollout.states.iter().skip(1).zip(&rollout.rewards);
        if steps.any(|(state, reward)| !(state.track_op() || reward.track_op())) {
            return Err(not_differentiable());
        }
        Ok(objective.score(&rollout)?.reshape((n, p))?.mean(1)?)
    }
}

/// The loss of one sequence `u` `[1,N,A]` for L-BFGS: only `free` actions, 1 and not 0, have a
/// gradient.
struct OneSequence<'a> {
    rise: &'a Rise<'a>,
    i: usize,
    limit: f64,
    u: Var,
    free: Tensor,
}

impl OneSequence<'_> {
    /// Steps of L-BFGS until one leaves the bounds, does not ascend, or is the last; true where the
    /// gradient was zero from the start.
    fn search(&self, x: &mut [f64], left: &mut usize, length: &mut Length) -> Result<bool> {
        let limit = self.limit;
        // Its line search stays off: it takes steps for positive, and they are negative.
        let params =
            ParamsLBFGS { lr: length.first, history_size: HISTORY, ..ParamsLBFGS::default() };
        let mut search = Lbfgs::new(vec![self.u.clone()], params, self)?;
        let mut loss = self.loss()?;
        for step in 0.. {
            if *left == 0 {
                break;
            }
            *left -= 1;
            let (next, settled) = match search.backward_step(&loss)? {
                ModelOutcome::Stepped(next, _) => (next, false),
                ModelOutcome::Converged(next, _) => (next, true),
            };
            let ascends = scalar(&next)? < scalar(&loss)?;
            let scale = if ascends { 2.0 } else { 0.5 };
            match step {
                0 => length.first *= scale,
                _ => length.later = (length.later * scale).min(1.0),
            }
            // A step that is not taken leaves `x` as it was.
            if !ascends {
                return Ok(settled && step == 0);
            }
            let reached = to_f64(self.u.as_tensor())?;
            x.iter_mut().zip(&reached).for_each(|(x, u)| *x = u.clamp(-limit, limit));
            if settled || reached.iter().any(|u| u.abs() > limit) {
                break;
            }
            search.set_learning_rate(length.later);
            loss = next;
        }
        Ok(false)
    }
}

impl Model for OneSequence<'_> {
    fn loss(&self) -> candle_core::Result<Tensor> {
        let loss = || -> Result<Tensor> {
            let u = clip(self.u.as_tensor(), -self.limit, self.limit)?;
            let u = self.free.ne(0.0)?.where_cond(&u, &u.detach())?;
            Ok(self.rise.returns(&u, self.i..self.i + 1)?.sum_all()?.neg()?)
        };
        loss().map_err(candle_core::Error::wrap)
    }
}

impl Planner for Gradient {
    fn describe(&self) -> String {
        let c = &self.config;
        let ascent = match c.ascent {
            Ascent::Adam => "Adam",
            Ascent::Lbfgs => "L-BFGS",
        };
        format!("gradient {}, {} steps of {ascent}", c.samples.label(), c.steps)
    }

    fn validate(&self, section: &str) -> Result<()> {
        let c = &self.config;
        let key = |name: &str| format!("{section}.{name}");
        c.samples.validate(section)?;
        check::at_least(&key("steps"), c.steps, 1)?;
        check::positive(&key("lr"), c.lr)?;
        match c.noise.is_finite() && c.noise >= 0.0 {
            true => Ok(()),
            false => {
                let problem = format!("expected a finite number of at least 0, got {}", c.noise);
                Err(Error::config(key("noise"), problem))
            }
        }
    }

    fn plan(&self, problem: &Problem, key: Key) -> Result<Plan> {
        self.validate("planner")?;
        problem.in_blocks(self.config.samples.rows(), key, |part, key| self.plan_block(part, key))
    }
}
