//! A rollout that improve and target share: MVE, its identities, and what is refused.

use std::sync::Arc;

use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::dynamics::EnsembleConfig;
use hstep::env::{ContinuationFn, Known};
use hstep::log::Log;
use hstep::objective::{Actions, Cost, Entropy, HStep, Noise, Reduce, Rollout, Terminal};
use hstep::parts::{ACTOR, CRITIC, MODEL, Parts};
use hstep::replay::Batch;
use hstep::rng::Rng;
use hstep::shape::to_f64;
use hstep::uses::{
    Ask, FollowEntropy, FollowTargets, Goals, Improve, ImprovePolicy, Mve, MveConfig,
    PathwiseShared, RegressCritic, RollOut, Rollouts, SharedRollout, Step, Target, Update,
};

use super::{batch, parts};

const T: usize = 3;

/// Rows die beyond 0.5 in their first coordinate.
fn mortal() -> Parts {
    let continuation: ContinuationFn = Arc::new(|_: &Tensor, _: &Tensor, next: &Tensor| {
        Ok(next.narrow(1, 0, 1)?.squeeze(1)?.le(0.5)?.to_dtype(next.dtype())?)
    });
    parts(Known { reward: None, continuation: Some(continuation) })
}

fn mve(horizon: usize, pair: bool) -> Mve {
    Mve { config: MveConfig { horizon, pair }, rollout: "r".into() }
}

fn rolled(parts: &Parts, batch: &Batch, horizon: usize) -> Rollouts {
    let key = Rng::new(7).key();
    [("r".to_string(), SharedRollout::new(parts, batch, horizon, true, key).unwrap())].into()
}

fn goals(target: &Mve, parts: &Parts, batch: &Batch, rollouts: &Rollouts) -> hstep::Result<Goals> {
    target.targets(&Ask { parts, batch, key: Rng::new(8).key(), rollouts })
}

#[test]
fn mve_is_its_formula_row_by_row() {
    let (parts, batch) = (mortal(), batch(12, 31));
    let rollouts = rolled(&parts, &batch, T);
    // The pair is both of the two members, so their lower one.
    let Goals { y, obs, action, .. } = goals(&mve(T, true), &parts, &batch, &rollouts).unwrap();
    let rollout = rollouts["r"].rollout(&parts).unwrap();
    let numbers = |t: &Tensor| to_f64(t).unwrap();
    assert_eq!(numbers(&obs), numbers(&batch.obs));
    assert_eq!(numbers(&action), numbers(&rollout.actions[0]));
    let q = parts.critic(CRITIC).unwrap().target();
    let q = numbers(&q.q(&rollout.states[T], &rollout.actions[T]).unwrap());
    let (gamma, alpha): (f64, f64) = (parts.gamma, parts.alpha().unwrap());
    let mut deaths = 0;
    for (row, y) in numbers(&y).into_iter().enumerate() {
        let (mut want, mut alive) = (0.0, 1.0);
        for t in 0..T {
            let entropy = if t > 0 { alpha * numbers(&rollout.log_probs[t])[row] } else { 0.0 };
            want += alive * gamma.powi(t as i32) * (numbers(&rollout.rewards[t])[row] - entropy);
            alive *= numbers(&rollout.cont[t])[row];
        }
        let last = q[row].min(q[12 + row]) - alpha * numbers(&rollout.log_probs[T])[row];
        want += alive * gamma.powi(T as i32) * last;
        assert!((y - want).abs() < 1e-12, "row {row}: {y} against {want}");
        deaths += usize::from(alive == 0.0);
    }
    assert!(deaths > 0 && deaths < 12, "{deaths} rows died");
}

#[test]
fn mve_of_one_step_is_td0_on_the_models_own_transition() {
    let (parts, batch) = (mortal(), batch(9, 32));
    let rollouts = rolled(&parts, &batch, 1);
    let got = to_f64(&goals(&mve(1, false), &parts, &batch, &rollouts).unwrap().y).unwrap();
    let rollout = rollouts["r"].rollout(&parts).unwrap().detached().unwrap();
    // What TD(0) makes of (s_0, a_0, r_0, s_1) with the next action that the rollout drew.
    let critic = parts.critic(CRITIC).unwrap().target();
    let next = HStep::model_free(
        Terminal::min_q(critic),
        Cost::entropy(Entropy::All, parts.alpha().unwrap()),
    );
    let policy = parts.policy(ACTOR).unwrap().frozen();
    let key = Rng::new(7).key().fork("policy");
    let noise = key.normals(0, 9, 1, 1, &hstep::shape::Spec::f64()).unwrap().unsqueeze(0).unwrap();
    let value = next
        .objective(&rollout.states[1], Actions::Policy(policy.as_ref()), &Noise::of_policy(noise))
        .unwrap();
    let value = to_f64(&value).unwrap();
    let (reward, cont) = (to_f64(&rollout.rewards[0]).unwrap(), to_f64(&rollout.cont[0]).unwrap());
    for (row, got) in got.iter().enumerate() {
        let want = reward[row] + parts.gamma * cont[row] * value[row];
        assert!((got - want).abs() < 1e-12, "row {row}: {got} against {want}");
    }
}

#[test]
fn a_shared_rollout_is_two_rollouts_with_the_same_noise() {
    let (parts, batch) = (mortal(), batch(8, 33));
    let rollouts = rolled(&parts, &batch, T);
    let ask = Ask { parts: &parts, batch: &batch, key: Rng::new(8).key(), rollouts: &rollouts };
    let shared = PathwiseShared { horizon: T, rollout: "r".into() }.loss(&ask).unwrap();
    let own: Rollout;
    let alone = {
        let critic = parts.critic(CRITIC).unwrap().online.as_ref();
        let hstep = HStep {
            dynamics: Some(parts.model(MODEL).unwrap().dynamics()),
            terminal: Terminal::Action { critic, reduce: Reduce::Mean, samples: 1 },
            horizon: T,
            gamma: parts.gamma,
            cost: Cost::entropy(Entropy::All, parts.alpha().unwrap()),
        };
        let policy = parts.policy(ACTOR).unwrap();
        let noise = Noise::key(Rng::new(7).key());
        own = hstep.rollout(&batch.obs, Actions::Policy(policy), &noise).unwrap();
        hstep.score(&own).unwrap().mean_all().unwrap().neg().unwrap()
    };
    let gradient = |loss: &Tensor| {
        let params = parts.policy(ACTOR).unwrap().params()[0].1;
        to_f64(&params.grad(&loss.backward().unwrap()).unwrap().unwrap()).unwrap()
    };
    assert_eq!(to_f64(&shared.loss).unwrap(), to_f64(&alone).unwrap());
    assert_eq!(gradient(&shared.loss), gradient(&alone));
    assert_eq!(to_f64(&shared.log_prob).unwrap(), to_f64(&own.log_probs[0]).unwrap());
}

#[test]
fn a_rollout_is_not_used_once_its_policy_has_changed() {
    let (mut parts, batch) = (mortal(), batch(8, 34));
    let mut log = Log::default();
    let mut update = Update::new(&mut parts, &batch, Rng::new(9).key(), &mut log);
    let improve = || PathwiseShared { horizon: T, rollout: "r".into() };
    RollOut { name: "r".into(), horizon: T }.take(&mut update).unwrap();
    // A critic's step in between does no harm.
    RegressCritic(Box::new(mve(T, true))).take(&mut update).unwrap();
    ImprovePolicy(Box::new(improve())).take(&mut update).unwrap();
    let message = ImprovePolicy(Box::new(improve())).take(&mut update).unwrap_err().to_string();
    assert!(message.contains("changed after it was rolled out"), "{message}");
    assert_eq!(update.model_steps, (T * 8) as u64);
}

#[test]
fn steps_in_an_impossible_order_are_refused() {
    let build = |learn: Vec<Box<dyn Step>>| {
        Hybrid::builder("mine", "here")
            .actor_critic(0.9, &Default::default(), &Default::default(), &Default::default())
            .model(&EnsembleConfig::default())
            .learn(learn)
            .build()
    };
    let rollout = || Box::new(RollOut { name: "r".into(), horizon: T }) as Box<dyn Step>;
    let critic = || Box::new(RegressCritic(Box::new(mve(T, true)))) as Box<dyn Step>;
    let improve = PathwiseShared { horizon: T, rollout: "r".into() };
    let actor = || Box::new(ImprovePolicy(Box::new(improve.clone()))) as Box<dyn Step>;
    let (alpha, follow) = (|| Box::new(FollowEntropy) as _, || Box::new(FollowTargets) as _);
    let hybrid = build(vec![rollout(), critic(), follow(), actor(), alpha()]).unwrap();
    let [.., improves, targets] = hybrid.row();
    assert_eq!(improves, "pathwise of `r`, H=3 (mean Q)");
    assert_eq!(targets, "MVE of `r`, H=3 (lower of 2 target Q)");
    let text = |steps| build(steps).map(|_| ()).unwrap_err().to_string();
    let message = text(vec![critic(), rollout(), actor()]);
    assert!(message.contains("scores the rollout `r`") && message.contains("add it before"));
    let message = text(vec![rollout(), critic(), alpha(), actor()]);
    assert!(message.contains("put it after an improve"), "{message}");
}

#[test]
fn no_model_step_is_no_mve() {
    let message = mve(0, true).validate().unwrap_err().to_string();
    assert!(message.contains("`target.mve.horizon`: expected at least 1"), "{message}");
}
