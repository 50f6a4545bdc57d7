//! Dense stacks forward only: weights packed once, then used for many blocks of rows.
//!
//! What a row becomes does not depend on the rows beside it: every output is one chain of
//! multiply-adds over the inputs in their order, whatever the block. So planning many start states
//! at once and one by one are bit-equal. Bias and activation are applied while a tile of the
//! product is still in registers.
//!
//! `f32`, or products of numbers rounded to bfloat16 with sums in `f32` ([`Precision::Bf16`]).

mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use candle_core::DType;

use super::kernel::After;
use super::layout::{Net, StackConfig};
use super::params::Params;
use super::scratch::Scratch;
use super::slices;
use crate::error::Result;
use crate::pool;
use crate::shape::{Precision, Spec};

/// Sixteen pairs of bfloat16 numbers, aligned to a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Pairs([[u16; 2]; 16]);

/// Lanes of 16 columns in a panel. Four by six rows are 24 sums in registers for ten loads a term,
/// the fewest of any shape: what counts where another process shares the core's caches.
const LANES: usize = 4;

/// First column and width in lanes of 16 of every panel.
fn panels(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(16 * LANES).map(move |column| (column, (n - column).div_ceil(16).min(LANES)))
}

/// The right-hand side `[k,n]` of a product, in panels of [`LANES`] lanes (fewer in the last one where
/// no more columns are left), each a row of the panel after the other, missing columns zero.
pub(crate) struct Packed {
    buffer: Scratch<f32>,
    /// Where the first cache line begins.
    start: usize,
    len: usize,
}

impl Packed {
    fn room(k: usize, n: usize) -> Self {
        let len = panels(n).map(|(_, lanes)| 16 * lanes * k).sum();
        let buffer: Scratch<f32> = Scratch::take(len + 16);
        let start = buffer.as_ptr().align_offset(64).min(16);
        Self { buffer, start, len }
    }

    pub fn panels(&self) -> &[f32] {
        &self.buffer[self.start..][..self.len]
    }

    /// Of a matrix `[k,n]`.
    pub fn new(w: &[f32], k: usize, n: usize) -> Self {
        let mut packed = Self::room(k, n);
        let mut out = packed.buffer[packed.start..][..packed.len].chunks_exact_mut(16);
        for (column, lanes) in panels(n) {
            for row in w.chunks_exact(n) {
                for (l, lane) in out.by_ref().take(lanes).enumerate() {
                    let from = column + 16 * l;
                    // Arrays, so that a lane is one load and one store.
                    match (lane.first_chunk_mut::<16>(), row[from..].first_chunk::<16>()) {
                        (Some(lane), Some(whole)) => *lane = *whole,
                        _ => {
                            lane.fill(0.0);
                            lane[..n - from].copy_from_slice(&row[from..]);
                        }
                    }
                }
            }
        }
        packed
    }

    /// Of the transpose of a matrix `[n,k]`; where [`fast`] holds.
    #[cfg(target_arch = "x86_64")]
    pub fn transposed(w: &[f32], k: usize, n: usize) -> Self {
        let mut packed = Self::room(k, n);
        x86::pack_transposed(w, k, n, &mut packed.buffer[packed.start..][..packed.len]);
        packed
    }

    /// Of the transpose of a matrix `[n,k]`; where [`fast`] holds.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn transposed(w: &[f32], k: usize, n: usize) -> Self {
        let rows: Vec<f32> = (0..k).flat_map(|p| (0..n).map(move |j| w[j * k + p])).collect();
        Self::new(&rows, k, n)
    }
}

/// Whether this processor has tiles that beat the general matrix product, with bias, activation and
/// slope along the way.
#[must_use]
pub fn fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        x86::detected()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Epilogue, Rows, product};

/// Weights in the form that the precision asks for.
enum Panels {
    F32(Packed),
    /// Two rows of the weights interleaved; an odd last row with zeros.
    Bf16(Vec<Pairs>),
}

/// One layer of one member.
struct Layer {
    k: usize,
    n: usize,
    panels: Panels,
    bias: Vec<f32>,
    after: After,
}

/// Rounds to the nearest bfloat16, ties to even.
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

impl Layer {
    fn new(
        w: &[f32],
        bias: &[f32],
        k: usize,
        n: usize,
        after: After,
        precision: Precision,
    ) -> Self {
        let panels = match precision {
            Precision::F32 => Panels::F32(Packed::new(w, k, n)),
            Precision::Bf16 => Panels::Bf16(pack_pairs(w, k, n)),
        };
        Self { k, n, panels, bias: bias.to_vec(), after }
    }
}

fn pack_pairs(w: &[f32], k: usize, n: usize) -> Vec<Pairs> {
    let mut out = vec![Pairs::default(); panels(n).map(|(_, l)| l).sum::<usize>() * k.div_ceil(2)];
    let mut places = out.iter_mut();
    for (column, lanes) in panels(n) {
        for rows in w.chunks(2 * n) {
            let (first, second) = rows.split_at(n);
            for (l, pairs) in places.by_ref().take(lanes).enumerate() {
                let from = column + 16 * l;
                let second = second.get(from..).unwrap_or(&[]);
                interleave(&first[from..], second, pairs);
            }
        }
    }
    out
}

/// The first 16 numbers of two rows, rounded, in pairs; what is missing is zero.
fn interleave(first: &[f32], second: &[f32], out: &mut Pairs) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(first), Some(second)) = (first.first_chunk(), second.first_chunk())
        && x86::bf16_detected()
    {
        x86::interleave(first, second, out);
        return;
    }
    for (j, pair) in out.0.iter_mut().enumerate() {
        let number = |row: &[f32]| row.get(j).map_or(0, |x| bf16(*x));
        *pair = [number(first), number(second)];
    }
}

/// All members of a stack, packed.
pub(crate) struct PackedNet {
    members: Vec<Vec<Layer>>,
    pub input: usize,
    pub output: usize,
    widest: usize,
}

/// Room for one block's hidden activations.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Two halves, for the layers in turn.
    hidden: [Vec<f32>; 2],
    /// The same rounded to bfloat16, in pairs along a row.
    rounded: Vec<[u16; 2]>,
}

impl PackedNet {
    /// The parameters as they are now, in the precision of `spec` where this processor has it, else in
    /// `f32`; `None` unless they are `f32` on the CPU.
    pub fn new(config: &StackConfig, params: &Params, spec: &Spec) -> Option<Self> {
        match (spec.dtype, spec.device.is_cpu()) {
            (DType::F32, true) => {
                let precision = if has_bf16() { spec.precision } else { Precision::F32 };
                Self::with_precision(config, params, precision).ok()
            }
            _ => None,
        }
    }

    fn with_precision(config: &StackConfig, params: &Params, precision: Precision) -> Result<Self> {
        let net = Net::new(config);
        let theta = params.var().as_detached_tensor();
        let members = slices::with_slices([&theta], |[theta]: [&[f32]; 1]| {
            let mut members: Vec<Vec<Layer>> = (0..net.members).map(|_| Vec::new()).collect();
            let tasks = members.iter_mut().enumerate().collect();
            pool::for_each(
                tasks,
                theta.len() > 1 << 16,
                |(m, layers): (usize, &mut Vec<Layer>)| {
                    layers.extend(net.layers.iter().map(|l| {
                        let (w, b) = (l.weights(theta, m), l.biases(theta, m));
                        Layer::new(w, b, l.d, l.o, l.after, precision)
                    }));
                },
            );
            members
        })?;
        let widest = net.layers.iter().map(|l| l.d.max(l.o)).max().unwrap_or(0);
        Ok(Self { members, input: net.input(), output: net.output(), widest })
    }

    /// Rows `x` `[n,input]` through member `member` into `y` `[n,output]`.
    pub fn forward(&self, member: usize, n: usize, x: &[f32], y: &mut [f32], room: &mut Room) {
        let layers = &self.members[member];
        for half in &mut room.hidden {
            if half.len() < n * self.widest {
                half.resize(n * self.widest, 0.0);
            }
        }
        let [mut from, mut to] = std::mem::take(&mut room.hidden);
        for (l, layer) in layers.iter().enumerate() {
            let input = if l == 0 { &x[..n * layer.k] } else { &from[..n * layer.k] };
            let last = l + 1 == layers.len();
            let out = if last { &mut y[..n * layer.n] } else { &mut to[..n * layer.n] };
            layer.apply(n, input, out, &mut room.rounded);
            std::mem::swap(&mut from, &mut to);
        }
        room.hidden = [from, to];
    }
}

impl Layer {
    /// `out [m,n] <- f(x [m,k] w + b)`.
    fn apply(&self, m: usize, x: &[f32], out: &mut [f32], rounded: &mut Vec<[u16; 2]>) {
        assert!(x.len() == m * self.k && out.len() == m * self.n, "a layer's rows");
        match &self.panels {
            Panels::F32(packed) => {
                #[cfg(target_arch = "x86_64")]
                if x86::detected() {
                    let epilogue =
                        Epilogue::Activate { bias: &self.bias, after: self.after, slope: None };
                    let rows = Rows { data: x, row: self.k, step: 1 };
                    product(out, (m, self.k, self.n), rows, packed.panels(), epilogue);
                    return;
                }
                portable::layer(self, packed.panels(), m, x, out);
            }
            Panels::Bf16(panels) => {
                round(x, self.k, rounded);
                #[cfg(target_arch = "x86_64")]
                if x86::bf16_detected() {
                    let epilogue =
                        Epilogue::Activate { bias: &self.bias, after: self.after, slope: None };
                    let k = self.k.div_ceil(2);
                    let rows = Rows { data: rounded, row: k, step: 1 };
                    x86::product_bf16(out, (m, k, self.n), rows, panels, epilogue);
                    return;
                }
                portable::layer_bf16(self, panels, m, rounded, out);
            }
        }
    }
}

/// Rows of length `k` as pairs of bfloat16; an odd last number with a zero.
fn round(x: &[f32], k: usize, out: &mut Vec<[u16; 2]>) {
    let pairs = k.div_ceil(2);
    let rows = x.len().checked_div(k).unwrap_or(0);
    out.clear();
    out.resize(rows * pairs, [0; 2]);
    for (row, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(pairs)) {
        #[cfg(target_arch = "x86_64")]
        if x86::bf16_detected() {
            x86::round(row, out);
            continue;
        }
        for (pair, out) in row.chunks(2).zip(out) {
            *out = [bf16(pair[0]), pair.get(1).map_or(0, |x| bf16(*x))];
        }
    }
}

/// Whether this processor multiplies bfloat16 numbers in hardware.
#[must_use]
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        x86::bf16_detected()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}
