//! REINFORCE through the model: the score-function gradient of the same objective that MAAC climbs
//! pathwise.
//!
//! Williams 1992; in model-based form it is the contrast that the MAAC paper draws in section 4.1.
//! Only the improve slot differs from MAAC without imagined data, so the two estimators can be
//! compared at equal everything else. There is no released code to differ from.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::objective::Reduce;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{ScoreFunction, ScoreFunctionConfig, Td0};
use crate::value::CriticConfig;

/// Settings of REINFORCE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReinforceConfig {
    /// Discount. 0.99: ours.
    pub gamma: f64,
    /// Data, fits and updates.
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The policy.
    pub actor: ActorConfig,
    /// The critic at the horizon.
    pub critic: CriticConfig,
    /// The temperature.
    pub temperature: TemperatureConfig,
    /// The learned dynamics.
    pub model: EnsembleConfig,
    /// The score-function gradient.
    pub improve: ScoreFunctionConfig,
}

impl Default for ReinforceConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            schedule: LoopConfig::default(),
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            improve: ScoreFunctionConfig::default(),
        }
    }
}

impl Algorithm for ReinforceConfig {
    const NAME: &'static str = "reinforce";
    const CITATION: &'static str =
        "Williams 1992, Simple Statistical Gradient-Following Algorithms";
    const PRESETS: &'static [(&'static str, &'static str)] = &[("paper", "")];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("REINFORCE", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .model(&self.model)
            .schedule(&self.schedule)
            .improve(ScoreFunction(self.improve.clone()))
            .target(Box::new(Td0(Reduce::Min)))
            .build()
    }
}
