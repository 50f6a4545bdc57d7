//! A statement on a problem of one's own.

use serde_json::{Map, Value, json};

use super::planning::bound;
use super::{Options, ratio};
use crate::attack::PlanningBound;
use crate::demorl::{Lemma1, largest_difference};
use crate::errors::tv_error;
use crate::exact;
use crate::file::{Given, policy_json, text};
use crate::maac::PolicyStep;
use crate::mdp::{Kernel, Policy};
use crate::mopac::{Pair, Theorem1};
use crate::number::{Number as _, Rational};
use crate::problem::{Favour, Played, Problem};
use crate::reading::{Play, Reading, RewardRange};
use hstep::{Error, Result};

/// The longest horizon.
const MAX_HORIZON: usize = 1_000;

/// What is measured, as JSON: fractions as strings in lowest terms, and again as floats.
struct Measured {
    fields: Map<String, Value>,
    floats: Map<String, Value>,
}

impl Measured {
    fn new(name: &str, options: &Options) -> Self {
        let mut fields = Map::new();
        fields.insert("result".into(), name.into());
        fields.insert("norm".into(), options.norm.to_string().into());
        Self { fields, floats: Map::new() }
    }

    fn number(&mut self, key: &str, x: &Rational) {
        self.fields.insert(key.into(), text(x));
        self.floats.insert(key.into(), json!(x.float()));
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.fields.insert(key.into(), value.into());
    }

    /// Left side and bounds; a form holds if the left side is not above it.
    fn compare(mut self, gap: &Rational, printed: &Rational, corrected: &Rational) -> Value {
        self.set("printed_holds", gap <= printed);
        self.set("corrected_holds", gap <= corrected);
        for (key, bound) in [("ratio_printed", printed), ("ratio_corrected", corrected)] {
            match ratio(&(gap.clone(), bound.clone())) {
                Some(ratio) => self.number(key, &ratio),
                None => self.set(key, Value::Null),
            }
        }
        self.number("bound_printed", printed);
        self.number("bound_corrected", corrected);
        self.number("gap", gap);
        self.fields.insert("float".into(), Value::Object(self.floats));
        Value::Object(self.fields)
    }
}

/// The statements about finite processes, which [`measure`] knows.
pub const FINITE: [&str; 6] = [
    "mopac-theorem-1",
    "mopac-lemma-2",
    "polo-lemma-1",
    "polo-lemma-2",
    "demorl-lemma-1",
    "maac-theorem-4.1",
];

/// Checks a statement on a problem, in exact arithmetic throughout. The keys of the result are `gap`, `eps_f`,
/// `eps_v` (where the statement has them), `bound_printed`, `bound_corrected`, `printed_holds`,
/// `corrected_holds`, the ratios, the same numbers as floats under `float`, and what was played.
///
/// # Errors
/// [`Error::Config`] for a statement that is not about finite processes, a horizon that is missing or too
/// long, or a policy that is missing.
pub fn measure(name: &str, given: &Given, options: &Options) -> Result<Value> {
    options.validate()?;
    let mut measured = match super::find(name)?.name {
        name @ ("mopac-theorem-1" | "polo-lemma-1" | "polo-lemma-2") => {
            planning(name, given, options)
        }
        "mopac-lemma-2" => model_gap(given, options),
        "demorl-lemma-1" => sequences(given, options),
        "maac-theorem-4.1" => improvement(given, options),
        other => {
            let problem = format!(
                "`{other}` is not about finite processes; for them there are {}",
                FINITE.join(", ")
            );
            Err(Error::config("mdp", problem))
        }
    }?;
    if given.rounded > 0 {
        let note = format!("{} rows, each divided by its sum", given.rounded);
        measured["rounded"] = note.into();
    }
    Ok(measured)
}

/// The horizon asked for, if planning and playing that far is affordable in exact numbers.
fn horizon(problem: &Problem<Rational>, options: &Options) -> Result<usize> {
    let Some(horizon) = options.horizon else {
        let problem = "expected how many steps are planned, for example `--horizon 3`";
        return Err(Error::config("horizon", problem));
    };
    let Problem { mdp, model, .. } = problem;
    let (states, actions) = (mdp.states(), mdp.actions());
    let bits = |kernel: &Kernel<Rational>| {
        exact::step_bits(mdp.gamma(), kernel.entries().iter().chain(&mdp.reward))
    };
    let planning = exact::affine_work(horizon, states * states * actions, bits(model));
    let playing = match options.play {
        Play::Receding => 0.0,
        Play::Executed => exact::solve_work(states, horizon as f64 * bits(mdp.transition())),
    };
    if horizon > MAX_HORIZON || planning + playing > exact::MAX_WORK {
        let digits = horizon as f64 * bits(model) * std::f64::consts::LOG10_2;
        let problem = format!(
            "expected at most {MAX_HORIZON} steps, and fewer where exact numbers grow fast; after \
             {horizon} steps, {states} states and {actions} actions they would have some {digits:.0} \
             digits; take fewer states or steps, or probabilities with one small denominator"
        );
        return Err(Error::config("horizon", problem));
    }
    Ok(horizon)
}

/// What was played, state by state.
fn played_json(measured: &mut Measured, played: &Played<Rational>, play: Play) {
    measured.set("worst_state", played.worst);
    measured.set("v_star", played.optimal.iter().map(text).collect::<Value>());
    measured.set("v_play", played.value.iter().map(text).collect::<Value>());
    match play {
        Play::Receding => measured.set("policy", json!(played.plan.actions.first())),
        Play::Executed => measured.set("plan", json!(played.plan.actions)),
    }
}

fn planning(name: &str, given: &Given, options: &Options) -> Result<Value> {
    let bound = bound(name);
    let mut reading = options.reading(RewardRange::Max);
    let mut problem = given.problem.clone();
    let mut measured = Measured::new(name, options);
    if bound != PlanningBound::MopacTheorem1 {
        // POLO's lemmas plan in the true dynamics.
        if tv_error(&problem.model, problem.mdp.transition()) > Rational::ratio(0, 1) {
            measured
                .set("note", "the statement has no model error: plans are made in `transition`");
        }
        problem.model = problem.mdp.transition().clone();
    }
    let steps = if bound == PlanningBound::PoloLemma1 {
        if options.horizon.is_some_and(|h| h != 1) {
            let problem = "the greedy policy looks one step ahead; leave the horizon out";
            return Err(Error::config("horizon", problem));
        }
        reading.play = Play::Receding;
        1
    } else {
        horizon(&problem, options)?
    };
    let played = problem.play(steps, reading.play, Favour::Index)?;
    let constants = Theorem1::of(&problem, steps, &reading);
    let (printed, corrected) = bound.forms(&constants);
    measured.set("horizon", steps);
    measured.set("play", reading.play.to_string());
    measured.set("reward_range", reading.range.to_string());
    measured.number("gamma", &constants.gamma);
    measured.number("eps_f", &constants.eps_f);
    measured.number("eps_v", &constants.eps_v);
    measured.number("r_max", &constants.r_max);
    measured.number("span", &constants.span);
    if bound == PlanningBound::MopacTheorem1 {
        let limit = constants.printed_limit();
        measured.set("printed_limit_holds", played.gap <= limit);
        measured.number("bound_printed_limit", &limit);
    }
    played_json(&mut measured, &played, reading.play);
    Ok(measured.compare(&played.gap, &printed, &corrected))
}

/// The policy of the file, or what planning `options.horizon` steps ahead comes to, or an optimal one.
fn policy(given: &Given, options: &Options) -> Result<(Policy<Rational>, &'static str)> {
    let problem = &given.problem;
    if let Some(policy) = &given.policy {
        return Ok((policy.clone(), "from the file"));
    }
    let actions = problem.mdp.actions();
    if options.horizon.is_none() {
        return Ok((
            Policy::deterministic(&problem.mdp.optimal().1, actions),
            "optimal in the truth",
        ));
    }
    let played = problem.play(horizon(problem, options)?, Play::Receding, Favour::Index)?;
    let chosen = played.plan.actions.first().cloned().unwrap_or_default();
    Ok((Policy::deterministic(&chosen, actions), "a new plan at every step, in the model"))
}

fn model_gap(given: &Given, options: &Options) -> Result<Value> {
    let reading = options.reading(RewardRange::Max);
    let (policy, source) = policy(given, options)?;
    let data = given.data_policy.clone().unwrap_or_else(|| policy.clone());
    let pair = Pair::new(given.problem.clone(), policy, data)?;
    let (gap, worst) = pair.gap();
    let lemma = pair.lemma(&reading);
    let mut measured = Measured::new("mopac-lemma-2", options);
    measured.set("policy_is", source);
    measured.set("policy", policy_json(&pair.policy));
    measured.set("worst_state", worst);
    measured.set("reward_range", reading.range.to_string());
    measured.number("gamma", &lemma.gamma);
    measured.number("eps_f", &lemma.eps_f);
    measured.number("eps_pi", &lemma.eps_pi);
    measured.number("r_max", &lemma.r_max);
    measured.number("span", &lemma.span);
    Ok(measured.compare(&gap, &lemma.printed(), &lemma.corrected()))
}

fn sequences(given: &Given, options: &Options) -> Result<Value> {
    let reading: Reading = options.reading(RewardRange::Abs);
    let problem = &given.problem;
    let steps = horizon(problem, options)?;
    let Problem { mdp, model, .. } = problem;
    let (states, actions) = (mdp.states(), mdp.actions());
    let entries = [mdp.transition(), model]
        .map(|kernel| exact::step_bits(mdp.gamma(), kernel.entries().iter().chain(&mdp.reward)));
    let bits = entries[0].max(entries[1]);
    if exact::sequences_work(states, actions, steps, 2, bits) > exact::MAX_WORK {
        let problem = format!(
            "expected fewer steps: all {actions}^{steps} action sequences are tried from {states} states, \
             in numbers of some {:.0} digits; take fewer steps, or probabilities with one small \
             denominator",
            steps as f64 * bits * std::f64::consts::LOG10_2
        );
        return Err(Error::config("horizon", problem));
    }
    let (optimal, _) = problem.mdp.optimal();
    let terminal: Vec<Rational> = optimal.iter().zip(&problem.offset).map(|(v, e)| v + e).collect();
    let (gap, start, actions) = largest_difference(problem, &terminal, steps)?;
    let lemma = Lemma1::of(problem, &terminal, steps, &reading);
    let mut measured = Measured::new("demorl-lemma-1", options);
    measured.set("horizon", steps);
    measured.set("reward_range", reading.range.to_string());
    measured.set("worst_state", start);
    measured.set("actions", actions);
    measured.number("gamma", &lemma.gamma);
    measured.number("eps_f", &lemma.eps_f);
    measured.number("eps_v", &problem.eps_v());
    measured.number("c_max", &lemma.c_max);
    measured.number("v_max", &lemma.v_max);
    Ok(measured.compare(&gap, &lemma.printed(), &lemma.corrected()))
}

fn improvement(given: &Given, options: &Options) -> Result<Value> {
    let range = options.range.unwrap_or(RewardRange::Max);
    let (Some(exact), Some(approximate)) = (&given.policy, &given.data_policy) else {
        let problem = "expected `policy` (after the exact step) and `data_policy` (after the \
                       approximate one), [S][A] each: the statement compares two policies";
        return Err(Error::config("mdp", problem));
    };
    let step = PolicyStep {
        mdp: given.problem.mdp.clone(),
        exact: exact.clone(),
        approximate: approximate.clone(),
        alpha: Rational::ratio(1, 1),
    };
    let ((gap, worst), theorem) = (step.gap(), step.theorem(range));
    let mut measured = Measured::new("maac-theorem-4.1", options);
    measured.set("worst_state", worst);
    measured.set("reward_range", range.to_string());
    measured.number("gamma", &theorem.gamma);
    measured.number("alpha", &theorem.alpha);
    measured.number("tv", &theorem.tv);
    measured.number("r_max", &theorem.r_max);
    measured.number("span", &theorem.span);
    Ok(measured.compare(&gap, &theorem.printed(), &theorem.corrected()))
}
