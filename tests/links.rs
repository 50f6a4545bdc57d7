//! Links between pages lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::house::root;

/// Pages of the repository, generated ones and those of dependencies left out.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            let skipped = name.starts_with('.') || ["target", "runs", "found"].contains(&&*name);
            (!skipped).then(|| pages(&path, found));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// A page without its code.
fn prose(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("```").step_by(2).collect()
}

/// The names of a page's headings, as links write them.
fn headings(path: &Path) -> BTreeSet<String> {
    let lower = |line: &str| {
        let kept = line
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    let text = prose(path);
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| lower(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let (mut all, mut broken) = (Vec::new(), Vec::new());
    pages(root(), &mut all);
    assert!(all.len() > 20, "{all:?}");
    for page in all {
        let text = prose(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            let there = target.exists()
                && (heading.is_empty()
                    || target.extension().is_none_or(|e| e != "md")
                    || headings(&target).contains(heading));
            if !there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
