//! MoPAC's Theorem 1 and POLO's lemmas.

use serde_json::json;

use super::{Curve, Example, Options, Report, Statement, attack, q};
use crate::attack::{Certificate, Planning, PlanningBound};
use crate::families::{detour, joint, nearly_tied, one_shot, swapped, value_trap};
use crate::file;
use crate::mopac::Theorem1;
use crate::number::Rational;
use crate::problem::{Favour, Problem};
use crate::reading::{Norm, Play, Reading, RewardRange};
use hstep::{Error, Result};

/// The bound of a name.
pub(super) fn bound(name: &str) -> PlanningBound {
    match name {
        "polo-lemma-1" => PlanningBound::PoloLemma1,
        "polo-lemma-2" => PlanningBound::PoloLemma2,
        _ => PlanningBound::MopacTheorem1,
    }
}

/// The reading in words.
fn in_words(bound: PlanningBound, reading: &Reading) -> String {
    let play = match reading.play {
        Play::Receding => "a new plan at every step",
        Play::Executed => "H-step feedback plans run to their end",
    };
    let norm = match reading.norm {
        Norm::Tv => "total variation",
        Norm::L1 => "L1",
    };
    let range = match reading.range {
        RewardRange::Max => "the largest reward",
        RewardRange::Abs => "the largest absolute reward",
        RewardRange::Span => "the span of the rewards",
    };
    match bound {
        PlanningBound::MopacTheorem1 => {
            format!("{play}; eps_f is the largest {norm} over states and actions; r_max is {range}")
        }
        PlanningBound::PoloLemma1 => "one step, true dynamics; eps = max |V^ - V*|".into(),
        PlanningBound::PoloLemma2 => format!("{play}; true dynamics; eps = max |V^ - V*|"),
    }
}

/// A problem planned and played, exactly.
fn exact(
    bound: PlanningBound,
    reading: &Reading,
    problem: Problem<Rational>,
    horizon: usize,
) -> Result<Certificate> {
    let problem = problem.from_zero();
    let played = problem.play(horizon, reading.play, Favour::Index)?;
    let (printed, corrected) = bound.forms(&Theorem1::of(&problem, horizon, reading));
    Ok(Certificate {
        printed: (played.gap.clone(), printed),
        corrected: (played.gap, corrected),
        instance: json!({
            "horizon": horizon,
            "play": reading.play.to_string(),
            "mdp": file::to_json(&problem),
        }),
    })
}

/// A problem, what it is called and is, and how far ahead is planned.
type Candidate = (&'static str, String, Problem<Rational>, usize);

/// Problems that may break the printed form.
fn candidates(bound: PlanningBound, horizon: Option<usize>, play: Play) -> Result<Vec<Candidate>> {
    let mut out = Vec::new();
    let g = || q(9, 10);
    if bound == PlanningBound::MopacTheorem1 {
        let h = horizon.unwrap_or(1);
        let about =
            format!("the model swaps a good and a bad action; exact value; g = 9/10, H = {h}");
        let model = swapped(g(), &[q(1, 10), q(0, 1)], &[q(0, 1), q(1, 10)])?;
        out.push(("swapped", about, model.clone(), h));
        let longer = horizon.unwrap_or(10);
        if longer != h {
            let about = format!("the same, g = 9/10, H = {longer}");
            out.push(("swapped-longer", about, model, longer));
        }
        let about = format!("the model is 1/1000 from a tie; exact value; g = 9/10, H = {h}");
        out.push(("nearly-tied", about, nearly_tied(g(), &q(1, 10), &q(1, 1000))?, h));
        let about = format!("one choice between chances of a good end; exact value; H = {h}");
        let once = one_shot(g(), &[q(3, 5), q(2, 5)], &[q(2, 5), q(1, 2)])?;
        out.push(("one-shot", about, once, h));
    }
    if bound == PlanningBound::PoloLemma1 {
        let about =
            "the value is too high where a step costs, too low elsewhere; g = 9/10, eps = 1";
        let cost = q(9, 5) * q(999, 1000);
        out.push(("greedy-trap", about.into(), detour(g(), 1, &q(1, 1), &cost)?, 1));
    } else if play == Play::Receding {
        let h = horizon.unwrap_or(2);
        // For H = 1 the two ways of playing are one, and the printed form holds.
        if h == 2 {
            let about = "a detour that is always put off; exact model; g = 1/2, H = 2, eps = 1";
            out.push(("detour", about.into(), detour(q(1, 2), 2, &q(1, 1), &q(2, 5))?, 2));
        }
        let long = horizon.unwrap_or(10);
        if long > 2 {
            let about =
                format!("the same on a ring of {long} states; g = 9/10, H = {long}, eps = 1");
            let ring = value_trap(g(), long, &q(1, 1), &q(1, 1000), Play::Receding)?;
            out.push(("ring", about, ring, long));
        }
    }
    Ok(out)
}

/// A problem that nearly attains the corrected form.
fn tight(
    bound: PlanningBound,
    horizon: Option<usize>,
    play: Play,
) -> Result<(String, Problem<Rational>, usize)> {
    let (slack, eps) = (q(1, 10_000), q(1, 100_000));
    match bound {
        PlanningBound::MopacTheorem1 => {
            let h = horizon.unwrap_or(3);
            let about = format!(
                "two independent parts, one loses by the model, one by the value; g = 9/10, H = {h}"
            );
            Ok((about, joint(&q(9, 10), h, &eps, &eps, &slack, play)?, h))
        }
        PlanningBound::PoloLemma1 | PlanningBound::PoloLemma2 => {
            let first = bound == PlanningBound::PoloLemma1;
            let h = if first { 1 } else { horizon.unwrap_or(3) };
            let about =
                format!("the largest cost that a plan still takes; g = 9/10, H = {h}, eps = 1");
            Ok((about, value_trap(q(9, 10), h, &q(1, 1), &slack, play)?, h))
        }
    }
}

/// Loss and bounds at horizons 1 to 10, or at discounts for the greedy policy.
fn curve(bound: PlanningBound, reading: &Reading) -> Result<Curve> {
    let (p, eps, slack) = (0.01, 0.1, 0.01);
    let value = |gamma: f64, h: usize| value_trap(gamma, h, &1.0, &slack, reading.play);
    let mut points = Vec::new();
    let mut add = |x: f64, problem: Problem<f64>, h: usize| -> Result<()> {
        let problem = problem.from_zero();
        let gap = problem.play(h, reading.play, Favour::Index)?.gap;
        let (printed, corrected) = bound.forms(&Theorem1::of(&problem, h, reading));
        points.push([x, gap, printed, corrected]);
        Ok(())
    };
    let (x, about) = match bound {
        PlanningBound::MopacTheorem1 => {
            for h in 1..=10 {
                add(h as f64, joint(&0.9, h, &p, &eps, &slack, reading.play)?, h)?;
            }
            ("horizon H", "one part loses by the model, one by the value; g = 0.9".to_owned())
        }
        PlanningBound::PoloLemma2 => {
            for h in 1..=10 {
                add(h as f64, value(0.9, h)?, h)?;
            }
            ("horizon H", "the largest cost that a plan still takes; g = 0.9, eps = 1".to_owned())
        }
        PlanningBound::PoloLemma1 => {
            for i in 1..=9 {
                let gamma = f64::from(i) / 10.0;
                add(gamma, value(gamma, 1)?, 1)?;
            }
            ("discount g", "the largest cost that a greedy step still takes; eps = 1".to_owned())
        }
    };
    Ok(Curve { x, about, points })
}

/// The report on a statement about planning.
pub(super) fn report(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let bound = bound(statement.name);
    let mut reading = options.reading(RewardRange::Max);
    if bound == PlanningBound::PoloLemma1 {
        if options.horizon.is_some_and(|h| h != 1) {
            let problem = "the greedy policy looks one step ahead; leave the horizon out";
            return Err(Error::config("horizon", problem));
        }
        reading.play = Play::Receding;
    }
    let mut counterexamples = Vec::new();
    for (name, about, problem, h) in candidates(bound, options.horizon, reading.play)? {
        let exact = exact(bound, &reading, problem, h)?;
        if super::broken(&exact.printed) {
            counterexamples.push(Example { name, about, exact });
        }
    }
    let (about, problem, h) = tight(bound, options.horizon, reading.play)?;
    let tight = Example { name: "tight", about, exact: exact(bound, &reading, problem, h)? };
    Ok(Report {
        statement,
        reading: in_words(bound, &reading),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Planning::new(bound, reading, options.horizon), options, progress),
        curve: curve(bound, &reading)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_of_mopac_lies_between_its_bounds() {
        let found = curve(PlanningBound::MopacTheorem1, &Reading::default());
        let points = found.map(|c| c.points).unwrap_or_default();
        assert_eq!(points.len(), 10);
        for [h, loss, printed, corrected] in points {
            assert!(printed < loss && loss <= corrected, "H = {h}: {printed} {loss} {corrected}");
            assert!(loss > 0.85 * corrected, "H = {h}: {loss} of {corrected}");
        }
    }
}
