//! Loops over raw slices: matrix products, activations, Adam, Polyak averaging.
//!
//! The only module of `nn` with `unsafe` of its own: the matrix product of the `gemm` crate takes
//! raw pointers (the wrappers here check every length). The loops are compiled for several vector
//! widths, see [`crate::vectorised`].
#![allow(unsafe_code)]

use candle_core::{CpuStorage, WithDType};

use super::scratch::{Scratch, Shelf, Shelved};
use crate::vectorised::vectorised;

/// Two slices of one number type.
pub(crate) enum Pair<'a> {
    F32(&'a mut [f32], &'a mut [f32]),
    F64(&'a mut [f64], &'a mut [f64]),
}

/// `f32` or `f64`, with the elementary functions the activations need.
pub(crate) trait Real: WithDType + Default {
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
    /// Of the absolute value; NaN lies above infinity.
    fn magnitude(self) -> Self::Magnitude;
    /// The absolute value with this magnitude.
    fn from_magnitude(magnitude: Self::Magnitude) -> f64;
    /// Buffers of this type that nobody uses at present.
    fn shelf() -> &'static Shelved<Self>;
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
    fn shelf() -> &'static Shelved<Self> {
        static SHELF: Shelved<f64> = Shelved::new(Shelf::new());
        &SHELF
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
    fn shelf() -> &'static Shelved<Self> {
        static SHELF: Shelved<f32> = Shelved::new(Shelf::new());
        &SHELF
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

/// What follows the matrix product of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Linear,
    Relu,
    Tanh,
    Swish,
}

/// `z <- f(z + bias)` a row at a time; and, when `slope` is not empty, `slope <- f'(z + bias)`.
#[inline(always)]
fn each<T: Real>(
    z: &mut [T],
    bias: &[T],
    slope: &mut [T],
    f: impl Fn(T) -> T,
    f_slope: impl Fn(T) -> (T, T),
) {
    let width = bias.len();
    if slope.is_empty() {
        for row in z.chunks_exact_mut(width) {
            for (z, b) in row.iter_mut().zip(bias) {
                *z = f(*z + *b);
            }
        }
        return;
    }
    for (row, slopes) in z.chunks_exact_mut(width).zip(slope.chunks_exact_mut(width)) {
        for ((z, b), s) in row.iter_mut().zip(bias).zip(slopes) {
            (*z, *s) = f_slope(*z + *b);
        }
    }
}

vectorised! {
    /// Bias and activation of `z` `[n,O]` in place, see [`each`].
    pub(super) fn activate<T: Real>(after: After, z: &mut [T], bias: &[T], slope: &mut [T]) {
        let zero = T::default();
        match after {
            After::Linear => each(z, bias, slope, |v| v, |v| (v, T::ONE)),
            After::Relu => each(
                z,
                bias,
                slope,
                // Written so that NaN stays NaN.
                |v| if v <= zero { zero } else { v },
                |v| if v <= zero { (zero, zero) } else { (v, T::ONE) },
            ),
            After::Tanh => each(z, bias, slope, Real::tanh, |v| {
                let h = v.tanh();
                (h, T::ONE - h * h)
            }),
            After::Swish => each(z, bias, slope, |v| v * v.sigmoid(), |v| {
                let s = v.sigmoid();
                let h = v * s;
                (h, s + h * (T::ONE - s))
            }),
        }
    }
}

vectorised! {
    /// `x <- x * y`.
    pub(super) fn multiply<T: Real>(x: &mut [T], y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x *= *y;
        }
    }
}

vectorised! {
    /// `x <- 0` where `y` is at most 0; NaN is not.
    pub(super) fn where_positive<T: Real>(x: &mut [T], y: &[T]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = if *y <= T::default() { T::default() } else { *x };
        }
    }
}

vectorised! {
    /// `sum <- sum + x`.
    pub(super) fn add<T: Real>(sum: &mut [T], x: &[T]) {
        for (s, x) in sum.iter_mut().zip(x) {
            *s += *x;
        }
    }
}

vectorised! {
    /// `sum [O] <- sum + the rows of x [n,O]`.
    pub(super) fn add_rows<T: Real>(sum: &mut [T], x: &[T]) {
        for row in x.chunks_exact(sum.len()) {
            for (s, x) in sum.iter_mut().zip(row) {
                *s += *x;
            }
        }
    }
}

vectorised! {
    /// Whether no element is NaN or infinite.
    pub(super) fn all_finite<T: Real>(x: &[T]) -> bool {
        x.iter().fold(true, |ok, x| ok & x.finite())
    }
}

vectorised! {
    /// The largest magnitude.
    pub(crate) fn largest<T: Real>(x: &[T]) -> T::Magnitude {
        x.iter().fold(T::Magnitude::default(), |m, x| m.max(x.magnitude()))
    }
}

vectorised! {
    /// `target <- (1 - tau) target + tau online`.
    pub(super) fn polyak<T: Real>(target: &mut [T], online: &[T], tau: T) {
        let keep = T::ONE - tau;
        for (t, o) in target.iter_mut().zip(online) {
            *t = keep * *t + tau * *o;
        }
    }
}

/// The numbers of one Adam step; the bias corrections are `1 - beta^t`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamStep<T> {
    pub lr: T,
    pub beta1: T,
    pub beta2: T,
    pub eps: T,
    pub correction1: T,
    pub correction2: T,
    pub weight_decay: T,
}

vectorised! {
    /// One Adam step over flat slices of equal length.
    pub(super) fn adam<T: Real>(theta: &mut [T], m: &mut [T], v: &mut [T], grad: &[T], step: AdamStep<T>) {
        let AdamStep { lr, beta1, beta2, eps, correction1, correction2, weight_decay } = step;
        let (rest1, rest2) = (T::ONE - beta1, T::ONE - beta2);
        // lr (m / c1) / (sqrt(v / c2) + eps) with one division an element.
        let (rate, root) = (lr / correction1, T::ONE / correction2.sqrt());
        for (((theta, m), v), g) in theta.iter_mut().zip(m).zip(v).zip(grad) {
            let g = *g + weight_decay * *theta;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * (g * g);
            *theta -= rate * *m / (v.sqrt() * root + eps);
        }
    }
}

/// `ln(1 + exp(x))` and its derivative `1 / (1 + exp(-x))`.
#[inline(always)]
fn softplus<T: Real>(x: T) -> (T, T) {
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

/// What one member of [`super::nll`] reads and writes.
pub(super) struct Nll<'a, T> {
    /// Means and raw log-variances `[B,2T]`.
    pub out: &'a [T],
    /// Targets `[B,T]`.
    pub target: &'a [T],
    /// Upper, then lower bounds of the log-variance `[2T]`.
    pub bounds: &'a [T],
    /// Factor of loss and gradients.
    pub scale: T,
    /// Gradient of `out` `[B,2T]`.
    pub d_out: &'a mut [T],
    /// Gradient of `bounds` `[2T]`, added up.
    pub d_bounds: &'a mut [T],
    /// Loss a dimension `[T]`, added up.
    pub loss: &'a mut [T],
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
    pub(super) fn exp_minus<T: Real>(out: &mut [T], x: &[T]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = (T::default() - *x).exp();
        }
    }
}

/// `(mu - y)^2 / var + logvar` with its gradients; see [`super::nll`] for the bounds. The costly
/// functions run over flat arrays, because rows are too short to vectorise.
pub(super) fn nll<T: Real>(member: Nll<'_, T>) {
    let Nll { out, target, bounds, scale, d_out, d_bounds, loss } = member;
    let width = loss.len();
    let (max, min) = bounds.split_at(width);
    let (d_max, d_min) = d_bounds.split_at_mut(width);
    let n = target.len();
    // First `max - raw`, then its softplus; then `max - that - min`, and its softplus; then logvar.
    let mut v = Scratch::take(n);
    for (row, v) in out.chunks_exact(2 * width).zip(v.chunks_exact_mut(width)) {
        for ((v, max), raw) in v.iter_mut().zip(max).zip(&row[width..]) {
            *v = *max - *raw;
        }
    }
    let (mut slope1, mut slope2) = (Scratch::take(n), Scratch::take(n));
    softplus_all(&mut v, &mut slope1);
    for row in v.chunks_exact_mut(width) {
        row.iter_mut().zip(max.iter().zip(min)).for_each(|(v, (max, min))| *v = *max - *v - *min);
    }
    softplus_all(&mut v, &mut slope2);
    for row in v.chunks_exact_mut(width) {
        row.iter_mut().zip(min).for_each(|(v, min)| *v += *min);
    }
    let mut precision = Scratch::take(n);
    exp_minus(&mut precision, &v);

    let rows = out.chunks_exact(2 * width).zip(d_out.chunks_exact_mut(2 * width));
    for (r, (row, d_row)) in rows.enumerate() {
        let own = r * width..(r + 1) * width;
        let (y, logvar, precision) =
            (&target[own.clone()], &v[own.clone()], &precision[own.clone()]);
        let (slope1, slope2) = (&slope1[own.clone()], &slope2[own]);
        let (d_mu, d_raw) = d_row.split_at_mut(width);
        for i in 0..width {
            let error = row[i] - y[i];
            let ratio = error * error * precision[i];
            let d_logvar = scale * (T::ONE - ratio);
            let d_inner = d_logvar * slope2[i];
            loss[i] += scale * (ratio + logvar[i]);
            d_mu[i] = scale * (error + error) * precision[i];
            d_raw[i] = d_inner * slope1[i];
            d_max[i] += d_inner * (T::ONE - slope1[i]);
            d_min[i] += d_logvar * (T::ONE - slope2[i]);
        }
    }
}

/// A matrix read in place: strides in elements from row to row and from column to column.
struct View<'a, T> {
    data: &'a [T],
    row: usize,
    column: usize,
}

impl<T> View<'_, T> {
    /// Whether a matrix `[rows,columns]` lies within the data.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `out [m,n] <- a [m,k] b [k,n]`.
fn product<T: Real>(out: &mut [T], (m, k, n): (usize, usize, usize), a: &View<T>, b: &View<T>) {
    assert!(out.len() == m * n && a.holds(m, k) && b.holds(k, n), "matrix product");
    // SAFETY: the three matrices lie within their slices (checked above), `out` is dense, written
    // whole and not aliased, and T is f32 or f64, which gemm supports.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::default(),
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out [m,n] <- x [m,k] w [k,n]`.
pub(super) fn x_w<T: Real>(out: &mut [T], x: &[T], w: &[T], m: usize, k: usize, n: usize) {
    let (a, b) = (View { data: x, row: k, column: 1 }, View { data: w, row: n, column: 1 });
    product(out, (m, k, n), &a, &b);
}

/// `out [m,k] <- dz [m,n] w^T [n,k]`: the gradient of the input.
pub(super) fn dz_wt<T: Real>(out: &mut [T], dz: &[T], w: &[T], m: usize, k: usize, n: usize) {
    let (a, b) = (View { data: dz, row: n, column: 1 }, View { data: w, row: 1, column: n });
    product(out, (m, n, k), &a, &b);
}

/// `out [j,n] <- x^T dz [m,n]`, where `x` has `m` rows of length `k` and the first `j` columns are
/// meant: the gradient of `j` rows of the weights.
pub(super) fn xt_dz<T: Real>(out: &mut [T], x: &[T], dz: &[T], m: usize, k: usize, n: usize) {
    let (a, b) = (View { data: x, row: 1, column: k }, View { data: dz, row: n, column: 1 });
    product(out, (out.len() / n, m, n), &a, &b);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-200_000..=200_000).map(|i| i as f32 * 1e-4)
    }

    #[test]
    fn elementary_functions_in_f32_are_accurate() {
        for x in grid() {
            let (want, got) = (f64::from(x).sigmoid(), f64::from(x.sigmoid()));
            assert!((got / want - 1.0).abs() < 3e-7, "sigmoid({x}): {got} {want}");
            let (want, got) = (f64::from(x).exp(), f64::from(Real::exp(x)));
            assert!((got / want - 1.0).abs() < 3e-7, "exp({x}): {got} {want}");
            let ((want, _), (got, _)) = (softplus(f64::from(x)), softplus(x));
            assert!((f64::from(got) / want - 1.0).abs() < 4e-7, "softplus({x}): {got} {want}");
            let (want, got) = (f64::from(x).tanh(), f64::from(Real::tanh(x)));
            let err = if x == 0.0 { got.abs() } else { (got / want - 1.0).abs() };
            assert!(err < 3e-7, "tanh({x}): {got} {want}");
        }
    }

    #[test]
    fn extremes_saturate_and_nan_stays() {
        assert_eq!(Real::tanh(1e30f32), 1.0);
        assert_eq!(Real::tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(f32::INFINITY.sigmoid(), 1.0);
        assert!((-1000f32).sigmoid() < 1e-37);
        assert!(f32::NAN.sigmoid().is_nan() && Real::tanh(f32::NAN).is_nan());
        let mut z = [f32::NAN, -1.0, 2.0];
        activate(After::Relu, &mut z, &[0.0], &mut []);
        assert!(z[0].is_nan() && z[1] == 0.0 && z[2] == 2.0);
    }

    #[test]
    fn finiteness_is_seen_anywhere() {
        let mut x = vec![1f32; 1003];
        assert!(all_finite(&x));
        x[1001] = f32::INFINITY;
        assert!(!all_finite(&x));
    }
}
