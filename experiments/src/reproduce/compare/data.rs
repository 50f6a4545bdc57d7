//! The data behind a figure: what its runs measured and with which settings, beside the drawing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hstep::{Error, Result, config, files};
use toml::{Table, Value};

use super::plan::Plan;
use super::runs::{Results, Run};
use crate::plot;
use crate::settings::NOT_IDENTITY;

/// Where the data of `figure` lie.
pub fn folder(figure: &str, figures: &Path) -> PathBuf {
    figures.join("data").join(figure)
}

/// Copies metrics and settings of every run.
pub fn keep(figure: &str, results: &Results, figures: &Path) -> anyhow::Result<()> {
    let root = folder(figure, figures);
    for run in &results.0 {
        let Some(name) = run.folder.file_name() else { continue };
        let to = root.join(name);
        std::fs::create_dir_all(&to).map_err(Error::io("cannot create", &to))?;
        for file in ["metrics.csv", "config.toml", "timing.csv"] {
            let from = run.folder.join(file);
            std::fs::copy(&from, to.join(file)).map_err(Error::io("cannot copy", &from))?;
        }
        plot::write(&to.join("meta.json"), public_meta(&run.folder)?.as_bytes())?;
    }
    Ok(())
}

/// `meta.json` without what belongs to the machine: host, command line, time.
fn public_meta(folder: &Path) -> anyhow::Result<String> {
    let from = folder.join("meta.json");
    let text = files::text(&from, files::METRICS)?;
    let mut meta: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text)?;
    let public = [
        "built_from",
        "working_folder_commit",
        // As older versions wrote it.
        "commit",
        "hstep",
        "dependencies",
        "simulated_by",
        "target",
        "threads",
    ];
    meta.retain(|key, _| public.contains(&key.as_str()));
    Ok(serde_json::to_string_pretty(&meta)? + "\n")
}

/// The runs of a plan out of the data of an earlier drawing.
///
/// A run is known by its settings, not by the hash in its folder's name: a version of hstep with
/// one setting more names folders anew. Compared is what both know.
pub fn read(plan: &Plan, figures: &Path) -> Result<Results> {
    let root = folder(plan.figure, figures);
    let kept = kept(&root)?;
    let mut runs = Vec::new();
    for contender in &plan.contenders {
        for &seed in &plan.seeds {
            let settings = plan.settings(contender, seed)?;
            let (wanted, hash) = (settings.table()?, settings.identity()?);
            let folder = find(&kept, &wanted, &hash).ok_or_else(|| {
                let label = &contender.label;
                let why = nearest_difference(&kept, &wanted);
                let problem = format!(
                    "no run of {label} on {} with seed {seed}{why}; draw without --redraw",
                    contender.env
                );
                Error::checkpoint(&root, problem)
            })?;
            runs.push(Run::read(contender.clone(), seed, folder.to_path_buf())?);
        }
    }
    Ok(Results(runs))
}

/// Folders with the settings in them, by name.
fn kept(root: &Path) -> Result<Vec<(PathBuf, Table)>> {
    let entries = std::fs::read_dir(root).map_err(Error::io("cannot read", root))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("cannot read", root))?.path();
        if path.join("config.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    let read = |path: PathBuf| Ok((path.clone(), config::read(path.join("config.toml"))?));
    folders.into_iter().map(read).collect()
}

/// The folder that agrees in all settings known to both; of several the one of this very hash, or
/// else the one with most settings in common.
fn find<'a>(kept: &'a [(PathBuf, Table)], wanted: &Table, hash: &str) -> Option<&'a Path> {
    let agree = kept.iter().filter(|(_, there)| difference(there, wanted).is_none());
    let rank = |(path, there): &&(PathBuf, Table)| {
        (path.to_string_lossy().ends_with(hash), leaves(&shared(there, wanted)))
    };
    agree.max_by_key(rank).map(|(path, _)| path.as_path())
}

/// The first setting that tells `there` from `wanted`.
fn difference(there: &Table, wanted: &Table) -> Option<config::Difference> {
    config::first_difference(&shared(there, wanted), &shared(wanted, there), NOT_IDENTITY)
}

/// What of `a` is also in `b`, at every depth.
fn shared(a: &Table, b: &Table) -> Table {
    let both = a.iter().filter_map(|(key, value)| {
        let value = match (value, b.get(key)?) {
            (Value::Table(a), Value::Table(b)) => Value::Table(shared(a, b)),
            (value, _) => value.clone(),
        };
        Some((key.clone(), value))
    });
    both.collect()
}

fn leaves(table: &Table) -> usize {
    table.values().map(|v| v.as_table().map_or(1, leaves)).sum()
}

/// In which setting the run nearest to what is wanted differs from it, for a message. Only runs of
/// that algorithm, environment and seed count.
fn nearest_difference(kept: &[(PathBuf, Table)], wanted: &Table) -> String {
    let run = |table: &Table, key: &str| table.get("run").and_then(|r| r.get(key)).cloned();
    let alike = |there: &&(PathBuf, Table)| {
        ["algo", "env", "seed"].iter().all(|key| run(&there.1, key) == run(wanted, key))
    };
    let near = kept.iter().filter(alike).min_by_key(|(_, there)| unequal(there, wanted));
    let difference = near.and_then(|(_, there)| difference(there, wanted));
    difference.map_or(String::new(), |d| format!(" (the nearest one there differs: {d})"))
}

/// In how many settings known to both `a` and `b` differ.
fn unequal(a: &Table, b: &Table) -> usize {
    let count = |(key, value): (&String, &Value)| match (value, b.get(key)) {
        (Value::Table(a), Some(Value::Table(b))) => unequal(a, b),
        (value, Some(other)) => usize::from(value != other),
        (_, None) => 0,
    };
    a.iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_the_settings_that_both_versions_know() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let kept = vec![
            (PathBuf::from("a"), table("lr = 1\n[run]\nseed = 0\nsteps = 10")),
            (PathBuf::from("b"), table("lr = 2\n[run]\nseed = 0\nsteps = 10")),
            (PathBuf::from("c"), table("lr = 2\nnew = 1\n[run]\nseed = 0\nsteps = 10")),
        ];
        let at = |text: &str| find(&kept, &table(text), "-h").map(|p| p.display().to_string());
        // More steps are the same run; a key of only one side does not count.
        assert_eq!(at("lr = 1\n[run]\nseed = 0\nsteps = 90"), Some("a".into()));
        assert_eq!(at("lr = 1\nother = 3\n[run]\nseed = 0"), Some("a".into()));
        assert_eq!(at("lr = 2\nnew = 1\n[run]\nseed = 0"), Some("c".into()));
        assert_eq!(at("lr = 3\n[run]\nseed = 0"), None);
        assert_eq!(at("lr = 1\n[run]\nseed = 1"), None);
        let why = nearest_difference(&kept, &table("lr = 3\n[run]\nseed = 0"));
        assert!(why.contains("`lr`"), "{why}");
    }

    #[test]
    fn what_simulated_a_run_is_kept_and_whose_machine_it_was_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let whole = r#"{ "commit": null, "simulated_by": { "mujoco": "3.17.0" }, "host": "mine" }"#;
        std::fs::write(folder.path().join("meta.json"), whole).unwrap();
        let kept: serde_json::Value =
            serde_json::from_str(&public_meta(folder.path()).unwrap()).unwrap();
        let expected =
            serde_json::json!({ "commit": null, "simulated_by": { "mujoco": "3.17.0" } });
        assert_eq!(kept, expected);
    }
}
