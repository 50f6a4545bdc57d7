//! What stands for the truth: erroneous dynamics and an erroneous Q.

use candle_core::Tensor;
use hstep::Result;
use hstep::dynamics::{Dynamics, Ensemble, EnsembleConfig, FitData, Member, StepNoise};
use hstep::env::Known;
use hstep::nn::{Activation, Adam, AdamConfig, Init, Stack, StackConfig};
use hstep::policy::Policy;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::config::Config;
use super::policy::Tanh;
use super::system::System;

/// How the model is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A random linear function is added to the dynamics, another to Q.
    Perturbed,
    /// An ensemble fitted to random transitions, a critic fitted to returns.
    Trained,
    /// A constant is added to the dynamics, and Q is shifted to match: all derivatives are equal.
    Biased,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Perturbed => "perturbed",
            Self::Trained => "trained",
            Self::Biased => "biased",
        }
    }
}

/// Erroneous dynamics.
pub enum Model {
    /// `f + E x + b`, with `E [3,2]`.
    Shifted { system: System, linear: Tensor, bias: f64 },
    /// The mean of an ensemble's members.
    Fitted(Box<Ensemble>),
}

impl Model {
    pub fn new(kind: Kind, system: System, config: &Config, rng: &mut Rng) -> Result<Self> {
        let spec = Spec::f64();
        Ok(match kind {
            Kind::Perturbed => {
                let linear = (rng.normals((3, 2), &spec)? * config.model_error)?;
                Self::Shifted { system, linear, bias: 0.0 }
            }
            Kind::Biased => {
                let linear = Tensor::zeros((3, 2), spec.dtype, &spec.device)?;
                Self::Shifted { system, linear, bias: config.bias }
            }
            Kind::Trained => Self::Fitted(Box::new(fitted(system, config, rng)?)),
        })
    }

    /// `f^(s, a)`, `[B,2]`.
    pub fn next(&self, s: &Tensor, a: &Tensor) -> Result<Tensor> {
        match self {
            Self::Shifted { system, linear, bias } => {
                let more = Tensor::cat(&[s, a], 1)?.matmul(linear)?;
                Ok((system.next(s, a)? + (more + *bias)?)?)
            }
            Self::Fitted(ensemble) => {
                let noise = StepNoise { member: Member::Mean, ..StepNoise::default() };
                Ok(ensemble.predictor().step(s, a, &noise)?.next)
            }
        }
    }
}

/// States and actions uniform over the box, `[N,2]` and `[N,1]`.
fn uniform(system: System, config: &Config, rng: &mut Rng) -> Result<(Tensor, Tensor)> {
    let mut draw = |n: usize, reach: f64| -> Vec<f64> {
        (0..n).map(|_| reach * (2.0 * rng.uniform() - 1.0)).collect()
    };
    let (n, spec) = (config.rows, Spec::f64());
    let s = draw(2 * n, 0.6 * config.half_width);
    let a = draw(n, system.reach());
    Ok((spec.tensor(&s, (n, 2))?, spec.tensor(&a, (n, 1))?))
}

fn fitted(system: System, config: &Config, rng: &mut Rng) -> Result<Ensemble> {
    let settings = EnsembleConfig {
        members: 3,
        elites: 3,
        hidden: vec![64, 64],
        weight_decay: vec![0.0; 3],
        batch: 64,
        normalise_targets: true,
        max_epochs: Some(60),
        ..EnsembleConfig::default()
    };
    let mut ensemble =
        Ensemble::new(&settings, 2, 1, Known::default(), &mut rng.fork("model"), &Spec::f64())?;
    let (s, a) = uniform(system, config, rng)?;
    let narrow =
        |x: &Tensor| -> Result<Vec<f32>> { Ok(to_f64(x)?.into_iter().map(|x| x as f32).collect()) };
    let data = FitData {
        obs: &narrow(&s)?,
        action: &narrow(&a)?,
        reward: &narrow(&system.reward(&s)?)?,
        next_obs: &narrow(&system.next(&s, &a)?)?,
        cont: &[],
    };
    ensemble.fit(&data, &mut rng.fork("fit"))?;
    Ok(ensemble)
}

/// The return of the policy from `s` with the first action `a`, cut off after so many steps, `[B]`:
/// Q of the truth. No gradient reaches the policy.
pub fn true_q(
    system: System,
    policy: &Tanh,
    config: &Config,
    s: &Tensor,
    a: &Tensor,
) -> Result<Tensor> {
    let policy = policy.frozen();
    let (mut s, mut a) = (s.clone(), a.clone());
    let (mut sum, mut discount) = (system.reward(&s)?, 1.0);
    for _ in 1..config.q_steps {
        discount *= config.gamma;
        s = system.next(&s, &a)?;
        a = policy.mode(&s)?;
        sum = (sum + (system.reward(&s)? * discount)?)?;
    }
    Ok(sum)
}

/// An erroneous Q.
pub enum Critic {
    /// `Q + w . x`, with `w [3,1]`.
    Tilted(Tensor),
    /// A network fitted to the true Q.
    Fitted(Box<Stack>),
}

impl Critic {
    pub fn new(
        kind: Kind,
        system: System,
        policy: &Tanh,
        config: &Config,
        rng: &mut Rng,
    ) -> Result<Self> {
        let spec = Spec::f64();
        Ok(match kind {
            Kind::Perturbed => Self::Tilted((rng.normals((3, 1), &spec)? * config.q_error)?),
            Kind::Biased => Self::Tilted(Tensor::zeros((3, 1), spec.dtype, &spec.device)?),
            Kind::Trained => Self::Fitted(Box::new(regressed(system, policy, config, rng)?)),
        })
    }

    /// `Q^(s, a)`, `[B]`.
    pub fn q(
        &self,
        system: System,
        policy: &Tanh,
        config: &Config,
        s: &Tensor,
        a: &Tensor,
    ) -> Result<Tensor> {
        let x = Tensor::cat(&[s, a], 1)?;
        match self {
            Self::Tilted(w) => {
                Ok((true_q(system, policy, config, s, a)? + x.matmul(w)?.squeeze(1)?)?)
            }
            Self::Fitted(stack) => Ok(stack.forward(&x)?.squeeze(1)?),
        }
    }
}

fn regressed(system: System, policy: &Tanh, config: &Config, rng: &mut Rng) -> Result<Stack> {
    let settings = StackConfig {
        input: 3,
        hidden: vec![64, 64],
        output: 1,
        activation: Activation::Tanh,
        members: 1,
        init: Init::TruncatedNormal,
    };
    let stack = Stack::new(&settings, &mut rng.fork("critic"), &Spec::f64())?;
    let mut adam =
        Adam::new(stack.params(), &AdamConfig { lr: 3e-3, ..AdamConfig::default() }, &[])?;
    let (s, a) = uniform(system, config, rng)?;
    let target = true_q(system, policy, config, &s, &a)?.detach();
    let x = Tensor::cat(&[&s, &a], 1)?;
    let batch = 256.min(config.rows);
    for _ in 0..config.critic_steps {
        let rows: Vec<u32> =
            (0..batch).map(|_| (rng.uniform() * config.rows as f64) as u32).collect();
        let rows = Tensor::from_vec(rows, batch, x.device())?;
        let q = stack.forward(&x.index_select(&rows, 0)?)?.squeeze(1)?;
        let loss = (q - target.index_select(&rows, 0)?)?.sqr()?.mean_all()?;
        adam.step(&loss.backward()?)?;
    }
    Ok(stack.frozen())
}
