//! What can be written on the command line.

mod many;

use std::path::PathBuf;

use crate::seeds::Seeds;
use crate::test_plan::Kind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hstep::shape::Precision;
use hstep_proofs::check::EVALUATIONS;
use hstep_proofs::reading::{Norm, Play, RewardRange};

pub use many::{Compare, Report, Sweep, Watch};

/// Differentiable model-based reinforcement learning: one H-step objective, four uses.
///
/// Without a command: the quickstart.
#[derive(Debug, Parser)]
#[command(name = "hstep", version, after_help = crate::exit::help(), arg_required_else_help = false)]
pub struct Cli {
    /// What to do; the quickstart when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Log more to stderr; twice for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Log errors only, and show no progress bar.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Threads to compute with; HSTEP_THREADS or what the machine offers when left out. The
    /// results are the same for any number.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train an algorithm on an environment, or run a configuration file.
    Train(Train),
    /// Train many runs from one file, several at a time; the same command goes on.
    Sweep(Sweep),
    /// Go on with an interrupted or extended run.
    Resume(Resume),
    /// Check everything that run folders promise: checkpoints, rows of metrics, settings.
    Verify(Verify),
    /// Make a run whose replay is damaged go on with the rows that are whole.
    Repair(Repair),
    /// Evaluate a run's policy.
    Eval(Eval),
    /// Draw evaluation episodes of a run: a strip of pictures and a film.
    Render(Render),
    /// Write what a run has learned for other programs: safetensors, npz or ONNX.
    Export(Export),
    /// Tabulate what runs reached, and where their time went.
    Report(Report),
    /// Serve the page of `report --html` to this machine's browser; it follows runs while they go.
    Watch(Watch),
    /// Compare runs: groups of equal settings over seeds, with intervals; tables and figures.
    Compare(Compare),
    /// Draw a figure of the papers again.
    Reproduce(Reproduce),
    /// Check a bound of the papers: as printed, as it holds, and a search against both.
    Check(Check),
    /// Print every setting of an algorithm, on an environment: its value, and where it is from.
    Show(Train),
    /// Print the JSON schema of configuration files, for editors that complete and explain them.
    Schema,
    /// List what there is.
    List(List),
    /// Measure how fast the parts of training run on this machine.
    Bench(Bench),
    /// Look at this machine: what there is, what is missing, and how to mend it.
    Doctor,
    /// Print what a shell completes commands and options with.
    Completions(Completions),
    /// Fetch what some environments need.
    #[cfg(feature = "mujoco")]
    Setup(Setup),
    /// Measure what full replay buffers, or an actor step through the model, cost in memory.
    #[command(hide = true)]
    Memory(Memory),
}

impl Command {
    /// Whether there is work to save when a signal comes.
    pub fn saves(&self) -> bool {
        matches!(self, Self::Train(_) | Self::Resume(_) | Self::Reproduce(_) | Self::Sweep(_))
    }
}

/// `hstep completions SHELL`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell; bash: `hstep completions bash > ~/.local/share/bash-completion/completions/hstep`.
    pub shell: clap_complete::Shell,
}

/// `hstep memory`
#[derive(Debug, Args)]
pub struct Memory {
    /// Transitions in each of the two buffers.
    #[arg(long, default_value_t = 1_000_000)]
    pub rows: usize,
    /// Measure one actor step through so many model steps instead.
    #[arg(long, value_name = "H", conflicts_with = "rows")]
    pub horizon: Option<usize>,
}

/// `hstep train ALGO --env ENV [key=value ...]` or `hstep train FILE.toml [key=value ...]`
#[derive(Debug, Clone, Args)]
pub struct Train {
    /// An algorithm (see `hstep list algos`) or a configuration file ending in `.toml`.
    #[arg(value_name = "ALGO|FILE.toml")]
    pub what: String,
    /// The environment (see `hstep list envs`).
    #[arg(long)]
    pub env: Option<String>,
    /// The seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Several seeds one after another: `0..4` (both ends count) or `0,2,5`.
    #[arg(long, conflicts_with = "seed")]
    pub seeds: Option<Seeds>,
    /// Environment steps.
    #[arg(long)]
    pub steps: Option<u64>,
    /// A run folder, whose weights the run begins with (`run.from`).
    #[arg(long, value_name = "RUN")]
    pub from: Option<String>,
    /// The root of the run folders; HSTEP_RUNS or `runs` when left out.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the resolved configuration as TOML, and train nothing.
    #[arg(long)]
    pub print_config: bool,
    /// Settings, for example `improve.horizon=5`.
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// `hstep resume RUN`
#[derive(Debug, Args)]
pub struct Resume {
    /// The run folder.
    pub run: PathBuf,
    /// A larger number of environment steps than before.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Go on with empty replay buffers, where those that were saved are damaged.
    #[arg(long)]
    pub without_replay: bool,
    /// Settings; only those that do not change what is computed.
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// `hstep verify RUN...`
#[derive(Debug, Args)]
pub struct Verify {
    /// The run folders; none of them in training meanwhile.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
}

/// `hstep repair RUN`
#[derive(Debug, Args)]
pub struct Repair {
    /// The run folder.
    pub run: PathBuf,
}

/// `hstep eval RUN`
#[derive(Debug, Args)]
pub struct Eval {
    /// The run folder.
    pub run: PathBuf,
    /// The checkpoint of the best evaluation, which `run.best=true` keeps, in place of the newest.
    #[arg(long)]
    pub best: bool,
    /// Episodes to average over.
    #[arg(long, default_value_t = 20)]
    pub episodes: usize,
    /// Act by a plan over the run's model instead of its policy.
    #[arg(long, value_enum)]
    pub plan: Option<Kind>,
    /// Compare the critic with the discounted returns of the sampled policy, in place of the return.
    #[arg(long, conflicts_with = "plan")]
    pub critic: bool,
    /// Compare rollouts of the policy in the run's model with its episodes, in place of the return.
    #[arg(long, conflicts_with_all = ["plan", "critic"])]
    pub model: bool,
    /// Print one JSON object, with every episode, in place of the lines.
    #[arg(long)]
    pub json: bool,
    /// Settings of the plan, for example `behave.horizon=10` or `planner.samples.count=200`.
    #[arg(requires = "plan")]
    pub settings: Vec<String>,
}

/// `hstep render RUN`
#[derive(Debug, Args)]
pub struct Render {
    /// The run folder.
    pub run: PathBuf,
    /// The checkpoint of the best evaluation, which `run.best=true` keeps, in place of the newest.
    #[arg(long)]
    pub best: bool,
    /// Episodes to draw: the first of those that `hstep eval` averages over.
    #[arg(long, default_value_t = 1)]
    pub episodes: usize,
    /// A folder, or a file whose ending is the format; RUN/render when left out.
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,
    /// Strips are SVG and PNG, films GIF and HTML; all four when left out.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Pictures in a strip, at most.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub frames: usize,
    /// Steps from one picture to the next; when left out, a strip follows the motion and a film
    /// runs in real time.
    #[arg(long, value_name = "N")]
    pub step: Option<usize>,
    /// The first step that is drawn.
    #[arg(long, value_name = "STEP", default_value_t = 0)]
    pub from: usize,
    /// The last step that is drawn; the end of the episode when left out.
    #[arg(long, value_name = "STEP")]
    pub to: Option<usize>,
    /// Pictures by the environment's own renderer in place of drawings, as PNG or GIF (MuJoCo tasks;
    /// needs the library OSMesa).
    #[arg(long)]
    pub offscreen: bool,
}

/// `hstep export RUN`
#[derive(Debug, Args)]
pub struct Export {
    /// The run folder.
    pub run: PathBuf,
    /// The checkpoint of the best evaluation, which `run.best=true` keeps, in place of the newest.
    #[arg(long)]
    pub best: bool,
    /// Tensors by name, with an example to check a reader against; or graphs, for networks of stock kinds.
    #[arg(long, value_enum, default_value = "safetensors")]
    pub format: ExportFormat,
    /// The file, or for ONNX the folder; RUN/export when left out.
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,
}

/// A file format of `hstep export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Tensors, with words as JSON in the header.
    Safetensors,
    /// Tensors for numpy, with words as bytes of JSON in `about`.
    Npz,
    /// policy.onnx, critic.onnx and model.onnx.
    Onnx,
}

/// A file format of `hstep render`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A strip of pictures.
    Svg,
    /// A strip of pictures.
    Png,
    /// A film.
    Gif,
    /// A film to stop and to wind.
    Html,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Svg, Self::Png, Self::Gif, Self::Html];

    /// How its files end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Html => "html",
        }
    }
}

/// `hstep reproduce FIGURE`
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The figure (see `hstep list figures`).
    pub figure: String,
    /// Less work: fewer seeds.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// All the work.
    #[arg(long)]
    pub full: bool,
    /// Draw from the data below the folder of the figures; train nothing.
    #[arg(long)]
    pub redraw: bool,
    /// The folder of the figures.
    #[arg(long, value_name = "DIR", default_value = "figures")]
    pub out: PathBuf,
    /// A folder with published curves to draw beside ours (MuJoCo figures).
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// The tasks, for example `HalfCheetah-v4,Hopper-v4`; short for `envs=[...]` (MuJoCo figures).
    #[arg(long, value_name = "ENV,...", value_delimiter = ',')]
    pub envs: Vec<String>,
    /// Environment steps; short for `steps=N`.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Settings, for example `gamma=0.9`.
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// `hstep check RESULT|all`
#[derive(Debug, Args)]
pub struct Check {
    /// A statement (see `hstep list bounds`), or `all`.
    #[arg(value_name = "RESULT|all")]
    pub result: String,
    /// Check this problem, in exact arithmetic, and search for no other. Keys: gamma; reward, a list a
    /// state of a number an action; transition and model, beneath it a list of probabilities of next
    /// states, or an object of next states and theirs; value, a number a state, or null for V*; or P, as
    /// Gymnasium's toy tasks have it. Numbers are decimals or strings "p/q". Above 50 states in intervals.
    #[arg(long, value_name = "FILE.json")]
    pub mdp: Option<PathBuf>,
    /// Divide rows of probabilities whose sum is within 1e-9 of 1 by it, exactly: for files that programs
    /// write.
    #[arg(long, requires = "mdp")]
    pub round: bool,
    /// In intervals, whatever the number of states.
    #[arg(long, requires = "mdp")]
    pub intervals: bool,
    /// Steps that are planned; several when left out, but for --mdp.
    #[arg(long, value_name = "H")]
    pub horizon: Option<usize>,
    /// The norm of the model error.
    #[arg(long, default_value = "tv", value_name = "tv|l1")]
    pub norm: Norm,
    /// Whether a plan is made anew at every step, or run to its end.
    #[arg(long, default_value = "receding", value_name = "receding|executed")]
    pub play: Play,
    /// What r_max is: the largest reward, absolute reward, or difference of rewards. Each statement has
    /// its own default.
    #[arg(long, value_name = "max|abs|span")]
    pub reward_range: Option<RewardRange>,
    /// Instances to search through.
    #[arg(long, default_value_t = EVALUATIONS, value_name = "N")]
    pub evaluations: u64,
    /// Search on for so many seconds.
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// The seed of the search.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write figures, distributions of ratios, counterexamples and a table below this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "mdp")]
    pub out: Option<PathBuf>,
}

/// `hstep bench [WORKLOAD...]` or `hstep bench env NAME...`
#[derive(Debug, Args)]
pub struct Bench {
    /// a: SAC update; b: model training step; c10k, c100k: branched rollouts; d100, d500, d64: MPPI
    /// plans; e5, e10: actor step through the model. All these when left out. d100-prior: a plan
    /// with a prior; limit: matrix products alone. `env` and names of environments: their steps instead.
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,
    /// Seconds to measure each workload for.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub seconds: f64,
    /// Number type of the networks in rollouts.
    #[arg(long, value_parser = precision, default_value = "f32", value_name = "f32|bf16")]
    pub precision: Precision,
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        _ => Err("expected f32 or bf16".into()),
    }
}

/// `hstep setup mujoco`
#[cfg(feature = "mujoco")]
#[derive(Debug, Args)]
pub struct Setup {
    /// What to fetch.
    #[arg(value_enum)]
    pub what: Fetched,
    /// The folder; HSTEP_MUJOCO or `.mujoco` when left out. Another one is found by HSTEP_MUJOCO only.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What can be fetched.
#[cfg(feature = "mujoco")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fetched {
    /// MuJoCo and Gymnasium's model files, into `.mujoco/` of this folder; needs python3 with pip, once.
    Mujoco,
    /// Models of other packages, beside MuJoCo: the control suite's ball in a cup. Needs MuJoCo.
    Models,
}

/// `hstep list algos|envs|figures|bounds`
#[derive(Debug, Args)]
pub struct List {
    /// What to list.
    #[arg(value_enum)]
    pub what: Listed,
    /// Renew the tables of the algorithms between the markers of this file (`docs/algorithms.md`).
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// The algorithms and the four uses they are made of.
    Algos,
    /// The environments.
    Envs,
    /// The figures that can be drawn again.
    Figures,
    /// The statements of the papers that can be checked.
    Bounds,
}
