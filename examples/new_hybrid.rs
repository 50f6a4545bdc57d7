//! A hybrid that no paper has, in one file: MAAC's gradient, STEVE's targets, and MPPI around the
//! policy where the agent acts. It swings the pendulum up.
//!
//! `cargo run --release --example new_hybrid` (about a minute; docs/adding-an-algorithm.md walks
//! through it).

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::agent::{Hybrid, LoopConfig};
use hstep::algo;
use hstep::dynamics::EnsembleConfig;
use hstep::env::native;
use hstep::planner::{Mppi, MppiConfig, SamplesConfig, TemperatureKind};
use hstep::policy::ActorConfig;
use hstep::schedule::Schedule;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, Progress, RunConfig, Trainer};
use hstep::uses::{
    Branched, BranchedConfig, Pathwise, PathwiseConfig, PlanConfig, PlanFirst, PlanStart,
    PlanTerminal, Steve, SteveConfig,
};
use hstep::value::CriticConfig;

const STEPS: u64 = 2_000;

/// Parts and four uses; everything not said is the papers' default.
fn hybrid() -> hstep::Result<Hybrid> {
    // Small networks: the pendulum has three observations.
    let hidden = vec![64, 64];
    let actor = ActorConfig { hidden: hidden.clone(), lr: 1e-3, ..Default::default() };
    let critic = CriticConfig { hidden: hidden.clone(), lr: 1e-3, ..Default::default() };
    let model = EnsembleConfig {
        members: 5,
        elites: 3,
        hidden,
        weight_decay: vec![2.5e-5, 5e-5, 1e-4],
        normalise_targets: true,
        ..Default::default()
    };

    // Behave: three steps of the model beyond the policy, then Q; the first action is taken.
    let acts = PlanConfig {
        horizon: Schedule::Constant(3.0),
        gamma: 0.99,
        terminal: PlanTerminal::Q,
        start: PlanStart::Sample,
        ..PlanConfig::default()
    };
    let mppi = Mppi::new(MppiConfig {
        samples: SamplesConfig { count: 64, ..Default::default() },
        temperature: 0.5,
        temperature_kind: TemperatureKind::Spread,
        noise: 0.3,
        ..Default::default()
    });

    Hybrid::builder("MAAC-MPPI", "examples/new_hybrid.rs")
        .actor_critic(0.99, &actor, &critic, &Default::default())
        .model(&model)
        .schedule(&LoopConfig {
            random_steps: 400,
            fit_every: 200,
            updates_per_step: 5,
            ..Default::default()
        })
        .behave(PlanFirst::new(acts, mppi))
        .imagine(Branched(BranchedConfig {
            starts: 2_000,
            real_ratio: Schedule::Constant(0.5),
            ..Default::default()
        }))
        .improve(Pathwise(PathwiseConfig { horizon: 3, starts: Some(128), ..Default::default() }))
        .target(Box::new(Steve(SteveConfig { horizon: 2, ..Default::default() })))
        .build()
}

fn main() -> Result<(), Box<dyn Error>> {
    let hybrid = hybrid()?;
    println!("{}", algo::table(&[hybrid.row()]));

    let eval = EvalConfig { every: 500, episodes: 10, ..Default::default() };
    let run =
        RunConfig { env: "pendulum".into(), seed: 0, steps: STEPS, eval, ..Default::default() };
    let environments: EnvFactory = Arc::new(|| native::make("pendulum"));
    // The folder keeps metrics and checkpoints: the same command goes on where it stopped.
    let folder = Path::new("runs/new-hybrid");
    let mut trainer = Trainer::open(run, hybrid, environments, folder, "new-hybrid", &Spec::f32())?;
    let mut show = |progress: &Progress| {
        if progress.counters.env_steps.is_multiple_of(500)
            && let Some(r) = progress.eval_return
        {
            println!("{:>6} steps   return {r:.1}", progress.counters.env_steps);
        }
    };
    trainer.run(&AtomicBool::new(false), &mut show)?;
    Ok(())
}
