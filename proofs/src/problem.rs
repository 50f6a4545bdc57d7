//! A planning problem: a process, a model of it, and an approximate value.

use super::errors::supremum;
use super::mdp::{Kernel, Mdp};
use super::number::{Number, Rational, nearest, smallest};
use super::play::{Plan, Ties};
use super::reading::Play;
use hstep::{Error, Result};

/// What an H-step planner is given, beside the truth it is measured against.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem<T> {
    /// The true process.
    pub mdp: Mdp<T>,
    /// The transitions that plans are made in; rewards are known.
    pub model: Kernel<T>,
    /// `V^ - V*` `[S]`: how far off the value is that a plan ends with.
    pub offset: Vec<T>,
}

/// What playing plans comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Played<T> {
    /// `V*` `[S]`.
    pub optimal: Vec<T>,
    /// The value `[S]` of the play in the true process.
    pub value: Vec<T>,
    /// The plan that is played.
    pub plan: Plan,
    /// `max_s V*(s) - V(s)`, the left side of the bounds.
    pub gap: T,
    /// The first state where the gap is reached.
    pub worst: usize,
}

/// Whom ties within a plan favour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Favour {
    /// The lowest action index.
    Index,
    /// The action of least true value: a bound must hold for any choice.
    Adversary,
}

impl<T: Number> Problem<T> {
    /// A problem whose parts fit.
    ///
    /// # Errors
    /// [`Error::Config`] when model or offset has another shape than the process.
    pub fn new(mdp: Mdp<T>, model: Kernel<T>, offset: Vec<T>) -> Result<Self> {
        let (states, actions) = (mdp.states(), mdp.actions());
        if (model.states(), model.actions()) != (states, actions) {
            let problem = format!(
                "expected {states} states and {actions} actions as in `transition`, got {} and {}",
                model.states(),
                model.actions()
            );
            return Err(Error::config("model", problem));
        }
        if offset.len() != states {
            let problem = format!("expected {states} numbers, one a state, got {}", offset.len());
            return Err(Error::config("value", problem));
        }
        Ok(Self { mdp, model, offset })
    }

    /// A problem with an exact model and an exact value.
    #[must_use]
    pub fn exact(mdp: Mdp<T>) -> Self {
        let (model, offset) = (mdp.transition().clone(), vec![T::zero(); mdp.states()]);
        Self { mdp, model, offset }
    }

    /// `eps_V = max_s |V^(s) - V*(s)|`.
    #[must_use]
    pub fn eps_v(&self) -> T {
        supremum(&self.offset)
    }

    /// Plans `horizon` steps ahead in the model with `V^` at the end, and plays it in the truth.
    ///
    /// # Errors
    /// [`Error::Config`] for a horizon of 0.
    pub fn play(&self, horizon: usize, play: Play, favour: Favour) -> Result<Played<T>> {
        if horizon == 0 {
            return Err(Error::config("horizon", "expected at least 1 step, got 0"));
        }
        let (mdp, model) = (&self.mdp, &self.model);
        let (optimal, _) = mdp.optimal();
        let terminal: Vec<T> =
            optimal.iter().zip(&self.offset).map(|(v, e)| v.clone() + e).collect();
        let scores: Vec<T> = match favour {
            Favour::Index => Vec::new(),
            Favour::Adversary => mdp.backups(mdp.transition(), &optimal),
        };
        let ties = match favour {
            Favour::Index => Ties::Lowest,
            Favour::Adversary => Ties::Worst(&scores),
        };
        let plan = Plan::new(mdp, model, &terminal, horizon, &ties);
        let value = plan.value(mdp, play);
        let (gap, worst) = worst_loss(&optimal, &value);
        Ok(Played { optimal, value, plan, gap, worst })
    }
}

impl<T: Number> Problem<T> {
    /// The same problem with its rewards moved so that the lowest is 0. Losses stay as they are.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        let lowest = smallest(self.mdp.reward.iter().cloned());
        self.mdp.reward.iter_mut().for_each(|r| *r = r.clone() - &lowest);
        self
    }

    /// The same problem with the actions of every state in order of their true value, the worst first:
    /// the lowest index is then what an adversary would choose.
    ///
    /// # Errors
    /// None that a problem with valid parts can give.
    pub fn worst_first(&self) -> Result<Self> {
        let (mdp, truth) = (&self.mdp, self.mdp.transition());
        let (optimal, _) = mdp.optimal();
        let scores = mdp.backups(truth, &optimal);
        let order = |s: usize| {
            let q = &scores[s * mdp.actions()..];
            let mut order: Vec<usize> = (0..mdp.actions()).collect();
            order.sort_by(|&i, &j| q[i].partial_cmp(&q[j]).unwrap_or(std::cmp::Ordering::Equal));
            order
        };
        let orders: Vec<Vec<usize>> = (0..mdp.states()).map(order).collect();
        let kernel = |from: &Kernel<T>| {
            let row = |s: usize, a: usize| from.row(s, orders[s][a]).to_vec();
            Kernel::from_fn(from.states(), from.actions(), row)
        };
        let reward = |s: usize| orders[s].iter().map(|&a| mdp.reward(s, a).clone()).collect();
        let rewards: Vec<Vec<T>> = (0..mdp.states()).map(reward).collect();
        let mdp = Mdp::new(mdp.gamma().clone(), &rewards, kernel(truth)?)?;
        Problem::new(mdp, kernel(&self.model)?, self.offset.clone())
    }
}

/// `max_s best(s) - value(s)` and the first state where it is.
pub(super) fn worst_loss<T: Number>(best: &[T], value: &[T]) -> (T, usize) {
    let loss = |s: usize| best[s].clone() - &value[s];
    let (mut gap, mut worst) = (loss(0), 0);
    for s in 1..best.len() {
        let here = loss(s);
        if here > gap {
            (gap, worst) = (here, s);
        }
    }
    (gap, worst)
}

/// Two independent problems side by side: states, actions and offsets are pairs, rewards and losses
/// add up.
///
/// # Errors
/// [`Error::Config`] when the discounts differ.
pub fn product<T: Number>(left: &Problem<T>, right: &Problem<T>) -> Result<Problem<T>> {
    if left.mdp.gamma() != right.mdp.gamma() {
        return Err(Error::config("gamma", "expected two problems of one discount"));
    }
    let (n, m) = (right.mdp.states(), right.mdp.actions());
    let states = left.mdp.states() * n;
    let actions = left.mdp.actions() * m;
    let pairs = |p: &[T], q: &[T]| -> Vec<T> {
        p.iter().flat_map(|p| q.iter().map(move |q| p.clone() * q)).collect()
    };
    let kernel = |l: &Kernel<T>, r: &Kernel<T>| {
        Kernel::from_fn(states, actions, |s, a| pairs(l.row(s / n, a / m), r.row(s % n, a % m)))
    };
    let reward =
        |s: usize, a: usize| left.mdp.reward(s / n, a / m).clone() + right.mdp.reward(s % n, a % m);
    let rewards: Vec<Vec<T>> =
        (0..states).map(|s| (0..actions).map(|a| reward(s, a)).collect()).collect();
    let truth = kernel(left.mdp.transition(), right.mdp.transition())?;
    let model = kernel(&left.model, &right.model)?;
    let offset = (0..states).map(|s| left.offset[s / n].clone() + &right.offset[s % n]).collect();
    Problem::new(Mdp::new(left.mdp.gamma().clone(), &rewards, truth)?, model, offset)
}

impl Problem<f64> {
    /// The problem with every number rounded to a multiple of `1/denominator`; probabilities so that
    /// they still sum to one, equal rows to equal rows.
    ///
    /// # Errors
    /// As [`Mdp::new`]; only for numbers that are not finite.
    pub fn rounded(&self, denominator: i64) -> Result<Problem<Rational>> {
        let kernel = |from: &Kernel<f64>| {
            Kernel::from_fn(from.states(), from.actions(), |s, a| {
                rounded_row(from.row(s, a), denominator)
            })
        };
        let (states, actions) = (self.mdp.states(), self.mdp.actions());
        let reward = |s: usize| -> Vec<Rational> {
            (0..actions).map(|a| nearest(*self.mdp.reward(s, a), denominator)).collect()
        };
        let rewards: Vec<Vec<Rational>> = (0..states).map(reward).collect();
        // Discounts come from a grid of multiples of 1/100.
        let gamma = nearest(*self.mdp.gamma(), 100);
        let mdp = Mdp::new(gamma, &rewards, kernel(self.mdp.transition())?)?;
        let offset = self.offset.iter().map(|e| nearest(*e, denominator)).collect();
        Problem::new(mdp, kernel(&self.model)?, offset)
    }
}

/// Probabilities as multiples of `1/denominator` that sum to one: rounded down, what is left going to
/// the largest remainders.
pub(super) fn rounded_row(row: &[f64], denominator: i64) -> Vec<Rational> {
    let scaled: Vec<f64> = row.iter().map(|p| p.max(0.0) * denominator as f64).collect();
    let mut units: Vec<i64> = scaled.iter().map(|x| x.floor() as i64).collect();
    let mut order: Vec<usize> = (0..row.len()).collect();
    let remainder = |i: usize| scaled[i] - scaled[i].floor();
    order.sort_by(|&i, &j| remainder(j).total_cmp(&remainder(i)));
    let mut left = denominator - units.iter().sum::<i64>();
    for &i in order.iter().cycle().take(row.len().max(left.unsigned_abs() as usize)) {
        if left > 0 {
            units[i] += 1;
            left -= 1;
        } else if left < 0 && units[i] > 0 {
            // Rounding may have put the sum above one.
            units[i] -= 1;
            left += 1;
        }
    }
    units.into_iter().map(|u| Rational::ratio(u, denominator)).collect()
}
