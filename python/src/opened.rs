//! What a run has learned, on arrays. Actions are in the environment's own units.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{Tensor, Var};
use hstep::env::EnvInfo;
use hstep::learner::Agent;
use hstep::objective::{Actions, Cost, HStep, Noise, Reduce, Terminal};
use hstep::parts::{ACTOR, CRITIC, MODEL, VALUE};
use hstep::planner::{Base, Problem};
use hstep::rng::Rng;
use hstep::train::{EvalConfig, evaluate};
use hstep::uses::PlanTerminal;
use hstep::{Error, Result};
use hstep_experiments::{RunFolder, Settings};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{In, Numbers, Out, of_tensor};
use crate::errors::Raised as _;
use crate::plan::{self, Asked, Found, Units};
use crate::run::{Own, Source, registry};

/// The agent of a run's newest checkpoint.
#[pyclass(frozen, module = "hstep._hstep")]
pub struct Opened {
    agent: Mutex<Agent>,
    settings: Settings,
    info: EnvInfo,
    own: Own,
}

/// Where the actions of a rollout come from, and how long it is.
#[derive(FromPyObject)]
struct Rolled {
    horizon: usize,
    gamma: Option<f64>,
    terminal: String,
    /// Of everything random; without it the policy's modes and the model's means.
    seed: Option<u64>,
}

/// What a state is worth at the end of a rollout.
pub fn terminal(name: &str) -> Result<PlanTerminal> {
    match name {
        "zero" => Ok(PlanTerminal::Zero),
        "value" => Ok(PlanTerminal::Value),
        "q" => Ok(PlanTerminal::Q),
        other => {
            let problem = format!("expected `zero`, `value` or `q`, got `{other}`");
            Err(Error::config("terminal", problem))
        }
    }
}

/// The noise of a rollout: none without a seed.
pub fn noise(seed: Option<u64>) -> Noise {
    seed.map_or_else(Noise::default, |seed| Noise::key(Rng::new(seed).key()))
}

impl Opened {
    /// Calls `f` without the interpreter.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&Agent) -> Result<T> + Send,
    ) -> PyResult<T> {
        let done = py.detach(|| f(&self.agent.lock().unwrap_or_else(PoisonError::into_inner)));
        self.own.or(done.raised(py))
    }

    fn units(&self) -> Units {
        Units::of(&self.info)
    }
}

/// The objective of an agent's own model from states `s0`.
fn objective<'a>(agent: &'a Agent, rolled: &Rolled) -> Result<HStep<'a>> {
    let terminal = terminal(&rolled.terminal)?.of(&agent.parts, None)?;
    let gamma = rolled.gamma.unwrap_or(agent.parts.gamma);
    hstep::config::check::fraction("gamma", gamma)?;
    let dynamics = match rolled.horizon {
        0 => None,
        _ => Some(agent.parts.model(MODEL)?.dynamics()),
    };
    Ok(HStep { dynamics, terminal, horizon: rolled.horizon, gamma, cost: Cost::NONE })
}

#[pymethods]
impl Opened {
    #[new]
    fn new(py: Python<'_>, run: PathBuf, source: Source<'_>) -> PyResult<Self> {
        let (registry, own) = registry(source);
        let opened = py.detach(|| -> Result<_> {
            let folder = RunFolder::open(&run)?;
            let settings = Settings::resolved(&registry, folder.config()?)?;
            let Some(agent) = settings.agent(folder.path())? else {
                let problem = "the run has no checkpoint yet: train it first";
                return Err(Error::checkpoint(folder.path(), problem));
            };
            let info = settings.factory()()?.info().clone();
            Ok((agent, settings, info))
        });
        let (agent, settings, info) = own.or(opened.raised(py))?;
        Ok(Self { agent: Mutex::new(agent), settings, info, own })
    }

    /// What was done, and the sizes of everything.
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        self.with(py, |agent| {
            let parts = &agent.parts;
            let has = |there: bool, name: &'static str| there.then_some(name);
            let names = [
                has(parts.policies.contains_key(ACTOR), "policy"),
                has(parts.critics.contains_key(CRITIC), "critic"),
                has(parts.values.contains_key(VALUE), "value"),
                has(parts.models.contains_key(MODEL), "model"),
            ];
            let state = parts.models.get(MODEL).map(|model| model.dynamics().state_dim());
            Ok((agent.counters, names.into_iter().flatten().collect::<Vec<_>>(), state))
        })
        .and_then(|(counters, parts, state)| {
            out.set_item("env_steps", counters.env_steps)?;
            out.set_item("model_steps", counters.model_steps)?;
            out.set_item("grad_steps", counters.grad_steps)?;
            out.set_item("fit_steps", counters.fit_steps)?;
            out.set_item("episodes", counters.episodes)?;
            out.set_item("parts", parts)?;
            out.set_item("obs_dim", self.info.obs_dim)?;
            out.set_item("state_dim", state)?;
            out.set_item("action_low", self.info.action_low.clone())?;
            out.set_item("action_high", self.info.action_high.clone())?;
            out.set_item("max_steps", self.info.max_steps)
        })?;
        Ok(out)
    }

    /// Actions `[B,A]` at observations `[B,O]`: samples with a seed, modes without.
    fn policy<'py>(&self, py: Python<'py>, obs: In<'py>, seed: Option<u64>) -> PyResult<Out<'py>> {
        let (obs, units) = (Numbers::read(&obs)?, self.units());
        let action = self.with(py, |agent| {
            let obs = obs.tensor(agent.spec())?;
            let policy = agent.parts.policy(ACTOR)?;
            hstep::shape::rows(&obs, self.info.obs_dim, "observations")?;
            let action = match seed {
                None => policy.mode(&obs)?,
                Some(seed) => {
                    let (b, a) = (obs.dim(0)?, policy.action_dim());
                    let eps = Rng::new(seed).normals((b, a), agent.spec())?;
                    policy.sample(&obs, &eps)?.action
                }
            };
            units.out(&action)
        })?;
        of_tensor(py, &action)
    }

    /// Action values `[E,B]` of every member.
    fn q<'py>(&self, py: Python<'py>, obs: In<'py>, action: In<'py>) -> PyResult<Out<'py>> {
        let (obs, action, units) = (Numbers::read(&obs)?, Numbers::read(&action)?, self.units());
        let q = self.with(py, |agent| {
            let (obs, action) = (obs.tensor(agent.spec())?, action.tensor(agent.spec())?);
            let b = hstep::shape::rows(&obs, self.info.obs_dim, "observations")?;
            hstep::shape::exact(&action, &[b, self.info.action_dim()], "actions")?;
            agent.parts.critic(CRITIC)?.online.q(&obs, &units.inward(&action)?)
        })?;
        of_tensor(py, &q)
    }

    /// State values `[B]`: of V where the run has one, else the lowest Q at the policy's mode.
    fn value<'py>(&self, py: Python<'py>, obs: In<'py>) -> PyResult<Out<'py>> {
        let obs = Numbers::read(&obs)?;
        let value = self.with(py, |agent| {
            let obs = obs.tensor(agent.spec())?;
            hstep::shape::rows(&obs, self.info.obs_dim, "observations")?;
            if let Ok(value) = agent.parts.value(VALUE) {
                return value.online.value(&obs);
            }
            let action = agent.parts.policy(ACTOR)?.mode(&obs)?;
            Reduce::Min.apply(&agent.parts.critic(CRITIC)?.online.q(&obs, &action)?)
        })?;
        of_tensor(py, &value)
    }

    /// A rollout in the model: states `[B,H+1,S]`, rewards and continuations `[B,H]`, actions `[B,H,A]`.
    fn rollout<'py>(
        &self,
        py: Python<'py>,
        s0: In<'py>,
        actions: Option<In<'py>>,
        horizon: usize,
        seed: Option<u64>,
    ) -> PyResult<(Out<'py>, Out<'py>, Out<'py>, Out<'py>)> {
        let (s0, units) = (Numbers::read(&s0)?, self.units());
        let actions = actions.map(|x| Numbers::read(&x)).transpose()?;
        let [states, rewards, cont, taken] = self.with(py, |agent| {
            let s0 = s0.tensor(agent.spec())?;
            let rolled = Rolled { horizon, gamma: Some(1.0), terminal: "zero".into(), seed };
            let objective = objective(agent, &rolled)?;
            let given = actions.map(|x| units.inward(&x.tensor(agent.spec())?)).transpose()?;
            let source = match &given {
                Some(actions) => Actions::Open(actions),
                None => Actions::Policy(agent.parts.policy(ACTOR)?),
            };
            let rollout = objective.rollout(&s0, source, &noise(seed))?;
            Ok([
                Tensor::stack(&rollout.states, 1)?,
                Tensor::stack(&rollout.rewards, 1)?,
                Tensor::stack(&rollout.cont, 1)?,
                units.out(&Tensor::stack(&rollout.actions, 1)?)?,
            ])
        })?;
        let out = |x: &Tensor| of_tensor(py, x);
        Ok((out(&states)?, out(&rewards)?, out(&cont)?, out(&taken)?))
    }

    /// `J_H` `[B]`, and its gradients at the start states and, where they are given, at the actions.
    fn objective<'py>(
        &self,
        py: Python<'py>,
        s0: In<'py>,
        actions: Option<In<'py>>,
        rolled: Rolled,
    ) -> PyResult<(Out<'py>, Out<'py>, Option<Out<'py>>)> {
        let (s0, units) = (Numbers::read(&s0)?, self.units());
        let actions = actions.map(|x| Numbers::read(&x)).transpose()?;
        let (j, at_states, at_actions) = self.with(py, |agent| {
            let objective = objective(agent, &rolled)?;
            let s0 = Var::from_tensor(&s0.tensor(agent.spec())?)?;
            let given =
                actions.map(|x| Ok::<_, Error>(Var::from_tensor(&x.tensor(agent.spec())?)?));
            let given = given.transpose()?;
            let inward = given.as_ref().map(|x| units.inward(x)).transpose()?;
            let source = match &inward {
                Some(actions) => Actions::Open(actions),
                None => Actions::Policy(agent.parts.policy(ACTOR)?),
            };
            let j = objective.objective(&s0, source, &noise(rolled.seed))?;
            let gradients = j.sum_all()?.backward()?;
            let at = |x: &Var| -> Result<Tensor> {
                Ok(match gradients.get(x) {
                    Some(gradient) => gradient.clone(),
                    None => x.zeros_like()?,
                })
            };
            let at_actions = given.as_ref().map(at).transpose()?;
            Ok((j.detach(), at(&s0)?, at_actions))
        })?;
        let at_actions = at_actions.map(|x| of_tensor(py, &x)).transpose()?;
        Ok((of_tensor(py, &j)?, of_tensor(py, &at_states)?, at_actions))
    }

    /// Plans from states `[B,S]` of the run's model.
    fn plan<'py>(
        &self,
        py: Python<'py>,
        s0: In<'py>,
        asked: Asked<'py>,
        around_policy: bool,
    ) -> PyResult<Found<'py>> {
        let (s0, units) = (Numbers::read(&s0)?, self.units());
        let asked = asked.read()?;
        let found = self.with(py, |agent| {
            let s0 = s0.tensor(agent.spec())?;
            let dynamics = agent.parts.model(MODEL)?.dynamics();
            let start = asked.start(&units, dynamics.spec())?;
            let base = match (&start, around_policy) {
                (Some(start), _) => Base::Open(start),
                (None, true) => Base::Policy { policy: agent.parts.policy(ACTOR)?, sample: true },
                (None, false) => Base::Zero,
            };
            let gamma = asked.gamma.unwrap_or(agent.parts.gamma);
            let terminal: Terminal<'_> = terminal(&asked.terminal)?.of(&agent.parts, None)?;
            plan::solve(
                &asked,
                &units,
                Problem {
                    objective: HStep {
                        dynamics: Some(dynamics),
                        terminal,
                        horizon: asked.horizon,
                        gamma,
                        cost: Cost::NONE,
                    },
                    s0: &s0,
                    base,
                },
            )
        })?;
        found.out(py)
    }

    /// Episodes of the run's environment as it evaluates: returns and lengths.
    fn evaluate(
        &self,
        py: Python<'_>,
        episodes: usize,
        seed: Option<u64>,
    ) -> PyResult<(Vec<f64>, Vec<usize>)> {
        let done = self.with(py, |agent| {
            hstep::config::check::count("episodes", episodes, hstep::limits::EPISODES)?;
            let usual = self.settings.run.eval.clone();
            let config = EvalConfig { episodes, seed: seed.unwrap_or(usual.seed), ..usual };
            evaluate(agent, &self.settings.factory(), &config)
        })?;
        Ok((done.returns, done.lengths))
    }
}
