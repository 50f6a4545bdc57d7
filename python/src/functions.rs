//! Python functions of a batch as parts of a model: rewards, ends, dynamics. `hstep._functions` checks what
//! they return.
//!
//! One that has a `vjp` (vector-Jacobian product) is differentiated by it: `f.vjp(arguments, gradients)`
//! gives the gradients of the arguments.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::env::{EnvInfo, RewardFn};
use hstep::shape::{Spec, to_f64};
use hstep::value::{FnValue, Value};
use hstep::{Error, Result};
use pyo3::prelude::*;
use std::sync::Arc;

use crate::arrays::{Numbers, array};
use crate::thrown::Thrown;

/// A checked Python function: `f(x, y, z)` of matrices `[B,.]` gives numbers `[B,..]`; `f.vjp(x, y, z, g)`
/// the gradients of the three; `f.differentiable` says whether that is there.
struct Function {
    f: Py<PyAny>,
    name: String,
    thrown: Thrown,
}

impl Function {
    /// Calls a method of it with matrices; as many arrays as it gives.
    fn call(&self, method: &str, of: &[Numbers]) -> Result<Vec<Numbers>> {
        Python::attach(|py| {
            let run = || -> PyResult<Vec<Numbers>> {
                let arrays = of
                    .iter()
                    .map(|x| array(py, x.data.clone(), &x.dims))
                    .collect::<PyResult<Vec<_>>>()?;
                let arguments = pyo3::types::PyTuple::new(py, arrays)?;
                let all = self.f.bind(py).call_method1(method, arguments)?;
                let all = all.try_iter()?;
                all.map(|x| Numbers::read(&x?.extract()?)).collect()
            };
            run().map_err(|error| self.thrown.keep(py, &self.name, error))
        })
    }

    fn differentiable(&self) -> bool {
        Python::attach(|py| {
            let has = self.f.bind(py).getattr("differentiable");
            has.and_then(|has| has.is_truthy()).unwrap_or(false)
        })
    }
}

fn numbers(x: &Tensor) -> Result<Numbers> {
    Ok(Numbers { data: to_f64(x)?, dims: x.dims().to_vec() })
}

/// The function as one operation of a graph; its value is known before.
struct Op {
    function: Arc<Function>,
    value: Numbers,
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "python-function"
    }

    fn cpu_fwd(
        &self,
        like: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let data = &self.value.data;
        let storage = match like {
            CpuStorage::F32(_) => CpuStorage::F32(data.iter().map(|x| *x as f32).collect()),
            _ => CpuStorage::F64(data.clone()),
        };
        Ok((storage, Shape::from(self.value.dims.clone())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let of = [x, y, z, gradient].map(numbers).into_iter().collect::<Result<Vec<_>>>();
        let all = of.and_then(|of| self.function.call("vjp", &of));
        let all = all.map_err(|error| candle_core::Error::Msg(error.to_string()))?;
        let back = |i: usize, like: &Tensor| -> candle_core::Result<Option<Tensor>> {
            let Some(x) = all.get(i) else { return Ok(None) };
            let tensor = Tensor::from_slice(&x.data, x.dims.clone(), like.device())?;
            Ok(Some(tensor.to_dtype(like.dtype())?))
        };
        Ok((back(0, x)?, back(1, y)?, back(2, z)?))
    }
}

/// `f(x, y, z)` with a gradient where it has one and one is asked for.
fn apply(
    function: &Arc<Function>,
    x: &Tensor,
    y: &Tensor,
    z: &Tensor,
    cure: &str,
) -> Result<Tensor> {
    let tracked = x.track_op() || y.track_op() || z.track_op();
    if tracked && !function.differentiable() {
        let problem = format!(
            "its Python function has no gradient, and this algorithm needs one: {cure}, or give a function \
             with a `vjp`, for example `hstep.autodiff.jax(f)`"
        );
        return Err(Error::env(&function.name, problem));
    }
    let of = [numbers(x)?, numbers(y)?, numbers(z)?];
    let Some(value) = function.call("__call__", &of)?.pop() else {
        return Err(Error::env(&function.name, "the function returned nothing"));
    };
    if !tracked {
        return Ok(Tensor::from_vec(value.data, value.dims, x.device())?.to_dtype(x.dtype())?);
    }
    let op = Op { function: Arc::clone(function), value };
    Ok(x.contiguous()?.apply_op3(&y.contiguous()?, &z.contiguous()?, op)?)
}

/// Normalised actions `[B,A]` in the environment's own units, clipped as the environment does.
fn in_units(action: &Tensor, info: &EnvInfo) -> Result<Tensor> {
    let a = info.action_dim();
    let bounds = info.action_low.iter().zip(&info.action_high);
    let (half, middle): (Vec<f64>, Vec<f64>) =
        bounds.map(|(low, high)| (0.5 * (high - low), 0.5 * (low + high))).unzip();
    let row = |x: Vec<f64>| -> Result<Tensor> {
        Ok(Tensor::from_vec(x, (1, a), action.device())?.to_dtype(action.dtype())?)
    };
    let clipped = action.clamp(-1.0, 1.0)?;
    Ok(clipped.broadcast_mul(&row(half)?)?.broadcast_add(&row(middle)?)?)
}

/// A reward, or 1 where an episode goes on: `f(obs, action, next_obs)` as Python has it.
pub fn of_batch(f: Py<PyAny>, info: EnvInfo, thrown: Thrown) -> RewardFn {
    let function = Arc::new(Function { f, name: info.name.clone(), thrown });
    Arc::new(move |s, a, next| {
        let cure = "set `model.learn_reward=true`";
        apply(&function, s, &in_units(a, &info)?, next, cure)
    })
}

/// What Python gives for a model: `f(state, action, ignored)` gives `[B,S+2]`, the next state, the reward, and
/// 1 where the episode goes on.
pub fn dynamics(
    f: Py<PyAny>,
    info: &EnvInfo,
    state_dim: usize,
    spec: &Spec,
    thrown: Thrown,
) -> Box<dyn Dynamics> {
    let (info, s) = (info.clone(), state_dim);
    let function = Arc::new(Function { f, name: info.name.clone(), thrown });
    let a = info.action_dim();
    let step = move |state: &Tensor, action: &Tensor, _: &StepNoise| {
        let none = Tensor::zeros((state.dim(0)?, 1), DType::F64, state.device())?;
        let none = none.to_dtype(state.dtype())?;
        let cure = "choose an algorithm without";
        let all = apply(&function, state, &in_units(action, &info)?, &none, cure)?;
        let column = |i: usize| -> Result<Tensor> { Ok(all.narrow(1, i, 1)?.squeeze(1)?) };
        Ok(Transition {
            next: all.narrow(1, 0, s)?.contiguous()?,
            reward: column(s)?.contiguous()?,
            cont: column(s + 1)?.contiguous()?.detach(),
        })
    };
    Box::new(FnDynamics::new(s, a, spec.clone(), step))
}

/// What a state is worth, `[B]`: `f(state, ignored, ignored)` as Python has it.
pub fn value(f: Py<PyAny>, thrown: Thrown) -> Box<dyn Value> {
    let function = Arc::new(Function { f, name: "terminal".into(), thrown });
    Box::new(FnValue(move |state: &Tensor| {
        let none = Tensor::zeros((state.dim(0)?, 1), state.dtype(), state.device())?;
        apply(&function, state, &none, &none, "choose a planner without")
    }))
}
