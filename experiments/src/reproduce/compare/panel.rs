//! Learning curves of a figure, drawn as `hstep compare` draws them: interquartile means with bootstrap
//! bands, and small multiples where several bands would lie over one another.

use std::path::Path;

use hstep::Result;
use toml::Table;

use super::plan::Contender;
use super::runs::Results;
use crate::compare::folders::{self, hours};
use crate::compare::groups::Group;
use crate::compare::{Across, Drawing, summary};
use crate::plot::Figure;

/// Evaluations that a seed's score is the mean of: what a figure's title goes by.
const LAST: usize = 5;

/// Algorithms by their style, the same in every figure.
const STYLED: [&str; 5] = ["maac", "mbpo", "sac", "mopac", "demorl"];

/// How many seeds, and which: `5 seeds (0 to 4)`.
pub fn seed_words(seeds: &[u64]) -> String {
    let in_a_row = seeds.windows(2).all(|w| w[1] == w[0] + 1);
    let which = match seeds {
        [first, .., last] if in_a_row => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{} seeds ({which})", seeds.len())
}

/// The figures of `column`: the first is called `name`, those of further environments have these
/// after it. A title says who leads, as the intervals allow.
///
/// # Errors
/// As [`Results::curves`], and for published curves that cannot be read.
pub fn curves(
    name: &str,
    results: &Results,
    contenders: &[Contender],
    column: &str,
    reference: Option<&Path>,
) -> Result<Vec<Figure>> {
    let group = |contender: &Contender| -> Result<Group> {
        let run = |run: &super::Run| {
            Ok(folders::Run {
                folder: run.folder.clone(),
                settings: Table::new(),
                algo: contender.algo.clone(),
                env: contender.env.clone(),
                seed: run.seed,
                curve: run.curve(column)?,
                hours: hours(&run.folder)?,
            })
        };
        let runs = results.of(contender).into_iter().map(run).collect::<Result<_>>()?;
        Ok(Group { label: contender.label.clone(), env: contender.env.clone(), runs })
    };
    let groups: Vec<Group> = contenders.iter().map(group).collect::<Result<_>>()?;
    let rows = summary::rows(&groups, LAST)?;
    let (groups, rows) = (&groups[..], &rows[..]);
    let drawing = Drawing { groups, rows, column, reference, whole: true, styles };
    let mut figures = drawing.curves(Across::Steps)?;
    for (i, figure) in figures.iter_mut().enumerate() {
        let rest = figure.name.trim_start_matches("curves").to_owned();
        figure.name = if i == 0 { name.to_owned() } else { format!("{name}{rest}") };
    }
    Ok(figures)
}

/// The style of each line: an algorithm's own for its first, for the others one that nobody else has, as
/// far as there are seven; the last two are those of published curves.
fn styles(algos: &[&str]) -> Vec<usize> {
    let own = |algo: &str| {
        let base = algo.split('-').next();
        STYLED.iter().position(|name| Some(*name) == base)
    };
    let owned: Vec<usize> = algos.iter().filter_map(|algo| own(algo)).collect();
    let published = STYLED.len()..STYLED.len() + 2;
    let mut free = (0..).filter(|style| !owned.contains(style) && !published.contains(style));
    let mut taken = Vec::new();
    let style = |algo: &&str| match own(algo) {
        Some(own) if !taken.contains(&own) => {
            taken.push(own);
            Some(own)
        }
        _ => free.next(),
    };
    algos.iter().filter_map(style).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_say_how_many_seeds_and_which() {
        assert_eq!(seed_words(&[0, 1, 2]), "3 seeds (0 to 2)");
        assert_eq!(seed_words(&[3, 5]), "2 seeds (3, 5)");
    }

    #[test]
    fn an_algorithm_has_one_style_in_every_figure() {
        assert_eq!(styles(&["mbpo-2core", "sac"]), [1, 2]);
        assert_eq!(styles(&["maac-2core", "maac-2core", "mbpo-2core", "maac-code"]), [0, 2, 1, 3]);
        // Beyond the seven there are they come again.
        let all = ["demorl", "mopac", "sac", "mbpo", "maac", "steve", "pets"];
        assert_eq!(styles(&all), [4, 3, 2, 1, 0, 7, 8]);
    }
}
