//! What a run's replay buffers cost: a full real buffer and a full model buffer, measured.
//!
//! An MBPO agent on the stand-in (17 observations, 6 actions) fills its real buffer, fits its model
//! to all of it, imagines as many transitions, takes a gradient step, and is checkpointed. What the
//! buffers hold is their own count; the peak is the process's, as the system saw it.

use std::collections::BTreeMap;

use hstep::checkpoint::{CheckpointDir, Snapshot};
use hstep::env::native;
use hstep::kinds::Kinds;
use hstep::learner::Agent;
use hstep::log::{Log, Stopwatch};
use hstep::metrics::Seal;
use hstep::replay::{Replay, TransitionRow};
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::train::by_part;
use hstep::{Error, Result, algo, config};

use crate::output::say;

/// The agent's own settings are irrelevant here but for its buffers: few fits, small networks.
const SETTINGS: [&str; 12] = [
    "loop.updates_per_step=1",
    "loop.fit_every=1",
    "model.hidden=[64, 64]",
    "model.weight_decay=[]",
    "model.max_steps=50",
    "model.holdout_max=1000",
    "actor.hidden=[64, 64]",
    "critic.hidden=[64, 64]",
    "imagine.horizon=1.0",
    "imagine.retain_rounds=1",
    "imagine.real_ratio=0.05",
    "loop.batch=256",
];

/// Fills buffers of `rows` transitions each and prints, stage by stage, what they hold and the
/// process's peak.
///
/// # Errors
/// [`Error::Config`] for too few rows, [`Error::Io`] when the checkpoint cannot be written.
pub fn run(rows: usize) -> Result<()> {
    let mut env = native::simulator("stand-in")?;
    let info = env.info().clone();
    let (entry, _) = algo::find("mbpo")?;
    let mut settings = entry.preset(None, &Kinds::stock())?;
    config::set_all(&mut settings, &SETTINGS.map(String::from))?;
    let sized = ["loop.random_steps", "loop.replay", "imagine.starts"];
    config::set_all(&mut settings, &sized.map(|key| format!("{key}={rows}")))?;
    let hybrid = entry.build(&settings)?;
    let mut agent = Agent::new(hybrid, &info, env.known(), &Rng::new(0), &Spec::f32())?;

    let row_bytes = size_of::<f32>() * (2 * info.obs_dim + info.action_dim() + 2);
    let raw = 2 * rows * row_bytes;
    let start = peak();
    say!("{rows} real and {rows} model transitions of {row_bytes} bytes")?;
    say!("{:<22} {:>14} {:>8} {:>14} {:>8}", "", "buffers", "of raw", "peak", "of raw")?;
    let share = |bytes: usize| bytes as f64 / raw as f64;
    let line = |stage: &str, held: usize| -> Result<()> {
        match (peak(), start) {
            (Some(peak), Some(start)) => {
                let peak = peak.saturating_sub(start);
                let (of, peaks) = (share(held), share(peak));
                say!("{stage:<22} {held:>14} {of:>8.3} {peak:>14} {peaks:>8.3}")
            }
            _ => say!("{stage:<22} {held:>14} {:>8.3} {:>14} {:>8}", share(held), "-", "-"),
        }
    };
    say!("{:<22} {raw:>14} {:>8.3}", "raw", 1.0)?;

    let most = fill(&mut agent, &mut env, rows)?;
    line("filled, at most", most)?;
    line("filled", held(&agent))?;
    agent.learn(&mut Log::default(), &mut Stopwatch::default())?;
    if agent.imagined.len() != rows {
        let got = agent.imagined.len();
        return Err(Error::shape("imagined transitions", format!("{rows}"), got));
    }
    line("fitted, imagined", held(&agent))?;
    save(&agent)?;
    line("checkpointed", held(&agent))
}

/// Steps the environment `rows` times with random actions; the most that the buffers ever held.
fn fill(agent: &mut Agent, env: &mut Box<dyn hstep::env::Simulator>, rows: usize) -> Result<usize> {
    let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let mut rng = Rng::new(1);
    let mut obs = env.reset(&mut rng)?;
    let mut most = 0;
    for _ in 0..rows {
        let action: Vec<f64> =
            (0..env.info().action_dim()).map(|_| 2.0 * rng.uniform() - 1.0).collect();
        let step = env.step(&action)?;
        let row = TransitionRow {
            obs: &narrow(&obs),
            action: &narrow(&action),
            reward: step.reward as f32,
            next_obs: &narrow(&step.obs),
            cont: if step.terminated { 0.0 } else { 1.0 },
            own: Vec::new(),
        };
        agent.observe(&row, None)?;
        most = most.max(held(agent));
        obs = if step.truncated { env.reset(&mut rng)? } else { step.obs };
    }
    Ok(most)
}

fn held(agent: &Agent) -> usize {
    [&agent.real, &agent.imagined].map(Replay::allocated_bytes).iter().sum()
}

/// Writes a checkpoint into a temporary folder, which is removed again.
fn save(agent: &Agent) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("hstep-memory-{}", std::process::id()));
    let buffers = [("real", &agent.real), ("imagined", &agent.imagined)];
    let buffers: BTreeMap<String, &Replay> = buffers.map(|(n, b)| (n.to_string(), b)).into();
    let (parts, states) = (by_part(agent.tensors()?), agent.state()?);
    let snapshot = Snapshot { parts, states, buffers, ..Snapshot::default() };
    let saved = CheckpointDir::new(&folder).save(&snapshot, 0, &Seal::default(), "");
    let removed = std::fs::remove_dir_all(&folder);
    saved?;
    removed.map_err(Error::io("cannot remove", folder))
}

/// The largest resident size of this process so far, in bytes; none where the system does not say.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kb| kb * 1024)
}
