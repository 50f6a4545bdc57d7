//! A step of the ensemble as one operation against separate ones.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use hstep::dynamics::{Dynamics, Ensemble, EnsembleConfig, Member, NoiseKind, StepNoise, Target};
use hstep::env::{Known, RewardFn};
use hstep::nn::Activation;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::made::{arbitrary, close, twin};

/// A reward of all three of its arguments, and an end where the first coordinate is large.
fn known(with_reward: bool) -> Known {
    let reward: RewardFn = Arc::new(|s: &Tensor, a: &Tensor, next: &Tensor| {
        Ok(((s.sqr()?.sum(1)? - (a.sqr()?.sum(1)? * 0.3)?)? + next.sin()?.sum(1)?)?)
    });
    let continuation: RewardFn = Arc::new(|_: &Tensor, _: &Tensor, next: &Tensor| {
        Ok(next.narrow(1, 0, 1)?.squeeze(1)?.lt(0.5)?.to_dtype(next.dtype())?)
    });
    Known { reward: with_reward.then_some(reward), continuation: Some(continuation) }
}

/// What a step gives, and the gradients of a fixed random sum of it at state and action.
struct Found {
    next: Vec<f64>,
    reward: Vec<f64>,
    cont: Vec<f64>,
    d_state: Vec<f64>,
    d_action: Vec<f64>,
}

/// Which of the ensemble's views takes the step.
#[derive(Debug, Clone, Copy)]
enum View {
    Whole,
    Member(usize),
    Mean,
}

/// States come transposed and actions as a slice of wider rows, if `strided`.
struct Given {
    state: Vec<f64>,
    action: Vec<f64>,
    eps: Option<Vec<f64>>,
    member: Member,
    strided: bool,
}

/// How many numbers of noise a row is given; more than none also where none are taken.
fn width(ensemble: &Ensemble) -> usize {
    match ensemble.noise_dim() {
        0 => ensemble.target_dim(),
        n => n,
    }
}

fn step(ensemble: &Ensemble, view: View, given: &Given) -> Found {
    let spec = ensemble.spec();
    let (o, a) = (ensemble.state_dim(), ensemble.action_dim());
    let b = given.state.len() / o;
    let var = |t: Tensor| Var::from_tensor(&t).unwrap();
    let state = spec.tensor(&given.state, (b, o)).unwrap();
    let action = spec.tensor(&given.action, (b, a)).unwrap();
    let (s, u, state, action) = if given.strided {
        let s = var(state.t().unwrap().contiguous().unwrap());
        let beside = spec.zeros((b, 1)).unwrap();
        let u = var(Tensor::cat(&[&beside, &action, &beside], 1).unwrap());
        let (state, action) = (s.t().unwrap(), u.narrow(1, 1, a).unwrap());
        (s, u, state, action)
    } else {
        let (s, u) = (var(state), var(action));
        let (state, action) = (s.as_tensor().clone(), u.as_tensor().clone());
        (s, u, state, action)
    };
    let model: &dyn Dynamics = match view {
        View::Whole => ensemble,
        View::Member(m) => &ensemble.member(m).unwrap(),
        View::Mean => &ensemble.mean(),
    };
    let width = width(ensemble);
    let normal = given.eps.as_ref().map(|eps| spec.tensor(eps, (b, width)).unwrap());
    let noise = StepNoise { normal, member: given.member.clone() };
    let out = model.step(&state, &action, &noise).unwrap();
    let mut rng = Rng::new(5);
    let weigh = |t: &Tensor, c: Tensor| (t * c).unwrap().sum_all().unwrap();
    let next = weigh(&out.next, rng.normals((b, o), spec).unwrap());
    let reward = weigh(&out.reward, rng.normals(b, spec).unwrap());
    let grads = (next + reward).unwrap().backward().unwrap();
    // As rows of what was given.
    let gradient = |v: &Var, strided: fn(&Tensor) -> candle_core::Result<Tensor>| {
        let grad = grads.get(v.as_tensor()).unwrap();
        to_f64(&if given.strided { strided(grad).unwrap() } else { grad.clone() }).unwrap()
    };
    Found {
        next: to_f64(&out.next).unwrap(),
        reward: to_f64(&out.reward).unwrap(),
        cont: to_f64(&out.cont).unwrap(),
        d_state: gradient(&s, Tensor::t),
        d_action: gradient(&u, |g| g.narrow(1, 1, g.dim(1)? - 2)),
    }
}

/// `f32` keeps 24 bits; a step is three layers of sums of up to a dozen terms and their functions.
const KINDS: [(fn() -> Spec, f64); 2] = [(Spec::f64, 1e-10), (Spec::f32, 1e-5)];

#[test]
fn one_operation_is_the_separate_ones() {
    let mut seed = 0;
    for target in [Target::Change, Target::Next] {
        let kinds =
            [NoiseKind::None, NoiseKind::PerInput, NoiseKind::PerOutput, NoiseKind::Residual];
        for (learn_reward, noise) in [false, true].into_iter().flat_map(|r| kinds.map(|k| (r, k))) {
            for b in [1, 2, 17, 150] {
                for (spec, tolerance) in KINDS {
                    seed += 1;
                    compare(target, learn_reward, noise, b, seed, &spec(), tolerance);
                }
            }
        }
    }
}

fn compare(
    target: Target,
    learn_reward: bool,
    noise: NoiseKind,
    b: usize,
    seed: u64,
    spec: &Spec,
    tolerance: f64,
) {
    let mut rng = Rng::new(seed);
    let (o, a) = (1 + rng.below(5), 1 + rng.below(3));
    let activations = [Activation::Relu, Activation::Tanh, Activation::Swish];
    let config = EnsembleConfig {
        members: 4,
        elites: 1 + rng.below(4),
        hidden: (0..rng.below(3)).map(|_| 1 + rng.below(12)).collect(),
        activation: activations[rng.below(3)],
        weight_decay: vec![],
        noise: Some(noise),
        target,
        learn_reward,
        // Half of the cases of either number type.
        learn_termination: (seed % 4 < 2).then_some(true),
        ..EnsembleConfig::default()
    };
    let fused = arbitrary(&config, (o, a), known(!learn_reward), seed, spec);
    // The reference is in f64 for either: what differs is the rounding of the one under test.
    let reference = Spec::f64().plain();
    let plain = twin(&fused, (o, a), known(!learn_reward), &reference);
    // Numbers that both number types have.
    let mut normals =
        |n: usize| -> Vec<f64> { (0..n).map(|_| f64::from(rng.normal() as f32)).collect() };
    let (state, action) = (normals(b * o), normals(b * a));
    let eps = normals(b * width(&fused));
    let rows = Member::Rows((0..b).map(|_| rng.uniform()).collect());
    let choices = [
        (View::Whole, Member::Best),
        (View::Whole, rows),
        (View::Whole, Member::Mean),
        (View::Member(2), Member::Best),
        (View::Mean, Member::Best),
    ];
    for (view, member) in choices {
        for noisy in [false, true] {
            // A strided slice of one row is contiguous to candle, and fine.
            for strided in [false, true] {
                let given = Given {
                    state: state.clone(),
                    action: action.clone(),
                    eps: noisy.then(|| eps.clone()),
                    member: member.clone(),
                    strided,
                };
                let (got, want) = (step(&fused, view, &given), step(&plain, view, &given));
                let what = format!("{config:?}, b = {b}, {view:?} {member:?}, noisy: {noisy}");
                close(&got.next, &want.next, tolerance, &what);
                close(&got.reward, &want.reward, tolerance, &what);
                assert_eq!(got.cont, want.cont, "{what}");
                close(&got.d_state, &want.d_state, tolerance, &what);
                close(&got.d_action, &want.d_action, tolerance, &what);
            }
        }
    }
}

#[test]
fn noise_moves_a_step_and_its_gradient() {
    // What the comparison above could not tell from a step that ignores noise on both sides.
    let config = EnsembleConfig { hidden: vec![5], weight_decay: vec![], ..Default::default() };
    let ensemble = arbitrary(&config, (2, 1), known(false), 3, &Spec::f64());
    let given = |eps: Option<Vec<f64>>| Given {
        state: vec![0.3, -0.2],
        action: vec![0.5],
        eps,
        member: Member::Best,
        strided: false,
    };
    let quiet = step(&ensemble, View::Whole, &given(None));
    let zero = step(&ensemble, View::Whole, &given(Some(vec![0.0; 3])));
    let loud = step(&ensemble, View::Whole, &given(Some(vec![1.0; 3])));
    assert_eq!((&quiet.next, &quiet.d_state), (&zero.next, &zero.d_state));
    assert!(loud.next.iter().zip(&quiet.next).all(|(l, q)| l > q));
    assert!(loud.d_state != quiet.d_state && loud.d_action != quiet.d_action);
}

#[test]
fn no_rows_are_a_step_of_no_rows() {
    for (spec, _) in KINDS {
        let config = EnsembleConfig { hidden: vec![5], weight_decay: vec![], ..Default::default() };
        let ensemble = arbitrary(&config, (2, 1), known(false), 4, &spec());
        for (eps, member) in [(None, Member::Best), (Some(vec![]), Member::Rows(vec![]))] {
            let (state, action) = (vec![], vec![]);
            let found =
                step(&ensemble, View::Whole, &Given { state, action, eps, member, strided: false });
            for all in [found.next, found.reward, found.cont, found.d_state, found.d_action] {
                assert!(all.is_empty());
            }
        }
    }
}
