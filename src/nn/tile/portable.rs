//! The tile kernel for any processor: fixed arrays that the compiler keeps in registers.

use super::super::kernel::{After, Real};
use super::{Layer, Pairs, panels};

/// Rows of a tile.
const ROWS: usize = 4;

/// `f(z)`.
#[inline(always)]
fn activate(after: After, z: f32) -> f32 {
    match after {
        After::Linear => z,
        // Written so that NaN stays NaN.
        After::Relu => {
            if z <= 0.0 {
                0.0
            } else {
                z
            }
        }
        After::Tanh => Real::tanh(z),
        After::Swish => z * z.sigmoid(),
    }
}

/// One tile: rows `first..first + rows` (at most [`ROWS`]) by 16 columns; `steps` terms of each sum,
/// the `p`-th by `term(acc, row, p)`.
#[inline(always)]
fn tile(
    layer: &Layer,
    out: &mut [f32],
    (first, rows): (usize, usize),
    column: usize,
    steps: usize,
    term: impl Fn(&mut [f32; 16], usize, usize),
) {
    let mut acc = [[0f32; 16]; ROWS];
    for p in 0..steps {
        for (i, acc) in acc.iter_mut().enumerate() {
            // A missing row repeats the last one and is not stored.
            term(acc, first + i.min(rows - 1), p);
        }
    }
    let valid = 16.min(layer.n - column);
    for (i, acc) in acc.iter().enumerate().take(rows) {
        let out = &mut out[(first + i) * layer.n + column..][..valid];
        for ((out, z), b) in out.iter_mut().zip(acc).zip(&layer.bias[column..]) {
            *out = activate(layer.after, z + b);
        }
    }
}

/// `out [m,n] <- f(x [m,k] w + b)`.
pub fn layer(layer: &Layer, weights: &[f32], m: usize, x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::x86::avx2_layer(layer, weights, m, x, out) {
        return;
    }
    body(layer, weights, m, x, out, cfg!(target_arch = "aarch64"));
}

/// [`layer`], with fused multiply-adds where the processor has them.
#[inline(always)]
pub fn body(layer: &Layer, weights: &[f32], m: usize, x: &[f32], out: &mut [f32], fma: bool) {
    let (k, mut at) = (layer.k, 0);
    for (column, lanes) in panels(layer.n) {
        for l in 0..lanes {
            if column + 16 * l >= layer.n {
                continue;
            }
            for first in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - first);
                tile(layer, out, (first, rows), column + 16 * l, k, |acc, row, p| {
                    let (x, w) = (x[row * k + p], &weights[16 * (at + p * lanes + l)..][..16]);
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = if fma { x.mul_add(*w, *acc) } else { x * w + *acc };
                    }
                });
            }
        }
        at += k * lanes;
    }
}

/// The same with products of bfloat16 numbers.
pub fn layer_bf16(layer: &Layer, weights: &[Pairs], m: usize, x: &[[u16; 2]], out: &mut [f32]) {
    let wide = |x: u16| f32::from_bits(u32::from(x) << 16);
    let (k, mut at) = (layer.k.div_ceil(2), 0);
    for (column, lanes) in panels(layer.n) {
        for l in 0..lanes {
            for first in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - first);
                tile(layer, out, (first, rows), column + 16 * l, k, |acc, row, p| {
                    let (x, w) = (x[row * k + p], &weights[at + p * lanes + l].0);
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc += wide(x[1]) * wide(w[1]);
                        *acc += wide(x[0]) * wide(w[0]);
                    }
                });
            }
        }
        at += k * lanes;
    }
}
