//! Formulas against other ways of computing them.

use hstep::rng::Rng;
use hstep_proofs::Rational;
use hstep_proofs::attack::{Gradients, Target as _};
use hstep_proofs::demorl;
use hstep_proofs::maac::{Bernoulli, Gaussian, Maps, PolicyFamily, PrintedLemma, System};
use hstep_proofs::mdp::Kernel;
use hstep_proofs::mpq::{Soft, desirability, discounted_pair, lucky_pair};
use hstep_proofs::number::power;
use hstep_proofs::reading::Norm;

use super::{n, q};

#[test]
fn the_printed_remainder_of_demorl_is_its_sum() {
    for h in 1..12usize {
        let lemma = demorl::Lemma1 {
            gamma: q(9, 10),
            horizon: h,
            eps_f: q(1, 7),
            c_max: q(3, 2),
            v_max: q(5, 1),
            norm: Norm::Tv,
        };
        let sum =
            (0..h as i64).fold(q(0, 1), |sum, t| sum + q(t, 1) * power(&q(9, 10), t as usize));
        let terminal = q(10, 7) * q(h as i64, 1) * power(&q(9, 10), h);
        assert_eq!(lemma.printed(), q(3, 7) * sum + terminal);
    }
}

#[test]
fn the_printed_constants_of_maac_are_their_closed_form() {
    for (k, l_f, h) in [(q(3, 2), q(2, 1), 4), (q(1, 1), q(1, 3), 1), (q(2, 1), q(5, 4), 7)] {
        let l_pi = q(1, 2);
        let lemma = PrintedLemma {
            gamma: q(4, 5),
            horizon: h,
            eps_f: q(1, 1),
            eps_q: q(0, 1),
            lipschitz_model: l_f.clone(),
            lipschitz_policy: l_pi.clone(),
            lipschitz_q: q(3, 1),
            growth: k.clone(),
        };
        let one = q(1, 1);
        let l = &l_f + &l_f * l_pi;
        let gk = q(4, 5) * k;
        // (x^H - 1) / (x - 1)
        let closed = |x: Rational| (power(&x, h) - &one) / (x - &one);
        let rewards = &l / (&l - &one) * (closed(&gk * &l) - closed(gk.clone()));
        let expected = rewards + q(3, 1) * closed(l) * power(&gk, h);
        assert_eq!(lemma.printed(), expected);
    }
}

/// `J_H` of a system by running it, for finite differences.
fn objective(system: &System<f64>, maps: &Maps<f64>, theta: f64) -> f64 {
    let phi = |s: f64| s / (1.0 + s * s);
    let act = |s: f64| theta * (system.offset + system.feedback * s);
    let (mut s, mut sum, mut discount) = (system.start, 0.0, 1.0);
    for _ in 0..system.horizon {
        sum += discount * (system.reward * s + system.reward_bend * phi(s));
        s = maps.state * s + maps.action * act(s) + maps.constant + maps.bend * phi(s);
        discount *= system.gamma;
    }
    let q = maps.q_state * s + maps.q_action * act(s) + maps.q_bend * phi(s - maps.q_shift);
    sum + discount * q
}

#[test]
fn gradients_of_systems_match_finite_differences() {
    let target = Gradients { horizon: None };
    let mut rng = Rng::new(5);
    for _ in 0..300 {
        let system = target.draw(&mut rng);
        let h = 1e-5;
        let slope = |maps: &Maps<f64>| {
            let at = |theta: f64| objective(&system, maps, theta);
            (at(system.theta + h) - at(system.theta - h)) / (2.0 * h)
        };
        let expected = (slope(&system.truth) - slope(&system.model)).abs();
        let found = system.gradient_error().unwrap();
        // Central differences are off by h^2 = 1e-10 times a third derivative, and by 1e-16 / h of J: both
        // in proportion to the size of the terms, which grows with the powers of the slopes.
        assert!((found.error - expected).abs() < 1e-5 * (1.0 + found.size.powi(2)), "{system:?}");
    }
}

#[test]
fn total_variation_and_information_of_policies_match_integrals() {
    let gaussian = Gaussian { sigma: 0.7 };
    let density = |x: f64, mean: f64| {
        (-0.5 * ((x - mean) / 0.7_f64).powi(2)).exp() / (0.7 * std::f64::consts::TAU.sqrt())
    };
    let step = 1e-3;
    let grid = || (-8_000..8_000).map(|i| f64::from(i) * step);
    let integral: f64 =
        grid().map(|x| 0.5 * step * (density(x, 0.4) - density(x, -0.3)).abs()).sum();
    // The integrand has one kink; the rule is off by at most step^2 times its slope.
    assert!((gaussian.tv(0.4, -0.3) - integral).abs() < 1e-6);

    // I = E score^2 by central differences of log p.
    let p = |x: f64| 1.0 / (1.0 + (-x).exp());
    for x in [-3.0, 0.0, 1.7] {
        let score = |p: &dyn Fn(f64) -> f64| ((p(x + 1e-5)).ln() - p(x - 1e-5).ln()) / 2e-5;
        let information = p(x) * score(&p).powi(2) + (1.0 - p(x)) * score(&|x| 1.0 - p(x)).powi(2);
        assert!((Bernoulli.information(x) - information).abs() < 1e-8);
    }
    // The steepest state of a grid is not above the closed form, and comes near to it.
    for (theta, low, high) in [(0.0, 0.2, 3.0), (1.5, 0.0, 5.0), (-4.0, 1.0, 2.0), (0.3, 0.0, 1.0)]
    {
        let at = |i: i32| low + (high - low) * f64::from(i) / 1e4;
        let most = (0..=10_000).map(at).map(|s: f64| s * Bernoulli.information(theta * s).sqrt());
        let (most, closed) = (most.fold(0.0, f64::max), Bernoulli.steepest(theta, low, high));
        assert!(most <= closed * (1.0 + 1e-12) && most > 0.999_99 * closed, "{theta}");
    }
}

/// Two states, two actions, three steps.
fn soft(gamma: f64, next: [[f64; 2]; 4]) -> Soft {
    let row = |s: usize, a: usize| next[2 * s + a].to_vec();
    Soft {
        gamma,
        lambda: 0.7,
        horizon: 3,
        costs: vec![vec![0.3, 1.1], vec![0.0, 2.0]],
        kernel: Kernel::from_fn(2, 2, row).unwrap(),
        prior: vec![0.25, 0.75],
        terminal: vec![0.5, -0.2],
    }
    .check()
    .unwrap()
}

#[test]
fn the_free_energy_is_the_soft_value_without_chance_and_discount_only() {
    let fixed = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
    let chance = [[0.5, 0.5], [1.0, 0.0], [0.2, 0.8], [1.0, 0.0]];
    let apart = |soft: Soft| {
        let (nested, stages) = soft.nested();
        // The nested policies attain the nested value, up to rounding.
        for (a, b) in soft.value(&stages).iter().zip(&nested) {
            assert!((a - b).abs() < 1e-13);
        }
        soft.free_energy().iter().zip(nested).map(|(f, v)| f - v).collect::<Vec<_>>()
    };
    assert!(apart(soft(1.0, fixed)).iter().all(|d| d.abs() < 1e-13));
    assert!(apart(soft(0.8, fixed)).iter().all(|d| *d > 1e-3), "too high with a discount");
    assert!(apart(soft(1.0, chance)).iter().any(|d| *d < -1e-3), "too low with chance");
}

#[test]
fn sequences_and_nesting_agree_in_fractions_without_chance_and_discount() {
    let next = [vec![1, 0], vec![0, 2], vec![2, 1]];
    let exp_costs = [[n("1/2"), n("1/3")], [n("1"), n("1/5")], [n("3/4"), n("2/7")]];
    let exp_costs: Vec<Vec<Rational>> = exp_costs.iter().map(|row| row.to_vec()).collect();
    let (prior, end) = ([q(1, 3), q(2, 3)], [q(1, 2), q(1, 1), q(1, 4)]);
    let nested = desirability(&next, &exp_costs, &prior, &end, 4);
    for (start, nested) in nested.iter().enumerate() {
        let mut sum = q(0, 1);
        for sequence in 0..16usize {
            let (mut s, mut weight) = (start, q(1, 1));
            for t in 0..4 {
                let a = sequence >> t & 1;
                weight = weight * &prior[a] * &exp_costs[s][a];
                s = next[s][a];
            }
            sum += weight * &end[s];
        }
        assert_eq!(sum, *nested);
    }
}

#[test]
fn the_free_energy_on_its_counterexamples() {
    // F = -log(15/32) > V = -log (5/8)^{3/2}; F = -log(5/8) < V = log 2.
    assert_eq!(discounted_pair(&[q(1, 1), q(1, 2)]), (q(225, 1024), q(125, 512)));
    assert_eq!(lucky_pair(&q(1, 2)), (q(5, 8), q(1, 2)));
    // The same in floats.
    let kernel = Kernel::deterministic(&[vec![0, 0]]).unwrap();
    let (costs, prior) = (vec![vec![0.0, 4.0_f64.ln()]], vec![0.5, 0.5]);
    let soft =
        Soft { gamma: 0.5, lambda: 1.0, horizon: 2, costs, kernel, prior, terminal: vec![0.0] };
    assert!((soft.free_energy()[0] + (15.0_f64 / 32.0).ln()).abs() < 1e-14);
    assert!((soft.nested().0[0] + 1.5 * (0.625_f64).ln()).abs() < 1e-14);
    let chance = Soft {
        gamma: 1.0,
        lambda: 1.0,
        horizon: 1,
        costs: vec![vec![0.0]; 2],
        kernel: Kernel::from_fn(2, 1, |_, _| vec![0.5, 0.5]).unwrap(),
        prior: vec![1.0],
        terminal: vec![0.0, 4.0_f64.ln()],
    };
    assert!((chance.free_energy()[0] + (0.625_f64).ln()).abs() < 1e-14);
    assert!((chance.nested().0[0] - 2.0_f64.ln()).abs() < 1e-14);
}
