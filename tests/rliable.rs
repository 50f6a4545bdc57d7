//! The statistics over runs and tasks against rliable's, as `tests/golden/make_rliable.py` made them.

use approx::assert_abs_diff_eq;
use hstep::rng::Rng;
use hstep::stats::{Interval, Resamples, Scores, Statistic, improvement};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/rliable.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// From a row a run to a list a task.
fn scores(rows: &Value) -> Scores {
    let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
    let task = |t: usize| rows.iter().map(|row| row[t]).collect::<Vec<f64>>();
    Scores::new(&(0..rows[0].len()).map(task).collect::<Vec<_>>()).unwrap()
}

fn resamples(scores: &Scores, golden: &Value, seed: u64) -> Resamples {
    let rounds = golden["rounds"].as_u64().unwrap() as usize;
    Resamples::new(scores, rounds, &mut Rng::new(seed)).unwrap()
}

/// Both ends are random. The golden ones are means of 12 bootstraps with as many rounds, so that the
/// difference has a standard deviation of sqrt(1 + 1/12) times theirs; it may be four of these.
fn assert_same(got: &Interval, golden: &Value) {
    for (i, end) in [got.low, got.high].into_iter().enumerate() {
        let (mean, std) = (number(&golden["mean"][i]), number(&golden["std"][i]));
        assert_abs_diff_eq!(end, mean, epsilon = 4.0 * (13.0_f64 / 12.0).sqrt() * std + 1e-12);
    }
}

#[test]
fn estimates_are_rliables() {
    let golden = golden();
    for case in golden["cases"].as_array().unwrap() {
        let scores = scores(&case["scores"]);
        let all = [
            ("mean", Statistic::Mean),
            ("median", Statistic::Median),
            ("iqm", Statistic::Iqm),
            ("gap", Statistic::OptimalityGap(1.0)),
        ];
        let draws = resamples(&scores, &golden, 0);
        for (name, statistic) in all {
            assert_abs_diff_eq!(
                statistic.of(&scores),
                number(&case["estimates"][name]),
                epsilon = 1e-12
            );
            let got = draws.interval(&scores, statistic, 0.95).unwrap();
            assert_same(&got, &case["intervals"][name]);
        }
        for (tau, share) in
            golden["taus"].as_array().unwrap().iter().zip(case["profile"].as_array().unwrap())
        {
            let got = Statistic::Above(number(tau)).of(&scores);
            assert_abs_diff_eq!(got, number(share), epsilon = 1e-12);
        }
    }
}

#[test]
fn probabilities_of_improvement_are_rliables() {
    let golden = golden();
    for pair in golden["pairs"].as_array().unwrap() {
        let (x, y) = (scores(&pair["x"]), scores(&pair["y"]));
        let (of_x, of_y) = (resamples(&x, &golden, 0), resamples(&y, &golden, 1));
        let got = improvement((&x, &of_x), (&y, &of_y), 0.95).unwrap();
        assert_abs_diff_eq!(got.estimate, number(&pair["estimate"]), epsilon = 1e-12);
        assert_same(&got, &pair["interval"]);
    }
}
