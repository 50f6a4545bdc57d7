//! Every environment by its name: the native ones, those on MuJoCo, and `gym:ID` in Python.

use super::{Env, EnvInfo, Simulator, native};
use crate::error::{Error, Result};
use crate::suggest::nearest;

#[cfg(feature = "mujoco")]
use super::mujoco;

/// The names that [`make`] knows.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let names = native::names().iter().copied();
    #[cfg(feature = "mujoco")]
    let names = names.chain(mujoco::names());
    names.collect()
}

/// Checks a name.
///
/// # Errors
/// [`Error::Config`] for an unknown one, naming the nearest known one.
pub fn check(name: &str) -> Result<()> {
    let names = names();
    if names.contains(&name) || in_python(name)? {
        return Ok(());
    }
    #[cfg(feature = "mujoco")]
    if let Some(why) = mujoco::not_here(name) {
        return Err(Error::config("env", format!("there is no environment `{name}`: {why}")));
    }
    if let Some((base, _)) = name.split_once('?') {
        if native::names().contains(&base) {
            return native::check(name);
        }
        if names.contains(&base) {
            let problem = format!(
                "`gym:{name}` takes arguments (Python's Gymnasium), `{base}` has none: write one of \
                 the two; parameters of its model are set by `model.parameters`"
            );
            return Err(Error::config("env", problem));
        }
    }
    let hint = if is_like_python(name) {
        format!("; Python's Gymnasium environments are written `gym:{name}`")
    } else {
        String::new()
    };
    let problem = match nearest(name, names.iter().copied()) {
        Some(near) => format!("there is no environment `{name}`; did you mean `{near}`?{hint}"),
        None if !hint.is_empty() => format!("there is no environment `{name}`{hint}"),
        None => format!("there is no environment `{name}`; there are {}", names.join(", ")),
    };
    Err(Error::config("env", problem))
}

/// Whether a name is written as Gymnasium's are: `module:Id`, `Id?key=value`, `Id-v0`.
fn is_like_python(name: &str) -> bool {
    let numbered = name.rsplit_once("-v").is_some_and(|(id, version)| {
        !id.is_empty() && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
    });
    numbered || name.contains([':', '?'])
}

/// Whether it is `gym:ID`.
fn in_python(name: &str) -> Result<bool> {
    #[cfg(unix)]
    return super::gymnasium::is_name(name);
    #[cfg(not(unix))]
    return Ok(name.is_empty());
}

/// Name, sizes, bounds and time limit of an environment, which need not be installed, unless it is in
/// Python.
///
/// # Errors
/// As [`check`]; those of [`make`] for one in Python.
pub fn info(name: &str) -> Result<EnvInfo> {
    check(name)?;
    #[cfg(feature = "mujoco")]
    if let Some(task) = mujoco::task(name) {
        return Ok(task.info());
    }
    Ok(make(name)?.info().clone())
}

/// An environment by name.
///
/// # Errors
/// As [`check`]; [`Error::Env`] for one on MuJoCo where that is not installed.
pub fn make(name: &str) -> Result<Box<dyn Env>> {
    #[cfg(unix)]
    if in_python(name)? {
        return super::gymnasium::make(name);
    }
    Ok(simulator(name)?)
}

/// An environment by name, as a [`Simulator`].
///
/// # Errors
/// As [`make`]; [`Error::Config`] for one in Python, whose state cannot be saved.
pub fn simulator(name: &str) -> Result<Box<dyn Simulator>> {
    check(name)?;
    if in_python(name)? {
        let problem = format!("the state of `{name}` cannot be saved: it lives in Python");
        return Err(Error::config("env", problem));
    }
    #[cfg(feature = "mujoco")]
    if let Some(task) = mujoco::task(name) {
        return Ok(Box::new(mujoco::Mujoco::named(task.name)?));
    }
    native::simulator(name)
}
