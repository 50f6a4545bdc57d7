//! What `hstep reproduce demorl-fig3` takes as `key=value`, and who is compared by it.

use hstep::Result;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan, usual_steps};

/// Elite fractions, and the level to hold. What has no tag is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The algorithm.
    pub algo: String,
    /// The environment. HalfCheetah: paper.
    pub env: String,
    /// The setting that is varied.
    pub key: String,
    /// Its values: the share of the rollouts that are elite. 1, 5, 10, 20, 50 and 100 %: paper.
    pub elites: Vec<f64>,
    /// Environment steps of every run; unset, what the environment usually needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// The evaluation return that is to be held, twice in a row; unset, -200 on the pendulum, and
    /// elsewhere nine tenths of the way from random actions to the best final return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Environment steps between evaluations.
    pub every: u64,
    /// Seeds of the runs, fixed before they are made. Three: paper.
    pub seeds: Vec<u64>,
    /// Evaluations at the end that make the final return.
    pub last: usize,
    /// Episodes an evaluation.
    pub episodes: usize,
    /// Runs at a time, one thread each.
    pub jobs: usize,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            algo: "demorl".into(),
            env: "pendulum".into(),
            key: "planner.elites".into(),
            elites: vec![0.01, 0.05, 0.1, 0.2, 0.5, 1.0],
            steps: None,
            level: None,
            every: 250,
            seeds: vec![0, 1, 2, 3, 4],
            last: 3,
            episodes: 20,
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
                elites: vec![0.05, 0.2, 1.0],
                steps: Some(2_000),
                seeds: vec![0, 1],
                ..usual
            },
            Effort::Usual => usual,
            // 80 epochs of 1,000 steps, the longest comparison that the paper's text names.
            Effort::Full => Self {
                algo: "demorl-paper".into(),
                env: "cartpole-swingup".into(),
                steps: Some(80_000),
                every: 1_000,
                ..usual
            },
        }
    }

    pub fn check(&self) -> Result<()> {
        check::at_least("elites", self.elites.len(), 1)?;
        for &elites in &self.elites {
            check::positive("elites", elites)?;
            check::fraction("elites", elites)?;
        }
        check::at_least("every", self.every as usize, 1)?;
        check::at_least("last", self.last, 1)?;
        check::at_least("episodes", self.episodes, 1)
    }

    pub fn make_plan(&self, figure: &'static str) -> Plan {
        Plan {
            figure,
            contenders: self.contenders(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: vec![
                format!("run.eval.episodes={}", self.episodes),
                format!("run.eval.every={}", self.every),
            ],
        }
    }

    /// One an elite fraction.
    pub fn contenders(&self) -> Vec<Contender> {
        let steps = self.steps.unwrap_or_else(|| usual_steps(&self.env));
        let base = Contender::new(&self.algo, &self.env, steps);
        // Always with a point: the value 1 would not be a fraction in TOML.
        let at = |p: &f64| base.with(percent(*p), &[format!("{}={p:?}", self.key)]);
        self.elites.iter().map(at).collect()
    }
}

/// A share as the paper writes it.
fn percent(share: f64) -> String {
    format!("{}\u{a0}%", (1e6 * share).round() / 1e4)
}
