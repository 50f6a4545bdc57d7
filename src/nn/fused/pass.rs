//! A dense stack over raw slices: forward, and backward from what the forward pass kept.

use super::super::kernel::{self, After, Real};
use super::super::layout::{Layer, Net};
use super::super::scratch::Scratch;
use super::super::slices::cut;
use super::super::tile::Packed;
use super::product::{self, Below};
use super::rows::{Block, Rows};
use crate::pool;

/// Rows of a weight matrix whose gradient is one task.
const GRADIENT_ROWS: usize = 128;

/// What the backward pass will be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub dx: bool,
    pub dw: bool,
}

/// What a forward pass kept, one entry a hidden layer, rows in the order of the blocks.
pub(crate) struct Tape<T: Real> {
    /// Outputs of the hidden layers; kept when weights need a gradient, or anything does and the
    /// activation is ReLU.
    pub h: Vec<Scratch<T>>,
    /// Slopes of other activations; kept when anything needs a gradient.
    pub slope: Vec<Scratch<T>>,
}

/// Gradients of the input rows (in the order given to the forward pass) and of the parameters.
pub(crate) struct Gradients<T: Real> {
    pub dx: Option<Vec<T>>,
    pub dw: Option<Scratch<T>>,
}

/// For every block its piece of each buffer; `widths` are those of the buffers.
fn pieces<'a, T: Real>(
    buffers: &'a mut [Scratch<T>],
    widths: &[usize],
    blocks: &[Block],
) -> Vec<Vec<&'a mut [T]>> {
    let mut all: Vec<Vec<&mut [T]>> = blocks.iter().map(|_| Vec::new()).collect();
    for (buffer, width) in buffers.iter_mut().zip(widths) {
        let cut = cut(buffer, blocks.iter().map(|b| b.n * width));
        all.iter_mut().zip(cut).for_each(|(of_block, piece)| of_block.push(piece));
    }
    all
}

impl Net {
    /// The outputs of the rows `x`, and what a backward pass will need.
    pub fn forward<T: Real>(
        &self,
        rows: &Rows,
        theta: &[T],
        x: &[T],
        wanted: Wanted,
    ) -> (Vec<T>, Tape<T>) {
        let gathered = rows.gather(x, self.input());
        let x = gathered.as_deref().unwrap_or(x);
        let widths = self.hidden_widths();
        let mut tape = self.tape(rows.total, wanted);
        let mut y = vec![T::default(); rows.total * self.output()];
        let outputs = cut(&mut y, rows.blocks.iter().map(|b| b.n * self.output()));
        let kept = pieces(&mut tape.h, &widths, &rows.blocks);
        let slopes = pieces(&mut tape.slope, &widths, &rows.blocks);
        let tasks = rows.blocks.iter().zip(outputs).zip(kept.into_iter().zip(slopes)).collect();
        let parallel = self.is_large(rows.total);
        let packed = self.packed(rows, theta, parallel, false);
        pool::for_each(tasks, parallel, |((block, y), (mut h, mut slope))| {
            let x = &x[block.x * self.input()..][..block.n * self.input()];
            self.forward_block(theta, &packed[block.member], block, x, y, &mut h, &mut slope);
        });
        (rows.scatter(y, self.output()), tape)
    }

    /// Room for what a forward pass of `n` rows has to keep.
    pub fn tape<T: Real>(&self, n: usize, wanted: Wanted) -> Tape<T> {
        let (any, relu) = (wanted.dw || wanted.dx, self.layers[0].after == After::Relu);
        let buffers = |kept: bool| -> Vec<Scratch<T>> {
            let hidden = self.layers[..self.layers.len() - 1].iter().filter(|_| kept);
            hidden.map(|l| Scratch::take(n * l.o)).collect()
        };
        Tape { h: buffers(wanted.dw || (any && relu)), slope: buffers(any && !relu) }
    }

    /// Each member's weights, packed where its rows go through tiles; transposed for the backward
    /// pass.
    fn packed<T: Real>(
        &self,
        rows: &Rows,
        theta: &[T],
        parallel: bool,
        backward: bool,
    ) -> Vec<Vec<Option<Packed>>> {
        let mut all: Vec<Vec<Option<Packed>>> = rows.members.iter().map(|_| Vec::new()).collect();
        let tasks = rows.members.iter().zip(&mut all).collect();
        let parallel = parallel && self.members > 1;
        pool::for_each(tasks, parallel, |(own, all): (&Block, &mut Vec<Option<Packed>>)| {
            *all = self.packed_member(theta, own.member, own.n, backward);
        });
        all
    }

    /// One member's weights, packed where `n` rows go through tiles.
    pub fn packed_member<T: Real>(
        &self,
        theta: &[T],
        member: usize,
        n: usize,
        backward: bool,
    ) -> Vec<Option<Packed>> {
        let tiles = product::tiles::<T>(n);
        let pack = |layer: &Layer| {
            let w = layer.weights(theta, member);
            match backward {
                true => product::pack_transposed(layer, w),
                false => product::pack(layer, w),
            }
        };
        self.layers.iter().map(|layer| if tiles { pack(layer) } else { None }).collect()
    }

    /// One block through all layers; hidden outputs go to `h` and slopes to `slope` where there
    /// are such.
    #[allow(clippy::too_many_arguments)]
    pub fn forward_block<T: Real>(
        &self,
        theta: &[T],
        packed: &[Option<Packed>],
        block: &Block,
        x: &[T],
        y: &mut [T],
        h: &mut [&mut [T]],
        slope: &mut [&mut [T]],
    ) {
        let n = block.n;
        let mut own = [Scratch::take(0), Scratch::take(0)];
        for (l, layer) in self.layers.iter().enumerate() {
            let numbers = (layer.weights(theta, block.member), layer.biases(theta, block.member));
            let packed = packed[l].as_ref();
            if l + 1 == self.layers.len() {
                let input: &[T] = match (l, h.last()) {
                    (0, _) => x,
                    (_, Some(last)) => last,
                    _ => &own[0],
                };
                product::forward(y, input, layer, numbers, packed, &mut []);
                return;
            }
            let (below, here) = h.split_at_mut(l.min(h.len()));
            own.swap(0, 1);
            let [to, from] = &mut own;
            let input: &[T] = match (l, below.last()) {
                (0, _) => x,
                (_, Some(last)) => last,
                _ => from,
            };
            let z: &mut [T] = match here.first_mut() {
                Some(z) => z,
                None => {
                    *to = Scratch::take(n * layer.o);
                    to
                }
            };
            let slope: &mut [T] = match slope.get_mut(l) {
                Some(slope) => slope,
                None => &mut [],
            };
            product::forward(z, input, layer, numbers, packed, slope);
        }
    }

    /// The gradients that are `wanted`, from the outputs' gradient `dy`.
    pub fn backward<T: Real>(
        &self,
        rows: &Rows,
        theta: &[T],
        x: &[T],
        dy: &[T],
        tape: &Tape<T>,
        wanted: Wanted,
    ) -> Gradients<T> {
        let (input, output) = (self.input(), self.output());
        let gathered_dy = rows.gather(dy, output);
        let dy = gathered_dy.as_deref().unwrap_or(dy);
        let parallel = self.is_large(rows.total);
        let widths = self.hidden_widths();

        // The chain of dz through the layers, a block at a time.
        let mut dx = vec![T::default(); if wanted.dx { rows.total * input } else { 0 }];
        let kept = widths.iter().filter(|_| wanted.dw);
        let mut dz: Vec<Scratch<T>> = kept.map(|w| Scratch::take(rows.total * w)).collect();
        let dx_width = if wanted.dx { input } else { 0 };
        let dx_pieces = cut(&mut dx, rows.blocks.iter().map(|b| b.n * dx_width));
        let dz_pieces = pieces(&mut dz, &widths, &rows.blocks);
        let packed = self.packed(rows, theta, parallel, true);
        let tasks = rows.blocks.iter().zip(dx_pieces).zip(dz_pieces).collect();
        pool::for_each(tasks, parallel, |((block, dx), mut dz)| {
            let dy = &dy[block.y * output..][..block.n * output];
            self.backward_block(theta, &packed[block.member], block, tape, dy, dx, &mut dz);
        });
        let dx = wanted.dx.then(|| rows.scatter(sum_repeats(dx, rows.repeats), input));
        let dw = wanted.dw.then(|| {
            let gathered_x = rows.gather(x, input);
            let x = gathered_x.as_deref().unwrap_or(x);
            self.weight_gradients(rows, theta.len(), x, dy, tape, &dz, parallel)
        });
        Gradients { dx, dw }
    }

    /// `dz_{l-1} = (dz_l W_l^T) f'(z_{l-1})` down to `dx`; the hidden ones go to `kept` where there
    /// is room.
    #[allow(clippy::too_many_arguments)]
    pub fn backward_block<T: Real>(
        &self,
        theta: &[T],
        packed: &[Option<Packed>],
        block: &Block,
        tape: &Tape<T>,
        dy: &[T],
        dx: &mut [T],
        kept: &mut [&mut [T]],
    ) {
        let n = block.n;
        let mut own = [Scratch::take(0), Scratch::take(0)];
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let w = layer.weights(theta, block.member);
            own.swap(0, 1);
            let [to, from] = &mut own;
            let (here, above) = kept.split_at_mut(l.min(kept.len()));
            let dz: &[T] = match (l + 1 == self.layers.len(), above.first()) {
                (true, _) => dy,
                (_, Some(dz)) => dz,
                _ => from,
            };
            if l == 0 {
                if !dx.is_empty() {
                    product::backward(dx, dz, layer, w, packed[l].as_ref(), &Below::Data);
                }
                return;
            }
            let next: &mut [T] = match here.last_mut() {
                Some(next) => next,
                None => {
                    *to = Scratch::take(n * layer.d);
                    to
                }
            };
            let kept = block.y * layer.d..(block.y + n) * layer.d;
            let below = match tape.slope.get(l - 1) {
                Some(slope) => Below::Slopes(&slope[kept]),
                None => Below::Relu(&tape.h[l - 1][kept]),
            };
            product::backward(next, dz, layer, w, packed[l].as_ref(), &below);
        }
    }

    /// `dW_l = h_l^T dz_l` and `db_l`, flat. All rows of a member at once, so that nothing depends on
    /// the blocks; the rows of a large `dW` are shared among the threads.
    #[allow(clippy::too_many_arguments)]
    fn weight_gradients<T: Real>(
        &self,
        rows: &Rows,
        len: usize,
        x: &[T],
        dy: &[T],
        tape: &Tape<T>,
        dz: &[Scratch<T>],
        parallel: bool,
    ) -> Scratch<T> {
        let mut flat = Scratch::take(len);
        let lengths =
            self.layers.iter().flat_map(|l| [self.members * l.d * l.o, self.members * l.o]);
        let mut parts = cut(&mut flat, lengths).into_iter();
        let mut tasks = Vec::new();
        for (l, layer) in self.layers.iter().enumerate() {
            let (Some(w), Some(b)) = (parts.next(), parts.next()) else { break };
            let members = w.chunks_exact_mut(layer.d * layer.o).zip(b.chunks_exact_mut(layer.o));
            for (of_member, (w, b)) in rows.members.iter().zip(members) {
                let mut b = Some(b);
                for (i, w) in w.chunks_mut(GRADIENT_ROWS * layer.o).enumerate() {
                    tasks.push((l, of_member, i * GRADIENT_ROWS, w, b.take()));
                }
            }
        }
        pool::for_each(tasks, parallel, |(l, own, first, dw, db)| {
            let layer = &self.layers[l];
            let dz = match dz.get(l) {
                Some(dz) => &dz[own.y * layer.o..][..own.n * layer.o],
                None => &dy[own.y * layer.o..][..own.n * layer.o],
            };
            let input = match l {
                0 => &x[own.x * layer.d..][..own.n * layer.d],
                _ => &tape.h[l - 1][own.y * layer.d..][..own.n * layer.d],
            };
            if own.n == 0 {
                dw.fill(T::default());
            } else {
                product::gradient(dw, &input[first..], dz, layer.d, layer.o);
            }
            if let Some(db) = db {
                db.fill(T::default());
                kernel::add_rows(db, dz);
            }
        });
        flat
    }
}

/// Adds up the members' gradients of rows they share, in the order of the members.
fn sum_repeats<T: Real>(mut dx: Vec<T>, repeats: usize) -> Vec<T> {
    if repeats > 1 {
        let n = dx.len() / repeats;
        let (sum, others) = dx.split_at_mut(n);
        if !sum.is_empty() {
            others.chunks_exact(sum.len()).for_each(|other| kernel::add(sum, other));
        }
        dx.truncate(n);
    }
    dx
}
