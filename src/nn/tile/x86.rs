//! The tile kernels for x86-64: AVX-512, AVX-512 with bfloat16 dot products, and AVX2.
//!
//! Unsafe for two reasons. Code compiled for a processor feature may be called only after asking
//! for it, and every entry here asks. And the tiles are read and written through pointers, because
//! bounds checks in the innermost loop cost as much as the products; every entry checks all lengths
//! once, before the first tile. An output is `fma` over the inputs in order, for tiles of any size.
#![allow(unsafe_code)]

mod pack;

use std::arch::x86_64::*;

use super::super::kernel::After;
pub use pack::{interleave, pack_transposed, round};

use super::{Layer, Pairs, panels, portable};

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
pub fn avx2_layer(layer: &Layer, weights: &[f32], m: usize, x: &[f32], out: &mut [f32]) -> bool {
    #[target_feature(enable = "avx2,fma")]
    fn compiled(layer: &Layer, weights: &[f32], m: usize, x: &[f32], out: &mut [f32]) {
        portable::body(layer, weights, m, x, out, true);
    }
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return false;
    }
    // SAFETY: the processor has just said that it has both.
    unsafe { compiled(layer, weights, m, x, out) };
    true
}

/// What becomes of a sum before it is stored.
pub enum Epilogue<'a> {
    /// Nothing.
    Plain,
    /// `f(z + bias)`, and its slope `f'(z + bias)` where it is asked for.
    Activate { bias: &'a [f32], after: After, slope: Option<&'a mut [f32]> },
    /// The product with a number each.
    Times(&'a [f32]),
    /// Zero where the number beside it is at most 0.
    WherePositive(&'a [f32]),
}

/// A matrix read in place: element `(i, p)` is `data[i row + p step]`.
#[derive(Clone, Copy)]
pub struct Rows<'a, X> {
    pub data: &'a [X],
    pub row: usize,
    pub step: usize,
}

/// `out [m,n] <- epilogue(a [m,k] w [k,n])`, `w` packed.
pub fn product(
    out: &mut [f32],
    (m, k, n): (usize, usize, usize),
    a: Rows<f32>,
    w: &[f32],
    epilogue: Epilogue,
) {
    let at = Place::new(out, (m, k, n), &a, w.len() / 16, epilogue);
    assert!(detected(), "AVX-512 is missing");
    // SAFETY: the processor was asked, and `Place::new` checked every length.
    unsafe { run(&at, m, a.data.as_ptr().cast(), w.as_ptr().cast(), out) }
}

/// The same with products of bfloat16 numbers: `k` pairs a sum.
pub fn product_bf16(
    out: &mut [f32],
    (m, k, n): (usize, usize, usize),
    a: Rows<[u16; 2]>,
    w: &[Pairs],
    epilogue: Epilogue,
) {
    let at = Place::new(out, (m, k, n), &a, w.len(), epilogue);
    assert!(bf16_detected(), "AVX-512 bfloat16 is missing");
    // SAFETY: as in `product`; a pair is 32 bits, and is read unaligned.
    unsafe { run_bf16(&at, m, a.data.as_ptr().cast(), w.as_ptr().cast(), out) }
}

/// What every tile needs to know.
struct Place {
    k: usize,
    n: usize,
    row: usize,
    step: usize,
    after: After,
    /// Null, or `[n]`.
    bias: *const f32,
    /// Null, or `[m,n]`: where slopes go.
    slope: *mut f32,
    /// Null, or `[m,n]`: factors.
    times: *const f32,
    /// Whether only the signs of the factors count.
    signs: bool,
}

impl Place {
    /// Checks every length that the tiles rely on.
    fn new<X>(
        out: &[f32],
        (m, k, n): (usize, usize, usize),
        a: &Rows<X>,
        lanes: usize,
        epilogue: Epilogue,
    ) -> Self {
        let inside = m == 0 || k == 0 || (m - 1) * a.row + (k - 1) * a.step < a.data.len();
        let packed: usize = panels(n).map(|(_, lanes)| lanes * k).sum();
        assert!(out.len() == m * n && inside && lanes == packed, "lengths of a packed product");
        let (mut slope_at, mut times_at) = (std::ptr::null_mut(), std::ptr::null());
        let (mut bias_at, mut then) = (std::ptr::null(), After::Linear);
        let signs = matches!(epilogue, Epilogue::WherePositive(_));
        match epilogue {
            Epilogue::Plain => {}
            Epilogue::Activate { bias, after, slope } => {
                assert!(bias.len() == n, "biases of a packed product");
                (bias_at, then) = (bias.as_ptr(), after);
                if let Some(slope) = slope {
                    assert!(slope.len() == m * n, "slopes of a packed product");
                    slope_at = slope.as_mut_ptr();
                }
            }
            Epilogue::Times(factors) | Epilogue::WherePositive(factors) => {
                assert!(factors.len() == m * n, "factors of a packed product");
                times_at = factors.as_ptr();
            }
        }
        Self {
            k,
            n,
            row: a.row,
            step: a.step,
            after: then,
            bias: bias_at,
            slope: slope_at,
            times: times_at,
            signs,
        }
    }
}

/// One term of the sums: how an element of `a`, in all lanes, and a lane of `w` are multiplied.
trait Term {
    /// # Safety
    /// The processor has the features.
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512;
}

struct Single;

impl Term for Single {
    #[inline(always)]
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: as the trait says.
        unsafe { _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), acc) }
    }
}

struct Double;

impl Term for Double {
    #[inline(always)]
    unsafe fn add(acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: as the trait says; both types are 512 bits without invalid values.
        unsafe {
            let x = std::mem::transmute::<__m512i, __m512bh>(x);
            let w = std::mem::transmute::<__m512i, __m512bh>(w);
            _mm512_dpbf16_ps(acc, x, w)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
unsafe fn run(at: &Place, m: usize, a: *const u32, w: *const u32, out: &mut [f32]) {
    // SAFETY: the caller checked the lengths.
    unsafe { tiles::<Single>(at, m, a, w, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
unsafe fn run_bf16(at: &Place, m: usize, a: *const u32, w: *const u32, out: &mut [f32]) {
    // SAFETY: the caller checked the lengths.
    unsafe { tiles::<Double>(at, m, a, w, out) }
}

/// Terms of a sum for which a panel of the weights (32 KiB of [`super::LANES`] lanes) stays in the
/// first cache.
const TERMS: usize = 128;

/// A piece of all sums: `k` terms from `start` on.
#[derive(Clone, Copy)]
struct Terms {
    start: usize,
    k: usize,
}

/// All tiles: a part of a panel of the weights stays in the first cache while the rows go by. Sums
/// that are not complete wait in `out`.
#[inline(always)]
unsafe fn tiles<T: Term>(at: &Place, m: usize, a: *const u32, mut w: *const u32, out: &mut [f32]) {
    let part = at.k.div_ceil(at.k.div_ceil(TERMS).max(1)).max(1);
    for (column, lanes) in panels(at.n) {
        for start in (0..at.k.max(1)).step_by(part) {
            let terms = Terms { start, k: part.min(at.k - start) };
            let w = w.wrapping_add(16 * lanes * start);
            let mut row = 0;
            macro_rules! rows {
                ($lanes:literal: $($count:literal),*) => {{$(
                    while m - row >= $count {
                        let first = row * at.n + column;
                        // SAFETY: rows `row..row + $count` exist, and the panel has `k * lanes`
                        // lanes from `w` on.
                        unsafe {
                            let a = a.add(row * at.row + start * at.step);
                            let out = out.as_mut_ptr().add(first);
                            tile::<T, $count, $lanes>(at, terms, a, w, out, first, column);
                        }
                        row += $count;
                    }
                )*}};
            }
            // Some 24 sums in registers, whatever the width.
            match lanes {
                4 => rows!(4: 6, 4, 2, 1),
                3 => rows!(3: 8, 4, 2, 1),
                2 => rows!(2: 12, 8, 4, 2, 1),
                _ => rows!(1: 12, 8, 4, 2, 1),
            }
        }
        // The next panel, or one past the last.
        w = w.wrapping_add(16 * at.k * lanes);
    }
}

/// Which of the 16 columns from `column` on there are.
#[inline(always)]
fn columns(at: &Place, column: usize) -> u16 {
    ((1u32 << 16.min(at.n - column)) - 1) as u16
}

/// `MR` rows by `16 NV` columns; `first` is the place of `out` in the whole.
#[inline(always)]
unsafe fn tile<T: Term, const MR: usize, const NV: usize>(
    at: &Place,
    terms: Terms,
    mut a: *const u32,
    mut w: *const u32,
    out: *mut f32,
    first: usize,
    column: usize,
) {
    // SAFETY: `MR` rows of `terms.k` elements from `a` at their strides, `terms.k * NV` lanes from
    // `w`, `MR` rows of `at.n` numbers from `out`; columns beyond `at.n` are masked out.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); NV]; MR];
        if terms.start > 0 {
            for (i, acc) in acc.iter_mut().enumerate() {
                for (j, acc) in acc.iter_mut().enumerate() {
                    let mask = columns(at, column + 16 * j);
                    *acc = _mm512_maskz_loadu_ps(mask, out.add(i * at.n + 16 * j));
                }
            }
        }
        for _ in 0..terms.k {
            let mut row = [_mm512_setzero_si512(); NV];
            for (j, lane) in row.iter_mut().enumerate() {
                *lane = _mm512_loadu_si512(w.add(16 * j).cast());
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(a.add(i * at.row).read_unaligned().cast_signed());
                for (acc, lane) in acc.iter_mut().zip(row) {
                    *acc = T::add(*acc, x, lane);
                }
            }
            (a, w) = (a.wrapping_add(at.step), w.add(16 * NV));
        }
        // A copy, so that only this one needs an address: the sums stay in registers.
        let sums = acc;
        if terms.start + terms.k == at.k {
            epilogue(at, &sums, out, first, column);
        } else {
            for (i, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    let mask = columns(at, column + 16 * j);
                    _mm512_mask_storeu_ps(out.add(i * at.n + 16 * j), mask, *sum);
                }
            }
        }
    }
}

/// Stores a tile.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
#[inline(never)]
unsafe fn epilogue<const MR: usize, const NV: usize>(
    at: &Place,
    acc: &[[__m512; NV]; MR],
    out: *mut f32,
    first: usize,
    column: usize,
) {
    // SAFETY: as for the tile that calls this.
    unsafe {
        for j in 0..NV {
            let mask = columns(at, column + 16 * j);
            if !at.times.is_null() {
                for (i, acc) in acc.iter().enumerate() {
                    let place = i * at.n + 16 * j;
                    let by = _mm512_maskz_loadu_ps(mask, at.times.add(first + place));
                    let z = match at.signs {
                        // NaN is not at most 0.
                        true => {
                            let zero = _mm512_setzero_ps();
                            let positive = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(by, zero);
                            _mm512_maskz_mov_ps(positive, acc[j])
                        }
                        false => _mm512_mul_ps(acc[j], by),
                    };
                    _mm512_mask_storeu_ps(out.add(place), mask, z);
                }
                continue;
            }
            let bias = match at.bias.is_null() {
                true => _mm512_setzero_ps(),
                false => _mm512_maskz_loadu_ps(mask, at.bias.add(column + 16 * j)),
            };
            for (i, acc) in acc.iter().enumerate() {
                let (place, z) = (i * at.n + 16 * j, _mm512_add_ps(acc[j], bias));
                if at.slope.is_null() {
                    _mm512_mask_storeu_ps(out.add(place), mask, activate(at.after, z));
                } else {
                    let (h, slope) = activate_with_slope(at.after, z);
                    _mm512_mask_storeu_ps(out.add(place), mask, h);
                    _mm512_mask_storeu_ps(at.slope.add(first + place), mask, slope);
                }
            }
        }
    }
}

/// `f(z)` and `f'(z)`.
#[inline(always)]
unsafe fn activate_with_slope(after: After, z: __m512) -> (__m512, __m512) {
    // SAFETY: the processor has AVX-512.
    unsafe {
        let one = _mm512_set1_ps(1.0);
        match after {
            After::Linear => (z, one),
            After::Relu => {
                // The slope at 0 is 0; NaN is not below it.
                let positive = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(z, _mm512_setzero_ps());
                (activate(after, z), _mm512_maskz_mov_ps(positive, one))
            }
            After::Tanh => {
                let h = activate(after, z);
                (h, _mm512_fnmadd_ps(h, h, one))
            }
            After::Swish => {
                let s = sigmoid(z);
                let h = _mm512_mul_ps(z, s);
                (h, _mm512_fmadd_ps(h, _mm512_sub_ps(one, s), s))
            }
        }
    }
}

/// `1 / (1 + exp(-z))`.
#[inline(always)]
unsafe fn sigmoid(z: __m512) -> __m512 {
    // SAFETY: the processor has AVX-512.
    unsafe {
        let one = _mm512_set1_ps(1.0);
        let (scale, p) = exp_parts(_mm512_sub_ps(_mm512_setzero_ps(), z));
        let d = _mm512_add_ps(one, _mm512_fmadd_ps(scale, p, scale));
        // A 14-bit estimate and one Newton step: twice as fast as a division, right to 1e-7.
        let y = _mm512_rcp14_ps(d);
        _mm512_fmadd_ps(y, _mm512_fnmadd_ps(d, y, one), y)
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
            After::Swish => _mm512_mul_ps(z, sigmoid(z)),
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
