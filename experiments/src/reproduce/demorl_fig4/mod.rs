//! M-DeMoRL (Mishra et al. 2021, "Dynamic Mirror Descent based Model Predictive Control for
//! Accelerating Robot Learning"), Figure 4 left: learning on the two-link leg.
//!
//! The paper's claim is twice SAC's reward at the end. A ratio of returns depends on where zero
//! lies, so it is given twice: of the returns as they are, and above those of random actions.

mod config;

use hstep::Result;
use hstep::stats::mean_height;

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Answer, Comparison, Markdown, Plan, Results, algorithm, curves, environment, interval,
    last_mean, random_return, ratio, seed_table,
};
use crate::plot::Figure;

const COLUMN: &str = "eval_return";

impl Comparison for Config {
    const NAME: &'static str = "demorl-fig4";

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
        curves(Self::NAME, results, &self.contenders(), COLUMN, None)
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        let (env, contenders) = (environment(&self.env), self.contenders());
        let (steps, last) = (contenders[0].steps, self.last);
        out.text(&format!(
            "{env}, {steps} steps: final return, the mean of the last {last} evaluations."
        ));
        let finals = results.rows(&contenders, COLUMN, |c| Ok(last_mean(c, last)))?;
        seed_table(&mut out, &self.seeds, &finals, self.bootstrap_seed)?;
        out.text(&format!("{env}: mean return over the run (area under the curve by its length)."));
        let means = results.rows(&contenders, COLUMN, mean_height)?;
        seed_table(&mut out, &self.seeds, &means, self.bootstrap_seed)?;
        self.claim(&mut out, &finals)?;
        Ok(out.finish())
    }
}

impl Config {
    /// Is the final return of the one at least `times` that of the other?
    fn claim(&self, out: &mut Markdown, finals: &[(String, Vec<f64>)]) -> Result<()> {
        let of = |algo: &str| {
            let label = algorithm(algo);
            let found = finals.iter().find(|(known, _)| *known == label);
            found.map_or(&[][..], |(_, values)| values.as_slice())
        };
        let random = random_return(&self.env)?;
        let (left, right) = (algorithm(&self.of), algorithm(&self.against));
        out.text(&format!(
            "Does {left} end with {} times the return of {right}? Ratios of mean final returns with \
             95 % bootstrap intervals over seeds; yes or no where the whole interval says so; no \
             ratio where {right} is not above zero on every seed.",
            self.times
        ));
        out.head(&["return", "ratio", "interval", &format!("at least {}", self.times)]);
        for (name, zero) in [
            ("as it is".to_owned(), 0.0),
            (format!("above that of random actions ({random:.1})"), random),
        ] {
            let above = |x: &[f64]| x.iter().map(|v| v - zero).collect::<Vec<f64>>();
            let (one, other) = (above(of(&self.of)), above(of(&self.against)));
            let found = ratio(&one, &other, self.bootstrap_seed);
            let [number, ends] = match &found {
                Some(i) => [format!("{:.2}", i.estimate), interval(i, 2)],
                None => ["-".to_owned(), "-".to_owned()],
            };
            let answer = Answer::at_least(found.as_ref(), self.times).to_string();
            out.row(&[name, number, ends, answer]);
        }
        Ok(())
    }
}
