//! What a run needs before it has a folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::columns::{columns, timing_columns};
use super::folder::{check_versions, take};
use super::{DUE, Episode, RunConfig, Trainer, checkpoint_folder, sources};
use crate::checkpoint::{CheckpointDir, Loaded};
use crate::dynamics::simulated::simulator;
use crate::env::{Env, EnvFactory, Spread};
use crate::error::{Error, Result};
use crate::learner::Agent;
use crate::log::{Log, Stopwatch, seconds_since_1970};
use crate::metrics::{EventWriter, MetricsWriter};
use crate::parts::MODEL;
use crate::rng::Rng;

/// What the parameters of the environment are drawn from where an agent learns in simulation only.
pub(super) fn drawn(agent: &Agent, env: &mut dyn Env) -> Result<Option<Spread>> {
    if agent.hybrid.schedule.simulated != Some(true) {
        return Ok(None);
    }
    let Some(spread) = agent.parts.models.get(MODEL).and_then(|model| model.parameters()) else {
        let problem = "expected a model of kind `simulator`, in which it can learn";
        return Err(Error::config("loop.simulated", problem));
    };
    spread.prepare(simulator(env)?)?;
    Ok(Some(spread.clone()))
}

/// An environment and a fresh agent, without a folder yet.
pub struct Prepared {
    pub(super) config: RunConfig,
    pub(super) make: EnvFactory,
    pub(super) env: Box<dyn Env>,
    pub(super) drawn: Option<Spread>,
    pub(super) agent: Agent,
}

impl Prepared {
    /// What simulates the environment, and the versions ([`Env::versions`]).
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.env.versions()
    }

    /// Opens the run in `folder`, as [`Trainer::open`].
    ///
    /// # Errors
    /// As [`Trainer::open`].
    pub fn open(self, folder: &Path, identity: &str) -> Result<Trainer> {
        let (lock, found) = take(folder, identity)?;
        self.begin(folder, identity, lock, found)
    }

    pub(super) fn begin(
        self,
        folder: &Path,
        identity: &str,
        lock: File,
        found: Option<Loaded>,
    ) -> Result<Trainer> {
        let Self { config, make, env, drawn, agent } = self;
        let info = env.info().clone();
        let root = Rng::new(config.seed);
        let checkpoints = CheckpointDir::new(checkpoint_folder(folder));
        if let Some(loaded) = &found {
            check_versions(loaded, env.as_ref(), folder)?;
        }
        let columns = columns(&agent, env.as_ref());
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let timing = timing_columns();
        let metrics = match &found {
            Some(loaded) => MetricsWriter::resume(folder, &columns, &timing, &loaded.metrics)?,
            None => MetricsWriter::create(folder, &columns, &timing)?,
        };
        let resumed = found.as_ref().map(|loaded| loaded.step);
        let board = EventWriter::create(folder, seconds_since_1970(), resumed)?;
        let mut run = Trainer {
            identity: identity.to_string(),
            agent,
            make,
            env,
            drawn,
            info,
            env_rng: root.fork("env"),
            episode: Episode::default(),
            log: Log::default(),
            watch: Stopwatch::default(),
            eval_return: None,
            due: true,
            metrics,
            board,
            checkpoints,
            saved_at: None,
            warned: false,
            lost: Vec::new(),
            _lock: lock,
            config,
        };
        let sourced = sources::any(&run.config, &run.agent);
        // At step 0 nothing was done that could be gone on with, but for the evaluation there.
        let done = |loaded: &Loaded| loaded.step > 0 || !loaded.states.contains_key(DUE);
        match found.filter(|loaded| done(loaded) || sourced) {
            Some(loaded) => run.restore(loaded)?,
            None => {
                run.start_episode()?;
                // Before the first row: rows without a checkpoint are those of a run that lost it.
                run.save()?;
                run.watch = Stopwatch::default();
            }
        }
        Ok(run)
    }
}
