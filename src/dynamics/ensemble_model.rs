//! The probabilistic ensemble of PETS and MBPO: what it predicts. `fit.rs` has how it learns.
//!
//! A member maps the standardised `(s, a)` to mean and log-variance of the change of the
//! observation and of the reward, jointly: `T = O + 1` numbers each (`T = O` where the reward is
//! known). The log-variance is softly kept between two learned bounds:
//! `logvar = max - softplus(max - raw)`, then `logvar = min + softplus(logvar - min)`. One more output, the
//! last, is the logit of an end where that is learned (`ends.rs`).

use std::sync::{Arc, PoisonError, RwLock};

use candle_core::{D, Tensor};

use super::ensemble_rows::EnsembleRows;
use super::{Dynamics, EnsembleConfig, Member, NoiseKind, StepNoise, Target, Transition, ends};
use crate::env::Known;
use crate::error::{Error, Result};
use crate::forward::RowDynamics;
use crate::nn::{Normaliser, Params, Stack, StackConfig, softplus};
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
    /// `[.., O + A]` to `[.., 2T]` (means, raw log-variances), or `[.., T]`; and the logit of an end.
    pub(super) net: Stack,
    /// Of the noise: `max` and `min` `[T]`, or `log_std` `[E,T]`.
    pub(super) bounds: Params,
    pub(super) inputs: Normaliser,
    pub(super) targets: Normaliser,
    /// `log_weight` `[1]`: by how much the logits of an end are too high, where they are learned.
    pub(super) ends: Option<Params>,
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
                output: config.outputs(targets),
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
            ends: match config.learns_ends() {
                true => Some(Params::new(&[("log_weight".to_owned(), vec![1], vec![0.0])], spec)?),
                false => None,
            },
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

    /// What is learned of the noise beside the network: the bounds `max` and `min` `[T]` of the
    /// log-variance, or `log_std` `[E,T]` of noise by output.
    #[must_use]
    pub fn bounds(&self) -> &Params {
        &self.bounds
    }

    /// The standardisation of the inputs `(s, a)`.
    #[must_use]
    pub fn inputs(&self) -> &Normaliser {
        &self.inputs
    }

    /// Whether its own steps say where episodes end.
    #[must_use]
    pub fn learns_ends(&self) -> bool {
        self.ends.is_some()
    }

    /// By how much the logits of an end are too high.
    pub(super) fn log_weight(&self) -> Result<f64> {
        let of_fit = self.ends.as_ref().map(Params::to_flat).transpose()?;
        Ok(of_fit.and_then(|all| all.first().copied()).unwrap_or_default())
    }

    /// Probabilities of an end, one a number of `logit`.
    fn end_probabilities(&self, logit: &Tensor) -> Result<Vec<f64>> {
        let log_weight = self.log_weight()?;
        let logit = crate::shape::to_f64(logit)?;
        Ok(logit.into_iter().map(|z| ends::probability(z - log_weight)).collect())
    }

    /// 0 where a row ends, else 1, `[B]`: no gradient goes through it.
    fn drawn_ends(&self, probability: &[f64], eps: Option<&Tensor>) -> Result<Tensor> {
        let eps = match eps.filter(|_| self.config.draws_ends()) {
            Some(eps) => {
                let last = eps.dim(1)? - 1;
                Some(crate::shape::to_f64(&eps.narrow(1, last, 1)?)?)
            }
            None => None,
        };
        let own = |i: usize| eps.as_ref().map(|eps| eps[i]);
        let all = probability.iter().enumerate().map(|(i, p)| ends::goes_on(*p, own(i)));
        self.net.spec().tensor(&all.collect::<Vec<f64>>(), probability.len())
    }

    /// Mean and log-variance of the network's output: `[E',B,..]` of the members `who` `[E']`, or
    /// `[B,..]` with a member a row `[B]`.
    pub(super) fn gaussian(&self, out: &Tensor, bounds: &Params, who: &[u32]) -> Result<Gaussian> {
        let t = self.target_dim();
        match self.config.noise() {
            NoiseKind::None => return Ok((out.narrow(D::Minus1, 0, t)?, None)),
            NoiseKind::PerOutput | NoiseKind::Residual => {
                let who = Tensor::from_slice(who, who.len(), out.device())?;
                let logvar = (self.log_std(bounds)?.index_select(&who, 0)? * 2.0)?;
                let logvar = if out.rank() == 3 { logvar.unsqueeze(1)? } else { logvar };
                let mean = out.narrow(D::Minus1, 0, t)?;
                let logvar = logvar.broadcast_as(mean.shape())?.contiguous()?;
                return Ok((mean, Some(logvar)));
            }
            NoiseKind::PerInput => {}
        }
        let (max, min) = (bounds.view("max")?, bounds.view("min")?);
        let raw = out.narrow(D::Minus1, t, t)?;
        let below = softplus(&raw.neg()?.broadcast_add(&max)?)?;
        let logvar = below.neg()?.broadcast_add(&max)?;
        let logvar = softplus(&logvar.broadcast_sub(&min)?)?.broadcast_add(&min)?;
        Ok((out.narrow(D::Minus1, 0, t)?, Some(logvar)))
    }

    /// The log standard deviations `[E,T]` of noise by output, above their floor.
    pub(super) fn log_std(&self, bounds: &Params) -> Result<Tensor> {
        Ok(bounds.view("log_std")?.maximum(LEAST_STD.ln())?)
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

    /// Next states, raw targets and, where they are learned, probabilities of an end through separate
    /// operations.
    fn plain_step(
        &self,
        state: &Tensor,
        action: &Tensor,
        noise: &StepNoise,
        member: Option<&[u32]>,
    ) -> Result<(Tensor, Tensor, Option<Vec<f64>>)> {
        let x = self.inputs.apply(&Tensor::cat(&[state, action], 1)?)?;
        let (net, bounds) = (self.net.frozen(), self.bounds.frozen());
        let last = net.config().output - 1;
        let ends = |out: &Tensor| -> Result<Option<Vec<f64>>> {
            // candle panics at a view that begins beyond an empty tensor.
            match self.learns_ends() && out.elem_count() > 0 {
                true => Ok(Some(self.end_probabilities(&out.narrow(D::Minus1, last, 1)?)?)),
                false => Ok(None),
            }
        };
        let (target, ended) = match member {
            None => {
                let (elites, b) = (self.elites(), x.dim(0)?);
                let n = elites.len();
                let member: Vec<u32> = elites.iter().flat_map(|m| vec![*m; b]).collect();
                let out = net.forward_rows(&Tensor::cat(&vec![x; n], 0)?, &member)?;
                let out = out.reshape((n, b, net.config().output))?;
                let (mean, _) = self.gaussian(&out, &bounds, &elites)?;
                let ended = ends(&out)?.map(|each| ends::mean(&each, n));
                (self.targets.undo(&mean.mean(0)?)?, ended)
            }
            Some(member) => {
                let out = net.forward_rows(&x, member)?;
                let (mean, logvar) = self.gaussian(&out, &bounds, member)?;
                let mean = self.targets.undo(&mean)?;
                let logvar = logvar.filter(|_| self.config.drawn() != NoiseKind::None);
                let target = match (logvar, &noise.normal) {
                    (Some(logvar), Some(eps)) => {
                        let std = self.targets.undo_scale(&(logvar * 0.5)?.exp()?)?;
                        (mean + (std * eps.narrow(1, 0, self.target_dim())?)?)?
                    }
                    _ => mean,
                };
                (target, ends(&out)?)
            }
        };
        let predicted = target.narrow(1, 0, self.obs_dim)?;
        let next = match self.config.target {
            Target::Change => (state + predicted)?,
            Target::Next => predicted,
        };
        Ok((next, target, ended))
    }
}

/// The least standard deviation of noise by output, in those of the normalised targets.
pub(super) const LEAST_STD: f64 = 1e-3;

/// What is learned of the noise beside the network, at its start.
pub(super) fn bounds(config: &EnsembleConfig, targets: usize, spec: &Spec) -> Result<Params> {
    if config.noise().is_by_output() {
        let (e, t) = (config.members, targets);
        return Params::new(&[("log_std".to_owned(), vec![e, t], vec![0.0; e * t])], spec);
    }
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
        if self.pick == Pick::Mean {
            return 0;
        }
        // The last one draws whether the episode ends.
        let noisy = self.config.drawn() != NoiseKind::None;
        usize::from(noisy) * self.target_dim() + usize::from(self.config.draws_ends())
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
            crate::shape::exact(eps, &[b, self.noise_dim()], "noise of the ensemble")?;
        }
        let spec = self.net.spec();
        let member = self.members_of(b, noise)?;
        // A mean over members has no noise.
        let eps = noise.normal.as_ref().filter(|_| member.is_some() && self.noise_dim() > 0);
        let (next, target, ended) = match member {
            Some(member) if spec.ops == Ops::Fused && spec.device.is_cpu() => {
                let out = self.fused_step(state, action, eps, &member)?;
                let ended = match self.learns_ends() && b > 0 {
                    true => {
                        Some(self.end_probabilities(&out.narrow(1, self.target_dim(), 1)?)?)
                    }
                    false => None,
                };
                (out.narrow(1, 0, self.obs_dim)?, out, ended)
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
        let cont = match (ended, &self.known.continuation) {
            (Some(probability), _) => self.drawn_ends(&probability, eps)?,
            (None, Some(known)) if !self.learns_ends() => known(state, action, &next)?.detach(),
            _ => Tensor::ones(b, state.dtype(), state.device())?,
        };
        Ok(Transition { next, reward, cont })
    }

    fn rows(&self) -> Option<Box<dyn RowDynamics + '_>> {
        Some(Box::new(EnsembleRows::new(self)?))
    }
}
