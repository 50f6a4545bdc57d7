//! A gradient step of an ensemble whose loss is a sum over rows: a member at a time goes forward,
//! through the loss and back while its numbers are in cache, without a graph.

use std::ops::Range;

use super::super::kernel::{self, Real};
use super::super::layout::Net;
use super::super::scratch::Scratch;
use super::super::slices::cut;
use super::pass::{Tape, Wanted};
use super::product;
use super::rows::Block;
use crate::pool;

/// Rows of one member that are one task.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub member: usize,
    pub rows: Range<usize>,
}

/// Rows from which the last of an odd number of members is halved, so that two threads have equally
/// much to do.
const HALVED_FROM: usize = 64;

/// Each member is one part; the last odd one is two.
fn parts(members: usize, b: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = (0..members).map(|member| Part { member, rows: 0..b }).collect();
    if members % 2 == 1
        && b >= HALVED_FROM
        && let Some(last) = parts.last_mut()
    {
        last.rows.end = b / 2;
        parts.push(Part { member: members - 1, rows: b / 2..b });
    }
    parts
}

/// Gradients of weights and biases, a layer.
type LayerGrads<'a, T> = Vec<(&'a mut [T], &'a mut [T])>;

impl Net {
    /// The flat gradient for rows `x` `[E,b,D]`, and what `loss` returned for every part, in order.
    /// `loss` gets a part's outputs `[rows,O]` and writes its gradient there.
    pub fn regress_members<T: Real, R: Send>(
        &self,
        theta: &[T],
        x: &[T],
        b: usize,
        loss: impl Fn(&Part, &[T], &mut [T]) -> R + Sync + Send,
    ) -> (Scratch<T>, Vec<R>) {
        let parts = parts(self.members, b);
        let mut flat = Scratch::take(theta.len());
        // A member's second half has a gradient of its own, which is added in the end.
        let mut second: Vec<Scratch<T>> = match parts.len() > self.members {
            true => self.layers.iter().map(|l| Scratch::take((l.d + 1) * l.o)).collect(),
            false => Vec::new(),
        };
        let mut grads: Vec<LayerGrads<T>> = (0..self.members).map(|_| Vec::new()).collect();
        let e = self.members;
        let mut pieces =
            cut(&mut flat, self.layers.iter().flat_map(|l| [e * l.d * l.o, e * l.o])).into_iter();
        for layer in &self.layers {
            let (Some(w), Some(b)) = (pieces.next(), pieces.next()) else { break };
            let members = w.chunks_exact_mut(layer.d * layer.o).zip(b.chunks_exact_mut(layer.o));
            grads.iter_mut().zip(members).for_each(|(grads, piece)| grads.push(piece));
        }
        if !second.is_empty() {
            let own = second.iter_mut().zip(&self.layers);
            grads.push(own.map(|(s, l)| s.split_at_mut(l.d * l.o)).collect());
        }
        let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
        let tasks: Vec<_> = parts.iter().zip(grads).zip(&mut results).collect();
        let parallel = self.is_large(self.members * b);
        pool::for_each(tasks, parallel, |((part, grads), result)| {
            let first = (part.member * b + part.rows.start) * self.input();
            let x = &x[first..][..part.rows.len() * self.input()];
            *result = Some(self.regress_part(theta, x, part, grads, &loss));
        });
        // The second half of the last member.
        let last = self.members - 1;
        let mut at = 0;
        for (layer, second) in self.layers.iter().zip(&second) {
            let (w, b) = second.split_at(layer.d * layer.o);
            kernel::add(&mut flat[at + last * w.len()..][..w.len()], w);
            at += e * w.len();
            kernel::add(&mut flat[at + last * b.len()..][..b.len()], b);
            at += e * b.len();
        }
        (flat, results.into_iter().flatten().collect())
    }

    fn regress_part<T: Real, R>(
        &self,
        theta: &[T],
        x: &[T],
        part: &Part,
        grads: LayerGrads<T>,
        loss: impl Fn(&Part, &[T], &mut [T]) -> R,
    ) -> R {
        let (n, member) = (part.rows.len(), part.member);
        let block = Block { member, x: 0, y: 0, n };
        let hidden = &self.layers[..self.layers.len() - 1];
        let buffers = || hidden.iter().map(|l| Scratch::<T>::take(n * l.o)).collect::<Vec<_>>();
        let mut tape: Tape<T> = self.tape(n, Wanted { dx: false, dw: true });
        let mut y = Scratch::take(n * self.output());
        let mut dy = Scratch::take(n * self.output());

        let packed = self.packed_member::<T>(theta, member, n, false);
        let mut h: Vec<&mut [T]> = tape.h.iter_mut().map(|h| &mut **h).collect();
        let mut slope: Vec<&mut [T]> = tape.slope.iter_mut().map(|s| &mut **s).collect();
        self.forward_block(theta, &packed, &block, x, &mut y, &mut h, &mut slope);
        drop(packed);
        let result = loss(part, &y, &mut dy);

        let packed = self.packed_member::<T>(theta, member, n, true);
        let mut dz = buffers();
        let mut kept: Vec<&mut [T]> = dz.iter_mut().map(|dz| &mut **dz).collect();
        self.backward_block(theta, &packed, &block, &tape, &dy, &mut [], &mut kept);
        for (l, ((layer, (dw, db)), dz)) in self
            .layers
            .iter()
            .zip(grads)
            .zip(dz.iter().map(|dz| &**dz).chain(std::iter::once(&*dy)))
            .enumerate()
        {
            let input = if l == 0 { x } else { &tape.h[l - 1] };
            if n == 0 {
                dw.fill(T::default());
            } else {
                product::gradient(dw, input, dz, layer.d, layer.o);
            }
            db.fill(T::default());
            kernel::add_rows(db, dz);
        }
        result
    }
}
