//! Numbers of the statements, and the corrected forms on random problems in fractions.

use hstep::rng::Rng;
use hstep_proofs::Rational;
use hstep_proofs::demorl;
use hstep_proofs::errors::{l1_error, metric_error, span, supremum, tv_error};
use hstep_proofs::families::{joint, leak, nearly_tied, swapped, value_trap};
use hstep_proofs::maac::{PolicyStep, bad_habit, biased, drifting, feedback, positive};
use hstep_proofs::mdp::{Kernel, Mdp, Policy};
use hstep_proofs::mirror::{Decision, Regret, constant_costs};
use hstep_proofs::mopac::{Pair, Theorem1};
use hstep_proofs::number::{Number as _, power};
use hstep_proofs::polo;
use hstep_proofs::problem::{Favour, Problem};
use hstep_proofs::reading::{Norm, Play, Reading, RewardRange};

use super::{n, q};

const PLAYS: [Play; 2] = [Play::Receding, Play::Executed];

/// A distribution in small fractions, with zeros.
fn row(n: usize, rng: &mut Rng) -> Vec<Rational> {
    let mut weights: Vec<i64> = (0..n).map(|_| rng.below(4) as i64).collect();
    weights[rng.below(n)] += 1;
    let sum = weights.iter().sum();
    weights.into_iter().map(|w| q(w, sum)).collect()
}

fn kernel(states: usize, actions: usize, rng: &mut Rng) -> Kernel<Rational> {
    let rows: Vec<Vec<Vec<Rational>>> =
        (0..states).map(|_| (0..actions).map(|_| row(states, rng)).collect()).collect();
    Kernel::new("transition", &rows).unwrap()
}

/// A random problem of two to four states.
fn problem(rng: &mut Rng) -> Problem<Rational> {
    let (states, actions) = (2 + rng.below(3), 2 + rng.below(2));
    let truth = kernel(states, actions, rng);
    let other = kernel(states, actions, rng);
    let share = [q(0, 1), q(1, 10), q(1, 2), q(1, 1)][rng.below(4)].clone();
    let model = Kernel::from_fn(states, actions, |s, a| {
        let mixed = truth.row(s, a).iter().zip(other.row(s, a));
        mixed.map(|(p, o)| p + &share * (o - p)).collect()
    });
    let gamma = [q(1, 2), q(9, 10), q(19, 20)][rng.below(3)].clone();
    let reward: Vec<Vec<Rational>> = (0..states)
        .map(|_| (0..actions).map(|_| q(rng.below(5) as i64 - 1, 4)).collect())
        .collect();
    let offset = (0..states).map(|_| q(rng.below(5) as i64 - 2, 1 + rng.below(3) as i64)).collect();
    Problem::new(Mdp::new(gamma, &reward, truth).unwrap(), model.unwrap(), offset).unwrap()
}

#[test]
fn the_corrected_forms_hold_on_random_problems_whatever_ties_favour() {
    let mut rng = Rng::new(1);
    let mut lossy = 0;
    for _ in 0..150 {
        let problem = problem(&mut rng);
        let exact = Problem { model: problem.mdp.transition().clone(), ..problem.clone() };
        let horizon = 1 + rng.below(4);
        for (play, favour) in
            PLAYS.iter().flat_map(|p| [(*p, Favour::Index), (*p, Favour::Adversary)])
        {
            let gap = problem.play(horizon, play, favour).unwrap().gap;
            lossy += u32::from(gap > q(0, 1));
            for norm in [Norm::Tv, Norm::L1] {
                let reading = Reading { norm, play, range: RewardRange::Max };
                assert!(gap <= Theorem1::of(&problem, horizon, &reading).corrected());
            }
            let gap = exact.play(horizon, play, favour).unwrap().gap;
            let (gamma, eps_v) = (problem.mdp.gamma().clone(), problem.eps_v());
            assert!(
                gap <= polo::Lemma2 { gamma: gamma.clone(), horizon, eps_v: eps_v.clone(), play }
                    .corrected()
            );
            if horizon == 1 {
                assert!(gap <= polo::Lemma1 { gamma, eps_v }.corrected());
            }
        }
    }
    assert!(lossy > 200, "only {lossy} of 600 plays lost anything");
}

#[test]
fn the_other_corrected_forms_hold_on_random_problems() {
    let mut rng = Rng::new(2);
    for _ in 0..150 {
        let problem = problem(&mut rng);
        let (states, actions) = (problem.mdp.states(), problem.mdp.actions());
        let mut policy = || {
            let rows: Vec<Vec<Rational>> = (0..states).map(|_| row(actions, &mut rng)).collect();
            Policy::new("policy", &rows, actions).unwrap()
        };
        let (pi, data) = (policy(), policy());
        let pair = Pair::new(problem.clone(), pi.clone(), data.clone()).unwrap();
        let lemma = pair.lemma(&Reading::default());
        assert!(pair.gap().0 <= lemma.corrected());
        // Also with the error that the data policy meets, start state by start state.
        for (gap, met) in pair.gaps().into_iter().zip(pair.met_error()) {
            assert!(met <= lemma.eps_f);
            let mut stricter = lemma.clone();
            stricter.eps_f = met;
            assert!(gap <= stricter.corrected());
        }
        let step =
            PolicyStep { mdp: problem.mdp.clone(), exact: pi, approximate: data, alpha: q(1, 1) };
        assert!(step.gap().0 <= step.theorem(RewardRange::Max).corrected());
        let terminal: Vec<Rational> = (0..states).map(|s| q(s as i64, 2) - q(1, 1)).collect();
        let (gap, ..) = demorl::largest_difference(&problem, &terminal, 3).unwrap();
        let reading = Reading { range: RewardRange::Abs, ..Reading::default() };
        let lemma = demorl::Lemma1::of(&problem, &terminal, 3, &reading);
        assert!(gap <= lemma.corrected() && lemma.corrected() <= lemma.printed());
    }
}

#[test]
fn mopacs_theorem_on_its_counterexample() {
    let problem = swapped(q(9, 10), &[q(1, 10), q(0, 1)], &[q(0, 1), q(1, 10)]).unwrap();
    for play in PLAYS {
        for (h, ratio_tv, ratio_l1) in [(1, "900/19", "450/19"), (3, "90000/5149", "45000/5149")] {
            let gap = problem.play(h, play, Favour::Index).unwrap().gap;
            assert_eq!(gap, q(90, 19));
            for (norm, ratio) in [(Norm::Tv, ratio_tv), (Norm::L1, ratio_l1)] {
                let reading = Reading { norm, play, range: RewardRange::Max };
                let bound = Theorem1::of(&problem, h, &reading);
                assert_eq!(&gap / bound.printed(), n(ratio));
                assert_eq!(bound.corrected(), q(18, 1));
                let limit = if norm == Norm::Tv { q(1, 1) } else { q(2, 1) };
                assert_eq!(bound.printed_limit(), limit);
            }
        }
    }
    // The metric reading: the distance of the states scales the bound and not the loss.
    let deterministic = swapped(q(9, 10), &[q(1, 1), q(0, 1)], &[q(0, 1), q(1, 1)]).unwrap();
    assert_eq!(deterministic.play(2, Play::Receding, Favour::Index).unwrap().gap, q(9, 1));
    let truth = deterministic.mdp.transition();
    for c in [q(1, 10), q(1, 1000)] {
        assert_eq!(metric_error(&deterministic.model, truth, &[q(0, 1), c.clone()]), c);
    }
}

#[test]
fn the_corrected_constants_cannot_be_improved() {
    let (eps, slack) = (q(1, 100_000), q(1, 10_000));
    for play in PLAYS {
        for h in [1, 2, 4] {
            let reading = Reading { play, ..Reading::default() };
            let both = joint(&q(9, 10), h, &eps, &eps, &slack, play).unwrap().from_zero();
            let gap = both.play(h, play, Favour::Index).unwrap().gap;
            let ratio = gap / Theorem1::of(&both, h, &reading).corrected();
            assert!(ratio > n("0.999") && ratio <= q(1, 1), "{play}, H = {h}: {ratio}");
            let value = value_trap(q(9, 10), h, &q(1, 1), &slack, play).unwrap();
            let gap = value.play(h, play, Favour::Index).unwrap().gap;
            let lemma = polo::Lemma2 { gamma: q(9, 10), horizon: h, eps_v: q(1, 1), play };
            assert_eq!(gap / lemma.corrected(), q(9_999, 10_000));
        }
    }
}

#[test]
fn mopacs_lemma_and_maacs_theorem_on_their_counterexamples() {
    let one = Policy::deterministic(&[0, 0], 1);
    let pair = |eps: &Rational, low: Rational| {
        let problem = leak(q(9, 10), eps, low, q(1, 1)).unwrap();
        Pair::new(problem, one.clone(), one.clone()).unwrap()
    };
    let leaking = pair(&q(1, 10), q(0, 1));
    let lemma = leaking.lemma(&Reading::default());
    assert_eq!((leaking.gap().0, lemma.printed()), (q(90, 19), q(18, 19)));
    // The form of the source, with 2 r_max for R, is twice the one with the span.
    assert_eq!(lemma.corrected(), q(9, 1));
    let small = pair(&q(1, 100_000), q(-1, 1));
    let ratio = small.gap().0 / small.lemma(&Reading::default()).corrected();
    assert!(ratio > n("0.999") && ratio <= q(1, 1));

    let step = drifting(q(9, 10), &q(1, 10), q(1, 1)).unwrap();
    let theorem = step.theorem(RewardRange::Max);
    assert_eq!(
        (step.gap().0, theorem.printed(), theorem.corrected()),
        (q(90, 19), q(2, 1), q(10, 1))
    );
    let habit = bad_habit(q(9, 10), &q(1, 100_000), q(1, 1)).unwrap();
    let ratio = habit.gap().0 / habit.theorem(RewardRange::Max).corrected();
    assert!(ratio > n("0.999") && ratio <= q(1, 1));
}

#[test]
fn the_regret_of_one_and_two_decisions_by_hand() {
    // Cost u, played at 1, compared with -1: each decision costs 2 too much.
    let (up, down) = (q(1, 1), q(-1, 1));
    let game = |shifts: &[Rational], alpha: Rational| {
        let comparators = vec![down.clone(); shifts.len()];
        constant_costs(&q(1, 1), &q(0, 1), &alpha, shifts, &comparators).unwrap()
    };
    let one = game(&[up.clone(), down.clone()], q(4, 1));
    // D/alpha = 2/4, no path, no sum; then G^2/2 alpha = 2 more.
    assert_eq!(
        (one.regret(), one.bound().printed(), one.bound().corrected()),
        (q(2, 1), q(1, 2), q(5, 2))
    );
    let two = game(&[up.clone(), up.clone(), down.clone()], q(7, 2));
    assert_eq!(
        (two.regret(), two.bound().printed(), two.bound().corrected()),
        (q(4, 1), q(97, 28), q(73, 14))
    );
    // With the step size 2 the corrected bound is attained.
    let tight = game(&[up, down.clone()], q(2, 1));
    assert_eq!(tight.regret(), tight.bound().corrected());
}

#[test]
fn a_shift_that_keeps_everything_is_gradient_descent_within_the_interval() {
    // Slope 1 from 1 with step size 1/2: 1, 1/2, 0, -1/2; with step size 4: 1, -1, -1.
    for (alpha, terms, expected) in [(q(1, 2), 3, q(9, 2)), (q(4, 1), 2, q(2, 1))] {
        let decision = Decision {
            slope: q(1, 1),
            curvature: q(0, 1),
            bias: q(0, 1),
            tilt: q(0, 1),
            alpha,
            keep: q(1, 1),
            moved: q(0, 1),
            comparator: q(-1, 1),
        };
        let game = Regret::new(q(1, 1), vec![decision; terms + 1]).unwrap();
        assert_eq!(game.regret(), expected);
        // A comparator that stands still where the shift does has no path.
        assert_eq!(game.bound().variation, q(0, 1));
        assert!(game.regret() <= game.bound().corrected());
    }
    // Costs with a curvature, and a model that is wrong by a line: by hand at eta~ = 1, eta* = 0.
    let decision = |alpha: Rational| Decision {
        slope: q(-1, 1),
        curvature: q(4, 1),
        bias: q(1, 10),
        tilt: q(1, 5),
        alpha,
        keep: q(0, 1),
        moved: q(0, 1),
        comparator: q(0, 1),
    };
    let game = Regret::new(q(1, 1), vec![decision(q(1, 1)), decision(q(1, 1))]).unwrap();
    // J(1) = 1, J_r(0) = -1/10; G = 1 + 4, R = 1/10 + 1/5.
    let bound = game.bound();
    assert_eq!((game.regret(), bound.gradient, bound.model_error), (q(11, 10), q(5, 1), q(3, 10)));
    let rising = vec![decision(q(1, 1)), decision(q(2, 1))];
    assert!(Regret::new(q(1, 1), rising).unwrap_err().to_string().contains("do not rise"));
}

#[test]
fn ties_go_to_the_lowest_index_or_to_the_worst_action() {
    // The model cannot tell the actions apart; the first is the better one.
    let tied = swapped(q(9, 10), &[q(1, 10), q(0, 1)], &[q(1, 20), q(1, 20)]).unwrap();
    for (play, h) in PLAYS.iter().flat_map(|p| [(*p, 1), (*p, 3)]) {
        assert_eq!(tied.play(h, play, Favour::Index).unwrap().gap, q(0, 1));
        assert_eq!(tied.play(h, play, Favour::Adversary).unwrap().gap, q(90, 19));
        // With the actions in order of their value the two are one.
        let worst_first = tied.worst_first().unwrap();
        assert_eq!(worst_first.play(h, play, Favour::Index).unwrap().gap, q(90, 19));
    }
    let float = swapped(0.9, &[0.1, 0.0], &[0.05, 0.05]).unwrap();
    let gap = float.play(2, Play::Receding, Favour::Adversary).unwrap().gap;
    assert!((gap - 90.0 / 19.0).abs() < 1e-13, "a few roundings of a number below 10: {gap}");
}

#[test]
fn maacs_lemma_on_its_counterexamples() {
    let found = biased(q(9, 10), 2, &q(1, 1)).gradient_error().unwrap();
    assert_eq!((found.error.clone(), found.printed), (q(9, 10), q(0, 1)));
    assert!(found.error <= found.corrected);
    // K = 1, L_Q = 1: c_1(1) = g, eps_f = 1/100.
    let found = feedback(q(9, 10), &q(10, 1), &q(1, 100)).gradient_error().unwrap();
    assert_eq!((found.error, found.printed), (q(9, 50), q(9, 1000)));
    for h in 1..=6 {
        let found = positive(q(9, 10), h, &q(1, 100)).gradient_error().unwrap();
        assert!(found.error > q(0, 1));
        assert_eq!(found.error, found.corrected, "H = {h}");
    }
}

#[test]
fn distances_are_what_they_are_called() {
    let truth = Kernel::from_fn(3, 1, |_, _| vec![q(1, 2), q(1, 2), q(0, 1)]).unwrap();
    let model = Kernel::from_fn(3, 1, |_, _| vec![q(1, 4), q(1, 2), q(1, 4)]).unwrap();
    assert_eq!(l1_error(&model, &truth), q(1, 2));
    assert_eq!(tv_error(&model, &truth), q(1, 4));
    // A quarter moves from 0 to 5.
    assert_eq!(metric_error(&model, &truth, &[q(0, 1), q(2, 1), q(5, 1)]), q(5, 4));
    assert_eq!(span(&[q(-1, 1), q(3, 1), q(0, 1)]), q(4, 1));
    assert_eq!(supremum(&[q(-4, 1), q(3, 1)]), q(4, 1));
}

#[test]
fn policy_iteration_finds_what_enumeration_finds() {
    let mut rng = Rng::new(4);
    for _ in 0..40 {
        let problem = problem(&mut rng);
        let mdp = &problem.mdp;
        let (states, actions) = (mdp.states(), mdp.actions());
        let mut best: Option<Vec<Rational>> = None;
        for index in 0..actions.pow(states as u32) {
            let map: Vec<usize> =
                (0..states).map(|s| index / actions.pow(s as u32) % actions).collect();
            let v = mdp.evaluate(mdp.transition(), &map);
            // A deterministic policy as a stochastic one.
            let policy = Policy::deterministic(&map, actions);
            assert_eq!(mdp.evaluate_policy(mdp.transition(), &policy), v);
            best = Some(match best {
                Some(best) => best.into_iter().zip(v).map(|(b, v)| b.max(v)).collect(),
                None => v,
            });
        }
        let (optimal, chosen) = mdp.optimal();
        assert_eq!(Some(&optimal), best.as_ref());
        assert_eq!(mdp.evaluate(mdp.transition(), &chosen), optimal);
    }
}

#[test]
fn floats_and_fractions_agree_on_the_same_problem() {
    for play in PLAYS {
        let exact = nearly_tied(q(9, 10), &q(1, 4), &q(1, 64)).unwrap();
        let float = nearly_tied(0.9, &0.25, &0.015625).unwrap();
        let (a, b) = (
            exact.play(5, play, Favour::Index).unwrap(),
            float.play(5, play, Favour::Index).unwrap(),
        );
        assert_eq!(a.plan, b.plan);
        // A few roundings of a number below 10.
        assert!((a.gap.float() - b.gap).abs() < 1e-13);
        let reading = Reading { play, ..Reading::default() };
        let (a, b) = (Theorem1::of(&exact, 5, &reading), Theorem1::of(&float, 5, &reading));
        assert!((a.corrected().float() - b.corrected()).abs() < 1e-12);
        assert!((a.printed().float() - b.printed()).abs() < 1e-12);
    }
    assert_eq!(power(&q(2, 3), 0), q(1, 1));
}
