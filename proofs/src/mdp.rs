//! Finite Markov decision processes: transitions, policies, backups, evaluation, optimality.

use num_traits::Signed;

use super::number::{Number, dot, largest, smallest, whole};
use hstep::{Error, Result};

/// Transition probabilities `P(s' | s, a)`, `[S,A,S]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel<T> {
    states: usize,
    actions: usize,
    p: Vec<T>,
}

/// How far from 1 the sum of a row of floats may be.
pub const ROUNDED: f64 = 1e-9;

/// Divides a row whose sum is within [`ROUNDED`] of 1 by that sum; whether there was anything to divide.
pub fn round<T: Number>(row: &mut [T]) -> bool {
    let sum = row.iter().fold(T::zero(), |sum, p| sum + p);
    let off = (sum.clone() - T::one()).float().abs();
    if sum == T::one() || off > ROUNDED {
        return false;
    }
    row.iter_mut().for_each(|p| *p = p.clone() / &sum);
    true
}

/// Checks that `row` is a probability distribution over `n` things.
pub(super) fn distribution<T: Number>(key: impl Fn() -> String, row: &[T], n: usize) -> Result<()> {
    if row.len() != n {
        let problem = format!("expected {n} probabilities, got {}", row.len());
        return Err(Error::config(key(), problem));
    }
    // A NaN is not at least 0 either.
    if let Some(p) = row.iter().find(|p| **p < T::zero() || !p.is_finite()) {
        let problem = format!("expected probabilities of at least 0, got {p}");
        return Err(Error::config(key(), problem));
    }
    let sum = row.iter().fold(T::zero(), |sum, p| sum + p);
    let off = sum.clone() - T::one();
    if off.abs() > T::tie(&whole(1000)) {
        let side = if off > T::zero() { "above" } else { "below" };
        let hint = if row.iter().all(|p| *p == T::zero()) {
            "all zeros: a terminal state is written as one that leads to itself with reward 0"
        } else if off.float().abs() <= ROUNDED {
            "it looks rounded: `--round` divides such a row by its sum"
        } else {
            "what is no short decimal can be written as a string such as \"1/3\""
        };
        let off = off.abs();
        let problem = format!(
            "expected probabilities that sum to 1, got a sum of {sum}, {off} {side} it; {hint}"
        );
        return Err(Error::config(key(), problem));
    }
    Ok(())
}

impl<T: Number> Kernel<T> {
    /// From probabilities `[S][A][S]`; `name` is what errors call them.
    ///
    /// # Errors
    /// [`Error::Config`] naming the row when there are no states or actions, a row has another length
    /// than the others, an entry is negative, or a row does not sum to one.
    pub fn new(name: &str, rows: &[Vec<Vec<T>>]) -> Result<Self> {
        let (states, actions) = (rows.len(), rows.first().map_or(0, Vec::len));
        if states == 0 || actions == 0 {
            let problem = format!(
                "expected at least one state and one action, got {states} states and {actions} \
                 actions"
            );
            return Err(Error::config(name, problem));
        }
        let mut p = Vec::with_capacity(states * actions * states);
        for (s, of_state) in rows.iter().enumerate() {
            if of_state.len() != actions {
                let problem = format!("expected {actions} actions, got {}", of_state.len());
                return Err(Error::config(format!("{name}[{s}]"), problem));
            }
            for (a, row) in of_state.iter().enumerate() {
                distribution(|| format!("{name}[{s}][{a}]"), row, states)?;
                p.extend_from_slice(row);
            }
        }
        Ok(Self { states, actions, p })
    }

    /// From a function of `(s, a)` that gives the probabilities of the next states, `[S]`.
    ///
    /// # Errors
    /// As [`Kernel::new`].
    pub fn from_fn(
        states: usize,
        actions: usize,
        row: impl Fn(usize, usize) -> Vec<T>,
    ) -> Result<Self> {
        let of_state = |s| (0..actions).map(|a| row(s, a)).collect();
        Self::new("transition", &(0..states).map(of_state).collect::<Vec<_>>())
    }

    /// Where every action leads without chance: `next[s][a]`.
    ///
    /// # Errors
    /// As [`Kernel::new`].
    pub fn deterministic(next: &[Vec<usize>]) -> Result<Self> {
        let indicator = |hit: bool| if hit { T::one() } else { T::zero() };
        let row = |to: &usize| (0..next.len()).map(|s| indicator(s == *to)).collect();
        let rows: Vec<Vec<_>> = next.iter().map(|of| of.iter().map(row).collect()).collect();
        Self::new("transition", &rows)
    }

    /// The number of states `S`.
    #[must_use]
    pub fn states(&self) -> usize {
        self.states
    }

    /// The number of actions `A`.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// `P(. | s, a)`, `[S]`.
    #[must_use]
    pub fn row(&self, s: usize, a: usize) -> &[T] {
        let start = (s * self.actions + a) * self.states;
        &self.p[start..start + self.states]
    }

    /// The same, to be changed by who keeps it a distribution.
    pub(super) fn row_mut(&mut self, s: usize, a: usize) -> &mut [T] {
        let start = (s * self.actions + a) * self.states;
        &mut self.p[start..start + self.states]
    }

    /// All probabilities.
    pub(super) fn entries(&self) -> &[T] {
        &self.p
    }

    /// Every pair `(s, a)`.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let actions = self.actions;
        (0..self.states * actions).map(move |i| (i / actions, i % actions))
    }

    /// The chain `sum_a pi(a|s) P(s'|s,a)` of a policy, `[S,S]`.
    #[must_use]
    pub fn chain(&self, policy: &Policy<T>) -> Vec<T> {
        let mut out = vec![T::zero(); self.states * self.states];
        for (s, a) in self.pairs() {
            let weight = policy.row(s)[a].clone();
            let into = &mut out[s * self.states..(s + 1) * self.states];
            for (x, p) in into.iter_mut().zip(self.row(s, a)) {
                *x = x.clone() + weight.clone() * p;
            }
        }
        out
    }
}

/// Action probabilities `pi(a | s)`, `[S,A]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy<T> {
    actions: usize,
    p: Vec<T>,
}

impl<T: Number> Policy<T> {
    /// From probabilities `[S][A]`; `name` is what errors call them.
    ///
    /// # Errors
    /// [`Error::Config`] naming the row that is no distribution over `actions` actions.
    pub fn new(name: &str, rows: &[Vec<T>], actions: usize) -> Result<Self> {
        for (s, row) in rows.iter().enumerate() {
            distribution(|| format!("{name}[{s}]"), row, actions)?;
        }
        Ok(Self { actions, p: rows.concat() })
    }

    /// One action a state.
    #[must_use]
    pub fn deterministic(chosen: &[usize], actions: usize) -> Self {
        let one_hot = |a: &usize| {
            let a = *a;
            (0..actions).map(move |i| if i == a { T::one() } else { T::zero() })
        };
        Self { actions, p: chosen.iter().flat_map(one_hot).collect() }
    }

    /// `pi(. | s)`, `[A]`.
    #[must_use]
    pub fn row(&self, s: usize) -> &[T] {
        &self.p[s * self.actions..(s + 1) * self.actions]
    }

    pub(super) fn row_mut(&mut self, s: usize) -> &mut [T] {
        &mut self.p[s * self.actions..(s + 1) * self.actions]
    }

    pub(super) fn states(&self) -> usize {
        self.p.len() / self.actions
    }
}

/// A discount, rewards and transitions. Values are sums of discounted rewards, not normalised by
/// `1 - gamma`, as in all the papers.
#[derive(Debug, Clone, PartialEq)]
pub struct Mdp<T> {
    gamma: T,
    pub(super) reward: Vec<T>,
    pub(super) transition: Kernel<T>,
}

impl<T: Number> Mdp<T> {
    /// From a discount, rewards `[S][A]` and transitions.
    ///
    /// # Errors
    /// [`Error::Config`] for a discount outside `[0, 1)`, or rewards of another shape.
    pub fn new(gamma: T, reward: &[Vec<T>], transition: Kernel<T>) -> Result<Self> {
        if !(gamma >= T::zero() && gamma < T::one()) {
            let problem = format!("expected a discount of at least 0 and below 1, got {gamma}");
            return Err(Error::config("gamma", problem));
        }
        let (states, actions) = (transition.states, transition.actions);
        if reward.len() != states {
            let problem =
                format!("expected {states} states as in `transition`, got {}", reward.len());
            return Err(Error::config("reward", problem));
        }
        if let Some(s) = reward.iter().position(|row| row.len() != actions) {
            let problem = format!("expected {actions} actions, got {}", reward[s].len());
            return Err(Error::config(format!("reward[{s}]"), problem));
        }
        let reward = reward.concat();
        if let Some(r) = reward.iter().find(|r| !r.is_finite()) {
            return Err(Error::config("reward", format!("expected finite rewards, got {r}")));
        }
        Ok(Self { gamma, reward, transition })
    }

    /// The number of states `S`.
    #[must_use]
    pub fn states(&self) -> usize {
        self.transition.states
    }

    /// The number of actions `A`.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.transition.actions
    }

    /// The discount.
    #[must_use]
    pub fn gamma(&self) -> &T {
        &self.gamma
    }

    /// `r(s, a)`.
    #[must_use]
    pub fn reward(&self, s: usize, a: usize) -> &T {
        &self.reward[s * self.transition.actions + a]
    }

    /// The true transitions.
    #[must_use]
    pub fn transition(&self) -> &Kernel<T> {
        &self.transition
    }

    /// The largest reward.
    #[must_use]
    pub fn largest_reward(&self) -> T {
        largest(self.reward.iter().cloned())
    }

    /// `R = max r - min r`, the span of the rewards.
    #[must_use]
    pub fn reward_span(&self) -> T {
        self.largest_reward() - smallest(self.reward.iter().cloned())
    }

    /// `max |r|`.
    #[must_use]
    pub fn largest_size(&self) -> T {
        largest(self.reward.iter().map(Signed::abs))
    }

    /// `r(s,a) + gamma sum_s' P(s'|s,a) v(s')`, with the transitions of `kernel`.
    #[must_use]
    pub fn backup(&self, kernel: &Kernel<T>, s: usize, a: usize, v: &[T]) -> T {
        self.gamma.clone() * dot(kernel.row(s, a), v) + self.reward(s, a)
    }

    /// [`Mdp::backup`] for every pair, `[S*A]`. Fractions need not be in lowest terms.
    #[must_use]
    pub fn backups(&self, kernel: &Kernel<T>, v: &[T]) -> Vec<T> {
        T::affine(&self.gamma, &self.reward, &kernel.p, v)
    }

    /// The value `[S]` of choosing `chosen[s]` forever, with the transitions of `kernel`.
    #[must_use]
    pub fn evaluate(&self, kernel: &Kernel<T>, chosen: &[usize]) -> Vec<T> {
        let n = self.states();
        let (mut chain, mut rewards) = (Vec::with_capacity(n * n), Vec::with_capacity(n));
        for (s, &a) in chosen.iter().enumerate() {
            chain.extend(kernel.row(s, a).iter().map(|p| self.gamma.clone() * p));
            rewards.push(self.reward(s, a).clone());
        }
        T::resolvent(chain, rewards)
    }

    /// The value `[S]` of a policy, with the transitions of `kernel`.
    #[must_use]
    pub fn evaluate_policy(&self, kernel: &Kernel<T>, policy: &Policy<T>) -> Vec<T> {
        let reward = |s: usize| {
            let r = &self.reward[s * self.actions()..(s + 1) * self.actions()];
            dot(policy.row(s), r)
        };
        self.discounted(&kernel.chain(policy), (0..self.states()).map(reward).collect())
    }

    /// `sum_t gamma^t E[x(s_t)]` `[S]` along a chain `[S,S]`.
    pub(super) fn discounted(&self, chain: &[T], x: Vec<T>) -> Vec<T> {
        T::resolvent(chain.iter().map(|p| self.gamma.clone() * p).collect(), x)
    }

    /// The optimal value `V*` `[S]` and an optimal action a state, by policy iteration (Howard 1960):
    /// exact after finitely many steps in rationals, and up to ties of rounding in `f64`.
    #[must_use]
    pub fn optimal(&self) -> (Vec<T>, Vec<usize>) {
        let (kernel, tie) = (&self.transition, T::tie(&self.scale()));
        let total = |v: &[T]| v.iter().fold(T::zero(), |sum, x| sum + x);
        let mut chosen = vec![0; self.states()];
        let mut v = self.evaluate(kernel, &chosen);
        loop {
            let q = self.backups(kernel, &v);
            let mut better = chosen.clone();
            for (better, q) in better.iter_mut().zip(q.chunks(self.actions())) {
                let now = *better;
                for (a, value) in q.iter().enumerate() {
                    if a != now && value.beats(&q[*better], &tie) {
                        *better = a;
                    }
                }
            }
            if better == chosen {
                return (v, chosen);
            }
            let next = self.evaluate(kernel, &better);
            // Exact values rise with every step; rounded ones may come to rest.
            if total(&next) <= total(&v) {
                return (v, chosen);
            }
            (v, chosen) = (next, better);
        }
    }

    /// A size that no value exceeds.
    pub(super) fn scale(&self) -> T {
        self.largest_size() / (T::one() - &self.gamma)
    }
}
