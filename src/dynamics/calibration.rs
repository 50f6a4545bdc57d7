//! How far a model's predictions can be trusted: held-out error, likelihood, coverage of its
//! intervals, and error of open-loop predictions over a horizon.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::ends::{self, EndScore};
use super::fit::members_forward;
use super::{Dynamics, EnsembleModel, StepNoise};
use crate::error::{Error, Result};
use crate::shape::to_f64;

/// Half width of the central 50 % interval of the standard normal.
const HALF_50: f64 = 0.674_489_750_196_081_7;
/// Half width of the central 90 % interval.
const HALF_90: f64 = 1.644_853_626_951_472_7;

/// The elites' one-step predictions on held-out rows, in the units of the raw targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Root mean squared error of the elites' mean, a predicted dimension: the observation's, then
    /// the reward where it is learned. `[T]`
    pub rmse: Vec<f64>,
    /// Negative log-likelihood of a number under an elite (mean over elites, rows, dimensions);
    /// none for deterministic members.
    pub nll: Option<f64>,
    /// Share of the numbers inside an elite's central 50 % interval.
    pub coverage_50: Option<f64>,
    /// Share of the numbers inside an elite's central 90 % interval.
    pub coverage_90: Option<f64>,
    /// How well ends are foreseen, where they are learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<EndScore>,
}

/// Calibration on rows `x [N,D]` with normalised targets `y [N,T]`, and 1 where one ended, `[N]` or none.
pub(super) fn holdout(
    model: &EnsembleModel,
    elites: &[u32],
    x: &Tensor,
    y: &Tensor,
    ended: &[f32],
) -> Result<Calibration> {
    let (n, t) = y.dims2()?;
    let picked = Tensor::from_slice(elites, elites.len(), x.device())?;
    let out = members_forward(model, x)?.index_select(&picked, 0)?;
    let (mean, logvar) = model.gaussian(&out, &model.bounds.frozen(), elites)?;
    let scale = model.targets.moments()?.1;

    let error = to_f64(&(mean.mean(0)? - y)?)?;
    let squared = |d: usize| error.iter().skip(d).step_by(t).map(|e| e * e).sum::<f64>();
    let rmse = (0..t).map(|d| scale[d] * (squared(d) / n as f64).sqrt()).collect();
    let ends = match model.learns_ends() {
        true => Some(ends::score(model, elites, x, ended)?),
        false => None,
    };
    let Some(logvar) = logvar else {
        return Ok(Calibration { rmse, nll: None, coverage_50: None, coverage_90: None, ends });
    };

    let errors = to_f64(&mean.broadcast_sub(y)?)?;
    let (mut nll, mut inside_50, mut inside_90) = (0.0, 0.0, 0.0);
    for (i, (error, logvar)) in errors.iter().zip(to_f64(&logvar)?).enumerate() {
        let z = error * (-0.5 * logvar).exp();
        nll += 0.5 * (z * z + logvar + std::f64::consts::TAU.ln()) + scale[i % t].ln();
        inside_50 += f64::from(u8::from(z.abs() < HALF_50));
        inside_90 += f64::from(u8::from(z.abs() < HALF_90));
    }
    let share = |sum: f64| Some(sum / errors.len() as f64);
    Ok(Calibration {
        rmse,
        nll: share(nll),
        coverage_50: share(inside_50),
        coverage_90: share(inside_90),
        ends,
    })
}

/// A recorded stretch of one episode, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Observations `[L+1,O]`: one more than actions.
    pub obs: &'a [f32],
    /// Normalised actions `[L,A]`.
    pub action: &'a [f32],
    /// States of the model `[L,S]`; empty where the observations are its states.
    pub state: &'a [f32],
}

/// Error of open-loop predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenLoop {
    /// Root mean squared error after 1, ..., H steps, an observed dimension: `[H][O]`.
    pub rmse: Vec<Vec<f64>>,
    /// Starts it is averaged over.
    pub starts: usize,
}

/// Rolls `model` without noise along recorded actions from every recorded start that has `horizon`
/// steps ahead of it, and compares with what was observed.
///
/// # Errors
/// [`Error::Config`] for a horizon of 0, [`Error::Shape`] for lengths that do not agree or when no
/// recorded stretch is long enough.
pub fn open_loop_error(
    model: &dyn Dynamics,
    recorded: &[Recorded],
    horizon: usize,
) -> Result<OpenLoop> {
    if horizon == 0 {
        return Err(Error::config("horizon", "expected at least 1, got 0"));
    }
    let (s, a) = (model.state_dim(), model.action_dim());
    // Of a model whose states are the observations no other states are given.
    let width = |stretch: &Recorded| match stretch.state.is_empty() {
        true => Some(s),
        false => (stretch.obs.len() * a).checked_div(stretch.action.len() + a),
    };
    let o = recorded.first().and_then(width).unwrap_or(s);
    // (stretch, start) of every window.
    let mut windows = Vec::new();
    for stretch in recorded {
        let steps = stretch.action.len() / a;
        let states = stretch.state.is_empty() && s == o || stretch.state.len() == steps * s;
        if stretch.action.len() != steps * a || stretch.obs.len() != (steps + 1) * o || !states {
            let expected = format!("[L+1,{o}] observations, [L,{a}] actions, [L,{s}] states");
            let got = [stretch.obs.len(), stretch.action.len(), stretch.state.len()];
            return Err(Error::shape("recorded trajectory", expected, got));
        }
        windows.extend((0..(steps + 1).saturating_sub(horizon)).map(|start| (stretch, start)));
    }
    if windows.is_empty() {
        let expected = format!("a stretch of at least {horizon} steps");
        return Err(Error::shape("recorded trajectories", expected, recorded.len()));
    }
    let gather =
        |width: usize, pick: &dyn for<'a> Fn(&Recorded<'a>) -> &'a [f32], offset: usize| {
            let rows = windows.iter().flat_map(|(s, start)| {
                pick(s)[(start + offset) * width..][..width].iter().map(|x| f64::from(*x))
            });
            let rows: Vec<f64> = rows.collect();
            model.spec().tensor(&rows, (windows.len(), width))
        };
    let states = |s: &Recorded<'_>| s.state.is_empty();
    let mut state = match recorded.iter().all(states) {
        true => gather(s, &|s| s.obs, 0)?,
        false => gather(s, &|s| s.state, 0)?,
    };
    let mut rmse = Vec::with_capacity(horizon);
    for h in 0..horizon {
        let action = gather(a, &|s| s.action, h)?;
        state = model.step(&state, &action, &StepNoise::default())?.next.detach();
        let error = (model.observe(&state)? - gather(o, &|s| s.obs, h + 1)?)?;
        rmse.push(to_f64(&error.sqr()?.mean(0)?.sqrt()?)?);
    }
    Ok(OpenLoop { rmse, starts: windows.len() })
}
