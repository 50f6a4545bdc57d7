//! Problems as JSON, in exact numbers.
//!
//! ```text
//! { "gamma": "9/10", "reward": [S][A], "transition": [S][A][S], "model": [S][A][S], "value": [S] or null,
//!   "policy": [S][A], "data_policy": [S][A] }
//! ```
//!
//! A row of `transition` or `model` may be an object of next states, `{"3": "1/3", "7": "2/3"}`. In place of reward and
//! transition a file may have `P` as Gymnasium's toy tasks do: `[S][A]` lists of `[probability, next state, reward, done]`,
//! as lists or as objects with numbers as keys; what is done leads to one more state, which is worth nothing.
//! Numbers are decimals, which are read as the fractions they are, or strings such as `"1/3"`. Without
//! `model` the model is exact; without `value`, or with `null`, the value is `V*`. The policies are for
//! the statements that compare policies, and may be left out.

mod rows;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, Visitor};
use serde_json::{Map, Value, json};

use self::rows::{Row, Rows};
use super::exact;
use super::interval::Interval;
use super::mdp::{Kernel, Mdp, Policy, round};
use super::number::{Number as _, Rational, parse};
use super::problem::Problem;
use super::wide::{self, Wide};
use hstep::{Error, Result};

/// The most states, actions and characters that are read: exact numbers grow with every step of an
/// elimination.
pub const MAX_STATES: usize = 50;
/// See [`MAX_STATES`].
pub const MAX_ACTIONS: usize = 50;
/// See [`MAX_STATES`].
pub const MAX_BYTES: u64 = 16 << 20;

/// A problem from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Process, model and value.
    pub problem: Problem<Rational>,
    /// The policy, where there is one.
    pub policy: Option<Policy<Rational>>,
    /// The policy of the data, where there is one.
    pub data_policy: Option<Policy<Rational>>,
    /// How many rows of probabilities were divided by their sum.
    pub rounded: usize,
}

/// What a file says, in fractions.
struct Raw {
    gamma: Rational,
    reward: Vec<Vec<Rational>>,
    transition: Rows,
    model: Option<Rows>,
    value: Option<Vec<Rational>>,
    policy: Option<Vec<Vec<Rational>>>,
    data_policy: Option<Vec<Vec<Rational>>>,
    /// How many rows of probabilities were divided by their sum.
    rounded: usize,
}

/// A number, which has been made a string before.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string such as \"1/3\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                if text.len() > 1000 {
                    return Err(E::custom("a number of more than 1000 characters"));
                }
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Number).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gamma: Text,
    reward: Option<Vec<Vec<Text>>>,
    transition: Option<Vec<Vec<Row>>>,
    #[serde(rename = "P")]
    outcomes: Option<Value>,
    model: Option<Vec<Vec<Row>>>,
    value: Option<Vec<Text>>,
    policy: Option<Vec<Vec<Text>>>,
    data_policy: Option<Vec<Vec<Text>>>,
}

/// Puts quotes around the numbers of valid JSON, so that no reader turns them into floats.
fn quote_numbers(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 2);
    let (mut in_string, mut escaped, mut in_number) = (false, false, false);
    for c in json.chars() {
        let numeric = !in_string && matches!(c, '0'..='9' | '-' | '+' | '.')
            || in_number && matches!(c, 'e' | 'E');
        if numeric != in_number {
            out.push('"');
            in_number = numeric;
        }
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        }
        out.push(c);
    }
    if in_number {
        out.push('"');
    }
    out
}

fn refuse<T>(key: impl Into<String>, problem: impl Into<String>) -> Result<T> {
    Err(Error::config(key, problem))
}

fn number(key: impl Fn() -> String, text: &Text) -> Result<Rational> {
    parse(&text.0).map_err(|problem| Error::config(key(), problem))
}

fn numbers(key: &str, texts: &[Text]) -> Result<Vec<Rational>> {
    let one = |(i, text): (usize, &Text)| number(|| format!("{key}[{i}]"), text);
    texts.iter().enumerate().map(one).collect()
}

fn numbers_of_rows(key: &str, texts: &[Vec<Text>]) -> Result<Vec<Vec<Rational>>> {
    let one = |(i, row): (usize, &Vec<Text>)| numbers(&format!("{key}[{i}]"), row);
    texts.iter().enumerate().map(one).collect()
}

/// Reads a problem from JSON text. With `round`, rows of probabilities whose sum is within 1e-9 of 1, as
/// floats are, are divided by it, exactly.
///
/// # Errors
/// [`Error::Config`] naming the place: text that is no JSON, unknown or missing keys, numbers that are
/// none, shapes that do not fit, rows that are no distributions, a discount outside `[0, 1)`, or more
/// states or actions than exact arithmetic is made for.
pub fn from_json(text: &str, round: bool) -> Result<Given> {
    let raw = Raw::read(text, round)?;
    let (states, actions) = raw.shape();
    if states > MAX_STATES || actions > MAX_ACTIONS {
        return refuse(
            "reward",
            format!(
                "expected at most {MAX_STATES} states and {MAX_ACTIONS} actions, which exact arithmetic \
                 is made for, got {states} and {actions}"
            ),
        );
    }
    raw.exact()
}

/// A problem in the arithmetic that it is decided in.
pub enum Decidable {
    /// Fractions.
    Exact(Box<Given>),
    /// Intervals, and how many rows of probabilities were divided by their sum.
    Wide(Box<Wide>, usize),
}

/// The same as [`from_json`], in intervals where there are more states or actions than exact arithmetic is made for
/// or they are asked for.
///
/// # Errors
/// As [`from_json`]; more than [`wide::MAX_STATES`] states are refused.
pub fn read(text: &str, round: bool, intervals: bool) -> Result<Decidable> {
    let raw = Raw::read(text, round)?;
    let (states, actions) = raw.shape();
    if intervals || states > MAX_STATES || actions > MAX_ACTIONS {
        let rounded = raw.rounded;
        return Ok(Decidable::Wide(Box::new(raw.wide()?), rounded));
    }
    Ok(Decidable::Exact(Box::new(raw.exact()?)))
}

impl Raw {
    fn read(text: &str, round: bool) -> Result<Self> {
        if text.len() as u64 > MAX_BYTES {
            return refuse("mdp", too_large(text.len() as u64));
        }
        // Once as it is, so that errors name the right column.
        let described = |e: serde_json::Error| {
            let problem = format!("{e}; numbers are written 0.25 or \"1/4\", and NaN is none");
            Error::config("mdp", format!("not JSON: {problem}"))
        };
        serde_json::from_str::<IgnoredAny>(text).map_err(described)?;
        // A list would be read key by key, in an order that nobody knows.
        if !text.trim_start().starts_with('{') {
            let came = if text.trim_start().starts_with('[') { "a list" } else { "something else" };
            return refuse("mdp", format!("expected an object with keys, got {came}"));
        }
        let file: File = serde_json::from_str(&quote_numbers(text)).map_err(|e| {
            // Columns have moved by the quotes.
            let text = e.to_string();
            let words = text.split(" at line ").next().unwrap_or(&text);
            let keys = "gamma, reward, transition (or P), model, value, policy, data_policy";
            Error::config("mdp", format!("{words}; the keys are {keys}"))
        })?;
        let gamma = number(|| "gamma".into(), &file.gamma)?;
        let (reward, transition) = match (&file.outcomes, &file.reward, &file.transition) {
            (Some(outcomes), None, None) => rows::of_outcomes(outcomes)?,
            (Some(_), ..) => {
                return refuse(
                    "P",
                    "has rewards and transitions: leave `reward` and `transition` out",
                );
            }
            (None, Some(reward), Some(transition)) => {
                (numbers_of_rows("reward", reward)?, rows::kernel("transition", transition)?)
            }
            (None, reward, _) => {
                let missing = if reward.is_none() { "reward" } else { "transition" };
                return refuse(
                    "mdp",
                    format!("missing field `{missing}`, [S][A]..; or `P`, as Gymnasium has it"),
                );
            }
        };
        let model = file.model.as_ref().map(|model| rows::kernel("model", model)).transpose()?;
        let policy = |name: &str, rows: &Option<Vec<Vec<Text>>>| {
            rows.as_ref().map(|rows| numbers_of_rows(name, rows)).transpose()
        };
        let mut raw = Self {
            gamma,
            reward,
            transition,
            model,
            value: file.value.as_ref().map(|value| numbers("value", value)).transpose()?,
            policy: policy("policy", &file.policy)?,
            data_policy: policy("data_policy", &file.data_policy)?,
            rounded: 0,
        };
        if round {
            raw.round();
        }
        Ok(raw)
    }

    /// The number of states and actions.
    fn shape(&self) -> (usize, usize) {
        (self.reward.len(), self.reward.first().map_or(0, Vec::len))
    }

    /// Divides rows of probabilities by their sums where those are nearly 1.
    fn round(&mut self) {
        let kernels = [Some(&mut self.transition), self.model.as_mut()].into_iter().flatten();
        for row in kernels.flatten().flatten() {
            let (at, mut p): (Vec<usize>, Vec<Rational>) = std::mem::take(row).into_iter().unzip();
            self.rounded += usize::from(round(&mut p));
            *row = at.into_iter().zip(p).collect();
        }
        let policies = [self.policy.as_mut(), self.data_policy.as_mut()].into_iter().flatten();
        self.rounded += policies.flatten().map(|row| usize::from(round(row))).sum::<usize>();
    }

    fn value(&self) -> Result<Option<&[Rational]>> {
        let states = self.reward.len();
        match &self.value {
            Some(value) if value.len() != states => {
                refuse("value", format!("expected {states} numbers or null, got {}", value.len()))
            }
            value => Ok(value.as_deref()),
        }
    }

    fn exact(self) -> Result<Given> {
        let (states, actions) = self.shape();
        let transition = Kernel::new("transition", &rows::dense(&self.transition))?;
        let mdp = Mdp::new(self.gamma.clone(), &self.reward, transition)?;
        affordable(&mdp, mdp.transition(), None)?;
        let model = match &self.model {
            Some(model) => Kernel::new("model", &rows::dense(model))?,
            None => mdp.transition().clone(),
        };
        let offset = match self.value()? {
            None => vec![Rational::ratio(0, 1); states],
            Some(value) => value.iter().zip(mdp.optimal().0).map(|(v, best)| v - best).collect(),
        };
        let policy = |name: &str, rows: &Option<Vec<Vec<Rational>>>| -> Result<Option<_>> {
            let Some(rows) = rows else { return Ok(None) };
            if rows.len() != states {
                return refuse(name, format!("expected {states} states, got {}", rows.len()));
            }
            let policy = Policy::new(name, rows, actions)?;
            [mdp.transition(), &model]
                .iter()
                .try_for_each(|p| affordable(&mdp, p, Some(&policy)))?;
            Ok(Some(policy))
        };
        let (policy, data_policy) =
            (policy("policy", &self.policy)?, policy("data_policy", &self.data_policy)?);
        let problem = Problem::new(mdp, model, offset)?;
        Ok(Given { problem, policy, data_policy, rounded: self.rounded })
    }

    fn wide(self) -> Result<Wide> {
        let (states, actions) = self.shape();
        if states == 0 || actions == 0 || states > wide::MAX_STATES || actions > wide::MAX_ACTIONS {
            let (most, of) = (wide::MAX_STATES, wide::MAX_ACTIONS);
            let problem = format!(
                "expected 1 to {most} states and 1 to {of} actions, got {states} and {actions}"
            );
            return refuse("reward", problem);
        }
        if !(self.gamma >= Rational::ratio(0, 1) && self.gamma < Rational::ratio(1, 1)) {
            let problem =
                format!("expected a discount of at least 0 and below 1, got {}", self.gamma);
            return refuse("gamma", problem);
        }
        if let Some(s) = self.reward.iter().position(|row| row.len() != actions) {
            let problem = format!("expected {actions} actions, got {}", self.reward[s].len());
            return refuse(format!("reward[{s}]"), problem);
        }
        let transition = rows::sparse("transition", &self.transition, states, actions)?;
        let model = self.model.as_ref();
        let model = model.map(|model| rows::sparse("model", model, states, actions)).transpose()?;
        let all = |xs: &[Rational]| xs.iter().map(Interval::of).collect::<Vec<_>>();
        Ok(Wide {
            gamma: Interval::of(&self.gamma),
            reward: self.reward.iter().flat_map(|row| all(row)).collect(),
            actions,
            transition,
            model,
            value: self.value()?.map(all),
        })
    }
}

/// Refuses a process, or a policy in it, whose value would take minutes in exact numbers.
fn affordable(
    mdp: &Mdp<Rational>,
    kernel: &Kernel<Rational>,
    policy: Option<&Policy<Rational>>,
) -> Result<()> {
    let bits = |pairs: &[(usize, usize)], beside: &[Rational]| {
        let numbers =
            pairs.iter().flat_map(|&(s, a)| kernel.row(s, a).iter().chain([mdp.reward(s, a)]));
        exact::step_bits(mdp.gamma(), numbers.chain(beside))
    };
    let pairs: Vec<(usize, usize)> = kernel.pairs().collect();
    // Policy iteration solves for about as many policies as fingers on a hand.
    let (solved, bits) = match policy {
        None => (5.0, pairs.iter().map(|&pair| bits(&[pair], &[])).fold(0.0, f64::max)),
        Some(policy) => {
            let row = |s: usize| {
                let of: Vec<_> = pairs.iter().copied().filter(|pair| pair.0 == s).collect();
                bits(&of, policy.row(s))
            };
            (1.0, (0..mdp.states()).map(row).fold(0.0, f64::max))
        }
    };
    if solved * exact::solve_work(mdp.states(), bits) <= exact::MAX_WORK {
        return Ok(());
    }
    let digits = mdp.states() as f64 * bits * std::f64::consts::LOG10_2;
    let problem = format!(
        "the exact value of {} states would have some {digits:.0} digits; take fewer states, or \
         probabilities with one small denominator a row",
        mdp.states()
    );
    refuse(if policy.is_some() { "policy" } else { "transition" }, problem)
}

/// Why a file of so many bytes is not read.
#[must_use]
pub fn too_large(bytes: u64) -> String {
    format!(
        "expected at most {} MB, got {} MB: write rows of many states as objects of the next states that \
         can be, `{{\"3\": 0.5, \"7\": 0.5}}`",
        MAX_BYTES >> 20,
        bytes >> 20
    )
}

/// A number as it is written: a string, `p/q` or `p`.
#[must_use]
pub fn text(x: &Rational) -> Value {
    Value::String(x.to_string())
}

fn list(xs: &[Rational]) -> Value {
    xs.iter().map(text).collect()
}

fn kernel_json(kernel: &Kernel<Rational>) -> Value {
    let of = |s: usize| (0..kernel.actions()).map(|a| list(kernel.row(s, a))).collect();
    (0..kernel.states()).map(of).collect::<Vec<Value>>().into()
}

/// A policy as JSON, `[S][A]`.
#[must_use]
pub fn policy_json(policy: &Policy<Rational>) -> Value {
    (0..policy.states()).map(|s| list(policy.row(s))).collect()
}

/// A problem as JSON that [`from_json`] reads back.
#[must_use]
pub fn to_json(problem: &Problem<Rational>) -> Value {
    let mdp = &problem.mdp;
    let reward = |s: usize| (0..mdp.actions()).map(|a| text(mdp.reward(s, a))).collect();
    let mut out = Map::new();
    out.insert("gamma".into(), text(mdp.gamma()));
    out.insert("reward".into(), (0..mdp.states()).map(reward).collect::<Vec<Value>>().into());
    out.insert("transition".into(), kernel_json(mdp.transition()));
    out.insert("model".into(), kernel_json(&problem.model));
    let value = if problem.eps_v() == Rational::ratio(0, 1) {
        json!(null)
    } else {
        let (optimal, _) = mdp.optimal();
        optimal.iter().zip(&problem.offset).map(|(v, e)| text(&(v.clone() + e))).collect()
    };
    out.insert("value".into(), value);
    Value::Object(out)
}
