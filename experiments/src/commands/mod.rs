//! What each command does. Results go to stdout, everything else to stderr.

mod doctor;
pub mod eval;
mod quickstart;
pub mod report;
mod saved;
mod schema;
#[cfg(feature = "mujoco")]
mod setup;
pub mod train;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::CommandFactory as _;
use hstep::{Error, config};
use toml::{Table, Value};

use crate::algos;
use crate::bench;
use crate::check;
use crate::cli::{Cli, Command, Completions, List, Listed, Reproduce};
use crate::output::say;
use crate::registry::Registry;
use crate::render;
use crate::reproduce::{self, Effort, Job};

/// Runs the command; `stop` is set by the first signal.
pub fn run(cli: &Cli, registry: &Arc<Registry>, stop: &AtomicBool) -> Result<()> {
    let quiet = cli.quiet;
    match &cli.command {
        None => quickstart::run(stop, quiet),
        Some(Command::Train(args)) => train::train(args, registry, stop, quiet),
        Some(Command::Sweep(args)) => crate::sweep::run(args, registry, stop, cli.threads, quiet),
        Some(Command::Resume(args)) => train::resume(args, registry, stop, quiet),
        Some(Command::Verify(args)) => saved::verify(args, registry),
        Some(Command::Repair(args)) => saved::repair(args, registry),
        Some(Command::Eval(args)) => eval::run(args, registry),
        Some(Command::Render(args)) => render::run(args, registry),
        Some(Command::Export(args)) => crate::export::run(args, registry),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Watch(args)) => crate::page::watch(&args.runs, args.port),
        Some(Command::Compare(args)) => crate::compare::run(args),
        Some(Command::Reproduce(args)) => reproduce_figure(args, stop),
        Some(Command::Check(args)) => check::run(args, quiet),
        Some(Command::Show(args)) => train::show(args, registry),
        Some(Command::Schema) => {
            Ok(crate::output::write(format_args!("{:#}\n", schema::schema(registry)))?)
        }
        Some(Command::List(args)) => list(args, registry),
        Some(Command::Doctor) => doctor::run(),
        Some(Command::Completions(args)) => completions(args),
        Some(Command::Bench(args)) => bench::run(args),
        #[cfg(feature = "mujoco")]
        Some(Command::Setup(args)) => setup::run(args),
        Some(Command::Memory(args)) => match args.horizon {
            Some(horizon) => bench::memory::run(horizon),
            None => Ok(crate::memory::run(args.rows)?),
        },
    }
}

/// What a shell completes commands and options with.
fn completions(args: &Completions) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hstep", &mut text);
    Ok(crate::output::write(format_args!("{}", String::from_utf8_lossy(&text)))?)
}

fn reproduce_figure(args: &Reproduce, stop: &AtomicBool) -> Result<()> {
    let effort = match (args.quick, args.full) {
        (true, _) => Effort::Quick,
        (_, true) => Effort::Full,
        _ => Effort::Usual,
    };
    let mut settings = Table::new();
    if !args.envs.is_empty() {
        let envs = args.envs.iter().map(|env| Value::String(env.clone())).collect();
        settings.insert("envs".into(), Value::Array(envs));
    }
    if let Some(steps) = args.steps {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        settings.insert("steps".into(), Value::Integer(steps));
    }
    config::set_all(&mut settings, &args.settings)?;
    let reference = args.reference.as_deref();
    if reference.is_some() && !reproduce::PUBLISHED.contains(&args.figure.as_str()) {
        let figures = reproduce::PUBLISHED.join(", ");
        let problem = format!("`{}` draws no published curves; these do: {figures}", args.figure);
        return Err(Error::config("--reference", problem).into());
    }
    let job = Job { folder: &args.out, stop, redraw: args.redraw, reference };
    draw(&args.figure, &settings, effort, &job)
}

/// Draws a figure and prints its summary and its files.
fn draw(figure: &str, settings: &Table, effort: Effort, job: &Job) -> Result<()> {
    let outcome = (reproduce::find(figure)?.run)(settings, effort, job)?;
    for line in &outcome.summary {
        say!("{line}")?;
    }
    say!()?;
    for path in &outcome.files {
        say!("{}", path.display())?;
    }
    Ok(())
}

fn list(args: &List, registry: &Registry) -> Result<()> {
    match args.what {
        Listed::Algos => match &args.markdown {
            None => algos::list(registry)?,
            Some(file) => algos::renew(file, registry)?,
        },
        Listed::Envs => {
            for name in registry.env_names() {
                let info = registry.env_info(name)?;
                say!(
                    "{name:<27}{} observations, {} actions, {} steps an episode",
                    info.obs_dim,
                    info.action_dim(),
                    info.max_steps
                )?;
            }
            say!("{:<20}any of Python's Gymnasium, for example gym:Pendulum-v1", "gym:ID")?;
        }
        Listed::Bounds => {
            for s in hstep_proofs::check::STATEMENTS {
                say!("{:<20}{}, {}: {}", s.name, s.paper, s.equation, s.about)?;
            }
        }
        Listed::Figures => {
            for figure in reproduce::ALL {
                say!("{:<20}{}", figure.name, figure.about)?;
            }
        }
    }
    Ok(())
}
