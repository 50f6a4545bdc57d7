//! POLO, Lemma 2 on the pendulum: what planning H steps to a wrong value loses, beside the bound as it is
//! printed and as it holds for planning at every step.

mod config;
mod grid;

use hstep::rng::Rng;
use hstep::stats::mean;
use toml::Table;

use self::config::Config;
use self::grid::{Grid, farthest};
use super::compare::{Markdown, seed_words};
use super::shared::{finish, layered, never_redrawn, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::{Axis, Figure, Panel, Series};

const NAME: &str = "polo-lemma2";

/// One resolution.
struct Measured {
    points: usize,
    /// Largest error of the value.
    epsilon: f64,
    /// The largest loss over states by seed and horizon.
    losses: Vec<Vec<f64>>,
}

impl Measured {
    /// What the seeds lose at the `i`th horizon.
    fn at(&self, i: usize) -> Vec<f64> {
        self.losses.iter().map(|of_seed| of_seed[i]).collect()
    }

    /// `2 g^H eps / (1 - g)`, for planning anew at every step.
    fn corrected(&self, config: &Config, horizon: usize) -> f64 {
        2.0 * config.gamma.powi(horizon as i32) * self.epsilon / (1.0 - config.gamma)
    }

    /// `2 g^H eps / (1 - g^H)`.
    fn printed(&self, config: &Config, horizon: usize) -> f64 {
        let far = config.gamma.powi(horizon as i32);
        2.0 * far * self.epsilon / (1.0 - far)
    }
}

/// Computes, draws and tabulates.
pub fn run(overrides: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let mut usual = Config::default();
    if effort == Effort::Quick {
        usual.points = vec![21, 41];
        usual.seeds = vec![0];
    }
    let config: Config = layered(&usual, overrides)?;
    config.check()?;
    never_redrawn(NAME, "seconds", job)?;
    let mut all = Vec::new();
    for &points in &config.points {
        all.push(measure(&config, points));
        job.step(&format!("{points} points"))?;
    }
    let provenance = provenance(NAME, (&config, overrides), config.seeds.clone(), effort, job)?;
    let files = figure(&config, &all).save(job.folder, &provenance)?;
    finish(files, NAME, &tabulate(&config, &all), job)
}

fn measure(config: &Config, points: usize) -> Measured {
    let grid = Grid::new(points, config.gamma);
    let best = grid.optimal();
    let most = best.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = best.iter().copied().fold(f64::INFINITY, f64::min);
    let epsilon = config.error * (most - least);
    let losses = config.seeds.iter().map(|seed| {
        // Every state is off by the most, up or down: what a bound has to reckon with.
        let mut rng = Rng::new(*seed).fork("errors");
        let mut off = || if rng.uniform() < 0.5 { epsilon } else { -epsilon };
        let wrong: Vec<f64> = best.iter().map(|v| v + off()).collect();
        let loss = |horizon: &usize| farthest(&grid.planned(&wrong, *horizon), &best);
        config.horizons.iter().map(loss).collect()
    });
    Measured { points, epsilon, losses: losses.collect() }
}

/// The smallest number on a logarithmic axis.
const FLOOR: f64 = 1e-3;

fn figure(config: &Config, all: &[Measured]) -> Figure {
    let panels = all.iter().map(|own| {
        let line = |number: &dyn Fn(usize, usize) -> f64| -> Vec<(f64, f64)> {
            let each = config.horizons.iter().enumerate();
            each.map(|(i, &h)| (h as f64, number(i, h).max(FLOOR))).collect()
        };
        let extreme = |i: usize, pick: fn(f64, f64) -> f64, from: f64| {
            own.at(i).into_iter().fold(from, pick).max(FLOOR)
        };
        let band = (0..config.horizons.len())
            .map(|i| (extreme(i, f64::min, f64::INFINITY), extreme(i, f64::max, 0.0)))
            .collect();
        Panel {
            title: format!("{0} x {0} points, eps = {1:.1}", own.points, own.epsilon),
            x: Axis::log("horizon H"),
            y: Axis::log("return"),
            series: vec![
                Series::line("loss", 0, line(&|i, _| mean(&own.at(i)))).with_band(band),
                Series::line("2 g^H eps / (1 - g)", 1, line(&|_, h| own.corrected(config, h))),
                Series::line(
                    "as printed: 2 g^H eps / (1 - g^H)",
                    2,
                    line(&|_, h| own.printed(config, h)),
                ),
            ],
            notes: Vec::new(),
        }
    });
    Figure {
        name: NAME.into(),
        title: "POLO, Lemma 2 on the pendulum: planning H steps to a wrong value".into(),
        caption: format!(
            "Largest loss over states, mean of {}, band from the lowest to the highest; values below {FLOOR} \
             are drawn there",
            seed_words(&config.seeds)
        ),
        size: (1200, 520),
        panels: panels.collect(),
    }
}

fn tabulate(config: &Config, all: &[Measured]) -> String {
    let mut out = Markdown::default();
    out.text(&format!(
        "The pendulum on a grid with five torques, gamma = {}; the value is off by eps at every state, up or \
         down by chance ({} of the span of V*). Largest loss over states of planning H steps anew at every \
         step, mean and highest of {}.",
        config.gamma,
        config.error,
        seed_words(&config.seeds)
    ));
    for own in all {
        out.text(&format!("{0} x {0} points, eps = {1:.2}:", own.points, own.epsilon));
        out.head(&["H", "loss, mean", "loss, highest", "2 g^H eps/(1-g)", "as printed"]);
        for (i, &h) in config.horizons.iter().enumerate() {
            let losses = own.at(i);
            let highest = losses.iter().copied().fold(0.0, f64::max);
            let bounds = [own.corrected(config, h), own.printed(config, h)];
            let mut cells = vec![h.to_string()];
            let numbers = [mean(&losses), highest].into_iter().chain(bounds);
            cells.extend(numbers.map(|x| format!("{x:.3}")));
            out.row(&cells);
        }
    }
    let pairs = all.iter().flat_map(|own| {
        let each = config.horizons.iter().enumerate();
        each.flat_map(move |(i, &h)| {
            own.at(i)
                .into_iter()
                .map(move |loss| (loss > own.corrected(config, h), loss > own.printed(config, h)))
        })
    });
    let (mut cases, mut corrected, mut printed) = (0, 0, 0);
    for (over, over_printed) in pairs {
        cases += 1;
        corrected += usize::from(over);
        printed += usize::from(over_printed);
    }
    out.text(&format!(
        "The corrected bound was exceeded in {corrected} of {cases} cases, the printed one in {printed}."
    ));
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corrected_bound_holds_and_longer_plans_lose_less() {
        let config = Config { points: vec![15], horizons: vec![1, 4, 30], ..Config::default() };
        let own = measure(&config, 15);
        for (i, &h) in config.horizons.iter().enumerate() {
            assert!(own.at(i).iter().all(|loss| *loss <= own.corrected(&config, h)));
        }
        assert!(mean(&own.at(0)) > 1.0 && mean(&own.at(2)) < 0.5 * mean(&own.at(0)));
    }
}
