//! What `hstep reproduce mpq-fig1` takes as `key=value`, and who is compared by it.

use hstep::Result;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan};

const ENV: &str = "pendulum-mpq";
/// Steps of an episode.
pub const EPISODE: u64 = 200;
/// Episodes of a row of the metrics.
pub const ROW: u64 = 5;

/// MPQ on its pendulum. What the paper does not state is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Episodes of those who learn.
    pub episodes: u64,
    /// Episodes of those who plan only, whose returns do not change.
    pub planner_episodes: u64,
    /// Episodes at the end whose mean is compared.
    pub last: u64,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
    /// Runs at a time, one thread each.
    pub jobs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            episodes: 300,
            planner_episodes: 60,
            last: 50,
            seeds: vec![0, 1, 2, 3, 4],
            bootstrap_seed: 0,
            jobs: 2,
        }
    }
}

impl Config {
    pub fn at(effort: Effort) -> Self {
        match effort {
            Effort::Quick => Self {
                episodes: 20,
                planner_episodes: 10,
                last: 5,
                seeds: vec![0],
                ..Self::default()
            },
            Effort::Usual | Effort::Full => Self::default(),
        }
    }

    pub fn check(&self) -> Result<()> {
        check::at_least("last", self.last as usize, ROW as usize)?;
        // A curve has two points.
        let fewest = self.last.max(2 * ROW) as usize;
        check::at_least("episodes", self.episodes as usize, fewest)?;
        check::at_least("planner_episodes", self.planner_episodes as usize, fewest)
    }

    pub fn make_plan(&self, figure: &'static str) -> Plan {
        Plan {
            figure,
            contenders: self.contenders().into_iter().map(|(contender, _)| contender).collect(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            // A row of the metrics every five episodes of training.
            shared: vec!["run.eval.every=0".into()],
        }
    }

    /// Who is compared, and the paper's curve of each.
    pub fn contenders(&self) -> Vec<(Contender, &'static str)> {
        let learns = |algo: &str| Contender::new(algo, ENV, self.episodes * EPISODE);
        let plans = Contender::new("mppi", ENV, self.planner_episodes * EPISODE);
        let exact = ["bias.mass", "bias.length", "spread.mass", "spread.length"]
            .map(|key| format!("model.{key}=0.0"));
        vec![
            (learns("mpq").with("MPQ, H=8", &[]), "MPQH8"),
            (plans.with("MPPI, H=8", &["behave.horizon=8".into()]), "MPPIH8"),
            (plans.with("MPPI, H=32", &[]), "MPPIH32"),
            (plans.with("MPPI, H=32, true model", &exact), "MPPIH32TRUE"),
            (learns("soft-q"), "SOFTQ"),
        ]
    }
}
