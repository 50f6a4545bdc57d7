//! Dynamic mirror descent: the planner of M-DeMoRL.
//!
//! ```text
//! mu~_h = pi(x_h),   u_k,h ~ N(pi(x_k,h), sigma^2),   R_k = mean_p J_H(s_0; u_k)     (eq. 10-12)
//! mu = (1 - alpha) mu~ + alpha g,   g = sum_k w_k u_k                                (eq. 9)
//! ```
//!
//! Mishra et al. 2022; the family is that of Wagener et al. 2019, whose utilities differ in `w`:
//!
//! * elites (eq. 13, 14): the best fraction `p` of the candidates, weighted among themselves,
//! * exponential: `w_k ~ exp(R_k / lambda)`, which is [`super::Mppi`] without a ratio,
//! * plain cost (eq. 8): `g = mu~ + 1/K sum_k (R_k - mean R) u_k`.
//!
//! Eq. 14 weighs elites by their costs, `C_k / sum C`. With all costs negative better candidates
//! weigh more, as the text intends; with positive ones worse candidates do, and with mixed signs the
//! sum passes zero. So [`EliteWeights::Literal`] refuses those, and the default is
//! [`EliteWeights::Shifted`]. The first iteration goes around the policy at the states visited,
//! later ones around the sequence found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::population::{Around, Sizes, gaussian, of_start, weighted_mean};
use super::weights::{self, Weighted};
use super::{Base, Plan, Planner, Problem, SamplesConfig};
use crate::check;
use crate::error::{Error, Result};
use crate::rng::Key;

/// Which utility of the family is ascended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Utility {
    /// The chance of a low cost: elites (CEM).
    #[default]
    Elites,
    /// The exponential of the return (MPPI).
    Exponential,
    /// The return itself: the score-function gradient with the mean as baseline.
    Cost,
}

/// How elites are weighted among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EliteWeights {
    /// By the return above the worst elite's, and a thousandth of the elites' range more, so that
    /// the worst has a weight too.
    #[default]
    Shifted,
    /// All the same: the cross-entropy method.
    Uniform,
    /// `exp(R / lambda)`.
    Softmax,
    /// `C / sum C` (eq. 14 as printed), where every elite's cost `C = -R` is negative.
    Literal,
}

/// Settings of [`MirrorDescent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MirrorDescentConfig {
    /// The candidates. 100: paper.
    pub samples: SamplesConfig,
    /// Rounds of sampling and averaging. 1: paper (Algorithm 1).
    pub iterations: usize,
    /// Which utility. `elites`: paper.
    pub utility: Utility,
    /// Share p of the candidates that are elites, at least one. 0.1: paper.
    pub elites: f64,
    /// How elites are weighted. `shifted`: ours.
    pub weights: EliteWeights,
    /// Temperature lambda of `softmax` and of the exponential utility, reward units; 0 takes the
    /// best. 1: code.
    pub temperature: f64,
    /// The temperature is multiplied by this every iteration. 1: ours.
    pub temperature_decay: f64,
    /// Step size alpha of eq. 9, in `(0, 1]`; for the plain-cost utility any positive number, in
    /// units of 1 / reward. 1: ours (the paper does not state it).
    pub step: f64,
    /// Standard deviation sigma of the control distribution. 0.5: ours (the paper does not state
    /// its covariance).
    pub noise: f64,
    /// The standard deviation is multiplied by this every iteration. 1: ours.
    pub noise_decay: f64,
}

impl Default for MirrorDescentConfig {
    fn default() -> Self {
        Self {
            samples: SamplesConfig::default(),
            iterations: 1,
            utility: Utility::Elites,
            elites: 0.1,
            weights: EliteWeights::Shifted,
            temperature: 1.0,
            temperature_decay: 1.0,
            step: 1.0,
            noise: 0.5,
            noise_decay: 1.0,
        }
    }
}

/// The planner.
#[derive(Debug, Clone, Default)]
pub struct MirrorDescent {
    /// Its settings.
    pub config: MirrorDescentConfig,
}

impl MirrorDescent {
    /// A planner with these settings.
    #[must_use]
    pub fn new(config: MirrorDescentConfig) -> Self {
        Self { config }
    }

    /// The utility's weights of one start state's candidates.
    fn weigh(&self, returns: &[f64], lambda: f64) -> Result<Weighted> {
        let c = &self.config;
        let k = returns.len();
        match c.utility {
            Utility::Exponential => Ok(weights::softmax(returns, lambda, None)),
            Utility::Cost => {
                let raw: Vec<f64> =
                    returns.iter().map(|r| f64::from(u8::from(r.is_finite()))).collect();
                Ok(Weighted::proportional(&raw, returns, 0.0))
            }
            Utility::Elites => {
                let elites = weights::best(returns, weights::elite_count(c.elites, k));
                let of: Vec<f64> = elites.iter().map(|&i| returns[i]).collect();
                let among = among_elites(&of, c.weights, lambda)?;
                let mut raw = vec![0.0; k];
                elites.iter().zip(among).for_each(|(&i, w)| raw[i] = w);
                let share = (elites.len() as f64 / k as f64).ln();
                Ok(Weighted::proportional(&raw, returns, share))
            }
        }
    }

    /// `g` of one start state.
    fn aim(&self, mean: &[f64], taken: &[f64], returns: &[f64], w: &Weighted) -> Vec<f64> {
        if self.config.utility != Utility::Cost {
            return weighted_mean(&w.weights, taken, mean.len());
        }
        // Candidates without a finite return say nothing: they get the mean's weight, which is 0.
        let finite: Vec<f64> = returns.iter().copied().filter(|r| r.is_finite()).collect();
        let average = finite.iter().sum::<f64>() / finite.len() as f64;
        let centred: Vec<f64> = returns
            .iter()
            .map(|r| if r.is_finite() { (r - average) / finite.len() as f64 } else { 0.0 })
            .collect();
        let climb = weighted_mean(&centred, taken, mean.len());
        mean.iter().zip(climb).map(|(m, g)| m + g).collect()
    }

    fn plan_block(&self, problem: &Problem, key: Key) -> Result<Plan> {
        let c = &self.config;
        let sizes = Sizes::of(problem, c.samples.count)?;
        let width = sizes.width();
        let mut model_steps = 0;
        let mut mean = problem.base_actions(&sizes, key, &mut model_steps)?;
        let shared = problem.policy_noise(key, c.samples.rows());
        let mut last = None;
        for i in 0..c.iterations {
            let sigma = c.noise * c.noise_decay.powi(i as i32);
            let lambda = c.temperature * c.temperature_decay.powi(i as i32);
            let eps = sizes.normals(key, i);
            let (around, centre) = match problem.base {
                Base::Policy { policy, .. } if i == 0 => {
                    (Around::Policy(policy, &shared), &vec![0.0; mean.len()])
                }
                _ => (Around::Nothing, &mean),
            };
            let x = gaussian(centre, sigma, eps, &sizes);
            let rollouts = key.fork("rollouts").fork(&i.to_string());
            let found =
                problem.population(&sizes, &c.samples, &x, around, rollouts, &mut model_steps)?;
            let mut weighted = Vec::with_capacity(sizes.b);
            for (start, m) in mean.chunks_mut(width).enumerate() {
                let returns = of_start(&found.returns, start, sizes.b);
                let w = self.weigh(returns, lambda)?;
                let g = self.aim(m, of_start(&found.taken, start, sizes.b), returns, &w);
                // The plain cost can leave the bounds; from beyond them no candidate would differ.
                let bound = match c.utility {
                    Utility::Cost => c.samples.limit,
                    Utility::Elites | Utility::Exponential => f64::INFINITY,
                };
                for (m, g) in m.iter_mut().zip(g) {
                    *m = ((1.0 - c.step) * *m + c.step * g).clamp(-bound, bound);
                }
                weighted.push(w);
            }
            last = Some((found, weighted));
        }
        let Some((found, weighted)) = last else {
            return Err(Error::config("planner.iterations", "expected at least 1, got 0"));
        };
        problem.planned(&sizes, &c.samples, &mean, &found, &weighted, model_steps)
    }
}

/// Weights of elites with returns `of`, up to a common factor.
fn among_elites(of: &[f64], kind: EliteWeights, lambda: f64) -> Result<Vec<f64>> {
    let (low, high) = (
        of.iter().copied().filter(|r| r.is_finite()).fold(f64::INFINITY, f64::min),
        of.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    let of_finite = |weight: &dyn Fn(f64) -> f64| {
        of.iter().map(|&r| if r.is_finite() { weight(r) } else { 0.0 }).collect::<Vec<f64>>()
    };
    match kind {
        EliteWeights::Uniform => Ok(of_finite(&|_| 1.0)),
        EliteWeights::Softmax => Ok(weights::softmax(of, lambda, None).weights),
        EliteWeights::Shifted if high == low => Ok(of_finite(&|_| 1.0)),
        EliteWeights::Shifted => Ok(of_finite(&|r| r - low + 1e-3 * (high - low))),
        EliteWeights::Literal if low > 0.0 => Ok(of_finite(&|r| r)),
        EliteWeights::Literal => {
            let problem = format!(
                "`literal` (M-DeMoRL eq. 14, the preset `demorl-literal`) weighs elites by their \
                 costs, which must all be negative (positive ones would favour the worse, mixed ones \
                 have a sum that passes 0); here the lowest is {:.4} and the highest {:.4}: use \
                 `shifted`, `uniform` or `softmax`",
                -high, -low
            );
            Err(Error::config("planner.weights", problem))
        }
    }
}

impl Planner for MirrorDescent {
    fn describe(&self) -> String {
        let c = &self.config;
        let utility = match c.utility {
            Utility::Elites => format!("elites {:.0} %", 100.0 * c.elites),
            Utility::Exponential => "exponential".into(),
            Utility::Cost => "plain cost".into(),
        };
        format!("mirror descent {} ({utility})", c.samples.label())
    }

    fn validate(&self, section: &str) -> Result<()> {
        let c = &self.config;
        let key = |name: &str| format!("{section}.{name}");
        c.samples.validate(section)?;
        check::at_least(&key("iterations"), c.iterations, 1)?;
        for (name, share) in [("elites", c.elites), ("step", c.step)] {
            let free = name == "step" && c.utility == Utility::Cost && share.is_finite();
            if !(share > 0.0 && (share <= 1.0 || free)) {
                let problem = format!("expected a number in (0, 1], got {share}");
                return Err(Error::config(key(name), problem));
            }
        }
        check::not_negative(&key("temperature"), c.temperature)?;
        check::positive(&key("temperature_decay"), c.temperature_decay)?;
        check::positive(&key("noise"), c.noise)?;
        check::positive(&key("noise_decay"), c.noise_decay)
    }

    fn plan(&self, problem: &Problem, key: Key) -> Result<Plan> {
        self.validate("planner")?;
        problem.in_blocks(self.config.samples.rows(), key, |part, key| self.plan_block(part, key))
    }
}
