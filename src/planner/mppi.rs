//! Model predictive path integral control.
//!
//! ```text
//! x_k = m + sigma F eps_k,   R_k = mean_p J_H(s_0; clip(x_k)),   k = 1..K
//! w_k ~ exp(R_k / lambda) p(x_k) / q(x_k)      (the ratio of prior and proposal on or off)
//! m  <- (1 - alpha) m + alpha sum_k w_k clip(x_k)     (with the ratio: x_k as it was drawn)
//! ```
//!
//! Williams et al. 2017; with the ratio off it is MoPAC's Algorithm 2, where `x` is what is added to
//! the policy's actions at the states visited; with the ratio on and `p = N(0, sigma^2)` it is MPQ's
//! eq. 14-16. Iterating goes to the mean of the tilted prior with the ratio, to the maximiser
//! without. `F` is the smoothing filter (the identity without one), and `1/K sum_k` of the weights
//! before they are normalised estimates the free energy.

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::population::{Around, Sizes, gaussian, of_start, weighted_mean};
use super::weights::{self, Weighted};
use super::{Base, Plan, Planner, Problem, SamplesConfig};
use crate::check;
use crate::error::{Error, Result};
use crate::rng::Key;

/// What the temperature is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemperatureKind {
    /// Reward units.
    #[default]
    Absolute,
    /// Standard deviations of the candidates' returns, each start state its own.
    Spread,
}

/// Settings of [`Mppi`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MppiConfig {
    /// The candidates.
    pub samples: SamplesConfig,
    /// Rounds of sampling and averaging. 1: paper (MoPAC, Algorithm 2).
    pub iterations: usize,
    /// Temperature lambda; 0 takes the best candidate. 1: code (MoPAC).
    pub temperature: f64,
    /// What the temperature is measured in.
    pub temperature_kind: TemperatureKind,
    /// The temperature is multiplied by this every iteration. 1: ours.
    pub temperature_decay: f64,
    /// Standard deviation sigma of the candidates, of an action range of `[-1, 1]`. 0.5: code
    /// (MoPAC).
    pub noise: f64,
    /// The standard deviation is multiplied by this every iteration. 1: ours.
    pub noise_decay: f64,
    /// Smoothing filter `b`: from its full length on, noise is `sum_i b_i eps_{t-i}`. Empty: none.
    pub filter: Vec<f64>,
    /// Whether weights carry the ratio of the prior `N(0, sigma^2)` to the proposal. false: paper
    /// (MoPAC); MPQ has it.
    pub prior_ratio: bool,
    /// Step size alpha, in `(0, 1]`. 1: paper (MoPAC).
    pub step: f64,
}

impl Default for MppiConfig {
    fn default() -> Self {
        Self {
            samples: SamplesConfig::default(),
            iterations: 1,
            temperature: 1.0,
            temperature_kind: TemperatureKind::Absolute,
            temperature_decay: 1.0,
            noise: 0.5,
            noise_decay: 1.0,
            filter: Vec::new(),
            prior_ratio: false,
            step: 1.0,
        }
    }
}

/// The planner.
#[derive(Debug, Default)]
pub struct Mppi {
    /// Its settings.
    pub config: MppiConfig,
    warned: AtomicBool,
}

impl Mppi {
    /// A planner with these settings.
    #[must_use]
    pub fn new(config: MppiConfig) -> Self {
        Self { config, warned: AtomicBool::new(false) }
    }

    fn plan_block(&self, problem: &Problem, key: Key) -> Result<Plan> {
        let c = &self.config;
        let sizes = Sizes::of(problem, c.samples.count)?;
        let width = sizes.width();
        let mut model_steps = 0;
        let shared = problem.policy_noise(key, c.samples.rows());
        let (around, mut mean) = match problem.base {
            Base::Policy { policy, .. } => {
                (Around::Policy(policy, &shared), vec![0.0; sizes.b * width])
            }
            _ => (Around::Nothing, problem.base_actions(&sizes, key, &mut model_steps)?),
        };
        let mut last = None;
        for i in 0..c.iterations {
            let sigma = c.noise * c.noise_decay.powi(i as i32);
            let lambda = c.temperature * c.temperature_decay.powi(i as i32);
            let eps = sizes.normals(key, i);
            let smooth = smoothed(&eps, &c.filter, sizes.n, sizes.a);
            let x = gaussian(&mean, sigma, smooth, &sizes);
            let rollouts = key.fork("rollouts").fork(&i.to_string());
            let found =
                problem.population(&sizes, &c.samples, &x, around, rollouts, &mut model_steps)?;
            // What is averaged: the actions after clipping; with the ratio, which is that of the samples
            // as they were drawn, and around a policy, these samples.
            let clipped = matches!(around, Around::Nothing) && !c.prior_ratio;
            let drawn = if clipped { &found.taken } else { &x };
            let mut weighted = Vec::with_capacity(sizes.b);
            for (start, m) in mean.chunks_mut(width).enumerate() {
                let returns = of_start(&found.returns, start, sizes.b);
                let ratio = c.prior_ratio.then(|| {
                    let (x, eps) = (of_start(&x, start, sizes.b), of_start(&eps, start, sizes.b));
                    self.log_ratio(x, eps, sigma, sizes.n, sizes.a)
                });
                let w = weights::softmax(
                    returns,
                    temperature(lambda, c.temperature_kind, returns),
                    ratio.as_deref(),
                );
                let target = weighted_mean(&w.weights, of_start(drawn, start, sizes.b), width);
                for (m, x) in m.iter_mut().zip(target) {
                    *m = (1.0 - c.step) * *m + c.step * x;
                }
                weighted.push(w);
            }
            last = Some((found, weighted));
        }
        let Some((found, weighted)) = last else {
            return Err(Error::config("planner.iterations", "expected at least 1, got 0"));
        };
        self.warn_of_collapse(&weighted);
        let limit = c.samples.limit;
        let mut plan = problem.planned(&sizes, &c.samples, &mean, &found, &weighted, 0)?;
        if let Base::Policy { policy, .. } = problem.base {
            plan.around_policy = true;
            plan.policy_noise = problem.policy_noise(key, 1);
            plan.actions = problem.actions_around(
                policy,
                &plan.mean,
                &plan.policy_noise,
                limit,
                &mut model_steps,
            )?;
        }
        plan.model_steps = model_steps;
        Ok(plan)
    }

    /// `log p(x) - log q(x)` of candidates `x = m + sigma F eps`, prior `N(0, sigma_0^2 F F')`.
    fn log_ratio(&self, x: &[f64], eps: &[f64], sigma: f64, n: usize, a: usize) -> Vec<f64> {
        let (width, sigma_0) = (n * a, self.config.noise);
        let volume = width as f64 * (sigma / sigma_0).ln();
        let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        x.chunks(width)
            .zip(eps.chunks(width))
            .map(|(x, eps)| {
                let white = unsmoothed(x, &self.config.filter, a);
                0.5 * square(eps) - 0.5 * square(&white) / (sigma_0 * sigma_0) + volume
            })
            .collect()
    }

    fn warn_of_collapse(&self, weighted: &[Weighted]) {
        let c = &self.config;
        // Of many start states a few collapse by chance; the middle one says how it is meant.
        let mut sizes: Vec<f64> = weighted.iter().map(Weighted::effective).collect();
        sizes.sort_by(f64::total_cmp);
        let few = sizes.get(sizes.len() / 2).copied().unwrap_or(f64::INFINITY);
        let meant = c.temperature == 0.0 || c.samples.count < MANY;
        if !meant && few < COLLAPSED && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "MPPI: the effective sample size fell to {few:.2} of {} candidates (median over \
                 start states), so one of them decides a plan; raise the temperature or lower the \
                 noise (said once)",
                c.samples.count
            );
        }
    }
}

/// Below this effective sample size a weighted mean is one candidate.
const COLLAPSED: f64 = 1.5;
/// Fewer candidates than this are not meant to be averaged.
const MANY: usize = 8;

/// The temperature for the returns of one start state. Equal returns have no spread, and then every
/// temperature above 0 gives the same weights; the smallest keeps the value at those returns.
fn temperature(lambda: f64, kind: TemperatureKind, returns: &[f64]) -> f64 {
    match kind {
        TemperatureKind::Absolute => lambda,
        TemperatureKind::Spread => match weights::spread(returns) {
            0.0 => lambda * f64::MIN_POSITIVE.sqrt(),
            spread => lambda * spread,
        },
    }
}

/// `F eps` for every sequence `[N,A]` in `eps`.
fn smoothed(eps: &[f64], filter: &[f64], n: usize, a: usize) -> Vec<f64> {
    let mut out = eps.to_vec();
    if filter.is_empty() {
        return out;
    }
    for (out, eps) in out.chunks_mut(n * a).zip(eps.chunks(n * a)) {
        for i in (filter.len() - 1) * a..n * a {
            out[i] = filter.iter().enumerate().map(|(lag, b)| b * eps[i - lag * a]).sum();
        }
    }
    out
}

/// `F^-1 x` of one sequence `[N,A]`.
fn unsmoothed(x: &[f64], filter: &[f64], a: usize) -> Vec<f64> {
    let mut out = x.to_vec();
    if filter.is_empty() {
        return out;
    }
    for i in (filter.len() - 1) * a..x.len() {
        let past: f64 =
            filter.iter().enumerate().skip(1).map(|(lag, b)| b * out[i - lag * a]).sum();
        out[i] = (x[i] - past) / filter[0];
    }
    out
}

impl Planner for Mppi {
    fn describe(&self) -> String {
        let ratio = if self.config.prior_ratio { ", prior ratio on" } else { "" };
        format!("MPPI {}{ratio}", self.config.samples.label())
    }

    fn validate(&self, section: &str) -> Result<()> {
        let c = &self.config;
        let key = |name: &str| format!("{section}.{name}");
        c.samples.validate(section)?;
        check::at_least(&key("iterations"), c.iterations, 1)?;
        check::not_negative(&key("temperature"), c.temperature)?;
        check::positive(&key("temperature_decay"), c.temperature_decay)?;
        check::positive(&key("noise"), c.noise)?;
        check::positive(&key("noise_decay"), c.noise_decay)?;
        if c.filter.first().is_some_and(|b| *b == 0.0) || c.filter.iter().any(|b| !b.is_finite()) {
            let problem = format!("expected finite numbers, the first not 0, got {:?}", c.filter);
            return Err(Error::config(key("filter"), problem));
        }
        match c.step > 0.0 && c.step <= 1.0 {
            true => Ok(()),
            false => {
                let problem = format!("expected a number in (0, 1], got {}", c.step);
                Err(Error::config(key("step"), problem))
            }
        }
    }

    fn plan(&self, problem: &Problem, key: Key) -> Result<Plan> {
        self.validate("planner")?;
        problem.in_blocks(self.config.samples.rows(), key, |part, key| self.plan_block(part, key))
    }
}
