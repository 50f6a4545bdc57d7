//! What `hstep reproduce demorl-fig4` takes as `key=value`, and who is compared by it.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan, quoted, usual_steps};

/// Algorithms on the leg, and the claim. What has no tag is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The environment. A two-link leg: paper.
    pub env: String,
    /// The algorithms. M-DeMoRL and SAC: paper.
    pub algos: Vec<String>,
    /// Whose final return is claimed to be `times` that of `against`. M-DeMoRL: paper.
    pub of: String,
    /// Whom it is compared with. SAC: paper.
    pub against: String,
    /// The claimed ratio. 2: paper.
    pub times: f64,
    /// Environment steps of every run; unset, what the environment usually needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Environment steps between evaluations.
    pub every: u64,
    /// Seeds of the runs, fixed before they are made.
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
            env: "leg-2r".into(),
            algos: ["demorl", "mopac", "maac", "mbpo", "sac"].map(String::from).into(),
            of: "demorl".into(),
            against: "sac".into(),
            times: 2.0,
            steps: None,
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
            Effort::Quick => Self { steps: Some(2_000), seeds: vec![0, 1], ..usual },
            Effort::Usual => usual,
            // 80 epochs of 1,000 steps: paper.
            Effort::Full => Self { steps: Some(80_000), every: 1_000, ..usual },
        }
    }

    pub fn check(&self) -> Result<()> {
        check::positive("times", self.times)?;
        check::at_least("every", self.every as usize, 1)?;
        check::at_least("last", self.last, 1)?;
        check::at_least("episodes", self.episodes, 1)?;
        for (key, algo) in [("of", &self.of), ("against", &self.against)] {
            if !self.algos.contains(algo) {
                let problem = format!("expected one of {}, got `{algo}`", quoted(&self.algos));
                return Err(Error::config(key, problem));
            }
        }
        Ok(())
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

    /// One an algorithm.
    pub fn contenders(&self) -> Vec<Contender> {
        let steps = self.steps.unwrap_or_else(|| usual_steps(&self.env));
        self.algos.iter().map(|algo| Contender::new(algo, &self.env, steps)).collect()
    }
}
