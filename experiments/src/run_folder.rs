//! Run folders: `ROOT/EXPERIMENT/ALGO-ENV-sSEED-HASH/`, a function of the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hstep::{Error, Result, config, files};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::plot::{commit, write};

use crate::settings::NOT_IDENTITY;

/// The resolved configuration, in a run folder.
const CONFIG: &str = "config.toml";
/// What would be needed to do it again elsewhere.
const META: &str = "meta.json";
/// The longest name that file systems take, in bytes.
const NAME: usize = 255;

/// Libraries and their versions.
pub type Versions = BTreeMap<String, String>;

/// How a run ended. A folder without any of these is running, or was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// All steps are done.
    Done,
    /// An error ended it; the file holds the message.
    Failed,
    /// A signal ended it after saving.
    Interrupted,
}

impl Marker {
    const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Interrupted];

    /// Its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// What names a run.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The experiment it belongs to: a folder of runs that are compared.
    pub experiment: &'a str,
    /// The algorithm.
    pub algo: &'a str,
    /// The environment.
    pub env: &'a str,
    /// The seed.
    pub seed: u64,
    /// The resolved configuration.
    pub config: &'a Table,
}

impl Identity<'_> {
    /// The folder below the root.
    pub fn folder(&self) -> PathBuf {
        let hash = config::hash8(self.config, NOT_IDENTITY);
        // Environment names may hold a slash or a colon (`gym:Hopper-v5`).
        let env: String = self
            .env
            .chars()
            .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let end = format!("-s{}-{hash}", self.seed);
        let start = format!("{}-{env}", self.algo);
        Path::new(self.experiment).join(shortened(&start, NAME - end.len()) + &end)
    }
}

/// At most `most` bytes of a text, its middle cut: arguments may be long, and the hash tells them apart.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let half = (most - 2) / 2;
    let (mut head, mut tail) = (half, text.len() - half);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}..{}", &text[..head], &text[tail..])
}

/// Where runs go: `--out`, else `HSTEP_RUNS`, else `runs`.
pub fn root(out: Option<&Path>) -> PathBuf {
    let from_env = || std::env::var_os("HSTEP_RUNS").filter(|v| !v.is_empty()).map(PathBuf::from);
    out.map(Path::to_path_buf).or_else(from_env).unwrap_or_else(|| "runs".into())
}

/// An existing run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder of a run, where it is there already: the same configuration goes on. One whose
    /// configuration was edited is refused, naming the key.
    pub(crate) fn find(root: &Path, identity: &Identity) -> Result<Option<Self>> {
        let path = root.join(identity.folder());
        if !path.join(CONFIG).exists() {
            return Ok(None);
        }
        let folder = Self::open(&path)?;
        folder.expect_config(identity.config)?;
        Ok(Some(folder))
    }

    /// Makes the folder of a run.
    pub(crate) fn create(
        root: &Path,
        identity: &Identity,
        simulated_by: &Versions,
    ) -> Result<Self> {
        let path = root.join(identity.folder());
        std::fs::create_dir_all(&path).map_err(Error::io("cannot create", &path))?;
        files::check_folder(&path)?;
        // The configuration last: a folder that has one is complete.
        let meta = Meta::now(identity.config, simulated_by).json()?;
        write(&path.join(META), meta.as_bytes())?;
        write(&path.join(CONFIG), identity.config.to_string().as_bytes())?;
        Ok(Self { path })
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a folder that is none.
    pub fn open(path: &Path) -> Result<Self> {
        files::check_folder(path)?;
        if !path.join(CONFIG).is_file() {
            let problem = "no run folder: it has no config.toml (see `ls` of the runs' root)";
            return Err(Error::checkpoint(path, problem));
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration that the run was started with.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`] for a file that cannot be read or is no TOML.
    pub fn config(&self) -> Result<Table> {
        let file = self.path.join(CONFIG);
        config::parse_text(&file, &files::text_of_run(&file, files::TEXT)?)
    }

    /// Refuses a configuration that would compute something else, naming the first key.
    pub(crate) fn expect_config(&self, now: &Table) -> Result<()> {
        self.expect_same(&self.config()?, now)
    }

    /// Refuses a `config.toml` that was edited since the start: `meta.json` has what it was. Without
    /// one there is still the checkpoint's hash.
    pub(crate) fn expect_unedited(&self) -> Result<()> {
        match Self::started_with(&self.path) {
            Some(config) => {
                match config::first_difference(&config, &self.config()?, NOT_IDENTITY) {
                    None => Ok(()),
                    Some(d) => Err(Error::config(
                        d.key.clone(),
                        format!(
                            "the run {} was started with another value, says its meta.json ({d}); restore \
                         it, or start a new run with `hstep train`",
                            self.path.display()
                        ),
                    )),
                }
            }
            None => Ok(()),
        }
    }

    /// What `meta.json` says that the run in `path` was started with, where it can be read.
    pub fn started_with(path: &Path) -> Option<Table> {
        let meta = files::text_of_run(&path.join(META), files::TEXT).ok()?;
        serde_json::from_str(&meta).ok().map(|Started { config }| config)
    }

    /// Warns where another version of hstep, or of what decides its numbers, began the run.
    pub(crate) fn warn_of_versions(&self) {
        let Ok(meta) = files::text_of_run(&self.path.join(META), files::TEXT) else { return };
        // Folders of older versions say less.
        let Ok(began) = serde_json::from_str::<Began>(&meta) else { return };
        let mut differ = Vec::new();
        let mut compare = |name: &str, then: &str, now: &str| {
            if then != now {
                differ.push(format!("{name} {then}, now {now}"));
            }
        };
        compare("hstep", &began.hstep, env!("CARGO_PKG_VERSION"));
        if let (Some(then), Some(now)) = (&began.built_from, built_from()) {
            compare("built from", then, now);
        }
        for (name, now) in dependencies() {
            compare(&name, began.dependencies.get(&name).map_or("none", String::as_str), &now);
        }
        if !differ.is_empty() {
            tracing::warn!(
                "{} was begun with another program ({}): from here on its numbers may differ from \
                 those of a run that goes through with one",
                self.path.display(),
                differ.join("; ")
            );
        }
    }

    /// Writes `config.toml` anew in `path`, which may lack one.
    pub(crate) fn rewrite_config(path: &Path, config: &Table) -> Result<()> {
        write(&path.join(CONFIG), config.to_string().as_bytes())
    }

    /// Writes what may change in a run, such as its number of steps, into `config.toml`, so that a
    /// later resume goes on to the same end.
    pub(crate) fn update_config(&self, now: &Table) -> Result<()> {
        if self.config()? == *now {
            return Ok(());
        }
        Self::rewrite_config(&self.path, now)
    }

    fn expect_same(&self, started: &Table, now: &Table) -> Result<()> {
        match config::first_difference(started, now, NOT_IDENTITY) {
            None => Ok(()),
            Some(d) => Err(Error::config(
                d.key.clone(),
                format!(
                    "the run {} was started with another value ({d}); restore it, or start a new \
                     run with `hstep train`",
                    self.path.display()
                ),
            )),
        }
    }

    /// Leaves `marker` as the only one; `text` goes into the file.
    pub(crate) fn mark(&self, marker: Marker, text: &str) -> Result<()> {
        // Written before the old ones go, so that no moment is without a marker.
        write(&self.path.join(marker.file()), format!("{text}\n").as_bytes())?;
        self.unmark(|m| m != marker)
    }

    /// Removes all markers: the run goes on.
    pub(crate) fn clear_marker(&self) -> Result<()> {
        self.unmark(|_| true)
    }

    fn unmark(&self, which: impl Fn(Marker) -> bool) -> Result<()> {
        for marker in Marker::ALL.into_iter().filter(|m| which(*m)) {
            let file = self.path.join(marker.file());
            match std::fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("cannot remove", &file)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How the run ended, if it did.
    pub fn marker(&self) -> Option<Marker> {
        Marker::ALL.into_iter().find(|m| self.path.join(m.file()).exists())
    }
}

/// `meta.json`: what would be needed to do it again elsewhere. Not part of what is byte-equal.
#[derive(Debug, Serialize)]
struct Meta {
    /// The commit that this program was built from, where it was built in a repository.
    built_from: Option<&'static str>,
    /// The commit of the folder that it was started in.
    working_folder_commit: Option<String>,
    hstep: &'static str,
    dependencies: Versions,
    /// What simulates the environment beside hstep.
    simulated_by: Versions,
    target: String,
    /// Threads to compute with when the run began.
    threads: usize,
    host: Option<String>,
    command_line: Vec<String>,
    started_unix_seconds: u64,
    config: Table,
}

/// What of `meta.json` is read again.
#[derive(Debug, Deserialize)]
struct Started {
    config: Table,
}

/// What of `meta.json` says which program began the run.
#[derive(Debug, Deserialize)]
struct Began {
    built_from: Option<String>,
    hstep: String,
    dependencies: Versions,
}

/// The commit that this program was built from.
fn built_from() -> Option<&'static str> {
    Some(env!("HSTEP_COMMIT")).filter(|commit| !commit.is_empty())
}

impl Meta {
    fn now(config: &Table, simulated_by: &Versions) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        // Without the program's own path, which says nothing about the run.
        let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        Self {
            built_from: built_from(),
            working_folder_commit: commit(),
            hstep: env!("CARGO_PKG_VERSION"),
            dependencies: dependencies(),
            simulated_by: simulated_by.clone(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            threads: hstep::pool::threads(),
            host: host.map(|h| h.trim().to_owned()),
            command_line: std::iter::once("hstep".to_owned()).chain(arguments).collect(),
            started_unix_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs()),
            config: config.clone(),
        }
    }

    fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|e| Error::io("cannot write", "meta.json")(std::io::Error::other(e)))
    }
}

/// The versions that decide the numbers, out of the lock file.
fn dependencies() -> Versions {
    let lock: Table =
        include_str!(concat!(env!("OUT_DIR"), "/Cargo.lock")).parse().unwrap_or_default();
    let field = |p: &toml::Value, name: &str| {
        p.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    let decides = ["candle-core", "gemm", "rand_chacha", "rand_distr", "safetensors"];
    lock.get("package")
        .and_then(toml::Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|p| decides.contains(&field(p, "name").as_str()))
        .map(|p| (field(p, "name"), field(p, "version")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(config: &Table) -> Identity<'_> {
        Identity { experiment: "e", algo: "sac", env: "gymnasium:Hopper", seed: 3, config }
    }

    #[test]
    fn the_name_is_a_function_of_what_is_computed() {
        let one: Table = "lr = 0.1\n[run]\nsteps = 100".parse().unwrap();
        let longer: Table = "lr = 0.1\n[run]\nsteps = 900".parse().unwrap();
        let other: Table = "lr = 0.2\n[run]\nsteps = 100".parse().unwrap();
        let name = identity(&one).folder();
        assert_eq!(name, identity(&longer).folder());
        assert_ne!(name, identity(&other).folder());
        let text = name.to_str().unwrap();
        assert!(text.starts_with("e/sac-gymnasium_Hopper-s3-"), "{text}");
        assert_eq!(text.len(), "e/sac-gymnasium_Hopper-s3-".len() + 8);
    }

    #[test]
    fn a_name_is_never_longer_than_file_systems_take() {
        let config = Table::new();
        for letter in ["x", "é", "猫"] {
            for n in [1, 70, 200, 1_000] {
                let env = letter.repeat(n);
                let name = Identity { env: &env, ..identity(&config) }.folder();
                let name = name.file_name().unwrap().to_str().unwrap().to_owned();
                let whole = format!("sac-{env}-s3-").len() + 8;
                assert!(name.len() <= 255 && name.starts_with("sac-"), "{name}");
                assert_eq!(name.contains(&env), whole <= 255, "{name}");
            }
        }
    }

    #[test]
    fn a_second_start_goes_on_and_an_edited_config_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let config: Table = "lr = 0.1\n[improve]\nhorizon = 3".parse().unwrap();
        let folder = RunFolder::create(root.path(), &identity(&config), &Versions::new()).unwrap();
        let meta = std::fs::read_to_string(folder.path().join("meta.json")).unwrap();
        assert!(meta.contains("\"candle-core\": \"0.10.2\""), "{meta}");
        let again = RunFolder::find(root.path(), &identity(&config)).unwrap().unwrap();
        assert_eq!(again.path(), folder.path());
        std::fs::write(folder.path().join("config.toml"), "lr = 0.1\n[improve]\nhorizon = 4")
            .unwrap();
        let refused = RunFolder::find(root.path(), &identity(&config)).unwrap_err().to_string();
        assert!(refused.contains("`improve.horizon`: 4 against 3"), "{refused}");
    }

    #[test]
    fn one_marker_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder =
            RunFolder::create(root.path(), &identity(&Table::new()), &Versions::new()).unwrap();
        assert_eq!(folder.marker(), None);
        folder.mark(Marker::Interrupted, "step 3").unwrap();
        folder.mark(Marker::Done, "step 9").unwrap();
        assert_eq!(folder.marker(), Some(Marker::Done));
        assert!(!folder.path().join("INTERRUPTED").exists());
        folder.clear_marker().unwrap();
        assert_eq!(folder.marker(), None);
        assert!(RunFolder::open(root.path()).unwrap_err().to_string().contains("config.toml"));
    }

    #[test]
    fn a_folder_below_a_file_is_an_io_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("plain");
        std::fs::write(&file, "").unwrap();
        let error =
            RunFolder::create(&file, &identity(&Table::new()), &Versions::new()).unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("plain"));
    }
}
