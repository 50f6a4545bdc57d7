//! The runs of a sweep: a configuration file with a section `sweep` on top of it.

use std::path::Path;
use std::sync::Arc;

use hstep::config::check;
use hstep::rng::Rng;
use hstep::{Error, Result, config};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::slurm::Slurm;
use crate::presets::section;
use crate::registry::Registry;
use crate::run_folder::Identity;
use crate::seeds::Seeds;
use crate::settings::Settings;

/// What the section `sweep` holds beside `grid`, `list` and `random`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    name: String,
    algos: Vec<String>,
    envs: Vec<String>,
    seeds: Seeds,
}

/// `[sweep.halving]`: successive halving (Jamieson and Talwalkar 2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Halving {
    /// Environment steps before the first choice.
    pub first: u64,
    /// One in so many goes on, to so many times the steps.
    pub factor: u64,
}

impl Default for Halving {
    fn default() -> Self {
        Self { first: 0, factor: 3 }
    }
}

/// One `key=value` after another.
type Point = Vec<String>;

/// What is to be run.
pub struct Plan {
    registry: Arc<Registry>,
    /// The name of the sweep's folder.
    pub name: String,
    /// What all runs share.
    base: Table,
    /// How the weak ones are left behind, if they are.
    pub halving: Option<Halving>,
    /// What a task of a cluster asks for.
    pub slurm: Slurm,
    /// What each sets on top.
    points: Vec<Point>,
}

/// A run with all its settings.
#[derive(Clone)]
pub struct Planned {
    /// Its place in the list.
    pub index: usize,
    /// What it sets on top of what all share.
    pub set: Point,
    /// Everything resolved.
    pub settings: Settings,
    /// The name of its folder.
    pub folder: String,
}

impl Plan {
    /// Reads a sweep.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] naming the key.
    pub fn read(registry: &Arc<Registry>, file: &Path) -> Result<Self> {
        let mut base = config::read(file)?;
        let mut sweep = section(&mut base, "sweep")?;
        if sweep.is_empty() {
            let problem = "missing: a sweep has a section `[sweep]` with algos, envs and seeds";
            return Err(Error::config("sweep", problem));
        }
        let slurm: Slurm = config::parse(&section(&mut base, "slurm")?).map_err(below("slurm"))?;
        slurm.validate()?;
        let grid = config::flat(&section(&mut sweep, "grid")?, &[]);
        let list = sweep.remove("list");
        let random = section(&mut sweep, "random")?;
        let halving = section(&mut sweep, "halving")?;
        let halving: Option<Halving> = match halving.is_empty() {
            true => None,
            false => Some(config::parse(&halving).map_err(below("sweep.halving"))?),
        };
        if let Some(Halving { first, factor }) = halving {
            check::at_least("sweep.halving.first", first as usize, 1)?;
            check::at_least("sweep.halving.factor", factor as usize, 2)?;
        }
        let head: Head = config::parse(&sweep).map_err(below("sweep"))?;
        let mut points = vec![Point::new()];
        // The slowest first: a sweep that was stopped early has all algorithms on the first seeds,
        // and more seeds leave the places of the others as they are.
        let seeds: Vec<Value> = head.seeds.0.iter().map(|s| Value::Integer(*s as i64)).collect();
        let words = |all: &[String]| all.iter().cloned().map(Value::String).collect::<Vec<_>>();
        for (key, values) in
            [("run.seed", seeds), ("run.env", words(&head.envs)), ("run.algo", words(&head.algos))]
        {
            points = crossed(&points, &one_key(key, &values));
        }
        points = crossed(&points, &listed(list)?);
        for (key, values) in grid {
            let Value::Array(values) = values else {
                let problem = format!("expected a list of values, got {values}");
                return Err(Error::config(format!("sweep.grid.{key}"), problem));
            };
            check::at_least(&format!("sweep.grid.{key}"), values.len(), 1)?;
            points = crossed(&points, &one_key(&key, &values));
        }
        points = crossed(&points, &drawn(random)?);
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = if head.name.is_empty() { stem.unwrap_or_default() } else { head.name };
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            let problem = format!("expected the name of a folder, got `{name}`");
            return Err(Error::config("sweep.name", problem));
        }
        Ok(Self { registry: Arc::clone(registry), name, base, halving, slurm, points })
    }

    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// The run at `index`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, or an index that is not there.
    pub fn resolve(&self, index: usize) -> Result<Planned> {
        let Some(set) = self.points.get(index) else {
            let problem = format!("expected a run from 0 to {}, got {index}", self.len() - 1);
            return Err(Error::config("--index", problem));
        };
        let mut layers = self.base.clone();
        config::set_all(&mut layers, set)?;
        let has = |key| layers.get("run").is_some_and(|run| run.get(key).is_some());
        for (key, plural) in [("algo", "algos"), ("env", "envs")] {
            if !has(key) {
                let problem = format!("missing; write for example `{plural} = [...]`");
                return Err(Error::config(format!("sweep.{plural}"), problem));
            }
        }
        let settings = Settings::layered(&self.registry, layers)?;
        let (table, run) = (settings.table()?, &settings.run);
        let experiment = self.name.as_str();
        let identity =
            Identity { experiment, algo: &run.algo, env: &run.env, seed: run.seed, config: &table };
        let folder = identity.folder();
        let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Planned { index, set: set.clone(), settings, folder })
    }

    /// All runs.
    ///
    /// # Errors
    /// As [`Plan::resolve`], and for two runs that are the same.
    pub fn resolve_all(&self) -> Result<Vec<Planned>> {
        let all: Vec<Planned> = (0..self.len()).map(|i| self.resolve(i)).collect::<Result<_>>()?;
        let mut names: Vec<(&str, usize)> =
            all.iter().map(|run| (run.folder.as_str(), run.index)).collect();
        names.sort_unstable();
        match names.windows(2).find(|w| w[0].0 == w[1].0) {
            None => Ok(all),
            Some(w) => {
                let set = |i: usize| all[i].set.join(" ");
                let (a, b) = (w[0].1, w[1].1);
                let problem =
                    format!("runs {a} ({}) and {b} ({}) are the same run", set(a), set(b));
                Err(Error::config("sweep", problem))
            }
        }
    }
}

/// Puts a section's name in front of the key of an error.
fn below(section: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Config { key, problem } => {
            Error::Config { key: format!("{section}.{key}"), problem }
        }
        other => other,
    }
}

/// Every point of `a` with every point of `b`; with no point of `b`, as it was.
fn crossed(a: &[Point], b: &[Point]) -> Vec<Point> {
    if b.is_empty() {
        return a.to_vec();
    }
    a.iter().flat_map(|a| b.iter().map(move |b| [a.as_slice(), b].concat())).collect()
}

fn one_key(key: &str, values: &[Value]) -> Vec<Point> {
    values.iter().map(|value| vec![format!("{key}={value}")]).collect()
}

/// `[[sweep.list]]`: each entry is a point.
fn listed(list: Option<Value>) -> Result<Vec<Point>> {
    let wrong = |got: &Value| {
        let problem = format!("expected entries `[[sweep.list]]` of settings, got {got}");
        Error::config("sweep.list", problem)
    };
    let entries = match list {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(wrong(&other)),
    };
    let point = |entry: &Value| {
        let table = entry.as_table().ok_or_else(|| wrong(entry))?;
        Ok(config::flat(table, &[]).iter().map(|(key, value)| format!("{key}={value}")).collect())
    };
    entries.iter().map(point).collect()
}

/// `[sweep.random]`: `count` points, each key drawn for itself, from `seed` (0).
fn drawn(mut random: Table) -> Result<Vec<Point>> {
    if random.is_empty() {
        return Ok(Vec::new());
    }
    let mut whole = |key: &str, usual: Option<i64>| {
        let value = random.remove(key).map_or(usual, |value| value.as_integer());
        value.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| {
            Error::config(format!("sweep.random.{key}"), "expected a whole number of 0 or more")
        })
    };
    let (count, seed) = (whole("count", None)?, whole("seed", Some(0))?);
    check::at_least("sweep.random.count", count as usize, 1)?;
    let root = Rng::new(seed);
    let mut points = vec![Point::new(); count as usize];
    for (path, value) in config::flat(&random, &[]) {
        let (key, kind) = path.rsplit_once('.').unwrap_or(("", &path));
        let mut rng = root.fork(key);
        for point in &mut points {
            point.push(format!("{key}={}", draw(key, kind, &value, &mut rng)?));
        }
    }
    Ok(points)
}

fn draw(key: &str, kind: &str, value: &Value, rng: &mut Rng) -> Result<Value> {
    let wrong = || {
        let problem = format!(
            "expected `between = [low, high]`, `log = [low, high]` (both above 0), `whole = [low, \
             high]` or `choice = [...]`, got `{kind} = {value}`"
        );
        Error::config(format!("sweep.random.{key}"), problem)
    };
    let list = value.as_array().filter(|list| !list.is_empty() && !key.is_empty());
    let list = list.ok_or_else(wrong)?;
    if kind == "choice" {
        return Ok(list[rng.below(list.len())].clone());
    }
    let number = |v: &Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    let ends: Vec<f64> = list.iter().filter_map(number).filter(|x| x.is_finite()).collect();
    let [low, high] = ends[..] else { return Err(wrong()) };
    if low >= high || list.len() != 2 {
        return Err(wrong());
    }
    match kind {
        "between" => Ok(Value::Float(low + (high - low) * rng.uniform())),
        "log" if low > 0.0 => {
            Ok(Value::Float((low.ln() + (high.ln() - low.ln()) * rng.uniform()).exp()))
        }
        "whole" if low.fract() == 0.0 && high.fract() == 0.0 => {
            let n = (high - low) as usize + 1;
            Ok(Value::Integer(low as i64 + rng.below(n) as i64))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, text).unwrap();
        Plan::read(&Arc::new(Registry::new()), &file)
    }

    #[test]
    fn algorithms_environments_seeds_and_a_grid_are_crossed() {
        let text = "[run]\nsteps = 700\n[sweep]\nalgos = ['maac', 'mbpo']\n\
                    envs = ['pendulum']\nseeds = '0..1'\n[sweep.grid]\nmodel.members = [5, 6]";
        let plan = plan(text).unwrap();
        assert_eq!((plan.name.as_str(), plan.len()), ("mine", 8));
        let all = plan.resolve_all().unwrap();
        let of = |i: usize| {
            let run = &all[i].settings.run;
            (run.algo.as_str(), run.env.as_str(), run.seed, run.steps)
        };
        assert_eq!(of(0), ("maac", "pendulum", 0, 700));
        assert_eq!(of(7), ("mbpo", "pendulum", 1, 700));
        assert!(all[1].set.contains(&"model.members=6".to_owned()), "{:?}", all[1].set);
        assert!(all[0].folder.starts_with("maac-pendulum-s0-"));
        assert!(plan.resolve(8).is_err());
    }

    #[test]
    fn a_list_may_name_algorithms_and_random_draws_are_the_same_again() {
        let text = "[sweep]\nseeds = [3]\nenvs = ['pendulum']\n[[sweep.list]]\nrun.algo = 'sac'\n\
                    [[sweep.list]]\nrun.algo = 'maac'\nimprove.horizon = 2\n[sweep.random]\n\
                    count = 3\n'actor.lr' = { log = [1e-5, 1e-3] }\nloop.batch.choice = [32, 64]";
        let (one, two) = (plan(text).unwrap(), plan(text).unwrap());
        assert_eq!((one.len(), &one.points), (6, &two.points));
        let rates: Vec<f64> = one.points[..3]
            .iter()
            .map(|p| p.iter().find_map(|s| s.strip_prefix("actor.lr=")).unwrap().parse().unwrap())
            .collect();
        assert!(
            rates.iter().all(|r| (1e-5..1e-3).contains(r)) && rates[0] != rates[1],
            "{rates:?}"
        );
        assert_eq!(one.resolve_all().unwrap()[4].settings.run.algo, "maac");
    }

    #[test]
    fn mistakes_are_named_with_their_key() {
        let head = "[sweep]\nalgos = ['sac']\nenvs = ['pendulum']\nseeds = '0..1'\n";
        for (text, words) in [
            ("[run]\nsteps = 3".to_owned(), "sweep"),
            (head.replace("algos", "algo"), "sweep.algo"),
            (head.replace("'0..1'", "'4..1'"), "both ends count"),
            (format!("{head}[sweep.grid]\nactor.lr = 3"), "sweep.grid.actor.lr"),
            (format!("{head}[sweep.random]\nactor.lr.log = [1, 2]"), "sweep.random.count"),
            (format!("{head}[sweep.halving]\nfactor = 2"), "sweep.halving.first"),
            (format!("{head}[sweep.halving]\nfrist = 2"), "sweep.halving.frist"),
            (format!("{head}[sweep.random]\ncount=1\nactor.lr.log = [0, 2]"), "above 0"),
            (
                format!("{head}[sweep.random]\ncount=1\nactor.lr.logg = [1, 2]"),
                "sweep.random.actor.lr",
            ),
        ] {
            let error = plan(&text).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.contains(words), "{error}");
        }
        let text = format!("{head}[sweep.grid]\nactor.lrr = [3]");
        let error = plan(&text).unwrap().resolve(0).err().unwrap().to_string();
        assert!(error.contains("actor.lrr"), "{error}");
        let text = format!("{head}[sweep.grid]\nactor.lr = [3e-4, 3e-4]");
        let error = plan(&text).unwrap().resolve_all().err().unwrap().to_string();
        assert!(error.contains("same run"), "{error}");
    }
}
