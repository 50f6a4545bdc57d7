//! How the runs of a sweep stand: bars on a terminal, lines in a log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plan::Planned;
use crate::progress;

/// How often files are read for the steps that are done.
const EVERY: Duration = Duration::from_millis(500);
/// Longer than any row of metrics.
const TAIL: u64 = 1 << 14;

/// Shows all runs.
pub struct Board {
    folder: PathBuf,
    bars: MultiProgress,
    whole: ProgressBar,
    /// A bar for each run at work, by its place in the list.
    each: BTreeMap<usize, ProgressBar>,
    steps: BTreeMap<usize, u64>,
    runs: usize,
    ended: usize,
    failures: usize,
    looked: Option<Instant>,
}

impl Board {
    pub fn new(runs: &[Planned], folder: &Path, quiet: bool) -> Self {
        let bars = progress::bars(quiet);
        let steps: BTreeMap<usize, u64> =
            runs.iter().map(|run| (run.index, steps_done(&folder.join(&run.folder)))).collect();
        let total = runs.iter().map(|run| run.settings.run.steps).sum();
        let whole = bars.add(bar(total, "{bar:20} {percent}%  {eta} left  {wide_msg}"));
        whole.set_position(steps.values().sum());
        whole.reset_eta();
        let wanted = |run: &&Planned| steps[&run.index] >= run.settings.run.steps;
        let ended = runs.iter().filter(wanted).count();
        Self {
            folder: folder.to_path_buf(),
            bars,
            whole,
            each: BTreeMap::new(),
            steps,
            runs: runs.len(),
            ended,
            failures: 0,
            looked: None,
        }
    }

    pub fn started(&mut self, run: &Planned) {
        tracing::debug!("{} begins", run.folder);
        let one = bar(run.settings.run.steps, "  {bar:16} {pos}/{len}  {wide_msg}");
        let one = self.bars.add(one);
        one.set_message(run.folder.clone());
        one.set_position(self.steps[&run.index]);
        self.each.insert(run.index, one);
    }

    pub fn ended(&mut self, run: &Planned, code: Option<i32>) {
        if let Some(bar) = self.each.remove(&run.index) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        self.measure(run);
        let how = match code {
            Some(0) => {
                self.ended += 1;
                "done".to_owned()
            }
            Some(75) => "interrupted".to_owned(),
            Some(code) => {
                self.failures += 1;
                format!("failed with exit code {code}")
            }
            None => {
                self.failures += 1;
                "was killed".to_owned()
            }
        };
        tracing::info!("{} {how} ({} of {} done)", run.folder, self.ended, self.runs);
    }

    /// Reads how far the runs at work are.
    pub fn look<'a>(&mut self, working: impl Iterator<Item = &'a Planned>) {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        working.for_each(|run| self.measure(run));
        self.whole.set_position(self.steps.values().sum());
        let failures = match self.failures {
            0 => String::new(),
            n => format!(", {n} failures"),
        };
        self.whole.set_message(format!("{} of {} runs{failures}", self.ended, self.runs));
    }

    fn measure(&mut self, run: &Planned) {
        let now = steps_done(&self.folder.join(&run.folder));
        if self.steps.insert(run.index, now) != Some(now) {
            tracing::debug!("{} step {now}", run.folder);
        }
        if let Some(bar) = self.each.get(&run.index) {
            bar.set_position(now);
        }
    }

    pub fn finish(&self) {
        self.whole.finish_and_clear();
        progress::no_bars();
    }
}

fn bar(len: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(len);
    // The templates are fixed; a bar in the default style would still be a bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// The step of the last whole row of a run's metrics; 0 before the first.
pub fn steps_done(folder: &Path) -> u64 {
    let tail = || -> std::io::Result<String> {
        let mut file = File::open(folder.join("metrics.csv"))?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = tail().unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let last = whole.rsplit('\n').next().and_then(|row| row.split(',').next());
    last.and_then(|cell| cell.parse::<f64>().ok()).map_or(0, |steps| steps as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_row_counts() {
        let folder = tempfile::tempdir().unwrap();
        let done = |text: &str| {
            std::fs::write(folder.path().join("metrics.csv"), text).unwrap();
            steps_done(folder.path())
        };
        assert_eq!(done("env_steps,r\n100,1\n200,2\n30"), 200);
        assert_eq!(done("env_steps,r\n"), 0);
        assert_eq!(done(""), 0);
        let long = format!("env_steps,r\n{}900,5\n", "100,1\n".repeat(9000));
        assert_eq!(done(&long), 900);
        assert_eq!(steps_done(Path::new("nowhere")), 0);
    }
}
