//! How input rows, blocks of rows and output rows belong together.

use super::super::kernel::Real;
use super::super::layout::Route;
use super::super::scratch::Scratch;

/// Rows a block: two halves of the usual batch of 256, and activations that stay in cache.
const BLOCK: usize = 128;

/// A run of rows of one member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub member: usize,
    /// First row of the input.
    pub x: usize,
    /// First row of the output; the blocks cover the output in order.
    pub y: usize,
    pub n: usize,
}

/// How input rows, blocks and output rows belong together.
pub(crate) struct Rows {
    pub blocks: Vec<Block>,
    /// All rows of each member, as one block.
    pub members: Vec<Block>,
    /// Output rows.
    pub total: usize,
    /// For [`Route::Rows`]: the input row at each place, grouped by member; `None` where the rows
    /// are in that order already.
    order: Option<Vec<usize>>,
    /// How often each input row is used.
    pub repeats: usize,
}

impl Rows {
    /// `b` input rows (a member, for [`Route::Each`]) through an ensemble of `e`.
    pub fn new(e: usize, b: usize, route: Route) -> Self {
        // (first input row, rows) of each member, in the order of the output.
        let (runs, order): (Vec<(usize, usize)>, _) = match route {
            Route::Shared => (vec![(0, b); e], None),
            Route::Each => ((0..e).map(|m| (m * b, b)).collect(), None),
            Route::Rows(member) => {
                let mut counts = vec![0; e];
                member.iter().for_each(|m| counts[*m as usize] += 1);
                let starts: Vec<usize> =
                    counts.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n))).collect();
                let runs = starts.iter().copied().zip(counts).collect();
                let order = (!member.is_sorted()).then(|| {
                    let (mut next, mut order) = (starts, vec![0; b]);
                    for (row, m) in member.iter().enumerate() {
                        order[next[*m as usize]] = row;
                        next[*m as usize] += 1;
                    }
                    order
                });
                (runs, order)
            }
        };
        let (mut blocks, mut members, mut y) = (Vec::new(), Vec::new(), 0);
        for (member, (first, rows)) in runs.into_iter().enumerate() {
            members.push(Block { member, x: first, y, n: rows });
            for start in (0..rows).step_by(BLOCK) {
                let n = BLOCK.min(rows - start);
                blocks.push(Block { member, x: first + start, y, n });
                y += n;
            }
        }
        let repeats = if matches!(route, Route::Shared) { e } else { 1 };
        Self { blocks, members, total: y, order, repeats }
    }

    /// The rows in the order of the blocks; `None` where they are already.
    pub fn gather<T: Real>(&self, x: &[T], width: usize) -> Option<Scratch<T>> {
        let order = self.order.as_ref()?;
        let mut out = Scratch::take(order.len() * width);
        for (row, to) in order.iter().zip(out.chunks_exact_mut(width)) {
            to.copy_from_slice(&x[row * width..][..width]);
        }
        Some(out)
    }

    /// The opposite of [`Rows::gather`].
    pub fn scatter<T: Real>(&self, sorted: Vec<T>, width: usize) -> Vec<T> {
        let Some(order) = &self.order else { return sorted };
        let mut out = vec![T::default(); sorted.len()];
        for (row, from) in order.iter().zip(sorted.chunks_exact(width)) {
            out[row * width..][..width].copy_from_slice(from);
        }
        out
    }
}
