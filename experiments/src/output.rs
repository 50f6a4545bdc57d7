//! The one place for what is written to standard output (results) and standard error (log, errors).
//!
//! On standard output a full disk is an error, a reader or terminal that left is not. What cannot be
//! written to standard error is lost, and nothing else: a run must not end because nobody reads its
//! log. Control characters, which may come with the name of somebody else's folder, reach neither.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;

use hstep::{Error, Result};

/// Writes `text` to standard output.
pub fn write(text: Arguments) -> Result<()> {
    let text = text.to_string();
    let mut out = io::stdout().lock();
    match out.write_all(plain(&text).as_bytes()).and_then(|()| out.flush()) {
        // `hstep list algos | head -1` has all that it wanted.
        Err(e) if e.kind() == ErrorKind::BrokenPipe || (is_hang_up(&e) && is_device()) => Ok(()),
        other => other.map_err(Error::io("cannot write", "standard output")),
    }
}

/// A terminal that was closed fails as a broken disk does.
fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn is_device() -> bool {
    let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let kind = file.and_then(|file| file.metadata()).map(|about| about.file_type());
    kind.is_ok_and(|kind| kind.is_char_device())
}

/// `println!` as a `Result`.
macro_rules! say {
    () => { $crate::output::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($arg)*))) };
}
pub(crate) use say;

/// Writes a line to standard error, as far as that can be written.
pub fn complain(text: Arguments) {
    let _ = writeln!(Log, "{text}");
}

/// Standard error, to which every write succeeds.
#[derive(Debug, Clone, Copy)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let _ = io::stderr().write_all(plain(&text).as_bytes());
        Ok(bytes.len())
    }

    fn write_fmt(&mut self, text: Arguments) -> io::Result<()> {
        // At once, so that lines of several threads stay whole.
        self.write(text.to_string().as_bytes()).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text with what would steer a terminal written out (`\u{1b}`), but for line ends and tabs.
pub fn plain(text: &str) -> Cow<'_, str> {
    // Beside the control characters, those that turn the direction of writing.
    let steers = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{9b}3\u{7f}"), "a\\u{1b}[2Jb\\u{d}\\u{9b}3\\u{7f}");
        assert_eq!(plain("abc\u{202e}def"), "abc\\u{202e}def");
        let whole = "α\tfolder, über alles\n二";
        assert!(matches!(plain(whole), Cow::Borrowed(same) if same == whole));
    }
}
