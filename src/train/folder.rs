//! A run's folder: taken by one process, and checked before anything in it is believed; what its
//! checkpoints belong to, and the agent they hold.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::run::RunConfig;
use crate::agent::Hybrid;
use crate::checkpoint::{CheckpointDir, Loaded, Tensors};
use crate::env::Env;
use crate::env::EnvFactory;
use crate::error::{Error, Result};
use crate::files;
use crate::json::from_json;
use crate::learner::Agent;
use crate::metrics::read_csv;
use crate::rng::Rng;
use crate::shape::Spec;

/// Where the best checkpoint of a run is.
#[must_use]
pub fn best_folder(folder: &Path) -> PathBuf {
    folder.join("best")
}

/// Which checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The newest.
    #[default]
    Newest,
    /// That of the best evaluation, where `run.best` keeps it.
    Best,
}

/// The agent of a run's checkpoint, without its buffers; `None` before the first. The run
/// itself is left alone, so it may go on meanwhile. Another simulator than the run's is warned of.
///
/// # Errors
/// As [`super::Trainer::open`], but for another simulator.
pub fn saved_agent(
    config: &RunConfig,
    hybrid: Hybrid,
    make: &EnvFactory,
    (folder, which): (&Path, Which),
    identity: &str,
    spec: &Spec,
) -> Result<Option<Agent>> {
    files::check_folder(folder)?;
    let place = match which {
        Which::Newest => checkpoint_folder(folder),
        Which::Best => best_folder(folder),
    };
    let Some(loaded) = CheckpointDir::new(place).load_parts()? else {
        return Ok(None);
    };
    check_identity(&loaded, identity, folder)?;
    let env = make()?;
    if let Some((then, now)) = other_versions(&loaded, env.as_ref())? {
        let name = &env.info().name;
        tracing::warn!("environment `{name}` was simulated by {then}, here it is by {now}");
    }
    let mut agent =
        Agent::within(hybrid, env.info(), env.known(), Some(make), &Rng::new(config.seed), spec)?;
    load(&mut agent, &loaded)?;
    Ok(Some(agent))
}

/// Puts back what belongs to the agent, but for its replay buffers.
pub(super) fn load(agent: &mut Agent, loaded: &Loaded) -> Result<()> {
    let tensors = loaded.parts.values().flatten();
    agent.load_tensors(&tensors.map(|(name, tensor)| (name.clone(), tensor.clone())).collect())?;
    agent.foreign = loaded.foreign.clone();
    agent.load_state(&loaded.states)
}

/// The tensors of an agent by the part they belong to: `actor.l0.w` and `adam.actor.m` to `actor`.
#[must_use]
pub fn by_part(tensors: Tensors) -> BTreeMap<String, Tensors> {
    let mut parts: BTreeMap<String, Tensors> = BTreeMap::new();
    for (name, tensor) in tensors {
        let own = name.strip_prefix("adam.").unwrap_or(&name);
        let part = own.split('.').next().unwrap_or_default().to_owned();
        parts.entry(part).or_default().insert(name, tensor);
    }
    parts
}

/// The state of a checkpoint that says what repairs dropped.
pub(super) const LOST: &str = "lost";

/// The state of a checkpoint that says what its environment was simulated by.
pub(super) const VERSIONS: &str = "env_versions";

/// Takes the run's folder, which is made where it is not there, and reads its newest checkpoint.
pub(super) fn take(folder: &Path, identity: &str) -> Result<(File, Option<Loaded>)> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create run folder", folder))?;
    files::check_folder(folder)?;
    let lock = lock(folder)?;
    let found = CheckpointDir::new(checkpoint_folder(folder)).load_latest()?;
    match &found {
        Some(loaded) => check_identity(loaded, identity, folder)?,
        None => refuse_lost(folder)?,
    }
    Ok((lock, found))
}

/// Takes the run's folder for this process alone: two would tear each other's files.
pub(super) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("LOCK");
    let mut options = OpenOptions::new();
    let file = files::plainly(options.write(true).create(true).truncate(false)).open(&path);
    let file = file.map_err(Error::io("cannot create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let problem = "another process is running this very run: wait for it, or stop it";
            Err(Error::checkpoint(folder, problem))
        }
        // NFS without its lock daemon, Lustre mounted without flock.
        Err(TryLockError::Error(error)) if without_locks(&error) => {
            tracing::warn!(
                "{}: this file system has no locks ({error}): take care that no second process runs \
                 this run",
                folder.display()
            );
            Ok(file)
        }
        Err(TryLockError::Error(source)) => Err(Error::io("cannot lock", path)(source)),
    }
}

fn without_locks(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let none = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];
        error.raw_os_error().is_some_and(|code| none.map(Errno::raw_os_error).contains(&code))
    }
    #[cfg(not(unix))]
    return error.kind() == std::io::ErrorKind::Unsupported;
}

pub(super) fn check_identity(loaded: &Loaded, identity: &str, folder: &Path) -> Result<()> {
    if loaded.config_hash == identity {
        return Ok(());
    }
    let problem = format!(
        "it was written with other settings (identity {}, now {identity}): resume with the run's \
         own config.toml, or start a new run",
        loaded.config_hash
    );
    Err(Error::checkpoint(checkpoint_folder(folder), problem))
}

/// What the environment was simulated by and is now, where they differ.
fn other_versions(loaded: &Loaded, env: &dyn Env) -> Result<Option<(String, String)>> {
    if !loaded.states.contains_key(VERSIONS) {
        return Ok(None);
    }
    let (then, now): (BTreeMap<String, String>, _) =
        (from_json(VERSIONS, &loaded.states)?, env.versions());
    let list = |versions: &BTreeMap<String, String>| {
        let each = versions.iter().map(|(name, version)| format!("{name} {version}"));
        each.collect::<Vec<_>>().join(", ")
    };
    Ok((then != now).then(|| (list(&then), list(&now))))
}

/// Refuses to go on with another simulator: its trajectories are others. Where versions do not bind, that is
/// only said.
pub(super) fn check_versions(loaded: &Loaded, env: &dyn Env, folder: &Path) -> Result<()> {
    let Some((then, now)) = other_versions(loaded, env)? else { return Ok(()) };
    if !env.versions_bind() {
        let name = &env.info().name;
        tracing::warn!("environment `{name}` was simulated by {then}, here it is by {now}");
        return Ok(());
    }
    let problem = format!(
        "environment `{}` was simulated by {then}, here it is by {now}: resume with the former, or \
         start a new run",
        env.info().name
    );
    Err(Error::checkpoint(checkpoint_folder(folder), problem))
}

/// The folder of a run's checkpoints.
#[must_use]
pub fn checkpoint_folder(run: &Path) -> PathBuf {
    run.join("ckpt")
}

/// Refuses to start anew in a folder whose run has written rows: it saved before the first of them,
/// so its checkpoints are lost, and beginning again would empty `metrics.csv`.
pub(super) fn refuse_lost(folder: &Path) -> Result<()> {
    let metrics = folder.join("metrics.csv");
    if !metrics.exists() {
        return Ok(());
    }
    // An unreadable file is no reason to overwrite it.
    let rows = match read_csv(&metrics) {
        Ok(table) => table.rows.len(),
        Err(Error::Checkpoint { .. })
            if std::fs::metadata(&metrics).is_ok_and(|m| m.len() == 0) =>
        {
            0
        }
        Err(error) => return Err(error),
    };
    if rows == 0 {
        return Ok(());
    }
    let problem = format!(
        "holds no checkpoint, but metrics.csv has {rows} rows: restore this folder (is its disk \
         mounted?), or remove the run's folder to start anew"
    );
    Err(Error::checkpoint(checkpoint_folder(folder), problem))
}
