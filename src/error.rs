//! The one error type of the library. Every variant says where it happened and what would mend it.

use std::path::{Path, PathBuf};

/// Shorthand used by every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong inside `hstep`.
///
/// The command line maps each variant to its own exit code, so that a scheduler can tell a wrong
/// configuration (do not retry) from an interrupted run (resume).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor, action or observation has another shape than the operation needs.
    #[error("{place}: expected {expected}, got {got}")]
    Shape {
        /// The function or argument that was checked.
        place: String,
        /// The shape that was expected, in words or as `[B,A]`.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A configuration value is unknown, of the wrong type, out of range or contradicts another.
    #[error("config: `{key}`: {problem}")]
    Config {
        /// The dotted key, for example `imagine.horizon`.
        key: String,
        /// What was expected, what came, and how to mend it.
        problem: String,
    },
    /// Parts were combined that do not fit, for example MAAC's improve without a model.
    #[error("agent `{agent}`: {problem}")]
    Composition {
        /// The name of the composition.
        agent: String,
        /// Which parts do not fit, and which would.
        problem: String,
    },
    /// The environment (or the simulator below it) failed or answered nonsense.
    #[error("environment `{env}`: {problem}")]
    Env {
        /// The environment's name.
        env: String,
        /// What happened.
        problem: String,
    },
    /// A saved file is truncated, garbled, of another version, or belongs to another run.
    #[error("checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it and what can be done.
        problem: String,
    },
    /// A quantity that must be finite became NaN or infinite.
    #[error(
        "non-finite number in {quantity} at {step}: the last checkpoint is untouched; {}",
        way_out(quantity)
    )]
    NonFinite {
        /// What was not finite, for example `critic loss`, or which number of an environment's answer
        /// ([`EnvInfo::check_answer`](crate::env::EnvInfo::check_answer)).
        quantity: String,
        /// Where in the run, for example `env step 1200`.
        step: String,
    },
    /// A quantity has left what it can be at all: training goes on into nothing.
    #[error("runaway at {step}: {problem}; the last checkpoint is untouched")]
    Diverged {
        /// What came, what the most is, and how to mend it.
        problem: String,
        /// Where in the run, for example `env step 1200`.
        step: String,
    },
    /// Reading or writing a file failed.
    #[error("{action} {}: {cause}", path.display())]
    Io {
        /// What was attempted, for example `cannot write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error; part of the message, so not a source as well.
        cause: std::io::Error,
    },
    /// candle refused an operation.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// How the quantity of a number begins that an environment has returned.
pub(crate) const ANSWER: &str = "the answer of environment `";

/// What to do about a number that is not finite.
fn way_out(quantity: &str) -> &'static str {
    if quantity.starts_with(ANSWER) {
        "the environment returns it: replace it there by a finite number of at most 3.4e38"
    } else {
        "look at the environment's rewards, or start anew with a smaller learning rate or a limit such \
         as `actor.max_grad_norm=10`"
    }
}

impl Error {
    /// A [`Error::Shape`] from anything printable.
    pub fn shape(
        place: impl Into<String>,
        expected: impl Into<String>,
        got: impl std::fmt::Debug,
    ) -> Self {
        Self::Shape { place: place.into(), expected: expected.into(), got: format!("{got:?}") }
    }

    /// A [`Error::Config`] naming the key.
    pub fn config(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { key: key.into(), problem: problem.into() }
    }

    /// A [`Error::Env`] naming the environment.
    pub fn env(env: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Env { env: env.into(), problem: problem.into() }
    }

    /// A [`Error::Checkpoint`] naming the file.
    pub fn checkpoint(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// Wraps an operating-system error with what was attempted and on which file.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |cause| Self::Io { action, path, cause }
    }
}
