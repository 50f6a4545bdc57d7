//! Dense stacks through plain candle operations: the reference, and what other devices use.

use candle_core::Tensor;

use super::layout::{Route, StackConfig};
use super::params::Params;
use crate::error::Result;

/// `x` through the stack; shapes as in [`Route`], already checked.
pub(super) fn forward(
    config: &StackConfig,
    params: &Params,
    x: &Tensor,
    route: Route,
) -> Result<Tensor> {
    let e = config.members;
    match route {
        Route::Each => each(config, params, x),
        Route::Shared => {
            let (b, d) = x.dims2()?;
            each(config, params, &x.unsqueeze(0)?.broadcast_as((e, b, d))?.contiguous()?)
        }
        Route::Rows(member) => {
            // Every member computes every row, then each row picks its own.
            let y = forward(config, params, x, Route::Shared)?;
            let b = member.len();
            let picks: Vec<u32> = (0..).zip(member).map(|(row, m)| m * b as u32 + row).collect();
            let picks = Tensor::from_vec(picks, b, x.device())?;
            Ok(y.reshape((e * b, config.output))?.index_select(&picks, 0)?)
        }
    }
}

/// `[E,B,D]` to `[E,B,O]`.
fn each(config: &StackConfig, params: &Params, x: &Tensor) -> Result<Tensor> {
    let theta = params.theta();
    let view = |name: &str| -> Result<Tensor> {
        let slot = params.slot(name)?;
        Ok(theta.narrow(0, slot.offset, slot.len())?.reshape(slot.shape.as_slice())?)
    };
    let mut h = x.clone();
    for l in 0..=config.hidden.len() {
        let z = h.matmul(&view(&format!("l{l}.w"))?)?;
        let z = z.broadcast_add(&view(&format!("l{l}.b"))?.unsqueeze(1)?)?;
        h = if l < config.hidden.len() { config.activation.apply(&z)? } else { z };
    }
    Ok(h)
}
