//! MPQ and POLO where the answers are known: linear systems with quadratic costs, and tables.

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use hstep::Result;
use hstep::dynamics::{Dynamics, FnDynamics, Given, StepNoise, Transition};
use hstep::env::native::{DoubleIntegrator, Model};
use hstep::lqr::{Lqr, Matrix};
use hstep::nn::{AdamConfig, NamedParams};
use hstep::objective::{Cost, HStep, Normals, Terminal};
use hstep::parts::{MODEL, Parts, VALUE, ValuePart};
use hstep::planner::{Base, MemberChoice, Mppi, MppiConfig, Plan, Planner, Problem, SamplesConfig};
use hstep::replay::{Batch, Start};
use hstep::rng::{Key, Rng};
use hstep::schedule::Schedule;
use hstep::shape::{Spec, to_f64};
use hstep::uses::{
    Ask, Behave, BestKept, KeepConfig, Memory, Moment, PlanConfig, PlanFirst, PlanStart,
    PlanTerminal, Rollouts, Target,
};
use hstep::value::{FnCritic, LearnedValue, Value};

fn numbers(x: &Tensor) -> Vec<f64> {
    to_f64(x).unwrap()
}

fn tensor(data: &[f64], shape: &[usize]) -> Tensor {
    Spec::f64().tensor(data, shape).unwrap()
}

fn system() -> DoubleIntegrator {
    DoubleIntegrator { limit: 1.0, dt: 0.5, r: 0.4, ..DoubleIntegrator::default() }
}

fn model() -> Model<DoubleIntegrator> {
    Model::new(system(), Spec::f64()).without_clipping()
}

/// `A`, `B`, `Q`, `R` of [`system`].
fn matrices() -> [Matrix; 4] {
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
struct Quadratic {
    p: Matrix,
    k: f64,
}

impl Quadratic {
    fn zero() -> Self {
        Self { p: Matrix::zeros(2, 2), k: 0.0 }
    }

    fn at(&self, x: &[f64]) -> f64 {
        self.p.quadratic(x).unwrap() + self.k
    }

    /// `[x; a]' M [x; a] + k`, the cost of an action and of what follows it, discounted by `gamma`.
    fn q(&self, gamma: f64) -> (Matrix, f64) {
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
fn within(got: &[f64], want: &[f64], share: f64, what: &str) {
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

/// A value of a closure, which no gradient trains.
#[derive(Clone)]
struct Set<F>(F);

impl<F: Fn(&Tensor) -> Result<Tensor> + Send + Sync> Value for Set<F> {
    fn value(&self, obs: &Tensor) -> Result<Tensor> {
        (self.0)(obs)
    }
}

impl<F: Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static> LearnedValue for Set<F> {
    fn params(&self) -> NamedParams<'_> {
        Vec::new()
    }

    fn tracked(&self, obs: &Tensor) -> Result<Tensor> {
        self.values(obs)
    }

    fn copy(&self) -> Result<Box<dyn LearnedValue>> {
        Ok(Box::new(self.clone()))
    }
}

fn parts_of(
    value: impl Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static,
    dynamics: Box<dyn Dynamics>,
) -> Parts {
    let value = ValuePart::new(Set(value), &AdamConfig::default(), None).unwrap();
    let model = Given { name: "known".into(), dynamics };
    Parts {
        gamma: GAMMA,
        action_dim: 1,
        values: [(VALUE.to_string(), value)].into(),
        models: [(MODEL.to_string(), Box::new(model) as Box<dyn hstep::dynamics::Model>)].into(),
        ..Parts::default()
    }
}

const GAMMA: f64 = 0.95;

/// A planner whose candidates are given, `[B,K,N,1]` for start states `[B,S]`.
struct Candidates<F>(F);

impl<F: Fn(&[f64]) -> Vec<f64> + Send + Sync> Planner for Candidates<F> {
    fn describe(&self) -> String {
        "given".into()
    }

    fn validate(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn plan(&self, problem: &Problem, _: Key) -> Result<Plan> {
        let (b, s) = problem.s0.dims2()?;
        let n = problem.objective.horizon;
        let all: Vec<f64> = numbers(problem.s0).chunks(s).flat_map(|x| (self.0)(x)).collect();
        let k = all.len() / (b * n);
        let samples = tensor(&all, &[b, k, n, 1]);
        let first = samples.narrow(1, 0, 1)?.squeeze(1)?;
        let wide = problem.s0.repeat((1, k))?.reshape((b * k, s))?;
        let flat = samples.reshape((b * k, n, 1))?;
        let returns = problem.objective.objective(
            &wide,
            hstep::objective::Actions::Open(&flat),
            &hstep::objective::Noise::default(),
        )?;
        let returns = returns.reshape((b, k))?;
        Ok(Plan {
            actions: first.clone(),
            mean: first,
            around_policy: false,
            policy_noise: Normals::Zero,
            members: MemberChoice::Step,
            limit: f64::INFINITY,
            weights: returns.ones_like()?,
            log_normaliser: returns.max(1)?,
            value: returns.max(1)?,
            effective_samples: returns.max(1)?,
            samples,
            returns,
            model_steps: 0,
        })
    }
}

/// POLO's targets at `states` `[B,S]`: what acting there keeps, valued by the parts.
fn targets(
    parts: &Parts,
    planner: impl Planner + 'static,
    states: &Tensor,
    steps: usize,
    rollouts: usize,
) -> Vec<f64> {
    let config = PlanConfig {
        horizon: Schedule::Constant(steps as f64),
        gamma: GAMMA,
        terminal: PlanTerminal::Value,
        start: PlanStart::Zero,
        optimism: Some(1e-7),
        literal: None,
        keep: Some(KeepConfig { rollouts, steps }),
    };
    let behave = PlanFirst::new(config, planner);
    let key = Rng::new(1).key();
    let at = Moment { step: 0, explore: true, key };
    let acted = behave.act(parts, &Start::of(states, None), &mut Memory::default(), at).unwrap();
    let names = behave.columns(states.dim(1).unwrap());
    let own = names.into_iter().map(|(name, _)| name).zip(acted.columns).collect();
    let b = states.dim(0).unwrap();
    let zeros = Spec::f64().zeros(b).unwrap();
    let batch = Batch {
        obs: states.clone(),
        action: Spec::f64().zeros((b, 1)).unwrap(),
        reward: zeros.clone(),
        next_obs: states.clone(),
        cont: zeros.ones_like().unwrap(),
        own,
    };
    let left = Rollouts::new();
    let ask = Ask { parts, batch: &batch, key, rollouts: &left };
    numbers(&BestKept { steps, gamma: GAMMA }.targets(&ask).unwrap().y)
}

/// One step of value iteration on costs `x' P x`: the matrix before, and the gain.
fn riccati_step(p: &Matrix) -> (Matrix, [f64; 2]) {
    let (m, _) = Quadratic { p: p.clone(), k: 0.0 }.q(GAMMA);
    let stiff = m.at(2, 2);
    let before = Matrix::from_fn(2, 2, |i, j| m.at(i, j) - m.at(i, 2) * m.at(2, j) / stiff);
    (before, [m.at(2, 0) / stiff, m.at(2, 1) / stiff])
}

/// With one member, no prior, quadratic features and an exact planner POLO is value iteration, N steps
/// at a time, and ends at the Riccati solution.
#[test]
fn polo_with_an_exact_planner_is_value_iteration() {
    let n = 3;
    let now = Arc::new(Mutex::new(Matrix::zeros(2, 2)));
    let of_value = Arc::clone(&now);
    let value = move |x: &Tensor| -> Result<Tensor> {
        let p = tensor(of_value.lock().unwrap().data(), &[2, 2]);
        Ok((x.matmul(&p)? * x)?.sum(1)?.neg()?)
    };
    let parts = parts_of(value, Box::new(model()));
    let [a, b, q, r] = matrices();
    let states = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let mut expected = Matrix::zeros(2, 2);
    for round in 0..60 {
        let gains: Vec<[f64; 2]> = {
            let mut p = now.lock().unwrap().clone();
            let mut gains: Vec<[f64; 2]> = (0..n)
                .map(|_| {
                    let (before, gain) = riccati_step(&p);
                    p = before;
                    gain
                })
                .collect();
            gains.reverse();
            gains
        };
        let (a, b) = (a.clone(), b.clone());
        let exact = Candidates(move |s: &[f64]| {
            let mut x = [s[0], s[1]];
            gains
                .iter()
                .map(|gain| {
                    let u = -gain[0] * x[0] - gain[1] * x[1];
                    x = [0, 1].map(|i| a.at(i, 0) * x[0] + a.at(i, 1) * x[1] + b.at(i, 0) * u);
                    u
                })
                .collect()
        });
        let y = targets(&parts, exact, &tensor(&states, &[3, 2]), n, 1);
        // Three targets are three coefficients: the features fit them exactly.
        let cross = 0.5 * (-y[2] + y[0] + y[1]);
        let p = Matrix::from_rows(&[&[-y[0], cross], &[cross, -y[1]]]).unwrap();
        for _ in 0..n {
            expected = riccati_step(&expected).0;
        }
        within(p.data(), expected.data(), 1e-6, &format!("round {round}"));
        *now.lock().unwrap() = p;
    }
    let (_, p) = Lqr::new(a, b, q, r, GAMMA).unwrap().riccati().unwrap();
    within(now.lock().unwrap().data(), p.data(), 1e-6, "Riccati");
}

/// A random deterministic task of so many states and two actions: rewards and successors.
fn task(states: usize, rng: &mut Rng) -> Vec<[(f64, usize); 2]> {
    let mut draw = || (rng.normal(), (rng.uniform() * states as f64) as usize % states);
    (0..states).map(|_| [draw(), draw()]).collect()
}

/// Targets of N steps contract by `gamma^N`, and a shift of the values is passed on by exactly that.
#[test]
fn targets_of_n_steps_contract_by_the_nth_power() {
    let (states, mut rng) = (7, Rng::new(13));
    let task = Arc::new(task(states, &mut rng));
    let steps_of = Arc::clone(&task);
    // A state is one-hot; an action of 0 or above is the second.
    let dynamics = move || {
        let task = Arc::clone(&steps_of);
        let step = move |s: &Tensor, a: &Tensor, _: &StepNoise| {
            let (mut next, mut reward) = (Vec::new(), Vec::new());
            for (s, a) in numbers(s).chunks(states).zip(numbers(a)) {
                let now = s.iter().position(|x| *x > 0.5).unwrap();
                let (r, to) = task[now][usize::from(a >= 0.0)];
                next.extend((0..states).map(|i| f64::from(u8::from(i == to))));
                reward.push(r);
            }
            let b = reward.len();
            let reward = tensor(&reward, &[b]);
            let cont = reward.ones_like()?;
            Ok(Transition { next: tensor(&next, &[b, states]), reward, cont })
        };
        FnDynamics::new(states, 1, Spec::f64(), step)
    };
    let all = Tensor::eye(states, candle_core::DType::F64, &candle_core::Device::Cpu).unwrap();
    for n in [1, 2, 4] {
        let backed_up = |table: &[f64]| {
            let table = tensor(table, &[states, 1]);
            let value = move |x: &Tensor| -> Result<Tensor> { Ok(x.matmul(&table)?.squeeze(1)?) };
            let every = Candidates(move |_: &[f64]| {
                let bit = |sequence: usize, t: usize| 2.0 * ((sequence >> t & 1) as f64) - 1.0;
                (0..1 << n).flat_map(|i| (0..n).map(move |t| bit(i, t))).collect()
            });
            targets(&parts_of(value, Box::new(dynamics())), every, &all, n, 1 << n)
        };
        // Against n steps of tabular value iteration.
        let first: Vec<f64> = (0..states).map(|_| 3.0 * rng.normal()).collect();
        let mut want = first.clone();
        for _ in 0..n {
            want = task
                .iter()
                .map(|own| own.iter().map(|(r, to)| r + GAMMA * want[*to]).fold(f64::MIN, f64::max))
                .collect();
        }
        within(&backed_up(&first), &want, 1e-12, "value iteration");
        let rate = GAMMA.powi(n as i32);
        let apart =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        for _ in 0..5 {
            let other: Vec<f64> = (0..states).map(|_| 3.0 * rng.normal()).collect();
            let contracted = apart(&backed_up(&first), &backed_up(&other));
            assert!(contracted <= rate * apart(&first, &other) + 1e-12);
        }
        let shifted: Vec<f64> = first.iter().map(|v| v + 2.0).collect();
        let passed = apart(&backed_up(&first), &backed_up(&shifted));
        assert!((passed - 2.0 * rate).abs() < 1e-12, "{passed}");
    }
}
