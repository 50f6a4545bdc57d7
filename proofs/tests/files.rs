//! Problems as JSON, and statements on them.

use hstep::rng::Rng;
use hstep_proofs::Rational;
use hstep_proofs::attack::{Planning, PlanningBound, Target as _};
use hstep_proofs::check::{Options, measure};
use hstep_proofs::families::{joint, swapped};
use hstep_proofs::file::{from_json, to_json};
use hstep_proofs::reading::{Norm, Play, Reading, RewardRange};
use serde_json::{Value, json};

use super::{n, q};

/// The swapped model of two states, in decimals.
fn text() -> String {
    json!({
        "gamma": 0.9,
        "reward": [[0, 0], [1, 1]],
        "transition": [[[0.9, 0.1], [1, 0]], [[0, 1], [0, 1]]],
        "model": [[[1, 0], ["9/10", "1/10"]], [[0, 1], [0, 1]]],
        "value": null,
    })
    .to_string()
}

#[test]
fn decimals_and_fractions_give_the_problem_they_name() {
    let given = from_json(&text(), false).unwrap();
    let expected = swapped(q(9, 10), &[q(1, 10), q(0, 1)], &[q(0, 1), q(1, 10)]).unwrap();
    assert_eq!(given.problem, expected);
    // More digits than an f64 has: 1 - 1e-20 and 1e-20 sum to one exactly.
    let long = text().replace("[1,0],[\"9/10\"", "[0.99999999999999999999,1e-20],[\"9/10\"");
    assert!(long != text(), "{long}");
    let given = from_json(&long, false).unwrap();
    assert_eq!(given.problem.model.row(0, 0)[1], n("1e-20"));
}

#[test]
fn what_is_written_is_read_back() {
    let problem = joint(&q(9, 10), 2, &q(1, 100), &q(1, 7), &q(1, 9), Play::Receding).unwrap();
    assert_eq!(from_json(&to_json(&problem).to_string(), false).unwrap().problem, problem);
    let target = Planning::new(PlanningBound::MopacTheorem1, Reading::default(), None);
    let mut rng = Rng::new(8);
    for _ in 0..30 {
        let drawn = target.draw(&mut rng);
        let exact = target.certify(&drawn, 100_000).unwrap();
        let given = from_json(&exact.instance["mdp"].to_string(), false).unwrap();
        let options = Options { horizon: Some(drawn.horizon), ..Options::default() };
        let measured = measure("mopac-theorem-1", &given, &options).unwrap();
        assert_eq!(measured["gap"], exact.printed.0.to_string());
        assert_eq!(measured["bound_printed"], exact.printed.1.to_string());
        assert_eq!(measured["bound_corrected"], exact.corrected.1.to_string());
    }
}

fn measured(name: &str, text: &str, options: &Options) -> Value {
    measure(name, &from_json(text, false).unwrap(), options).unwrap()
}

#[test]
fn mopacs_theorem_is_measured_as_asked() {
    let three = Options { horizon: Some(3), ..Options::default() };
    let got = measured("mopac-theorem-1", &text(), &three);
    let expected = [
        ("gap", json!("90/19")),
        ("eps_f", json!("1/10")),
        ("eps_v", json!("0")),
        ("bound_printed", json!("271/1000")),
        ("bound_corrected", json!("18")),
        ("printed_holds", json!(false)),
        ("corrected_holds", json!(true)),
        ("worst_state", json!(0)),
        // Action 1 at state 0, which the model prefers; of the equal ones at state 1 the first.
        ("policy", json!([1, 0])),
    ];
    for (key, value) in expected {
        assert_eq!(got[key], value, "{key}");
    }
    let l1 = measured("mopac-theorem-1", &text(), &Options { norm: Norm::L1, ..three.clone() });
    assert_eq!((&l1["eps_f"], &l1["bound_printed"]), (&json!("1/5"), &json!("271/500")));
    assert_eq!(l1["bound_corrected"], "18");
    // A value: V^ = 0 is off by 10 at state 1. r_max as the span is the same here.
    let valued = text().replace("null", "[0, 0]");
    let span = Options { range: Some(RewardRange::Span), play: Play::Executed, ..three };
    let got = measured("mopac-theorem-1", &valued, &span);
    assert_eq!(got["eps_v"], "10");
    // 2 g^3 10 / (1 - g^3) + 18
    let value = n("14.58") / n("0.271");
    assert_eq!(got["bound_corrected"], (value + q(18, 1)).to_string());
    assert_eq!(got["plan"].as_array().unwrap().len(), 3);
}

#[test]
fn other_statements_are_measured_too() {
    let options = Options { horizon: Some(3), ..Options::default() };
    let pair = measured("mopac-lemma-2", &text(), &options);
    assert_eq!((&pair["gap"], &pair["bound_printed"]), (&json!("90/19"), &json!("18/19")));
    let greedy = measured("polo-lemma-1", &text(), &Options::default());
    assert_eq!((&greedy["gap"], &greedy["eps_f"]), (&json!("0"), &json!("0")));
    // J - J_r of the sequence that leaves state 0 in truth and not in the model, three steps of it.
    let sequence = measured("demorl-lemma-1", &text(), &options);
    assert_eq!(sequence["actions"], json!([0, 0, 0]));
    // g 0.1 + g^2 0.19 of rewards, and at the end 0.271 of the difference of V* = 10 and 90/19.
    let rewards = n("0.09") + n("0.81") * n("0.19");
    let end = n("0.729") * n("0.271") * (q(10, 1) - q(90, 19));
    assert_eq!(sequence["gap"], (rewards + end).to_string());
    assert_eq!(
        (&sequence["corrected_holds"], &sequence["printed_holds"]),
        (&json!(true), &json!(true))
    );
    let mut both: Value = serde_json::from_str(&text()).unwrap();
    both["policy"] = json!([[0.1, 0.9], [1, 0]]);
    both["data_policy"] = json!([[0, 1], [1, 0]]);
    let step = measured("maac-theorem-4.1", &both.to_string(), &Options::default());
    assert_eq!(step["tv"], "1/10");
    assert_eq!(step["corrected_holds"], true);
    for (name, words) in [
        ("maac-theorem-4.1", "compares two policies"),
        ("maac-lemma-4.1", "not about finite processes"),
        ("mpq-free-energy", "not about finite processes"),
    ] {
        let error =
            measure(name, &from_json(&text(), false).unwrap(), &options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let missing = measure("polo-lemma-2", &from_json(&text(), false).unwrap(), &Options::default());
    assert!(missing.unwrap_err().to_string().contains("--horizon 3"));
}

#[test]
fn wrong_files_are_refused_by_place() {
    let cases = [
        ("{", "", "not JSON: EOF"),
        ("", "NaN", "not JSON"),
        ("", "\"nan\"", "expected a number such as 0.25"),
        (
            "\"gamma\":0.9",
            "\"gamma\":1",
            "`gamma`: expected a discount of at least 0 and below 1, got 1",
        ),
        ("\"gamma\":0.9", "\"gamma\":-0.1", "below 1, got -1/10"),
        ("\"gamma\":0.9", "\"gamma\":[1]", "expected a number or a string"),
        ("\"gamma\":0.9", "\"gama\":0.9", "unknown field `gama`"),
        ("\"gamma\":0.9,", "", "missing field `gamma`"),
        ("[[0,0],[1,1]]", "[[0,0],[1]]", "`reward[1]`: expected 2 actions, got 1"),
        ("[[0,0],[1,1]]", "[[0,0]]", "`reward`: expected 2 states as in `transition`, got 1"),
        ("[[0,0],[1,1]]", "[[0,0],[1,\"1/0\"]]", "`reward[1][1]`: `1/0` divides by 0"),
        (
            "[0.9,0.1]",
            "[0.9,0.05]",
            "`transition[0][0]`: expected probabilities that sum to 1, got a sum of 19/20, 1/20 below it",
        ),
        (
            "[0.9,0.1]",
            "[1.1,-0.1]",
            "`transition[0][0]`: expected probabilities of at least 0, got -1/10",
        ),
        ("[0.9,0.1]", "[1]", "`transition[0][0]`: expected 2 probabilities, got 1"),
        ("[[0.9,0.1],[1,0]]", "[[0.9,0.1]]", "`transition[1]`: expected 1 actions, got 2"),
        (
            "[\"9/10\",\"1/10\"]",
            "[\"9/10\",\"1/11\"]",
            "`model[0][1]`: expected probabilities that sum to 1",
        ),
        ("null", "[0]", "`value`: expected 2 numbers or null, got 1"),
        ("[[0.9,0.1],[1,0]],[[0,1],[0,1]]", "", "at least one state and one action, got 0 states"),
    ];
    for (from, to, words) in cases {
        let broken = match from {
            "{" => "{".to_owned(),
            "" => text().replacen("0.1", to, 1),
            from => text().replacen(from, to, 1),
        };
        let error = from_json(&broken, false).unwrap_err().to_string();
        assert!(error.contains(words), "`{from}` to `{to}` gave {error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    // Ten thousand states, whether or not the transitions are there.
    let reward = vec![vec![0; 2]; 10_000];
    let none = json!({ "gamma": 0.5, "reward": reward, "transition": [] });
    let error = from_json(&none.to_string(), false).unwrap_err().to_string();
    assert!(
        error.contains("at most 50 states and 50 actions") && error.contains("10000"),
        "{error}"
    );
    // Forty prime denominators a row: the value of fifty such states would have thousands of digits.
    let is_prime = |n: &i64| (2..70).all(|d| n % d != 0);
    let primes: Vec<i64> = (1000..4900).filter(is_prime).take(40).collect();
    let mut row: Vec<Rational> = primes.iter().map(|p| q(1, *p)).collect();
    row.resize(49, q(0, 1));
    row.push(q(1, 1) - row.iter().fold(q(0, 1), |sum, p| sum + p));
    let row: Vec<String> = row.iter().map(Rational::to_string).collect();
    let many = json!({
        "gamma": "9/10", "reward": vec![vec![0]; 50], "transition": vec![vec![row]; 50],
    });
    let error = from_json(&many.to_string(), false).unwrap_err().to_string();
    assert!(error.contains("`transition`: the exact value of 50 states"), "{error}");
    let given = from_json(&text(), false).unwrap();
    let long = Options { horizon: Some(1_000_000), ..Options::default() };
    let error = measure("mopac-theorem-1", &given, &long).unwrap_err().to_string();
    assert!(error.contains("expected at most 1000 steps"), "{error}");
    let many = Options { horizon: Some(40), ..Options::default() };
    let error = measure("demorl-lemma-1", &given, &many).unwrap_err().to_string();
    assert!(error.contains("action sequences"), "{error}");
}
