//! SAC, MBPO and MAAC on the native environments: learning curves, steps to a level, areas.

mod config;
mod runs;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hstep::config as layers;
use hstep::rng::Rng;
use hstep::stats::{bootstrap_difference, mean_height};
use toml::Table;

use self::config::Config;
use self::runs::{Contender, Curve, contenders, train_all};
use super::{Effort, Job, Outcome};
use crate::plot::{self, Axis, Figure, Panel, Provenance, Series};

/// Trains what is missing, then draws and tabulates.
pub fn run(settings: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let mut config: Config = layers::parse(settings)?;
    if effort == Effort::Quick {
        config.seeds.truncate(1);
        config.pendulum_steps = config.pendulum_steps.min(1_000);
        config.cartpole_steps = config.cartpole_steps.min(1_000);
    }
    config.validate()?;
    let curves = train_all(&config, job)?;
    let mut files = keep(&curves, job)?;
    let provenance = Provenance {
        command: "hstep reproduce native-learning".into(),
        config_hash: layers::hash8(&layers::to_table(&config)?, &["jobs"]),
        commit: plot::commit(),
        seeds: config.seeds.clone(),
    };
    files.extend(figure(&config, &curves).save(job.folder, &provenance)?);
    let table = table(&config, &curves)?;
    let path = job.folder.join("data").join("native-learning.md");
    plot::write(&path, table.as_bytes())?;
    files.push(path);
    Ok(Outcome { summary: table.lines().map(String::from).collect(), files })
}

/// Copies what a run measured, and with which settings, beside the figure.
fn keep(curves: &[Curve], job: &Job) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let root = job.folder.join("data").join("native-learning");
    for curve in curves {
        let Some(name) = curve.folder.file_name() else { continue };
        let to = root.join(name);
        std::fs::create_dir_all(&to).map_err(hstep::Error::io("cannot create", &to))?;
        for file in ["metrics.csv", "config.toml"] {
            let from = curve.folder.join(file);
            std::fs::copy(&from, to.join(file)).map_err(hstep::Error::io("cannot copy", &from))?;
        }
        plot::write(&to.join("meta.json"), public_meta(&curve.folder)?.as_bytes())?;
    }
    Ok(vec![root])
}

/// `meta.json` without what belongs to the machine: host, command line, time.
fn public_meta(folder: &std::path::Path) -> anyhow::Result<String> {
    let from = folder.join("meta.json");
    let text = std::fs::read_to_string(&from).map_err(hstep::Error::io("cannot read", &from))?;
    let mut meta: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text)?;
    meta.retain(|key, _| ["commit", "hstep", "dependencies", "target"].contains(&key.as_str()));
    Ok(serde_json::to_string_pretty(&meta)? + "\n")
}

/// The curves of a contender, one a seed.
fn of<'a>(curves: &'a [Curve], contender: &Contender) -> Vec<&'a Curve> {
    curves.iter().filter(|c| c.contender == *contender).collect()
}

fn figure(config: &Config, curves: &[Curve]) -> Figure {
    let panel = |env: &str, title: &str| {
        let series = contenders(config)
            .iter()
            .filter(|c| c.env == env)
            .enumerate()
            .map(|(style, contender)| {
                let of = of(curves, contender);
                let steps = of.first().map_or(Vec::new(), |c| c.points.clone());
                let (mut points, mut band) = (Vec::new(), Vec::new());
                for (i, (x, _)) in steps.iter().enumerate() {
                    let at: Vec<f64> =
                        of.iter().filter_map(|c| c.points.get(i)).map(|p| p.1).collect();
                    points.push((*x, at.iter().sum::<f64>() / at.len() as f64));
                    let low = at.iter().copied().fold(f64::INFINITY, f64::min);
                    band.push((low, at.iter().copied().fold(f64::NEG_INFINITY, f64::max)));
                }
                Series::line(contender.label, style, points).with_band(band)
            })
            .collect();
        Panel {
            title: title.into(),
            x: Axis::linear("environment steps"),
            y: Axis::linear("evaluation return"),
            series,
            notes: Vec::new(),
        }
    };
    Figure {
        name: "native-learning".into(),
        title: format!(
            "Mean of {} seeds; bands from the lowest to the highest seed",
            config.seeds.len()
        ),
        size: (1200, 520),
        panels: vec![
            panel("pendulum", "pendulum"),
            panel("cartpole-swingup", "cart-pole swing-up"),
        ],
    }
}

/// Two tables in Markdown: steps until the pendulum is held, areas on the cart-pole.
fn table(config: &Config, curves: &[Curve]) -> anyhow::Result<String> {
    let mut out = String::new();
    let level = config.level;
    writeln!(
        out,
        "Pendulum: environment steps until the second evaluation in a row of {level} or better \
         (mean of {} fixed start states); - where it never was.\n",
        config.episodes
    )?;
    let seeds: Vec<String> = config.seeds.iter().map(|s| format!("seed {s}")).collect();
    writeln!(out, "| | within | {} | held |", seeds.join(" | "))?;
    writeln!(out, "|---|---|{}---|", "---|".repeat(seeds.len()))?;
    for contender in contenders(config).iter().filter(|c| c.env == "pendulum") {
        let held: Vec<Option<f64>> =
            of(curves, contender).iter().map(|c| held(&c.points, level)).collect();
        let cells: Vec<String> =
            held.iter().map(|h| h.map_or("-".into(), |at| format!("{at}"))).collect();
        let count = held.iter().flatten().count();
        let (cells, all) = (cells.join(" | "), held.len());
        writeln!(
            out,
            "| {} | {} | {cells} | {count} of {all} |",
            contender.label, contender.steps
        )?;
    }
    let steps = config.cartpole_steps;
    writeln!(out, "\nCart-pole swing-up: mean return over the first {steps} steps.\n")?;
    writeln!(out, "| | {} | mean | last return, mean |", seeds.join(" | "))?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(seeds.len()))?;
    let mut areas = Vec::new();
    for contender in contenders(config).iter().filter(|c| c.env == "cartpole-swingup") {
        let of = of(curves, contender);
        let area: Vec<f64> =
            of.iter().map(|c| mean_height(&c.points)).collect::<hstep::Result<_>>()?;
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let last: Vec<f64> = of.iter().filter_map(|c| c.points.last()).map(|p| p.1).collect();
        let cells: Vec<String> = area.iter().map(|a| format!("{a:.1}")).collect();
        let (cells, area_mean, last_mean) = (cells.join(" | "), mean(&area), mean(&last));
        writeln!(out, "| {} | {cells} | {area_mean:.1} | {last_mean:.1} |", contender.label)?;
        areas.push((contender.label, area));
    }
    writeln!(out, "\nDifferences of those means, with 95 % bootstrap intervals over seeds.\n")?;
    writeln!(out, "| | difference | interval |\n|---|---|---|")?;
    let (base, learned): (Vec<_>, Vec<_>) = areas.iter().partition(|(l, _)| l.starts_with("SAC"));
    for (label, area) in &learned {
        for (other, against) in &base {
            let mut rng = Rng::new(config.bootstrap_seed);
            let d = bootstrap_difference(area, against, 0.95, 10_000, &mut rng)?;
            writeln!(
                out,
                "| {label} minus {other} | {:.1} | [{:.1}, {:.1}] |",
                d.estimate, d.low, d.high
            )?;
        }
    }
    Ok(out)
}

/// The step of the second evaluation in a row at `level` or better.
fn held(points: &[(f64, f64)], level: f64) -> Option<f64> {
    points.windows(2).find(|w| w[0].1 >= level && w[1].1 >= level).map(|w| w[1].0)
}

#[cfg(test)]
mod tests {
    use super::held;

    #[test]
    fn one_good_evaluation_is_not_holding() {
        let curve = [(0.0, -300.0), (1.0, -150.0), (2.0, -250.0), (3.0, -199.0), (4.0, -200.0)];
        assert_eq!(held(&curve, -200.0), Some(4.0));
        assert_eq!(held(&curve[..4], -200.0), None);
    }
}
