//! The quickstart: SAC and MAAC on the pendulum, then MAAC's Figure 3.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use hstep::config;
use hstep::metrics::read_csv;
use toml::Table;

use super::{draw, report, train};
use crate::output::say;
use crate::plot::{self, Axis, Figure, Panel, Provenance, Series};
use crate::registry::Registry;
use crate::reproduce::{Effort, Job};
use crate::run_folder;
use crate::settings::Settings;

const SEED: u64 = 0;
const STEPS: u64 = 3_000;
/// A folder of its own: `figures` holds what is committed.
const FIGURES: &str = "quickstart";

pub fn run(stop: &AtomicBool, quiet: bool) -> Result<()> {
    say!("hstep quickstart: SAC and MAAC on the pendulum, {STEPS} steps each, seed {SEED}.")?;
    let root = run_folder::root(None);
    let mut rows = Vec::new();
    let mut series = Vec::new();
    let mut hashes = Vec::new();
    let (mut reached, mut newest) = (Vec::new(), String::new());
    for (algo, label) in [("sac", "SAC"), ("maac", "MAAC")] {
        let mut layers = Table::new();
        for (key, value) in [
            ("algo", format!("{algo:?}")),
            ("env", "\"pendulum\"".to_string()),
            ("seed", SEED.to_string()),
            ("steps", STEPS.to_string()),
            ("eval.every", "250".to_string()),
        ] {
            config::set(&mut layers, &format!("run.{key}={value}"))?;
        }
        let settings = Settings::layered(&Arc::new(Registry::new()), layers)?;
        let folder = train::start(&settings, &root, "quickstart", stop, quiet)?;
        let metrics = read_csv(&folder.path().join("metrics.csv"))?;
        let steps = report::column(&metrics, "env_steps")?;
        let returns = report::column(&metrics, "eval_return")?;
        let first = returns.first().copied().unwrap_or(f64::NAN);
        let last = returns.last().copied().unwrap_or(f64::NAN);
        newest = folder.path().display().to_string();
        rows.push(format!("{label:<6} {first:>12.1} {last:>12.1}   {newest}"));
        reached.push(format!("{label} {last:.0}").replace('-', "\u{2212}"));
        let points = steps.into_iter().zip(returns).collect();
        series.push(Series::line(label, series.len(), points));
        hashes.push(settings.identity()?);
    }
    let figure = Figure {
        name: "quickstart".into(),
        title: format!("The pendulum after {STEPS} steps: {}", reached.join(", ")),
        caption: format!("Mean return of 20 evaluation episodes, seed {SEED} alone"),
        size: (800, 460),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("environment steps"),
            y: Axis::linear("return"),
            series,
            notes: Vec::new(),
        }],
    };
    let provenance = Provenance {
        command: "hstep".into(),
        config_hash: hashes.join("-"),
        commit: plot::commit(),
        seeds: vec![SEED],
    };
    let files = figure.save(Path::new(FIGURES), &provenance)?;
    say!("\nMAAC, Figure 3: the gradient's error against the horizon.")?;
    let job = Job { folder: Path::new(FIGURES), stop, redraw: false, reference: None };
    draw("maac-fig3", &Table::new(), Effort::Usual, &job)?;
    say!("\n{:<6} {:>12} {:>12}   run folder", "", "first return", "last return")?;
    for row in rows {
        say!("{row}")?;
    }
    for file in files {
        say!("{}", file.display())?;
    }
    say!("\nWhat to do next:")?;
    for (what, command) in [
        ("the runs in a browser", format!("hstep watch {}", root.display())),
        ("plan around what was learned", format!("hstep eval {newest} --plan mppi")),
        ("look at an episode", format!("hstep render {newest}")),
        ("train longer", format!("hstep resume {newest} --steps 6000")),
        ("change the algorithm", "hstep train maac --env pendulum improve.horizon=5".into()),
        ("what there is", "hstep list algos; hstep list envs; hstep doctor".into()),
    ] {
        say!("  {what:<30} {command}")?;
    }
    say!(
        "Without installing, `cargo run --release --` stands for `hstep`; the pages begin at docs/README.md."
    )?;
    Ok(())
}
