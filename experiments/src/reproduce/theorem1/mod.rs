//! MoPAC, Theorem 1 along a training run: what planning `H` steps in the model of the moment loses,
//! beside the corrected bound, and which `H` either would choose.

mod config;
mod worlds;

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::mean;
use hstep_proofs::errors::span;
use hstep_proofs::mopac::Theorem1;
use hstep_proofs::problem::{Favour, Problem};
use hstep_proofs::reading::{Play, Reading};
use toml::Table;

use self::config::Config;
use self::worlds::{Learner, World};
use super::compare::{Markdown, seed_words};
use super::shared::{finish, layered, never_redrawn, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::{Axis, Figure, Panel, Series, grouped};

const NAME: &str = "mopac-theorem-1";
const WORLDS: [World; 2] = [World::Grid, World::Pendulum];

/// One seed after some steps.
struct Moment {
    world: World,
    steps: u64,
    eps_f: f64,
    eps_v: f64,
    /// Loss by horizon, replanning every step.
    gap: Vec<f64>,
    /// The corrected bound by horizon.
    bound: Vec<f64>,
    /// The corrected bound with the spans of this instance instead of the largest possible.
    instance: Vec<f64>,
    /// How far `J_H` of a plan in the model can be from the truth: what a bound of the value says of H.
    value_error: Vec<f64>,
}

/// Computes, draws and tabulates.
pub fn run(overrides: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let mut usual = Config::default();
    if effort == Effort::Quick {
        usual.seeds = vec![0];
        usual.steps = vec![1_000, 10_000];
        usual.horizons = vec![1, 5, 20];
    }
    let config: Config = layered(&usual, overrides)?;
    config.check()?;
    never_redrawn(NAME, "minutes", job)?;
    let mut moments = Vec::new();
    for world in WORLDS {
        for &seed in &config.seeds {
            moments.extend(one_run(world, seed, &config)?);
            job.step(&format!("{} seed {seed}", world.name()))?;
        }
    }
    let seeds = config.seeds.clone();
    let provenance = provenance(NAME, (&config, overrides), seeds, effort, job)?;
    let files = figure(&config, &moments).save(job.folder, &provenance)?;
    finish(files, NAME, &tabulate(&config, &moments), job)
}

fn one_run(world: World, seed: u64, config: &Config) -> Result<Vec<Moment>> {
    let mdp = world.mdp(config.gamma)?;
    let mut learner = Learner::new(&mdp, Rng::new(seed).fork(world.name()));
    let (mut done, mut moments) = (0, Vec::new());
    let (optimal, _) = mdp.optimal();
    for &steps in &config.steps {
        (done..steps).for_each(|_| learner.step(config));
        done = steps;
        let value = learner.value();
        let offset: Vec<f64> = value.iter().zip(&optimal).map(|(a, b)| a - b).collect();
        let problem = Problem::new(mdp.clone(), learner.model()?, offset)?;
        moments.push(measure(world, steps, &problem, &value, &optimal, config)?);
    }
    Ok(moments)
}

fn measure(
    world: World,
    steps: u64,
    problem: &Problem<f64>,
    value: &[f64],
    optimal: &[f64],
    config: &Config,
) -> Result<Moment> {
    let (reading, gamma) = (Reading::default(), config.gamma);
    let (mut gap, mut bound, mut instance, mut value_error) = (vec![], vec![], vec![], vec![]);
    let (mut planned, mut known) = (value.to_vec(), 0);
    for &horizon in &config.horizons {
        let theorem = Theorem1::of(problem, horizon, &reading);
        gap.push(problem.play(horizon, Play::Receding, Favour::Index)?.gap);
        bound.push(theorem.corrected());
        // The value of a plan with one step less, whose span the proof of the instance form has.
        for _ in known..horizon - 1 {
            planned = backed_up(problem, &planned);
        }
        known = horizon - 1;
        let (eps_f, eps_v) = (theorem.eps_f, theorem.eps_v);
        let far = 2.0 * gamma.powi(horizon as i32) * eps_v;
        instance.push((far + gamma * eps_f * (span(optimal) + span(&planned))) / (1.0 - gamma));
        let missed = |t: usize| 1.0 - (1.0 - eps_f).powi(t as i32);
        let rewards: f64 =
            (0..horizon).map(|t| gamma.powi(t as i32) * theorem.span * missed(t)).sum();
        let last = gamma.powi(horizon as i32) * (span(value) * missed(horizon) + eps_v);
        value_error.push(rewards + last);
    }
    let theorem = Theorem1::of(problem, 1, &reading);
    let (eps_f, eps_v) = (theorem.eps_f, theorem.eps_v);
    Ok(Moment { world, steps, eps_f, eps_v, gap, bound, instance, value_error })
}

/// `max_a r + g P^ V`.
fn backed_up(problem: &Problem<f64>, value: &[f64]) -> Vec<f64> {
    let (mdp, actions) = (&problem.mdp, problem.mdp.actions());
    let q = |s: usize, a: usize| mdp.backup(&problem.model, s, a, value);
    (0..mdp.states())
        .map(|s| (0..actions).map(|a| q(s, a)).fold(f64::NEG_INFINITY, f64::max))
        .collect()
}

/// The first of the smallest numbers, but for rounding.
fn smallest(x: &[f64]) -> usize {
    let least = x.iter().copied().fold(f64::INFINITY, f64::min);
    x.iter().position(|y| *y <= least + 1e-9 * least.abs().max(1.0)).unwrap_or(0)
}

fn of(moments: &[Moment], world: World, steps: u64) -> Vec<&Moment> {
    moments.iter().filter(|m| m.world == world && m.steps == steps).collect()
}

/// The mean over seeds, and the extremes.
fn averaged(moments: &[&Moment], number: impl Fn(&Moment) -> f64) -> (f64, (f64, f64)) {
    let all: Vec<f64> = moments.iter().map(|m| number(m)).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    (mean(&all), (low, all.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
}

/// The smallest number on a logarithmic axis.
const FLOOR: f64 = 1e-4;

fn figure(config: &Config, moments: &[Moment]) -> Figure {
    let mut panels = Vec::new();
    for world in WORLDS {
        let last = config.horizons.len() - 1;
        let along = |label: &str, style: usize, number: &dyn Fn(&Moment) -> f64| {
            let (mut line, mut band) = (Vec::new(), Vec::new());
            for &steps in &config.steps {
                let (y, (low, high)) = averaged(&of(moments, world, steps), number);
                line.push((steps as f64, y.max(FLOOR)));
                band.push((low.max(FLOOR), high.max(FLOOR)));
            }
            Series::line(label, style, line).with_band(band)
        };
        let (short, long) = (config.horizons[0], config.horizons[last]);
        panels.push(Panel {
            title: format!("{}: along the run", world.name()),
            x: Axis::log("steps of the run"),
            y: Axis::log("return, total variation"),
            series: vec![
                along(&format!("bound, H = {long}"), 2, &|m| m.bound[last]),
                along(&format!("loss, H = {short}"), 0, &|m| m.gap[0]),
                along(&format!("loss, H = {long}"), 1, &|m| m.gap[last]),
                along("eps_V", 3, &|m| m.eps_v),
                along("eps_f", 4, &|m| m.eps_f),
            ],
            notes: Vec::new(),
        });
        let shown: Vec<u64> = config.steps.iter().copied().skip(1).step_by(2).collect();
        let curves = shown.iter().enumerate().map(|(style, &steps)| {
            let at = of(moments, world, steps);
            let line = config.horizons.iter().enumerate();
            let line = line.map(|(i, &h)| (h as f64, averaged(&at, |m| m.gap[i]).0.max(FLOOR)));
            Series::line(format!("{steps} steps"), style, line.collect())
        });
        panels.push(Panel {
            title: format!("{}: loss by horizon", world.name()),
            x: Axis::log("horizon H"),
            y: Axis::log("loss of planning, mean over seeds"),
            series: curves.collect(),
            notes: Vec::new(),
        });
    }
    let last = config.horizons.len() - 1;
    let mut ends = (f64::INFINITY, 0.0_f64);
    for (world, &steps) in WORLDS.iter().flat_map(|w| config.steps.iter().map(move |s| (*w, s))) {
        let at = of(moments, world, steps);
        let mean = |number: fn(&Moment) -> &Vec<f64>| averaged(&at, |m| number(m)[last]).0;
        let ratio = mean(|m| &m.bound) / mean(|m| &m.gap).max(FLOOR);
        ends = (ends.0.min(ratio), ends.1.max(ratio));
    }
    Figure {
        name: NAME.into(),
        title: format!(
            "MoPAC, Theorem 1: the corrected bound is {} to {} times the loss, H = {}",
            grouped(ends.0 as u64),
            grouped(ends.1 as u64),
            config.horizons[last]
        ),
        caption: format!(
            "Along a training run: loss, corrected bound, errors. Mean of {}, bands from the lowest to the highest; values below {FLOOR} are drawn there",
            seed_words(&config.seeds)
        ),
        size: (1200, 1040),
        panels,
    }
}

fn tabulate(config: &Config, moments: &[Moment]) -> String {
    let mut out = Markdown::default();
    out.text(&format!(
        "Planning in the model of the moment, replanning every step; means over {}. The loss is the \
         largest over states; `best H` has the smallest (the first of equals). `H of the bound` is \
         where the corrected Theorem 1 is smallest, of the instance form where it has the spans of \
         this very problem, of the value error where the error of J_H itself is bounded least.",
        seed_words(&config.seeds)
    ));
    for world in WORLDS {
        out.text(&format!("{}, gamma = {}:", world.name(), config.gamma));
        out.head(&[
            "steps",
            "eps_f (TV)",
            "eps_V",
            "best H",
            "loss there",
            "loss, H = 1",
            "H of the bound",
            "loss there",
            "bound there",
            "H, instance form",
            "loss there",
            "H, value error",
            "loss there",
        ]);
        for &steps in &config.steps {
            let at = of(moments, world, steps);
            let number = |f: &dyn Fn(&Moment) -> f64| averaged(&at, f).0;
            let h = |x: &[f64]| config.horizons[smallest(x)] as f64;
            let cells = [
                steps.to_string(),
                format!("{:.3}", number(&|m| m.eps_f)),
                format!("{:.3}", number(&|m| m.eps_v)),
                format!("{:.1}", number(&|m| h(&m.gap))),
                format!("{:.3}", number(&|m| m.gap[smallest(&m.gap)])),
                format!("{:.3}", number(&|m| m.gap[0])),
                format!("{:.1}", number(&|m| h(&m.bound))),
                format!("{:.3}", number(&|m| m.gap[smallest(&m.bound)])),
                format!("{:.1}", number(&|m| m.bound[smallest(&m.bound)])),
                format!("{:.1}", number(&|m| h(&m.instance))),
                format!("{:.3}", number(&|m| m.gap[smallest(&m.instance)])),
                format!("{:.1}", number(&|m| h(&m.value_error))),
                format!("{:.3}", number(&|m| m.gap[smallest(&m.value_error)])),
            ];
            out.row(&cells);
        }
    }
    let exceeded = moments
        .iter()
        .flat_map(|m| m.gap.iter().zip(&m.bound))
        .filter(|(gap, bound)| gap > bound)
        .count();
    let all: usize = moments.iter().map(|m| m.gap.len()).sum();
    out.text(&format!("The corrected bound was exceeded in {exceeded} of {all} cases."));
    out.finish()
}
