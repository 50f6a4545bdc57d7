//! MAAC (Clavera, Fu, Abbeel 2020), Lemma 4.1 on real gradients: `grad J_H` by reverse-mode
//! differentiation through erroneous models, the printed bound and the corrected one.
//!
//! Every constant is computed: errors and sizes of derivatives along the two trajectories, Lipschitz
//! constants of the system in closed form, of the policy by the norms of its weights over a box that
//! no state leaves.

mod config;
mod models;
mod policy;
mod system;
mod trace;

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::mean;
use toml::Table;

use self::config::Config;
use self::models::{Critic, Kind, Model};
use self::policy::Tanh;
use self::system::System;
use self::trace::{Case, Point};
use super::compare::{Markdown, seed_words};
use super::shared::{finish, layered, never_redrawn, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::{Axis, Figure, Panel, Series};

const NAME: &str = "maac-lemma-4.1";

/// What is checked, a panel each.
const CASES: [(System, Kind); 5] = [
    (System::DoubleIntegrator, Kind::Perturbed),
    (System::Pendulum, Kind::Perturbed),
    (System::DoubleIntegrator, Kind::Trained),
    (System::Pendulum, Kind::Trained),
    (System::DoubleIntegrator, Kind::Biased),
];

/// All points of a case, over seeds and start states.
struct Checked {
    title: String,
    points: Vec<Point>,
}

/// Computes, draws and tabulates.
pub fn run(overrides: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let usual = match effort {
        Effort::Quick => Config {
            seeds: vec![0],
            starts: 2,
            horizon: 6,
            rows: 1_000,
            critic_steps: 300,
            ..Config::default()
        },
        Effort::Usual | Effort::Full => Config::default(),
    };
    let config: Config = layered(&usual, overrides)?;
    config.check()?;
    never_redrawn(NAME, "minutes", job)?;
    let mut checked = Vec::new();
    for (system, kind) in CASES {
        checked.push(check(system, kind, &config)?);
        job.step(&format!("{} {}", system.name(), kind.name()))?;
    }
    let seeds = config.seeds.clone();
    let provenance = provenance(NAME, (&config, overrides), seeds, effort, job)?;
    let files = figure(&config, &checked).save(job.folder, &provenance)?;
    finish(files, NAME, &tabulate(&config, &checked), job)
}

fn check(system: System, kind: Kind, config: &Config) -> Result<Checked> {
    let mut points = Vec::new();
    for &seed in &config.seeds {
        let root = Rng::new(seed);
        let half = config.half_width;
        let policy = Tanh::fitted(system, config.units, 0.6 * half, &mut root.fork("policy"))?;
        let model = Model::new(kind, system, config, &mut root.fork("model"))?;
        let critic = Critic::new(kind, system, &policy, config, &mut root.fork("critic"))?;
        let case = Case { system, kind, policy: &policy, model: &model, critic: &critic, config };
        let mut rng = root.fork("starts");
        for _ in 0..config.starts {
            let s0 = [(); 2].map(|()| config.start * (2.0 * rng.uniform() - 1.0));
            points.extend(case.points(&s0)?);
        }
    }
    Ok(Checked { title: format!("{}, {} model", system.name(), kind.name()), points })
}

impl Checked {
    fn at(&self, horizon: usize) -> Vec<&Point> {
        self.points.iter().filter(|p| p.horizon == horizon).collect()
    }

    /// Mean over starts and seeds, and the extremes.
    fn line(&self, horizons: usize, of: impl Fn(&Point) -> f64) -> Band {
        let (mut line, mut band) = (Vec::new(), Vec::new());
        for h in 0..=horizons {
            let all: Vec<f64> = self.at(h).into_iter().map(&of).collect();
            // A logarithmic axis has no zero.
            if all.iter().any(|y| *y <= 0.0) {
                continue;
            }
            line.push((h as f64, mean(&all)));
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            band.push((low, all.iter().copied().fold(0.0, f64::max)));
        }
        (line, band)
    }
}

/// Points and the edges of their band.
type Band = (Vec<(f64, f64)>, Vec<(f64, f64)>);

fn figure(config: &Config, checked: &[Checked]) -> Figure {
    let panel = |case: &Checked| {
        let series = |label: &str, style: usize, of: fn(&Point) -> f64| {
            let (line, band) = case.line(config.horizon, of);
            Series::line(label, style, line).with_band(band)
        };
        let all = vec![
            series("error of the gradient", 0, |p| p.error),
            series("corrected bound", 2, |p| p.corrected),
            series("printed bound", 1, |p| p.printed),
        ];
        Panel {
            title: case.title.clone(),
            x: Axis::linear("horizon H"),
            y: Axis::log("norm"),
            series: all.into_iter().filter(|s| !s.points.is_empty()).collect(),
            notes: Vec::new(),
        }
    };
    // By how many powers of ten a bound is above the error, at most.
    let above = |of: fn(&Point) -> f64| {
        let end = |case: &Checked, of: fn(&Point) -> f64| {
            mean(&case.at(config.horizon).into_iter().map(of).collect::<Vec<_>>())
        };
        let ratios = checked.iter().map(|case| end(case, of) / end(case, |p| p.error));
        ratios.fold(0.0, f64::max).log10().floor()
    };
    Figure {
        name: NAME.into(),
        title: format!(
            "MAAC, Lemma 4.1 at H = {}: printed up to 1e{} times the error, corrected up to 1e{}",
            config.horizon,
            above(|p| p.printed),
            above(|p| p.corrected)
        ),
        caption: format!(
            "The error of the gradient of J_H and its bounds: means over {} and {} start states each, bands from the lowest to the highest; a bound \
             of 0 is not drawn",
            seed_words(&config.seeds),
            config.starts
        ),
        size: (1200, 1040),
        panels: checked.iter().map(panel).collect(),
    }
}

fn tabulate(config: &Config, checked: &[Checked]) -> String {
    let mut out = Markdown::default();
    out.text(&format!(
        "{} start states of {} with |s_i| <= {}; constants hold for |s_i| <= {}, where all states \
         stay. Largest ratios of the error to the bounds; how often the error is beyond the printed \
         one.",
        config.starts * config.seeds.len(),
        seed_words(&config.seeds),
        config.start,
        config.half_width
    ));
    out.head(&[
        "case",
        "H",
        "error / gradient, mean",
        "error / corrected, largest",
        "error / printed, largest",
        "printed exceeded",
    ]);
    let horizons: Vec<usize> =
        [0, 1, 2, 3, 5, 8, 12].into_iter().filter(|h| *h <= config.horizon).collect();
    for case in checked {
        for &h in &horizons {
            let points = case.at(h);
            let share: Vec<f64> = points.iter().map(|p| p.error / p.size.max(1e-300)).collect();
            let largest = |of: fn(&Point) -> f64| {
                points.iter().map(|p| ratio(p.error, of(p))).fold(0.0, f64::max)
            };
            let beyond = points.iter().filter(|p| p.error > p.printed * (1.0 + 1e-9)).count();
            out.row(&[
                case.title.clone(),
                h.to_string(),
                format!("{:.2e}", mean(&share)),
                format!("{:.3}", largest(|p| p.corrected)),
                format!("{:.3}", largest(|p| p.printed)),
                format!("{beyond} of {}", points.len()),
            ]);
        }
    }
    let worst = checked.iter().flat_map(|c| &c.points).map(|p| ratio(p.error, p.corrected));
    out.text(&format!(
        "Largest ratio of an error to the corrected bound, over everything: {:.4}.",
        worst.fold(0.0, f64::max)
    ));
    out.finish()
}

/// `a / b`; an error of rounding over a bound of zero is none.
fn ratio(a: f64, b: f64) -> f64 {
    if a < 1e-10 { 0.0 } else { a / b }
}
