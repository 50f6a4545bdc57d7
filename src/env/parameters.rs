//! Physical parameters: numbers of a simulation that may be set by name.

use super::Simulator;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::suggest::nearest;

/// Which numbers a parameter can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Possible {
    /// Above 0, as a mass.
    Positive,
    /// 0 or above, as a friction.
    NotNegative,
    /// Whole and not negative, as the number of a layout.
    Whole,
}

impl Possible {
    /// Whether a parameter can be `value`.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        let enough = match self {
            Self::Positive => value > 0.0,
            Self::NotNegative => value >= 0.0,
            Self::Whole => value >= 0.0 && value.fract() == 0.0 && value < 1e9,
        };
        enough && value.is_finite()
    }

    /// How an error names these numbers.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Positive => "a number above 0",
            Self::NotNegative => "a number of 0 or above",
            Self::Whole => "a whole number of 0 or above",
        }
    }
}

/// A physical parameter of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is now, in its own unit.
    pub value: f64,
    /// What it can be.
    pub possible: Possible,
}

/// The place of the parameter `name` among `all` of `env`.
///
/// # Errors
/// [`Error::Config`] under `key` for an unknown name, naming the nearest known one.
pub fn place(env: &str, all: &[Parameter], name: &str, key: &str) -> Result<usize> {
    if let Some(i) = all.iter().position(|p| p.name == name) {
        return Ok(i);
    }
    let base = env.split_once('?').map_or(env, |(base, _)| base);
    let problem = match (nearest(name, all.iter().map(|p| p.name.as_str())), all) {
        (_, []) => format!("`{base}` has no physical parameters that can be set, got `{name}`"),
        (Some(near), _) => {
            format!("`{base}` has no parameter `{name}`; did you mean `{near}`?")
        }
        (None, _) => {
            let some: Vec<&str> = all.iter().map(|p| p.name.as_str()).take(SHOWN).collect();
            let more = if all.len() > SHOWN { ", ..." } else { "" };
            format!("`{base}` has no parameter `{name}`; it has {}{more}", some.join(", "))
        }
    };
    Err(Error::config(key, problem))
}

/// Names that an error lists.
const SHOWN: usize = 12;

impl Parameter {
    /// Checks a value that the parameter is to have.
    ///
    /// # Errors
    /// [`Error::Config`] under `key`.
    pub fn check(&self, value: f64, key: &str) -> Result<()> {
        if self.possible.holds(value) {
            return Ok(());
        }
        let expected = self.possible.expected();
        Err(Error::config(key, format!("expected {expected} for `{}`, got {value}", self.name)))
    }
}

/// The settings in the name of an environment, `base?name=value&name=value`: the base and the pairs.
///
/// # Errors
/// [`Error::Config`] under `env` for what is not written so, or set twice.
pub fn split(name: &str) -> Result<(&str, Vec<(&str, f64)>)> {
    let Some((base, query)) = name.split_once('?') else { return Ok((name, Vec::new())) };
    let mut pairs: Vec<(&str, f64)> = Vec::new();
    for pair in query.split('&') {
        let value = pair.split_once('=').and_then(|(key, value)| Some((key, value.parse().ok()?)));
        match value {
            Some((key, _)) if pairs.iter().any(|(known, _)| *known == key) => {
                return Err(Error::config("env", format!("`{name}` sets `{key}` twice")));
            }
            Some((key, value)) if !key.is_empty() => pairs.push((key, value)),
            _ => {
                let problem = format!(
                    "expected {base}?NAME=NUMBER, more of them after `&`, got `{pair}` in `{name}`"
                );
                return Err(Error::config("env", problem));
            }
        }
    }
    Ok((base, pairs))
}

/// A uniform distribution over some parameters of a simulator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// The names.
    pub names: Vec<String>,
    /// The middle of each.
    pub middle: Vec<f64>,
    /// Half the width of each, 0 for one that is fixed.
    pub half: Vec<f64>,
}

impl Spread {
    /// Whether anything is drawn.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.half.iter().any(|half| *half > 0.0)
    }

    /// Values drawn from `rng`.
    #[must_use]
    pub fn drawn(&self, rng: &mut Rng) -> Vec<f64> {
        let each = self.middle.iter().zip(&self.half);
        each.map(|(middle, half)| middle + half * (2.0 * rng.uniform() - 1.0)).collect()
    }

    /// Makes the parameters settable by [`Simulator::set_varied`].
    ///
    /// # Errors
    /// As [`Simulator::vary`].
    pub fn prepare(&self, simulator: &mut dyn Simulator) -> Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        simulator.vary(&names)?;
        simulator.set_varied(&self.middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_out_of_names() {
        assert_eq!(split("pendulum").unwrap(), ("pendulum", vec![]));
        let (base, pairs) = split("pendulum?mass=1.3&length=2").unwrap();
        assert_eq!((base, pairs), ("pendulum", vec![("mass", 1.3), ("length", 2.0)]));
        for wrong in ["a?", "a?b", "a?b=", "a?b=x", "a?=1", "a?b=1&b=2", "a?b=1&"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        let all = |name: &str, possible| Parameter { name: name.into(), value: 1.0, possible };
        let mass = all("mass", Possible::Positive);
        assert!(mass.check(0.1, "k").is_ok());
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let text = mass.check(value, "k").unwrap_err().to_string();
            assert!(text.contains("a number above 0 for `mass`"), "{text}");
        }
        assert!(all("friction", Possible::NotNegative).check(0.0, "k").is_ok());
        assert!(all("layout", Possible::Whole).check(1.5, "k").is_err());
        let text = place("pendulum", &[mass], "mas", "env").unwrap_err().to_string();
        assert!(text.contains("did you mean `mass`?"), "{text}");
    }

    #[test]
    fn draws_are_uniform_over_the_width() {
        let spread = Spread { names: vec!["a".into()], middle: vec![1.2], half: vec![0.3] };
        let mut rng = Rng::new(4);
        let drawn: Vec<f64> = (0..4000).map(|_| spread.drawn(&mut rng)[0]).collect();
        let mean = drawn.iter().sum::<f64>() / 4000.0;
        let square = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
        assert!(drawn.iter().all(|x| (0.9..=1.5).contains(x)));
        assert!((mean - 1.2).abs() < 0.01 && (square - 0.03).abs() < 0.002, "{mean} {square}");
    }
}
