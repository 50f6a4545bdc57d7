//! M-DeMoRL's Lemma 1 and Theorem 1.

use serde_json::json;

use super::{Curve, Example, Options, Report, Statement, attack, q};
use crate::attack::{Certificate, Mirror, Sequences, game_json};
use crate::demorl::{Lemma1, sequence_return};
use crate::families::leak;
use crate::file;
use crate::mirror::{Regret, constant_costs};
use crate::number::{Number, Rational};
use crate::problem::Problem;
use crate::reading::{Norm, Reading, RewardRange};
use hstep::Result;

/// A model in which a good state turns bad, and the value agrees with it.
struct Souring<T> {
    left: T,
    lemma: Lemma1<T>,
    problem: Problem<T>,
    terminal: Vec<T>,
}

fn souring<T: Number>(gamma: T, eps: &T, horizon: usize, reading: &Reading) -> Result<Souring<T>> {
    let problem = leak(gamma, eps, T::one(), -T::one())?;
    let terminal = vec![T::one(), -T::one()];
    let actions = vec![0; horizon];
    let run = |kernel| sequence_return(&problem.mdp, kernel, &terminal, 0, &actions);
    let left = run(problem.mdp.transition()) - run(&problem.model);
    let lemma = Lemma1::of(&problem, &terminal, horizon, reading);
    Ok(Souring { left, lemma, problem, terminal })
}

/// Lemma 1.
pub(super) fn sequences(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let reading = options.reading(RewardRange::Abs);
    let h = options.horizon.unwrap_or(5);
    let Souring { left, lemma, problem, terminal } = souring(q(9, 10), &q(1, 10), h, &reading)?;
    let mut mdp = file::to_json(&problem);
    mdp["value"] = terminal.iter().map(file::text).collect();
    let tight = Example {
        name: "tight",
        about: format!("a good state turns bad in the model, at probability 1/10 a step; H = {h}"),
        exact: Certificate {
            printed: (left.clone(), lemma.printed()),
            corrected: (left, lemma.corrected()),
            instance: json!({ "actions": vec![0; h], "mdp": mdp }),
        },
    };
    let mut points = Vec::new();
    for h in 1..=20 {
        let Souring { left, lemma, .. } = souring(0.9, &0.1, h, &reading)?;
        points.push([h as f64, left, lemma.printed(), lemma.corrected()]);
    }
    let norm = match reading.norm {
        Norm::Tv => "total variation",
        Norm::L1 => "L1",
    };
    Ok(Report {
        statement,
        reading: format!(
            "eps_f is the largest {norm}; one action sequence in both, |c| <= c_max, |V| <= V_max"
        ),
        counterexamples: Vec::new(),
        tight: Some(tight),
        attack: attack(
            &Sequences { reading, horizon: options.horizon, variant: None },
            options,
            progress,
        ),
        curve: Curve {
            x: "horizon H",
            about: "a good state turns bad in the model, with probability 0.1 a step; g = 0.9"
                .into(),
            points,
        },
    })
}

fn exact(game: &Regret<Rational>) -> Certificate {
    let (left, bound) = (game.regret(), game.bound());
    Certificate {
        printed: (left.clone(), bound.printed()),
        corrected: (left, bound.corrected()),
        instance: game_json(game),
    }
}

/// Always one cost, played at 1 and compared with -1, for `T + 1` decisions; what comes after is played at
/// the comparator.
fn stubborn<T: Number>(last: usize, alpha: &T) -> Result<Regret<T>> {
    let mut shifts = vec![T::one(); last + 1];
    shifts.push(-T::one());
    constant_costs(&T::one(), &T::zero(), alpha, &shifts, &vec![-T::one(); last + 2])
}

/// Theorem 1.
pub(super) fn regret(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let cases = [
        (
            "one-decision",
            "cost u, played at 1 instead of -1; T = 0, step size 4, exact model",
            0,
            q(4, 1),
        ),
        ("two-decisions", "the same twice; T = 1, step size 7/2, exact model", 1, q(7, 2)),
    ];
    let mut counterexamples = Vec::new();
    for (name, about, last, alpha) in cases {
        let exact = exact(&stubborn(last, &alpha)?);
        if super::broken(&exact.printed) {
            counterexamples.push(Example { name, about: about.into(), exact });
        }
    }
    let tight = Example {
        name: "tight",
        about: "the same once; T = 0, step size 2".into(),
        exact: exact(&stubborn(0, &q(2, 1))?),
    };
    let mut points = Vec::new();
    for last in 0..=9usize {
        // The step size of the least corrected bound.
        let (t, terms) = (last as f64, last as f64 + 1.0);
        let alpha = (2.0 * (2.0 + 4.0 * t) / terms).sqrt();
        let game = stubborn(last, &alpha)?;
        let bound = game.bound();
        points.push([t, game.regret(), bound.printed(), bound.corrected()]);
    }
    Ok(Report {
        statement,
        reading: "psi = eta^2 / 2 on [-1, 1], convex quadratic costs, exact gradients, R_{f,H} the largest \
                  J - J_r; H does not enter otherwise"
            .into(),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Mirror { last: None, variant: None }, options, progress),
        curve: Curve {
            x: "T",
            about: "cost u, always played at 1 and compared with -1; best step size".into(),
            points,
        },
    })
}
