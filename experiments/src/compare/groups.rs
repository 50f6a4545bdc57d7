//! Runs with the same settings but for the seed, named by what sets them apart.

use std::collections::{BTreeMap, BTreeSet};

use hstep::config;
use toml::Value;

use super::folders::{Left, Run};
use super::names::algorithm;
use crate::settings::NOT_IDENTITY;

/// The runs of one way to learn on one environment, by seed.
#[derive(Debug)]
pub struct Group {
    /// The algorithm, and the settings in which it differs from its like.
    pub label: String,
    /// The environment.
    pub env: String,
    /// One run a seed.
    pub runs: Vec<Run>,
}

impl Group {
    /// Its seeds.
    pub fn seeds(&self) -> Vec<u64> {
        self.runs.iter().map(|run| run.seed).collect()
    }
}

/// Environment, algorithm, and the hash of the other settings.
type Key = (String, String, String);
/// Values by their dotted keys.
type Settings = BTreeMap<String, Value>;

/// Groups `runs`; of two with the same settings and seed the longer one stays.
///
/// A setting is named in the labels of an algorithm when it differs between two groups of that
/// algorithm on one environment: the presets of different environments are no difference.
pub fn group(runs: Vec<Run>, left: &mut Vec<Left>) -> Vec<Group> {
    let mut out: Vec<&str> = NOT_IDENTITY.to_vec();
    out.extend(["run.seed", "run.algo", "run.env"]);
    let mut found: BTreeMap<Key, (Settings, BTreeMap<u64, Run>)> = BTreeMap::new();
    for run in runs {
        let key = (run.env.clone(), run.algo.clone(), config::hash8(&run.settings, &out));
        let of_key = found.entry(key);
        let (_, seeds) =
            of_key.or_insert_with(|| (config::flat(&run.settings, &out), BTreeMap::new()));
        let end = |run: &Run| run.curve.last().map_or(0.0, |p| p.0);
        match seeds.get(&run.seed) {
            Some(known) if end(known) >= end(&run) => {
                let same = format!("the same run as {}", known.folder.display());
                left.push(Left(run.folder, same));
            }
            _ => {
                let folder = run.folder.display().to_string();
                if let Some(shorter) = seeds.insert(run.seed, run) {
                    left.push(Left(shorter.folder, format!("the same run as {folder}")));
                }
            }
        }
    }
    let mut telling: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for ((env, algo, _), (settings, _)) in &found {
        for ((_, _, _), (other, _)) in found.iter().filter(|(k, _)| (&k.0, &k.1) == (env, algo)) {
            let keys = settings.keys().chain(other.keys());
            let differ = keys.filter(|key| settings.get(*key) != other.get(*key));
            telling.entry(algo.as_str()).or_default().extend(differ);
        }
    }
    let label = |algo: &str, settings: &Settings| {
        let keys = telling.get(algo).into_iter().flatten();
        let words = keys.map(|key| match settings.get(*key) {
            Some(Value::String(word)) => format!(" {key}={word}"),
            Some(value) => format!(" {key}={value}"),
            None => format!(" {key}=unset"),
        });
        algorithm(algo) + &words.collect::<String>()
    };
    let labels: Vec<String> =
        found.iter().map(|((_, algo, _), (settings, _))| label(algo, settings)).collect();
    let groups = found.into_iter().zip(labels);
    let mut groups: Vec<Group> = groups
        .map(|(((env, ..), (_, seeds)), label)| Group {
            label,
            env,
            runs: seeds.into_values().collect(),
        })
        .collect();
    groups.sort_by_cached_key(|group| (group.env.clone(), by_number(&group.label)));
    groups
}

/// A label for sorting: 3 comes before 10.
pub fn by_number(label: &str) -> String {
    let (mut key, mut digits) = (String::new(), String::new());
    for c in label.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            key.push_str(&format!("{digits:0>20}"));
            digits.clear();
        }
        key.push(c);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn run(env: &str, algo: &str, seed: u64, settings: &str) -> Run {
        let text = format!("{settings}\n[run]\nalgo = \"{algo}\"\nseed = {seed}\nsteps = 9{seed}");
        Run {
            folder: PathBuf::from(format!("{env}-{algo}-{seed}-{}", settings.len())),
            settings: text.parse().unwrap(),
            algo: algo.into(),
            env: env.into(),
            seed,
            curve: vec![(0.0, 0.0), (seed as f64, 1.0)],
            hours: None,
        }
    }

    fn labels(groups: &[Group]) -> Vec<(&str, &str, Vec<u64>)> {
        groups.iter().map(|g| (g.env.as_str(), g.label.as_str(), g.seeds())).collect()
    }

    #[test]
    fn what_differs_is_the_label_and_a_preset_is_no_difference() {
        let runs = vec![
            run("acrobot", "maac", 1, "lr = 1\nhorizon = 3"),
            run("acrobot", "maac", 0, "lr = 1\nhorizon = 3"),
            run("acrobot", "maac", 0, "lr = 1\nhorizon = 5"),
            run("pendulum", "maac", 0, "lr = 2\nhorizon = 3"),
            run("pendulum", "sac", 0, "lr = 7"),
        ];
        let mut left = Vec::new();
        let groups = group(runs, &mut left);
        let expected = [
            ("acrobot", "MAAC horizon=3", vec![0, 1]),
            ("acrobot", "MAAC horizon=5", vec![0]),
            ("pendulum", "MAAC horizon=3", vec![0]),
            ("pendulum", "SAC", vec![0]),
        ];
        assert_eq!(labels(&groups), expected);
        assert!(left.is_empty());
    }

    #[test]
    fn three_comes_before_ten() {
        let mut labels = ["MAAC h=10", "MAAC h=3", "MAAC", "MAAC h=3 x=2"];
        labels.sort_by_key(|label| by_number(label));
        assert_eq!(labels, ["MAAC", "MAAC h=3", "MAAC h=3 x=2", "MAAC h=10"]);
    }

    #[test]
    fn of_the_same_run_twice_the_longer_stays() {
        let mut longer = run("pendulum", "sac", 2, "");
        longer.curve.push((900.0, 3.0));
        longer.folder = "longer".into();
        let short = run("pendulum", "sac", 2, "");
        for runs in [vec![short.clone(), longer.clone()], vec![longer, short.clone()]] {
            let mut left = Vec::new();
            let groups = group(runs, &mut left);
            assert_eq!(groups[0].runs.len(), 1);
            assert_eq!(groups[0].runs[0].folder, PathBuf::from("longer"));
            assert_eq!(left[0].0, short.folder);
            assert!(left[0].1.contains("the same run as longer"), "{}", left[0].1);
        }
    }
}
