//! A policy and a critic of one's own, written with candle-nn, trained by SAC: the critic has layer
//! normalisation, which the stock one does not. It swings the pendulum up.
//!
//! `cargo run --release --example own_network [FOLDER]` (some minutes; stop it and it goes on from the
//! folder).

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::agent::{Hybrid, LoopConfig};
use hstep::candle_core;
use hstep::candle_nn::{Activation, Sequential, VarBuilder, layer_norm_no_bias, linear, seq};
use hstep::env::native;
use hstep::nn::{AdamConfig, ModuleNet};
use hstep::objective::Reduce;
use hstep::parts::{ACTOR, CRITIC, CriticPart, Own, Place, PolicyPart, TemperatureConfig};
use hstep::policy::ModulePolicy;
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, Progress, RunConfig, Trainer};
use hstep::uses::{Pathwise, Td0};
use hstep::value::ModuleCritic;

const ADAM: AdamConfig = AdamConfig { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/// Two hidden layers; `norm` puts a layer normalisation behind each. It is built anew for every pass,
/// on variables with or without gradients.
fn mlp(vb: &VarBuilder, sizes: [usize; 2], norm: bool) -> candle_core::Result<Sequential> {
    let [input, output] = sizes;
    let mut net = seq();
    for (layer, width) in [input, 64].into_iter().enumerate() {
        net = net.add(linear(width, 64, vb.pp(format!("hidden{layer}")))?);
        if norm {
            // Without the bias: candle's `layer_norm` has no gradient.
            net = net.add(layer_norm_no_bias(64, 1e-5, vb.pp(format!("norm{layer}")))?);
        }
        net = net.add(Activation::Silu);
    }
    Ok(net.add(linear(64, output, vb.pp("out"))?))
}

fn policy(place: &Place, rng: &mut Rng) -> hstep::Result<PolicyPart> {
    let (o, a) = (place.obs_dim, place.action_dim);
    let net =
        ModuleNet::new(move |vb: VarBuilder| mlp(&vb, [o, 2 * a], false), o, rng, place.spec)?;
    PolicyPart::new(ModulePolicy::new(net, o, a, (-20.0, 2.0)), &ADAM)
}

fn critic(place: &Place, rng: &mut Rng) -> hstep::Result<CriticPart> {
    let (o, a) = (place.obs_dim, place.action_dim);
    let member = |i: usize| {
        let build = move |vb: VarBuilder| mlp(&vb, [o + a, 1], true);
        ModuleNet::new(build, o + a, &rng.fork(&format!("member {i}")), place.spec)
    };
    let members = (0..2).map(member).collect::<hstep::Result<Vec<_>>>()?;
    CriticPart::new(ModuleCritic::new(members, o, a)?, &ADAM, Some(5e-3))
}

/// SAC on parts of one's own. Their names and versions stand for what they compute.
fn hybrid() -> hstep::Result<Hybrid> {
    Hybrid::builder("SAC-LN", "examples/own_network.rs")
        .gamma(0.99)
        .policy(ACTOR, Own::new("two layers of 64, SiLU", "1", policy))
        .critic(CRITIC, Own::new("two layers of 64, LayerNorm, SiLU", "1", critic))
        .temperature(&TemperatureConfig { lr: 1e-3, ..Default::default() })
        .schedule(&LoopConfig { random_steps: 500, ..Default::default() })
        .improve(Pathwise::model_free())
        .target(Box::new(Td0(Reduce::Min)))
        .build()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let seed = arguments.get(2).map_or(Ok(0), |seed| seed.parse())?;
    let steps = arguments.get(3).map_or(Ok(10_000), |steps| steps.parse())?;
    let folder = arguments.get(1).map_or("runs/examples/own-network", String::as_str);
    let run = RunConfig {
        env: "pendulum".into(),
        seed,
        steps,
        eval: EvalConfig { every: 500, episodes: 20, ..Default::default() },
        ..Default::default()
    };
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let mut trainer =
        Trainer::open(run, hybrid()?, make, Path::new(folder), "own-network", &Spec::f32())?;
    let mut watch = |progress: &Progress| {
        let step = progress.counters.env_steps;
        if let Some(value) = progress.eval_return.filter(|_| step.is_multiple_of(500)) {
            println!("{step} steps: return {value:.1}");
        }
    };
    trainer.run(&AtomicBool::new(false), &mut watch)?;
    Ok(())
}
