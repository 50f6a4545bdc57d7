//! What `hstep reproduce maac-table1` takes as `key=value`, and who is trained for it.

use hstep::Result;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan, usual_steps};

/// Whose policies are evaluated with and without a plan. The paper gives no numbers for the planner;
/// what has no tag is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The algorithm that trains the policies.
    pub algo: String,
    /// Environments, a row each.
    pub envs: Vec<String>,
    /// Environment steps of every run; unset, what an environment usually needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Episodes an evaluation, with and without a plan on the same start states.
    pub episodes: usize,
    /// Settings of the planner, `key = value` each.
    pub planner: toml::Table,
    /// Runs at a time, one thread each.
    pub jobs: usize,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            algo: "maac".into(),
            envs: vec!["pendulum".into()],
            steps: Some(5_000),
            seeds: vec![0, 1, 2, 3, 4],
            episodes: 20,
            planner: toml::Table::new(),
            jobs: 2,
            bootstrap_seed: 0,
        }
    }
}

impl Config {
    pub fn at(effort: Effort) -> Self {
        let usual = Self::default();
        match effort {
            Effort::Quick => Self {
                envs: vec!["pendulum".into()],
                steps: Some(1_500),
                seeds: vec![0, 1],
                episodes: 5,
                ..usual
            },
            Effort::Usual => usual,
            // The longest run that the paper's text names: 150 rollouts of 1,000 steps.
            Effort::Full => Self { algo: "maac-paper".into(), steps: Some(150_000), ..usual },
        }
    }

    pub fn check(&self) -> Result<()> {
        check::at_least("envs", self.envs.len(), 1)?;
        check::at_least("episodes", self.episodes, 1)
    }

    pub fn make_plan(&self, figure: &'static str) -> Plan {
        Plan {
            figure,
            contenders: self.contenders(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: Vec::new(),
        }
    }

    /// One an environment.
    pub fn contenders(&self) -> Vec<Contender> {
        let steps = |env: &str| self.steps.unwrap_or_else(|| usual_steps(env));
        self.envs.iter().map(|env| Contender::new(&self.algo, env, steps(env))).collect()
    }
}
