//! Planners on functions of Python, on simulators, and on the models of runs.

use std::sync::Arc;

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, SimulatedDynamics, StepNoise};
use hstep::env::EnvInfo;
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{Base, Plan, Problem};
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::{Error, Result, env};
use hstep_experiments::planner_named;
use pyo3::prelude::*;
use toml::Table;

use crate::arrays::{In, Numbers, Out, of_tensor};
use crate::errors::Raised as _;
use crate::functions;
use crate::thrown::Thrown;

/// From an environment's units of action to `[-1, 1]` and back.
#[derive(Clone)]
pub struct Units {
    half: Vec<f64>,
    middle: Vec<f64>,
}

impl Units {
    /// Those of an environment.
    pub fn of(info: &EnvInfo) -> Self {
        let bounds = info.action_low.iter().zip(&info.action_high);
        let (half, middle) =
            bounds.map(|(low, high)| (0.5 * (high - low), 0.5 * (low + high))).unzip();
        Self { half, middle }
    }

    fn row(x: &[f64], like: &Tensor) -> Result<Tensor> {
        Ok(Tensor::from_slice(x, x.len(), like.device())?.to_dtype(like.dtype())?)
    }

    /// Normalised actions `[..,A]` in the environment's units.
    pub fn out(&self, action: &Tensor) -> Result<Tensor> {
        let half = Self::row(&self.half, action)?;
        Ok(action.broadcast_mul(&half)?.broadcast_add(&Self::row(&self.middle, action)?)?)
    }

    /// Actions `[..,A]` of the environment, normalised.
    pub fn inward(&self, action: &Tensor) -> Result<Tensor> {
        let last = action.dims().last().copied().unwrap_or(0);
        if last != self.half.len() {
            let expected = format!("[..,{}]", self.half.len());
            return Err(Error::shape("actions", expected, action.dims()));
        }
        let middle = Self::row(&self.middle, action)?;
        Ok(action.broadcast_sub(&middle)?.broadcast_div(&Self::row(&self.half, action)?)?)
    }
}

/// What is asked of a planner.
#[derive(FromPyObject)]
pub struct Asked<'py> {
    kind: String,
    /// Its settings as TOML.
    settings: String,
    horizon: usize,
    gamma: Option<f64>,
    terminal: String,
    seed: u64,
    /// A sequence `[B,N,A]` that the search starts from.
    start: Option<In<'py>>,
}

/// The same without the interpreter.
pub struct Read {
    kind: String,
    settings: String,
    pub horizon: usize,
    pub gamma: Option<f64>,
    pub terminal: String,
    seed: u64,
    start: Option<Numbers>,
}

impl Asked<'_> {
    pub fn read(self) -> PyResult<Read> {
        let Self { kind, settings, horizon, gamma, terminal, seed, start } = self;
        let start = start.map(|x| Numbers::read(&x)).transpose()?;
        Ok(Read { kind, settings, horizon, gamma, terminal, seed, start })
    }
}

impl Read {
    /// Where the search starts, normalised.
    pub fn start(&self, units: &Units, spec: &Spec) -> Result<Option<Tensor>> {
        self.start.as_ref().map(|x| units.inward(&x.tensor(spec)?)).transpose()
    }
}

/// A plan's numbers, actions in the environment's units.
pub struct Numbered {
    of: Plan,
    actions: Tensor,
    samples: Tensor,
    /// Where the next search can start; absent around a policy.
    mean: Option<Tensor>,
}

/// What Python gets: actions, samples, mean, returns, weights, log-normaliser, value, effective
/// sample size, model steps.
pub type Found<'py> = (
    (Out<'py>, Out<'py>, Option<Out<'py>>),
    (Out<'py>, Out<'py>, Out<'py>, Out<'py>, Out<'py>),
    u64,
);

impl Numbered {
    pub fn out<'py>(&self, py: Python<'py>) -> PyResult<Found<'py>> {
        let plan = &self.of;
        let out = |x: &Tensor| of_tensor(py, x);
        let mean = self.mean.as_ref().map(out).transpose()?;
        Ok((
            (out(&self.actions)?, out(&self.samples)?, mean),
            (
                out(&plan.returns)?,
                out(&plan.weights)?,
                out(&plan.log_normaliser)?,
                out(&plan.value)?,
                out(&plan.effective_samples)?,
            ),
            plan.model_steps,
        ))
    }
}

/// Plans.
pub fn solve(asked: &Read, units: &Units, problem: Problem) -> Result<Numbered> {
    let settings: Table = asked
        .settings
        .parse()
        .map_err(|e: toml::de::Error| Error::config("planner", e.message().to_owned()))?;
    let planner =
        planner_named(&asked.kind, &Table::from_iter([("planner".to_owned(), settings.into())]))?;
    planner.validate("planner")?;
    let of = planner.plan(&problem, Rng::new(asked.seed).key())?;
    let (actions, samples) = (units.out(&of.actions)?, units.out(&of.samples)?);
    let mean = (!of.around_policy).then(|| units.out(&of.mean)).transpose()?;
    Ok(Numbered { of, actions, samples, mean })
}

/// Plans with a function of Python or a simulator as the model, on states `[B,S]`, in `f64`.
#[pyfunction]
pub fn plan<'py>(
    py: Python<'py>,
    model: Model<'py>,
    s0: In<'py>,
    asked: Asked<'py>,
    worth: Option<Py<PyAny>>,
) -> PyResult<Found<'py>> {
    let (s0, asked) = (Numbers::read(&s0)?, asked.read()?);
    let (thrown, spec) = (Thrown::default(), Spec::f64());
    let (info, own): (EnvInfo, Option<Box<dyn Dynamics>>) = match &model {
        Model::Simulator(simulator) => (simulator.get().info.clone(), None),
        Model::Function { step, state_dim, low, high } => {
            let info = EnvInfo {
                name: "step".into(),
                obs_dim: *state_dim,
                action_low: low.clone(),
                action_high: high.clone(),
                max_steps: usize::MAX,
            };
            let f = step.clone().unbind();
            let own = functions::dynamics(f, &info, *state_dim, &spec, thrown.clone());
            (info, Some(own))
        }
    };
    let simulator = match &model {
        Model::Simulator(simulator) => Some(simulator.get()),
        Model::Function { .. } => None,
    };
    let value = worth.map(|f| functions::value(f, thrown.clone()));
    let units = Units::of(&info);
    let found = py.detach(|| {
        let dynamics: &dyn Dynamics = match (&own, simulator) {
            (Some(own), _) => own.as_ref(),
            (None, Some(simulator)) => simulator.dynamics.as_ref(),
            (None, None) => return Err(Error::config("model", "neither function nor simulator")),
        };
        let s0 = s0.tensor(&spec)?;
        let start = asked.start(&units, &spec)?;
        let terminal =
            value.as_ref().map_or(Terminal::Zero, |value| Terminal::State(value.as_ref()));
        let gamma = asked.gamma.unwrap_or(1.0);
        hstep::config::check::fraction("gamma", gamma)?;
        let (horizon, cost) = (asked.horizon, Cost::NONE);
        solve(
            &asked,
            &units,
            Problem {
                objective: HStep { dynamics: Some(dynamics), terminal, horizon, gamma, cost },
                s0: &s0,
                base: start.as_ref().map_or(Base::Zero, Base::Open),
            },
        )
    });
    thrown.or(found.raised(py))?.out(py)
}

/// What steps the states of a plan.
#[derive(FromPyObject)]
pub enum Model<'py> {
    /// An environment that can be set to any of its states.
    Simulator(Bound<'py, Simulator>),
    /// `hstep._functions.Step`.
    Function {
        /// `f(state [B,S], action [B,A], ignored)` gives `[B,S+2]`.
        step: Bound<'py, PyAny>,
        state_dim: usize,
        low: Vec<f64>,
        high: Vec<f64>,
    },
}

/// Environments that can be set to any of their states, a batch at a time.
#[pyclass(frozen, module = "hstep._hstep")]
pub struct Simulator {
    info: EnvInfo,
    make: env::EnvFactory,
    dynamics: Arc<SimulatedDynamics>,
}

#[pymethods]
impl Simulator {
    #[new]
    fn new(py: Python<'_>, name: String) -> PyResult<Self> {
        let made = py.detach(|| -> Result<Self> {
            env::check(&name)?;
            let info = env::info(&name)?;
            let make: env::EnvFactory = Arc::new(move || env::make(&name));
            let dynamics = SimulatedDynamics::many(Arc::clone(&make), Spec::f64())?;
            Ok(Self { info, make, dynamics: Arc::new(dynamics) })
        });
        made.raised(py)
    }

    #[getter]
    fn name(&self) -> &str {
        &self.info.name
    }

    #[getter]
    fn obs_dim(&self) -> usize {
        self.info.obs_dim
    }

    #[getter]
    fn state_dim(&self) -> usize {
        self.dynamics.state_dim()
    }

    #[getter]
    fn max_steps(&self) -> usize {
        self.info.max_steps
    }

    /// Bounds of the actions.
    fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        (self.info.action_low.clone(), self.info.action_high.clone())
    }

    /// Start states `[n,S]`, one an episode.
    fn reset<'py>(&self, py: Python<'py>, n: usize, seed: u64) -> PyResult<Out<'py>> {
        let states = py.detach(|| -> Result<Vec<f64>> {
            let mut env = (self.make)()?;
            let mut rng = Rng::new(seed);
            let mut all = Vec::new();
            for _ in 0..n {
                env.reset(&mut rng)?;
                let lost = || Error::env(&self.info.name, "its state cannot be saved");
                all.extend(env.as_simulator().ok_or_else(lost)?.save());
            }
            Ok(all)
        });
        crate::arrays::array(py, states.raised(py)?, &[n, self.state_dim()])
    }

    /// Observations `[B,O]` of states `[B,S]`.
    fn observe<'py>(&self, py: Python<'py>, states: In<'py>) -> PyResult<Out<'py>> {
        let states = Numbers::read(&states)?;
        let obs = py.detach(|| self.dynamics.observe(&states.tensor(&Spec::f64())?));
        of_tensor(py, &obs.raised(py)?)
    }

    /// One step of states `[B,S]` with actions `[B,A]`: next states, rewards, continuations.
    fn step<'py>(
        &self,
        py: Python<'py>,
        states: In<'py>,
        actions: In<'py>,
    ) -> PyResult<(Out<'py>, Out<'py>, Out<'py>)> {
        let (states, actions) = (Numbers::read(&states)?, Numbers::read(&actions)?);
        let units = Units::of(&self.info);
        let step = py.detach(|| {
            let spec = Spec::f64();
            let actions = units.inward(&actions.tensor(&spec)?)?;
            self.dynamics.step(&states.tensor(&spec)?, &actions, &StepNoise::default())
        });
        let step = step.raised(py)?;
        Ok((of_tensor(py, &step.next)?, of_tensor(py, &step.reward)?, of_tensor(py, &step.cont)?))
    }
}
