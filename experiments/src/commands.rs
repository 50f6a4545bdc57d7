//! What each command does. Results go to stdout, everything else to stderr.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use hstep::suggest::nearest;
use hstep::{Error, config};
use toml::Table;

use crate::cli::{Cli, Command, Eval, List, Listed, Report, Reproduce, Resume, Train};
use crate::reproduce::{self, Effort, Job};

/// Algorithms with their line in `hstep list algos`.
const ALGOS: &[(&str, &str)] = &[
    ("sac", "model-free actor-critic"),
    ("mbpo", "SAC on branched model rollouts"),
    ("maac", "pathwise gradient through H model steps"),
];

/// Environments with their line in `hstep list envs`.
const ENVS: &[(&str, &str)] = &[
    ("pendulum", "swing up, as Gymnasium's Pendulum-v1"),
    ("mountain-car", "as Gymnasium's MountainCarContinuous-v0"),
    ("cartpole-swingup", "cart-pole from hanging"),
    ("double-integrator", "linear-quadratic, solution known"),
];

/// Runs the command; `stop` is set by the first signal.
pub fn run(cli: &Cli, stop: &AtomicBool) -> Result<()> {
    match &cli.command {
        None => quickstart(stop),
        Some(Command::Train(args)) => train(args),
        Some(Command::Resume(args)) => resume(args),
        Some(Command::Eval(args)) => eval(args),
        Some(Command::Report(args)) => report(args),
        Some(Command::Reproduce(args)) => reproduce_figure(args, stop),
        Some(Command::List(args)) => {
            list(args);
            Ok(())
        }
    }
}

fn quickstart(stop: &AtomicBool) -> Result<()> {
    tracing::warn!("training is not in this build: drawing maac-fig3 only");
    draw("maac-fig3", &Table::new(), Effort::Usual, Path::new("figures"), stop)
}

/// What `train` was asked for, resolved as far as is possible without the algorithm's own struct.
struct Request {
    algo: String,
    env: String,
    /// The layers above the algorithm's defaults: file, options, `key=value`.
    settings: Table,
}

fn request(args: &Train) -> Result<Request> {
    let from_file = args.what.ends_with(".toml");
    let mut settings = if from_file { config::read(&args.what)? } else { Table::new() };
    config::set_all(&mut settings, &args.settings)?;
    for (key, value) in [("seed", args.seed), ("steps", args.steps)] {
        if let Some(value) = value {
            config::set(&mut settings, &format!("{key}={value}"))?;
        }
    }
    let mut take = |key: &str| match settings.remove(key) {
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::config(key, format!("expected a text, got {other}"))),
        None => Ok(None),
    };
    let (algo, env) = (take("algo")?, take("env")?);
    let algo = if from_file { algo } else { Some(args.what.clone()) };
    let example = "for example `hstep train sac --env pendulum`";
    let algo =
        algo.ok_or_else(|| Error::config("algo", format!("missing; write it, {example}")))?;
    known("algo", "algorithm", &algo, ALGOS)?;
    let env = args.env.clone().or(env);
    let env = env.ok_or_else(|| Error::config("env", format!("missing; write it, {example}")))?;
    known("env", "environment", &env, ENVS)?;
    Ok(Request { algo, env, settings })
}

fn known(key: &str, kind: &str, name: &str, all: &[(&str, &str)]) -> Result<(), Error> {
    let names = || all.iter().map(|a| a.0);
    if names().any(|n| n == name) {
        return Ok(());
    }
    Err(Error::config(
        key,
        match nearest(name, names()) {
            Some(near) => format!("there is no {kind} `{name}`; did you mean `{near}`?"),
            None => {
                let all = names().collect::<Vec<_>>().join(", ");
                format!("there is no {kind} `{name}`; there are: {all}")
            }
        },
    ))
}

fn train(args: &Train) -> Result<()> {
    let request = request(args)?;
    let root = crate::run_folder::root(args.out.as_deref());
    tracing::debug!(
        "{} on {} below {}, settings {}",
        request.algo,
        request.env,
        root.display(),
        request.settings
    );
    not_in_this_build("train")
}

fn resume(args: &Resume) -> Result<()> {
    let folder = crate::run_folder::RunFolder::open(&args.run)?;
    let mut now = folder.config()?;
    config::set_all(&mut now, &args.settings)?;
    if let Some(steps) = args.steps {
        config::set(&mut now, &format!("steps={steps}"))?;
    }
    folder.expect_config(&now)?;
    not_in_this_build("resume")
}

fn eval(args: &Eval) -> Result<()> {
    let folder = crate::run_folder::RunFolder::open(&args.run)?;
    tracing::debug!("{} episodes of {}", args.episodes, folder.path().display());
    not_in_this_build("eval")
}

fn report(args: &Report) -> Result<()> {
    for run in &args.runs {
        crate::run_folder::RunFolder::open(run)?;
    }
    not_in_this_build("report")
}

fn not_in_this_build(command: &str) -> Result<()> {
    Err(Error::config(command, "this command is not in this build").into())
}

fn reproduce_figure(args: &Reproduce, stop: &AtomicBool) -> Result<()> {
    let effort = match (args.quick, args.full) {
        (true, _) => Effort::Quick,
        (_, true) => Effort::Full,
        _ => Effort::Usual,
    };
    let mut settings = Table::new();
    config::set_all(&mut settings, &args.settings)?;
    draw(&args.figure, &settings, effort, &args.out, stop)
}

fn draw(
    figure: &str,
    settings: &Table,
    effort: Effort,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<()> {
    let outcome = (reproduce::find(figure)?.run)(settings, effort, &Job { folder, stop })?;
    for line in &outcome.summary {
        println!("{line}");
    }
    println!();
    for path in &outcome.files {
        println!("{}", PathBuf::from(path).display());
    }
    Ok(())
}

fn list(args: &List) {
    let rows: Vec<(&str, &str)> = match args.what {
        Listed::Algos => ALGOS.to_vec(),
        Listed::Envs => ENVS.to_vec(),
        Listed::Figures => reproduce::ALL.iter().map(|r| (r.name, r.about)).collect(),
    };
    for (name, about) in rows {
        println!("{name:<20}{about}");
    }
}
