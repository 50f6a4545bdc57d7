//! Intervals against exact numbers, and the ways in which a problem of many states is written.

use hstep::rng::Rng;
use hstep_proofs::Rational;
use hstep_proofs::check::{Options, measure, measure_wide};
use hstep_proofs::file::{Decidable, from_json, read, to_json};
use hstep_proofs::interval::Interval;
use hstep_proofs::mdp::{Kernel, Mdp};
use hstep_proofs::number::parse;
use hstep_proofs::problem::Problem;
use hstep_proofs::reading::{Norm, Play};
use serde_json::{Value, json};

use super::q;

/// A row with few successors, in small fractions.
fn row(states: usize, rng: &mut Rng) -> Vec<Rational> {
    let mut weights = vec![0i64; states];
    (0..3).for_each(|_| weights[rng.below(states)] += 1 + rng.below(3) as i64);
    let sum = weights.iter().sum();
    weights.into_iter().map(|w| q(w, sum)).collect()
}

/// A problem whose model is off in some rows, and whose value is off everywhere, or neither.
fn problem(states: usize, rng: &mut Rng) -> Problem<Rational> {
    let actions = 2 + rng.below(2);
    let rows: Vec<Vec<Vec<Rational>>> =
        (0..states).map(|_| (0..actions).map(|_| row(states, rng)).collect()).collect();
    let mut model = rows.clone();
    let off = rng.below(3) > 0;
    for of in model.iter_mut().filter(|_| off) {
        of[0] = row(states, rng);
    }
    let number = |rng: &mut Rng| q(rng.below(21) as i64 - 10, 7);
    let rewards: Vec<Vec<Rational>> =
        (0..states).map(|_| (0..actions).map(|_| number(rng)).collect()).collect();
    let gamma = [q(1, 2), q(9, 10), q(19, 20)][rng.below(3)].clone();
    let mdp = Mdp::new(gamma, &rewards, Kernel::new("transition", &rows).unwrap()).unwrap();
    let value = (0..states).map(|_| if off { number(rng) } else { q(0, 1) }).collect();
    Problem::new(mdp, Kernel::new("model", &model).unwrap(), value).unwrap()
}

fn in_intervals(name: &str, text: &str, options: &Options) -> Value {
    let Decidable::Wide(problem, rounded) = read(text, false, true).unwrap() else {
        panic!("exact")
    };
    measure_wide(name, &problem, rounded, options).unwrap()
}

fn interval(value: &Value) -> Interval {
    Interval::new(value[0].as_f64().unwrap(), value[1].as_f64().unwrap())
}

#[test]
fn intervals_hold_the_exact_figures() {
    let mut rng = Rng::new(11);
    let mut decided = 0;
    for i in 0..200 {
        // A few of the size that exact numbers end at.
        let states = if i % 50 == 0 { 50 } else { 2 + rng.below(8) };
        let text = to_json(&problem(states, &mut rng)).to_string();
        let options = Options {
            horizon: Some(1 + rng.below(if states > 20 { 2 } else { 4 })),
            play: [Play::Receding, Play::Executed][if states > 20 { 0 } else { rng.below(2) }],
            norm: [Norm::Tv, Norm::L1][rng.below(2)],
            ..Options::default()
        };
        for name in ["mopac-theorem-1", "polo-lemma-2"] {
            let exact = measure(name, &from_json(&text, false).unwrap(), &options).unwrap();
            let wide = in_intervals(name, &text, &options);
            for key in [
                "gamma",
                "eps_f",
                "eps_v",
                "r_max",
                "span",
                "gap",
                "bound_printed",
                "bound_corrected",
            ] {
                let want = parse(exact[key].as_str().unwrap()).unwrap();
                let got = interval(&wide[key]);
                assert!(got.holds(&want), "{name}, problem {i}: `{key}` is {want}, not in {got}");
                let ties = wide.get("note").is_some() && key == "gap";
                let width = 1e-9 * (1.0 + got.high().abs());
                assert!(
                    ties || got.high() - got.low() < width,
                    "{name}, problem {i}: `{key}` {got}"
                );
            }
            for key in ["printed_holds", "corrected_holds"] {
                if let Some(verdict) = wide[key].as_bool() {
                    assert_eq!(exact[key], verdict, "{name}, problem {i}");
                    decided += 1;
                }
            }
        }
    }
    assert!(decided > 400, "{decided} of 800 verdicts");
}

#[test]
fn a_row_may_be_an_object_and_a_process_gymnasiums() {
    let whole = json!({
        "gamma": "9/10",
        "reward": [["1/2", 0], [1, 2], [0, 0]],
        "transition": [[["1/2", 0, "1/2"], [0, 1, 0]], [[1, 0, 0], [0, "1/4", "3/4"]], [[0, 0, 1], [0, 0, 1]]],
    });
    let mut sparse = whole.clone();
    sparse["transition"] = json!([
        [{"2": 0.5, "0": 0.5}, {"1": 1}],
        [{"0": 1}, {"1": "1/4", "2": "3/4"}],
        [{"2": 1}, {"2": 1}],
    ]);
    // Half of the time the first pair's reward is 1; what is done leads to one more state.
    let gymnasium = json!({"gamma": 0.9, "P": {
        "0": {"0": [[0.5, 0, 1.0, false], [0.5, 1, 0, true]], "1": [[1.0, 1, 0, false]]},
        "1": {"0": [[1.0, 0, 1, false]], "1": [[0.25, 1, 2, false], [0.25, 0, 2, true], [0.5, 1, 2.0, true]]},
    }});
    let want = from_json(&whole.to_string(), false).unwrap();
    for other in [&sparse, &gymnasium] {
        let got = from_json(&other.to_string(), false).unwrap();
        assert_eq!(got.problem, want.problem, "{other}");
    }
    let mut list = gymnasium.clone();
    list["P"] = json!([gymnasium["P"]["0"], gymnasium["P"]["1"]]);
    assert_eq!(from_json(&list.to_string(), false).unwrap().problem, want.problem);

    for (place, wrong, words) in [
        (
            "transition",
            json!([[{"3": 1}, {"1": 1}], [{"0": 1}, {"1": 1}], [{"2": 1}, {"2": 1}]]),
            "expected a state, 0 to 2, got `3`",
        ),
        (
            "transition",
            json!([[{"0": 0.5}, {"1": 1}], [{"0": 1}, {"1": 1}], [{"2": 1}, {"2": 1}]]),
            "sum to 1",
        ),
        (
            "transition",
            json!([[{"0": 1, "00": 0}, {"1": 1}], [{"0": 1}, {"1": 1}], [{"2": 1}, {"2": 1}]]),
            "the next state 0 twice",
        ),
        ("P", gymnasium["P"].clone(), "leave `reward` and `transition` out"),
    ] {
        let mut broken = whole.clone();
        broken[place] = wrong;
        for intervals in [false, true] {
            let error = read(&broken.to_string(), false, intervals).err().unwrap().to_string();
            assert!(error.contains(words) && error.contains(place), "{error}");
        }
    }
    for (wrong, words) in [
        (json!({"1": {}}), "none of them is `0`"),
        (json!([[[[1.0, 0, 0.0]]]]), "expected outcomes [probability, next state, reward, done]"),
        (json!([[[[1.0, 1, 0.0, false]]]]), "expected a state, 0 to 0, got `1`"),
        (json!(3), "expected a list, or an object"),
    ] {
        let text = json!({"gamma": 0.5, "P": wrong}).to_string();
        let error = from_json(&text, false).err().unwrap().to_string();
        assert!(error.contains(words) && error.contains('P'), "{error}");
    }
}

#[test]
fn a_problem_of_two_thousand_states_is_decided_and_one_more_refused() {
    let text = |states: usize| {
        let mut rng = Rng::new(4);
        let mut row = || {
            let at: Vec<usize> = (0..3).map(|_| rng.below(states)).collect();
            let mut row = serde_json::Map::new();
            for (i, s) in at.iter().enumerate() {
                let p = at.iter().filter(|other| *other == s).count() as f64 * 0.25;
                let more = if at[2] == *s { 0.25 } else { 0.0 };
                row.insert(s.to_string(), json!(if i < 3 { p + more } else { p }));
            }
            Value::Object(row)
        };
        let mut kernel = || (0..states).map(|_| json!([row(), row()])).collect::<Value>();
        let (transition, model) = (kernel(), kernel());
        let reward: Value = (0..states).map(|s| json!([(s % 7) as f64 * 0.1, 0.5])).collect();
        json!({"gamma": 0.95, "reward": reward, "transition": transition, "model": model})
            .to_string()
    };
    let options = Options { horizon: Some(3), ..Options::default() };
    let many = text(2_000);
    let Decidable::Wide(problem, rounded) = read(&many, false, false).unwrap() else {
        panic!("2,000 states in fractions")
    };
    let found = measure_wide("mopac-theorem-1", &problem, rounded, &options).unwrap();
    let gap = interval(&found["gap"]);
    assert!(gap.low() > 0.1 && gap.high() - gap.low() < 1e-8, "{gap}");
    assert_eq!(found["corrected_holds"], true);
    let problems = [("mopac-lemma-2", "with so many states"), ("polo-lemma-1", "one step ahead")];
    for (name, words) in problems {
        let error = measure_wide(name, &problem, 0, &options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = read(&text(2_001), false, false).err().unwrap().to_string();
    assert!(error.contains("expected 1 to 2000 states"), "{error}");
}
