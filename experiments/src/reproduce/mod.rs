//! The figures that can be drawn again, by name.

pub mod compare;
mod cost;
mod demorl_fig3;
mod demorl_fig4;
mod lemma41;
mod maac_fig3;
mod maac_fig4;
mod maac_table1;
mod mpq_fig1;
mod mujoco;
mod native;
mod peers;
mod planners;
mod polo_lemma2;
mod shared;
mod theorem1;

pub use mujoco::published;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Interrupted;

use hstep::config::nearest;
use hstep::{Error, Result};
use toml::Table;

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Seconds: fewer seeds, to see that it works.
    Quick,
    /// What the README shows.
    Usual,
    /// Everything, for the record.
    Full,
}

/// What a reproduction hands back.
#[derive(Debug)]
pub struct Outcome {
    /// Lines for the reader: numbers beside the expected ones.
    pub summary: Vec<String>,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Where a reproduction writes, and how it hears that it should stop.
pub struct Job<'a> {
    /// The folder of the figures.
    pub folder: &'a Path,
    /// Set by the first SIGINT or SIGTERM.
    pub stop: &'a AtomicBool,
    /// Draw from the data beside the figure; train nothing.
    pub redraw: bool,
    /// A folder with published curves to draw beside ours.
    pub reference: Option<&'a Path>,
}

impl Job<'_> {
    /// Logs a finished piece of work, and ends the job when it was asked to stop.
    pub fn step(&self, done: &str) -> Result<(), Interrupted> {
        tracing::debug!("{done}");
        if self.stop.load(Ordering::Relaxed) {
            return Err(Interrupted("nothing was written; run the same command again".to_owned()));
        }
        Ok(())
    }
}

/// The command line that does this again.
pub fn command(figure: &str, settings: &Table, effort: Effort, job: &Job) -> String {
    let mut words = vec![format!("hstep reproduce {figure}")];
    match effort {
        Effort::Quick => words.push("--quick".to_owned()),
        Effort::Usual => {}
        Effort::Full => words.push("--full".to_owned()),
    }
    if job.redraw {
        words.push("--redraw".to_owned());
    }
    // Where it is, is nobody else's business.
    if job.reference.is_some() {
        words.push("--reference DIR".to_owned());
    }
    words.extend(settings.iter().map(|(k, v)| format!("'{k}={v}'")));
    words.join(" ")
}

/// One figure or table.
pub struct Reproduction {
    /// The name on the command line.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Draws it, from `key=value` overrides.
    pub run: fn(&Table, Effort, &Job) -> anyhow::Result<Outcome>,
}

/// Every figure.
pub const ALL: &[Reproduction] = &[
    Reproduction {
        name: "maac-fig3",
        about: "MAAC, Figure 3: error of the policy gradient against the horizon",
        run: maac_fig3::run,
    },
    Reproduction {
        name: "native-learning",
        about: "SAC, MBPO and MAAC on pendulum and cart-pole: curves, tables (half an hour)",
        run: compare::run::<native::Config>,
    },
    Reproduction {
        name: "maac-fig4",
        about: "MAAC, Figure 4: without the model in the gradient, STEVE, samples; long horizons",
        run: compare::run::<maac_fig4::Config>,
    },
    Reproduction {
        name: "maac-table1",
        about: "MAAC, Table 1: trained policies with and without planning at test time",
        run: maac_table1::run,
    },
    Reproduction {
        name: "demorl-fig3",
        about: "M-DeMoRL, Figure 3: elite fractions, curves and steps to a level",
        run: compare::run::<demorl_fig3::Config>,
    },
    Reproduction {
        name: "demorl-fig4",
        about: "M-DeMoRL, Figure 4: the two-link leg, against MoPAC, MAAC, MBPO and SAC",
        run: compare::run::<demorl_fig4::Config>,
    },
    Reproduction {
        name: "planners-learning",
        about: "MoPAC, M-DeMoRL and PETS on the pendulum: curves, steps to a level",
        run: compare::run::<planners::Config>,
    },
    Reproduction {
        name: "mpq-fig1",
        about: "MPQ, Figure 1: its pendulum, against MPPI and soft Q, with the paper's curves (an hour)",
        run: compare::run::<mpq_fig1::Config>,
    },
    Reproduction {
        name: "polo-lemma2",
        about: "POLO, Lemma 2: planning to a wrong value on the pendulum, loss beside the bounds (seconds)",
        run: polo_lemma2::run,
    },
    Reproduction {
        name: "mopac-fig2",
        about: "MoPAC, Figure 2: MoPAC, MBPO and SAC on MuJoCo, with published curves (hours)",
        run: compare::run::<mujoco::Mopac>,
    },
    Reproduction {
        name: "demorl-fig2",
        about: "M-DeMoRL, Figure 2: M-DeMoRL, MoPAC and MBPO on MuJoCo (hours)",
        run: compare::run::<mujoco::Demorl>,
    },
    Reproduction {
        name: "maac-fig2",
        about: "MAAC, Figure 2: MAAC, MBPO and SAC on MuJoCo, with published curves (hours)",
        run: compare::run::<mujoco::Maac>,
    },
    Reproduction {
        name: "mopac-theorem-1",
        about: "MoPAC, Theorem 1 along a training run: loss, corrected bound, and the H they choose",
        run: theorem1::run,
    },
    Reproduction {
        name: "maac-lemma-4.1",
        about: "MAAC, Lemma 4.1: errors of gradients through models against both bounds (minutes)",
        run: lemma41::run,
    },
    Reproduction {
        name: "peers",
        about: "rates of the parts of training against PyTorch and JAX, as measured",
        run: peers::run,
    },
    Reproduction {
        name: "cost",
        about: "time of a step against members, width, batch and horizon; memory against horizon",
        run: cost::run,
    },
];

/// The figures that draw published curves beside ours.
pub const PUBLISHED: [&str; 3] = ["mopac-fig2", "demorl-fig2", "maac-fig2"];

/// Finds a figure by name.
pub fn find(name: &str) -> Result<&'static Reproduction> {
    ALL.iter().find(|r| r.name == name).ok_or_else(|| {
        let names = ALL.iter().map(|r| r.name);
        Error::config(
            "figure",
            match nearest(name, names.clone()) {
                Some(near) => format!("there is no figure `{name}`; did you mean `{near}`?"),
                None => format!(
                    "there is no figure `{name}`; there are: {}",
                    names.collect::<Vec<_>>().join(", ")
                ),
            },
        )
    })
}
