//! Learning curves as panels: a mean line and a band over seeds.

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::{bootstrap_mean, mean};

use super::plan::Contender;
use super::runs::{Points, Results};
use super::table::{LEVEL, ROUNDS};
use crate::plot::{Axis, Panel, Series};

/// What a band covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// From the lowest seed to the highest.
    Extremes,
    /// The 95 % bootstrap interval of the mean.
    Mean,
}

/// What lines and bands are: how many seeds, which, which interval.
pub fn caption(seeds: &[u64], band: Band) -> String {
    if let [seed] = seeds {
        return format!("One run each, seed {seed}");
    }
    let bands = match band {
        Band::Extremes => "bands from the lowest to the highest seed",
        Band::Mean => "bands: 95 % bootstrap interval of the mean",
    };
    format!("Mean of {}; {bands}", seed_words(seeds))
}

/// How many seeds, and which: `5 seeds (0 to 4)`.
pub fn seed_words(seeds: &[u64]) -> String {
    let in_a_row = seeds.windows(2).all(|w| w[1] == w[0] + 1);
    let which = match seeds {
        [first, .., last] if in_a_row => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{} seeds ({which})", seeds.len())
}

/// A panel with a line for each of `contenders`: the mean of `column` over seeds.
///
/// # Errors
/// As [`Results::curves`].
pub fn panel(
    title: impl Into<String>,
    label: &str,
    results: &Results,
    contenders: &[Contender],
    column: &str,
    band: Band,
) -> Result<Panel> {
    let mut series = Vec::new();
    for (style, contender) in contenders.iter().enumerate() {
        series.push(line(&contender.label, style, &results.curves(contender, column)?, band)?);
    }
    Ok(Panel {
        title: title.into(),
        x: Axis::linear("environment steps"),
        y: Axis::linear(label),
        series,
        notes: Vec::new(),
    })
}

/// The mean of curves where all of them have a value, with its band when there are several.
fn line(label: &str, style: usize, curves: &[Points], band: Band) -> Result<Series> {
    let (mut points, mut edges) = (Vec::new(), Vec::new());
    for &(x, _) in curves.first().map_or(&[][..], Vec::as_slice) {
        let at = |c: &Points| c.iter().find(|p| p.0 == x).map(|p| p.1);
        let Some(all) = curves.iter().map(at).collect::<Option<Vec<f64>>>() else { continue };
        points.push((x, mean(&all)));
        edges.push(match band {
            Band::Extremes => {
                let low = all.iter().copied().fold(f64::INFINITY, f64::min);
                (low, all.iter().copied().fold(f64::NEG_INFINITY, f64::max))
            }
            // The same draws at every point: the edges then are as smooth as the curves.
            Band::Mean => {
                let i = bootstrap_mean(&all, LEVEL, ROUNDS, &mut Rng::new(0))?;
                (i.low, i.high)
            }
        });
    }
    let line = Series::line(label, style, points);
    Ok(if curves.len() > 1 { line.with_band(edges) } else { line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_mean_where_every_seed_has_a_value() {
        let curves = [vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], vec![(0.0, 3.0), (2.0, 9.0)]];
        let series = line("x", 0, &curves, Band::Extremes).unwrap();
        assert_eq!(series.points, [(0.0, 2.0), (2.0, 6.0)]);
        assert_eq!(series.band, [(1.0, 3.0), (3.0, 9.0)]);
        // Of two seeds a quarter of the resamples are twice the lower one: the extremes again.
        assert_eq!(line("x", 0, &curves, Band::Mean).unwrap().band, series.band);
        assert!(line("x", 0, &curves[..1], Band::Mean).unwrap().band.is_empty());
    }

    #[test]
    fn captions_say_how_many_seeds_and_which() {
        let text = |seeds: &[u64]| caption(seeds, Band::Mean);
        assert!(text(&[0, 1, 2]).starts_with("Mean of 3 seeds (0 to 2); bands: 95 % bootstrap"));
        assert!(text(&[3, 5]).starts_with("Mean of 2 seeds (3, 5)"));
        assert_eq!(text(&[7]), "One run each, seed 7");
    }
}
