//! What `meta.json` says of the program itself: the commit it was built from, and `Cargo.lock`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let out = Command::new("git").args(arguments).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn main() {
    // Beside the workspace's folders, or within a package.
    let lock = ["../Cargo.lock", "Cargo.lock"].map(PathBuf::from);
    let lock = lock.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    if let Err(error) = std::fs::write(Path::new(&out).join("Cargo.lock"), lock) {
        println!("cargo::error=cannot write to {out}: {error}");
    }
    // Of a repository above an unpacked package it would say nothing.
    let own = Path::new("../proofs/Cargo.toml").is_file();
    let commit = own.then(|| git(&["rev-parse", "HEAD"])).flatten().map(|head| {
        let sources = ["--", "..", ":!../figures", ":!../docs", ":!../python"];
        let changed =
            git(&[&["status", "--porcelain", "--untracked-files=no"], &sources[..]].concat());
        if changed.is_none_or(|changed| changed.is_empty()) {
            head
        } else {
            format!("{head}-dirty")
        }
    });
    println!("cargo::rustc-env=HSTEP_COMMIT={}", commit.unwrap_or_default());
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).unwrap_or_default();
    for path in ["build.rs", "src", "../src", "../proofs/src", "../Cargo.lock", &log] {
        // A path that is not there would have this run at every build.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}
