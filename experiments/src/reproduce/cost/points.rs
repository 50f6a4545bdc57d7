//! What is measured: a step of training at one size of one thing, everything else as usual.

use super::config::Config;
use crate::bench::workload::{Sizes, Workload};

/// A step of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One training step of the ensemble.
    Fit,
    /// One update of SAC.
    Update,
    /// One actor step of MAAC.
    Actor,
    /// One MPPI plan of 100 candidates through every member.
    Plan,
}

impl Step {
    /// The names in the data and in the figure.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Fit => ("fit", "ensemble fit"),
            Self::Update => ("update", "SAC update"),
            Self::Actor => ("actor", "MAAC actor step"),
            Self::Plan => ("plan", "MPPI plan"),
        }
    }
}

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varied {
    Members,
    Width,
    Batch,
    Horizon,
}

impl Varied {
    /// The name in the data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Width => "width",
            Self::Batch => "batch",
            Self::Horizon => "horizon",
        }
    }
}

/// The panels: what is varied, and the steps that are measured.
pub const PANELS: [(Varied, &[Step]); 4] = [
    (Varied::Members, &[Step::Fit]),
    (Varied::Width, &[Step::Fit, Step::Update]),
    (Varied::Batch, &[Step::Fit, Step::Update]),
    (Varied::Horizon, &[Step::Plan, Step::Actor]),
];

/// One place of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub varied: Varied,
    pub step: Step,
    pub size: usize,
}

impl Point {
    /// The workload and its sizes.
    pub fn work(self) -> (Workload, Sizes) {
        let (usual, size) = (Sizes::USUAL, self.size);
        let (sizes, horizon) = match self.varied {
            Varied::Members => (Sizes { members: size, ..usual }, 5),
            Varied::Width => (Sizes { width: size, model_width: size, ..usual }, 5),
            Varied::Batch => (Sizes { batch: size, ..usual }, 5),
            Varied::Horizon => (usual, size),
        };
        let workload = match self.step {
            Step::Fit => Workload::Fit,
            Step::Update => Workload::Update,
            Step::Actor => Workload::Actor(horizon),
            Step::Plan => Workload::Plan { samples: 100, starts: 1, horizon, prior: false },
        };
        (workload, sizes)
    }

    /// Floating-point operations that the step cannot do without.
    pub fn flops(self) -> f64 {
        let (workload, sizes) = self.work();
        workload.units() as f64 * workload.flops(&sizes)
    }
}

/// The sizes of one panel.
pub fn sizes(config: &Config, varied: Varied) -> &[usize] {
    match varied {
        Varied::Members => &config.members,
        Varied::Width => &config.widths,
        Varied::Batch => &config.batches,
        Varied::Horizon => &config.horizons,
    }
}

/// Every point, panel by panel and line by line.
pub fn all(config: &Config) -> Vec<Point> {
    let lines = PANELS.iter().flat_map(|(varied, steps)| steps.iter().map(|step| (*varied, *step)));
    let line = |(varied, step)| {
        sizes(config, varied).iter().map(move |&size| Point { varied, step, size })
    };
    lines.flat_map(line).collect()
}
