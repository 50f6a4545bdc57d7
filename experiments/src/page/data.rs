//! What the page shows, collected from run folders.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hstep::log::Phase;
use hstep::metrics::read_columns;
use hstep::train::TOTAL_COLUMN;
use hstep::{config, files};
use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::commands::report;
use crate::compare::curve::line;
use crate::compare::summary::{self, Estimate};
use crate::compare::{algorithm, export, folders, groups};
use crate::settings::NOT_IDENTITY;

/// Points of a curve at most.
const POINTS: usize = 200;
/// Points of all curves of returns.
const RETURN_POINTS: usize = 210_000;
/// Points of all other curves.
const OTHER_POINTS: usize = 60_000;
/// Points of a run's core-hours, which rise nearly evenly.
const HOURS: usize = 16;
/// What is drawn of a run, where it has it.
const COLUMNS: [&str; 9] = [
    "eval_return",
    "train_return",
    "open_loop_rmse_1",
    "open_loop_rmse_5",
    "open_loop_rmse_15",
    "model_nll",
    "q_mean",
    "critic_loss",
    "entropy",
];
/// Settings that are shown of a run at most: those in which runs differ.
const SETTINGS: usize = 40;
/// Films on a page, and bytes of one.
const FILMS: (usize, u64) = (24, 1_500_000);

/// `x` and `y` of a curve.
type Curve = (Vec<Short>, Vec<Short>);

/// All of it.
#[derive(Serialize)]
pub struct Page {
    version: &'static str,
    made: u64,
    live: bool,
    /// Another one when a run has gone on.
    stamp: String,
    thinned: usize,
    phases: Vec<&'static str>,
    intervals: String,
    pub runs: Vec<Run>,
    groups: Vec<Group>,
}

/// A run.
#[derive(Default, Serialize)]
pub struct Run {
    folder: String,
    name: String,
    state: &'static str,
    note: String,
    label: Option<String>,
    env: Option<String>,
    seed: Option<i64>,
    step: Option<f64>,
    steps: Option<i64>,
    last: Option<f64>,
    best: Option<f64>,
    core_hours: Option<f64>,
    hours: Option<Curve>,
    /// Seconds of the last process in each phase, and the rest.
    seconds: Option<Vec<f64>>,
    curves: BTreeMap<&'static str, Curve>,
    command: Option<String>,
    settings: BTreeMap<String, String>,
    film: Option<String>,
    #[serde(skip)]
    flat: BTreeMap<String, Value>,
}

/// Runs with equal settings but for the seed.
#[derive(Serialize)]
struct Group {
    env: String,
    label: String,
    seeds: usize,
    steps: f64,
    iqm: Estimate,
    mean: Estimate,
    area: Estimate,
    per_core_hour: Option<Estimate>,
    curve: Option<Line>,
}

/// The interquartile mean over seeds, with its interval where there is one.
#[derive(Serialize)]
struct Line {
    xs: Vec<Short>,
    ys: Vec<Short>,
    low: Option<Vec<Short>>,
    high: Option<Vec<Short>>,
}

impl Page {
    /// From the run folders among and below `paths`. Whatever is wrong with one is said in its row.
    pub fn collect(paths: &[PathBuf], live: bool) -> Self {
        let mut found = BTreeSet::new();
        for path in paths {
            match folders::find(std::slice::from_ref(path)) {
                Ok(below) => found.extend(below),
                Err(_) => drop(found.insert(path.clone())),
            }
        }
        let found: Vec<PathBuf> = found.into_iter().collect();
        let mut runs = in_parts(&found, |folder| Run::read(folder));
        let (of_returns, mut left) = folders::read(&found, "eval_return");
        let groups = groups::group(of_returns, &mut left);
        label(&mut runs, &groups);
        let thinned = thin_all(&mut runs);
        differences(&mut runs);
        let mut films = FILMS.0;
        for (run, folder) in runs.iter_mut().zip(&found) {
            run.film = (films > 0).then(|| film(folder)).flatten();
            films -= usize::from(run.film.is_some());
        }
        let (intervals, groups) = match summary::rows(&groups, 1) {
            Ok(rows) => (export::intervals(&rows), summed_up(&rows, &groups)),
            Err(_) if groups.is_empty() => (String::new(), Vec::new()),
            Err(error) => (error.to_string(), Vec::new()),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            made: now,
            live,
            stamp: stamp(&runs),
            thinned,
            phases: Phase::ALL.map(|phase| phase.column().trim_end_matches("_s")).to_vec(),
            intervals,
            runs,
            groups,
        }
    }
}

/// Maps a slice in as many threads as there are cores.
fn in_parts<T: Sync, R: Send>(all: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = all.len().div_ceil(workers).max(1);
    let of = &of;
    std::thread::scope(|scope| {
        let part = |part| scope.spawn(move || Vec::from_iter(<[T]>::iter(part).map(of)));
        let threads: Vec<_> = all.chunks(share).map(part).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

impl Run {
    fn read(folder: &Path) -> Self {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let (state, note) = report::state(folder);
        let shown = folder.display().to_string();
        let mut run =
            Self { state, note, name: name.unwrap_or_else(|| shown.clone()), ..Self::default() };
        run.folder = shown;
        let table = config::read(folder.join("config.toml")).unwrap_or_else(|error| {
            run.say(&error.to_string());
            Table::new()
        });
        let of_run = |key: &str| table.get("run").and_then(|run| run.get(key));
        let word = |key: &str| of_run(key).and_then(Value::as_str).map(str::to_owned);
        run.env = word("env");
        run.label = word("algo").map(|algo| algorithm(&algo));
        run.seed = of_run("seed").and_then(Value::as_integer);
        run.steps = of_run("steps").and_then(Value::as_integer);
        run.flat = flat(&table);
        run.command = command(folder);
        if let Err(error) = run.metrics(folder) {
            run.say(&error.to_string());
        }
        run.seconds = seconds(folder);
        if let Ok(Some(hours)) = folders::hours(folder) {
            run.core_hours = hours.last().map(|(_, hours)| round(*hours));
            run.hours = Some(unzip(&evenly(&hours, HOURS)));
        }
        run
    }

    /// Adds to the note, unless it stands there already.
    fn say(&mut self, what: &str) {
        if self.note.is_empty() {
            what.clone_into(&mut self.note);
        } else if !self.note.contains(what) {
            self.note = format!("{}; {what}", self.note);
        }
    }

    fn metrics(&mut self, folder: &Path) -> hstep::Result<()> {
        let path = folder.join("metrics.csv");
        if !path.exists() {
            return Ok(());
        }
        let there = head(&path);
        let wanted = COLUMNS.into_iter().filter(|name| there.iter().any(|own| own == name));
        let names: Vec<&'static str> = std::iter::once("env_steps").chain(wanted).collect();
        let columns = read_columns(&path, &names)?;
        let Some((steps, others)) = columns.split_first() else { return Ok(()) };
        self.step = steps.iter().flatten().last().copied();
        for (name, column) in names[1..].iter().zip(others) {
            let both = steps.iter().zip(column).filter_map(|(x, y)| Some(((*x)?, (*y)?)));
            let points: Vec<(f64, f64)> = both.filter(|(_, y)| y.is_finite()).collect();
            if *name == "eval_return" {
                self.last = points.last().map(|(_, y)| *y);
                self.best = points.iter().map(|(_, y)| *y).reduce(f64::max);
            }
            if !points.is_empty() {
                self.curves.insert(name, unzip(&thin(&points, POINTS)));
            }
        }
        Ok(())
    }
}

/// A number in as few characters as it needs.
#[derive(Clone, Copy)]
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(x) = *self;
        if x.fract() == 0.0 && x.abs() < 1e15 {
            serializer.serialize_i64(x as i64)
        } else {
            serializer.serialize_f64(x)
        }
    }
}

/// Five digits are more than a picture shows.
fn round(x: f64) -> f64 {
    format!("{x:.4e}").parse().unwrap_or(x)
}

fn unzip(points: &[(f64, f64)]) -> Curve {
    points.iter().map(|(x, y)| (Short(*x), Short(round(*y)))).unzip()
}

/// The names of the columns, from the first line.
fn head(path: &Path) -> Vec<String> {
    use std::io::{BufRead as _, Read as _};
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut first = String::new();
    let _ = std::io::BufReader::new(file.take(1 << 16)).read_line(&mut first);
    first.trim_end().split(',').map(str::to_owned).collect()
}

/// At most `most` points: both ends, and the lowest and the highest of equal stretches between them.
fn thin(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most || most < 4 {
        return if most < 4 { evenly(points, most) } else { points.to_vec() };
    }
    let (first, inner, last) = (points[0], &points[1..points.len() - 1], points[points.len() - 1]);
    let stretches = (most - 2) / 2;
    let mut kept = vec![first];
    for i in 0..stretches {
        let stretch = &inner[i * inner.len() / stretches..(i + 1) * inner.len() / stretches];
        let place = |better: fn(f64, f64) -> bool| {
            (1..stretch.len())
                .fold(0, |at, i| if better(stretch[i].1, stretch[at].1) { i } else { at })
        };
        if !stretch.is_empty() {
            let ends = [place(|a, b| a < b), place(|a, b| a > b)];
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            kept.push(stretch[low]);
            kept.extend((high > low).then(|| stretch[high]));
        }
    }
    kept.push(last);
    kept
}

/// At most `most` points at even distances, both ends among them.
fn evenly(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let n = points.len().min(most);
    (0..n).map(|i| points[i * (points.len() - 1) / (n - 1).max(1)]).collect()
}

/// Curves get equal shares of [`RETURN_POINTS`], those of the return, and of [`OTHER_POINTS`]; the most points of a
/// return.
fn thin_all(runs: &mut [Run]) -> usize {
    let returns = |name: &str| name == "eval_return";
    let mut most = POINTS;
    for (which, all) in [(true, RETURN_POINTS), (false, OTHER_POINTS)] {
        let mut curves: Vec<&mut Curve> = runs
            .iter_mut()
            .flat_map(|run| &mut run.curves)
            .filter(|(name, _)| returns(name) == which)
            .map(|(_, curve)| curve)
            .collect();
        let share = (all / curves.len().max(1)).clamp(4, POINTS);
        if which {
            most = share;
        }
        for curve in &mut curves {
            let points: Vec<(f64, f64)> =
                curve.0.iter().zip(&curve.1).map(|(x, y)| (x.0, y.0)).collect();
            **curve = unzip(&thin(&points, share));
        }
    }
    most
}

/// Settings by dotted keys, without those that are a run's own.
fn flat(table: &Table) -> BTreeMap<String, Value> {
    let mut out: Vec<&str> = NOT_IDENTITY.to_vec();
    out.extend(["run.seed", "run.algo", "run.env"]);
    config::flat(table, &out)
}

/// Each run gets the settings in which runs differ.
fn differences(runs: &mut [Run]) {
    let whole: Vec<&Run> = runs.iter().filter(|run| !run.flat.is_empty()).collect();
    let keys: BTreeSet<&String> = whole.iter().flat_map(|run| run.flat.keys()).collect();
    let differs = |key: &&String| {
        let mut values = whole.iter().map(|run| run.flat.get(*key));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let keys: Vec<String> = keys.into_iter().filter(differs).take(SETTINGS).cloned().collect();
    for run in runs {
        let own = |key: &String| Some((key.clone(), run.flat.get(key)?.to_string()));
        run.settings = keys.iter().filter_map(own).collect();
    }
}

/// Each run is called as its group.
fn label(runs: &mut [Run], groups: &[groups::Group]) {
    let by_folder: BTreeMap<String, &str> = groups
        .iter()
        .flat_map(|group| {
            group.runs.iter().map(|run| (run.folder.display().to_string(), &*group.label))
        })
        .collect();
    for run in runs {
        if let Some(label) = by_folder.get(&run.folder) {
            run.label = Some((*label).to_owned());
        }
    }
}

fn summed_up(rows: &[summary::Row], groups: &[groups::Group]) -> Vec<Group> {
    let one = |row: &summary::Row| {
        let of = |group: &&groups::Group| group.env == row.env && group.label == row.label;
        let curve = groups.iter().find(of).and_then(|group| {
            let curves: Vec<_> = group.runs.iter().map(|run| run.curve.clone()).collect();
            let series = (curves.len() > 1).then(|| line("", 0, &curves)).transpose();
            let series = series.ok().flatten().filter(|series| !series.points.is_empty())?;
            let (xs, ys) = unzip(&series.points);
            let edge = |of: fn(&(f64, f64)) -> f64| {
                let all = series.band.iter().map(|edges| round(of(edges)));
                (!series.band.is_empty()).then(|| all.map(Short).collect::<Vec<_>>())
            };
            Some(Line { xs, ys, low: edge(|e| e.0), high: edge(|e| e.1) })
        });
        Group {
            env: row.env.clone(),
            label: row.label.clone(),
            seeds: row.seeds.len(),
            steps: row.steps,
            iqm: row.iqm,
            mean: row.mean,
            area: row.area,
            per_core_hour: row.per_core_hour,
            curve,
        }
    };
    rows.iter().map(one).collect()
}

/// The words that a run was started with.
fn command(folder: &Path) -> Option<String> {
    let meta = files::text_of_run(&folder.join("meta.json"), files::TEXT).ok()?;
    let meta: Json = serde_json::from_str(&meta).ok()?;
    let words: Vec<&str> =
        meta.get("command_line")?.as_array()?.iter().filter_map(Json::as_str).collect();
    Some(words.join(" "))
}

/// The seconds of the last process in each phase, and the rest.
fn seconds(folder: &Path) -> Option<Vec<f64>> {
    let path = folder.join("timing.csv");
    let there = head(&path);
    let names = Phase::ALL.map(Phase::column).into_iter().chain([TOTAL_COLUMN]);
    let names: Vec<&str> = names.filter(|name| there.iter().any(|own| own == name)).collect();
    let columns = read_columns(&path, &names).ok()?;
    let last = |name: &str| {
        let at = names.iter().position(|own| *own == name)?;
        columns[at].iter().flatten().last().copied()
    };
    let mut all: Vec<f64> =
        Phase::ALL.iter().map(|phase| round(last(phase.column()).unwrap_or(0.0))).collect();
    let booked: f64 = all.iter().sum();
    all.push(round((last(TOTAL_COLUMN).unwrap_or(booked) - booked).max(0.0)));
    Some(all)
}

/// The first film that `hstep render` left in the folder, as an address that holds it.
fn film(folder: &Path) -> Option<String> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder.join("render")).ok()?.flatten().map(|e| e.path()).collect();
    all.sort();
    let path = all.iter().find(|path| path.extension().is_some_and(|ending| ending == "gif"))?;
    let about = path.symlink_metadata().ok()?;
    if !about.is_file() || about.len() > FILMS.1 {
        return None;
    }
    Some(format!("data:image/gif;base64,{}", STANDARD.encode(std::fs::read(path).ok()?)))
}

fn stamp(runs: &[Run]) -> String {
    let mut hasher = DefaultHasher::new();
    for run in runs {
        (&run.folder, run.state, &run.note, run.step.map(f64::to_bits), run.film.is_some())
            .hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_curves_keep_their_ends_and_their_extremes() {
        let curve: Vec<(f64, f64)> =
            (0..1000).map(|i| (f64::from(i), f64::from(i * 7919 % 1000))).collect();
        let thinned = thin(&curve, 50);
        assert!(thinned.len() <= 50 && thinned.len() > 40, "{}", thinned.len());
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (curve[0], curve[999]));
        let extremes = |points: &[(f64, f64)]| {
            let ys = points[1..points.len() - 1].iter().map(|p| p.1);
            (ys.clone().fold(f64::INFINITY, f64::min), ys.fold(f64::NEG_INFINITY, f64::max))
        };
        assert_eq!(extremes(&thinned), extremes(&curve));
        assert!(thinned.windows(2).all(|two| two[0].0 < two[1].0));
        assert_eq!(thin(&curve[..30], 50), curve[..30]);
        assert_eq!((thin(&[], 50).len(), thin(&curve[..1], 50).len()), (0, 1));
        assert_eq!(round(12_345.678), 12_346.0);
    }
}
