//! MoPAC's Lemma 2 and MAAC's Theorem 4.1: policies, not plans.

use serde_json::json;

use super::{Curve, Example, Options, Report, Statement, attack, q};
use crate::attack::{Certificate, Pairs, Steps};
use crate::families::leak;
use crate::file;
use crate::maac::{PolicyStep, bad_habit, drifting};
use crate::mdp::Policy;
use crate::mopac::Pair;
use crate::number::{Number, Rational};
use crate::problem::Problem;
use crate::reading::{Norm, Reading, RewardRange};
use hstep::Result;

/// The one policy of [`leak`], in model and truth.
fn leaking<T: Number>(gamma: T, eps: &T, low: T) -> Result<Pair<T>> {
    let policy = Policy::deterministic(&[0, 0], 1);
    Pair::new(leak(gamma, eps, low, T::one())?, policy.clone(), policy)
}

fn exact_pair(pair: &Pair<Rational>, reading: &Reading) -> Certificate {
    let (gap, lemma) = (pair.gap().0, pair.lemma(reading));
    let mut mdp = file::to_json(&pair.problem);
    mdp["policy"] = file::policy_json(&pair.policy);
    mdp["data_policy"] = file::policy_json(&pair.data);
    Certificate {
        printed: (gap.clone(), lemma.printed()),
        corrected: (gap, lemma.corrected()),
        instance: json!({ "mdp": mdp }),
    }
}

/// MoPAC, Lemma 2.
pub(super) fn model_gap(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let reading = options.reading(RewardRange::Max);
    let pair = |g: Rational, eps: Rational, low: Rational| -> Result<Certificate> {
        Ok(exact_pair(&leaking(g, &eps, low)?, &reading))
    };
    let cases = [
        (
            "leak",
            "the model lets a poor state turn into a rich one; g = 9/10, eps_f = 1/10",
            q(1, 10),
        ),
        ("small-leak", "the same with eps_f = 1/1000", q(1, 1000)),
    ];
    let mut counterexamples = Vec::new();
    for (name, about, eps) in cases {
        let exact = pair(q(9, 10), eps, q(0, 1))?;
        if super::broken(&exact.printed) {
            counterexamples.push(Example { name, about: about.into(), exact });
        }
    }
    let about = "the same with eps_f = 1/100000".to_owned();
    let tight = Example { name: "tight", about, exact: pair(q(9, 10), q(1, 100_000), q(0, 1))? };
    let mut points = Vec::new();
    for i in 1..=19 {
        let gamma = f64::from(i) / 20.0;
        let pair = leaking(gamma, &0.01, 0.0)?;
        let lemma = pair.lemma(&reading);
        points.push([gamma, pair.gap().0, lemma.printed(), lemma.corrected()]);
    }
    let norm = match reading.norm {
        Norm::Tv => "total variation",
        Norm::L1 => "L1",
    };
    Ok(Report {
        statement,
        reading: format!(
            "eps_f is the largest {norm} over states and actions (corrected form in the search: what the \
             data policy meets), eps_pi the largest over states"
        ),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Pairs { reading }, options, progress),
        curve: Curve {
            x: "discount g",
            about: "the model lets a poor state turn into a rich one; eps_f = 0.01".into(),
            points,
        },
    })
}

fn exact_step(step: &PolicyStep<Rational>, range: RewardRange) -> Certificate {
    let (gap, theorem) = (step.gap().0, step.theorem(range));
    let mut mdp = file::to_json(&Problem::exact(step.mdp.clone()));
    mdp["policy"] = file::policy_json(&step.exact);
    mdp["data_policy"] = file::policy_json(&step.approximate);
    Certificate {
        printed: (gap.clone(), theorem.printed()),
        corrected: (gap, theorem.corrected()),
        instance: json!({ "alpha": file::text(&step.alpha), "mdp": mdp }),
    }
}

/// MAAC, Theorem 4.1.
pub(super) fn improvement(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let range = options.range.unwrap_or(RewardRange::Max);
    let cases = [
        (
            "drifting",
            "the better policy leaves a poor state with probability 1/10; alpha = 1",
            q(1, 1),
        ),
        ("small-step", "the same with alpha = 1/100: a second alpha is too many", q(1, 100)),
    ];
    let mut counterexamples = Vec::new();
    for (name, about, alpha) in cases {
        let exact = exact_step(&drifting(q(9, 10), &q(1, 10), alpha)?, range);
        if super::broken(&exact.printed) {
            counterexamples.push(Example { name, about: about.into(), exact });
        }
    }
    let habit = bad_habit(q(9, 10), &q(1, 100_000), q(1, 1))?;
    let about = "leaving the poor state pays too; TV = 1/100000".to_owned();
    let tight = Example { name: "tight", about, exact: exact_step(&habit, range) };
    let mut points = Vec::new();
    for i in 1..=19 {
        let gamma = f64::from(i) / 20.0;
        let step = bad_habit(gamma, &0.01, 1.0)?;
        let theorem = step.theorem(range);
        points.push([gamma, step.gap().0, theorem.printed(), theorem.corrected()]);
    }
    Ok(Report {
        statement,
        reading:
            "TV itself for its bound; alpha = 1 in the search, where the second alpha does no \
                  harm; returns not divided by 1/(1 - g)"
                .into(),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Steps { range }, options, progress),
        curve: Curve {
            x: "discount g",
            about: "leaving a poor state pays, and one policy never does; TV = 0.01".into(),
            points,
        },
    })
}
