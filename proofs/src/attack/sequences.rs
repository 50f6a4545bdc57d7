//! M-DeMoRL's Lemma 1: the cost of an action sequence in model and truth.

use serde_json::json;

use super::draws::{GAMMAS, chance, log_uniform, one_of};
use super::planning::{rounding, vary_problem};
use super::shift::{random_kernel, shift_randomly};
use super::{Certificate, Evaluated, Sides, Target};
use crate::demorl::{Lemma1, sequence_return};
use crate::families::leak;
use crate::file;
use crate::mdp::Mdp;
use crate::number::{Number, Rational, nearest};
use crate::problem::Problem;
use crate::reading::Reading;
use hstep::rng::Rng;

/// A problem, a terminal value and a sequence of actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequenced {
    /// The problem; its offset is not used.
    pub problem: Problem<f64>,
    /// The value at the end `[S]`.
    pub terminal: Vec<f64>,
    /// The sequence `[H]`.
    pub actions: Vec<usize>,
}

/// The search over them.
pub struct Sequences {
    /// The reading; `r_max` is read as `c_max`.
    pub reading: Reading,
    /// The horizon; 1 to 10 when left out.
    pub horizon: Option<usize>,
    /// Another bound in the place of the corrected one: to see that the search finds out.
    pub variant: Option<fn(&Lemma1<f64>) -> f64>,
}

/// `max_s J(s) - J_r(s)`.
fn largest_gap<T: Number>(problem: &Problem<T>, terminal: &[T], actions: &[usize]) -> T {
    let mdp = &problem.mdp;
    let gap = |s: usize| {
        let truth = sequence_return(mdp, mdp.transition(), terminal, s, actions);
        truth - sequence_return(mdp, &problem.model, terminal, s, actions)
    };
    let larger = |a: T, b: T| if b > a { b } else { a };
    (0..mdp.states()).map(gap).reduce(larger).unwrap_or_else(T::zero)
}

impl Sequences {
    fn drawn(&self, rng: &mut Rng) -> Option<Sequenced> {
        let gamma = one_of(&GAMMAS, rng);
        let horizon = self.horizon.unwrap_or_else(|| 1 + rng.below(10));
        if chance(0.3, rng) {
            // The model turns what is good into what is bad.
            let problem = leak(gamma, &log_uniform(1e-4, 1.0, rng), 1.0, -1.0).ok()?;
            let v = log_uniform(0.01, 10.0, rng);
            return Some(Sequenced { problem, terminal: vec![v, -v], actions: vec![0; horizon] });
        }
        let (states, actions) = (2 + rng.below(4), 1 + rng.below(3));
        let truth = random_kernel(states, actions, rng)?;
        let mut model = truth.clone();
        if chance(0.9, rng) {
            for (s, a) in truth.pairs() {
                shift_randomly(model.row_mut(s, a), rng);
            }
        }
        let reward = |rng: &mut Rng| 2.0 * rng.uniform() - 1.0;
        let rewards: Vec<Vec<f64>> =
            (0..states).map(|_| (0..actions).map(|_| reward(rng)).collect()).collect();
        let size = log_uniform(0.01, 10.0, rng);
        let terminal = (0..states).map(|_| size * reward(rng)).collect();
        let mdp = Mdp::new(gamma, &rewards, truth).ok()?;
        let problem = Problem::new(mdp, model, vec![0.0; states]).ok()?;
        let actions = (0..horizon).map(|_| rng.below(actions)).collect();
        Some(Sequenced { problem, terminal, actions })
    }
}

impl Target for Sequences {
    type Instance = Sequenced;

    fn name(&self) -> &'static str {
        "demorl-lemma-1"
    }

    fn draw(&self, rng: &mut Rng) -> Sequenced {
        loop {
            if let Some(drawn) = self.drawn(rng) {
                return drawn;
            }
        }
    }

    fn vary(&self, instance: &Sequenced, rng: &mut Rng) -> Sequenced {
        let mut next = instance.clone();
        match rng.below(5) {
            0 => {
                let t = rng.below(next.actions.len());
                next.actions[t] = rng.below(next.problem.mdp.actions());
            }
            1 => {
                let size = next.terminal.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let s = rng.below(next.terminal.len());
                next.terminal[s] = size * if chance(0.5, rng) { 1.0 } else { -1.0 };
            }
            _ => vary_problem(&mut next.problem, true, -1.0, rng),
        }
        next
    }

    fn evaluate(&self, instance: &Sequenced) -> Option<Evaluated> {
        let Sequenced { problem, terminal, actions } = instance;
        let lemma = Lemma1::of(problem, terminal, actions.len(), &self.reading);
        let left = largest_gap(problem, terminal, actions);
        let corrected = self.variant.map_or(lemma.corrected(), |variant| variant(&lemma));
        Some(Evaluated {
            printed: Sides { left, right: lemma.printed() },
            corrected: Sides { left, right: corrected },
            rounding: rounding(problem, actions.len()) + f64::tie(&lemma.v_max),
            has_error: lemma.eps_f > 0.0,
        })
    }

    fn numbers(&self, instance: &Sequenced) -> Vec<f64> {
        let Sequenced { problem, terminal, actions } = instance;
        let mut out = vec![*problem.mdp.gamma()];
        out.extend(problem.mdp.reward.iter().chain(terminal));
        out.extend(actions.iter().map(|a| *a as f64));
        for (s, a) in problem.model.pairs() {
            out.extend(problem.model.row(s, a).iter().chain(problem.mdp.transition.row(s, a)));
        }
        out
    }

    fn certify(&self, instance: &Sequenced, denominator: i64) -> Option<Certificate> {
        let problem = instance.problem.rounded(denominator).ok()?;
        let terminal: Vec<Rational> =
            instance.terminal.iter().map(|v| nearest(*v, denominator)).collect();
        let lemma = Lemma1::of(&problem, &terminal, instance.actions.len(), &self.reading);
        let left = largest_gap(&problem, &terminal, &instance.actions);
        let mut mdp = file::to_json(&problem);
        mdp["value"] = terminal.iter().map(file::text).collect();
        Some(Certificate {
            printed: (left.clone(), lemma.printed()),
            corrected: (left, lemma.corrected()),
            instance: json!({ "actions": instance.actions, "mdp": mdp }),
        })
    }
}
