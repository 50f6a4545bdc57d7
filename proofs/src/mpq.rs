//! MPQ (Bhardwaj, Handa, Fox, Boots, "Information Theoretic Model Predictive Q-Learning", L4DC 2020):
//! the free energy of eq. (5)-(7).

use super::mdp::{Kernel, Policy};
use super::number::{Number, power, whole};
use hstep::{Error, Result};

/// Entropy-regularised control over `H` steps, in costs.
///
/// Eq. (7) says, for dynamics without chance, that the optimal soft value is the free energy of whole
/// action sequences:
///
/// ```text
/// V*(s) = -lambda log E_{A ~ prior} exp( -C(A) / lambda )
/// ```
///
/// with `C` the discounted cost of the sequence and the value at its end; "for clarity we omit the
/// discount". That is true only without chance and with `gamma = 1`. With `gamma < 1` the free energy is
/// too high: the value it names is above that of a policy there is. With chance it is too low: it
/// favours luck. What holds in general is the nested form
///
/// ```text
/// V_t(s) = -lambda log sum_a prior(a) exp( -(c(s,a) + gamma E V_{t+1}(s')) / lambda )
/// ```
///
/// the least of `E[sum_t gamma^t (c_t + lambda KL_t)] + gamma^H E V_H` over policies.
///
/// ---
///
#[doc = include_str!("../10-mpq-free-energy.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Soft {
    /// The discount, in `[0, 1]`.
    pub gamma: f64,
    /// The temperature, above 0, in the unit of the costs.
    pub lambda: f64,
    /// The horizon.
    pub horizon: usize,
    /// Costs `[S][A]`.
    pub costs: Vec<Vec<f64>>,
    /// The dynamics.
    pub kernel: Kernel<f64>,
    /// The prior over actions `[A]`, all above 0.
    pub prior: Vec<f64>,
    /// The value at the end `[S]`.
    pub terminal: Vec<f64>,
}

/// Policies `[H]`, one a step.
pub type Stages = Vec<Policy<f64>>;

impl Soft {
    /// A problem whose parts fit.
    ///
    /// # Errors
    /// [`Error::Config`] naming the part that does not.
    pub fn check(self) -> Result<Self> {
        let (states, actions) = (self.kernel.states(), self.kernel.actions());
        let shapes = [
            ("costs", self.costs.len() == states && self.costs.iter().all(|c| c.len() == actions)),
            ("prior", self.prior.len() == actions && self.prior.iter().all(|p| *p > 0.0)),
            ("terminal", self.terminal.len() == states),
            ("gamma", (0.0..=1.0).contains(&self.gamma)),
            ("lambda", self.lambda > 0.0 && self.lambda.is_finite()),
            ("horizon", self.horizon > 0),
        ];
        match shapes.iter().find(|(_, fine)| !fine) {
            None => Ok(self),
            Some((name, _)) => {
                let problem = format!("does not fit {states} states and {actions} actions");
                Err(Error::config(*name, problem))
            }
        }
    }

    /// `E_{P(.|s,a)}[v]`.
    fn expected(&self, s: usize, a: usize, v: &[f64]) -> f64 {
        self.kernel.row(s, a).iter().zip(v).map(|(p, v)| p * v).sum()
    }

    fn states(&self) -> std::ops::Range<usize> {
        0..self.terminal.len()
    }

    /// The nested soft value `V_0` `[S]` and the policies that attain it.
    #[must_use]
    pub fn nested(&self) -> (Vec<f64>, Stages) {
        let mut v = self.terminal.clone();
        let mut stages = Vec::with_capacity(self.horizon);
        for _ in 0..self.horizon {
            let (mut next, mut rows) = (Vec::new(), Vec::new());
            for s in self.states() {
                let q = |a: usize| self.costs[s][a] + self.gamma * self.expected(s, a, &v);
                let weights =
                    self.prior.iter().enumerate().map(|(a, p)| p.ln() - q(a) / self.lambda);
                let weights: Vec<f64> = weights.collect();
                let log_sum = log_sum_exp(&weights);
                next.push(-self.lambda * log_sum);
                rows.push(weights.iter().map(|w| (w - log_sum).exp()).collect());
            }
            stages.push(rows);
            v = next;
        }
        stages.reverse();
        let actions = self.prior.len();
        let policies = stages.iter().map(|rows: &Vec<Vec<f64>>| Policy::new("pi", rows, actions));
        (v, policies.filter_map(Result::ok).collect())
    }

    /// Eq. (7), the free energy `[S]`, with expectation also over where chance leads.
    #[must_use]
    pub fn free_energy(&self) -> Vec<f64> {
        // Sums of exponents factorise along a sequence: z_t(s) = E_a e^{-g^t c / lambda} E_s' z_{t+1}(s').
        // In logarithms, so that large costs do not underflow.
        let discount = |t: usize| self.gamma.powi(t as i32) / self.lambda;
        let mut log_z: Vec<f64> =
            self.terminal.iter().map(|v| -discount(self.horizon) * v).collect();
        for t in (0..self.horizon).rev() {
            let at = |s: usize| {
                let mut terms = Vec::new();
                for (a, prior) in self.prior.iter().enumerate() {
                    let here = prior.ln() - discount(t) * self.costs[s][a];
                    let next = self.kernel.row(s, a).iter().zip(&log_z).filter(|(p, _)| **p > 0.0);
                    terms.extend(next.map(|(p, z)| here + p.ln() + z));
                }
                log_sum_exp(&terms)
            };
            log_z = self.states().map(at).collect();
        }
        log_z.into_iter().map(|z| -self.lambda * z).collect()
    }

    /// The regularised cost `[S]` of following `stages`.
    #[must_use]
    pub fn value(&self, stages: &[Policy<f64>]) -> Vec<f64> {
        let mut v = self.terminal.clone();
        for policy in stages.iter().rev() {
            let of = |s: usize, a: usize, p: f64| {
                let kl = self.lambda * (p / self.prior[a]).ln();
                p * (kl + self.costs[s][a] + self.gamma * self.expected(s, a, &v))
            };
            let at = |s: usize| {
                let row = policy.row(s).iter().enumerate().filter(|(_, p)| **p > 0.0);
                row.map(|(a, p)| of(s, a, *p)).sum()
            };
            v = self.states().map(at).collect();
        }
        v
    }
}

/// `log sum_i e^{x_i}`.
fn log_sum_exp(x: &[f64]) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + x.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// Two steps of one state, uniform prior, `gamma = 1/2`, `lambda = 1`, nothing at the end, costs
/// `-2 log q_i`: `(e^{-2F}, e^{-2V})` for the free energy `F` and the soft value `V`, both rational.
///
/// `F > V`, because `(E q)^2 < E q^2` unless all costs are equal.
#[must_use]
pub fn discounted_pair<T: Number>(q: &[T]) -> (T, T) {
    let n = whole::<T>(q.len());
    let mean = |k: usize| q.iter().fold(T::zero(), |sum, q| sum + power(q, k)) / n.clone();
    // e^{-F} = E[q^2] E[q];  e^{-V_1} = E[q^2], e^{-V} = E[q^2] (e^{-V_1})^{1/2}.
    (power(&mean(2), 2) * power(&mean(1), 2), power(&mean(2), 3))
}

/// One step into one of two states at even odds, `gamma = 1`, `lambda = 1`, worth `0` and `-2 log q`:
/// `(e^{-F}, e^{-V})`. `F < V` unless `q = 1`.
#[must_use]
pub fn lucky_pair<T: Number>(q: &T) -> (T, T) {
    ((T::one() + power(q, 2)) / T::ratio(2, 1), q.clone())
}

/// `e^{-V_0(s)}` `[S]` for `gamma = lambda = 1` and dynamics `next[s][a]` without chance, from `e^{-c}`
/// `[S][A]`, a prior `[A]` and `e^{-V_H}` `[S]`: the nested recursion, in any numbers.
#[must_use]
pub fn desirability<T: Number>(
    next: &[Vec<usize>],
    exp_costs: &[Vec<T>],
    prior: &[T],
    exp_terminal: &[T],
    horizon: usize,
) -> Vec<T> {
    let step = |z: Vec<T>| -> Vec<T> {
        let at = |s: usize| {
            prior
                .iter()
                .enumerate()
                .fold(T::zero(), |sum, (a, p)| sum + p.clone() * &exp_costs[s][a] * &z[next[s][a]])
        };
        (0..next.len()).map(at).collect()
    };
    (0..horizon).fold(exp_terminal.to_vec(), |z, _| step(z))
}
