//! Tables in Markdown, and yes or no by an interval.

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::{Interval, bootstrap_mean, bootstrap_ratio, mean};

use super::plan::Contender;
use super::runs::Results;
use crate::compare::{LEVEL, Markdown, ROUNDS, interval};

/// `seed 0`, `seed 1`, ...
pub fn seed_names(seeds: &[u64]) -> Vec<String> {
    seeds.iter().map(|s| format!("seed {s}")).collect()
}

/// A row a contender: its number on every seed, their mean and its interval.
///
/// # Errors
/// As [`bootstrap_mean`].
pub fn seed_table(
    out: &mut Markdown,
    seeds: &[u64],
    rows: &[(String, Vec<f64>)],
    bootstrap_seed: u64,
) -> Result<()> {
    let (mut head, names) = (vec![String::new()], seed_names(seeds));
    head.extend(names);
    head.extend(["mean".to_owned(), "95 % interval".to_owned()]);
    out.head(&head);
    for (label, values) in rows {
        let i = bootstrap_mean(values, LEVEL, ROUNDS, &mut Rng::new(bootstrap_seed))?;
        let mut cells = vec![label.clone()];
        cells.extend(values.iter().map(|v| format!("{v:.1}")));
        cells.extend([format!("{:.1}", mean(values)), interval(&i, 1)]);
        out.row(&cells);
    }
    Ok(())
}

/// A row a contender: the step at which `when` was so on every seed, and on how many it was.
///
/// # Errors
/// As [`Results::curves`].
pub fn held_table(
    out: &mut Markdown,
    seeds: &[u64],
    results: &Results,
    contenders: &[Contender],
    column: &str,
    (name, when): (&str, impl Fn(&[(f64, f64)]) -> Option<f64>),
) -> Result<()> {
    let mut head = vec![String::new(), "within".to_owned()];
    head.extend(seed_names(seeds));
    head.push(name.to_owned());
    out.head(&head);
    for contender in contenders {
        let curves = results.curves(contender, column)?;
        let held: Vec<Option<f64>> = curves.iter().map(|c| when(c)).collect();
        let mut cells = vec![contender.label.clone(), contender.steps.to_string()];
        cells.extend(held.iter().map(|h| h.map_or("-".into(), |at| format!("{at}"))));
        cells.push(format!("{} of {}", held.iter().flatten().count(), held.len()));
        out.row(&cells);
    }
    Ok(())
}

/// The ratio of means with its interval; `None` where it says nothing, because `right` is not
/// above zero on every seed.
pub fn ratio(left: &[f64], right: &[f64], bootstrap_seed: u64) -> Option<Interval> {
    bootstrap_ratio(left, right, LEVEL, ROUNDS, &mut Rng::new(bootstrap_seed)).ok()
}

/// Whether a number is above a threshold, by its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The whole interval is at or above.
    Yes,
    /// The whole interval is below.
    No,
    /// The threshold lies inside, or there is no interval.
    Open,
}

impl Answer {
    /// Is it at least `threshold`?
    pub fn at_least(interval: Option<&Interval>, threshold: f64) -> Self {
        match interval {
            Some(i) if i.low >= threshold => Self::Yes,
            Some(i) if i.high < threshold => Self::No,
            _ => Self::Open,
        }
    }

    /// Is it below `threshold`?
    pub fn below(interval: Option<&Interval>, threshold: f64) -> Self {
        match Self::at_least(interval, threshold) {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open => Self::Open,
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Open => "open",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_across_the_threshold_leaves_it_open() {
        let i = |low, high| Interval { estimate: low, low, high };
        assert_eq!(Answer::at_least(Some(&i(2.0, 3.0)), 2.0), Answer::Yes);
        assert_eq!(Answer::at_least(Some(&i(1.0, 1.9)), 2.0), Answer::No);
        assert_eq!(Answer::at_least(Some(&i(1.0, 2.0)), 2.0), Answer::Open);
        assert_eq!(Answer::at_least(None, 2.0), Answer::Open);
        assert_eq!(Answer::below(Some(&i(0.1, 0.4)), 0.5), Answer::Yes);
        assert_eq!(Answer::below(Some(&i(0.5, 0.6)), 0.5), Answer::No);
    }

    #[test]
    fn markdown_has_a_head_and_rows() {
        let mut out = Markdown::default();
        out.text("Words:");
        seed_table(&mut out, &[4], &[("A".into(), vec![2.0])], 0).unwrap();
        out.text("More.");
        let expected = "Words:\n\n| | seed 4 | mean | 95 % interval |\n|---|---|---|---|\n\
                        | A | 2.0 | 2.0 | [2.0, 2.0] |\n\nMore.\n\n";
        assert_eq!(out.finish(), expected);
    }
}
