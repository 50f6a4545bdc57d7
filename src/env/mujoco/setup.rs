//! Fetching MuJoCo and model files: what `hstep setup mujoco` and `hstep setup models` do.
//!
//! All come as Python packages, so this needs `python3` with `pip`, once; nothing else here does.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::definition::File;
use super::find::{self, problem};
use super::tasks::TASKS;
use super::{Library, version};
use crate::error::{Error, Result};

/// A Python package that is fetched for the files in it.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Under which licence its files are.
    pub licence: &'static str,
    /// SHA-256 of the files that it may be, as PyPI lists them.
    hashes: &'static [&'static str],
}

impl Package {
    /// Name and version.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Packages that are fetched together.
#[derive(Debug, Clone, Copy)]
pub struct Bundle {
    /// What `hstep setup` calls it.
    pub name: &'static str,
    /// Its folder in `.mujoco`.
    folder: &'static str,
    /// The packages.
    pub packages: &'static [Package],
}

/// The library and Gymnasium's models. Of MuJoCo the packages for Linux (x86-64, aarch64), macOS
/// (arm64) and Windows, each for Python 3.11; Gymnasium is the same everywhere.
pub const MUJOCO: Bundle = Bundle {
    name: "mujoco",
    folder: "site",
    packages: &[
        Package {
            name: "mujoco",
            version: version::REFERENCE,
            licence: "Apache-2.0",
            hashes: &[
                "d66928d86a2d1b601bbaa4dc11db50214d17d5301bb8afd84721313b67ff0874",
                "91a70ed9979c383ff1f5c03f25cc2e1280a8254c1a8e558d5dd7f4184f01efc9",
                "6c324addca24a24a7b0beff2ec49300e9d4481fd8ccd611514ba7ea8e4a5e870",
                "390c4820796e2b905f64f011ae3c307d686f8548a3571b7420da0001ee6faaf2",
            ],
        },
        Package {
            name: "gymnasium",
            version: "1.4.0",
            licence: "MIT",
            hashes: &["1cb947c59e7c72d8eabb2c2274c00cd20948e69f8452a9ef4092223be24fdf0e"],
        },
    ],
};

/// Models of other packages.
pub const MODELS: Bundle = Bundle {
    name: "models",
    folder: find::MODELS,
    packages: &[Package {
        name: "dm_control",
        version: find::CONTROL_VERSION,
        licence: "Apache-2.0",
        hashes: &["5434e1e51ff69016867426da7df6064b18d140e4d0a628f879bbcf0e7d0a586d"],
    }],
};

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

/// Fetches MuJoCo and Gymnasium's models, as [`fetch_bundle`].
///
/// # Errors
/// As there.
pub fn fetch(folder: &Path) -> Result<Setup> {
    fetch_bundle(&MUJOCO, folder)
}

/// Fetches packages into `folder` (`.mujoco` of a project) and tries them: the library is loaded,
/// and with it every model that a task needs. Does nothing where that works already.
///
/// Packages that lie in `folder/whl` are not fetched again.
///
/// # Errors
/// [`Error::Env`] without Python, pip or network, or for a damaged package; [`Error::Io`] for a
/// folder that cannot be written.
pub fn fetch_bundle(bundle: &Bundle, folder: &Path) -> Result<Setup> {
    let site = folder.join(bundle.folder);
    let library_at = |site: &Path| match bundle.folder == MUJOCO.folder {
        true => site.to_path_buf(),
        false => folder.join(MUJOCO.folder),
    };
    if let Ok(found) = tried(bundle, &site, &library_at(&site), true) {
        return Ok(found);
    }
    let wheels = folder.join("whl");
    make(&wheels)?;
    if bundle.packages.iter().any(|package| wheel(&wheels, package).is_none()) {
        download(bundle, &wheels)?;
    }
    // Unpacked beside and moved when whole: another process may look for it meanwhile.
    let part = folder.join(format!("part-{}", std::process::id()));
    remove(&part)?;
    make(&part)?;
    let unpacked = bundle.packages.iter().try_for_each(|package| {
        let wheel = wheel(&wheels, package).ok_or_else(|| {
            problem(format!(
                "pip left no package {} in {}: remove that folder and run `hstep setup {}` again",
                package.label(),
                wheels.display(),
                bundle.name
            ))
        })?;
        check(bundle, &wheel, package.hashes)?;
        unpack(bundle, &wheel, &part)
    });
    let setup = unpacked.and_then(|()| tried(bundle, &part, &library_at(&part), false));
    if let Err(error) = setup {
        remove(&part)?;
        return Err(error);
    }
    remove(&site)?;
    std::fs::rename(&part, &site).map_err(Error::io("cannot make", &site))?;
    remove(&wheels)?;
    tried(bundle, &site, &library_at(&site), false)
}

/// Loads the library and the models of a folder of packages, which must be of the versions asked for.
fn tried(bundle: &Bundle, site: &Path, library_at: &Path, was_there: bool) -> Result<Setup> {
    let absent = |package: &&Package| {
        !site.join(format!("{}-{}.dist-info", package.name, package.version)).is_dir()
    };
    if let Some(package) = bundle.packages.iter().find(absent) {
        return Err(problem(format!("there is no {} below {}", package.label(), site.display())));
    }
    let library = match find::library_in(library_at) {
        Some(library) => library,
        // Models are of use with any library; theirs may be installed elsewhere.
        None if bundle.folder != MUJOCO.folder => find::library()?,
        None => {
            let place = library_at.display();
            return Err(problem(format!("there is no MuJoCo library below {place}")));
        }
    };
    let loaded = Library::open(&library)?;
    if bundle.folder == MUJOCO.folder && loaded.version() != version::REFERENCE {
        return Err(problem(format!(
            "{} is MuJoCo {}; expected {}",
            library.display(),
            loaded.version(),
            version::REFERENCE
        )));
    }
    let own = match bundle.folder == MUJOCO.folder {
        true => find::ASSETS,
        false => find::CONTROL,
    };
    let models = site.join(own);
    let of_bundle = |file: File| match file {
        File::Asset(file) if own == find::ASSETS => Some(file),
        File::Control(file) if own == find::CONTROL => Some(file),
        _ => None,
    };
    let files: BTreeSet<&str> = TASKS.iter().filter_map(|task| of_bundle(task.file)).collect();
    for file in files {
        loaded.model(&models.join(file))?;
    }
    Ok(Setup { was_there, version: loaded.version(), library, models })
}

/// The file of a package in a folder.
fn wheel(folder: &Path, package: &Package) -> Option<PathBuf> {
    let start = format!("{}-{}-", package.name, package.version);
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

fn download(bundle: &Bundle, wheels: &Path) -> Result<()> {
    let hashed = bundle.packages.iter().map(|Package { name, version, hashes, .. }| {
        let hashes: String = hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{name}=={version}{hashes}\n")
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
        return Err(problem(format!(
            "python3 has no pip, which fetches packages: install it (`python3 -m ensurepip`; Debian: \
             `apt-get install python3-pip`) and run `hstep setup {}` again",
            bundle.name
        )));
    }
    Err(problem(format!(
        "pip could not fetch {}; is there a network? It said: {}",
        bundle.packages.iter().map(Package::label).collect::<Vec<_>>().join(" and "),
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
fn check(bundle: &Bundle, wheel: &Path, hashes: &[&str]) -> Result<()> {
    let code =
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
    let out = run(python().args(["-c", code]).arg(wheel))?;
    let said = String::from_utf8_lossy(&out.stdout);
    if out.status.success() && hashes.contains(&said.trim()) {
        return Ok(());
    }
    Err(problem(format!(
        "the package {} is damaged or another one (its SHA-256 is {}; expected {}): remove it and run \
         `hstep setup {}` again",
        wheel.display(),
        said.trim(),
        hashes.join(" or "),
        bundle.name
    )))
}

fn unpack(bundle: &Bundle, wheel: &Path, folder: &Path) -> Result<()> {
    let mut command = python();
    command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
    let out = run(&mut command)?;
    if out.status.success() {
        return Ok(());
    }
    Err(problem(format!(
        "the package {} is damaged: remove it and run `hstep setup {}` again; python3 said: {}",
        wheel.display(),
        bundle.name,
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
