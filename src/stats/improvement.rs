//! The probability of improvement: how often a run of one side beats a run of the other.

use super::resamples::Resamples;
use super::scores::Scores;
use super::{Interval, check_level, percentiles};
use crate::error::{Error, Result};

/// The probability that a run of `x` beats one of `y` on the same task, a tie counting half, as a mean
/// over tasks (Mann and Whitney 1947), with its percentile interval of coverage `level`. The runs of
/// both sides are independent: each side has its own resamples, of equally many rounds.
///
/// # Errors
/// [`Error::Shape`] for other numbers of tasks, runs or rounds, [`Error::Config`] when `level` is not
/// in (0, 1).
pub fn improvement(
    (x, resamples_x): (&Scores, &Resamples),
    (y, resamples_y): (&Scores, &Resamples),
    level: f64,
) -> Result<Interval> {
    resamples_x.fit(x)?;
    resamples_y.fit(y)?;
    if x.sizes.len() != y.sizes.len() {
        return Err(Error::shape("scores", format!("{} tasks", x.sizes.len()), y.sizes.len()));
    }
    // What each run of x gains against each run of y, task by task.
    let gains: Vec<Vec<Vec<f64>>> = x
        .tasks()
        .zip(y.tasks())
        .map(|(x, y)| x.iter().map(|&x| y.iter().map(|&y| beats(x, y)).collect()).collect())
        .collect();
    let of = |counts_x: &[u32], counts_y: &[u32]| {
        let (mut from_x, mut from_y, mut sum) = (0, 0, 0.0);
        for task in &gains {
            let (rows, columns) = (task.len(), task[0].len());
            let counts_y = &counts_y[from_y..from_y + columns];
            let won = task.iter().zip(&counts_x[from_x..]).map(|(row, &c)| {
                let row = row.iter().zip(counts_y).map(|(gain, &c)| gain * f64::from(c));
                f64::from(c) * row.sum::<f64>()
            });
            sum += won.sum::<f64>() / (rows * columns) as f64;
            (from_x, from_y) = (from_x + rows, from_y + columns);
        }
        sum / gains.len() as f64
    };
    let both = || resamples_x.rounds().zip(resamples_y.rounds());
    if resamples_x.rounds().count() != resamples_y.rounds().count() {
        let expected = format!("{} rounds", resamples_x.rounds().count());
        return Err(Error::shape("resamples", expected, resamples_y.rounds().count()));
    }
    check_level(level)?;
    let estimate = of(&vec![1; x.values.len()], &vec![1; y.values.len()]);
    Ok(percentiles(estimate, both().map(|(x, y)| of(x, y)).collect(), level))
}

/// The share of pairs in which `x` beats `y`, a tie counting half, as a mean over tasks, with its
/// percentile interval: runs at the same place of a task are a pair (the same seed) and are drawn
/// together.
///
/// # Errors
/// As [`improvement`]; [`Error::Shape`] also where a task has more runs on one side.
pub fn paired_improvement(
    x: &Scores,
    y: &Scores,
    resamples: &Resamples,
    level: f64,
) -> Result<Interval> {
    resamples.fit(y)?;
    let gains: Vec<f64> = x.values.iter().zip(&y.values).map(|(x, y)| beats(*x, *y)).collect();
    let gains = Scores { values: gains, sizes: x.sizes.clone() };
    resamples.interval(&gains, super::Statistic::Mean, level)
}

fn beats(x: f64, y: f64) -> f64 {
    match x.total_cmp(&y) {
        // The two zeros are one score.
        _ if x == y => 0.5,
        std::cmp::Ordering::Greater => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn pairs_are_compared_and_drawn_together() {
        // Seeds differ much, and x is a little better on each: pairs know, independent runs do not.
        let x = Scores::new(&[[1.1, 2.1, 3.1, 4.1, 5.1, 6.1]]).unwrap();
        let y = Scores::new(&[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]).unwrap();
        let draw = |seed| Resamples::new(&x, 500, &mut Rng::new(seed)).unwrap();
        let paired = paired_improvement(&x, &y, &draw(0), 0.95).unwrap();
        assert_eq!((paired.estimate, paired.low, paired.high), (1.0, 1.0, 1.0));
        let apart = improvement((&x, &draw(0)), (&y, &draw(1)), 0.95).unwrap();
        // 21 of 36 pairs are won.
        assert!((apart.estimate - 21.0 / 36.0).abs() < 1e-12 && apart.low < 0.5);
        // Ties count half.
        let ties = paired_improvement(&x, &x, &draw(0), 0.95).unwrap();
        assert_eq!((ties.estimate, ties.low), (0.5, 0.5));
        let fewer = Scores::new(&[[1.0]]).unwrap();
        assert!(paired_improvement(&x, &fewer, &draw(0), 0.95).is_err());
        assert!(improvement((&x, &draw(0)), (&fewer, &draw(0)), 0.95).is_err());
    }
}
