//! From layers of settings to a run: algorithm defaults (the paper's), the preset of its name, the
//! preset of a native environment, a file, `key=value`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hstep::agent::Hybrid;
use hstep::algo::Entry;
use hstep::dynamics::native_model;
use hstep::learner::Agent;
use hstep::shape::{Precision, Spec};
use hstep::train::{
    EnvFactory, ModelChoice, Prepared, RunConfig, Trainer, Which, hash_of_data, hash_of_run,
    saved_agent,
};
use hstep::{Error, Result, config};
use toml::{Table, Value};

use crate::algos::tags;
use crate::presets::{self, section};
use crate::registry::Registry;

/// Settings that do not change what a run computes step by step: raising `run.steps` extends it.
pub const NOT_IDENTITY: &[&str] =
    &["run.steps", "run.checkpoint_every", "run.checkpoint_share", "run.best"];

/// A run with every setting resolved.
#[derive(Clone)]
pub struct Settings {
    /// What the run is, apart from its algorithm.
    pub run: RunConfig,
    registry: Arc<Registry>,
    entry: Entry,
    /// The algorithm that a file's own composition changes.
    base: Option<String>,
    algorithm: Table,
}

impl Settings {
    /// Resolves the settings of `layers` (a file with `key=value` laid over it): the algorithm and
    /// the environment stand in its section `run`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, and the nearest known one.
    pub fn layered(registry: &Arc<Registry>, mut layers: Table) -> Result<Self> {
        let run = section(&mut layers, "run")?;
        let named = run_config(&run)?;
        let base = base(&mut layers)?;
        let (entry, preset) = presets::find(registry, base.as_ref().unwrap_or(&named.algo))?;
        let mut algorithm = preset.layers(entry, &named.env, registry.kinds())?;
        let mut defaults = config::to_table(&RunConfig::default())?;
        config::merge(&mut defaults, section(&mut algorithm, "run")?);
        config::merge(&mut defaults, run);
        config::merge(&mut algorithm, layers);
        Self::exact(registry, &defaults, entry, base, &algorithm)
    }

    /// The settings of a resolved `config.toml`, with nothing laid below it.
    ///
    /// # Errors
    /// As [`Settings::layered`].
    pub fn resolved(registry: &Arc<Registry>, mut table: Table) -> Result<Self> {
        let run = section(&mut table, "run")?;
        let base = base(&mut table)?;
        let (entry, _) = presets::find(registry, base.as_ref().unwrap_or(&run_config(&run)?.algo))?;
        Self::exact(registry, &run, entry, base, &table)
    }

    fn exact(
        registry: &Arc<Registry>,
        run: &Table,
        entry: Entry,
        base: Option<String>,
        algorithm: &Table,
    ) -> Result<Self> {
        let run = run_config(run)?;
        run.validate()?;
        registry.check_env(&run.env).map_err(|error| in_run("env", error))?;
        let mut algorithm = entry.resolve(algorithm, registry.kinds())?;
        let mut run = run;
        pin(&mut run, &mut algorithm)?;
        let settings = Self { run, registry: Arc::clone(registry), entry, base, algorithm };
        settings.hybrid()?;
        Ok(settings)
    }

    /// Everything written out: what `config.toml` holds. What was added later and means what was
    /// before is left out, so that the folders of older runs keep their names.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting cannot be written as TOML.
    pub fn table(&self) -> Result<Table> {
        let mut table = self.entry.identity(&self.algorithm, self.registry.kinds())?;
        if let Some(base) = &self.base {
            table.insert("base".into(), Value::String(base.clone()));
        }
        table.insert("run".into(), Value::Table(config::to_table(&self.run)?));
        Ok(table)
    }

    /// Every setting of the algorithm and of the run, and which layer each has its value from.
    ///
    /// # Errors
    /// As [`Settings::layered`].
    pub fn explained(&self) -> Result<Vec<Explained>> {
        let name = self.base.as_ref().unwrap_or(&self.run.algo);
        let (entry, preset) = presets::find(&self.registry, name)?;
        let kinds = self.registry.kinds();
        let row = entry.preset(None, kinds)?;
        let bare = row.iter().map(|(key, value)| {
            let kind = value.get("kind").map(|kind| ("kind".to_string(), kind.clone()));
            let own = value.as_table().map(|_| Value::Table(kind.into_iter().collect()));
            (key.clone(), own.unwrap_or_else(|| value.clone()))
        });
        let mut task = preset.layers(entry, &self.run.env, kinds)?;
        let run = section(&mut task, "run")?;
        let layers = [
            ("default", entry.resolve(&bare.collect(), kinds)?),
            ("row", row),
            ("preset", entry.resolve(&task, kinds)?),
            ("given", self.algorithm.clone()),
        ];
        let layers = layers.map(|(layer, table)| (layer, config::flat(&table, &[])));
        let mut runs = config::to_table(&RunConfig::default())?;
        let usual = config::flat(&runs, &[]);
        config::merge(&mut runs, run);
        let own = config::flat(&config::to_table(&self.run)?, &[]);
        let run_layers = [("default", usual), ("preset", config::flat(&runs, &[])), ("given", own)];
        let tags = tags(entry.text).into_iter().collect();
        let mut all = explain("", &layers, &tags);
        all.extend(explain("run.", &run_layers, &BTreeMap::new()));
        Ok(all)
    }

    /// The hash of everything that matters for what is computed.
    ///
    /// # Errors
    /// As [`Settings::table`].
    pub fn identity(&self) -> Result<String> {
        Ok(config::hash8(&self.table()?, NOT_IDENTITY))
    }

    /// Opens the run in `folder`, fresh or at its newest checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::open`].
    pub fn trainer(&self, folder: &Path) -> Result<Trainer> {
        let (hybrid, make, identity) = (self.hybrid()?, self.factory(), self.identity()?);
        Trainer::open(self.run.clone(), hybrid, make, folder, &identity, &self.spec())
    }

    /// The environment and the agent of a run that has no folder yet.
    ///
    /// # Errors
    /// As [`Trainer::prepare`].
    pub fn prepare(&self) -> Result<Prepared> {
        Trainer::prepare(self.run.clone(), self.hybrid()?, self.factory(), &self.spec())
    }

    /// The agent of the newest checkpoint in `folder`, or of the best; `None` before the first.
    ///
    /// # Errors
    /// As [`hstep::train::saved_agent`].
    pub fn agent(&self, folder: &Path, which: Which) -> Result<Option<Agent>> {
        let (hybrid, make, identity) = (self.hybrid()?, self.factory(), self.identity()?);
        saved_agent(&self.run, hybrid, &make, (folder, which), &identity, &self.spec())
    }

    /// Number type and device of the networks; says where bfloat16 is asked for in vain.
    fn spec(&self) -> Spec {
        if self.run.precision == Precision::Bf16 && !hstep::nn::has_bf16() {
            tracing::warn!(
                "run.precision = \"bf16\": this processor does not multiply bfloat16 numbers \
                 (AVX-512 BF16); rollouts are computed in f32"
            );
        }
        Spec { precision: self.run.precision, ..Spec::f32() }
    }

    /// [`Settings::agent`], which there must be.
    ///
    /// # Errors
    /// As [`Settings::agent`]; [`Error::Checkpoint`] where it was not saved yet.
    pub fn trained(&self, folder: &Path, best: bool) -> Result<Agent> {
        let which = if best { Which::Best } else { Which::Newest };
        self.agent(folder, which)?.ok_or_else(|| {
            let problem = match which {
                Which::Newest => "the run has no checkpoint yet: train it first",
                Which::Best => "the run has no best checkpoint: train it with `run.best=true`",
            };
            Error::checkpoint(folder, problem)
        })
    }

    /// Fresh environments of this run.
    pub fn factory(&self) -> EnvFactory {
        self.registry.factory(&self.run.env)
    }

    fn hybrid(&self) -> Result<Hybrid> {
        let mut hybrid = self.entry.builder(&self.algorithm, self.registry.kinds())?.build()?;
        if self.base.is_some() {
            hybrid.name.clone_from(&self.run.algo);
        }
        match self.run.model {
            ModelChoice::Learned => Ok(hybrid),
            ModelChoice::Oracle => {
                let name = &self.run.env;
                let model = native_model(name, &Spec::f32()).map_err(|e| in_run("model", e))?;
                hybrid.with_given_model(format!("true {name}"), model)
            }
            ModelChoice::Given => {
                let name = &self.run.env;
                let model = self.registry.dynamics_of(name).map_err(|e| in_run("model", e))?;
                hybrid.with_given_model(format!("given {name}"), model)
            }
        }
    }
}

/// A setting, and where its value is from.
pub struct Explained {
    /// The dotted key.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// `default` (of the part or use), `row` (the algorithm's), `preset` (of its name and of the
    /// environment), or `given` (file and command line).
    pub layer: &'static str,
    /// Where the row's number is from.
    pub tag: String,
}

/// The settings of the last layer, each with the lowest layer from which on it has its value.
fn explain(
    prefix: &str,
    layers: &[(&'static str, BTreeMap<String, Value>)],
    tags: &BTreeMap<String, String>,
) -> Vec<Explained> {
    let Some((_, last)) = layers.last() else { return Vec::new() };
    let with_layer = |(key, value): (&String, &Value)| {
        let from = layers.iter().rev().take_while(|(_, table)| table.get(key) == Some(value));
        let layer = match from.last().map_or("given", |(layer, _)| *layer) {
            // What the row says, though it is the default.
            "default" if tags.contains_key(key) => "row",
            layer => layer,
        };
        let tag = tags.get(key).filter(|_| layer == "row").cloned().unwrap_or_default();
        Explained { key: format!("{prefix}{key}"), value: value.clone(), layer, tag }
    };
    last.iter().map(with_layer).collect()
}

/// Takes `base = "maac"` out of the layers: the algorithm that they change into one of their own.
fn base(layers: &mut Table) -> Result<Option<String>> {
    match layers.remove("base") {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(other) => {
            let problem = format!("expected the name of an algorithm, got {other}");
            Err(Error::config("base", problem))
        }
    }
}

/// Writes down which weights and which transitions the run begins with, unless that is known.
fn pin(run: &mut RunConfig, algorithm: &mut Table) -> Result<()> {
    if let (Some(from), None) = (&run.from, &run.from_hash) {
        run.from_hash = Some(hash_of_run(Path::new(from))?);
    }
    if let Some(schedule) = algorithm.get_mut("loop").and_then(Value::as_table_mut)
        && let Some(data) = schedule.get("data").and_then(Value::as_str)
        && !schedule.contains_key("data_hash")
    {
        let hash = hash_of_data(Path::new(data))?;
        schedule.insert("data_hash".into(), Value::String(hash));
    }
    Ok(())
}

/// The section `run`, with its name in front of the key of an error.
fn run_config(run: &Table) -> Result<RunConfig> {
    config::parse(run).map_err(|error| match error {
        Error::Config { key, problem } => {
            // The nearest key is named in the section's own words too.
            let unknown = "unknown key; did you mean `";
            let problem = problem.replace(unknown, &format!("{unknown}run."));
            Error::Config { key: format!("run.{key}"), problem }
        }
        other => other,
    })
}

/// An error about the environment's name as one about the key that holds it.
fn in_run(key: &str, error: Error) -> Error {
    match error {
        Error::Config { problem, .. } => Error::config(format!("run.{key}"), problem),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn stock() -> Arc<Registry> {
        Arc::new(Registry::new())
    }

    fn folders(root: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders(&path, found);
            }
            if path.join("config.toml").is_file() {
                found.push(path);
            }
        }
    }

    #[test]
    fn the_configurations_of_committed_runs_keep_their_names() {
        let mut all = Vec::new();
        folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../figures/data"), &mut all);
        assert!(all.len() > 100, "{}", all.len());
        for folder in all {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(folder.join("config.toml")).unwrap();
            let table: Table = text.parse().unwrap();
            let settings = Settings::resolved(&stock(), table.clone())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let now = settings.table().unwrap();
            // The oldest have no `run.precision`, which came before settings were added as unset.
            let old = table["run"].get("precision").is_none();
            let out = if old { &["run.precision"][..] } else { &[] };
            let differs = config::first_difference(&table, &now, out);
            assert!(differs.is_none(), "{name}: {}", differs.unwrap());
            if old {
                continue;
            }
            let (hash, identity) = (name.rsplit('-').next().unwrap(), settings.identity().unwrap());
            assert_eq!(identity, hash, "{name}");
        }
    }

    #[test]
    fn a_composition_of_ones_own_stands_in_its_configuration() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
        let example = read("examples/maac-mppi.toml");
        let body = &example[example.find("base").unwrap()..];
        assert!(read("docs/adding-an-algorithm.md").contains(body), "the page shows another file");
        let mut layers: Table = example.parse().unwrap();
        let more = ["run.algo=mine", "run.env=pendulum", "imagine.kind=none"];
        config::set_all(&mut layers, &more).unwrap();
        let settings = Settings::layered(&stock(), layers).unwrap();
        let [name, _, behave, imagine, improve, _] = settings.hybrid().unwrap().row();
        assert_eq!((name.as_str(), imagine.as_str()), ("mine", "none"));
        assert!(
            behave.starts_with("MPPI") && improve.starts_with("pathwise"),
            "{behave} {improve}"
        );
        let table = settings.table().unwrap();
        // Another kind takes the settings of the one before with it.
        assert_eq!(table["imagine"].to_string(), "{ kind = \"none\" }");
        let again = Settings::resolved(&stock(), table.clone()).unwrap();
        assert_eq!(again.table().unwrap(), table);
        assert_eq!(again.identity().unwrap(), settings.identity().unwrap());

        let refused = |text: &str| match Settings::layered(&stock(), text.parse().unwrap()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{text} is taken"),
        };
        let run = "run = { algo = 'mine', env = 'pendulum' }\n";
        let message = refused(&format!("base = 'mac'\n{run}"));
        assert!(message.contains("did you mean `maac`"), "{message}");
        let message = refused(&format!("base = 'maac'\n{run}behave.kind = 'plann'"));
        assert!(message.contains("`behave.kind`: `plann` is not a choice"), "{message}");
        let message = refused(&format!("base = 'maac'\n{run}behave.kind = 'plan'"));
        assert!(message.contains("`planner`: something is made of it"), "{message}");
        let message =
            refused(&format!("base = 'maac'\n{run}imagine = {{ kind = 'none', starts = 3 }}"));
        assert!(message.contains("`imagine.starts`: unknown key"), "{message}");
    }
}
