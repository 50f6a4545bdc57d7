//! The bias of a critic, against sums written out from what an environment has recorded.

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::env::{Env, EnvInfo, Known, Step};
use hstep::kinds::Kinds;
use hstep::learner::Agent;
use hstep::objective::Reduce;
use hstep::parts::TemperatureConfig;
use hstep::parts::{ACTOR, CRITIC};
use hstep::policy::ActorConfig;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::train::{EnvFactory, EvalConfig, Judged, critic_bias};
use hstep::uses::{Pathwise, Td0};
use hstep::value::CriticConfig;
use hstep::{Result, algo, config};

pub(crate) const GAMMA: f64 = 0.9;

/// What happened in one episode: observations and normalised actions, the last observation alone.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    pub(crate) obs: Vec<Vec<f64>>,
    actions: Vec<f64>,
}

pub(crate) type Records = Arc<Mutex<Vec<Record>>>;

/// Steps of the episodes.
const LENGTHS: [usize; 3] = [3, 5, 7];

/// The reward of a step is the first observation plus the action.
pub(crate) struct Line {
    info: EnvInfo,
    episode: usize,
    length: usize,
    end: End,
    records: Records,
}

/// How the episodes end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    Terminated,
    TimeLimit,
    Failure,
}

impl Line {
    pub(crate) fn factory(lengths: [usize; 3], end: End) -> (EnvFactory, Records) {
        let records = Records::default();
        let shared = records.clone();
        let make = Arc::new(move || {
            let mut all = shared.lock().unwrap();
            all.push(Record::default());
            let (episode, records) = (all.len() - 1, shared.clone());
            let length = lengths[episode];
            Ok(Box::new(Self { info: info(), episode, length, end, records }) as Box<dyn Env>)
        });
        (make, records)
    }
}

pub(crate) fn info() -> EnvInfo {
    EnvInfo {
        name: "line".into(),
        obs_dim: 2,
        action_low: vec![-2.0],
        action_high: vec![2.0],
        max_steps: 100,
    }
}

impl Env for Line {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> Result<Vec<f64>> {
        let obs = vec![rng.normal(), 0.0];
        self.records.lock().unwrap()[self.episode].obs.push(obs.clone());
        Ok(obs)
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        let mut all = self.records.lock().unwrap();
        let record = &mut all[self.episode];
        let last = record.obs.last().unwrap().clone();
        let obs = vec![last[0] + 0.1 * action[0], last[1] + 1.0];
        record.actions.push(action[0] / 2.0);
        record.obs.push(obs.clone());
        let ends = record.actions.len() == self.length;
        let reward = last[0] + action[0];
        let terminated = ends && self.end == End::Terminated;
        let step = Step { obs, reward, terminated, truncated: ends && !terminated };
        // What a failed simulation reports: nothing moved, nothing was earned.
        let still = Step { obs: last, reward: 0.0, ..step };
        Ok(if ends && self.end == End::Failure { still } else { step })
    }

    fn failure_kind(&self) -> Option<&'static str> {
        let taken = self.records.lock().unwrap()[self.episode].actions.len();
        (taken == self.length && self.end == End::Failure).then_some("broken")
    }
}

/// An agent that has learned nothing.
fn agent(alpha: f64, actor: &ActorConfig) -> Agent {
    let critic = CriticConfig { hidden: vec![8], members: 3, ..CriticConfig::default() };
    let fixed = TemperatureConfig { initial: alpha, automatic: false, ..Default::default() };
    let hybrid = Hybrid::builder("mine", "here")
        .actor_critic(GAMMA, actor, &critic, &fixed)
        .improve(Pathwise::model_free())
        .target(Box::new(Td0(Reduce::Min)))
        .build()
        .unwrap();
    Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f64()).unwrap()
}

pub(crate) fn row(x: &[f64]) -> Tensor {
    Spec::f64().tensor(x, (1, x.len())).unwrap()
}

fn smallest_q(agent: &Agent, obs: &[f64], action: &[f64]) -> f64 {
    let q = agent.parts.critic(CRITIC).unwrap().online.q(&row(obs), &row(action)).unwrap();
    to_f64(&q).unwrap().into_iter().fold(f64::INFINITY, f64::min)
}

fn log_prob(agent: &Agent, obs: &[f64], action: f64) -> f64 {
    to_f64(&agent.parts.policy(ACTOR).unwrap().log_prob(&row(obs), &row(&[action])).unwrap())
        .unwrap()[0]
}

pub(crate) fn close(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "{got} instead of {want}");
}

fn episodes() -> EvalConfig {
    EvalConfig { episodes: 3, ..EvalConfig::default() }
}

/// The state at `step` of `episode`.
fn at(states: &[Judged], episode: usize, step: usize) -> &Judged {
    states.iter().find(|s| (s.episode, s.step) == (episode, step)).unwrap()
}

#[test]
fn a_terminated_episode_is_worth_its_rewards_and_its_later_entropy() {
    let alpha = 0.3;
    let agent = agent(alpha, &ActorConfig { hidden: vec![8], ..ActorConfig::default() });
    let (make, records) = Line::factory(LENGTHS, End::Terminated);
    let bias = critic_bias(&agent, &make, &episodes()).unwrap();
    assert_eq!(bias.states.len(), 3 + 5 + 7);
    let records = records.lock().unwrap();
    let mut differences = Vec::new();
    for (episode, Record { obs, actions }) in records.iter().enumerate() {
        for step in 0..actions.len() {
            let mut want = 0.0;
            for (k, (obs, &action)) in obs.iter().zip(actions).enumerate().skip(step) {
                let discount = GAMMA.powi((k - step) as i32);
                let entropy = if k == step { 0.0 } else { -log_prob(&agent, obs, action) };
                want += discount * (obs[0] + 2.0 * action + alpha * entropy);
            }
            let judged = at(&bias.states, episode, step);
            assert_eq!((&judged.obs, judged.own), (&obs[step], 0.0));
            let q = smallest_q(&agent, &obs[step], &actions[step..=step]);
            close(judged.predicted, q, 1e-12);
            close(judged.reached, want, 1e-9);
            differences.push(q - want);
        }
    }
    let mean = differences.iter().sum::<f64>() / 15.0;
    let square = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 15.0;
    close(bias.mean(), mean, 1e-9);
    close(bias.mean(), bias.predicted() - bias.reached(), 1e-9);
    close(bias.std(), square.sqrt(), 1e-9);
    // The noise belongs to the episode: the second one is the same whatever becomes of the first.
    let (make, again) = Line::factory([9, 5, 7], End::Terminated);
    critic_bias(&agent, &make, &episodes()).unwrap();
    assert_eq!(again.lock().unwrap()[1].actions, records[1].actions);
}

#[test]
fn a_time_limit_is_followed_by_the_critics_own_value_and_only_the_first_half_is_judged() {
    // A policy without noise to speak of, so that the action after the end is known.
    let still = ActorConfig { hidden: vec![8], log_std_max: -12.0, ..ActorConfig::default() };
    let agent = agent(0.0, &still);
    let (make, records) = Line::factory(LENGTHS, End::TimeLimit);
    let bias = critic_bias(&agent, &make, &episodes()).unwrap();
    assert_eq!(bias.states.len(), 2 + 3 + 4);
    let mut own = 0.0;
    for (episode, Record { obs, actions }) in records.lock().unwrap().iter().enumerate() {
        let end = obs.last().unwrap();
        let mode = to_f64(&agent.parts.policy(ACTOR).unwrap().mode(&row(end)).unwrap()).unwrap();
        for step in 0..actions.len().div_ceil(2) {
            let rest = GAMMA.powi((actions.len() - step) as i32);
            let mut want = rest * smallest_q(&agent, end, &mode);
            for (k, (obs, &action)) in obs.iter().zip(actions).enumerate().skip(step) {
                want += GAMMA.powi((k - step) as i32) * (obs[0] + 2.0 * action);
            }
            let judged = at(&bias.states, episode, step);
            close(judged.reached, want, 1e-4);
            close(judged.own, rest, 1e-12);
            own += rest;
        }
    }
    close(bias.own(), own / 9.0, 1e-12);
}

#[test]
fn a_failed_step_is_none_and_the_state_before_it_has_the_critics_own_value() {
    let still = ActorConfig { hidden: vec![8], log_std_max: -12.0, ..ActorConfig::default() };
    let agent = agent(0.0, &still);
    let (make, records) = Line::factory(LENGTHS, End::Failure);
    let bias = critic_bias(&agent, &make, &episodes()).unwrap();
    assert_eq!(bias.states.len(), 1 + 2 + 3);
    for (episode, Record { obs, actions }) in records.lock().unwrap().iter().enumerate() {
        let whole = actions.len() - 1;
        let mode = agent.parts.policy(ACTOR).unwrap().mode(&row(&obs[whole])).unwrap();
        let value = smallest_q(&agent, &obs[whole], &to_f64(&mode).unwrap());
        let mut want = GAMMA.powi(whole as i32) * value;
        for (k, (obs, &action)) in obs.iter().zip(actions).enumerate().take(whole) {
            want += GAMMA.powi(k as i32) * (obs[0] + 2.0 * action);
        }
        close(at(&bias.states, episode, 0).reached, want, 1e-4);
    }
}

#[test]
fn an_agent_without_a_critic_is_refused() {
    let (entry, _) = algo::find("pets").unwrap();
    let mut table = entry.preset(None, &Kinds::stock()).unwrap();
    config::set_all(&mut table, &["model.hidden=[8, 8, 8, 8]", "model.learn_reward=true"]).unwrap();
    let hybrid = entry.build(&entry.resolve(&table, &Kinds::stock()).unwrap()).unwrap();
    let agent = Agent::new(hybrid, &info(), Known::default(), &Rng::new(1), &Spec::f64()).unwrap();
    let error = critic_bias(&agent, &Line::factory(LENGTHS, End::Terminated).0, &episodes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("policy") && error.contains("does not have"), "{error}");
}
