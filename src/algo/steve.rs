//! Stochastic ensemble value expansion, on SAC.
//!
//! Buckman, Hafner, Tucker, Brevdo, Lee 2018, "Sample-Efficient Reinforcement Learning with
//! Stochastic Ensemble Value Expansion", section 3; the mix is eq. 8. There it is on DDPG; here, as
//! MAAC's paper has it as a baseline, on SAC, whose settings it does not give.
//!
//! Paper against code (`steve-code`): the original is on DDPG with ensembles of 4 models, 4 rewards
//! and 4 Qs, whose mean is each candidate; the preset takes 4 members and the mean of 4 Qs.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{Pathwise, Steve, SteveConfig};
use crate::value::CriticConfig;

/// Settings of STEVE on SAC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteveSacConfig {
    /// Discount. 0.99: code.
    pub gamma: f64,
    /// Data, fits and updates.
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
    /// The critic's target. H = 3: paper.
    pub target: SteveTarget,
}

/// The target's section, as in MAAC's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteveTarget {
    /// Settings of the mix.
    pub steve: SteveConfig,
}

impl Default for SteveTarget {
    fn default() -> Self {
        Self { steve: SteveConfig { horizon: 3, ..SteveConfig::default() } }
    }
}

impl Default for SteveSacConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            schedule: LoopConfig::default(),
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            target: SteveTarget::default(),
        }
    }
}

impl Algorithm for SteveSacConfig {
    const NAME: &'static str = "steve";
    const CITATION: &'static str = "Buckman et al. 2018, Stochastic Ensemble Value Expansion";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", include_str!("presets/steve-code.toml"))];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("STEVE", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .model(&self.model)
            .schedule(&self.schedule)
            .improve(Pathwise::model_free())
            .target(Box::new(Steve(self.target.steve.clone())))
            .build()
    }
}
