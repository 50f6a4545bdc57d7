//! Who is compared with whom.

use std::sync::Arc;

use hstep::config::check;
use hstep::{Error, Result, config as layers};
use toml::{Table, Value};

use crate::registry::Registry;
use crate::settings::Settings;

/// An algorithm with settings on an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// Its name in legends and tables.
    pub label: String,
    /// The algorithm, with or without the suffix of a preset.
    pub algo: String,
    /// The environment.
    pub env: String,
    /// Environment steps.
    pub steps: u64,
    /// Settings beyond the presets, each `key=value`.
    pub overrides: Vec<String>,
}

impl Contender {
    /// `algo` on `env` under its usual settings and name.
    pub fn new(algo: &str, env: &str, steps: u64) -> Self {
        let (label, overrides) = (super::algorithm(algo), Vec::new());
        Self { label, algo: algo.into(), env: env.into(), steps, overrides }
    }

    /// The same under another name and with more settings.
    #[must_use]
    pub fn with(&self, label: impl Into<String>, overrides: &[String]) -> Self {
        let overrides = [&self.overrides, overrides].concat();
        Self { label: label.into(), overrides, ..self.clone() }
    }
}

/// Everything that is trained for a figure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The figure: folder of its runs and of its data.
    pub figure: &'static str,
    /// Who is compared.
    pub contenders: Vec<Contender>,
    /// Seeds of the runs, fixed before they are made.
    pub seeds: Vec<u64>,
    /// Runs at a time.
    pub jobs: usize,
    /// Settings of all contenders, each `key=value`; a contender's own win.
    pub shared: Vec<String>,
}

impl Plan {
    /// # Errors
    /// [`Error::Config`] naming the key of the figure, or the key of a run that is refused.
    pub fn validate(&self) -> Result<()> {
        check::at_least("seeds", self.seeds.len(), 1)?;
        check::at_least("jobs", self.jobs, 1)?;
        let mut sorted = self.seeds.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|w| w[0] == w[1]) {
            let problem = format!("expected every seed once, got {:?}", self.seeds);
            return Err(Error::config("seeds", problem));
        }
        self.contenders.iter().try_for_each(|c| self.settings(c, self.seeds[0]).map(drop))
    }

    /// The resolved settings of a run.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn settings(&self, contender: &Contender, seed: u64) -> Result<Settings> {
        let mut table = Table::new();
        // As TOML writes it, whatever is in it.
        let text = |word: &str| Value::String(word.to_owned());
        let own = [
            format!("run.algo={}", text(&contender.algo)),
            format!("run.env={}", text(&contender.env)),
            format!("run.seed={seed}"),
            format!("run.steps={}", contender.steps),
        ];
        for settings in [&own[..], &self.shared, &contender.overrides] {
            layers::set_all(&mut table, settings)?;
        }
        Settings::layered(&Arc::new(Registry::new()), table)
    }
}

/// Environment steps that show learning on a native environment in minutes (ours).
pub fn usual_steps(env: &str) -> u64 {
    match env {
        "pendulum" => 4_000,
        "double-integrator" => 2_000,
        "leg-2r" => 6_000,
        _ => 10_000,
    }
}

/// Words of a list in quotes, for messages.
pub fn quoted(words: &[String]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
