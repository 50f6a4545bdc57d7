//! Model-augmented actor-critic: the pathwise gradient of the H-step objective.
//!
//! Clavera, Fu, Abbeel 2020, "Model-Augmented Actor-Critic: Backpropagating through Paths",
//! Algorithm 1 and section 4.3. The text gives no numbers, so a default tagged `code` is the
//! released code's where the two agree in kind.
//!
//! Paper against code (`maac-code`):
//! * Samples: the paper draws several trajectories from a start state, the code 5 (at 065ab3a of
//!   meta-mb) or one trajectory with 5 actions at its last state (at ecbc372), which the preset has.
//! * Horizon: the code's loop does T+1 steps, so T = 3 is H = 4 (HalfCheetah, Hopper, Ant).
//! * Entropy: the paper adds an entropy bonus, the code that of the first action only.
//! * Targets: STEVE in the paper; in the code the 0-step candidate has zero variance over the
//!   models, so its weight swamps the others and the target is TD(0). The preset says so.
//! * The code's model has 8 members on normalised targets and knows the reward; it is fitted every
//!   1,000 steps with 8 updates a step.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{Branched, BranchedConfig, Pathwise, PathwiseConfig, TargetConfig, TargetKind};
use crate::value::CriticConfig;

/// Settings of MAAC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaacConfig {
    /// Discount. 0.99: code.
    pub gamma: f64,
    /// Data, fits and updates. 8 updates a step: code.
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
    /// The branched rollouts that fill the model's data set.
    pub imagine: BranchedConfig,
    /// The pathwise gradient. H = 4, 5 samples: code.
    pub improve: PathwiseConfig,
    /// The critic's target. STEVE: paper.
    pub target: TargetConfig,
}

impl Default for MaacConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            schedule: LoopConfig { updates_per_step: 8, ..LoopConfig::default() },
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            imagine: BranchedConfig::default(),
            improve: PathwiseConfig { horizon: 4, samples: 5, ..PathwiseConfig::default() },
            target: TargetConfig { kind: TargetKind::Steve, ..TargetConfig::default() },
        }
    }
}

impl Algorithm for MaacConfig {
    const NAME: &'static str = "maac";
    const CITATION: &'static str = "Clavera, Fu, Abbeel 2020, Model-Augmented Actor-Critic";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", include_str!("presets/maac-code.toml"))];

    fn compose(&self) -> Result<Hybrid> {
        self.target.validate()?;
        Hybrid::builder("MAAC", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .model(&self.model)
            .schedule(&self.schedule)
            .imagine(Branched(self.imagine.clone()))
            .improve(Pathwise(self.improve.clone()))
            .target(self.target.build())
            .build()
    }
}
