//! Linear systems of discounted chains.

use super::number::Number;

/// Solves `v = b + X v` for `X [n,n]` without negative entries and with rows that sum to less than
/// one. `I - X` is then diagonally dominant, so that elimination needs no pivots.
pub(super) fn eliminated<T: Number>(x: Vec<T>, b: Vec<T>) -> Vec<T> {
    let n = b.len();
    let (mut m, mut v) = (x, b);
    for (i, entry) in m.iter_mut().enumerate() {
        let identity = if i % n == i / n { T::one() } else { T::zero() };
        *entry = identity - &*entry;
    }
    for k in 0..n {
        for i in k + 1..n {
            if m[i * n + k].is_zero() {
                continue;
            }
            let factor = m[i * n + k].clone() / &m[k * n + k];
            for j in k + 1..n {
                if !m[k * n + j].is_zero() {
                    m[i * n + j] = m[i * n + j].clone() - factor.clone() * &m[k * n + j];
                }
            }
            v[i] = v[i].clone() - factor * &v[k];
        }
    }
    for k in (0..n).rev() {
        let known = (k + 1..n).fold(v[k].clone(), |sum, j| sum - m[k * n + j].clone() * &v[j]);
        v[k] = known / &m[k * n + k];
    }
    v
}

#[cfg(test)]
mod tests {
    use super::super::number::Rational;
    use super::*;

    #[test]
    fn it_solves_its_equation() {
        let q = Rational::ratio;
        let x =
            vec![q(1, 2), q(1, 3), q(0, 1), q(1, 5), q(0, 1), q(1, 5), q(0, 1), q(1, 7), q(1, 7)];
        let b = vec![q(1, 1), q(-2, 1), q(3, 4)];
        let v = eliminated(x.clone(), b.clone());
        for i in 0..3 {
            let xv = (0..3).fold(q(0, 1), |sum, j| sum + x[3 * i + j].clone() * &v[j]);
            assert_eq!(v[i], b[i].clone() + xv);
        }
    }
}
