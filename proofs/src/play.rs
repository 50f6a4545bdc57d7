//! Plans over H steps in a model, and what playing them is worth in the true process.

use super::mdp::{Kernel, Mdp};
use super::number::Number;
use super::reading::Play;

/// Which of equally good actions a plan takes.
#[derive(Debug, Clone, Copy)]
pub enum Ties<'a, T> {
    /// The one of lowest index.
    Lowest,
    /// The one of lowest score in `[S*A]`: what an adversary would have it take.
    Worst(&'a [T]),
}

/// An optimal H-step feedback plan: `actions[t][s]` is taken at `s` when `t` steps have been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `[H][S]`.
    pub actions: Vec<Vec<usize>>,
}

impl Plan {
    /// Dynamic programming over `horizon >= 1` steps in `model`, with `terminal [S]` at the end.
    pub fn new<T: Number>(
        mdp: &Mdp<T>,
        model: &Kernel<T>,
        terminal: &[T],
        horizon: usize,
        ties: &Ties<T>,
    ) -> Self {
        let terminal_scale = super::errors::supremum(terminal);
        let scale = if terminal_scale > mdp.scale() { terminal_scale } else { mdp.scale() };
        let tie = T::tie(&scale);
        let mut value = terminal.to_vec();
        let mut actions = Vec::with_capacity(horizon);
        for _ in 0..horizon {
            let q = mdp.backups(model, &value);
            let mut next = Vec::with_capacity(value.len());
            let mut chosen = Vec::with_capacity(value.len());
            for (s, q) in q.chunks(mdp.actions()).enumerate() {
                let (a, best) = choose(q, s, &tie, ties);
                chosen.push(a);
                next.push(best);
            }
            actions.push(chosen);
            value = next;
        }
        actions.reverse();
        Self { actions }
    }

    /// The value `[S]` in the true process of playing on and on as `play` says; for [`Play::Executed`]
    /// at states where a plan begins.
    pub fn value<T: Number>(&self, mdp: &Mdp<T>, play: Play) -> Vec<T> {
        match (play, self.actions.as_slice()) {
            (_, []) => Vec::new(),
            (Play::Receding, [first, ..]) => mdp.evaluate(mdp.transition(), first),
            (Play::Executed, stages) => block_value(mdp, stages),
        }
    }
}

/// The best action at `s` by `q [A]`, and its value.
fn choose<T: Number>(q: &[T], s: usize, tie: &T, ties: &Ties<T>) -> (usize, T) {
    let (mut best, mut taken) = (&q[0], 0);
    for (a, q) in q.iter().enumerate().skip(1) {
        if q.beats(best, tie) {
            (best, taken) = (q, a);
        }
    }
    if let Ties::Worst(scores) = ties {
        let equal = |a: &usize| !best.beats(&q[*a], tie);
        for a in (0..q.len()).filter(equal) {
            if scores[s * q.len() + a] < scores[s * q.len() + taken] {
                taken = a;
            }
        }
    }
    (taken, best.clone())
}

/// The value of running `stages` to their end, over and over: the fixed point of
/// `V = r_0 + g P_0 (r_1 + g P_1 (... + g P_{H-1} V))`.
fn block_value<T: Number>(mdp: &Mdp<T>, stages: &[Vec<usize>]) -> Vec<T> {
    let n = mdp.states();
    let unit = |j: usize| (0..n).map(|i| if i == j { T::one() } else { T::zero() }).collect();
    // The columns of g^H P_0 ... P_{H-1}, and the rewards of a block.
    let mut columns: Vec<Vec<T>> = (0..n).map(unit).collect();
    let (nothing, mut rewards) = (vec![T::zero(); n], vec![T::zero(); n]);
    for stage in stages.iter().rev() {
        let pairs = || stage.iter().enumerate();
        let p: Vec<T> = pairs().flat_map(|(s, &a)| mdp.transition().row(s, a).to_vec()).collect();
        let r: Vec<T> = pairs().map(|(s, &a)| mdp.reward(s, a).clone()).collect();
        let one = |v: &Vec<T>| T::affine(mdp.gamma(), &nothing, &p, v);
        columns = columns.iter().map(one).collect();
        rewards = T::affine(mdp.gamma(), &r, &p, &rewards);
    }
    let chain = (0..n * n).map(|i| columns[i % n][i / n].clone()).collect();
    T::resolvent(chain, rewards)
}
