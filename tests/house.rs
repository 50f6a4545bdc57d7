//! Rules of the house that no lint can check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is built on this machine; other platforms' packages may not be here.
fn metadata() -> Value {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn candle_is_there_once() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        versions.entry(text(package, "name")).or_default().push(text(package, "version"));
    }
    for name in ["candle-core", "candle-nn", "candle-optimisers", "gemm", "safetensors"] {
        let got = versions.get(name).map_or(&[][..], Vec::as_slice);
        assert_eq!(got.len(), 1, "{name}: {got:?}");
    }
}

#[test]
fn every_licence_is_permissive() {
    let allowed = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "Unicode-3.0",
        "Unlicense",
        "CC0-1.0",
        "BSL-1.0",
        "MPL-2.0",
        "Unicode-DFS-2016",
        "NCSA",
        "MIT-0",
    ];
    let mut refused = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let licence = text(package, "license");
        let clean = licence.replace(['(', ')'], " ").replace('/', " OR ");
        // One permissive choice in every conjunct is enough.
        let fine = clean.split(" AND ").all(|part| {
            part.split(" OR ").any(|choice| {
                let name = choice.trim().split(" WITH ").next().unwrap_or_default();
                allowed.contains(&name)
            })
        });
        if !fine {
            refused.push(format!("{} ({licence})", text(package, "name")));
        }
    }
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn every_direct_dependency_earns_its_line() {
    let table = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    for package in metadata()["packages"].as_array().unwrap() {
        if !package["source"].is_null() {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = text(dependency, "name");
            let own = name.starts_with("hstep");
            assert!(own || table.contains(&format!("`{name}`")), "{name} has no line");
        }
    }
}

/// The features of hstep where `edges` are followed from `package`.
fn features(package: &str, edges: &str) -> String {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", edges])
        .args(["--depth", "1", "--prefix", "none", "--format", "{p} {f}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().find(|line| line.starts_with("hstep v")).unwrap().to_owned()
}

#[test]
fn only_tests_can_abort_a_run() {
    for package in ["hstep", "hstep-experiments"] {
        let (built, tested) = (features(package, "normal"), features(package, "normal,dev"));
        assert!(!built.contains("fault-injection"), "{package} as it is built: {built}");
        assert!(tested.contains("fault-injection"), "{package} as it is tested: {tested}");
    }
}

pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_outgrows_its_purpose() {
    let mut files = Vec::new();
    for folder in ["src", "proofs", "experiments/src", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 500, "{}: {lines} lines", file.display());
    }
}
/// A row is a table: what it sets, and where each number is from.
#[test]
fn every_setting_of_a_row_has_its_tag() {
    let folder = root().join("src/algo");
    let rust: usize = ["mod.rs", "entry.rs", "compose.rs"]
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap().lines().count())
        .iter()
        .sum();
    assert!(rust <= 350, "{rust} lines of Rust beside the tables");
    let mut rows = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        rows += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let settings = text.lines().take_while(|line| *line != "[row]");
        for line in settings.filter(|line| line.contains('=') && !line.starts_with('#')) {
            let tag = line.split_once(" # ").map_or("", |(_, tag)| tag);
            let tags = ["paper", "code", "ours"];
            assert!(tags.iter().any(|own| tag.starts_with(own)), "{}: {line}", path.display());
        }
    }
    assert!(rows >= 10, "{rows}");
}
