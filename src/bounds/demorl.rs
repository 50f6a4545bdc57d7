//! M-DeMoRL (Mishra, Samaddar, Katz, Kolathaya, "Dynamic Mirror Descent based Model Predictive Control
//! for Accelerating Robot Learning", ICRA 2022): Lemma 1. Theorem 1 is in `mirror`.

use super::errors::supremum;
use super::mdp::{Kernel, Mdp};
use super::number::{Number, dot, power};
use super::problem::Problem;
use super::reading::{Norm, Reading};
use crate::error::{Error, Result};

/// Lemma 1: the cost of one and the same control distribution in a model and in the truth.
///
/// ```text
/// J - J_r <= 2 c_max ((H-1) g^(H+1) - H g^H + g) / (1-g)^2 eps_f + 2 V_max H g^H eps_f  =: R_{f,H}
/// ```
///
/// True, with `eps_f` the largest total variation, `|c| <= c_max` and `|V| <= V_max` at the end; the
/// fraction is `sum_{h<H} h g^h`. What is sharp has `1 - (1 - eps)^h` in the place of `h eps`, because
/// two chains that part with probability `eps` a step have parted after `h` steps with at most that:
///
/// ```text
/// 2 c_max sum_{h<H} g^h (1 - (1-eps)^h) + 2 V_max g^H (1 - (1-eps)^H)
/// ```
///
/// Costs are negative rewards; the controls are a sequence, drawn before it is run.
///
/// ---
///
#[doc = include_str!("../../proofs/05-demorl-lemma-1.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct Lemma1<T> {
    /// The discount, in `[0, 1)`.
    pub gamma: T,
    /// The horizon, at least 1.
    pub horizon: usize,
    /// The model error, in `norm`.
    pub eps_f: T,
    /// What no cost exceeds in size.
    pub c_max: T,
    /// What no terminal value exceeds in size.
    pub v_max: T,
    /// The norm of `eps_f`.
    pub norm: Norm,
}

impl<T: Number> Lemma1<T> {
    /// The constants of a problem whose terminal value is `terminal [S]`. `reading.range` is applied to
    /// the costs; the lemma assumes the absolute one.
    #[must_use]
    pub fn of(problem: &Problem<T>, terminal: &[T], horizon: usize, reading: &Reading) -> Self {
        Self {
            gamma: problem.mdp.gamma().clone(),
            horizon,
            eps_f: reading.norm.error(&problem.model, problem.mdp.transition()),
            c_max: reading.range.of(&problem.mdp),
            v_max: supremum(terminal),
            norm: reading.norm,
        }
    }

    /// `R_{f,H}`.
    #[must_use]
    pub fn printed(&self) -> T {
        let (g, h, two) = (&self.gamma, self.horizon, T::ratio(2, 1));
        let count = T::ratio(h as i64, 1);
        let gamma_h = power(g, h);
        let sum = (count.clone() - T::one()) * power(g, h + 1) - count.clone() * &gamma_h + g;
        let running = sum / power(&(T::one() - g), 2);
        two * &self.eps_f * (running * &self.c_max + count * gamma_h * &self.v_max)
    }

    /// The sharp form.
    #[must_use]
    pub fn corrected(&self) -> T {
        let together = T::one() - self.norm.to_tv(&self.eps_f);
        let parted = |h: usize| T::one() - power(&together, h);
        let term = |h: usize| power(&self.gamma, h) * parted(h);
        let running = (0..self.horizon).fold(T::zero(), |sum, h| sum + term(h));
        T::ratio(2, 1) * (running * &self.c_max + term(self.horizon) * &self.v_max)
    }
}

/// The return of the action sequence `actions [H]` from `start`, with `terminal [S]` at the end and
/// the transitions of `kernel`: where the state may be is carried forward.
pub fn sequence_return<T: Number>(
    mdp: &Mdp<T>,
    kernel: &Kernel<T>,
    terminal: &[T],
    start: usize,
    actions: &[usize],
) -> T {
    let mut walk = Walk::new(mdp, start);
    for &a in actions {
        walk.step(mdp, kernel, a);
    }
    walk.total + walk.discount * dot(&walk.place, terminal)
}

/// Where a sequence has led, and what it has earned.
#[derive(Clone)]
struct Walk<T> {
    place: Vec<T>,
    discount: T,
    total: T,
}

impl<T: Number> Walk<T> {
    fn new(mdp: &Mdp<T>, start: usize) -> Self {
        let mut place = vec![T::zero(); mdp.states()];
        place[start] = T::one();
        Self { place, discount: T::one(), total: T::zero() }
    }

    fn step(&mut self, mdp: &Mdp<T>, kernel: &Kernel<T>, a: usize) {
        let mut next = vec![T::zero(); self.place.len()];
        let mut earned = T::zero();
        for (s, p) in self.place.iter().enumerate().filter(|(_, p)| !p.is_zero()) {
            earned = earned + p.clone() * mdp.reward(s, a);
            for (into, q) in next.iter_mut().zip(kernel.row(s, a)) {
                *into = into.clone() + p.clone() * q;
            }
        }
        self.total = self.total.clone() + self.discount.clone() * earned;
        self.discount = self.discount.clone() * mdp.gamma();
        self.place = next;
    }
}

/// Most action sequences times start states that are enumerated.
const MAX_SEQUENCES: usize = 100_000;

/// Calls `visit` with every start state and every action sequence of length `horizon`.
fn for_each_sequence<T: Number>(
    mdp: &Mdp<T>,
    horizon: usize,
    mut visit: impl FnMut(usize, &[usize]),
) -> Result<()> {
    let (states, actions) = (mdp.states(), mdp.actions());
    let count = (0..horizon)
        .try_fold(states, |n, _| n.checked_mul(actions).filter(|n| *n <= MAX_SEQUENCES));
    let Some(count) = count else {
        let problem = format!(
            "expected at most {MAX_SEQUENCES} action sequences over all start states, got {states} x \
             {actions}^{horizon}; take a shorter horizon"
        );
        return Err(Error::config("horizon", problem));
    };
    let mut sequence = vec![0; horizon];
    for index in 0..count {
        let mut rest = index / states;
        for a in sequence.iter_mut().rev() {
            *a = rest % actions;
            rest /= actions;
        }
        visit(index % states, &sequence);
    }
    Ok(())
}

/// The largest `J - J_r` over start states and action sequences, with the first pair where it is
/// reached. A distribution over sequences cannot exceed it.
///
/// # Errors
/// [`Error::Config`] when there are more sequences than can be enumerated.
pub fn largest_difference<T: Number>(
    problem: &Problem<T>,
    terminal: &[T],
    horizon: usize,
) -> Result<(T, usize, Vec<usize>)> {
    let (mdp, model) = (&problem.mdp, &problem.model);
    let mut best: Option<(T, usize, Vec<usize>)> = None;
    for_each_sequence(mdp, horizon, |start, actions| {
        let truth = sequence_return(mdp, mdp.transition(), terminal, start, actions);
        let difference = truth - sequence_return(mdp, model, terminal, start, actions);
        if best.as_ref().is_none_or(|(d, _, _)| difference > *d) {
            best = Some((difference, start, actions.to_vec()));
        }
    })?;
    best.ok_or_else(|| Error::config("horizon", "expected at least 1 step, got 0"))
}

/// The first action `[S]` of the best action sequence in the model: planning without feedback, what
/// POLO's eq. (3) literally says. Ties go to the lowest index.
///
/// # Errors
/// As [`largest_difference`].
pub fn open_loop_actions<T: Number>(
    problem: &Problem<T>,
    terminal: &[T],
    horizon: usize,
) -> Result<Vec<usize>> {
    let mut best: Vec<Option<(T, usize)>> = vec![None; problem.mdp.states()];
    for_each_sequence(&problem.mdp, horizon, |start, actions| {
        let value = sequence_return(&problem.mdp, &problem.model, terminal, start, actions);
        if best[start].as_ref().is_none_or(|(v, _)| value > *v) {
            best[start] = Some((value, actions.first().copied().unwrap_or(0)));
        }
    })?;
    Ok(best.into_iter().map(|b| b.map_or(0, |(_, a)| a)).collect())
}
