//! Model predictive actor-critic: imagined data along MPPI's plans around the policy.
//!
//! Morgan, Nandha, Chalvatzaki, D'Eramo, Dollar, Peters 2021, "Model Predictive Actor-Critic:
//! Accelerating Robot Skill Acquisition with Deep Reinforcement Learning", Algorithms 1 and 2. The
//! text gives neither the number of samples nor the temperature.
//!
//! Paper against code (`mopac-code`, HalfCheetah; dnandha/mopac at 3769f11):
//! * Horizon: 5 to 15 in the paper, constant 5 in the code.
//! * Return: H rewards and `gamma^H V(s_H)`; the code has H-1 rewards and `gamma^(H-1) V(s_(H-1))`.
//! * Actions: the code clips at 1.4; its base is the first sample's actions with that sample's noise.
//! * Members: one a simulation in the paper, one a start state in the code.
//! * Real data: the paper leaves the share open (MBPO's .05 here), the code goes from .2 to .8.
//! * Target entropy: 0 in the code.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::objective::Reduce;
use crate::parts::TemperatureConfig;
use crate::planner::{MemberChoice, Mppi, MppiConfig, SamplesConfig};
use crate::policy::ActorConfig;
use crate::uses::{Pathwise, Planned, PlannedConfig, Td0};
use crate::value::CriticConfig;

/// Settings of MoPAC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MopacConfig {
    /// Discount. 0.99: code (MBPO).
    pub gamma: f64,
    /// Data, fits and updates. 20 updates a step: code (40 on HalfCheetah).
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The policy.
    pub actor: ActorConfig,
    /// The critic.
    pub critic: CriticConfig,
    /// The state value, with its target network.
    pub value: CriticConfig,
    /// The temperature.
    pub temperature: TemperatureConfig,
    /// The learned dynamics.
    pub model: EnsembleConfig,
    /// The planned rollouts.
    pub imagine: PlannedConfig,
    /// MPPI. 100 samples, temperature 1, noise 0.5: code.
    pub planner: MppiConfig,
}

impl Default for MopacConfig {
    fn default() -> Self {
        let samples = SamplesConfig { members: MemberChoice::Rollout, ..SamplesConfig::default() };
        Self {
            gamma: 0.99,
            schedule: LoopConfig { updates_per_step: 20, ..LoopConfig::default() },
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            value: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            imagine: PlannedConfig::default(),
            planner: MppiConfig { samples, ..MppiConfig::default() },
        }
    }
}

impl Algorithm for MopacConfig {
    const NAME: &'static str = "mopac";
    const CITATION: &'static str = "Morgan et al. 2021, Model Predictive Actor-Critic";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", include_str!("presets/mopac-code.toml"))];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("MoPAC", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .value(&self.value)
            .model(&self.model)
            .schedule(&self.schedule)
            .imagine(Planned::new(self.imagine.clone(), Mppi::new(self.planner.clone())))
            .improve(Pathwise::model_free())
            .target(Box::new(Td0(Reduce::Min)))
            .build()
    }
}
