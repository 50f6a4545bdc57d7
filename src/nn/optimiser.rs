//! The optimiser of a part: Adam over each of its parameter tensors, and one norm over all.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::adam::{Adam, AdamConfig};
use super::params::{NamedParams, Params, joined};
use super::slices::Grad;
use crate::error::{Error, Result};
use crate::shape::to_f64;

/// Adam over each of a part's parameter tensors, which it updates in place.
pub struct Optimiser {
    adams: Vec<(String, Adam)>,
    max_grad_norm: Option<f64>,
    /// Whether a loss was seen to move these parameters and nothing else.
    alone: bool,
}

impl Optimiser {
    /// An optimiser with zero moments.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range.
    pub fn new(params: &NamedParams, config: &AdamConfig) -> Result<Self> {
        let adam = |(name, params): &(String, &Params)| {
            Ok((name.clone(), Adam::new(params, config, &[])?))
        };
        let adams = params.iter().map(adam).collect::<Result<_>>()?;
        Ok(Self { adams, max_grad_norm: None, alone: false })
    }

    /// Shortens gradients that are longer than `limit` (L2 norm over all parameters).
    #[must_use]
    pub fn with_max_grad_norm(mut self, limit: Option<f64>) -> Self {
        self.max_grad_norm = limit;
        self
    }

    /// One step down the gradient of `loss`.
    ///
    /// # Errors
    /// [`Error::Config`] when the loss does not depend on a parameter, [`Error::Composition`] when it
    /// would move others, [`Error::NonFinite`] when the gradient is not finite or too large for
    /// Adam's moments.
    pub fn descend(&mut self, loss: &Tensor) -> Result<()> {
        // The graph is the same update after update, so the first one tells.
        if !std::mem::replace(&mut self.alone, true) {
            self.check_alone(loss)?;
        }
        let store = loss.backward()?;
        let gradient = |(_, adam): &(String, Adam)| adam.gradient(&store);
        let mut gradients = self.adams.iter().map(gradient).collect::<Result<Vec<_>>>()?;
        if let Some(limit) = self.max_grad_norm {
            // In f64: the squares of a gradient that needs shortening may overflow f32.
            let mut square = 0.0;
            for gradient in &gradients {
                square += to_f64(gradient)?.iter().map(|g| g * g).sum::<f64>();
            }
            let norm = f64::sqrt(square);
            if norm > limit {
                for gradient in &mut gradients {
                    *gradient = (&*gradient * (limit / norm))?;
                }
            }
        }
        self.adams.iter_mut().zip(&gradients).try_for_each(|((_, adam), g)| adam.step_grad(g))
    }

    /// One step along gradients in closed form, one a parameter tensor.
    ///
    /// # Errors
    /// As [`Optimiser::descend`]; [`Error::Shape`] for another number of gradients.
    pub fn step(&mut self, gradients: &[Grad]) -> Result<()> {
        if gradients.len() != self.adams.len() {
            let expected = format!("{} gradients, one a parameter tensor", self.adams.len());
            return Err(Error::shape("step of an optimiser", expected, gradients.len()));
        }
        self.adams.iter_mut().zip(gradients).try_for_each(|((_, adam), g)| adam.step_flat(g))
    }

    /// Forgets all moments, as if no step had been taken.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn reset(&mut self) -> Result<()> {
        self.adams.iter_mut().try_for_each(|(_, adam)| adam.reset())
    }

    /// What else a loss goes through has to be frozen, and here it shows whether it is.
    fn check_alone(&self, loss: &Tensor) -> Result<()> {
        let own = |id| self.adams.iter().any(|(_, adam)| adam.params().var().id() == id);
        let nodes = loss.sorted_nodes();
        let others = nodes.iter().filter(|node| node.is_variable() && !own(node.id()));
        let shapes: Vec<String> = others.map(|var| format!("{:?}", var.dims())).collect();
        let what = match shapes.len() {
            0 => return Ok(()),
            1 => "one variable".to_string(),
            n => format!("{n} variables"),
        };
        let problem = format!(
            "the loss would move {what} more than it should ({}): what is not learned by it takes \
             part frozen, its variables detached (`Params::frozen`, `Var::as_detached_tensor`)",
            shapes.join(", ")
        );
        Err(Error::Composition { agent: "a part that is not frozen".into(), problem })
    }

    /// Moments and step counts, named `prefix.PARAMETERS.m` and so on.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn named_tensors(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for (name, adam) in &self.adams {
            let own = joined(prefix, name);
            all.extend(adam.state()?.into_iter().map(|(key, t)| (format!("{own}.{key}"), t)));
        }
        Ok(all)
    }

    /// Goes on from what [`Optimiser::named_tensors`] gave.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] or [`Error::Shape`] naming what is missing or does not fit.
    pub fn load_named(&mut self, prefix: &str, all: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, adam) in &mut self.adams {
            let own = format!("{}.", joined(prefix, name));
            let state = all.iter().filter_map(|(key, tensor)| {
                Some((key.strip_prefix(&own)?.to_string(), tensor.clone()))
            });
            adam.load_state(&state.collect())?;
        }
        Ok(())
    }

    /// The moments and step count of the parameter tensor `name`.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name.
    pub fn adam(&self, name: &str) -> Result<&Adam> {
        let found = self.adams.iter().find(|(own, _)| own == name);
        found.map(|(_, adam)| adam).ok_or_else(|| Error::config(name, "no such parameter tensor"))
    }
}
