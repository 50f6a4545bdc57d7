//! Dense stacks as one operation over raw slices with its own backward pass.
//!
//! The rows are cut into blocks of one member and at most [`BLOCK`] rows. A block runs through all
//! layers while it is in cache; blocks are what the threads share. With `h_0 = x`:
//!
//! - forward: `z_l = h_l W_l + b_l`, `h_{l+1} = f(z_l)`, and the last layer is linear;
//! - backward, from `dz_L = dy`: `dW_l = h_l^T dz_l`, `db_l = sum of the rows of dz_l`,
//!   `dz_{l-1} = (dz_l W_l^T) f'(z_{l-1})`, and `dx = dz_0 W_0^T`.
//!
//! An operation is made per call, because candle's backward pass sees only arguments and result: it
//! keeps `h_l` where weights need a gradient and `f'(z_l)` where anything does.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Storage, Tensor, bail};

use super::kernel::{self, After, Real};
use super::stack::{Route, StackConfig};
use super::{Activation, Params, pool};
use crate::error::Result;

/// Rows a block: small enough for the activations to stay in the second-level cache.
const BLOCK: usize = 256;

/// Multiply-adds below which starting threads costs more than it gains.
const PARALLEL_FROM: usize = 2_000_000;

/// `x` through the stack; shapes as in [`Route`], already checked; `x` is contiguous.
pub(super) fn forward(
    config: &StackConfig,
    params: &Params,
    x: &Tensor,
    route: Route,
) -> Result<Tensor> {
    let theta = params.theta();
    let op = StackOp {
        net: Net::new(config),
        rows: Rows::new(config, x, route),
        needs_dx: x.track_op(),
        needs_dw: theta.track_op(),
        tape32: OnceLock::new(),
        tape64: OnceLock::new(),
    };
    Ok(x.apply_op2(&theta, op)?)
}

/// One layer: where its weights `[E,D,O]` and biases `[E,O]` start, and what follows.
struct Layer {
    d: usize,
    o: usize,
    w: usize,
    b: usize,
    after: After,
}

impl Layer {
    fn weights<'a, T>(&self, theta: &'a [T], member: usize) -> &'a [T] {
        &theta[self.w + member * self.d * self.o..][..self.d * self.o]
    }

    fn biases<'a, T>(&self, theta: &'a [T], member: usize) -> &'a [T] {
        &theta[self.b + member * self.o..][..self.o]
    }
}

struct Net {
    members: usize,
    layers: Vec<Layer>,
    /// Multiply-adds a row.
    work: usize,
}

impl Net {
    fn new(config: &StackConfig) -> Self {
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
}

/// A run of rows of one member.
#[derive(Debug, Clone, Copy)]
struct Block {
    member: usize,
    /// First row of the input.
    x: usize,
    /// First row of the output; the blocks cover the output in order.
    y: usize,
    n: usize,
}

/// How input rows, blocks and output rows belong together.
struct Rows {
    blocks: Vec<Block>,
    /// Output rows.
    total: usize,
    shape: Vec<usize>,
    /// For [`Route::Rows`]: the input row at each place, grouped by member.
    order: Option<Vec<usize>>,
    /// How often each input row is used.
    repeats: usize,
}

impl Rows {
    fn new(config: &StackConfig, x: &Tensor, route: Route) -> Self {
        let (e, o, dims) = (config.members, config.output, x.dims());
        let b = dims[dims.len() - 2];
        // (member, first input row, rows) in the order of the output.
        let (runs, order): (Vec<(usize, usize, usize)>, _) = match route {
            Route::Shared => ((0..e).map(|m| (m, 0, b)).collect(), None),
            Route::Each => ((0..e).map(|m| (m, m * b, b)).collect(), None),
            Route::Rows(member) => {
                let mut order: Vec<usize> = (0..b).collect();
                order.sort_by_key(|row| member[*row]);
                let mut counts = vec![0; e];
                member.iter().for_each(|m| counts[*m as usize] += 1);
                let starts = counts.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n)));
                let runs = starts.zip(&counts).enumerate().map(|(m, (s, n))| (m, s, *n)).collect();
                (runs, Some(order))
            }
        };
        let (mut blocks, mut y) = (Vec::new(), 0);
        for (member, first, rows) in runs {
            for start in (0..rows).step_by(BLOCK) {
                let n = BLOCK.min(rows - start);
                blocks.push(Block { member, x: first + start, y, n });
                y += n;
            }
        }
        let shape = if order.is_some() { vec![b, o] } else { vec![e, b, o] };
        let repeats = if matches!(route, Route::Shared) { e } else { 1 };
        Self { blocks, total: y, shape, order, repeats }
    }

    /// The rows in the order of the blocks.
    fn gather<T: Real>(&self, x: &[T], width: usize) -> Option<Vec<T>> {
        let order = self.order.as_ref()?;
        Some(order.iter().flat_map(|row| &x[row * width..][..width]).copied().collect())
    }

    /// The opposite of [`Rows::gather`].
    fn scatter<T: Real>(&self, sorted: Vec<T>, width: usize) -> Vec<T> {
        let Some(order) = &self.order else { return sorted };
        let mut out = vec![T::default(); sorted.len()];
        for (row, from) in order.iter().zip(sorted.chunks_exact(width)) {
            out[row * width..][..width].copy_from_slice(from);
        }
        out
    }
}

/// What a block keeps for the backward pass, one entry a hidden layer.
#[derive(Default)]
struct Tape<T> {
    /// Outputs of the hidden layers; kept when weights need a gradient.
    h: Vec<Vec<T>>,
    /// Slopes of the activations.
    slope: Vec<Vec<T>>,
}

struct StackOp {
    net: Net,
    rows: Rows,
    needs_dx: bool,
    needs_dw: bool,
    tape32: OnceLock<Vec<Tape<f32>>>,
    tape64: OnceLock<Vec<Tape<f64>>>,
}

/// Cuts `data` into consecutive pieces of the given lengths.
fn cut<T>(mut data: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut pieces = Vec::new();
    for n in lengths {
        let (piece, rest) = data.split_at_mut(n);
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// The gradient of one member: weights and biases a layer.
type MemberGrad<'a, T> = Vec<(&'a mut [T], &'a mut [T])>;

impl StackOp {
    fn parallel(&self) -> bool {
        self.rows.total * self.net.work >= PARALLEL_FROM
    }

    /// The outputs, and what the blocks keep.
    fn run<T: Real>(&self, x: &[T], theta: &[T]) -> (Vec<T>, Vec<Tape<T>>) {
        let (first, last) = (&self.net.layers[0], &self.net.layers[self.net.layers.len() - 1]);
        let gathered = self.rows.gather(x, first.d);
        let x = gathered.as_deref().unwrap_or(x);
        let mut y = vec![T::default(); self.rows.total * last.o];
        let mut tapes: Vec<Tape<T>> = self.rows.blocks.iter().map(|_| Tape::default()).collect();
        let pieces = cut(&mut y, self.rows.blocks.iter().map(|b| b.n * last.o));
        let tasks = self.rows.blocks.iter().zip(pieces).zip(&mut tapes).collect();
        pool::for_each(tasks, self.parallel(), |((block, y), tape)| {
            self.forward_block(theta, block, &x[block.x * first.d..][..block.n * first.d], y, tape);
        });
        (self.rows.scatter(y, last.o), tapes)
    }

    fn forward_block<T: Real>(
        &self,
        theta: &[T],
        block: &Block,
        x: &[T],
        y: &mut [T],
        tape: &mut Tape<T>,
    ) {
        let (n, last) = (block.n, self.net.layers.len() - 1);
        let mut previous: Vec<T> = Vec::new();
        for (l, layer) in self.net.layers.iter().enumerate() {
            let (w, b) = (layer.weights(theta, block.member), layer.biases(theta, block.member));
            let input = if l == 0 {
                x
            } else if self.needs_dw {
                &tape.h[l - 1]
            } else {
                &previous
            };
            if l == last {
                kernel::x_w(y, input, w, n, layer.d, layer.o);
                kernel::activate(layer.after, y, b, &mut []);
                return;
            }
            let mut z = vec![T::default(); n * layer.o];
            kernel::x_w(&mut z, input, w, n, layer.d, layer.o);
            let keep_slope = self.needs_dw || self.needs_dx;
            let mut slope = vec![T::default(); if keep_slope { n * layer.o } else { 0 }];
            kernel::activate(layer.after, &mut z, b, &mut slope);
            tape.slope.push(slope);
            if self.needs_dw {
                tape.h.push(z);
            } else {
                previous = z;
            }
        }
    }

    /// The gradients of input and parameters, each only if it is needed.
    fn gradients<T: Real>(
        &self,
        x: &[T],
        theta: &[T],
        dy: &[T],
        tapes: &[Tape<T>],
    ) -> (Option<Vec<T>>, Option<Vec<T>>) {
        let (first, last) = (&self.net.layers[0], &self.net.layers[self.net.layers.len() - 1]);
        let (gathered_x, gathered_dy) =
            (self.rows.gather(x, first.d), self.rows.gather(dy, last.o));
        let x = gathered_x.as_deref().unwrap_or(x);
        let dy = gathered_dy.as_deref().unwrap_or(dy);
        let blocks = &self.rows.blocks;

        let mut dx = vec![T::default(); if self.needs_dx { self.rows.total * first.d } else { 0 }];
        let dx_width = if self.needs_dx { first.d } else { 0 };
        let mut dw = vec![T::default(); if self.needs_dw { theta.len() } else { 0 }];

        let dx_pieces = cut(&mut dx, blocks.iter().map(|b| b.n * dx_width));
        let work = blocks.iter().zip(tapes).zip(dx_pieces);
        let each = |((block, tape), dx): ((&Block, &Tape<T>), &mut [T]),
                    grad: &mut MemberGrad<T>| {
            let x = &x[block.x * first.d..][..block.n * first.d];
            let dy = &dy[block.y * last.o..][..block.n * last.o];
            self.backward_block(theta, block, tape, x, dy, dx, grad);
        };
        if self.needs_dw {
            // The blocks of a member add to the same gradient: in order, by one thread.
            let mut tasks: Vec<(Vec<_>, MemberGrad<T>)> =
                self.member_grads(&mut dw).into_iter().map(|grad| (Vec::new(), grad)).collect();
            for item in work {
                tasks[item.0.0.member].0.push(item);
            }
            pool::for_each(tasks, self.parallel(), |(items, mut grad)| {
                items.into_iter().for_each(|item| each(item, &mut grad));
            });
        } else {
            pool::for_each(work.collect(), self.parallel(), |item| each(item, &mut Vec::new()));
        }
        let dx = self.needs_dx.then(|| self.rows.scatter(self.sum_repeats(dx), first.d));
        (dx, self.needs_dw.then_some(dw))
    }

    /// Cuts the flat gradient into the members' parts.
    fn member_grads<'a, T>(&self, dw: &'a mut [T]) -> Vec<MemberGrad<'a, T>> {
        let e = self.net.members;
        let mut grads: Vec<MemberGrad<T>> = (0..e).map(|_| Vec::new()).collect();
        let lengths = self.net.layers.iter().flat_map(|l| [e * l.d * l.o, e * l.o]);
        let mut parts = cut(dw, lengths).into_iter();
        for layer in &self.net.layers {
            let (Some(w), Some(b)) = (parts.next(), parts.next()) else { break };
            let members = w.chunks_exact_mut(layer.d * layer.o).zip(b.chunks_exact_mut(layer.o));
            grads.iter_mut().zip(members).for_each(|(grad, part)| grad.push(part));
        }
        grads
    }

    #[allow(clippy::too_many_arguments)]
    fn backward_block<T: Real>(
        &self,
        theta: &[T],
        block: &Block,
        tape: &Tape<T>,
        x: &[T],
        dy: &[T],
        dx: &mut [T],
        grad: &mut MemberGrad<T>,
    ) {
        let n = block.n;
        let mut dz: Vec<T> = Vec::new();
        for (l, layer) in self.net.layers.iter().enumerate().rev() {
            let dz_l: &[T] = if l + 1 == self.net.layers.len() { dy } else { &dz };
            if let Some((dw, db)) = grad.get_mut(l) {
                let input = if l == 0 { x } else { &tape.h[l - 1] };
                kernel::add_xt_dz(dw, input, dz_l, n, layer.d, layer.o);
                kernel::add_rows(db, dz_l);
            }
            let w = layer.weights(theta, block.member);
            if l > 0 {
                let mut next = vec![T::default(); n * layer.d];
                kernel::dz_wt(&mut next, dz_l, w, n, layer.d, layer.o);
                kernel::multiply(&mut next, &tape.slope[l - 1]);
                dz = next;
            } else if self.needs_dx {
                kernel::dz_wt(dx, dz_l, w, n, layer.d, layer.o);
            }
        }
    }

    /// Adds up the members' gradients of rows they share, in the order of the members.
    fn sum_repeats<T: Real>(&self, mut dx: Vec<T>) -> Vec<T> {
        if self.rows.repeats > 1 {
            let n = dx.len() / self.rows.repeats;
            let (sum, others) = dx.split_at_mut(n);
            if !sum.is_empty() {
                others.chunks_exact(sum.len()).for_each(|other| kernel::add(sum, other));
            }
            dx.truncate(n);
        }
        dx
    }

    fn bwd_typed<T: Real>(
        &self,
        tensors: [&Tensor; 3],
        tapes: &OnceLock<Vec<Tape<T>>>,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, theta, dy] = tensors;
        let Some(tapes) = tapes.get() else { bail!("dense stack: backward without forward") };
        let (dx, dw) = {
            let guards =
                [x.storage_and_layout(), theta.storage_and_layout(), dy.storage_and_layout()];
            let [x, theta, dy] = guards.each_ref().map(|(storage, layout)| match &**storage {
                Storage::Cpu(storage) => slice::<T>(storage, layout),
                _ => bail!("dense stack: the fused operation runs on the CPU only"),
            });
            self.gradients(x?, theta?, dy?, tapes)
        };
        let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        let dw = dw.map(|dw| Tensor::from_vec(dw, theta.shape(), theta.device())).transpose()?;
        Ok((dx, dw))
    }
}

/// The numbers of a contiguous tensor.
pub(super) fn slice<'a, T: Real>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("dense stack: expected a contiguous tensor"),
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
        let storage = match x {
            CpuStorage::F32(_) => {
                let (y, tapes) = self.run::<f32>(slice(x, x_layout)?, slice(theta, theta_layout)?);
                self.tape32.get_or_init(|| tapes);
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                let (y, tapes) = self.run::<f64>(slice(x, x_layout)?, slice(theta, theta_layout)?);
                self.tape64.get_or_init(|| tapes);
                CpuStorage::F64(y)
            }
            _ => bail!("dense stack: expected f32 or f64"),
        };
        Ok((storage, self.rows.shape.clone().into()))
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
