//! The one place for limits: what an agent will take is estimated before anything of it is allocated.

use crate::agent::{Hybrid, ModelSource};
use crate::env::EnvInfo;
use crate::error::{Error, Result};

/// The most members of an ensemble, of a model or of a critic.
pub const MEMBERS: usize = 1_000;
/// The most rows of a batch.
pub const ROWS: usize = 1_000_000;
/// The most samples of a start state, or of its last state, in a gradient step.
pub const SAMPLES: usize = 10_000;
/// The most start states of a round of branched rollouts.
pub const STARTS: usize = 10_000_000;
/// The most episodes of an evaluation, each in an environment of its own.
pub const EPISODES: usize = 10_000;
/// The widest layer.
pub const WIDTH: usize = 1_000_000;
/// The deepest network.
pub const LAYERS: usize = 1_000;

/// Numbers kept of every parameter: itself, its gradient, Adam's two moments, and a target or an older
/// copy.
const COPIES: f64 = 5.0;
/// Numbers kept of every activation: itself, its slope and its gradient, and the block beside it.
const PASSES: f64 = 4.0;
const BYTES: f64 = 4.0;

/// Bytes that this process may use: the least of the machine's memory, the limit of its group (a
/// container, a job) and that of the process itself; `None` where the system does not say.
#[must_use]
pub fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.iter().filter_map(|path| read(path)?.trim().parse().ok());
    #[cfg(unix)]
    let own = {
        use rustix::process::{Resource, getrlimit};
        [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current)
    };
    #[cfg(not(unix))]
    let own = [None];
    machine.into_iter().chain(group).chain(own.into_iter().flatten()).min()
}

/// Something that will be allocated.
struct Need {
    key: &'static str,
    what: String,
    bytes: f64,
}

/// Refuses an agent whose networks, or whose gradient steps, do not fit the memory.
///
/// # Errors
/// [`Error::Config`] naming the key that takes most.
pub fn check(hybrid: &Hybrid, info: &EnvInfo) -> Result<()> {
    fits(needs(hybrid, info), memory())
}

fn fits(needs: Vec<Need>, memory: Option<u64>) -> Result<()> {
    let Some(memory) = memory else { return Ok(()) };
    let total: f64 = needs.iter().map(|need| need.bytes).sum();
    let most = needs.into_iter().max_by(|a, b| a.bytes.total_cmp(&b.bytes));
    match most {
        Some(Need { key, what, bytes }) if total > memory as f64 => {
            let problem = format!(
                "{what} would take about {}, all networks {}, and there are {}: expected a smaller one",
                gigabytes(bytes),
                gigabytes(total),
                gigabytes(memory as f64)
            );
            Err(Error::config(key, problem))
        }
        _ => Ok(()),
    }
}

fn needs(hybrid: &Hybrid, info: &EnvInfo) -> Vec<Need> {
    let (o, a) = (info.obs_dim, info.action_dim());
    let mut needs = Vec::new();
    let mut network =
        |keys: [&'static str; 2], sizes: [usize; 2], hidden: &[usize], members, rows| {
            let net = Net { input: sizes[0], hidden, output: sizes[1], members };
            let (parameters, activations) = (net.parameters(), net.activations());
            let key = if members > 2 && members > hidden.len() { keys[1] } else { keys[0] };
            let what = format!("networks of {parameters:.3e} parameters");
            needs.push(Need { key, what, bytes: BYTES * COPIES * parameters });
            let what = format!("a gradient step of {rows} rows");
            needs.push(Need { key, what, bytes: BYTES * PASSES * activations * rows as f64 });
        };
    let batch = hybrid.schedule.batch;
    if let Some(ac) = &hybrid.actor_critic {
        network(["actor.hidden", "actor.hidden"], [o, 2 * a], &ac.actor.hidden, 1, batch);
        let critic = &ac.critic;
        let keys = ["critic.hidden", "critic.members"];
        network(keys, [o + a, 1], &critic.hidden, critic.members, batch);
    }
    if let Some(value) = &hybrid.value {
        network(["value.hidden", "value.members"], [o, 1], &value.hidden, 1, batch);
    }
    if let Some(ModelSource::Learned(model)) = &hybrid.model {
        let keys = ["model.hidden", "model.members"];
        network(keys, [o + a, 2 * (o + 1)], &model.hidden, model.members, model.batch);
    }
    needs
}

/// The sizes of a stack of layers, as numbers that do not overflow.
struct Net<'a> {
    input: usize,
    hidden: &'a [usize],
    output: usize,
    members: usize,
}

impl Net<'_> {
    fn widths(&self) -> impl Iterator<Item = f64> {
        let inner = self.hidden.iter().copied().chain([self.output]);
        inner.map(|width| width as f64)
    }

    fn parameters(&self) -> f64 {
        let inputs = std::iter::once(self.input as f64).chain(self.widths());
        self.members as f64 * inputs.zip(self.widths()).map(|(i, o)| (i + 1.0) * o).sum::<f64>()
    }

    fn activations(&self) -> f64 {
        self.members as f64 * self.widths().sum::<f64>()
    }
}

/// Says what the replay buffers will come to, where that is worth knowing: they grow with the run, and
/// a run that ends for want of memory ends late.
pub fn tell_of_replay(hybrid: &Hybrid, info: &EnvInfo, steps: u64) {
    let row = BYTES * (2 * info.obs_dim + info.action_dim() + 2) as f64;
    let real = (hybrid.schedule.replay as f64).min(steps as f64);
    let imagined = if hybrid.model.is_some() { hybrid.imagine.capacity(steps) as f64 } else { 0.0 };
    let bytes = row * (real + imagined);
    let line = |has: &str| {
        format!("the replay buffers will take up to {}, this machine has {has}", gigabytes(bytes))
    };
    match memory() {
        Some(memory) if 2.0 * bytes > memory as f64 => tracing::warn!(
            "{}; a smaller `loop.replay` takes less",
            line(&gigabytes(memory as f64))
        ),
        Some(memory) if bytes >= 1e9 => tracing::info!("{}", line(&gigabytes(memory as f64))),
        _ => {}
    }
}

/// `22.6 GB`.
fn gigabytes(bytes: f64) -> String {
    let n = bytes / 1e9;
    if n < 1000.0 { format!("{n:.1} GB") } else { format!("{n:.1e} GB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_counted_as_it_is_made() {
        let net = Net { input: 3, hidden: &[5, 7], output: 2, members: 2 };
        assert_eq!(net.parameters(), 2.0 * (4.0 * 5.0 + 6.0 * 7.0 + 8.0 * 2.0));
        assert_eq!(net.activations(), 2.0 * 14.0);
        let huge = Net { input: 3, hidden: &[usize::MAX; 3], output: 2, members: usize::MAX };
        assert!(huge.parameters().is_finite() && huge.parameters() > 1e50);
    }

    #[test]
    fn what_takes_most_is_named() {
        let need = |key, bytes| Need { key, what: "it".into(), bytes };
        let needs = || vec![need("a", 3e9), need("b", 6e9)];
        assert!(fits(needs(), Some(9_000_000_000)).is_ok() && fits(needs(), None).is_ok());
        let error = fits(needs(), Some(8_900_000_000)).unwrap_err().to_string();
        let words =
            "config: `b`: it would take about 6.0 GB, all networks 9.0 GB, and there are 8.9 GB";
        assert!(error.starts_with(words), "{error}");
    }
}
