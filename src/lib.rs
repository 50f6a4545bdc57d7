//! Differentiable, model-based reinforcement learning: one H-step objective and its four uses.
//!
//! # The objective
//!
//! ```text
//! J_H(s_0) = E[ sum_{t<H} gamma^t r_t + gamma^H V(s_H) ],    s_{t+1} ~ f(s_t, a_t)
//! ```
//!
//! [`objective::HStep`] rolls it out and scores it. It has three parts: the dynamics `f`
//! ([`dynamics::Dynamics`]: a learned ensemble, a simulator or a closure), what the last state is
//! worth ([`objective::Terminal`]: nothing, `V(s_H)`, or `Q(s_H, a_H)`), and the horizon `H`. A
//! per-step entropy or KL cost is an option ([`objective::Cost`]). With `H = 0` and a Q terminal it
//! is the actor objective of SAC.
//!
//! Here it is by hand, for `f(s, a) = s + a`, `r = -s^2`, `V(s) = s`, `gamma = 1/2`, from `s_0 = 1`
//! with the actions `1/2` and `-1`. The states are 1, 3/2, 1/2, the rewards -1 and -9/4, so
//! `J_2 = -1 - 9/8 + 1/8 = -2`:
//!
//! ```
//! use candle_core::{Tensor, Var};
//! use hstep::dynamics::{FnDynamics, StepNoise, Transition};
//! use hstep::objective::{Actions, Cost, HStep, Noise, Terminal};
//! use hstep::shape::{Spec, scalar, to_f64};
//! use hstep::value::FnValue;
//!
//! let spec = Spec::f64();
//! let dynamics = FnDynamics::new(1, 1, spec.clone(), |s: &Tensor, a: &Tensor, _: &StepNoise| {
//!     let reward = s.sqr()?.neg()?.squeeze(1)?;
//!     Ok(Transition { next: (s + a)?, cont: reward.ones_like()?, reward })
//! });
//! let value = FnValue(|s: &Tensor| Ok(s.squeeze(1)?));
//! let j = HStep {
//!     dynamics: Some(&dynamics),
//!     terminal: Terminal::State(&value),
//!     horizon: 2,
//!     gamma: 0.5,
//!     cost: Cost::NONE,
//! };
//!
//! let s0 = spec.tensor(&[1.0], (1, 1))?; // [B,S]
//! let actions = Var::from_tensor(&spec.tensor(&[0.5, -1.0], (1, 2, 1))?)?; // [B,H,A]
//! let rollout = j.rollout(&s0, Actions::Open(&actions), &Noise::default())?;
//! let j_2 = j.score(&rollout)?; // [B]
//! assert_eq!(scalar(&j_2)?, -2.0);
//!
//! // J_0, J_1 and J_2 from the same rollout.
//! let all: Vec<f64> = j.by_horizon(&rollout)?.iter().map(scalar).collect::<Result<_, _>>()?;
//! assert_eq!(all, [1.0, -0.25, -2.0]);
//!
//! // dJ/da_0 = gamma (-2 s_1) + gamma^2 = -5/4 and dJ/da_1 = gamma^2 = 1/4.
//! let gradients = j_2.backward()?;
//! let gradient = gradients.get(&actions).ok_or("no gradient")?;
//! assert_eq!(to_f64(gradient)?, [-1.25, 0.25]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Four uses
//!
//! An algorithm uses the objective in up to four places, each with an `HStep` of its own:
//!
//! | use | question | kinds there are |
//! |---|---|---|
//! | [`uses::Behave`] | which action to take in the environment | [`uses::PolicySample`], [`uses::PlanFirst`] |
//! | [`uses::Imagine`] | which data to add | [`uses::NoImagination`], [`uses::Branched`], [`uses::Planned`] |
//! | [`uses::Improve`] | how the policy is changed | [`uses::Pathwise`], [`uses::ScoreFunction`] |
//! | [`uses::Target`] | what the critic regresses on | [`uses::Td0`], [`uses::Steve`] |
//!
//! [`algo`] holds the algorithms of the papers; each is one composition. A new hybrid is written
//! the same way. This one takes MBPO's imagined data, a pathwise gradient through three model
//! steps and SAC's target:
//!
//! ```
//! use hstep::agent::Hybrid;
//! use hstep::objective::Reduce;
//! use hstep::uses::{Branched, BranchedConfig, Pathwise, PathwiseConfig, Td0};
//!
//! let hybrid = Hybrid::builder("BRANCH-3", "no paper: the example of the guide")
//!     .actor_critic(0.99, &Default::default(), &Default::default(), &Default::default())
//!     .model(&Default::default())
//!     .imagine(Branched(BranchedConfig::default()))
//!     .improve(Pathwise(PathwiseConfig { horizon: 3, ..PathwiseConfig::default() }))
//!     .target(Box::new(Td0(Reduce::Min)))
//!     .build()?;
//! println!("{}", hstep::algo::table(&[hybrid.row()]));
//! # assert_eq!(
//! #     hybrid.row(),
//! #     [
//! #         "BRANCH-3",
//! #         "ensemble of 7",
//! #         "policy",
//! #         "branched k=1",
//! #         "pathwise, H=3 (min Q)",
//! #         "TD(0) (min target Q)",
//! #     ]
//! # );
//!
//! // Pairs that do not fit are refused by name.
//! let refused = Hybrid::builder("NO-MODEL", "")
//!     .actor_critic(0.99, &Default::default(), &Default::default(), &Default::default())
//!     .improve(Pathwise(PathwiseConfig { horizon: 3, ..PathwiseConfig::default() }))
//!     .target(Box::new(Td0(Reduce::Min)))
//!     .build();
//! let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
//! assert!(message.contains("needs a model and there is none"), "{message}");
//! # Ok::<(), hstep::Error>(())
//! ```
//!
//! A kind that is missing is one `impl` of its trait; the traits are small.
//!
//! Planners ([`planner`]) are given an `HStep`, start states and where to begin, and return action
//! sequences with their returns, weights and effective sample size. Behaving and imagining use them.
//!
//! # Parts, agent, run
//!
//! [`parts::Parts`] is what is learned: policy, critic, value, temperature, model. A composition
//! ([`agent::Hybrid`]) with parts, replay buffers and random streams is an agent
//! ([`learner::Agent`]); [`train::Trainer`] runs it in an environment ([`env::Env`]), evaluates it,
//! writes its metrics and checkpoints, and resumes it. A composition is also a table ([`algo`]), so
//! that files and `key=value` can change any of it ([`mod@config`]), and what a slot can hold has a
//! name ([`kinds`]).
//!
//! # Shapes
//!
//! Every tensor in a signature has its shape in the doc comment: `B` batch, `H` horizon, `S` state,
//! `A` action, `O` observation, `E` ensemble, `K` samples, `P` parameters. Public entries check
//! shapes and say what they expected and what came. A state is not an observation:
//! [`dynamics::Dynamics::observe`] gives the one from the other, and for learned models they are
//! the same. Actions are normalised to `[-1, 1]` everywhere but in [`env::Env::step`]. Termination
//! is data, `cont_t` 0 or 1: a dead row stays in its place, frozen, with zero reward.
//!
//! # Noise is an input
//!
//! A rollout draws nothing. Its [`objective::Noise`] is fixed before it starts, as tensors or as a
//! [`rng::Key`] that gives each number as a function of (row, step). So `J_H` is a deterministic
//! function of policy parameters, actions and start state: finite differences, common random
//! numbers and exact replay need nothing else. All randomness of a run comes from one seeded
//! [`rng::Rng`], forked by name.
//!
//! # Number types
//!
//! The code is the same for `f32` (training) and `f64` (checks); [`shape::Spec`] carries the choice
//! with the device. Models, values and critics enter a rollout without gradients to their own
//! parameters, so the gradient of `J_H` moves the policy only.
#![deny(missing_docs)]

// The code of the guide is compiled and run with the doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/adding-an-algorithm.md")]
struct AddingAnAlgorithm;

pub mod agent;
pub mod algo;
mod check;
pub mod checkpoint;
pub mod config;
pub mod dynamics;
pub mod env;
mod error;
#[cfg(feature = "fault-injection")]
pub mod fault;
#[cfg(not(feature = "fault-injection"))]
mod fault;
pub mod files;
pub mod forward;
mod hash;
mod json;
pub mod kinds;
mod known;
pub mod learner;
pub mod limits;
pub mod log;
pub mod lqr;
pub mod metrics;
pub mod nn;
pub mod objective;
mod ops;
pub mod parts;
pub mod planner;
pub mod policy;
pub mod pool;
pub mod replay;
pub mod rng;
pub mod schedule;
pub mod schema;
pub mod shape;
pub mod stats;
mod suggest;
pub mod train;
pub mod uses;
pub mod value;
mod vectorised;

pub use candle_core;
pub use candle_nn;
pub use error::{Error, Result};
pub use schemars;
