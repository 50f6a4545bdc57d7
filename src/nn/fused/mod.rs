//! Dense stacks as one operation over raw slices with its own backward pass.
//!
//! The rows are cut into blocks of one member ([`rows`]). A block runs through all layers while it
//! is in cache; blocks are what the threads share. With `h_0 = x`:
//!
//! - forward: `z_l = h_l W_l + b_l`, `h_{l+1} = f(z_l)`, and the last layer is linear;
//! - backward, from `dz_L = dy`: `dW_l = h_l^T dz_l`, `db_l = sum of the rows of dz_l`,
//!   `dz_{l-1} = (dz_l W_l^T) f'(z_{l-1})`, and `dx = dz_0 W_0^T`.
//!
//! An operation is made per call, because candle's backward pass sees only arguments and result: it
//! keeps `h_l` where weights need a gradient and `f'(z_l)` where anything does.

pub(crate) mod members;
pub(crate) mod pass;
mod product;
pub(crate) mod rows;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor, bail};

use super::kernel::Real;
use super::layout::{Net, Route, StackConfig};
use super::params::Params;
use super::scratch::Scratch;
use super::slices::{Grad, Numbers, slice, with_slices};
use crate::error::Result;
use pass::{Tape, Wanted};
use rows::Rows;

/// Rows `b` of `x` (a member, for [`Route::Each`]) and the shape of the output.
fn shapes(config: &StackConfig, x: &Tensor, route: Route) -> (usize, Vec<usize>) {
    let (e, o, dims) = (config.members, config.output, x.dims());
    let b = dims[dims.len() - 2];
    let shape = match route {
        Route::Rows(_) => vec![b, o],
        _ => vec![e, b, o],
    };
    (b, shape)
}

/// `x` through the stack; shapes as in [`Route`], already checked; `x` is contiguous.
pub(super) fn forward(
    config: &StackConfig,
    params: &Params,
    x: &Tensor,
    route: Route,
) -> Result<Tensor> {
    let theta = params.theta();
    let (b, shape) = shapes(config, x, route);
    let op = StackOp {
        net: Net::new(config),
        rows: Rows::new(config.members, b, route),
        shape,
        wanted: Wanted { dx: x.track_op(), dw: theta.track_op() },
        tape32: OnceLock::new(),
        tape64: OnceLock::new(),
    };
    Ok(x.apply_op2(&theta, op)?)
}

/// The gradient of the parameters for a loss whose gradient at the output is `dy(y)`, without a
/// graph; nothing flows to `x`.
pub(super) fn regress<R>(
    config: &StackConfig,
    params: &Params,
    x: &Tensor,
    route: Route,
    loss: impl FnOnce(&Tensor) -> Result<(R, Tensor)>,
) -> Result<(R, Grad)> {
    let (b, shape) = shapes(config, x, route);
    let (net, rows) = (Net::new(config), Rows::new(config.members, b, route));
    match x.dtype() {
        DType::F32 => {
            let (out, grad) = regress_typed::<f32, R>(&net, &rows, params, x, shape, loss)?;
            Ok((out, Grad(Numbers::F32(grad))))
        }
        _ => {
            let (out, grad) = regress_typed::<f64, R>(&net, &rows, params, x, shape, loss)?;
            Ok((out, Grad(Numbers::F64(grad))))
        }
    }
}

fn regress_typed<T: Real, R>(
    net: &Net,
    rows: &Rows,
    params: &Params,
    x: &Tensor,
    shape: Vec<usize>,
    loss: impl FnOnce(&Tensor) -> Result<(R, Tensor)>,
) -> Result<(R, Scratch<T>)> {
    let wanted = Wanted { dx: false, dw: true };
    let theta = params.var().as_detached_tensor();
    let (y, tape) = with_slices([x, &theta], |[x, theta]| net.forward(rows, theta, x, wanted))?;
    let y = Tensor::from_vec(y, shape, x.device())?;
    let (out, dy) = loss(&y)?;
    crate::shape::exact(&dy, y.dims(), "gradient of a loss")?;
    let dy = dy.contiguous()?;
    let grads = with_slices([x, &theta, &dy], |[x, theta, dy]| {
        net.backward(rows, theta, x, dy, &tape, wanted)
    })?;
    let none = || crate::Error::config("gradient", "a backward pass gave no gradient");
    Ok((out, grads.dw.ok_or_else(none)?))
}

struct StackOp {
    net: Net,
    rows: Rows,
    shape: Vec<usize>,
    wanted: Wanted,
    tape32: OnceLock<Tape<f32>>,
    tape64: OnceLock<Tape<f64>>,
}

impl StackOp {
    fn bwd_typed<T: Real>(
        &self,
        tensors: [&Tensor; 3],
        tape: &OnceLock<Tape<T>>,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, theta, _] = tensors;
        let Some(tape) = tape.get() else { bail!("dense stack: backward without forward") };
        let grads = with_slices(tensors, |[x, theta, dy]| {
            self.net.backward(&self.rows, theta, x, dy, tape, self.wanted)
        })?;
        let dx = grads.dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        let dw = grads.dw.map(|dw| Tensor::from_slice(&dw, theta.shape(), theta.device()));
        Ok((dx, dw.transpose()?))
    }
}

impl CustomOp2 for StackOp {
    fn name(&self) -> &'static str {
        "dense-stack"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        theta: &CpuStorage,
        theta_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (net, rows, wanted) = (&self.net, &self.rows, self.wanted);
        let storage = match x {
            CpuStorage::F32(_) => {
                let (x, theta) = (slice(x, x_layout)?, slice(theta, theta_layout)?);
                let (y, tape) = net.forward::<f32>(rows, theta, x, wanted);
                self.tape32.get_or_init(|| tape);
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                let (x, theta) = (slice(x, x_layout)?, slice(theta, theta_layout)?);
                let (y, tape) = net.forward::<f64>(rows, theta, x, wanted);
                self.tape64.get_or_init(|| tape);
                CpuStorage::F64(y)
            }
            _ => bail!("dense stack: expected f32 or f64"),
        };
        Ok((storage, self.shape.clone().into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        theta: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        match x.dtype() {
            DType::F32 => self.bwd_typed([x, theta, &dy], &self.tape32),
            _ => self.bwd_typed([x, theta, &dy], &self.tape64),
        }
    }
}
