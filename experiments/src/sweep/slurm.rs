//! A sweep as a job array of Slurm: each task trains one run, or a few side by side.
//!
//! Slurm sends SIGUSR1 two minutes before a task's time is over; the runs then save and end with 75, and the script puts
//! its own task back into the queue, which Slurm does by exit code only where an administrator says so. Preempted tasks
//! are put back by Slurm itself, cancelled ones by nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use hstep::Error;
use hstep::config::check;
use serde::{Deserialize, Serialize};

use super::plan::Planned;
use crate::plot::write;

/// The script, in the sweep's folder.
const SCRIPT: &str = "slurm.sh";

/// `[slurm]`: what a task asks for. Empty words are left to Slurm's own defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slurm {
    /// Partition.
    pub partition: String,
    /// Time limit of a task, such as `2:00:00`.
    pub time: String,
    /// Memory of a task, such as `4G`.
    pub memory: String,
    /// Cores, and so threads, of a run.
    pub cpus: usize,
    /// Runs of a task, side by side.
    pub pack: usize,
    /// Tasks at a time; 0 is as many as Slurm gives.
    pub at_once: usize,
    /// More options of `sbatch`, such as `--account=mine`.
    pub options: Vec<String>,
}

impl Default for Slurm {
    fn default() -> Self {
        let word = String::new;
        let (partition, time, memory, options) = (word(), word(), word(), Vec::new());
        Self { partition, time, memory, cpus: 1, pack: 1, at_once: 0, options }
    }
}

/// A submitted array, as `sweep.json` remembers it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Submitted {
    /// The number that Slurm gave.
    pub job: u64,
    /// Runs a task.
    pub pack: usize,
}

/// What the tasks run, and where.
pub struct Place<'a> {
    pub binary: &'a Path,
    pub file: &'a Path,
    pub root: &'a Path,
    pub folder: &'a Path,
}

impl Slurm {
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> hstep::Result<()> {
        check::at_least("slurm.cpus", self.cpus, 1)?;
        check::at_least("slurm.pack", self.pack, 1)?;
        let words =
            [("partition", &self.partition), ("time", &self.time), ("memory", &self.memory)];
        let options = self.options.iter().map(|option| ("options", option));
        for (key, word) in words.into_iter().chain(options) {
            if word.contains(char::is_whitespace) || word.contains(char::is_control) {
                let problem = format!(
                    "expected one word for a line of `#SBATCH`, got `{}`",
                    word.escape_debug()
                );
                return Err(Error::config(format!("slurm.{key}"), problem));
            }
        }
        match self.options.iter().find(|option| !option.starts_with('-')) {
            None => Ok(()),
            Some(option) => {
                let problem = format!("expected options such as `--account=mine`, got `{option}`");
                Err(Error::config("slurm.options", problem))
            }
        }
    }

    /// The script of an array whose tasks `open` are to run, of `runs` in all.
    pub fn script(&self, name: &str, open: &[usize], runs: usize, place: &Place) -> String {
        let logs = place.folder.join("logs").join("slurm-%A_%a.log");
        let at_once = if self.at_once > 0 { format!("%{}", self.at_once) } else { String::new() };
        let mut options = vec![
            format!("--job-name={}", word(name)),
            format!("--array={}{at_once}", ranges(open)),
            "--requeue".into(),
            "--open-mode=append".into(),
            "--signal=B:USR1@120".into(),
            format!("--output={}", word(&logs.display().to_string())),
            format!("--cpus-per-task={}", self.cpus * self.pack),
        ];
        let asked = [("partition", &self.partition), ("time", &self.time), ("mem", &self.memory)];
        let asked = asked.into_iter().filter(|(_, value)| !value.is_empty());
        options.extend(asked.map(|(key, value)| format!("--{key}={value}")));
        options.extend(self.options.iter().cloned());
        let options: String = options.iter().map(|option| format!("#SBATCH {option}\n")).collect();
        let quoted = |path: &Path| quote(&path.display().to_string());
        include_str!("slurm.sh")
            .replace("#OPTIONS\n", &options)
            .replace("@HSTEP@", &quoted(place.binary))
            .replace("@FILE@", &quoted(place.file))
            .replace("@ROOT@", &quoted(place.root))
            .replace("@THREADS@", &self.cpus.to_string())
            .replace("@PACK@", &self.pack.to_string())
            .replace("@RUNS@", &runs.to_string())
    }

    /// The tasks that have something to do, where the runs `waiting` have.
    pub fn tasks(&self, waiting: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut tasks: Vec<usize> = waiting.map(|run| run / self.pack).collect();
        tasks.dedup();
        tasks
    }

    /// Writes the script and hands it to Slurm.
    ///
    /// # Errors
    /// When there is no `sbatch`, or it refuses, in its own words.
    pub fn submit(&self, script: &str, folder: &Path) -> Result<Submitted> {
        let path = folder.join(SCRIPT);
        std::fs::create_dir_all(folder.join("logs")).map_err(Error::io("cannot create", folder))?;
        write(&path, script.as_bytes())?;
        let said = said(Command::new("sbatch").arg("--parsable").arg(&path))?;
        // `JOB` or `JOB;CLUSTER`.
        let job = said.trim().split(';').next().and_then(|job| job.parse().ok());
        let problem =
            || format!("sbatch was to print the number of a job, and printed `{}`", said.trim());
        let job = job.ok_or_else(|| Error::config("--slurm", problem()))?;
        Ok(Submitted { job, pack: self.pack })
    }
}

/// What a command of Slurm prints.
fn said(command: &mut Command) -> hstep::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output();
    let out = out.map_err(|error| {
        let problem =
            format!("`{name}` cannot be run ({error}): is this a node of a Slurm cluster?");
        Error::config("--slurm", problem)
    })?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&out.stderr).trim().replace('\n', "; ");
    Err(Error::config("--slurm", format!("{name} refused: {words}")))
}

/// How Slurm says that the tasks of an array stand that it still knows, by their numbers.
///
/// # Errors
/// As [`Slurm::submit`].
pub fn queue(submitted: Submitted) -> hstep::Result<BTreeMap<usize, String>> {
    let mut squeue = Command::new("squeue");
    squeue
        .args(["--noheader", "--array", "--format=%K %T"])
        .arg(format!("--jobs={}", submitted.job));
    let text = match said(&mut squeue) {
        Ok(text) => text,
        // A job that is over for some minutes is unknown.
        Err(Error::Config { problem, .. }) if problem.contains("Invalid job id") => String::new(),
        Err(error) => return Err(error),
    };
    let task = |line: &str| {
        let (task, state) = line.trim().split_once(' ')?;
        Some((task.parse().ok()?, state.trim().to_lowercase()))
    };
    Ok(text.lines().filter_map(task).collect())
}

/// How Slurm says that a run's task stands.
pub fn of_run<'a>(
    queue: &'a BTreeMap<usize, String>,
    submitted: Submitted,
    run: &Planned,
) -> Option<&'a str> {
    queue.get(&(run.index / submitted.pack)).map(String::as_str)
}

/// `0-3,7`: ascending numbers as Slurm writes them.
fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => parts.push((n, n)),
        }
    }
    let part = |(first, last): (usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.into_iter().map(part).collect::<Vec<_>>().join(",")
}

/// A word of an `#SBATCH` line, in quotes where it has spaces.
fn word(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text.to_owned() }
}

/// A word for bash.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ranges_and_words_for_bash() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!((ranges(&[4]), ranges(&[])), ("4".into(), String::new()));
        assert_eq!(quote("it's"), "'it'\\''s'");
        let two = Slurm { pack: 2, ..Slurm::default() };
        assert_eq!(two.tasks([0, 1, 3, 6].into_iter()), [0, 1, 3]);
    }

    #[test]
    fn the_script_asks_for_what_the_file_says() {
        let slurm = Slurm {
            partition: "cpu".into(),
            time: "1:00:00".into(),
            cpus: 2,
            pack: 3,
            at_once: 40,
            options: vec!["--account=mine".into()],
            ..Slurm::default()
        };
        slurm.validate().unwrap();
        let at = |path: &'static str| Path::new(path);
        let place = Place {
            binary: at("/opt/h step"),
            file: at("/w/a.toml"),
            root: at("/w/runs"),
            folder: at("/w/runs/a"),
        };
        let script = slurm.script("a", &[0, 1], 5, &place);
        for line in [
            "#SBATCH --array=0-1%40",
            "#SBATCH --cpus-per-task=6",
            "#SBATCH --partition=cpu",
            "#SBATCH --time=1:00:00",
            "#SBATCH --account=mine",
            "hstep=('/opt/h step' sweep '/w/a.toml' --out '/w/runs' --threads 2)",
        ] {
            assert!(script.lines().any(|own| own == line), "`{line}` is not in\n{script}");
        }
        assert!(!script.contains("--mem") && !script.contains("@PACK@"), "{script}");
        let wrong = Slurm { options: vec!["--x\n#SBATCH".into()], ..Slurm::default() };
        assert!(wrong.validate().unwrap_err().to_string().contains("slurm.options"));
    }
}
