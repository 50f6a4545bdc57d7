//! Linear algebra of fractions by way of whole numbers.
//!
//! Fractions in lowest terms pay for a greatest common divisor at every operation. Here a common
//! denominator is taken out first, and what is left is products and sums.

use num_bigint::BigInt;
use num_traits::{One as _, Zero as _};

use super::number::Rational;

/// The least common multiple of numbers above 0.
fn lcm(a: &BigInt, b: &BigInt) -> BigInt {
    if (a % b).is_zero() {
        return a.clone();
    }
    // The denominator of a/b in lowest terms is b / gcd(a, b).
    a * Rational::new(a.clone(), b.clone()).denom()
}

/// The least common denominator.
pub(super) fn common_denominator<'a>(xs: impl IntoIterator<Item = &'a Rational>) -> BigInt {
    xs.into_iter().fold(BigInt::one(), |all, x| lcm(&all, x.denom()))
}

/// `x * scale` for a scale that the denominator of `x` divides.
fn scaled(x: &Rational, scale: &BigInt) -> BigInt {
    x.numer() * (scale / x.denom())
}

/// Solves `v = b + X v` by fraction-free elimination (Bareiss 1968), for `X [n,n]` as in
/// [`super::linear::eliminated`]: its leading minors are not zero.
pub(super) fn solve(x: &[Rational], b: &[Rational]) -> Vec<Rational> {
    let n = b.len();
    // Rows of (I - X | b), each times its common denominator.
    let mut m: Vec<Vec<BigInt>> = (0..n)
        .map(|i| {
            let row = &x[i * n..(i + 1) * n];
            let scale = common_denominator(row.iter().chain([&b[i]]));
            let mut out: Vec<BigInt> = row.iter().map(|x| -scaled(x, &scale)).collect();
            out[i] += &scale;
            out.push(scaled(&b[i], &scale));
            out
        })
        .collect();
    let mut before = BigInt::one();
    for k in 0..n {
        let pivot_row = m[k].clone();
        let pivot = &pivot_row[k];
        for (_, row) in m.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k].clone();
            for (entry, above) in row.iter_mut().zip(&pivot_row).skip(k + 1) {
                // Divides without remainder: both sides are minors of the matrix.
                *entry = (pivot * &*entry - &factor * above) / &before;
            }
        }
        before = pivot.clone();
    }
    m.into_iter()
        .filter_map(|mut row| row.pop())
        .map(|v| Rational::new(v, before.clone()))
        .collect()
}

/// `r_i + gamma sum_j p_ij v_j` for all rows of `p [m,n]`. All results have one denominator and are not in
/// lowest terms: made to be compared, or put in here again.
pub(super) fn affine(
    gamma: &Rational,
    r: &[Rational],
    p: &[Rational],
    v: &[Rational],
) -> Vec<Rational> {
    let n = v.len();
    let of_v = match v {
        [first, rest @ ..] if rest.iter().all(|x| x.denom() == first.denom()) => {
            first.denom().clone()
        }
        _ => common_denominator(v),
    };
    let v: Vec<BigInt> = v.iter().map(|x| scaled(x, &of_v)).collect();
    let of_p = common_denominator(p);
    let of_r = common_denominator(r);
    let step = lcm(&(&of_p * gamma.denom()), &of_r);
    // gamma p step and r step are whole.
    let gain = gamma.numer() * (&step / (&of_p * gamma.denom()));
    let denominator = &of_v * &step;
    r.iter()
        .zip(p.chunks(n))
        .map(|(r, row)| {
            let terms = row.iter().zip(&v).filter(|(p, _)| !p.is_zero());
            let sum = terms.fold(BigInt::zero(), |sum, (p, v)| sum + scaled(p, &of_p) * v);
            let numerator = sum * &gain + scaled(r, &step) * &of_v;
            Rational::new_raw(numerator, denominator.clone())
        })
        .collect()
}

/// How many binary digits a step of [`affine`] adds.
pub(super) fn step_bits<'a>(
    gamma: &Rational,
    numbers: impl IntoIterator<Item = &'a Rational>,
) -> f64 {
    (gamma.denom().bits() + common_denominator(numbers).bits()) as f64
}

/// About the nanoseconds that [`solve`] takes for `n` unknowns and entries of `bits` binary digits: minors
/// have `n` times as many, and a product of `k` words costs `k^1.6`.
pub(super) fn solve_work(n: usize, bits: f64) -> f64 {
    let n = n as f64;
    2.5 * n.powi(3) * (1.0 + n * bits / 64.0).powf(1.6)
}

/// About the nanoseconds of `horizon` steps of [`affine`] with `terms` products each, when every step adds
/// `bits` binary digits.
pub(super) fn affine_work(horizon: usize, terms: usize, bits: f64) -> f64 {
    let (horizon, words) = (horizon as f64, 1.0 + bits / 64.0);
    horizon * terms as f64 * (20.0 + horizon * words * words / 2.0)
}

/// About the nanoseconds of walking all sequences of so many actions from every state, in `kernels` kernels
/// with entries of `bits` binary digits: every product of fractions is brought to lowest terms.
pub(super) fn sequences_work(
    states: usize,
    actions: usize,
    horizon: usize,
    kernels: usize,
    bits: f64,
) -> f64 {
    let products = (kernels * states * states) as f64;
    let mut walks = states as f64;
    let mut work = 0.0;
    // Further than this no sequences are walked anyhow.
    for step in 1..=horizon.min(64) {
        walks *= actions as f64;
        let digits = step as f64 * bits;
        work += walks * products * (100.0 + digits * digits / 128.0);
    }
    work
}

/// The most of all that is begun.
pub(super) const MAX_WORK: f64 = 1e10;

#[cfg(test)]
mod tests {
    use super::super::number::Number;
    use super::*;

    #[test]
    fn whole_numbers_and_fractions_agree() {
        let q = Rational::ratio;
        let x: Vec<Rational> = (1..=9).map(|i| q(i, 7 * i + 11)).collect();
        let b = [q(1, 1), q(-2, 3), q(0, 1)];
        assert_eq!(solve(&x, &b), super::super::linear::eliminated(x.clone(), b.to_vec()));
        let gamma = q(9, 10);
        for (i, got) in affine(&gamma, &b, &x, &b).into_iter().enumerate() {
            let dot = (0..3).fold(q(0, 1), |sum, j| sum + &x[3 * i + j] * &b[j]);
            assert_eq!(got.reduced(), &gamma * dot + &b[i]);
        }
    }
}
