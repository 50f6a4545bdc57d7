//! The search: it finds what is false, in seconds, and leaves alone what is true.

use hstep::pool;
use hstep_proofs::attack::{
    Budget, Found, Mirror, Planning, PlanningBound, Sequences, Target, certify_finely,
    certify_violation, search,
};
use hstep_proofs::check::{Options, Report, STATEMENTS, check, ratio};
use hstep_proofs::mopac::Theorem1;
use hstep_proofs::number::Number as _;
use hstep_proofs::reading::{Norm, Play, Reading, RewardRange};

fn budget(evaluations: u64) -> Budget {
    Budget { evaluations, first_piece: 0, seed: 3 }
}

fn found<T: Target>(target: &T, evaluations: u64) -> Found<T::Instance> {
    search(target, &budget(evaluations), &|_| ())
}

type Variant = fn(&Theorem1<f64>) -> f64;

fn planning(play: Play, variant: Variant) -> Planning {
    let reading = Reading { play, ..Reading::default() };
    let right = Planning::new(PlanningBound::MopacTheorem1, reading, None);
    Planning { variant: Some(variant), ..right }
}

/// The two terms of the corrected form, receding.
fn terms(t: &Theorem1<f64>) -> (f64, f64) {
    let left = 1.0 - t.gamma;
    let value = 2.0 * t.gamma.powi(t.horizon as i32) * t.eps_v / left;
    (value, 2.0 * t.gamma * t.eps_f * t.span / (left * left))
}

#[test]
fn wrong_variants_of_mopacs_theorem_are_found_out() {
    let variants: [(&str, Variant); 6] = [
        ("factor 2 of the value dropped", |t| terms(t).0 / 2.0 + terms(t).1),
        ("factor 2 of the model dropped", |t| terms(t).0 + terms(t).1 / 2.0),
        ("1 - g for (1 - g)^2", |t| terms(t).0 + (1.0 - t.gamma) * terms(t).1),
        ("H + 1 for H", |t| t.gamma * terms(t).0 + terms(t).1),
        ("1 - g^H for 1 - g", |t| {
            (1.0 - t.gamma) / (1.0 - t.gamma.powi(t.horizon as i32)) * terms(t).0 + terms(t).1
        }),
        ("g dropped from the model's term, R halved", |t| terms(t).0 + terms(t).1 / t.gamma / 2.0),
    ];
    for (name, variant) in variants {
        let target = planning(Play::Receding, variant);
        let found = found(&target, 60_000);
        assert!(found.corrected.largest > 1.01, "{name}: {}", found.corrected.largest);
        // The same instance in fractions: the true loss is above the wrong bound.
        let witness = found.corrected.witness.unwrap();
        let exact = certify_finely(&target, &witness).unwrap();
        let constants = Theorem1::of(&witness.problem, witness.horizon, &target.reading);
        let loss = exact.corrected.0.float();
        assert!(loss > 1.005 * variant(&constants), "{name}: {loss} in fractions");
    }
}

#[test]
fn a_bound_that_is_too_weak_is_not_attained() {
    // H - 1 for H in the exponent: larger by 1/g, so it holds, and the search stays away from it.
    let weak = planning(Play::Receding, |t| terms(t).0 / t.gamma + terms(t).1 / t.gamma);
    // The discounts of the search are 0.99 at most.
    let weak = found(&weak, 100_000).corrected.largest;
    assert!(weak <= 0.99, "{weak}");
    let right = planning(Play::Receding, Theorem1::corrected);
    let right = found(&right, 100_000).corrected.largest;
    assert!(right > 0.9999 && right <= 1.0, "{right}");
}

#[test]
fn wrong_variants_of_demorls_bounds_are_found_out() {
    let reading = Reading { range: RewardRange::Abs, ..Reading::default() };
    let sequences = |variant| Sequences { reading, horizon: None, variant: Some(variant) };
    let shorter = sequences(|l| {
        let mut l = l.clone();
        l.horizon -= 1;
        l.corrected()
    });
    assert!(found(&shorter, 30_000).corrected.largest > 1.5, "H - 1 for H");
    let halved = sequences(|l| l.corrected() / 2.0);
    assert!(found(&halved, 30_000).corrected.largest > 1.9, "factor 2 dropped");
    let mirror = |variant| Mirror { last: None, variant: Some(variant) };
    let fewer = mirror(|b| b.corrected() - b.model_error);
    assert!(found(&fewer, 60_000).corrected.largest > 1.05, "T for T + 1");
    let later = mirror(|b| b.corrected() - b.gradient.powi(2) * b.alphas[0] / 2.0);
    assert!(found(&later, 60_000).corrected.largest > 1.5, "alpha_0 left out");
    let halved = mirror(|b| {
        let steps: f64 = b.alphas[..b.alphas.len() - 1].iter().sum();
        b.corrected() - b.gradient.powi(2) / 4.0 * steps
    });
    assert!(found(&halved, 60_000).corrected.largest > 1.2, "G^2 / 4 for G^2 / 2");
}

#[test]
fn printed_bounds_are_broken_in_every_reading_and_in_fractions() {
    for (play, norm) in
        [(Play::Receding, Norm::Tv), (Play::Executed, Norm::L1), (Play::Executed, Norm::Tv)]
    {
        let reading = Reading { play, norm, range: RewardRange::Max };
        let target = Planning::new(PlanningBound::MopacTheorem1, reading, None);
        let found = found(&target, 30_000);
        let (printed, witness) = (found.printed.largest, found.printed.witness.unwrap());
        assert!(printed > 100.0, "{play} {norm}: {printed}");
        let exact = certify_violation(&target, &witness, printed).unwrap();
        assert!(exact.printed.0 > exact.printed.1 && exact.corrected.0 <= exact.corrected.1);
        assert!(ratio(&exact.printed).unwrap().float() > 0.98 * printed);
    }
}

#[test]
fn one_thread_and_several_find_the_same() {
    let target = Planning::new(PlanningBound::PoloLemma2, Reading::default(), None);
    let several = found(&target, 20_000);
    let one = pool::serially(|| found(&target, 20_000));
    assert_eq!(several.corrected.histogram, one.corrected.histogram);
    assert_eq!(several.printed.histogram, one.printed.histogram);
    assert_eq!(several.printed.largest.to_bits(), one.printed.largest.to_bits());
    assert_eq!(several.corrected.witness, one.corrected.witness);
    // A search in two rounds is the search in one.
    let first = search(&target, &budget(10_000), &|_| ());
    let mut both = first.clone();
    let rest = Budget { first_piece: first.next_piece, ..budget(10_000) };
    both.merge(search(&target, &rest, &|_| ()));
    assert_eq!(both.corrected.histogram, one.corrected.histogram);
    assert_eq!((both.evaluations, both.distinct()), (one.evaluations, one.distinct()));
    let other = search(&target, &Budget { seed: 4, ..budget(20_000) }, &|_| ());
    assert_ne!(other.corrected.histogram, one.corrected.histogram);
}

fn report(name: &str, options: &Options) -> Report {
    check(name, options, &|_| ()).unwrap()
}

#[test]
fn verdicts_are_those_of_the_audit() {
    for statement in STATEMENTS {
        let report = report(statement.name, &Options { evaluations: 20_000, ..Options::default() });
        let name = statement.name;
        assert_eq!(report.printed_holds(), name == "demorl-lemma-1", "{name}");
        assert!(report.corrected_holds(), "{name}");
        assert!(report.tightness() > 0.99 && report.tightness() <= 1.0, "{name}");
        let attack = &report.attack;
        assert_eq!(attack.evaluations, 20_000, "{name}");
        assert!(attack.distinct > 19_000 && attack.with_error > 15_000, "{name}");
        assert_eq!(attack.corrected.violations, 0, "{name}");
        let counted: u64 = attack.corrected.histogram.iter().map(|b| b.2).sum();
        assert_eq!(counted, attack.evaluations, "{name}");
        // The exact side of what the search found agrees with its rounded side.
        if let Some(exact) = &attack.corrected.exact {
            assert!(exact.corrected.0 <= exact.corrected.1, "{name}");
        }
        for example in &report.counterexamples {
            assert!(example.exact.printed.0 > example.exact.printed.1, "{name} {}", example.name);
            assert!(
                example.exact.corrected.0 <= example.exact.corrected.1,
                "{name} {}",
                example.name
            );
        }
        if let Some(tight) = &report.tight {
            assert!(ratio(&tight.exact.corrected).unwrap().float() > 0.99, "{name}");
        }
    }
}

#[test]
fn polos_second_lemma_is_true_for_plans_that_are_run() {
    let executed = Options { play: Play::Executed, evaluations: 50_000, ..Options::default() };
    let report = report("polo-lemma-2", &executed);
    assert!(report.printed_holds() && report.counterexamples.is_empty());
    assert!(report.tightness() > 0.9999);
}

#[test]
fn a_horizon_can_be_fixed_and_a_search_can_be_timed() {
    let options = Options { horizon: Some(2), evaluations: 5_000, ..Options::default() };
    let short = report("mopac-theorem-1", &options);
    assert_eq!(short.attack.evaluations, 5_000);
    let timed = report("mopac-theorem-1", &Options { seconds: Some(0.2), ..options.clone() });
    assert!(timed.attack.evaluations >= short.attack.evaluations);
    let zero = check("mopac-theorem-1", &Options { horizon: Some(0), ..options.clone() }, &|_| ());
    assert!(zero.unwrap_err().to_string().contains("at least 1 step, got 0"));
    let long = check("polo-lemma-2", &Options { horizon: Some(31), ..options.clone() }, &|_| ());
    assert!(long.unwrap_err().to_string().contains("at most 30 steps"));
    let none = check("polo-lemma-2", &Options { evaluations: 0, ..options.clone() }, &|_| ());
    assert!(none.unwrap_err().to_string().contains("`evaluations`: expected 1 to"));
    let other = check("mopac-theorem-7", &options, &|_| ()).unwrap_err().to_string();
    assert!(other.contains("did you mean `mopac-theorem-1`"), "{other}");
}
