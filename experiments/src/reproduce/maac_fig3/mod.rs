//! MAAC (Clavera, Fu, Abbeel 2020), Figure 3: the error of the gradient of J_H against H.
//!
//! A double integrator under a linear policy, where the policy gradient is known in closed form.
//! A longer rollout leans less on an erroneous Q and more on an erroneous model, so the error first
//! falls and then rises; with the true dynamics it only falls.
//!
//! The gradient of J_H holds Q fixed, as every actor-critic does, so even with exact parts it is not
//! the policy gradient at small H. Errors are therefore given against two references: the true
//! policy gradient, and the gradient of the same J_H with the true parts (what the paper's Lemma
//! 4.1 bounds). Both are divided by the size of the true policy gradient.

mod config;
mod learned;
mod objective;

use hstep::env::native::DoubleIntegrator;
use hstep::lqr::{Lqr, Matrix};
use hstep::rng::Rng;
use hstep::{Error, Result, config as layers};
use toml::Table;

use self::config::{Config, Seeds};
use self::learned::Data;
use self::objective::gradients;
use super::shared::{never_redrawn, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::{self, Axis, Figure, Note, Panel, Series, grouped};

const NAME: &str = "maac-fig3";

/// Relative L1 errors of one seed, by horizon.
#[derive(Clone)]
struct Errors {
    seed: u64,
    to_policy_gradient: Vec<f64>,
    to_same_horizon: Vec<f64>,
}

/// One way of going wrong, over all seeds.
struct Curve {
    /// `given` or `learned` errors, the dynamics, the number of transitions: columns of the CSV.
    kind: String,
    runs: Vec<Errors>,
}

/// Computes and draws the figure below the job's folder.
pub fn run(overrides: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let mut config: Config = layers::parse(overrides)?;
    if effort == Effort::Quick && !overrides.contains_key("seeds") {
        config.seeds = Seeds::Count(4);
    }
    config.check()?;
    never_redrawn(NAME, "seconds", job)?;
    let curves = compute(&config, job)?;
    let seeds = config.seeds.list();
    let provenance = provenance(NAME, (&config, overrides), seeds, effort, job)?;
    let main = figure(&config, &curves);
    let mut files = main.save(job.folder, &provenance)?;
    files.extend(same_horizon_figure(&config, &curves).save(job.folder, &provenance)?);
    let table = job.folder.join("data").join("maac-fig3-seeds.csv");
    plot::write(&table, csv(&curves).as_bytes())?;
    files.push(table);
    Ok(Outcome { summary: summary(&curves), files })
}

/// What does not depend on the seed.
struct Truth {
    lqr: Lqr,
    k: Matrix,
    s0: Matrix,
    q: Matrix,
    /// Of the return, as all gradients here: the negative of the cost's.
    policy_gradient: Matrix,
    /// The gradient of J_H with the true parts, by horizon.
    same_horizon: Vec<Matrix>,
}

impl Truth {
    fn new(config: &Config) -> Result<Self> {
        let task = DoubleIntegrator { dt: config.dt, r: 0.0, ..DoubleIntegrator::default() };
        let lqr = task.lqr(config.gamma)?;
        let k = Matrix::from_rows(&[&config.k])?;
        let s0 = Matrix::identity(2);
        let q = lqr.q_function(&k)?;
        let same_horizon = gradients(&lqr, &q, &k, &s0, config.horizon_max)?;
        let policy_gradient = lqr.policy_gradient(&k, &s0)?.scale(-1.0);
        Ok(Self { lqr, k, s0, q, policy_gradient, same_horizon })
    }

    /// Errors of the gradients with the dynamics `(a, b)` and the terminal `q`.
    fn errors(&self, seed: u64, (a, b): (&Matrix, &Matrix), q: &Matrix) -> Result<Errors> {
        let lqr = Lqr { a: a.clone(), b: b.clone(), ..self.lqr.clone() };
        let horizon = self.same_horizon.len() - 1;
        let size = self.policy_gradient.l1();
        let (mut to_policy_gradient, mut to_same_horizon) = (Vec::new(), Vec::new());
        let all = gradients(&lqr, q, &self.k, &self.s0, horizon)?;
        for (g, same) in all.iter().zip(&self.same_horizon) {
            to_policy_gradient.push(g.add(-1.0, &self.policy_gradient)?.l1() / size);
            to_same_horizon.push(g.add(-1.0, same)?.l1() / size);
        }
        if to_policy_gradient.iter().chain(&to_same_horizon).any(|e| !e.is_finite()) {
            let quantity = "gradient error of maac-fig3".to_owned();
            return Err(Error::NonFinite { quantity, step: format!("seed {seed}") });
        }
        Ok(Errors { seed, to_policy_gradient, to_same_horizon })
    }
}

/// All curves of one seed: model and Q wrong by given errors, Q alone, and learned from data.
fn one_seed(truth: &Truth, config: &Config, seed: u64) -> Result<Vec<Errors>> {
    let rng = Rng::new(seed);
    let (a, b) = (&truth.lqr.a, &truth.lqr.b);
    let mut model = rng.fork("model error");
    let wrong_a = a.add(config.model_error, &Matrix::normal(2, 2, &mut model))?;
    let wrong_b = b.add(config.model_error, &Matrix::normal(2, 1, &mut model))?;
    let noise = Matrix::normal(3, 3, &mut rng.fork("critic error"));
    let symmetric = noise.add(1.0, &noise.t())?;
    let relative = config.critic_error * truth.q.spectral_norm()? / symmetric.spectral_norm()?;
    let wrong_q = truth.q.add(relative, &symmetric)?;
    let mut out = vec![
        truth.errors(seed, (&wrong_a, &wrong_b), &wrong_q)?,
        truth.errors(seed, (a, b), &wrong_q)?,
    ];
    for &n in &config.data_sizes {
        let data = Data::draw(&truth.lqr, &truth.k, n, config, &mut rng.fork("data"))?;
        let (fit_a, fit_b) = data.fit_dynamics(config.ridge)?;
        let fit_q = data.fit_q(&truth.k, config.gamma, config.ridge)?;
        out.push(truth.errors(seed, (&fit_a, &fit_b), &fit_q)?);
    }
    Ok(out)
}

fn compute(config: &Config, job: &Job) -> anyhow::Result<Vec<Curve>> {
    job.step("maac-fig3: computing")?;
    let truth = Truth::new(config)?;
    let mut kinds =
        vec!["perturbed dynamics and Q".to_owned(), "true dynamics, perturbed Q".to_owned()];
    kinds.extend(config.data_sizes.iter().map(|n| format!("learned from {n}")));
    let mut curves: Vec<Curve> =
        kinds.into_iter().map(|kind| Curve { kind, runs: Vec::new() }).collect();
    for seed in config.seeds.list() {
        for (curve, errors) in curves.iter_mut().zip(one_seed(&truth, config, seed)?) {
            curve.runs.push(errors);
        }
        job.step(&format!("maac-fig3: seed {seed} done"))?;
    }
    Ok(curves)
}

impl Curve {
    /// Mean over the seeds by horizon.
    fn mean(&self, pick: fn(&Errors) -> &Vec<f64>) -> Vec<f64> {
        let n = self.runs.len() as f64;
        let horizons = self.runs.first().map_or(0, |r| pick(r).len());
        (0..horizons).map(|h| self.runs.iter().map(|r| pick(r)[h]).sum::<f64>() / n).collect()
    }

    /// The middle half of the seeds by horizon.
    fn quartiles(&self, pick: fn(&Errors) -> &Vec<f64>) -> Vec<(f64, f64)> {
        let horizons = self.runs.first().map_or(0, |r| pick(r).len());
        let at = |h: usize| {
            let mut sorted: Vec<f64> = self.runs.iter().map(|r| pick(r)[h]).collect();
            sorted.sort_by(f64::total_cmp);
            let quantile = |q: f64| {
                let place = q * (sorted.len() - 1) as f64;
                let (low, f) = (place.floor() as usize, place.fract());
                sorted[low] + f * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
            };
            (quantile(0.25), quantile(0.75))
        };
        (0..horizons).map(at).collect()
    }

    fn series(&self, label: String, style: usize, pick: fn(&Errors) -> &Vec<f64>) -> Series {
        let points = self.mean(pick).into_iter().enumerate().map(|(h, e)| (h as f64, e)).collect();
        let line = Series::line(label, style, points);
        if self.runs.len() > 1 { line.with_band(self.quartiles(pick)) } else { line }
    }
}

/// The horizon with the smallest error, and that error.
fn lowest(errors: &[f64]) -> (usize, f64) {
    errors.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::NAN))
}

fn lowest_note(series: &Series, offset: (f64, f64), text: &str) -> Note {
    let errors: Vec<f64> = series.points.iter().map(|p| p.1).collect();
    let (h, e) = lowest(&errors);
    Note {
        at: (h as f64, e),
        offset,
        text: text.replace("{H}", &h.to_string()),
        style: series.style,
    }
}

fn y_label(config: &Config) -> String {
    match config.seeds.list().len() {
        1 => "relative L1 error of the gradient, one seed".to_owned(),
        n => format!("relative L1 error of the gradient, mean and quartiles of {n} seeds"),
    }
}

fn figure(config: &Config, curves: &[Curve]) -> Figure {
    let pick: fn(&Errors) -> &Vec<f64> = |e| &e.to_policy_gradient;
    let (max, y_label) = (config.horizon_max as f64, y_label(config));
    let room = |s: &[Series]| {
        let top = s.iter().flat_map(|s| s.points.iter().map(|p| p.1)).fold(0.0, f64::max);
        let low =
            s.iter().flat_map(|s| s.band.iter().map(|b| b.0).chain(s.points.iter().map(|p| p.1)));
        (0.8 * low.fold(top, f64::min), 1.6 * top)
    };
    let given = vec![
        curves[0].series("perturbed dynamics".into(), 1, pick),
        curves[1].series("true dynamics".into(), 0, pick),
    ];
    let notes = vec![lowest_note(&given[0], (64.0, -38.0), "best at H = {H}")];
    let learned: Vec<Series> = curves[2..]
        .iter()
        .zip(&config.data_sizes)
        .zip([4, 3, 2, 5, 6, 0, 1].into_iter().cycle())
        .map(|((c, &n), style)| c.series(format!("N = {}", grouped(n as u64)), style, pick))
        .collect();
    // A minimum worth a remark lies clearly below the end of its line.
    let rises = |s: &Series| {
        let errors: Vec<f64> = s.points.iter().map(|p| p.1).collect();
        lowest(&errors).1 < 0.95 * errors[errors.len() - 1]
    };
    // The first words stand above all bands, the others between two.
    let offsets = [(60.0, -80.0)].into_iter().chain(std::iter::repeat((120.0, -46.0)));
    let best = learned
        .iter()
        .zip(offsets)
        .filter(|(s, _)| rises(s))
        .map(|(s, offset)| lowest_note(s, offset, "best at H = {H}"))
        .collect();
    let panel = |title: &str, series: Vec<Series>, notes| Panel {
        title: title.to_owned(),
        x: Axis::linear("horizon H (model steps)").between(0.0, max),
        y: {
            let (low, high) = room(&series);
            Axis::log(y_label.clone()).between(low, high)
        },
        series,
        notes,
    };
    Figure {
        name: "maac-fig3".into(),
        title: "A longer rollout trusts Q less and the model more".into(),
        caption: String::new(),
        size: (1200, 620),
        panels: vec![
            panel("Q perturbed, dynamics perturbed or true", given, notes),
            panel("Model and Q learned from N transitions", learned, best),
        ],
    }
}

/// The reading of Lemma 4.1: against the gradient of the same J_H with the true parts.
fn same_horizon_figure(config: &Config, curves: &[Curve]) -> Figure {
    let pick: fn(&Errors) -> &Vec<f64> = |e| &e.to_same_horizon;
    let series = vec![
        curves[0].series("perturbed dynamics".into(), 1, pick),
        curves[1].series("true dynamics".into(), 0, pick),
    ];
    let notes = vec![lowest_note(&series[0], (60.0, -84.0), "best at H = {H}")];
    let best = series.iter().map(|s| lowest(&s.points.iter().map(|p| p.1).collect::<Vec<_>>()).0);
    let best: Vec<usize> = best.collect();
    Figure {
        name: "maac-fig3-same-horizon".into(),
        title: format!(
            "The error is least at H = {} with perturbed dynamics, at H = {} with true ones",
            best[0], best[1]
        ),
        caption: "Against the same H-step objective with true parts".into(),
        size: (800, 540),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("horizon H (model steps)").between(0.0, config.horizon_max as f64),
            y: Axis::log(y_label(config)).between(4e-5, 5.0),
            series,
            notes,
        }],
    }
}

fn csv(curves: &[Curve]) -> String {
    let mut out = String::from("curve,seed,horizon,to_policy_gradient,to_same_horizon\n");
    for curve in curves {
        for run in &curve.runs {
            for (h, (p, s)) in run.to_policy_gradient.iter().zip(&run.to_same_horizon).enumerate() {
                out.push_str(&format!("\"{}\",{},{h},{p:.9e},{s:.9e}\n", curve.kind, run.seed));
            }
        }
    }
    out
}

fn summary(curves: &[Curve]) -> Vec<String> {
    let mut out = vec![format!(
        "{:<28}{:>10}{:>10}{:>8}{:>10}",
        "error to policy gradient", "H=0", "lowest", "at H", "longest H"
    )];
    for curve in curves {
        let mean = curve.mean(|e| &e.to_policy_gradient);
        let (h, e) = lowest(&mean);
        let last = mean.last().copied().unwrap_or(f64::NAN);
        out.push(format!("{:<28}{:>10.4}{e:>10.4}{h:>8}{last:>10.4}", curve.kind, mean[0]));
    }
    out
}
