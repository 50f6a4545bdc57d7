//! A run's folder: taken by one process, and checked before anything in it is believed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::checkpoint::{CheckpointDir, Loaded};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::files;
use crate::learner::from_json;

/// The state of a checkpoint that says what its environment was simulated by.
pub(super) const VERSIONS: &str = "env_versions";

/// Takes the run's folder, which is made where it is not there, and reads its newest checkpoint.
pub(super) fn take(folder: &Path, identity: &str) -> Result<(File, Option<Loaded>)> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create run folder", folder))?;
    files::check_folder(folder)?;
    let lock = lock(folder)?;
    let found = CheckpointDir::new(checkpoint_folder(folder)).load_latest()?;
    if let Some(loaded) = &found {
        check_identity(loaded, identity, folder)?;
    }
    Ok((lock, found))
}

/// Takes the run's folder for this process alone: two would tear each other's files.
fn lock(folder: &Path) -> Result<File> {
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
pub(super) fn other_versions(loaded: &Loaded, env: &dyn Env) -> Result<Option<(String, String)>> {
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
