//! Runs of the training loop in the library: what they count and write, and how they end when a
//! number is not finite.

mod begun;
mod ends;
mod simulations;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hstep::agent::Hybrid;
use hstep::checkpoint::CheckpointDir;
use hstep::env::{Env, EnvInfo, Simulator, Step, native};
use hstep::kinds::Kinds;
use hstep::metrics::{Table, read_csv};
use hstep::parts::{ACTOR, CRITIC};
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::train::{
    EnvFactory, EvalConfig, Observer, Outcome, Progress, RunConfig, TOTAL_COLUMN, Trainer,
    checkpoint_folder, critic_bias, evaluate, model_bias,
};
use hstep::{Error, Result, algo, config};
use tempfile::TempDir;

/// An algorithm made small.
fn hybrid(name: &str) -> Hybrid {
    hybrid_with(name, &[])
}

fn hybrid_with(name: &str, settings: &[&str]) -> Hybrid {
    let (entry, suffix) = algo::find(name).unwrap();
    let mut table = entry.preset(suffix.as_deref(), &Kinds::stock()).unwrap();
    let small = ["actor.hidden=[32, 32]", "critic.hidden=[32, 32]", "loop.batch=64"];
    config::set_all(&mut table, &small).unwrap();
    config::set_all(&mut table, &["loop.random_steps=100", "loop.updates_per_step=2"]).unwrap();
    if name != "sac" {
        let model = ["model.members=3", "model.elites=2", "model.hidden=[32, 32]"];
        config::set_all(&mut table, &model).unwrap();
        let rest = ["model.max_epochs=3", "loop.fit_every=50", "imagine.starts=100"];
        config::set_all(&mut table, &rest).unwrap();
        config::set(&mut table, "model.weight_decay=[]").unwrap();
    }
    config::set_all(&mut table, settings).unwrap();
    entry.build(&entry.resolve(&table, &Kinds::stock()).unwrap()).unwrap()
}

fn run_config(env: &str, steps: u64) -> RunConfig {
    RunConfig {
        algo: "test".into(),
        env: env.into(),
        seed: 3,
        steps,
        checkpoint_every: 50,
        checkpoint_share: 1.0,
        eval: EvalConfig { every: 100, episodes: 2, ..EvalConfig::default() },
        ..RunConfig::default()
    }
}

fn factory(env: &'static str) -> EnvFactory {
    Arc::new(move || native::make(env))
}

fn open(algo: &str, env: &'static str, steps: u64, folder: &Path) -> Trainer {
    open_with(hybrid(algo), factory(env), run_config(env, steps), folder)
}

fn open_with(hybrid: Hybrid, make: EnvFactory, config: RunConfig, folder: &Path) -> Trainer {
    Trainer::open(config, hybrid, make, folder, "identity", &Spec::f32()).unwrap()
}

fn go(trainer: &mut Trainer) -> Result<Outcome> {
    trainer.run(&AtomicBool::new(false), &mut ())
}

fn metrics(folder: &Path) -> Table {
    read_csv(&folder.join("metrics.csv")).unwrap()
}

fn numbers(table: &Table, column: &str) -> Vec<f64> {
    table.column(column).unwrap().into_iter().flatten().collect()
}

/// Raises the stop flag at a step.
struct StopAt<'a>(u64, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn step(&mut self, progress: &Progress) {
        self.1.store(progress.counters.env_steps >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn counters_count_and_losses_are_finite() {
    for (algo, env) in [("sac", "double-integrator"), ("mbpo", "pendulum"), ("maac", "pendulum")] {
        let folder = TempDir::new().unwrap();
        let mut trainer = open(algo, env, 300, folder.path());
        assert_eq!(go(&mut trainer).unwrap(), Outcome::Done);
        let c = trainer.agent().counters;
        assert_eq!(c.env_steps, 300);
        // Learning starts with the transition of step 100: 201 steps learn, two updates each.
        assert_eq!(c.grad_steps, 2 * 201, "{algo}");
        assert_eq!(trainer.agent().real.len(), 300);
        let table = metrics(folder.path());
        assert_eq!(numbers(&table, "env_steps"), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(numbers(&table, "grad_steps"), [0.0, 2.0, 202.0, 402.0]);
        for loss in ["critic_loss", "actor_loss", "entropy", "alpha", "q_mean"] {
            let values = numbers(&table, loss);
            assert!(
                values.len() == 3 && values.iter().all(|x| x.is_finite()),
                "{loss}: {values:?}"
            );
        }
        assert!(numbers(&table, "critic_loss").iter().all(|&loss| loss > 0.0));
        if algo == "sac" {
            assert_eq!((c.model_steps, c.fit_steps), (0, 0));
            continue;
        }
        // Fits after the steps 100, 150, .., 300; as many rounds of 100 rollouts of one step. MAAC
        // also counts the steps of its gradients.
        assert!(c.fit_steps >= 5, "{algo}: {}", c.fit_steps);
        match algo {
            "mbpo" => assert_eq!(c.model_steps, 5 * 100),
            _ => assert!(c.model_steps > 5 * 100 + c.grad_steps, "{}", c.model_steps),
        }
        assert_eq!(numbers(&table, "fit_steps").last(), Some(&(c.fit_steps as f64)));
        assert_eq!(numbers(&table, "model_steps").last(), Some(&(c.model_steps as f64)));
        for column in ["model_nll", "model_rmse_0", "open_loop_rmse_15", "model_cover_90"] {
            let values = numbers(&table, column);
            assert!(!values.is_empty() && values.iter().all(|x| x.is_finite()), "{column}");
        }
    }
}

#[test]
fn metrics_hold_no_clock_times_and_repeat_to_the_byte() {
    let result = |seed| {
        let folder = TempDir::new().unwrap();
        let config = RunConfig { seed, ..run_config("pendulum", 200) };
        let mut run = open_with(hybrid("mbpo"), factory("pendulum"), config, folder.path());
        go(&mut run).unwrap();
        std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap()
    };
    let first = result(3);
    assert_eq!(first, result(3));
    assert_ne!(first, result(4));
    let header = first.lines().next().unwrap();
    assert!(!header.contains("_s,") && !header.contains("time"), "{header}");
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let whole = TempDir::new().unwrap();
    go(&mut open("mbpo", "pendulum", 300, whole.path())).unwrap();
    let folder = TempDir::new().unwrap();
    for at in [30, 130, 217] {
        let mut trainer = open("mbpo", "pendulum", 300, folder.path());
        let stop = AtomicBool::new(false);
        assert_eq!(trainer.run(&stop, &mut StopAt(at, &stop)).unwrap(), Outcome::Interrupted);
        assert_eq!(trainer.agent().counters.env_steps, at);
    }
    go(&mut open("mbpo", "pendulum", 300, folder.path())).unwrap();
    let read = |folder: &TempDir| std::fs::read(folder.path().join("metrics.csv")).unwrap();
    assert_eq!(read(&whole), read(&folder));
    let manifest = |folder: &TempDir| {
        std::fs::read(CheckpointDir::new(checkpoint_folder(folder.path())).manifest_path(300))
    };
    assert_eq!(manifest(&whole).unwrap(), manifest(&folder).unwrap());
}

/// What a [`Broken`] environment spoils.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spoil {
    Reward(f64),
    Observation(f64),
    FirstObservation,
}

/// An environment that answers with a number that is not finite from its `from`-th step on.
struct Broken {
    inner: Box<dyn Env>,
    spoil: Spoil,
    from: usize,
    steps: usize,
}

impl Env for Broken {
    fn info(&self) -> &EnvInfo {
        self.inner.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        let mut obs = self.inner.reset(rng)?;
        if self.spoil == Spoil::FirstObservation && self.steps >= self.from {
            obs[1] = f64::NAN;
        }
        Ok(obs)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.steps += 1;
        let mut step = self.inner.step(action)?;
        if self.steps >= self.from {
            match self.spoil {
                Spoil::Reward(x) => step.reward = x,
                Spoil::Observation(x) => step.obs[0] = x,
                Spoil::FirstObservation => {}
            }
        }
        Ok(step)
    }

    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        self.inner.as_simulator()
    }
}

/// Pendulums of which the `which`-th made (0 trains, 1 and 2 are the first evaluation's) is broken.
fn broken(spoil: Spoil, from: usize, which: usize) -> EnvFactory {
    let made = AtomicUsize::new(0);
    Arc::new(move || {
        let inner = native::make("pendulum")?;
        Ok(match made.fetch_add(1, Ordering::Relaxed) == which {
            true => Box::new(Broken { inner, spoil, from, steps: 0 }),
            false => inner,
        })
    })
}

fn assert_non_finite(error: &Error, quantity: &str, step: &str) {
    let Error::NonFinite { quantity: q, step: s } = error else { panic!("{error:?}") };
    assert!(q.contains(quantity) && s.contains(step), "{error}");
}

/// That the newest checkpoint is of `step`, whole, and holds only what came before it.
fn assert_saved(folder: &Path, step: u64) {
    let loaded = CheckpointDir::new(checkpoint_folder(folder)).load_latest().unwrap().unwrap();
    assert_eq!((loaded.step, loaded.buffers["real"].len()), (step, step as usize));
    // Loading a buffer checks every row.
    let mut again = open("sac", "pendulum", step, folder);
    assert_eq!(go(&mut again).unwrap(), Outcome::Done);
    let rows = again.agent().real.last(step as usize, &Spec::f64()).unwrap();
    for column in [&rows.obs, &rows.action, &rows.reward, &rows.next_obs] {
        let numbers = column.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(numbers.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn what_an_environment_answers_must_be_finite() {
    let pendulum = "of environment `pendulum`";
    let cases = [
        (Spoil::Reward(f64::NAN), 130, "reward is nan", "env step 130"),
        (Spoil::Reward(f64::NEG_INFINITY), 130, "reward is -inf", "env step 130"),
        // Finite in f64, but not in the f32 that is stored.
        (Spoil::Reward(1e300), 130, "reward is 1e300, beyond what f32 holds", "env step 130"),
        (Spoil::Observation(f64::NAN), 130, "observation[0] is nan", "env step 130"),
        // Episodes have 200 steps: the next one starts after step 200.
        (Spoil::FirstObservation, 130, "first observation[1] is nan", "env step 200"),
    ];
    for (spoil, from, quantity, step) in cases {
        let folder = TempDir::new().unwrap();
        let config = run_config("pendulum", 300);
        let make = broken(spoil, from, 0);
        let mut trainer = open_with(hybrid("sac"), make, config, folder.path());
        let error = go(&mut trainer).unwrap_err();
        assert_non_finite(&error, quantity, step);
        assert!(error.to_string().contains(pendulum), "{error}");
        // What is not finite was never stored, and the checkpoint before it stands.
        let stored = if spoil == Spoil::FirstObservation { 200 } else { from - 1 };
        assert_eq!(trainer.agent().real.len(), stored, "{spoil:?}");
        drop(trainer);
        assert_saved(folder.path(), if stored == 200 { 150 } else { 100 });
    }
}

#[test]
fn what_an_environment_answers_in_an_evaluation_must_be_finite() {
    let cases = [
        (Spoil::Reward(f64::NAN), "environment `pendulum`: reward is nan"),
        (Spoil::Observation(f64::INFINITY), "environment `pendulum`: observation[0] is inf"),
        // Finite in f64, but not in the f32 of the policy.
        (Spoil::Observation(1e39), "observation[0] is 1e39, beyond what f32 holds"),
        (Spoil::FirstObservation, "environment `pendulum`: observation[1] is nan"),
    ];
    for (spoil, quantity) in cases {
        let folder = TempDir::new().unwrap();
        // The evaluations at the steps 0 and 100 make two environments each.
        let make = broken(spoil, 0, 4);
        let config = run_config("pendulum", 300);
        let mut trainer = open_with(hybrid("sac"), make, config, folder.path());
        let error = go(&mut trainer).unwrap_err();
        assert_non_finite(&error, quantity, "the evaluation at env step 100");
        let way_out = "the environment returns it: replace it there by a finite number";
        assert!(error.to_string().contains(way_out), "{error}");
        drop(trainer);
        assert_eq!(numbers(&metrics(folder.path()), "env_steps"), [0.0]);
        assert_saved(folder.path(), 50);
    }
}

#[test]
fn a_network_that_holds_nan_ends_the_run_before_it_is_saved() {
    type Spoiler = fn(&Trainer);
    let actor: Spoiler = |t| {
        let params = t.agent().parts.policy(ACTOR).unwrap().params()[0].1;
        params.set_flat(&vec![f64::NAN; params.len()]).unwrap();
    };
    let critic: Spoiler = |t| {
        let params = t.agent().parts.critic(CRITIC).unwrap().online.params()[0].1;
        params.set_flat(&vec![f64::NAN; params.len()]).unwrap();
    };
    let target: Spoiler = |t| {
        let params = t.agent().parts.critic(CRITIC).unwrap().target.as_ref().unwrap().params()[0].1;
        params.set_flat(&vec![f64::NAN; params.len()]).unwrap();
    };
    for (spoil, quantity, step) in [
        (actor, "action of the policy", "env step 120"),
        (critic, "critic loss", "env step 121, gradient step 43"),
        (target, "critic loss", "env step 121, gradient step 43"),
    ] {
        let folder = TempDir::new().unwrap();
        let mut trainer = open("sac", "pendulum", 300, folder.path());
        let stop = AtomicBool::new(false);
        trainer.run(&stop, &mut StopAt(120, &stop)).unwrap();
        spoil(&trainer);
        assert_non_finite(&go(&mut trainer).unwrap_err(), quantity, step);
        drop(trainer);
        assert_saved(folder.path(), 120);
    }
    // While nothing is learned, nothing but the save itself looks at the critic.
    let folder = TempDir::new().unwrap();
    let mut trainer = open("sac", "pendulum", 80, folder.path());
    let stop = AtomicBool::new(false);
    trainer.run(&stop, &mut StopAt(30, &stop)).unwrap();
    critic(&trainer);
    let error = go(&mut trainer).unwrap_err();
    assert_non_finite(&error, "`critic.", "the checkpoint of env step 50");
    drop(trainer);
    assert_saved(folder.path(), 30);
}

#[test]
fn a_run_without_evaluation_has_rows_all_the_same() {
    let folder = TempDir::new().unwrap();
    let mut config = run_config("pendulum", 2_000);
    config.eval.every = 0;
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let make: EnvFactory = Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        native::make("pendulum")
    });
    let mut trainer = open_with(hybrid("sac"), make, config, folder.path());
    assert_eq!(go(&mut trainer).unwrap(), Outcome::Done);
    assert_eq!(made.load(Ordering::Relaxed), 1, "no environment beside the one to train in");
    let metrics = metrics(folder.path());
    assert_eq!(numbers(&metrics, "env_steps"), [1_000.0, 2_000.0]);
    assert!(numbers(&metrics, "eval_return").is_empty());
    assert_eq!(numbers(&metrics, "train_return").len(), 2);
}

/// A pendulum of which there may be one more.
struct Dear {
    inner: Box<dyn Env>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Dear {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Env for Dear {
    fn info(&self) -> &EnvInfo {
        self.inner.info()
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        self.inner.reset(rng)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.inner.step(action)
    }

    fn is_dear(&self) -> bool {
        true
    }
}

#[test]
fn dear_environments_evaluate_one_after_the_other_with_the_same_numbers() {
    let folder = TempDir::new().unwrap();
    let config = run_config("pendulum", 300);
    let plain = native_factory();
    let mut trainer = open_with(hybrid("mbpo"), Arc::clone(&plain), config, folder.path());
    go(&mut trainer).unwrap();
    let (counted, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let dear: EnvFactory = Arc::new(move || {
        let now = counted.fetch_add(1, Ordering::Relaxed) + 1;
        highest.fetch_max(now, Ordering::Relaxed);
        Ok(Box::new(Dear { inner: native::make("pendulum")?, alive: Arc::clone(&counted) }))
    });
    let eval = EvalConfig { episodes: 5, ..EvalConfig::default() };
    let agent = trainer.agent();
    assert_eq!(evaluate(agent, &dear, &eval).unwrap(), evaluate(agent, &plain, &eval).unwrap());
    let (a, b) =
        (critic_bias(agent, &dear, &eval).unwrap(), critic_bias(agent, &plain, &eval).unwrap());
    assert_eq!((a.mean(), a.states.len()), (b.mean(), b.states.len()));
    let bias = |make| model_bias(agent, make, &eval, 3).unwrap();
    assert_eq!(bias(&dear), bias(&plain));
    assert_eq!(most.load(Ordering::Relaxed), 1);
}

fn native_factory() -> EnvFactory {
    Arc::new(|| native::make("pendulum"))
}
