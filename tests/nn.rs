//! Networks: the fused operation against plain candle operations and finite differences, Adam
//! against another implementation.

mod module;
mod squashed;
mod squashed_fused;
mod store;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use candle_optimisers::adam::{Adam as PeerAdam, ParamsAdam};
use hstep::Error;
use hstep::nn::{Activation, Adam, AdamConfig, Init, Params, Stack, StackConfig, polyak};
use hstep::pool;
use hstep::rng::Rng;
use hstep::shape::{Ops, Spec, scalar, to_f64};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Tanh, Activation::Swish];

fn config(dims: &[usize], activation: Activation, members: usize) -> StackConfig {
    let n = dims.len();
    StackConfig {
        input: dims[0],
        hidden: dims[1..n - 1].to_vec(),
        output: dims[n - 1],
        activation,
        members,
        init: Init::FanInUniform,
    }
}

/// The same numbers in another implementation or number type.
fn twin(stack: &Stack, spec: &Spec) -> Stack {
    let other = Stack::new(stack.config(), &mut Rng::new(9), spec).unwrap();
    other.params().set_flat(&stack.params().to_flat().unwrap()).unwrap();
    other
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Shared,
    Each,
    Rows,
}

fn input(stack: &Stack, way: Way, b: usize, rng: &mut Rng) -> Var {
    let (e, d) = (stack.config().members, stack.config().input);
    let x = match way {
        Way::Each => rng.normals((e, b, d), stack.spec()),
        _ => rng.normals((b, d), stack.spec()),
    };
    Var::from_tensor(&x.unwrap()).unwrap()
}

fn forward(stack: &Stack, way: Way, x: &Tensor, member: &[u32]) -> Tensor {
    match way {
        Way::Shared => stack.forward(x).unwrap(),
        Way::Each => stack.forward_each(x).unwrap(),
        Way::Rows => stack.forward_rows(x, member).unwrap(),
    }
}

/// Value, gradient of x and gradient of theta of `sum(c y)` with fixed random `c`.
fn evaluate(stack: &Stack, way: Way, x: &Var, member: &[u32]) -> [Vec<f64>; 3] {
    let y = forward(stack, way, x, member);
    let c = Rng::new(77).normals(y.shape().clone(), stack.spec()).unwrap();
    let grads = (&y * c).unwrap().sum_all().unwrap().backward().unwrap();
    let zeros = |n: usize| vec![0.0; n];
    let dx = grads.get(x.as_tensor()).map_or(zeros(x.elem_count()), |g| to_f64(g).unwrap());
    let dw = stack.params().grad(&grads).unwrap();
    let dw = dw.map_or(zeros(stack.params().len()), |g| to_f64(&g).unwrap());
    [to_f64(&y).unwrap(), dx, dw]
}

fn close(got: &[f64], want: &[f64], relative: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= relative * scale, "{g} against {w} (scale {scale})");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn fused_equals_plain(
        dims in prop::collection::vec(1usize..9, 2..6),
        activation in 0usize..3,
        members in 1usize..5,
        b in prop_oneof![Just(0usize), Just(1), 2usize..9, Just(300)],
        way in prop_oneof![Just(Way::Shared), Just(Way::Each), Just(Way::Rows)],
        seed in 0u64..1000,
    ) {
        let config = config(&dims, ACTIVATIONS[activation], members);
        for (spec, tolerance) in [(Spec::f64(), 1e-12), (Spec::f32(), 1e-5)] {
            let mut rng = Rng::new(seed);
            let fused = Stack::new(&config, &mut rng, &spec).unwrap();
            let plain = twin(&fused, &spec.clone().plain());
            let x = input(&fused, way, b, &mut rng);
            let member: Vec<u32> = (0..b).map(|_| rng.below(members) as u32).collect();
            let want = evaluate(&plain, way, &x, &member);
            let got = evaluate(&fused, way, &x, &member);
            prop_assert_eq!(
                forward(&fused, way, &x, &member).shape().clone(),
                forward(&plain, way, &x, &member).shape().clone()
            );
            for (got, want) in got.iter().zip(&want) {
                close(got, want, tolerance);
            }
        }
    }
}

#[test]
fn gradients_match_finite_differences() {
    for activation in ACTIVATIONS {
        for way in [Way::Shared, Way::Each, Way::Rows] {
            let mut rng = Rng::new(4);
            let config = config(&[3, 6, 5, 2], activation, 3);
            let stack = Stack::new(&config, &mut rng, &Spec::f64()).unwrap();
            let x = input(&stack, way, 4, &mut rng);
            let member = [2, 0, 2, 1];
            let [y, dx, dw] = evaluate(&stack, way, &x, &member);
            assert!(y.iter().all(|v| v.abs() < 10.0));
            let c = to_f64(&Rng::new(77).normals(y.len(), &Spec::f64()).unwrap()).unwrap();
            let loss = || -> f64 {
                let y = to_f64(&forward(&stack, way, &x, &member)).unwrap();
                y.iter().zip(&c).map(|(y, c)| y * c).sum()
            };
            let h = 1e-5;
            let theta = stack.params().to_flat().unwrap();
            for i in 0..theta.len() {
                let at = |shift: f64| {
                    let mut moved = theta.clone();
                    moved[i] += shift;
                    stack.params().set_flat(&moved).unwrap();
                    loss()
                };
                let slope = (at(h) - at(-h)) / (2.0 * h);
                assert!((slope - dw[i]).abs() < 1e-8, "{activation:?} {way:?} {slope} {}", dw[i]);
            }
            stack.params().set_flat(&theta).unwrap();
            let numbers = to_f64(&x).unwrap();
            for i in 0..numbers.len() {
                let at = |shift: f64| {
                    let mut moved = numbers.clone();
                    moved[i] += shift;
                    x.set(&Spec::f64().tensor(&moved, x.shape().clone()).unwrap()).unwrap();
                    loss()
                };
                let slope = (at(h) - at(-h)) / (2.0 * h);
                assert!((slope - dx[i]).abs() < 1e-8, "{activation:?} {way:?} {slope} {}", dx[i]);
            }
        }
    }
}

#[test]
fn every_member_is_its_own_network() {
    // Member 1 of an ensemble against a single network with its slice of the parameters.
    let mut rng = Rng::new(2);
    let ensemble =
        Stack::new(&config(&[3, 4, 2], Activation::Tanh, 3), &mut rng, &Spec::f64()).unwrap();
    let single =
        Stack::new(&config(&[3, 4, 2], Activation::Tanh, 1), &mut rng, &Spec::f64()).unwrap();
    let own: BTreeMap<String, Tensor> = ensemble
        .params()
        .named_tensors("")
        .unwrap()
        .into_iter()
        .map(|(name, t)| (name, t.narrow(0, 1, 1).unwrap()))
        .collect();
    single.params().load_named("", &own).unwrap();
    let x = rng.normals((5, 3), &Spec::f64()).unwrap();
    let want = single.forward(&x).unwrap();
    assert_eq!(want.dims(), [5, 2]);
    let all = ensemble.forward(&x).unwrap();
    assert_eq!(all.dims(), [3, 5, 2]);
    close(&to_f64(&all.get(1).unwrap()).unwrap(), &to_f64(&want).unwrap(), 1e-14);
    let rows = ensemble.forward_rows(&x, &[1; 5]).unwrap();
    close(&to_f64(&rows).unwrap(), &to_f64(&want).unwrap(), 1e-14);
}

#[test]
fn strided_inputs_are_understood() {
    for spec in [Spec::f64(), Spec::f64().plain()] {
        let mut rng = Rng::new(5);
        let stack = Stack::new(&config(&[3, 4, 2], Activation::Swish, 2), &mut rng, &spec).unwrap();
        let x = rng.normals((3, 7), &spec).unwrap();
        let strided = x.t().unwrap().narrow(0, 1, 5).unwrap();
        assert!(!strided.is_contiguous());
        let want = stack.forward(&strided.copy().unwrap().contiguous().unwrap()).unwrap();
        let got = stack.forward(&strided).unwrap();
        assert_eq!(to_f64(&got).unwrap(), to_f64(&want).unwrap());
        // A contiguous view with an offset.
        let tail = strided.contiguous().unwrap().narrow(0, 2, 3).unwrap();
        let got = stack.forward(&tail).unwrap();
        close(&to_f64(&got).unwrap(), &to_f64(&want.narrow(1, 2, 3).unwrap()).unwrap(), 1e-14);
    }
}

#[test]
fn one_thread_and_several_give_equal_bits() {
    let mut rng = Rng::new(6);
    let stack = Stack::new(&config(&[9, 96, 96, 4], Activation::Swish, 4), &mut rng, &Spec::f32());
    let stack = stack.unwrap();
    let member: Vec<u32> = (0..2000).map(|_| rng.below(4) as u32).collect();
    for way in [Way::Shared, Way::Each, Way::Rows] {
        let x = input(&stack, way, 2000, &mut rng);
        let serial = pool::serially(|| evaluate(&stack, way, &x, &member));
        let pooled = evaluate(&stack, way, &x, &member);
        assert!(serial == pooled, "{way:?}");
        assert!(serial[2].iter().any(|g| *g != 0.0));
    }
}

#[test]
fn for_each_index_visits_every_index_once() {
    let counts: Vec<_> = (0..100).map(|_| std::sync::atomic::AtomicUsize::new(0)).collect();
    pool::for_each_index(100, |i| {
        counts[i].fetch_add(i + 1, std::sync::atomic::Ordering::Relaxed);
    });
    for (i, n) in counts.into_iter().enumerate() {
        assert_eq!(n.into_inner(), i + 1);
    }
    assert!(pool::set_threads(0).is_err());
    assert!(pool::set_threads(pool::threads()).is_ok());
    let message = pool::set_threads(pool::threads() + 1).unwrap_err().to_string();
    assert!(message.contains("already has"), "{message}");
}

#[test]
fn frozen_networks_get_no_gradient_and_pass_it_on() {
    for spec in [Spec::f64(), Spec::f64().plain()] {
        let mut rng = Rng::new(7);
        let policy = Stack::new(&config(&[3, 4, 2], Activation::Tanh, 1), &mut rng, &spec).unwrap();
        let critic = Stack::new(&config(&[2, 5, 1], Activation::Relu, 2), &mut rng, &spec).unwrap();
        let x = rng.normals((6, 3), &spec).unwrap();
        let loss = |critic: &Stack| {
            let y = critic.forward(&policy.forward(&x).unwrap()).unwrap();
            y.sum_all().unwrap().backward().unwrap()
        };
        let frozen = loss(&critic.frozen());
        assert!(critic.params().grad(&frozen).unwrap().is_none());
        assert!(!critic.frozen().params().theta().track_op());
        let through = to_f64(&policy.params().grad(&frozen).unwrap().unwrap()).unwrap();
        let tracked = loss(&critic);
        assert!(critic.params().grad(&tracked).unwrap().is_some());
        let want = to_f64(&policy.params().grad(&tracked).unwrap().unwrap()).unwrap();
        assert_eq!(through, want);
        // No gradient at all is needed here: the result has no history.
        assert!(!critic.frozen().forward(&x.narrow(1, 0, 2).unwrap()).unwrap().track_op());
    }
}

#[test]
fn a_copy_shares_nothing_and_a_clone_everything() {
    let mut rng = Rng::new(8);
    let online =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 1), &mut rng, &Spec::f32()).unwrap();
    let (target, view) = (online.copy().unwrap(), online.clone());
    let before = target.params().to_flat().unwrap();
    online.params().set_flat(&vec![0.5; online.params().len()]).unwrap();
    assert_eq!(target.params().to_flat().unwrap(), before);
    assert_eq!(view.params().to_flat().unwrap(), vec![0.5; before.len()]);
    assert_eq!(online.frozen().params().to_flat().unwrap(), vec![0.5; before.len()]);
}

#[test]
fn polyak_is_the_weighted_mean() {
    for spec in [Spec::f32(), Spec::f64()] {
        let mut rng = Rng::new(8);
        let online = Stack::new(&config(&[2, 3, 1], Activation::Relu, 1), &mut rng, &spec).unwrap();
        let target = online.copy().unwrap();
        let t0: Vec<f64> = (0..target.params().len()).map(|i| i as f64).collect();
        target.params().set_flat(&t0).unwrap();
        let o = online.params().to_flat().unwrap();
        polyak(target.params(), online.params(), 0.005).unwrap();
        let want: Vec<f64> = t0.iter().zip(&o).map(|(t, o)| 0.995 * t + 0.005 * o).collect();
        close(&target.params().to_flat().unwrap(), &want, 1e-7);
        polyak(target.params(), online.params(), 1.0).unwrap();
        assert_eq!(target.params().to_flat().unwrap(), o);
        // With itself: unchanged, and no deadlock.
        polyak(online.params(), online.params(), 0.3).unwrap();
        assert_eq!(online.params().to_flat().unwrap(), o);
        assert!(polyak(target.params(), online.params(), 1.5).is_err());
    }
}

#[test]
fn ranges_of_parameters_are_copied_and_no_others() {
    for spec in [Spec::f32(), Spec::f64()] {
        let mut rng = Rng::new(9);
        let from = Stack::new(&config(&[2, 3, 1], Activation::Relu, 2), &mut rng, &spec).unwrap();
        let (from, to) = (from.params(), from.params().copy().unwrap());
        let old: Vec<f64> = (0..to.len()).map(|i| i as f64).collect();
        to.set_flat(&old).unwrap();
        let mut want = old.clone();
        let new = from.to_flat().unwrap();
        want[1..3].copy_from_slice(&new[1..3]);
        want[7..8].copy_from_slice(&new[7..8]);
        to.copy_ranges(from, &[1..3, 5..5, 7..8]).unwrap();
        assert_eq!(to.to_flat().unwrap(), want);
        // From itself: unchanged, and no deadlock.
        to.copy_ranges(&to.clone(), &[0..1, 1..2]).unwrap();
        let beyond = to.copy_ranges(from, &[0..1, 3..to.len() + 1]);
        assert!(matches!(beyond, Err(Error::Shape { .. })));
        assert_eq!(to.to_flat().unwrap(), want, "an error changed something");
        let other = Stack::new(&config(&[2, 1], Activation::Relu, 2), &mut rng, &spec).unwrap();
        assert!(matches!(to.copy_ranges(other.params(), &[0..1, 1..2]), Err(Error::Shape { .. })));
    }
}

#[test]
fn a_gradient_whose_square_overflows_is_refused() {
    let stack = Stack::new(&config(&[2, 1], Activation::Relu, 1), &mut Rng::new(1), &Spec::f32());
    let params = stack.unwrap().params().clone();
    let mut adam = Adam::new(&params, &AdamConfig::default(), &[]).unwrap();
    let (before, gradient) = (params.to_flat().unwrap(), |x: f32| {
        Tensor::from_slice(&[0.5, x, 0.0], params.len(), &candle_core::Device::Cpu).unwrap()
    });
    // The root of the largest f32 is 1.8447e19.
    for large in [1.85e19, -1.85e19, f32::INFINITY, f32::NAN] {
        let refused = adam.step_grad(&gradient(large));
        assert!(matches!(refused, Err(Error::NonFinite { .. })), "{large}");
    }
    assert_eq!((params.to_flat().unwrap(), adam.steps()), (before, 0));
    for fits in [1.79e19, -1.79e19, 1.84e19] {
        adam.step_grad(&gradient(fits)).unwrap();
    }
}

/// 50 steps of a small regression with both optimisers; every parameter after every step.
fn compare_adam(ops: Ops, decay: f64) {
    let spec = Spec::f64();
    let mut rng = Rng::new(10);
    let stack = Stack::new(&config(&[3, 5, 2], Activation::Tanh, 2), &mut rng, &spec).unwrap();
    let stack = twin(&stack, &Spec { ops, ..spec.clone() });
    let peer_vars: BTreeMap<String, Var> = stack
        .params()
        .named_tensors("")
        .unwrap()
        .into_iter()
        .map(|(n, t)| (n, Var::from_tensor(&t).unwrap()))
        .collect();
    let (x, y) = (rng.normals((8, 3), &spec).unwrap(), rng.normals((2, 8, 2), &spec).unwrap());
    let adam_config = AdamConfig { lr: 0.02, ..AdamConfig::default() };
    let mut adam = Adam::new(stack.params(), &adam_config, &[decay, 2.0 * decay]).unwrap();
    assert_eq!(adam.ops(), ops);
    let peer = |names: &[&str], decay: f64| {
        let vars = names.iter().map(|n| peer_vars[*n].clone()).collect();
        let weight_decay = (decay > 0.0).then_some(candle_optimisers::Decay::WeightDecay(decay));
        let params = ParamsAdam { lr: 0.02, weight_decay, ..ParamsAdam::default() };
        candle_nn::Optimizer::new(vars, params).unwrap()
    };
    // Biases do not decay, and each layer has its own decay: three optimisers on the other side.
    let mut peers: [PeerAdam; 3] =
        [peer(&["l0.b", "l1.b"], 0.0), peer(&["l0.w"], decay), peer(&["l1.w"], 2.0 * decay)];
    for _ in 0..50 {
        let loss = (stack.forward(&x).unwrap() - &y).unwrap().sqr().unwrap().mean_all().unwrap();
        adam.step(&loss.backward().unwrap()).unwrap();

        let xs = x.unsqueeze(0).unwrap().broadcast_as((2, 8, 3)).unwrap().contiguous().unwrap();
        let bias = |n: &str| peer_vars[n].unsqueeze(1).unwrap();
        let z = xs.matmul(&peer_vars["l0.w"]).unwrap().broadcast_add(&bias("l0.b")).unwrap();
        let out = z.tanh().unwrap().matmul(&peer_vars["l1.w"]).unwrap();
        let out = out.broadcast_add(&bias("l1.b")).unwrap();
        let loss = (out - &y).unwrap().sqr().unwrap().mean_all().unwrap();
        let grads = loss.backward().unwrap();
        peers.iter_mut().for_each(|p| candle_nn::Optimizer::step(p, &grads).unwrap());

        for (name, got) in stack.params().named_tensors("").unwrap() {
            close(&to_f64(&got).unwrap(), &to_f64(&peer_vars[&name]).unwrap(), 1e-12);
        }
    }
    assert_eq!(adam.steps(), 50);
}

#[test]
fn adam_equals_candle_optimisers_step_by_step() {
    for ops in [Ops::Fused, Ops::Plain] {
        compare_adam(ops, 0.0);
        compare_adam(ops, 0.03);
    }
}

#[test]
fn adam_goes_on_from_its_state_bit_for_bit() {
    for spec in [Spec::f32(), Spec::f64(), Spec::f32().plain()] {
        let mut rng = Rng::new(11);
        let a = Params::new(&[("w".into(), vec![6], vec![0.3; 6])], &spec).unwrap();
        let b = a.copy().unwrap();
        let make = |p: &Params| Adam::new(p, &AdamConfig::default(), &[]).unwrap();
        let (mut one, mut two) = (make(&a), make(&b));
        let gradients: Vec<Tensor> = (0..8).map(|_| rng.normals(6, &spec).unwrap()).collect();
        gradients[..4].iter().for_each(|g| one.step_grad(g).unwrap());
        b.set_flat(&a.to_flat().unwrap()).unwrap();
        two.load_state(&one.state().unwrap()).unwrap();
        for g in &gradients[4..] {
            one.step_grad(g).unwrap();
            two.step_grad(g).unwrap();
            assert_eq!(a.to_flat().unwrap(), b.to_flat().unwrap());
        }
        let mut broken = one.state().unwrap();
        broken.remove("v");
        assert!(two.load_state(&broken).unwrap_err().to_string().contains("`v` is missing"));
    }
}

/// Multiplied by 0.9, the smallest subnormal numbers round to themselves, and the arithmetic on them is
/// in microcode: the moments of dead units would slow every later step.
#[test]
fn moments_without_gradients_end_at_zero() {
    for spec in [Spec::f32(), Spec::f64()] {
        let params = Params::new(&[("w".into(), vec![20], vec![0.3; 20])], &spec).unwrap();
        let config = AdamConfig { beta2: 0.9, ..AdamConfig::default() };
        let mut adam = Adam::new(&params, &config, &[]).unwrap();
        adam.step_grad(&Rng::new(7).normals(20, &spec).unwrap()).unwrap();
        let none = spec.tensor(&[0.0; 20], 20).unwrap();
        (0..9_000).for_each(|_| adam.step_grad(&none).unwrap());
        let state = adam.state().unwrap();
        for moment in ["m", "v"] {
            assert_eq!(to_f64(&state[moment]).unwrap(), [0.0; 20], "{moment}");
        }
    }
}

#[test]
fn adam_refuses_what_is_wrong_and_changes_nothing() {
    let spec = Spec::f32();
    let stack =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 1), &mut Rng::new(1), &spec).unwrap();
    let p = stack.params();
    let mut adam = Adam::new(p, &AdamConfig::default(), &[]).unwrap();
    let before = p.to_flat().unwrap();
    let mut grad = vec![0.1; p.len()];
    grad[3] = f64::NAN;
    let grad = spec.tensor(&grad, p.len()).unwrap();
    assert!(matches!(adam.step_grad(&grad), Err(Error::NonFinite { .. })));
    assert_eq!((adam.steps(), p.to_flat().unwrap()), (0, before));
    let frozen = stack.frozen().forward(&spec.zeros((1, 2)).unwrap()).unwrap();
    let message = adam.step(&frozen.sum_all().unwrap().backward().unwrap()).unwrap_err();
    assert!(message.to_string().contains("no gradient"), "{message}");
    let message = Adam::new(p, &AdamConfig::default(), &[0.1; 3]).unwrap_err().to_string();
    assert!(message.contains("3 numbers for 2 layers"), "{message}");
    let negative = AdamConfig { lr: -1.0, ..AdamConfig::default() };
    assert!(Adam::new(p, &negative, &[]).unwrap_err().to_string().contains("`lr`"));
    assert!(p.check_finite("critic", "env step 3").is_ok());
    p.set_flat(&vec![f64::INFINITY; p.len()]).unwrap();
    let message = p.check_finite("critic", "env step 3").unwrap_err().to_string();
    assert!(message.contains("critic") && message.contains("env step 3"), "{message}");
}

#[test]
fn wrong_shapes_and_configs_are_named() {
    let spec = Spec::f32();
    let stack =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 3), &mut Rng::new(1), &spec).unwrap();
    let x = |shape: &[usize]| spec.zeros(shape).unwrap();
    let message = stack.forward(&x(&[4, 3])).unwrap_err().to_string();
    assert!(message.contains("[B,2]") && message.contains("[4, 3]"), "{message}");
    assert!(stack.forward_each(&x(&[2, 4, 2])).unwrap_err().to_string().contains("[3,B,2]"));
    assert!(stack.forward_rows(&x(&[4, 2]), &[0; 3]).is_err());
    assert!(stack.forward_rows(&x(&[2, 2]), &[0, 3]).unwrap_err().to_string().contains("below 3"));
    let other = stack.forward(&x(&[4, 2]).to_dtype(DType::F64).unwrap());
    assert!(other.unwrap_err().to_string().contains("dtype"));
    let zero = Stack::new(&config(&[2, 0, 1], Activation::Relu, 1), &mut Rng::new(1), &spec);
    assert!(zero.unwrap_err().to_string().contains("hidden[0]"));
    assert!(stack.params().view("l9.w").unwrap_err().to_string().contains("l0.w"));
}

#[test]
fn the_last_layer_can_start_small() {
    let stack =
        Stack::new(&config(&[2, 3, 1], Activation::Relu, 1), &mut Rng::new(1), &Spec::f64())
            .unwrap();
    let x = Spec::f64().tensor(&[0.4, -2.0], (1, 2)).unwrap();
    let before = scalar(&stack.forward(&x).unwrap()).unwrap();
    stack.scale_last(0.01).unwrap();
    assert!((scalar(&stack.forward(&x).unwrap()).unwrap() - 0.01 * before).abs() < 1e-15);
}
