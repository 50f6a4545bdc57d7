//! MPQ and POLO where the answers are known: linear systems with quadratic costs, and tables.

use candle_core::Tensor;
use hstep::Result;
use hstep::dynamics::Dynamics;
use hstep::env::native::{DoubleIntegrator, Model};
use hstep::lqr::Matrix;
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{Base, Mppi, MppiConfig, Plan, Planner, Problem, SamplesConfig};
use hstep::rng::{Key, Rng};
use hstep::shape::{Spec, to_f64};
use hstep::value::FnCritic;

pub fn numbers(x: &Tensor) -> Vec<f64> {
    to_f64(x).unwrap()
}

pub fn tensor(data: &[f64], shape: &[usize]) -> Tensor {
    Spec::f64().tensor(data, shape).unwrap()
}

pub fn system() -> DoubleIntegrator {
    DoubleIntegrator { limit: 1.0, dt: 0.5, r: 0.4, ..DoubleIntegrator::default() }
}

pub fn model() -> Model<DoubleIntegrator> {
    Model::new(system(), Spec::f64()).without_clipping()
}

/// `A`, `B`, `Q`, `R` of [`system`].
pub fn matrices() -> [Matrix; 4] {
    let dt = system().dt;
    [
        Matrix::from_rows(&[&[1.0, dt], &[0.0, 1.0]]).unwrap(),
        Matrix::from_rows(&[&[0.5 * dt * dt], &[dt]]).unwrap(),
        Matrix::diagonal(&system().q),
        Matrix::diagonal(&[system().r]),
    ]
}

/// A cost `x' P x + k`.
#[derive(Clone, Debug)]
pub struct Quadratic {
    pub p: Matrix,
    pub k: f64,
}

impl Quadratic {
    fn zero() -> Self {
        Self { p: Matrix::zeros(2, 2), k: 0.0 }
    }

    fn at(&self, x: &[f64]) -> f64 {
        self.p.quadratic(x).unwrap() + self.k
    }

    /// `[x; a]' M [x; a] + k`, the cost of an action and of what follows it, discounted by `gamma`.
    pub fn q(&self, gamma: f64) -> (Matrix, f64) {
        let [a, b, q, r] = matrices();
        let p = self.p.scale(gamma);
        let m = Matrix::from_fn(3, 3, |i, j| match (i < 2, j < 2) {
            (true, true) => q.at(i, j) + p.between(&a, &a).unwrap().at(i, j),
            (true, false) => p.between(&a, &b).unwrap().at(i, 0),
            (false, true) => p.between(&a, &b).unwrap().at(j, 0),
            (false, false) => r.at(0, 0) + p.between(&b, &b).unwrap().at(0, 0),
        });
        (m, gamma * self.k)
    }

    /// The soft value `-lambda log int N(a; 0, sigma^2) exp(-Q(x, a) / lambda) da` before it, and the
    /// gain `a = -K x` of the mean action.
    fn softened(&self, gamma: f64, lambda: f64, sigma: f64) -> (Self, [f64; 2]) {
        let (m, k) = self.q(gamma);
        let stiff = m.at(2, 2) + lambda / (2.0 * sigma * sigma);
        let p = Matrix::from_fn(2, 2, |i, j| m.at(i, j) - m.at(i, 2) * m.at(2, j) / stiff);
        let log = (1.0 + 2.0 * sigma * sigma * m.at(2, 2) / lambda).ln();
        (Self { p, k: k + 0.5 * lambda * log }, [m.at(2, 0) / stiff, m.at(2, 1) / stiff])
    }
}

/// The reward-signed critic of a cost of states and actions.
fn critic(m: &Matrix, k: f64) -> FnCritic<impl Fn(&Tensor, &Tensor) -> Result<Tensor> + use<>> {
    let m = tensor(m.data(), &[3, 3]);
    let function = move |s: &Tensor, a: &Tensor| {
        let x = Tensor::cat(&[s, a], 1)?;
        let cost = (x.matmul(&m)? * &x)?.sum(1)?;
        Ok(cost.affine(-1.0, -k)?.unsqueeze(0)?)
    };
    FnCritic { members: 1, function }
}

fn mppi(count: usize, lambda: f64, sigma: f64) -> Mppi {
    Mppi::new(MppiConfig {
        samples: SamplesConfig { count, limit: f64::INFINITY, ..SamplesConfig::default() },
        iterations: 3,
        temperature: lambda,
        noise: sigma,
        prior_ratio: true,
        ..MppiConfig::default()
    })
}

/// A plan of `horizon` model steps and one more action, ending in the cost `(m, k)`.
fn soft_plan(
    s0: &[f64],
    horizon: usize,
    gamma: f64,
    (m, k): (&Matrix, f64),
    planner: &Mppi,
    key: Key,
) -> Plan {
    let b = s0.len() / 2;
    let (s0, model, critic) = (tensor(s0, &[b, 2]), model(), critic(m, k));
    let objective = HStep {
        dynamics: (horizon > 0).then_some(&model as &dyn Dynamics),
        terminal: Terminal::min_q(&critic),
        horizon,
        gamma,
        cost: Cost::NONE,
    };
    let still = Spec::f64().zeros((b, horizon + 1, 1)).unwrap();
    planner.plan(&Problem { objective, s0: &s0, base: Base::Open(&still) }, key).unwrap()
}

const LAMBDA: f64 = 0.5;
const SIGMA: f64 = 0.8;

/// Relative to the size of the numbers.
pub fn within(got: &[f64], want: &[f64], share: f64, what: &str) {
    let size = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= share * size, "{what}: {got:?} against {want:?}");
    }
}

/// Quadratic monomials of three numbers, and 1.
fn features(x: [f64; 3]) -> [f64; 7] {
    let [a, b, c] = x;
    [a * a, 2.0 * a * b, b * b, 2.0 * a * c, 2.0 * b * c, c * c, 1.0]
}

/// The `w` with `rows w = y` in the least squares.
fn fitted(rows: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let (n, d) = (rows.len(), rows[0].len());
    let x = Matrix::from_fn(n, d, |i, j| rows[i][j]);
    let y = Matrix::from_fn(n, 1, |i, _| y[i]);
    let normal = x.t().mul(&x).unwrap();
    normal.solve(&x.t().mul(&y).unwrap()).unwrap().data().to_vec()
}

/// Fitted Q iteration on free energies of one action: soft Q-learning on quadratic features settles on
/// the soft Riccati solution, in matrix, constant and mean action.
#[test]
fn free_energies_of_one_action_settle_on_the_soft_riccati_solution() {
    let gamma = 0.9;
    let mut exact = Quadratic::zero();
    for _ in 0..400 {
        exact = exact.softened(gamma, LAMBDA, SIGMA).0;
    }
    let gain = exact.softened(gamma, LAMBDA, SIGMA).1;
    let mut rng = Rng::new(2);
    let points: Vec<[f64; 3]> = (0..16).map(|_| [(); 3].map(|()| 1.5 * rng.normal())).collect();
    let [a, b, q, r] = matrices();
    let after =
        |[x, v, u]: [f64; 3]| [0, 1].map(|i| a.at(i, 0) * x + a.at(i, 1) * v + b.at(i, 0) * u);
    let rows: Vec<Vec<f64>> = points.iter().map(|x| features(*x).to_vec()).collect();
    let next: Vec<f64> = points.iter().flat_map(|x| after(*x)).collect();
    let planner = mppi(4000, LAMBDA, SIGMA);
    let (mut m, mut k) = (Matrix::zeros(3, 3), 0.0);
    for _ in 0..80 {
        let plan = soft_plan(&next, 0, gamma, (&m, k), &planner, rng.key());
        let y: Vec<f64> = points
            .iter()
            .zip(numbers(&plan.value))
            .map(|([x, v, u], value)| {
                q.quadratic(&[*x, *v]).unwrap() + r.at(0, 0) * u * u - gamma * value
            })
            .collect();
        let w = fitted(&rows, &y);
        let at = [[0, 1, 3], [1, 2, 4], [3, 4, 5]];
        m = Matrix::from_fn(3, 3, |i, j| w[at[i][j]]);
        k = w[6];
    }
    let (want, constant) = exact.q(gamma);
    within(m.data(), want.data(), 0.01, "matrix");
    within(&[k], &[constant], 0.01, "constant");
    let plan = soft_plan(
        &[1.0, 0.0, 0.0, 1.0],
        0,
        gamma,
        (&m, k),
        &mppi(100_000, LAMBDA, SIGMA),
        rng.key(),
    );
    let mean: Vec<f64> = numbers(&plan.mean).iter().map(|a| -a).collect();
    within(&mean, &gain, 0.01, "mean action");
}

/// Without a discount the free energy over one action and over four is the same value.
#[test]
fn without_a_discount_every_horizon_has_the_same_free_energy() {
    let mut values = vec![Quadratic::zero()];
    for _ in 0..6 {
        let next = values.last().unwrap().softened(1.0, LAMBDA, SIGMA).0;
        values.push(next);
    }
    // Five steps to go: one action and the value of four more, or four and that of one.
    let states = [1.0, -0.5, 0.3, 0.8];
    let want: Vec<f64> = states.chunks(2).map(|x| -values[5].at(x)).collect();
    for (horizon, rest) in [(0, 4), (3, 1)] {
        let (m, k) = values[rest].q(1.0);
        let plan = soft_plan(
            &states,
            horizon,
            1.0,
            (&m, k),
            &mppi(100_000, LAMBDA, SIGMA),
            Rng::new(4).key(),
        );
        within(&numbers(&plan.value), &want, 0.01, "value");
    }
}

/// The free energy `-lambda log int N(X; 0, sigma^2) exp(-C(X) / lambda) dX` of a quadratic cost of `n`
/// actions.
fn integral(n: usize, cost: &dyn Fn(&[f64]) -> f64) -> f64 {
    let at = |i: usize, by: f64, j: usize, too: f64| {
        let mut x = vec![0.0; n];
        x[i] += by;
        x[j] += too;
        cost(&x)
    };
    let still = cost(&vec![0.0; n]);
    let slope = Matrix::from_fn(n, 1, |i, _| 0.5 * (at(i, 1.0, i, 0.0) - at(i, -1.0, i, 0.0)));
    let bend = Matrix::from_fn(n, n, |i, j| {
        0.25 * (at(i, 1.0, j, 1.0) - at(i, 1.0, j, -1.0) - at(i, -1.0, j, 1.0)
            + at(i, -1.0, j, -1.0))
            / 2.0
    });
    let variance = SIGMA * SIGMA;
    let stiff = bend.add(LAMBDA / (2.0 * variance), &Matrix::identity(n)).unwrap();
    let root = stiff.scale(2.0 * variance / LAMBDA).cholesky().unwrap();
    let log_det: f64 = (0..n).map(|i| 2.0 * root.at(i, i).ln()).sum();
    let most = slope.t().mul(&stiff.solve(&slope).unwrap()).unwrap().at(0, 0);
    still + 0.5 * LAMBDA * log_det - 0.25 * most
}

/// With a discount a plan of several actions pays for every divergence in full, the soft value pays for
/// later ones less: the plan's free energy is above it, by what two Gaussian integrals differ.
#[test]
fn with_a_discount_the_undiscounted_divergence_is_an_excess() {
    let gamma = 0.8;
    let mut exact = Quadratic::zero();
    for _ in 0..300 {
        exact = exact.softened(gamma, LAMBDA, SIGMA).0;
    }
    let (m, k) = exact.q(gamma);
    let [a, b, q, r] = matrices();
    for state in [[1.5, -0.5], [0.4, 1.2]] {
        let cost = |horizon: usize, actions: &[f64]| {
            let (mut x, mut total, mut weight) = (state.to_vec(), 0.0, 1.0);
            for u in &actions[..horizon] {
                total += weight * (q.quadratic(&x).unwrap() + r.at(0, 0) * u * u);
                x = [0, 1].map(|i| a.at(i, 0) * x[0] + a.at(i, 1) * x[1] + b.at(i, 0) * u).to_vec();
                weight *= gamma;
            }
            total + weight * (m.quadratic(&[x[0], x[1], actions[horizon]]).unwrap() + k)
        };
        let one = integral(1, &|x| cost(0, x));
        assert!((one - exact.at(&state)).abs() < 1e-9);
        let mut before = one;
        for horizon in [1, 3] {
            let want = integral(horizon + 1, &|x| cost(horizon, x));
            assert!(want > before + 1e-3, "{want} after {before}");
            let planner = mppi(100_000, LAMBDA, SIGMA);
            let plan = soft_plan(&state, horizon, gamma, (&m, k), &planner, Rng::new(7).key());
            let got = -numbers(&plan.value)[0];
            assert!((got - want).abs() < 0.05 * (want - one), "{got} against {want}, {one}");
            before = want;
        }
    }
}
