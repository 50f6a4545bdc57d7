//! `hstep eval` beyond the policy's return: plans at test time, with settings that do not fit too, and
//! the critic.

use std::process::Command;

use serde_json::Value;

use crate::small::{STEPS, Small, fails};

#[test]
fn a_trained_agent_is_evaluated_with_every_planner() {
    let run = Small::finished("maac");
    let eval = || {
        let mut eval = crate::hstep(&["eval"]);
        eval.arg(run.folder()).args(["--episodes", "2"]);
        eval
    };
    let text = |command: &mut Command| {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{command:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let alone = text(&mut eval());
    assert!(!alone.contains("acting"), "{alone}");
    for (plan, settings, acting) in [
        ("cem", &["planner.samples.count=8"][..], "CEM K=8, 5 iterations around the policy, H=5"),
        ("mppi", &["behave.horizon=2"], "MPPI K=100 around the policy, H=2 (min Q)"),
        ("mirror", &["planner.elites=0.5"], "mirror descent K=100 (elites 50 %)"),
        (
            "gradient",
            &["planner.steps=2", "behave.start=previous"],
            "gradient K=4, 2 steps of Adam",
        ),
    ] {
        let planned = text(eval().args(["--plan", plan]).args(settings));
        assert!(planned.contains(acting), "{planned}");
        // Other actions, other returns.
        assert_ne!(planned.lines().find(|l| l.starts_with("return")), alone.lines().nth(2));
        // The same command gives the same answer.
        assert_eq!(planned, text(eval().args(["--plan", plan]).args(settings)));
    }
}

#[test]
fn plans_that_do_not_fit_are_refused_by_key() {
    let run = Small::finished("sac");
    let eval = |settings: &[&str]| {
        let mut eval = crate::hstep(&["eval"]);
        eval.arg(run.folder()).args(["--plan", "cem"]).args(settings);
        eval
    };
    fails(&mut eval(&[]), 2, &["`--plan`", "needs a model", "this run has none"]);
    for (setting, words) in [
        ("behave.horizn=2", "did you mean `horizon`?"),
        ("plan.horizon=2", "a plan has `behave` and `planner`"),
        ("planner.elites=2", "`planner.elites`: expected a number in (0, 1], got 2"),
        ("planner.samples.count=0", "`planner.samples.count`: expected at least 1"),
        ("planner.samples.count=2000000", "expected at most 1000000 rollouts"),
        ("behave.horizon=five", "a number, or [from_step, to_step, from, to]"),
    ] {
        fails(&mut eval(&[setting]), 2, &[words]);
    }
    for (algo, setting, words) in [
        ("pets", "behave.horizon=0", "`behave.horizon`"),
        ("mopac", "planner.temperature=-1", "`planner.temperature`: expected 0 or more, got -1"),
        ("mopac", "imagine.horizon=0", "`imagine.horizon`"),
        ("demorl", "behave.horizon=3", "used only with `acts = true`"),
        ("demorl", "planner.step=2", "`planner.step`: expected a number in (0, 1], got 2"),
    ] {
        fails(&mut Small::new(algo).with(setting).train(STEPS), 2, &[words]);
    }
    // The pendulum's costs are positive: eq. 14 as printed cannot weigh them.
    let literal = Small::new("demorl").with("planner.weights=\"literal\"");
    fails(&mut literal.train(STEPS), 2, &["must all be negative", "`shifted`"]);
    assert!(literal.file("FAILED").exists());
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_critic_is_compared_with_what_the_sampled_policy_reaches() {
    let run = Small::finished("sac");
    let eval = || {
        let mut eval = crate::hstep(&["eval"]);
        eval.arg(run.folder()).args(["--episodes", "2", "--critic"]);
        eval
    };
    let out = eval().output().unwrap();
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    let value = |label: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(label)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Two episodes of 200 steps, cut by the time limit: the first half of each.
    assert_eq!(value("states"), 200.0);
    assert!((value("critic") - value("reached") - value("bias")).abs() < 2e-3, "{text}");
    // gamma^(101..=200) on average, gamma = .99.
    assert!((value("unseen") - 23.0).abs() < 0.06, "{text}");
    assert_eq!(String::from_utf8(eval().output().unwrap().stdout).unwrap(), text);
    let json = json(eval().arg("--json"));
    assert_eq!(json["states"], 200);
    assert!((json["bias"].as_f64().unwrap() - value("bias")).abs() < 1e-3, "{json}");
    fails(eval().args(["--plan", "cem"]), 2, &["--critic", "cannot be used with"]);
    let planner = Small::finished("pets");
    let mut alone = crate::hstep(&["eval", "--critic"]);
    fails(alone.arg(planner.folder()), 2, &["`--critic`", "this run has none"]);
}

#[test]
fn a_model_is_compared_with_the_episodes_of_the_policy() {
    let run = Small::finished("mbpo");
    let eval = |with: &[&str]| {
        let mut eval = crate::hstep(&["eval", "--model"]);
        eval.arg(run.folder()).args(with);
        eval
    };
    let out = eval(&["--episodes", "2"]).output().unwrap();
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("rollouts    40 in the model"), "{text}");
    let numbers = |line: &str| -> Vec<f64> {
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let table: Vec<_> = text.lines().map(numbers).filter(|row| row.len() == 5).collect();
    let steps: Vec<f64> = table.iter().map(|row| row[0]).collect();
    assert_eq!(steps, (1..=10).map(|i| f64::from(20 * i)).collect::<Vec<_>>(), "{text}");
    // The pendulum has no end; the last line has the return that `eval` itself tells.
    assert!(table.iter().all(|row| row[1] == 1.0), "{text}");
    let mut plain = crate::hstep(&["eval", "--episodes", "2"]);
    let plain = String::from_utf8(plain.arg(run.folder()).output().unwrap().stdout).unwrap();
    let line = plain.lines().find(|line| line.starts_with("return")).unwrap();
    assert_eq!(numbers(line)[0], table[9][3], "{plain}{text}");
    let whole = json(&mut eval(&["--episodes", "2", "--json"]));
    assert_eq!(whole["episodes"]["return"].as_array().unwrap().len(), 201);
    let mut plain = crate::hstep(&["eval", "--episodes", "2", "--json"]);
    let plain = json(plain.arg(run.folder()));
    assert_eq!(plain["returns"].as_array().unwrap().len(), 2);
    assert!((plain["return"].as_f64().unwrap() - table[9][3]).abs() < 1e-3, "{plain}");
    fails(&mut eval(&["--critic"]), 2, &["--model", "cannot be used with"]);
    let mut alone = crate::hstep(&["eval", "--model"]);
    let planner = Small::finished("pets");
    fails(alone.arg(planner.folder()), 2, &["`--model`", "does not have both"]);
}
