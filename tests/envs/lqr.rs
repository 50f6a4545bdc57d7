//! LQR's closed forms against their equations, against simulation, and against numbers from SciPy.

use hstep::Error;
use hstep::dynamics::{Dynamics, StepNoise};
use hstep::env::native::{DoubleIntegrator, Model};
use hstep::lqr::{Lqr, Matrix};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

/// A random system of 3 states and 2 inputs, unstable without control.
pub fn random(seed: u64, gamma: f64) -> Lqr {
    let mut rng = Rng::new(seed);
    let mut draw = |rows, cols, scale: f64| {
        let data: Vec<f64> = (0..rows * cols).map(|_| scale * rng.normal()).collect();
        Matrix::from_fn(rows, cols, |i, j| data[i * cols + j])
    };
    let (a, b) = (draw(3, 3, 0.7), draw(3, 2, 1.0));
    let (q, r) = (draw(3, 3, 1.0), draw(2, 2, 1.0));
    let q = q.t().mul(&q).unwrap();
    let r = r.t().mul(&r).unwrap().add(0.1, &Matrix::identity(2)).unwrap();
    Lqr::new(a, b, q, r, gamma).unwrap()
}

pub fn difference(a: &Matrix, b: &Matrix) -> f64 {
    a.add(-1.0, b).unwrap().max_abs() / (1.0 + b.max_abs())
}

fn times(m: &Matrix, x: &[f64]) -> Vec<f64> {
    let x = Matrix::from_fn(x.len(), 1, |i, _| x[i]);
    m.mul(&x).unwrap().data().to_vec()
}

/// The discounted cost of `u = -K x` from `x` by simulation, after a given first action.
pub fn simulate(lqr: &Lqr, k: &Matrix, x: &[f64], first: Option<&[f64]>) -> f64 {
    let (mut x, mut discount, mut total) = (x.to_vec(), 1.0, 0.0);
    for t in 0..4000 {
        let u: Vec<f64> = match first {
            Some(u) if t == 0 => u.to_vec(),
            _ => times(k, &x).iter().map(|u| -u).collect(),
        };
        total += discount * (lqr.q.quadratic(&x).unwrap() + lqr.r.quadratic(&u).unwrap());
        x = times(&lqr.a, &x).iter().zip(times(&lqr.b, &u)).map(|(x, u)| x + u).collect();
        discount *= lqr.gamma;
    }
    total
}

#[test]
fn riccati_is_a_fixed_point_and_no_gain_is_better() {
    for seed in 0..10 {
        for gamma in [0.5, 0.9, 0.99, 1.0] {
            let lqr = random(seed, gamma);
            let (k, p) = lqr.riccati().unwrap();
            // K from P by its own formula, and P as the cost of K.
            let inner = lqr.r.add(gamma, &p.between(&lqr.b, &lqr.b).unwrap()).unwrap();
            let right = p.between(&lqr.b, &lqr.a).unwrap().scale(gamma);
            assert!(difference(&inner.mul(&k).unwrap(), &right) < 1e-11);
            assert!(difference(&lqr.evaluate(&k).unwrap(), &p) < 1e-10, "{seed} {gamma}");
            // The same K is the minimiser of its own action-cost in u: M_uu K = M_ux.
            let m = lqr.q_function(&k).unwrap();
            let uu = Matrix::from_fn(2, 2, |i, j| m.at(3 + i, 3 + j));
            let ux = Matrix::from_fn(2, 3, |i, j| m.at(3 + i, j));
            assert!(difference(&uu.solve(&ux).unwrap(), &k) < 1e-9);
            let mut rng = Rng::new(seed);
            let x = [rng.normal(), rng.normal(), rng.normal()];
            for _ in 0..5 {
                let other = Matrix::from_fn(2, 3, |i, j| k.at(i, j));
                let bend: Vec<f64> = (0..6).map(|_| 1e-3 * rng.normal()).collect();
                let other = other.add(1.0, &Matrix::from_fn(2, 3, |i, j| bend[3 * i + j])).unwrap();
                let cost = lqr.evaluate(&other).unwrap().quadratic(&x).unwrap();
                assert!(cost >= p.quadratic(&x).unwrap());
            }
        }
    }
}

#[test]
fn evaluation_is_lyapunovs_equation_and_the_simulated_cost() {
    for seed in 0..5 {
        let lqr = random(seed, 0.95);
        let k = lqr.riccati().unwrap().0.scale(0.9);
        let p = lqr.evaluate(&k).unwrap();
        let closed = lqr.closed_loop(&k).unwrap();
        let tail = p.between(&closed, &closed).unwrap();
        assert!(difference(&lqr.stage(&k).unwrap().add(0.95, &tail).unwrap(), &p) < 1e-12);

        let (x, u) = ([0.3, -1.2, 0.7], [0.5, -0.4]);
        let cost = simulate(&lqr, &k, &x, None);
        assert!((p.quadratic(&x).unwrap() - cost).abs() < 1e-9 * cost);
        let m = lqr.q_function(&k).unwrap();
        let cost = simulate(&lqr, &k, &x, Some(&u));
        let xu = [x.as_slice(), &u].concat();
        assert!((m.quadratic(&xu).unwrap() - cost).abs() < 1e-9 * cost);
        assert_eq!(m, m.t());
    }
}

/// SciPy 1.17.1: `solve_discrete_are(sqrt(g) A, sqrt(g) B, Q, R)` for `P`, `K` from it, and
/// `solve_discrete_lyapunov` for the cost of the gain `[1, 1.2]`.
#[test]
fn the_double_integrator_has_the_gains_and_costs_of_scipy() {
    for (gamma, r, gain, cost, of_given) in [
        (
            0.95,
            0.1,
            [2.240955008414116, 2.08696546714203],
            [7.484541161154151, 2.5651820664718263, 2.5651820664718263, 2.3152245704656225],
            [8.334895431757829, 3.356335937157417, 3.356335937157417, 3.183540351862962],
        ),
        (
            0.99,
            0.01,
            [7.426194174574069, 4.5121685844186015],
            [5.876375481617218, 0.9864381915382677, 0.9864381915382677, 0.6005387680187743],
            [10.142326240691768, 4.298808988057598, 4.298808988057598, 3.8878412477309503],
        ),
    ] {
        let lqr = DoubleIntegrator { r, ..DoubleIntegrator::default() }.lqr(gamma).unwrap();
        let (k, p) = lqr.riccati().unwrap();
        let given = lqr.evaluate(&Matrix::from_rows(&[&[1.0, 1.2]]).unwrap()).unwrap();
        assert!(difference(&k, &Matrix::from_rows(&[&gain]).unwrap()) < 1e-12);
        assert!(difference(&p, &Matrix::from_rows(&[&cost[..2], &cost[2..]]).unwrap()) < 1e-12);
        let rows = [&of_given[..2], &of_given[2..]];
        assert!(difference(&given, &Matrix::from_rows(&rows).unwrap()) < 1e-12);
    }
}

#[test]
fn the_model_without_clipping_is_the_linear_system() {
    let task = DoubleIntegrator::default();
    let (lqr, spec) = (task.lqr(0.95).unwrap(), Spec::f64());
    let model = Model::new(task, spec.clone()).without_clipping();
    let (k, p) = lqr.riccati().unwrap();
    let mut x = vec![3.0, 4.0];
    let (mut total, mut discount) = (0.0, 1.0);
    for t in 0..600 {
        let u = -times(&k, &x)[0];
        assert!(t > 0 || u.abs() > task.limit, "the start must need more than the limit");
        let step = model
            .step(
                &spec.tensor(&x, (1, 2)).unwrap(),
                &spec.tensor(&[u / task.limit], (1, 1)).unwrap(),
                &StepNoise::default(),
            )
            .unwrap();
        total -= discount * to_f64(&step.reward).unwrap()[0];
        x = to_f64(&step.next).unwrap();
        discount *= 0.95;
    }
    let cost = p.quadratic(&[3.0, 4.0]).unwrap();
    assert!((total - cost).abs() < 1e-9 * cost, "{total} simulated, {cost} by Riccati");
}

#[test]
fn what_has_no_answer_is_refused_with_a_reason() {
    let one = |x: f64| Matrix::diagonal(&[x]);
    let scalar = |a: f64, b: f64, gamma| Lqr::new(one(a), one(b), one(1.0), one(1.0), gamma);
    // Unstable and not controllable: sqrt(gamma) * 2 > 1.
    let hopeless = scalar(2.0, 0.0, 0.9).unwrap();
    let said = |e: Error| e.to_string();
    assert!(said(hopeless.riccati().unwrap_err()).contains("stabilisable"));
    assert!(said(hopeless.evaluate(&one(0.0)).unwrap_err()).contains("infinite"));
    // Discounted enough, the same gain has a finite cost: 1 / (1 - 4 gamma).
    let p = scalar(2.0, 0.0, 0.2).unwrap().evaluate(&one(0.0)).unwrap();
    assert!((p.at(0, 0) - 5.0).abs() < 1e-12);
    for gamma in [0.0, 1.1, f64::NAN] {
        assert!(said(scalar(1.0, 1.0, gamma).unwrap_err()).contains("gamma"));
    }
    let wide = Matrix::zeros(1, 2);
    assert!(matches!(Lqr::new(wide, one(1.0), one(1.0), one(1.0), 0.9), Err(Error::Shape { .. })));
    assert!(matches!(hopeless.evaluate(&Matrix::zeros(2, 1)), Err(Error::Shape { .. })));
    assert!(one(0.0).solve(&one(1.0)).is_err() && one(f64::NAN).solve(&one(1.0)).is_err());
}

#[test]
fn solving_needs_and_uses_pivots() {
    let a = Matrix::from_rows(&[&[0.0, 2.0, 1.0], &[1e-18, 1.0, 3.0], &[4.0, 1.0, 1.0]]).unwrap();
    let x = Matrix::from_rows(&[&[1.0, -2.0], &[0.5, 3.0], &[-1.5, 0.25]]).unwrap();
    assert!(difference(&a.solve(&a.mul(&x).unwrap()).unwrap(), &x) < 1e-14);
    assert!(Matrix::from_rows(&[&[1.0, 2.0], &[3.0]]).is_err());
}
