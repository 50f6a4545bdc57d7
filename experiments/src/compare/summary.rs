//! What groups of runs came to: estimates with their intervals.

use std::collections::BTreeMap;
use std::path::Path;

use hstep::rng::Rng;
use hstep::stats::{
    Interval, Resamples, Scores, Statistic, gain_per_core_hour, improvement, mean_height,
    paired_improvement, t_interval,
};
use hstep::{Error, Result, config};
use serde::{Deserialize, Serialize};

use super::curve::{SEEDS_FOR_A_BAND, between};
use super::groups::{Group, by_number};
use super::{LEVEL, ROUNDS};

/// An estimate, and its interval where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Both ends of its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// `bootstrap` from five seeds on, `t` below, `none` where there is no interval.
    pub by: &'static str,
}

impl Estimate {
    fn new(interval: &Interval, by: &'static str) -> Self {
        Self { value: interval.estimate, interval: Some((interval.low, interval.high)), by }
    }

    fn bare(value: f64) -> Self {
        Self { value, interval: None, by: "none" }
    }
}

/// A statistic with its stratified bootstrap interval; below five seeds the mean has its t interval
/// and the others have none.
fn estimate(scores: &Scores, statistic: Statistic) -> Result<Estimate> {
    let seeds = scores.fewest_runs();
    if seeds >= SEEDS_FOR_A_BAND {
        let draws = Resamples::new(scores, ROUNDS, &mut Rng::new(0))?;
        return Ok(Estimate::new(&draws.interval(scores, statistic, LEVEL)?, "bootstrap"));
    }
    match statistic {
        Statistic::Mean if seeds > 1 => Ok(Estimate::new(&t_interval(scores, LEVEL)?, "t")),
        _ => Ok(Estimate::bare(statistic.of(scores))),
    }
}

/// What one group came to.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The environment.
    pub env: String,
    /// The group's name.
    pub label: String,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// The step up to which all groups of the environment are compared.
    pub steps: f64,
    /// The score of each seed: the mean of its last evaluations.
    pub scores: Vec<f64>,
    /// Interquartile mean of the scores.
    pub iqm: Estimate,
    /// Mean of the scores.
    pub mean: Estimate,
    /// Median of the scores.
    pub median: f64,
    /// The mean height of the curves, as a mean over seeds.
    pub area: Estimate,
    /// What a core-hour brought, as a mean over seeds.
    pub per_core_hour: Option<Estimate>,
}

/// The last step that every run of an environment has.
pub fn ends(groups: &[Group]) -> BTreeMap<&str, f64> {
    let mut ends = BTreeMap::new();
    for group in groups {
        let of_env = ends.entry(group.env.as_str()).or_insert(f64::INFINITY);
        for run in &group.runs {
            *of_env = run.curve.last().map_or(0.0, |p| p.0).min(*of_env);
        }
    }
    ends
}

/// A row a group; a score is the mean of the `last` evaluations.
///
/// # Errors
/// [`Error::Checkpoint`] naming a run with fewer than two evaluations up to the common step.
pub fn rows(groups: &[Group], last: usize) -> Result<Vec<Row>> {
    let ends = ends(groups);
    let row = |group: &Group| {
        let end = ends[group.env.as_str()];
        let (mut scores, mut areas, mut gains) = (Vec::new(), Vec::new(), Vec::new());
        for run in &group.runs {
            let upto = run.curve.partition_point(|p| p.0 <= end);
            let curve = &run.curve[..upto];
            if curve.len() < 2 {
                let problem = format!(
                    "has fewer than two evaluations up to step {end}, the last that all runs on {} \
                     have; leave the shortest out with --steps",
                    group.env
                );
                return Err(Error::checkpoint(&run.folder, problem));
            }
            scores.push(super::last_mean(curve, last));
            areas.push(mean_height(curve)?);
            let hours = run.hours.as_deref().unwrap_or_default();
            let by_hours: Vec<(f64, f64)> =
                curve.iter().filter_map(|p| Some((between(hours, p.0)?, p.1))).collect();
            gains.extend(gain_per_core_hour(&by_hours).ok());
        }
        let all_hours = gains.len() == group.runs.len();
        let of_scores = Scores::new(&[&scores])?;
        let mean_of = |values: &[f64]| estimate(&Scores::new(&[values])?, Statistic::Mean);
        Ok(Row {
            env: group.env.clone(),
            label: group.label.clone(),
            seeds: group.seeds(),
            steps: end,
            iqm: estimate(&of_scores, Statistic::Iqm)?,
            mean: estimate(&of_scores, Statistic::Mean)?,
            median: {
                let mut sorted = scores.clone();
                sorted.sort_by(f64::total_cmp);
                hstep::stats::quantile(&sorted, 0.5)
            },
            area: mean_of(&areas)?,
            per_core_hour: if all_hours { Some(mean_of(&gains)?) } else { None },
            scores,
        })
    };
    groups.iter().map(row).collect()
}

/// What scores 0 and what scores 1 on an environment.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    random: f64,
    reference: f64,
}

/// The scale of every environment.
#[derive(Debug)]
pub struct Scales(BTreeMap<String, Scale>);

impl Scales {
    /// Reads a TOML file with a section an environment, `random` and `reference` in each.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] naming the environment that is missing or without a scale.
    pub fn read(path: &Path, groups: &[Group]) -> Result<Self> {
        let wrong = |problem: String| {
            let example = "expected for every environment a section such as `[pendulum]` with \
                           `random = -1200` and `reference = -150`";
            Error::config("--normalise", format!("{}: {problem}; {example}", path.display()))
        };
        let scales: BTreeMap<String, Scale> = config::read(path)?
            .try_into()
            .map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
        for group in groups {
            match scales.get(&group.env) {
                None => return Err(wrong(format!("nothing about `{}`", group.env))),
                Some(s) if !(s.reference - s.random).is_normal() => {
                    let problem = format!("`{}` has equal or no finite numbers", group.env);
                    return Err(wrong(problem));
                }
                Some(_) => {}
            }
        }
        Ok(Self(scales))
    }

    fn of(&self, env: &str, score: f64) -> f64 {
        self.0.get(env).map_or(f64::NAN, |s| (score - s.random) / (s.reference - s.random))
    }
}

/// What one way to learn came to over all environments, normalised.
#[derive(Debug, Serialize)]
pub struct Overall {
    /// Its name.
    pub label: String,
    /// Its normalised scores, environment by environment.
    pub scores: Vec<Vec<f64>>,
    /// Interquartile mean.
    pub iqm: Estimate,
    /// Median of the environments' means.
    pub median: Estimate,
    /// Mean of the environments' means.
    pub mean: Estimate,
    /// What is missing to the reference.
    pub optimality_gap: Estimate,
}

/// Over all environments, of those labels that have runs on each.
///
/// # Errors
/// [`Error::Config`] for scores that are not finite.
pub fn overall(rows: &[Row], scales: &Scales) -> Result<Vec<Overall>> {
    let envs: Vec<&str> = ends_of(rows);
    let mut all = Vec::new();
    for label in labels(rows) {
        let of_label: Vec<&Row> = rows.iter().filter(|row| row.label == label).collect();
        if of_label.len() < envs.len() {
            continue;
        }
        let tasks: Vec<Vec<f64>> = of_label
            .iter()
            .map(|row| row.scores.iter().map(|s| scales.of(&row.env, *s)).collect())
            .collect();
        let scores = Scores::new(&tasks)?;
        all.push(Overall {
            label: label.to_owned(),
            iqm: estimate(&scores, Statistic::Iqm)?,
            median: estimate(&scores, Statistic::Median)?,
            mean: estimate(&scores, Statistic::Mean)?,
            optimality_gap: estimate(&scores, Statistic::OptimalityGap(1.0))?,
            scores: tasks,
        });
    }
    Ok(all)
}

fn ends_of(rows: &[Row]) -> Vec<&str> {
    let mut envs: Vec<&str> = rows.iter().map(|row| row.env.as_str()).collect();
    envs.dedup();
    envs
}

/// The labels, each once, sorted.
pub fn labels(rows: &[Row]) -> Vec<&str> {
    let mut labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    labels.sort_by_cached_key(|label| by_number(label));
    labels.dedup();
    labels
}

/// How probable it is that a run of one beats a run of another, over the environments of both.
#[derive(Debug, Serialize)]
pub struct Beats {
    /// Who beats.
    pub left: String,
    /// Who is beaten.
    pub right: String,
    /// The probability.
    pub probability: Estimate,
}

/// Every pair of labels that has an environment in common; `paired` compares equal seeds only.
///
/// # Errors
/// [`Error::Config`] where `paired` finds no seed on both sides.
pub fn improvements(rows: &[Row], paired: bool) -> Result<Vec<Beats>> {
    let labels = labels(rows);
    let mut all = Vec::new();
    for left in &labels {
        for right in labels.iter().filter(|right| *right != left) {
            let both: Vec<(&Row, &Row)> = named(rows, left)
                .filter_map(|x| Some((x, named(rows, right).find(|y| y.env == x.env)?)))
                .collect();
            if !both.is_empty() {
                let probability = beats(&both, paired)?;
                let (left, right) = ((*left).to_owned(), (*right).to_owned());
                all.push(Beats { left, right, probability });
            }
        }
    }
    Ok(all)
}

fn named<'a>(rows: &'a [Row], label: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.label == label)
}

fn beats(both: &[(&Row, &Row)], paired: bool) -> Result<Estimate> {
    let side = |pick: fn(&(&Row, &Row)) -> Vec<f64>| {
        Scores::new(&both.iter().map(pick).collect::<Vec<_>>())
    };
    let interval = if paired {
        let (x, y) = (side(|(x, y)| of_seeds(x, y)), side(|(x, y)| of_seeds(y, x)));
        let (Ok(x), Ok(y)) = (x, y) else {
            let (x, y) = both[0];
            let problem = format!("`{}` and `{}` have no seed in common", x.label, y.label);
            return Err(Error::config("--paired", problem));
        };
        let draws = Resamples::new(&x, ROUNDS, &mut Rng::new(0))?;
        (x.fewest_runs(), paired_improvement(&x, &y, &draws, LEVEL)?)
    } else {
        let (x, y) = (side(|(x, _)| x.scores.clone())?, side(|(_, y)| y.scores.clone())?);
        let draws = Resamples::new(&x, BEATS_ROUNDS, &mut Rng::new(0))?;
        let others = Resamples::new(&y, BEATS_ROUNDS, &mut Rng::new(1))?;
        let seeds = x.fewest_runs().min(y.fewest_runs());
        (seeds, improvement((&x, &draws), (&y, &others), LEVEL)?)
    };
    Ok(match interval {
        (seeds, interval) if seeds >= SEEDS_FOR_A_BAND => Estimate::new(&interval, "bootstrap"),
        (_, interval) => Estimate::bare(interval.estimate),
    })
}

/// Rounds of the bootstrap of a probability of improvement: its cost grows with the product of runs.
const BEATS_ROUNDS: usize = 1_000;

/// The scores of `row` for the seeds that `other` has too, by seed.
fn of_seeds(row: &Row, other: &Row) -> Vec<f64> {
    let both = row.seeds.iter().zip(&row.scores);
    both.filter(|(seed, _)| other.seeds.contains(seed)).map(|(_, score)| *score).collect()
}
