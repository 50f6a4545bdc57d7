//! One gradient step and the schedule of an agent, recomputed from its public parts.

use hstep::agent::{Hybrid, LoopConfig};
use hstep::dynamics::EnsembleConfig;
use hstep::env::{EnvInfo, Known};
use hstep::kinds::Kinds;
use hstep::learner::Agent;
use hstep::log::{Log, Stopwatch};
use hstep::objective::{Noise, Reduce};
use hstep::parts::{ACTOR, CRITIC, TemperatureConfig};
use hstep::policy::ActorConfig;
use hstep::replay::{Replay, Start, TransitionRow};
use hstep::rng::Rng;
use hstep::schedule::Schedule;
use hstep::shape::{Spec, scalar, to_f64};
use hstep::uses::{Branched, BranchedConfig, Memory, Pathwise, PathwiseConfig, Td0};
use hstep::value::CriticConfig;

const RANDOM: usize = 14;
const FIT_EVERY: usize = 4;

/// MBPO, tiny: a fit is one gradient step, so that the steps count the fits.
fn agent() -> Agent {
    agent_in(&Spec::f64(), 4)
}

/// With hidden layers of `width`.
fn agent_in(spec: &Spec, width: usize) -> Agent {
    let actor = ActorConfig { hidden: vec![width], ..ActorConfig::default() };
    let critic = CriticConfig { hidden: vec![width], tau: 0.1, ..CriticConfig::default() };
    let model = EnsembleConfig {
        members: 2,
        elites: 2,
        hidden: vec![4],
        weight_decay: vec![],
        max_steps: Some(1),
        ..EnsembleConfig::default()
    };
    let schedule = LoopConfig {
        random_steps: RANDOM,
        batch: 16,
        replay: 100,
        fit_every: FIT_EVERY,
        ..LoopConfig::default()
    };
    let imagine = BranchedConfig {
        starts: 30,
        real_ratio: Schedule::Constant(0.25),
        ..BranchedConfig::default()
    };
    let hybrid = Hybrid::builder("mine", "here")
        .actor_critic(0.9, &actor, &critic, &TemperatureConfig::default())
        .model(&model)
        .schedule(&schedule)
        .imagine(Branched(imagine))
        .improve(Pathwise::model_free())
        .target(Box::new(Td0(Reduce::Min)))
        .build()
        .unwrap();
    let info = EnvInfo {
        name: "line".into(),
        obs_dim: 2,
        action_low: vec![-1.0],
        action_high: vec![1.0],
        max_steps: 100,
    };
    Agent::new(hybrid, &info, Known::default(), &Rng::new(1), spec).unwrap()
}

fn observe(agent: &mut Agent, rng: &mut Rng) {
    let mut next = || rng.normal() as f32;
    let row = TransitionRow {
        obs: &[next(), next()],
        action: &[next().tanh()],
        reward: next(),
        next_obs: &[next(), next()],
        cont: 1.0,
        own: Vec::new(),
    };
    agent.observe(&row, None).unwrap();
}

#[test]
fn an_update_is_critic_then_actor_then_temperature_then_target() {
    let (mut agent, mut rng) = (agent(), Rng::new(2));
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    for _ in 0..=RANDOM {
        observe(&mut agent, &mut rng);
        agent.learn(&mut log, &mut watch).unwrap();
    }
    observe(&mut agent, &mut rng);
    assert!(!agent.imagined.is_empty());
    let flat = |agent: &Agent| {
        let critic = agent.parts.critic(CRITIC).unwrap();
        let follower = critic.target.as_ref().unwrap();
        (critic.online.params()[0].1.to_flat().unwrap(), follower.params()[0].1.to_flat())
    };
    // What the step will draw.
    let state = serde_json::from_str(&agent.state().unwrap()["rng.update"]).unwrap();
    let mut draws = Rng::from_state(&state);
    let (real, imagined) = (&agent.real, &agent.imagined);
    let batch = Replay::mixed(real, imagined, 16, 0.25, &mut draws, &Spec::f64()).unwrap();
    let key = draws.key();
    let td0 = Td0(Reduce::Min);
    let y = td0.with_noise(&agent.parts, &batch, &Noise::key(key.fork("target"))).unwrap();
    let q = agent.parts.critic(CRITIC).unwrap().online.q(&batch.obs, &batch.action).unwrap();
    let (q, y) = (to_f64(&q).unwrap(), to_f64(&y).unwrap());
    let critic_loss = q.iter().enumerate().map(|(i, q)| (q - y[i % 16]).powi(2)).sum::<f64>();
    let (online, target) = flat(&agent);
    let target = target.unwrap();
    let policy = agent.parts.policy(ACTOR).unwrap().params()[0].1.to_flat().unwrap();
    let alpha = agent.parts.alpha().unwrap();

    let mut log = Log::default();
    agent.learn(&mut log, &mut watch).unwrap();
    let got = log.get("critic_loss").unwrap();
    assert!((got - 0.5 * critic_loss / 16.0).abs() < 1e-12, "{got}");
    let (moved, followed) = flat(&agent);
    assert_ne!(moved, online);
    for ((t, t0), o) in followed.unwrap().iter().zip(&target).zip(&moved) {
        assert!((t - (0.9 * t0 + 0.1 * o)).abs() < 1e-12);
    }
    // The actor's loss before its step: on the critic that has just moved, at the old alpha.
    let log_alpha = to_f64(&agent.parts.temperature.as_ref().unwrap().log_alpha.theta()).unwrap();
    assert_ne!(log_alpha[0], alpha.ln());
    let params = agent.parts.policy(ACTOR).unwrap().params()[0].1;
    assert_ne!(params.to_flat().unwrap(), policy);
    params.set_flat(&policy).unwrap();
    agent.parts.temperature.as_ref().unwrap().log_alpha.set_flat(&[alpha.ln()]).unwrap();
    let noise = Noise::key(key.fork("improve"));
    let (loss, rollout) = Pathwise::model_free().loss(&agent.parts, &batch.obs, &noise).unwrap();
    assert!((log.get("actor_loss").unwrap() - scalar(&loss).unwrap()).abs() < 1e-12);
    let entropy = -scalar(&rollout.log_probs[0].mean_all().unwrap()).unwrap();
    assert!((log.get("entropy").unwrap() - entropy).abs() < 1e-12);
}

#[test]
fn a_gradient_step_is_the_same_through_either_operations() {
    // Below a block of rows, one block and a bit, and two.
    for b in [3, 130, 256] {
        let step = |spec: &Spec| {
            let mut agent = agent_in(spec, 20);
            // Nothing may fall back on the other operations: the comparison would be with itself.
            let (parts, ops) = (&agent.parts, spec.ops);
            assert_eq!(parts.policies[ACTOR].optimiser.adam("").unwrap().ops(), ops);
            assert_eq!(parts.critics[CRITIC].optimiser.adam("").unwrap().ops(), ops);
            assert_eq!(parts.temperature.as_ref().unwrap().adam.as_ref().unwrap().ops(), ops);
            let batch = super::batch(b, 7);
            let mut log = Log::default();
            for round in 0..2 {
                let key = Rng::new(round).key();
                agent.gradient_step(&batch, key, &mut log).unwrap();
            }
            (log.get("critic_loss").unwrap(), agent.tensors().unwrap())
        };
        let ((loss, fused), (want, plain)) = (step(&Spec::f64()), step(&Spec::f64().plain()));
        assert!((loss / want - 1.0).abs() < 1e-10, "{loss} {want}");
        assert!(fused.keys().eq(plain.keys()));
        // Adam's moments among them: its first steps keep little more than signs of the gradients.
        assert!(fused.keys().any(|name| name.contains("critic") && name.ends_with(".m")));
        for (name, want) in &plain {
            let (got, want) = (to_f64(&fused[name]).unwrap(), to_f64(want).unwrap());
            crate::ensemble::made::close(&got, &want, 1e-10, &format!("{name}, {b} rows"));
        }
    }
}

#[test]
fn fits_are_counted_from_the_end_of_the_random_steps() {
    let (mut agent, mut rng) = (agent(), Rng::new(3));
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    for step in 1..=RANDOM + 3 * FIT_EVERY {
        observe(&mut agent, &mut rng);
        agent.learn(&mut log, &mut watch).unwrap();
        let due = if step < RANDOM { 0 } else { (step - RANDOM) / FIT_EVERY + 1 };
        assert_eq!(agent.counters.fit_steps, due as u64, "fits after step {step}");
        let updates = (step + 1).saturating_sub(RANDOM);
        assert_eq!(agent.counters.grad_steps, updates as u64, "updates after step {step}");
    }
}

#[test]
fn a_fitted_model_waits_for_rows_where_a_repair_has_dropped_them() {
    let (mut agent, mut rng) = (agent(), Rng::new(5));
    let (mut log, mut watch) = (Log::default(), Stopwatch::default());
    let mut go_on = |agent: &mut Agent, steps: usize| {
        for _ in 0..steps {
            observe(agent, &mut rng);
            agent.learn(&mut log, &mut watch).unwrap();
        }
        agent.counters.fit_steps
    };
    assert_eq!(go_on(&mut agent, RANDOM), 1);
    agent.real.clear();
    // Due after 4 and 8 rows, and again after 12: a fit needs 10.
    assert_eq!(go_on(&mut agent, 2 * FIT_EVERY), 1);
    assert_eq!(go_on(&mut agent, FIT_EVERY), 2);
}

#[test]
fn evaluation_takes_the_mode_and_exploration_a_sample() {
    let (mut agent, mut rng) = (agent(), Rng::new(4));
    (0..RANDOM).for_each(|_| observe(&mut agent, &mut rng));
    let obs = Spec::f64().tensor(&[0.3, -0.8], (1, 2)).unwrap();
    let action = agent.exploit(&Start::of(&obs, None), &mut Memory::default(), rng.key()).unwrap();
    let policy = agent.parts.policy(ACTOR).unwrap();
    let mode = policy.sample(&obs, &Spec::f64().zeros((1, 1)).unwrap()).unwrap().action;
    let mode = to_f64(&mode).unwrap();
    assert_eq!(to_f64(&action).unwrap(), mode);
    let (one, two) = [(); 2].map(|()| agent.explore(&[0.3, -0.8], None).unwrap()).into();
    assert!(one != mode && one != two);
}

#[test]
fn a_saved_plan_comes_back_in_the_agents_own_number_type() {
    let hybrid = || {
        let (entry, _) = hstep::algo::find("mppi-mbrl").unwrap();
        entry.build(&entry.preset(None, &Kinds::stock()).unwrap()).unwrap()
    };
    let info = hstep::env::native::make("pendulum").unwrap().info().clone();
    let agent =
        || Agent::new(hybrid(), &info, Known::default(), &Rng::new(1), &Spec::f64()).unwrap();
    let plan = Spec::f32().tensor(&[0.5, -0.25], (1, 2, 1)).unwrap();
    let mut tensors = agent().tensors().unwrap();
    tensors.insert("behave.plan".into(), plan);
    let mut other = agent();
    other.load_tensors(&tensors).unwrap();
    let back = &other.tensors().unwrap()["behave.plan"];
    assert_eq!(back.dtype(), candle_core::DType::F64);
    assert_eq!(to_f64(back).unwrap(), [0.5, -0.25]);
}

#[test]
fn a_checkpoint_of_another_composition_is_refused_by_the_slot() {
    let with = |horizon: usize| {
        let improve = PathwiseConfig { horizon, ..PathwiseConfig::default() };
        let model = EnsembleConfig { hidden: vec![4], weight_decay: vec![], ..Default::default() };
        let hybrid = Hybrid::builder("mine", "")
            .actor_critic(0.9, &Default::default(), &Default::default(), &Default::default())
            .model(&model)
            .improve(Pathwise(improve))
            .target(Box::new(Td0(Reduce::Min)))
            .build()
            .unwrap();
        let info = hstep::env::native::make("pendulum").unwrap().info().clone();
        Agent::new(hybrid, &info, Known::default(), &Rng::new(1), &Spec::f32()).unwrap()
    };
    let state = with(0).state().unwrap();
    with(0).load_state(&state).unwrap();
    let message = with(3).load_state(&state).unwrap_err().to_string();
    let (then, now) = ("improve: pathwise, H=0 (min Q)", "improve: pathwise, H=3 (min Q)");
    assert!(message.contains(then) && message.contains(now), "{message}");
}
