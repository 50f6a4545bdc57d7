//! Learning curves on MuJoCo tasks with the published ones: MoPAC's, M-DeMoRL's and MAAC's Figure 2.

mod clock;
mod config;
mod reference;

use std::collections::BTreeSet;
use std::path::Path;

use hstep::Result;
use hstep::stats::mean;
use serde::{Deserialize, Serialize};

pub use self::config::Config;
use super::Effort;
use super::compare::{
    Band, Comparison, Contender, Markdown, Plan, Results, Run, caption, environment, panel,
};
use crate::plot::{Figure, Panel};
use clock::Clock;
use reference::Published;
pub use reference::published;

const RETURN: &str = "eval_return";

/// Algorithms by their style, the same in every figure; the published curves have the next two.
const STYLED: [&str; 5] = ["maac", "mbpo", "sac", "mopac", "demorl"];

/// A figure of this kind.
macro_rules! figure {
    ($kind:ident, $name:literal, $title:literal, $learned:expr, $others:expr) => {
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
                self.0.figures(self.file(), $title, results)
            }

            fn tables(&self, results: &Results) -> Result<String> {
                self.0.tables(results)
            }
        }
    };
}

figure!(Mopac, "mopac-fig2", "MoPAC, Figure 2", &["mopac", "mbpo"], &["sac"]);
figure!(Demorl, "demorl-fig2", "M-DeMoRL, Figure 2", &["demorl", "mopac", "mbpo"], &[]);
figure!(Maac, "maac-fig2", "MAAC, Figure 2", &["maac", "mbpo"], &["sac"]);

impl Config {
    fn figures(&self, name: String, title: &str, results: &Results) -> Result<Vec<Figure>> {
        let (mut panels, mut named) = (Vec::new(), BTreeSet::new());
        for env in &self.envs {
            let mut panel = self.panel(env, results)?;
            let published = self.published(env)?;
            panel.series.extend(published.series);
            named.extend(published.sources);
            panels.push(panel);
        }
        let mut sources = Vec::from_iter(named).join(", ");
        if !sources.is_empty() {
            sources = format!("; published: {sources}");
        }
        let rows = panels.len().div_ceil(2) as u32;
        let columns = panels.len().min(2) as u32;
        Ok(vec![Figure {
            name,
            title: self.title.as_deref().unwrap_or(title).into(),
            caption: format!(
                "{}; updates a step: {}{sources}",
                caption(&self.seeds, Band::Extremes),
                self.updates(results)?
            ),
            size: (if columns == 1 { 900 } else { 1200 }, 60 + 440 * rows),
            panels,
        }])
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

    fn panel(&self, env: &str, results: &Results) -> Result<Panel> {
        let contenders = self.on(env);
        let place = environment(env);
        let mut panel =
            panel(place, "evaluation return", results, &contenders, RETURN, Band::Extremes)?;
        let algos: Vec<&str> = contenders.iter().map(|c| c.algo.as_str()).collect();
        for (series, style) in panel.series.iter_mut().zip(styles(&algos)) {
            series.style = style;
        }
        Ok(panel)
    }

    /// Published curves on a task, up to the longest of ours.
    fn published(&self, env: &str) -> Result<Published> {
        let Some(folder) = &self.reference else { return Ok(Published::default()) };
        let contenders = self.on(env);
        let steps = contenders.iter().map(|c| c.steps).max().unwrap_or(0);
        published(folder, env, steps as f64, STYLED.len())
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

/// The style of each line: an algorithm's own for its first, for the others one that nobody else has, as
/// far as there are seven.
fn styles(algos: &[&str]) -> Vec<usize> {
    let own = |algo: &str| {
        let base = algo.split('-').next();
        STYLED.iter().position(|name| Some(*name) == base)
    };
    let owned: BTreeSet<usize> = algos.iter().filter_map(|algo| own(algo)).collect();
    let published = STYLED.len()..STYLED.len() + 2;
    let mut free = (0..).filter(|style| !owned.contains(style) && !published.contains(style));
    let mut taken = BTreeSet::new();
    let style = |algo: &&str| match own(algo) {
        Some(own) if taken.insert(own) => Some(own),
        _ => free.next(),
    };
    algos.iter().filter_map(style).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_one_style_in_every_figure() {
        assert_eq!(styles(&["mbpo-2core", "sac"]), [1, 2]);
        assert_eq!(styles(&["maac-2core", "maac-2core", "mbpo-2core", "maac-code"]), [0, 2, 1, 3]);
        // Beyond the seven there are they come again.
        let all = ["demorl", "mopac", "sac", "mbpo", "maac", "steve", "pets"];
        assert_eq!(styles(&all), [4, 3, 2, 1, 0, 7, 8]);
    }
}
