//! Learning curves as panels: a mean line and a band over seeds.

use hstep::Result;

use super::plan::Contender;
use super::runs::Results;
use crate::compare::{Band, line};
use crate::plot::{Axis, Panel};

/// What lines and bands are: how many seeds, which, which interval.
pub fn caption(seeds: &[u64], band: Band) -> String {
    if let [seed] = seeds {
        return format!("One run each, seed {seed}");
    }
    let bands = match band {
        Band::Extremes => "bands from the lowest to the highest seed",
        Band::Iqm => "bands: 95 % bootstrap interval of the interquartile mean",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_say_how_many_seeds_and_which() {
        let text = |seeds: &[u64]| caption(seeds, Band::Mean);
        assert!(text(&[0, 1, 2]).starts_with("Mean of 3 seeds (0 to 2); bands: 95 % bootstrap"));
        assert!(text(&[3, 5]).starts_with("Mean of 2 seeds (3, 5)"));
        assert_eq!(text(&[7]), "One run each, seed 7");
    }
}
