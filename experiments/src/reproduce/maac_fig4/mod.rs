//! MAAC (Clavera, Fu, Abbeel 2020), Figure 4: what the parts of the algorithm are worth.
//!
//! Without the model in the policy's gradient (H = 0), without STEVE's targets, with one sample of
//! the pathwise derivative. A second figure has longer horizons, which the paper's abstract says
//! the method scales to. The paper's claim is that H = 0 costs most, "a severe drop".

mod config;

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::{bootstrap_difference, mean, mean_height};

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Answer, Comparison, Contender, LEVEL, Markdown, Plan, ROUNDS, Results, curves, environment,
    interval, last_mean, random_return, ratio, seed_table,
};
use crate::plot::Figure;

const COLUMN: &str = "eval_return";

impl Comparison for Config {
    const NAME: &'static str = "maac-fig4";

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
        let each = |of: &dyn Fn(&str) -> Vec<Contender>| -> Vec<Contender> {
            self.envs.iter().flat_map(|env| of(env)).collect()
        };
        let ablation = each(&|env| self.ablation(env));
        let mut figures = curves(Self::NAME, results, &ablation, COLUMN, None)?;
        if !self.horizons.is_empty() {
            let name = format!("{}-horizons", Self::NAME);
            figures.extend(curves(&name, results, &each(&|env| self.sweep(env)), COLUMN, None)?);
        }
        Ok(figures)
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        for env in &self.envs {
            self.of_one(&mut out, env, results)?;
        }
        Ok(out.finish())
    }
}

impl Config {
    /// The tables of one environment: final returns, means over the run, and what is left of the
    /// full algorithm's rise.
    fn of_one(&self, out: &mut Markdown, env: &str, results: &Results) -> Result<()> {
        let (mut all, full) = (self.ablation(env), format!("H = {}", self.horizon));
        // The full algorithm's own horizon is its own runs.
        all.extend(self.sweep(env).into_iter().filter(|c| c.label != full));
        let (random, name) = (random_return(env)?, environment(env));
        let steps = all[0].steps;
        out.text(&format!(
            "{name}, {steps} steps: final return, the mean of the last {} evaluations.",
            self.last
        ));
        let finals = results.rows(&all, COLUMN, |c| Ok(last_mean(c, self.last)))?;
        seed_table(out, &self.seeds, &finals, self.bootstrap_seed)?;
        out.text(&format!(
            "{name}: mean return over the run (area under the curve by its length)."
        ));
        let means = results.rows(&all, COLUMN, mean_height)?;
        seed_table(out, &self.seeds, &means, self.bootstrap_seed)?;
        let mut answers = Vec::new();
        for (measure, rows) in [("final return", &finals), ("mean over the run", &means)] {
            let full = &rows[0].1;
            for (label, values) in &rows[1..] {
                answers.push(self.against(full, values, random, [measure, label])?);
            }
        }
        out.text(&format!(
            "{name}: against the full {}. What is left is the share of its rise above random \
             actions (return {random:.1}); a drop is severe when that is below {}. Yes or no where \
             the whole 95 % bootstrap interval over seeds says so.",
            all[0].label, self.severe
        ));
        out.head(&[
            "",
            "measure",
            "difference",
            "interval",
            "drop",
            "left",
            "interval",
            "severe drop",
        ]);
        answers.iter().for_each(|row| out.row(row));
        Ok(())
    }

    /// A row of answers: a contender's numbers against the full algorithm's.
    fn against(
        &self,
        full: &[f64],
        values: &[f64],
        random: f64,
        [measure, label]: [&str; 2],
    ) -> Result<Vec<String>> {
        let mut rng = Rng::new(self.bootstrap_seed);
        let d = bootstrap_difference(values, full, LEVEL, ROUNDS, &mut rng)?;
        let rise = |x: &[f64]| x.iter().map(|v| v - random).collect::<Vec<f64>>();
        let left = ratio(&rise(values), &rise(full), self.bootstrap_seed);
        let mut row = vec![label.to_owned(), measure.to_owned()];
        row.extend([format!("{:.1}", mean(values) - mean(full)), interval(&d, 1)]);
        row.push(Answer::below(Some(&d), 0.0).to_string());
        row.extend(match &left {
            Some(i) => [format!("{:.2}", i.estimate), interval(i, 2)],
            None => ["-".to_owned(), "-".to_owned()],
        });
        row.push(Answer::below(left.as_ref(), self.severe).to_string());
        Ok(row)
    }
}
