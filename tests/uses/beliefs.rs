//! A model whose state is what it remembers of an episode.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Tensor;
use hstep::agent::{Hybrid, LoopConfig};
use hstep::dynamics::{Dynamics, Fitted, Model, States, StepNoise, Transition};
use hstep::env::native;
use hstep::parts::{MODEL, Own, Parts};
use hstep::replay::{Replay, Start};
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::train::{EnvFactory, EvalConfig, RunConfig, Trainer};
use hstep::uses::{Acted, Behave, Memory, Moment, Needs};

use super::planned::run;

/// Where the state of [`Remembers`] goes: it stays, and its first three numbers are seen.
struct Stays(Spec);

impl Dynamics for Stays {
    fn state_dim(&self) -> usize {
        4
    }

    fn action_dim(&self) -> usize {
        1
    }

    fn spec(&self) -> &Spec {
        &self.0
    }

    fn observe(&self, state: &Tensor) -> hstep::Result<Tensor> {
        Ok(state.narrow(1, 0, 3)?.contiguous()?)
    }

    fn step(&self, state: &Tensor, _: &Tensor, _: &StepNoise) -> hstep::Result<Transition> {
        let reward = state.narrow(1, 0, 1)?.squeeze(1)?;
        Ok(Transition { next: state.clone(), cont: reward.ones_like()?, reward })
    }
}

/// A model that remembers: its state is the observation, and the sum of all first coordinates so
/// far, each weighed by what the last fit has set.
struct Remembers {
    dynamics: Stays,
    fits: f64,
}

impl Remembers {
    fn weight(&self) -> f64 {
        1.0 + self.fits
    }
}

impl Model for Remembers {
    fn describe(&self) -> String {
        "a sum".into()
    }

    fn dynamics(&self) -> &dyn Dynamics {
        &self.dynamics
    }

    fn states(&self) -> States {
        States::Believed
    }

    fn learns(&self) -> bool {
        true
    }

    fn fit(&mut self, _: &Replay, _: &mut Rng) -> hstep::Result<Fitted> {
        self.fits += 1.0;
        Ok(Fitted { steps: 1, ..Fitted::default() })
    }

    fn initial(&self, obs: &Tensor) -> hstep::Result<Tensor> {
        let first = (obs.narrow(1, 0, 1)? * self.weight())?;
        Ok(Tensor::cat(&[obs, &first], 1)?)
    }

    fn update(&self, state: &Tensor, _: &Tensor, obs: &Tensor) -> hstep::Result<Tensor> {
        let first = ((obs.narrow(1, 0, 1)? * self.weight())? + state.narrow(1, 3, 1)?)?;
        // A view, as what is cut out of a network's output.
        Ok(Tensor::cat(&[obs, &first, &first], 1)?.narrow(1, 0, 4)?)
    }

    fn named_tensors(&self, prefix: &str) -> hstep::Result<BTreeMap<String, Tensor>> {
        let fits = Tensor::new(self.fits, &candle_core::Device::Cpu)?;
        Ok([(format!("{prefix}.fits"), fits)].into())
    }

    fn load_named(&mut self, prefix: &str, all: &BTreeMap<String, Tensor>) -> hstep::Result<()> {
        self.fits = all[&format!("{prefix}.fits")].to_scalar()?;
        Ok(())
    }
}

/// Acts by what the model remembers, so that a wrong memory shows in all that follows.
struct ByMemory;

impl Behave for ByMemory {
    fn describe(&self) -> String {
        "by memory".into()
    }

    fn needs(&self) -> Needs {
        Needs { model: true, ..Needs::default() }
    }

    fn act(&self, _: &Parts, at: &Start, _: &mut Memory, _: Moment) -> hstep::Result<Acted> {
        Ok(Acted::new(at.state.narrow(1, 3, 1)?.sin()?, 0))
    }
}

fn remembers() -> Hybrid {
    let schedule = LoopConfig { random_steps: 100, fit_every: 60, ..LoopConfig::default() };
    let make = Own::new("sum", "1", |place: &hstep::parts::Place, _: &mut Rng| {
        let dynamics = Stays(place.spec.clone());
        Ok(Box::new(Remembers { dynamics, fits: 0.0 }) as Box<dyn Model>)
    });
    let builder = Hybrid::builder("remembers", "none").own_model(MODEL, make).behave(ByMemory);
    builder.schedule(&schedule).build().unwrap()
}

/// Two episodes of 200 steps and fits in the middle of them: what is stored, and what is acted by, is
/// what the newest model would remember.
#[test]
fn beliefs_are_carried_stored_and_made_anew_after_a_fit() {
    let (metrics, _, rows) = run(&remembers, 330, &[]);
    // Fits at 100, 160, 220, 280: since the last one the weight is 5.
    let folder = tempfile::tempdir().unwrap();
    let make: EnvFactory = Arc::new(|| native::make("pendulum"));
    let eval = EvalConfig { every: 165, episodes: 1, ..EvalConfig::default() };
    let config = RunConfig { steps: 330, eval, ..RunConfig::default() };
    let mut trainer =
        Trainer::open(config, remembers(), make, folder.path(), "id", &Spec::f32()).unwrap();
    trainer.run(&AtomicBool::new(false), &mut ()).unwrap();
    let mut sum = 0.0;
    for (age, row) in trainer.agent().real.iter().enumerate() {
        if age % 200 == 0 {
            sum = 5.0 * f64::from(row.obs[0]);
        }
        let [state, next] = row.own[..] else { panic!("two columns of states") };
        assert_eq!((state, next).0[..3], row.obs[..]);
        assert!((f64::from(state[3]) - sum).abs() < 1e-3 * (1.0 + sum.abs()), "row {age}");
        if age >= 280 {
            let by = f64::from(state[3]).sin();
            assert!((f64::from(row.action[0]) - by).abs() < 1e-3, "action {age}");
        }
        sum += 5.0 * f64::from(row.next_obs[0]);
        assert!((f64::from(next[3]) - sum).abs() < 1e-3 * (1.0 + sum.abs()), "row {age}");
    }
    assert!(metrics.lines().count() > 2);
    // A run that is stopped in the middle of an episode, before and after a fit, remembers on.
    let (again, _, same) = run(&remembers, 330, &[130, 285]);
    assert_eq!(metrics, again);
    assert!(rows == same);
}
