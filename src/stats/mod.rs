//! Statistics over seeds: area under a learning curve, means, bootstrap intervals; and over runs of
//! several tasks, as rliable has them (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge
//! of the Statistical Precipice"): interquartile mean, optimality gap, performance profiles,
//! probability of improvement, stratified bootstrap.

mod improvement;
mod resamples;
mod scores;
mod student;

pub use improvement::{improvement, paired_improvement};
pub use resamples::Resamples;
pub use scores::{Scores, Statistic};
pub use student::t_interval;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// Mean height of a curve between its first and last point (trapezoids): the area under it divided
/// by its length. Points `(x, y)` in rising order of `x`.
///
/// # Errors
/// [`Error::Shape`] for fewer than two points, or an `x` that does not rise.
pub fn mean_height(points: &[(f64, f64)]) -> Result<f64> {
    let rising = points.windows(2).all(|w| w[0].0 < w[1].0);
    let (Some(first), Some(last), true) = (points.first(), points.last(), rising) else {
        return Err(Error::shape("learning curve", "points with rising x", points.len()));
    };
    if points.len() < 2 {
        return Err(Error::shape("learning curve", "at least two points", points.len()));
    }
    let area: f64 = points.windows(2).map(|w| 0.5 * (w[0].1 + w[1].1) * (w[1].0 - w[0].0)).sum();
    Ok(area / (last.0 - first.0))
}

/// What an hour of a processor core brought: the return at the end of a curve less that at its
/// beginning, by the core-hours between them. Points `(core-hours, return)` in rising order.
///
/// # Errors
/// As [`mean_height`].
pub fn gain_per_core_hour(points: &[(f64, f64)]) -> Result<f64> {
    mean_height(points)?;
    let (first, last) = (points[0], points[points.len() - 1]);
    Ok((last.1 - first.1) / (last.0 - first.0))
}

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate itself.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean of `values` with its percentile bootstrap interval: the seeds are resampled with
/// replacement, `rounds` times (Efron 1979). `level` is the coverage, for example 0.95.
///
/// # Errors
/// [`Error::Shape`] when there are no values; [`Error::Config`] when `level` is not in (0, 1) or
/// `rounds` is 0.
pub fn bootstrap_mean(
    values: &[f64],
    level: f64,
    rounds: usize,
    rng: &mut Rng,
) -> Result<Interval> {
    bootstrap(&[values], |m| m[0], level, rounds, rng)
}

/// Difference of the means of `left` and `right` with its percentile bootstrap interval: each
/// side's seeds are resampled with replacement.
///
/// # Errors
/// As [`bootstrap_mean`].
pub fn bootstrap_difference(
    left: &[f64],
    right: &[f64],
    level: f64,
    rounds: usize,
    rng: &mut Rng,
) -> Result<Interval> {
    bootstrap(&[left, right], |m| m[0] - m[1], level, rounds, rng)
}

/// Ratio of the means of `left` and `right` with its percentile bootstrap interval: each side's
/// seeds are resampled with replacement.
///
/// # Errors
/// As [`bootstrap_mean`]; [`Error::Config`] also when a value of `right` is not above zero: a
/// ratio to something that may vanish or change sign says nothing.
pub fn bootstrap_ratio(
    left: &[f64],
    right: &[f64],
    level: f64,
    rounds: usize,
    rng: &mut Rng,
) -> Result<Interval> {
    if let Some(low) = right.iter().find(|r| r.is_nan() || **r <= 0.0) {
        return Err(Error::config("right", format!("expected values above 0, got {low}")));
    }
    bootstrap(&[left, right], |m| m[0] / m[1], level, rounds, rng)
}

/// A statistic of the sides' means, with its percentile bootstrap interval.
fn bootstrap(
    sides: &[&[f64]],
    statistic: impl Fn(&[f64]) -> f64,
    level: f64,
    rounds: usize,
    rng: &mut Rng,
) -> Result<Interval> {
    if sides.iter().any(|side| side.is_empty()) {
        let got: Vec<usize> = sides.iter().map(|side| side.len()).collect();
        return Err(Error::shape("bootstrap", "at least one seed a side", got));
    }
    check_level(level)?;
    crate::check::at_least("rounds", rounds, 1)?;
    let resampled = |x: &[f64], rng: &mut Rng| {
        (0..x.len()).map(|_| x[rng.below(x.len())]).sum::<f64>() / x.len() as f64
    };
    let draws: Vec<f64> = (0..rounds)
        .map(|_| statistic(&sides.iter().map(|x| resampled(x, rng)).collect::<Vec<_>>()))
        .collect();
    Ok(percentiles(statistic(&sides.iter().map(|x| mean(x)).collect::<Vec<_>>()), draws, level))
}

/// The percentile interval of the resampled estimates `draws`.
fn percentiles(estimate: f64, mut draws: Vec<f64>, level: f64) -> Interval {
    draws.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Interval { estimate, low: quantile(&draws, tail), high: quantile(&draws, 1.0 - tail) }
}

/// A coverage, as an argument.
fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::config("level", format!("expected a number in (0, 1), got {level}")))
}

/// Mean; NaN of none.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile `q` in `[0, 1]` of sorted numbers, interpolated; NaN of none.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(top) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * top as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(top)] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use statrs::distribution::{ContinuousCDF, Normal};

    #[test]
    fn the_mean_height_of_a_ramp_is_its_middle() {
        let height = mean_height(&[(0.0, 0.0), (1.0, 1.0), (4.0, 4.0)]).unwrap();
        assert_abs_diff_eq!(height, 2.0, epsilon = 1e-15);
        assert!(mean_height(&[(0.0, 1.0)]).is_err());
        assert!(mean_height(&[(1.0, 1.0), (0.0, 1.0)]).is_err());
    }

    #[test]
    fn the_gain_of_a_core_hour_is_the_slope_between_the_ends() {
        let gain = gain_per_core_hour(&[(1.0, -10.0), (2.0, 70.0), (5.0, 10.0)]).unwrap();
        assert_abs_diff_eq!(gain, 5.0, epsilon = 1e-15);
        assert!(gain_per_core_hour(&[(1.0, 1.0)]).is_err());
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 1.0), 4.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_for_many_seeds() {
        let mut rng = Rng::new(1);
        let n = 400;
        let left: Vec<f64> = (0..n).map(|_| 3.0 + rng.normal()).collect();
        let right: Vec<f64> = (0..n).map(|_| 1.0 + 2.0 * rng.normal()).collect();
        let got = bootstrap_difference(&left, &right, 0.95, 4000, &mut rng).unwrap();
        let var = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / n as f64;
            x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64
        };
        let error = ((var(&left) + var(&right)) / n as f64).sqrt();
        let z = Normal::standard().inverse_cdf(0.975);
        // 4,000 draws place an end within a tenth of a standard error.
        assert_abs_diff_eq!(got.low, got.estimate - z * error, epsilon = 0.1 * error);
        assert_abs_diff_eq!(got.high, got.estimate + z * error, epsilon = 0.1 * error);
        assert!(bootstrap_difference(&[], &right, 0.95, 10, &mut rng).is_err());
        assert!(bootstrap_difference(&left, &right, 1.5, 10, &mut rng).is_err());

        let got = bootstrap_mean(&left, 0.9, 4000, &mut rng).unwrap();
        let (error, z) = ((var(&left) / n as f64).sqrt(), Normal::standard().inverse_cdf(0.95));
        assert_abs_diff_eq!(got.low, got.estimate - z * error, epsilon = 0.1 * error);
        assert_abs_diff_eq!(got.high, got.estimate + z * error, epsilon = 0.1 * error);

        // Of a ratio by the delta method; the denominator is kept away from zero.
        let right: Vec<f64> = right.iter().map(|r| 10.0 + r.abs()).collect();
        let got = bootstrap_ratio(&left, &right, 0.95, 4000, &mut rng).unwrap();
        let relative = |x: &[f64]| var(x) / n as f64 / mean(x).powi(2);
        let error = got.estimate * (relative(&left) + relative(&right)).sqrt();
        let z = Normal::standard().inverse_cdf(0.975);
        assert_abs_diff_eq!(got.estimate, mean(&left) / mean(&right), epsilon = 1e-15);
        assert_abs_diff_eq!(got.low, got.estimate - z * error, epsilon = 0.1 * error);
        assert_abs_diff_eq!(got.high, got.estimate + z * error, epsilon = 0.1 * error);
    }

    #[test]
    fn a_ratio_to_what_may_vanish_is_refused() {
        let mut rng = Rng::new(1);
        for right in [[1.0, 0.0], [1.0, -2.0], [1.0, f64::NAN]] {
            assert!(bootstrap_ratio(&[1.0], &right, 0.95, 10, &mut rng).is_err());
        }
    }

    #[test]
    fn the_interval_of_equal_seeds_is_a_point() {
        let got = bootstrap_mean(&[2.0, 2.0, 2.0], 0.95, 50, &mut Rng::new(1)).unwrap();
        assert_eq!(got, Interval { estimate: 2.0, low: 2.0, high: 2.0 });
    }
}
