//! What an actor step through the model holds in memory until its backward pass.
//!
//! Counted by the allocator, in bytes asked for. The library keeps buffers for the next operation,
//! also those of an earlier and larger step: a number is that of a process which does nothing else.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use hstep::pool;

use super::work::ActorStep;
use super::workload::Sizes;
use crate::counting;
use crate::output::say;

/// Bytes beyond those in use before the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// In use when the forward pass has ended.
    pub forward: u64,
    /// The most at any time of the whole step.
    pub peak: u64,
}

/// Measures the first step of this process, and prints it for [`of_a_step`].
///
/// # Errors
/// When the library refuses the horizon.
pub fn run(horizon: usize) -> Result<()> {
    let mut actor = ActorStep::new(horizon, &Sizes::USUAL)?;
    counting::start();
    let graph = actor.forward()?;
    let forward = counting::read().live;
    if forward == 0 {
        bail!("memory is counted by the allocator of `hstep`, and this program has another");
    }
    drop(graph);
    actor.step()?;
    say!("forward {forward} peak {}", counting::read().peak)?;
    Ok(())
}

/// What a step through `horizon` model steps holds, measured by a process of its own.
///
/// # Errors
/// When that process fails.
pub fn of_a_step(horizon: usize) -> Result<StepMemory> {
    let out = Command::new(std::env::current_exe()?)
        .args(["memory", "--horizon", &horizon.to_string()])
        .args(["--threads", &pool::threads().to_string()])
        .output()
        .context("cannot measure the memory of a step in a process of its own")?;
    let said = String::from_utf8_lossy(&out.stdout);
    match said.split_whitespace().collect::<Vec<_>>()[..] {
        ["forward", forward, "peak", peak] => {
            Ok(StepMemory { forward: forward.parse()?, peak: peak.parse()? })
        }
        _ => bail!(
            "the process that measures a step's memory failed: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        ),
    }
}

/// Bytes of what the hidden layers of the policy and of one member put out in a model step, in single
/// precision: what the sizes say that a step keeps.
pub fn activations(sizes: &Sizes) -> f64 {
    let hidden: usize = sizes.hidden().iter().chain(&sizes.model_hidden()).sum();
    (size_of::<f32>() * sizes.batch * hidden) as f64
}
