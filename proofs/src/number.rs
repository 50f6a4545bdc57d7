//! Numbers: `f64` to search with, rationals to be certain.

use std::fmt::{Debug, Display};
use std::str::FromStr as _;

use num_traits::{NumRef, Signed, ToPrimitive as _};

use super::exact;
use super::linear::eliminated;

/// Fractions of whole numbers of any size, in lowest terms. Shown as `p/q`, or `p` where `q` is 1.
pub type Rational = num_rational::BigRational;

/// What a bound can be computed in.
pub trait Number:
    NumRef + Signed + PartialOrd + Clone + Debug + Display + Send + Sync + 'static
{
    /// `numerator / denominator`; the denominator must not be 0.
    fn ratio(numerator: i64, denominator: i64) -> Self;

    /// The nearest `f64`.
    fn float(&self) -> f64;

    /// Neither NaN nor infinite.
    fn is_finite(&self) -> bool;

    /// A number close to the `n`-th root of one that is not negative, and not below it; 0 for 0.
    fn root_above(&self, n: usize) -> Self;

    /// Whether this is above `other` by more than a tie.
    fn beats(&self, other: &Self, tie: &Self) -> bool {
        *self > other.clone() + tie
    }

    /// Solves `v = b + X v` for `X [n,n]` without negative entries and with rows that sum to less than
    /// one.
    fn resolvent(x: Vec<Self>, b: Vec<Self>) -> Vec<Self> {
        eliminated(x, b)
    }

    /// `r_i + gamma sum_j p_ij v_j` for all rows of `p [m,n]`. Fractions need not be in lowest terms.
    fn affine(gamma: &Self, r: &[Self], p: &[Self], v: &[Self]) -> Vec<Self> {
        let row = |(r, row): (&Self, &[Self])| gamma.clone() * dot(row, v) + r;
        r.iter().zip(p.chunks(v.len())).map(row).collect()
    }

    /// How near two values of size `scale` count as equal: 0 where arithmetic is exact.
    fn tie(scale: &Self) -> Self;
}

impl Number for f64 {
    fn ratio(numerator: i64, denominator: i64) -> Self {
        numerator as f64 / denominator as f64
    }

    fn float(&self) -> f64 {
        *self
    }

    fn is_finite(&self) -> bool {
        f64::is_finite(*self)
    }

    fn root_above(&self, n: usize) -> Self {
        // powf is off by a few roundings at most.
        self.powf(1.0 / n as f64) * (1.0 + 1e-14)
    }

    /// A few hundred roundings.
    fn tie(scale: &Self) -> Self {
        1e-13 * scale.abs()
    }
}

impl Number for Rational {
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::new(numerator.into(), denominator.into())
    }

    fn float(&self) -> f64 {
        self.to_f64().unwrap_or(f64::NAN)
    }

    fn is_finite(&self) -> bool {
        true
    }

    fn root_above(&self, n: usize) -> Self {
        let zero = Self::ratio(0, 1);
        if n <= 1 || *self == zero {
            return self.clone();
        }
        // Exact where it can be, else to six decimals, else 1 + x, which is above every root of x.
        let of = |x: &num_bigint::BigInt| x.nth_root(n as u32);
        let exact = Self::new(of(self.numer()), of(self.denom()));
        let units = (self.float().powf(1.0 / n as f64) * 1e6).ceil() as i64 + 1;
        [exact, Self::ratio(units, 1_000_000)]
            .into_iter()
            .find(|root| power(root, n) >= *self)
            .unwrap_or_else(|| Self::ratio(1, 1) + self)
    }

    fn beats(&self, other: &Self, _: &Self) -> bool {
        self > other
    }

    fn resolvent(x: Vec<Self>, b: Vec<Self>) -> Vec<Self> {
        exact::solve(&x, &b)
    }

    fn affine(gamma: &Self, r: &[Self], p: &[Self], v: &[Self]) -> Vec<Self> {
        exact::affine(gamma, r, p, v)
    }

    fn tie(_: &Self) -> Self {
        Self::ratio(0, 1)
    }
}

/// `n` as a number.
pub(super) fn whole<T: Number>(n: usize) -> T {
    T::ratio(n as i64, 1)
}

/// `x^n`, with `x^0 = 1`.
pub fn power<T: Number>(x: &T, n: usize) -> T {
    num_traits::pow::pow(x.clone(), n)
}

/// `1 + x + ... + x^(n-1)`, which is `(x^n - 1)/(x - 1)` where that exists.
pub fn geometric<T: Number>(x: &T, n: usize) -> T {
    (0..n).fold(T::zero(), |sum, _| sum * x + T::one())
}

/// The largest of `values`; 0 of none.
pub(super) fn largest<T: Number>(values: impl IntoIterator<Item = T>) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    values.into_iter().reduce(larger).unwrap_or_else(T::zero)
}

/// The smallest of `values`; 0 of none.
pub(super) fn smallest<T: Number>(values: impl IntoIterator<Item = T>) -> T {
    -largest(values.into_iter().map(|v| -v))
}

/// `sum_i p_i v_i`.
pub(super) fn dot<T: Number>(p: &[T], v: &[T]) -> T {
    let terms = p.iter().zip(v).filter(|(p, _)| !p.is_zero());
    terms.fold(T::zero(), |sum, (p, v)| sum + p.clone() * v)
}

/// Longest number that is read, and the largest power of ten in it: enough for any real input, and
/// a bound on what a garbled file can cost.
const MAX_LENGTH: usize = 400;
const MAX_EXPONENT: i32 = 400;

/// Reads a fraction (`-3/4`), a whole number or a decimal (`0.1`, `2.5e-3`), exactly.
///
/// # Errors
/// What was expected and what came, in words.
pub fn parse(text: &str) -> Result<Rational, String> {
    let shown: String = text.chars().take(40).collect();
    let wrong = || format!("expected a number such as 0.25 or \"1/4\", got `{shown}`");
    if text.len() > MAX_LENGTH {
        let length = text.len();
        return Err(format!("expected at most {MAX_LENGTH} characters a number, got {length}"));
    }
    let whole = |text: &str| -> Option<Rational> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let fine = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        fine.then(|| Rational::from_str(text).ok()).flatten()
    };
    if let Some((numerator, denominator)) = text.split_once('/') {
        let (Some(p), Some(q)) = (whole(numerator), whole(denominator)) else {
            return Err(wrong());
        };
        let zero = Rational::ratio(0, 1);
        return if q == zero { Err(format!("`{shown}` divides by 0")) } else { Ok(p / q) };
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (units, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let joined = whole(&format!("{units}{decimals}"));
    let dots = mantissa.contains('.') && decimals.is_empty();
    let (Some(joined), Ok(exponent), false) = (joined, exponent.parse::<i32>(), dots) else {
        return Err(wrong());
    };
    if exponent.abs() > MAX_EXPONENT {
        return Err(format!("expected a power of ten within {MAX_EXPONENT}, got `{shown}`"));
    }
    let shift = exponent - decimals.len() as i32;
    let scale = power(&Rational::ratio(10, 1), shift.unsigned_abs() as usize);
    Ok(if shift < 0 { joined / scale } else { joined * scale })
}

/// The multiple of `1/denominator` nearest to `x`.
pub(super) fn nearest(x: f64, denominator: i64) -> Rational {
    Rational::ratio((x * denominator as f64).round() as i64, denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_and_fractions_are_read_exactly() {
        for (text, p, q) in [
            ("0.1", 1, 10),
            ("-3/4", -3, 4),
            ("6/8", 3, 4),
            ("12", 12, 1),
            ("2.5e-3", 1, 400),
            ("-1.20E2", -120, 1),
        ] {
            assert_eq!(parse(text), Ok(Rational::ratio(p, q)), "{text}");
        }
        // More digits than an f64 holds.
        let third = parse("0.3333333333333333333").map(|x| x * power(&Rational::ratio(10, 1), 19));
        assert_eq!(third, Ok(Rational::ratio(3_333_333_333_333_333_333, 1)));
        assert_eq!(parse("6/8").map(|x| x.to_string()), Ok("3/4".to_owned()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "1/", "/2", "1/0", "nan", "1e", "1e999", "1_0", "1.", "0x1", "1/2/3"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"1".repeat(MAX_LENGTH + 1)).is_err());
    }

    #[test]
    fn sums_of_powers_have_their_closed_form() {
        let x = Rational::ratio(2, 3);
        let closed = (power(&x, 5) - Rational::ratio(1, 1)) / (x.clone() - Rational::ratio(1, 1));
        assert_eq!(geometric(&x, 5), closed);
        assert_eq!(geometric(&Rational::ratio(1, 1), 4), Rational::ratio(4, 1));
    }
}
