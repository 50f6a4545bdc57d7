//! Two finite worlds, and what is learned of them from data.

use hstep::Result;
use hstep::rng::Rng;
use hstep_proofs::mdp::{Kernel, Mdp};

use super::config::Config;

/// Angles and velocities of the discretised pendulum, and its torques in N m.
const ANGLES: usize = 15;
const VELOCITIES: usize = 15;
const TORQUES: [f64; 3] = [-2.0, 0.0, 2.0];
/// Cells on a side of the grid.
const SIDE: usize = 6;
/// Chance that the wind, not the walker, chooses the step.
const WIND: f64 = 0.2;

/// A finite world with rewards in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// A walk to a corner of a grid, in gusts from every side.
    Grid,
    /// Gymnasium's pendulum; the next state is spread over the four grid points around it so that
    /// their mean is that state.
    Pendulum,
}

impl World {
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "windy grid, 36 states",
            Self::Pendulum => "pendulum, 225 states",
        }
    }

    /// The true process.
    ///
    /// # Errors
    /// None for the worlds above: their rows sum to 1.
    pub fn mdp(self, gamma: f64) -> Result<Mdp<f64>> {
        match self {
            Self::Grid => grid(gamma),
            Self::Pendulum => pendulum(gamma),
        }
    }
}

fn grid(gamma: f64) -> Result<Mdp<f64>> {
    let step = |s: usize, a: usize| {
        let (x, y) = (s % SIDE, s / SIDE);
        let (x, y) = match a {
            0 => (x, y.saturating_sub(1)),
            1 => (x, (y + 1).min(SIDE - 1)),
            2 => (x.saturating_sub(1), y),
            _ => ((x + 1).min(SIDE - 1), y),
        };
        y * SIDE + x
    };
    let states = SIDE * SIDE;
    let row = |s: usize, a: usize| {
        let mut row = vec![0.0; states];
        row[step(s, a)] += 1.0 - WIND;
        (0..4).for_each(|b| row[step(s, b)] += WIND / 4.0);
        row
    };
    let reward: Vec<Vec<f64>> =
        (0..states).map(|s| vec![if s == states - 1 { 1.0 } else { 0.0 }; 4]).collect();
    Mdp::new(gamma, &reward, Kernel::from_fn(states, 4, row)?)
}

fn pendulum(gamma: f64) -> Result<Mdp<f64>> {
    let pi = std::f64::consts::PI;
    let (turn, top) = (2.0 * pi / ANGLES as f64, 8.0);
    let spacing = 2.0 * top / (VELOCITIES - 1) as f64;
    // Angles go round; 0 is upright.
    let at = |s: usize| ((s % ANGLES) as f64 * turn, (s / ANGLES) as f64 * spacing - top);
    let row = |s: usize, a: usize| {
        let (angle, speed) = at(s);
        let speed = (speed + (15.0 * angle.sin() + 3.0 * TORQUES[a]) * 0.05).clamp(-top, top);
        let angle = (angle + speed * 0.05).rem_euclid(2.0 * pi) / turn;
        let speed = (speed + top) / spacing;
        let (i, u) = (angle.floor() as usize, angle.fract());
        let j = (speed.floor() as usize).min(VELOCITIES - 2);
        let v = speed - j as f64;
        let mut row = vec![0.0; ANGLES * VELOCITIES];
        for (di, wi) in [(0, 1.0 - u), (1, u)] {
            for (dj, wj) in [(0, 1.0 - v), (1, v)] {
                row[(j + dj) * ANGLES + (i + di) % ANGLES] += wi * wj;
            }
        }
        row
    };
    let states = ANGLES * VELOCITIES;
    // Gymnasium's cost, over its largest value.
    let worst = pi * pi + 0.1 * top * top + 0.001 * 4.0;
    let reward: Vec<Vec<f64>> = (0..states)
        .map(|s| {
            let (angle, speed) = at(s);
            let angle = if angle > pi { angle - 2.0 * pi } else { angle };
            let cost = |u: f64| angle * angle + 0.1 * speed * speed + 0.001 * u * u;
            TORQUES.iter().map(|u| 1.0 - cost(*u) / worst).collect()
        })
        .collect();
    Mdp::new(gamma, &reward, Kernel::from_fn(states, TORQUES.len(), row)?)
}

/// What has been seen so far: counts of transitions, and Q-learning over them.
pub struct Learner<'a> {
    mdp: &'a Mdp<f64>,
    counts: Vec<f64>,
    q: Vec<f64>,
    visits: Vec<f64>,
    state: usize,
    rng: Rng,
}

impl<'a> Learner<'a> {
    pub fn new(mdp: &'a Mdp<f64>, rng: Rng) -> Self {
        let (states, actions) = (mdp.states(), mdp.actions());
        Self {
            mdp,
            counts: vec![0.0; states * actions * states],
            q: vec![0.0; states * actions],
            visits: vec![0.0; states * actions],
            state: 0,
            rng,
        }
    }

    fn index(&self, bound: usize) -> impl FnMut(&mut Rng) -> usize + use<> {
        move |rng| ((rng.uniform() * bound as f64) as usize).min(bound - 1)
    }

    /// The best value of the learner's Q at `s`.
    fn best(&self, s: usize) -> (usize, f64) {
        let actions = self.mdp.actions();
        let row = &self.q[s * actions..][..actions];
        row.iter()
            .copied()
            .enumerate()
            .fold((0, f64::NEG_INFINITY), |best, (a, q)| if q > best.1 { (a, q) } else { best })
    }

    /// One step of a training run: greedy in Q or, every other time, at random; now and then from a
    /// new start.
    pub fn step(&mut self, config: &Config) {
        let (states, actions) = (self.mdp.states(), self.mdp.actions());
        let (mut any_state, mut any_action) = (self.index(states), self.index(actions));
        if self.rng.uniform() < config.restart {
            self.state = any_state(&mut self.rng);
        }
        let s = self.state;
        let explore = self.rng.uniform() < config.explore;
        let a = if explore { any_action(&mut self.rng) } else { self.best(s).0 };
        let (mut left, mut next) = (self.rng.uniform(), states - 1);
        for (to, p) in self.mdp.transition().row(s, a).iter().enumerate() {
            left -= p;
            if left < 0.0 {
                next = to;
                break;
            }
        }
        let pair = s * actions + a;
        self.counts[pair * states + next] += 1.0;
        self.visits[pair] += 1.0;
        let target = self.mdp.reward(s, a) + self.mdp.gamma() * self.best(next).1;
        self.q[pair] += self.visits[pair].powf(-config.decay) * (target - self.q[pair]);
        self.state = next;
    }

    /// Frequencies; a pair that was never seen stays where it is.
    ///
    /// # Errors
    /// None: its rows sum to 1.
    pub fn model(&self) -> Result<Kernel<f64>> {
        let (states, actions) = (self.mdp.states(), self.mdp.actions());
        Kernel::from_fn(states, actions, |s, a| {
            let pair = s * actions + a;
            let row = &self.counts[pair * states..][..states];
            let total: f64 = row.iter().sum();
            match total > 0.0 {
                true => row.iter().map(|n| n / total).collect(),
                false => (0..states).map(|to| f64::from(u8::from(to == s))).collect(),
            }
        })
    }

    /// `max_a Q(s,a)` `[S]`.
    pub fn value(&self) -> Vec<f64> {
        (0..self.mdp.states()).map(|s| self.best(s).1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_the_discretised_pendulum_are_its_next_states() {
        let mdp = World::Pendulum.mdp(0.9).unwrap();
        // Upright and at rest without torque it stays; a torque of 2 N m gives 0.3 rad/s, a step.
        let middle = (VELOCITIES / 2) * ANGLES;
        assert_eq!(mdp.transition().row(middle, 1)[middle], 1.0);
        let row = mdp.transition().row(middle, 2);
        let spacing = 16.0 / (VELOCITIES - 1) as f64;
        let speed: f64 =
            row.iter().enumerate().map(|(s, p)| p * ((s / ANGLES) as f64 * spacing - 8.0)).sum();
        assert!((speed - 0.3).abs() < 1e-12, "{speed}");
        assert!(mdp.reward(middle, 1) > &0.999 && mdp.reward_span() < 1.0);
    }

    #[test]
    fn with_much_data_the_model_is_the_world() {
        let mdp = World::Grid.mdp(0.9).unwrap();
        let config = Config { explore: 1.0, restart: 0.1, ..Config::default() };
        let mut learner = Learner::new(&mdp, Rng::new(0));
        (0..200_000).for_each(|_| learner.step(&config));
        let model = learner.model().unwrap();
        let error = hstep_proofs::errors::tv_error(&model, mdp.transition());
        // About 1,400 samples a pair: errors of some 1/sqrt(1,400) a probability.
        assert!(error < 0.08, "{error}");
        let (optimal, _) = mdp.optimal();
        let off = learner.value().into_iter().zip(&optimal).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) < 1.0);
    }
}
