//! Runs: begun, gone on with, and opened to use what was learned.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Error as Any;
use hstep::Error;
use hstep::metrics::Row;
use hstep::train::{Observer, Progress};
use hstep_experiments::exit::Interrupted;
use hstep_experiments::runs::{self, Asked};
use hstep_experiments::{Registry, RunFolder, Settings};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use toml::Table;

use crate::env::Maker;
use crate::errors::{Raised as _, exception};
use crate::functions;
use crate::thrown::Thrown;

/// The exceptions of what a program brings to a run.
#[derive(Default, Clone)]
pub struct Own {
    /// Of its environment: the step before was whole.
    env: Option<Thrown>,
    /// Of its functions in the model, which may end an update in its middle.
    model: Vec<Thrown>,
}

impl Own {
    /// The original exception of the program's code, where there is one.
    pub fn take(&self) -> Option<PyErr> {
        self.env.iter().chain(&self.model).find_map(Thrown::take)
    }

    /// A result with the program's own exception in the place of the error that carried it.
    pub fn or<T>(&self, result: PyResult<T>) -> PyResult<T> {
        match (result, self.take()) {
            (Err(_), Some(own)) => Err(own),
            (result, _) => result,
        }
    }
}

/// What a program brings to a run.
#[derive(FromPyObject)]
pub struct Source<'py> {
    /// Makes its environments.
    maker: Option<Bound<'py, Maker>>,
    /// Its dynamics and the length of their state.
    dynamics: Option<(Py<PyAny>, usize)>,
}

/// The stock registry with what the program brings.
pub fn registry(source: Source<'_>) -> (Arc<Registry>, Own) {
    crate::logging::begin();
    let (mut registry, mut own) = (Registry::new(), Own::default());
    let Some(maker) = source.maker.as_ref().map(Bound::get) else {
        return (Arc::new(registry), own);
    };
    let make = maker.factory();
    own.env = Some(maker.thrown().clone());
    own.model.push(maker.thrown_in_model().clone());
    if let Some((f, state_dim)) = source.dynamics {
        let (make, thrown) = (Arc::clone(&make), Thrown::default());
        own.model.push(thrown.clone());
        let f = Arc::new(f);
        registry = registry.dynamics(maker.name(), move || {
            let info = make()?.info().clone();
            let f = Python::attach(|py| f.clone_ref(py));
            let spec = hstep::shape::Spec::f32();
            Ok(functions::dynamics(f, &info, state_dim, &spec, thrown.clone()))
        });
    }
    (Arc::new(registry.env(maker.name(), move || make())), own)
}

/// How long it may be until Python's signals are looked at.
const SIGNALS: Duration = Duration::from_millis(50);

/// Shows a run to Python: rows to a callback, and signals in between.
struct Watch {
    callback: Option<Py<PyAny>>,
    stop: Arc<AtomicBool>,
    looked: Instant,
    /// What the callback or a signal's handler raised.
    raised: Option<PyErr>,
    /// Whether the callback asked for an end.
    asked: bool,
    own: Own,
}

impl Watch {
    fn end_with(&mut self, error: PyErr) {
        self.raised.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Observer for Watch {
    fn step(&mut self, _: &Progress) {
        if self.looked.elapsed() < SIGNALS {
            return;
        }
        self.looked = Instant::now();
        Python::attach(|py| {
            if let Err(error) = py.check_signals() {
                self.end_with(error);
            }
        });
    }

    fn row(&mut self, row: &Row) {
        let Some(callback) = &self.callback else { return };
        let answer = Python::attach(|py| {
            let numbers = PyDict::new(py);
            for (name, value) in row.iter() {
                numbers.set_item(name, value)?;
            }
            Ok(callback.call1(py, (numbers,))?.bind(py).extract::<bool>().unwrap_or(true))
        });
        match answer {
            Ok(true) => {}
            Ok(false) => {
                self.asked = true;
                self.stop.store(true, Ordering::Relaxed);
            }
            Err(error) => self.end_with(error),
        }
    }

    /// The environment's own code has failed: what was learned before that step is whole.
    fn saves(&self, _: &Error) -> bool {
        self.own.env.iter().any(Thrown::any)
    }
}

/// A flag that asks a run to save and stop.
#[pyclass(frozen, module = "hstep._hstep")]
#[derive(Default)]
pub struct Stop(Arc<AtomicBool>);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Raises it.
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `f` without the interpreter.
fn watched(
    py: Python<'_>,
    own: &Own,
    stop: &Stop,
    callback: Option<Py<PyAny>>,
    f: impl FnOnce(&AtomicBool, &mut Watch) -> Result<PathBuf, Any> + Send,
) -> PyResult<PathBuf> {
    let stop = Arc::clone(&stop.0);
    let mut watch = Watch {
        callback,
        stop: Arc::clone(&stop),
        looked: Instant::now(),
        raised: None,
        asked: false,
        own: own.clone(),
    };
    let done = py.detach(|| f(&stop, &mut watch));
    match (watch.raised.take().or_else(|| own.take()), done) {
        (Some(raised), _) => Err(raised),
        (None, done) => done.map_err(|error| exception(py, &error)),
    }
}

/// What a run is asked for, as `hstep.train` says it.
#[derive(FromPyObject)]
pub struct Request {
    /// An algorithm by its name, or a file.
    what: Option<String>,
    /// A table of settings as TOML in its place.
    table: String,
    settings: Vec<String>,
    env: Option<String>,
    start_from: Option<String>,
    seed: Option<u64>,
    steps: Option<u64>,
}

impl Request {
    fn settings(self, registry: &Arc<Registry>) -> Result<Settings, Error> {
        let asked = match &self.what {
            Some(what) => Asked::what(what)?,
            None => Asked::table(parsed(&self.table)?, "own"),
        };
        let asked = Asked {
            settings: self.settings,
            env: self.env,
            from: self.start_from,
            seed: self.seed,
            steps: self.steps,
            ..asked
        };
        Settings::layered(registry, asked.layers()?)
    }
}

fn parsed(text: &str) -> Result<Table, Error> {
    text.parse().map_err(|e: toml::de::Error| Error::config("settings", e.message().to_owned()))
}

/// Trains; the run's folder.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    request: Request,
    out: Option<PathBuf>,
    source: Source<'_>,
    stop: &Bound<'_, Stop>,
    callback: Option<Py<PyAny>>,
) -> PyResult<PathBuf> {
    let (registry, own) = registry(source);
    watched(py, &own, stop.get(), callback, |stop, watch| {
        let settings = request.settings(&registry)?;
        let root = hstep_experiments::root(out.as_deref());
        let folder = runs::start(&settings, &root, "train", stop, watch);
        ended(folder.map(|folder| folder.path().to_path_buf()), watch, || {
            Ok(runs::place(&settings, &root, "train")?)
        })
    })
}

/// The folder of a run that its callback has ended, too.
fn ended(
    done: Result<PathBuf, Any>,
    watch: &Watch,
    place: impl FnOnce() -> Result<PathBuf, Any>,
) -> Result<PathBuf, Any> {
    match done {
        Err(error) if watch.asked && watch.raised.is_none() && error.is::<Interrupted>() => place(),
        done => done,
    }
}

/// Goes on with a run; its folder.
#[pyfunction]
pub fn resume(
    py: Python<'_>,
    run: PathBuf,
    settings: Vec<String>,
    steps: Option<u64>,
    source: Source<'_>,
    stop: &Bound<'_, Stop>,
    callback: Option<Py<PyAny>>,
) -> PyResult<PathBuf> {
    let (registry, own) = registry(source);
    watched(py, &own, stop.get(), callback, |stop, watch| {
        let folder = RunFolder::open(&run)?;
        let settings = runs::gone_on_with(&registry, &folder, &settings, steps)?;
        let done = runs::execute(&settings, &folder, stop, watch);
        ended(done.map(|()| run.clone()), watch, || Ok(run.clone()))
    })
}

/// The settings of a run folder, as JSON.
#[pyfunction]
pub fn config(py: Python<'_>, run: PathBuf) -> PyResult<String> {
    let folder = RunFolder::open(&run).raised(py)?;
    let config = folder.config().raised(py)?;
    serde_json::to_string(&config).raised(py)
}

/// The settings that a request comes to, as JSON; nothing is run.
#[pyfunction]
pub fn resolved(py: Python<'_>, request: Request, source: Source<'_>) -> PyResult<String> {
    let (registry, own) = registry(source);
    let table = py.detach(|| request.settings(&registry)?.table());
    serde_json::to_string(&own.or(table.raised(py))?).raised(py)
}
