//! A second new hybrid: data imagined along mirror-descent plans as in M-DeMoRL, SAC's actor step
//! and targets, and a kind of its own that acts halfway between a plan and the policy.
//!
//! `cargo run --release --example second_hybrid` (seconds). On this one seed the return rises from
//! -1456 to about -200 within 1,000 steps and stays between -170 and -290.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::agent::{Hybrid, LoopConfig};
use hstep::dynamics::EnsembleConfig;
use hstep::env::native;
use hstep::objective::Reduce;
use hstep::parts::{Parts, TemperatureConfig};
use hstep::planner::{MirrorDescent, MirrorDescentConfig, SamplesConfig};
use hstep::policy::ActorConfig;
use hstep::replay::Start;
use hstep::schedule::Schedule::Constant;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, Progress, RunConfig, Trainer};
use hstep::uses::*;
use hstep::value::CriticConfig;

/// While exploring, the mean of the inner kind's action and the policy's.
struct Halfway<P>(P);

impl<P: Behave> Behave for Halfway<P> {
    fn describe(&self) -> String {
        format!("halfway from policy to {}", self.0.describe())
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, ..self.0.needs() }
    }

    fn validate(&self) -> hstep::Result<()> {
        self.0.validate()
    }

    fn act(
        &self,
        parts: &Parts,
        start: &Start,
        memory: &mut Memory,
        at: Moment,
    ) -> hstep::Result<Acted> {
        // Plans gather the data; it is the policy that is evaluated.
        if !at.explore {
            return PolicySample.act(parts, start, memory, at);
        }
        let inner = self.0.act(parts, start, memory, at)?;
        // The inner kind draws from the key itself, so the policy draws from a fork of it.
        let apart = Moment { key: at.key.fork("halfway"), ..at };
        let policy = PolicySample.act(parts, start, memory, apart)?;
        // Both lie in [-1, 1], and so does their mean.
        let action = ((inner.action + policy.action)? * 0.5)?;
        Ok(Acted::new(action, inner.model_steps + policy.model_steps))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (hidden, lr) = (vec![64, 64], 1e-3);
    let actor = ActorConfig { hidden: hidden.clone(), lr, ..Default::default() };
    let critic = CriticConfig { hidden: hidden.clone(), lr, ..Default::default() };
    let weight_decay = vec![2.5e-5, 5e-5, 1e-4];
    let shape = EnsembleConfig { members: 5, elites: 3, hidden, ..Default::default() };
    let (normalise_targets, warm_start, batch) = (true, false, 64);
    let model = EnsembleConfig { weight_decay, normalise_targets, warm_start, batch, ..shape };
    let times = LoopConfig { random_steps: 400, fit_every: 200, ..Default::default() };
    let descent = || {
        let samples = SamplesConfig { count: 32, ..Default::default() };
        MirrorDescent::new(MirrorDescentConfig { samples, ..Default::default() })
    };
    // The default terminal of both kinds of plan is another; Q needs no part but the critic.
    let (horizon, terminal) = (Constant(3.0), PlanTerminal::Q);
    let acts = PlanConfig {
        horizon,
        gamma: 0.99,
        terminal,
        start: PlanStart::Sample,
        ..Default::default()
    };
    // The paper's 10,000 start states would be far more than there is data for.
    let starts = Constant(500.0);
    let imagines = PlannedConfig {
        horizon,
        starts,
        terminal,
        real_ratio: Constant(0.5),
        ..Default::default()
    };
    let hybrid = Hybrid::builder("Halfway", "examples/second_hybrid.rs")
        .actor_critic(0.99, &actor, &critic, &TemperatureConfig { lr, ..Default::default() })
        .model(&model)
        .schedule(&LoopConfig { updates_per_step: 5, ..times })
        .behave(Halfway(PlanFirst::new(acts, descent())))
        .imagine(Planned::new(imagines, descent()))
        .improve(Pathwise::model_free())
        .target(Box::new(Td0(Reduce::Min)))
        .build()?;
    println!("{}", hstep::algo::table(&[hybrid.row()]));

    let eval = EvalConfig { every: 500, episodes: 10, ..Default::default() };
    let run = RunConfig { env: "pendulum".into(), steps: 2_500, eval, ..Default::default() };
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let folder = Path::new("runs/second-hybrid");
    let mut trainer = Trainer::open(run, hybrid, make, folder, "second-hybrid", &Spec::f32())?;
    let mut watch = |progress: &Progress| {
        if let Some(value) =
            progress.eval_return.filter(|_| progress.counters.env_steps.is_multiple_of(500))
        {
            println!("{} steps: return {value:.1}", progress.counters.env_steps);
        }
    };
    trainer.run(&AtomicBool::new(false), &mut watch)?;
    Ok(())
}
