//! Plans around a policy, by hand: MoPAC's Algorithm 2 and M-DeMoRL's first iteration.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::objective::{Cost, HStep, Members, Noise, Normals, Terminal};
use hstep::planner::{Base, EliteWeights, MirrorDescentConfig, MppiConfig, Plan, Utility};
use hstep::policy::{Linear, Policy};
use hstep::shape::Spec;

use super::fixtures::*;

const GAIN: f64 = 0.5;
const SPREAD: f64 = 0.3;
const GAMMA: f64 = 0.9;
const H: usize = 3;

/// `s' = s + a`, reward `-s^2`.
fn adder() -> impl Dynamics {
    let step = |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let reward = s.sqr()?.squeeze(1)?.neg()?;
        Ok(Transition { next: (s + a)?, cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(1, 1, Spec::f64(), step)
}

fn over<'a>(model: &'a dyn Dynamics) -> HStep<'a> {
    let terminal = Terminal::Zero;
    HStep { dynamics: Some(model), terminal, horizon: H, gamma: GAMMA, cost: Cost::NONE }
}

fn linear() -> Linear {
    Linear::new(&[GAIN], 1, 1, SPREAD, &Spec::f64()).unwrap()
}

/// Actions and return of `clip(pi(s_t) + delta_t)` at the states visited; `eps` is the policy's
/// noise.
fn follow(s0: f64, delta: &[f64], eps: &[f64], limit: f64) -> (Vec<f64>, f64) {
    let (mut s, mut actions, mut sum) = (s0, Vec::new(), 0.0);
    for (t, (d, e)) in delta.iter().zip(eps).enumerate() {
        let a = (-GAIN * s + SPREAD * e + d).clamp(-limit, limit);
        sum -= GAMMA.powi(t as i32) * s * s;
        s += a;
        actions.push(a);
    }
    (actions, sum)
}

/// The numbers of the policy, and of each candidate, of a start state.
fn given(seed: u64, start: usize, sample: bool, k: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (policy, candidates) = (key(seed).fork("policy"), key(seed).fork("candidates"));
    let draw = |row: usize, step: usize, width: usize, key: &hstep::rng::Key| {
        let mut x = vec![0.0; width];
        key.fill_normals(row, step, &mut x);
        x
    };
    let of_policy = |t| if sample { draw(start, t, 1, &policy)[0] } else { 0.0 };
    let of_candidate = |c| draw(start * k + c, 0, H, &candidates);
    ((0..H).map(of_policy).collect(), (0..k).map(of_candidate).collect())
}

fn softmax(returns: &[f64]) -> Vec<f64> {
    let raw: Vec<f64> = returns.iter().map(|r| r.exp()).collect();
    raw.iter().map(|w| w / raw.iter().sum::<f64>()).collect()
}

fn weighted(w: &[f64], x: &[Vec<f64>]) -> Vec<f64> {
    (0..H).map(|t| w.iter().zip(x).map(|(w, x)| w * x[t]).sum()).collect()
}

/// The plan's rows for one of two start states.
fn of(t: &Tensor, start: usize) -> Vec<f64> {
    numbers(&t.get(start).unwrap())
}

const STARTS: [f64; 2] = [1.5, -0.8];
const K: usize = 4;
// Narrow enough to clip some of the actions.
const LIMIT: f64 = 0.7;

fn plan_both(sample: bool) -> (Plan, Plan) {
    let (model, policy, s0) = (adder(), linear(), tensor(&STARTS, &[2, 1]));
    let base = Base::Policy { policy: &policy, sample };
    let a = MppiConfig { samples: samples(K, 2, LIMIT), ..MppiConfig::default() };
    let b = MirrorDescentConfig {
        samples: samples(K, 2, LIMIT),
        utility: Utility::Exponential,
        weights: EliteWeights::Uniform,
        step: 0.4,
        ..MirrorDescentConfig::default()
    };
    (mppi(&a, over(&model), &s0, base, key(91)), descent(&b, over(&model), &s0, base, key(91)))
}

#[test]
fn mopac_adds_the_weighted_noise_to_the_policy_at_the_states_visited() {
    for sample in [false, true] {
        let (plan, _) = plan_both(sample);
        assert!(plan.around_policy);
        for (start, s0) in STARTS.into_iter().enumerate() {
            let (eps, candidates) = given(91, start, sample, K);
            let n: Vec<Vec<f64>> =
                candidates.iter().map(|c| c.iter().map(|e| 0.5 * e).collect()).collect();
            let rolled: Vec<_> = n.iter().map(|n| follow(s0, n, &eps, LIMIT)).collect();
            let returns: Vec<f64> = rolled.iter().map(|r| r.1).collect();
            let taken: Vec<f64> = rolled.iter().flat_map(|r| r.0.clone()).collect();
            close(&of(&plan.returns, start), &returns, 1e-13, "returns");
            close(&of(&plan.samples, start), &taken, 1e-13, "actions of the candidates");
            let w = softmax(&returns);
            close(&of(&plan.weights, start), &w, 1e-13, "weights");
            let mean = weighted(&w, &n);
            close(&of(&plan.mean, start), &mean, 1e-13, "sum w n");
            let (actions, _) = follow(s0, &mean, &eps, LIMIT);
            close(&of(&plan.actions, start), &actions, 1e-13, "a_MPR");
        }
        // Some actions met the limit.
        assert!(numbers(&plan.samples).iter().any(|a| a.abs() == LIMIT));
        // K x P rollouts a start state, and the one that follows the plan.
        assert_eq!(plan.model_steps, (2 * (K * 2 + 1) * H) as u64);
    }
}

#[test]
fn mirror_descent_starts_at_the_policys_own_actions() {
    for sample in [false, true] {
        let (_, plan) = plan_both(sample);
        assert!(!plan.around_policy);
        for (start, s0) in STARTS.into_iter().enumerate() {
            let (eps, candidates) = given(91, start, sample, K);
            let rolled: Vec<_> = candidates
                .iter()
                .map(|c| {
                    let n: Vec<f64> = c.iter().map(|e| 0.5 * e).collect();
                    follow(s0, &n, &eps, LIMIT)
                })
                .collect();
            let returns: Vec<f64> = rolled.iter().map(|r| r.1).collect();
            let u: Vec<Vec<f64>> = rolled.into_iter().map(|r| r.0).collect();
            let (own, _) = follow(s0, &[0.0; H], &eps, f64::INFINITY);
            let g = weighted(&softmax(&returns), &u);
            let mean: Vec<f64> = own.iter().zip(&g).map(|(m, g)| 0.6 * m + 0.4 * g).collect();
            close(&of(&plan.mean, start), &mean, 1e-13, "eq. 9");
            let clipped: Vec<f64> = mean.iter().map(|m| m.clamp(-LIMIT, LIMIT)).collect();
            close(&of(&plan.actions, start), &clipped, 1e-13, "actions");
        }
    }
}

#[test]
fn following_a_plan_gives_its_actions_and_the_first_is_exact() {
    let spec = Spec::f64();
    let (model, policy) = (ensemble(&[7], &spec), policy(&spec));
    let s0 = normals(92, &[3, OBS]);
    let objective = over(&model);
    let config = MppiConfig { samples: samples(20, 1, 1.0), iterations: 2, ..Default::default() };
    let elites = MirrorDescentConfig { samples: samples(20, 1, 1.0), ..Default::default() };
    for sample in [false, true] {
        let base = Base::Policy { policy: &policy, sample };
        for plan in [
            mppi(&config, objective, &s0, base, key(93)),
            descent(&elites, objective, &s0, base, key(93)),
        ] {
            let roll = |model: Normals, member| {
                let noise = Noise { policy: plan.policy_noise.clone(), model, member };
                let rollout = objective.rollout(&s0, plan.follow(&policy), &noise).unwrap();
                numbers(&Tensor::stack(&rollout.actions, 1).unwrap())
            };
            let want = numbers(&plan.actions);
            close(&roll(Normals::Zero, Members::Mean), &want, 1e-14, "actions");
            // What the model does later cannot change the first action.
            let noisy = roll(Normals::Key(key(94)), Members::Key(key(95)));
            let first = numbers(&plan.first().unwrap());
            for start in 0..3 {
                let at = start * H * ACT..start * H * ACT + ACT;
                close(&noisy[at.clone()], &first[start * ACT..(start + 1) * ACT], 1e-14, "first");
                close(&want[at], &first[start * ACT..(start + 1) * ACT], 0.0, "first");
            }
            if !plan.around_policy {
                continue;
            }
            assert!(noisy != want);
            let eps = key(93).fork("policy").normals(0, 3, ACT, 0, &spec).unwrap();
            let own = match sample {
                true => policy.sample(&s0, &eps).unwrap().action,
                false => policy.mode(&s0).unwrap(),
            };
            let mean = plan.mean.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
            let sum = (own + mean).unwrap().clamp(-1.0, 1.0).unwrap();
            close(&first, &numbers(&sum), 1e-14, "clip(pi(s_0) + mean_0)");
        }
    }
}
