//! The one training loop: environment steps, learning, evaluation, metrics, checkpoints.
//!
//! It knows no algorithm and no command line. Progress goes to an [`Observer`]; a run can be
//! stopped between two steps by a flag and resumed bit for bit.

mod bias;
mod board;
mod columns;
mod episodes;
mod evaluate;
mod folder;
mod model_bias;
mod prepared;
mod repair;
mod run;
mod sources;

pub use crate::env::EnvFactory;
pub use bias::{CriticBias, Judged, critic_bias};
pub use columns::TOTAL_COLUMN;
use columns::{columns, eval_failure_column, failure_column, timing_columns, timing_row};
use episodes::saved;
pub use evaluate::{EvalConfig, Evaluation, Moment, evaluate, evaluate_until, evaluate_watched};
use folder::{LOST, VERSIONS, check_versions, load, take};
pub use folder::{by_part, checkpoint_folder, saved_agent};
pub use model_bias::{ModelBias, Standing, model_bias};
pub use prepared::Prepared;
use prepared::drawn;
pub use repair::{Keep, Repaired, repair};
pub use run::{ModelChoice, Observer, Outcome, Progress, RunConfig};
pub use sources::{hash_of_data, hash_of_run};

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::agent::Hybrid;
use crate::checkpoint::{CheckpointDir, Loaded, Snapshot};
use crate::dynamics::simulated::randomise;
use crate::env::{Env, EnvInfo, Spread};
use crate::error::{Error, Result};
use crate::json::{from_json, json};
use crate::learner::{Agent, WAYS_OUT};
use crate::limits;
use crate::log::{Log, Phase, Stopwatch, seconds_since_1970};
use crate::metrics::{EventWriter, MetricsWriter};
use crate::nn::check_finite;
use crate::replay::TransitionRow;
use crate::rng::{Rng, RngState};
use crate::shape::Spec;

/// The running episode, beside the simulator's own state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Episode {
    obs: Vec<f64>,
    total: f64,
    length: u64,
    simulator: Option<Vec<f64>>,
}

/// Environment steps between rows of the metrics where nothing is evaluated.
const ROWS_EVERY: u64 = 1_000;

/// The state of a checkpoint that was saved in the middle of an evaluation.
const DUE: &str = "evaluation_due";

/// One run: an agent, its environment and its folder.
pub struct Trainer {
    config: RunConfig,
    identity: String,
    agent: Agent,
    make: EnvFactory,
    env: Box<dyn Env>,
    /// What the environment's parameters are drawn from before every step, if they are.
    drawn: Option<Spread>,
    info: EnvInfo,
    env_rng: Rng,
    episode: Episode,
    log: Log,
    watch: Stopwatch,
    eval_return: Option<f64>,
    /// Whether the newest step is still to be evaluated.
    due: bool,
    metrics: MetricsWriter,
    board: EventWriter,
    checkpoints: CheckpointDir,
    saved_at: Option<u64>,
    warned: bool,
    /// What repairs dropped: the run is not what its settings alone say.
    lost: Vec<String>,
    // Held for as long as the run is open; the system lets go of it when the process ends.
    _lock: File,
}

impl Trainer {
    /// Opens the run in `folder`: fresh, or where its newest checkpoint stands. `identity` is the
    /// hash of the semantic settings; a checkpoint of another identity is refused.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder that cannot be written, [`Error::Checkpoint`] for a checkpoint
    /// that cannot be read, [`Error::Config`] for settings that do not fit.
    pub fn open(
        config: RunConfig,
        hybrid: Hybrid,
        make: EnvFactory,
        folder: &Path,
        identity: &str,
        spec: &Spec,
    ) -> Result<Self> {
        // Before the environment: it may be code that the folder's settings name.
        let (lock, found) = take(folder, identity)?;
        let fresh = found.is_none();
        Self::made(config, hybrid, make, spec, fresh)?.begin(folder, identity, lock, found)
    }

    /// Makes what a run needs before it has a folder: settings that do not fit are refused here, and
    /// nothing is written.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit; as the environment.
    pub fn prepare(
        config: RunConfig,
        hybrid: Hybrid,
        make: EnvFactory,
        spec: &Spec,
    ) -> Result<Prepared> {
        Self::made(config, hybrid, make, spec, true)
    }

    fn made(
        config: RunConfig,
        hybrid: Hybrid,
        make: EnvFactory,
        spec: &Spec,
        fresh: bool,
    ) -> Result<Prepared> {
        config.validate()?;
        let mut env = make()?;
        let real = (hybrid.schedule.replay as f64).min(config.steps as f64);
        let imagined = match hybrid.models.is_empty() {
            true => 0.0,
            false => hybrid.imagine.capacity(config.steps) as f64,
        };
        let rng = Rng::new(config.seed).fork("agent");
        let mut agent = Agent::within(hybrid, env.info(), env.known(), Some(&make), &rng, spec)?;
        limits::tell_of_replay(real + imagined, agent.real.width());
        if fresh {
            sources::begin_with(&mut agent, &config)?;
        }
        let drawn = drawn(&agent, env.as_mut())?;
        Ok(Prepared { config, make, env, drawn, agent })
    }
}

impl Prepared {
    /// Opens the run in `folder`, as [`Trainer::open`].
    ///
    /// # Errors
    /// As [`Trainer::open`].
    pub fn open(self, folder: &Path, identity: &str) -> Result<Trainer> {
        let (lock, found) = take(folder, identity)?;
        self.begin(folder, identity, lock, found)
    }

    fn begin(
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

impl Trainer {
    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The agent, once nothing more is trained.
    #[must_use]
    pub fn into_agent(self) -> Agent {
        self.agent
    }

    /// Where the clock time went.
    #[must_use]
    pub fn stopwatch(&self) -> &Stopwatch {
        &self.watch
    }

    /// Writes a fresh run's settings into its TensorBoard events, as a text and as hyper-parameters.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn describe(&mut self, settings: &toml::Table) -> Result<()> {
        let fresh = self.agent.counters.env_steps == 0;
        if fresh { board::describe(&mut self.board, settings) } else { Ok(()) }
    }

    /// Fresh environments of this run's kind.
    #[must_use]
    pub fn factory(&self) -> &EnvFactory {
        &self.make
    }

    /// Runs until all steps are done or `stop` is raised; saves at the end either way.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when a number blows up, [`Error::Env`] when the environment fails,
    /// [`Error::Io`] when nothing can be written. What was saved before stays.
    pub fn run(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        if self.due || self.agent.counters.env_steps < self.config.steps {
            // Where a process begins, and with it its clocks.
            let row = timing_row(self.agent.counters.env_steps, |_| 0.0, 0.0);
            self.metrics.write_timing(&row)?;
        }
        self.due &= self.config.eval.every > 0;
        if self.due && !self.evaluate(stop, observer)? {
            self.save()?;
            return Ok(Outcome::Interrupted);
        }
        while self.agent.counters.env_steps < self.config.steps {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Ok(Outcome::Interrupted);
            }
            self.step()?;
            self.agent.learn(&mut self.log, &mut self.watch)?;
            let at = self.agent.counters.env_steps;
            let every = self.config.eval.every;
            self.due = every > 0 && at.is_multiple_of(every);
            if every == 0 && at.is_multiple_of(ROWS_EVERY) {
                self.write_row(None, observer)?;
            }
            if self.due && !self.evaluate(stop, observer)? {
                self.save()?;
                return Ok(Outcome::Interrupted);
            }
            let share = self.watch.share(Phase::Checkpoint);
            if at.is_multiple_of(self.config.checkpoint_every)
                && share <= self.config.checkpoint_share
            {
                self.save()?;
            }
            observer.step(&Progress {
                counters: &self.agent.counters,
                steps: self.config.steps,
                eval_return: self.eval_return,
                log: &self.log,
            });
        }
        self.save()?;
        Ok(Outcome::Done)
    }

    /// One step of the environment, stored unless its simulation failed.
    fn step(&mut self) -> Result<()> {
        let Self { agent, env, info, episode, watch, drawn, .. } = self;
        let state = agent.simulates().then(|| saved(env.as_mut())).transpose()?;
        let action =
            watch.time(Phase::Planning, || agent.explore(&episode.obs, state.as_deref()))?;
        if let Some(spread) = drawn {
            randomise(env.as_mut(), spread)?;
        }
        let step = watch.time(Phase::Environment, || env.step(&info.denormalise(&action)?))?;
        let failure = env.failure_kind();
        if failure.is_none() {
            let at = || format!("env step {}", agent.counters.env_steps + 1);
            info.check_answer("reward", &[step.reward], at)?;
            info.check_answer("observation", &step.obs, at)?;
        }
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let row = TransitionRow {
            obs: &narrow(&self.episode.obs),
            action: &narrow(&action),
            reward: step.reward as f32,
            next_obs: &narrow(&step.obs),
            cont: if step.terminated { 0.0 } else { 1.0 },
            own: Vec::new(),
        };
        let next = agent.simulates().then(|| saved(env.as_mut())).transpose()?;
        match failure {
            Some(_) => self.agent.lose(),
            None => self.agent.observe(&row, next.as_deref())?,
        }
        self.episode.total += step.reward;
        self.episode.length += 1;
        self.episode.obs = step.obs;
        if step.terminated {
            self.warn_of_unknown_ends();
        }
        if step.terminated || step.truncated {
            self.agent.counters.episodes += 1;
            self.log.mean("train_return", self.episode.total);
            self.log.mean("train_length", self.episode.length as f64);
            if let Some(kind) = failure {
                self.log.count(&failure_column(kind));
            }
            self.start_episode()?;
        }
        Ok(())
    }

    /// Says once that the learned model does not know the end that has just been seen.
    fn warn_of_unknown_ends(&mut self) {
        if self.agent.is_blind_to_ends() && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "environment `{}` ENDS EPISODES and does not say when: in the learned model they go on, and \
                 the policy may learn to go there; {WAYS_OUT}",
                self.info.name
            );
        }
    }

    fn start_episode(&mut self) -> Result<()> {
        let obs = self.env.reset(&mut self.env_rng)?;
        let at = || format!("env step {}", self.agent.counters.env_steps);
        self.info.check_answer("first observation", &obs, at)?;
        self.episode = Episode { obs, ..Episode::default() };
        self.agent.begin_episode();
        Ok(())
    }

    /// Evaluates and writes a row of the metrics; `false` where `stop` was raised before the end, and
    /// nothing was written.
    fn evaluate(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<bool> {
        let Self { agent, make, config, watch, .. } = self;
        let eval =
            watch.time(Phase::Evaluation, || evaluate_until(agent, make, &config.eval, stop));
        let at = agent.counters.env_steps;
        let eval = eval.map_err(|error| match error {
            Error::NonFinite { quantity, .. } => {
                Error::NonFinite { quantity, step: format!("the evaluation at env step {at}") }
            }
            other => other,
        })?;
        let Some(eval) = eval else { return Ok(false) };
        self.due = false;
        // A checkpoint of this step, from when the evaluation was stopped, lacks its row.
        self.saved_at = None;
        self.eval_return = Some(eval.mean());
        for kind in &eval.failures {
            self.log.count(&eval_failure_column(kind));
        }
        self.write_row(Some(&eval), observer)?;
        Ok(true)
    }

    /// Writes a row of the metrics, with what an evaluation has found where there was one.
    fn write_row(&mut self, eval: Option<&Evaluation>, observer: &mut dyn Observer) -> Result<()> {
        let c = self.agent.counters;
        let mut row = columns::counted(&c, eval);
        for (name, value) in self.log.take() {
            row.set(name, value);
        }
        self.metrics.write(&row)?;
        let booked = |phase| self.watch.seconds(phase);
        self.metrics.write_timing(&timing_row(c.env_steps, booked, self.watch.total()))?;
        self.board.write(c.env_steps, seconds_since_1970(), &board::grouped(&row))?;
        observer.row(&row);
        Ok(())
    }

    /// Saves everything, unless this very step is saved already.
    ///
    /// # Errors
    /// [`Error::Io`] when nothing can be written, [`Error::NonFinite`] for a number that is not finite.
    pub fn save(&mut self) -> Result<()> {
        let at = self.agent.counters.env_steps;
        if self.saved_at == Some(at) {
            return Ok(());
        }
        self.episode.simulator = self.env.as_simulator().map(|s| s.save());
        let mut strings = self.agent.state()?;
        strings.insert("episode".into(), json(&self.episode)?);
        strings.insert("log".into(), json(&self.log)?);
        strings.insert("eval_return".into(), json(&self.eval_return)?);
        if !self.lost.is_empty() {
            strings.insert(LOST.into(), json(&self.lost)?);
        }
        if self.due {
            strings.insert(DUE.into(), json(&self.due)?);
        }
        let versions = self.env.versions();
        if !versions.is_empty() {
            strings.insert(VERSIONS.into(), json(&versions)?);
        }
        strings.insert("rng.env".into(), json(&self.env_rng.state())?);
        let Self { agent, watch, checkpoints, metrics, identity, .. } = self;
        watch.time(Phase::Checkpoint, || {
            let mut buffers = BTreeMap::from([("real".to_string(), &agent.real)]);
            if !agent.parts.models.is_empty() {
                buffers.insert("imagined".to_string(), &agent.imagined);
            }
            let tensors = agent.tensors()?;
            // The next update would notice, but by then the last good checkpoint might be gone.
            for (name, tensor) in &tensors {
                let place = format!("the checkpoint of env step {at}");
                check_finite(tensor, format!("`{name}`"), place)?;
            }
            let (parts, foreign) = (by_part(tensors), agent.foreign.clone());
            let snapshot = Snapshot { parts, states: strings, buffers, foreign };
            checkpoints.save(&snapshot, at, &metrics.sync()?, identity)
        })?;
        self.saved_at = Some(at);
        Ok(())
    }

    fn restore(&mut self, mut loaded: Loaded) -> Result<()> {
        load(&mut self.agent, &loaded)?;
        if let Some(real) = loaded.buffers.remove("real") {
            self.agent.real = real;
        }
        if let Some(imagined) = loaded.buffers.remove("imagined") {
            self.agent.imagined = imagined;
        }
        self.episode = from_json("episode", &loaded.states)?;
        self.log = from_json("log", &loaded.states)?;
        self.eval_return = from_json("eval_return", &loaded.states)?;
        self.due = loaded.states.contains_key(DUE);
        if loaded.states.contains_key(LOST) {
            self.lost = from_json(LOST, &loaded.states)?;
        }
        let state: RngState = from_json("rng.env", &loaded.states)?;
        self.env_rng = Rng::from_state(&state);
        match (&self.episode.simulator, self.env.as_simulator()) {
            (Some(state), Some(simulator)) => simulator.restore(state)?,
            _ => {
                tracing::warn!(
                    "environment `{}` cannot restore its state: the episode starts anew",
                    self.info.name
                );
                self.start_episode()?;
            }
        }
        self.saved_at = Some(loaded.step);
        Ok(())
    }
}
