//! Exit codes: one table, shown by `--help`, so that a scheduler can tell what to do next.

use hstep::Error;

/// Success.
pub const OK: u8 = 0;
/// The command line or the configuration is wrong: do not retry.
pub const USAGE: u8 = 2;
/// An environment or simulator failed.
pub const ENVIRONMENT: u8 = 3;
/// A checkpoint or run folder is damaged or belongs to another run.
pub const CHECKPOINT: u8 = 4;
/// A number became NaN or infinite.
pub const NON_FINITE: u8 = 5;
/// A file could not be read or written.
pub const IO: u8 = 6;
/// Some runs of several failed.
pub const SOME_FAILED: u8 = 7;
/// A fault of this program.
pub const INTERNAL: u8 = 70;
/// Stopped by a signal after saving: resume.
pub const INTERRUPTED: u8 = 75;
/// Stopped by a second signal: ended at once.
pub const KILLED: u8 = 130;

/// Every code and what it means.
pub const TABLE: &[(u8, &str)] = &[
    (OK, "success"),
    (USAGE, "wrong command line or configuration; do not retry"),
    (ENVIRONMENT, "the environment or simulator failed"),
    (CHECKPOINT, "a checkpoint or run folder is damaged or belongs to another run"),
    (NON_FINITE, "a number became NaN or infinite; the last checkpoint is untouched"),
    (IO, "a file could not be read or written"),
    (SOME_FAILED, "some of several runs failed; the others are done"),
    (INTERNAL, "a fault of hstep; please report it"),
    (
        INTERRUPTED,
        "interrupted (INT, TERM, HUP, USR1, USR2, XCPU) and saved; `hstep resume RUN` goes on",
    ),
    (KILLED, "interrupted twice; ended at once, the last checkpoint stands"),
];

/// The table as text for `--help`.
pub fn help() -> String {
    let rows = TABLE.iter().map(|(code, text)| format!("  {code:>3}  {text}\n"));
    format!("Exit codes:\n{}", rows.collect::<String>())
}

/// The work was stopped by a signal; the text says how to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted: {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Some of several runs failed; the text says which.
#[derive(Debug)]
pub struct SomeFailed(pub String);

impl std::fmt::Display for SomeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SomeFailed {}

/// The exit code for an error, by the innermost cause that has one.
pub fn code_of(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<Interrupted>() {
                Some(INTERRUPTED)
            } else if cause.is::<SomeFailed>() {
                Some(SOME_FAILED)
            } else if cause.is::<clap::Error>() {
                Some(USAGE)
            } else {
                cause.downcast_ref::<Error>().map(code_of_library)
            }
        })
        .unwrap_or(INTERNAL)
}

fn code_of_library(error: &Error) -> u8 {
    match error {
        Error::Config { .. } | Error::Composition { .. } => USAGE,
        Error::Env { .. } => ENVIRONMENT,
        Error::Checkpoint { .. } => CHECKPOINT,
        Error::NonFinite { .. } | Error::Diverged { .. } => NON_FINITE,
        Error::Io { .. } => IO,
        // A shape or tensor error means that hstep put parts together wrongly.
        _ => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn errors_keep_their_code_below_context() {
        let io = Error::io("cannot write", "x")(std::io::Error::other("full"));
        let wrapped = Err::<(), _>(io).context("while saving").unwrap_err();
        assert_eq!(code_of(&wrapped), IO);
        assert_eq!(code_of(&Error::config("a", "b").into()), USAGE);
        assert_eq!(code_of(&Error::env("a", "b").into()), ENVIRONMENT);
        assert_eq!(code_of(&Error::checkpoint("a", "b").into()), CHECKPOINT);
        assert_eq!(code_of(&Error::shape("a", "b", 1).into()), INTERNAL);
        assert_eq!(code_of(&Interrupted(String::new()).into()), INTERRUPTED);
        assert_eq!(code_of(&SomeFailed(String::new()).into()), SOME_FAILED);
        assert_eq!(code_of(&anyhow::anyhow!("unknown")), INTERNAL);
        let quantity = Error::NonFinite { quantity: "loss".into(), step: "3".into() };
        assert_eq!(code_of(&quantity.into()), NON_FINITE);
    }
}
