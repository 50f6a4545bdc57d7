//! The probabilistic ensemble of PETS and MBPO: what it predicts. `fit.rs` has how it learns.
//!
//! A member maps the standardised `(s, a)` to mean and log-variance of the change of the
//! observation and of the reward, jointly: `T = O + 1` numbers each (`T = O` where the reward is
//! known). The log-variance is softly kept between two learned bounds:
//! `logvar = max - softplus(max - raw)`, then `logvar = min + softplus(logvar - min)`.

use std::sync::{Arc, PoisonError, RwLock};

use candle_core::{D, Tensor};

use super::ensemble_rows::EnsembleRows;
use super::{Dynamics, EnsembleConfig, Member, Normaliser, StepNoise, Target, Transition};
use crate::env::Known;
use crate::error::{Error, Result};
use crate::forward::RowDynamics;
use crate::nn::{Params, Stack, StackConfig, softplus};
use crate::rng::Rng;
use crate::shape::{Ops, Spec};

/// Which members a [`EnsembleModel`] predicts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// As [`StepNoise::member`] says, among the elites.
    Elites,
    /// Always this one.
    Member(u32),
    /// The mean over the elites' means; noise is ignored.
    Mean,
}

/// The predicting side of an [`super::Ensemble`].
///
/// A clone shares everything (weights, bounds, normalisers, elites): it sees every later fit.
#[derive(Clone)]
pub struct EnsembleModel {
    pub(super) config: Arc<EnsembleConfig>,
    /// `[.., O + A]` to `[.., 2T]` (means, raw log-variances), or `[.., T]`.
    pub(super) net: Stack,
    /// `max` and `min` `[T]`.
    pub(super) bounds: Params,
    pub(super) inputs: Normaliser,
    pub(super) targets: Normaliser,
    pub(super) elites: Arc<RwLock<Vec<u32>>>,
    pub(super) known: Known,
    pub(super) pick: Pick,
    pub(super) obs_dim: usize,
    pub(super) action_dim: usize,
}

/// Mean and, where it is predicted, log-variance; both of normalised targets.
pub(super) type Gaussian = (Tensor, Option<Tensor>);

impl EnsembleModel {
    pub(super) fn new(
        config: &EnsembleConfig,
        obs_dim: usize,
        action_dim: usize,
        known: Known,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Self> {
        config.validate()?;
        if !config.learn_reward && known.reward.is_none() {
            let problem = "false needs a known reward function, which this environment does not \
                           have; set it to true";
            return Err(Error::config("model.learn_reward", problem));
        }
        let targets = obs_dim + usize::from(config.learn_reward);
        let net = Stack::new(
            &StackConfig {
                input: obs_dim + action_dim,
                hidden: config.hidden.clone(),
                output: targets * if config.probabilistic { 2 } else { 1 },
                activation: config.activation,
                members: config.members,
                init: config.init,
            },
            rng,
            spec,
        )?;
        Ok(Self {
            config: Arc::new(config.clone()),
            net,
            bounds: bounds(config, targets, spec)?,
            inputs: Normaliser::identity(obs_dim + action_dim, spec)?,
            targets: Normaliser::identity(targets, spec)?,
            elites: Arc::new(RwLock::new((0..config.elites as u32).collect())),
            known,
            pick: Pick::Elites,
            obs_dim,
            action_dim,
        })
    }

    /// The same ensemble, predicting with member `m` only.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no such member.
    pub fn member(&self, m: usize) -> Result<Self> {
        if m >= self.config.members {
            return Err(Error::shape("member", format!("below {}", self.config.members), m));
        }
        Ok(Self { pick: Pick::Member(m as u32), ..self.clone() })
    }

    /// The same ensemble, predicting the mean over the elites' means, without noise.
    #[must_use]
    pub fn mean(&self) -> Self {
        Self { pick: Pick::Mean, ..self.clone() }
    }

    /// The members with the lowest holdout error, best first.
    #[must_use]
    pub fn elites(&self) -> Vec<u32> {
        self.elites.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_elites(&self, elites: Vec<u32>) {
        *self.elites.write().unwrap_or_else(PoisonError::into_inner) = elites;
    }

    /// Number of predicted quantities `T`: the observation's, and the reward's where it is learned.
    #[must_use]
    pub fn target_dim(&self) -> usize {
        self.obs_dim + usize::from(self.config.learn_reward)
    }

    /// The numbers it was made with.
    #[must_use]
    pub fn config(&self) -> &EnsembleConfig {
        &self.config
    }

    /// The network of all members, for inspection.
    #[must_use]
    pub fn net(&self) -> &Stack {
        &self.net
    }

    /// The learned log-variance bounds `max` and `min`, `[T]` each.
    #[must_use]
    pub fn bounds(&self) -> &Params {
        &self.bounds
    }

    /// The standardisation of the inputs `(s, a)`.
    #[must_use]
    pub fn inputs(&self) -> &Normaliser {
        &self.inputs
    }

    /// Splits the network's output `[..,2T]` (or `[..,T]`) and bounds the log-variance.
    pub(super) fn gaussian(&self, out: &Tensor, bounds: &Params) -> Result<Gaussian> {
        let t = self.target_dim();
        if !self.config.probabilistic {
            return Ok((out.clone(), None));
        }
        let (max, min) = (bounds.view("max")?, bounds.view("min")?);
        let raw = out.narrow(D::Minus1, t, t)?;
        let below = softplus(&raw.neg()?.broadcast_add(&max)?)?;
        let logvar = below.neg()?.broadcast_add(&max)?;
        let logvar = softplus(&logvar.broadcast_sub(&min)?)?.broadcast_add(&min)?;
        Ok((out.narrow(D::Minus1, 0, t)?, Some(logvar)))
    }

    /// The member of each of `b` rows; `None` where it is the mean of all.
    fn members_of(&self, b: usize, noise: &StepNoise) -> Result<Option<Vec<u32>>> {
        let elites = self.elites();
        let n = elites.len();
        Ok(match (self.pick, &noise.member) {
            (Pick::Member(m), _) => Some(vec![m; b]),
            (Pick::Elites, Member::Best) => Some(vec![elites.first().copied().unwrap_or(0); b]),
            (Pick::Elites, Member::Rows(u)) => {
                if u.len() != b {
                    return Err(Error::shape("member noise", format!("[{b}]"), [u.len()]));
                }
                Some(u.iter().map(|u| elites[((u * n as f64) as usize).min(n - 1)]).collect())
            }
            (Pick::Mean, _) | (Pick::Elites, Member::Mean) => None,
        })
    }

    /// Next states and raw targets through separate operations.
    fn plain_step(
        &self,
        state: &Tensor,
        action: &Tensor,
        noise: &StepNoise,
        member: Option<&[u32]>,
    ) -> Result<(Tensor, Tensor)> {
        let x = self.inputs.apply(&Tensor::cat(&[state, action], 1)?)?;
        let (net, bounds) = (self.net.frozen(), self.bounds.frozen());
        let target = match member {
            None => {
                let (elites, b) = (self.elites(), x.dim(0)?);
                let n = elites.len();
                let member: Vec<u32> = elites.iter().flat_map(|m| vec![*m; b]).collect();
                let out = net.forward_rows(&Tensor::cat(&vec![x; n], 0)?, &member)?;
                let out = out.reshape((n, b, net.config().output))?;
                let (mean, _) = self.gaussian(&out, &bounds)?;
                self.targets.undo(&mean.mean(0)?)?
            }
            Some(member) => {
                let (mean, logvar) = self.gaussian(&net.forward_rows(&x, member)?, &bounds)?;
                let mean = self.targets.undo(&mean)?;
                match (logvar, &noise.normal) {
                    (Some(logvar), Some(eps)) => {
                        let std = self.targets.undo_scale(&(logvar * 0.5)?.exp()?)?;
                        (mean + (std * eps)?)?
                    }
                    _ => mean,
                }
            }
        };
        let predicted = target.narrow(1, 0, self.obs_dim)?;
        let next = match self.config.target {
            Target::Change => (state + predicted)?,
            Target::Next => predicted,
        };
        Ok((next, target))
    }
}

/// The learned bounds, at their start.
pub(super) fn bounds(config: &EnsembleConfig, targets: usize, spec: &Spec) -> Result<Params> {
    let entry = |name: &str, at: f64| (name.to_owned(), vec![targets], vec![at; targets]);
    Params::new(&[entry("max", config.logvar_max), entry("min", config.logvar_min)], spec)
}

impl Dynamics for EnsembleModel {
    fn state_dim(&self) -> usize {
        self.obs_dim
    }

    fn action_dim(&self) -> usize {
        self.action_dim
    }

    fn noise_dim(&self) -> usize {
        let noisy = self.config.probabilistic && self.pick != Pick::Mean;
        if noisy { self.target_dim() } else { 0 }
    }

    fn has_members(&self) -> bool {
        self.pick == Pick::Elites
    }

    fn spec(&self) -> &Spec {
        self.net.spec()
    }

    fn step(&self, state: &Tensor, action: &Tensor, noise: &StepNoise) -> Result<Transition> {
        let b = crate::shape::rows(state, self.obs_dim, "state of the ensemble")?;
        crate::shape::exact(action, &[b, self.action_dim], "action of the ensemble")?;
        if let Some(eps) = &noise.normal
            && self.noise_dim() > 0
        {
            crate::shape::exact(eps, &[b, self.target_dim()], "noise of the ensemble")?;
        }
        let spec = self.net.spec();
        let (next, target) = match self.members_of(b, noise)? {
            Some(member) if spec.ops == Ops::Fused && spec.device.is_cpu() => {
                let eps = noise.normal.as_ref();
                let out = self.fused_step(state, action, eps, &member)?;
                (out.narrow(1, 0, self.obs_dim)?, out)
            }
            member => self.plain_step(state, action, noise, member.as_deref())?,
        };
        // A view into a wider row: what follows needs the rows on their own.
        let next = next.contiguous()?;
        let reward = match &self.known.reward {
            Some(known) if !self.config.learn_reward => known(state, action, &next)?,
            // candle panics at a view that begins beyond an empty tensor.
            _ if b == 0 => Tensor::zeros(0, state.dtype(), state.device())?,
            _ => target.narrow(1, self.obs_dim, 1)?.squeeze(1)?.contiguous()?,
        };
        let cont = match &self.known.continuation {
            Some(known) => known(state, action, &next)?.detach(),
            None => Tensor::ones(b, state.dtype(), state.device())?,
        };
        Ok(Transition { next, reward, cont })
    }

    fn rows(&self) -> Option<Box<dyn RowDynamics + '_>> {
        Some(Box::new(EnsembleRows::new(self)?))
    }
}
