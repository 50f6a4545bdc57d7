//! MPPI on a learned model: the baseline "MBRL" of the MoPAC paper.
//!
//! Williams, Wagener, Goldfain, Drews, Rehg, Boots, Theodorou 2017, "Information Theoretic MPC for
//! Model-Based Reinforcement Learning". The MoPAC paper runs it with its own settings, horizons of 5
//! to 15; there is no released code, so `mppi-mbrl-code` takes MoPAC's code's numbers.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::planner::{MemberChoice, Mppi, MppiConfig, SamplesConfig};
use crate::schedule::Schedule;
use crate::uses::{PlanConfig, PlanFirst};

/// Settings of MPPI-MBRL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MppiMbrlConfig {
    /// Data and fits; nothing else is updated.
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The learned dynamics.
    pub model: EnsembleConfig,
    /// How it acts. H from 5 to 15: paper (MoPAC); discount 0.99 and zero terminal: ours.
    pub behave: PlanConfig,
    /// MPPI. 100 samples, temperature 1, noise 0.5: code (MoPAC).
    pub planner: MppiConfig,
}

impl Default for MppiMbrlConfig {
    fn default() -> Self {
        let samples = SamplesConfig { members: MemberChoice::Rollout, ..SamplesConfig::default() };
        let horizon = Schedule::Linear([5_000.0, 85_000.0, 5.0, 15.0]);
        Self {
            schedule: LoopConfig { updates_per_step: 0, ..LoopConfig::default() },
            model: EnsembleConfig::default(),
            behave: PlanConfig { horizon, gamma: 0.99, ..PlanConfig::default() },
            planner: MppiConfig { samples, ..MppiConfig::default() },
        }
    }
}

impl Algorithm for MppiMbrlConfig {
    const NAME: &'static str = "mppi-mbrl";
    const CITATION: &'static str = "Williams et al. 2017, Information Theoretic MPC";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", include_str!("presets/mppi-mbrl-code.toml"))];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("MPPI-MBRL", Self::CITATION)
            .gamma(self.behave.gamma)
            .model(&self.model)
            .schedule(&self.schedule)
            .behave(PlanFirst::new(self.behave.clone(), Mppi::new(self.planner.clone())))
            .build()
    }
}
