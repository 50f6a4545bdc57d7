//! What rounding costs: the same rollouts through the same networks in two precisions.

use anyhow::Result;
use candle_core::{DType, Tensor};
use hstep::objective::{Actions, Cost, HStep, Noise, Terminal};
use hstep::shape::{Precision, Spec};
use hstep::value::VNet;

use super::work::{critic, ensemble, rng};
use super::workload::{ACT, OBS, Sizes, TARGETS, Workload};

/// Training steps of the model beforehand (a fresh one predicts next to nothing), and their rows.
const FIT: (usize, usize) = (200, 64);

/// How far a forward workload's results in the precision of `sizes` are from those in `f32`: the
/// root mean square of the differences over the standard deviation of what `f32` finds. Results are
/// the changes of the state in branched rollouts, and `J_H` of open-loop candidates in plans. `None`
/// for workloads that have one precision.
///
/// # Errors
/// When the library refuses a part.
pub fn error(workload: Workload, sizes: &Sizes) -> Result<Option<f64>> {
    let found = |precision| results(workload, &Sizes { precision, ..*sizes });
    let (Some(exact), Some(found)) = (found(Precision::F32)?, found(sizes.precision)?) else {
        return Ok(None);
    };
    let squares = (found - &exact)?.sqr()?.mean_all()?.to_scalar::<f64>()?;
    let spread = exact.broadcast_sub(&exact.mean_all()?)?.sqr()?.mean_all()?;
    Ok(Some((squares / spread.to_scalar::<f64>()?).sqrt()))
}

fn results(workload: Workload, sizes: &Sizes) -> Result<Option<Tensor>> {
    let (rows, horizon) = match workload {
        Workload::Branch(rows) => (rows, 1),
        Workload::Plan { samples, starts, horizon, .. } => {
            (samples * starts * sizes.members, horizon)
        }
        Workload::Update | Workload::Fit | Workload::Actor(_) => return Ok(None),
    };
    let (spec, mut rng, mut model) = (Spec::f32(), rng().fork("error"), ensemble(sizes)?);
    let mixing = rng.normals((OBS + ACT, TARGETS), &spec)?;
    for _ in 0..FIT.0 {
        let x = rng.normals((sizes.members, FIT.1, OBS + ACT), &spec)?;
        let y = x.broadcast_matmul(&(&mixing * 0.3)?)?.tanh()?;
        model.fit_step(&x, &y)?;
    }
    let value = VNet::new(&critic(sizes), OBS, &mut rng.fork("value"), &sizes.spec())?;
    let objective = HStep {
        dynamics: Some(&model),
        terminal: Terminal::State(&value),
        horizon,
        gamma: 1.0,
        cost: Cost::NONE,
    };
    let s0 = rng.normals((rows, OBS), &spec)?;
    let actions = rng.normals((rows, horizon, ACT), &spec)?.tanh()?;
    let (actions, noise) = (Actions::Open(&actions), Noise::key(rng.key()));
    let found = match workload {
        Workload::Plan { .. } => {
            let returns = objective.returns(&s0, actions, &noise, false)?.returns;
            Tensor::from_vec(returns, rows, &spec.device)?
        }
        _ => (&objective.rollout_forward(&s0, actions, &noise)?.states[1] - &s0)?,
    };
    Ok(Some(found.to_dtype(DType::F64)?))
}
