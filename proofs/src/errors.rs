//! How far a model and a value are off: total variation, L1, Wasserstein on a line, supremum, span.

use super::mdp::{Kernel, Policy};
use super::number::{Number, largest, smallest};

/// `sum_i |p_i - q_i|`.
pub(super) fn l1<T: Number>(p: &[T], q: &[T]) -> T {
    p.iter().zip(q).fold(T::zero(), |sum, (p, q)| sum + (p.clone() - q).abs())
}

/// `max_{s,a} |P^(.|s,a) - P(.|s,a)|_1`, in `[0, 2]`. The kernels have one shape.
#[must_use]
pub fn l1_error<T: Number>(model: &Kernel<T>, truth: &Kernel<T>) -> T {
    largest(truth.pairs().map(|(s, a)| l1(model.row(s, a), truth.row(s, a))))
}

/// `max_{s,a} TV(P^(.|s,a), P(.|s,a))`, half of [`l1_error`], in `[0, 1]`.
#[must_use]
pub fn tv_error<T: Number>(model: &Kernel<T>, truth: &Kernel<T>) -> T {
    l1_error(model, truth) / T::ratio(2, 1)
}

/// `max_{s,a} W_1(P^(.|s,a), P(.|s,a))` for states at increasing `positions [S]` on a line, in their
/// unit. For transitions without chance it is `max_{s,a} |f^(s,a) - f(s,a)|`.
#[must_use]
pub fn metric_error<T: Number>(model: &Kernel<T>, truth: &Kernel<T>, positions: &[T]) -> T {
    // On a line W_1 is the area between the distribution functions.
    let distance = |p: &[T], q: &[T]| {
        let (mut ahead, mut area) = (T::zero(), T::zero());
        for ((p, q), x) in p.iter().zip(q).zip(positions.windows(2)) {
            ahead = ahead + p - q;
            area = area + ahead.abs() * (x[1].clone() - &x[0]);
        }
        area
    };
    largest(truth.pairs().map(|(s, a)| distance(model.row(s, a), truth.row(s, a))))
}

/// `max_s TV(pi(.|s), pi'(.|s))`.
#[must_use]
pub fn policy_tv<T: Number>(left: &Policy<T>, right: &Policy<T>) -> T {
    largest((0..left.states()).map(|s| l1(left.row(s), right.row(s)))) / T::ratio(2, 1)
}

/// `max_s |x_s|`.
#[must_use]
pub fn supremum<T: Number>(x: &[T]) -> T {
    largest(x.iter().map(num_traits::Signed::abs))
}

/// `max_s x_s - min_s x_s`.
#[must_use]
pub fn span<T: Number>(x: &[T]) -> T {
    largest(x.iter().cloned()) - smallest(x.iter().cloned())
}
