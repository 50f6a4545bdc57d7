//! Adam (Kingma and Ba 2015) over one flat parameter tensor, with reachable state.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Tensor};
use serde::{Deserialize, Serialize};

use super::kernel::{self, AdamStep, Pair, Real};
use super::params::{Params, check_finite};
use super::slices::{Grad, Numbers, cut, with_slices};
use crate::error::{Error, Result};
use crate::pool;
use crate::shape::{Ops, Spec, to_f64};

/// The numbers of [`Adam`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Learning rate; `3e-4` (code: SAC and MBPO's policy and critics).
    pub lr: f64,
    /// Decay of the first moment; `0.9` (paper).
    pub beta1: f64,
    /// Decay of the second moment; `0.999` (paper).
    pub beta2: f64,
    /// Added to the root of the second moment; `1e-8` (paper).
    pub eps: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 3e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

impl AdamConfig {
    fn validate(&self) -> Result<()> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.lr) {
            return Err(Error::config(
                "lr",
                format!("expected a positive number, got {}", self.lr),
            ));
        }
        if !positive(self.eps) {
            let problem = format!("expected a positive number, got {}", self.eps);
            return Err(Error::config("eps", problem));
        }
        for (key, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::config(key, format!("expected a number in [0, 1), got {beta}")));
            }
        }
        Ok(())
    }
}

/// The moments, in the parameters' own number type and order.
#[derive(Debug, Clone)]
enum Moments {
    F32(Vec<f32>, Vec<f32>),
    F64(Vec<f64>, Vec<f64>),
    /// Other devices: tensors `[P]`.
    Plain(Tensor, Tensor),
}

/// A stretch of the flat tensor with one weight decay.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: usize,
    end: usize,
    weight_decay: f64,
}

/// The Adam optimiser of one [`Params`], which it updates in place.
#[derive(Debug)]
pub struct Adam {
    params: Params,
    config: AdamConfig,
    segments: Vec<Segment>,
    moments: Moments,
    steps: u64,
}

impl Adam {
    /// An optimiser of `params` with zero moments, through the implementation that they were made
    /// for ([`Params::ops`]).
    ///
    /// `weight_decay[l]` is added, times the weight, to the gradient of the weights `l{l}.w` (L2
    /// regularisation, as MBPO has it; biases do not decay); empty means none.
    ///
    /// # Errors
    /// [`Error::Config`] for numbers out of range, or decays for layers that do not exist.
    pub fn new(params: &Params, config: &AdamConfig, weight_decay: &[f64]) -> Result<Self> {
        config.validate()?;
        let (moments, segments) = (zeros(params)?, segments(params, weight_decay)?);
        Ok(Self { params: params.clone(), config: config.clone(), segments, moments, steps: 0 })
    }

    /// Forgets the moments, as if no step had been taken.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn reset(&mut self) -> Result<()> {
        (self.moments, self.steps) = (zeros(&self.params)?, 0);
        Ok(())
    }

    /// Which implementation runs: plain candle operations also where there is no fused one.
    #[must_use]
    pub fn ops(&self) -> Ops {
        match self.moments {
            Moments::Plain(..) => Ops::Plain,
            _ => Ops::Fused,
        }
    }

    /// The flat gradient of its parameters in `grads`.
    ///
    /// # Errors
    /// [`Error::Config`] when the loss does not depend on them.
    pub fn gradient(&self, grads: &GradStore) -> Result<Tensor> {
        self.params.grad(grads)?.ok_or_else(|| {
            let names: Vec<&str> = self.params.names().take(3).collect();
            let problem = format!(
                "no gradient: the loss does not depend on these {} parameters ({}, ...); were they \
                 frozen?",
                self.params.len(),
                names.join(", ")
            );
            Error::config("gradient", problem)
        })
    }

    /// One step along the gradient of these parameters in `grads`.
    ///
    /// # Errors
    /// [`Error::Config`] when the loss does not depend on the parameters, [`Error::NonFinite`] when
    /// the gradient is NaN or infinite; nothing is changed then.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.step_grad(&self.gradient(grads)?)
    }

    /// One step along the flat gradient `[P]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length, [`Error::NonFinite`] when the gradient is NaN or
    /// infinite; nothing is changed then.
    pub fn step_grad(&mut self, grad: &Tensor) -> Result<()> {
        crate::shape::exact(grad, &[self.params.len()], "gradient of Adam")?;
        let grad = grad.detach().contiguous()?;
        if let Moments::Plain(..) = self.moments {
            return self.step_plain(&grad);
        }
        match grad.dtype() {
            DType::F32 => with_slices([&grad], |[grad]| self.step_slice::<f32>(grad))?,
            _ => with_slices([&grad], |[grad]| self.step_slice::<f64>(grad))?,
        }
    }

    /// One step along a gradient of [`super::Stack::regress`].
    ///
    /// # Errors
    /// As [`Adam::step_grad`].
    pub(crate) fn step_flat(&mut self, grad: &Grad) -> Result<()> {
        match &grad.0 {
            Numbers::F32(grad) if matches!(self.moments, Moments::F32(..)) => self.step_slice(grad),
            Numbers::F64(grad) if matches!(self.moments, Moments::F64(..)) => self.step_slice(grad),
            _ => self.step_grad(&grad.tensor(self.params.var().device())?),
        }
    }

    fn step_slice<T: Real>(&mut self, grad: &[T]) -> Result<()> {
        if grad.len() != self.params.len() {
            let expected = format!("[{}]", self.params.len());
            return Err(Error::shape("gradient of Adam", expected, [grad.len()]));
        }
        let largest = T::from_magnitude(kernel::largest(grad));
        self.check_size(largest, T::MAX)?;
        self.steps += 1;
        self.params.wrote();
        let theta = self.params.var().as_tensor();
        let (segments, config, steps) = (&self.segments, &self.config, self.steps);
        let moments = match &mut self.moments {
            Moments::F32(m, v) => T::moments(Pair::F32(m, v)),
            Moments::F64(m, v) => T::moments(Pair::F64(m, v)),
            Moments::Plain(..) => None,
        };
        let Some(moments) = moments else {
            return Err(Error::config("gradient", "its number type is not that of the parameters"));
        };
        let moments = RefCell::new(moments);
        Ok(theta.inplace_op1(&FusedStep { moments, grad, segments, config, steps })?)
    }

    fn step_plain(&mut self, grad: &Tensor) -> Result<()> {
        check_finite(grad, "gradient", format!("optimiser step {}", self.steps + 1))?;
        if grad.dtype() == DType::F32 && grad.elem_count() > 0 {
            self.check_size(crate::shape::scalar(&grad.abs()?.max(0)?)?, f64::from(f32::MAX))?;
        }
        let Moments::Plain(m, v) = &mut self.moments else { return Ok(()) };
        self.steps += 1;
        self.params.wrote();
        let theta = self.params.var().as_tensor();
        let next = plain_step(theta, m, v, grad, &self.segments, &self.config, self.steps)?;
        Ok(self.params.var().set(&next)?)
    }

    /// Refuses a gradient whose largest entry is not finite, or has a square beyond `max`: its
    /// parameter would stand still for ever.
    fn check_size(&self, largest: f64, max: f64) -> Result<()> {
        let step = format!("optimiser step {}", self.steps + 1);
        if !largest.is_finite() {
            return Err(Error::NonFinite { quantity: "gradient".into(), step });
        }
        if largest * largest > max {
            let quantity = format!("square of the gradient's largest entry, {largest:e},");
            return Err(Error::NonFinite { quantity, step });
        }
        Ok(())
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate.
    #[must_use]
    pub fn lr(&self) -> f64 {
        self.config.lr
    }

    /// Changes the learning rate; the moments stay.
    pub fn set_lr(&mut self, lr: f64) {
        self.config.lr = lr;
    }

    /// The parameters this optimiser updates.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Moments `m` and `v` `[P]` and the step count `steps` `[1]`, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let (n, device) = (self.params.len(), self.params.var().device());
        let (m, v) = match &self.moments {
            Moments::F32(m, v) => {
                (Tensor::from_slice(m, n, device)?, Tensor::from_slice(v, n, device)?)
            }
            Moments::F64(m, v) => {
                (Tensor::from_slice(m, n, device)?, Tensor::from_slice(v, n, device)?)
            }
            Moments::Plain(m, v) => (m.copy()?, v.copy()?),
        };
        let steps = Tensor::from_vec(vec![self.steps as i64], 1, device)?;
        Ok([("m", m), ("steps", steps), ("v", v)].map(|(k, t)| (k.to_owned(), t)).into())
    }

    /// Goes on from a state of [`Adam::state`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a missing entry or a negative count, [`Error::Shape`] for moments
    /// of another length; nothing is changed then.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let get = |name: &str, len: usize| {
            let missing = || Error::checkpoint("optimiser", format!("`{name}` is missing"));
            let tensor = state.get(name).ok_or_else(missing)?;
            crate::shape::exact(tensor, &[len], &format!("optimiser `{name}`"))?;
            Ok::<_, Error>(tensor)
        };
        let steps = get("steps", 1)?.to_vec1::<i64>()?;
        let steps = steps.first().and_then(|s| u64::try_from(*s).ok());
        let negative = || Error::checkpoint("optimiser", "`steps` is negative");
        let (m, v) = (to_f64(get("m", self.params.len())?)?, to_f64(get("v", self.params.len())?)?);
        self.steps = steps.ok_or_else(negative)?;
        self.moments = match &self.moments {
            Moments::F32(..) => Moments::F32(narrow(&m), narrow(&v)),
            Moments::F64(..) => Moments::F64(m, v),
            Moments::Plain(old, _) => {
                let spec = Spec { dtype: old.dtype(), device: old.device().clone(), ..Spec::f32() };
                Moments::Plain(spec.tensor(&m, m.len())?, spec.tensor(&v, v.len())?)
            }
        };
        Ok(())
    }
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

/// Moments of zero.
fn zeros(params: &Params) -> Result<Moments> {
    let (theta, n) = (params.var(), params.len());
    match theta.dtype() {
        _ if params.ops() == Ops::Plain => plain_zeros(params),
        DType::F32 if theta.device().is_cpu() => Ok(Moments::F32(vec![0.0; n], vec![0.0; n])),
        DType::F64 if theta.device().is_cpu() => Ok(Moments::F64(vec![0.0; n], vec![0.0; n])),
        _ => plain_zeros(params),
    }
}

fn plain_zeros(params: &Params) -> Result<Moments> {
    let zeros = params.var().as_detached_tensor().zeros_like()?;
    Ok(Moments::Plain(zeros.clone(), zeros))
}

/// Cuts `0..P` into stretches of equal decay.
fn segments(params: &Params, weight_decay: &[f64]) -> Result<Vec<Segment>> {
    let mut decays = BTreeMap::new();
    for (l, decay) in weight_decay.iter().copied().enumerate() {
        if !decay.is_finite() || decay < 0.0 {
            let problem = format!("expected a number of at least 0, got {decay}");
            return Err(Error::config(format!("weight_decay[{l}]"), problem));
        }
        let slot = params.layout().get(&format!("l{l}.w")).ok_or_else(|| {
            let layers = params.names().filter(|n| n.ends_with(".w")).count();
            let problem =
                format!("{} numbers for {layers} layers; give one a layer", weight_decay.len());
            Error::config("weight_decay", problem)
        })?;
        decays.insert(slot.offset, (slot.offset + slot.len(), decay));
    }
    let (mut segments, mut at) = (Vec::new(), 0);
    for (start, (end, weight_decay)) in decays {
        segments.push(Segment { start: at, end: start, weight_decay: 0.0 });
        segments.push(Segment { start, end, weight_decay });
        at = end;
    }
    segments.push(Segment { start: at, end: params.len(), weight_decay: 0.0 });
    segments.retain(|s| s.end > s.start);
    Ok(segments)
}

/// `1 - beta^t`.
fn correction(beta: f64, steps: u64) -> f64 {
    1.0 - beta.powf(steps as f64)
}

struct FusedStep<'a, T> {
    moments: RefCell<(&'a mut [T], &'a mut [T])>,
    grad: &'a [T],
    segments: &'a [Segment],
    config: &'a AdamConfig,
    steps: u64,
}

/// Parameters that are one task.
const CHUNK: usize = 1 << 15;

impl<T: Real> FusedStep<'_, T> {
    fn apply(&self, theta: &mut [T]) {
        let mut moments = self.moments.borrow_mut();
        let (m, v) = &mut *moments;
        // Consecutive chunks, none across a border between two decays.
        let chunks: Vec<Segment> = (self.segments.iter())
            .flat_map(|s| {
                let starts = (s.start..s.end).step_by(CHUNK);
                starts.map(|start| Segment { start, end: (start + CHUNK).min(s.end), ..*s })
            })
            .collect();
        let lengths = || chunks.iter().map(|s| s.end - s.start);
        let (theta, m, v) = (cut(theta, lengths()), cut(m, lengths()), cut(v, lengths()));
        let tasks: Vec<_> = chunks.iter().zip(theta).zip(m.into_iter().zip(v)).collect();
        let (parallel, config, steps, grad) = (tasks.len() > 3, self.config, self.steps, self.grad);
        pool::for_each(tasks, parallel, |((segment, theta), (m, v))| {
            let step = AdamStep {
                lr: T::from_f64(config.lr),
                beta1: T::from_f64(config.beta1),
                beta2: T::from_f64(config.beta2),
                eps: T::from_f64(config.eps),
                correction1: T::from_f64(correction(config.beta1, steps)),
                correction2: T::from_f64(correction(config.beta2, steps)),
                weight_decay: T::from_f64(segment.weight_decay),
            };
            kernel::adam(theta, m, v, &grad[segment.start..segment.end], step);
        });
    }
}

impl<T: Real> InplaceOp1 for FusedStep<'_, T> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, theta: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        T::slice_mut(theta).map_or_else(
            || candle_core::bail!("adam: the parameters changed their number type"),
            |theta| {
                self.apply(theta);
                Ok(())
            },
        )
    }
}

/// The same step through plain candle operations; returns the new parameters.
fn plain_step(
    theta: &Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    grad: &Tensor,
    segments: &[Segment],
    config: &AdamConfig,
    steps: u64,
) -> Result<Tensor> {
    let theta = theta.detach();
    let decayed: Vec<Tensor> = segments
        .iter()
        .map(|s| {
            let n = s.end - s.start;
            let (g, w) = (grad.narrow(0, s.start, n)?, theta.narrow(0, s.start, n)?);
            g + (w * s.weight_decay)?
        })
        .collect::<candle_core::Result<_>>()?;
    let g = Tensor::cat(&decayed, 0)?;
    *m = ((&*m * config.beta1)? + (&g * (1.0 - config.beta1))?)?;
    *v = ((&*v * config.beta2)? + (g.sqr()? * (1.0 - config.beta2))?)?;
    let m_hat = (&*m / correction(config.beta1, steps))?;
    let v_hat = (&*v / correction(config.beta2, steps))?;
    Ok((theta - ((m_hat * config.lr)? / (v_hat.sqrt()? + config.eps)?)?)?)
}
