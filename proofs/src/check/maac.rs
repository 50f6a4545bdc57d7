//! MAAC's Lemmas 4.1 and 4.2.

use serde_json::json;

use super::{Curve, Example, Options, Report, Statement, attack, q};
use crate::attack::{Certificate, Gradients, Variations, system_json};
use crate::maac::{
    Bernoulli, PolicyFamily as _, Rise, System, Variation, biased, feedback, positive,
};
use crate::number::Rational;
use hstep::Result;

fn exact(system: &System<Rational>) -> Result<Certificate> {
    let found = system.gradient_error()?;
    Ok(Certificate {
        printed: (found.error.clone(), found.printed),
        corrected: (found.error, found.corrected),
        instance: system_json(system),
    })
}

/// Lemma 4.1.
pub(super) fn gradient(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let h = options.horizon.unwrap_or(2);
    let mut counterexamples = Vec::new();
    if h >= 2 {
        counterexamples.push(Example {
            name: "biased",
            about: format!("the model is off by a constant: eps_f = eps_Q = 0; g = 9/10, H = {h}"),
            exact: exact(&biased(q(9, 10), h, &q(1, 1)))?,
        });
    }
    if options.horizon.is_none_or(|h| h == 1) {
        counterexamples.push(Example {
            name: "feedback",
            about: "the factor 1 + L_pi that the recursion lacks; g = 9/10, H = 1, k = 10".into(),
            exact: exact(&feedback(q(9, 10), &q(10, 1), &q(1, 100)))?,
        });
    }
    let h = options.horizon.unwrap_or(5);
    let tight = Example {
        name: "tight",
        about: format!("everything linear and positive, model and Q too large by 1/100; H = {h}"),
        exact: exact(&positive(q(9, 10), h, &q(1, 100)))?,
    };
    let mut points = Vec::new();
    for h in 1..=10 {
        let found = biased(0.9, h, &0.1).gradient_error()?;
        points.push([h as f64, found.error, found.printed, found.corrected]);
    }
    Ok(Report {
        statement,
        reading:
            "deterministic, one-dimensional, linear policy in one parameter; the constants of the \
                  proof, each as large as it can mean, K from t >= 1"
                .into(),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Gradients { horizon: options.horizon }, options, progress),
        curve: Curve {
            x: "horizon H",
            about: "a model that is off by the constant 0.1, whose derivatives are exact".into(),
            points,
        },
    })
}

/// Steps of [`Rise`] from `from` to `to`, seen at state `state`: the printed bound has `local_c3`, the
/// corrected one `c3`.
fn risen(
    state: &Rational,
    from: &Rational,
    to: &Rational,
    local: Rational,
    c3: Rational,
) -> Certificate {
    let p = |theta: &Rational| Rise::probability(&(theta * state));
    let tv = num_traits::Signed::abs(&(p(from) - p(to)));
    let gradient_error = num_traits::Signed::abs(&(from - to));
    let bound =
        |c3| Variation { alpha: q(1, 1), c3, gradient_error: gradient_error.clone() }.bound();
    Certificate {
        printed: (tv.clone(), bound(local)),
        corrected: (tv, bound(c3)),
        instance: json!({
            "policy": "two actions, the first with probability 1/2 + x / (2 (1 + x^2)), x = theta s",
            "state": state.to_string(),
            "exact": from.to_string(),
            "approximate": to.to_string(),
        }),
    }
}

/// Lemma 4.2.
pub(super) fn variation(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    // The information is at most 1, so that c_3 = S / 2 does for states up to S.
    let counterexamples = vec![
        Example {
            name: "far-state",
            about: "a step of 1/100 from 0 with c_3 = 1/2, which is right for |s| <= 1, seen at s = 100".into(),
            exact: risen(&q(100, 1), &q(0, 1), &q(1, 100), q(1, 2), q(50, 1)),
        },
        Example {
            name: "no-information",
            about: "a step of 1/2 from theta = 1, where the information at the one state s = 1 is 0".into(),
            exact: risen(&q(1, 1), &q(1, 1), &q(1, 2), q(0, 1), q(1, 2)),
        },
    ];
    let tight = Example {
        name: "tight",
        about: "a step of 1/100 from 0, |s| <= 1".into(),
        exact: risen(&q(1, 1), &q(0, 1), &q(1, 100), q(1, 2), q(1, 2)),
    };
    let mut points = Vec::new();
    for i in 1..=20 {
        let (from, step) = (-4.0, 0.5 * f64::from(i));
        let left = Bernoulli.tv(from, from + step);
        let printed = step * Bernoulli.local_c3(from, 1.0, 1.0);
        points.push([
            step,
            left,
            printed,
            step * Bernoulli.segment_c3(from, from + step, 1.0, 1.0),
        ]);
    }
    Ok(Report {
        statement,
        reading:
            "c_3 from the Fisher information at the exact step's parameter (printed) or along the \
                  segment (corrected); Gaussian and two-action policies that see theta s"
                .into(),
        counterexamples,
        tight: Some(tight),
        attack: attack(&Variations, options, progress),
        curve: Curve {
            x: "step size",
            about: "two actions, log-odds theta = -4 and up, the one state s = 1".into(),
            points,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number as _;

    #[test]
    fn the_information_of_the_rising_policy_is_that_of_its_probability() {
        // I(x) = p'^2 / (p (1 - p)), p' by central differences of step 1e-6 in exact arithmetic: off by
        // a third of the third derivative times 1e-12.
        for x in [q(0, 1), q(1, 3), q(-2, 1), q(1, 1)] {
            let h = q(1, 1_000_000);
            let up = Rise::probability(&(&x + &h));
            let slope = (up - Rise::probability(&(&x - &h))) / (h * q(2, 1));
            let p = Rise::probability(&x);
            let expected = &slope * &slope / (&p * (q(1, 1) - &p));
            assert!((expected - Rise::information(&x)).float().abs() < 1e-9, "{x}");
        }
    }
}
