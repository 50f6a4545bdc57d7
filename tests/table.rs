//! Every algorithm on every native environment: a short run that learns something finite.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::algo::{self, Entry};
use hstep::config;
use hstep::env::native;
use hstep::kinds::Kinds;
use hstep::metrics::read_csv;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, Outcome, RunConfig, Trainer};

const STEPS: u64 = 90;
const RANDOM: u64 = 60;

/// Steps of a block, where learning goes in blocks.
const BLOCK: u64 = 10;

fn in_blocks(table: &toml::Table) -> bool {
    table.get("loop").and_then(|l| l.get("block")).is_some()
}

/// The paper's settings of an algorithm, cut down to a second's work.
fn tiny(entry: &Entry) -> toml::Table {
    let mut table = entry.preset(None, &Kinds::stock()).unwrap();
    let plans_alone = !table.contains_key("actor");
    let shares = table.contains_key("rollout");
    // What is stored of plans, random actions lack.
    let keeps = table.get("behave").is_some_and(|behave| behave.get("keep").is_some());
    let learned =
        table.get("model").is_some_and(|model| model["kind"].as_str() == Some("ensemble"));
    let free = table.get("behave").and_then(|b| b.get("horizon")).and_then(toml::Value::as_float)
        == Some(0.0);
    if in_blocks(&table) {
        config::set(&mut table, &format!("loop.block.steps={BLOCK}")).unwrap();
    }
    let mut set = |key: &str, value: &str| {
        let section = key.split('.').next().unwrap();
        if table.contains_key(section) {
            config::set(&mut table, &format!("{key}={value}")).unwrap();
        }
    };
    if !keeps {
        set("loop.random_steps", &RANDOM.to_string());
    }
    set("loop.fit_every", "20");
    set("loop.update_every", "1");
    set("loop.updates_per_step", "1");
    set("loop.batch", "16");
    set("actor.hidden", "[8]");
    set("critic.hidden", "[8]");
    set("rollout.horizon", "2");
    if learned {
        set("model.members", "3");
        set("model.elites", "2");
        set("model.hidden", "[8]");
        set("model.weight_decay", "[0.0, 0.0]");
        set("model.max_epochs", "2");
    }
    set("imagine.starts", "30");
    set("imagine.horizon", "2");
    if !shares {
        set("improve.starts", "8");
    }
    set("value.hidden", "[8]");
    set("planner.samples.count", "8");
    if plans_alone && !free {
        set("behave.horizon", "3");
    }
    if keeps {
        set("behave.keep.steps", "2");
    }
    // A model of two epochs is wild enough for gradients beyond f32.
    set("actor.max_grad_norm", "10.0");
    table
}

#[test]
fn every_algorithm_runs_on_every_native_environment() {
    for entry in algo::registry() {
        for &name in native::names() {
            let table = tiny(&entry);
            let hybrid = entry.build(&table).unwrap();
            // Of soft Q in simulation the model is the world that it learns in.
            let uses_model = table.contains_key("model") && entry.name != "soft-q-dr";
            // Planners that act have no networks but the model's.
            let learns = hybrid.learn.len();
            let learned =
                table.get("model").is_some_and(|model| model["kind"].as_str() == Some("ensemble"));
            let random = hybrid.schedule.random_steps as u64;
            let folder = tempfile::tempdir().unwrap();
            let run = RunConfig {
                algo: entry.name.into(),
                env: name.into(),
                steps: STEPS,
                eval: EvalConfig { every: 45, episodes: 2, ..EvalConfig::default() },
                ..RunConfig::default()
            };
            let make: EnvFactory = Arc::new(move || native::make(name));
            let mut trainer =
                Trainer::open(run, hybrid, make, folder.path(), "id", &Spec::f32()).unwrap();
            let outcome = trainer
                .run(&AtomicBool::new(false), &mut ())
                .unwrap_or_else(|e| panic!("{} on {name}: {e}", entry.name));
            assert_eq!(outcome, Outcome::Done);
            let counters = trainer.agent().counters;
            assert_eq!(counters.env_steps, STEPS);
            // The first update follows the last random step.
            let updates = match (learns > 0, in_blocks(&table)) {
                (false, _) => 0,
                (true, false) => STEPS - random.max(1) + 1,
                // Those of the random steps, too, and a quarter of each block for the critic alone.
                (true, true) => STEPS + (1 + (STEPS - RANDOM) / BLOCK) * (BLOCK / 4),
            };
            assert_eq!(counters.grad_steps, updates, "{} {name}", entry.name);
            assert_eq!(counters.model_steps > 0, uses_model, "{} {name}", entry.name);
            assert_eq!(counters.fit_steps > 0, learned, "{} {name}", entry.name);
            let metrics = read_csv(&folder.path().join("metrics.csv")).unwrap();
            let of_learners = ["critic_loss", "actor_loss", "alpha", "entropy"];
            let columns = if table.contains_key("actor") { &of_learners[..] } else { &[] };
            for column in columns.iter().chain(&["eval_return"]) {
                let last = metrics.column(column).unwrap().pop().unwrap().unwrap();
                assert!(last.is_finite(), "{} {name}: {column}", entry.name);
            }
        }
    }
}

#[test]
fn a_state_value_learns_beside_the_critic_and_is_saved() {
    use hstep::agent::{Hybrid, LoopConfig};
    use hstep::objective::Reduce;
    use hstep::policy::ActorConfig;
    use hstep::uses::{Pathwise, Td0};
    use hstep::value::CriticConfig;

    let hybrid = || {
        let actor = ActorConfig { hidden: vec![8], ..ActorConfig::default() };
        let critic = CriticConfig { hidden: vec![8], ..CriticConfig::default() };
        let schedule =
            LoopConfig { random_steps: 60, batch: 16, replay: 1000, ..LoopConfig::default() };
        Hybrid::builder("SAC with V", "the value of MoPAC on SAC")
            .actor_critic(0.9, &actor, &critic, &Default::default())
            .value(&critic)
            .schedule(&schedule)
            .improve(Pathwise::model_free())
            .target(Box::new(Td0(Reduce::Min)))
            .build()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let run = RunConfig {
            steps: 200,
            eval: EvalConfig { every: 100, episodes: 1, ..EvalConfig::default() },
            ..RunConfig::default()
        };
        let make: EnvFactory = Arc::new(|| native::make("pendulum"));
        Trainer::open(run, hybrid(), make, folder.path(), "id", &Spec::f32()).unwrap()
    };
    let flat = |trainer: &Trainer| {
        let v = trainer.agent().parts.value(hstep::parts::VALUE).unwrap();
        let follower = v.target.as_ref().unwrap();
        (v.online.params()[0].1.to_flat().unwrap(), follower.params()[0].1.to_flat().unwrap())
    };
    let mut trainer = open();
    let (start, target) = flat(&trainer);
    assert_eq!(start, target);
    trainer.run(&AtomicBool::new(false), &mut ()).unwrap();
    let (online, target) = flat(&trainer);
    let moved = |x: &[f64]| x.iter().zip(&start).map(|(a, b)| (a - b).abs()).sum::<f64>();
    // 141 Polyak steps of 0.005: the target has gone part of the way.
    assert!(moved(&target) > 0.0 && moved(&target) < 0.7 * moved(&online));
    let metrics = read_csv(&folder.path().join("metrics.csv")).unwrap();
    assert!(metrics.column("value_loss").unwrap()[2].unwrap().is_finite());
    drop(trainer);
    assert_eq!(flat(&open()), (online, target));
}

#[test]
fn what_a_run_writes_down_of_its_settings_is_the_same_composition() {
    let kinds = Kinds::stock();
    for entry in algo::registry() {
        for (suffix, _) in entry.presets {
            let all = entry.preset(Some(suffix), &kinds).unwrap();
            let written = entry.identity(&all, &kinds).unwrap();
            assert_eq!(entry.resolve(&written, &kinds).unwrap(), all, "{}-{suffix}", entry.name);
        }
    }
}
