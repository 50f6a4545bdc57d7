//! Imports of the library run downward only.

use std::path::{Path, PathBuf};

use crate::house::{root, sources};

/// The rooms of the library from the ground up, side by side on one line: a room imports from those before it
/// and from no other, so there is no circle either. A new room takes its place here.
const ROOMS: &str = "
    error limits check suggest files config json hash fault log
    vectorised pool shape ops rng schedule stats lqr
    metrics replay checkpoint known
    nn forward
    env
    dynamics value policy
    objective planner
    parts uses agent
    learner train
    algo
";

/// What the crate's root has from a room.
const AT_ROOT: [(&str, &str); 2] = [("Error", "error"), ("Result", "error")];

/// A path through the crate's root: the line and the name behind the root.
type Arrow = (usize, String);

/// The names of the crate's root that a file imports or calls by; not in its tests and not in comments.
fn arrows(text: &str, depth: usize) -> Vec<Arrow> {
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
        let up = "super::".repeat(depth + open.len());
        for start in ["crate::", &up] {
            for (i, _) in code.match_indices(start) {
                let before = &code[..i];
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let rest = &code[i + start.len()..];
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                found.push((at + 1, rest[..end.unwrap_or(rest.len())].to_owned()));
            }
        }
    }
    found
}

/// The room of a file of `src`, and how many modules deep it lies.
fn place(file: &Path) -> Option<(String, usize)> {
    let stem = file.with_extension("");
    let mut modules: Vec<&str> = stem.iter().filter_map(|part| part.to_str()).collect();
    if modules.last() == Some(&"mod") {
        modules.pop();
    }
    (modules != ["lib"]).then(|| (modules[0].to_owned(), modules.len()))
}

#[test]
fn imports_run_downward_only() {
    let src = root().join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    sources(&src, &mut files);
    let rooms: Vec<&str> = ROOMS.split_whitespace().collect();
    let height = |name: &str| {
        let name = AT_ROOT.iter().find(|(root, _)| *root == name).map_or(name, |(_, room)| room);
        rooms.iter().position(|room| *room == name)
    };
    let (mut wrong, mut arrows_seen) = (Vec::new(), 0);
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let relative = file.strip_prefix(&src).unwrap();
        let Some((room, depth)) = place(relative) else { continue };
        let Some(own) = height(&room) else {
            wrong.push(format!("src/{}: `{room}` has no place among ROOMS", relative.display()));
            continue;
        };
        for (line, name) in arrows(&std::fs::read_to_string(file).unwrap(), depth) {
            arrows_seen += 1;
            if name.is_empty() {
                wrong.push(format!(
                    "src/{}:{line}: write a `use` for each room",
                    relative.display()
                ));
            } else if height(&name).is_none_or(|below| below > own) {
                let at = format!("src/{}:{line}", relative.display());
                wrong.push(format!("{at}: `{room}` imports `{name}`, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run upward:\n{}", wrong.join("\n"));
    assert!(arrows_seen > 500, "only {arrows_seen} imports were found");
    let gone: Vec<&&str> = rooms
        .iter()
        .filter(|room| !src.join(room).is_dir() && !src.join(format!("{room}.rs")).is_file())
        .collect();
    assert!(gone.is_empty(), "no longer there: {gone:?}");
}

#[test]
fn an_upward_path_is_seen_however_it_is_written() {
    let text = "use crate::train::Trainer;\n//! [`crate::algo`]\nuse super::super::algo::find;\n\
                pub mod inner {\n    use super::super::learner;\n    use super::super::super::agent;\n}\n\
                fn f() -> crate::Result<()> { g(crate::uses::X, super::own()) }\n\
                #[cfg(test)]\nmod tests {\n    use crate::parts;\n}\n";
    let names = |depth| arrows(text, depth).into_iter().collect::<Vec<_>>();
    let want = [(1, "train"), (3, "algo"), (6, "agent"), (8, "Result"), (8, "uses")];
    assert_eq!(names(2), want.map(|(line, name)| (line, name.to_owned())));
}
