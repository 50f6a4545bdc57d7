//! Dense stacks: a multilayer perceptron, or an ensemble of them that shares its shape.

use std::sync::Arc;

use super::fused;
use super::layout::{Route, StackConfig};
use super::params::Params;
use super::plain;
use super::slices::Grad;
use super::tile::PackedNet;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::{Ops, Spec};
use candle_core::Tensor;

/// A dense stack `x W_0 + b_0 -> activation -> ... -> linear`, single or an ensemble.
///
/// A clone is a view of the same parameters. Parameters are named `l0.w` `[E,D,O]`, `l0.b` `[E,O]`,
/// `l1.w`, ... A backward pass reads the parameters as they are then: do not change them between
/// forward and backward.
#[derive(Debug, Clone)]
pub struct Stack {
    config: Arc<StackConfig>,
    params: Params,
    spec: Spec,
}

impl Stack {
    /// A freshly initialised stack.
    ///
    /// # Errors
    /// [`Error::Config`] for a width or a number of members of 0, or for a `dtype` other than `f32`
    /// and `f64`.
    pub fn new(config: &StackConfig, rng: &mut Rng, spec: &Spec) -> Result<Self> {
        config.validate()?;
        if !matches!(spec.dtype, candle_core::DType::F32 | candle_core::DType::F64) {
            return Err(Error::config(
                "dtype",
                format!("expected f32 or f64, got {:?}", spec.dtype),
            ));
        }
        let e = config.members;
        let mut entries = Vec::new();
        for (l, (d, o)) in config.layers().into_iter().enumerate() {
            let weights = config.init.weights(e * d * o, d, o, rng);
            entries.push((format!("l{l}.w"), vec![e, d, o], weights));
            entries.push((format!("l{l}.b"), vec![e, o], config.init.biases(e * o, d, rng)));
        }
        let params = Params::new(&entries, spec)?;
        Ok(Self { config: Arc::new(config.clone()), params, spec: spec.clone() })
    }

    /// Multiplies weights and biases of the last layer: small first outputs for a policy or critic.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the parameters cannot be read.
    pub fn scale_last(&self, factor: f64) -> Result<()> {
        let last = self.config.hidden.len();
        let mut flat = self.params.to_flat()?;
        for name in [format!("l{last}.w"), format!("l{last}.b")] {
            let slot = self.params.slot(&name)?;
            flat[slot.offset..slot.offset + slot.len()].iter_mut().for_each(|w| *w *= factor);
        }
        self.params.set_flat(&flat)
    }

    /// Its numbers as they are now, packed for passes forward only; `None` unless they are `f32` on
    /// the CPU.
    pub(crate) fn packed(&self) -> Option<PackedNet> {
        PackedNet::new(&self.config, &self.params, &self.spec)
    }

    /// `x [B,D]` to `[B,O]`, or to `[E,B,O]` for an ensemble (every member sees the same rows, and
    /// the gradient of `x` is the sum over members).
    ///
    /// # Errors
    /// [`Error::Shape`] for rows of another width, [`Error::Config`] for another number type.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        crate::shape::rows(x, self.config.input, "stack input")?;
        let y = self.run(x, Route::Shared)?;
        Ok(if self.config.members == 1 { y.squeeze(0)? } else { y })
    }

    /// `x [E,B,D]` to `[E,B,O]`: every member has rows of its own.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape, [`Error::Config`] for another number type.
    pub fn forward_each(&self, x: &Tensor) -> Result<Tensor> {
        let (e, d) = (self.config.members, self.config.input);
        match x.dims() {
            [members, _, width] if *members == e && *width == d => self.run(x, Route::Each),
            dims => Err(Error::shape("stack input", format!("[{e},B,{d}]"), dims)),
        }
    }

    /// `x [B,D]` to `[B,O]`: row `b` goes through member `member[b]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape or a member index out of range, [`Error::Config`] for
    /// another number type.
    pub fn forward_rows(&self, x: &Tensor, member: &[u32]) -> Result<Tensor> {
        let b = crate::shape::rows(x, self.config.input, "stack input")?;
        if member.len() != b {
            return Err(Error::shape("member index a row", format!("[{b}]"), [member.len()]));
        }
        let e = self.config.members;
        match member.iter().find(|m| **m as usize >= e) {
            Some(m) => Err(Error::shape("member index", format!("below {e}"), m)),
            None => self.run(x, Route::Rows(member)),
        }
    }

    /// The seam: everything above is shared, everything below exists twice.
    fn run(&self, x: &Tensor, route: Route) -> Result<Tensor> {
        self.check_dtype(x)?;
        let x = x.contiguous()?;
        if self.is_fused() {
            fused::forward(&self.config, &self.params, &x, route)
        } else {
            plain::forward(&self.config, &self.params, &x, route)
        }
    }

    /// The gradient of the parameters for a loss of the outputs, without a graph: `loss` gets the
    /// outputs of `x`, shaped as [`Stack::forward`] or, for `x [E,B,D]`, [`Stack::forward_each`]
    /// gives them (with the ensemble's axis also when it has one member), and returns what the caller
    /// wants to keep and the loss's gradient at the outputs. Nothing flows to `x`.
    pub(crate) fn regress<R>(
        &self,
        x: &Tensor,
        loss: impl FnOnce(&Tensor) -> Result<(R, Tensor)>,
    ) -> Result<(R, Grad)> {
        let (e, d) = (self.config.members, self.config.input);
        let route = match x.dims() {
            [_, width] if *width == d => Route::Shared,
            [members, _, width] if *members == e && *width == d => Route::Each,
            dims => {
                return Err(Error::shape("stack input", format!("[B,{d}] or [{e},B,{d}]"), dims));
            }
        };
        self.check_dtype(x)?;
        let x = x.contiguous()?;
        if self.is_fused() {
            return fused::regress(&self.config, &self.params, &x, route, loss);
        }
        let y = plain::forward(&self.config, &self.params, &x, route)?;
        let (out, dy) = loss(&y.detach())?;
        let grads = (y * dy.detach())?.sum_all()?.backward()?;
        let none = || Error::config("gradient", "the loss does not depend on the parameters");
        Ok((out, self.params.grad(&grads)?.ok_or_else(none)?.into()))
    }

    fn is_fused(&self) -> bool {
        self.spec.ops == Ops::Fused && self.spec.device.is_cpu()
    }

    fn check_dtype(&self, x: &Tensor) -> Result<()> {
        if x.dtype() == self.spec.dtype {
            return Ok(());
        }
        let problem = format!("the network is {:?}, its input {:?}", self.spec.dtype, x.dtype());
        Err(Error::config("dtype", problem))
    }

    /// The same stack, parameters still shared, whose parameters receive no gradient.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { params: self.params.frozen(), ..self.clone() }
    }

    /// A deep copy that shares nothing, with gradients.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { params: self.params.copy()?, ..self.clone() })
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Shape and initialiser.
    #[must_use]
    pub fn config(&self) -> &StackConfig {
        &self.config
    }

    /// Number type, device, implementation.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}
