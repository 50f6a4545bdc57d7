//! A model that remembers: a GRU in candle-nn, on a pendulum whose velocity is hidden. The agent carries
//! what it believes through an episode, stores it with every transition, and has it made anew after a
//! fit. With `none` for `gru` its memory is always zero.
//!
//! `cargo run --release --example own_memory [FOLDER [SEED [STEPS [gru|none]]]]` (some minutes)

#![allow(clippy::print_stdout)]

mod gru;
#[path = "../own_environment.rs"]
mod own_environment;

use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};

use hstep::agent::{Hybrid, LoopConfig};
use hstep::env::EnvFactory;
use hstep::parts::{MODEL, Own, Place};
use hstep::planner::{Mppi, MppiConfig};
use hstep::schedule::Schedule;
use hstep::train::{EvalConfig, RunConfig, Trainer};
use hstep::uses::{PlanConfig, PlanFirst};
use hstep::{rng::Rng, shape::Spec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = Path::new(arguments.get(1).map_or("runs/examples/own-memory", String::as_str));
    let number = |i: usize, or: u64| arguments.get(i).map_or(Ok(or), |given| given.parse());
    let remembers = arguments.get(4).is_none_or(|kind| kind == "gru");
    let eval = EvalConfig { every: 1_000, episodes: 5, ..Default::default() };
    let run =
        RunConfig { seed: number(2, 0)?, steps: number(3, 4_000)?, eval, ..Default::default() };
    let make: EnvFactory = Arc::new(own_environment::blind_pendulum);
    let plan = PlanConfig { horizon: Schedule::Constant(15.0), gamma: 0.99, ..Default::default() };
    let version = if remembers { "1" } else { "none" };
    let own = Own::new("GRU", version, move |place: &Place, rng: &mut Rng| {
        gru::model(place, rng, remembers)
    });
    let schedule = LoopConfig { random_steps: 400, fit_every: 200, ..Default::default() };
    let hybrid = Hybrid::builder("MPPI on a memory", "examples/own_memory")
        .own_model(MODEL, own)
        .behave(PlanFirst::new(plan, Mppi::new(MppiConfig::default())))
        .schedule(&LoopConfig { updates_per_step: 0, ..schedule })
        .build()?;
    let mut trainer = Trainer::open(run, hybrid, make, folder, "own-memory", &Spec::f32())?;
    trainer.run(&AtomicBool::new(false), &mut ())?;
    println!("{}", std::fs::read_to_string(folder.join("metrics.csv"))?);
    Ok(())
}
