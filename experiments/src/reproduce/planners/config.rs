//! What `hstep reproduce planners-learning` takes as `key=value`, and who is compared by it.

use hstep::Result;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan};

/// Planners on the pendulum. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Algorithms with a policy, judged by evaluations.
    pub learners: Vec<String>,
    /// Environment steps of each.
    pub steps: u64,
    /// Algorithms that plan every action, judged by their training episodes.
    pub planners: Vec<String>,
    /// Environment steps of each.
    pub planner_steps: u64,
    /// Episodes an evaluation of a planner: each step of one is a plan.
    pub planner_episodes: usize,
    /// The return that is to be held, or reached in training.
    pub level: f64,
    /// Training episodes that are averaged (rows of the metrics, one an episode in PETS's preset).
    pub window: usize,
    /// Seeds out of all that must do it.
    pub enough: usize,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Episodes an evaluation.
    pub episodes: usize,
    /// Runs at a time, one thread each.
    pub jobs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            learners: vec!["mopac".into(), "demorl".into()],
            steps: 4_000,
            planners: vec!["pets".into()],
            planner_steps: 3_000,
            planner_episodes: 1,
            level: -200.0,
            window: 5,
            enough: 4,
            seeds: vec![0, 1, 2, 3, 4],
            episodes: 20,
            jobs: 2,
        }
    }
}

impl Config {
    pub fn at(effort: Effort) -> Self {
        let usual = Self::default();
        match effort {
            Effort::Quick => {
                Self { seeds: vec![0], enough: 1, steps: 2_000, planner_steps: 1_500, ..usual }
            }
            Effort::Usual | Effort::Full => usual,
        }
    }

    pub fn check(&self) -> Result<()> {
        check::at_least("learners", self.learners.len(), 1)?;
        check::at_least("planners", self.planners.len(), 1)?;
        check::at_least("enough", self.seeds.len(), self.enough)?;
        check::at_least("episodes", self.episodes, 1)?;
        check::at_least("window", self.window, 1)?;
        check::at_least("planner_episodes", self.planner_episodes, 1)
    }

    pub fn make_plan(&self, figure: &'static str) -> Plan {
        Plan {
            figure,
            contenders: [self.learners(), self.planners()].concat(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: vec![format!("run.eval.episodes={}", self.episodes)],
        }
    }

    /// Those with a policy.
    pub fn learners(&self) -> Vec<Contender> {
        let of = |algo: &String| Contender::new(algo, "pendulum", self.steps);
        self.learners.iter().map(of).collect()
    }

    /// Those that plan every action.
    pub fn planners(&self) -> Vec<Contender> {
        let few = [format!("run.eval.episodes={}", self.planner_episodes)];
        let of = |algo: &String| {
            let contender = Contender::new(algo, "pendulum", self.planner_steps);
            contender.with(contender.label.clone(), &few)
        };
        self.planners.iter().map(of).collect()
    }
}
