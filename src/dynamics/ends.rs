//! Where episodes end, as the ensemble learns it: a logit a member beside its Gaussian.
//!
//! Ends are rare, so that an end weighs `w` in the binary cross-entropy, for both outcomes to weigh alike
//! (King and Zeng 2001): `w` is what goes on for each end, at most [`MOST`]. The log-odds of such a fit are too
//! high by `ln w`, and a prediction takes that off.

use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::EnsembleModel;
use super::fit::members_forward;
use crate::error::Result;
use crate::nn::softplus;
use crate::shape::to_f64;

/// The most that an end weighs.
const MOST: f64 = 100.0;

/// How good the predicted probabilities of an end are on held-out rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndScore {
    /// Brier score of the elites' mean probability: the mean of `(p - ended)^2`.
    pub brier: f64,
    /// Brier score of the share of ends among these rows, said of each.
    pub base: f64,
    /// Share of the true ends with a probability above 1/2; none where there is no end.
    pub foreseen: Option<f64>,
}

/// What ends weigh in a fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    /// Of an end, where going on weighs 1.
    pub end: f64,
    /// The mean over all rows, which the loss is divided by.
    mean: f64,
}

impl Weight {
    /// By the rows that a fit trains on, 1 where one ended.
    pub fn of(ended: &[f32]) -> Self {
        let n = ended.len().max(1) as f64;
        let ends = ended.iter().filter(|x| **x > 0.5).count() as f64;
        let end = if ends > 0.0 { ((n - ends) / ends).clamp(1.0, MOST) } else { 1.0 };
        Self { end, mean: (n - ends + end * ends) / n }
    }
}

/// What the loss is told of the ends of a batch.
#[derive(Debug)]
pub(super) struct Ended {
    /// 1 where a row ended, `[E,B]`.
    pub rows: Tensor,
    pub weight: Weight,
}

/// The weighted cross-entropy of the logits, the last of `out` `[E,B,..]`: the mean over rows, summed
/// over members; a row with its `weight` `[E,B]` where there is one.
pub(super) fn cross_entropy(
    out: &Tensor,
    ended: &Ended,
    weight: Option<&Tensor>,
) -> Result<Tensor> {
    let last = out.dim(D::Minus1)? - 1;
    let logit = out.narrow(D::Minus1, last, 1)?.squeeze(D::Minus1)?.contiguous()?;
    let each = (softplus(&logit)? - (&logit * &ended.rows)?)?;
    let Weight { end, mean } = ended.weight;
    let of_row = (((&ended.rows * (end - 1.0))? + 1.0)? / mean)?;
    let of_row = match weight {
        Some(weight) => (of_row * weight)?,
        None => of_row,
    };
    Ok(((each * of_row)?.sum_all()? / logit.dim(1)?.max(1) as f64)?)
}

/// `1 / (1 + exp(-x))`.
pub(super) fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The mean of `n` members' probabilities `[n,B]`, `[B]`.
pub(super) fn mean(each: &[f64], n: usize) -> Vec<f64> {
    let b = each.len() / n.max(1);
    (0..b).map(|i| each.iter().skip(i).step_by(b).sum::<f64>() / n as f64).collect()
}

/// 0 where a row ends, else 1. The draw is by a standard normal number: an end below the quantile of its
/// probability, which without noise is an end that is more likely than not.
pub(super) fn goes_on(probability: f64, eps: Option<f64>) -> f64 {
    let below = eps.map_or(0.5, |eps| Normal::standard().cdf(eps));
    f64::from(u8::from(below >= probability))
}

/// Probabilities of an end, a member each: rows `x [N,D]` to `[E][N]`.
fn members(model: &EnsembleModel, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let out = members_forward(model, x)?;
    let last = out.dim(D::Minus1)? - 1;
    let (n, log_weight) = (x.dim(0)?, model.log_weight()?);
    let logit = to_f64(&out.narrow(D::Minus1, last, 1)?)?;
    let of_member = |z: &[f64]| z.iter().map(|z| probability(z - log_weight)).collect();
    Ok(logit.chunks(n.max(1)).map(of_member).collect())
}

fn brier(p: impl Iterator<Item = f64>, ended: &[f32]) -> f64 {
    let squares = p.zip(ended).map(|(p, e)| (p - f64::from(*e)).powi(2));
    squares.sum::<f64>() / ended.len().max(1) as f64
}

/// `f (1 - f)` of the share `f` of ends.
fn base(ended: &[f32]) -> f64 {
    let share = ended.iter().map(|e| f64::from(*e)).sum::<f64>() / ended.len().max(1) as f64;
    share * (1.0 - share)
}

/// What the holdout error of a member is multiplied by: `1 + r / (1 + r)` with `r` its Brier score by that of
/// the base rate. Between 1 and 2, so that ends take part in the choice of an epoch and do not rule it.
pub(super) fn factors(model: &EnsembleModel, x: &Tensor, ended: &[f32]) -> Result<Vec<f64>> {
    let base = base(ended);
    if base == 0.0 {
        return Ok(vec![1.0; model.config.members]);
    }
    let of_member = |p: Vec<f64>| {
        let ratio = brier(p.into_iter(), ended) / base;
        1.0 + ratio / (1.0 + ratio)
    };
    Ok(members(model, x)?.into_iter().map(of_member).collect())
}

/// The scores of the elites' mean probability on rows `x [N,D]`.
pub(super) fn score(
    model: &EnsembleModel,
    elites: &[u32],
    x: &Tensor,
    ended: &[f32],
) -> Result<EndScore> {
    let all = members(model, x)?;
    let mean = |i: usize| {
        let of_elites = elites.iter().map(|m| all[*m as usize][i]);
        of_elites.sum::<f64>() / elites.len().max(1) as f64
    };
    let mean: Vec<f64> = (0..ended.len()).map(mean).collect();
    let ends: Vec<f64> =
        mean.iter().zip(ended).filter(|(_, e)| **e > 0.5).map(|(p, _)| *p).collect();
    let foreseen = ends.iter().filter(|p| **p > 0.5).count() as f64;
    Ok(EndScore {
        brier: brier(mean.iter().copied(), ended),
        base: base(ended),
        foreseen: (!ends.is_empty()).then(|| foreseen / ends.len() as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_weigh_as_much_as_the_rest_up_to_a_hundredfold() {
        let ended = |n: usize, ends: usize| {
            let rows: Vec<f32> = (0..n).map(|i| f32::from(u8::from(i < ends))).collect();
            Weight::of(&rows).end
        };
        assert_eq!(ended(20, 2), 9.0);
        assert_eq!(ended(1000, 1), 100.0);
        assert_eq!(ended(10, 0), 1.0);
        assert_eq!(ended(10, 9), 1.0);
    }

    #[test]
    fn without_noise_an_end_is_what_is_likelier_than_not() {
        assert_eq!([0.49, 0.51].map(|p| goes_on(p, None)), [1.0, 0.0]);
        assert_eq!([0.49, 0.51].map(|p| goes_on(p, Some(0.0))), [1.0, 0.0]);
        assert_eq!([0.0, 1.0].map(|p| goes_on(p, Some(-9.0))), [1.0, 0.0]);
    }
}
