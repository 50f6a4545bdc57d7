//! Learning curves on MuJoCo tasks with the published ones: MoPAC's, M-DeMoRL's and MAAC's Figure 2.

mod clock;
mod config;
mod reference;

use std::path::Path;

use hstep::Result;
use hstep::stats::mean;
use serde::{Deserialize, Serialize};

pub use self::config::Config;
use super::Effort;
use super::compare::{Comparison, Contender, Markdown, Plan, Results, Run, curves};
use crate::plot::Figure;
use clock::Clock;
pub use reference::published;

const RETURN: &str = "eval_return";

/// A figure of this kind.
macro_rules! figure {
    ($kind:ident, $name:literal, $learned:expr, $others:expr) => {
        #[doc = concat!("`hstep reproduce ", $name, "`.")]
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $kind(Config);

        impl Comparison for $kind {
            const NAME: &'static str = $name;

            fn file(&self) -> String {
                self.0.file.clone().unwrap_or_else(|| Self::NAME.to_owned())
            }

            fn with_effort(effort: Effort) -> Self {
                Self(Config::at(effort, $learned, $others))
            }

            fn with_reference(self, folder: Option<&Path>) -> Self {
                Self(Config { reference: folder.map(Path::to_path_buf), ..self.0 })
            }

            fn validate(&self) -> Result<()> {
                self.0.check()
            }

            fn plan(&self) -> Plan {
                self.0.make_plan()
            }

            fn figures(&self, results: &Results) -> Result<Vec<Figure>> {
                self.0.figures(&self.file(), results)
            }

            fn tables(&self, results: &Results) -> Result<String> {
                self.0.tables(results)
            }
        }
    };
}

figure!(Mopac, "mopac-fig2", &["mopac", "mbpo"], &["sac"]);
figure!(Demorl, "demorl-fig2", &["demorl", "mopac", "mbpo"], &[]);
figure!(Maac, "maac-fig2", &["maac", "mbpo"], &["sac"]);

impl Config {
    fn figures(&self, name: &str, results: &Results) -> Result<Vec<Figure>> {
        let all: Vec<Contender> = self.envs.iter().flat_map(|env| self.on(env)).collect();
        let mut figures = curves(name, results, &all, RETURN, self.reference.as_deref())?;
        let updates = self.updates(results)?;
        for figure in &mut figures {
            figure.caption = format!("{}; updates a step: {updates}", figure.caption);
            if let Some(title) = &self.title {
                figure.title = format!("{title}: {}", figure.title);
            }
        }
        Ok(figures)
    }

    /// Updates-to-data of every algorithm, which the curves depend on: `MAAC 8, MBPO 20 to 40`.
    fn updates(&self, results: &Results) -> Result<String> {
        let mut words = Vec::new();
        let labels = self.envs.first().map_or_else(Vec::new, |env| self.on(env));
        for label in labels.into_iter().map(|contender| contender.label) {
            let of = |run: &&Run| run.contender.label == label;
            let mut all: Vec<String> = results
                .0
                .iter()
                .filter(of)
                .map(|run| updates(&run.folder))
                .collect::<Result<_>>()?;
            all.sort_by_key(|n| (n.len(), n.clone()));
            all.dedup();
            let range = match &all[..] {
                [] => continue,
                [one] => one.clone(),
                [first, .., last] => format!("{first} to {last}"),
            };
            words.push(format!("{label} {range}"));
        }
        Ok(words.join(", "))
    }

    fn tables(&self, results: &Results) -> Result<String> {
        let mut out = Markdown::default();
        out.text(&format!(
            "Mean of the last {} evaluations ({} episodes each) before a step, at the end with the lowest \
             of them, and the best such mean; hours of wall-clock, and what they went to.",
            self.window, self.episodes
        ));
        let marks = [25_000.0, 50_000.0, 75_000.0];
        let longest = self.envs.iter().flat_map(|env| self.on(env)).map(|c| c.steps).max();
        let marks: Vec<f64> =
            marks.into_iter().filter(|mark| *mark <= longest.unwrap_or(0) as f64).collect();
        let mut head: Vec<String> =
            ["task", "algorithm", "seed", "updates a step", "steps"].map(String::from).into();
        head.extend(marks.iter().map(|mark| format!("before {mark}")));
        head.extend(["at the end", "lowest of them", "best", "hours", "profile"].map(String::from));
        out.head(&head);
        for env in &self.envs {
            for contender in self.on(env) {
                self.rows(&mut out, results, &contender, &marks)?;
            }
        }
        Ok(out.finish())
    }

    fn rows(
        &self,
        out: &mut Markdown,
        results: &Results,
        contender: &Contender,
        marks: &[f64],
    ) -> Result<()> {
        for run in results.of(contender) {
            let curve = run.curve(RETURN)?;
            let mut cells = vec![
                contender.env.clone(),
                contender.label.clone(),
                run.seed.to_string(),
                updates(&run.folder)?,
                contender.steps.to_string(),
            ];
            let last = |mark: f64| {
                let returns: Vec<f64> = curve.iter().filter(|p| p.0 <= mark).map(|p| p.1).collect();
                (mark <= contender.steps as f64 && returns.len() >= self.window)
                    .then(|| returns[returns.len() - self.window..].to_vec())
            };
            let end = last(contender.steps as f64);
            let word = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.0}"));
            cells.extend(marks.iter().map(|&mark| word(last(mark).as_deref().map(mean))));
            cells.push(word(end.as_deref().map(mean)));
            cells.push(word(end.and_then(|returns| returns.into_iter().reduce(f64::min))));
            let windows = curve.windows(self.window);
            let means = windows.map(|w| w.iter().map(|p| p.1).sum::<f64>() / w.len() as f64);
            cells.push(word(means.reduce(f64::max)));
            match Clock::read(&run.folder)? {
                Some(clock) => {
                    cells.push(format!("{:.2}", clock.total / 3600.0));
                    cells.push(clock.profile());
                }
                None => cells.extend(["-".into(), "-".into()]),
            }
            out.row(&cells);
        }
        Ok(())
    }
}

/// Updates-to-data of a run, from its settings.
fn updates(folder: &Path) -> Result<String> {
    let settings = hstep::config::read(folder.join("config.toml"))?;
    let updates = settings.get("loop").and_then(|t| t.get("updates_per_step"));
    Ok(updates.map_or("-".into(), ToString::to_string))
}
