//! Every algorithm on every native environment: a short run that learns something finite.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hstep::algo::{self, Entry};
use hstep::config;
use hstep::env::native;
use hstep::metrics::read_csv;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, Outcome, RunConfig, Trainer};

const STEPS: u64 = 90;
const RANDOM: u64 = 60;

/// The paper's settings of an algorithm, cut down to a second's work.
fn tiny(entry: &Entry) -> toml::Table {
    let mut table = entry.preset(None).unwrap();
    let mut set = |key: &str, value: &str| {
        let section = key.split('.').next().unwrap();
        if table.contains_key(section) {
            config::set(&mut table, &format!("{key}={value}")).unwrap();
        }
    };
    set("loop.random_steps", &RANDOM.to_string());
    set("loop.fit_every", "20");
    set("loop.updates_per_step", "1");
    set("loop.batch", "16");
    set("actor.hidden", "[8]");
    set("critic.hidden", "[8]");
    set("model.members", "3");
    set("model.elites", "2");
    set("model.hidden", "[8]");
    set("model.weight_decay", "[0.0, 0.0]");
    set("model.max_epochs", "2");
    set("imagine.starts", "30");
    set("improve.starts", "8");
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
            let uses_model = table.contains_key("model");
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
            assert_eq!(counters.grad_steps, STEPS - RANDOM + 1, "{} {name}", entry.name);
            assert_eq!(counters.model_steps > 0, uses_model, "{} {name}", entry.name);
            assert_eq!(counters.fit_steps > 0, uses_model, "{} {name}", entry.name);
            let metrics = read_csv(&folder.path().join("metrics.csv")).unwrap();
            for column in ["critic_loss", "actor_loss", "alpha", "entropy", "eval_return"] {
                let last = metrics.column(column).unwrap().pop().unwrap().unwrap();
                assert!(last.is_finite(), "{} {name}: {column}", entry.name);
            }
        }
    }
}
