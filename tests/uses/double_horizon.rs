//! The ingredients of DHMBPO together: the forms of its parts, its blocks, and its resumption.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::algo;
use hstep::config;
use hstep::env::{ContinuationFn, EnvInfo, Known, native};
use hstep::kinds::Kinds;
use hstep::learner::Agent;
use hstep::log::{Log, Stopwatch};
use hstep::nn::{Init, Normaliser};
use hstep::objective::{Actions, Cost, HStep, Noise, Reduce, Terminal};
use hstep::parts::{ACTOR, CRITIC, CriticPart, MODEL};
use hstep::replay::TransitionRow;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::train::{EnvFactory, EvalConfig, Observer, Outcome, Progress, RunConfig, Trainer};
use hstep::uses::{BoundByBatch, BoundValues, RollOut, Step, Update};
use hstep::value::{BoundsConfig, CriticConfig, QNet};

use crate::ensemble::made::close;

const OBS: usize = 3;
const ACT: usize = 2;
/// The time limit, and so the length of a block.
const LIMIT: usize = 8;

/// Everything small, everything on, and what `more` sets.
fn composed(more: &[&str]) -> Hybrid {
    let row = algo::find("dhmbpo").unwrap().0;
    let mut table = row.preset(None, &Kinds::stock()).unwrap();
    let small = [
        "loop.random_steps=20",
        "loop.batch=16",
        "loop.updates_per_step=2",
        "actor.hidden=[6, 5]",
        "critic.hidden=[7]",
        "critic.members=3",
        "model.hidden=[9]",
        "model.members=3",
        "model.elites=3",
        "model.max_steps=30",
        "model.first_max_steps=30",
        "imagine.starts=10",
        "imagine.retain_rounds=2",
        "imagine.horizon=4",
        "rollout.horizon=2",
    ];
    config::set_all(&mut table, &small).unwrap();
    config::set_all(&mut table, more).unwrap();
    row.build(&row.resolve(&table, &Kinds::stock()).unwrap()).unwrap()
}

fn info() -> EnvInfo {
    EnvInfo {
        name: "none".into(),
        obs_dim: OBS,
        action_low: vec![-1.0; ACT],
        action_high: vec![1.0; ACT],
        max_steps: LIMIT,
    }
}

fn agent(spec: &Spec) -> Agent {
    Agent::new(composed(&[]), &info(), Known::default(), &Rng::new(1), spec).unwrap()
}

/// A step in units of very different size.
fn observe(agent: &mut Agent, rng: &mut Rng) {
    let mut next = || rng.normal() as f32;
    let mut seen = || [1000.0 + 30.0 * next(), 0.01 * next(), next()];
    let (obs, next_obs) = (seen(), seen());
    let action = [next().tanh(), next().tanh()];
    let row = TransitionRow {
        obs: &obs,
        action: &action,
        reward: 0.001 * (obs[0] - 1000.0) + action[0],
        next_obs: &next_obs,
        cont: 1.0,
        own: Vec::new(),
    };
    agent.observe(&row, None).unwrap();
}

/// An agent after its first block of updates.
fn learned(spec: &Spec) -> Agent {
    let (mut agent, mut rng) = (agent(spec), Rng::new(2));
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    for _ in 0..40 {
        observe(&mut agent, &mut rng);
        agent.learn(&mut log, &mut watch).unwrap();
    }
    agent
}

fn starts(spec: &Spec) -> Tensor {
    let mut rng = Rng::new(3);
    let x: Vec<f64> = (0..9)
        .flat_map(|_| [1000.0 + 30.0 * rng.normal(), 0.01 * rng.normal(), rng.normal()])
        .map(|x| f64::from(x as f32))
        .collect();
    spec.tensor(&x, (9, OBS)).unwrap()
}

#[test]
fn rollouts_on_rows_are_those_of_tensors() {
    let agent = learned(&Spec::f32());
    let parts = &agent.parts;
    let policy = parts.policy(ACTOR).unwrap().frozen();
    for critic in [parts.critic(CRITIC).unwrap().online.as_ref() as &dyn hstep::value::Critic, {
        parts.critic(CRITIC).unwrap().target()
    }] {
        let hstep = HStep {
            dynamics: Some(parts.model(MODEL).unwrap().dynamics()),
            terminal: Terminal::Action { critic, reduce: Reduce::Mean, samples: 1 },
            horizon: 3,
            gamma: 0.9,
            cost: Cost::NONE,
        };
        let (s0, noise) = (starts(&Spec::f32()), Noise::key(Rng::new(4).key()));
        let actions = Actions::Policy(policy.as_ref());
        let rows = hstep.rollout_forward(&s0, actions, &noise).unwrap();
        let tensors = hstep.rollout(&s0, actions, &noise).unwrap();
        let numbers =
            |ts: &[Tensor]| -> Vec<f64> { ts.iter().flat_map(|t| to_f64(t).unwrap()).collect() };
        close(&numbers(&rows.states), &numbers(&tensors.states), 1e-5, "states");
        close(&numbers(&rows.actions), &numbers(&tensors.actions), 1e-4, "actions");
        let returns = hstep.returns(&s0, actions, &noise, false).unwrap().returns;
        let want = to_f64(&hstep.score(&tensors).unwrap()).unwrap();
        close(&returns, &want, 1e-4, "returns");
    }
}

#[test]
fn an_update_is_the_same_through_fused_and_plain_operations() {
    let after = |spec: &Spec| {
        let mut agent = agent(spec);
        let mut rng = Rng::new(2);
        let (mut log, mut watch) = (Log::default(), Stopwatch::default());
        // The last step is the first that learns; bounds and standardisation are on by then.
        for _ in 0..39 {
            observe(&mut agent, &mut rng);
        }
        agent.hybrid.schedule.updates_per_step = 0;
        agent.hybrid.schedule.random_steps = 40;
        observe(&mut agent, &mut rng);
        agent.learn(&mut log, &mut watch).unwrap();
        let batch = agent.imagined.sample(16, &mut Rng::new(5), spec).unwrap();
        for round in 0..2 {
            agent.gradient_step(&batch, Rng::new(round).key(), &mut log).unwrap();
        }
        agent.tensors().unwrap()
    };
    let (fused, plain) = (after(&Spec::f64()), after(&Spec::f64().plain()));
    assert!(fused.keys().eq(plain.keys()));
    for name in ["critic_bounds.bounds", "observations.mean", "observations_seen"] {
        assert!(fused.contains_key(name), "{name} of {:?}", fused.keys());
    }
    for (name, want) in &plain {
        let (got, want) = (to_f64(&fused[name]).unwrap(), to_f64(want).unwrap());
        // Thirty steps of the model's fit and four of the critic lie before.
        close(&got, &want, 1e-7, name);
    }
}

#[test]
fn a_block_is_a_fit_then_the_critic_alone_then_all_updates() {
    let (mut agent, mut rng) = (agent(&Spec::f64()), Rng::new(2));
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    // The limit is short, so 0.95; five blocks of random steps.
    assert_eq!(agent.parts.gamma, 0.95);
    assert_eq!(agent.hybrid.schedule.random_steps, 40);
    let discounts = [50, 200, 1000, 5000].map(|limit| agent.hybrid.discount(limit));
    assert_eq!(discounts, [0.95, 0.975, 0.995, 0.995]);
    let numbers = |agent: &Agent, name: &str| to_f64(&agent.tensors().unwrap()[name]).unwrap();
    let alone = LIMIT as u64 / 4;
    for step in 1..=56u64 {
        observe(&mut agent, &mut rng);
        let before = agent.counters.grad_steps;
        agent.learn(&mut log, &mut watch).unwrap();
        let updates = agent.counters.grad_steps - before;
        let want = match step {
            40 => alone + 2 * 40,
            48 | 56 => alone + 2 * LIMIT as u64,
            _ => 0,
        };
        assert_eq!(updates, want, "after step {step}");
        if want > 0 {
            // Cleared at the fit; at most two rounds of 40 are kept.
            let rounds = (1 + (want - alone).div_ceil(20)).min(2) as usize;
            assert_eq!(agent.imagined.len(), 40 * rounds);
            // Forgotten at the fit: the steps of this block alone.
            assert_eq!(numbers(&agent, "adam.actor.steps"), [(want - alone) as f64]);
            assert_eq!(numbers(&agent, "adam.critic.steps"), [want as f64]);
            assert_eq!(
                agent.parts.critic(CRITIC).unwrap().online.bounds().unwrap().get().unwrap(),
                { (log.get("q_low").unwrap(), log.get("q_high").unwrap()) }
            );
        }
    }
    // What is standardised follows what was seen, up to the newest block.
    let mean = numbers(&agent, "observations.mean");
    assert!((mean[0] - 1000.0).abs() < 20.0 && mean[1].abs() < 0.01, "{mean:?}");
    assert_eq!(numbers(&agent, "observations_seen")[0], 56.0);
}

#[test]
fn updates_follow_every_other_step_and_the_policy_changes_at_every_third() {
    let updates = |more: &[&str], steps: usize| {
        let hybrid = composed(&[&["loop.updates_per_step=1"], more].concat());
        let mut agent =
            Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f32()).unwrap();
        let (mut log, mut watch, mut rng) = (Log::default(), Stopwatch::default(), Rng::new(2));
        for _ in 0..steps {
            observe(&mut agent, &mut rng);
            agent.learn(&mut log, &mut watch).unwrap();
        }
        let tensors = agent.tensors().unwrap();
        ["critic", "actor"].map(|name| to_f64(&tensors[&format!("adam.{name}.steps")]).unwrap()[0])
    };
    let alone = LIMIT as f64 / 4.0;
    assert_eq!(updates(&["loop.update_every=2"], 40), [alone + 20.0, 20.0]);
    // From 0 on the first two are of the critic alone; then those of the numbers 3, 6, ... 39 are whole.
    assert_eq!(updates(&["loop.actor_every=3"], 40), [alone + 40.0, 13.0]);
    // Without blocks: after the steps 20, 22, ... 40, of one update each.
    let plain = ["loop.random_steps=20", "loop.update_every=2"];
    let sac = |more: &[&str]| {
        let (row, mut rng) = (algo::find("sac").unwrap().0, Rng::new(2));
        let mut table = row.preset(None, &Kinds::stock()).unwrap();
        config::set_all(&mut table, &["actor.hidden=[4]", "critic.hidden=[4]"]).unwrap();
        config::set_all(&mut table, more).unwrap();
        let hybrid = row.build(&row.resolve(&table, &Kinds::stock()).unwrap()).unwrap();
        let mut agent =
            Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f32()).unwrap();
        let (mut log, mut watch) = (Log::default(), Stopwatch::default());
        for _ in 0..40 {
            observe(&mut agent, &mut rng);
            agent.learn(&mut log, &mut watch).unwrap();
        }
        agent.counters.grad_steps
    };
    assert_eq!(sac(&plain), 11);
}

/// Half of all steps end, by the third coordinate.
fn half() -> ContinuationFn {
    Arc::new(|_: &Tensor, _: &Tensor, next: &Tensor| {
        Ok(next.narrow(1, 2, 1)?.squeeze(1)?.le(0.0)?.to_dtype(next.dtype())?)
    })
}

#[test]
fn rows_that_die_are_made_up_for() {
    let known = Known { reward: None, continuation: Some(half()) };
    for (fill, enough) in [("imagine.fill=true", true), ("imagine.fill=false", false)] {
        let hybrid = composed(&["loop.block.critic_share=0.125", "loop.updates_per_step=0", fill]);
        let mut agent =
            Agent::new(hybrid, &info(), known.clone(), &Rng::new(1), &Spec::f32()).unwrap();
        let (mut log, mut watch, mut rng) = (Log::default(), Stopwatch::default(), Rng::new(2));
        for _ in 0..40 {
            observe(&mut agent, &mut rng);
            agent.learn(&mut log, &mut watch).unwrap();
        }
        assert_eq!(agent.imagined.len() >= 40, enough, "{} rows", agent.imagined.len());
    }
}

#[test]
fn bounds_are_quantiles_of_what_living_rows_gain() {
    let known = Known { reward: None, continuation: Some(half()) };
    let mut agent = Agent::new(composed(&[]), &info(), known, &Rng::new(1), &Spec::f64()).unwrap();
    let mut rng = Rng::new(2);
    (0..40).for_each(|_| observe(&mut agent, &mut rng));
    let batch = agent.real.sample(16, &mut rng, &Spec::f64()).unwrap();
    let mut log = Log::default();
    let mut update = Update::new(&mut agent.parts, &batch, rng.key(), &mut log);
    RollOut { name: "rollout".into(), horizon: 3 }.take(&mut update).unwrap();
    BoundValues { rollout: "rollout".into() }.take(&mut update).unwrap();
    let alpha = update.parts.alpha().unwrap();
    let rollout = update.rollouts["rollout"].rollout(update.parts).unwrap();
    let numbers = |t: &Tensor| to_f64(t).unwrap();
    let mut gains = Vec::new();
    for row in 0..16 {
        for t in 0..3 {
            gains.push(
                numbers(&rollout.rewards[t])[row] - alpha * numbers(&rollout.log_probs[t])[row],
            );
            if numbers(&rollout.cont[t])[row] == 0.0 {
                break;
            }
        }
    }
    assert!(gains.len() > 16 && gains.len() < 48, "{} rows lived", gains.len());
    are_bounds(gains, update.parts);
}

/// That the bounds of the critic are those of these gains, seen for the first time.
fn are_bounds(mut gains: Vec<f64>, parts: &hstep::parts::Parts) {
    gains.sort_by(f64::total_cmp);
    // Interpolated between the two numbers around 1 % and 99 % of the way; 1 / (1 - 0.95) = 20.
    let at = 0.01 * (gains.len() - 1) as f64;
    let n = gains.len() - 1;
    let want = [gains[0] + at * (gains[1] - gains[0]), gains[n] - at * (gains[n] - gains[n - 1])];
    let (low, high) = parts.critic(CRITIC).unwrap().online.bounds().unwrap().get().unwrap();
    for (got, want) in [low, high].into_iter().zip(want) {
        assert!((got - 20.0 * want).abs() < 1e-9, "{got} against {}", 20.0 * want);
    }
}

#[test]
fn bounds_without_a_rollout_are_quantiles_of_the_batch() {
    let none = ["loop.block.critic_share=0.0", "loop.updates_per_step=0"];
    let (hybrid, mut rng) = (composed(&none), Rng::new(2));
    let mut agent =
        Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f64()).unwrap();
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    for _ in 0..40 {
        observe(&mut agent, &mut rng);
        // Observations are standardised after the last one.
        agent.learn(&mut log, &mut watch).unwrap();
    }
    let batch = agent.real.sample(16, &mut rng, &Spec::f64()).unwrap();
    let key = rng.key();
    let mut update = Update::new(&mut agent.parts, &batch, key, &mut log);
    BoundByBatch.take(&mut update).unwrap();
    let policy = update.parts.policy(ACTOR).unwrap();
    let eps = key.fork("bounds").normals(0, 16, ACT, 0, &Spec::f64()).unwrap();
    let action = policy.sample(&batch.obs, &eps).unwrap().action;
    let nats = to_f64(&policy.log_prob(&batch.obs, &action).unwrap()).unwrap();
    let alpha = update.parts.alpha().unwrap();
    let gains = to_f64(&batch.reward).unwrap().into_iter().zip(nats);
    are_bounds(gains.map(|(reward, nat)| reward - alpha * nat).collect(), update.parts);
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

#[test]
fn a_run_that_is_interrupted_within_a_block_goes_on_byte_for_byte() {
    let run = |stops: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let run = RunConfig {
                steps: 170,
                eval: EvalConfig { every: 35, episodes: 1, ..EvalConfig::default() },
                ..RunConfig::default()
            };
            let make: EnvFactory = Arc::new(|| native::make("pendulum"));
            let hybrid = composed(&["loop.block.steps=40", "loop.block.random=1"]);
            Trainer::open(run, hybrid, make, folder.path(), "id", &Spec::f32()).unwrap()
        };
        for at in stops {
            let stop = AtomicBool::new(false);
            let outcome = open().run(&stop, &mut StopAt(*at, &stop)).unwrap();
            assert_eq!(outcome, Outcome::Interrupted);
        }
        let mut trainer = open();
        assert_eq!(trainer.run(&AtomicBool::new(false), &mut ()).unwrap(), Outcome::Done);
        let tensors = trainer.agent().tensors().unwrap();
        let tensors: Vec<(String, Vec<f64>)> =
            tensors.into_iter().map(|(name, t)| (name, to_f64(&t).unwrap())).collect();
        (std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap(), tensors)
    };
    let (metrics, tensors) = run(&[]);
    let (again, same) = run(&[25, 93, 120]);
    assert_eq!(metrics, again);
    assert!(tensors == same);
}

#[test]
fn a_bounded_critic_learns_in_units_of_its_bounds_and_its_follower_keeps_within_them() {
    let spec = Spec::f64();
    let config = CriticConfig {
        hidden: vec![5],
        members: 3,
        init: Init::HeNormal,
        bounds: Some(BoundsConfig::default()),
        ..CriticConfig::default()
    };
    let inputs = Normaliser::identity(OBS, &spec).unwrap();
    inputs.fit(&[970.0, -0.01, -1.0, 1030.0, 0.01, 1.0]).unwrap();
    let q = QNet::new(&config, OBS, ACT, &mut Rng::new(6), &spec).unwrap();
    let mut part =
        CriticPart::new(q.standardised(Some(inputs)), &config.adam(), Some(0.1)).unwrap();
    let bounds = part.online.bounds().unwrap().clone();
    bounds.follow(&[-0.2, 0.6], 0.9).unwrap();
    let (low, high) = bounds.get().unwrap();
    let (obs, action) = (starts(&spec), Rng::new(7).normals((9, ACT), &spec).unwrap());

    // The follower has the same numbers, and those beyond the bounds are cut.
    let numbers = |q: Tensor| to_f64(&q).unwrap();
    let (free, kept) = (
        numbers(part.online.q(&obs, &action).unwrap()),
        numbers(part.target().q(&obs, &action).unwrap()),
    );
    let beyond = free.iter().filter(|q| **q < low || **q > high).count();
    assert!(beyond > 0 && beyond < free.len(), "{beyond} of {}", free.len());
    let cut: Vec<f64> = free.iter().map(|q| q.clamp(low, high)).collect();
    close(&kept, &cut, 1e-12, "values of the follower");

    // The gradient in closed form is that of the graph: of half the squares.
    let loss = (part.online.tracked(&obs, &action).unwrap().sqr().unwrap().sum_all().unwrap()
        * 0.5)
        .unwrap();
    let params = part.online.params()[0].1;
    let want = numbers(params.grad(&loss.backward().unwrap()).unwrap().unwrap());
    part.regress(&obs, &action, &mut |q| Ok(q.clone())).unwrap();
    let m = numbers(part.optimiser.adam("").unwrap().state().unwrap()["m"].clone());
    // Adam's first moment is a tenth of the first gradient.
    close(&m, &want.iter().map(|g| 0.1 * g).collect::<Vec<_>>(), 1e-12, "gradient");
}
