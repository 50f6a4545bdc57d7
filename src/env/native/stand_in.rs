//! Smooth random dynamics in the sizes of a larger benchmark: for timing only.

use candle_core::Tensor;

use super::Physics;
use crate::env::EnvInfo;
use crate::error::Result;
use crate::rng::Rng;

/// Numbers of an observation and of an action: those of Gymnasium's HalfCheetah.
const OBS: usize = 17;
const ACTION: usize = 6;
/// Time step, in units of the dynamics' own time constant.
const DT: f64 = 0.05;
const MAX_STEPS: usize = 1000;
/// Half the width of the uniform start noise, in every coordinate.
const START_NOISE: f64 = 0.1;
/// Weight of the squared action in the reward.
const EFFORT: f64 = 0.1;
/// Seed of the coefficients, the same in every process.
const SEED: u64 = 17_006;
/// Standard deviation of what the state and the action put into a `tanh`, when all their entries
/// are of size 1.
const GAIN: f64 = 1.2;

/// An environment that exists for timing only: it has HalfCheetah's sizes (17 numbers observed, 6
/// actions in `[-1, 1]`, 1000 steps) and asks for networks as large, at next to no cost of its own.
/// Nothing is to be concluded from what is learned here.
///
/// State and observation `s` follow one Euler step of a random recurrent network,
///
/// `s' = s + dt (-s + tanh(W s + U a))`, `dt = 0.05`,
///
/// and a step's reward is `w.s' - 0.1 |a|^2`. `W`, `U`, `w` are drawn once from a fixed seed. Every
/// next state lies between its state and a point of `[-1, 1]^17`, so states stay in that box. No
/// termination. Starts: every coordinate within 0.1 of 0.
#[derive(Debug, Clone)]
pub struct StandIn {
    /// `W`: row `i` is what the state adds to coordinate `i`.
    state: [[f64; OBS]; OBS],
    /// `U`: row `i` is what the action adds to coordinate `i`.
    action: [[f64; ACTION]; OBS],
    /// `w`.
    reward: [f64; OBS],
}

impl Default for StandIn {
    fn default() -> Self {
        let mut rng = Rng::new(SEED);
        // Uniform numbers have a standard deviation of width / sqrt(12).
        let mut spread = |n: usize| (12.0 / n as f64).sqrt() * (rng.uniform() - 0.5);
        Self {
            state: [(); OBS].map(|()| [(); OBS].map(|()| GAIN * spread(OBS))),
            action: [(); OBS].map(|()| [(); ACTION].map(|()| GAIN * spread(ACTION))),
            reward: [(); OBS].map(|()| spread(1)),
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x M^T` for rows `x [B,C]` and the matrix `M [R,C]`: `[B,R]`.
fn times<const R: usize, const C: usize>(x: &Tensor, m: &[[f64; C]; R]) -> Result<Tensor> {
    let m = Tensor::from_slice(m.as_flattened(), (R, C), x.device())?.to_dtype(x.dtype())?;
    Ok(x.matmul(&m.t()?)?)
}

impl Physics for StandIn {
    type State = [f64; OBS];

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "stand-in".into(),
            obs_dim: OBS,
            action_low: vec![-1.0; ACTION],
            action_high: vec![1.0; ACTION],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; OBS] {
        [0.0; OBS].map(|_| START_NOISE * (2.0 * rng.uniform() - 1.0))
    }

    fn observe(&self, state: &[f64; OBS]) -> Vec<f64> {
        state.to_vec()
    }

    fn advance(&self, s: &[f64; OBS], action: &[f64], _step: usize) -> ([f64; OBS], f64, bool) {
        let a: [f64; ACTION] = std::array::from_fn(|i| action[i].clamp(-1.0, 1.0));
        let next = std::array::from_fn(|i| {
            let push = (dot(&self.state[i], s) + dot(&self.action[i], &a)).tanh();
            s[i] + DT * (push - s[i])
        });
        (next, dot(&self.reward, &next) - EFFORT * dot(&a, &a), false)
    }

    fn next(&self, obs: &Tensor, action: &Tensor) -> Result<Tensor> {
        let push = (times(obs, &self.state)? + times(action, &self.action)?)?.tanh()?;
        Ok((obs + ((push - obs)? * DT)?)?)
    }

    fn reward(&self, _obs: &Tensor, action: &Tensor, next: &Tensor) -> Result<Tensor> {
        let gain = times(next, &[self.reward])?.squeeze(1)?;
        Ok((gain - (action.sqr()?.sum(1)? * EFFORT)?)?)
    }
}
