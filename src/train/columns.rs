//! The columns of a run's files.

use super::evaluate::Evaluation;
use crate::env::Env;
use crate::learner::{Agent, Counters};
use crate::log::Phase;
use crate::metrics::Row as Numbers;

/// The column with the number of episodes of training that a kind of failure cut since the last row.
pub(super) fn failure_column(kind: &str) -> String {
    format!("failed_{kind}")
}

/// The column with the number of episodes of this row's evaluation that a kind of failure cut.
pub(super) fn eval_failure_column(kind: &str) -> String {
    format!("eval_failed_{kind}")
}

/// The columns of `metrics.csv`: deterministic numbers only.
pub(super) fn columns(agent: &Agent, env: &dyn Env) -> Vec<String> {
    let mut all: Vec<String> = [
        "env_steps",
        "model_steps",
        "grad_steps",
        "fit_steps",
        "episodes",
        "eval_return",
        "eval_std",
        "eval_length",
        "train_return",
        "train_length",
    ]
    .map(String::from)
    .to_vec();
    all.extend(env.failure_kinds().iter().map(|kind| failure_column(kind)));
    all.extend(env.failure_kinds().iter().map(|kind| eval_failure_column(kind)));
    all.extend(agent.metrics());
    all
}

/// How much was done, a column each, and what an evaluation has found where there was one.
pub(super) fn counted(c: &Counters, eval: Option<&Evaluation>) -> Numbers {
    let mut row = Numbers::new();
    row.set("env_steps", c.env_steps as f64)
        .set("model_steps", c.model_steps as f64)
        .set("grad_steps", c.grad_steps as f64)
        .set("fit_steps", c.fit_steps as f64)
        .set("episodes", c.episodes as f64);
    if let Some(eval) = eval {
        row.set("eval_return", eval.mean())
            .set("eval_std", eval.std())
            .set("eval_length", eval.length());
    }
    row
}

/// The column of `timing.csv` with the seconds since the process opened the run: what no phase has
/// booked of them is the rest.
pub const TOTAL_COLUMN: &str = "total_s";

/// The columns of `timing.csv`.
pub(super) fn timing_columns() -> Vec<&'static str> {
    let phases = Phase::ALL.map(Phase::column);
    ["env_steps"].into_iter().chain(phases).chain([TOTAL_COLUMN]).collect()
}

/// A row of `timing.csv`: the seconds booked on every phase, and all that have passed.
pub(super) fn timing_row(env_steps: u64, booked: impl Fn(Phase) -> f64, total: f64) -> Numbers {
    let mut row = Numbers::new();
    row.set("env_steps", env_steps as f64);
    for phase in Phase::ALL {
        row.set(phase.column(), booked(phase));
    }
    row.set(TOTAL_COLUMN, total);
    row
}
