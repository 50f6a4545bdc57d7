//! Problems as JSON, in exact numbers.
//!
//! ```text
//! { "gamma": "9/10", "reward": [S][A], "transition": [S][A][S], "model": [S][A][S], "value": [S] or null,
//!   "policy": [S][A], "data_policy": [S][A] }
//! ```
//!
//! Numbers are decimals, which are read as the fractions they are, or strings such as `"1/3"`. Without
//! `model` the model is exact; without `value`, or with `null`, the value is `V*`. The policies are for
//! the statements that compare policies, and may be left out.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, Visitor};
use serde_json::{Map, Value, json};

use super::exact;
use super::mdp::{Kernel, Mdp, Policy, round};
use super::number::{Number as _, Rational, parse};
use super::problem::Problem;
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
    reward: Vec<Vec<Text>>,
    transition: Vec<Vec<Vec<Text>>>,
    model: Option<Vec<Vec<Vec<Text>>>>,
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

fn rows(key: &str, texts: &[Vec<Text>]) -> Result<Vec<Vec<Rational>>> {
    let one = |(i, row): (usize, &Vec<Text>)| numbers(&format!("{key}[{i}]"), row);
    texts.iter().enumerate().map(one).collect()
}

/// Reads rows of probabilities, and counts those that were divided by their sum.
struct Rows {
    round: bool,
    rounded: usize,
}

impl Rows {
    fn read(&mut self, key: &str, texts: &[Vec<Text>]) -> Result<Vec<Vec<Rational>>> {
        let mut read = rows(key, texts)?;
        if self.round {
            self.rounded += read.iter_mut().map(|row| usize::from(round(row))).sum::<usize>();
        }
        Ok(read)
    }

    fn kernel(&mut self, key: &str, texts: &[Vec<Vec<Text>>]) -> Result<Kernel<Rational>> {
        let one = |(i, of): (usize, &Vec<Vec<Text>>)| self.read(&format!("{key}[{i}]"), of);
        let p: Vec<Vec<Vec<Rational>>> =
            texts.iter().enumerate().map(one).collect::<Result<_>>()?;
        Kernel::new(key, &p)
    }
}

/// Reads a problem from JSON text. With `round`, rows of probabilities whose sum is within 1e-9 of 1, as
/// floats are, are divided by it, exactly.
///
/// # Errors
/// [`Error::Config`] naming the place: text that is no JSON, unknown or missing keys, numbers that are
/// none, shapes that do not fit, rows that are no distributions, a discount outside `[0, 1)`, or more
/// states or actions than exact arithmetic is made for.
pub fn from_json(text: &str, round: bool) -> Result<Given> {
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
        let keys = "gamma, reward, transition, model, value, policy, data_policy";
        Error::config("mdp", format!("{words}; the keys are {keys}"))
    })?;
    let (states, actions) = (file.reward.len(), file.reward.first().map_or(0, Vec::len));
    if states > MAX_STATES || actions > MAX_ACTIONS {
        return refuse(
            "reward",
            format!(
                "expected at most {MAX_STATES} states and {MAX_ACTIONS} actions, which exact arithmetic \
                 is made for, got {states} and {actions}"
            ),
        );
    }
    let mut read = Rows { round, rounded: 0 };
    let gamma = number(|| "gamma".into(), &file.gamma)?;
    let transition = read.kernel("transition", &file.transition)?;
    let mdp = Mdp::new(gamma, &rows("reward", &file.reward)?, transition)?;
    affordable(&mdp, mdp.transition(), None)?;
    let model = match &file.model {
        Some(model) => read.kernel("model", model)?,
        None => mdp.transition().clone(),
    };
    let offset = match &file.value {
        None => vec![Rational::ratio(0, 1); states],
        Some(value) => {
            let value = numbers("value", value)?;
            if value.len() != states {
                let problem = format!("expected {states} numbers or null, got {}", value.len());
                return refuse("value", problem);
            }
            value.into_iter().zip(mdp.optimal().0).map(|(v, best)| v - best).collect()
        }
    };
    let mut policy = |name: &str, texts: &Option<_>| -> Result<Option<Policy<Rational>>> {
        let Some(texts): &Option<Vec<Vec<Text>>> = texts else { return Ok(None) };
        if texts.len() != states {
            return refuse(name, format!("expected {states} states, got {}", texts.len()));
        }
        let policy = Policy::new(name, &read.read(name, texts)?, actions)?;
        [mdp.transition(), &model].iter().try_for_each(|p| affordable(&mdp, p, Some(&policy)))?;
        Ok(Some(policy))
    };
    let (policy, data_policy) =
        (policy("policy", &file.policy)?, policy("data_policy", &file.data_policy)?);
    let problem = Problem::new(mdp, model, offset)?;
    Ok(Given { problem, policy, data_policy, rounded: read.rounded })
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
        "expected at most {} MB, enough for {MAX_STATES} states, which exact arithmetic is made for, got \
         {} MB",
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
