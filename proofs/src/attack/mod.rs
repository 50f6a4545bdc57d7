//! Searching for instances that break a bound, or come near to it.
//!
//! A search is many short climbs. Each begins at a random instance or at a member of a family that is
//! known to be bad, and takes random changes that raise the ratio of left to right side. Every instance
//! that is evaluated counts in the statistics of both forms, whichever of the two is climbed.
//!
//! The climbs are dealt out in pieces of fixed size, each with its own random stream: results do not
//! depend on the number of threads.

mod free_energy;
mod gradient;
mod mirror;
mod pairs;
mod planning;
mod sequences;
mod shift;
mod steps;
mod variation;

pub use free_energy::FreeEnergy;
pub use gradient::{Gradients, to_json as system_json};
pub use mirror::{Mirror, to_json as game_json};
pub use pairs::Pairs;
pub use planning::{Planned, Planning, PlanningBound};
pub use sequences::{Sequenced, Sequences};
pub use steps::Steps;
pub use variation::Variations;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use hstep::pool;
use hstep::rng::Rng;

use super::number::Rational;

/// Left and right side of a form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides {
    /// What is bounded.
    pub left: f64,
    /// The bound.
    pub right: f64,
}

/// An instance evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluated {
    /// The printed form.
    pub printed: Sides,
    /// The corrected form.
    pub corrected: Sides,
    /// What rounding may have added to the left sides at most; it is taken off before a ratio is formed.
    pub rounding: f64,
    /// Whether an error that the bound is about is above zero.
    pub has_error: bool,
}

impl Sides {
    /// Left over right; infinite for a right side of zero below a left side above `rounding`.
    #[must_use]
    pub fn ratio(&self, rounding: f64) -> f64 {
        let left = self.left - rounding;
        if left <= 0.0 {
            0.0
        } else if self.right <= 0.0 {
            f64::INFINITY
        } else {
            left / self.right
        }
    }
}

/// An instance in exact arithmetic: both sides, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// Left and right side of the printed form.
    pub printed: (Rational, Rational),
    /// Left and right side of the corrected form.
    pub corrected: (Rational, Rational),
    /// The instance, for a file.
    pub instance: serde_json::Value,
}

/// A family of instances to search, and the two forms of a bound on it.
pub trait Target: Sync {
    /// What is drawn and changed.
    type Instance: Clone + Send + Sync;

    /// The name of the random stream.
    fn name(&self) -> &'static str;

    /// A random instance.
    fn draw(&self, rng: &mut Rng) -> Self::Instance;

    /// An instance near `instance`.
    fn vary(&self, instance: &Self::Instance, rng: &mut Rng) -> Self::Instance;

    /// Both forms on an instance; `None` when it does not fulfil the assumptions.
    fn evaluate(&self, instance: &Self::Instance) -> Option<Evaluated>;

    /// The numbers of an instance, to tell different ones apart.
    fn numbers(&self, instance: &Self::Instance) -> Vec<f64>;

    /// The instance rounded to multiples of `1/denominator`, in exact arithmetic; `None` where that
    /// cannot be done.
    fn certify(&self, _instance: &Self::Instance, _denominator: i64) -> Option<Certificate> {
        None
    }
}

/// How much to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Evaluations; rounded up to whole pieces.
    pub evaluations: u64,
    /// The first piece: later rounds of one search begin where the last ended.
    pub first_piece: u64,
    /// The seed.
    pub seed: u64,
}

/// Evaluations in a piece.
pub const PIECE: u64 = 5_000;
/// Changes without a gain after which a climb ends.
const PATIENCE: u64 = 80;
/// Draws and changes a piece may spend for each evaluation: some give what was there before, or what
/// does not fulfil the assumptions.
const TRIES: u64 = 50;
/// Every how many pieces one climbs the printed form; the others climb the corrected one.
const PRINTED_EVERY: u64 = 5;

/// Counts of ratios in equal steps of their logarithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    /// Bins a decade.
    const FINE: f64 = 10.0;
    /// The logarithms of the outer edges.
    const ENDS: (f64, f64) = (-4.0, 4.0);

    fn bins() -> usize {
        ((Self::ENDS.1 - Self::ENDS.0) * Self::FINE) as usize
    }

    fn new() -> Self {
        Self(vec![0; Self::bins() + 2])
    }

    fn add(&mut self, ratio: f64) {
        let along = ((ratio.log10() - Self::ENDS.0) * Self::FINE).floor();
        // The first bin takes what is below the range, zero among it; the last what is above.
        let bin = if along < 0.0 { 0 } else { (along as usize).min(Self::bins()) + 1 };
        self.0[bin] += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// `(lower edge, upper edge, count)` of every bin; the outermost reach to 0 and infinity.
    pub fn rows(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let edge = |i: usize| match i {
            0 => 0.0,
            i if i > Self::bins() + 1 => f64::INFINITY,
            i => 10_f64.powf(Self::ENDS.0 + (i - 1) as f64 / Self::FINE),
        };
        self.0.iter().enumerate().map(move |(i, n)| (edge(i), edge(i + 1), *n))
    }
}

/// What was found about one form.
#[derive(Debug, Clone)]
pub struct Form<I> {
    /// The largest ratio of left to right.
    pub largest: f64,
    /// Where it was.
    pub witness: Option<I>,
    /// Evaluations with a ratio above one.
    pub violations: u64,
    /// The distribution of the ratios.
    pub histogram: Histogram,
}

impl<I: Clone> Form<I> {
    fn new() -> Self {
        Self { largest: -1.0, witness: None, violations: 0, histogram: Histogram::new() }
    }

    fn add(&mut self, ratio: f64, instance: &I) {
        self.histogram.add(ratio);
        self.violations += u64::from(ratio > 1.0);
        if ratio > self.largest {
            (self.largest, self.witness) = (ratio, Some(instance.clone()));
        }
    }

    fn merge(&mut self, other: Self) {
        self.histogram.merge(&other.histogram);
        self.violations += other.violations;
        if other.largest > self.largest {
            (self.largest, self.witness) = (other.largest, other.witness);
        }
    }
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found<I> {
    /// Instances evaluated.
    pub evaluations: u64,
    /// Of these, how many had an error above zero.
    pub with_error: u64,
    /// The printed form.
    pub printed: Form<I>,
    /// The corrected form.
    pub corrected: Form<I>,
    /// Hashes of the instances.
    hashes: Vec<u64>,
    /// Where a next round begins.
    pub next_piece: u64,
}

impl<I: Clone> Found<I> {
    fn new(next_piece: u64) -> Self {
        let (printed, corrected) = (Form::new(), Form::new());
        Self { evaluations: 0, with_error: 0, printed, corrected, hashes: Vec::new(), next_piece }
    }

    /// Adds a later round of the same search.
    pub fn merge(&mut self, other: Self) {
        self.evaluations += other.evaluations;
        self.with_error += other.with_error;
        self.printed.merge(other.printed);
        self.corrected.merge(other.corrected);
        self.hashes.extend(other.hashes);
        self.next_piece = other.next_piece;
    }

    /// How many of the instances were different.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        let mut hashes = self.hashes.clone();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.len() as u64
    }
}

/// Searches. `progress` is called now and then with the number of evaluations so far.
pub fn search<T: Target>(
    target: &T,
    budget: &Budget,
    progress: &(dyn Fn(u64) + Sync),
) -> Found<T::Instance> {
    let pieces = budget.evaluations.div_ceil(PIECE);
    let root = Rng::new(budget.seed).fork(target.name());
    let done = AtomicU64::new(0);
    let mut slots: Vec<Option<Found<T::Instance>>> = (0..pieces).map(|_| None).collect();
    let tasks = (budget.first_piece..).zip(slots.iter_mut()).collect();
    pool::for_each(tasks, true, |(piece, slot): (u64, &mut Option<_>)| {
        let mut rng = root.fork(&format!("piece {piece}"));
        *slot = Some(search_piece(target, piece, &mut rng));
        progress(PIECE * (done.fetch_add(1, Ordering::Relaxed) + 1));
    });
    let mut found = Found::new(budget.first_piece);
    slots.into_iter().flatten().for_each(|piece| found.merge(piece));
    found
}

fn search_piece<T: Target>(target: &T, piece: u64, rng: &mut Rng) -> Found<T::Instance> {
    let mut found = Found::new(piece + 1);
    let climbs_printed = piece % PRINTED_EVERY == PRINTED_EVERY - 1;
    let mut seen = BTreeSet::new();
    // The ratio that is climbed; none for what was seen before or does not fulfil the assumptions.
    let mut take = |instance: &T::Instance| -> Option<f64> {
        let hash = hash(&target.numbers(instance));
        if !seen.insert(hash) {
            return None;
        }
        let evaluated = target.evaluate(instance)?;
        let printed = evaluated.printed.ratio(evaluated.rounding);
        let corrected = evaluated.corrected.ratio(evaluated.rounding);
        found.printed.add(printed, instance);
        found.corrected.add(corrected, instance);
        found.hashes.push(hash);
        found.evaluations += 1;
        found.with_error += u64::from(evaluated.has_error);
        Some(if climbs_printed { printed } else { corrected })
    };
    let mut tries = TRIES * PIECE;
    let mut left = PIECE;
    while left > 0 && tries > 0 {
        let mut best = target.draw(rng);
        tries -= 1;
        let Some(mut height) = take(&best) else { continue };
        left -= 1;
        let mut patience = PATIENCE;
        while left > 0 && tries > 0 && patience > 0 && height < f64::INFINITY {
            let next = target.vary(&best, rng);
            (tries, patience) = (tries - 1, patience - 1);
            let Some(higher) = take(&next) else { continue };
            left -= 1;
            if higher > height {
                (best, height, patience) = (next, higher, PATIENCE);
            }
        }
    }
    found
}

/// FNV-1a over the bits of numbers.
fn hash(numbers: &[f64]) -> u64 {
    let bytes = numbers.iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Coarse to fine: the simplest rational instance that keeps nearly all of the ratio.
const DENOMINATORS: [i64; 6] = [10, 100, 1_000, 10_000, 1_000_000, 1_000_000_000];

/// A rational instance near `instance` whose printed ratio is at least 0.98 of `ratio`.
pub fn certify_violation<T: Target>(
    target: &T,
    instance: &T::Instance,
    ratio: f64,
) -> Option<Certificate> {
    use super::number::Number as _;
    DENOMINATORS.iter().find_map(|&denominator| {
        let found = target.certify(instance, denominator)?;
        let (left, right) = (&found.printed.0, &found.printed.1);
        let enough = if ratio.is_finite() {
            left.float() >= 0.98 * ratio * right.float()
        } else {
            right.float() <= 0.0
        };
        (left > right && enough).then_some(found)
    })
}

/// The instance at the finest rounding, to look at its corrected form without rounding errors.
pub fn certify_finely<T: Target>(target: &T, instance: &T::Instance) -> Option<Certificate> {
    target.certify(instance, DENOMINATORS[DENOMINATORS.len() - 1])
}

/// Draws from the same lists everywhere.
pub(super) mod draws {
    use hstep::rng::Rng;

    /// Discounts, as multiples of 1/100.
    pub const GAMMAS: [f64; 6] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99];

    /// One of `choices`.
    pub fn one_of<T: Copy>(choices: &[T], rng: &mut Rng) -> T {
        choices[rng.below(choices.len())]
    }

    /// Between `low` and `high`, equally often in every decade.
    pub fn log_uniform(low: f64, high: f64, rng: &mut Rng) -> f64 {
        low * (high / low).powf(rng.uniform())
    }

    /// Whether something of probability `p` happens.
    pub fn chance(p: f64, rng: &mut Rng) -> bool {
        rng.uniform() < p
    }

    /// A number with its size changed by a random factor, seldom its sign.
    pub fn changed(x: f64, scale: f64, rng: &mut Rng) -> f64 {
        match rng.below(4) {
            0 => x + scale * rng.normal(),
            1 => x + scale * log_uniform(1e-4, 1.0, rng) * rng.normal(),
            2 => x * log_uniform(0.3, 3.0, rng),
            _ => x * (1.0 + 0.01 * rng.normal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_beyond_the_range_are_in_the_outer_bins() {
        let mut counts = Histogram::new();
        [0.0, 1e-5, 1.0, 1e5, f64::INFINITY].into_iter().for_each(|ratio| counts.add(ratio));
        let last = Histogram::bins() + 1;
        assert_eq!((counts.0[0], counts.0[41], counts.0[last]), (2, 1, 2));
    }
}
