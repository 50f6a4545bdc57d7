//! MAAC (Clavera, Fu, Abbeel 2020), Table 1: trained policies at test time, with and without
//! planning. The paper finds gains in complex domains and timid ones in easy domains.
//!
//! What the evaluations gave is kept as `data/maac-table1/evaluations.csv`, from which the table is
//! drawn again.

mod config;
mod with_plan;

use std::path::Path;

use hstep::rng::Rng;
use hstep::stats::{Interval, bootstrap_mean};
use hstep::train::EvalConfig;
use hstep::{Error, Result, files};
use toml::Table;

use self::config::Config;
use self::with_plan::{evaluate_policy, evaluate_with_plan};
use super::compare::{
    Comparison, LEVEL, Markdown, Plan, ROUNDS, Results, configured, environment, interval,
    random_return, results, seed_words,
};
use super::shared::{finish, provenance};
use super::{Effort, Job, Outcome};
use crate::plot::{self, Axis, Figure, Panel, Series};

/// Mean returns of one run's policy.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    env: String,
    seed: u64,
    policy: f64,
    planned: f64,
}

/// Trains, evaluates with and without a plan, draws and tabulates.
pub fn run(settings: &Table, effort: Effort, job: &Job) -> anyhow::Result<Outcome> {
    let config: Config = configured(settings, effort)?;
    let plan = config.plan();
    let file = job.folder.join("data").join(Config::NAME).join("evaluations.csv");
    let rows = if job.redraw {
        read(&file)?
    } else {
        let rows = evaluations(&config, &results(&plan, job)?, job)?;
        plot::write(&file, csv(&rows).as_bytes())?;
        rows
    };
    let rows = wanted(&config, &rows, &file)?;
    let seeds = plan.seeds.clone();
    let provenance = provenance(Config::NAME, (&config, settings), seeds, effort, job)?;
    let mut files = vec![file];
    files.extend(figure(&config, &rows)?.save(job.folder, &provenance)?);
    finish(files, Config::NAME, &tables(&config, &rows)?, job)
}

impl Comparison for Config {
    const NAME: &'static str = "maac-table1";

    fn with_effort(effort: Effort) -> Self {
        Self::at(effort)
    }

    fn validate(&self) -> Result<()> {
        self.check()
    }

    fn plan(&self) -> Plan {
        self.make_plan(Self::NAME)
    }

    // Drawn of evaluations, not of curves.
    fn figures(&self, _: &Results) -> Result<Vec<Figure>> {
        Ok(Vec::new())
    }

    fn tables(&self, _: &Results) -> Result<String> {
        Ok(String::new())
    }
}

fn evaluations(config: &Config, results: &Results, job: &Job) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for run in &results.0 {
        let eval = EvalConfig { episodes: config.episodes, ..EvalConfig::default() };
        let policy = evaluate_policy(&run.folder, &eval)?.mean();
        let planned = evaluate_with_plan(&run.folder, &config.planner, &eval)?.mean();
        rows.push(Row { env: run.contender.env.clone(), seed: run.seed, policy, planned });
        job.step(&format!("maac-table1: {} seed {} evaluated", run.contender.env, run.seed))?;
    }
    Ok(rows)
}

fn csv(rows: &[Row]) -> String {
    let mut out = String::from("env,seed,policy,planned\n");
    for Row { env, seed, policy, planned } in rows {
        out.push_str(&format!("{env},{seed},{policy},{planned}\n"));
    }
    out
}

fn read(file: &Path) -> Result<Vec<Row>> {
    let text = files::text(file, files::METRICS)?;
    let row = |line: &str| -> Option<Row> {
        let [env, seed, policy, planned] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        let (policy, planned) = (policy.parse().ok()?, planned.parse().ok()?);
        Some(Row { env: env.into(), seed: seed.parse().ok()?, policy, planned })
    };
    let bad = |line: &str| Error::checkpoint(file, format!("`{line}` is no row of evaluations"));
    text.lines().skip(1).map(|line| row(line).ok_or_else(|| bad(line))).collect()
}

/// The rows of the config's environments and seeds, in its order.
fn wanted(config: &Config, rows: &[Row], file: &Path) -> Result<Vec<Row>> {
    let mut out = Vec::new();
    for env in &config.envs {
        for &seed in &config.seeds {
            let found = rows.iter().find(|r| r.env == *env && r.seed == seed).cloned();
            let missing = || {
                let problem = format!("has no evaluation of {env} with seed {seed}");
                Error::checkpoint(file, problem)
            };
            out.push(found.ok_or_else(missing)?);
        }
    }
    Ok(out)
}

/// Both ways on one environment, seed by seed.
fn of(rows: &[Row], env: &str) -> (Vec<f64>, Vec<f64>) {
    rows.iter().filter(|r| r.env == env).map(|r| (r.policy, r.planned)).unzip()
}

/// Means with intervals, scaled so that random actions are 0 and the policy's mean is 1.
fn figure(config: &Config, rows: &[Row]) -> Result<Figure> {
    let (mut policy, mut planned) = (Vec::new(), Vec::new());
    let (mut better, mut worse) = (0, 0);
    for (i, env) in config.envs.iter().enumerate() {
        let random = random_return(env)?;
        let (without, with) = of(rows, env);
        let gains: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
        let gain = spread(config, &gains)?;
        better += usize::from(gain.low > 0.0);
        worse += usize::from(gain.high < 0.0);
        let (without, with) = (spread(config, &without)?, spread(config, &with)?);
        let scaled = |x: f64| (x - random) / (without.estimate - random);
        let point =
            |at: f64, s: &Interval| (at, scaled(s.estimate), (scaled(s.low), scaled(s.high)));
        policy.push(point(i as f64 - 0.12, &without));
        planned.push(point(i as f64 + 0.12, &with));
    }
    let names = config.envs.iter().map(|env| environment(env)).collect();
    Ok(Figure {
        name: Config::NAME.into(),
        title: match (&config.envs[..], better, worse) {
            ([env], 1, _) => format!("Planning at test time is better on {}", environment(env)),
            ([env], _, 1) => format!("Planning at test time is worse on {}", environment(env)),
            ([env], ..) => {
                format!("Planning at test time makes no decided difference on {}", environment(env))
            }
            (envs, ..) => format!(
                "Planning at test time: better on {better}, worse on {worse} of {} tasks",
                envs.len()
            ),
        },
        caption: format!("Mean of {} with its 95 % bootstrap interval", seed_words(&config.seeds)),
        size: (800, 520),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::named("", names),
            y: Axis::linear("return; 0: random actions, 1: the policy"),
            series: vec![
                Series::whiskers("policy", 0, &policy),
                Series::whiskers("policy and plan", 1, &planned),
            ],
            notes: Vec::new(),
        }],
    })
}

fn spread(config: &Config, values: &[f64]) -> Result<Interval> {
    bootstrap_mean(values, LEVEL, ROUNDS, &mut Rng::new(config.bootstrap_seed))
}

fn tables(config: &Config, rows: &[Row]) -> Result<String> {
    let mut out = Markdown::default();
    let (episodes, seeds) = (config.episodes, config.seeds.len());
    out.text(&format!(
        "Return at test time with and without planning: mean over {seeds} seeds of {episodes} \
         episodes each, with 95 % bootstrap intervals over seeds; the gain's seeds are pairs."
    ));
    out.head(&["", "policy", "interval", "policy and plan", "interval", "gain", "interval"]);
    for env in &config.envs {
        let (without, with) = of(rows, env);
        let gains: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
        let mut cells = vec![environment(env)];
        for values in [&without, &with, &gains] {
            let s = spread(config, values)?;
            cells.extend([format!("{:.1}", s.estimate), interval(&s, 1)]);
        }
        out.row(&cells);
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |seed, policy, planned| Row { env: "pendulum".into(), seed, policy, planned };
        vec![row(0, -200.0, -150.0), row(1, -300.0, -250.0)]
    }

    #[test]
    fn evaluations_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("evaluations.csv");
        std::fs::write(&file, csv(&rows())).unwrap();
        assert_eq!(read(&file).unwrap(), rows());
        let config = Config { seeds: vec![1], envs: vec!["pendulum".into()], ..Config::default() };
        assert_eq!(wanted(&config, &rows(), &file).unwrap(), rows()[1..]);
        let config = Config { seeds: vec![2], ..config };
        assert!(wanted(&config, &rows(), &file).unwrap_err().to_string().contains("seed 2"));
        std::fs::write(&file, "env,seed,policy,planned\npendulum,0,1\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("`pendulum,0,1`"));
    }

    #[test]
    fn a_gain_is_taken_seed_by_seed() {
        let (envs, seeds) = (vec!["pendulum".into()], vec![0, 1]);
        let config = Config { envs, seeds, ..Config::default() };
        let text = tables(&config, &rows()).unwrap();
        // 50 on either seed: without spread, though the returns are 100 apart.
        assert!(text.contains("| -250.0 | [-300.0, -200.0] |"), "{text}");
        assert!(text.contains("| 50.0 | [50.0, 50.0] |"), "{text}");
        let drawn = figure(&config, &rows()).unwrap();
        assert_eq!(drawn.panels[0].series[0].points[0].1, 1.0);
        assert!(drawn.panels[0].series[1].points[0].1 > 1.0);
    }
}
