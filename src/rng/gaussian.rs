//! Standard normal numbers from random words (Box and Muller 1958), in single precision and without
//! branches, so that the compiler can vectorise it.

use super::chacha::{self, LANES, Words};
use crate::vectorised::vectorised;

/// `2^-32`.
const UNIT: f32 = 1.0 / 4_294_967_296.0;

/// `-2 ln u` with `u = (w + 1/2) / 2^32`, which is never 0 or 1.
///
/// Above `1 / sqrt 2` it is taken from `1 - u`, which a single-precision number holds to its last
/// bit where it could not hold `u`.
#[inline(always)]
fn minus_two_ln(w: u32) -> f32 {
    // 2^32 / sqrt 2, and the bits of 1 / sqrt 2.
    const UPPER: u32 = 0xb504_f334;
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let upper = w >= UPPER;
    let part = ((if upper { !w } else { w }) as f32 + 0.5) * UNIT;
    // part = 2^e m with m in [1 / sqrt 2, sqrt 2).
    let bits = part.to_bits();
    let e = (bits.wrapping_sub(ROOT_HALF) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e as u32) << 23));
    // u = 2^n (1 + f)
    let (n, f) = if upper { (0.0, -part) } else { (e as f32, m - 1.0) };
    // ln(1 + f) = 2 artanh(s) = 2 (s + s^3/3 + ...) with |s| <= 0.172: five terms are exact to 2e-9.
    let s = f / (2.0 + f);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    n * (-2.0 * std::f32::consts::LN_2) - 4.0 * s * series
}

/// Sine and cosine of `2 pi w / 2^32`.
///
/// The nearest quarter turn is taken off in integers, so nothing is lost; the Taylor series of the
/// rest, at most an eighth of a turn, are exact to 3e-8.
#[inline(always)]
fn sin_cos_turn(w: u32) -> (f32, f32) {
    let quarter = w.wrapping_add(1 << 29) >> 30;
    let rest = w.wrapping_sub(quarter << 30) as i32;
    let x = rest as f32 * (std::f32::consts::TAU * UNIT);
    let q = x * x;
    let high = -1.0 / 5040.0 + q * (1.0 / 362_880.0);
    let sin = x + x * q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * high));
    let high = -1.0 / 720.0 + q * (1.0 / 40_320.0);
    let cos = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * high));
    let (s, c) = if quarter & 1 == 1 { (cos, sin) } else { (sin, cos) };
    // The sine is negative from the second quarter on, the cosine from the first to the third.
    let (s_sign, c_sign) = ((quarter >> 1) << 31, (quarter.wrapping_add(1) >> 1) << 31);
    (f32::from_bits(s.to_bits() ^ s_sign), f32::from_bits(c.to_bits() ^ c_sign))
}

vectorised! {
    /// The words of sixteen ChaCha blocks, see [`chacha::blocks`].
    pub(super) fn words(key: &[u32; 8], counters: &[u64; LANES], stream: u64, out: &mut Words) {
        chacha::blocks(key, counters, stream, out);
    }
}

vectorised! {
    /// `2 pairs` standard normal numbers of each of sixteen blocks, `out [number][lane]`; the words
    /// `2p` and `2p + 1` of a block make its numbers `2p` and `2p + 1`.
    pub(super) fn normals(
        key: &[u32; 8],
        counters: &[u64; LANES],
        stream: u64,
        pairs: usize,
        out: &mut [[f32; LANES]; 16],
    ) {
        let mut words = [[0; LANES]; 16];
        chacha::blocks(key, counters, stream, &mut words);
        for (out, words) in out.chunks_exact_mut(2).zip(words.chunks_exact(2)).take(pairs) {
            for lane in 0..LANES {
                let radius = minus_two_ln(words[0][lane]).sqrt();
                let (sin, cos) = sin_cos_turn(words[1][lane]);
                out[0][lane] = radius * cos;
                out[1][lane] = radius * sin;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Words near the ends and the seams, and a grid of all.
    fn grid() -> impl Iterator<Item = u32> {
        let seams = [0, 0x2000_0000, 0x4000_0000, 0x6000_0000, 0x8000_0000, 0xa000_0000]
            .into_iter()
            .chain([0xb504_f333, 0xc000_0000, 0xe000_0000]);
        let near = seams.flat_map(|seam: u32| {
            (0..2000u32).flat_map(move |i| [seam.wrapping_add(i), seam.wrapping_sub(i)])
        });
        near.chain((0..1_000_000).map(|i: u32| i.wrapping_mul(4_294_967)))
            .chain((0..32).flat_map(|bit| [1 << bit, !(1 << bit)]))
    }

    #[test]
    fn the_radius_is_accurate_to_its_last_digits() {
        for w in grid() {
            // 1 - u exactly, too, or f64 would lose the digits next to 1.
            let u = (f64::from(w) + 0.5) / 4_294_967_296.0;
            let rest = (f64::from(!w) + 0.5) / 4_294_967_296.0;
            let want = -2.0 * if u < 0.5 { u.ln() } else { (-rest).ln_1p() };
            let got = f64::from(minus_two_ln(w));
            // Roundings of 6e-8 each, doubled just below 1 / sqrt 2 where two terms of the sum cancel
            // to half of the larger one.
            assert!((got / want - 1.0).abs() < 4e-7, "{w:#x}: {got} {want}");
        }
        let (least, most) = (minus_two_ln(u32::MAX).sqrt(), minus_two_ln(0).sqrt());
        assert!(least > 1.5e-5 && least < 1.6e-5 && most > 6.76 && most < 6.77);
    }

    #[test]
    fn sine_and_cosine_are_accurate_all_the_way_round() {
        for w in grid() {
            let (sin, cos) = sin_cos_turn(w);
            let (want_sin, want_cos) = (TAU * f64::from(w) / 4_294_967_296.0).sin_cos();
            // Two roundings of 6e-8 and what the series leave out.
            assert!((f64::from(sin) - want_sin).abs() < 1.5e-7, "sin {w:#x}: {sin} {want_sin}");
            assert!((f64::from(cos) - want_cos).abs() < 1.5e-7, "cos {w:#x}: {cos} {want_cos}");
        }
    }

    #[test]
    fn the_versions_of_the_loop_are_bit_equal_to_the_formula() {
        let (key, counters) = ([3, 1, 4, 1, 5, 9, 2, 6], std::array::from_fn(|lane| lane as u64));
        let (mut got, mut raw) = ([[0.0; LANES]; 16], [[0; LANES]; 16]);
        normals(&key, &counters, 9, 8, &mut got);
        words(&key, &counters, 9, &mut raw);
        for (got, raw) in got.chunks(2).zip(raw.chunks(2)) {
            for lane in 0..LANES {
                let radius = minus_two_ln(raw[0][lane]).sqrt();
                let (sin, cos) = sin_cos_turn(raw[1][lane]);
                assert_eq!([got[0][lane], got[1][lane]], [radius * cos, radius * sin]);
            }
        }
    }
}
