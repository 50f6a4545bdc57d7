//! Finite differences of `J_H` in f64 for policy parameters, actions and start state, at
//! H = 0, 1, 5, with a true, a learned and an ensemble model. A sign flipped in the rollout makes
//! them fail (see the table of mutations).

use candle_core::{Tensor, Var};
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::objective::{Actions, Cost, Entropy, HStep, Members, Noise, Normals, Terminal};
use hstep::rng::Rng;
use hstep::shape::{Spec, scalar, to_f64};

use super::fixtures::*;

/// Central differences carry about 1e-10 of their own noise at these scales; a wrong term shows at
/// 1e-2 and above.
const TOLERANCE: f64 = 2e-8;

fn models() -> Vec<(&'static str, Box<dyn Dynamics>)> {
    vec![
        ("true", Box::new(true_model())),
        ("learned", Box::new(network_model(21))),
        ("ensemble", Box::new(ensemble(22))),
    ]
}

fn each_case(check: impl Fn(&str, &HStep, &Noise)) {
    let critic = critic(11);
    for (name, model) in models() {
        for horizon in [0, 1, 5] {
            let hstep = HStep {
                dynamics: Some(model.as_ref()),
                terminal: Terminal::min_q(&critic),
                horizon,
                gamma: 0.93,
                cost: Cost::entropy(Entropy::All, 0.2),
            };
            let mut rng = Rng::new(31 + horizon as u64);
            let mut noise = Noise::of_policy(normals(&mut rng, &[horizon + 1, B, ACT]));
            if model.noise_dim() > 0 && horizon > 0 {
                let eps = normals(&mut rng, &[horizon, B, model.noise_dim()]);
                noise.model = Normals::Tensor(eps);
            }
            if model.has_members() && horizon > 0 {
                let u: Vec<f64> = (0..horizon * B).map(|_| rng.uniform()).collect();
                let u = Spec::f64().tensor(&u, (horizon, B)).unwrap();
                noise.member = Members::Tensor(u);
            }
            check(&format!("{name}, H={horizon}"), &hstep, &noise);
        }
    }
}

#[test]
fn policy_parameters() {
    let policy = policy(12);
    let s0 = normals(&mut Rng::new(13), &[B, OBS]);
    each_case(|case, hstep, noise| {
        let j = || hstep.objective(&s0, Actions::Policy(&policy), noise).unwrap().mean_all();
        let gradients = j().unwrap().backward().unwrap();
        let params = policy.net().params();
        let gradient = params.grad(&gradients).unwrap().unwrap();
        let error = difference(params.var(), &gradient, || scalar(&j().unwrap()).unwrap());
        assert!(error < TOLERANCE, "{case}: {error:e}");
    });
}

#[test]
fn actions() {
    each_case(|case, hstep, noise| {
        let mut rng = Rng::new(14);
        let s0 = normals(&mut rng, &[B, OBS]);
        let plan = normals(&mut rng, &[B, hstep.horizon + 1, ACT]).tanh().unwrap();
        let plan = Var::from_tensor(&plan).unwrap();
        let j = || hstep.objective(&s0, Actions::Open(&plan), noise).unwrap().mean_all().unwrap();
        let gradients = j().backward().unwrap();
        let error = difference(&plan, gradients.get(&plan).unwrap(), || scalar(&j()).unwrap());
        assert!(error < TOLERANCE, "{case}: {error:e}");
    });
}

#[test]
fn start_state() {
    let policy = policy(15);
    each_case(|case, hstep, noise| {
        let s0 = Var::from_tensor(&normals(&mut Rng::new(16), &[B, OBS])).unwrap();
        let j = || {
            let j = hstep.objective(&s0, Actions::Policy(&policy), noise).unwrap();
            j.mean_all().unwrap()
        };
        let gradients = j().backward().unwrap();
        let error = difference(&s0, gradients.get(&s0).unwrap(), || scalar(&j()).unwrap());
        assert!(error < TOLERANCE, "{case}: {error:e}");
    });
}

#[test]
fn frozen_parts_get_none() {
    let (policy, critic, model) = (policy(17), critic(18), ensemble(19));
    let hstep = HStep {
        dynamics: Some(&model),
        terminal: Terminal::min_q(&critic),
        horizon: 3,
        gamma: 0.9,
        cost: Cost::entropy(Entropy::All, 0.2),
    };
    let s0 = normals(&mut Rng::new(20), &[B, OBS]);
    let noise = Noise::key(Rng::new(1).key());
    let j = hstep.objective(&s0, Actions::Policy(&policy), &noise).unwrap();
    let gradients = j.mean_all().unwrap().backward().unwrap();
    assert!(policy.net().params().grad(&gradients).unwrap().is_some());
    assert!(critic.net().params().grad(&gradients).unwrap().is_none());
    assert!(model.net().params().grad(&gradients).unwrap().is_none());

    let frozen = policy.frozen();
    let j = hstep.objective(&s0, Actions::Policy(&frozen), &noise).unwrap();
    let gradients = j.mean_all().unwrap().backward().unwrap();
    assert!(policy.net().params().grad(&gradients).unwrap().is_none());
}

/// A row that dies in a state that is infinite, or so large that the next step overflows, has no
/// further part in the gradient: it is that of the other rows, and of its own steps before.
#[test]
fn a_row_that_dies_in_infinity_leaves_the_gradient_as_it_is() {
    let (policy, critic) = (policy(41), critic(42));
    let learned = network_model(43);
    let dying = |end: f64| {
        let learned = network_model(43);
        FnDynamics::new(OBS, ACT, Spec::f64(), move |s: &Tensor, a: &Tensor, noise: &StepNoise| {
            let step = learned.step(s, a, noise)?;
            // Only row 0, by its large third coordinate.
            let dies = s.narrow(1, 2, 1)?.gt(5.0)?;
            let lost = (step.next.zeros_like()? + end)?;
            let next = dies.broadcast_as(s.dims())?.where_cond(&lost, &step.next)?;
            let cont = (1.0 - dies.squeeze(1)?.to_dtype(s.dtype())?)?;
            Ok(Transition { next, reward: step.reward, cont })
        })
    };
    let spec = Spec::f64();
    let s0 = spec.tensor(&[0.1, -0.3, 9.0, 0.4, 0.2, -0.6], (2, OBS)).unwrap();
    let noise = Noise::key(Rng::new(44).key());
    let gradient = |loss: &Tensor| {
        let gradients = loss.backward().unwrap();
        let policy = policy.net().params();
        to_f64(&policy.grad(&gradients).unwrap().unwrap()).unwrap()
    };
    let pathwise = |model: &dyn Dynamics, s0: &Tensor, horizon: usize| {
        let hstep = HStep {
            dynamics: Some(model),
            terminal: Terminal::min_q(&critic),
            horizon,
            gamma: 0.9,
            cost: Cost::entropy(Entropy::All, 0.2),
        };
        hstep.objective(s0, Actions::Policy(&policy), &noise).unwrap()
    };
    // Row 0 earns r_0 and the entropy of a_0, which the same model says without the death.
    let alone = HStep {
        dynamics: Some(&learned),
        terminal: Terminal::Zero,
        horizon: 1,
        gamma: 0.9,
        cost: Cost::entropy(Entropy::All, 0.2),
    };
    let first = alone.objective(&s0, Actions::Policy(&policy), &noise).unwrap();
    for end in [f64::INFINITY, f64::NAN, 1e300] {
        let model = dying(end);
        for horizon in [1, 2, 4] {
            let j = pathwise(&model, &s0, horizon);
            let lives = pathwise(&learned, &s0, horizon);
            let want = (first.get(0).unwrap() + lives.get(1).unwrap()).unwrap();
            let (got, want) = (gradient(&j.sum_all().unwrap()), gradient(&want));
            assert!(got.iter().all(|g| g.is_finite()), "{end}, H={horizon}: {got:?}");
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-12, "{end}, H={horizon}: {got} against {want}");
            }
        }
    }
}
