//! **The** objective: one H-step rollout, rolled out and scored.
//!
//! ```text
//! J_H(s_0) = E[ sum_{t<H} gamma^t (r_t - c_t) + gamma^H V(s_H) ],    s_{t+1} ~ f(s_t, a_t)
//! ```
//!
//! with per-step costs `c_t = alpha (log pi(a_t|s_t) - log pi_0(a_t|s_t))` where they are asked for
//! (SAC's entropy when there is no prior `pi_0`, a KL cost when there is). Every algorithm of the
//! library is a use of [`HStep`]; `H = 0` with a Q terminal is the model-free actor objective.
//!
//! **Noise is an input**: with [`Noise`] fixed, `J_H` is a deterministic function of the policy's
//! parameters, the actions and the start state, and differentiable in all three. The parts behind
//! [`Dynamics`], [`crate::value::Value`] and [`Critic`] are frozen by contract and get no gradient.
//!
//! There is one loop over the horizon, over tensors. Without gradients ([`HStep::returns`],
//! [`HStep::rollout_forward`]) blocks of rows go through the same loop, over parts that answer with
//! plain arithmetic on rows (`rows.rs`).

mod forward;
mod inputs;
mod rollout;
mod rows;

pub use forward::Returns;
pub use inputs::{Actions, Cost, Entropy, Members, Noise, Normals, Reduce, Terminal};
pub use rollout::Rollout;

use std::cell::OnceCell;

use candle_core::{D, DType, Tensor};

use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::nn::ops::with_slices;
use crate::policy::ActionSample;
use crate::shape::{self, Spec};
use crate::value::Critic;
use inputs::Rows;

/// Zero where a row is dead, `x` elsewhere; `where` rather than a product, since `0 x NaN` is NaN.
pub(crate) fn living(x: &Tensor, alive: Option<&Tensor>) -> Result<Tensor> {
    match alive {
        None => Ok(x.clone()),
        Some(alive) => Ok(alive.ne(0.0)?.where_cond(x, &x.zeros_like()?)?),
    }
}

/// `next` `[B,S]`, but `state` where a row is dead.
fn going_on(next: Tensor, state: &Tensor, alive: Option<&Tensor>) -> Result<Tensor> {
    let Some(alive) = alive else { return Ok(next) };
    let mask = alive.ne(0.0)?.unsqueeze(1)?.broadcast_as(state.dims())?;
    Ok(mask.where_cond(&next, state)?)
}

/// `sum + discount term`.
fn add(sum: Option<Tensor>, discount: f64, term: Tensor) -> Result<Tensor> {
    let term = if discount == 1.0 { term } else { (term * discount)? };
    Ok(match sum {
        Some(sum) => (sum + term)?,
        None => term,
    })
}

/// What the rows of a rollout are given beside their start states.
struct Given<'a> {
    actions: Actions<'a>,
    noise: &'a Noise,
    /// Which rows of the batch, and so of its noise, they are.
    rows: Rows<'a>,
    spec: &'a Spec,
    /// The log-probability of what is given, `[rows]`.
    zeros: Tensor,
}

impl<'a> Given<'a> {
    fn new(actions: Actions<'a>, noise: &'a Noise, rows: Rows<'a>, spec: &'a Spec) -> Result<Self> {
        Ok(Self { actions, noise, rows, spec, zeros: spec.zeros(rows.len())? })
    }
}

/// Whether any of `[B]` is zero.
fn any_zero(x: &Tensor) -> Result<bool> {
    if x.dtype() == DType::F32 && x.device().is_cpu() {
        return Ok(with_slices([&x.contiguous()?], |[x]: [&[f32]; 1]| x.contains(&0.0))?);
    }
    Ok(shape::to_f64(x)?.contains(&0.0))
}

/// The H-step objective: its dynamics, its terminal value, its horizon.
#[derive(Clone, Copy)]
pub struct HStep<'a> {
    /// What steps the states; not needed at `H = 0`.
    pub dynamics: Option<&'a dyn Dynamics>,
    /// What the last state is worth.
    pub terminal: Terminal<'a>,
    /// Number of model steps `H`.
    pub horizon: usize,
    /// Discount, in `[0, 1]`.
    pub gamma: f64,
    /// Cost a step.
    pub cost: Cost<'a>,
}

impl<'a> HStep<'a> {
    /// The model-free case: `H = 0` with a Q terminal.
    #[must_use]
    pub fn model_free(terminal: Terminal<'a>, cost: Cost<'a>) -> Self {
        Self { dynamics: None, terminal, horizon: 0, gamma: 1.0, cost }
    }

    /// Number of actions of a rollout: `H`, and one more where the terminal takes an action.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.horizon + usize::from(self.terminal.needs_action())
    }

    /// Draws of a policy in a rollout: one a step, and those at `s_H`.
    pub(crate) fn draws(&self) -> usize {
        self.horizon
            + match self.terminal {
                Terminal::Action { samples, .. } => samples.max(1),
                _ => 0,
            }
    }

    /// `J_H(s_0)` a row, `[B]`: [`HStep::rollout`], then [`HStep::score`].
    ///
    /// # Errors
    /// As those two.
    pub fn objective(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<Tensor> {
        self.score(&self.rollout(s0, actions, noise)?)
    }

    /// Rolls out from states `s0` `[B,S]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for start states, actions or noise that do not fit; [`Error::Config`] when
    /// `H > 0` without dynamics.
    pub fn rollout(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<Rollout> {
        let (b, spec) = self.check(s0, actions, noise)?;
        self.roll(s0, &Given::new(actions, noise, Rows::All(b), &spec)?)
    }

    /// The one loop over the horizon, from states `s0` of the rows given.
    fn roll(&self, s0: &Tensor, given: &Given) -> Result<Rollout> {
        let h = self.horizon;
        let last = usize::from(self.terminal.needs_action());
        let mut out = Rollout {
            states: vec![s0.clone()],
            next: Vec::with_capacity(h),
            actions: Vec::with_capacity(h + last),
            rewards: Vec::with_capacity(h),
            cont: Vec::with_capacity(h),
            log_probs: Vec::with_capacity(h + last),
            costs: Vec::with_capacity(h + last),
            alive: vec![None],
            more: Vec::new(),
            observations: vec![OnceCell::new(); h + 1],
        };
        for t in 0..h + last {
            let state = out.states[t].clone();
            let taken = self.act(t, t, &out, given)?;
            let cost = self.cost_of(t, &out, &taken)?;
            if let (Some(dynamics), true) = (self.dynamics, t < h) {
                let noise = given.noise.step(t, given.rows, dynamics)?;
                let step = dynamics.step(&state, &taken.action, &noise)?;
                let alive = out.alive[t].clone();
                let cont = living(&step.cont.detach(), alive.as_ref())?;
                let ends = any_zero(&cont)?;
                let next = going_on(step.next, &state, alive.as_ref())?;
                out.states.push(going_on(next.clone(), &state, ends.then_some(&cont))?);
                out.next.push(next);
                out.alive.push(if ends { Some(cont.clone()) } else { alive.clone() });
                out.rewards.push(living(&step.reward, alive.as_ref())?);
                out.cont.push(cont);
            }
            out.actions.push(taken.action);
            out.log_probs.push(taken.log_prob);
            out.costs.push(cost);
        }
        for draw in h + last..self.draws() {
            let taken = self.act(h, draw, &out, given)?;
            let cost = self.cost_of(h, &out, &taken)?;
            out.more.push((taken.action, cost));
        }
        Ok(out)
    }

    /// `J_H` of a rollout, `[B]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the rollout has another horizon.
    pub fn score(&self, rollout: &Rollout) -> Result<Tensor> {
        self.check_horizon(rollout)?;
        let (sum, discount) = self.running(rollout)?.remove(self.horizon);
        add(sum, discount, self.terminal_at(rollout, self.horizon)?)
    }

    /// `J_0, .., J_H` of one rollout, each `[B]`: STEVE's candidates. The terminal action of
    /// `J_h`, `h < H`, is the action that the rollout took at `s_h`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the rollout has another horizon.
    pub fn by_horizon(&self, rollout: &Rollout) -> Result<Vec<Tensor>> {
        self.check_horizon(rollout)?;
        let running = self.running(rollout)?.into_iter().enumerate();
        running
            .map(|(h, (sum, discount))| add(sum, discount, self.terminal_at(rollout, h)?))
            .collect()
    }

    /// [`HStep::by_horizon`] for every member of a Q terminal on its own: `H + 1` tensors `[E,B]`.
    ///
    /// # Errors
    /// [`Error::Config`] for another terminal, [`Error::Shape`] as [`HStep::by_horizon`].
    pub fn by_horizon_and_member(&self, rollout: &Rollout) -> Result<Vec<Tensor>> {
        self.check_horizon(rollout)?;
        let Terminal::Action { critic, .. } = self.terminal else {
            return Err(Error::config("terminal", "only a Q terminal has members"));
        };
        let running = self.running(rollout)?.into_iter().enumerate();
        running
            .map(|(h, (sum, discount))| {
                let mut q = self.q_at(rollout, h, critic)?;
                if let Some(cost) = self.cost_at(rollout, h)? {
                    q = q.broadcast_sub(&cost)?;
                }
                if let Some(alive) = &rollout.alive[h] {
                    let alive = alive.ne(0.0)?.broadcast_as(q.shape())?;
                    q = alive.where_cond(&q, &q.zeros_like()?)?;
                }
                let q = (q * discount)?;
                Ok(match sum {
                    Some(sum) => q.broadcast_add(&sum)?,
                    None => q,
                })
            })
            .collect()
    }

    /// `sum_{t<h} gamma^t (r_t - c_t)` and `gamma^h` for h = 0..H; no tensor for the empty sum.
    ///
    /// That equal runs have equal bytes rests on the order of additions, with and without a graph:
    /// `g_t = r_t - c_t`, `J_h = (((g_0 + gamma g_1) + gamma^2 g_2) + ..) + gamma^h worth`, where the
    /// worth is `Q - c_h`; Q and costs of several last actions are added in the order of their draws,
    /// then multiplied by one over their number; gamma^t is a running product in `f64`.
    fn running(&self, rollout: &Rollout) -> Result<Vec<(Option<Tensor>, f64)>> {
        let mut all = vec![(None, 1.0)];
        let (mut sum, mut discount) = (None, 1.0);
        for t in 0..self.horizon {
            let gain = match rollout.costs[t].as_ref().filter(|_| self.cost.pays(t)) {
                Some(cost) => (&rollout.rewards[t] - living(cost, rollout.alive[t].as_ref())?)?,
                None => rollout.rewards[t].clone(),
            };
            sum = Some(add(sum, discount, gain)?);
            discount *= self.gamma;
            all.push((sum.clone(), discount));
        }
        Ok(all)
    }

    /// `V(s_h)`, or `Q(s_h, a_h) - c_h`, zero for dead rows. `[B]`.
    fn terminal_at(&self, rollout: &Rollout, h: usize) -> Result<Tensor> {
        let state = &rollout.states[h];
        let worth = match self.terminal {
            Terminal::Zero => Tensor::zeros(state.dim(0)?, state.dtype(), state.device())?,
            Terminal::State(value) => value.value(&self.observed(rollout, h)?)?,
            Terminal::Members { value, reduce } => {
                reduce.apply(&value.values(&self.observed(rollout, h)?)?)?
            }
            Terminal::Action { critic, reduce, .. } => {
                let q = reduce.apply(&self.q_at(rollout, h, critic)?)?;
                match self.cost_at(rollout, h)? {
                    Some(cost) => (q - cost)?,
                    None => q,
                }
            }
        };
        living(&worth, rollout.alive[h].as_ref())
    }

    /// The actions drawn at `s_H` beyond the first; none at earlier states.
    fn more<'r>(&self, rollout: &'r Rollout, h: usize) -> &'r [(Tensor, Option<Tensor>)] {
        if h == self.horizon { &rollout.more } else { &[] }
    }

    /// `Q_e(s_h, a_h)` of every member, averaged over the actions drawn there. `[E,B]`.
    fn q_at(&self, rollout: &Rollout, h: usize, critic: &dyn Critic) -> Result<Tensor> {
        let obs = self.observed(rollout, h)?;
        let mut q = critic.q(&obs, &rollout.actions[h])?;
        let more = self.more(rollout, h);
        for (action, _) in more {
            q = (q + critic.q(&obs, action)?)?;
        }
        Ok(if more.is_empty() { q } else { (q / (1 + more.len()) as f64)? })
    }

    /// The cost of the action at `s_h`, averaged as [`HStep::q_at`]. `[B]`.
    fn cost_at(&self, rollout: &Rollout, h: usize) -> Result<Option<Tensor>> {
        let more = self.more(rollout, h);
        let paid = rollout.costs[h].clone().filter(|_| self.cost.pays(h));
        let Some(mut cost) = paid else { return Ok(None) };
        for other in more.iter().filter_map(|(_, cost)| cost.as_ref()) {
            cost = (cost + other)?;
        }
        Ok(Some(if more.is_empty() { cost } else { (cost / (1 + more.len()) as f64)? }))
    }

    /// The observation of `s_t`, `[B,O]`, of a rollout of this objective's dynamics.
    ///
    /// # Errors
    /// As [`Dynamics::observe`].
    pub fn observed(&self, rollout: &Rollout, t: usize) -> Result<Tensor> {
        let cell = &rollout.observations[t];
        if let Some(obs) = cell.get() {
            return Ok(obs.clone());
        }
        let obs = match self.dynamics {
            Some(dynamics) => dynamics.observe(&rollout.states[t])?,
            None => rollout.states[t].clone(),
        };
        Ok(cell.get_or_init(|| obs).clone())
    }

    /// The action at `s_t`; `draw` numbers the noise (several actions may be drawn at `s_H`).
    fn act(&self, t: usize, draw: usize, rollout: &Rollout, given: &Given) -> Result<ActionSample> {
        let &Given { actions, noise, rows, spec, ref zeros } = given;
        let of_step = |sequence: &Tensor| -> Result<Tensor> {
            Ok(sequence.narrow(1, t, 1)?.squeeze(1)?.contiguous()?)
        };
        match actions {
            Actions::Policy(policy) => {
                let obs = self.observed(rollout, t)?;
                policy.sample(&obs, &noise.policy(draw, rows, policy.action_dim(), spec)?)
            }
            Actions::Open(sequence) => {
                Ok(ActionSample { action: of_step(sequence)?, log_prob: zeros.clone() })
            }
            Actions::Perturbed { policy, delta, limit } => {
                let obs = &self.observed(rollout, t)?;
                let base = match noise.policy {
                    Normals::Zero => policy.mode(obs)?,
                    _ => {
                        let eps = noise.policy(draw, rows, policy.action_dim(), spec)?;
                        policy.sample(obs, &eps)?.action
                    }
                };
                let action = (base + of_step(delta)?)?.clamp(-limit, limit)?;
                let log_prob = match self.cost.pays(t) {
                    true => policy.log_prob(obs, &action)?,
                    false => zeros.clone(),
                };
                Ok(ActionSample { log_prob, action })
            }
        }
    }

    fn cost_of(&self, t: usize, rollout: &Rollout, taken: &ActionSample) -> Result<Option<Tensor>> {
        let Cost { coefficient, prior, .. } = self.cost;
        if !self.cost.pays(t) {
            return Ok(None);
        }
        let ratio = match prior {
            None => taken.log_prob.clone(),
            Some(prior) => {
                let obs = self.observed(rollout, t)?;
                (&taken.log_prob - prior.log_prob(&obs, &taken.action)?)?
            }
        };
        Ok(Some((ratio * coefficient)?))
    }

    /// Checks the arguments of a rollout; gives `B` and the number type.
    fn check(&self, s0: &Tensor, actions: Actions, noise: &Noise) -> Result<(usize, Spec)> {
        let spec = match self.dynamics {
            Some(dynamics) => dynamics.spec().clone(),
            None if self.horizon == 0 => {
                Spec { dtype: s0.dtype(), device: s0.device().clone(), ..Spec::f32() }
            }
            None => {
                let problem = format!(
                    "horizon {} needs dynamics: give the composition a model, or set the horizon \
                     to 0",
                    self.horizon
                );
                return Err(Error::config("horizon", problem));
            }
        };
        let width = match self.dynamics {
            Some(dynamics) => dynamics.state_dim(),
            None => s0.dim(D::Minus1)?,
        };
        let b = shape::rows(s0, width, "start states of a rollout")?;
        let n = self.decisions();
        if let Some(sequence) = actions.sequence() {
            let fits =
                sequence.dims().len() == 3 && sequence.dims()[0] == b && sequence.dims()[1] >= n;
            if !fits {
                let expected = format!("[{b},{n},A]");
                return Err(Error::shape("action sequence", expected, sequence.dims()));
            }
        }
        noise.check(b, (self.horizon, self.draws()), self.dynamics, actions.policy())?;
        Ok((b, spec))
    }

    fn check_horizon(&self, rollout: &Rollout) -> Result<()> {
        let needed = self.decisions();
        if rollout.horizon() == self.horizon && rollout.actions.len() >= needed {
            let unpaid = |t: &usize| self.cost.pays(*t) && rollout.costs[*t].is_none();
            return match (0..needed).find(unpaid) {
                None => Ok(()),
                Some(t) => {
                    let expected = format!("the cost of the action at step {t}");
                    Err(Error::shape("rollout to score", expected, "one that left it out"))
                }
            };
        }
        let expected = format!("{} steps and {needed} actions", self.horizon);
        let got = (rollout.horizon(), rollout.actions.len());
        Err(Error::shape("rollout to score", expected, got))
    }
}
