//! Imports of the library run downward only.

use std::path::{Path, PathBuf};

use crate::house::{root, sources};

/// The rooms of the library from the ground up: a room imports from those before it and from no other, so
/// there is no circle either. A new room takes its place here.
const ROOMS: &str = "
    error limits check suggest files config schema json hash fault log
    vectorised pool shape ops rng schedule stats lqr
    metrics replay checkpoint known
    nn forward
    env
    dynamics value policy
    objective planner
    parts uses agent kinds
    learner train
    algo
";

/// The same within a room, file by file; its `mod.rs` is on top of them.
const INSIDE: [(&str, &str); 2] = [
    (
        "nn",
        "activation init scratch kernel params slices store layout tile fused plain stack \
         adam optimiser nll normaliser squashed module",
    ),
    ("train", "board episodes evaluate columns run folder sources prepared repair bias model_bias"),
];

/// What the crate's root has from a room.
const AT_ROOT: [(&str, &str); 2] = [("Error", "error"), ("Result", "error")];

/// The names in a house that a file uses, with their lines: what follows `house` (`crate::`), or as many
/// `super::` as the file is modules below the house. Not in its tests and not in comments.
fn names(text: &str, house: &str, below: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // How far the modules that are open inside the file are indented.
    let mut open: Vec<usize> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let (indent, code) = (line.len() - line.trim_start().len(), line.trim_start());
        if code.starts_with("//") {
            continue;
        }
        if code == "#[cfg(test)]"
            && lines.peek().is_some_and(|(_, next)| next.ends_with("mod tests {"))
        {
            break;
        }
        if code.ends_with('{') && code.split_whitespace().any(|word| word == "mod") {
            open.push(indent);
        } else if code == "}" && open.last() == Some(&indent) {
            open.pop();
        }
        let up = "super::".repeat(below + open.len());
        for start in [house, &up] {
            for (i, _) in code.match_indices(start) {
                let within = |c: char| c.is_alphanumeric() || c == '_';
                if code[..i].ends_with(|c| within(c) || c == ':') {
                    continue;
                }
                let rest = &code[i + start.len()..];
                let end = rest.find(|c| !within(c)).unwrap_or(rest.len());
                found.push((at + 1, rest[..end].to_owned()));
            }
        }
    }
    found
}

/// The modules that lead to a file, from the crate's root.
fn modules(file: &Path) -> Vec<&str> {
    let mut modules: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    match modules.pop().and_then(|name| name.strip_suffix(".rs")) {
        Some("mod" | "lib") | None => {}
        Some(stem) => modules.push(stem),
    }
    modules
}

/// The uses that run upward, or to what has no place, in the house at the modules `at` of the crate.
fn upward(at: &[&str], order: &str) -> Vec<String> {
    let src = root().join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    sources(&at.iter().fold(src.clone(), |path, module| path.join(module)), &mut files);
    let order: Vec<&str> = order.split_whitespace().collect();
    let height = |name: &str| {
        let name = AT_ROOT.iter().find(|(root, _)| *root == name).map_or(name, |(_, room)| room);
        order.iter().position(|room| *room == name)
    };
    let house: String = ["crate"].iter().chain(at).map(|module| format!("{module}::")).collect();
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let file = file.strip_prefix(&src).unwrap();
        let modules = modules(file);
        let Some(room) = modules.get(at.len()) else { continue };
        seen.push((*room).to_owned());
        let own = height(room);
        if own.is_none() {
            wrong.push(format!("src/{}: `{room}` has no place in the order", file.display()));
        }
        let text = std::fs::read_to_string(src.join(file)).unwrap();
        for (line, name) in names(&text, &house, modules.len() - at.len()) {
            if height(&name).is_none() || height(&name) > own {
                let place = format!("src/{}:{line}", file.display());
                wrong.push(format!("{place}: `{room}` uses `{name}`, which is not below it"));
            }
        }
    }
    let gone = order.iter().filter(|room| !seen.iter().any(|file| file == *room));
    wrong.extend(gone.map(|room| format!("`{room}` is in the order and no longer there")));
    wrong
}

#[test]
fn imports_run_downward_only() {
    let mut wrong = upward(&[], ROOMS);
    for (room, order) in INSIDE {
        wrong.extend(upward(&[room], order));
    }
    assert!(wrong.is_empty(), "imports that run upward:\n{}", wrong.join("\n"));
}

#[test]
fn a_name_is_seen_however_it_is_written() {
    let text = "use crate::train::Trainer;\n//! [`crate::algo`]\nuse super::super::algo::find;\n\
                pub mod inner {\n    use super::super::learner;\n    use super::super::super::agent;\n}\n\
                fn f() -> crate::Result<()> { g(crate::uses::X, super::own()) }\n\
                use crate::{env, log};\n\
                #[cfg(test)]\nmod tests {\n    use crate::parts;\n}\n";
    // A list has no first name: it is refused, so that there is one line a room.
    let want = [(1, "train"), (3, "algo"), (6, "agent"), (8, "Result"), (8, "uses"), (9, "")];
    assert_eq!(names(text, "crate::", 2), want.map(|(line, name)| (line, name.to_owned())));
}
