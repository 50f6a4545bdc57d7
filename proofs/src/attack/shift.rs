//! Random distributions, and moving probability within a budget.

use super::draws::{chance, log_uniform};
use crate::mdp::Kernel;
use hstep::rng::Rng;

/// A random distribution over `n` things: without chance, sparse or dense.
pub fn random_row(n: usize, rng: &mut Rng) -> Vec<f64> {
    let mut row = vec![0.0; n];
    match rng.below(3) {
        0 => row[rng.below(n)] = 1.0,
        1 => {
            let p = rng.uniform();
            row[rng.below(n)] += p;
            row[rng.below(n)] += 1.0 - p;
        }
        _ => {
            row.iter_mut().for_each(|p| *p = -(1.0 - rng.uniform()).ln());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
    }
    row
}

/// Random transitions.
pub fn random_kernel(states: usize, actions: usize, rng: &mut Rng) -> Option<Kernel<f64>> {
    let rows: Vec<Vec<Vec<f64>>> =
        (0..states).map(|_| (0..actions).map(|_| random_row(states, rng)).collect()).collect();
    Kernel::new("transition", &rows).ok()
}

/// Moves up to `mass` from one entry of a distribution to another.
pub fn shift(row: &mut [f64], from: usize, to: usize, mass: f64) {
    let moved = mass.min(row[from]);
    row[from] -= moved;
    row[to] += moved;
}

/// Moves some probability from one random entry, where there is any, to another.
pub fn shift_randomly(row: &mut [f64], rng: &mut Rng) {
    let n = row.len();
    if n < 2 {
        return;
    }
    let mut from = rng.below(n);
    while row[from] <= 0.0 {
        from = (from + 1) % n;
    }
    let mass = if chance(0.2, rng) { 1.0 } else { log_uniform(1e-4, 0.5, rng) };
    shift(row, from, (from + 1 + rng.below(n - 1)) % n, mass);
}

/// Sets `row` to the distribution within total variation `budget` of `truth` whose mean of `v` is least
/// (`up` false) or largest: mass goes from the one end of `v` to the other. That is the best an
/// adversary can do with a budget when the value is what it sees.
pub fn worst_within(row: &mut [f64], truth: &[f64], v: &[f64], budget: f64, up: bool) {
    let key = |s: usize| if up { v[s] } else { -v[s] };
    let mut order: Vec<usize> = (0..v.len()).collect();
    order.sort_by(|&i, &j| key(i).total_cmp(&key(j)));
    row.copy_from_slice(truth);
    let Some((&best, others)) = order.split_last() else { return };
    let mut left = budget;
    for &s in others {
        let moved = left.min(row[s]);
        shift(row, s, best, moved);
        left -= moved;
    }
}
