//! The one place for limits: what an agent will take is estimated before anything of it is allocated.

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
    key: String,
    what: String,
    bytes: f64,
}

/// The sizes of a network that will be made, as numbers that do not overflow.
pub struct Network {
    /// The key that says how wide it is.
    pub hidden_key: String,
    /// The key that says how many there are.
    pub members_key: String,
    /// Width of its input.
    pub input: usize,
    /// Widths of its hidden layers.
    pub hidden: Vec<usize>,
    /// Width of its output.
    pub output: usize,
    /// How many there are.
    pub members: usize,
    /// Rows of its gradient step; `None` is the batch of the agent.
    pub rows: Option<usize>,
}

/// Refuses an agent whose networks, or whose gradient steps, do not fit the memory.
///
/// # Errors
/// [`Error::Config`] naming the key that takes most.
pub fn check(networks: Vec<Network>, batch: usize) -> Result<()> {
    fits(needs(networks, batch), memory())
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

fn needs(networks: Vec<Network>, batch: usize) -> Vec<Need> {
    let mut needs = Vec::new();
    for network in networks {
        let (parameters, activations) = (network.parameters(), network.activations());
        let rows = network.rows.unwrap_or(batch);
        let Network { hidden_key, members_key, hidden, members, .. } = network;
        let key = if members > 2 && members > hidden.len() { members_key } else { hidden_key };
        let what = format!("networks of {parameters:.3e} parameters");
        needs.push(Need { key: key.clone(), what, bytes: BYTES * COPIES * parameters });
        let what = format!("a gradient step of {rows} rows");
        needs.push(Need { key, what, bytes: BYTES * PASSES * activations * rows as f64 });
    }
    needs
}

impl Network {
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
///
/// `rows` of `width` numbers each.
pub fn tell_of_replay(rows: f64, width: usize) {
    let bytes = BYTES * rows * width as f64;
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
        let network = |hidden: &[usize], members| Network {
            hidden_key: "hidden".into(),
            members_key: "members".into(),
            input: 3,
            hidden: hidden.to_vec(),
            output: 2,
            members,
            rows: None,
        };
        let net = network(&[5, 7], 2);
        assert_eq!(net.parameters(), 2.0 * (4.0 * 5.0 + 6.0 * 7.0 + 8.0 * 2.0));
        assert_eq!(net.activations(), 2.0 * 14.0);
        let huge = network(&[usize::MAX; 3], usize::MAX);
        assert!(huge.parameters().is_finite() && huge.parameters() > 1e50);
    }

    #[test]
    fn what_takes_most_is_named() {
        let need = |key: &str, bytes| Need { key: key.into(), what: "it".into(), bytes };
        let needs = || vec![need("a", 3e9), need("b", 6e9)];
        assert!(fits(needs(), Some(9_000_000_000)).is_ok() && fits(needs(), None).is_ok());
        let error = fits(needs(), Some(8_900_000_000)).unwrap_err().to_string();
        let words =
            "config: `b`: it would take about 6.0 GB, all networks 9.0 GB, and there are 8.9 GB";
        assert!(error.starts_with(words), "{error}");
    }
}
