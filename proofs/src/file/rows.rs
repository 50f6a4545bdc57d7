//! Rows of probabilities, as lists, as objects of next states, or as the outcomes of Gymnasium's toy tasks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Text, number, refuse};
use crate::interval::Interval;
use crate::mdp::distribution;
use crate::number::{Number as _, Rational};
use crate::wide::Sparse;
use hstep::{Error, Result};

/// For every state and action the next states, in ascending order, with their probabilities.
pub type Rows = Vec<Vec<Vec<(usize, Rational)>>>;

/// One row.
pub enum Row {
    All(Vec<Text>),
    Some(BTreeMap<String, Text>),
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneRow;
        impl<'de> Visitor<'de> for OneRow {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of probabilities, or an object of next states")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Row, S::Error> {
                let mut all = Vec::new();
                while let Some(p) = list.next_element()? {
                    all.push(p);
                }
                Ok(Row::All(all))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row, M::Error> {
                let mut some = BTreeMap::new();
                while let Some((state, p)) = map.next_entry()? {
                    some.insert(state, p);
                }
                Ok(Row::Some(some))
            }
        }
        deserializer.deserialize_any(OneRow)
    }
}

/// Transitions `[S][A]` of rows.
pub fn kernel(key: &str, rows: &[Vec<Row>]) -> Result<Rows> {
    let states = rows.len();
    let of_row = |s: usize, a: usize, row: &Row| -> Result<Vec<(usize, Rational)>> {
        let place = || format!("{key}[{s}][{a}]");
        match row {
            Row::All(all) if all.len() != states => {
                refuse(place(), format!("expected {states} probabilities, got {}", all.len()))
            }
            Row::All(all) => {
                let p =
                    |(i, p): (usize, &Text)| Ok((i, number(|| format!("{}[{i}]", place()), p)?));
                let all: Result<Vec<_>> = all.iter().enumerate().map(p).collect();
                Ok(all?.into_iter().filter(|(_, p)| *p != Rational::ratio(0, 1)).collect())
            }
            Row::Some(some) => {
                let p = |(state, p): (&String, &Text)| {
                    Ok((index(&place(), state, states)?, number(place, p)?))
                };
                let mut row = some.iter().map(p).collect::<Result<Vec<_>>>()?;
                row.sort_unstable_by_key(|(state, _)| *state);
                match row.windows(2).find(|two| two[0].0 == two[1].0) {
                    Some(two) => refuse(place(), format!("has the next state {} twice", two[0].0)),
                    None => Ok(row),
                }
            }
        }
    };
    let of_state = |(s, of): (usize, &Vec<Row>)| {
        of.iter().enumerate().map(|(a, row)| of_row(s, a, row)).collect()
    };
    rows.iter().enumerate().map(of_state).collect()
}

fn index(place: &str, text: &str, below: usize) -> Result<usize> {
    let state = text.parse().ok().filter(|state| *state < below);
    state.ok_or_else(|| {
        let last = below.saturating_sub(1);
        Error::config(place, format!("expected a state, 0 to {last}, got `{text}`"))
    })
}

/// The members of a list, or of an object with the keys `0`, `1`, ...
fn members<'a>(place: &str, value: &'a Value) -> Result<Vec<&'a Value>> {
    match value {
        Value::Array(all) => Ok(all.iter().collect()),
        Value::Object(all) => {
            let member = |i: usize| {
                let problem = || format!("has {} keys, and none of them is `{i}`", all.len());
                all.get(&i.to_string()).ok_or_else(|| Error::config(place, problem()))
            };
            (0..all.len()).map(member).collect()
        }
        _ => refuse(place, "expected a list, or an object with the keys 0, 1, ..."),
    }
}

/// Expected rewards `[S][A]` and transitions of outcomes `[S][A]` of `[probability, next state, reward, done]`. Where some
/// are done, they lead to one more state, which leads to itself.
pub fn of_outcomes(outcomes: &Value) -> Result<(Vec<Vec<Rational>>, Rows)> {
    let states = members("P", outcomes)?;
    let (end, zero) = (states.len(), Rational::ratio(0, 1));
    let (mut rewards, mut rows, mut ends) = (Vec::new(), Rows::new(), false);
    for (s, of_state) in states.into_iter().enumerate() {
        let place = format!("P[{s}]");
        let (mut of_rewards, mut of_rows) = (Vec::new(), Vec::new());
        for (a, all) in members(&place, of_state)?.into_iter().enumerate() {
            let place = format!("P[{s}][{a}]");
            let (mut reward, mut row) = (zero.clone(), BTreeMap::new());
            for outcome in members(&place, all)? {
                let (p, next, gain, done) = read(&place, outcome, end)?;
                ends |= done;
                reward += &p * gain;
                *row.entry(if done { end } else { next }).or_insert_with(|| zero.clone()) += p;
            }
            of_rewards.push(reward);
            of_rows.push(row.into_iter().collect());
        }
        rewards.push(of_rewards);
        rows.push(of_rows);
    }
    if ends {
        let actions = rewards.first().map_or(0, Vec::len);
        rewards.push(vec![zero; actions]);
        rows.push(vec![vec![(end, Rational::ratio(1, 1))]; actions]);
    }
    Ok((rewards, rows))
}

/// Probability, next state, reward and whether the episode is done.
fn read(place: &str, outcome: &Value, states: usize) -> Result<(Rational, usize, Rational, bool)> {
    let wrong = || {
        let problem = "expected outcomes [probability, next state, reward, done], such as [0.5, 3, 0.0, false]";
        Error::config(place, problem)
    };
    let text = |value: &Value| value.as_str().map(|text| Text(text.to_owned())).ok_or_else(wrong);
    let Some([p, next, reward, done]) = outcome.as_array().map(Vec::as_slice) else {
        return Err(wrong());
    };
    let number = |value: &Value| number(|| place.to_owned(), &text(value)?);
    let next = index(place, next.as_str().ok_or_else(wrong)?, states)?;
    Ok((number(p)?, next, number(reward)?, done.as_bool().ok_or_else(wrong)?))
}

/// The same rows with all of their zeros.
pub fn dense(rows: &Rows) -> Vec<Vec<Vec<Rational>>> {
    let row = |row: &Vec<(usize, Rational)>| {
        let mut all = vec![Rational::ratio(0, 1); rows.len()];
        row.iter().for_each(|(to, p)| all[*to] = p.clone());
        all
    };
    rows.iter().map(|of| of.iter().map(row).collect()).collect()
}

/// The rows in intervals, once each is known to be a distribution over `states`.
pub fn sparse(key: &str, rows: &Rows, states: usize, actions: usize) -> Result<Sparse> {
    if rows.len() != states {
        return refuse(key, format!("expected {states} states as in `reward`, got {}", rows.len()));
    }
    let mut all = Vec::with_capacity(states * actions);
    for (s, of_state) in rows.iter().enumerate() {
        if of_state.len() != actions {
            let problem = format!("expected {actions} actions, got {}", of_state.len());
            return refuse(format!("{key}[{s}]"), problem);
        }
        for (a, row) in of_state.iter().enumerate() {
            let p: Vec<Rational> = row.iter().map(|(_, p)| p.clone()).collect();
            distribution(|| format!("{key}[{s}][{a}]"), &p, p.len())?;
            let intervals = row.iter().map(|(to, p)| (*to, Interval::of(p)));
            all.push(intervals.collect::<Vec<_>>());
        }
    }
    Ok(Sparse::new(all.iter().map(Vec::as_slice)))
}
