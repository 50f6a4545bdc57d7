//! Model-based policy optimisation: SAC on branched model rollouts.
//!
//! Janner et al. 2019, "When to Trust Your Model: Model-Based Policy Optimization", Algorithm 2.
//!
//! Paper against code (the release's Hopper settings are `mbpo-code`):
//! * Hopper's horizon ramp ends at epoch 100 in the paper's table and at epoch 150 in the code.
//! * The code trains the model at the step before acting and logs the 5,000 random steps nowhere;
//!   here they count as environment steps.
//! * 20 updates a step are Hopper's and Walker2d's; HalfCheetah has 40, InvertedPendulum 10.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::objective::Reduce;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{Branched, BranchedConfig, Pathwise, Td0};
use crate::value::CriticConfig;

/// Settings of MBPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MbpoConfig {
    /// Discount. 0.99: paper.
    pub gamma: f64,
    /// Data, fits and updates. 20 updates a step: paper (Hopper, Walker2d).
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The policy.
    pub actor: ActorConfig,
    /// The critic.
    pub critic: CriticConfig,
    /// The temperature.
    pub temperature: TemperatureConfig,
    /// The learned dynamics.
    pub model: EnsembleConfig,
    /// The branched rollouts.
    pub imagine: BranchedConfig,
}

impl Default for MbpoConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            schedule: LoopConfig { updates_per_step: 20, ..LoopConfig::default() },
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            imagine: BranchedConfig::default(),
        }
    }
}

impl Algorithm for MbpoConfig {
    const NAME: &'static str = "mbpo";
    const CITATION: &'static str = "Janner et al. 2019, When to Trust Your Model";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", include_str!("presets/mbpo-code.toml"))];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("MBPO", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .model(&self.model)
            .schedule(&self.schedule)
            .imagine(Branched(self.imagine.clone()))
            .improve(Pathwise::model_free())
            .target(Box::new(Td0(Reduce::Min)))
            .build()
    }
}
