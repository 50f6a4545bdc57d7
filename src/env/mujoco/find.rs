//! Where the MuJoCo library and the model files are: no environment variable is needed at build
//! time, and nothing is looked for before it is used.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Names the library outright; it goes before every other place.
pub const LIBRARY_VARIABLE: &str = "MUJOCO_LIB";
/// The folder that `hstep setup mujoco` makes, in the current folder or one above it.
pub const FOLDER: &str = ".mujoco";
/// What installs what is missing.
pub(super) const REMEDY: &str = "`hstep setup mujoco` fetches it";

/// The folder of the library in a folder of Python packages (since 4.0.0 that of the package
/// `mujoco-core`).
const PACKAGE: &str = "mujoco";
/// The folder of Gymnasium's model files in a folder of Python packages.
pub(super) const ASSETS: &str = "gymnasium/envs/mujoco/assets";

/// An error of MuJoCo itself, not of one environment.
pub(super) fn problem(problem: impl Into<String>) -> Error {
    Error::env("mujoco", problem)
}

/// The folder [`FOLDER`] in the current folder or the nearest one above that has it.
#[must_use]
pub fn project_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir())
}

/// Folders of Python packages: those of set-ups in the current folder and above it, nearest first, then
/// those of the active virtual environment.
fn sites() -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let mut sites: Vec<PathBuf> = here
        .ancestors()
        .map(|folder| folder.join(FOLDER).join("site"))
        .filter(|site| site.is_dir())
        .collect();
    if let Some(env) = std::env::var_os("VIRTUAL_ENV").filter(|env| !env.is_empty()) {
        let versions = std::fs::read_dir(Path::new(&env).join("lib"));
        let mut found: Vec<PathBuf> = versions
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("site-packages"))
            .filter(|site| site.is_dir())
            .collect();
        found.sort();
        sites.extend(found);
    }
    sites
}

/// The library of a folder of Python packages.
pub(super) fn library_in(site: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(site.join(PACKAGE)).ok()?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("libmujoco.") && !path.is_dir()
        })
        .collect();
    found.sort();
    found.pop()
}

/// What [`LIBRARY_VARIABLE`] says.
fn outright() -> Option<PathBuf> {
    std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether [`library`] looks nowhere but at [`LIBRARY_VARIABLE`].
pub(super) fn named_outright() -> bool {
    outright().is_some()
}

/// The library file: `MUJOCO_LIB`, else that of `.mujoco/` in the current folder or one above, else
/// that of the package `mujoco` in the active virtual environment (`VIRTUAL_ENV`).
///
/// # Errors
/// [`Error::Env`] saying where it was looked for and how to get it.
pub fn library() -> Result<PathBuf> {
    if let Some(path) = outright() {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(problem(format!(
                "{LIBRARY_VARIABLE} names {}, which is no file: expected the library itself, such \
                 as libmujoco.so.{}; without the variable it is looked for, and {REMEDY}",
                path.display(),
                super::version::REFERENCE
            )))
        };
    }
    sites().iter().find_map(|site| library_in(site)).ok_or_else(|| {
        problem(format!(
            "the MuJoCo library is not here: it is neither in `{FOLDER}/` in this folder or one \
             above, nor in the package `mujoco` of an active virtual environment, and \
             {LIBRARY_VARIABLE} is not set; {REMEDY}"
        ))
    })
}

/// A model file of Gymnasium, from the first of the same places that has it.
///
/// # Errors
/// [`Error::Env`] saying where it was looked for and how to get it.
pub fn asset(file: &str) -> Result<PathBuf> {
    let found = sites().iter().map(|site| site.join(ASSETS).join(file)).find(|p| p.is_file());
    found.ok_or_else(|| {
        problem(format!(
            "the model file {file} is not here: it belongs to the package `gymnasium`, which is \
             neither in `{FOLDER}/` in this folder or one above, nor in an active virtual \
             environment; {REMEDY}"
        ))
    })
}
