//! The runs behind the figure: made once, resumed where they stopped, several at a time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use anyhow::Result;
use hstep::metrics::read_csv;
use hstep::{Error, config as layers};
use toml::Table;

use super::config::Config;
use crate::commands::train;
use crate::exit::Interrupted;
use crate::reproduce::Job;
use crate::run_folder::{self, Marker, RunFolder};
use crate::settings::Settings;

/// An algorithm with settings on an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    pub label: &'static str,
    pub algo: &'static str,
    pub env: &'static str,
    pub steps: u64,
    updates: Option<u64>,
}

/// One run's evaluation returns by environment step.
pub struct Curve {
    pub contender: Contender,
    pub folder: PathBuf,
    pub points: Vec<(f64, f64)>,
}

/// Who is compared with whom.
pub fn contenders(config: &Config) -> Vec<Contender> {
    let on = |env, label, algo, steps| Contender { label, algo, env, steps, updates: None };
    let (pendulum, cartpole) = ("pendulum", "cartpole-swingup");
    let matched = Some(config.matched_updates);
    vec![
        on(pendulum, "SAC", "sac", config.pendulum_sac_steps),
        on(pendulum, "MBPO", "mbpo", config.pendulum_steps),
        on(pendulum, "MAAC", "maac", config.pendulum_steps),
        on(cartpole, "SAC", "sac", config.cartpole_steps),
        on(cartpole, "MBPO", "mbpo", config.cartpole_steps),
        on(cartpole, "MAAC", "maac", config.cartpole_steps),
        Contender {
            updates: matched,
            ..on(cartpole, "SAC, updates matched", "sac", config.cartpole_steps)
        },
    ]
}

fn settings(config: &Config, contender: &Contender, seed: u64) -> hstep::Result<Settings> {
    let mut table = Table::new();
    for (key, value) in [
        ("run.algo", format!("{:?}", contender.algo)),
        ("run.env", format!("{:?}", contender.env)),
        ("run.seed", seed.to_string()),
        ("run.steps", contender.steps.to_string()),
        ("run.eval.episodes", config.episodes.to_string()),
    ] {
        layers::set(&mut table, &format!("{key}={value}"))?;
    }
    if let Some(updates) = contender.updates {
        layers::set(&mut table, &format!("loop.updates_per_step={updates}"))?;
    }
    Settings::layered(table)
}

/// Every run of every contender and seed, in that order. Those that are done are read back.
pub fn train_all(config: &Config, job: &Job) -> Result<Vec<Curve>> {
    let root = run_folder::root(None);
    let mut queue = Vec::new();
    for contender in contenders(config) {
        for &seed in &config.seeds {
            queue.push((contender.clone(), settings(config, &contender, seed)?));
        }
    }
    let next = Mutex::new(0_usize);
    let failed = Mutex::new(None);
    let take = || {
        let mut next = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *next += 1;
        queue.get(*next - 1)
    };
    std::thread::scope(|scope| {
        for _ in 0..config.jobs {
            scope.spawn(|| {
                while let Some((_, settings)) = take() {
                    if job.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = one(settings, &root, job) {
                        let mut failed =
                            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        failed.get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    if job.stop.load(Ordering::Relaxed) {
        let how = "finished runs are kept; run the same command again";
        return Err(Interrupted(how.into()).into());
    }
    queue.into_iter().map(|(contender, s)| curve(contender, &s, &root)).collect()
}

const EXPERIMENT: &str = "native-learning";

fn one(settings: &Settings, root: &Path, job: &Job) -> Result<()> {
    let folder = train::create(settings, root, EXPERIMENT)?;
    if folder.marker() == Some(Marker::Done) && steps_done(&folder)? >= settings.run.steps {
        return Ok(());
    }
    train::execute(settings, &folder, job.stop, true)
}

fn steps_done(folder: &RunFolder) -> hstep::Result<u64> {
    let metrics = read_csv(&folder.path().join("metrics.csv"))?;
    let steps = metrics.column("env_steps")?;
    Ok(steps.into_iter().flatten().last().unwrap_or(0.0) as u64)
}

fn curve(contender: Contender, settings: &Settings, root: &Path) -> Result<Curve> {
    let folder = train::create(settings, root, EXPERIMENT)?.path().to_path_buf();
    let metrics = read_csv(&folder.join("metrics.csv"))?;
    let column = |name: &str| -> hstep::Result<Vec<f64>> {
        Ok(metrics.column(name)?.into_iter().flatten().collect())
    };
    let points: Vec<(f64, f64)> = column("env_steps")?
        .into_iter()
        .zip(column("eval_return")?)
        .filter(|p| p.0 <= contender.steps as f64)
        .collect();
    if points.len() < 2 {
        let problem = "fewer than two evaluations: remove the folder";
        return Err(Error::checkpoint(&folder, problem).into());
    }
    Ok(Curve { contender, folder, points })
}
