//! Linear systems, quadratic values and short ways to plan that the tests of planners share.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, Ensemble, EnsembleConfig, FnDynamics, StepNoise, Transition};
use hstep::env::Known;
use hstep::env::native::{DoubleIntegrator, Model};
use hstep::lqr::{Lqr, Matrix};
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{
    Base, MirrorDescent, MirrorDescentConfig, Mppi, MppiConfig, Plan, Planner, Problem,
    SamplesConfig,
};
use hstep::policy::{ActorConfig, SquashedGaussian};
use hstep::rng::{Key, Rng};
use hstep::shape::{Spec, to_f64};
use hstep::value::{Critic, FnCritic, FnValue, Value};

pub fn numbers(t: &Tensor) -> Vec<f64> {
    to_f64(t).unwrap()
}

pub fn tensor(data: &[f64], shape: &[usize]) -> Tensor {
    Spec::f64().tensor(data, shape).unwrap()
}

pub fn matrix(m: &Matrix) -> Tensor {
    Spec::f64().tensor(m.data(), m.dims()).unwrap()
}

pub fn normals(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normals(shape, &Spec::f64()).unwrap()
}

pub fn key(seed: u64) -> Key {
    Rng::new(seed).key()
}

pub fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let near = g == w || (g - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(near, "{what} [{i}]: {g} against {w}");
    }
}

/// `count` sequences, `particles` rollouts each, clipped to `limit`.
pub fn samples(count: usize, particles: usize, limit: f64) -> SamplesConfig {
    SamplesConfig { count, particles, limit, ..SamplesConfig::default() }
}

pub fn mppi(config: &MppiConfig, objective: HStep, s0: &Tensor, base: Base, key: Key) -> Plan {
    Mppi::new(config.clone()).plan(&Problem { objective, s0, base }, key).unwrap()
}

pub fn descent(
    config: &MirrorDescentConfig,
    objective: HStep,
    s0: &Tensor,
    base: Base,
    key: Key,
) -> Plan {
    MirrorDescent::new(config.clone()).plan(&Problem { objective, s0, base }, key).unwrap()
}

/// A linear system with its Riccati solution, as dynamics and terminal value.
pub struct System {
    pub lqr: Lqr,
    /// Gain, and cost matrix: `V*(s) = -s' P s`.
    pub k: Matrix,
    pub p: Matrix,
    pub model: Box<dyn Dynamics>,
    pub value: Box<dyn Value>,
}

impl System {
    fn new(lqr: Lqr, model: Box<dyn Dynamics>) -> Self {
        let (k, p) = lqr.riccati().unwrap();
        let cost = matrix(&p);
        let value = FnValue(move |s: &Tensor| Ok((s.matmul(&cost)? * s)?.sum(1)?.neg()?));
        Self { lqr, k, p, model, value: Box::new(value) }
    }

    /// The native double integrator; actions are forces in their own units, not clipped.
    pub fn integrator() -> Self {
        let physics = DoubleIntegrator { limit: 1.0, ..DoubleIntegrator::default() };
        let model = Model::new(physics, Spec::f64()).without_clipping();
        Self::new(physics.lqr(0.95).unwrap(), Box::new(model))
    }

    /// Four states and two inputs, drawn; `A` has the norm 1.05.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let a = Matrix::normal(4, 4, &mut rng);
        let a = a.scale(1.05 / a.spectral_norm().unwrap());
        let b = Matrix::normal(4, 2, &mut rng).scale(0.5);
        let (q, r) = (Matrix::identity(4), Matrix::diagonal(&[0.5, 0.3]));
        let lqr = Lqr::new(a, b, q, r, 0.9).unwrap();
        let [a, b, q, r] = [lqr.a.t(), lqr.b.t(), lqr.q.clone(), lqr.r.clone()].map(|m| matrix(&m));
        let step = move |s: &Tensor, u: &Tensor, _: &StepNoise| {
            let cost = ((s.matmul(&q)? * s)?.sum(1)? + (u.matmul(&r)? * u)?.sum(1)?)?;
            Ok(Transition {
                next: (s.matmul(&a)? + u.matmul(&b)?)?,
                cont: cost.ones_like()?,
                reward: cost.neg()?,
            })
        };
        Self::new(lqr, Box::new(FnDynamics::new(4, 2, Spec::f64(), step)))
    }

    /// `J_H` that ends in the exact value.
    pub fn objective(&self, horizon: usize) -> HStep<'_> {
        HStep {
            dynamics: Some(self.model.as_ref()),
            terminal: Terminal::State(self.value.as_ref()),
            horizon,
            gamma: self.lqr.gamma,
            cost: Cost::NONE,
        }
    }

    /// `-K s`.
    pub fn optimal_action(&self, s: &[f64]) -> Vec<f64> {
        self.k.mul(&column(s)).unwrap().scale(-1.0).data().to_vec()
    }

    /// `J_H` of the stacked actions `x`: `constant + slope' x - x' curvature x / 2`, from the
    /// matrices alone.
    pub fn quadratic(&self, s0: &[f64], horizon: usize) -> Quadratic {
        let Lqr { a, b, q, r, gamma } = &self.lqr;
        let (n, m) = b.dims();
        let width = horizon * m;
        // The state is `free + reach x`.
        let (mut free, mut reach) = (column(s0), Matrix::zeros(n, width));
        let mut out = Quadratic {
            constant: 0.0,
            slope: Matrix::zeros(width, 1),
            curvature: Matrix::zeros(width, width),
        };
        for t in 0..=horizon {
            let discount = gamma.powi(t as i32);
            let cost = if t == horizon { &self.p } else { q };
            out.constant -= discount * cost.quadratic(free.data()).unwrap();
            out.slope =
                out.slope.add(-2.0 * discount, &cost.between(&reach, &free).unwrap()).unwrap();
            let states = cost.between(&reach, &reach).unwrap();
            out.curvature = out.curvature.add(2.0 * discount, &states).unwrap();
            if t < horizon {
                let pick = Matrix::from_fn(m, width, |i, j| f64::from(u8::from(j == t * m + i)));
                let actions = r.between(&pick, &pick).unwrap();
                out.curvature = out.curvature.add(2.0 * discount, &actions).unwrap();
                free = a.mul(&free).unwrap();
                reach = a.mul(&reach).unwrap().add(1.0, &b.mul(&pick).unwrap()).unwrap();
            }
        }
        out
    }
}

pub fn column(x: &[f64]) -> Matrix {
    Matrix::from_fn(x.len(), 1, |i, _| x[i])
}

/// `constant + slope' x - x' curvature x / 2`.
pub struct Quadratic {
    pub constant: f64,
    pub slope: Matrix,
    pub curvature: Matrix,
}

impl Quadratic {
    pub fn at(&self, x: &[f64]) -> f64 {
        let linear = self.slope.t().mul(&column(x)).unwrap().at(0, 0);
        self.constant + linear - 0.5 * self.curvature.quadratic(x).unwrap()
    }

    pub fn maximiser(&self) -> Vec<f64> {
        self.curvature.solve(&self.slope).unwrap().data().to_vec()
    }

    /// Mean and log-normaliser of `N(x; 0, sigma^2) exp(J(x) / lambda) / Z`. The exponent is
    /// quadratic, so the tilted density is Gaussian with precision `1 / sigma^2 + curvature /
    /// lambda`.
    pub fn tilted(&self, sigma: f64, lambda: f64) -> (Vec<f64>, f64) {
        let width = self.slope.dims().0;
        let prior = Matrix::identity(width).scale(1.0 / (sigma * sigma));
        let precision = prior.add(1.0 / lambda, &self.curvature).unwrap();
        let slope = self.slope.scale(1.0 / lambda);
        let mean = precision.solve(&slope).unwrap();
        let root = precision.scale(sigma * sigma).cholesky().unwrap();
        let half_log_det: f64 = (0..width).map(|i| root.at(i, i).ln()).sum();
        let square = slope.t().mul(&mean).unwrap().at(0, 0);
        (mean.data().to_vec(), self.constant / lambda + 0.5 * square - half_log_det)
    }
}

/// `Q(s, a) = -k/2 |a - goal|^2`.
pub fn bowl(k: f64, goal: f64) -> impl Critic {
    let function =
        move |_: &Tensor, a: &Tensor| Ok(((a - goal)?.sqr()?.sum(1)? * (-0.5 * k))?.unsqueeze(0)?);
    FnCritic { members: 1, function }
}

/// Standard error of a self-normalised weighted mean: the square root of
/// `sum_k w_k^2 (x_k - m)^2`.
pub fn standard_error(weights: &[f64], x: &[f64], mean: f64) -> f64 {
    weights.iter().zip(x).map(|(w, x)| (w * (x - mean)).powi(2)).sum::<f64>().sqrt()
}

/// Mean and standard error of independent numbers.
pub fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

pub const OBS: usize = 3;
pub const ACT: usize = 2;

/// An ensemble as it is initialised: its members differ, and all are noisy.
pub fn ensemble(hidden: &[usize], spec: &Spec) -> Ensemble {
    let config = EnsembleConfig {
        members: 4,
        elites: 3,
        hidden: hidden.to_vec(),
        weight_decay: vec![0.0; hidden.len() + 1],
        ..EnsembleConfig::default()
    };
    Ensemble::new(&config, OBS, ACT, Known::default(), &mut Rng::new(71), spec).unwrap()
}

pub fn policy(spec: &Spec) -> SquashedGaussian {
    let config = ActorConfig { hidden: vec![6], ..ActorConfig::default() };
    SquashedGaussian::new(&config, OBS, ACT, &mut Rng::new(72), spec).unwrap()
}
