//! From the arguments of a process to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::registry::Registry;
use crate::{cli, commands, exit, output, progress, signals};

/// Runs the command of this process's arguments.
pub fn main(registry: Registry) -> ExitCode {
    one_thread_for_candle();
    ExitCode::from(main_with(registry, std::env::args_os().collect()))
}

/// Runs the command of these arguments, the program's name first; its exit code.
pub fn main_with(registry: Registry, arguments: Vec<OsString>) -> u8 {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            // Not by clap itself: it writes the arguments as they came.
            output::complain(format_args!("{}", e.render().to_string().trim_end()));
            return exit::USAGE;
        }
        Err(e) => {
            // `--help` and `--version`; who left early has read enough of them.
            let _ = e.print();
            return exit::OK;
        }
    };
    log_to_stderr(&cli);
    let registry = Arc::new(registry);
    // A panic is a fault of ours: it must not leave with a code that means something else.
    let run = std::panic::AssertUnwindSafe(|| run(&cli, &registry));
    match std::panic::catch_unwind(run) {
        Ok(Ok(())) => exit::OK,
        Ok(Err(e)) => {
            output::complain(format_args!("error: {e:#}"));
            exit::code_of(&e)
        }
        Err(_) => exit::INTERNAL,
    }
}

fn run(cli: &cli::Cli, registry: &Arc<Registry>) -> anyhow::Result<()> {
    if let Some(n) = threads(cli)? {
        hstep::pool::set_threads(n)?;
    }
    let stop = signals::listen(cli.command.as_ref().is_none_or(cli::Command::saves))?;
    commands::run(cli, registry, &stop)
}

/// The number of threads asked for: `--threads`, else `HSTEP_THREADS`.
fn threads(cli: &cli::Cli) -> hstep::Result<Option<usize>> {
    let Some(text) = std::env::var_os("HSTEP_THREADS").filter(|text| !text.is_empty()) else {
        return Ok(cli.threads);
    };
    if cli.threads.is_some() {
        return Ok(cli.threads);
    }
    let text = text.to_string_lossy();
    text.parse().map(Some).map_err(|_| {
        let problem = format!("expected a number of threads, got `{text}`");
        hstep::Error::config("HSTEP_THREADS", problem)
    })
}

/// candle threads inside every small matrix product, which slows small networks down; hstep splits
/// work itself. A user's own setting stands.
#[allow(unsafe_code)]
fn one_thread_for_candle() {
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        // SAFETY: the first thing `main` does; no other thread exists that could read the
        // environment meanwhile.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    }
}

fn log_to_stderr(cli: &cli::Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("warn,hstep={level}")))
        .with_writer(progress::Log::default)
        .without_time()
        .with_target(false)
        .finish();
    // A program that has a log of its own, Python's for one, keeps it.
    let _ = tracing::subscriber::set_global_default(log);
}
