//! SAC, MBPO and MAAC on the native environments: learning curves, steps to a level, areas.

mod config;

use hstep::Result;
use hstep::config::check;
use hstep::rng::Rng;
use hstep::stats::{bootstrap_difference, mean, mean_height};

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Comparison, Contender, LEVEL, Markdown, Plan, ROUNDS, Results, curves, held, held_table,
    interval, seed_names,
};
use crate::plot::Figure;

const PENDULUM: &str = "pendulum";
const CARTPOLE: &str = "cartpole-swingup";

impl Config {
    fn on_pendulum(&self) -> Vec<Contender> {
        vec![
            Contender::new("sac", PENDULUM, self.pendulum_sac_steps),
            Contender::new("mbpo", PENDULUM, self.pendulum_steps),
            Contender::new("maac", PENDULUM, self.pendulum_steps),
        ]
    }

    fn on_cartpole(&self) -> Vec<Contender> {
        let on = |algo| Contender::new(algo, CARTPOLE, self.cartpole_steps);
        let matched = format!("loop.updates_per_step={}", self.matched_updates);
        let sac = on("sac");
        let matched = sac.with("SAC, updates matched", &[matched]);
        vec![sac, on("mbpo"), on("maac"), matched]
    }
}

impl Comparison for Config {
    const NAME: &'static str = "native-learning";

    fn with_effort(effort: Effort) -> Self {
        match effort {
            Effort::Quick => Self {
                seeds: vec![0],
                pendulum_steps: 1_000,
                pendulum_sac_steps: 1_000,
                cartpole_steps: 1_000,
                ..Self::default()
            },
            Effort::Usual | Effort::Full => Self::default(),
        }
    }

    fn validate(&self) -> Result<()> {
        check::at_least("episodes", self.episodes, 1)?;
        // The areas need two evaluations.
        check::at_least("cartpole_steps", self.cartpole_steps as usize, 500)?;
        check::at_least("pendulum_steps", self.pendulum_steps as usize, 500)
    }

    fn plan(&self) -> Plan {
        Plan {
            figure: Self::NAME,
            contenders: [self.on_pendulum(), self.on_cartpole()].concat(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: vec![format!("run.eval.episodes={}", self.episodes)],
        }
    }

    fn figures(&self, results: &Results) -> Result<Vec<Figure>> {
        let all = [self.on_pendulum(), self.on_cartpole()].concat();
        curves(Self::NAME, results, &all, "eval_return", None)
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        let (level, episodes) = (self.level, self.episodes);
        out.text(&format!(
            "Pendulum: environment steps until the second evaluation in a row of {level} or better \
             (mean of {episodes} fixed start states); - where it never was."
        ));
        let when = ("held", |points: &[(f64, f64)]| held(points, level));
        held_table(&mut out, &self.seeds, results, &self.on_pendulum(), "eval_return", when)?;
        let areas = self.areas(&mut out, results)?;
        out.text("Differences of those means, with 95 % bootstrap intervals over seeds.");
        out.head(&["", "difference", "interval"]);
        let (base, learned): (Vec<_>, Vec<_>) =
            areas.iter().partition(|(label, _)| label.starts_with("SAC"));
        for (label, area) in &learned {
            for (other, against) in &base {
                let mut rng = Rng::new(self.bootstrap_seed);
                let d = bootstrap_difference(area, against, LEVEL, ROUNDS, &mut rng)?;
                let (name, estimate) = (format!("{label} minus {other}"), d.estimate);
                out.row(&[name, format!("{estimate:.1}"), interval(&d, 1)]);
            }
        }
        Ok(out.finish())
    }
}

impl Config {
    /// Writes the mean heights of the curves on the cart-pole, and hands them back.
    fn areas(&self, out: &mut Markdown, results: &Results) -> Result<Vec<(String, Vec<f64>)>> {
        let steps = self.cartpole_steps;
        out.text(&format!("Cart-pole swing-up: mean return over the first {steps} steps."));
        let mut head = vec![String::new()];
        head.extend(seed_names(&self.seeds));
        head.extend(["mean".to_owned(), "last return, mean".to_owned()]);
        out.head(&head);
        let mut areas = Vec::new();
        for contender in self.on_cartpole() {
            let area = results.each(&contender, "eval_return", mean_height)?;
            let last = results.each(&contender, "eval_return", |c| Ok(c[c.len() - 1].1))?;
            let mut cells = vec![contender.label.clone()];
            cells
                .extend(area.iter().chain([&mean(&area), &mean(&last)]).map(|a| format!("{a:.1}")));
            out.row(&cells);
            areas.push((contender.label, area));
        }
        Ok(areas)
    }
}
