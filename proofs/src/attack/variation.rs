//! MAAC's Lemma 4.2: policies that see a state through one parameter.

use super::draws::{chance, changed, log_uniform};
use super::{Evaluated, Sides, Target};
use crate::maac::{Bernoulli, Gaussian, PolicyFamily};
use hstep::rng::Rng;

/// Two parameters of one family, and the states there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Parted {
    /// The standard deviation of a Gaussian; two actions when left out.
    pub sigma: Option<f64>,
    /// The parameter after the exact step.
    pub from: f64,
    /// The parameter after the approximate one.
    pub to: f64,
    /// The smallest state, at least 0.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// The search over Gaussian and two-action policies.
pub struct Variations;

/// States at which the total variation is looked at, beside the two ends.
const STATES: usize = 32;

impl Parted {
    fn sides(&self, family: &impl PolicyFamily) -> (f64, f64, f64) {
        let Self { from, to, low, high, .. } = *self;
        let tv = |s: f64| family.tv(from * s, to * s);
        let at = |i: usize| low + (high - low) * i as f64 / (STATES + 1) as f64;
        let left = (0..=STATES + 1).map(at).map(tv).fold(0.0, f64::max);
        // alpha |grad J - grad J^| is the distance of the parameters.
        let distance = (from - to).abs();
        let printed = distance * family.local_c3(from, low, high);
        (left, printed, distance * family.segment_c3(from, to, low, high))
    }
}

fn repaired(mut parted: Parted) -> Parted {
    parted.high = parted.high.abs().clamp(1e-3, 100.0);
    parted.low = parted.low.abs().min(parted.high);
    parted.sigma = parted.sigma.map(|sigma| sigma.abs().clamp(1e-3, 100.0));
    parted.from = parted.from.clamp(-20.0, 20.0);
    parted.to = parted.to.clamp(-20.0, 20.0);
    parted
}

impl Target for Variations {
    type Instance = Parted;

    fn name(&self) -> &'static str {
        "maac-lemma-4.2"
    }

    fn draw(&self, rng: &mut Rng) -> Parted {
        let high = log_uniform(0.1, 10.0, rng);
        let from = 3.0 * rng.normal();
        repaired(Parted {
            sigma: chance(0.5, rng).then(|| log_uniform(0.05, 5.0, rng)),
            from,
            to: from + log_uniform(1e-4, 10.0, rng) * rng.normal(),
            low: if chance(0.5, rng) { 0.0 } else { high * rng.uniform() },
            high,
        })
    }

    fn vary(&self, instance: &Parted, rng: &mut Rng) -> Parted {
        let mut next = instance.clone();
        match rng.below(5) {
            0 => next.from = changed(next.from, 1.0, rng),
            1 => next.to = next.from + changed(next.to - next.from, 0.1, rng),
            2 => next.low = changed(next.low, 0.5, rng),
            3 => next.high = changed(next.high, 0.5, rng),
            _ => next.sigma = next.sigma.map(|sigma| changed(sigma, 0.5, rng)),
        }
        repaired(next)
    }

    fn evaluate(&self, instance: &Parted) -> Option<Evaluated> {
        let (left, printed, corrected) = match instance.sigma {
            Some(sigma) => instance.sides(&Gaussian { sigma }),
            None => instance.sides(&Bernoulli),
        };
        Some(Evaluated {
            printed: Sides { left, right: printed },
            corrected: Sides { left, right: corrected },
            // Differences of probabilities, which are at most 1.
            rounding: 1e-15,
            has_error: instance.from != instance.to,
        })
    }

    fn numbers(&self, instance: &Parted) -> Vec<f64> {
        let Parted { sigma, from, to, low, high } = *instance;
        vec![sigma.unwrap_or(0.0), from, to, low, high]
    }
}
