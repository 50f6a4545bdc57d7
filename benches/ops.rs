//! Single operations of training, at the sizes of `hstep bench`: where the time of a step goes.
//!
//! `cargo bench` runs all of them, `cargo bench -- NAME` those whose name contains `NAME`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use candle_core::{Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use hstep::dynamics::{Ensemble, EnsembleConfig};
use hstep::env::Known;
use hstep::nn::{
    Activation, Adam, AdamConfig, Init, Params, Stack, StackConfig, bounded_nll, polyak, squashed,
};
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{Base, Mppi, MppiConfig, Planner, Problem};
use hstep::rng::Rng;
use hstep::shape::{Ops, Spec};

const OBS: usize = 17;
const ACT: usize = 6;
const BATCH: usize = 256;
const MEMBERS: usize = 7;
/// Observation and reward.
const TARGETS: usize = OBS + 1;

fn normals(shape: &[usize], seed: u64) -> Tensor {
    Rng::new(seed).normals(shape, &Spec::f32()).unwrap()
}

/// A policy's or critic's network, or an ensemble of the model's.
fn stack(members: usize, ops: Ops) -> Stack {
    let config = match members {
        1 => StackConfig {
            input: OBS,
            hidden: vec![256; 2],
            output: 2 * ACT,
            activation: Activation::Relu,
            members,
            init: Init::GlorotUniform,
        },
        _ => StackConfig {
            input: OBS + ACT,
            hidden: vec![200; 4],
            output: 2 * TARGETS,
            activation: Activation::Swish,
            members,
            init: Init::TruncatedNormal,
        },
    };
    Stack::new(&config, &mut Rng::new(1), &Spec { ops, ..Spec::f32() }).unwrap()
}

/// Forward, and forward with backward, through both implementations.
fn stacks(c: &mut Criterion) {
    for (name, members) in [("single", 1), ("ensemble", MEMBERS)] {
        for (kind, ops) in [("fused", Ops::Fused), ("plain", Ops::Plain)] {
            let net = stack(members, ops);
            let forward = |net: &Stack, x: &Tensor| match members {
                1 => net.forward(x).unwrap(),
                _ => net.forward_each(x).unwrap(),
            };
            let rows = match members {
                1 => normals(&[BATCH, OBS], 2),
                _ => normals(&[MEMBERS, BATCH, OBS + ACT], 2),
            };
            let frozen = net.frozen();
            c.bench_function(&format!("stack/{name}/forward/{kind}"), |b| {
                b.iter(|| black_box(forward(&frozen, &rows)));
            });
            c.bench_function(&format!("stack/{name}/forward and backward/{kind}"), |b| {
                b.iter(|| {
                    black_box(forward(&net, &rows).sqr().unwrap().sum_all())
                        .unwrap()
                        .backward()
                        .unwrap()
                });
            });
        }
    }
    let (net, rows) = (stack(MEMBERS, Ops::Fused).frozen(), normals(&[10_000, OBS + ACT], 3));
    let member: Vec<u32> = (0..10_000).map(|row| row % MEMBERS as u32).collect();
    c.bench_function("stack/ensemble/a member a row, 10,000 rows/fused", |b| {
        b.iter(|| black_box(net.forward_rows(&rows, &member).unwrap()));
    });
}

/// The ensemble's loss on given outputs, with its backward pass.
fn nll(c: &mut Criterion) {
    let out = Var::from_tensor(&normals(&[MEMBERS, BATCH, 2 * TARGETS], 4)).unwrap();
    let target = normals(&[MEMBERS, BATCH, TARGETS], 5);
    let bound = |name: &str, at: f64| (name.to_owned(), vec![TARGETS], vec![at; TARGETS]);
    let bounds = Params::new(&[bound("max", 0.5), bound("min", -10.0)], &Spec::f32()).unwrap();
    c.bench_function("nll/forward and backward", |b| {
        b.iter(|| black_box(bounded_nll(&out, &bounds, &target).unwrap().backward().unwrap()));
    });
}

/// A sample of the policy's distribution and its log-density, with the backward pass.
fn squashed_gaussian(c: &mut Criterion) {
    let mean = Var::from_tensor(&normals(&[BATCH, ACT], 6)).unwrap();
    let log_std = Var::from_tensor(&normals(&[BATCH, ACT], 7)).unwrap();
    let eps = normals(&[BATCH, ACT], 8);
    let sample = || squashed::sample(mean.as_tensor(), log_std.as_tensor(), &eps).unwrap();
    c.bench_function("squashed Gaussian/sample", |b| b.iter(|| black_box(sample())));
    c.bench_function("squashed Gaussian/sample and backward", |b| {
        b.iter(|| {
            let (action, log_prob) = sample();
            let loss = (action.sum_all().unwrap() + log_prob.sum_all().unwrap()).unwrap();
            black_box(loss.backward().unwrap())
        });
    });
}

/// Updates of all parameters of the ensemble.
fn updates(c: &mut Criterion) {
    for (kind, ops) in [("fused", Ops::Fused), ("plain", Ops::Plain)] {
        let net = stack(MEMBERS, ops);
        let grad = normals(&[net.params().len()], 9);
        let mut adam = Adam::new(net.params(), &AdamConfig::default(), &[1e-5; 5]).unwrap();
        c.bench_function(&format!("adam/{kind}"), |b| b.iter(|| adam.step_grad(&grad).unwrap()));
    }
    let online = stack(MEMBERS, Ops::Fused);
    let target = online.copy().unwrap();
    c.bench_function("polyak", |b| {
        b.iter(|| polyak(target.params(), online.params(), 0.005).unwrap());
    });
}

/// Noise of 10,000 rows.
fn noise(c: &mut Criterion) {
    let (key, spec) = (Rng::new(10).key(), Spec::f32());
    c.bench_function("key/normals, 10,000 x 18", |b| {
        b.iter(|| black_box(key.normals(0, 10_000, TARGETS, 0, &spec).unwrap()));
    });
}

/// One plan of 100 candidates through a model of one step, and of fifteen.
fn planner(c: &mut Criterion) {
    let (config, rng) = (EnsembleConfig::default(), &mut Rng::new(11));
    let model = Ensemble::new(&config, OBS, ACT, Known::default(), rng, &Spec::f32()).unwrap();
    let (mppi, s0) = (Mppi::new(MppiConfig::default()), normals(&[1, OBS], 12));
    for horizon in [1, 15] {
        let objective = HStep {
            dynamics: Some(&model),
            terminal: Terminal::Zero,
            horizon,
            gamma: 0.99,
            cost: Cost::NONE,
        };
        let problem = Problem { objective, s0: &s0, base: Base::Zero };
        let key = Rng::new(13).key();
        c.bench_function(&format!("mppi/100 candidates, horizon {horizon}"), |b| {
            b.iter(|| black_box(mppi.plan(&problem, key).unwrap()));
        });
    }
}

criterion_group!(ops, stacks, nll, squashed_gaussian, updates, noise, planner);
criterion_main!(ops);
