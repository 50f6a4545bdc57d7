//! Intervals for few seeds, by Student's distribution.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::scores::{Scores, Statistic};
use super::{Interval, check_level};
use crate::error::{Error, Result};

/// The mean over tasks of the mean over runs, with its t interval of coverage `level`. The variances
/// of several tasks are added, with the degrees of freedom of Welch (1947) and Satterthwaite.
///
/// # Errors
/// [`Error::Shape`] for a task with one run, which has no variance; [`Error::Config`] when `level` is
/// not in (0, 1).
pub fn t_interval(scores: &Scores, level: f64) -> Result<Interval> {
    check_level(level)?;
    if scores.fewest_runs() < 2 {
        return Err(Error::shape("scores", "at least two runs on every task", &scores.sizes));
    }
    let estimate = Statistic::Mean.of(scores);
    // The variance of each task's mean, and its degrees of freedom.
    let parts: Vec<(f64, f64)> = scores
        .tasks()
        .map(|task| {
            let (n, mean) = (task.len() as f64, super::mean(task));
            let squares: f64 = task.iter().map(|v| (v - mean).powi(2)).sum();
            (squares / (n - 1.0) / n, n - 1.0)
        })
        .collect();
    let variance: f64 = parts.iter().map(|(v, _)| v).sum();
    if variance == 0.0 {
        return Ok(Interval { estimate, low: estimate, high: estimate });
    }
    let freedom = variance.powi(2) / parts.iter().map(|(v, f)| v * v / f).sum::<f64>();
    let student = StudentsT::new(0.0, 1.0, freedom)
        .map_err(|e| Error::config("scores", format!("no t interval: {e}")))?;
    let reach = student.inverse_cdf(0.5 + level / 2.0) * variance.sqrt() / parts.len() as f64;
    Ok(Interval { estimate, low: estimate - reach, high: estimate + reach })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn t_intervals_are_those_of_the_tables() {
        // 3 seeds: t(0.975, 2) = 4.302653, a standard deviation of 1.
        let got = t_interval(&Scores::new(&[[1.0, 2.0, 3.0]]).unwrap(), 0.95).unwrap();
        assert_abs_diff_eq!(got.estimate, 2.0, epsilon = 1e-15);
        assert_abs_diff_eq!(got.high - 2.0, 4.302_653 / 3.0_f64.sqrt(), epsilon = 1e-5);
        assert_abs_diff_eq!(got.low + got.high, 4.0, epsilon = 1e-12);
        // Two tasks of equal variance and size have 2 + 2 degrees of freedom: t(0.975, 4) = 2.776445.
        let two = Scores::new(&[[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]]).unwrap();
        let got = t_interval(&two, 0.95).unwrap();
        let reach = 2.776_445 * (2.0_f64 / 3.0).sqrt() / 2.0;
        assert_abs_diff_eq!(got.high - 7.0, reach, epsilon = 1e-5);
        let equal = t_interval(&Scores::new(&[[2.0, 2.0]]).unwrap(), 0.95).unwrap();
        assert_eq!((equal.low, equal.high), (2.0, 2.0));
        assert!(t_interval(&Scores::new(&[[2.0]]).unwrap(), 0.95).is_err());
        assert!(t_interval(&two, 1.0).is_err());
    }
}
