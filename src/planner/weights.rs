//! From returns to weights, one start state at a time, in `f64`.

use crate::error::{Error, Result};

/// Weights of candidates, and what they say about the search.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighted {
    /// They sum to 1.
    pub weights: Vec<f64>,
    /// Log of the utility's mean.
    pub log_normaliser: f64,
    /// What the plan is worth, in reward.
    pub value: f64,
}

impl Weighted {
    /// `1 / sum w^2`.
    pub fn effective(&self) -> f64 {
        1.0 / self.weights.iter().map(|w| w * w).sum::<f64>()
    }

    /// Weights proportional to `raw`, of a utility with this log-normaliser.
    pub fn proportional(raw: &[f64], returns: &[f64], log_normaliser: f64) -> Self {
        let total: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / total).collect();
        let value = mean(&weights, returns);
        Self { weights, log_normaliser, value }
    }
}

/// `sum w x`; a weight of zero leaves an infinite return out.
fn mean(weights: &[f64], x: &[f64]) -> f64 {
    weights.iter().zip(x).filter(|(w, _)| **w > 0.0).map(|(w, x)| w * x).sum()
}

/// `w_k = exp(R_k / lambda + l_k) / sum`, with `l_k` the log of an importance ratio. `lambda = 0`
/// takes the best candidate alone (the first of equals), infinity the ratio alone.
pub(super) fn softmax(returns: &[f64], lambda: f64, log_ratio: Option<&[f64]>) -> Weighted {
    let k = returns.len();
    let best = argmax(returns);
    let top = returns[best];
    if lambda == 0.0 {
        let weights = (0..k).map(|i| f64::from(u8::from(i == best))).collect();
        return Weighted { weights, log_normaliser: f64::INFINITY, value: top };
    }
    let exponent = |i: usize| match returns[i].is_finite() {
        true => (returns[i] - top) / lambda + log_ratio.map_or(0.0, |l| l[i]),
        false => f64::NEG_INFINITY,
    };
    let high = (0..k).map(exponent).fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = (0..k).map(|i| (exponent(i) - high).exp()).collect();
    let total: f64 = raw.iter().sum();
    let log_mean = high + (total / k as f64).ln();
    Weighted {
        weights: raw.iter().map(|w| w / total).collect(),
        log_normaliser: top / lambda + log_mean,
        // lambda x log-normaliser, without the detour over top / lambda. At an infinite temperature
        // its limit is the mean.
        value: match lambda.is_finite() {
            true => top + lambda * log_mean,
            false => mean(&raw.iter().map(|w| w / total).collect::<Vec<_>>(), returns),
        },
    }
}

/// The indices of the `n` best, best first; ties go to the lower index.
pub(super) fn best(returns: &[f64], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..returns.len()).collect();
    order.sort_by(|&i, &j| returns[j].total_cmp(&returns[i]));
    order.truncate(n);
    order
}

/// How many elites a fraction of `k` candidates is: at least one.
pub(super) fn elite_count(fraction: f64, k: usize) -> usize {
    ((fraction * k as f64).round() as usize).clamp(1, k)
}

fn argmax(x: &[f64]) -> usize {
    (0..x.len()).fold(0, |best, i| if x[i] > x[best] { i } else { best })
}

/// Standard deviation over the finite returns (population form).
pub(super) fn spread(returns: &[f64]) -> f64 {
    let finite: Vec<f64> = returns.iter().copied().filter(|r| r.is_finite()).collect();
    let n = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / n;
    (finite.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Refuses a start state none of whose candidates has a finite return.
pub(super) fn some_finite(returns: &[f64]) -> Result<()> {
    match returns.iter().any(|r| r.is_finite()) {
        true => Ok(()),
        false => Err(Error::NonFinite {
            quantity: format!("return of each of {} planned sequences", returns.len()),
            step: "a plan".into(),
        }),
    }
}
