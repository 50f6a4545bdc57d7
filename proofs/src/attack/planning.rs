//! The bounds on planning: MoPAC's Theorem 1, POLO's two lemmas.

use serde_json::json;

use super::draws::{GAMMAS, chance, log_uniform, one_of};
use super::shift::{random_kernel, shift, shift_randomly, worst_within};
use super::{Certificate, Evaluated, Sides, Target};
use crate::families::{nearly_tied, swapped, value_trap};
use crate::file;
use crate::mdp::Mdp;
use crate::mopac::Theorem1;
use crate::number::Number;
use crate::polo;
use crate::problem::{Favour, Problem, product};
use crate::reading::Reading;
use hstep::rng::Rng;

/// Which bound; all of them are functions of the same constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanningBound {
    /// MoPAC, Theorem 1.
    MopacTheorem1,
    /// POLO, Lemma 1: an exact model and one step.
    PoloLemma1,
    /// POLO, Lemma 2: an exact model.
    PoloLemma2,
}

impl PlanningBound {
    /// The printed and the corrected bound.
    #[must_use]
    pub fn forms<T: Number>(self, constants: &Theorem1<T>) -> (T, T) {
        let (gamma, eps_v) = (constants.gamma.clone(), constants.eps_v.clone());
        let (horizon, play) = (constants.horizon, constants.play);
        match self {
            Self::MopacTheorem1 => (constants.printed(), constants.corrected()),
            Self::PoloLemma1 => {
                let lemma = polo::Lemma1 { gamma, eps_v };
                (lemma.printed(), lemma.corrected())
            }
            Self::PoloLemma2 => {
                let lemma = polo::Lemma2 { gamma, horizon, eps_v, play };
                (lemma.printed(), lemma.corrected())
            }
        }
    }

    fn has_model_error(self) -> bool {
        self == Self::MopacTheorem1
    }
}

/// A problem and how far ahead is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The problem.
    pub problem: Problem<f64>,
    /// The horizon.
    pub horizon: usize,
}

/// The search over planning problems of two to six states (families: up to ten).
pub struct Planning {
    /// The bound.
    pub bound: PlanningBound,
    /// Its reading.
    pub reading: Reading,
    /// The horizon; 1 to 10 when left out.
    pub horizon: Option<usize>,
    /// Another bound in the place of the corrected one: to see that the search finds out.
    pub variant: Option<fn(&Theorem1<f64>) -> f64>,
}

/// The longest horizon that is drawn.
const LONGEST: usize = 10;
/// The longest for which two families are joined: their states multiply.
const LONGEST_JOINED: usize = 4;

impl Planning {
    /// The search for a bound.
    #[must_use]
    pub fn new(bound: PlanningBound, reading: Reading, horizon: Option<usize>) -> Self {
        let horizon = if bound == PlanningBound::PoloLemma1 { Some(1) } else { horizon };
        Self { bound, reading, horizon, variant: None }
    }

    fn family(&self, gamma: f64, rng: &mut Rng) -> Option<Planned> {
        let play = self.reading.play;
        let value = |horizon: usize, rng: &mut Rng| {
            let slack = log_uniform(1e-6, 0.5, rng);
            value_trap(gamma, horizon, &log_uniform(1e-4, 1.0, rng), &slack, play).ok()
        };
        let model = |rng: &mut Rng| {
            let p = log_uniform(1e-4, 1.0, rng);
            let lead = p * log_uniform(1e-5, 0.5, rng);
            if chance(0.8, rng) {
                nearly_tied(gamma, &p, &lead).ok()
            } else {
                swapped(gamma, &[p, p * rng.uniform()], &[p * rng.uniform(), p]).ok()
            }
        };
        let horizon = self.horizon.unwrap_or_else(|| 1 + rng.below(LONGEST));
        let problem = match rng.below(3) {
            _ if !self.bound.has_model_error() => value(horizon, rng)?,
            0 => model(rng)?,
            1 => value(horizon, rng)?,
            _ if horizon > LONGEST_JOINED => model(rng)?,
            _ => product(&model(rng)?, &value(horizon, rng)?).ok()?,
        };
        Some(Planned { problem: problem.from_zero(), horizon })
    }

    fn random(&self, gamma: f64, rng: &mut Rng) -> Option<Planned> {
        let (states, actions) = (2 + rng.below(5), 2 + rng.below(2));
        let truth = random_kernel(states, actions, rng)?;
        let mut model = truth.clone();
        if self.bound.has_model_error() && chance(0.8, rng) {
            let share = log_uniform(1e-3, 1.0, rng);
            let other = random_kernel(states, actions, rng)?;
            for (s, a) in truth.pairs() {
                for (m, q) in model.row_mut(s, a).iter_mut().zip(other.row(s, a)) {
                    *m += share * (q - *m);
                }
            }
        }
        let sparse = chance(0.5, rng);
        let reward = |rng: &mut Rng| match sparse {
            true => f64::from(u8::from(chance(0.3, rng))),
            false => rng.uniform(),
        };
        let rewards: Vec<Vec<f64>> =
            (0..states).map(|_| (0..actions).map(|_| reward(rng)).collect()).collect();
        let size =
            if chance(0.25, rng) { 0.0 } else { log_uniform(1e-3, 1.0, rng) / (1.0 - gamma) };
        let extreme = chance(0.5, rng);
        let error = |rng: &mut Rng| match extreme {
            true => size * one_of(&[-1.0, 1.0], rng),
            false => size * (2.0 * rng.uniform() - 1.0),
        };
        let offset = (0..states).map(|_| error(rng)).collect();
        let mdp = Mdp::new(gamma, &rewards, truth).ok()?;
        let horizon = self.horizon.unwrap_or_else(|| 1 + rng.below(LONGEST));
        Some(Planned { problem: Problem::new(mdp, model, offset).ok()?, horizon })
    }
}

/// Changes a problem in one place. Rewards stay in `[low, 1]`, rows stay distributions.
pub(super) fn vary_problem(problem: &mut Problem<f64>, model_error: bool, low: f64, rng: &mut Rng) {
    let (states, actions) = (problem.mdp.states(), problem.mdp.actions());
    let (s, a) = (rng.below(states), rng.below(actions));
    let (mdp, model) = (&mut problem.mdp, &mut problem.model);
    match rng.below(if model_error { 10 } else { 5 }) {
        0 => {
            let at = s * actions + a;
            let step = log_uniform(1e-4, 1.0, rng) * rng.normal();
            mdp.reward[at] = match chance(0.2, rng) {
                true => one_of(&[low, 1.0], rng),
                false => (mdp.reward[at] + step).clamp(low, 1.0),
            };
        }
        1 => {
            let size = problem.offset.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
            problem.offset[s] = match rng.below(3) {
                0 => size * one_of(&[-1.0, 1.0], rng),
                1 => (problem.offset[s] + 0.1 * size * rng.normal()).clamp(-size, size),
                _ => log_uniform(1e-3, 1.0, rng) * rng.normal(),
            };
        }
        2 => {
            let factor = log_uniform(0.1, 3.0, rng);
            problem.offset.iter_mut().for_each(|e| *e *= factor);
        }
        3 | 4 => {
            // The same change in truth and model keeps their distance, but for what is not there.
            let (from, to) = (rng.below(states), rng.below(states));
            let mass = log_uniform(1e-4, 1.0, rng);
            let mass = mass.min(mdp.transition.row(s, a)[from]).min(model.row(s, a)[from]);
            shift(mdp.transition.row_mut(s, a), from, to, mass);
            shift(model.row_mut(s, a), from, to, mass);
        }
        5 => shift_randomly(model.row_mut(s, a), rng),
        6 => shift_randomly(mdp.transition.row_mut(s, a), rng),
        7 => {
            let share = log_uniform(0.1, 1.0, rng);
            for (s, a) in mdp.transition.pairs() {
                let truth = mdp.transition.row(s, a);
                for (m, p) in model.row_mut(s, a).iter_mut().zip(truth) {
                    *m = p + share * (*m - p);
                }
            }
        }
        8 => {
            let (optimal, _) = mdp.optimal();
            let budget = Reading::default().norm.error(model, &mdp.transition);
            let up = chance(0.5, rng);
            worst_within(model.row_mut(s, a), mdp.transition.row(s, a), &optimal, budget, up);
        }
        _ => model.row_mut(s, a).copy_from_slice(mdp.transition.row(s, a)),
    }
}

/// What rounding may add to a loss: values are known to some hundred roundings of their size, actions
/// within a tie of the best count as best, and either is felt at every later step.
pub(super) fn rounding(problem: &Problem<f64>, horizon: usize) -> f64 {
    let ahead = 1.0 / (1.0 - problem.mdp.gamma());
    let size = problem.mdp.largest_size() * ahead + problem.eps_v();
    f64::tie(&size) * ahead * (2 * horizon + 4) as f64
}

impl Target for Planning {
    type Instance = Planned;

    fn name(&self) -> &'static str {
        match self.bound {
            PlanningBound::MopacTheorem1 => "mopac-theorem-1",
            PlanningBound::PoloLemma1 => "polo-lemma-1",
            PlanningBound::PoloLemma2 => "polo-lemma-2",
        }
    }

    fn draw(&self, rng: &mut Rng) -> Planned {
        loop {
            let gamma = one_of(&GAMMAS, rng);
            let drawn =
                if chance(0.5, rng) { self.family(gamma, rng) } else { self.random(gamma, rng) };
            if let Some(drawn) = drawn {
                return drawn;
            }
        }
    }

    fn vary(&self, instance: &Planned, rng: &mut Rng) -> Planned {
        let mut next = instance.clone();
        for _ in 0..1 + rng.below(2) {
            vary_problem(&mut next.problem, self.bound.has_model_error(), 0.0, rng);
        }
        next
    }

    fn evaluate(&self, instance: &Planned) -> Option<Evaluated> {
        let Planned { problem, horizon } = instance;
        let played = problem.play(*horizon, self.reading.play, Favour::Adversary).ok()?;
        let constants = Theorem1::of(problem, *horizon, &self.reading);
        let (printed, corrected) = self.bound.forms(&constants);
        let corrected = self.variant.map_or(corrected, |variant| variant(&constants));
        let side = |right: f64| Sides { left: played.gap, right };
        Some(Evaluated {
            printed: side(printed),
            corrected: side(corrected),
            rounding: rounding(problem, *horizon),
            has_error: constants.eps_f > 0.0 || constants.eps_v > 0.0,
        })
    }

    fn numbers(&self, instance: &Planned) -> Vec<f64> {
        let problem = &instance.problem;
        let mut out = vec![*problem.mdp.gamma(), instance.horizon as f64];
        out.extend(problem.mdp.reward.iter().chain(&problem.offset));
        for (s, a) in problem.model.pairs() {
            out.extend(problem.model.row(s, a).iter().chain(problem.mdp.transition.row(s, a)));
        }
        out
    }

    fn certify(&self, instance: &Planned, denominator: i64) -> Option<Certificate> {
        let problem = instance.problem.worst_first().ok()?.rounded(denominator).ok()?;
        let played = problem.play(instance.horizon, self.reading.play, Favour::Index).ok()?;
        let constants = Theorem1::of(&problem, instance.horizon, &self.reading);
        let (printed, corrected) = self.bound.forms(&constants);
        Some(Certificate {
            printed: (played.gap.clone(), printed),
            corrected: (played.gap, corrected),
            instance: json!({
                "horizon": instance.horizon,
                "play": self.reading.play.to_string(),
                "mdp": file::to_json(&problem),
            }),
        })
    }
}
