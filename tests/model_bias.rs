//! Rollouts in a model against the episodes of an environment, both written out by hand.

use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::dynamics::{Dynamics, FnDynamics, StepNoise, Transition};
use hstep::env::Known;
use hstep::learner::Agent;
use hstep::objective::Reduce;
use hstep::parts::ACTOR;
use hstep::parts::TemperatureConfig;
use hstep::policy::ActorConfig;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::train::{EvalConfig, ModelBias, model_bias};
use hstep::uses::{Pathwise, Td0};
use hstep::value::CriticConfig;

use crate::critic_bias::{End, GAMMA, Line, Records, close, info, row};

/// Steps of the episodes; more than one block of the rollouts.
const LENGTHS: [usize; 3] = [3, 60, 7];

fn config() -> EvalConfig {
    EvalConfig { episodes: 3, ..EvalConfig::default() }
}

fn agent(model: Box<dyn Dynamics>) -> Agent {
    let hidden = vec![8];
    let actor = ActorConfig { hidden: hidden.clone(), ..ActorConfig::default() };
    let critic = CriticConfig { hidden, ..CriticConfig::default() };
    let hybrid = Hybrid::builder("mine", "here")
        .actor_critic(GAMMA, &actor, &critic, &TemperatureConfig::default())
        .given_model("line", model)
        .improve(Pathwise::model_free())
        .target(Box::new(Td0(Reduce::Min)))
        .build()
        .unwrap();
    Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f64()).unwrap()
}

/// The environment's equations, with `bonus` on every reward and an end after `steps` steps (which
/// the second observation counts).
fn line(bonus: f64, steps: f64) -> Box<dyn Dynamics> {
    let step = move |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let own = (a.squeeze(1)? * 2.0)?;
        let (x, count) = (s.get_on_dim(1, 0)?, (s.get_on_dim(1, 1)? + 1.0)?);
        Ok(Transition {
            next: Tensor::stack(&[(&x + (&own * 0.1)?)?, count.clone()], 1)?,
            reward: ((x + own)? + bonus)?,
            cont: count.lt(steps)?.to_dtype(s.dtype())?,
        })
    };
    Box::new(FnDynamics::new(2, 1, Spec::f64(), step))
}

/// The sum of `steps` rewards from the start of episode `i` on, with the modes of the policy.
fn total(agent: &Agent, records: &Records, i: usize, steps: usize) -> f64 {
    let mut obs = records.lock().unwrap()[i].obs[0].clone();
    let mut sum = 0.0;
    for _ in 0..steps {
        let mode = agent.parts.policy(ACTOR).unwrap().mode(&row(&obs)).unwrap();
        let own = 2.0 * to_f64(&mode).unwrap()[0];
        sum += obs[0] + own;
        obs = vec![obs[0] + 0.1 * own, obs[1] + 1.0];
    }
    sum
}

fn run(model: Box<dyn Dynamics>, end: End, per_start: usize) -> (Agent, Records, ModelBias) {
    let agent = agent(model);
    let (make, records) = Line::factory(LENGTHS, end);
    let bias = model_bias(&agent, &make, &config(), per_start).unwrap();
    assert_eq!((bias.episodes.len(), bias.rollouts.len()), (61, 61));
    (agent, records, bias)
}

#[test]
fn episodes_and_rollouts_end_and_earn_each_by_their_own_rules() {
    let (agent, records, bias) = run(line(0.5, 55.0), End::Terminated, 2);
    assert_eq!(bias.diverged, 0.0);
    for t in 0..=60 {
        let alive = LENGTHS.iter().filter(|&&length| t < length).count() as f64 / 3.0;
        close(bias.episodes[t].alive, alive, 1e-12);
        close(bias.rollouts[t].alive, if t < 55 { 1.0 } else { 0.0 }, 1e-12);
        let earned = |steps: &dyn Fn(usize) -> usize| {
            (0..3).map(|i| total(&agent, &records, i, steps(i))).sum::<f64>() / 3.0
        };
        close(bias.episodes[t].total, earned(&|i| t.min(LENGTHS[i])), 1e-9);
        close(bias.rollouts[t].total, earned(&|_| t.min(55)) + 0.5 * t.min(55) as f64, 1e-9);
    }
}

#[test]
fn a_time_limit_is_no_end_and_a_failure_is_one() {
    let (.., limit) = run(line(0.0, 1e9), End::TimeLimit, 1);
    assert!(limit.episodes.iter().all(|s| s.alive == 1.0));
    let (.., failure) = run(line(0.0, 1e9), End::Failure, 1);
    close(failure.episodes[3].alive, 2.0 / 3.0, 1e-12);
    close(failure.episodes[60].alive, 0.0, 1e-12);
}

#[test]
fn a_rollout_that_diverges_ends_there_with_what_it_has() {
    let step = |s: &Tensor, _: &Tensor, _: &StepNoise| {
        let ones = Tensor::ones(s.dim(0)?, s.dtype(), s.device())?;
        // 1e200, 1e200 squared.
        Ok(Transition { next: ((s * 0.0)? + 1e200)?.sqr()?, reward: ones.clone(), cont: ones })
    };
    let model = Box::new(FnDynamics::new(2, 1, Spec::f64(), step));
    let (.., bias) = run(model, End::Terminated, 4);
    assert_eq!(bias.diverged, 1.0);
    assert_eq!((bias.rollouts[1].alive, bias.rollouts[60].total), (0.0, 0.0));
    let finite = |s: &Tensor, _: &Tensor, _: &StepNoise| {
        let ones = Tensor::ones(s.dim(0)?, s.dtype(), s.device())?;
        let reward = s.get_on_dim(1, 1)?;
        // The second observation: 0 or so, 10, 1e3, 1e9, ..: infinite after some steps.
        let next = Tensor::stack(&[s.get_on_dim(1, 0)?, (reward.powf(3.0)? + 10.0)?], 1)?;
        Ok(Transition { next, reward, cont: ones })
    };
    let model = Box::new(FnDynamics::new(2, 1, Spec::f64(), finite));
    let (.., bias) = run(model, End::Terminated, 4);
    assert_eq!(bias.diverged, 1.0);
    close(bias.rollouts[3].total, 10.0 + 1010.0, 1e-12);
    assert!(bias.rollouts[60].total.is_finite());
}

#[test]
fn every_rollout_and_every_step_has_its_own_noise() {
    let step = |s: &Tensor, _: &Tensor, noise: &StepNoise| {
        let cont = Tensor::ones(s.dim(0)?, s.dtype(), s.device())?;
        let reward = noise.normal.as_ref().unwrap().squeeze(1)?;
        Ok(Transition { next: s.clone(), reward, cont })
    };
    let model = Box::new(FnDynamics::new(2, 1, Spec::f64(), step).with_noise(1));
    let (.., bias) = run(model, End::Terminated, 100);
    // Means over 300 standard normal numbers each: five standard errors, and all of them different.
    let mut means: Vec<f64> =
        bias.rollouts.windows(2).map(|pair| pair[1].total - pair[0].total).collect();
    assert!(means.iter().all(|mean| mean.abs() < 5.0 / 300f64.sqrt()), "{means:?}");
    means.sort_by(f64::total_cmp);
    assert!(means.windows(2).all(|pair| pair[1] - pair[0] > 1e-9), "{means:?}");
}

#[test]
fn an_agent_without_a_model_is_refused_and_so_are_no_rollouts() {
    let mut agent = agent(line(0.0, 9.0));
    let refused = |agent: &Agent, per_start| {
        let (make, _) = Line::factory(LENGTHS, End::Terminated);
        model_bias(agent, &make, &config(), per_start).unwrap_err().to_string()
    };
    let error = refused(&agent, 0);
    assert!(error.contains("`per_start`: expected at least 1, got 0"), "{error}");
    agent.parts.models.clear();
    let error = refused(&agent, 2);
    assert!(error.contains("model") && error.contains("does not have"), "{error}");
}
