//! Environments that are Python objects, in this process.
//!
//! `hstep._env` looks at an environment once, checks its spaces and says what [`Described`] holds; a step
//! then goes to the object itself. Each is kept for the next use: episodes of an evaluation are run one
//! after the other in one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hstep::env::{Env, EnvFactory, EnvInfo, Known, Step};
use hstep::rng::Rng;
use hstep::{Error, Result};
use numpy::{PyArray1, PyArrayMethods as _, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyTuple};

use crate::functions;
use crate::thrown::Thrown;

/// What Python says of an environment that it has made.
#[derive(FromPyObject)]
struct Described {
    obs_dim: usize,
    low: Vec<f64>,
    high: Vec<f64>,
    max_steps: usize,
    versions: BTreeMap<String, String>,
    /// The bound method.
    step: Py<PyAny>,
    /// `(seed) -> numbers [O]`.
    reset: Py<PyAny>,
    /// `(what step returned) -> (numbers [O], reward, terminated, truncated)`, for all that is not plain.
    read: Py<PyAny>,
    /// Whether actions are of `float32`; `float64` otherwise.
    float32: bool,
    /// The shape of an action, where it has not one dimension.
    action_shape: Option<Vec<usize>>,
    /// `(obs [B,O], action [B,A], next_obs [B,O]) -> [B]`.
    reward: Option<Py<PyAny>>,
    /// The same for 1 where the episode goes on after a step.
    terminated: Option<Py<PyAny>>,
}

/// Makes environments of one kind, and keeps those that are not in use.
#[pyclass(frozen, module = "hstep._hstep")]
pub struct Maker {
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// `() -> Described`
    make: Py<PyAny>,
    idle: Mutex<Vec<Made>>,
    /// What the environments have raised.
    thrown: Thrown,
    /// What their rewards and ends as functions of batches have raised, in the middle of an update.
    thrown_in_model: Thrown,
}

#[derive(Clone)]
struct Made(Arc<(EnvInfo, Described)>);

#[pymethods]
impl Maker {
    #[new]
    fn new(name: String, make: Py<PyAny>) -> Self {
        let shared = Shared {
            make,
            idle: Mutex::default(),
            thrown: Thrown::default(),
            thrown_in_model: Thrown::default(),
        };
        Self { name, shared: Arc::new(shared) }
    }

    /// Seconds of each of so many steps with the action in the middle of its range: what
    /// `hstep.bench.step_seconds` is.
    fn time_steps<'py>(
        &self,
        py: Python<'py>,
        steps: usize,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let seconds = py.detach(|| -> Result<Vec<f64>> {
            let mut env = self.make()?;
            let info = env.info().clone();
            let action = info.denormalise(&vec![0.0; info.action_dim()])?;
            let mut rng = Rng::new(0);
            env.reset(&mut rng)?;
            let mut all = Vec::with_capacity(steps);
            while all.len() < steps {
                let began = std::time::Instant::now();
                let step = env.step(&action)?;
                all.push(began.elapsed().as_secs_f64());
                if step.terminated || step.truncated {
                    env.reset(&mut rng)?;
                }
            }
            Ok(all)
        });
        let seconds = self.shared.thrown.or(crate::errors::Raised::raised(seconds, py))?;
        Ok(PyArray1::from_vec(py, seconds))
    }
}

impl Maker {
    /// Its name in configurations.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the environments have raised.
    pub fn thrown(&self) -> &Thrown {
        &self.shared.thrown
    }

    /// What their functions of batches have raised.
    pub fn thrown_in_model(&self) -> &Thrown {
        &self.shared.thrown_in_model
    }

    /// Fresh environments.
    pub fn factory(&self) -> EnvFactory {
        let (name, shared) = (self.name.clone(), Arc::clone(&self.shared));
        Arc::new(move || Ok(Box::new(PyEnv::new(&name, &shared)?)))
    }

    fn make(&self) -> Result<Box<dyn Env>> {
        self.factory()()
    }
}

/// One environment.
struct PyEnv {
    made: Made,
    shared: Arc<Shared>,
    steps: usize,
    running: bool,
}

impl PyEnv {
    fn new(name: &str, shared: &Arc<Shared>) -> Result<Self> {
        let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let made = match idle {
            Some(made) => made,
            None => Python::attach(|py| {
                let read =
                    || -> PyResult<Described> { shared.make.call0(py)?.into_bound(py).extract() };
                read().map_err(|error| shared.thrown.keep(py, name, error))
            })
            .map(|described| {
                let info = EnvInfo {
                    name: name.to_owned(),
                    obs_dim: described.obs_dim,
                    action_low: described.low.clone(),
                    action_high: described.high.clone(),
                    max_steps: described.max_steps,
                };
                Made(Arc::new((info, described)))
            })?,
        };
        Ok(Self { made, shared: Arc::clone(shared), steps: 0, running: false })
    }

    fn described(&self) -> &Described {
        &self.made.0.1
    }

    /// Calls Python; what it raises is kept.
    fn call<T>(&self, f: impl FnOnce(Python<'_>, &Described) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| {
            f(py, self.described())
                .map_err(|error| self.shared.thrown.keep(py, &self.info().name, error))
        })
    }
}

/// An action as the environment takes it: clipped, of its number type and shape.
fn action<'py>(
    py: Python<'py>,
    x: &[f64],
    info: &EnvInfo,
    of: &Described,
) -> PyResult<Bound<'py, PyAny>> {
    let bounds = info.action_low.iter().zip(&info.action_high);
    let clipped = x.iter().zip(bounds).map(|(x, (low, high))| x.clamp(*low, *high));
    let flat = if of.float32 {
        PyArray1::from_iter(py, clipped.map(|x| x as f32)).into_any()
    } else {
        PyArray1::from_iter(py, clipped).into_any()
    };
    match &of.action_shape {
        None => Ok(flat),
        Some(shape) => flat.call_method1("reshape", (PyTuple::new(py, shape)?,)),
    }
}

/// The numbers of a plain array of the right length.
fn plain(obs: &Bound<'_, PyAny>, length: usize) -> Option<Vec<f64>> {
    if let Ok(array) = obs.cast::<PyArray1<f64>>() {
        let array: PyReadonlyArray1<f64> = array.try_readonly().ok()?;
        return array.as_slice().ok().filter(|x| x.len() == length).map(<[f64]>::to_vec);
    }
    let array: PyReadonlyArray1<f32> = obs.cast::<PyArray1<f32>>().ok()?.try_readonly().ok()?;
    let slice = array.as_slice().ok().filter(|x| x.len() == length)?;
    Some(slice.iter().map(|x| f64::from(*x)).collect())
}

/// What a step returned, where it is all plain: five things, an array, a float, two bools.
fn plain_step(result: &Bound<'_, PyAny>, length: usize) -> Option<Step> {
    let result = result.cast::<PyTuple>().ok().filter(|all| all.len() == 5)?;
    let flag = |i| result.get_item(i).ok()?.cast_into::<PyBool>().ok().map(|x| x.is_true());
    Some(Step {
        obs: plain(&result.get_item(0).ok()?, length)?,
        reward: result.get_item(1).ok()?.cast_into::<PyFloat>().ok()?.extract().ok()?,
        terminated: flag(2)?,
        truncated: flag(3)?,
    })
}

impl Env for PyEnv {
    fn info(&self) -> &EnvInfo {
        &self.made.0.0
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        // As over the bridge: within what every generator takes as a seed.
        let seed = rng.below(1 << 31) as u64;
        self.running = false;
        let obs = self.call(|py, of| of.reset.call1(py, (seed,))?.extract::<Vec<f64>>(py))?;
        (self.running, self.steps) = (true, 0);
        Ok(obs)
    }

    fn step(&mut self, x: &[f64]) -> Result<Step> {
        let info = self.info();
        info.check_action(x)?;
        if !self.running {
            return Err(Error::env(&info.name, "step without a running episode: call reset"));
        }
        let made = self.made.clone();
        let step = self.call(|py, of| {
            let result = of.step.bind(py).call1((action(py, x, &made.0.0, of)?,))?;
            if let Some(step) = plain_step(&result, of.obs_dim) {
                return Ok(step);
            }
            let (obs, reward, terminated, truncated) =
                of.read.bind(py).call1((result,))?.extract()?;
            Ok(Step { obs, reward, terminated, truncated })
        });
        self.running = false;
        let mut step = step?;
        self.steps += 1;
        step.truncated |= self.steps >= self.info().max_steps;
        self.running = !(step.terminated || step.truncated);
        Ok(step)
    }

    fn known(&self) -> Known {
        let (info, of) = &*self.made.0;
        let function = |f: &Option<Py<PyAny>>| {
            let f = Python::attach(|py| f.as_ref().map(|f| f.clone_ref(py)));
            f.map(|f| functions::of_batch(f, info.clone(), self.shared.thrown_in_model.clone()))
        };
        Known { reward: function(&of.reward), continuation: function(&of.terminated) }
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.described().versions.clone()
    }

    /// They are of many packages, and the episode of a resumed run starts anew anyhow.
    fn versions_bind(&self) -> bool {
        false
    }

    /// It may be the only one: its episodes are run one at a time.
    fn is_dear(&self) -> bool {
        true
    }
}

impl Drop for PyEnv {
    fn drop(&mut self) {
        let made = self.made.clone();
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(made);
    }
}
