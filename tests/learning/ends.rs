//! Learning where falling ends the episode, and nothing else says that it is bad.

use hstep::env::gymnasium::{Gymnasium, Options};

use super::*;

fn falls(name: &'static str) -> EnvFactory {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fake_gymnasium");
    let options = Options { path: vec![path], ..Options::default() };
    Arc::new(move || Ok(Box::new(Gymnasium::new(name, &options)?)))
}

/// The return at the end, and the metrics.
fn trained(env: &'static str, seed: u64, settings: &[&str]) -> (f64, Table) {
    let folder = TempDir::new().unwrap();
    let steps = 1500;
    let eval = EvalConfig { every: 500, episodes: 5, ..EvalConfig::default() };
    let config = RunConfig { seed, eval, checkpoint_every: steps, ..run_config(env, steps) };
    let common = ["loop.random_steps=200", "loop.updates_per_step=5", "loop.fit_every=100"];
    let of_model = [
        "model.max_epochs=200",
        "model.max_steps=400",
        "model.hidden=[64, 64]",
        "imagine.starts=1000",
        "imagine.horizon=5",
    ];
    let all: Vec<&str> = common.into_iter().chain(of_model).chain(settings.to_vec()).collect();
    let hybrid = hybrid_with("mbpo", &all);
    let mut run = open_with(hybrid, falls(env), config, folder.path());
    go(&mut run).unwrap();
    let table = metrics(folder.path());
    (*numbers(&table, "eval_return").last().unwrap(), table)
}

#[test]
fn a_fall_is_learned_from_its_ends_alone() {
    for seed in 0..2 {
        let learned = ["model.learn_termination=true"];
        let (last, table) = trained("gym:falls:Falls-v0", seed, &learned);
        assert_eq!(last, 50.0, "seed {seed}");
        let of = |column: &str| *numbers(&table, column).last().unwrap();
        assert!(of("termination_brier") < of("termination_base"), "seed {seed}");
        assert!((0.0..=1.0).contains(&of("ends_foreseen")), "seed {seed}");
    }
}

#[test]
fn a_fall_is_learned_where_python_says_when_it_is_one() {
    for seed in 0..2 {
        assert_eq!(trained("gym:falls:Told-v0", seed, &[]).0, 50.0, "seed {seed}");
    }
}
