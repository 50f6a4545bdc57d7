//! Fetching MuJoCo and Gymnasium's model files: what `hstep setup mujoco` does.
//!
//! Both come as Python packages, so this needs `python3` with `pip`, once; nothing else here does.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::find::{self, problem};
use super::tasks::TASKS;
use super::{Library, version};
use crate::error::{Error, Result};

/// The packages that are fetched, and their versions.
pub const PACKAGES: [(&str, &str); 2] = [("mujoco", version::REFERENCE), ("gymnasium", "1.4.0")];

/// SHA-256 of the files that the packages may be, as PyPI lists them: of MuJoCo for Linux (x86-64,
/// aarch64), macOS (arm64) and Windows, each for Python 3.11; Gymnasium is the same everywhere.
const HASHES: [&[&str]; 2] = [
    &[
        "d66928d86a2d1b601bbaa4dc11db50214d17d5301bb8afd84721313b67ff0874",
        "91a70ed9979c383ff1f5c03f25cc2e1280a8254c1a8e558d5dd7f4184f01efc9",
        "6c324addca24a24a7b0beff2ec49300e9d4481fd8ccd611514ba7ea8e4a5e870",
        "390c4820796e2b905f64f011ae3c307d686f8548a3571b7420da0001ee6faaf2",
    ],
    &["1cb947c59e7c72d8eabb2c2274c00cd20948e69f8452a9ef4092223be24fdf0e"],
];

/// What [`fetch`] found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Whether everything was there already.
    pub was_there: bool,
    /// The library.
    pub library: PathBuf,
    /// Its version.
    pub version: &'static str,
    /// The folder of the model files.
    pub models: PathBuf,
}

/// Fetches the packages into `folder` (`.mujoco` of a project) and tries them: the library is loaded,
/// and with it every model that a task needs. Does nothing where that works already.
///
/// Packages that lie in `folder/whl` are not fetched again.
///
/// # Errors
/// [`Error::Env`] without Python, pip or network, or for a damaged package; [`Error::Io`] for a
/// folder that cannot be written.
pub fn fetch(folder: &Path) -> Result<Setup> {
    let site = folder.join("site");
    if let Ok(found) = tried(&site, true) {
        return Ok(found);
    }
    let wheels = folder.join("whl");
    make(&wheels)?;
    let files = PACKAGES.map(|(package, version)| wheel(&wheels, package, version));
    if files.iter().any(Option::is_none) {
        download(&wheels)?;
    }
    // Unpacked beside and moved when whole: another process may look for it meanwhile.
    let part = folder.join(format!("part-{}", std::process::id()));
    remove(&part)?;
    make(&part)?;
    let all = PACKAGES.iter().zip(HASHES);
    let unpacked = all.into_iter().try_for_each(|((package, version), hashes)| {
        let wheel = wheel(&wheels, package, version).ok_or_else(|| {
            problem(format!(
                "pip left no package {package} {version} in {}: remove that folder and run `hstep \
                 setup mujoco` again",
                wheels.display()
            ))
        })?;
        check(&wheel, hashes)?;
        unpack(&wheel, &part)
    });
    let setup = unpacked.and_then(|()| tried(&part, false));
    if let Err(error) = setup {
        remove(&part)?;
        return Err(error);
    }
    remove(&site)?;
    std::fs::rename(&part, &site).map_err(Error::io("cannot make", &site))?;
    remove(&wheels)?;
    tried(&site, false)
}

/// Loads the library and the models of a folder of packages, which must be of the versions asked for.
fn tried(site: &Path, was_there: bool) -> Result<Setup> {
    let absent = |(package, version): &(&str, &str)| {
        !site.join(format!("{package}-{version}.dist-info")).is_dir()
    };
    if let Some((package, version)) = PACKAGES.iter().find(|package| absent(package)) {
        let problem_is = format!("there is no {package} {version} below {}", site.display());
        return Err(problem(problem_is));
    }
    let library = find::library_in(site)
        .ok_or_else(|| problem(format!("there is no MuJoCo library below {}", site.display())))?;
    let loaded = Library::open(&library)?;
    if loaded.version() != version::REFERENCE {
        return Err(problem(format!(
            "{} is MuJoCo {}; expected {}",
            library.display(),
            loaded.version(),
            version::REFERENCE
        )));
    }
    let models = site.join(find::ASSETS);
    let files: BTreeSet<&str> = TASKS.iter().filter_map(|task| task.file.asset()).collect();
    for file in files {
        loaded.model(&models.join(file))?;
    }
    Ok(Setup { was_there, version: loaded.version(), library, models })
}

/// The file of a package in a folder.
fn wheel(folder: &Path, package: &str, version: &str) -> Option<PathBuf> {
    let start = format!("{package}-{version}-");
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&start) && name.ends_with(".whl")
        })
        .collect();
    found.sort();
    found.pop()
}

fn download(wheels: &Path) -> Result<()> {
    let hashed = PACKAGES.iter().zip(HASHES).map(|((package, version), hashes)| {
        let hashes: String = hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{package}=={version}{hashes}\n")
    });
    let list = wheels.join("requirements.txt");
    std::fs::write(&list, hashed.collect::<String>()).map_err(Error::io("cannot write", &list))?;
    let mut command = python();
    command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    // The library is the same for every Python, but not every one has a package of its own.
    command.args(["--no-deps", "--only-binary=:all:", "--python-version", "3.11"]);
    command.arg("--dest").arg(wheels);
    command.arg("--require-hashes").arg("--requirement").arg(&list);
    let out = run(&mut command)?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("No module named pip") {
        return Err(problem(
            "python3 has no pip, which fetches MuJoCo: install it (`python3 -m ensurepip`; Debian: \
             `apt-get install python3-pip`) and run `hstep setup mujoco` again",
        ));
    }
    Err(problem(format!(
        "pip could not fetch {}; is there a network? It said: {}",
        PACKAGES.map(|(package, version)| format!("{package} {version}")).join(" and "),
        last_lines(&said)
    )))
}

/// `python3` without what the current folder, the user's packages or `PYTHON*` variables would put in
/// the place of its own modules.
fn python() -> Command {
    let mut command = Command::new("python3");
    command.arg("-I");
    command
}

/// Refuses a package of another content than the known ones, wherever it came from.
fn check(wheel: &Path, hashes: &[&str]) -> Result<()> {
    let code =
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
    let out = run(python().args(["-c", code]).arg(wheel))?;
    let said = String::from_utf8_lossy(&out.stdout);
    if out.status.success() && hashes.contains(&said.trim()) {
        return Ok(());
    }
    Err(problem(format!(
        "the package {} is damaged or another one (its SHA-256 is {}; expected {}): remove it and run \
         `hstep setup mujoco` again",
        wheel.display(),
        said.trim(),
        hashes.join(" or ")
    )))
}

fn unpack(wheel: &Path, folder: &Path) -> Result<()> {
    let mut command = python();
    command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
    let out = run(&mut command)?;
    if out.status.success() {
        return Ok(());
    }
    Err(problem(format!(
        "the package {} is damaged: remove it and run `hstep setup mujoco` again; python3 said: {}",
        wheel.display(),
        last_lines(&String::from_utf8_lossy(&out.stderr))
    )))
}

fn run(command: &mut Command) -> Result<Output> {
    command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => problem(
            "there is no python3, which fetches and unpacks MuJoCo: install it (Debian: `apt-get \
             install python3-pip`) and run `hstep setup mujoco` again",
        ),
        _ => Error::io("cannot run", "python3")(error),
    })
}

/// The last lines of what a program said: the cause comes last.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].join(" / ")
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}
