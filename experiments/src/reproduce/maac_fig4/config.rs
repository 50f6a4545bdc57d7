//! What `hstep reproduce maac-fig4` takes as `key=value`, and who is compared by it.

use hstep::config::check;
use hstep::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan, usual_steps};

/// The ablation and the horizons. The paper gives no numbers for this figure; what has no tag is
/// `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The full algorithm; `maac-paper` takes the paper's networks instead of the small ones.
    pub algo: String,
    /// Environments, a panel each.
    pub envs: Vec<String>,
    /// Environment steps of every run; unset, what an environment usually needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Environment steps between evaluations.
    pub every: u64,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Model steps of the full algorithm.
    pub horizon: usize,
    /// Trajectories from each start state in the full algorithm. 5: code.
    pub samples: usize,
    /// Start states a gradient step, the same for all.
    pub starts: usize,
    /// Horizons beside `horizon` in the second figure; none leaves that figure out.
    pub horizons: Vec<usize>,
    /// Evaluations at the end that make the final return.
    pub last: usize,
    /// A drop is severe when less than this share of the full algorithm's rise above random
    /// actions is left.
    pub severe: f64,
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
            algo: "maac".into(),
            envs: vec!["pendulum".into()],
            steps: Some(2_000),
            every: 250,
            seeds: vec![0, 1, 2, 3, 4],
            horizon: 3,
            samples: 5,
            starts: 64,
            horizons: vec![10],
            last: 3,
            severe: 0.5,
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
                envs: vec!["pendulum".into()],
                steps: Some(1_500),
                seeds: vec![0, 1],
                horizons: vec![1, 10],
                ..usual
            },
            Effort::Usual => usual,
            // The longest run that the paper's text names: 150 rollouts of 1,000 steps.
            Effort::Full => Self {
                algo: "maac-paper".into(),
                steps: Some(150_000),
                every: 1_000,
                horizon: 4,
                starts: 256,
                ..usual
            },
        }
    }

    pub fn check(&self) -> Result<()> {
        check::at_least("envs", self.envs.len(), 1)?;
        check::at_least("horizon", self.horizon, 1)?;
        check::at_least("samples", self.samples, 2)?;
        check::at_least("every", self.every as usize, 1)?;
        check::at_least("last", self.last, 1)?;
        check::at_least("episodes", self.episodes, 1)?;
        check::fraction("severe", self.severe)?;
        if self.horizons.contains(&0) {
            let problem = "expected horizons of 1 or more; 0 is in the first figure anyway";
            return Err(Error::config("horizons", problem));
        }
        Ok(())
    }

    pub fn make_plan(&self, figure: &'static str) -> Plan {
        let of = |env: &String| [self.ablation(env), self.sweep(env)].concat();
        let mut contenders: Vec<Contender> = self.envs.iter().flat_map(of).collect();
        contenders.dedup();
        Plan {
            figure,
            contenders,
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: vec![
                format!("run.eval.episodes={}", self.episodes),
                format!("run.eval.every={}", self.every),
            ],
        }
    }

    /// The full algorithm, then without each of its parts.
    pub fn ablation(&self, env: &str) -> Vec<Contender> {
        let full = self.full(env);
        let without = |label: &str, setting: &str| full.with(label, &[setting.to_owned()]);
        vec![
            full.clone(),
            without("H = 0", "improve.horizon=0"),
            without("no STEVE", "target.kind=\"td0\""),
            without("one sample", "improve.samples=1"),
        ]
    }

    /// The full algorithm at all horizons, in rising order; the one of `horizon` is the full one's
    /// own run.
    pub fn sweep(&self, env: &str) -> Vec<Contender> {
        if self.horizons.is_empty() {
            return Vec::new();
        }
        let mut horizons = self.horizons.clone();
        horizons.push(self.horizon);
        horizons.sort_unstable();
        horizons.dedup();
        let full = self.full(env);
        let at = |h: usize| full.with(format!("H = {h}"), &[format!("improve.horizon={h}")]);
        horizons.into_iter().map(at).collect()
    }

    fn full(&self, env: &str) -> Contender {
        let steps = self.steps.unwrap_or_else(|| usual_steps(env));
        let settings = [
            format!("improve.horizon={}", self.horizon),
            format!("improve.samples={}", self.samples),
            format!("improve.starts={}", self.starts),
        ];
        let contender = Contender::new(&self.algo, env, steps);
        contender.with(contender.label.clone(), &settings)
    }
}
