//! A learned model of one's own, a residual network in candle-nn: MAAC trains a policy through it, and
//! then MPPI plans on it, both without knowing what it is.
//!
//! `cargo run --release --example own_model [FOLDER [SEED [STEPS]]]` (minutes; it resumes from there).

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::agent::Hybrid;
use hstep::candle_core::{self, Tensor};
use hstep::candle_nn::{Func, Module, VarBuilder, func, linear};
use hstep::dynamics::{Dynamics, Fitted, Model, StepNoise, Transition};
use hstep::nn::{AdamConfig, ModuleNet, NamedParams, Normaliser, Optimiser};
use hstep::parts::{MODEL, Own, Place};
use hstep::replay::{Batch, Replay};
use hstep::schedule::Schedule;
use hstep::shape::{Spec, scalar};
use hstep::{algo, config, env::native, kinds::Kinds, planner::*, rng::Rng, train::*, uses::*};

/// From `[B,O+A]` to the scaled change of the observation, and the scaled reward: `[B,O+1]`.
fn residual(vb: &VarBuilder, input: usize, output: usize) -> candle_core::Result<Func<'static>> {
    let (first, second) = (linear(input, 64, vb.pp("first"))?, linear(64, 64, vb.pp("second"))?);
    let last = linear(64, output, vb.pp("last"))?;
    Ok(func(move |x| {
        let hidden = first.forward(x)?.silu()?;
        last.forward(&(&hidden + second.forward(&hidden)?.silu()?)?)
    }))
}

struct Residual {
    net: ModuleNet<Func<'static>>,
    optimiser: Optimiser,
    /// How changes and rewards are scaled.
    scale: Normaliser,
    sizes: (usize, usize),
}

fn model(place: &Place, rng: &mut Rng) -> hstep::Result<Box<dyn Model>> {
    let (o, a, spec) = (place.obs_dim, place.action_dim, place.spec);
    let net = ModuleNet::new(move |vb| residual(&vb, o + a, o + 1), o + a, rng, spec)?;
    let optimiser = Optimiser::new(&net.params(), &AdamConfig { lr: 1e-3, ..Default::default() })?;
    let scale = Normaliser::identity(o + 1, spec)?;
    Ok(Box::new(Residual { net, optimiser, scale, sizes: (o, a) }))
}

#[rustfmt::skip]
impl Dynamics for Residual {
    fn state_dim(&self) -> usize { self.sizes.0 }
    fn action_dim(&self) -> usize { self.sizes.1 }
    fn spec(&self) -> &Spec { self.net.spec() }

    /// Gradients reach state and action, and not the network's own numbers.
    fn step(&self, state: &Tensor, action: &Tensor, _: &StepNoise) -> hstep::Result<Transition> {
        let out = self.scale.undo(&self.net.frozen(&Tensor::cat(&[state, action], 1)?)?)?;
        let (change, reward) = (out.narrow(1, 0, self.sizes.0)?, out.narrow(1, self.sizes.0, 1)?.squeeze(1)?);
        Ok(Transition { next: (state + change)?, cont: reward.ones_like()?, reward })
    }
}

/// What is trained, what is fixed, and the optimiser are saved with the run.
#[rustfmt::skip]
impl Model for Residual {
    fn describe(&self) -> String { "residual network".into() }
    fn dynamics(&self) -> &dyn Dynamics { self }
    fn params(&self) -> NamedParams<'_> { self.net.params() }
    fn fixed(&self) -> NamedParams<'_> { vec![("scale".into(), self.scale.params())] }
    fn optimiser(&self) -> Option<&Optimiser> { Some(&self.optimiser) }
    fn optimiser_mut(&mut self) -> Option<&mut Optimiser> { Some(&mut self.optimiser) }
    fn columns(&self, _: usize) -> Vec<String> { vec!["residual_loss".into()] }

    fn fit(&mut self, data: &Replay, rng: &mut Rng) -> hstep::Result<Fitted> {
        let (spec, steps, mut loss) = (self.net.spec().clone(), 500, 0.0);
        let targets = |b: &Batch| Tensor::cat(&[&(&b.next_obs - &b.obs)?, &b.reward.unsqueeze(1)?], 1);
        let all = targets(&data.last(data.len(), &spec)?)?;
        self.scale.fit(&all.flatten_all()?.to_vec1::<f32>()?)?;
        for _ in 0..steps {
            let batch = data.sample(128, rng, &spec)?;
            let out = self.net.tracked(&Tensor::cat(&[&batch.obs, &batch.action], 1)?)?;
            let square = (out - self.scale.apply(&targets(&batch)?)?)?.sqr()?.mean_all()?;
            loss = scalar(&square)?;
            self.optimiser.descend(&square)?;
        }
        Ok(Fitted { steps, metrics: vec![("residual_loss".into(), loss)] })
    }
}

/// MAAC as its row has it, but for this model and the sizes.
fn maac() -> hstep::Result<Hybrid> {
    let (row, _) = algo::find("maac")?;
    let kinds = Kinds::stock();
    let mut table = row.preset(None, &kinds)?;
    let sizes = "actor.hidden=[64,64] actor.lr=1e-3 critic.hidden=[64,64] critic.lr=1e-3 temperature.lr=1e-3 \
                 loop.random_steps=400 loop.fit_every=200 loop.updates_per_step=5 imagine.starts=2000 \
                 imagine.real_ratio=0.5 improve.horizon=3 improve.samples=1 improve.starts=128";
    config::set_all(&mut table, &sizes.split_whitespace().collect::<Vec<_>>())?;
    row.builder(&table, &kinds)?.own_model(MODEL, Own::new("residual", "1", model)).build()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = Path::new(arguments.get(1).map_or("runs/examples/own-model", String::as_str));
    let number = |i: usize, or: u64| arguments.get(i).map_or(Ok(or), |given| given.parse());
    let run = RunConfig { seed: number(2, 0)?, steps: number(3, 5_000)?, ..Default::default() };
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let mut trainer = Trainer::open(run, maac()?, make.clone(), folder, "own-model", &Spec::f32())?;
    trainer.run(&AtomicBool::new(false), &mut ())?;
    let eval = EvalConfig { episodes: 10, ..Default::default() };
    let mut agent = trainer.into_agent();
    println!("the policy: return {:.1}", evaluate(&agent, &make, &eval)?.mean());
    // The same agent, planning: fifteen steps and then Q.
    let (horizon, gamma, terminal) = (Schedule::Constant(15.0), 0.99, PlanTerminal::Q);
    let plan = PlanConfig { horizon, gamma, terminal, ..Default::default() };
    agent.hybrid.behave = Box::new(PlanFirst::new(plan, Mppi::new(MppiConfig::default())));
    println!("MPPI on the model: return {:.1}", evaluate(&agent, &make, &eval)?.mean());
    Ok(())
}
