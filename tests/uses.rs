//! The four uses, each against what it should do, and the builder that puts them together.

mod beliefs;
mod double_horizon;
mod identities;
mod learner;
mod planned;
mod shared;
mod steve;
mod value_iteration;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Tensor, Var};
use hstep::agent::Hybrid;
use hstep::algo;
use hstep::dynamics::{
    Ensemble, EnsembleConfig, EnsembleModel, FitData, FnDynamics, Given, Model, StepNoise,
    Transition,
};
use hstep::env::Known;
use hstep::kinds::Kinds;
use hstep::learner::Agent;
use hstep::nn::Activation;
use hstep::objective::{Entropy, Noise, Reduce};
use hstep::parts::{
    ACTOR, CRITIC, CriticPart, MODEL, Parts, PolicyPart, Temperature, TemperatureConfig,
};
use hstep::policy::{ActorConfig, SquashedGaussian};
use hstep::replay::{Batch, Replay, Start, TransitionRow};
use hstep::rng::Rng;
use hstep::schedule::Schedule;
use hstep::shape::{Spec, to_f64};
use hstep::uses::{
    Acted, Ask, Branched, BranchedConfig, Imagine, Memory, Moment, Pathwise, PathwiseConfig,
    Rollouts, ScoreFunction, ScoreFunctionConfig, Steve, SteveConfig, Target, Td0,
};
use hstep::value::{CriticConfig, QNet};

const OBS: usize = 2;

fn model_config() -> EnsembleConfig {
    EnsembleConfig {
        members: 3,
        elites: 3,
        hidden: vec![8],
        weight_decay: vec![0.0; 2],
        batch: 16,
        max_epochs: Some(5),
        ..EnsembleConfig::default()
    }
}

/// Parts with every network small and smooth, in f64, and a model fitted to `s' = s + .1 a`.
fn parts(known: Known) -> Parts {
    parts_and_model(known).0
}

fn parts_and_model(known: Known) -> (Parts, EnsembleModel) {
    let spec = Spec::f64();
    let mut rng = Rng::new(3);
    let actor = ActorConfig {
        hidden: vec![4],
        activation: Activation::Tanh,
        log_std_min: -1.0,
        log_std_max: -0.5,
        ..ActorConfig::default()
    };
    let critic =
        CriticConfig { hidden: vec![4], activation: Activation::Tanh, ..CriticConfig::default() };
    let policy = SquashedGaussian::new(&actor, OBS, 1, &mut rng, &spec).unwrap();
    let q = QNet::new(&critic, OBS, 1, &mut rng, &spec).unwrap();
    let mut model = Ensemble::new(&model_config(), OBS, 1, known, &mut rng, &spec).unwrap();
    let n = 200;
    let obs: Vec<f32> = (0..n * OBS).map(|_| rng.normal() as f32).collect();
    let action: Vec<f32> = (0..n).map(|_| rng.uniform() as f32 * 2.0 - 1.0).collect();
    let next_obs: Vec<f32> = (0..n * OBS).map(|i| obs[i] + 0.1 * action[i / OBS]).collect();
    let reward: Vec<f32> = (0..n).map(|i| -obs[i * OBS] * obs[i * OBS]).collect();
    let data =
        FitData { obs: &obs, action: &action, reward: &reward, next_obs: &next_obs, cont: &[] };
    model.fit(&data, &mut rng).unwrap();
    let alpha = TemperatureConfig { initial: 0.2, automatic: false, ..Default::default() };
    let critic = CriticPart::new(q, &critic.adam(), Some(critic.tau)).unwrap();
    let predictor = model.model();
    let models: BTreeMap<String, Box<dyn Model>> = [(MODEL.into(), Box::new(model) as _)].into();
    let parts = Parts {
        gamma: 0.9,
        policies: [(ACTOR.into(), PolicyPart::new(policy, &actor.adam()).unwrap())].into(),
        critics: [(CRITIC.into(), critic)].into(),
        temperature: Some(Temperature::new(&alpha, 1, &spec).unwrap()),
        models,
        ..Parts::default()
    };
    (parts, predictor)
}

/// The targets that a use gives, `[B]`.
fn goals(target: &dyn Target, parts: &Parts, batch: &Batch) -> Tensor {
    let (key, rollouts) = (Rng::new(2).key(), Rollouts::new());
    target.targets(&Ask { parts, batch, key, rollouts: &rollouts }).unwrap().y
}

fn batch(n: usize, seed: u64) -> Batch {
    let spec = Spec::f64();
    let mut rng = Rng::new(seed);
    let cont: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 3 != 0))).collect();
    Batch {
        obs: rng.normals((n, OBS), &spec).unwrap(),
        action: rng.normals((n, 1), &spec).unwrap().tanh().unwrap(),
        reward: rng.normals(n, &spec).unwrap(),
        next_obs: rng.normals((n, OBS), &spec).unwrap(),
        cont: spec.tensor(&cont, n).unwrap(),
        own: BTreeMap::new(),
    }
}

fn gradient(parts: &Parts, loss: &Tensor) -> Vec<f64> {
    let params = parts.policy(ACTOR).unwrap().params()[0].1;
    to_f64(&params.grad(&loss.backward().unwrap()).unwrap().unwrap()).unwrap()
}

#[test]
fn score_function_and_pathwise_estimate_the_same_gradient() {
    let parts = parts(Known::default());
    let s0 = batch(1, 5).obs.broadcast_as((400, OBS)).unwrap().contiguous().unwrap();
    let (horizon, rounds) = (2, 60);
    let pathwise = Pathwise(PathwiseConfig { horizon, ..PathwiseConfig::default() });
    let score = ScoreFunction(ScoreFunctionConfig { horizon, samples: 4, ..Default::default() });
    let model = parts.model(MODEL).unwrap().dynamics();
    let mut rng = Rng::new(6);
    let (mut path, mut scores) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (loss, _) = pathwise.loss(&parts, &s0, &Noise::key(rng.key())).unwrap();
        path.push(gradient(&parts, &loss));
        let noise = Noise::key(rng.key());
        let (loss, _) = score.loss(&parts, Some(model), &s0, &noise).unwrap();
        scores.push(gradient(&parts, &loss));
    }
    let moments = |all: &[Vec<f64>], i: usize| {
        let mean = all.iter().map(|g| g[i]).sum::<f64>() / all.len() as f64;
        let var = all.iter().map(|g| (g[i] - mean).powi(2)).sum::<f64>() / all.len() as f64;
        (mean, var / all.len() as f64)
    };
    let mut sum = 0.0;
    let mut quieter = 0;
    for i in 0..path[0].len() {
        let ((p, p_var), (s, s_var)) = (moments(&path, i), moments(&scores, i));
        sum += (p - s).powi(2) / (p_var + s_var);
        quieter += usize::from(p_var < s_var);
    }
    // A chi-square of P degrees of freedom: its mean is P, its standard deviation sqrt(2 P).
    let p = path[0].len() as f64;
    assert!(sum < p + 6.0 * (2.0 * p).sqrt(), "chi-square {sum} of {p}");
    // The contrast that MAAC draws: the pathwise estimate has less variance everywhere.
    assert_eq!(quieter, path[0].len());
}

#[test]
fn entropy_of_the_first_action_alone_is_what_the_code_has() {
    let parts = parts(Known::default());
    let (s0, noise) = (batch(8, 7).obs, Noise::key(Rng::new(8).key()));
    let with = |entropy| {
        let config = PathwiseConfig { horizon: 2, entropy, ..PathwiseConfig::default() };
        let (loss, rollout) = Pathwise(config).loss(&parts, &s0, &noise).unwrap();
        let mean = |t: &Tensor| to_f64(t).unwrap().iter().sum::<f64>() / 8.0;
        let log_probs: Vec<f64> = rollout.log_probs.iter().map(mean).collect();
        (to_f64(&loss).unwrap()[0], log_probs)
    };
    let (none, log_probs) = with(Entropy::None);
    let (first, _) = with(Entropy::First);
    let (all, _) = with(Entropy::All);
    assert!((first - none - 0.2 * log_probs[0]).abs() < 1e-12);
    let sum = log_probs[0] + 0.9 * log_probs[1] + 0.81 * log_probs[2];
    assert!((all - none - 0.2 * sum).abs() < 1e-12);
}

#[test]
fn several_last_actions_are_averaged_before_the_minimum() {
    let parts = parts(Known::default());
    let s0 = batch(4, 9).obs;
    let config = PathwiseConfig { last_samples: 3, entropy: Entropy::None, ..Default::default() };
    let (loss, rollout) =
        Pathwise(config).loss(&parts, &s0, &Noise::key(Rng::new(1).key())).unwrap();
    let q = &parts.critic(CRITIC).unwrap().online;
    let mut sum = q.q(&s0, &rollout.actions[0]).unwrap();
    assert_eq!(rollout.more.len(), 2);
    for (action, _) in &rollout.more {
        sum = (sum + q.q(&s0, action).unwrap()).unwrap();
    }
    let sum = to_f64(&sum).unwrap();
    let want: f64 = (0..4).map(|b| (sum[b] / 3.0).min(sum[4 + b] / 3.0)).sum::<f64>() / 4.0;
    assert!((to_f64(&loss).unwrap()[0] + want).abs() < 1e-12);
}

#[test]
fn a_terminated_transition_is_worth_its_reward() {
    let parts = parts(Known::default());
    let batch = batch(9, 10);
    let targets: [Box<dyn Target>; 2] =
        [Box::new(Td0(Reduce::Min)), Box::new(Steve(SteveConfig::default()))];
    for target in targets {
        let y = goals(target.as_ref(), &parts, &batch);
        let (y, r) = (to_f64(&y).unwrap(), to_f64(&batch.reward).unwrap());
        for i in 0..9 {
            assert_eq!(i % 3 == 0, y[i] == r[i], "{} row {i}", target.describe());
        }
    }
}

#[test]
fn targets_come_from_the_target_network() {
    let parts = parts(Known::default());
    let batch = batch(6, 11);
    let y = |target: &dyn Target| to_f64(&goals(target, &parts, &batch)).unwrap();
    let targets: [&dyn Target; 2] = [&Td0(Reduce::Min), &Steve(SteveConfig::default())];
    let critic = parts.critic(CRITIC).unwrap();
    for target in targets {
        let before = y(target);
        let online = critic.online.params()[0].1;
        let saved = online.to_flat().unwrap();
        online.set_flat(&vec![0.5; online.len()]).unwrap();
        assert_eq!(before, y(target), "{}", target.describe());
        online.set_flat(&saved).unwrap();
        let slow = critic.target.as_ref().unwrap().params()[0].1;
        let kept = slow.to_flat().unwrap();
        slow.set_flat(&vec![0.5; slow.len()]).unwrap();
        assert_ne!(before, y(target), "{}", target.describe());
        slow.set_flat(&kept).unwrap();
    }
}

#[test]
fn branched_rollouts_store_every_step_until_a_row_dies() {
    // Dead as soon as the first coordinate of the next observation exceeds 0.3.
    let continuation: hstep::env::ContinuationFn =
        Arc::new(|_: &Tensor, _: &Tensor, next: &Tensor| {
            let first = next.narrow(1, 0, 1)?.squeeze(1)?;
            Ok(first.le(0.3)?.to_dtype(next.dtype())?)
        });
    let mut parts = parts(Known { reward: None, continuation: Some(continuation) });
    parts.gamma = 0.9;
    let mut real = Replay::new(100, OBS, 1).unwrap();
    for i in 0..50 {
        let x = i as f32 / 50.0;
        let row = TransitionRow {
            obs: &[x, -x],
            action: &[0.0],
            reward: 0.0,
            next_obs: &[x, -x],
            cont: 1.0,
            own: Vec::new(),
        };
        real.push(&row).unwrap();
    }
    let (starts, k) = (400, 3);
    let config = BranchedConfig {
        starts,
        horizon: Schedule::Constant(k as f64),
        ..BranchedConfig::default()
    };
    let branched = Branched(config);
    let mut model = Replay::new(branched.capacity(0), OBS, 1).unwrap();
    let mut rng = Rng::new(4);
    let spec = Spec::f64();
    let stored = branched.imagine(&parts, &real, &mut model, 0, &mut rng, &spec).unwrap() as usize;
    assert_eq!(stored, model.len());
    let all = model.last(stored, &Spec::f32()).unwrap();
    let (next, cont) = (to_f64(&all.next_obs).unwrap(), to_f64(&all.cont).unwrap());
    let dead = cont.iter().filter(|c| **c == 0.0).count();
    for (row, c) in cont.iter().enumerate() {
        // The buffer rounds to f32, the test decides in f64: leave a hair at the threshold.
        let x = next[row * OBS];
        assert!((x - 0.3).abs() < 1e-6 || (*c == 1.0) == (x <= 0.3));
    }
    let first_dead = cont[..starts].iter().filter(|c| **c == 0.0).count();
    let second_dead = cont[starts..2 * starts - first_dead].iter().filter(|c| **c == 0.0).count();
    assert!(first_dead > 0 && dead >= first_dead + second_dead);
    assert_eq!(stored, starts + (starts - first_dead) + (starts - first_dead - second_dead));
}

#[test]
fn the_temperature_rises_when_the_policy_is_too_sure() {
    let spec = Spec::f64();
    let config = TemperatureConfig { target_entropy: Some(-1.0), lr: 0.1, ..Default::default() };
    for (log_prob, up) in [(2.0, true), (0.5, false)] {
        let mut temperature = Temperature::new(&config, 1, &spec).unwrap();
        temperature.update(&spec.tensor(&[log_prob; 3], 3).unwrap()).unwrap();
        assert_eq!(temperature.alpha().unwrap() > 1.0, up, "log pi {log_prob}");
    }
}

#[test]
fn illegal_pairs_are_refused_by_name() {
    let (actor, critic, alpha) =
        (ActorConfig::default(), CriticConfig::default(), TemperatureConfig::default());
    let start = || Hybrid::builder("mine", "here").actor_critic(0.99, &actor, &critic, &alpha);
    let pathwise = || Pathwise(PathwiseConfig { horizon: 3, ..PathwiseConfig::default() });
    let text = |built: hstep::Result<Hybrid>| built.map(|_| ()).unwrap_err().to_string();
    let message = text(start().improve(pathwise()).target(Box::new(Td0(Reduce::Min))).build());
    for word in ["mine", "improve", "pathwise, H=3", "needs a model", ".model("] {
        assert!(message.contains(word), "{message}");
    }
    let message = text(start().imagine(Branched(BranchedConfig::default())).build());
    assert!(message.contains("imagine") && message.contains("needs a model"), "{message}");
    let message = text(Hybrid::builder("mine", "here").build());
    assert!(message.contains("behave `policy` needs a policy"), "{message}");
    let message = text(start().improve(Pathwise::model_free()).build());
    assert!(message.contains("add a target"), "{message}");
    let behave = || Hybrid::builder("mine", "here").behave(Nothing);
    let message = text(behave().value(&critic).build());
    assert!(message.contains("add one with `.actor_critic(..)`"), "{message}");
}

/// Behaves without any part.
struct Nothing;

impl hstep::uses::Behave for Nothing {
    fn describe(&self) -> String {
        "nothing".into()
    }

    fn needs(&self) -> hstep::uses::Needs {
        hstep::uses::Needs::default()
    }

    fn act(&self, _: &Parts, at: &Start, _: &mut Memory, _: Moment) -> hstep::Result<Acted> {
        Ok(Acted::new(at.obs.zeros_like()?, 0))
    }
}

#[test]
fn settings_of_uses_are_checked_in_any_composition() {
    let (actor, critic, alpha) =
        (ActorConfig::default(), CriticConfig::default(), TemperatureConfig::default());
    let start = || {
        Hybrid::builder("mine", "here")
            .actor_critic(0.99, &actor, &critic, &alpha)
            .model(&EnsembleConfig::default())
    };
    let td0 = || Box::new(Td0(Reduce::Min));
    let text = |built: hstep::Result<Hybrid>| built.map(|_| ()).unwrap_err().to_string();
    let lonely = ScoreFunctionConfig { samples: 1, ..ScoreFunctionConfig::default() };
    let message = text(start().improve(ScoreFunction(lonely)).target(td0()).build());
    assert!(message.contains("`improve.samples`: expected at least 2"), "{message}");
    let none = BranchedConfig { starts: 0, ..BranchedConfig::default() };
    let message = text(start().imagine(Branched(none)).build());
    assert!(message.contains("`imagine.starts`"), "{message}");
    let many = BranchedConfig { starts: usize::MAX / 8, ..BranchedConfig::default() };
    let message = text(start().imagine(Branched(many)).build());
    assert!(message.contains("more than can be counted"), "{message}");
    let zero = SteveConfig { epsilon: 0.0, ..SteveConfig::default() };
    let message = text(start().target(Box::new(Steve(zero))).build());
    assert!(message.contains("`target.steve.epsilon`"), "{message}");
    let few = hstep::agent::LoopConfig { random_steps: 5, ..Default::default() };
    let message = text(start().schedule(&few).build());
    assert!(message.contains("`loop.random_steps`: expected at least 10"), "{message}");
}

#[test]
fn a_new_hybrid_is_a_new_row() {
    let rows = |extra: Option<[String; 6]>| {
        let mut rows: Vec<[String; 6]> = algo::registry()
            .iter()
            .map(|entry| entry.build(&entry.preset(None, &Kinds::stock()).unwrap()).unwrap().row())
            .collect();
        rows.extend(extra);
        algo::table(&rows)
    };
    let before = rows(None);
    for name in ["SAC", "REINFORCE", "MBPO", "MAAC"] {
        assert!(before.lines().any(|line| line.starts_with(name)), "{before}");
    }
    let hybrid = Hybrid::builder("REINFORCE-MBPO", "nobody yet")
        .actor_critic(0.99, &ActorConfig::default(), &CriticConfig::default(), &Default::default())
        .model(&EnsembleConfig::default())
        .imagine(Branched(BranchedConfig::default()))
        .improve(ScoreFunction(ScoreFunctionConfig::default()))
        .target(Box::new(Td0(Reduce::Mean)))
        .build()
        .unwrap();
    let after = rows(Some(hybrid.row()));
    let row = after.lines().find(|line| line.starts_with("REINFORCE-MBPO")).unwrap();
    for cell in ["ensemble of 7", "policy", "branched k=1", "score function, H=5", "mean target Q"]
    {
        assert!(row.contains(cell), "{row}");
    }
    assert_eq!(after.lines().count(), before.lines().count() + 1);
}

#[test]
fn every_preset_composes_and_survives_its_own_resolution() {
    for entry in algo::registry() {
        for name in entry.preset_names() {
            let (found, suffix) = algo::find(&name).unwrap();
            let table = found.preset(suffix.as_deref(), &Kinds::stock()).unwrap();
            found.build(&table).unwrap();
            assert_eq!(found.resolve(&table, &Kinds::stock()).unwrap(), table, "{name}");
        }
    }
    let message = algo::find("mapc").map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("did you mean `maac`"), "{message}");
    let message = algo::find("maac-cod").map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("maac-code"), "{message}");
}

#[test]
fn a_long_gradient_is_shortened_and_one_beyond_f32_is_refused() {
    let spec = Spec::f32();
    let mut rng = Rng::new(1);
    let policy = |limit| {
        let config =
            ActorConfig { hidden: vec![], max_grad_norm: limit, lr: 1.0, ..ActorConfig::default() };
        let policy = SquashedGaussian::new(&config, OBS, 1, &mut Rng::new(2), &spec).unwrap();
        let PolicyPart { policy, optimiser } = PolicyPart::new(policy, &config.adam()).unwrap();
        PolicyPart { policy, optimiser: optimiser.with_max_grad_norm(limit) }
    };
    let obs = rng.normals((4, OBS), &spec).unwrap();
    // Linear in every parameter, like the network that has no hidden layer.
    let loss = |actor: &PolicyPart, scale: f64| {
        let (w, b) =
            (actor.policy.params()[0].1.view("l0.w"), actor.policy.params()[0].1.view("l0.b"));
        let out = obs.matmul(&w.unwrap().squeeze(0).unwrap()).unwrap();
        let out = out.broadcast_add(&b.unwrap()).unwrap();
        (out.sum_all().unwrap() * scale).unwrap()
    };
    // Adam's first moment after one step is a tenth of the gradient.
    let first_moment = |limit: Option<f64>, scale: f64| {
        let mut actor = policy(limit);
        let loss = loss(&actor, scale);
        actor.optimiser.descend(&loss).map(|()| {
            let m = to_f64(&actor.optimiser.adam("").unwrap().state().unwrap()["m"]).unwrap();
            10.0 * m.iter().map(|m| m * m).sum::<f64>().sqrt()
        })
    };
    let whole = first_moment(None, 1.0).unwrap();
    assert!(whole > 3.0);
    assert!((first_moment(Some(0.5), 1.0).unwrap() - 0.5).abs() < 1e-5);
    assert!((first_moment(Some(100.0), 1.0).unwrap() - whole).abs() < 1e-5);
    let message = first_moment(None, 1e20).unwrap_err().to_string();
    assert!(message.contains("square of the gradient"), "{message}");
    assert!((first_moment(Some(0.5), 1e20).unwrap() - 0.5).abs() < 1e-5);
}

#[test]
fn a_model_that_is_not_frozen_is_refused() {
    let mut rng = Rng::new(5);
    let weights = Var::from_tensor(&rng.normals((1, OBS), &Spec::f64()).unwrap()).unwrap();
    let model = |weights: Tensor| {
        let step = move |s: &Tensor, a: &Tensor, _: &StepNoise| {
            let next = (s + a.matmul(&weights)?)?;
            let reward = next.sqr()?.sum(1)?.neg()?;
            Ok(Transition { cont: reward.ones_like()?, next, reward })
        };
        let dynamics = Box::new(FnDynamics::new(OBS, 1, Spec::f64(), step));
        Box::new(Given { name: "mine".into(), dynamics }) as Box<dyn Model>
    };
    let s0 = rng.normals((4, OBS), &Spec::f64()).unwrap();
    let pathwise = Pathwise(PathwiseConfig { horizon: 2, ..PathwiseConfig::default() });
    let step = |weights: Tensor| {
        let mut parts = parts(Known::default());
        parts.models.insert(MODEL.into(), model(weights));
        let noise = Noise::key(Rng::new(6).key());
        let (loss, _) = pathwise.loss(&parts, &s0, &noise).unwrap();
        parts.policy_mut(ACTOR).unwrap().optimiser.descend(&loss)
    };
    let message = step(weights.as_tensor().clone()).unwrap_err().to_string();
    assert!(message.contains("one variable more than it should ([1, 2])"), "{message}");
    step(weights.as_detached_tensor()).unwrap();
}

#[test]
fn a_composition_without_an_actor_critic_has_a_discount() {
    let model = EnsembleConfig::default();
    let hybrid =
        Hybrid::builder("PLAIN", "").model(&model).gamma(0.9).behave(Nothing).build().unwrap();
    let env = hstep::env::native::make("pendulum").unwrap();
    let agent = |hybrid| Agent::new(hybrid, env.info(), env.known(), &Rng::new(1), &Spec::f32());
    assert_eq!(agent(hybrid).unwrap().parts.gamma, 0.9);
    let pets = algo::find("pets").unwrap().0;
    let hybrid = pets.build(&pets.preset(None, &Kinds::stock()).unwrap()).unwrap();
    assert_eq!(agent(hybrid).unwrap().parts.gamma, 1.0);
}
