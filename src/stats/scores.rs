//! What runs on several tasks came to, and numbers that sum it up.

use crate::error::{Error, Result};

/// The scores of runs, task by task. To be pooled over tasks they must be on one scale: normalised,
/// for example, so that a random policy has 0 and a reference 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// A score a run, tasks one after another.
    pub(super) values: Vec<f64>,
    /// Runs a task.
    pub(super) sizes: Vec<usize>,
}

impl Scores {
    /// The scores of every task's runs; tasks may differ in their number of runs.
    ///
    /// # Errors
    /// [`Error::Shape`] for no task or a task without runs, [`Error::Config`] for a score that is
    /// not finite.
    pub fn new<T: AsRef<[f64]>>(tasks: &[T]) -> Result<Self> {
        let sizes: Vec<usize> = tasks.iter().map(|task| task.as_ref().len()).collect();
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(Error::shape("scores", "at least one run on every task", sizes));
        }
        let values: Vec<f64> = tasks.iter().flat_map(AsRef::as_ref).copied().collect();
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::config("scores", format!("expected finite numbers, got {bad}")));
        }
        Ok(Self { values, sizes })
    }

    /// Runs on the task that has fewest of them.
    #[must_use]
    pub fn fewest_runs(&self) -> usize {
        self.sizes.iter().copied().min().unwrap_or(0)
    }

    /// The scores of each task.
    pub fn tasks(&self) -> impl Iterator<Item = &[f64]> {
        let mut from = 0;
        self.sizes.iter().map(move |size| {
            from += size;
            &self.values[from - size..from]
        })
    }
}

/// A number for the scores of all runs on all tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Mean over tasks of the mean over runs.
    Mean,
    /// Median over tasks of the mean over runs.
    Median,
    /// Interquartile mean: all `n` scores pooled, `floor(n / 4)` cut off at each end.
    Iqm,
    /// By how much the scores fall short of this one, those above it counting as equal to it.
    OptimalityGap(f64),
    /// The share of scores above this one: a point of the performance profile.
    Above(f64),
}

impl Statistic {
    /// Its value.
    #[must_use]
    pub fn of(self, scores: &Scores) -> f64 {
        self.resampled(scores, &self.order(scores), &vec![1; scores.values.len()])
    }

    /// The places of the scores in rising order, where the statistic wants them so; else as they lie.
    pub(super) fn order(self, scores: &Scores) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.values.len()).collect();
        if self == Self::Iqm {
            order.sort_by(|&a, &b| scores.values[a].total_cmp(&scores.values[b]));
        }
        order
    }

    /// The value when each score occurs as often as `counts` says; each task keeps its number of runs.
    pub(super) fn resampled(self, scores: &Scores, order: &[usize], counts: &[u32]) -> f64 {
        let all = || scores.values.iter().zip(counts).map(|(v, c)| (*v, f64::from(*c)));
        let n = counts.len() as f64;
        match self {
            Self::Mean => task_means(scores, counts).sum::<f64>() / scores.sizes.len() as f64,
            Self::Median => {
                let mut means: Vec<f64> = task_means(scores, counts).collect();
                means.sort_unstable_by(f64::total_cmp);
                super::quantile(&means, 0.5)
            }
            Self::Iqm => {
                let cut = counts.len() / 4;
                let (mut skip, mut keep, mut sum) = (cut, counts.len() - 2 * cut, 0.0);
                for &i in order {
                    let skipped = skip.min(counts[i] as usize);
                    let kept = keep.min(counts[i] as usize - skipped);
                    (skip, keep) = (skip - skipped, keep - kept);
                    sum += kept as f64 * scores.values[i];
                }
                sum / (counts.len() - 2 * cut) as f64
            }
            Self::OptimalityGap(at) => at - all().map(|(v, c)| c * v.min(at)).sum::<f64>() / n,
            Self::Above(at) => all().filter(|(v, _)| *v > at).map(|(_, c)| c).sum::<f64>() / n,
        }
    }
}

fn task_means(scores: &Scores, counts: &[u32]) -> impl Iterator<Item = f64> {
    let mut from = 0;
    scores.tasks().map(move |task| {
        let counts = &counts[from..from + task.len()];
        from += task.len();
        task.iter().zip(counts).map(|(v, c)| v * f64::from(*c)).sum::<f64>() / task.len() as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interquartile_mean_cuts_whole_runs() {
        let iqm = |values: &[f64]| Statistic::Iqm.of(&Scores::new(&[values]).unwrap());
        assert_eq!(iqm(&[100.0, 3.0, 2.0, -50.0]), 2.5);
        // Of five one is cut at each end, as scipy.stats.trim_mean does it.
        assert_eq!(iqm(&[1.0, 9.0, -9.0, 2.0, 4.0]), 7.0 / 3.0);
        // Of three none.
        assert_eq!(iqm(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(iqm(&[7.0]), 7.0);
    }

    #[test]
    fn scores_are_finite_and_every_task_has_some() {
        assert!(Scores::new::<Vec<f64>>(&[]).is_err());
        assert!(Scores::new(&[vec![1.0], vec![]]).is_err());
        let error = Scores::new(&[[1.0, f64::NAN]]).unwrap_err().to_string();
        assert!(error.contains("finite"), "{error}");
        assert_eq!(Scores::new(&[vec![1.0], vec![2.0, 3.0]]).unwrap().fewest_runs(), 1);
    }
}
