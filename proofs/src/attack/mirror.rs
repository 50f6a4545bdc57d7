//! M-DeMoRL's Theorem 1: games of mirror descent.

use serde_json::{Value, json};

use super::draws::{chance, changed, log_uniform, one_of};
use super::{Certificate, Evaluated, Sides, Target};
use crate::file;
use crate::mirror::{Decision, Regret, RegretBound};
use crate::number::{Rational, nearest};
use hstep::rng::Rng;

/// The search over games of up to nine decisions.
pub struct Mirror {
    /// `T`; 0 to 8 when left out.
    pub last: Option<usize>,
    /// Another bound in the place of the corrected one: to see that the search finds out.
    pub variant: Option<fn(&RegretBound<f64>) -> f64>,
}

/// What no number of a cost exceeds: bounds and losses scale with them.
const LARGEST: f64 = 4.0;

fn point(rng: &mut Rng) -> f64 {
    if chance(0.5, rng) { one_of(&[-1.0, 1.0], rng) } else { 2.0 * rng.uniform() - 1.0 }
}

fn decision(rng: &mut Rng) -> Decision<f64> {
    let exact = chance(0.4, rng);
    let size = if exact { 0.0 } else { log_uniform(1e-3, 1.0, rng) };
    let keep = if chance(0.5, rng) { 0.0 } else { point(rng) };
    Decision {
        slope: 2.0 * point(rng),
        curvature: if chance(0.5, rng) { 0.0 } else { log_uniform(0.01, 4.0, rng) },
        bias: size * point(rng),
        tilt: size * point(rng),
        alpha: log_uniform(0.05, 20.0, rng),
        keep,
        moved: (1.0 - keep.abs()) * point(rng),
        comparator: point(rng),
    }
}

/// Restores what the theorem assumes: points and shifts inside, step sizes that do not rise.
fn repaired(mut game: Regret<f64>) -> Regret<f64> {
    game.start = game.start.clamp(-1.0, 1.0);
    let mut ceiling = f64::INFINITY;
    for d in &mut game.decisions {
        for x in [&mut d.slope, &mut d.curvature, &mut d.bias, &mut d.tilt] {
            *x = x.clamp(-LARGEST, LARGEST);
        }
        d.curvature = d.curvature.max(0.0);
        d.comparator = d.comparator.clamp(-1.0, 1.0);
        d.keep = d.keep.clamp(-1.0, 1.0);
        let room = 1.0 - d.keep.abs();
        d.moved = d.moved.clamp(-room, room);
        d.alpha = d.alpha.clamp(1e-3, ceiling.min(100.0));
        ceiling = d.alpha;
    }
    game
}

impl Target for Mirror {
    type Instance = Regret<f64>;

    fn name(&self) -> &'static str {
        "demorl-theorem-1"
    }

    fn draw(&self, rng: &mut Rng) -> Regret<f64> {
        let last = self.last.unwrap_or_else(|| rng.below(9));
        let mut decisions: Vec<Decision<f64>> = (0..last + 2).map(|_| decision(rng)).collect();
        if chance(0.5, rng) {
            // One cost and one step size throughout.
            let first = decisions[0].clone();
            for d in &mut decisions {
                let own = d.clone();
                *d = Decision { comparator: own.comparator, moved: own.moved, ..first.clone() };
            }
        }
        repaired(Regret { start: point(rng), decisions })
    }

    fn vary(&self, instance: &Regret<f64>, rng: &mut Rng) -> Regret<f64> {
        let mut next = instance.clone();
        let t = rng.below(next.decisions.len());
        if chance(0.2, rng) {
            // Step sizes and costs of all decisions at once.
            let (alpha, slope) = (log_uniform(0.5, 2.0, rng), log_uniform(0.5, 2.0, rng));
            for d in &mut next.decisions {
                d.alpha *= alpha;
                d.slope *= slope;
            }
            return repaired(next);
        }
        let d = &mut next.decisions[t];
        match rng.below(9) {
            0 => d.slope = changed(d.slope, 0.5, rng),
            1 => d.curvature = if chance(0.3, rng) { 0.0 } else { changed(d.curvature, 0.5, rng) },
            2 => d.bias = if chance(0.3, rng) { 0.0 } else { changed(d.bias, 0.3, rng) },
            3 => d.tilt = if chance(0.3, rng) { 0.0 } else { changed(d.tilt, 0.3, rng) },
            4 => d.alpha = changed(d.alpha, 0.5, rng),
            5 => d.keep = if chance(0.5, rng) { 0.0 } else { changed(d.keep, 0.5, rng) },
            6 => d.moved = point(rng),
            7 => d.comparator = point(rng),
            _ => next.start = point(rng),
        }
        repaired(next)
    }

    fn evaluate(&self, instance: &Regret<f64>) -> Option<Evaluated> {
        let (left, bound) = (instance.regret(), instance.bound());
        let corrected = self.variant.map_or(bound.corrected(), |variant| variant(&bound));
        // Some ten operations a decision on numbers of the size of gradient plus model error.
        let size = (bound.gradient + bound.model_error + 1.0) * instance.decisions.len() as f64;
        Some(Evaluated {
            printed: Sides { left, right: bound.printed() },
            corrected: Sides { left, right: corrected },
            rounding: 1e-14 * size,
            has_error: bound.model_error > 0.0 || bound.variation > 0.0,
        })
    }

    fn numbers(&self, instance: &Regret<f64>) -> Vec<f64> {
        let of = |d: &Decision<f64>| {
            [d.slope, d.curvature, d.bias, d.tilt, d.alpha, d.keep, d.moved, d.comparator]
        };
        instance.decisions.iter().flat_map(of).chain([instance.start]).collect()
    }

    fn certify(&self, instance: &Regret<f64>, denominator: i64) -> Option<Certificate> {
        let q = |x: f64| nearest(x, denominator);
        let decision = |d: &Decision<f64>| Decision {
            slope: q(d.slope),
            curvature: q(d.curvature),
            bias: q(d.bias),
            tilt: q(d.tilt),
            alpha: q(d.alpha),
            keep: q(d.keep),
            moved: q(d.moved),
            comparator: q(d.comparator),
        };
        let decisions = instance.decisions.iter().map(decision).collect();
        // Refused where rounding has broken an assumption.
        let game = Regret::new(q(instance.start), decisions).ok()?;
        let (left, bound) = (game.regret(), game.bound());
        Some(Certificate {
            printed: (left.clone(), bound.printed()),
            corrected: (left, bound.corrected()),
            instance: to_json(&game),
        })
    }
}

/// A game as JSON.
#[must_use]
pub fn to_json(game: &Regret<Rational>) -> Value {
    let decision = |d: &Decision<Rational>| {
        json!({
            "slope": file::text(&d.slope),
            "curvature": file::text(&d.curvature),
            "bias": file::text(&d.bias),
            "tilt": file::text(&d.tilt),
            "alpha": file::text(&d.alpha),
            "keep": file::text(&d.keep),
            "move": file::text(&d.moved),
            "comparator": file::text(&d.comparator),
        })
    };
    let decisions: Vec<Value> = game.decisions.iter().map(decision).collect();
    json!({ "start": file::text(&game.start), "decisions": decisions })
}
