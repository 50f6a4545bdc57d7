//! Behave: which action to take in the environment.

use candle_core::Tensor;

use super::Needs;
use crate::error::Result;
use crate::parts::Parts;
use crate::policy::Policy;
use crate::rng::Key;
use crate::shape::Spec;

/// Which action to take in the environment.
pub trait Behave: Send {
    /// How the table of algorithms names it.
    fn describe(&self) -> String;

    /// Parts it cannot do without.
    fn needs(&self) -> Needs;

    /// Normalised actions `[B,A]` for observations `[B,O]`; `explore` is false in evaluation.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for observations of another width.
    fn act(&self, parts: &Parts, obs: &Tensor, explore: bool, key: Key) -> Result<Tensor>;
}

/// A sample of the policy; its mode in evaluation.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicySample;

impl Behave for PolicySample {
    fn describe(&self) -> String {
        "policy".into()
    }

    fn needs(&self) -> Needs {
        Needs { policy: true, ..Needs::default() }
    }

    fn act(&self, parts: &Parts, obs: &Tensor, explore: bool, key: Key) -> Result<Tensor> {
        let policy = parts.policy()?.frozen();
        if !explore {
            return policy.mode(obs);
        }
        let spec = Spec { dtype: obs.dtype(), device: obs.device().clone(), ..Spec::f32() };
        let eps = key.normals(0, obs.dim(0)?, policy.action_dim(), 0, &spec)?;
        Ok(policy.sample(obs, &eps)?.action)
    }
}
