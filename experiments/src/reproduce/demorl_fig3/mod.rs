//! M-DeMoRL (Mishra et al. 2021, "Dynamic Mirror Descent based Model Predictive Control for
//! Accelerating Robot Learning"), Figure 3: the elite fraction of the planner.
//!
//! Left, learning curves; right, the environment steps to reach a level and hold it. The paper reads
//! it as a balance: few elites exploit the learned dynamics most and explore least, all of them the
//! other way round.

mod config;

use hstep::Result;
use hstep::stats::mean;

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Comparison, Markdown, Plan, Results, algorithm, curves, environment, held, held_table,
    last_mean, random_return, seed_table, seed_words,
};
use crate::plot::{Axis, Figure, Panel, Series, grouped};

const COLUMN: &str = "eval_return";

impl Comparison for Config {
    const NAME: &'static str = "demorl-fig3";

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
        let mut figures = curves(Self::NAME, results, &self.contenders(), COLUMN, None)?;
        figures.push(self.steps(results)?);
        Ok(figures)
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        let (level, contenders) = (self.level(results)?, self.contenders());
        out.text(&format!(
            "{}, {} by elite fraction: environment steps until the second evaluation in a row of \
             {level:.1} or better; - where it never was.",
            environment(&self.env),
            algorithm(&self.algo)
        ));
        let when = ("held", |points: &[(f64, f64)]| held(points, level));
        held_table(&mut out, &self.seeds, results, &contenders, COLUMN, when)?;
        out.text(&format!("Final return, the mean of the last {} evaluations.", self.last));
        let rows = results.rows(&contenders, COLUMN, |c| Ok(last_mean(c, self.last)))?;
        seed_table(&mut out, &self.seeds, &rows, self.bootstrap_seed)?;
        Ok(out.finish())
    }
}

impl Config {
    /// The return that counts as learned.
    fn level(&self, results: &Results) -> Result<f64> {
        if let Some(level) = self.level {
            return Ok(level);
        }
        if self.env == "pendulum" {
            return Ok(-200.0);
        }
        let random = random_return(&self.env)?;
        let finals = results.rows(&self.contenders(), COLUMN, |c| Ok(last_mean(c, self.last)))?;
        let best = finals.iter().map(|(_, values)| mean(values)).fold(random, f64::max);
        Ok(random + 0.9 * (best - random))
    }

    /// Environment steps to the level by elite fraction: every seed, and the mean. A seed that never
    /// holds the level stands above the others and counts as the whole budget.
    fn steps(&self, results: &Results) -> Result<Figure> {
        let level = self.level(results)?;
        let (mut seeds, mut never, mut means) = (Vec::new(), Vec::new(), Vec::new());
        let budget = self.contenders()[0].steps as f64;
        for (contender, &elites) in self.contenders().iter().zip(&self.elites) {
            let curves = results.curves(contender, COLUMN)?;
            let steps: Vec<Option<f64>> = curves.iter().map(|c| held(c, level)).collect();
            seeds.extend(steps.iter().flatten().map(|&at| (elites, at)));
            never.extend(steps.iter().filter(|s| s.is_none()).map(|_| (elites, 1.06 * budget)));
            let counted: Vec<f64> = steps.iter().map(|s| s.unwrap_or(budget)).collect();
            means.push((elites, mean(&counted)));
        }
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut series = vec![Series::line("mean", 4, means), Series::points("a seed", 5, seeds)];
        if !never.is_empty() {
            series[0].label = "mean, never as the budget".into();
            series.push(Series::points("a seed, never", 1, never));
        }
        let level = format!("{level:.0}").replace('-', "\u{2212}");
        let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mean = &series[0].points;
        let steps = |p: Option<&(f64, f64)>| grouped(p.map_or(0.0, |p| p.1) as u64);
        let title = format!(
            "On the mean a return of {level} is held after {} to {} steps",
            steps(mean.iter().min_by(order)),
            steps(mean.iter().max_by(order))
        );
        Ok(Figure {
            name: format!("{}-steps", Self::NAME),
            title,
            caption: format!(
                "{} on {}: {}, and their mean",
                algorithm(&self.algo),
                environment(&self.env),
                seed_words(&self.seeds)
            ),
            size: (820, 560),
            panels: vec![Panel {
                title: String::new(),
                x: Axis::log("elite fraction"),
                y: Axis::linear("environment steps").between(0.0, 1.12 * budget),
                series,
                notes: Vec::new(),
            }],
        })
    }
}
