//! MPQ's free energy.

use serde_json::json;

use super::{Curve, Example, Options, Report, Statement, attack, q};
use crate::attack::{Certificate, FreeEnergy};
use crate::mdp::Kernel;
use crate::mpq::{Soft, discounted_pair, lucky_pair};
use hstep::Result;

/// Eq. (5)-(7).
pub(super) fn report(
    statement: &'static Statement,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    // Exponentials stand for the values: e^{-2V} > e^{-2F} says that F > V.
    let (energy, value) = discounted_pair(&[q(1, 1), q(1, 2)]);
    let discounted = Example {
        name: "discounted",
        about: "one state, costs 0 and log 4, g = 1/2, H = 2: e^(-2 V*) over e^(-2 F), so F > V*"
            .into(),
        exact: Certificate {
            printed: (value.clone(), energy),
            corrected: (value.clone(), value),
            instance: json!({ "gamma": "1/2", "horizon": 2, "exp_minus_costs": ["1", "1/4"] }),
        },
    };
    let (energy, value) = lucky_pair(&q(1, 2));
    let lucky = Example {
        name: "lucky",
        about: "cost 0 or log 4 at even odds, g = 1: e^(-F) over e^(-V*), so F < V*".into(),
        exact: Certificate {
            printed: (energy, value.clone()),
            corrected: (value.clone(), value),
            instance: json!({ "gamma": "1", "horizon": 1, "exp_minus_costs": ["1", "1/4"] }),
        },
    };
    let mut points = Vec::new();
    for horizon in 1..=10 {
        let soft = Soft {
            gamma: 0.5,
            lambda: 1.0,
            horizon,
            costs: vec![vec![0.0, 4.0_f64.ln()]],
            kernel: Kernel::deterministic(&[vec![0, 0]])?,
            prior: vec![0.5, 0.5],
            terminal: vec![0.0],
        };
        // No policy costs less than V*, the Boltzmann policy as much.
        let (nested, stages) = soft.nested();
        points.push([horizon as f64, soft.value(&stages)[0], soft.free_energy()[0], nested[0]]);
    }
    Ok(Report {
        statement,
        reading: "the discount within C; where chance leads, the expectation is inside the exponential's. \
                  An equation: larger side over smaller. Corrected: no policy costs less"
            .into(),
        counterexamples: vec![discounted, lucky],
        tight: None,
        attack: attack(&FreeEnergy { horizon: options.horizon }, options, progress),
        curve: Curve {
            x: "horizon H",
            about: "cost of the optimal soft policy; one state, costs 0 and log 4, g = 1/2".into(),
            points,
        },
    })
}
