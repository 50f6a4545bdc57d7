//! Rounding to bfloat16 and packing into panels, with AVX-512.
//!
//! Unsafe for the reasons of the tiles; every entry asks for the processor's features and checks the
//! lengths.

use std::arch::x86_64::*;

use super::super::{Pairs, bf16, panels};
use super::{bf16_detected, detected};

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
            *out = [bf16(pair[0]), pair.get(1).map_or(0, |x| bf16(*x))];
        }
    }
    assert!(out.len() == x.len().div_ceil(2) && bf16_detected(), "rounding a row");
    // SAFETY: the processor was asked, and the lengths were checked, in the line above.
    unsafe { compiled(x, out) }
}

/// Two rows of 16, rounded, in pairs.
pub fn interleave(first: &[f32; 16], second: &[f32; 16], out: &mut Pairs) {
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vl")]
    fn compiled(first: &[f32; 16], second: &[f32; 16], out: &mut Pairs) {
        // SAFETY: 16 numbers each are read, and a whole `Pairs`, 64 aligned bytes, is written.
        unsafe {
            let half = |row: &[f32; 16]| {
                let packed = _mm512_cvtneps_pbh(_mm512_loadu_ps(row.as_ptr()));
                _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(packed))
            };
            let high = _mm512_slli_epi32::<16>(half(second));
            _mm512_store_si512((&raw mut out.0).cast(), _mm512_or_si512(half(first), high));
        }
    }
    assert!(bf16_detected(), "AVX-512 bfloat16 is missing");
    // SAFETY: the processor was asked in the line above.
    unsafe { compiled(first, second, out) }
}

/// Packs the transpose: `w` is `[n,k]`, the panels are those of `[k,n]`.
pub fn pack_transposed(w: &[f32], k: usize, n: usize, out: &mut [f32]) {
    assert!(w.len() == k * n && detected(), "packing a transpose");
    let packed: usize = panels(n).map(|(_, lanes)| 16 * lanes * k).sum();
    assert!(out.len() == packed, "packing a transpose");
    // SAFETY: the processor was asked and the lengths checked in the lines above.
    unsafe { transposed(w, k, n, out) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn transposed(w: &[f32], k: usize, n: usize, out: &mut [f32]) {
    let mut panel = 0;
    for (column, lanes) in panels(n) {
        for l in 0..lanes {
            let first = column + 16 * l;
            let valid = 16.min(n - first);
            for p in (0..k).step_by(16) {
                let steps = 16.min(k - p);
                // SAFETY: rows `first..first + valid` of `w` have `steps` numbers from `p` on (the
                // rest is masked out), and the panel has `lanes` lanes for each of `k` steps.
                unsafe {
                    let mask = ((1u32 << steps) - 1) as u16;
                    let mut r = [_mm512_setzero_ps(); 16];
                    for (i, r) in r.iter_mut().enumerate().take(valid) {
                        *r = _mm512_maskz_loadu_ps(mask, w.as_ptr().add((first + i) * k + p));
                    }
                    let t = transpose(r);
                    for (i, t) in t.iter().enumerate().take(steps) {
                        let at = panel + ((p + i) * lanes + l) * 16;
                        _mm512_storeu_ps(out.as_mut_ptr().add(at), *t);
                    }
                }
            }
        }
        panel += 16 * lanes * k;
    }
}

/// The transpose of sixteen rows of sixteen.
#[inline(always)]
unsafe fn transpose(r: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the processor has AVX-512.
    unsafe {
        let mut a = r;
        // Pairs of rows, then fours, within blocks of four columns.
        for i in (0..16).step_by(2) {
            (a[i], a[i + 1]) =
                (_mm512_unpacklo_ps(r[i], r[i + 1]), _mm512_unpackhi_ps(r[i], r[i + 1]));
        }
        let mut b = a;
        let (low, high) = (
            |x, y| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y))),
            |x, y| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y))),
        );
        for i in (0..16).step_by(4) {
            b[i] = low(a[i], a[i + 2]);
            b[i + 1] = high(a[i], a[i + 2]);
            b[i + 2] = low(a[i + 1], a[i + 3]);
            b[i + 3] = high(a[i + 1], a[i + 3]);
        }
        // b[4g + c] holds, in block q, rows 4g..4g+4 of column 4q + c: gather the blocks.
        let mut t = r;
        for c in 0..4 {
            let x = _mm512_shuffle_f32x4::<0b10_00_10_00>(b[c], b[4 + c]);
            let y = _mm512_shuffle_f32x4::<0b11_01_11_01>(b[c], b[4 + c]);
            let z = _mm512_shuffle_f32x4::<0b10_00_10_00>(b[8 + c], b[12 + c]);
            let u = _mm512_shuffle_f32x4::<0b11_01_11_01>(b[8 + c], b[12 + c]);
            t[c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(x, z);
            t[8 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(x, z);
            t[4 + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(y, u);
            t[12 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(y, u);
        }
        t
    }
}
