//! Rows without a policy: targets that are plans, states that are not observations, and what a plan
//! has stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::algo;
use hstep::config;
use hstep::dynamics::{FnDynamics, Given, StepNoise, Transition};
use hstep::env::native;
use hstep::kinds::Kinds;
use hstep::log::Log;
use hstep::nn::Activation;
use hstep::objective::Reduce;
use hstep::parts::{CRITIC, CriticPart, MODEL, Parts, VALUE, ValuePart};
use hstep::planner::{Mppi, MppiConfig, SamplesConfig};
use hstep::replay::{Batch, NEXT_STATE, STATE};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::train::{EnvFactory, EvalConfig, Observer, Outcome, Progress, RunConfig, Trainer};
use hstep::uses::{
    Ask, BestKept, FreeEnergy, FreeEnergyConfig, RegressValue, Replanned, ReplannedConfig,
    Rollouts, Step, Target, Update,
};
use hstep::value::{CriticConfig, QNet, VEnsemble, Value, ValueEnsembleConfig};

use crate::ensemble::made::close;

fn numbers(x: &Tensor) -> Vec<f64> {
    to_f64(x).unwrap()
}

fn batch(rows: usize, own: BTreeMap<String, Tensor>) -> Batch {
    let spec = Spec::f64();
    let mut rng = Rng::new(11);
    let mut draw = |width: usize| rng.normals((rows, width), &spec).unwrap();
    let (obs, action, next_obs) = (draw(2), draw(1), draw(2));
    let reward = draw(1).squeeze(1).unwrap();
    let cont: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 != 1))).collect();
    Batch { obs, action, reward, next_obs, cont: spec.tensor(&cont, rows).unwrap(), own }
}

/// A critic alone: what MPQ and soft Q-learning have.
fn critic_alone(seed: u64) -> Parts {
    let config = CriticConfig {
        hidden: vec![9],
        activation: Activation::Tanh,
        members: 1,
        ..CriticConfig::default()
    };
    let q = QNet::new(&config, 2, 1, &mut Rng::new(seed), &Spec::f64()).unwrap();
    let part = CriticPart::new(q, &config.adam(), Some(0.5)).unwrap();
    let critics = [(CRITIC.to_string(), part)].into();
    Parts { gamma: 0.9, action_dim: 1, critics, ..Parts::default() }
}

fn mppi(count: usize, temperature: f64, noise: f64) -> Mppi {
    let samples = SamplesConfig { count, limit: f64::INFINITY, ..SamplesConfig::default() };
    Mppi::new(MppiConfig {
        samples,
        temperature,
        noise,
        prior_ratio: true,
        ..MppiConfig::default()
    })
}

/// MPQ eq. 17 over one action: `lambda log int N(a; 0, sigma^2) exp(Q(s, a) / lambda) da`.
#[test]
fn the_free_energy_of_one_action_is_its_integral() {
    let (lambda, sigma) = (0.3, 0.8);
    let (parts, batch) = (critic_alone(3), batch(3, BTreeMap::new()));
    let config = FreeEnergyConfig { horizon: 0, iterations: None };
    let target = FreeEnergy { config, planner: Box::new(mppi(200_000, lambda, sigma)) };
    let (rollouts, key) = (Rollouts::new(), Rng::new(8).key());
    let goals = target.targets(&Ask { parts: &parts, batch: &batch, key, rollouts: &rollouts });
    let y = numbers(&goals.unwrap().y);

    let (next, reward, cont) =
        (numbers(&batch.next_obs), numbers(&batch.reward), numbers(&batch.cont));
    let (n, width) = (4001, 12.0 * sigma);
    let grid: Vec<f64> = (0..n).map(|i| width * (i as f64 / (n - 1) as f64 - 0.5)).collect();
    for (row, y) in y.into_iter().enumerate() {
        let obs: Vec<f64> = (0..n).flat_map(|_| next[2 * row..2 * row + 2].to_vec()).collect();
        let spec = Spec::f64();
        let (obs, action) =
            (spec.tensor(&obs, (n, 2)).unwrap(), spec.tensor(&grid, (n, 1)).unwrap());
        let q = numbers(&parts.critic(CRITIC).unwrap().target().q(&obs, &action).unwrap());
        let density =
            |a: f64| (-0.5 * (a / sigma).powi(2)).exp() / (sigma * std::f64::consts::TAU.sqrt());
        let cell = grid[1] - grid[0];
        let mass: f64 = grid.iter().zip(q).map(|(a, q)| density(*a) * (q / lambda).exp()).sum();
        let want = reward[row] + 0.9 * cont[row] * lambda * (mass * cell).ln();
        // A mean of 200,000 draws whose spread is of the order of their mean: 0.3 0.9 / 450.
        assert!((y - want).abs() < 4.0 * 6e-4, "row {row}: {y} against {want}");
    }
}

/// The lower the temperature, the nearer to the best action; at 0 it is the best of the candidates.
#[test]
fn at_temperature_zero_the_free_energy_is_the_best_candidate() {
    let (parts, batch) = (critic_alone(3), batch(4, BTreeMap::new()));
    let (rollouts, key) = (Rollouts::new(), Rng::new(8).key());
    let ask = Ask { parts: &parts, batch: &batch, key, rollouts: &rollouts };
    let of = |temperature: f64| {
        let config = FreeEnergyConfig::default();
        let target = FreeEnergy { config, planner: Box::new(mppi(500, temperature, 0.8)) };
        numbers(&target.targets(&ask).unwrap().y)
    };
    let best = of(0.0);
    // The second row has ended: it is worth its reward.
    assert_eq!(best[1], numbers(&batch.reward)[1]);
    let distance = |temperature: f64| {
        let all = of(temperature);
        assert!(all.iter().zip(&best).all(|(y, best)| *y <= best + 1e-12));
        all.iter().zip(&best).map(|(y, best)| best - y).fold(0.0, f64::max)
    };
    let distances = [1.0, 0.1, 0.01, 1e-4].map(distance);
    assert!(distances.is_sorted_by(|a, b| a > b) && distances[3] < 1e-3, "{distances:?}");
}

fn values(prior: f64, members: usize) -> (ValueEnsembleConfig, VEnsemble) {
    let config = ValueEnsembleConfig { hidden: vec![5], members, prior, ..Default::default() };
    let v = VEnsemble::new(&config, 2, &mut Rng::new(4), &Spec::f64()).unwrap();
    (config, v)
}

fn values_alone(prior: f64) -> Parts {
    let (config, v) = values(prior, 3);
    let part = ValuePart::new(v, &config.adam(), None).unwrap();
    let values = [(VALUE.to_string(), part)].into();
    Parts { gamma: 0.9, action_dim: 1, values, ..Parts::default() }
}

/// Two kept rollouts a row; the second of every other row has ended.
fn kept(rows: usize) -> BTreeMap<String, Tensor> {
    let (spec, mut rng) = (Spec::f64(), Rng::new(12));
    let mut draw = |width: usize| rng.normals((rows, width), &spec).unwrap();
    let cont: Vec<f64> = (0..2 * rows).map(|i| f64::from(u8::from(i % 4 != 1))).collect();
    let cont = spec.tensor(&cont, (rows, 2)).unwrap();
    [("plan_return".into(), draw(2)), ("plan_end".into(), draw(4)), ("plan_cont".into(), cont)]
        .into()
}

/// POLO eq. 7 with the rollouts that were kept: `max_k (R_k + gamma^N cont_k V_e(s_N,k))`.
#[test]
fn the_target_of_a_member_is_its_best_kept_rollout() {
    let (parts, batch) = (values_alone(1.0), batch(5, kept(5)));
    let (rollouts, key) = (Rollouts::new(), Rng::new(8).key());
    let ask = Ask { parts: &parts, batch: &batch, key, rollouts: &rollouts };
    let y = BestKept { steps: 3, gamma: 0.9 }.targets(&ask).unwrap().y;
    assert_eq!(y.dims(), [3, 5]);
    let (y, own) = (numbers(&y), |name: &str| numbers(&batch.own[name]));
    let (gained, end, cont) = (own("plan_return"), own("plan_end"), own("plan_cont"));
    let end = Spec::f64().tensor(&end, (10, 2)).unwrap();
    let v = numbers(&parts.value(VALUE).unwrap().online.values(&end).unwrap());
    for e in 0..3 {
        for row in 0..5 {
            let worth = |k: usize| {
                let i = 2 * row + k;
                gained[i] + 0.9f64.powi(3) * cont[i] * v[10 * e + i]
            };
            let want = worth(0).max(worth(1));
            assert!((y[5 * e + row] - want).abs() < 1e-12);
        }
    }
    let lacking = batch_without(&batch);
    let refused = BestKept { steps: 3, gamma: 0.9 }.targets(&Ask { batch: &lacking, ..ask });
    assert!(refused.unwrap_err().to_string().contains("behave.keep"));
}

/// POLO eq. 7 to the letter: every member has a plan of its own, and its best rollout is the target.
#[test]
fn a_member_can_have_a_plan_of_its_own() {
    let spec = Spec::f64();
    let mut parts = values_alone(1.0);
    // A state that an action moves, paid for being near 0.
    let step = |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let next = s.broadcast_add(a)?;
        let reward = next.sqr()?.sum(1)?.neg()?;
        Ok(Transition { cont: reward.ones_like()?, reward, next })
    };
    let dynamics = FnDynamics::new(2, 1, spec.clone(), step);
    let model = Given { name: "moved".into(), dynamics: Box::new(dynamics) };
    parts.models.insert(MODEL.to_string(), Box::new(model));
    let (batch, rollouts, key) = (batch(4, BTreeMap::new()), Rollouts::new(), Rng::new(8).key());
    let ask = Ask { parts: &parts, batch: &batch, key, rollouts: &rollouts };
    let config = ReplannedConfig { horizon: 2, gamma: 0.9 };
    let target = Replanned { config, planner: Box::new(mppi(6000, 0.0, 1.5)) };
    let goals = target.targets(&ask).unwrap();
    assert_eq!(goals.y.dims(), [3, 4]);
    let y = numbers(&goals.y);
    // Against a grid of both actions.
    let grid: Vec<f64> = (0..=60).map(|i| f64::from(i) / 10.0 - 3.0).collect();
    for row in 0..4 {
        let start = &numbers(&batch.obs)[2 * row..2 * row + 2];
        let mut best = [f64::NEG_INFINITY; 3];
        for a in &grid {
            for b in &grid {
                let first = [start[0] + a, start[1] + a];
                let last = [first[0] + b, first[1] + b];
                let cost = |s: [f64; 2]| s[0] * s[0] + s[1] * s[1];
                let end = spec.tensor(&last, (1, 2)).unwrap();
                let v = numbers(&parts.value(VALUE).unwrap().online.values(&end).unwrap());
                for e in 0..3 {
                    best[e] = best[e].max(-cost(first) - 0.9 * cost(last) + 0.81 * v[e]);
                }
            }
        }
        for e in 0..3 {
            let got = y[4 * e + row];
            assert!((got - best[e]).abs() < 0.05, "member {e}, row {row}: {got} {}", best[e]);
        }
    }
}

fn batch_without(batch: &Batch) -> Batch {
    Batch { own: BTreeMap::new(), ..batch.clone() }
}

/// `(1/kappa) log mean exp(kappa v)`: the mean for kappa to 0, the highest member for a large one.
#[test]
fn optimism_goes_from_the_mean_to_the_highest_member() {
    let spec = Spec::f64();
    let all = [3.0, -1.0, 700.0, 1.0, 2.0, 900.0, 2.0, -4.0, 100.0];
    let v = spec.tensor(&all, (3, 3)).unwrap();
    let of = |kappa: f64| numbers(&Reduce::LogMeanExp(kappa).apply(&v).unwrap());
    close(&of(1e-7), &numbers(&v.mean(0).unwrap()), 1e-4, "mean");
    // Off the highest by log(3) / kappa at most, and exp(900) is no number.
    close(&of(1e4), &[3.0, 2.0, 900.0], 2e-4, "highest");
    let log_mean = |x: [f64; 3]| (x.iter().map(|x| x.exp()).sum::<f64>() / 3.0).ln();
    let one = of(1.0);
    close(&one[..2], &[log_mean([3.0, 1.0, 2.0]), log_mean([-1.0, 2.0, -4.0])], 1e-12, "kappa 1");
    // As it is printed, it tends to log 3, not to the mean.
    let literal = |kappa: f64| numbers(&Reduce::LogSumExp(kappa).apply(&v).unwrap());
    let sum = |k: f64, x: [f64; 3]| x.iter().map(|x| (k * x).exp()).sum::<f64>().ln();
    close(&literal(0.2)[..1], &[sum(0.2, [3.0, 1.0, 2.0])], 1e-12, "as printed");
    close(&literal(1e-9), &[3f64.ln(); 3], 1e-5, "as printed, kappa to 0");
}

#[test]
fn a_prior_adds_to_every_member_and_is_never_trained() {
    let (_, with) = values(2.0, 3);
    let (_, without) = values(0.0, 3);
    let obs = Rng::new(5).normals((4, 2), &Spec::f64()).unwrap();
    let (a, b) = (with.values(&obs).unwrap(), without.values(&obs).unwrap());
    assert_eq!((a.dims(), with.members()), (&[3, 4][..], 3));
    let added = numbers(&(a - &b).unwrap());
    assert!(added.iter().all(|x| x.abs() > 1e-9), "{added:?}");
    let mean = numbers(&without.value(&obs).unwrap());
    close(&mean, &numbers(&b.mean(0).unwrap()), 1e-12, "mean");

    let mut parts = values_alone(2.0);
    let before = parts.named_tensors().unwrap();
    let fixed = |all: &BTreeMap<String, Tensor>| -> Vec<(String, Vec<f64>)> {
        let own = all.iter().filter(|(name, _)| name.starts_with("value_fixed."));
        own.map(|(name, x)| (name.clone(), numbers(x))).collect()
    };
    let trained = |all: &BTreeMap<String, Tensor>| {
        numbers(
            &all[all
                .keys()
                .find(|k| k.starts_with("value."))
                .unwrap_or_else(|| panic!("{:?}", all.keys()))],
        )
    };
    assert!(!fixed(&before).is_empty());
    let (batch, mut log) = (batch(6, kept(6)), Log::default());
    let step = RegressValue(Box::new(BestKept { steps: 3, gamma: 0.9 }));
    let key = Rng::new(9).key();
    let mut update = Update::new(&mut parts, &batch, key, &mut log);
    step.take(&mut update).unwrap();
    let after = parts.named_tensors().unwrap();
    assert_eq!(fixed(&before), fixed(&after));
    assert_ne!(trained(&before), trained(&after));
    // What was saved is the whole value, prior and all.
    let mut other = Parts { values: BTreeMap::new(), ..values_alone(2.0) };
    let (config, fresh) = values(2.0, 3);
    let fresh = VEnsemble::new(&config, 2, &mut Rng::new(99), &Spec::f64()).map_or(fresh, |v| v);
    other.values.insert(VALUE.into(), ValuePart::new(fresh, &config.adam(), None).unwrap());
    other.load_named(&after).unwrap();
    let of = |parts: &Parts| numbers(&parts.value(VALUE).unwrap().online.values(&obs).unwrap());
    assert_eq!(of(&other), of(&parts));
}

/// Stops after so many steps.
struct StopAt<'a>(u64, &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn step(&mut self, progress: &Progress) {
        if progress.counters.env_steps == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

pub type Saved = (String, Vec<(String, Vec<f64>)>, Vec<Vec<f32>>);

/// A run on the pendulum of `steps` steps that is stopped and opened again: its metrics, tensors, and
/// the columns of its buffer.
pub fn run(hybrid: &dyn Fn() -> Hybrid, steps: u64, stops: &[u64]) -> Saved {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let eval = EvalConfig { every: steps / 2, episodes: 1, ..EvalConfig::default() };
        let run = RunConfig { steps, eval, ..RunConfig::default() };
        let make: EnvFactory = Arc::new(|| native::make("pendulum"));
        Trainer::open(run, hybrid(), make, folder.path(), "id", &Spec::f32()).unwrap()
    };
    for at in stops {
        let stop = AtomicBool::new(false);
        let outcome = open().run(&stop, &mut StopAt(*at, &stop)).unwrap();
        assert_eq!(outcome, Outcome::Interrupted);
    }
    let mut trainer = open();
    assert_eq!(trainer.run(&AtomicBool::new(false), &mut ()).unwrap(), Outcome::Done);
    let agent = trainer.agent();
    let tensors = agent.tensors().unwrap().into_iter().map(|(name, t)| (name, numbers(&t)));
    let rows = agent.real.iter().map(|row| row.own.concat()).collect();
    (std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap(), tensors.collect(), rows)
}

fn row(name: &str, more: &[&str]) -> Hybrid {
    let row = algo::find(name).unwrap().0;
    let mut table = row.preset(None, &Kinds::stock()).unwrap();
    config::set_all(&mut table, more).unwrap();
    row.build(&row.resolve(&table, &Kinds::stock()).unwrap()).unwrap()
}

/// They train, and go on after an interruption to the byte, what they store included.
#[test]
fn rows_without_a_policy_resume_byte_for_byte() {
    let soft = || row("soft-q", &["loop.random_steps=40", "loop.batch=8"]);
    let small = [
        "loop.random_steps=40",
        "loop.update_every=5",
        "loop.updates_per_step=2",
        "loop.batch=4",
        "behave.horizon=2",
        "target.horizon=2",
    ];
    let mpq = || row("mpq", &small);
    let biased = ["model.bias.mass=0.2", "model.spread.mass=0.3"];
    // A draw an episode and a draw a step are the same ones after an interruption.
    let episodic = || row("mpq", &[&small[..], &biased[..], &["model.draw=episode"]].concat());
    let randomised = || row("mpq-dr", &[&small[..], &biased[..]].concat());
    let polo = || {
        row(
            "polo",
            &[
                "behave.horizon=4",
                "behave.keep.steps=3",
                "behave.keep.rollouts=2",
                "loop.batch=8",
                "planner.samples.count=6",
            ],
        )
    };
    let hybrids: [&dyn Fn() -> Hybrid; 5] = [&soft, &mpq, &episodic, &randomised, &polo];
    for hybrid in hybrids {
        let whole = run(hybrid, 90, &[]);
        assert!(whole == run(hybrid, 90, &[30, 61]), "{}", hybrid().name);
        let learned = whole.1.iter().filter(|(name, _)| name.starts_with("adam."));
        assert!(learned.flat_map(|(_, x)| x).any(|x| *x != 0.0), "{}", hybrid().name);
    }
}

/// MPQ over one action is soft Q-learning, whatever its model.
#[test]
fn mpq_over_one_action_is_soft_q() {
    let same = ["loop.random_steps=30", "loop.batch=8"];
    let one = [
        "behave.horizon=0",
        "target.horizon=0",
        "critic.tau=0.005",
        "loop.update_every=1",
        "loop.updates_per_step=1",
    ];
    let (soft, mpq) = (|| row("soft-q", &same), || row("mpq", &[&same[..], &one[..]].concat()));
    let (soft, mpq) = (run(&soft, 80, &[]), run(&mpq, 80, &[]));
    let column = |csv: &str, name: &str| -> Vec<String> {
        let mut lines = csv.lines();
        let at = lines.next().unwrap().split(',').position(|own| own == name).unwrap();
        lines.map(|line| line.split(',').nth(at).unwrap().to_string()).collect()
    };
    for name in ["eval_return", "critic_loss", "q_mean", "model_steps"] {
        assert_eq!(column(&soft.0, name), column(&mpq.0, name), "{name}");
    }
    let critic = |saved: &Saved| {
        let own = saved.1.iter().filter(|(name, _)| name.starts_with("critic"));
        own.cloned().collect::<Vec<_>>()
    };
    assert!(critic(&soft) == critic(&mpq));
}

/// The states of a simulator stand beside the observations: from them the recorded actions lead
/// where they have led.
#[test]
fn states_of_the_simulator_are_stored_with_what_they_led_to() {
    let folder = tempfile::tempdir().unwrap();
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let config = RunConfig {
        steps: 230,
        eval: EvalConfig { every: 0, ..EvalConfig::default() },
        ..RunConfig::default()
    };
    let small = ["loop.random_steps=220", "loop.batch=4", "behave.horizon=1", "target.horizon=1"];
    let hybrid = row("mpq", &small);
    let mut trainer =
        Trainer::open(config, hybrid, make, folder.path(), "id", &Spec::f64()).unwrap();
    trainer.run(&AtomicBool::new(false), &mut ()).unwrap();
    let agent = trainer.agent();
    let ages: Vec<usize> = (0..230).collect();
    let rows = agent.real.gather(&ages, agent.spec()).unwrap();
    let dynamics = agent.parts.model(MODEL).unwrap().dynamics();
    let obs = dynamics.observe(&rows.own[STATE]).unwrap();
    close(&numbers(&obs), &numbers(&rows.obs), 1e-6, "observations of the states");
    let step = dynamics.step(&rows.own[STATE], &rows.action, &StepNoise::default()).unwrap();
    let next = dynamics.observe(&step.next).unwrap();
    close(&numbers(&next), &numbers(&rows.next_obs), 2e-6, "where they lead");
    close(&numbers(&step.reward), &numbers(&rows.reward), 2e-5, "rewards");
    let next = dynamics.observe(&rows.own[NEXT_STATE]).unwrap();
    close(&numbers(&next), &numbers(&rows.next_obs), 1e-6, "observations of the next states");
}

/// What would be stored of a plan, random actions and imagined transitions lack.
#[test]
fn what_a_plan_stores_needs_a_plan_at_every_step() {
    let info = native::make("pendulum").unwrap().info().clone();
    let rng = Rng::new(1);
    let hybrid = row("polo", &["loop.random_steps=7"]);
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let refused = hstep::learner::Agent::within(
        hybrid,
        &info,
        Default::default(),
        Some(&make),
        &rng,
        &Spec::f32(),
    );
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("set `loop.random_steps` to 0, it is 7"), "{text}");
    // Without a way to make the environment again there is no simulator.
    let alone =
        hstep::learner::Agent::new(row("mpq", &[]), &info, Default::default(), &rng, &Spec::f32());
    let text = alone.err().unwrap().to_string();
    assert!(text.contains("cannot be made again"), "{text}");
}
