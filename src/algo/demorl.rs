//! Mirror-descent model predictive RL: imagined data along elites' plans around the policy.
//!
//! Mishra, Samineni, Goel, Kunjeti, Lodha, Singh, Sagi, Bhatnagar, Kolathaya 2022, "Dynamic Mirror
//! Descent based Model Predictive Control for Accelerating Robot Learning", Algorithm 1.
//!
//! Paper against code (`demorl-code`, at bbc2744):
//! * Use of the planner: in the paper it fills `D_MPC`, on which SAC is trained beside the real
//!   data; in the code it acts in the environment and SAC is trained on the real data alone.
//! * Weights: 10 % elites weighted by cost (eq. 14) in the paper, a softmax over all candidates in
//!   the code. Eq. 14 as printed is the preset `demorl-literal`, which refuses costs that are not
//!   all negative ([`crate::planner::EliteWeights::Literal`]); the default shifts the returns.
//! * Return: discounted with `gamma^H V(s_H)` in the paper; in the code undiscounted, 2 model steps
//!   and Q at the third action, which its `H = 3` counts.
//! * Covariance and step size are not stated in the paper.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::{Error, Result};
use crate::objective::Reduce;
use crate::parts::TemperatureConfig;
use crate::planner::{MirrorDescent, MirrorDescentConfig};
use crate::policy::ActorConfig;
use crate::schedule::Schedule;
use crate::uses::{Pathwise, PlanConfig, PlanFirst, Planned, PlannedConfig, Td0};
use crate::value::CriticConfig;

/// Settings of M-DeMoRL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DemorlConfig {
    /// Discount. 0.99: paper (MBPO's settings).
    pub gamma: f64,
    /// Data, fits and updates. 20 updates a step: paper (MBPO's settings).
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
    /// Whether the planner acts in the environment instead of filling `D_MPC`. false: paper.
    pub acts: bool,
    /// The planned rollouts that fill `D_MPC`. Up to 10,000 start states, 5 to 15 steps: paper; the
    /// ramps: ours.
    pub imagine: PlannedConfig,
    /// How the planner acts, where `acts` is true; `imagine` is not used then.
    pub behave: PlanConfig,
    /// Mirror descent. 100 samples, 10 % elites: paper.
    pub planner: MirrorDescentConfig,
}

impl Default for DemorlConfig {
    fn default() -> Self {
        let starts = Schedule::Linear([5_000.0, 85_000.0, 1_000.0, 10_000.0]);
        Self {
            gamma: 0.99,
            schedule: LoopConfig { updates_per_step: 20, ..LoopConfig::default() },
            actor: ActorConfig::default(),
            critic: CriticConfig::default(),
            value: CriticConfig::default(),
            temperature: TemperatureConfig::default(),
            model: EnsembleConfig::default(),
            acts: false,
            imagine: PlannedConfig { starts, ..PlannedConfig::default() },
            behave: PlanConfig::default(),
            planner: MirrorDescentConfig::default(),
        }
    }
}

impl Algorithm for DemorlConfig {
    const NAME: &'static str = "demorl";
    const CITATION: &'static str = "Mishra et al. 2022, Dynamic Mirror Descent based MPC";
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        ("paper", ""),
        ("code", include_str!("presets/demorl-code.toml")),
        ("literal", "planner.weights = \"literal\""),
    ];

    fn compose(&self) -> Result<Hybrid> {
        if !self.acts && self.behave != PlanConfig::default() {
            return Err(Error::config(
                "behave",
                "is used only with `acts = true`, and it is false",
            ));
        }
        let planner = MirrorDescent::new(self.planner.clone());
        let hybrid = Hybrid::builder("M-DeMoRL", Self::CITATION)
            .actor_critic(self.gamma, &self.actor, &self.critic, &self.temperature)
            .value(&self.value)
            .model(&self.model)
            .schedule(&self.schedule)
            .improve(Pathwise::model_free())
            .target(Box::new(Td0(Reduce::Min)));
        match self.acts {
            false => hybrid.imagine(Planned::new(self.imagine.clone(), planner)),
            true => hybrid.behave(PlanFirst::new(self.behave.clone(), planner)),
        }
        .build()
    }
}
