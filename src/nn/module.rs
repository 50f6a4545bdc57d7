//! A person's own network in candle-nn, as a part that is trained, frozen, followed and saved.
//!
//! A candle module holds its tensors for good, so one that was built on trained variables cannot be
//! frozen, and one that was built on frozen ones cannot be trained. So it is a function that is kept,
//! from a [`VarBuilder`] to the module, and called anew for every pass: the builder hands out the
//! variables with or without gradients (a build takes a microsecond or so a layer). The first numbers
//! come from a seeded stream a variable, by its name; candle's own generator cannot be seeded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Module, VarBuilder};

use super::params::{NamedParams, Params};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::{Spec, to_f64};

/// From variables to the module that computes with them.
type Build<M> = dyn Fn(VarBuilder) -> candle_core::Result<M> + Send + Sync;

/// A candle module with its variables, each a parameter tensor of its own.
pub struct ModuleNet<M> {
    build: Arc<Build<M>>,
    vars: Arc<BTreeMap<String, Params>>,
    spec: Spec,
}

impl<M> Clone for ModuleNet<M> {
    /// A view of the same numbers.
    fn clone(&self) -> Self {
        Self { build: self.build.clone(), vars: self.vars.clone(), spec: self.spec.clone() }
    }
}

impl<M: Module> ModuleNet<M> {
    /// A module with fresh numbers, once it is known to be trainable: for rows of `input` numbers,
    /// one backward pass has to reach every variable and the rows, and two forward passes have to
    /// agree to the bit.
    ///
    /// # Errors
    /// [`Error::Composition`] naming what a pass does not reach and the cure, or a module that draws
    /// numbers of its own; [`Error::Tensor`] for a module that cannot be built.
    pub fn new(
        build: impl Fn(VarBuilder) -> candle_core::Result<M> + Send + Sync + 'static,
        input: usize,
        rng: &Rng,
        spec: &Spec,
    ) -> Result<Self> {
        let made = Arc::new(Mutex::new(BTreeMap::new()));
        let fresh = Fresh { rng: rng.clone(), spec: spec.clone(), made: made.clone() };
        let device = spec.device.clone();
        build(VarBuilder::from_backend(Box::new(fresh), spec.dtype, device))?;
        let vars = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
        let net = Self { build: Arc::new(build), vars: Arc::new(vars), spec: spec.clone() };
        net.probe(input, rng)?;
        Ok(net)
    }

    fn built(&self, tracked: bool) -> Result<M> {
        let kept = Kept { vars: self.vars.clone(), tracked };
        let device = self.spec.device.clone();
        Ok((self.build)(VarBuilder::from_backend(Box::new(kept), self.spec.dtype, device))?)
    }

    /// Rows `[B,input]` to rows, with gradients to the variables.
    ///
    /// # Errors
    /// As the module.
    pub fn tracked(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.built(true)?.forward(x)?)
    }

    /// Rows `[B,input]` to rows, without gradients to the variables.
    ///
    /// # Errors
    /// As the module.
    pub fn frozen(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.built(false)?.forward(x)?)
    }

    /// The variables by name.
    #[must_use]
    pub fn params(&self) -> NamedParams<'_> {
        self.vars.iter().map(|(name, params)| (name.clone(), params)).collect()
    }

    /// A deep copy that shares nothing.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn copy(&self) -> Result<Self> {
        let copied = self.vars.iter().map(|(name, params)| Ok((name.clone(), params.copy()?)));
        let vars = Arc::new(copied.collect::<Result<_>>()?);
        Ok(Self { vars, ..self.clone() })
    }

    /// Number type and device.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn probe(&self, input: usize, rng: &Rng) -> Result<()> {
        let refuse = |problem: String| {
            Err(Error::Composition { agent: "a network of one's own".into(), problem })
        };
        if self.vars.is_empty() {
            return refuse(
                "it asks its `VarBuilder` for no variable, so nothing is trained".into(),
            );
        }
        let x = rng.fork("probe").normals((3, input), &self.spec)?;
        let x = candle_core::Var::from_tensor(&x)?;
        let y = self.tracked(x.as_tensor())?;
        let again = self.tracked(x.as_tensor())?;
        if to_f64(&y)?.iter().zip(to_f64(&again)?).any(|(a, b)| a.to_bits() != b.to_bits()) {
            return refuse(
                "two forward passes of the same rows differ: it draws numbers of its own, as candle's \
                 Dropout does, which cannot be seeded; leave that layer out"
                    .into(),
            );
        }
        // Weighted, so that rows whose outputs sum to a constant have a gradient, too.
        let weights = rng.fork("probe weights").normals(y.shape().clone(), &self.spec)?;
        let store = (y * weights)?.sum_all()?.backward()?;
        let cure = "candle's fast LayerNorm, RmsNorm and softmax give themselves and all that comes \
                    before them no gradient: use `candle_nn::layer_norm_no_bias`, which has one, or \
                    compute it from plain operations";
        for (name, params) in self.vars.iter() {
            if params.grad(&store)?.is_none() {
                return refuse(format!("its variable `{name}` gets no gradient; {cure}"));
            }
        }
        if store.get(x.as_tensor()).is_none() {
            return refuse(format!("its input gets no gradient; {cure}"));
        }
        Ok(())
    }
}

/// Makes variables, each from a stream of its own.
struct Fresh {
    rng: Rng,
    spec: Spec,
    made: Arc<Mutex<BTreeMap<String, Params>>>,
}

impl SimpleBackend for Fresh {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(params) = made.get(name) {
            return given(params, &shape, name, true);
        }
        let numbers = drawn(init, &shape, &mut self.rng.fork(name));
        let entry = [(String::new(), shape.dims().to_vec(), numbers)];
        let params = Params::new(&entry, &self.spec).map_err(candle_core::Error::wrap)?;
        let tensor = given(&params, &shape, name, true)?;
        made.insert(name.to_string(), params);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("variable `{name}`: name its shape and initialiser, it is made here")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}

/// Hands out variables that there are.
struct Kept {
    vars: Arc<BTreeMap<String, Params>>,
    tracked: bool,
}

impl SimpleBackend for Kept {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        match self.vars.get(name) {
            Some(params) => given(params, &shape, name, self.tracked),
            None => candle_core::bail!(
                "variable `{name}` was not asked for when the network was made: build the same one \
                 every time"
            ),
        }
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("variable `{name}`: name its shape and initialiser")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vars.contains_key(name)
    }
}

/// The variable in its own shape.
fn given(params: &Params, shape: &Shape, name: &str, tracked: bool) -> candle_core::Result<Tensor> {
    let theta = if tracked { params.theta() } else { params.frozen().theta() };
    let own = params.layout().values().next().map(|slot| slot.shape.clone()).unwrap_or_default();
    if own != shape.dims() {
        candle_core::bail!("variable `{name}` is {own:?} and was asked for as {shape:?}");
    }
    theta.reshape(shape)
}

/// Numbers of candle's initialiser, in row-major order.
fn drawn(init: Init, shape: &Shape, rng: &mut Rng) -> Vec<f64> {
    let n = shape.elem_count();
    let mut normals = |mean: f64, std: f64| (0..n).map(|_| mean + std * rng.normal()).collect();
    match init {
        Init::Const(x) => vec![x; n],
        Init::Randn { mean, stdev } => normals(mean, stdev),
        Init::Uniform { lo, up } => uniforms(lo, up, n, rng),
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            let bound = 3f64.sqrt() * std;
            match dist {
                NormalOrUniform::Uniform => uniforms(-bound, bound, n, rng),
                NormalOrUniform::Normal => normals(0.0, std),
            }
        }
    }
}

fn uniforms(low: f64, high: f64, n: usize, rng: &mut Rng) -> Vec<f64> {
    (0..n).map(|_| low + (high - low) * rng.uniform()).collect()
}
