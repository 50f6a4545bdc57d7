//! The pendulum on a grid: value iteration and the value of a policy, between grid points in straight
//! lines.

use std::f64::consts::{PI, TAU};

use hstep::env::native::{Pendulum, Physics};

/// Torques, N m.
const TORQUES: [f64; 5] = [-2.0, -1.0, 0.0, 1.0, 2.0];
/// Highest velocity, rad/s.
const TOP: f64 = 8.0;

/// A step: its reward, and the four points around where it leads with their weights.
struct Edge {
    reward: f64,
    to: [(usize, f64); 4],
}

/// The pendulum with its states on a grid. Its next state is spread over the four points around it, so
/// that their mean is that state: a finite world of its own, in which everything here is exact.
pub struct Grid {
    gamma: f64,
    /// By state and torque.
    edges: Vec<[Edge; TORQUES.len()]>,
}

/// Changes below this end an iteration.
const SETTLED: f64 = 1e-9;

impl Grid {
    /// `n` angles, which go round, by `n` velocities.
    pub fn new(n: usize, gamma: f64) -> Self {
        let pendulum = Pendulum::default();
        let (turn, spacing) = (TAU / n as f64, 2.0 * TOP / (n - 1) as f64);
        let edge = |s: usize, torque: f64| {
            let state = [(s % n) as f64 * turn - PI, (s / n) as f64 * spacing - TOP];
            let ([angle, velocity], reward, _) = pendulum.advance(&state, &[torque], 0);
            let along = (angle + PI).rem_euclid(TAU) / turn;
            let up = (velocity + TOP) / spacing;
            let (i, j) = ((along.floor() as usize).min(n - 1), (up.floor() as usize).min(n - 2));
            let (u, v) = (along - i as f64, up - j as f64);
            let at = |di: usize, dj: usize| (j + dj) * n + (i + di) % n;
            let to = [
                (at(0, 0), (1.0 - u) * (1.0 - v)),
                (at(1, 0), u * (1.0 - v)),
                (at(0, 1), (1.0 - u) * v),
                (at(1, 1), u * v),
            ];
            Edge { reward, to }
        };
        Self { gamma, edges: (0..n * n).map(|s| TORQUES.map(|torque| edge(s, torque))).collect() }
    }

    fn q(&self, edge: &Edge, value: &[f64]) -> f64 {
        let next: f64 = edge.to.iter().map(|(to, weight)| weight * value[*to]).sum();
        edge.reward + self.gamma * next
    }

    /// The best torque of every state before `value`, and what it is worth.
    fn best(&self, value: &[f64]) -> Vec<(usize, f64)> {
        let of = |edges: &[Edge; TORQUES.len()]| {
            let all = edges.iter().map(|edge| self.q(edge, value)).enumerate();
            all.fold((0, f64::NEG_INFINITY), |best, own| if own.1 > best.1 { own } else { best })
        };
        self.edges.iter().map(of).collect()
    }

    /// One step of value iteration.
    pub fn backed_up(&self, value: &[f64]) -> Vec<f64> {
        self.best(value).into_iter().map(|(_, value)| value).collect()
    }

    /// `V*`.
    pub fn optimal(&self) -> Vec<f64> {
        self.settled(|value| self.backed_up(value))
    }

    /// The value of planning `horizon` steps to the end `value`, anew at every step, without an error of
    /// the plan.
    pub fn planned(&self, value: &[f64], horizon: usize) -> Vec<f64> {
        let end = (1..horizon).fold(value.to_vec(), |value, _| self.backed_up(&value));
        let chosen: Vec<usize> = self.best(&end).into_iter().map(|(torque, _)| torque).collect();
        self.settled(|value| {
            let each = self.edges.iter().zip(&chosen);
            each.map(|(edges, torque)| self.q(&edges[*torque], value)).collect()
        })
    }

    fn settled(&self, step: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let mut value = vec![0.0; self.edges.len()];
        loop {
            let next = step(&value);
            let change = farthest(&value, &next);
            value = next;
            if change < SETTLED {
                return value;
            }
        }
    }
}

/// The largest difference.
pub fn farthest(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_an_error_plans_best_and_upright_is_worth_most() {
        let grid = Grid::new(21, 0.9);
        let best = grid.optimal();
        for horizon in [1, 3] {
            assert!(farthest(&grid.planned(&best, horizon), &best) < 1e-7);
        }
        let most = best.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Angles begin at -pi, hanging; the middle of both is upright and at rest.
        let upright = best[21 * 10 + 10].max(best[21 * 10 + 11]);
        assert!(most - upright < 0.5, "{most} {upright}");
        assert!(best[21 * 10] < upright - 5.0);
    }

    #[test]
    fn a_shift_of_the_value_changes_no_plan() {
        let grid = Grid::new(15, 0.9);
        let best = grid.optimal();
        let shifted: Vec<f64> = best.iter().map(|v| v + 3.0).collect();
        assert!(farthest(&grid.planned(&shifted, 2), &best) < 1e-7);
    }
}
