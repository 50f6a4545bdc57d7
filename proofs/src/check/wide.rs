//! A statement on a problem of many states, in intervals.

use serde_json::{Map, Value, json};

use super::planning::bound;
use super::{Options, find};
use crate::attack::PlanningBound;
use crate::interval::Interval;
use crate::reading::{Play, RewardRange};
use crate::wide::Wide;
use hstep::{Error, Result};

/// The statements that [`measure_wide`] knows.
pub const WIDE: [&str; 3] = ["mopac-theorem-1", "polo-lemma-1", "polo-lemma-2"];

/// The longest horizon.
const MAX_HORIZON: usize = 1_000;

/// The same as [`super::measure`] for a problem of many states. Every number is `[low, high]`, and holds the exact one; a
/// form holds, or not, or is `"undecided"`. The exact left side is not below 0, so that of a problem without errors is
/// undecided: its bound is 0.
///
/// # Errors
/// [`Error::Config`] for a statement that intervals are not made for, or a horizon that is missing or too long.
pub fn measure_wide(
    name: &str,
    problem: &Wide,
    rounded: usize,
    options: &Options,
) -> Result<Value> {
    options.validate()?;
    let name = find(name)?.name;
    if !WIDE.contains(&name) {
        let known = WIDE.join(", ");
        let problem =
            format!("with so many states, or `--intervals`, there are {known}; not `{name}`");
        return Err(Error::config("mdp", problem));
    }
    let bound = bound(name);
    let mut reading = options.reading(RewardRange::Max);
    let mut problem = problem.clone();
    if bound != PlanningBound::MopacTheorem1 {
        problem.model = None;
    }
    let horizon = match (bound, options.horizon) {
        (PlanningBound::PoloLemma1, None | Some(1)) => {
            reading.play = Play::Receding;
            1
        }
        (PlanningBound::PoloLemma1, _) => {
            let problem = "the greedy policy looks one step ahead; leave the horizon out";
            return Err(Error::config("horizon", problem));
        }
        (_, Some(horizon)) if horizon <= MAX_HORIZON => horizon,
        _ => {
            let problem = format!("expected 1 to {MAX_HORIZON} steps, for example `--horizon 3`");
            return Err(Error::config("horizon", problem));
        }
    };
    let played = problem.play(horizon, reading.play);
    let constants = problem.constants(&played, horizon, &reading);
    let (printed, corrected) = bound.forms(&constants);
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| drop(fields.insert(key.into(), value));
    set("result", name.into());
    set("arithmetic", "intervals, rounded outwards".into());
    set("horizon", horizon.into());
    set("norm", reading.norm.to_string().into());
    set("play", reading.play.to_string().into());
    set("reward_range", reading.range.to_string().into());
    set("states", played.optimal.len().into());
    set("actions", problem.actions.into());
    for (key, x) in [
        ("gamma", constants.gamma),
        ("eps_f", constants.eps_f),
        ("eps_v", constants.eps_v),
        ("r_max", constants.r_max),
        ("span", constants.span),
        ("gap", played.gap),
        ("bound_printed", printed),
        ("bound_corrected", corrected),
    ] {
        set(key, json!([x.low(), x.high()]));
    }
    set("printed_holds", verdict(played.gap, printed));
    set("corrected_holds", verdict(played.gap, corrected));
    set("worst_state", played.worst.into());
    if played.untold > 0 {
        let problem = format!(
            "at {} states and stages intervals cannot tell which of nearly equal actions is taken: the play is \
             enclosed by the worst and the best of them",
            played.untold
        );
        set("note", problem.into());
    }
    if rounded > 0 {
        set("rounded", format!("{rounded} rows, each divided by its sum").into());
    }
    Ok(Value::Object(fields))
}

/// Whether the left side is at most the right one, if intervals can tell.
fn verdict(left: Interval, right: Interval) -> Value {
    if left.high() <= right.low() {
        true.into()
    } else if left.low() > right.high() {
        false.into()
    } else {
        "undecided".into()
    }
}
