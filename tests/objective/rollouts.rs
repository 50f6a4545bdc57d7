//! Rollouts: dead rows, sources of actions, noise, errors.

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Terminal};
use hstep::policy::{Linear, Policy};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::value::FnValue;

use super::fixtures::*;

/// `s' = s + a`, reward `s`, dies once `s' > 2`; a dead state's successor is NaN.
fn counter() -> impl Dynamics {
    FnDynamics::new(1, 1, Spec::f64(), |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let next = (s + a)?;
        let dead = s.gt(2.0)?;
        let poisoned = (next.zeros_like()? / 0.0)?;
        let next = dead.where_cond(&poisoned, &next)?;
        let cont = next.le(2.0)?.squeeze(1)?.to_dtype(s.dtype())?;
        Ok(Transition { next, reward: s.squeeze(1)?, cont })
    })
}

#[test]
fn dead_rows_stay_frozen_and_earn_nothing() {
    let model = counter();
    let value = FnValue(|obs: &Tensor| Ok((obs.squeeze(1)? * 10.0)?));
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::State(&value),
        horizon: 4,
        gamma: 0.5,
        cost: Cost::NONE,
    };
    // Row 0 climbs 0,1,2,3 and dies on reaching 3 at step 2; row 1 stays at 0.5.
    let s0 = Spec::f64().tensor(&[0.0, 0.5], (2, 1)).unwrap();
    let plan = Spec::f64().tensor(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], (2, 4, 1)).unwrap();
    let rollout = hstep.rollout(&s0, Actions::Open(&plan), &Noise::default()).unwrap();
    let column = |ts: &[Tensor], row: usize| -> Vec<f64> {
        ts.iter().map(|t| to_f64(t).unwrap()[row]).collect()
    };
    // It goes on from the last state that it lived in; the one that it died in is kept beside.
    assert_eq!(column(&rollout.states, 0), [0.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(column(&rollout.next, 0), [1.0, 2.0, 3.0, 2.0]);
    assert_eq!(column(&rollout.rewards, 0), [0.0, 1.0, 2.0, 0.0]);
    assert_eq!(column(&rollout.cont, 0), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(column(&rollout.states, 1), [0.5; 5]);
    let j = to_f64(&hstep.score(&rollout).unwrap()).unwrap();
    // 0 + .5 * 1 + .25 * 2 and no terminal value; .5 (1 + .5 + .25 + .125) + 5 / 16.
    assert_eq!(j, [1.0, 0.9375 + 0.3125]);
    let by = hstep.by_horizon(&rollout).unwrap();
    let first: Vec<f64> = by.iter().map(|j| to_f64(j).unwrap()[0]).collect();
    // V(0)=0; .5 V(1)=5; .5+.25 V(2)=5.5; then dead: 1.
    assert_eq!(first, [0.0, 5.0, 5.5, 1.0, 1.0]);
}

#[test]
fn perturbed_actions_follow_the_states_really_visited() {
    let model = counter();
    let policy = Linear::new(&[0.5], 1, 1, 0.0, &Spec::f64()).unwrap();
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 2,
        gamma: 1.0,
        cost: Cost::NONE,
    };
    let s0 = Spec::f64().tensor(&[1.0], (1, 1)).unwrap();
    let delta = Spec::f64().tensor(&[0.25, -3.0], (1, 2, 1)).unwrap();
    let rollout = hstep
        .rollout(
            &s0,
            Actions::Perturbed { policy: &policy, delta: &delta, limit: 1.0 },
            &Noise::default(),
        )
        .unwrap();
    // a_0 = -.5 + .25; s_1 = .75; a_1 = clip(-.375 - 3) = -1.
    let actions: Vec<f64> = rollout.actions.iter().map(|a| to_f64(a).unwrap()[0]).collect();
    assert_eq!(actions, [-0.25, -1.0]);
}

#[test]
fn keyed_noise_gives_the_same_rows_in_any_block() {
    let (policy, model) = (policy(1), ensemble(2));
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 3,
        gamma: 0.9,
        cost: Cost::NONE,
    };
    let s0 = normals(&mut Rng::new(3), &[B, OBS]);
    let noise = Noise::key(Rng::new(4).key());
    let whole = hstep.objective(&s0, Actions::Policy(&policy), &noise).unwrap();
    let half =
        hstep.objective(&s0.narrow(0, 0, 2).unwrap(), Actions::Policy(&policy), &noise).unwrap();
    let (whole, half) = (to_f64(&whole).unwrap(), to_f64(&half).unwrap());
    for (a, b) in whole.iter().zip(&half) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn misfits_are_refused_with_what_was_expected() {
    let (model, critic) = (counter(), critic(5));
    let mut hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 2,
        gamma: 1.0,
        cost: Cost::NONE,
    };
    let spec = Spec::f64();
    let good = spec.zeros((3, 1)).unwrap();
    let short = spec.zeros((3, 1, 1)).unwrap();
    let text = |r: hstep::Result<_>| r.map(|_: Tensor| ()).unwrap_err().to_string();
    let wide = spec.zeros((3, 2)).unwrap();
    let plan = spec.zeros((3, 2, 1)).unwrap();
    let message = text(hstep.objective(&wide, Actions::Open(&plan), &Noise::default()));
    assert!(message.contains("start states") && message.contains("[B,1]"), "{message}");
    let message = text(hstep.objective(&good, Actions::Open(&short), &Noise::default()));
    assert!(message.contains("action sequence") && message.contains("[3,2,A]"), "{message}");
    hstep.dynamics = None;
    let message = text(hstep.objective(&good, Actions::Open(&plan), &Noise::default()));
    assert!(message.contains("horizon 2 needs dynamics"), "{message}");
    let bad = Noise::of_policy(spec.zeros((1, 2, ACT)).unwrap());
    let model_free = HStep::model_free(Terminal::min_q(&critic), Cost::NONE);
    let (policy, obs) = (policy(6), spec.zeros((3, OBS)).unwrap());
    let message = text(model_free.objective(&obs, Actions::Policy(&policy), &bad));
    assert!(message.contains("policy noise"), "{message}");
}

#[test]
fn every_member_on_its_own_agrees_with_the_reduced_objective() {
    let (policy, model, critic) = (policy(31), ensemble(32), critic(33));
    let s0 = normals(&mut Rng::new(34), &[B, OBS]);
    let noise = Noise::key(Rng::new(35).key());
    for samples in [1, 3] {
        let with = |reduce| HStep {
            dynamics: Some(&model),
            terminal: Terminal::Action { critic: &critic, reduce, samples },
            horizon: 2,
            gamma: 0.8,
            cost: Cost::entropy(Entropy::All, 0.3),
        };
        let rollout = with(Reduce::Min).rollout(&s0, Actions::Policy(&policy), &noise).unwrap();
        let members = with(Reduce::Min).by_horizon_and_member(&rollout).unwrap();
        for e in 0..2 {
            let alone = with(Reduce::Member(e)).by_horizon(&rollout).unwrap();
            for h in 0..=2 {
                let (got, want) = (to_f64(&members[h].get(e).unwrap()), to_f64(&alone[h]));
                for (g, w) in got.unwrap().iter().zip(want.unwrap()) {
                    assert!((g - w).abs() < 1e-12, "member {e}, h = {h}");
                }
            }
        }
    }
}

#[test]
fn dead_rows_pay_nothing() {
    let model = counter();
    let policy = Linear::new(&[-1.0], 1, 1, 0.3, &Spec::f64()).unwrap();
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 3,
        gamma: 0.5,
        cost: Cost::entropy(Entropy::All, 0.4),
    };
    // a = s: from 1.5 the row dies at the first step, from 0.1 it lives.
    let s0 = Spec::f64().tensor(&[1.5, 0.1], (2, 1)).unwrap();
    let rollout = hstep.rollout(&s0, Actions::Policy(&policy), &Noise::default()).unwrap();
    let j = to_f64(&hstep.score(&rollout).unwrap()).unwrap();
    let pay = |t: usize, row: usize| 0.4 * to_f64(&rollout.log_probs[t]).unwrap()[row];
    assert!((j[0] - (1.5 - pay(0, 0))).abs() < 1e-12);
    let want = 0.1 - pay(0, 1) + 0.5 * (0.2 - pay(1, 1)) + 0.25 * (0.4 - pay(2, 1));
    assert!((j[1] - want).abs() < 1e-12);
}

#[test]
fn the_continuation_carries_no_gradient() {
    let model = FnDynamics::new(1, 1, Spec::f64(), |s: &Tensor, a: &Tensor, _: &StepNoise| {
        // Values 1, but with a history.
        let cont = ((s * 0.0)? + 1.0)?.squeeze(1)?;
        Ok(Transition { next: (s + a)?, reward: s.squeeze(1)?, cont })
    });
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 2,
        gamma: 1.0,
        cost: Cost::NONE,
    };
    let s0 = candle_core::Var::from_tensor(&Spec::f64().zeros((2, 1)).unwrap()).unwrap();
    let plan = Spec::f64().zeros((2, 2, 1)).unwrap();
    let rollout = hstep.rollout(&s0, Actions::Open(&plan), &Noise::default()).unwrap();
    assert!(rollout.rewards.iter().all(Tensor::track_op));
    assert!(!rollout.cont.iter().any(Tensor::track_op));
}

#[test]
fn a_prior_that_is_the_policy_costs_nothing() {
    let (policy, model) = (policy(7), true_model());
    let mut hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 2,
        gamma: 0.9,
        cost: Cost { steps: Entropy::All, coefficient: 0.7, prior: Some(&policy as &dyn Policy) },
    };
    let s0 = normals(&mut Rng::new(8), &[B, OBS]);
    let noise = Noise::key(Rng::new(9).key());
    let j = to_f64(&hstep.objective(&s0, Actions::Policy(&policy), &noise).unwrap()).unwrap();
    hstep.cost = Cost::NONE;
    let plain = to_f64(&hstep.objective(&s0, Actions::Policy(&policy), &noise).unwrap()).unwrap();
    for (j, plain) in j.iter().zip(&plain) {
        assert!((j - plain).abs() < 1e-9, "{j} against {plain}");
    }
}

#[test]
fn keyed_noise_of_two_rows_shares_no_number() {
    let key = Rng::new(10).key();
    let mut all = to_f64(&key.normals(0, 20, 64, 0, &Spec::f64()).unwrap()).unwrap();
    all.sort_by(f64::total_cmp);
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_nan_of_either_critic_comes_through_the_minimum() {
    use hstep::objective::Reduce;
    let q = Spec::f64().tensor(&[1.0, f64::NAN, 3.0, 2.0, 0.5, f64::NAN], (2, 3)).unwrap();
    let low = to_f64(&Reduce::Min.apply(&q).unwrap()).unwrap();
    assert_eq!(low[0], 1.0);
    assert!(low[1].is_nan() && low[2].is_nan());
}

#[test]
fn a_perturbed_action_has_its_own_density() {
    let (policy, model) = (policy(41), true_model());
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: 1,
        gamma: 1.0,
        cost: Cost::entropy(Entropy::All, 0.5),
    };
    let s0 = normals(&mut Rng::new(42), &[B, OBS]);
    let delta = (normals(&mut Rng::new(43), &[B, 1, ACT]) * 0.1).unwrap();
    let actions = Actions::Perturbed { policy: &policy, delta: &delta, limit: 1.0 };
    let rollout = hstep.rollout(&s0, actions, &Noise::default()).unwrap();
    let want = to_f64(&policy.log_prob(&s0, &rollout.actions[0]).unwrap()).unwrap();
    assert_eq!(to_f64(&rollout.log_probs[0]).unwrap(), want);
    let free = HStep { cost: Cost::NONE, ..hstep }.rollout(&s0, actions, &Noise::default());
    // Nobody pays for it, so it is not worked out.
    assert_eq!(to_f64(&free.unwrap().log_probs[0]).unwrap(), vec![0.0; B]);
}

/// Counts how often states are observed.
struct Watched(Box<dyn Dynamics>, AtomicUsize);

impl Dynamics for Watched {
    fn state_dim(&self) -> usize {
        self.0.state_dim()
    }

    fn action_dim(&self) -> usize {
        self.0.action_dim()
    }

    fn spec(&self) -> &Spec {
        self.0.spec()
    }

    fn observe(&self, state: &Tensor) -> hstep::Result<Tensor> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.observe(state)
    }

    fn step(&self, s: &Tensor, a: &Tensor, noise: &StepNoise) -> hstep::Result<Transition> {
        self.0.step(s, a, noise)
    }
}

#[test]
fn a_state_is_observed_once_and_only_where_somebody_looks() {
    let watched = Watched(Box::new(true_model()), AtomicUsize::new(0));
    let (policy, critic) = (policy(51), critic(52));
    let value = FnValue(|obs: &Tensor| Ok(obs.sum(1)?));
    let s0 = normals(&mut Rng::new(53), &[B, OBS]);
    let plan = normals(&mut Rng::new(54), &[B, 4, ACT]);
    let count = |terminal, cost, actions| {
        let before = watched.1.load(Ordering::Relaxed);
        let hstep = HStep { dynamics: Some(&watched), terminal, horizon: 3, gamma: 0.9, cost };
        let rollout = hstep.rollout(&s0, actions, &Noise::key(Rng::new(55).key())).unwrap();
        hstep.score(&rollout).unwrap();
        watched.1.load(Ordering::Relaxed) - before
    };
    let several = Terminal::Action { critic: &critic, reduce: Reduce::Min, samples: 3 };
    let follow = Actions::Policy(&policy);
    assert_eq!(count(Terminal::Zero, Cost::NONE, Actions::Open(&plan)), 0);
    assert_eq!(count(Terminal::State(&value), Cost::NONE, Actions::Open(&plan)), 1);
    assert_eq!(count(several, Cost::NONE, Actions::Open(&plan)), 1);
    assert_eq!(count(Terminal::Zero, Cost::NONE, follow), 3);
    assert_eq!(count(several, Cost::entropy(Entropy::All, 0.2), follow), 4);
    let prior = Cost { steps: Entropy::All, coefficient: 0.2, prior: Some(&policy) };
    assert_eq!(count(Terminal::State(&value), prior, Actions::Open(&plan)), 4);
}
