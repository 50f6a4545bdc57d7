//! Costs and gradients of a gain against simulation and finite differences.

use hstep::lqr::{Lqr, Matrix};
use hstep::rng::Rng;

use super::lqr::{difference, random, simulate};

/// A random system with a stable gain that is not the optimal one, and starts that are correlated.
fn example(seed: u64) -> (Lqr, Matrix, Matrix) {
    let lqr = random(seed, 0.95);
    let k = lqr.riccati().unwrap().0.scale(0.9);
    let root = Matrix::normal(3, 3, &mut Rng::new(seed).fork("starts"));
    (lqr, k, root.mul(&root.t()).unwrap())
}

/// The discounted cost, simulated from the columns of a root of `s0`.
fn simulated(lqr: &Lqr, k: &Matrix, s0: &Matrix) -> f64 {
    let columns = s0.cholesky().unwrap().t();
    columns.data().chunks(3).map(|start| simulate(lqr, k, start, None)).sum()
}

/// Central differences of `f` in every entry of `k`.
fn slope(f: impl Fn(&Matrix) -> f64, k: &Matrix) -> Matrix {
    let eps = 1e-5;
    let (rows, cols) = k.dims();
    Matrix::from_fn(rows, cols, |i, j| {
        let at = |e: f64| {
            f(&Matrix::from_fn(rows, cols, |a, b| {
                k.at(a, b) + if (a, b) == (i, j) { e } else { 0.0 }
            }))
        };
        (at(eps) - at(-eps)) / (2.0 * eps)
    })
}

#[test]
fn the_objective_and_its_gradient_are_those_of_the_simulated_cost() {
    for seed in 0..3 {
        let (lqr, k, s0) = example(seed);
        let (j, sim) = (lqr.objective(&k, &s0).unwrap(), simulated(&lqr, &k, &s0));
        assert!((j - sim).abs() < 1e-10 * sim, "{j} against {sim}");
        let exact = lqr.policy_gradient(&k, &s0).unwrap();
        let slope = slope(|k| simulated(&lqr, k, &s0), &k);
        assert!(difference(&exact, &slope) < 1e-6, "{exact:?} {slope:?}");
        // The optimum is where the gradient vanishes.
        let best = lqr.policy_gradient(&lqr.riccati().unwrap().0, &s0).unwrap();
        assert!(best.max_abs() < 1e-8 * exact.max_abs());
    }
}

#[test]
fn the_h_step_gradient_is_the_slope_with_the_terminal_held_fixed() {
    for seed in 0..3 {
        let (lqr, k, s0) = example(seed);
        let m = lqr.q_function(&k).unwrap();
        for horizon in [0, 1, 2, 7] {
            let exact = lqr.h_step_gradient(&k, &m, &s0, horizon).unwrap();
            let slope = slope(|k| lqr.h_step_objective(k, &m, &s0, horizon).unwrap(), &k);
            assert!(difference(&exact, &slope) < 1e-7, "H = {horizon}: {exact:?} {slope:?}");
        }
        // Many steps leave nothing to the terminal.
        let (long, all) =
            (lqr.h_step_gradient(&k, &m, &s0, 2000), lqr.policy_gradient(&k, &s0).unwrap());
        assert!(difference(&long.unwrap(), &all) < 1e-10);
    }
}

#[test]
fn with_the_exact_terminal_the_objective_does_not_depend_on_the_horizon() {
    let (lqr, k, s0) = example(1);
    let (m, j) = (lqr.q_function(&k).unwrap(), lqr.objective(&k, &s0).unwrap());
    for horizon in [0, 1, 5, 40] {
        let h = lqr.h_step_objective(&k, &m, &s0, horizon).unwrap();
        assert!((h - j).abs() < 1e-12 * j, "H = {horizon}: {h} against {j}");
    }
}

#[test]
fn what_does_not_fit_or_is_not_stable_is_refused() {
    let (lqr, k, s0) = example(0);
    let m = lqr.q_function(&k).unwrap();
    let unstable = k.scale(-20.0);
    for refused in [
        lqr.objective(&unstable, &s0).map(|_| ()),
        lqr.visits(&unstable, &s0).map(|_| ()),
        lqr.policy_gradient(&unstable, &s0).map(|_| ()),
    ] {
        assert!(refused.unwrap_err().to_string().contains("not stable"));
    }
    assert!(lqr.h_step_gradient(&k, &s0, &s0, 1).is_err(), "a terminal without actions");
    assert!(lqr.h_step_objective(&k, &m, &Matrix::identity(2), 1).is_err());
    assert!(s0.block(1, 0, 3, 3).is_err() && s0.above(&Matrix::identity(2)).is_err());
}

#[test]
fn norms_and_factors_are_right() {
    // [3 4; 0 5]: singular values 3 sqrt(5) and sqrt(5).
    let x = Matrix::from_rows(&[&[3.0, 4.0], &[0.0, 5.0]]).unwrap();
    assert!((x.spectral_norm().unwrap() - 45.0_f64.sqrt()).abs() < 1e-12);
    assert_eq!((x.trace(), x.l1()), (8.0, 12.0));
    // Opposite eigenvalues of equal size: no single leading vector.
    let split = Matrix::diagonal(&[2.0, -2.0]);
    assert!((split.spectral_norm().unwrap() - 2.0).abs() < 1e-12);
    assert_eq!(Matrix::zeros(2, 3).spectral_norm().unwrap(), 0.0);

    for s0 in [x.mul(&x.t()).unwrap(), Matrix::diagonal(&[0.0, 2.0]), Matrix::zeros(2, 2)] {
        let l = s0.cholesky().unwrap();
        assert!(l.at(0, 1) == 0.0 && difference(&l.mul(&l.t()).unwrap(), &s0) < 1e-15);
    }
    let negative = Matrix::from_rows(&[&[1.0, 2.0], &[2.0, 1.0]]).unwrap();
    assert!(negative.cholesky().is_err() && Matrix::zeros(1, 2).cholesky().is_err());
    assert!(Matrix::from_rows(&[&[0.0, 1.0], &[1.0, 0.0]]).unwrap().cholesky().is_err());
}
