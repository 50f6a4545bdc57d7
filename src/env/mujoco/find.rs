//! Where the MuJoCo library and the model files are: no environment variable is needed at build
//! time, and nothing is looked for before it is used.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Names the library outright; it goes before every other place.
pub const LIBRARY_VARIABLE: &str = "MUJOCO_LIB";
/// Names the folder that `hstep setup mujoco` makes, for example in an image that is prepared once.
pub const FOLDER_VARIABLE: &str = "HSTEP_MUJOCO";
/// That folder in the current folder, without the variable.
pub const FOLDER: &str = ".mujoco";
/// What installs what is missing.
pub(super) const REMEDY: &str = "`hstep setup mujoco` fetches it";

/// The folder of the library in a folder of Python packages (since 4.0.0 that of the package
/// `mujoco-core`).
const PACKAGE: &str = "mujoco";
/// The folder of Gymnasium's model files in a folder of Python packages.
pub(super) const ASSETS: &str = "gymnasium/envs/mujoco/assets";

/// The folder of further models in that of [`FOLDER`].
pub(super) const MODELS: &str = "models";
/// The folder of the control suite's model files in a folder of Python packages.
pub(super) const CONTROL: &str = "dm_control/suite";
/// The version of the control suite that tasks are defined on.
pub(super) const CONTROL_VERSION: &str = "1.0.50";

/// An error of MuJoCo itself, not of one environment.
pub(super) fn problem(problem: impl Into<String>) -> Error {
    Error::env("mujoco", problem)
}

/// A variable of the process environment that is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder that `hstep setup mujoco` makes and looks into first: that of [`FOLDER_VARIABLE`], else
/// [`FOLDER`] in the current folder.
#[must_use]
pub fn own_folder() -> PathBuf {
    variable(FOLDER_VARIABLE).unwrap_or_else(|| FOLDER.into())
}

/// The folder in the user's cache, for all projects.
fn cache() -> Option<PathBuf> {
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("hstep/mujoco"))
}

/// Folders of Python packages, in the order in which they are looked into: those of set-ups, then those
/// of the active environments of Python. None of a folder above: it may be another user's.
fn sites() -> Vec<PathBuf> {
    let own = [Some(own_folder()), cache()].into_iter().flatten();
    let mut sites: Vec<PathBuf> =
        own.flat_map(|folder| [folder.join("site"), folder.join(MODELS)]).collect();
    for env in ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| variable(name)) {
        let versions = std::fs::read_dir(env.join("lib")).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> =
            versions.map(|version| version.path().join("site-packages")).collect();
        found.sort();
        sites.extend(found);
    }
    sites.retain(|site| site.is_dir());
    sites.retain(|site| match foreign(site) {
        None => true,
        Some(folder) => {
            tracing::warn!(
                "{} is not used: another user can write {}; {LIBRARY_VARIABLE} names a library outright",
                site.display(),
                folder.display()
            );
            false
        }
    });
    sites
}

/// What of a path another user can write: the path itself, where it leads, or a folder above. What
/// belongs to root is root's to write, whose word stands for the whole machine.
#[cfg(unix)]
fn foreign(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let (group, others, sticky) = (0o020, 0o002, 0o1000);
    let me = rustix::process::geteuid().as_raw();
    // A path that leads nowhere is nobody's to trust.
    let Ok(whole) = path.canonicalize() else { return Some(path.to_path_buf()) };
    let written_by_another = |folder: &&Path| {
        let Ok(about) = folder.metadata() else { return true };
        let own = about.uid() == me || about.uid() == 0;
        // A group of the user's own number has no other members.
        let by_group = about.mode() & group != 0 && about.gid() != about.uid();
        let by_others = about.mode() & others != 0;
        // In a sticky folder nobody renames or removes what is another's.
        !own || ((by_group || by_others) && about.mode() & sticky == 0)
    };
    whole.ancestors().find(written_by_another).map(Path::to_path_buf)
}

/// Who may write is not asked elsewhere.
#[cfg(not(unix))]
fn foreign(_: &Path) -> Option<PathBuf> {
    None
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
    variable(LIBRARY_VARIABLE)
}

/// Whether [`library`] looks nowhere but at [`LIBRARY_VARIABLE`].
pub(super) fn named_outright() -> bool {
    outright().is_some()
}

/// The library file: `MUJOCO_LIB`, else that of `HSTEP_MUJOCO` (or of `.mujoco/` in the current folder), of
/// `hstep/mujoco` in the user's cache folder, or of the package `mujoco` in the active environment of
/// Python (`VIRTUAL_ENV`, `CONDA_PREFIX`); never from a folder that another user can write.
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
    let own = |library: &PathBuf| foreign(library).is_none();
    sites().iter().find_map(|site| library_in(site).filter(own)).ok_or_else(|| {
        problem(format!(
            "the MuJoCo library is not here: it is neither in {}, nor in the package `mujoco` of an \
             active environment of Python, and {LIBRARY_VARIABLE} is not set; {REMEDY}",
            own_places()
        ))
    })
}

/// The folders of set-ups, in words.
fn own_places() -> String {
    let cache = cache().map(|folder| format!(" or {}", folder.display())).unwrap_or_default();
    match variable(FOLDER_VARIABLE) {
        Some(folder) => format!("{} ({FOLDER_VARIABLE}){cache}", folder.display()),
        None => format!("`{FOLDER}/` of this folder{cache}"),
    }
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
             neither in {}, nor in an active environment of Python; {REMEDY}",
            own_places()
        ))
    })
}

/// A model file of the control suite, likewise; of the version that tasks are defined on.
///
/// # Errors
/// As [`asset`]; naming the versions that are there where they are others.
pub fn control(file: &str) -> Result<PathBuf> {
    let sites = sites();
    let info = format!("dm_control-{CONTROL_VERSION}.dist-info");
    let there = |site: &&PathBuf| site.join(CONTROL).join(file).is_file();
    if let Some(site) = sites.iter().filter(there).find(|site| site.join(&info).is_dir()) {
        return Ok(site.join(CONTROL).join(file));
    }
    let problem_is = match sites.iter().find(there) {
        Some(site) => {
            format!("the package `dm_control` in {} is of another version", site.display())
        }
        None => {
            format!("the model file {file} is not here: it belongs to the package `dm_control`")
        }
    };
    Err(problem(format!(
        "{problem_is}; expected dm_control {CONTROL_VERSION} in {}, or in an active environment of \
         Python; `hstep setup models` fetches it",
        own_places()
    )))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_another_user_can_write_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().canonicalize().unwrap().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        let above = deep.parent().unwrap().to_path_buf();
        let mode = |mode: u32| {
            std::fs::set_permissions(&above, PermissionsExt::from_mode(mode)).unwrap();
        };
        assert_eq!(foreign(&deep), None);
        mode(0o777);
        assert_eq!(foreign(&deep), Some(above.clone()));
        // As the folder of temporary files.
        mode(0o1777);
        assert_eq!(foreign(&deep), None);
        mode(0o755);
        // Through a link, it counts where it leads.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        assert_eq!(foreign(&link), None);
        std::fs::set_permissions(&deep, PermissionsExt::from_mode(0o757)).unwrap();
        assert_eq!(foreign(&link), Some(deep));
        assert!(foreign(Path::new("/no/such")).is_some());
    }
}
