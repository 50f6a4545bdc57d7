//! MPQ's free energy, and policies to compare it with.

use super::draws::{chance, log_uniform, one_of};
use super::shift::{random_kernel, random_row, shift_randomly};
use super::{Evaluated, Sides, Target};
use crate::mdp::Policy;
use crate::mpq::{Soft, Stages};
use hstep::rng::Rng;

/// A problem of soft control and a policy a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Softly {
    /// The problem.
    pub soft: Soft,
    /// Policies `[H]`.
    pub stages: Stages,
}

/// The search. Eq. (7) says that two numbers are equal: its sides are the larger and the smaller one.
/// The nested form says that no policy costs less than it: its sides are the nested value and the cost
/// of a policy. Costs are positive.
pub struct FreeEnergy {
    /// The horizon; 1 to 6 when left out.
    pub horizon: Option<usize>,
}

/// The pair with the largest ratio.
fn steepest(pairs: impl Iterator<Item = (f64, f64)>) -> Sides {
    let ratio = |p: &(f64, f64)| p.0 / p.1;
    let best = pairs.max_by(|a, b| ratio(a).total_cmp(&ratio(b))).unwrap_or((0.0, 1.0));
    Sides { left: best.0, right: best.1 }
}

impl FreeEnergy {
    fn drawn(&self, rng: &mut Rng) -> Option<Softly> {
        let (states, actions) = (1 + rng.below(4), 2 + rng.below(2));
        let horizon = self.horizon.unwrap_or_else(|| 1 + rng.below(6));
        let mut kernel = random_kernel(states, actions, rng)?;
        if chance(0.5, rng) {
            for (s, a) in kernel.pairs() {
                let row = kernel.row_mut(s, a);
                row.fill(0.0);
                row[rng.below(states)] = 1.0;
            }
        }
        let size = log_uniform(0.1, 10.0, rng);
        let mut cost = || size * (0.01 + rng.uniform());
        let costs = (0..states).map(|_| (0..actions).map(|_| cost()).collect()).collect();
        let terminal = (0..states).map(|_| cost()).collect();
        let mut prior: Vec<f64> = (0..actions).map(|_| 0.05 + rng.uniform()).collect();
        let sum: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|p| *p /= sum);
        let gamma = one_of(&[0.5, 0.8, 0.9, 0.99, 1.0], rng);
        let lambda = log_uniform(0.1, 10.0, rng);
        let soft = Soft { gamma, lambda, horizon, costs, kernel, prior, terminal }.check().ok()?;
        let stages = if chance(0.5, rng) {
            let rows = |rng: &mut Rng| -> Vec<Vec<f64>> {
                (0..states).map(|_| random_row(actions, rng)).collect()
            };
            (0..horizon).filter_map(|_| Policy::new("pi", &rows(rng), actions).ok()).collect()
        } else {
            soft.nested().1
        };
        (stages.len() == horizon).then_some(Softly { soft, stages })
    }
}

impl Target for FreeEnergy {
    type Instance = Softly;

    fn name(&self) -> &'static str {
        "mpq-free-energy"
    }

    fn draw(&self, rng: &mut Rng) -> Softly {
        loop {
            if let Some(drawn) = self.drawn(rng) {
                return drawn;
            }
        }
    }

    fn vary(&self, instance: &Softly, rng: &mut Rng) -> Softly {
        let mut next = instance.clone();
        let (states, actions) = (next.soft.costs.len(), next.soft.prior.len());
        let (s, a) = (rng.below(states), rng.below(actions));
        match rng.below(4) {
            0 => {
                let cost = &mut next.soft.costs[s][a];
                *cost = (*cost * log_uniform(0.3, 3.0, rng)).clamp(1e-3, 100.0);
            }
            1 => {
                let value = &mut next.soft.terminal[s];
                *value = (*value * log_uniform(0.3, 3.0, rng)).clamp(1e-3, 100.0);
            }
            2 => {
                next.soft.lambda =
                    (next.soft.lambda * log_uniform(0.5, 2.0, rng)).clamp(0.05, 50.0);
            }
            _ => {
                let t = rng.below(next.stages.len());
                shift_randomly(next.stages[t].row_mut(s), rng);
            }
        }
        next
    }

    fn evaluate(&self, instance: &Softly) -> Option<Evaluated> {
        let Softly { soft, stages } = instance;
        let (nested, _) = soft.nested();
        let energy = soft.free_energy();
        let value = soft.value(stages);
        let largest = value.iter().chain(&energy).fold(soft.lambda, |m, v| m.max(v.abs()));
        let rounding = 1e-13 * largest;
        let costly = value.iter().zip(&nested).any(|(v, n)| v - n > rounding);
        Some(Evaluated {
            printed: steepest(energy.iter().zip(&nested).map(|(f, v)| (f.max(*v), f.min(*v)))),
            corrected: steepest(nested.iter().copied().zip(value)),
            rounding,
            has_error: costly,
        })
    }

    fn numbers(&self, instance: &Softly) -> Vec<f64> {
        let Softly { soft, stages } = instance;
        let mut out = vec![soft.gamma, soft.lambda];
        out.extend(soft.costs.iter().flatten().chain(&soft.prior).chain(&soft.terminal));
        soft.kernel.pairs().for_each(|(s, a)| out.extend(soft.kernel.row(s, a)));
        for stage in stages {
            (0..stage.states()).for_each(|s| out.extend(stage.row(s)));
        }
        out
    }
}
