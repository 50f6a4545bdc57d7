//! The kinds of the library.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::{Kind, Kinds, Slot, Within, parse};
use crate::dynamics::{EnsembleConfig, Model, SimulatorConfig};
use crate::error::Result;
use crate::objective::Reduce;
use crate::parts::{CriticPart, Make, PolicyPart, ValuePart};
use crate::planner::{
    Cem, CemConfig, Gradient, GradientConfig, MirrorDescent, MirrorDescentConfig, Mppi, MppiConfig,
    Planner,
};
use crate::policy::ActorConfig;
use crate::uses::{
    Behave, BestKept, BoundByBatch, BoundValues, Branched, BranchedConfig, FollowEntropy,
    FollowTargets, FreeEnergy, FreeEnergyConfig, Imagine, Improve, ImprovePolicy, Mve, MveConfig,
    NoImagination, Pathwise, PathwiseConfig, PathwiseShared, PlanConfig, PlanFirst, Planned,
    PlannedConfig, PolicySample, RegressCritic, RegressValue, Replanned, ReplannedConfig, RollOut,
    ScoreFunction, ScoreFunctionConfig, SoftValue, Step, Steve, Target, TargetConfig, Td0,
};
use crate::value::{CriticConfig, ValueEnsembleConfig};

/// Declares a kind: its name, its settings, and what it is made of them.
macro_rules! kind {
    ($ty:ident: $slot:ty, $name:literal, $config:ty, |$c:pat_param, $w:pat_param| $make:expr) => {
        struct $ty;
        impl Kind for $ty {
            type Config = $config;
            type Slot = $slot;
            const NAME: &'static str = $name;
            fn build($c: $config, $w: &Within) -> Result<Box<$slot>> {
                Ok(Box::new($make))
            }
        }
    };
}

kind!(GaussianKind: dyn Make<PolicyPart>, "squashed-gaussian", ActorConfig, |c, _| c);
kind!(QKind: dyn Make<CriticPart>, "q", CriticConfig, |c, _| c);
kind!(VEnsembleKind: dyn Make<ValuePart>, "v-ensemble", ValueEnsembleConfig, |c, _| c);
kind!(VKind: dyn Make<ValuePart>, "v", CriticConfig, |c, _| c);
kind!(EnsembleKind: dyn Make<Box<dyn Model>>, "ensemble", EnsembleConfig, |c, _| c);
kind!(SimulatorKind: dyn Make<Box<dyn Model>>, "simulator", SimulatorConfig, |c, _| c);
kind!(MppiKind: dyn Planner, "mppi", MppiConfig, |c, _| Mppi::new(c));
kind!(CemKind: dyn Planner, "cem", CemConfig, |c, _| Cem::new(c));
kind!(MirrorKind: dyn Planner, "mirror-descent", MirrorDescentConfig, |c, _| MirrorDescent::new(c));
kind!(GradientKind: dyn Planner, "gradient", GradientConfig, |c, _| Gradient::new(c));
kind!(PolicyKind: dyn Behave, "policy", Nothing, |_, _| PolicySample);
kind!(PlanKind: dyn Behave, "plan", PlanConfig, |c, w| PlanFirst { config: c, planner: w.planner()? });
kind!(NoneKind: dyn Imagine, "none", Nothing, |_, _| NoImagination);
kind!(BranchedKind: dyn Imagine, "branched", BranchedConfig, |c, _| Branched(c));
kind!(PlannedKind: dyn Imagine, "planned", PlannedConfig, |c, w| {
    Planned { config: c, planner: w.planner()? }
});
kind!(PathwiseKind: dyn Improve, "pathwise", PathwiseConfig, |c, _| Pathwise(c));
kind!(ScoreKind: dyn Improve, "score-function", ScoreFunctionConfig, |c, _| ScoreFunction(c));
kind!(SharedKind: dyn Improve, "shared", Shared, |Shared { rollout }, w| {
    PathwiseShared { horizon: w.horizon(&rollout)?, rollout }
});
kind!(RolloutKind: dyn Step, "rollout", RolloutConfig, |c, _| {
    RollOut { name: "rollout".into(), horizon: c.horizon }
});
kind!(BoundsKind: dyn Step, "bounds", Shared, |Shared { rollout }, _| BoundValues { rollout });
kind!(BatchBoundsKind: dyn Step, "batch-bounds", Nothing, |_, _| BoundByBatch);
kind!(RegressQ: dyn Step, "q", Nothing, |_, w| RegressCritic(w.target()?));
kind!(RegressV: dyn Step, "v", OnTarget, |c, w| RegressValue(match c.target {
    Some(name) => w.target_of(&name)?,
    None => Box::new(SoftValue),
}));
kind!(ImproveStep: dyn Step, "policy", Nothing, |_, w| ImprovePolicy(w.improve()?));
kind!(AlphaStep: dyn Step, "alpha", Nothing, |_, _| FollowEntropy);
kind!(FollowStep: dyn Step, "follow", Nothing, |_, _| FollowTargets);

kind!(Td0Target: dyn Target, "td0", TargetConfig, |c, _| {
    Td0(if c.td0.min { Reduce::Min } else { Reduce::Mean })
});
kind!(SteveTarget: dyn Target, "steve", TargetConfig, |c, _| Steve(c.steve));
kind!(MveTarget: dyn Target, "mve", MveSettings, |c, w| {
    let horizon = w.horizon(&c.mve.rollout)?;
    Mve { config: MveConfig { horizon, pair: c.mve.pair }, rollout: c.mve.rollout }
});

kind!(FreeEnergyTarget: dyn Target, "free-energy", FreeEnergyConfig, |c, w| {
    let planner = w.planner_with(c.iterations.map(|n| ("iterations", Value::Integer(n as i64))))?;
    FreeEnergy { config: c, planner }
});
kind!(BestKeptTarget: dyn Target, "best-kept", Nothing, |_, w| {
    let acts = parse::<PlanConfig>("behave", &w.of("behave")?)?;
    let steps = acts.keep.unwrap_or_default().steps;
    let longest = acts.horizon.count_at(0);
    BestKept { steps: steps.min(longest), gamma: acts.gamma }
});

kind!(ReplannedTarget: dyn Target, "replanned", ReplannedConfig, |c, w| {
    Replanned { config: c, planner: w.planner()? }
});

/// Settings of a step that regresses V.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OnTarget {
    /// The table of its target; the soft value of the policy where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// No settings.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Settings of what scores a shared rollout.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Shared {
    /// The table of the rollout.
    rollout: String,
}

impl Default for Shared {
    fn default() -> Self {
        Self { rollout: "rollout".into() }
    }
}

/// Settings of a shared rollout.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RolloutConfig {
    /// Model steps.
    pub horizon: usize,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { horizon: 5 }
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MveSettings {
    mve: MveOf,
}

/// Settings of [`Mve`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MveOf {
    /// The table of the rollout.
    rollout: String,
    /// Whether the last state is worth the lower of a random pair of critics; of all otherwise.
    pair: bool,
}

impl Default for MveOf {
    fn default() -> Self {
        Self { rollout: "rollout".into(), pair: true }
    }
}

impl Kinds {
    /// The kinds of the library.
    #[must_use]
    pub fn stock() -> Self {
        let step = Slot::new().with::<RolloutKind>().with::<BoundsKind>();
        let step = step.with::<BatchBoundsKind>().with::<RegressQ>();
        Self {
            policy: Slot::new().with::<GaussianKind>(),
            critic: Slot::new().with::<QKind>(),
            value: Slot::new().with::<VKind>().with::<VEnsembleKind>(),
            model: Slot::new().with::<EnsembleKind>().with::<SimulatorKind>(),
            planner: Slot::new()
                .with::<MppiKind>()
                .with::<CemKind>()
                .with::<MirrorKind>()
                .with::<GradientKind>(),
            behave: Slot::new().with::<PolicyKind>().with::<PlanKind>(),
            imagine: Slot::new().with::<NoneKind>().with::<BranchedKind>().with::<PlannedKind>(),
            improve: Slot::new().with::<PathwiseKind>().with::<ScoreKind>().with::<SharedKind>(),
            target: Slot::new()
                .with::<Td0Target>()
                .with::<SteveTarget>()
                .with::<MveTarget>()
                .with::<FreeEnergyTarget>()
                .with::<BestKeptTarget>()
                .with::<ReplannedTarget>(),
            step: step
                .with::<RegressV>()
                .with::<ImproveStep>()
                .with::<AlphaStep>()
                .with::<FollowStep>(),
        }
    }
}
