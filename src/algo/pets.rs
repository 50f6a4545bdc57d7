//! Probabilistic ensembles with trajectory sampling: CEM on a learned model.
//!
//! Chua, Calandra, McAllister, Levine 2018, "Deep Reinforcement Learning in a Handful of Trials using
//! Probabilistic Dynamics Models", Algorithm 1, with the numbers of HalfCheetah: a warm-started CEM
//! over 30 steps, 20 particles a sequence, each with one member of the ensemble (TSinf), and a known
//! reward.
//!
//! Paper against code (`pets-code`): the same planner. The released code fits for 5 epochs after
//! every episode, to all data, with no holdout; here the holdout picks epoch and elites, and the
//! preset keeps 5 members, all of them, and at most 5 epochs. The paper's inputs are preprocessed by
//! task; here they are not.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::agent::{Hybrid, LoopConfig};
use crate::dynamics::EnsembleConfig;
use crate::error::Result;
use crate::planner::{Cem, CemConfig};
use crate::uses::{PlanConfig, PlanFirst};

/// Settings of PETS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PetsConfig {
    /// Data and fits; nothing else is updated. One random episode of 1,000 steps and a fit an
    /// episode: paper.
    #[serde(rename = "loop")]
    pub schedule: LoopConfig,
    /// The learned dynamics. 5 members: paper; known reward: paper.
    pub model: EnsembleConfig,
    /// How it acts. H = 30, undiscounted, from the last plan: paper, code.
    pub behave: PlanConfig,
    /// CEM.
    pub planner: CemConfig,
}

impl Default for PetsConfig {
    fn default() -> Self {
        Self {
            schedule: LoopConfig {
                random_steps: 1_000,
                updates_per_step: 0,
                fit_every: 1_000,
                ..LoopConfig::default()
            },
            model: EnsembleConfig {
                members: 5,
                elites: 5,
                learn_reward: false,
                ..EnsembleConfig::default()
            },
            behave: PlanConfig::default(),
            planner: CemConfig::default(),
        }
    }
}

impl Algorithm for PetsConfig {
    const NAME: &'static str = "pets";
    const CITATION: &'static str = "Chua et al. 2018, Deep RL in a Handful of Trials";
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("paper", ""), ("code", "model.max_epochs = 5")];

    fn compose(&self) -> Result<Hybrid> {
        Hybrid::builder("PETS", Self::CITATION)
            .gamma(self.behave.gamma)
            .model(&self.model)
            .schedule(&self.schedule)
            .behave(PlanFirst::new(self.behave.clone(), Cem::new(self.planner.clone())))
            .build()
    }
}
