//! The progress line: what is done, the pace, the time left and a few numbers, on a terminal only, in
//! one line of any width; log lines stand above it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars on the terminal now: what is logged goes above them.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Standard error for log lines: a bar is taken away while one is written.
#[derive(Debug, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let write = || crate::output::Log.write(line);
        match shown {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bars on stderr, hidden where it is no terminal or `quiet`; log lines go above them from now on.
pub fn bars(quiet: bool) -> MultiProgress {
    // `stderr` hides itself where there is no terminal.
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bars = MultiProgress::with_draw_target(target);
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars.clone());
    bars
}

/// Ends what [`bars`] began.
pub fn no_bars() {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// How often the words beside the bar change.
const TICK: Duration = Duration::from_millis(200);

/// A bar on stderr; silent when stderr is no terminal or `-q` was given.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    label: String,
    unit: &'static str,
    total: u64,
    began: Instant,
    said: Mutex<(Pace, Option<Instant>)>,
}

impl Progress {
    /// A bar that ends at `total` steps.
    pub fn new(label: &str, total: u64, quiet: bool) -> Self {
        Self::counting("steps", label, total, quiet)
    }

    /// A bar that ends at `total` of anything else.
    pub fn counting(unit: &'static str, label: &str, total: u64, quiet: bool) -> Self {
        let bar = bars(quiet).add(ProgressBar::new(total));
        // The template is fixed; a bar in the default style would still be a bar. The message is cut
        // where the terminal ends, so that the line never wraps.
        if let Ok(style) = ProgressStyle::with_template("{bar:10} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        let label = crate::output::plain(label).into_owned();
        Self { bar, label, unit, total, began: Instant::now(), said: Mutex::default() }
    }

    /// Moves to `step`; `numbers` are shown as `name value`, for example the return and losses.
    pub fn update(&self, step: u64, numbers: &[(&str, f64)]) {
        self.bar.set_position(step);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.1.is_some_and(|at| at.elapsed() < TICK) && step < self.total {
            return;
        }
        said.0.mark(self.began.elapsed().as_secs_f64(), step);
        said.1 = Some(Instant::now());
        let mut words = vec![self.label.clone(), format!("{step}/{} {}", self.total, self.unit)];
        if let Some(rate) = said.0.rate() {
            words.push(pace(rate));
            let rest = self.total.saturating_sub(step) as f64 / rate;
            words.push(format!("{} left", duration(rest)));
        }
        words.extend(message(numbers));
        self.bar.set_message(words.join("  "));
    }

    /// Counts steps done before a resume out of the speed and the time left.
    pub fn start_at(&self, step: u64) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        self.update(step, &[]);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        no_bars();
    }
}

/// The pace of the last half minute: an old one says little of what is left.
#[derive(Debug, Default)]
struct Pace(VecDeque<(f64, u64)>);

impl Pace {
    const SECONDS: f64 = 30.0;

    fn mark(&mut self, seconds: f64, step: u64) {
        self.0.push_back((seconds, step));
        // One mark older than that stays: the span is at least as long.
        while self.0.get(1).is_some_and(|mark| seconds - mark.0 >= Self::SECONDS) {
            self.0.pop_front();
        }
    }

    /// Steps a second; none before something was done.
    fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.0.front()?, self.0.back()?);
        let rate = last.saturating_sub(*first) as f64 / (to - from);
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

/// A rate with two or three digits that say something.
fn pace(a_second: f64) -> String {
    match a_second {
        r if r >= 10.0 => format!("{r:.0}/s"),
        r if r >= 1.0 => format!("{r:.1}/s"),
        r if 60.0 * r >= 1.0 => format!("{:.0}/min", 60.0 * r),
        r => format!("{:.1}/h", 3600.0 * r),
    }
}

/// A time in its two largest units.
fn duration(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s.div_ceil(60)),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// Missing numbers (NaN before the first evaluation) are left out.
fn message(numbers: &[(&str, f64)]) -> Vec<String> {
    let shown = numbers.iter().filter(|n| n.1.is_finite()).map(|(name, value)| {
        let digits = match value.abs() {
            a if a >= 100.0 => 0,
            a if a >= 1.0 => 1,
            _ => 3,
        };
        format!("{name} {value:.digits$}")
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_missing_ones_left_out() {
        let numbers = [("return", -123.456), ("critic", 0.01234), ("actor", f64::NAN)];
        assert_eq!(message(&numbers), ["return -123", "critic 0.012"]);
        let bar = Progress::new("x", 10, true);
        bar.update(3, &numbers);
        assert_eq!(bar.bar.position(), 3);
    }

    #[test]
    fn the_pace_is_that_of_the_last_half_minute_and_of_this_process() {
        let mut pace = Pace::default();
        // Resumed at 5000: one mark is no pace.
        pace.mark(0.0, 5000);
        assert_eq!(pace.rate(), None);
        for second in 1..=20 {
            pace.mark(f64::from(second), 5000 + second as u64 * 100);
        }
        assert_eq!(pace.rate(), Some(100.0));
        // Slow from now on: 40 seconds later nothing is left of the fast ones.
        for second in 21..=60 {
            pace.mark(f64::from(second), 7000 + (second as u64 - 20) * 2);
        }
        assert_eq!(pace.rate(), Some(2.0));
    }

    #[test]
    fn times_and_rates_have_no_decimals_beyond_sense() {
        let times = [0.2, 59.0, 61.0, 3599.0, 4000.0, 200_000.0].map(duration);
        assert_eq!(times, ["1 s", "59 s", "2 min", "60 min", "1 h 6 min", "2 d 7 h"]);
        let rates = [1234.5, 12.34, 1.23, 0.5, 0.001].map(pace);
        assert_eq!(rates, ["1234/s", "12/s", "1.2/s", "30/min", "3.6/h"]);
    }
}
