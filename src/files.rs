//! The one place where files are read that people, other programs or other machines wrote: no more
//! than is expected, without the mark that some editors put first, and in a run folder no links.

use std::fs::{File, FileType, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The most that is read of a configuration or of anything else written by hand: 16 MiB.
pub const TEXT: u64 = 16 << 20;
/// The most that is read of a table of metrics: 1 GiB.
pub const METRICS: u64 = 1 << 30;

/// The text of a file that was named by the user, at most `limit` bytes; links are followed.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Config`] when it is too large or no UTF-8.
pub fn text(path: &Path, limit: u64) -> Result<String> {
    let file = File::open(path).map_err(Error::io("cannot read", path))?;
    let wrong = |problem: String| Error::config(path.display().to_string(), problem);
    utf8(bytes(file, path, limit)?.map_err(wrong)?).map_err(wrong)
}

/// The bytes of a file of a run folder, at most `limit`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Checkpoint`] when it is too large, or no file at all
/// but a link, a pipe or a device.
pub fn of_run(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // A pipe without a writer would be waited for.
    plainly(options.read(true));
    let file = match options.open(path) {
        // Why a link is not opened is said in other words by every system.
        Err(_) if path.is_symlink() => return Err(strange(path, None)),
        other => other.map_err(Error::io("cannot read", path))?,
    };
    let kind = file.metadata().map_err(Error::io("cannot read", path))?.file_type();
    if !kind.is_file() {
        return Err(strange(path, Some(kind)));
    }
    bytes(file, path, limit)?.map_err(|problem| Error::checkpoint(path, problem))
}

/// [`of_run`] as text.
///
/// # Errors
/// As [`of_run`]; [`Error::Checkpoint`] when it is no UTF-8.
pub fn text_of_run(path: &Path, limit: u64) -> Result<String> {
    utf8(of_run(path, limit)?).map_err(|problem| Error::checkpoint(path, problem))
}

/// Sets what opens no link, and waits for nobody at the other end of a pipe.
pub(crate) fn plainly(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    }
    options
}

/// Refuses a run folder that holds anything but files and folders: what hstep writes or removes there
/// would be written or removed elsewhere, or wait for ever. A folder that is not there holds nothing.
///
/// # Errors
/// [`Error::Checkpoint`] naming the entry; [`Error::Io`] when a folder cannot be listed.
pub fn check_folder(folder: &Path) -> Result<()> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let fail = || Error::io("cannot list the folder", &folder);
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(fail())?,
        };
        for entry in entries {
            let entry = entry.map_err(fail())?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(fail())?);
            if kind.is_dir() {
                open.push(path);
            } else if !kind.is_file() {
                return Err(strange(&path, Some(kind)));
            }
        }
    }
    Ok(())
}

/// The error about an entry that is no file.
fn strange(path: &Path, kind: Option<FileType>) -> Error {
    let what = match kind {
        Some(kind) if kind.is_dir() => "a folder",
        None => "a symbolic link",
        Some(kind) if kind.is_symlink() => "a symbolic link",
        Some(_) => "a pipe, a socket or a device",
    };
    let problem = format!(
        "is {what}; expected a file: nothing in a run folder is opened that leads out of it (put what \
         it should be in its place, or remove it)"
    );
    Error::checkpoint(path, problem)
}

/// The contents, or why they are not read.
fn bytes(file: File, path: &Path, limit: u64) -> Result<Result<Vec<u8>, String>> {
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(Error::io("cannot read", path))?;
    Ok(if bytes.len() as u64 > limit {
        Err(format!("expected at most {limit} bytes, and there are more"))
    } else {
        Ok(bytes)
    })
}

/// Text without the byte order mark of some editors.
fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("this is text in UTF-16; save it as UTF-8".into());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        format!("this is no text in UTF-8: byte {at} is none; save it as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Where a writer puts a file before it has its name.
#[must_use]
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn marks_are_taken_off_and_what_is_no_text_is_refused() {
        let (_folder, path) = written(b"\xef\xbb\xbfa = 1");
        assert_eq!(text(&path, 100).unwrap(), "a = 1");
        assert_eq!(text_of_run(&path, 100).unwrap(), "a = 1");
        for (bytes, words) in [
            (&b"\xff\xfea\0"[..], "UTF-16"),
            (b"a\xe9", "byte 1 is none"),
            (b"0123456789", "at most 9"),
        ] {
            let (_folder, path) = written(bytes);
            let by_name = text(&path, 9).unwrap_err();
            assert!(matches!(by_name, Error::Config { .. }), "{by_name}");
            let of_run = text_of_run(&path, 9).unwrap_err();
            assert!(matches!(of_run, Error::Checkpoint { .. }), "{of_run}");
            for error in [by_name, of_run] {
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_of_a_run_folder_leads_elsewhere_or_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (_outside, target) = written(b"precious");
        let deep = folder.path().join("ckpt");
        std::fs::create_dir(&deep).unwrap();
        std::fs::write(deep.join("file"), "").unwrap();
        check_folder(folder.path()).unwrap();
        check_folder(&folder.path().join("none")).unwrap();
        let at = deep.join("x");
        let make = |pipe: bool| match pipe {
            false => std::os::unix::fs::symlink(&target, &at).unwrap(),
            true => {
                let status = std::process::Command::new("mkfifo").arg(&at).status().unwrap();
                assert!(status.success());
            }
        };
        for (pipe, words) in [(false, "a symbolic link"), (true, "a pipe")] {
            make(pipe);
            for refused in [check_folder(folder.path()), of_run(&at, 100).map(drop)] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(words) && error.contains("ckpt/x"), "{error}");
            }
            std::fs::remove_file(&at).unwrap();
        }
        assert!(of_run(&deep, 100).unwrap_err().to_string().contains("a folder"));
    }
}
