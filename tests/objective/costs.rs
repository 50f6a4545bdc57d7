//! Costs and deaths of rollouts on rows, against those through tensors.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, StepNoise, Transition};
use hstep::env::Known;
use hstep::forward::{RowDynamics, RowPolicy, StepIn, StepOut, Workspace};
use hstep::objective::{Actions, Cost, Entropy, HStep, Noise, Normals, Reduce, Terminal};
use hstep::policy::{ActionSample, ActorConfig, Policy, SquashedGaussian};
use hstep::rng::Rng;
use hstep::shape::Spec;

use super::fixtures::{ACT, OBS};
use super::forward::{H, all, compare, critic, ending, model, over, policy, value};

/// A policy on rows and in no other way.
struct OnRows<'a>(&'a SquashedGaussian);

impl Policy for OnRows<'_> {
    fn action_dim(&self) -> usize {
        self.0.action_dim()
    }

    fn sample(&self, _: &Tensor, _: &Tensor) -> hstep::Result<ActionSample> {
        Err(hstep::Error::config("policy", "it was asked for a sample through tensors"))
    }

    fn mode(&self, _: &Tensor) -> hstep::Result<Tensor> {
        Err(hstep::Error::config("policy", "it was asked for a mode through tensors"))
    }

    fn log_prob(&self, _: &Tensor, _: &Tensor) -> hstep::Result<Tensor> {
        Err(hstep::Error::config("policy", "it was asked for a density through tensors"))
    }

    fn rows(&self) -> Option<Box<dyn RowPolicy + '_>> {
        self.0.rows()
    }
}

#[test]
fn costs_on_rows_are_those_through_tensors() {
    let (spec, b, mut rng) = (Spec::f32(), 21, Rng::new(31));
    let (gaussian, q, v) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec), value(OBS, &spec));
    let other = SquashedGaussian::new(
        &ActorConfig { hidden: vec![9], ..ActorConfig::default() },
        OBS,
        ACT,
        &mut Rng::new(32),
        &spec,
    )
    .unwrap();
    let s0 = rng.normals((b, OBS), &spec).unwrap();
    // Some of the given actions lie beyond 1, where the density is that of the edge.
    let sequence = (rng.normals((b, H + 1, ACT), &spec).unwrap() * 0.6).unwrap();
    assert!(all(&sequence).iter().any(|a| a.abs() > 1.0));
    let pins: Vec<f64> = (0..b).map(|_| rng.uniform()).collect();
    let noises = [
        Noise::default(),
        Noise::key(rng.key()),
        Noise::pinned(rng.key(), pins),
        Noise {
            policy: Normals::Tensor(rng.normals((H + 3, b, ACT), &spec).unwrap()),
            ..Noise::key(rng.key())
        },
    ];
    let several = Terminal::Action { critic: &q, reduce: Reduce::Min, samples: 3 };
    let terminals = [Terminal::Zero, Terminal::State(&v), Terminal::min_q(&q), several];
    let perturbed = |policy| Actions::Perturbed { policy, delta: &sequence, limit: 0.7 };
    let only = (OnRows(&gaussian), OnRows(&other));
    for known in [Known::default(), ending()] {
        let model = model(&[17, 6], known, &spec);
        for (i, terminal) in terminals.iter().enumerate() {
            for steps in [Entropy::First, Entropy::Rest, Entropy::All] {
                for prior in [None, Some((&other as &dyn Policy, &only.1 as &dyn Policy))] {
                    for (j, noise) in noises.iter().enumerate() {
                        for (source, actions, on_rows) in [
                            ("open", Actions::Open(&sequence), Actions::Open(&sequence)),
                            ("policy", Actions::Policy(&gaussian), Actions::Policy(&only.0)),
                            ("perturbed", perturbed(&gaussian), perturbed(&only.0)),
                        ] {
                            let what =
                                format!("{i}, {steps:?}, {}, {j}, {source}", prior.is_some());
                            let paid = |prior| HStep {
                                cost: Cost { steps, coefficient: 0.3, prior },
                                ..over(&model, *terminal)
                            };
                            let objective = paid(prior.map(|(prior, _)| prior));
                            compare(&objective, &s0, actions, noise, &what);
                            // Nobody asks for a tensor.
                            let rows = paid(prior.map(|(_, prior)| prior));
                            let got = rows.returns(&s0, on_rows, noise, false).unwrap();
                            let want = objective.returns(&s0, actions, noise, false).unwrap();
                            assert_eq!(got.returns, want.returns, "{what}");
                        }
                    }
                }
            }
        }
    }
}

/// `s' = s + a`, whose rows die in infinity beyond 1.
struct Falling(Spec);

impl Dynamics for Falling {
    fn state_dim(&self) -> usize {
        ACT
    }

    fn action_dim(&self) -> usize {
        ACT
    }

    fn spec(&self) -> &Spec {
        &self.0
    }

    fn step(&self, s: &Tensor, a: &Tensor, _: &StepNoise) -> hstep::Result<Transition> {
        let (reward, next) = (s.sum(1)?, (s + a)?);
        let cont = next.max(1)?.le(1.0)?.to_dtype(self.0.dtype)?;
        let fallen = next.ge(1.0)?.where_cond(&(next.ones_like()? / 0.0)?, &next)?;
        Ok(Transition { next: fallen, reward, cont })
    }

    fn rows(&self) -> Option<Box<dyn RowDynamics + '_>> {
        Some(Box::new(Falling(self.0.clone())))
    }
}

impl RowDynamics for Falling {
    fn step(&self, given: StepIn, out: StepOut, _: &mut Workspace) -> hstep::Result<()> {
        for (i, (s, a)) in given.state.chunks(ACT).zip(given.action.chunks(ACT)).enumerate() {
            out.reward[i] = s.iter().sum();
            out.cont[i] = 1.0;
            for (j, (s, a)) in s.iter().zip(a).enumerate() {
                let fallen = s + a > 1.0;
                out.next[i * ACT + j] = if fallen { f32::INFINITY } else { s + a };
                out.cont[i] *= f32::from(u8::from(!fallen));
            }
        }
        Ok(())
    }
}

#[test]
fn a_row_that_dies_in_infinity_keeps_its_return_on_rows() {
    let (spec, b, mut rng) = (Spec::f32(), 40, Rng::new(33));
    let (policy, v) = (policy(ACT, ACT, &spec), value(ACT, &spec));
    let falling = Falling(spec.clone());
    let s0 = (rng.normals((b, ACT), &spec).unwrap() * 0.5).unwrap();
    let cost = Cost::entropy(Entropy::All, 0.2);
    let hstep = HStep { cost, ..over(&falling, Terminal::State(&v)) };
    let got = compare(&hstep, &s0, Actions::Policy(&policy), &Noise::key(rng.key()), "falling");
    let infinite = |ts: &[Tensor]| ts.iter().any(|t| all(t).contains(&f64::INFINITY));
    assert!(infinite(&got.next) && !infinite(&got.states));
    assert!(all(&hstep.score(&got).unwrap()).iter().all(|j| j.is_finite()));
}
