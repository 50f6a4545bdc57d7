//! Importance sampling against a closed form: a Gaussian prior and a quadratic cost.

use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{Base, Mppi, MppiConfig, Planner, Problem};

use super::fixtures::*;
use crate::heard::warnings;

/// Two actions of one decision, cost `k/2 |a - goal|^2`, prior `N(0, sigma^2)`.
const WIDTH: usize = 2;
const K: f64 = 1.5;
const GOAL: f64 = 0.8;
const SIGMA: f64 = 0.7;
const LAMBDA: f64 = 0.9;

/// Mean of the tilted prior, a number the same in both directions.
fn tilted_mean() -> f64 {
    GOAL * (K / LAMBDA) / (K / LAMBDA + 1.0 / (SIGMA * SIGMA))
}

/// `log E exp(-cost / lambda)` under the prior.
fn log_z() -> f64 {
    let gain = 1.0 + K * SIGMA * SIGMA / LAMBDA;
    WIDTH as f64 * (-0.5 * gain.ln() - 0.5 * K / LAMBDA * GOAL * GOAL / gain)
}

fn config(count: usize, iterations: usize) -> MppiConfig {
    MppiConfig {
        samples: samples(count, 1, f64::INFINITY),
        iterations,
        temperature: LAMBDA,
        noise: SIGMA,
        prior_ratio: true,
        ..MppiConfig::default()
    }
}

/// Plans of `runs` equal start states from a proposal around `from`; every row has its own noise.
fn plan(config: &MppiConfig, runs: usize, from: f64, seed: u64) -> hstep::planner::Plan {
    let critic = bowl(K, GOAL);
    let objective = HStep::model_free(Terminal::min_q(&critic), Cost::NONE);
    let s0 = tensor(&vec![0.0; runs], &[runs, 1]);
    let base = tensor(&vec![from; runs * WIDTH], &[runs, 1, WIDTH]);
    mppi(config, objective, &s0, Base::Open(&base), key(seed))
}

fn root_mean_square(x: &[f64], want: f64) -> f64 {
    (x.iter().map(|x| (x - want).powi(2)).sum::<f64>() / x.len() as f64).sqrt()
}

/// The slope of a straight line through the points, least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn errors_fall_with_the_root_of_the_sample_size() {
    let (mut of_mean, mut of_log_z) = (Vec::new(), Vec::new());
    for (n, runs) in [(100, 300), (1_000, 300), (10_000, 150), (100_000, 60)] {
        let plan = plan(&config(n, 1), runs, 0.2, 51);
        let x = (n as f64).ln();
        of_mean.push((x, root_mean_square(&numbers(&plan.mean), tilted_mean()).ln()));
        of_log_z.push((x, root_mean_square(&numbers(&plan.log_normaliser), log_z()).ln()));
        let effective = numbers(&plan.effective_samples);
        let least = effective.iter().fold(f64::INFINITY, |m, e| m.min(*e)) / n as f64;
        assert!(least > 0.2, "effective share {least} of {n}");
    }
    // A root mean square of 60 runs has a relative standard error of 9 %, which over three decades
    // is about 0.015 in the slope: six of those on either side.
    for (name, points) in [("mean", of_mean), ("log Z", of_log_z)] {
        let got = slope(&points);
        assert!((-0.6..=-0.4).contains(&got), "{name}: slope {got} of {points:?}");
    }
}

#[test]
fn a_far_proposal_collapses_to_a_few_samples() {
    // Fifteen standard deviations of the tilted prior away.
    for n in [1_000, 30_000] {
        let far = plan(&config(n, 1), 8, -8.0, 52);
        let near = plan(&config(n, 1), 8, 0.2, 52);
        let share = |plan: &hstep::planner::Plan| {
            numbers(&plan.effective_samples).iter().sum::<f64>() / (8.0 * n as f64)
        };
        assert!(share(&far) < 0.01 && share(&near) > 0.2, "{} {}", share(&far), share(&near));
        // More samples do not bring the mean there.
        assert!(root_mean_square(&numbers(&far.mean), tilted_mean()) > 1.0);
    }
}

/// What is warned of while a planner plans three times.
fn warnings_of(config: MppiConfig, from: f64) -> Vec<String> {
    let critic = bowl(K, GOAL);
    let objective = HStep::model_free(Terminal::min_q(&critic), Cost::NONE);
    let s0 = tensor(&[0.0; 2], &[2, 1]);
    let base = tensor(&[from; 2 * WIDTH], &[2, 1, WIDTH]);
    let plan = || {
        let planner = Mppi::new(config);
        for seed in 0..3 {
            let problem = Problem { objective, s0: &s0, base: Base::Open(&base) };
            planner.plan(&problem, key(seed)).unwrap();
        }
    };
    warnings(plan).1
}

#[test]
fn a_collapse_is_said_once() {
    let said = warnings_of(config(100, 1), -20.0);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["effective sample size", "of 100 candidates", "raise the temperature"] {
        assert!(said[0].contains(part), "{}", said[0]);
    }
    // Healthy weights, a temperature that asks for the best, and a handful of candidates are fine.
    assert_eq!(warnings_of(config(100, 1), 0.2), [""; 0]);
    assert_eq!(warnings_of(MppiConfig { temperature: 0.0, ..config(100, 1) }, -20.0), [""; 0]);
    assert_eq!(warnings_of(config(4, 1), -20.0), [""; 0]);
}

#[test]
fn iterating_goes_to_the_tilted_mean_with_the_ratio_and_to_the_goal_without() {
    // Started off both. Thirty runs of 5,000 samples: standard errors are below 0.003.
    for (prior_ratio, want) in [(true, tilted_mean()), (false, GOAL)] {
        let plan = plan(&MppiConfig { prior_ratio, ..config(5_000, 25) }, 30, -0.4, 53);
        let (mean, error) = mean_and_error(&numbers(&plan.mean));
        let what = format!("ratio {prior_ratio}: {mean} +- {error} against {want}");
        assert!((mean - want).abs() < 4.0 * error && error < 0.003, "{what}");
    }
    assert!(GOAL - tilted_mean() > 0.3);
}

/// The model and Q see clipped actions; what the ratio speaks of, and what is averaged, are the samples.
#[test]
fn with_the_ratio_samples_are_averaged_as_they_were_drawn() {
    for prior_ratio in [true, false] {
        let mut one = MppiConfig { prior_ratio, noise: 9.0, step: 1.0, ..config(1, 1) };
        one.samples.limit = 0.5;
        let plan = plan(&one, 20, 0.0, 55);
        let (mean, actions) = (numbers(&plan.mean), numbers(&plan.actions));
        let beyond = mean.iter().filter(|m| m.abs() > 0.5).count();
        assert_eq!(beyond > 15, prior_ratio, "{mean:?}");
        let clipped = mean.iter().map(|m| m.clamp(-0.5, 0.5));
        assert!(actions.iter().zip(clipped).all(|(a, m)| *a == m));
        assert!(numbers(&plan.samples).iter().all(|x| x.abs() <= 0.5));
    }
}

#[test]
fn without_a_model_the_ratio_gives_the_soft_value_of_a_quadratic_q() {
    // H = 0: one action, and value = lambda log E exp(Q / lambda) under the prior.
    let plan = plan(&config(20_000, 3), 20, 0.0, 54);
    assert_eq!(plan.actions.dims(), [20, 1, WIDTH]);
    assert_eq!(plan.model_steps, 0);
    let (mean, error) = mean_and_error(&numbers(&plan.value));
    let want = LAMBDA * log_z();
    assert!((mean - want).abs() < 4.0 * error && error < 0.003, "{mean} +- {error}: {want}");
    let (mean, error) = mean_and_error(&numbers(&plan.actions));
    assert!((mean - tilted_mean()).abs() < 4.0 * error && error < 0.003, "{mean} +- {error}");
}
