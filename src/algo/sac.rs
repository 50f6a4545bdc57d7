//! Soft actor-critic: the H-step objective at `H = 0`.
//!
//! Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (with automatic
//! temperature), with the settings of the softlearning code inside the MBPO release.
//!
//! Paper against code: none that the H-step reading can see. `sac-code` is `sac-paper`.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::error::Result;
use crate::objective::Reduce;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{Pathwise, Td0};
use crate::value::CriticConfig;

/// Settings of SAC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SacConfig {
    /// Discount. 0.99: paper.
    pub gamma: f64,
    /// Data and updates.
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The policy.
    pub actor: ActorConfig,
    /// The critic.
    pub critic: CriticConfig,
    /// The temperature.
    pub temperature: TemperatureConfig,
}

impl Default for SacConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            schedule: LoopConfig::default(),
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
        }
    }
}

impl Algorithm for SacConfig {
    const NAME: &'static str = "sac";
    const CITATION: &'static str =
        "Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications";
    const PRESETS: &'static [(&'static str, &'static str)] = &[("paper", ""), ("code", "")];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("SAC", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .schedule(&self.schedule)
            .improve(Pathwise::model_free())
            .target(Box::new(Td0(Reduce::Min)))
            .build()
    }
}
