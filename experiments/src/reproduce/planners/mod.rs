//! Algorithms that plan with the model, on the pendulum: MoPAC and M-DeMoRL, whose planner fills
//! the policy's data, by their evaluations; PETS, which has no policy, by its training episodes.

mod config;

use hstep::Result;

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Comparison, Contender, Markdown, Plan, Results, curves, held, held_table, reached,
};
use crate::plot::Figure;

const EVALUATION: &str = "eval_return";
const TRAINING: &str = "train_return";

impl Comparison for Config {
    const NAME: &'static str = "planners-learning";

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
        let learners = curves(Self::NAME, results, &self.learners(), EVALUATION, None)?;
        let name = format!("{}-training", Self::NAME);
        let planners = curves(&name, results, &self.planners(), TRAINING, None)?;
        Ok([learners, planners].concat())
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        let (level, episodes, window) = (self.level, self.episodes, self.window);
        out.text(&format!(
            "Pendulum: environment steps until the second evaluation in a row of {level} or better \
             (mean of {episodes} fixed start states); - where it never was."
        ));
        let seeds = &self.seeds;
        let when = ("held", |points: &[(f64, f64)]| held(points, level));
        held_table(&mut out, seeds, results, &self.learners(), EVALUATION, when)?;
        out.text(&format!(
            "Pendulum: environment steps until the mean of the last {window} training episodes was \
             {level} or better; - where it never was."
        ));
        let when = ("reached", |points: &[(f64, f64)]| reached(points, level, window));
        held_table(&mut out, seeds, results, &self.planners(), TRAINING, when)?;
        out.text(&format!("On {} of {} seeds or more?", self.enough, seeds.len()));
        out.head(&["", "seeds", "enough"]);
        self.answers(&mut out, results, &self.learners(), EVALUATION, |c| held(c, level))?;
        self.answers(&mut out, results, &self.planners(), TRAINING, |c| reached(c, level, window))?;
        Ok(out.finish())
    }
}

impl Config {
    fn answers(
        &self,
        out: &mut Markdown,
        results: &Results,
        contenders: &[Contender],
        column: &str,
        when: impl Fn(&[(f64, f64)]) -> Option<f64>,
    ) -> Result<()> {
        for contender in contenders {
            let curves = results.curves(contender, column)?;
            let count = curves.iter().filter(|c| when(c).is_some()).count();
            let answer = if count >= self.enough { "yes" } else { "no" };
            out.row(&[&contender.label, &count.to_string(), answer]);
        }
        Ok(())
    }
}
