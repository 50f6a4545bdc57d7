//! Python [`Gymnasium`] environments, each in a process of its own.
//!
//! `gym:ID` is any environment that `gymnasium.make` knows, `gym:module:ID` one that a module
//! registers when it is imported, and `gym:ID?key=value&key=value` one made with keyword arguments
//! (JSON or Python literals, else text). Both spaces must be boxes, of any shape: numbers are laid
//! out row after row. Actions are made of the space's own number type; bounds must be finite. An
//! episode starts with a seed of 31 bits drawn from the caller's stream. The time limit is the
//! spec's `max_episode_steps`; an environment without one can be given one as a keyword argument.
//!
//! The interpreter is `python3`, or what `HSTEP_PYTHON` names. An answer may take 60 seconds, or
//! those of `HSTEP_GYM_TIMEOUT`. What the environment prints goes to the log at the level `debug`.
//! A Python that throws, hangs or ends gives [`Error::Env`] with the whole traceback or with where
//! it was; no process of its group stays behind, whichever of the two ends first (what an environment
//! starts in a session of its own is the environment's to end).
//!
//! Python's own modules and Gymnasium are never taken from the current folder; a module that a name gives
//! is, after all other places. The answer to `make` names what simulates the environment
//! ([`Env::versions`]).
//!
//! What a learned model needs to know and cannot be told over these pipes step by step, Python can say of a
//! batch: `terminated(obs, action, next_obs)`, bools `[B]`, and `reward(obs, action, next_obs)`, floats `[B]`
//! ([`Env::known`]). Each is a method (or a static one) of the unwrapped environment, or else a function of
//! the module that the name gives; one that does not take three arguments is passed over. Arguments are
//! NumPy arrays, lists of rows without NumPy: observations `[B,..]` of the space's shape and, where that is a
//! float, number type; actions `[B,..]` likewise, in the environment's own units.
//!
//! Such an environment is no [`super::Simulator`]: a resumed run starts its episode anew. Needs a
//! Unix: polled pipes and groups of processes.

mod frame;
mod functions;
mod name;
mod options;
mod process;
mod vectorised;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::scene::Image;
use super::{Env, EnvInfo, Known, Step};
use crate::error::{Error, Result};
use crate::rng::Rng;
use frame::{MAX_FRAME, Operation, Parts, numbers};
use name::Name;
use process::Process;

pub use functions::{REWARD, TERMINATED};
pub use name::PREFIX;
pub use options::Options;
pub use vectorised::GymnasiumVec;

/// An environment `gym:ID` in a process of its own, by the [`Options`] of the process environment.
///
/// # Errors
/// As [`Gymnasium::new`]; [`Error::Config`] for a name that is none.
pub fn make(name: &str) -> Result<Box<dyn Env>> {
    Ok(Box::new(Gymnasium::new(name, &Options::from_env()?)?))
}

/// Whether a name is one of these environments'; that there is one of this name is not checked.
///
/// # Errors
/// [`Error::Config`] for a name that begins with [`PREFIX`] and goes on wrongly.
pub fn is_name(name: &str) -> Result<bool> {
    Ok(name.starts_with(PREFIX) && Name::parse(name).map(|_| true)?)
}

const OTHER_LENGTH: &str =
    "an answer of another length came: does something else write to its pipe?";

type Host = Arc<Mutex<Process>>;

fn locked(host: &Host) -> MutexGuard<'_, Process> {
    // Whoever panicked with the lock has left the process as it was: a late answer is refused by
    // its length.
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Environments of one name that share a process, so that each is made without a new import: what
/// a run makes anew for every evaluation.
pub struct Bridge {
    name: String,
    host: Mutex<Option<Host>>,
    idle: Mutex<Vec<Gymnasium>>,
}

impl Bridge {
    /// A bridge to `gym:ID`; Python starts with the first environment.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), host: Mutex::default(), idle: Mutex::default() }
    }

    /// One more environment, by the [`Options`] of the process environment. It takes turns with the
    /// others: Python answers one request after another.
    ///
    /// # Errors
    /// As [`make`].
    pub fn make(&self) -> Result<Gymnasium> {
        let name = Name::parse(&self.name)?;
        let mut shared = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let host = match shared.take().filter(|host| locked(host).lives()) {
            Some(host) => host,
            None => Arc::new(Mutex::new(Process::start(&name.whole, &Options::from_env()?)?)),
        };
        *shared = Some(Arc::clone(&host));
        let mut process = locked(&host);
        let slot = ask(&mut process, &name)?;
        let made = made(&name.whole, &process.receive(Operation::Make)?)?;
        drop(process);
        Ok(Gymnasium::with(made, host, slot))
    }

    /// An environment that was made before and is not in use, or one more. It is kept for the next when
    /// it is dropped, and its episodes are run one at a time ([`Env::is_dear`]): a simulator may have one
    /// licence, one port or one window.
    ///
    /// # Errors
    /// As [`make`].
    pub fn lend(self: &Arc<Self>) -> Result<Gymnasium> {
        let idle = self.idle().pop();
        let mut env = match idle.filter(|env| locked(&env.host).lives()) {
            Some(env) => env,
            None => self.make()?,
        };
        env.owner = Some(Arc::clone(self));
        Ok(env)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Gymnasium>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a process for one more environment; its slot.
fn ask(process: &mut Process, name: &Name) -> Result<u32> {
    let slot = process.slot();
    let call = serde_json::to_vec(&(&name.id, &name.arguments))
        .map_err(|e| Error::env(&name.whole, e.to_string()))?;
    process.send(Operation::Make, slot, &call)?;
    Ok(slot)
}

/// The most that an environment may say of its versions.
const MAX_VERSIONS: usize = 64;

/// What never changes of an environment that was made.
struct Made {
    info: EnvInfo,
    told: Told,
}

/// What Python tells of an environment beside its sizes.
#[derive(Default, serde::Deserialize)]
struct Told {
    versions: BTreeMap<String, String>,
    /// The names of the functions that it has.
    functions: Vec<String>,
    /// Whether it was made with `render_mode=rgb_array`.
    #[serde(default)]
    renders: bool,
}

/// The answer to `make`: sizes, time limit, bounds and, if Python tells, versions and functions.
fn made(name: &str, answer: &[u8]) -> Result<Made> {
    let mut parts = Parts(answer);
    let mut read = || {
        let (obs_dim, action_dim) = (parts.u32()? as usize, parts.u32()? as usize);
        let limit = parts.u64()?;
        let (low, high) = (parts.f64s(action_dim)?, parts.f64s(action_dim)?);
        let told = match parts.0 {
            [] => Told::default(),
            json => serde_json::from_slice(json).ok()?,
        };
        Some((obs_dim, limit, low, high, told))
    };
    let read = read().filter(|(.., told)| told.versions.len() <= MAX_VERSIONS);
    let Some((obs_dim, limit, action_low, action_high, told)) = read else {
        return Err(Error::env(name, OTHER_LENGTH));
    };
    // A step's answer is the observation, the reward, how it ended, and that it is an answer.
    if obs_dim == 0 || action_low.is_empty() || 8 * obs_dim + 10 > MAX_FRAME {
        let problem = format!(
            "it announced {obs_dim} observations and {} actions; expected at least one of each, and \
             observations that fit a frame of {MAX_FRAME} bytes",
            action_low.len()
        );
        return Err(Error::env(name, problem));
    }
    if limit == 0 {
        let problem = "its spec has no `max_episode_steps`, so its episodes might never end: give \
                       it a time limit, for example `gym:ID?max_episode_steps=1000`";
        return Err(Error::env(name, problem));
    }
    for (i, (low, high)) in action_low.iter().zip(&action_high).enumerate() {
        if !(low.is_finite() && high.is_finite() && low < high) {
            let problem = format!(
                "action {i} is bounded by {low} and {high}; expected finite bounds, the lower \
                 one first (gymnasium.wrappers.RescaleAction sets them)"
            );
            return Err(Error::env(name, problem));
        }
    }
    let max_steps = usize::try_from(limit).unwrap_or(usize::MAX);
    let info = EnvInfo { name: name.to_owned(), obs_dim, action_low, action_high, max_steps };
    Ok(Made { info, told })
}

/// A process of its own that was asked for its environment.
struct Begun {
    process: Process,
    slot: u32,
}

impl Begun {
    fn finish(mut self, name: &Name) -> Result<Gymnasium> {
        let made = made(&name.whole, &self.process.receive(Operation::Make)?)?;
        Ok(Gymnasium::with(made, Arc::new(Mutex::new(self.process)), self.slot))
    }
}

/// One environment in a Python process.
pub struct Gymnasium {
    info: EnvInfo,
    told: Told,
    host: Host,
    slot: u32,
    running: bool,
    steps: usize,
    /// Who takes it back when it is dropped.
    owner: Option<Arc<Bridge>>,
}

impl Gymnasium {
    /// `gym:ID`, in a process of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is none; [`Error::Env`] when there is no such interpreter,
    /// when Python fails to import or make it (with the whole traceback), for spaces that are no
    /// boxes, for actions without finite bounds, and without a time limit.
    pub fn new(name: &str, options: &Options) -> Result<Self> {
        let name = Name::parse(name)?;
        Self::begin(&name, options)?.finish(&name)
    }

    /// Starts Python, and waits for nothing.
    fn begin(name: &Name, options: &Options) -> Result<Begun> {
        let mut process = Process::start(&name.whole, options)?;
        let slot = ask(&mut process, name)?;
        Ok(Begun { process, slot })
    }

    fn with(made: Made, host: Host, slot: u32) -> Self {
        let Made { info, told } = made;
        Self { info, told, host, slot, running: false, steps: 0, owner: None }
    }

    /// How long any answer may take from now on, for all environments of this process.
    pub fn set_timeout(&mut self, timeout: Duration) {
        locked(&self.host).timeout = timeout;
    }

    /// The number of the Python process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        locked(&self.host).id()
    }

    fn send_reset(&mut self, process: &mut Process, rng: &mut Rng) -> Result<()> {
        // Within what every generator takes as a seed.
        let seed = rng.below(1 << 31) as u64;
        self.running = false;
        process.send(Operation::Reset, self.slot, &seed.to_le_bytes())
    }

    fn receive_reset(&mut self, process: &mut Process) -> Result<Vec<f64>> {
        let answer = process.receive(Operation::Reset)?;
        let mut parts = Parts(&answer);
        let obs = parts.f64s(self.info.obs_dim).filter(|_| parts.end().is_some());
        let obs = obs.ok_or_else(|| process.garbled(Operation::Reset, OTHER_LENGTH))?;
        (self.running, self.steps) = (true, 0);
        Ok(obs)
    }

    fn send_step(&mut self, process: &mut Process, action: &[f64]) -> Result<()> {
        self.info.check_action(action)?;
        if !self.running {
            return Err(Error::env(&self.info.name, "step without a running episode: call reset"));
        }
        let bounds = self.info.action_low.iter().zip(&self.info.action_high);
        let clipped =
            numbers(action.iter().zip(bounds).map(|(a, (low, high))| a.clamp(*low, *high)));
        self.running = false;
        process.send(Operation::Step, self.slot, &clipped)
    }

    fn receive_step(&mut self, process: &mut Process) -> Result<Step> {
        let answer = process.receive(Operation::Step)?;
        let mut parts = Parts(&answer);
        let mut read = || {
            let (obs, reward) = (parts.f64s(self.info.obs_dim)?, parts.f64()?);
            let ends = parts.u8()?;
            parts.end()?;
            Some((obs, reward, ends))
        };
        let read = read();
        let (obs, reward, ends) =
            read.ok_or_else(|| process.garbled(Operation::Step, OTHER_LENGTH))?;
        self.steps += 1;
        let terminated = ends & 1 != 0;
        let truncated = ends & 2 != 0 || self.steps >= self.info.max_steps;
        self.running = !(terminated || truncated);
        Ok(Step { obs, reward, terminated, truncated })
    }
}

impl Env for Gymnasium {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        let host = Arc::clone(&self.host);
        let mut process = locked(&host);
        self.send_reset(&mut process, rng)?;
        self.receive_reset(&mut process)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        let host = Arc::clone(&self.host);
        let mut process = locked(&host);
        self.send_step(&mut process, action)?;
        self.receive_step(&mut process)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.told.versions.clone()
    }

    /// What its Python functions say; they take turns with its steps.
    fn known(&self) -> Known {
        functions::known(&self.host, self.slot, &self.info, &self.told.functions)
    }

    /// They are of many packages, and the episode of a resumed run starts anew anyhow.
    fn versions_bind(&self) -> bool {
        false
    }

    fn picture(&self) -> Result<Option<Image>> {
        if !self.told.renders {
            return Ok(None);
        }
        let mut process = locked(&self.host);
        process.send(Operation::Render, self.slot, &[])?;
        let answer = process.receive(Operation::Render)?;
        let mut parts = Parts(&answer);
        let size = (parts.u32(), parts.u32());
        let (Some(width), Some(height)) = size else {
            return Err(process.garbled(Operation::Render, OTHER_LENGTH));
        };
        let (width, height) = (width as usize, height as usize);
        if 3 * width as u128 * height as u128 != parts.0.len() as u128 {
            return Err(process.garbled(Operation::Render, OTHER_LENGTH));
        }
        Ok(Some(Image { width, height, rgb: parts.0.to_vec() }))
    }

    fn is_dear(&self) -> bool {
        self.owner.is_some()
    }
}

impl Drop for Gymnasium {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            let made = Made { info: self.info.clone(), told: std::mem::take(&mut self.told) };
            owner.idle().push(Self::with(made, Arc::clone(&self.host), self.slot));
            return;
        }
        let mut process = locked(&self.host);
        // The last one leaves the closing to the process, which closes what it has.
        if process.lives() && Arc::strong_count(&self.host) > 1 {
            let close = process.send(Operation::Close, self.slot, &[]);
            if let Err(error) = close.and_then(|()| process.receive(Operation::Close)) {
                tracing::warn!("{error}");
            }
        }
    }
}
