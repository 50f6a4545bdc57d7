//! Keys: noise as a function of (row, step).

use candle_core::{DType, Tensor};

use super::chacha::LANES;
use super::{Rng, gaussian, key_words, unit};
use crate::error::Result;
use crate::pool;
use crate::shape::Spec;

/// Noise as a function of (row, step): the same numbers whatever the blocking, the order or the
/// number of threads, and nothing stored.
///
/// Row `i` of a batch reads the numbers of row `first + i / each`: a block of a larger batch starts
/// at its own `first`, and rows that are to have common random numbers share them by `each`.
///
/// The generator is ChaCha with 8 rounds; its stream is the step, its block counter the row and the
/// block within the row. Two words make two normal numbers (Box-Muller, in single precision: a fixed
/// number of words a number, which a rejection method would not give). They reach 6.76 standard
/// deviations; farther out a standard normal falls once in 7e10 draws. Callers in double precision
/// get the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    seed: [u8; 32],
    first: usize,
    each: usize,
}

/// Numbers a block of ChaCha gives.
const BLOCK: usize = 16;

/// Blocks reserved for a row, as a power of two: 2^28 numbers a row and step, and 2^40 rows.
const ROW_BITS: u32 = 24;

/// Rows of a batch that one thread fills at a time.
const PIECE: usize = 4096;

/// Numbers above which the threads share a batch.
const PARALLEL_FROM: usize = 100_000;

impl Key {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, first: 0, each: 1 }
    }

    /// An independent key for `name`.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        Self { seed: Rng::from_key(self.seed).fork(name).key().seed, ..*self }
    }

    /// The key of the rows from `rows` on.
    #[must_use]
    pub fn skip(&self, rows: usize) -> Self {
        Self { first: self.first + rows, ..*self }
    }

    /// The key for a batch with `k` rows in the place of each row of this key's batch.
    #[must_use]
    pub fn spread(&self, k: usize) -> Self {
        Self { first: self.first * k, ..*self }
    }

    /// The key for a batch in which each row of this key's batch is repeated `k` times in a row;
    /// the repeats share their numbers.
    #[must_use]
    pub fn shared(&self, k: usize) -> Self {
        Self { each: self.each * k, ..*self }
    }

    /// The first block of the row that row `row` of the batch reads.
    fn counter(&self, row: usize) -> u64 {
        // The division would take a tenth of the time.
        let row = if self.each == 1 { row } else { row / self.each };
        ((self.first + row) as u64) << ROW_BITS
    }

    /// Standard normal numbers of these rows at step `step`: `out` is `[rows,width]`, row-major.
    /// Stops where either ends. Allocates nothing.
    ///
    /// A number depends on its row, its column and the step, not on `width` or the other rows.
    pub fn fill_rows<T: From<f32> + Copy>(
        &self,
        rows: impl IntoIterator<Item = usize>,
        width: usize,
        step: usize,
        out: &mut [T],
    ) {
        let total = out.len().checked_div(width).unwrap_or(0);
        let mut sources = rows.into_iter().take(total).map(|row| self.counter(row));
        let (key, mut numbers) = (key_words(&self.seed), [[0.0; LANES]; BLOCK]);
        let (mut at, mut next) = (0, sources.next());
        while let Some(mut last) = next {
            // Up to sixteen rows that differ, and where each starts; their repeats follow them.
            let (mut source, mut start, mut runs, first) = ([last; LANES], [at; LANES + 1], 1, at);
            loop {
                at += width;
                next = sources.next();
                let Some(counter) = next else { break };
                if counter != last {
                    if runs == LANES {
                        break;
                    }
                    (source[runs], start[runs], last) = (counter, at, counter);
                    runs += 1;
                }
            }
            start[runs] = at;
            fill((&key, step as u64), &source, &start[..runs], width, &mut numbers, out);
            if at - first > runs * width {
                repeat(&start[..=runs], width, out);
            }
        }
    }

    /// Standard normal numbers of row `row` at step `step`.
    pub fn fill_normals(&self, row: usize, step: usize, out: &mut [f64]) {
        self.fill_rows([row], out.len(), step, out);
    }

    /// One uniform number in `[0, 1)` of row `row` at step `step`.
    #[must_use]
    pub fn uniform(&self, row: usize, step: usize) -> f64 {
        let mut out = [0.0];
        self.fill_uniforms([row], step, &mut out);
        out[0]
    }

    /// One uniform number in `[0, 1)` of each of these rows at step `step`. Stops where either ends.
    pub fn fill_uniforms(
        &self,
        rows: impl IntoIterator<Item = usize>,
        step: usize,
        out: &mut [f64],
    ) {
        let (key, mut rows) = (key_words(&self.seed), rows.into_iter());
        let mut words = [[0; LANES]; 16];
        for out in out.chunks_mut(LANES) {
            let mut counters = [0; LANES];
            let mut lanes = 0;
            for (counter, row) in counters[..out.len()].iter_mut().zip(rows.by_ref()) {
                *counter = self.counter(row);
                lanes += 1;
            }
            gaussian::words(&key, &counters, step as u64, &mut words);
            for (lane, out) in out[..lanes].iter_mut().enumerate() {
                *out = unit(u64::from(words[0][lane]) | u64::from(words[1][lane]) << 32);
            }
        }
    }

    /// Uniform numbers in `[0, 1)` for the rows `first..first + b` at step `step`.
    #[must_use]
    pub fn uniforms(&self, first: usize, b: usize, step: usize) -> Vec<f64> {
        let mut out = vec![0.0; b];
        let tasks = out.chunks_mut(PIECE).enumerate().collect();
        pool::for_each(tasks, b >= PARALLEL_FROM, |(piece, out)| {
            self.fill_uniforms(first + piece * PIECE.., step, out);
        });
        out
    }

    /// Standard normal numbers `[b,width]`, row-major, for the rows `first..first + b` at step
    /// `step`.
    #[must_use]
    pub fn rows<T: From<f32> + Copy + Default + Send>(
        &self,
        first: usize,
        b: usize,
        width: usize,
        step: usize,
    ) -> Vec<T> {
        let mut out = vec![T::default(); b * width];
        let tasks = out.chunks_mut((PIECE * width).max(1)).enumerate().collect();
        pool::for_each(tasks, b * width >= PARALLEL_FROM, |(piece, out): (usize, &mut [T])| {
            self.fill_rows(first + piece * PIECE.., width, step, out);
        });
        out
    }

    /// Standard normal numbers `[B,width]` for the rows `first..first + b` at step `step`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when candle refuses the shape.
    pub fn normals(
        &self,
        first: usize,
        b: usize,
        width: usize,
        step: usize,
        spec: &Spec,
    ) -> Result<Tensor> {
        if spec.dtype == DType::F32 {
            let data: Vec<f32> = self.rows(first, b, width, step);
            return Ok(Tensor::from_vec(data, (b, width), &spec.device)?);
        }
        spec.tensor(&self.rows::<f64>(first, b, width, step), (b, width))
    }
}

/// Copies the first row of each run to the rest of the run.
fn repeat<T: Copy>(start: &[usize], width: usize, out: &mut [T]) {
    for run in start.windows(2) {
        for copy in (run[0] + width..run[1]).step_by(width) {
            out.copy_within(run[0]..run[0] + width, copy);
        }
    }
}

/// The `width` numbers of the rows whose first blocks are `source`, each to `out[start[i]..]`.
///
/// Rows go through the lanes side by side, a block of each at a time; or, where that takes fewer
/// calls, one row at a time with a block in each lane.
fn fill<T: From<f32> + Copy>(
    (key, stream): (&[u32; 8], u64),
    source: &[u64; LANES],
    start: &[usize],
    width: usize,
    numbers: &mut [[f32; LANES]; BLOCK],
    out: &mut [T],
) {
    let blocks = width.div_ceil(BLOCK);
    if blocks <= start.len() * blocks.div_ceil(LANES) {
        for (block, done) in (0..width).step_by(BLOCK).enumerate() {
            let n = BLOCK.min(width - done);
            let counters = source.map(|counter| counter + block as u64);
            gaussian::normals(key, &counters, stream, n.div_ceil(2), numbers);
            for (lane, start) in start.iter().enumerate() {
                put(numbers, lane, &mut out[start + done..start + done + n]);
            }
        }
        return;
    }
    for (source, start) in source.iter().zip(start) {
        let row = &mut out[*start..start + width];
        for (group, out) in (0..).zip(row.chunks_mut(LANES * BLOCK)) {
            let counters = std::array::from_fn(|lane| source + (group * LANES + lane) as u64);
            gaussian::normals(key, &counters, stream, out.len().min(BLOCK).div_ceil(2), numbers);
            for (lane, out) in out.chunks_mut(BLOCK).enumerate() {
                put(numbers, lane, out);
            }
        }
    }
}

/// The first numbers of a lane to `out`.
#[inline(always)]
fn put<T: From<f32>>(numbers: &[[f32; LANES]; BLOCK], lane: usize, out: &mut [T]) {
    for (out, numbers) in out.iter_mut().zip(numbers) {
        *out = numbers[lane].into();
    }
}
