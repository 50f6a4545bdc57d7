//! What `hstep reproduce mopac-fig2 | demorl-fig2 | maac-fig2` take as `key=value`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hstep::Result;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use crate::reproduce::Effort;
use crate::reproduce::compare::{Contender, Plan};

/// Algorithms on MuJoCo tasks. Everything is `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The tasks, a panel each.
    pub envs: Vec<String>,
    /// The algorithms, a line each, with settings after a space where some differ from the presets
    /// (`maac-2core improve.horizon=2`); `-2core` has fewer updates or plans than the paper.
    pub algos: Vec<String>,
    /// Names of entries of `algos` in legends and tables, where they are not to be the usual ones.
    pub labels: BTreeMap<String, String>,
    /// Environment steps.
    pub steps: u64,
    /// Environment steps of an algorithm that has others.
    pub steps_of: BTreeMap<String, u64>,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Episodes an evaluation; one is made as often as the task's preset says.
    pub episodes: usize,
    /// Evaluations that a number in the table is the mean of.
    pub window: usize,
    /// The name of picture and table, for a part of a figure that is to lie beside the others; the
    /// figure's own when left out.
    pub file: Option<String>,
    /// The title above the picture; the paper and its figure when left out.
    pub title: Option<String>,
    /// Runs at a time; one has all threads.
    pub jobs: usize,
    /// The folder with published curves; only drawn, never part of the settings.
    #[serde(skip)]
    pub reference: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            envs: Vec::new(),
            algos: Vec::new(),
            labels: BTreeMap::new(),
            steps: 50_000,
            steps_of: BTreeMap::new(),
            seeds: vec![0],
            episodes: 10,
            window: 5,
            file: None,
            title: None,
            jobs: 1,
            reference: None,
        }
    }
}

/// The tasks of the papers' figures, as far as they are Gymnasium's.
const TASKS: [&str; 4] = ["HalfCheetah-v4", "Hopper-v4", "Walker2d-v4", "Ant-v4"];

impl Config {
    /// `learned` are compared with SAC, which learns slowest; all in the papers' sizes if `Full`,
    /// otherwise in those of two cores.
    pub fn at(effort: Effort, learned: &[&str], others: &[&str]) -> Self {
        let sized = |name: &&str| match effort {
            Effort::Full => (*name).to_owned(),
            Effort::Quick | Effort::Usual => format!("{name}-2core"),
        };
        let algos: Vec<String> =
            learned.iter().map(sized).chain(others.iter().map(|name| (*name).to_owned())).collect();
        let usual = Self { algos, ..Self::default() };
        match effort {
            Effort::Quick => {
                Self { envs: vec![TASKS[0].into()], steps: 7_000, episodes: 1, ..usual }
            }
            Effort::Usual => Self { envs: vec![TASKS[0].into()], ..usual },
            Effort::Full => Self {
                envs: TASKS.map(String::from).into(),
                steps: 150_000,
                seeds: vec![0, 1, 2],
                ..usual
            },
        }
    }

    /// # Errors
    /// [`hstep::Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        check::at_least("envs", self.envs.len(), 1)?;
        check::at_least("algos", self.algos.len(), 1)?;
        check::at_least("episodes", self.episodes, 1)?;
        check::at_least("window", self.window, 1)?;
        let plain = |name: &&String| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if let Some(name) = self.file.as_ref().filter(|name| !plain(name)) {
            let problem = format!("expected letters, digits, `-` and `_`, got `{name}`");
            return Err(hstep::Error::config("file", problem));
        }
        for (key, names) in [
            ("steps_of", Vec::from_iter(self.steps_of.keys())),
            ("labels", Vec::from_iter(self.labels.keys())),
        ] {
            if let Some(name) = names.into_iter().find(|name| !self.algos.contains(name)) {
                let problem = format!("`{name}` is not compared; expected one of {:?}", self.algos);
                return Err(hstep::Error::config(key, problem));
            }
        }
        Ok(())
    }

    /// The algorithms on a task.
    pub fn on(&self, env: &str) -> Vec<Contender> {
        let contender = |entry: &String| {
            let steps = *self.steps_of.get(entry).unwrap_or(&self.steps);
            let mut words = entry.split_whitespace().map(String::from);
            let own = Contender::new(&words.next().unwrap_or_default(), env, steps);
            let settings: Vec<String> = words.collect();
            let label = match self.labels.get(entry) {
                Some(label) => label.clone(),
                None if settings.is_empty() => own.label.clone(),
                None => format!("{}, {}", own.label, settings.join(", ")),
            };
            own.with(label, &settings)
        };
        self.algos.iter().map(contender).collect()
    }

    /// Every task and algorithm. The figures share runs and data.
    pub fn make_plan(&self) -> Plan {
        Plan {
            figure: "mujoco",
            contenders: self.envs.iter().flat_map(|env| self.on(env)).collect(),
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            shared: vec![format!("run.eval.episodes={}", self.episodes)],
        }
    }
}
