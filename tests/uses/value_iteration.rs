//! POLO where it can be known: with an exact planner it is value iteration.

use candle_core::Tensor;
use hstep::Result;
use hstep::dynamics::{Dynamics, FnDynamics, Given, StepNoise, Transition};
use hstep::lqr::{Lqr, Matrix};
use hstep::nn::{AdamConfig, NamedParams};
use hstep::objective::Normals;
use hstep::parts::{MODEL, Parts, VALUE, ValuePart};
use hstep::planner::{MemberChoice, Plan, Planner, Problem};
use hstep::replay::{Batch, Start};
use hstep::rng::{Key, Rng};
use hstep::schedule::Schedule;
use hstep::shape::Spec;
use hstep::uses::{
    Ask, Behave, BestKept, KeepConfig, Memory, Moment, PlanConfig, PlanFirst, PlanStart,
    PlanTerminal, Rollouts, Target,
};
use hstep::value::{LearnedValue, Value};
use std::sync::{Arc, Mutex};

use super::identities::{Quadratic, matrices, model, numbers, tensor, within};

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
