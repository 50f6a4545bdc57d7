//! MPQ, Figure 1, on its pendulum: MPQ against planning alone and soft Q-learning, the paper's curves
//! under ours.

mod config;

use hstep::rng::Rng;
use hstep::stats::{bootstrap_difference, mean};
use hstep::{Error, Result};

pub use self::config::Config;
use self::config::{EPISODE, ROW};
use super::Effort;
use super::compare::{
    Answer, Comparison, LEVEL, Markdown, Plan, ROUNDS, Results, interval, last_mean, seed_names,
    seed_words,
};
use crate::compare::curve::line;
use crate::plot::{Axis, Figure, Panel, Series};

const RETURN: &str = "train_return";

/// Curves of the paper's figure 1 (full paper: figure 2), digitised from its vector paths, about 1 %.
const PUBLISHED: &str = include_str!("published.csv");

/// Points of a curve.
type Points = Vec<(f64, f64)>;

/// The paper's curve of this name: episodes and returns.
fn published(name: &str) -> Points {
    let rows = PUBLISHED.lines().filter_map(|row| {
        let mut cells = row.split(',');
        let own = cells.next()? == name;
        let point = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        own.then_some(point)
    });
    rows.collect()
}

/// The mean since episode 1, as the paper draws it, by episodes.
fn running(points: &[(f64, f64)]) -> Points {
    let (mut sum, mut all) = (0.0, Vec::with_capacity(points.len()));
    for (i, (steps, value)) in points.iter().enumerate() {
        sum += value;
        all.push((steps / EPISODE as f64, sum / (i + 1) as f64));
    }
    all
}

impl Comparison for Config {
    const NAME: &'static str = "mpq-fig1";

    fn with_effort(effort: Effort) -> Self {
        Self::at(effort)
    }

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn plan(&self) -> Plan {
        self.make_plan(Self::NAME)
    }

    fn figures(&self, results: &Results) -> Result<Vec<Figure>> {
        let panel =
            |title: &str, drawn: fn(&[(f64, f64)]) -> Points, paper: bool| -> Result<Panel> {
                let mut series = Vec::new();
                for (style, (contender, name)) in self.contenders().iter().enumerate() {
                    let curves = results.curves(contender, RETURN)?;
                    let curves: Vec<Points> = curves.iter().map(|points| drawn(points)).collect();
                    series.push(line(&contender.label, style, &curves)?);
                    if paper {
                        series.push(Series::thin(style, published(name)));
                    }
                }
                Ok(Panel {
                    title: title.into(),
                    x: Axis::linear("episodes"),
                    y: Axis::linear("return"),
                    series,
                    notes: Vec::new(),
                })
            };
        let of_episodes =
            |points: &[(f64, f64)]| points.iter().map(|(x, y)| (x / EPISODE as f64, *y)).collect();
        Ok(vec![Figure {
            name: Self::NAME.into(),
            title: self.found(results)?,
            caption: format!(
                "Pendulum; interquartile mean of {}, bands: 95 % bootstrap interval; thin: the paper's \
                 curves, digitised",
                seed_words(&self.seeds)
            ),
            size: (1200, 620),
            panels: vec![
                panel("mean return since episode 1", running, true)?,
                panel("return, means of five episodes", of_episodes, false)?,
            ],
        }])
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        let last = (self.last / ROW) as usize;
        out.text(&format!(
            "Mean return of the last {} training episodes, and since episode 1; beside it the paper's \
             mean since episode 1 at episode {} or the last that is drawn before.",
            self.last, self.episodes
        ));
        let mut head = vec![String::new()];
        head.extend(seed_names(&self.seeds));
        head.extend(["mean", "since 1", "paper"].map(String::from));
        out.head(&head);
        let mut ends = Vec::new();
        for (contender, name) in self.contenders() {
            let end = results.each(&contender, RETURN, |points| Ok(last_mean(points, last)))?;
            let since = results.each(&contender, RETURN, |points| {
                Ok(mean(&points.iter().map(|(_, y)| *y).collect::<Vec<_>>()))
            })?;
            let paper = published(name).into_iter().rfind(|(x, _)| *x <= self.episodes as f64);
            let mut cells = vec![contender.label.clone()];
            cells.extend(end.iter().chain([&mean(&end), &mean(&since)]).map(|r| format!("{r:.0}")));
            cells.push(paper.map_or("-".into(), |(_, y)| format!("{y:.0}")));
            out.row(&cells);
            ends.push((contender.label, end));
        }
        out.text("Is MPQ's return higher? Differences with 95 % bootstrap intervals over seeds.");
        out.head(&["against", "difference", "interval", "higher"]);
        let Some(((_, ours), others)) = ends.split_first() else {
            return Err(Error::config("contenders", "there are none"));
        };
        for (label, theirs) in others {
            let mut rng = Rng::new(self.bootstrap_seed);
            let d = bootstrap_difference(ours, theirs, LEVEL, ROUNDS, &mut rng)?;
            let answer = Answer::at_least(Some(&d), 0.0).to_string();
            out.row(&[label.clone(), format!("{:.0}", d.estimate), interval(&d, 0), answer]);
        }
        Ok(out.finish())
    }
}

impl Config {
    /// Who leads at the end, in a line.
    fn found(&self, results: &Results) -> Result<String> {
        let last = (self.last / ROW) as usize;
        let mut ends = Vec::new();
        for (contender, _) in self.contenders() {
            let each = results.each(&contender, RETURN, |points| Ok(last_mean(points, last)))?;
            ends.push((mean(&each), contender.label));
        }
        ends.sort_by(|a, b| b.0.total_cmp(&a.0));
        let words = ends.iter().map(|(end, label)| format!("{label} {end:.0}"));
        let words = words.collect::<Vec<_>>().join("; ");
        Ok(format!("Return of the last {} episodes: {words}", self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_curves_are_there_and_a_running_mean_is_one() {
        for (_, name) in Config::default().contenders() {
            let curve = published(name);
            assert!(curve.len() > 40 && curve.is_sorted_by(|a, b| a.0 < b.0), "{name}");
        }
        let got = running(&[(200.0, -4.0), (400.0, -2.0), (600.0, 0.0)]);
        assert_eq!(got, [(1.0, -4.0), (2.0, -3.0), (3.0, -2.0)]);
    }
}
