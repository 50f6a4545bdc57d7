//! The cross-entropy method as PETS has it.
//!
//! ```text
//! x_k,i = m_i + s_i eps_k,i,   |eps| <= 2,   s_i^2 = min(v_i, (d_i / 2)^2),   k = 1..K
//! R_k = mean_p J_H(s_0; x_k),   E = the elites, the best fraction p of the candidates
//! m <- alpha m + (1 - alpha) mean_E x,   v <- alpha v + (1 - alpha) var_E x
//! ```
//!
//! Chua et al. 2018 and its code: `eps` is a truncated normal number, `d_i` the distance of `m_i` to
//! the nearer bound, so no candidate leaves the bounds; the search of a start state ends when its
//! largest `v_i` falls below a threshold, and the mean is the plan. Around a policy the first
//! population follows the policy at the states it visits (MAAC, section 5.4, plans at test time from
//! its stochastic policy), candidate 0 without noise; from there on `m` and `v` are those of actions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::erf::{erf, erf_inv};

use super::population::{Around, Population, Sizes, of_start, weighted_mean};
use super::weights::{self, Weighted};
use super::{Base, MemberChoice, Plan, Planner, Problem, SamplesConfig};
use crate::check;
use crate::error::{Error, Result};
use crate::objective::Normals;
use crate::rng::Key;

/// What a search ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchResult {
    /// The mean of the last Gaussian.
    #[default]
    Mean,
    /// The candidate with the highest return of all populations; with noise in the model that
    /// return is partly luck.
    Best,
}

/// Settings of [`Cem`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CemConfig {
    /// The candidates. 500 of 20 particles, one member a rollout: code (PETS).
    pub samples: SamplesConfig,
    /// Rounds of sampling and refitting, at most. 5: code (PETS).
    pub iterations: usize,
    /// Share p of the candidates that are elites, at least one. 0.1: code (PETS).
    pub elites: f64,
    /// Weight alpha of the old mean and variance, in `[0, 1)`. 0.1: code (PETS).
    pub smoothing: f64,
    /// Initial standard deviation. 0.5, a quarter of the range: code (PETS).
    pub noise: f64,
    /// Standard normal numbers lie within plus and minus this; `inf` does not truncate. 2: code
    /// (PETS).
    pub truncation: f64,
    /// Whether the standard deviation is at most half the distance to the nearer bound; without a
    /// finite limit there is none. true: code (PETS).
    pub bounded: bool,
    /// The standard deviation is at least this, whatever the elites and the bounds say: a mean on
    /// a bound can leave it. 0: code (PETS).
    pub min_noise: f64,
    /// A start state whose largest variance is below this does not change any more; 0 never stops.
    /// 0.001: code (PETS).
    pub settled: f64,
    /// Around a policy: standard deviation of what the first population adds to the policy's
    /// actions. 0: ours. Around a policy's modes the candidates would then all be one.
    pub policy_noise: f64,
    /// What becomes the plan. `mean`: code (PETS).
    pub result: SearchResult,
}

impl Default for CemConfig {
    fn default() -> Self {
        Self {
            samples: SamplesConfig {
                count: 500,
                particles: 20,
                members: MemberChoice::Rollout,
                ..SamplesConfig::default()
            },
            iterations: 5,
            elites: 0.1,
            smoothing: 0.1,
            noise: 0.5,
            truncation: 2.0,
            bounded: true,
            min_noise: 0.0,
            settled: 0.001,
            policy_noise: 0.0,
            result: SearchResult::Mean,
        }
    }
}

/// The planner.
#[derive(Debug, Clone, Default)]
pub struct Cem {
    /// Its settings.
    pub config: CemConfig,
}

/// The search from one start state.
struct Search {
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// The highest return so far and its sequence.
    best: (f64, Vec<f64>),
    weighted: Weighted,
    settled: bool,
}

impl Cem {
    /// A planner with these settings.
    #[must_use]
    pub fn new(config: CemConfig) -> Self {
        Self { config }
    }

    fn plan_block(&self, problem: &Problem, key: Key) -> Result<Plan> {
        let c = &self.config;
        let sizes = Sizes::of(problem, c.samples.count)?;
        let (mut model_steps, mut last) = (0, None::<Population>);
        let mut searches = self.start(problem, &sizes, key, &mut model_steps)?;
        for i in 0..c.iterations {
            let eps: Vec<f64> =
                sizes.normals(key, i).into_iter().map(|e| truncated(e, c.truncation)).collect();
            let rollouts = key.fork("rollouts").fork(&i.to_string());
            let mut rolled_out = |x: &[f64], around| {
                problem.rolled_out(&sizes, &c.samples, x, around, rollouts, &mut model_steps)
            };
            let found = match problem.base {
                Base::Policy { policy, sample } if i == 0 => {
                    let normals = match sample {
                        true => problem.candidate_noise(&sizes, c.samples.particles, key)?,
                        false => Normals::Zero,
                    };
                    let offsets = self.offsets(&eps, sizes.k, sizes.width());
                    rolled_out(&offsets, Around::Policy(policy, &normals))?
                }
                _ => rolled_out(&self.candidates(&searches, &eps, sizes.k), Around::Nothing)?,
            };
            // A settled start state keeps its last population: what it plans must not depend on how
            // long the others search.
            let last = last.get_or_insert_with(|| found.clone());
            for (start, search) in searches.iter_mut().enumerate().filter(|(_, s)| !s.settled) {
                last.take_over(&found, start, sizes.b);
                let returns = of_start(&found.returns, start, sizes.b);
                weights::some_finite(returns)?;
                self.refit(search, returns, of_start(&found.taken, start, sizes.b));
            }
            if searches.iter().all(|s| s.settled) {
                break;
            }
        }
        let Some(last) = last else {
            return Err(Error::config("planner.iterations", "expected at least 1, got 0"));
        };
        let mean: Vec<f64> = searches.iter().flat_map(|s| s.mean.iter().copied()).collect();
        let best: Vec<f64> = searches.iter().flat_map(|s| s.best.1.iter().copied()).collect();
        let weighted: Vec<Weighted> = searches.into_iter().map(|s| s.weighted).collect();
        let mut plan = problem.planned(&sizes, &c.samples, &mean, &last, &weighted, model_steps)?;
        if c.result == SearchResult::Best {
            plan.actions = sizes.tensor(&best)?;
        }
        Ok(plan)
    }

    /// A search a start state, around the base; around a policy that is its noise-free rollout.
    fn start(
        &self,
        problem: &Problem,
        sizes: &Sizes,
        key: Key,
        model_steps: &mut u64,
    ) -> Result<Vec<Search>> {
        let limit = self.config.samples.limit;
        let modes = match problem.base {
            Base::Policy { policy, .. } => Base::Policy { policy, sample: false },
            base => base,
        };
        let base = Problem { base: modes, ..*problem }.base_actions(sizes, key, model_steps)?;
        let search = |m: &[f64]| Search {
            mean: m.iter().map(|m| m.clamp(-limit, limit)).collect(),
            variance: vec![self.config.noise.powi(2); m.len()],
            best: (f64::NEG_INFINITY, Vec::new()),
            weighted: Weighted::proportional(&[], &[], 0.0),
            settled: false,
        };
        Ok(base.chunks(sizes.width()).map(search).collect())
    }

    /// What the first population around a policy adds to its actions; candidate 0 adds nothing.
    fn offsets(&self, eps: &[f64], k: usize, width: usize) -> Vec<f64> {
        let sigma = |row: usize| if row.is_multiple_of(k) { 0.0 } else { self.config.policy_noise };
        eps.chunks(width)
            .enumerate()
            .flat_map(|(row, e)| e.iter().map(move |e| sigma(row) * e))
            .collect()
    }

    /// `m + s eps`, `[B,K,NA]`.
    fn candidates(&self, searches: &[Search], eps: &[f64], k: usize) -> Vec<f64> {
        let mut x = Vec::with_capacity(eps.len());
        for (start, search) in searches.iter().enumerate() {
            let sigma: Vec<f64> =
                search.mean.iter().zip(&search.variance).map(|(m, v)| self.sigma(*m, *v)).collect();
            for eps in of_start(eps, start, searches.len()).chunks(eps.len() / searches.len() / k) {
                x.extend(search.mean.iter().zip(&sigma).zip(eps).map(|((m, s), e)| m + s * e));
            }
        }
        x
    }

    /// The standard deviation at mean `m` and variance `v`.
    fn sigma(&self, m: f64, v: f64) -> f64 {
        let c = &self.config;
        let bound = match c.bounded && c.samples.limit.is_finite() {
            true => 0.5 * (c.samples.limit - m.abs()).max(0.0),
            false => f64::INFINITY,
        };
        v.sqrt().min(bound).max(c.min_noise)
    }

    /// Refits mean and variance to the elites among the candidates `x` `[K,NA]`. A candidate without
    /// a finite return is no elite, even if that leaves fewer.
    fn refit(&self, search: &mut Search, returns: &[f64], x: &[f64]) {
        let (c, k, width) = (&self.config, returns.len(), search.mean.len());
        let mut elites = weights::best(returns, weights::elite_count(c.elites, k));
        elites.retain(|&e| returns[e].is_finite());
        let mut raw = vec![0.0; k];
        elites.iter().for_each(|&e| raw[e] = 1.0);
        let share = (elites.len() as f64 / k as f64).ln();
        let w = Weighted::proportional(&raw, returns, share);
        let mean = weighted_mean(&w.weights, x, width);
        let square = |x: &[f64]| x.iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).collect();
        let squares: Vec<Vec<f64>> = x.chunks(width).map(square).collect();
        let variance = weighted_mean(&w.weights, &squares.concat(), width);
        let smooth = |old: &mut f64, new| *old = c.smoothing * *old + (1.0 - c.smoothing) * new;
        search.mean.iter_mut().zip(mean).for_each(|(old, new)| smooth(old, new));
        search.variance.iter_mut().zip(variance).for_each(|(old, new)| smooth(old, new));
        search.settled = search.variance.iter().copied().fold(0.0, f64::max) < c.settled;
        search.weighted = w;
        if let Some(&e) = elites.first()
            && returns[e] > search.best.0
        {
            search.best = (returns[e], x[e * width..(e + 1) * width].to_vec());
        }
    }
}

/// The number of the normal distribution truncated to `[-bound, bound]` that has the rank which `eps`
/// has without truncation: `F_bound^-1(Phi(eps))`, a function of one number, as keyed noise needs.
fn truncated(eps: f64, bound: f64) -> f64 {
    if bound == f64::INFINITY {
        return eps;
    }
    let root = std::f64::consts::SQRT_2;
    root * erf_inv(erf(bound / root) * erf(eps / root))
}

impl Planner for Cem {
    fn describe(&self) -> String {
        let c = &self.config;
        format!("CEM {}, {} iterations", c.samples.label(), c.iterations)
    }

    fn validate(&self, section: &str) -> Result<()> {
        let c = &self.config;
        let key = |name: &str| format!("{section}.{name}");
        c.samples.validate(section)?;
        check::at_least(&key("iterations"), c.iterations, 1)?;
        let ranges = [
            ("elites", c.elites, c.elites > 0.0 && c.elites <= 1.0, "a number in (0, 1]"),
            ("smoothing", c.smoothing, (0.0..1.0).contains(&c.smoothing), "a number in [0, 1)"),
            ("truncation", c.truncation, c.truncation > 0.0, "a number above 0, or inf"),
        ];
        if let Some((name, got, _, expected)) = ranges.into_iter().find(|(_, _, fits, _)| !fits) {
            return Err(Error::config(key(name), format!("expected {expected}, got {got}")));
        }
        check::positive(&key("noise"), c.noise)?;
        let sizes =
            [("min_noise", c.min_noise), ("settled", c.settled), ("policy_noise", c.policy_noise)];
        if let Some((name, x)) = sizes.into_iter().find(|(_, x)| !(x.is_finite() && *x >= 0.0)) {
            let problem = format!("expected a finite number of at least 0, got {x}");
            return Err(Error::config(key(name), problem));
        }
        Ok(())
    }

    fn plan(&self, problem: &Problem, key: Key) -> Result<Plan> {
        self.validate("planner")?;
        problem.in_blocks(self.config.samples.rows(), key, |part, key| self.plan_block(part, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Four sequences of one action; the elites are 4 and 1, then 4 alone.
    #[test]
    fn the_refit_is_the_one_by_hand() {
        let config = CemConfig { elites: 0.5, smoothing: 0.25, ..CemConfig::default() };
        let mut search = Search {
            mean: vec![2.0],
            variance: vec![8.0],
            best: (f64::NEG_INFINITY, Vec::new()),
            weighted: Weighted::proportional(&[], &[], 0.0),
            settled: false,
        };
        let cem = Cem::new(config);
        cem.refit(&mut search, &[3.0, -1.0, 5.0, f64::NEG_INFINITY], &[1.0, 9.0, 4.0, -7.0]);
        // Mean 5/2 and variance 9/4 of the elites: 1/4 x 2 + 3/4 x 5/2 and 1/4 x 8 + 3/4 x 9/4.
        assert_eq!((search.mean[0], search.variance[0]), (2.375, 3.6875));
        assert_eq!(search.weighted.weights, [0.5, 0.0, 0.5, 0.0]);
        assert_eq!((search.weighted.value, search.best.clone()), (4.0, (5.0, vec![4.0])));
        assert_abs_diff_eq!(search.weighted.log_normaliser, 0.5f64.ln(), epsilon = 1e-15);
        let bad = f64::NEG_INFINITY;
        cem.refit(&mut search, &[bad, bad, 4.0, bad], &[1.0, 9.0, 3.0, -7.0]);
        assert_eq!((search.mean[0], search.variance[0]), (2.84375, 0.921875));
        assert_eq!((search.weighted.value, search.best.1[0]), (4.0, 4.0));
    }
}
