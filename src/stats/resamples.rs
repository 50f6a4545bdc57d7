//! The stratified bootstrap: runs are drawn with replacement within each task.

use super::scores::{Scores, Statistic};
use super::{Interval, check_level, percentiles};
use crate::check;
use crate::error::{Error, Result};
use crate::rng::Rng;

/// How often every run occurs in each of many resamples. The same resamples may serve many scores:
/// a band along a curve is then as smooth as the curve, and differences of paired runs are paired.
#[derive(Debug, Clone)]
pub struct Resamples {
    /// Counts a round, one round after another.
    counts: Vec<u32>,
    sizes: Vec<usize>,
}

impl Resamples {
    /// `rounds` resamples for scores with so many runs on each task as `like` has.
    ///
    /// # Errors
    /// [`Error::Config`] when `rounds` is 0.
    pub fn new(like: &Scores, rounds: usize, rng: &mut Rng) -> Result<Self> {
        check::at_least("rounds", rounds, 1)?;
        let sizes = like.sizes.clone();
        let n: usize = sizes.iter().sum();
        let mut counts = vec![0; rounds * n];
        for round in counts.chunks_exact_mut(n) {
            let mut rest = round;
            for &size in &sizes {
                let (task, after) = rest.split_at_mut(size);
                (0..size).for_each(|_| task[rng.below(size)] += 1);
                rest = after;
            }
        }
        Ok(Self { counts, sizes })
    }

    /// The counts of each round.
    pub(super) fn rounds(&self) -> impl Iterator<Item = &[u32]> {
        self.counts.chunks_exact(self.sizes.iter().sum())
    }

    /// Refuses scores with other numbers of runs.
    pub(super) fn fit(&self, scores: &Scores) -> Result<()> {
        if self.sizes == scores.sizes {
            return Ok(());
        }
        Err(Error::shape("scores", format!("{:?} runs a task", self.sizes), &scores.sizes))
    }

    /// A statistic of `scores` with its percentile interval (Efron 1979) of coverage `level`.
    ///
    /// # Errors
    /// [`Error::Shape`] for scores with other numbers of runs, [`Error::Config`] when `level` is not
    /// in (0, 1).
    pub fn interval(&self, scores: &Scores, statistic: Statistic, level: f64) -> Result<Interval> {
        self.fit(scores)?;
        check_level(level)?;
        let order = statistic.order(scores);
        let draws = self.rounds().map(|counts| statistic.resampled(scores, &order, counts));
        Ok(percentiles(statistic.of(scores), draws.collect(), level))
    }
}
