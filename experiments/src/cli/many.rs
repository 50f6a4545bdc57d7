//! The arguments of commands over many runs.

use std::path::PathBuf;

use clap::Args;

/// `hstep sweep FILE.toml`
#[derive(Debug, Args)]
pub struct Sweep {
    /// Settings as `hstep train FILE.toml` takes them, and a section `[sweep]`: algos, envs, seeds,
    /// `[sweep.grid]`, `[[sweep.list]]`, `[sweep.random]`.
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,
    /// Processes at a time, with one thread each unless --threads says otherwise.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: usize,
    /// By how much the processes' priority is lowered, at most 19.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: i32,
    /// How often a run that fails is tried again.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub retries: usize,
    /// Print the runs and how they stand.
    #[arg(long, conflicts_with = "index")]
    pub list: bool,
    /// Print the runs that would be trained; train none and write nothing.
    #[arg(long, conflicts_with_all = ["index", "list"])]
    pub dry_run: bool,
    /// Hand the runs to Slurm as a job array, by what `[slurm]` says: partition, time, memory, cpus, pack,
    /// at_once, options; with --dry-run print its script.
    #[arg(long, conflicts_with_all = ["index", "list"])]
    pub slurm: bool,
    /// Print the runs, how they stand, and what Slurm says of their tasks.
    #[arg(long, conflicts_with_all = ["index", "list", "dry_run", "slurm"])]
    pub status: bool,
    /// Train only the run with this number, in this process.
    #[arg(long, value_name = "I")]
    pub index: Option<usize>,
    /// An installed copy of hstep for the processes, which building does not change.
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// The root of the run folders; HSTEP_RUNS or `runs` when left out.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train no further, whatever the file says.
    #[arg(long, hide = true, value_name = "STEP", requires = "index")]
    pub upto: Option<u64>,
    /// The process that started this one.
    #[arg(long, hide = true, value_name = "PID", requires = "index")]
    pub child_of: Option<u32>,
}

/// `hstep report RUN...`
#[derive(Debug, Args)]
pub struct Report {
    /// The run folders; with --html also folders with run folders in them.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Write one page with curves and tables that needs nothing else, in place of text.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
}

/// `hstep watch DIR...`
#[derive(Debug, Args)]
pub struct Watch {
    /// Run folders, and folders with run folders in them.
    #[arg(required = true, value_name = "RUN|DIR")]
    pub runs: Vec<PathBuf>,
    /// The port of this machine; no other machine can reach it.
    #[arg(long, value_name = "N", default_value_t = 8770)]
    pub port: u16,
}

/// `hstep compare RUN...|DIR`
#[derive(Debug, Args)]
pub struct Compare {
    /// Run folders, and folders with run folders in them.
    #[arg(required = true, value_name = "RUN|DIR")]
    pub runs: Vec<PathBuf>,
    /// The column of metrics.csv that is compared.
    #[arg(long, default_value = "eval_return")]
    pub column: String,
    /// A run's score is the mean of so many last values.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub last: usize,
    /// Compare up to this step, without runs that end before it; the last step that all runs on an
    /// environment have when left out.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// What scores 0 and 1 on each environment (TOML: `[pendulum]`, `random = -1200`, `reference =
    /// -150`): sums up over environments, with optimality gap and performance profiles.
    #[arg(long, value_name = "FILE")]
    pub normalise: Option<PathBuf>,
    /// Equal seeds are pairs (the same start states, for example): compare each with its like.
    #[arg(long)]
    pub paired: bool,
    /// A folder with published curves to draw beside the runs (MuJoCo tasks).
    #[arg(long, value_name = "DIR", requires = "out")]
    pub reference: Option<PathBuf>,
    /// Draw figures below this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the metrics of all runs into one file.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the estimates, their intervals and every seed's score.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the tables.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}
