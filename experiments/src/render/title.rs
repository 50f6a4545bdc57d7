//! What is written over a picture: the environment, the run, and what it reached.

use hstep::env::scene::Scene;

use super::marks::{Mark, Point};
use super::stage::{INK, SOFT};
use crate::plot::{Anchor, text_width};

/// The words.
#[derive(Debug, Clone)]
pub struct Title {
    /// The environment.
    pub heading: String,
    /// The algorithm, seed and environment steps.
    pub run: String,
    /// What the episodes earned.
    pub reached: String,
}

impl Title {
    /// A number with as many decimals as it has use for, and a true minus sign.
    pub fn number(x: f64) -> String {
        let decimals = match x.abs() {
            a if a < 9.995 => 2,
            a if a < 999.95 => 1,
            _ => 0,
        };
        let text = format!("{x:.decimals$}");
        // No negative zero.
        let zero = text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.');
        if zero { text.trim_start_matches('-').into() } else { text.replace('-', "\u{2212}") }
    }

    /// The time of a step, in seconds where there are any.
    pub fn time(&self, scene: &Scene, step: usize) -> String {
        match scene.time_step {
            Some(dt) => format!("{:.2}\u{a0}s", dt * step as f64),
            None => format!("step\u{a0}{step}"),
        }
    }

    /// Writes the title into the width from `at` on, letters `scale` times their usual size, and
    /// returns the height that it takes. What does not fit beside the heading stands below it.
    pub fn marks(&self, at: Point, width: f64, scale: f64, marks: &mut Vec<Mark>) -> f64 {
        let (large, small) = (25.0 * scale, 17.0 * scale);
        let mut line = |text: &str, x, baseline: f64, anchor, em, bold| {
            let color = if bold { INK } else { SOFT };
            let at = (x, at.1 + baseline);
            marks.push(Mark::Text { text: text.into(), at, anchor, em, bold, color });
        };
        let first = 0.8 * large;
        line(&self.heading, at.0, first, Anchor::Left, large, true);
        let measured = |text: &str, em| text_width(text, em).unwrap_or(0.0);
        // Bold letters are a little wider than those that are measured.
        let beside = at.0 + 1.06 * measured(&self.heading, large) + 1.2 * small;
        let needed = measured(&self.run, small) + measured(&self.reached, small) + small;
        let fits = beside + needed <= at.0 + width;
        let second = if fits { first } else { first + 1.4 * small };
        let left = if fits { beside } else { at.0 };
        line(&self.run, left, second, Anchor::Left, small, false);
        if !self.reached.is_empty() {
            line(&self.reached, at.0 + width, second, Anchor::Right, small, false);
        }
        second + 0.95 * small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_decimals_that_they_need() {
        let all = [0.0, -0.001, 1.234, -9.996, -123.44, 12_345.6].map(Title::number);
        assert_eq!(all, ["0.00", "0.00", "1.23", "\u{2212}10.0", "\u{2212}123.4", "12346"]);
    }
}
