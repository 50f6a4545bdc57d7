//! MAAC's Theorem 4.1: two policies in one process.

use serde_json::json;

use super::draws::{GAMMAS, chance, log_uniform, one_of};
use super::shift::{random_kernel, random_row, shift_randomly};
use super::{Certificate, Evaluated, Sides, Target};
use crate::file;
use crate::maac::{PolicyStep, bad_habit, drifting};
use crate::mdp::{Mdp, Policy};
use crate::number::{Number as _, Rational};
use crate::problem::{Problem, rounded_row};
use crate::reading::RewardRange;
use hstep::rng::Rng;

/// The search over pairs of policies. The step size is 1, for which the second `alpha` of the printed
/// form does no harm.
pub struct Steps {
    /// What `r_max` is.
    pub range: RewardRange,
}

type Step = PolicyStep<f64>;

impl Steps {
    fn drawn(rng: &mut Rng) -> Option<Step> {
        let gamma = one_of(&GAMMAS, rng);
        match rng.below(4) {
            0 => return drifting(gamma, &log_uniform(1e-4, 1.0, rng), 1.0).ok(),
            1 => return bad_habit(gamma, &log_uniform(1e-4, 1.0, rng), 1.0).ok(),
            _ => {}
        }
        let (states, actions) = (2 + rng.below(4), 2 + rng.below(2));
        let transition = random_kernel(states, actions, rng)?;
        let rewards: Vec<Vec<f64>> =
            (0..states).map(|_| (0..actions).map(|_| rng.uniform()).collect()).collect();
        let rows: Vec<Vec<f64>> = (0..states).map(|_| random_row(actions, rng)).collect();
        let exact = Policy::new("policy", &rows, actions).ok()?;
        let mut approximate = exact.clone();
        (0..states).for_each(|s| shift_randomly(approximate.row_mut(s), rng));
        let mdp = Mdp::new(gamma, &rewards, transition).ok()?;
        Some(Step { mdp, exact, approximate, alpha: 1.0 })
    }
}

impl Target for Steps {
    type Instance = Step;

    fn name(&self) -> &'static str {
        "maac-theorem-4.1"
    }

    fn draw(&self, rng: &mut Rng) -> Step {
        loop {
            if let Some(drawn) = Self::drawn(rng) {
                return drawn;
            }
        }
    }

    fn vary(&self, instance: &Step, rng: &mut Rng) -> Step {
        let mut next = instance.clone();
        let (states, actions) = (next.mdp.states(), next.mdp.actions());
        let (s, a) = (rng.below(states), rng.below(actions));
        match rng.below(5) {
            0 => shift_randomly(next.exact.row_mut(s), rng),
            1 => shift_randomly(next.approximate.row_mut(s), rng),
            2 => {
                let row = next.exact.row(s).to_vec();
                next.approximate.row_mut(s).copy_from_slice(&row);
            }
            3 => shift_randomly(next.mdp.transition.row_mut(s, a), rng),
            _ => {
                let at = s * actions + a;
                let step = log_uniform(1e-3, 1.0, rng) * rng.normal();
                next.mdp.reward[at] = match chance(0.3, rng) {
                    true => one_of(&[0.0, 1.0], rng),
                    false => (next.mdp.reward[at] + step).clamp(0.0, 1.0),
                };
            }
        }
        next
    }

    fn evaluate(&self, instance: &Step) -> Option<Evaluated> {
        let theorem = instance.theorem(self.range);
        let left = instance.gap().0;
        let ahead = 1.0 / (1.0 - theorem.gamma);
        Some(Evaluated {
            printed: Sides { left, right: theorem.printed() },
            corrected: Sides { left, right: theorem.corrected() },
            rounding: f64::tie(&(ahead * instance.mdp.largest_size())) * ahead,
            has_error: theorem.tv > 0.0,
        })
    }

    fn numbers(&self, instance: &Step) -> Vec<f64> {
        let Step { mdp, exact, approximate, .. } = instance;
        let mut out = vec![*mdp.gamma()];
        out.extend(&mdp.reward);
        mdp.transition.pairs().for_each(|(s, a)| out.extend(mdp.transition.row(s, a)));
        (0..exact.states()).for_each(|s| out.extend(exact.row(s).iter().chain(approximate.row(s))));
        out
    }

    fn certify(&self, instance: &Step, denominator: i64) -> Option<Certificate> {
        let problem = Problem::exact(instance.mdp.clone()).rounded(denominator).ok()?;
        let policy = |policy: &Policy<f64>| {
            let row = |s: usize| rounded_row(policy.row(s), denominator);
            let rows: Vec<_> = (0..policy.states()).map(row).collect();
            Policy::new("policy", &rows, problem.mdp.actions()).ok()
        };
        let step = PolicyStep {
            exact: policy(&instance.exact)?,
            approximate: policy(&instance.approximate)?,
            alpha: Rational::ratio(1, 1),
            mdp: problem.mdp.clone(),
        };
        let (theorem, left) = (step.theorem(self.range), step.gap().0);
        let mut mdp = file::to_json(&problem);
        mdp["policy"] = file::policy_json(&step.exact);
        mdp["data_policy"] = file::policy_json(&step.approximate);
        Some(Certificate {
            printed: (left.clone(), theorem.printed()),
            corrected: (left, theorem.corrected()),
            instance: json!({ "alpha": "1", "mdp": mdp }),
        })
    }
}
