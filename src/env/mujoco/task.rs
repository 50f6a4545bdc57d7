//! [`Mujoco`]: a [`Task`] as an environment with episodes, a clock and exact save and restore.

use super::definition::{File, Task};
use super::offscreen::Offscreen;
use super::physical::{self, Varied};
use super::rules::{self, Reading};
use super::tasks::TASKS;
use super::{Data, Library, Model, Parts, find, functions, looks};
use crate::env::clock::{Clock, Phase};
use crate::env::parameters::Parameter;
use crate::env::scene::{Painter, Scene};
use crate::env::{Env, EnvInfo, Known, Simulator, Step};
use crate::error::{Error, Result};
use crate::rng::Rng;

use std::collections::BTreeMap;
use std::sync::Arc;

/// An environment on MuJoCo.
///
/// A saved state is MuJoCo's integration state, then what observations and rewards read that lags
/// behind it ([`Task::fields`]), the number of steps taken and the phase of the episode (0 running,
/// 1 terminated, 2 truncated, 3 not started).
///
/// A simulation that fails (a warning of MuJoCo: numbers that explode, a full buffer of contacts; or
/// a number that is not finite) is cut: the step leaves the state as it was, earns nothing and is
/// truncated; [`Mujoco::failure`] and the log say why, and the metrics of a run count the kinds.
#[derive(Debug)]
pub struct Mujoco {
    task: &'static Task,
    info: EnvInfo,
    data: Data,
    before: Reading,
    now: Reading,
    integration: Vec<f64>,
    forces: bool,
    clock: Clock,
    failure: Option<String>,
    varied: Varied,
}

/// Kinds of failure: what MuJoCo's warnings (`mjtWarning`) say of them, and their names in the
/// metrics. The last is for all others.
const FAILURES: [(&str, &str); 9] = [
    ("value in QPOS", "qpos"),
    ("value in QVEL", "qvel"),
    ("value in QACC", "qacc"),
    ("value in CTRL", "ctrl"),
    ("Inertia matrix", "inertia"),
    ("Too many contacts", "contacts_full"),
    ("number of constraints", "constraints_full"),
    (NOT_FINITE, "not_finite"),
    ("", "other"),
];

/// Ours, where MuJoCo has not noticed.
const NOT_FINITE: &str = "a number is not finite";

/// How a simulated step went.
enum Outcome {
    Whole(Step),
    Failed(String),
}

impl Mujoco {
    /// The task called `name`, on the library that is found.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name; [`Error::Env`] without library or model file.
    pub fn named(name: &str) -> Result<Self> {
        let Some(task) = TASKS.iter().find(|task| task.name == name) else {
            let known: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
            let problem = format!("unknown MuJoCo task `{name}`; known: {}", known.join(", "));
            return Err(Error::config("env", problem));
        };
        let named = |error| Self::named_after(task, error);
        Self::new(task, &Library::get().map_err(named)?).map_err(named)
    }

    /// An error of the library as that of the task.
    fn named_after(task: &Task, error: Error) -> Error {
        match error {
            Error::Env { env, problem } if env == "mujoco" => Error::env(task.name, problem),
            other => other,
        }
    }

    /// A task on a library.
    ///
    /// # Errors
    /// [`Error::Env`] without the model file, or for one that the task was not defined on.
    pub fn new(task: &'static Task, library: &Arc<Library>) -> Result<Self> {
        let model: Arc<Model> = match task.file {
            File::Asset(file) => library.model(&find::asset(file)?)?,
            File::Control(file) => library.model(&find::control(file)?)?,
            File::Own(name, text) => library.model_of_text(name, text)?,
        };
        let mut data = Data::new(&model)?;
        if !task.parameters.is_empty() {
            let (names, values): (Vec<&str>, Vec<f64>) = task.parameters.iter().copied().unzip();
            Varied::new(task.name, &mut data, &names)?.set(&mut data, &values)?;
            data.reset()?;
        }
        rules::fits(task, &mut data)?;
        let reading = Reading::new(task, &data);
        Ok(Self {
            info: task.info(),
            before: reading.clone(),
            now: reading,
            integration: vec![0.0; model.sizes().integration],
            forces: task.fields().contains(&super::Field::CfrcExt),
            clock: Clock::new(),
            failure: None,
            varied: Varied::default(),
            data,
            task,
        })
    }

    /// What it is.
    #[must_use]
    pub fn task(&self) -> &'static Task {
        self.task
    }

    /// The simulation.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Why the simulation of the last step failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Positions.
    #[must_use]
    pub fn qpos(&self) -> &[f64] {
        self.now.qpos()
    }

    /// Velocities.
    #[must_use]
    pub fn qvel(&self) -> &[f64] {
        self.now.qvel()
    }

    /// The phase of the leg's goal, rad.
    pub(super) fn phase(&self) -> f64 {
        Task::phase(&self.now)
    }

    /// Starts an episode at positions and velocities, at time 0, and returns its observation.
    ///
    /// # Errors
    /// [`Error::Shape`] for other lengths, [`Error::Env`] where nothing can be simulated.
    pub fn reset_to(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<Vec<f64>> {
        let sizes = *self.data.model().sizes();
        for (what, got, expected) in [
            ("positions", qpos.len(), sizes.positions),
            ("velocities", qvel.len(), sizes.velocities),
        ] {
            if got != expected {
                let place = format!("{what} of environment `{}`", self.info.name);
                return Err(Error::shape(place, format!("[{expected}]"), [got]));
            }
        }
        self.begin(&[&[0.0], qpos, qvel].concat())
    }

    /// Starts an episode at time, positions and velocities.
    fn begin(&mut self, moving: &[f64]) -> Result<Vec<f64>> {
        self.clock = Clock::new();
        self.failure = None;
        self.data.reset()?;
        rules::set_moving(&mut self.data, moving)?;
        if let Some(warning) = self.data.forward()? {
            self.data.reset()?;
            let problem = format!("an episode cannot start: MuJoCo warns: {warning}");
            return Err(Error::env(&self.info.name, problem));
        }
        self.now.read(&self.data)?;
        if !self.now.is_finite() {
            let quantity = format!("start of environment `{}`", self.info.name);
            return Err(Error::NonFinite { quantity, step: "its first step".into() });
        }
        self.clock = Clock::started();
        Ok(self.observe())
    }

    /// The steps of one action; a failure leaves everything as it was.
    fn advance(&mut self, action: &[f64]) -> Result<Outcome> {
        let clipped: Vec<f64> =
            action.iter().zip(self.task.limits).map(|(a, most)| a.clamp(-most, *most)).collect();
        self.data.get(Parts::INTEGRATION, &mut self.integration)?;
        std::mem::swap(&mut self.before, &mut self.now);
        match self.simulate_frames(&clipped) {
            Ok(None) => {}
            Ok(Some(failure)) => {
                self.set_back()?;
                return Ok(Outcome::Failed(failure));
            }
            Err(error) => {
                // MuJoCo gave up within a step: nothing of the simulation can be relied on.
                self.clock = Clock::new();
                self.data.reset()?;
                return Err(error);
            }
        }
        self.clock.steps += 1;
        let terminated = self.task.ends(&self.now);
        let reward = self.task.reward(&self.before, &self.now, &clipped, terminated);
        Ok(Outcome::Whole(Step { obs: self.observe(), reward, terminated, truncated: false }))
    }

    fn simulate_frames(&mut self, action: &[f64]) -> Result<Option<String>> {
        self.data.set(Parts::CTRL, action)?;
        if let Some(warning) = self.data.step(self.task.frames)? {
            return Ok(Some(warning));
        }
        if self.forces {
            self.data.external_forces()?;
        }
        self.now.read(&self.data)?;
        Ok((!self.now.is_finite()).then(|| NOT_FINITE.into()))
    }

    /// Back to before the step.
    fn set_back(&mut self) -> Result<()> {
        std::mem::swap(&mut self.before, &mut self.now);
        self.data.reset()?;
        self.data.set(Parts::INTEGRATION, &self.integration)
    }

    /// Whether [`Simulator::simulate`] takes steps.
    pub(super) fn goes_on(&self) -> Result<bool> {
        self.clock.goes_on(&self.info)
    }

    /// Sets a part of the state for the next step alone.
    pub(super) fn set_part(&mut self, part: Parts, numbers: &[f64]) -> Result<()> {
        self.data.set(part, numbers)
    }

    fn saved_shape(&self, got: usize) -> Error {
        let place = format!("saved state of environment `{}`", self.info.name);
        Error::shape(place, format!("[{}]", self.state_dim()), [got])
    }

    /// A step in which nothing moved.
    fn still(&self, terminated: bool, truncated: bool) -> Step {
        Step { obs: self.observe(), reward: 0.0, terminated, truncated }
    }
}

impl Env for Mujoco {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.data.reset()?;
        self.now.read_moving(&self.data)?;
        let moving = self.task.begin(&self.now, rng);
        self.begin(&moving)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        self.clock.check(&self.info)?;
        self.failure = None;
        match self.advance(action)? {
            Outcome::Whole(mut step) => {
                step.truncated = self.clock.end(step.terminated, false, &self.info);
                Ok(step)
            }
            Outcome::Failed(why) => {
                let (name, steps) = (&self.info.name, self.clock.steps);
                tracing::warn!("environment `{name}`: cut after {steps} steps, MuJoCo: {why}");
                self.failure = Some(why);
                let truncated = self.clock.end(false, true, &self.info);
                Ok(self.still(false, truncated))
            }
        }
    }

    fn known(&self) -> Known {
        functions::known(self.task)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let library = &self.data.model().library;
        BTreeMap::from([("mujoco".into(), library.version().into())])
    }

    fn scene(&self) -> Option<Scene> {
        let state = self.save();
        match looks::scene(self, &state[..self.integration.len()]) {
            Ok(scene) => scene,
            Err(error) => {
                tracing::error!("environment `{}`: cannot be drawn: {error}", self.info.name);
                None
            }
        }
    }

    fn painter(&self, size: [usize; 2]) -> Result<Box<dyn Painter>> {
        let painter = Offscreen::new(self.data.model(), size);
        Ok(Box::new(painter.map_err(|error| Self::named_after(self.task, error))?))
    }

    fn failure_kinds(&self) -> &'static [&'static str] {
        const KINDS: [&str; FAILURES.len()] = {
            let mut kinds = [""; FAILURES.len()];
            let mut i = 0;
            while i < kinds.len() {
                kinds[i] = FAILURES[i].1;
                i += 1;
            }
            kinds
        };
        &KINDS
    }

    fn failure_kind(&self) -> Option<&'static str> {
        let why = self.failure()?;
        FAILURES.iter().find(|(words, _)| why.contains(words)).map(|(_, kind)| *kind)
    }

    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        Some(self)
    }
}

impl Simulator for Mujoco {
    fn state_dim(&self) -> usize {
        self.integration.len() + self.now.lagging().count() + Clock::SAVED
    }

    fn save(&self) -> Vec<f64> {
        let mut state = vec![0.0; self.integration.len()];
        if let Err(error) = self.data.get(Parts::INTEGRATION, &mut state) {
            // The length is MuJoCo's own; there is nothing else to go wrong.
            tracing::error!("environment `{}`: cannot be saved: {error}", self.info.name);
        }
        state.extend(self.now.lagging());
        state.extend(self.clock.save());
        state
    }

    fn restore(&mut self, state: &[f64]) -> Result<()> {
        let expected = self.state_dim();
        let physical = expected - Clock::SAVED;
        let [.., steps, phase] = state else {
            return Err(self.saved_shape(state.len()));
        };
        if state.len() != expected {
            return Err(self.saved_shape(state.len()));
        }
        let clock = Clock::restored([*steps, *phase], &self.info)?;
        let (integration, lagging) = state[..physical].split_at(self.integration.len());
        self.data.set(Parts::INTEGRATION, integration)?;
        self.now.read_moving(&self.data)?;
        self.now.set_lagging(lagging);
        self.clock = clock;
        self.failure = None;
        Ok(())
    }

    fn observe(&self) -> Vec<f64> {
        self.task.observe(&self.now)
    }

    fn parameters(&self) -> Vec<Parameter> {
        physical::parameters(self.data.model())
    }

    fn vary(&mut self, names: &[&str]) -> Result<()> {
        self.varied = Varied::new(&self.info.name, &mut self.data, names)?;
        Ok(())
    }

    fn set_varied(&mut self, values: &[f64]) -> Result<()> {
        self.data.get(Parts::INTEGRATION, &mut self.integration)?;
        let lost = self.varied.set(&mut self.data, values)?;
        let before = &self.integration;
        if lost { self.data.set(Parts::INTEGRATION, before) } else { Ok(()) }
    }

    fn simulate(&mut self, action: &[f64]) -> Result<Step> {
        self.info.check_action(action)?;
        if !self.goes_on()? {
            return Ok(self.still(true, false));
        }
        self.failure = None;
        match self.advance(action)? {
            Outcome::Whole(step) => {
                self.clock.phase = if step.terminated { Phase::Terminated } else { Phase::Running };
                Ok(step)
            }
            // No model goes on from numbers that mean nothing: as good as a terminal state.
            Outcome::Failed(why) => {
                self.failure = Some(why);
                self.clock.phase = Phase::Terminated;
                Ok(self.still(true, false))
            }
        }
    }
}
