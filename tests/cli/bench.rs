//! `hstep bench`: what it prints and what it refuses. Nothing here looks at how fast anything is.

use crate::{refused_with, run};

/// Standard output of a short measurement.
fn bench(args: &[&str]) -> String {
    let out = run(&[&["bench", "--seconds", "0.01", "--threads", "2"], args].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The numbers of a line whose words are `words`, with `#` for a number.
fn numbers(line: &str, words: &str) -> Vec<f64> {
    let (got, want): (Vec<_>, Vec<_>) = (line.split(' ').collect(), words.split(' ').collect());
    assert_eq!(got.len(), want.len(), "{line}");
    let mut numbers = Vec::new();
    for (got, want) in got.iter().zip(want) {
        match want {
            "#" => numbers.push(got.parse().unwrap()),
            _ => assert_eq!(*got, want, "{line}"),
        }
    }
    numbers
}

#[test]
fn every_workload_prints_its_rates_and_its_share_of_the_limit() {
    let text = bench(&[]);
    let mut lines = text.lines();
    let limit = numbers(lines.next().unwrap(), "LIMIT t2 gflops #")[0];
    assert!(limit > 0.0, "{text}");
    for name in ["a", "b", "c10k", "c100k", "d100", "d500", "d64", "e5", "e10"] {
        let words = format!("RESULT {name} hstep t2 med # best # percpu #");
        let rates = numbers(lines.next().unwrap(), &words);
        assert!(rates.iter().all(|rate| *rate > 0.0) && rates[1] >= rates[0], "{text}");
        let fraction = numbers(lines.next().unwrap(), &format!("FRACTION {name} t2 # gflops #"));
        // Both are rounded where they are printed.
        let rounded = 0.0006 + 0.06 / limit * (1.0 + fraction[0]);
        assert!((fraction[0] - fraction[1] / limit).abs() < rounded, "{text}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn the_limit_can_be_measured_alone() {
    assert_eq!(bench(&["limit"]).lines().count(), 1);
    // The numbers of one workload and no others.
    assert_eq!(bench(&["a", "limit"]).lines().count(), 3);
}

#[test]
fn a_plan_with_a_prior_is_measured_by_name() {
    assert!(bench(&["d100-prior"]).contains("RESULT d100-prior hstep t2 med "));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let all = "there is no workload `d1000`; there are: a, b, c10k, c100k, d100, d500, d64, e5, \
               e10, d100-prior, limit; did you mean `d100`?";
    refused_with(&["bench", "a", "d1000"], 2, all);
    for seconds in ["0", "-1", "nan", "inf", "1e300"] {
        let words = "`--seconds`: expected a number above 0";
        refused_with(&["bench", "a", &format!("--seconds={seconds}")], 2, words);
    }
    let words = "bf16 is for rollouts without gradients (c, d), not `e5`";
    refused_with(&["bench", "c10k", "e5", "--precision", "bf16"], 2, words);
    refused_with(&["bench", "c10k", "--precision", "f16"], 2, "expected f32 or bf16");
}

#[test]
fn the_price_of_rounding_is_said_where_numbers_are_rounded() {
    let args = ["bench", "c10k", "d100", "--precision", "bf16", "--seconds", "0.01"];
    if !hstep::nn::has_bf16() {
        return refused_with(&args, 2, "this processor does not multiply bfloat16 numbers");
    }
    let text = bench(&args[1..5]);
    for name in ["c10k", "d100"] {
        let start = format!("ROUNDING {name} ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        // Eight bits a factor: 2^-9 = 0.002 of the numbers on average, up to a few layers of them.
        let error = numbers(line, &format!("ROUNDING {name} hstep-bf16 rms #"))[0];
        assert!((2e-4..1e-2).contains(&error), "{line}");
    }
    assert!(!bench(&["c10k"]).contains("ROUNDING"));
}
