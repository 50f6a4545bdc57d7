//! An environment of one's own for the whole command line: a pendulum whose velocity is hidden.
//!
//! `cargo run --release --example own_environment -- train sac --env blind-pendulum`, and so on with
//! `eval`, `render`, `list envs`, ...: it is `hstep` that knows one environment more.

use std::collections::BTreeMap;
use std::process::ExitCode;

use hstep::env::{Env, EnvInfo, Simulator, Step, native, scene::Scene};
use hstep::rng::Rng;
use hstep_experiments::Registry;

/// The pendulum, of which only the angle is seen (its cosine and sine, `O = 2`); saved and restored as
/// the whole one.
pub struct BlindPendulum {
    whole: Box<dyn Simulator>,
    info: EnvInfo,
}

/// A fresh one.
///
/// # Errors
/// As [`native::simulator`].
pub fn blind_pendulum() -> hstep::Result<Box<dyn Env>> {
    let whole = native::simulator("pendulum")?;
    let info = EnvInfo { name: "blind-pendulum".into(), obs_dim: 2, ..whole.info().clone() };
    Ok(Box::new(BlindPendulum { whole, info }))
}

fn seen(mut obs: Vec<f64>) -> Vec<f64> {
    obs.truncate(2);
    obs
}

fn seen_step(step: Step) -> Step {
    Step { obs: seen(step.obs), ..step }
}

impl Env for BlindPendulum {
    fn info(&self) -> &EnvInfo {
        &self.info
    }

    fn reset(&mut self, rng: &mut Rng) -> hstep::Result<Vec<f64>> {
        Ok(seen(self.whole.reset(rng)?))
    }

    fn step(&mut self, action: &[f64]) -> hstep::Result<Step> {
        Ok(seen_step(self.whole.step(action)?))
    }

    /// A run does not go on with another version: raise it when the environment becomes another.
    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("blind-pendulum".into(), "1".into())])
    }

    fn scene(&self) -> Option<Scene> {
        self.whole.scene()
    }

    /// With this a run resumes in the middle of an episode, bit for bit.
    fn as_simulator(&mut self) -> Option<&mut dyn Simulator> {
        Some(self)
    }
}

impl Simulator for BlindPendulum {
    fn state_dim(&self) -> usize {
        self.whole.state_dim()
    }

    fn save(&self) -> Vec<f64> {
        self.whole.save()
    }

    fn restore(&mut self, state: &[f64]) -> hstep::Result<()> {
        self.whole.restore(state)
    }

    fn observe(&self) -> Vec<f64> {
        seen(self.whole.observe())
    }

    fn simulate(&mut self, action: &[f64]) -> hstep::Result<Step> {
        Ok(seen_step(self.whole.simulate(action)?))
    }
}

// Unused where another example takes the environment from this file.
#[allow(dead_code)]
fn main() -> ExitCode {
    Registry::new().env("blind-pendulum", blind_pendulum).main()
}
