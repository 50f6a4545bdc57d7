//! The progress bar: return, losses, steps a second and time left, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr; silent when stderr is no terminal or `-q` was given.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar that ends at `total` steps.
    pub fn new(label: &str, total: u64, quiet: bool) -> Self {
        Self::counting("steps", label, total, quiet)
    }

    /// A bar that ends at `total` of anything else.
    pub fn counting(unit: &str, label: &str, total: u64, quiet: bool) -> Self {
        // `stderr` hides itself where there is no terminal.
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!(
            "{{prefix}} {{bar:24}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}"
        );
        // The template is fixed; a bar in the default style would still be a bar.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(crate::output::plain(label).into_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// Moves to `step`; `numbers` are shown as `name value`, for example the return and losses.
    pub fn update(&self, step: u64, numbers: &[(&str, f64)]) {
        self.0.set_position(step);
        self.0.set_message(message(numbers));
    }

    /// Counts steps done before a resume out of the speed and the time left.
    pub fn start_at(&self, step: u64) {
        self.0.set_position(step);
        self.0.reset_eta();
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Missing numbers (NaN before the first evaluation) are left out.
fn message(numbers: &[(&str, f64)]) -> String {
    let shown = numbers.iter().filter(|n| n.1.is_finite()).map(|(name, value)| {
        let digits = if value.abs() >= 100.0 { 0 } else { 3 };
        format!("{name} {value:.digits$}")
    });
    shown.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_missing_ones_left_out() {
        let numbers = [("return", -123.456), ("critic", 0.01234), ("actor", f64::NAN)];
        assert_eq!(message(&numbers), "return -123  critic 0.012");
        let bar = Progress::new("x", 10, true);
        bar.update(3, &numbers);
        assert_eq!(bar.0.position(), 3);
    }
}
