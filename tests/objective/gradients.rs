//! Finite differences of `J_H` in f64 for policy parameters, actions and start state, at
//! H = 0, 1, 5, with a true, a learned and an ensemble model. A sign flipped in the rollout makes
//! them fail (see the table of mutations).

use candle_core::Var;
use hstep::dynamics::Dynamics;
use hstep::objective::{Actions, Cost, Entropy, HStep, Members, Noise, Normals, Terminal};
use hstep::rng::Rng;
use hstep::shape::scalar;
use hstep::value::Network;

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
                let u = hstep::shape::Spec::f64().tensor(&u, (horizon, B)).unwrap();
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
