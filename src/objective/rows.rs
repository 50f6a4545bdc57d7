//! The parts of a rollout in their forms on rows, as the loop over tensors takes them: a tensor in is
//! read where it lies, and a tensor out is a fresh one without a graph.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};

use super::{Actions, Cost, HStep, Terminal};
use crate::dynamics::{Dynamics, StepNoise, Transition};
use crate::error::Result;
use crate::forward::{RowCritic, RowDynamics, RowPolicy, RowValue, StepIn, StepOut, Workspace};
use crate::nn::ops::with_slices;
use crate::policy::{ActionSample, Policy};
use crate::shape::Spec;
use crate::value::{Critic, Value};

/// Calls `f` with this thread's working memory; a call within a call gets one of its own.
fn with_work<T>(f: impl FnOnce(&mut Workspace) -> T) -> T {
    thread_local! {
        static WORK: Cell<Workspace> = Cell::default();
    }
    let mut work = WORK.take();
    let result = f(&mut work);
    WORK.set(work);
    result
}

fn vector(x: Vec<f32>) -> Result<Tensor> {
    let n = x.len();
    Ok(Tensor::from_vec(x, n, &Device::Cpu)?)
}

fn matrix(x: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(x, (rows, width), &Device::Cpu)?)
}

struct DynamicsForm<'a> {
    part: &'a dyn Dynamics,
    rows: Box<dyn RowDynamics + 'a>,
}

impl Dynamics for DynamicsForm<'_> {
    fn state_dim(&self) -> usize {
        self.part.state_dim()
    }

    fn action_dim(&self) -> usize {
        self.part.action_dim()
    }

    fn noise_dim(&self) -> usize {
        self.part.noise_dim()
    }

    fn has_members(&self) -> bool {
        self.part.has_members()
    }

    fn keeps_members(&self) -> bool {
        self.part.keeps_members()
    }

    fn spec(&self) -> &Spec {
        self.part.spec()
    }

    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition> {
        let (n, s) = state.dims2()?;
        let (mut next, mut reward, mut cont) = (vec![0.0; n * s], vec![0.0; n], vec![0.0; n]);
        let normal = noise.normal.as_ref();
        with_slices([state, action, normal.unwrap_or(state)], |[state, action, eps]| {
            let normal = normal.map(|_| eps);
            let given = StepIn { state, action, normal, member: &noise.member };
            let out = StepOut { next: &mut next, reward: &mut reward, cont: &mut cont };
            with_work(|work| self.rows.step(given, out, work))
        })??;
        Ok(Transition { next: matrix(next, n, s)?, reward: vector(reward)?, cont: vector(cont)? })
    }
}

struct PolicyForm<'a> {
    part: &'a dyn Policy,
    rows: Box<dyn RowPolicy + 'a>,
    /// Whether samples have their log-probability; it is zero without.
    density: bool,
}

impl PolicyForm<'_> {
    fn act(&self, obs: &Tensor, eps: Option<&Tensor>) -> Result<ActionSample> {
        let (n, a) = (obs.dim(0)?, self.action_dim());
        let (mut action, mut log_prob) = (vec![0.0; n * a], vec![0.0; n]);
        with_slices([obs, eps.unwrap_or(obs)], |[obs, numbers]| {
            let eps = eps.map(|_| numbers);
            let density = self.density.then_some(log_prob.as_mut_slice());
            with_work(|work| self.rows.act(obs, eps, &mut action, density, work));
        })?;
        Ok(ActionSample { action: matrix(action, n, a)?, log_prob: vector(log_prob)? })
    }
}

impl Policy for PolicyForm<'_> {
    fn action_dim(&self) -> usize {
        self.part.action_dim()
    }

    fn sample(&self, obs: &Tensor, noise: &Tensor) -> Result<ActionSample> {
        self.act(obs, Some(noise))
    }

    fn mode(&self, obs: &Tensor) -> Result<Tensor> {
        Ok(self.act(obs, None)?.action)
    }

    fn log_prob(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let mut log_prob = vec![0.0; obs.dim(0)?];
        with_slices([obs, action], |[obs, action]| {
            with_work(|work| self.rows.log_prob(obs, action, &mut log_prob, work));
        })?;
        vector(log_prob)
    }
}

struct ValueForm<'a>(Box<dyn RowValue + 'a>);

impl Value for ValueForm<'_> {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        let mut worth = vec![0.0; obs.dim(0)?];
        with_slices([obs], |[obs]| with_work(|work| self.0.value(obs, &mut worth, work)))?;
        vector(worth)
    }
}

struct CriticForm<'a>(Box<dyn RowCritic + 'a>);

impl Critic for CriticForm<'_> {
    fn members(&self) -> usize {
        self.0.members()
    }

    fn q(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let (e, n) = (self.0.members(), obs.dim(0)?);
        let mut q = vec![0.0; e * n];
        with_slices([obs, action], |[obs, action]| {
            with_work(|work| self.0.q(obs, action, &mut q, work));
        })?;
        matrix(q, e, n)
    }
}

/// The parts of an objective and of its source of actions, on rows.
pub(super) struct Forms<'a> {
    dynamics: Option<DynamicsForm<'a>>,
    policy: Option<PolicyForm<'a>>,
    prior: Option<PolicyForm<'a>>,
    value: Option<ValueForm<'a>>,
    critic: Option<CriticForm<'a>>,
}

impl<'a> Forms<'a> {
    /// `None` where a part has no form on rows, or the parts do not fit each other and states of
    /// length `s`: the rollout through tensors says what is wrong.
    pub fn new(hstep: &HStep<'a>, actions: Actions<'a>, s: usize) -> Option<Self> {
        static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        match Self::of_parts(hstep, actions) {
            Ok(forms) => forms.fit(actions, s).then_some(forms),
            Err(part) => {
                if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(part) {
                    tracing::debug!(
                        "rollouts without gradients go through tensors, which takes longer: the \
                         {part} has no form on rows (said once)"
                    );
                }
                None
            }
        }
    }

    /// `Err` with the name of a part that has no form on rows.
    fn of_parts(hstep: &HStep<'a>, actions: Actions<'a>) -> Result<Self, &'static str> {
        let HStep { terminal, cost, .. } = *hstep;
        let density = matches!(actions, Actions::Policy(_)) && cost.is_paid();
        let policy = |part: &'a dyn Policy, name| {
            part.rows().map(|rows| PolicyForm { part, rows, density }).ok_or(name)
        };
        let prior = cost.prior.filter(|_| cost.is_paid());
        // Asked for at horizon 0, too: only dynamics on rows observe their state as it is.
        let dynamics = |part: &'a dyn Dynamics| {
            part.rows().map(|rows| DynamicsForm { part, rows }).ok_or("dynamics")
        };
        Ok(Self {
            dynamics: hstep.dynamics.map(dynamics).transpose()?,
            policy: actions.policy().map(|part| policy(part, "policy")).transpose()?,
            prior: prior.map(|part| policy(part, "prior")).transpose()?,
            value: match terminal {
                Terminal::State(value) => Some(ValueForm(value.rows().ok_or("value")?)),
                Terminal::Members { .. } => return Err("members of the value"),
                _ => None,
            },
            critic: match terminal {
                Terminal::Action { critic, .. } => Some(CriticForm(critic.rows().ok_or("critic")?)),
                _ => None,
            },
        })
    }

    fn fit(&self, actions: Actions, s: usize) -> bool {
        let given = actions.sequence().and_then(|x| x.dims().last().copied());
        let a = given.or(actions.policy().map(Policy::action_dim)).unwrap_or(0);
        let mut policies = self.policy.iter().chain(&self.prior);
        policies.all(|policy| policy.rows.obs_dim() == s && policy.action_dim() == a)
            && self.dynamics.as_ref().is_none_or(|dynamics| dynamics.action_dim() == a)
            && self.value.as_ref().is_none_or(|value| value.0.obs_dim() == s)
            && self.critic.as_ref().is_none_or(|critic| critic.0.widths() == (s, a))
    }

    /// How many members the dynamics have; 1 without.
    pub fn members(&self) -> usize {
        let with = self.dynamics.as_ref().filter(|dynamics| dynamics.has_members());
        with.map_or(1, |dynamics| dynamics.rows.members())
    }

    /// The objective over these forms of its parts.
    pub fn objective<'f>(&'f self, hstep: &HStep<'f>) -> HStep<'f> {
        let policy = |form: &'f PolicyForm| -> &'f dyn Policy { form };
        HStep {
            dynamics: self.dynamics.as_ref().map(|form| -> &dyn Dynamics { form }),
            terminal: match (hstep.terminal, &self.value, &self.critic) {
                (Terminal::State(_), Some(value), _) => Terminal::State(value),
                (Terminal::Action { reduce, samples, .. }, _, Some(critic)) => {
                    Terminal::Action { critic, reduce, samples }
                }
                (terminal, ..) => terminal,
            },
            cost: Cost { prior: self.prior.as_ref().map(policy), ..hstep.cost },
            ..*hstep
        }
    }

    /// `actions` over this form of their policy, and over `sequence`, a block's rows of what is given.
    pub fn actions<'f>(
        &'f self,
        actions: Actions<'f>,
        sequence: Option<&'f Tensor>,
    ) -> Actions<'f> {
        match (actions, &self.policy, sequence) {
            (Actions::Policy(_), Some(policy), _) => Actions::Policy(policy),
            (Actions::Perturbed { limit, .. }, Some(policy), Some(delta)) => {
                Actions::Perturbed { policy, delta, limit }
            }
            (Actions::Open(_), _, Some(sequence)) => Actions::Open(sequence),
            (actions, ..) => actions,
        }
    }
}
