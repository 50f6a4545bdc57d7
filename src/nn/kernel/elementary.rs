//! `f32` and `f64` with the elementary functions that networks need, and these over slices.

use candle_core::{CpuStorage, WithDType};

use super::super::scratch::Buffered;
use crate::vectorised::vectorised;

/// Two slices of one number type.
pub(crate) enum Pair<'a> {
    F32(&'a mut [f32], &'a mut [f32]),
    F64(&'a mut [f64], &'a mut [f64]),
}

/// `f32` or `f64`, with the elementary functions the activations need.
pub(crate) trait Real: WithDType + Buffered {
    /// Numbers that are ordered as the magnitudes of floats are; cheap to compare in a loop.
    type Magnitude: Ord + Copy + Default;
    const ONE: Self;
    /// The largest finite number.
    const MAX: f64;
    /// `1 / (1 + exp(-self))`.
    fn sigmoid(self) -> Self;
    fn tanh(self) -> Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    /// `ln(1 + self)` for `self` in `[0, 1]`.
    fn ln_1p_unit(self) -> Self;
    fn finite(self) -> bool;
    /// 0 in place of a subnormal number, which processors calculate with in microcode.
    fn flushed(self) -> Self;
    /// Of the absolute value; NaN lies above infinity.
    fn magnitude(self) -> Self::Magnitude;
    /// The absolute value with this magnitude.
    fn from_magnitude(magnitude: Self::Magnitude) -> f64;
    /// The two, if they are of this type.
    fn moments(pair: Pair<'_>) -> Option<(&mut [Self], &mut [Self])>;
    /// The same slice, if this is `f32`.
    fn as_f32(x: &[Self]) -> Option<&[f32]>;
    /// The same slice, if this is `f32`.
    fn as_f32_mut(x: &mut [Self]) -> Option<&mut [f32]>;
    /// The numbers of a storage of this type.
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Real for f64 {
    type Magnitude = u64;
    const ONE: Self = 1.0;
    const MAX: f64 = f64::MAX;
    #[inline(always)]
    fn magnitude(self) -> u64 {
        self.to_bits() & i64::MAX as u64
    }
    fn from_magnitude(magnitude: u64) -> f64 {
        f64::from_bits(magnitude)
    }
    fn moments(pair: Pair<'_>) -> Option<(&mut [Self], &mut [Self])> {
        match pair {
            Pair::F64(a, b) => Some((a, b)),
            Pair::F32(..) => None,
        }
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln_1p_unit(self) -> Self {
        f64::ln_1p(self)
    }
    #[inline(always)]
    fn finite(self) -> bool {
        self.is_finite()
    }
    #[inline(always)]
    fn flushed(self) -> Self {
        if self.abs() < f64::MIN_POSITIVE { 0.0 } else { self }
    }
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F64(x) => Some(x),
            _ => None,
        }
    }
}

impl Real for f32 {
    type Magnitude = u32;
    const ONE: Self = 1.0;
    const MAX: f64 = f32::MAX as f64;
    #[inline(always)]
    fn magnitude(self) -> u32 {
        self.to_bits() & i32::MAX as u32
    }
    fn from_magnitude(magnitude: u32) -> f64 {
        f64::from(f32::from_bits(magnitude))
    }
    fn moments(pair: Pair<'_>) -> Option<(&mut [Self], &mut [Self])> {
        match pair {
            Pair::F32(a, b) => Some((a, b)),
            Pair::F64(..) => None,
        }
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + Real::exp(-self))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        // tanh(x) = e / (e + 2) with e = exp(2x) - 1, taken without cancellation near 0.
        // Beyond 10 the quotient rounds to 1.
        let x = clamp(self, -10.0, 10.0);
        let (scale, p) = exp_parts(2.0 * x);
        let e = scale * p + (scale - 1.0);
        e / (e + 2.0)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let (scale, p) = exp_parts(self);
        scale + scale * p
    }
    #[inline(always)]
    fn ln_1p_unit(self) -> Self {
        // 2 artanh(s) = 2 (s + s^3/3 + ...) with s = x / (2 + x) <= 1/3: eight terms are exact
        // to 2e-9.
        let s = self / (2.0 + self);
        let q = s * s;
        let high = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)));
        let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * high)));
        2.0 * s * series
    }
    #[inline(always)]
    fn finite(self) -> bool {
        self.is_finite()
    }
    #[inline(always)]
    fn flushed(self) -> Self {
        if self.abs() < f32::MIN_POSITIVE { 0.0 } else { self }
    }
    fn as_f32(x: &[Self]) -> Option<&[f32]> {
        Some(x)
    }
    fn as_f32_mut(x: &mut [Self]) -> Option<&mut [f32]> {
        Some(x)
    }
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F32(x) => Some(x),
            _ => None,
        }
    }
}

/// Clamping that leaves NaN alone.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `exp(x) = scale (1 + p)` without branches or table, so that the compiler can vectorise it:
/// `x = n ln 2 + r`, `scale = 2^n`, and `p = exp(r) - 1` by its Taylor series, which at
/// `|r| <= ln(2) / 2` is exact to 5e-9 after seven terms.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has 12 trailing zero bits, so that n times it is exact.
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    let x = clamp(x, -87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let p = r + r * r * (0.5 + r * (1.0 / 6.0 + r * tail));
    (f32::from_bits(rounded.to_bits().wrapping_add(127) << 23), p)
}

/// `ln(1 + exp(x))` and its derivative `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn softplus<T: Real>(x: T) -> (T, T) {
    let (zero, positive) = (T::default(), x > T::default());
    let e = (if positive { zero - x } else { x }).exp();
    let share = T::ONE / (T::ONE + e);
    let tail = e.ln_1p_unit();
    if positive { (x + tail, share) } else { (tail, e * share) }
}

vectorised! {
    /// `x <- tanh(x)`.
    pub(crate) fn tanh_all<T: Real>(x: &mut [T]) {
        x.iter_mut().for_each(|x| *x = x.tanh());
    }
}

vectorised! {
    /// `x <- x + exp(log_std) eps`, the log standard deviations kept in `[low, high]`.
    pub(crate) fn add_scaled_noise<T: Real>(x: &mut [T], log_std: &[T], eps: &[T], low: T, high: T) {
        for ((x, log_std), eps) in x.iter_mut().zip(log_std).zip(eps) {
            let above = if *log_std < low { low } else { *log_std };
            let within = if above > high { high } else { above };
            *x += within.exp() * *eps;
        }
    }
}

vectorised! {
    /// `x <- ln(1 + exp(x))`.
    pub(crate) fn softplus_values<T: Real>(x: &mut [T]) {
        x.iter_mut().for_each(|x| *x = softplus(*x).0);
    }
}

vectorised! {
    /// `x <- exp(x / 2)`.
    pub(crate) fn exp_half<T: Real>(x: &mut [T]) {
        let two = T::ONE + T::ONE;
        x.iter_mut().for_each(|x| *x = (*x / two).exp());
    }
}

vectorised! {
    /// `x <- ln(1 + exp(x))`, `slope <-` its derivative.
    pub(crate) fn softplus_all<T: Real>(x: &mut [T], slope: &mut [T]) {
        for (x, slope) in x.iter_mut().zip(slope) {
            (*x, *slope) = softplus(*x);
        }
    }
}

vectorised! {
    /// `out <- exp(-x)`.
    pub(in crate::nn) fn exp_minus<T: Real>(out: &mut [T], x: &[T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = (T::default() - *x).exp();
        }
    }
}
