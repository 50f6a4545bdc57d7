//! Intervals of floats, rounded outwards: what is computed from numbers in them lies in the result.

use std::cmp::Ordering;
use std::fmt::{Display, Formatter};
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use num_traits::{Num, One, Signed, Zero};

use super::number::{Number, Rational};

/// All numbers from `low` to `high`, which may be infinite. Ordered where every number of one is below every number
/// of the other; equal only as single numbers.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    low: f64,
    high: f64,
}

/// `exact`'s nearest float, and on which side of it `exact` lies; what cannot be told counts as both.
struct Rounded {
    nearest: f64,
    below: bool,
    above: bool,
}

impl Rounded {
    /// From the exact number less the nearest one.
    fn with(nearest: f64, rest: f64) -> Self {
        // Where products vanish, so does the rest.
        let unknown = !rest.is_finite() || nearest.abs() < 1e-280 && nearest != 0.0;
        Self { nearest, below: rest < 0.0 || unknown, above: rest > 0.0 || unknown }
    }

    fn down(&self) -> f64 {
        if self.below { self.nearest.next_down() } else { self.nearest }
    }

    fn up(&self) -> f64 {
        if self.above { self.nearest.next_up() } else { self.nearest }
    }
}

/// Knuth's exact sum of two numbers.
fn sum(a: f64, b: f64) -> Rounded {
    let s = a + b;
    let of_b = s - a;
    Rounded::with(s, (a - (s - of_b)) + (b - of_b))
}

fn product(a: f64, b: f64) -> Rounded {
    let p = a * b;
    if p == 0.0 {
        let vanished = a != 0.0 && b != 0.0;
        return Rounded { nearest: p, below: vanished, above: vanished };
    }
    Rounded::with(p, a.mul_add(b, -p))
}

fn quotient(a: f64, b: f64) -> Rounded {
    let q = a / b;
    if a == 0.0 {
        return Rounded { nearest: 0.0, below: false, above: false };
    }
    let rest = (-q).mul_add(b, a);
    Rounded::with(q, if b < 0.0 { -rest } else { rest })
}

impl Interval {
    /// From `low` to `high`.
    ///
    /// # Panics
    /// Where `low` is above `high`, or one of them is NaN.
    #[must_use]
    pub fn new(low: f64, high: f64) -> Self {
        assert!(low <= high, "an interval from {low} to {high}");
        Self { low, high }
    }

    /// One number.
    #[must_use]
    pub fn exactly(x: f64) -> Self {
        Self { low: x, high: x }
    }

    /// The narrowest that holds a fraction.
    #[must_use]
    pub fn of(x: &Rational) -> Self {
        let near = x.float();
        let Some(as_fraction) = Rational::from_float(near) else {
            return Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
        };
        match as_fraction.cmp(x) {
            Ordering::Equal => Self::exactly(near),
            Ordering::Less => Self { low: near, high: near.next_up() },
            Ordering::Greater => Self { low: near.next_down(), high: near },
        }
    }

    /// The lower end.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The upper end.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.high
    }

    /// Whether `x` lies in it.
    #[must_use]
    pub fn holds(&self, x: &Rational) -> bool {
        let Self { low, high } = *self;
        let above = Rational::from_float(low).is_none_or(|low| low <= *x);
        above && Rational::from_float(high).is_none_or(|high| *x <= high)
    }

    /// A number near the middle.
    #[must_use]
    pub fn middle(&self) -> f64 {
        self.low + 0.5 * (self.high - self.low)
    }

    /// Where the larger of a number of each lies.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.max(other.high) }
    }

    /// Where the smaller of a number of each lies.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.min(other.high) }
    }

    /// The ends of all four products or quotients.
    fn corners(self, other: Self, of: impl Fn(f64, f64) -> Rounded) -> Self {
        let corners = [(self.low, other.low), (self.low, other.high), (self.high, other.low)];
        let all = corners.into_iter().chain([(self.high, other.high)]).map(|(a, b)| of(a, b));
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = all.fold(start, |(low, high), x| (low.min(x.down()), high.max(x.up())));
        Self { low, high }
    }
}

impl Add for Interval {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { low: sum(self.low, other.low).down(), high: sum(self.high, other.high).up() }
    }
}

impl Neg for Interval {
    type Output = Self;

    fn neg(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }
}

impl Sub for Interval {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Interval {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.corners(other, product)
    }
}

impl Div for Interval {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 {
            return Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
        }
        self.corners(other, quotient)
    }
}

impl Rem for Interval {
    type Output = Self;

    /// All that a remainder can be; no bound has one.
    fn rem(self, other: Self) -> Self {
        let size = other.low.abs().max(other.high.abs());
        Self { low: -size, high: size }
    }
}

/// The same with the right side borrowed.
macro_rules! borrowed {
    ($($trait:ident $method:ident),*) => { $(
        impl $trait<&Interval> for Interval {
            type Output = Interval;

            fn $method(self, other: &Interval) -> Interval {
                self.$method(*other)
            }
        }
    )* };
}
borrowed!(Add add, Sub sub, Mul mul, Div div, Rem rem);

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.high < other.low {
            Some(Ordering::Less)
        } else if self.low > other.high {
            Some(Ordering::Greater)
        } else {
            (self.low == other.high && self.high == other.low).then_some(Ordering::Equal)
        }
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}]", self.low, self.high)
    }
}

impl Zero for Interval {
    fn zero() -> Self {
        Self::exactly(0.0)
    }

    fn is_zero(&self) -> bool {
        *self == Self::zero()
    }
}

impl One for Interval {
    fn one() -> Self {
        Self::exactly(1.0)
    }
}

impl Num for Interval {
    type FromStrRadixErr = String;

    fn from_str_radix(text: &str, radix: u32) -> Result<Self, String> {
        match radix {
            10 => super::number::parse(text).map(|x| Self::of(&x)),
            _ => Err(format!("expected a decimal number, got one of base {radix}")),
        }
    }
}

impl Signed for Interval {
    fn abs(&self) -> Self {
        let most = self.low.abs().max(self.high.abs());
        let least = if self.low <= 0.0 && self.high >= 0.0 {
            0.0
        } else {
            self.low.abs().min(self.high.abs())
        };
        Self { low: least, high: most }
    }

    fn abs_sub(&self, other: &Self) -> Self {
        (*self - *other).max(Self::zero())
    }

    fn signum(&self) -> Self {
        let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
        Self { low: sign(self.low), high: sign(self.high) }
    }

    fn is_positive(&self) -> bool {
        self.low > 0.0
    }

    fn is_negative(&self) -> bool {
        self.high < 0.0
    }
}

impl Number for Interval {
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::of(&Rational::ratio(numerator, denominator))
    }

    fn float(&self) -> f64 {
        self.middle()
    }

    fn is_finite(&self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    fn root_above(&self, n: usize) -> Self {
        let [low, high] = [self.low, self.high].map(|x| x.max(0.0).root_above(n));
        // From the root itself, or what is just below it, to above that of the upper end.
        Self { low: low * (1.0 - 4e-14), high }
    }

    fn tie(_: &Self) -> Self {
        Self::zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hstep::rng::Rng;

    /// Fractions of several sizes, some of them floats.
    fn fraction(rng: &mut Rng) -> Rational {
        let size = [1, 10, 1 << 20, 1 << 40][rng.below(4)];
        let (p, q) = (rng.below(2 * size) as i64 - size as i64, 1 + rng.below(size) as i64);
        Rational::ratio(p, if rng.below(2) == 0 { q } else { 1 << rng.below(40) })
    }

    #[test]
    fn results_hold_what_fractions_come_to() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let (x, y) = (fraction(&mut rng), fraction(&mut rng));
            let (a, b) = (Interval::of(&x), Interval::of(&y));
            assert!(a.holds(&x) && b.holds(&y), "{x} {a}");
            let zero = Rational::ratio(0, 1);
            let mut all = vec![(a + b, &x + &y), (a - b, &x - &y), (a * b, &x * &y)];
            all.push((a.abs(), Signed::abs(&x)));
            if y != zero {
                all.push((a / b, &x / &y));
            }
            for (interval, exact) in all {
                assert!(interval.holds(&exact), "{x}, {y}: {exact} is not in {interval}");
                let width = interval.high - interval.low;
                assert!(
                    width <= 4e-15 * exact.float().abs() + 1e-300
                        || a.high != a.low
                        || b.high != b.low
                );
            }
            match a.partial_cmp(&b) {
                Some(order) => assert_eq!(order, x.cmp(&y)),
                None => assert!(a.high >= b.low && b.high >= a.low),
            }
        }
    }

    #[test]
    fn what_floats_can_hold_stays_exact() {
        let x = |x: f64| Interval::exactly(x);
        assert_eq!(x(0.5) + x(0.25), x(0.75));
        assert_eq!(x(3.0) * x(0.125) / x(4.0), x(0.09375));
        let third = x(1.0) / x(3.0);
        assert!(third.low < third.high && third.holds(&Rational::ratio(1, 3)));
        assert!((x(1.0) / (third - third)).high.is_infinite());
        // A product that vanishes is not 0.
        assert!((x(1e-200) * x(1e-200)).high > 0.0);
    }
}
