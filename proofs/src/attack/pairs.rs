//! MoPAC's Lemma 2: what a policy is worth in model and truth.

use serde_json::json;

use super::draws::{GAMMAS, chance, log_uniform, one_of};
use super::planning::{rounding, vary_problem};
use super::shift::{random_kernel, random_row, shift_randomly};
use super::{Certificate, Evaluated, Sides, Target};
use crate::families::leak;
use crate::file;
use crate::mdp::{Mdp, Policy};
use crate::mopac::{Lemma2, Pair};
use crate::number::{Number, Rational};
use crate::problem::{Problem, rounded_row};
use crate::reading::{Norm, Reading};
use hstep::rng::Rng;

/// The search over pairs of policies with a model. The printed form has the largest model error over
/// states and actions, which makes it as large as can be; the corrected one the error that the data
/// policy meets, which makes it as small as can be.
pub struct Pairs {
    /// The reading; how plans are played does not matter.
    pub reading: Reading,
}

/// Left and right side of the corrected form at the start state where their ratio is largest.
fn corrected_sides<T: Number>(pair: &Pair<T>, reading: &Reading) -> (T, T) {
    let lemma = pair.lemma(reading);
    let eps_pi = lemma.norm.to_tv(&lemma.eps_pi);
    let lemma = Lemma2 { norm: Norm::Tv, eps_pi, ..lemma };
    let bound = |eps_f: T| Lemma2 { eps_f, ..lemma.clone() }.corrected();
    let sides = pair.gaps().into_iter().zip(pair.met_error().into_iter().map(bound));
    // a / b > c / d without dividing by what may be 0.
    let steeper = |x: (T, T), y: (T, T)| {
        if y.0.clone() * &x.1 > x.0.clone() * &y.1 { y } else { x }
    };
    sides.reduce(steeper).unwrap_or_else(|| (T::zero(), T::zero()))
}

fn rounded_policy(policy: &Policy<f64>, denominator: i64) -> Option<Policy<Rational>> {
    let rows: Vec<_> =
        (0..policy.states()).map(|s| rounded_row(policy.row(s), denominator)).collect();
    Policy::new("policy", &rows, policy.row(0).len()).ok()
}

impl Pairs {
    fn drawn(rng: &mut Rng) -> Option<Pair<f64>> {
        let gamma = one_of(&GAMMAS, rng);
        if chance(0.4, rng) {
            let problem = leak(gamma, &log_uniform(1e-4, 1.0, rng), 0.0, 1.0).ok()?;
            let policy = Policy::deterministic(&[0, 0], 1);
            return Pair::new(problem, policy.clone(), policy).ok();
        }
        let (states, actions) = (2 + rng.below(4), 1 + rng.below(3));
        let truth = random_kernel(states, actions, rng)?;
        let mut model = truth.clone();
        if chance(0.85, rng) {
            for (s, a) in truth.pairs() {
                shift_randomly(model.row_mut(s, a), rng);
            }
        }
        let rewards: Vec<Vec<f64>> =
            (0..states).map(|_| (0..actions).map(|_| rng.uniform()).collect()).collect();
        let rows: Vec<Vec<f64>> = (0..states).map(|_| random_row(actions, rng)).collect();
        let policy = Policy::new("policy", &rows, actions).ok()?;
        let mut data = policy.clone();
        if chance(0.7, rng) {
            (0..states).for_each(|s| shift_randomly(data.row_mut(s), rng));
        }
        let mdp = Mdp::new(gamma, &rewards, truth).ok()?;
        Pair::new(Problem::new(mdp, model, vec![0.0; states]).ok()?, policy, data).ok()
    }
}

impl Target for Pairs {
    type Instance = Pair<f64>;

    fn name(&self) -> &'static str {
        "mopac-lemma-2"
    }

    fn draw(&self, rng: &mut Rng) -> Pair<f64> {
        loop {
            if let Some(drawn) = Self::drawn(rng) {
                return drawn;
            }
        }
    }

    fn vary(&self, instance: &Pair<f64>, rng: &mut Rng) -> Pair<f64> {
        let mut next = instance.clone();
        let s = rng.below(next.policy.states());
        match rng.below(5) {
            0 => shift_randomly(next.policy.row_mut(s), rng),
            1 => shift_randomly(next.data.row_mut(s), rng),
            2 => {
                let row = next.policy.row(s).to_vec();
                next.data.row_mut(s).copy_from_slice(&row);
            }
            _ => vary_problem(&mut next.problem, true, 0.0, rng),
        }
        next
    }

    fn evaluate(&self, instance: &Pair<f64>) -> Option<Evaluated> {
        let lemma = instance.lemma(&self.reading);
        let (left, right) = corrected_sides(instance, &self.reading);
        Some(Evaluated {
            printed: Sides { left: instance.gap().0, right: lemma.printed() },
            corrected: Sides { left, right },
            rounding: rounding(&instance.problem, 0),
            has_error: lemma.eps_f > 0.0 || lemma.eps_pi > 0.0,
        })
    }

    fn numbers(&self, instance: &Pair<f64>) -> Vec<f64> {
        let Pair { problem, policy, data } = instance;
        let mut out = vec![*problem.mdp.gamma()];
        out.extend(&problem.mdp.reward);
        for (s, a) in problem.model.pairs() {
            out.extend(problem.model.row(s, a).iter().chain(problem.mdp.transition.row(s, a)));
        }
        (0..policy.states()).for_each(|s| out.extend(policy.row(s).iter().chain(data.row(s))));
        out
    }

    fn certify(&self, instance: &Pair<f64>, denominator: i64) -> Option<Certificate> {
        let problem = instance.problem.rounded(denominator).ok()?;
        let policy = rounded_policy(&instance.policy, denominator)?;
        let data = rounded_policy(&instance.data, denominator)?;
        let pair = Pair::new(problem, policy, data).ok()?;
        let mut mdp = file::to_json(&pair.problem);
        mdp["policy"] = file::policy_json(&pair.policy);
        mdp["data_policy"] = file::policy_json(&pair.data);
        Some(Certificate {
            printed: (pair.gap().0, pair.lemma(&self.reading).printed()),
            corrected: corrected_sides(&pair, &self.reading),
            instance: json!({ "mdp": mdp }),
        })
    }
}
