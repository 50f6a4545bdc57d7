//! `gym:ID?key=value&key=value`: how an environment and its arguments are written.

use crate::error::{Error, Result};

/// What a name of these environments begins with.
pub const PREFIX: &str = "gym:";

/// A name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// All of it.
    pub whole: String,
    /// The id, with a module to import in front or without: `module:Id-v0`.
    pub id: String,
    /// Keyword arguments of `gymnasium.make`, the values as they are written.
    pub arguments: Vec<(String, String)>,
}

impl Name {
    /// # Errors
    /// [`Error::Config`] saying how a name is written.
    pub fn parse(name: &str) -> Result<Self> {
        let wrong = || {
            let problem = format!(
                "expected {PREFIX}ID, for example `gym:Pendulum-v1`, `gym:my_module:MyEnv-v0` or \
                 `gym:Pendulum-v1?g=9.81&max_episode_steps=100`, got `{name}`"
            );
            Error::config("run.env", problem)
        };
        let rest = name.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let (id, query) = rest.split_once('?').unwrap_or((rest, ""));
        if id.is_empty() || name.contains('\0') {
            return Err(wrong());
        }
        let mut arguments = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            if key.is_empty() || arguments.iter().any(|(k, _)| k == key) {
                return Err(wrong());
            }
            arguments.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { whole: name.to_owned(), id: id.to_owned(), arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_or_refused() {
        let name = Name::parse("gym:fakes:Line-v0?gain=0.5&tag=a=b").unwrap();
        assert_eq!(name.id, "fakes:Line-v0");
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(name.arguments, [pair("gain", "0.5"), pair("tag", "a=b")]);
        assert_eq!(Name::parse("gym:Pendulum-v1").unwrap().arguments, []);
        for wrong in ["Pendulum-v1", "gym:", "gym:?a=1", "gym:A?a", "gym:A?=1", "gym:A?a=1&a=2"] {
            let error = Name::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("`run.env`: expected gym:ID"), "{error}");
        }
    }
}
