//! The tile kernels for x86-64: AVX-512, AVX-512 with bfloat16 dot products, and AVX2.
//!
//! Unsafe for two reasons. Code compiled for a processor feature may be called only after asking
//! for it, and every entry here asks. And the tiles are read and written through pointers, because
//! bounds checks in the innermost loop cost as much as the products; every entry checks all lengths
//! once, before the first tile. An output is `fma` over the inputs in order, for tiles of any size.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::kernel::After;
use super::{Lane, Layer, Pairs, panels, portable};

/// Whether the `f32` kernel may run.
pub fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Whether the bfloat16 kernel may run.
pub fn bf16_detected() -> bool {
    detected() && is_x86_feature_detected!("avx512bf16")
}

/// [`portable::layer`] compiled for AVX2 with fused multiply-add; `false` where that is missing.
pub fn avx2_layer(layer: &Layer, weights: &[Lane], m: usize, x: &[f32], out: &mut [f32]) -> bool {
    #[target_feature(enable = "avx2,fma")]
    fn compiled(layer: &Layer, weights: &[Lane], m: usize, x: &[f32], out: &mut [f32]) {
        portable::body(layer, weights, m, x, out, true);
    }
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return false;
    }
    // SAFETY: the processor has just said that it has both.
    unsafe { compiled(layer, weights, m, x, out) };
    true
}

/// `out [m,n] <- f(x [m,k] w + b)`.
pub fn layer(layer: &Layer, weights: &[Lane], m: usize, x: &[f32], out: &mut [f32]) {
    check::<f32, Lane>(layer, layer.k, weights, m, x, out);
    // SAFETY: the processor was asked (`detected`, by the caller's dispatch and here), and the
    // lengths are those that the tiles read and write.
    assert!(detected(), "AVX-512 is missing");
    unsafe { run::<Single>(layer, layer.k, weights.as_ptr().cast(), m, x.as_ptr().cast(), out) }
}

/// The same with products of bfloat16 numbers; `x` in pairs, rows of `ceil(k/2)`.
pub fn layer_bf16(layer: &Layer, weights: &[Pairs], m: usize, x: &[[u16; 2]], out: &mut [f32]) {
    let k = layer.k.div_ceil(2);
    check(layer, k, weights, m, x, out);
    assert!(bf16_detected(), "AVX-512 bfloat16 is missing");
    // SAFETY: as in `layer`; a pair is 32 bits without any requirement of alignment beyond u16's,
    // and it is read unaligned.
    unsafe { run_bf16(layer, k, weights.as_ptr().cast(), m, x.as_ptr().cast(), out) }
}

/// Every length that the tiles rely on.
fn check<X, W>(layer: &Layer, k: usize, weights: &[W], m: usize, x: &[X], out: &[f32]) {
    let lanes: usize = panels(layer.n).map(|(_, lanes)| lanes).sum();
    assert!(
        weights.len() == lanes * k
            && x.len() == m * k
            && out.len() == m * layer.n
            && layer.bias.len() == layer.n,
        "lengths of a packed layer"
    );
}

/// One term of the sums in a register: what is read from a row of `x`, and how it is multiplied.
trait Term {
    /// # Safety
    /// `x` points at a readable element; the processor has the features.
    unsafe fn splat(x: *const u32) -> __m512i;
    /// # Safety
    /// The processor has the features.
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512;
}

struct Single;

impl Term for Single {
    #[inline(always)]
    unsafe fn splat(x: *const u32) -> __m512i {
        // SAFETY: as the trait says.
        unsafe { _mm512_set1_epi32(x.read_unaligned().cast_signed()) }
    }
    #[inline(always)]
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: as the trait says.
        unsafe { _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), acc) }
    }
}

struct Double;

impl Term for Double {
    #[inline(always)]
    unsafe fn splat(x: *const u32) -> __m512i {
        // SAFETY: as the trait says.
        unsafe { _mm512_set1_epi32(x.read_unaligned().cast_signed()) }
    }
    #[inline(always)]
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: as the trait says; both types are 512 bits without invalid values.
        unsafe {
            let (x, w): (__m512bh, __m512bh) = (std::mem::transmute(x), std::mem::transmute(w));
            _mm512_dpbf16_ps(acc, x, w)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
unsafe fn run<T: Term>(
    layer: &Layer,
    k: usize,
    w: *const u32,
    m: usize,
    x: *const u32,
    out: &mut [f32],
) {
    // SAFETY: the caller checked the lengths.
    unsafe { tiles::<T>(layer, k, w, m, x, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
unsafe fn run_bf16(
    layer: &Layer,
    k: usize,
    w: *const u32,
    m: usize,
    x: *const u32,
    out: &mut [f32],
) {
    // SAFETY: the caller checked the lengths.
    unsafe { tiles::<Double>(layer, k, w, m, x, out) }
}

/// All tiles: a panel of the weights stays in the first cache while the rows go by.
#[inline(always)]
unsafe fn tiles<T: Term>(
    layer: &Layer,
    k: usize,
    mut w: *const u32,
    m: usize,
    x: *const u32,
    out: &mut [f32],
) {
    let at = Place { k, n: layer.n, bias: &layer.bias, after: layer.after };
    for (column, lanes) in panels(layer.n) {
        let mut row = 0;
        // SAFETY: rows `row..row + MR` exist, and the panel has `k * lanes` lanes from `w` on.
        macro_rules! rows {
            ($($count:literal),*) => {$(
                while m - row >= $count {
                    unsafe {
                        let (x, out) = (x.add(row * k), out.as_mut_ptr().add(row * layer.n + column));
                        match lanes {
                            2 => tile::<T, $count, 2>(&at, x, w, out, column),
                            _ => tile::<T, $count, 1>(&at, x, w, out, column),
                        }
                    }
                    row += $count;
                }
            )*};
        }
        rows!(12, 8, 4, 2, 1);
        // SAFETY: the next panel, or one past the last.
        w = unsafe { w.add(16 * k * lanes) };
    }
}

struct Place<'a> {
    k: usize,
    n: usize,
    bias: &'a [f32],
    after: After,
}

/// `MR` rows by `16 NV` columns.
#[inline(always)]
unsafe fn tile<T: Term, const MR: usize, const NV: usize>(
    at: &Place,
    x: *const u32,
    mut w: *const u32,
    out: *mut f32,
    column: usize,
) {
    // SAFETY: `MR` rows of `at.k` elements from `x`, `at.k * NV` lanes from `w`, `MR` rows of `at.n`
    // numbers from `out - column`; columns beyond `at.n` are masked out.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); NV]; MR];
        for p in 0..at.k {
            let mut row = [_mm512_setzero_si512(); NV];
            for (j, lane) in row.iter_mut().enumerate() {
                *lane = _mm512_load_si512(w.add(16 * j).cast());
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = T::splat(x.add(i * at.k + p));
                for (acc, lane) in acc.iter_mut().zip(row) {
                    *acc = T::add(*acc, x, lane);
                }
            }
            w = w.add(16 * NV);
        }
        for j in 0..NV {
            let first = column + 16 * j;
            let mask = ((1u32 << 16.min(at.n - first)) - 1) as u16;
            let bias = _mm512_maskz_loadu_ps(mask, at.bias.as_ptr().add(first));
            for (i, acc) in acc.iter().enumerate() {
                let z = activate(at.after, _mm512_add_ps(acc[j], bias));
                _mm512_mask_storeu_ps(out.add(i * at.n + 16 * j), mask, z);
            }
        }
    }
}

/// `f(z)`.
#[inline(always)]
unsafe fn activate(after: After, z: __m512) -> __m512 {
    // SAFETY: the processor has AVX-512.
    unsafe {
        let one = _mm512_set1_ps(1.0);
        match after {
            After::Linear => z,
            // The second operand is returned when one is NaN.
            After::Relu => _mm512_max_ps(_mm512_setzero_ps(), z),
            After::Swish => {
                let (scale, p) = exp_parts(_mm512_sub_ps(_mm512_setzero_ps(), z));
                let e = _mm512_fmadd_ps(scale, p, scale);
                _mm512_div_ps(z, _mm512_add_ps(one, e))
            }
            After::Tanh => {
                // tanh(x) = e / (e + 2), e = exp(2x) - 1; beyond 10 the quotient rounds to 1.
                let limit = _mm512_set1_ps(10.0);
                let low = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), z);
                let x = _mm512_min_ps(limit, low);
                let (scale, p) = exp_parts(_mm512_add_ps(x, x));
                let e = _mm512_fmadd_ps(scale, p, _mm512_sub_ps(scale, one));
                _mm512_div_ps(e, _mm512_add_ps(e, _mm512_set1_ps(2.0)))
            }
        }
    }
}

/// `exp(x) = scale (1 + p)`, as `nn::kernel` has it for one number: `x = n ln 2 + r`,
/// `scale = 2^n`, `p = exp(r) - 1` by its Taylor series.
#[inline(always)]
unsafe fn exp_parts(x: __m512) -> (__m512, __m512) {
    // SAFETY: the processor has AVX-512.
    unsafe {
        let constant = |c: f32| _mm512_set1_ps(c);
        // NaN as the second operand comes through both.
        let x = _mm512_min_ps(constant(88.0), _mm512_max_ps(constant(-87.0), x));
        let scaled = _mm512_mul_ps(x, constant(std::f32::consts::LOG2_E));
        let n = _mm512_roundscale_ps::<0>(scaled);
        let r = _mm512_fnmadd_ps(n, constant(0.693_145_75), x);
        let r = _mm512_fnmadd_ps(n, constant(1.428_606_8e-6), r);
        let mut p = constant(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
            p = _mm512_fmadd_ps(p, r, constant(c));
        }
        (_mm512_scalef_ps(constant(1.0), n), _mm512_mul_ps(p, r))
    }
}

/// A row as pairs of bfloat16; an odd last number with a zero.
pub fn round(x: &[f32], out: &mut [[u16; 2]]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vl")]
    unsafe fn compiled(x: &[f32], out: &mut [[u16; 2]]) {
        let whole = x.len() / 16;
        for c in 0..whole {
            // SAFETY: 16 numbers are read from within `x`; 16 halves are written within `out`, which
            // has at least `x.len()` of them (checked by the caller).
            unsafe {
                let v = _mm512_loadu_ps(x.as_ptr().add(16 * c));
                let packed: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(v));
                _mm256_storeu_si256(out.as_mut_ptr().add(8 * c).cast(), packed);
            }
        }
        for (pair, out) in x[16 * whole..].chunks(2).zip(&mut out[8 * whole..]) {
            *out = [super::bf16(pair[0]), pair.get(1).map_or(0, |x| super::bf16(*x))];
        }
    }
    assert!(out.len() == x.len().div_ceil(2) && bf16_detected(), "rounding a row");
    // SAFETY: the processor was asked, and the lengths were checked, in the line above.
    unsafe { compiled(x, out) }
}
