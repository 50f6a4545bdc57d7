//! The table of mutations fits the source, and its README the table. What takes hours, whether each
//! is caught, is replayed by `tests/mutations/run.py`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    mutation: Vec<Mutation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    name: String,
    why: String,
    file: String,
    find: String,
    replace: String,
    binary: String,
    caught_by: String,
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn table() -> Vec<Mutation> {
    toml::from_str::<Table>(&read("tests/mutations/mutations.toml")).unwrap().mutation
}

/// The text of the file that the module of a test lies in: the longest part of its path that is one.
fn module(binary: &str, modules: &[&str]) -> Option<String> {
    let folder = match binary {
        "lib" => "src",
        "command" => "experiments/src",
        "it" => "tests",
        "bounds" => "proofs/tests",
        "cli" => "tests/cli",
        _ => return None,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = (1..=modules.len()).rev().flat_map(|n| {
        let stem = root.join(modules[..n].iter().collect::<PathBuf>());
        [stem.with_extension("rs"), stem.join("mod.rs")]
    });
    files.into_iter().find(|file| file.is_file()).map(read)
}

/// Whether `text` has a function of this name that is a test.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let start = format!("fn {name}(");
    let found = |(at, _): (usize, &&str)| {
        let above = lines[..at].iter().rev();
        above.take_while(|l| l.starts_with("#[") || l.starts_with("//")).any(|l| *l == "#[test]")
    };
    lines.iter().enumerate().filter(|(_, line)| line.starts_with(&start)).any(found)
}

#[test]
fn every_mutation_fits_the_source() {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for m in table() {
        let mut say = |problem: String| wrong.push(format!("{}: {problem}", m.name));
        let found = read(&m.file).matches(&m.find).count();
        if found != 1 {
            say(format!("`find` occurs {found} times in {}", m.file));
        }
        if m.find == m.replace {
            say("changes nothing".into());
        }
        if !names.insert(m.name.clone()) {
            say("the name is used twice".into());
        }
        let path: Vec<&str> = m.caught_by.split("::").collect();
        let (test, modules) = path.split_last().unwrap();
        match module(&m.binary, modules) {
            Some(text) if has_test(&text, test) => {}
            _ => say(format!("binary `{}` has no test {}", m.binary, m.caught_by)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn its_readme_is_the_table() {
    let readme = read("tests/mutations/README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let table = table();
    assert_eq!(rows.len(), table.len(), "renew it: python3 tests/mutations/run.py --write");
    let mut caught = 0;
    for (row, m) in rows.iter().zip(&table) {
        let start = format!("| {} | {} | `{}` | ", m.name, m.why.replace('|', "\\|"), m.file);
        let rest = row.strip_prefix(&start);
        let rest = rest.unwrap_or_else(|| panic!("stale row, expected {start}\n{row}"));
        let by = format!("`{}` | ", m.caught_by);
        assert!(rest.starts_with(&by) || rest.starts_with("**"), "stale row, expected {by}\n{row}");
        caught += usize::from(!rest.starts_with("**"));
    }
    let count = format!("\n{caught} of {} were caught", table.len());
    assert!(readme.contains(&count), "expected{count}");
}
