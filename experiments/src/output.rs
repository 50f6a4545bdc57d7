//! Standard output: where results go. A full disk is an error, a reader that left is not.

use std::fmt::Arguments;
use std::io::Write as _;

use hstep::{Error, Result};

/// Writes `text` to standard output.
pub fn write(text: Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        // `hstep list algos | head -1` has all that it wanted.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("cannot write", "standard output")),
    }
}

/// `println!` as a `Result`.
macro_rules! say {
    () => { $crate::output::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($arg)*))) };
}
pub(crate) use say;
