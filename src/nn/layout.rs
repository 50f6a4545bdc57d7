//! The layout of a network: its shape, and where each layer's numbers lie in its flat parameters.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::init::Init;
use super::kernel::After;
use crate::error::{Error, Result};

/// Multiply-adds below which starting threads costs more than it gains.
const PARALLEL_FROM: usize = 2_000_000;

/// The shape of a [`super::Stack`] and how it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// Inputs `D` a row.
    pub input: usize,
    /// Widths of the hidden layers; none gives a linear map.
    pub hidden: Vec<usize>,
    /// Outputs `O` a row.
    pub output: usize,
    /// Nonlinearity after each hidden layer.
    pub activation: Activation,
    /// Ensemble members `E`; 1 is a single network.
    pub members: usize,
    /// Initialiser of the weights.
    pub init: Init,
}

impl StackConfig {
    /// Inputs and outputs `(D, O)` of every layer.
    pub(super) fn layers(&self) -> Vec<(usize, usize)> {
        let inputs = std::iter::once(self.input).chain(self.hidden.iter().copied());
        let outputs = self.hidden.iter().copied().chain(std::iter::once(self.output));
        inputs.zip(outputs).collect()
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (key, value) in
            [("input", self.input), ("output", self.output), ("members", self.members)]
        {
            if value == 0 {
                return Err(Error::config(key, "expected at least 1, got 0"));
            }
        }
        match self.hidden.iter().position(|w| *w == 0) {
            None => Ok(()),
            Some(i) => Err(Error::config(format!("hidden[{i}]"), "expected at least 1, got 0")),
        }
    }
}

/// Which rows go through which member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'a> {
    /// `[B,D]` to `[E,B,O]`: every member sees the same rows.
    Shared,
    /// `[E,B,D]` to `[E,B,O]`: every member has rows of its own.
    Each,
    /// `[B,D]` to `[B,O]`: row `b` goes through member `member[b]`.
    Rows(&'a [u32]),
}

/// One layer: where its weights `[E,D,O]` and biases `[E,O]` start, and what follows.
pub(crate) struct Layer {
    pub d: usize,
    pub o: usize,
    w: usize,
    b: usize,
    pub after: After,
}

impl Layer {
    pub fn weights<'a, T>(&self, theta: &'a [T], member: usize) -> &'a [T] {
        &theta[self.w + member * self.d * self.o..][..self.d * self.o]
    }

    pub fn biases<'a, T>(&self, theta: &'a [T], member: usize) -> &'a [T] {
        &theta[self.b + member * self.o..][..self.o]
    }
}

/// The layers of a stack, and where their numbers lie in its flat parameters.
pub(crate) struct Net {
    pub members: usize,
    pub layers: Vec<Layer>,
    /// Multiply-adds a row.
    work: usize,
}

impl Net {
    pub fn new(config: &StackConfig) -> Self {
        let (e, shapes) = (config.members, config.layers());
        let hidden = match config.activation {
            Activation::Relu => After::Relu,
            Activation::Tanh => After::Tanh,
            Activation::Swish => After::Swish,
        };
        let (mut layers, mut at) = (Vec::new(), 0);
        for (l, (d, o)) in shapes.iter().copied().enumerate() {
            let after = if l + 1 < shapes.len() { hidden } else { After::Linear };
            layers.push(Layer { d, o, w: at, b: at + e * d * o, after });
            at += e * (d + 1) * o;
        }
        Self { members: e, layers, work: shapes.iter().map(|(d, o)| d * o).sum() }
    }

    pub fn input(&self) -> usize {
        self.layers[0].d
    }

    pub fn output(&self) -> usize {
        self.layers[self.layers.len() - 1].o
    }

    pub fn hidden_widths(&self) -> Vec<usize> {
        self.layers[..self.layers.len() - 1].iter().map(|l| l.o).collect()
    }

    /// Whether so many rows are worth several threads.
    pub fn is_large(&self, rows: usize) -> bool {
        rows * self.work >= PARALLEL_FROM
    }
}
