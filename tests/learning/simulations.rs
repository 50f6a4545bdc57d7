//! Runs whose simulation fails, is interrupted or is another one.

use std::collections::BTreeMap;

use hstep::train::saved_agent;

use super::*;
use crate::heard::warnings;

/// A pendulum whose simulation fails at some of its steps.
struct Failing {
    inner: Box<dyn Env>,
    fails_at: &'static [usize],
    steps: usize,
}

impl Env for Failing {
    fn info(&self) -> &EnvInfo {
        self.inner.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.inner.reset(rng)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.steps += 1;
        let mut step = self.inner.step(action)?;
        step.truncated |= self.failure_kind().is_some();
        Ok(step)
    }

    fn failure_kinds(&self) -> &'static [&'static str] {
        &["rare", "frequent"]
    }

    fn failure_kind(&self) -> Option<&'static str> {
        self.fails_at.contains(&self.steps).then_some("frequent")
    }
}

/// A pendulum that raises the stop flag when so many steps were taken with it and its like.
struct Stopping {
    inner: Box<dyn Env>,
    left: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Env for Stopping {
    fn info(&self) -> &EnvInfo {
        self.inner.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.inner.reset(rng)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.inner.step(action)
    }

    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        self.inner.as_simulator()
    }
}

#[test]
fn an_evaluation_that_is_stopped_is_made_again_after_the_resumption() {
    let whole = TempDir::new().unwrap();
    go(&mut open("sac", "pendulum", 200, whole.path())).unwrap();
    // Two episodes of 200 steps an evaluation: within the first one, at its very end, within that at
    // step 100, and within the last.
    let cases = [(50, 0, 0), (400, 1, 0), (400 + 100 + 50, 1, 100), (2 * (400 + 100) + 50, 2, 200)];
    for (left, rows, at) in cases {
        let folder = TempDir::new().unwrap();
        let (left, stop) = (Arc::new(AtomicUsize::new(left)), Arc::new(AtomicBool::new(false)));
        let (own, flag) = (Arc::clone(&left), Arc::clone(&stop));
        let make: EnvFactory = Arc::new(move || {
            let inner = native::make("pendulum")?;
            Ok(Box::new(Stopping { inner, left: Arc::clone(&own), stop: Arc::clone(&flag) }))
        });
        let config = run_config("pendulum", 200);
        let mut trainer = open_with(hybrid("sac"), make, config, folder.path());
        assert_eq!(trainer.run(&stop, &mut ()).unwrap(), Outcome::Interrupted);
        assert_eq!(trainer.agent().counters.env_steps, at);
        assert_eq!(numbers(&metrics(folder.path()), "env_steps").len(), rows);
        drop(trainer);
        let read = |at: &TempDir| std::fs::read_to_string(at.path().join("metrics.csv")).unwrap();
        // Opened once more than needed: a finished run is left as it is.
        for _ in 0..2 {
            go(&mut open("sac", "pendulum", 200, folder.path())).unwrap();
            assert_eq!(read(&folder), read(&whole));
            let saved = |at: &TempDir| {
                let folder = CheckpointDir::new(checkpoint_folder(at.path()));
                let newest = folder.load_latest().unwrap().unwrap();
                (newest.step, newest.metrics, newest.states)
            };
            assert_eq!(saved(&folder), saved(&whole));
        }
        // Every process that had something to do begins its clocks with a row of zeros.
        let timing = read_csv(&folder.path().join("timing.csv")).unwrap();
        let starts = numbers(&timing, TOTAL_COLUMN).iter().filter(|s| **s == 0.0).count();
        assert_eq!(starts, 2);
    }
}

#[test]
fn learning_waits_for_rows_where_simulations_have_failed() {
    // From the first row on, and from the tenth.
    let cases =
        [("sac", "loop.random_steps=1", 13, false), ("mbpo", "loop.random_steps=10", 4, true)];
    for (algo, random, steps, fits) in cases {
        let folder = TempDir::new().unwrap();
        let make: EnvFactory = Arc::new(|| {
            let inner = native::make("pendulum")?;
            Ok(Box::new(Failing { inner, fails_at: &[1, 2], steps: 0 }))
        });
        let hybrid = hybrid_with(algo, &[random]);
        let mut trainer = open_with(hybrid, make, run_config("pendulum", 15), folder.path());
        go(&mut trainer).unwrap();
        let counters = trainer.agent().counters;
        assert_eq!(trainer.agent().real.len(), 13);
        assert_eq!((counters.grad_steps, counters.fit_steps > 0), (2 * steps, fits));
    }
}

/// A pendulum that says which version of something it runs on.
struct Versioned(Box<dyn Env>, &'static str);

impl Env for Versioned {
    fn info(&self) -> &EnvInfo {
        self.0.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.0.reset(rng)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.0.step(action)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("engine".into(), self.1.into())])
    }
}

#[test]
fn a_run_goes_on_with_the_same_simulator_only() {
    let folder = TempDir::new().unwrap();
    let on = |version| -> EnvFactory {
        Arc::new(move || Ok(Box::new(Versioned(native::make("pendulum")?, version))))
    };
    let run = |version, steps| {
        let make = on(version);
        let config = run_config("pendulum", steps);
        let run = Trainer::open(config, hybrid("sac"), make, folder.path(), "1", &Spec::f32());
        run.and_then(|mut run| go(&mut run))
    };
    assert_eq!(run("3.17.0", 50).unwrap(), Outcome::Done);
    let error = run("4.0.0", 100).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("by engine 3.17.0, here it is by engine 4.0.0"), "{error}");
    assert_eq!(run("3.17.0", 100).unwrap(), Outcome::Done);
    // Its agent may be looked at on another one, which is said.
    let saved = |version| {
        let config = run_config("pendulum", 100);
        saved_agent(&config, hybrid("sac"), &on(version), folder.path(), "1", &Spec::f32())
    };
    for (version, said) in [
        ("3.17.0", &[][..]),
        (
            "4.0.0",
            &["environment `pendulum` was simulated by engine 3.17.0, here it is by engine 4.0.0"],
        ),
    ] {
        let (agent, heard) = warnings(|| saved(version).unwrap());
        assert_eq!(agent.unwrap().counters.env_steps, 100);
        assert_eq!(heard, said);
    }
}

#[test]
fn the_metrics_count_the_failures_of_a_simulation() {
    let folder = TempDir::new().unwrap();
    let make: EnvFactory = Arc::new(|| {
        let inner = native::make("pendulum")?;
        Ok(Box::new(Failing { inner, fails_at: &[120, 150, 280], steps: 0 }))
    });
    let config = run_config("pendulum", 300);
    let mut trainer = open_with(hybrid("sac"), make, config, folder.path());
    go(&mut trainer).unwrap();
    // What a failed simulation reports is no transition; its steps count all the same.
    assert_eq!(trainer.agent().real.len(), 297);
    let metrics = metrics(folder.path());
    assert_eq!(numbers(&metrics, "env_steps"), [0.0, 100.0, 200.0, 300.0]);
    let empty = vec![None; 4];
    assert_eq!(metrics.column("failed_rare").unwrap(), empty);
    // Each of an evaluation's two environments is new, so that it fails at its own step 120.
    assert_eq!(metrics.column("eval_failed_frequent").unwrap(), vec![Some(2.0); 4]);
    assert_eq!(metrics.column("eval_length").unwrap(), vec![Some(120.0); 4]);
    assert_eq!(metrics.column("eval_failed_rare").unwrap(), empty);
    assert_eq!(metrics.column("failed_frequent").unwrap(), [None, None, Some(2.0), Some(1.0)]);
    // Episodes of 120, 30 and 130 steps; the last is running.
    assert_eq!(metrics.column("train_length").unwrap(), [None, None, Some(75.0), Some(130.0)]);
}
