//! Learning curves of several seeds as a line and a band.

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::{Resamples, Scores, Statistic};

use super::LEVEL;
use crate::plot::Series;

/// A curve: a metrics column by environment step.
pub type Points = Vec<(f64, f64)>;

/// Seeds below which no bootstrap is drawn.
pub const SEEDS_FOR_A_BAND: usize = 5;
/// Points of a drawn line at most, and of a seed's.
const DRAWN: usize = 120;
/// Rounds of the bootstrap at every point of a band.
const BAND_ROUNDS: usize = 2_000;

/// The interquartile mean where all of the curves have a value, with its 95 % bootstrap interval from
/// [`SEEDS_FOR_A_BAND`] seeds on.
///
/// # Errors
/// [`hstep::Error::Config`] for values that are not finite.
pub fn line(label: &str, style: usize, curves: &[Points]) -> Result<Series> {
    let mut at: Points = Points::new();
    let mut values: Vec<Vec<f64>> = Vec::new();
    let mut next = vec![0; curves.len()];
    for &(x, _) in curves.first().map_or(&[][..], Vec::as_slice) {
        let mut all = Vec::with_capacity(curves.len());
        for (curve, next) in curves.iter().zip(&mut next) {
            // Curves rise in x: each is walked through once.
            *next += curve[*next..].iter().take_while(|p| p.0 < x).count();
            all.extend(curve.get(*next).filter(|p| p.0 == x).map(|p| p.1));
        }
        if all.len() == curves.len() {
            at.push((x, 0.0));
            values.push(all);
        }
    }
    let kept = thinned(at.len());
    at = kept.iter().map(|&i| at[i]).collect();
    values = kept.iter().map(|&i| std::mem::take(&mut values[i])).collect();
    let band = edges(&values)?;
    for (point, all) in at.iter_mut().zip(&values) {
        point.1 = Statistic::Iqm.of(&Scores::new(&[all])?);
    }
    Ok(Series::line(label, style, at).with_band(band))
}

/// The band at every point, or none. The same draws at every point: the edges then are as smooth as
/// the curves.
fn edges(values: &[Vec<f64>]) -> Result<Vec<(f64, f64)>> {
    if values.first().map_or(0, Vec::len) < SEEDS_FOR_A_BAND {
        return Ok(Vec::new());
    }
    let draws = Resamples::new(&Scores::new(&[&values[0]])?, BAND_ROUNDS, &mut Rng::new(0))?;
    let of = |all: &Vec<f64>| draws.interval(&Scores::new(&[all])?, Statistic::Iqm, LEVEL);
    values.iter().map(|all| of(all).map(|i| (i.low, i.high))).collect()
}

/// Places of at most [`DRAWN`] of `n` points, evenly, both ends among them.
fn thinned(n: usize) -> Vec<usize> {
    let kept = n.min(DRAWN);
    (0..kept).map(|i| i * (n - 1) / (kept - 1).max(1)).collect()
}

/// Each seed's own curve, thin.
pub fn seeds(style: usize, curves: &[Points]) -> impl Iterator<Item = Series> {
    curves.iter().map(move |curve| {
        let points = thinned(curve.len()).into_iter().map(|i| curve[i]).collect();
        Series::thin(style, points)
    })
}

/// The value at `x`, between points in a straight line; `None` outside.
pub fn between(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = points.partition_point(|p| p.0 < x);
    let b = points.get(after)?;
    if b.0 == x {
        return Some(b.1);
    }
    let a = points[after.checked_sub(1)?];
    Some(a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_where_every_seed_has_a_value() {
        let curves = [vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], vec![(0.0, 3.0), (2.0, 9.0)]];
        let series = line("x", 0, &curves).unwrap();
        assert_eq!(series.points, [(0.0, 2.0), (2.0, 6.0)]);
        assert!(series.band.is_empty());
    }

    #[test]
    fn five_seeds_have_a_band_and_four_have_none() {
        let curve = |i: i32| vec![(0.0, f64::from(i)), (1.0, f64::from(i * i))];
        let curves: Vec<Points> = (0..5).map(curve).collect();
        let series = line("x", 0, &curves).unwrap();
        assert_eq!(series.points, [(0.0, 2.0), (1.0, 14.0 / 3.0)]);
        assert!(series.band[0].0 >= 0.0 && series.band[0].0 < 2.0 && series.band[0].1 > 2.0);
        assert!(line("x", 0, &curves[..4]).unwrap().band.is_empty());
    }

    #[test]
    fn a_thinned_line_keeps_its_ends() {
        assert_eq!(thinned(3), [0, 1, 2]);
        assert_eq!(thinned(1), [0]);
        assert!(thinned(0).is_empty());
        let kept = thinned(1000);
        assert_eq!((kept[0], kept[DRAWN - 1], kept.len()), (0, 999, DRAWN));
        assert!(kept.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn values_between_points_lie_on_the_line() {
        let points = [(1.0, 0.0), (3.0, 4.0)];
        let at = |x| between(&points, x);
        assert_eq!(
            [at(0.5), at(1.0), at(2.0), at(3.0), at(3.5)],
            [None, Some(0.0), Some(2.0), Some(4.0), None]
        );
    }
}
