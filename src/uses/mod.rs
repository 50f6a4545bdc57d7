//! The four uses of the H-step objective.
//!
//! * [`Behave`]: which action to take in the environment.
//! * [`Imagine`]: which transitions to add to the data.
//! * [`Improve`]: how the policy is changed.
//! * [`Target`]: what the critic regresses on.
//!
//! Each kind builds its own [`crate::objective::HStep`] from the [`crate::parts::Parts`]: its dynamics, its
//! terminal value, its horizon. A new algorithm is a new choice of four.

mod ask;
mod behave;
mod imagine;
mod improve;
mod plan;
mod planned_target;
mod steps;
mod target;

pub use ask::{Ask, Rollouts, SharedRollout};
pub use behave::{
    Acted, Behave, KeepConfig, Memory, Moment, PlanConfig, PlanFirst, PlanStart, PolicySample,
};
pub use imagine::{
    BRANCH_ROWS, Branched, BranchedConfig, Imagine, NoImagination, Planned, PlannedConfig, branch,
};
pub use improve::{
    Improve, Loss, Pathwise, PathwiseConfig, PathwiseShared, ScoreFunction, ScoreFunctionConfig,
};
pub use plan::PlanTerminal;
pub use planned_target::{BestKept, FreeEnergy, FreeEnergyConfig, Replanned, ReplannedConfig};
pub use steps::{
    BoundByBatch, BoundValues, Column, FollowEntropy, FollowTargets, ImprovePolicy, Left, Pass,
    RegressCritic, RegressValue, RollOut, Step, Update,
};
pub use target::{
    Goals, Mve, MveConfig, SoftValue, Steve, SteveConfig, Target, TargetConfig, Td0, Td0Config,
};

use candle_core::Tensor;

use crate::error::Result;
use crate::parts::{ACTOR, CRITIC, MODEL, Parts, VALUE};

/// Which parts a use cannot do without; [`crate::agent::Builder`] refuses agents that lack them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// A policy.
    pub policy: bool,
    /// A critic.
    pub critic: bool,
    /// A state value.
    pub value: bool,
    /// A model.
    pub model: bool,
}

impl Needs {
    /// The stock parts that there are.
    #[must_use]
    pub fn had(parts: &Parts) -> Self {
        Self {
            policy: parts.policies.contains_key(ACTOR),
            critic: parts.critics.contains_key(CRITIC),
            value: parts.values.contains_key(VALUE),
            model: parts.models.contains_key(MODEL),
        }
    }

    /// The names of the needed parts that `have` lacks.
    #[must_use]
    pub fn lacking(self, have: Needs) -> Vec<&'static str> {
        let pairs = [
            (self.policy && !have.policy, "policy"),
            (self.critic && !have.critic, "critic"),
            (self.value && !have.value, "value"),
            (self.model && !have.model, "model"),
        ];
        pairs.into_iter().filter(|(lacks, _)| *lacks).map(|(_, name)| name).collect()
    }
}

/// `[B,..]` repeated `k` times below itself: `[kB,..]`, copy by copy.
pub(crate) fn repeat(x: &Tensor, k: usize) -> Result<Tensor> {
    if k == 1 {
        return Ok(x.clone());
    }
    Ok(Tensor::cat(&vec![x; k], 0)?)
}

/// `H=3 (min Q)`: how the table of algorithms names a horizon and a terminal.
pub(crate) fn horizon_label(horizon: impl std::fmt::Display, terminal: &str) -> String {
    format!("H={horizon} ({terminal})")
}
