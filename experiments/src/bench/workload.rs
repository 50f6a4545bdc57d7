//! The workloads: their names and sizes, and how much arithmetic each needs.

use hstep::config::nearest;
use hstep::shape::{Precision, Spec};
use hstep::{Error, Result};

/// Observations and actions, as in HalfCheetah.
pub const OBS: usize = 17;
/// See [`OBS`].
pub const ACT: usize = 6;
/// What can be small or large about the networks and batches of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of a training batch, and start states of an actor step.
    pub batch: usize,
    /// Width of the two hidden layers of policy, critics and value (ReLU).
    pub width: usize,
    /// Members of the model.
    pub members: usize,
    /// Width of the four hidden layers of the model (swish).
    pub model_width: usize,
    /// What rollouts without gradients are computed in.
    pub precision: Precision,
}

impl Sizes {
    /// Those of `hstep bench`.
    pub const USUAL: Self =
        Self { batch: 256, width: 256, members: 7, model_width: 200, precision: Precision::F32 };

    /// Number type and device of the networks.
    pub fn spec(&self) -> Spec {
        Spec { precision: self.precision, ..Spec::f32() }
    }

    /// Hidden layers of policy, critics and value.
    pub fn hidden(&self) -> [usize; 2] {
        [self.width; 2]
    }

    /// Hidden layers of the model.
    pub fn model_hidden(&self) -> [usize; 4] {
        [self.model_width; 4]
    }
}

/// What the model predicts: the change of the observation, and the reward.
pub const TARGETS: usize = OBS + 1;
/// Model steps of the plans of `hstep bench`.
const PLAN_HORIZON: usize = 15;

/// A piece of work whose rate is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// One update of SAC.
    Update,
    /// One training step of the ensemble.
    Fit,
    /// One-step branched rollouts from so many states.
    Branch(usize),
    /// MPPI plans.
    Plan {
        /// Candidates a start state.
        samples: usize,
        /// Start states planned from at once.
        starts: usize,
        /// Model steps.
        horizon: usize,
        /// Whether candidates pay for what a policy would not do.
        prior: bool,
    },
    /// One actor step through so many model steps.
    Actor(usize),
}

/// The workloads that torch and jax have, too, by their names.
pub const ALL: [(&str, Workload); 9] = [
    ("a", Workload::Update),
    ("b", Workload::Fit),
    ("c10k", Workload::Branch(10_000)),
    ("c100k", Workload::Branch(100_000)),
    ("d100", Workload::Plan { samples: 100, starts: 1, horizon: PLAN_HORIZON, prior: false }),
    ("d500", Workload::Plan { samples: 500, starts: 1, horizon: PLAN_HORIZON, prior: false }),
    ("d64", Workload::Plan { samples: 100, starts: 64, horizon: PLAN_HORIZON, prior: false }),
    ("e5", Workload::Actor(5)),
    ("e10", Workload::Actor(10)),
];

/// Measured by name only.
pub const OWN: [(&str, Workload); 1] = [(
    "d100-prior",
    Workload::Plan { samples: 100, starts: 1, horizon: PLAN_HORIZON, prior: true },
)];

/// What `hstep bench limit` measures alone.
pub const LIMIT: &str = "limit";

/// The workloads called `names`, with their names; [`ALL`] where there is no name.
///
/// # Errors
/// [`Error::Config`] naming the workloads there are.
pub fn find(names: &[String]) -> Result<Vec<(&'static str, Workload)>> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let known = || ALL.iter().chain(&OWN).map(|(name, _)| *name).chain([LIMIT]);
    let mut found = Vec::new();
    for name in names.iter().filter(|name| *name != LIMIT) {
        match ALL.iter().chain(&OWN).find(|(known, _)| known == name) {
            Some(workload) => found.push(*workload),
            None => {
                let all = known().collect::<Vec<_>>().join(", ");
                let near = nearest(name, known())
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                let problem = format!("there is no workload `{name}`; there are: {all}{near}");
                return Err(Error::config("workload", problem));
            }
        }
    }
    Ok(found)
}

/// Multiply-adds of a row through a dense stack.
fn dense(input: usize, hidden: &[usize], output: usize) -> f64 {
    let inputs = std::iter::once(input).chain(hidden.iter().copied());
    let outputs = hidden.iter().copied().chain(std::iter::once(output));
    inputs.zip(outputs).map(|(d, o)| (d * o) as f64).sum()
}

impl Workload {
    /// Whether it is a rollout without gradients, which other precisions are for.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Branch(_) | Self::Plan { .. })
    }

    /// Units of work in one call: transitions, plans, or steps.
    pub fn units(self) -> usize {
        match self {
            Self::Update | Self::Fit | Self::Actor(_) => 1,
            Self::Branch(rows) => rows,
            Self::Plan { starts, .. } => starts,
        }
    }

    /// Floating-point operations of the matrix products that a unit of work cannot do without: two
    /// a multiply-add. A backward pass costs a forward pass for the parameters and one for the
    /// inputs, less the first layer where nobody asks for the gradient of the inputs.
    pub fn flops(self, sizes: &Sizes) -> f64 {
        let rows = sizes.batch as f64;
        let (hidden, members) = (sizes.hidden(), sizes.members as f64);
        let policy = dense(OBS, &hidden, 2 * ACT);
        let policy_first = (OBS * sizes.width) as f64;
        let critic = 2.0 * dense(OBS + ACT, &hidden, 1);
        let critic_first = 2.0 * ((OBS + ACT) * sizes.width) as f64;
        let value = dense(OBS, &hidden, 1);
        let member = dense(OBS + ACT, &sizes.model_hidden(), 2 * TARGETS);
        let member_first = ((OBS + ACT) * sizes.model_width) as f64;
        let multiply_adds = match self {
            Self::Update => {
                let target = policy + critic;
                let critics = 3.0 * critic - critic_first;
                // Through the critics to the action, then to the policy's parameters.
                let actor = 2.0 * critic + 3.0 * policy - policy_first;
                rows * (target + critics + actor)
            }
            Self::Fit => members * rows * (3.0 * member - member_first),
            // One member a row: what the others would say is not needed.
            Self::Branch(_) => policy + member,
            Self::Plan { samples, horizon, prior, .. } => {
                let step = member + if prior { policy } else { 0.0 };
                samples as f64 * members * (horizon as f64 * step + value)
            }
            Self::Actor(horizon) => {
                let h = horizon as f64;
                let actor = 3.0 * (h + 1.0) * policy - policy_first;
                rows * (actor + 2.0 * h * member + 2.0 * critic)
            }
        };
        2.0 * multiply_adds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_from_the_shapes() {
        // 23 x 200 + 3 x 200 x 200 + 200 x 36 and 17 x 256 + 256 x 256 + 256 x 12 multiply-adds.
        let (member, policy) = (131_800.0, 72_960.0);
        assert_eq!(Workload::Branch(10).flops(&Sizes::USUAL), 2.0 * (member + policy));
        let value = 17.0 * 256.0 + 65_536.0 + 256.0;
        let plan = |starts, prior| {
            let horizon = PLAN_HORIZON;
            Workload::Plan { samples: 100, starts, horizon, prior }.flops(&Sizes::USUAL)
        };
        assert_eq!(plan(1, false), 2.0 * 700.0 * (15.0 * member + value));
        assert_eq!(plan(1, false), plan(64, false));
        assert_eq!(plan(1, true) - plan(1, false), 2.0 * 700.0 * 15.0 * policy);
        assert_eq!(
            Workload::Fit.flops(&Sizes::USUAL),
            2.0 * 7.0 * 256.0 * (3.0 * member - 4_600.0)
        );
        // Without a model step it is SAC's actor step, a part of its update.
        assert!(Workload::Actor(0).flops(&Sizes::USUAL) < Workload::Update.flops(&Sizes::USUAL));
        let more =
            Workload::Actor(10).flops(&Sizes::USUAL) - Workload::Actor(5).flops(&Sizes::USUAL);
        assert_eq!(more, 2.0 * 256.0 * 5.0 * (3.0 * policy + 2.0 * member));
    }
    #[test]
    fn operations_grow_with_the_sizes_they_depend_on() {
        let usual = Sizes::USUAL;
        let fit = Workload::Fit.flops(&usual);
        assert_eq!(Workload::Fit.flops(&Sizes { members: 14, ..usual }), 2.0 * fit);
        assert_eq!(Workload::Fit.flops(&Sizes { batch: 64, ..usual }), fit / 4.0);
        // 23 x 400 + 3 x 400 x 400 + 400 x 36 multiply-adds, the first layer's not for its inputs.
        let wide = Workload::Fit.flops(&Sizes { model_width: 400, ..usual });
        assert_eq!(wide, 2.0 * 7.0 * 256.0 * (3.0 * 503_600.0 - 9_200.0));
        let plan = |horizon| Workload::Plan { samples: 100, starts: 1, horizon, prior: false };
        let step = plan(8).flops(&usual) - plan(7).flops(&usual);
        assert_eq!(step, 2.0 * 700.0 * 131_800.0);
        let update = |width| Workload::Update.flops(&Sizes { width, ..usual });
        assert!(update(512) > 3.5 * update(256) && update(512) < 4.0 * update(256));
    }
}
