//! The two-link body against Lagrange's equations, and the three tasks that it moves.

use std::cell::Cell;

use hstep::env::Env;
use hstep::env::native::{Acrobot, Leg2R, Link, Native, Physics, Reacher2, TwoLink};
use hstep::rng::Rng;

/// Links that are no rods, so that no two constants agree by chance.
const ODD: TwoLink = TwoLink {
    links: [
        Link { mass: 0.7, length: 0.4, centre: 0.13, inertia: 0.021 },
        Link { mass: 0.4, length: 0.3, centre: 0.19, inertia: 0.008 },
    ],
    damping: [0.3, 0.07],
    gravity: 9.81,
};

fn bodies() -> [TwoLink; 4] {
    [ODD, Leg2R::body(), Reacher2::body(), Acrobot::body()]
}

fn state(rng: &mut Rng) -> [f64; 4] {
    [3.0, 3.0, 6.0, 6.0].map(|most| most * (2.0 * rng.uniform() - 1.0))
}

/// Kinetic and potential energy of two bodies in the plane, from where their centres are.
fn energies(body: &TwoLink, &[q1, q2, w1, w2]: &[f64; 4]) -> (f64, f64) {
    let [one, two] = body.links;
    let (a, b, wb) = (q1, q1 + q2, w1 + w2);
    let v1 = [-one.centre * w1 * a.sin(), one.centre * w1 * a.cos()];
    let knee = [-one.length * w1 * a.sin(), one.length * w1 * a.cos()];
    let v2 = [knee[0] - two.centre * wb * b.sin(), knee[1] + two.centre * wb * b.cos()];
    let square = |v: [f64; 2]| v[0] * v[0] + v[1] * v[1];
    let moving = one.mass * square(v1) + two.mass * square(v2);
    let turning = one.inertia * w1 * w1 + two.inertia * wb * wb;
    let x1 = one.centre * a.cos();
    let x2 = one.length * a.cos() + two.centre * b.cos();
    (0.5 * (moving + turning), -body.gravity * (one.mass * x1 + two.mass * x2))
}

#[test]
fn motion_solves_lagranges_equations() {
    let mut rng = Rng::new(3);
    for body in bodies() {
        let lagrangian = |s: &[f64; 4]| {
            let (kinetic, potential) = energies(&body, s);
            kinetic - potential
        };
        for _ in 0..25 {
            let s = state(&mut rng);
            let torque = [4.0 * rng.uniform() - 2.0, 4.0 * rng.uniform() - 2.0];
            let slope = body.slope(&s, torque);
            assert_eq!(slope[..2], s[2..]);
            let moved = |s: &[f64; 4], d: &[f64; 4], h: f64| {
                let mut s = *s;
                s.iter_mut().zip(d).for_each(|(s, d)| *s += h * d);
                s
            };
            // Quadratic in the rates, so that their differences are exact at any width.
            for i in 0..2 {
                let unit = |i: usize| std::array::from_fn(|j| f64::from(j == i));
                let along = |s: &[f64; 4], i: usize, h: f64| {
                    (lagrangian(&moved(s, &unit(i), h)) - lagrangian(&moved(s, &unit(i), -h)))
                        / (2.0 * h)
                };
                let momentum = |s: &[f64; 4]| along(s, 2 + i, 1.0);
                let h = 1e-5;
                let change = (momentum(&moved(&s, &slope, h)) - momentum(&moved(&s, &slope, -h)))
                    / (2.0 * h);
                let external = torque[i] - body.damping[i] * s[2 + i];
                let error = change - along(&s, i, h) - external;
                assert!(error.abs() < 1e-7, "joint {i}, {s:?}: {error} N m");
            }
        }
    }
}

#[test]
fn the_mass_matrix_is_symmetric_positive_and_that_of_the_kinetic_energy() {
    let mut rng = Rng::new(4);
    for body in bodies() {
        for _ in 0..200 {
            let s = state(&mut rng);
            let [[m11, m12], [m21, m22]] = body.mass_matrix(&s);
            assert_eq!(m12, m21);
            assert!(m11 > 0.0 && m22 > 0.0 && m11 * m22 - m12 * m12 > 0.0);
            let [_, _, w1, w2] = s;
            let kinetic = 0.5 * (m11 * w1 * w1 + (m12 + m21) * w1 * w2 + m22 * w2 * w2);
            let (want, potential) = energies(&body, &s);
            assert!((kinetic - want).abs() < 1e-12 * (1.0 + want));
            assert!((body.energy(&s) - want - potential).abs() < 1e-12 * (1.0 + want));
        }
    }
}

#[test]
fn energy_stays_without_torque_and_damping_and_only_goes_with_damping() {
    let mut rng = Rng::new(5);
    for body in bodies() {
        let free = TwoLink { damping: [0.0; 2], ..body };
        for _ in 0..10 {
            let start = state(&mut rng);
            let drift = |steps: usize| {
                let end = (0..200).fold(start, |s, _| free.advance(s, [0.0; 2], 0.01, steps));
                (free.energy(&end) - free.energy(&start)).abs()
            };
            // Two seconds at up to 20 rad/s, of a few J; a quarter of the step of a method of order
            // 4 leaves 1/256 of the error, or more where the coarse errors happen to cancel.
            let (coarse, fine) = (drift(1), drift(4));
            assert!(fine < 1e-4 && fine < 0.1 * coarse + 1e-7, "{fine} of {coarse} J, {start:?}");

            let mut s = start;
            for _ in 0..100 {
                let next = body.advance(s, [0.0; 2], 0.01, 4);
                assert!(body.energy(&next) < body.energy(&s) + 1e-7, "{s:?}");
                s = next;
            }
        }
    }
}

#[test]
fn the_tip_is_where_the_links_end_and_moves_with_them() {
    let mut rng = Rng::new(6);
    for body in bodies() {
        let [l1, l2] = body.links.map(|link| link.length);
        let (tip, _) = body.tip(&[0.0, std::f64::consts::FRAC_PI_2, 0.0, 0.0]);
        assert!((tip[0] - l1).abs() < 1e-12 && (tip[1] - l2).abs() < 1e-12);
        let s = state(&mut rng);
        let at = |h: f64| body.tip(&[s[0] + h * s[2], s[1] + h * s[3], s[2], s[3]]).0;
        let (velocity, (ahead, behind)) = (body.tip(&s).1, (at(1e-5), at(-1e-5)));
        for i in 0..2 {
            assert!((velocity[i] - (ahead[i] - behind[i]) / 2e-5).abs() < 1e-8);
        }
    }
}

/// A policy: state and step to action.
type Act<'a> = dyn FnMut(&[f64], usize) -> Vec<f64> + 'a;

/// The mean return of `episodes` whole episodes and the last reward of each.
fn returns<P: Physics>(physics: &P, episodes: usize, act: &mut Act<'_>) -> (f64, Vec<f64>) {
    let (mut env, mut rng, mut sum) = (Native::new(physics.clone()), Rng::new(11), 0.0);
    let mut last = Vec::new();
    for _ in 0..episodes {
        env.reset(&mut rng).unwrap();
        for t in 0.. {
            let action = act(env.state(), t);
            let step = env.step(&action).unwrap();
            sum += step.reward;
            if step.truncated {
                last.push(step.reward);
                break;
            }
        }
    }
    (sum / episodes as f64, last)
}

fn random(limits: [f64; 2]) -> impl FnMut(&[f64], usize) -> Vec<f64> {
    let mut rng = Rng::new(12);
    move |_, _| limits.iter().map(|most| most * (2.0 * rng.uniform() - 1.0)).collect()
}

/// The torques that accelerate the tip by `wanted`, m/s^2.
fn computed_torque(body: &TwoLink, s: &[f64; 4], wanted: [f64; 2]) -> [f64; 2] {
    // The tip's acceleration is J w' + K: J from unit rates, K from a difference along the motion.
    let column = |w1, w2| body.tip(&[s[0], s[1], w1, w2]).1;
    let ([j11, j21], [j12, j22]) = (column(1.0, 0.0), column(0.0, 1.0));
    let along = |h: f64| body.tip(&[s[0] + h * s[2], s[1] + h * s[3], s[2], s[3]]).1;
    let (ahead, behind) = (along(1e-5), along(-1e-5));
    let rest = [0, 1].map(|i| wanted[i] - (ahead[i] - behind[i]) / 2e-5);
    let determinant = j11 * j22 - j12 * j21;
    let a1 = (j22 * rest[0] - j12 * rest[1]) / determinant;
    let a2 = (j11 * rest[1] - j21 * rest[0]) / determinant;
    let ([[m11, m12], [m21, m22]], bias) = (body.mass_matrix(s), body.bias(s));
    [m11 * a1 + m12 * a2 + bias[0], m21 * a1 + m22 * a2 + bias[1]]
}

#[test]
fn the_legs_reward_tells_following_from_hanging_flailing_and_standing() {
    let (body, pace) = (Leg2R::body(), std::f64::consts::TAU / 1.5);
    // Every policy leads the foot to a place, at a velocity and acceleration.
    let greatest = Cell::new([0f64; 2]);
    let towards = |s: &[f64], t: usize, place: [f64; 2], v: [f64; 2], a: [f64; 2]| {
        let s = [s[0], s[1], s[2], s[3]];
        let (at, speed) = body.tip(&s);
        let wanted = [0, 1].map(|i| a[i] + 40.0 * (v[i] - speed[i]) + 400.0 * (place[i] - at[i]));
        let torque = computed_torque(&body, &s, wanted);
        if t > 50 {
            let so_far = greatest.get();
            greatest.set([0, 1].map(|i| so_far[i].max(torque[i].abs())));
        }
        torque.to_vec()
    };
    let mut follow = |s: &[f64], t: usize| {
        let (place, v) = Leg2R::desired(s[4]);
        // On an ellipse the acceleration points to the centre.
        let a = [-pace * pace * (place[0] - 0.36), -pace * pace * place[1]];
        towards(s, t, place, v, a)
    };
    let (following, last) = returns(&Leg2R::default(), 10, &mut follow);
    let greatest = greatest.get();
    assert!(greatest[0] < 1.5 && greatest[1] < 0.5, "{greatest:?} N m");
    let mut stay = |s: &[f64], t: usize| towards(s, t, [0.36, 0.0], [0.0; 2], [0.0; 2]);
    let (standing, _) = returns(&Leg2R::default(), 10, &mut stay);
    let (hanging, _) = returns(&Leg2R::default(), 10, &mut |_, _| vec![0.0; 2]);
    let (flailing, _) = returns(&Leg2R::default(), 10, &mut random([3.0, 1.0]));
    assert!(following > 190.0 && last.iter().all(|r| *r > 0.98), "{following}, {last:?}");
    assert!(standing > 40.0 && standing < 65.0, "{standing}");
    assert!(hanging < 30.0 && flailing < 30.0, "{hanging}, {flailing}");
}

#[test]
fn the_wanted_foot_goes_round_the_ellipse_in_the_period() {
    let same = |a: [f64; 2], b: [f64; 2]| (0..2).all(|i| (a[i] - b[i]).abs() < 1e-8);
    let at = |time: f64| Leg2R::desired(0.7 + std::f64::consts::TAU * time / 1.5);
    assert!(same(at(0.0).0, at(1.5).0) && same(at(0.0).1, at(1.5).1));
    let (ahead, behind) = (at(1e-5).0, at(-1e-5).0);
    assert!(same(at(0.0).1, [0, 1].map(|i| (ahead[i] - behind[i]) / 2e-5)));
    for (phase, place) in [(0.0, [0.42, 0.0]), (std::f64::consts::FRAC_PI_2, [0.36, 0.15])] {
        assert!(same(Leg2R::desired(phase).0, place));
    }
    // A step goes on by 0.02 s of the 1.5; on the ellipse and along it the reward is 1.
    let (next, _, _) = Leg2R::default().advance(&[0.0, 0.0, 0.0, 0.0, 0.5], &[0.0, 0.0], 0);
    assert!((next[4] - 0.5 - std::f64::consts::TAU / 75.0).abs() < 1e-12);
}

#[test]
fn the_reacher_reaches_every_target_and_pays_for_its_torques() {
    let body = Reacher2::body();
    let mut reach = |s: &[f64], _: usize| {
        // To the elbow angle of the cosine rule, whichever side is nearer, then to the target.
        let (x, y) = (s[4], s[5]);
        let elbow = ((x * x + y * y - 0.5) / 0.5).clamp(-1.0, 1.0).acos();
        let wrap = |q: f64| q.sin().atan2(q.cos());
        let errors = [elbow, -elbow].map(|q2| {
            let q1 = y.atan2(x) - (0.5 * q2.sin()).atan2(0.5 + 0.5 * q2.cos());
            [wrap(q1 - s[0]), wrap(q2 - s[1])]
        });
        let most = |e: &[f64; 2]| e[0].abs().max(e[1].abs());
        let error = if most(&errors[0]) < most(&errors[1]) { errors[0] } else { errors[1] };
        let s = [s[0], s[1], s[2], s[3]];
        let a = [0, 1].map(|i| 25.0 * error[i] - 10.0 * s[2 + i]);
        let ([[m11, m12], [m21, m22]], bias) = (body.mass_matrix(&s), body.bias(&s));
        vec![m11 * a[0] + m12 * a[1] + bias[0], m21 * a[0] + m22 * a[1] + bias[1]]
    };
    let (reaching, last) = returns(&Reacher2::default(), 20, &mut reach);
    let (resting, _) = returns(&Reacher2::default(), 20, &mut |_, _| vec![0.0; 2]);
    let (flailing, _) = returns(&Reacher2::default(), 20, &mut random([2.0, 1.0]));
    assert!(reaching > -20.0 && last.iter().all(|r| *r > -0.05), "{reaching}, {last:?}");
    assert!(resting < -35.0 && flailing < -35.0, "{resting}, {flailing}");

    // At rest on its target nothing is lost; full torques cost 0.1 each.
    let there = [0.3, 0.9, 0.0, 0.0];
    let ([x, y], _) = body.tip(&there);
    let state = [0.3, 0.9, 0.0, 0.0, x, y];
    assert!(Reacher2::default().advance(&state, &[0.0, 0.0], 0).1.abs() < 1e-12);
    let far = [0.3, 0.9, 0.0, 0.0, x + 0.3, y + 0.4];
    assert!((Reacher2::default().advance(&far, &[0.0, 0.0], 0).1 + 0.499).abs() < 1e-5);
    let pays = |a: [f64; 2]| {
        let (next, reward, _) = Reacher2::default().advance(&far, &a, 0);
        let ([x, y], _) = body.tip(&[next[0], next[1], next[2], next[3]]);
        -reward - (x - far[4]).hypot(y - far[5])
    };
    for (torque, cost) in [([2.0, 0.0], 0.1), ([0.0, -1.0], 0.1), ([1.0, 0.5], 0.05)] {
        assert!((pays(torque) - cost).abs() < 2e-3, "{torque:?}");
    }
    // Targets are uniform over the ring: half the area lies outside sqrt((0.2^2 + 0.9^2) / 2).
    let (mut rng, middle) = (Rng::new(8), (0.425f64).sqrt());
    let radius = |s: [f64; 6]| s[4].hypot(s[5]);
    let radii: Vec<f64> = (0..4000).map(|_| radius(Reacher2::default().start(&mut rng))).collect();
    assert!(radii.iter().all(|r| (0.2..=0.9).contains(r)));
    let outside = radii.iter().filter(|r| **r > middle).count();
    assert!(outside.abs_diff(2000) < 130, "{outside}");
}

#[test]
fn nothing_turns_the_acrobots_shoulder() {
    // Without weight and friction the angular momentum about the shoulder stays, whatever the elbow
    // does; a hanging acrobot is turned by its elbow alone.
    let free = TwoLink { damping: [0.0; 2], gravity: 0.0, ..Acrobot::body() };
    let momentum = |s: &[f64; 4]| {
        let [[m11, m12], _] = free.mass_matrix(s);
        m11 * s[2] + m12 * s[3]
    };
    let start = [0.3, 0.5, 1.0, -2.0];
    let end = free.advance(start, [0.0, 1.0], 0.3, 300);
    assert!((momentum(&end) - momentum(&start)).abs() < 1e-7);
    let (next, _, _) = Acrobot::default().advance(&[0.0; 4], &[2.0], 0);
    let (want, other) = (
        Acrobot::body().advance([0.0; 4], [0.0, 2.0], 0.04, 4),
        Acrobot::body().advance([0.0; 4], [2.0, 0.0], 0.04, 4),
    );
    assert!(next == want && next != other && next[3] > 0.0 && next[2] < 0.0);
}

#[test]
fn the_acrobot_upright_is_the_best_hanging_the_worst_and_folding_earns_nothing() {
    let pi = std::f64::consts::PI;
    let reward = |state: [f64; 4], u: f64| Acrobot::default().advance(&state, &[u], 0).1;
    assert!((reward([pi, 0.0, 0.0, 0.0], 0.0) - 1.0).abs() < 1e-12);
    assert!(reward([0.0; 4], 0.0) < 1e-12);
    assert!(reward([0.0, pi, 0.0, 0.0], 0.0) < 1e-12);
    assert!((reward([pi, pi, 0.0, 0.0], 0.0) - 0.5).abs() < 1e-9);
    for worse in [[pi - 0.3, 0.0, 0.0, 0.0], [pi, 0.5, 0.0, 0.0], [pi, 0.0, 2.0, -2.0]] {
        assert!(reward(worse, 0.0) < 0.97, "{worse:?}");
    }
    assert!(reward([pi, 0.0, 0.0, 0.0], 8.0) < 0.81);
}
