//! Folders and files that came from elsewhere.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::hstep;
use crate::small::{Small, ended, fails};

#[test]
fn links_and_pipes_in_a_run_folder_are_neither_followed_nor_waited_for() {
    let run = Small::finished("sac");
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim.tmp");
    std::fs::write(&victim, "precious").unwrap();
    let folder = run.folder();
    for name in ["LOCK", "timing.csv", "DONE.tmp", "metrics.csv", "ckpt/x.tmp", "ckpt/chunks/x"] {
        for pipe in [false, true] {
            let at = folder.join(name);
            let aside = outside.path().join("aside");
            let was_there = std::fs::rename(&at, &aside).is_ok();
            match pipe {
                false => symlink(&victim, &at).unwrap(),
                true => assert!(Command::new("mkfifo").arg(&at).status().unwrap().success()),
            }
            let what = if pipe { "is a pipe" } else { "is a symbolic link" };
            for command in ["resume", "eval", "render"] {
                fails(hstep(&[command]).arg(&folder), 4, &[name, what]);
            }
            fails(&mut run.train(1000), 4, &[name, what]);
            std::fs::remove_file(&at).unwrap();
            if was_there {
                std::fs::rename(&aside, &at).unwrap();
            }
        }
    }
    // A folder of checkpoints that is another's.
    let ckpt = outside.path().join("ckpt");
    std::fs::rename(folder.join("ckpt"), &ckpt).unwrap();
    symlink(&ckpt, folder.join("ckpt")).unwrap();
    fails(&mut run.resume(1000), 4, &["ckpt", "is a symbolic link"]);
    std::fs::remove_file(folder.join("ckpt")).unwrap();
    std::fs::rename(&ckpt, folder.join("ckpt")).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    ended(&mut run.resume(1000));
    run.assert_equals_uninterrupted(1000, "links that were removed");
}

#[test]
fn a_garbled_configuration_of_a_run_is_damage() {
    let run = Small::finished("sac");
    std::fs::write(run.file("config.toml"), b"\xff\x00\xfe").unwrap();
    for command in ["resume", "eval"] {
        fails(hstep(&[command]).arg(run.folder()), 4, &["config.toml", "no text in UTF-8"]);
    }
}

#[test]
fn files_with_the_mark_of_an_editor_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let text =
        "\u{feff}[run]\nalgo = \"sac\"\nenv = \"pendulum\"\nsteps = 20\n[run.eval]\nepisodes = 1";
    std::fs::write(&file, text).unwrap();
    let train = |file: &std::path::Path| {
        let mut command = hstep(&["train"]);
        command.arg(file).arg("--out").arg(folder.path());
        command
    };
    ended(&mut train(&file));
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, wide).unwrap();
    fails(&mut train(&file), 2, &["run.toml", "this is text in UTF-16; save it as UTF-8"]);
    let mdp = folder.path().join("mdp.json");
    std::fs::write(&mdp, "\u{feff}{\"gamma\": 0.5, \"reward\": [[1]], \"transition\": [[[1]]]}")
        .unwrap();
    ended(hstep(&["check", "polo-lemma-1", "--mdp"]).arg(&mdp));
    std::fs::write(&mdp, "[0.5, [[1]], [[[1]]], null, null, null, null]").unwrap();
    let words = ["expected an object with keys, got a list"];
    fails(hstep(&["check", "polo-lemma-1", "--mdp"]).arg(&mdp), 2, &words);
}

#[test]
fn a_file_system_without_locks_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    for code in ["ENOLCK", "ENOSYS"] {
        let (source, library) =
            (folder.path().join("x.c"), folder.path().join(format!("{code}.so")));
        let text = format!(
            "#include <errno.h>\nint flock(int fd, int op) {{ errno = {code}; return -1; }}\n"
        );
        std::fs::write(&source, text).unwrap();
        ended(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source));
        let run = Small::new("sac");
        let said = ended(run.train(50).env("LD_PRELOAD", &library));
        assert!(said.contains("this file system has no locks"), "{said}");
        assert!(run.file("DONE").exists());
    }
}
