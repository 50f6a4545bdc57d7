//! M-DeMoRL (Mishra, Samaddar, Katz, Kolathaya, "Dynamic Mirror Descent based Model Predictive Control
//! for Accelerating Robot Learning", ICRA 2022): Lemma 1. Theorem 1 is in `mirror`.

use super::errors::supremum;
use super::mdp::{Kernel, Mdp};
use super::number::{Number, dot, power};
use super::problem::Problem;
use super::reading::{Norm, Reading};
use hstep::{Error, Result};

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
#[doc = include_str!("../05-demorl-lemma-1.md")]
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
    walk.total(terminal)
}

/// Where a sequence has led, and what it has earned.
#[derive(Clone)]
struct Walk<T> {
    place: Vec<T>,
    discount: T,
    earned: T,
}

impl<T: Number> Walk<T> {
    fn new(mdp: &Mdp<T>, start: usize) -> Self {
        let mut place = vec![T::zero(); mdp.states()];
        place[start] = T::one();
        Self { place, discount: T::one(), earned: T::zero() }
    }

    fn step(&mut self, mdp: &Mdp<T>, kernel: &Kernel<T>, a: usize) {
        let mut next = vec![T::zero(); self.place.len()];
        let mut reward = T::zero();
        for (s, p) in self.place.iter().enumerate().filter(|(_, p)| !p.is_zero()) {
            reward = reward + p.clone() * mdp.reward(s, a);
            for (into, q) in next.iter_mut().zip(kernel.row(s, a)) {
                *into = into.clone() + p.clone() * q;
            }
        }
        self.earned = self.earned.clone() + self.discount.clone() * reward;
        self.discount = self.discount.clone() * mdp.gamma();
        self.place = next;
    }

    /// What was earned, and `terminal [S]` where it has led.
    fn total(&self, terminal: &[T]) -> T {
        self.earned.clone() + self.discount.clone() * dot(&self.place, terminal)
    }
}

/// Most of states squared times start states times action sequences that are enumerated.
const MAX_WORK: usize = 1_000_000;

/// Calls `visit` with every start state, every action sequence of length `horizon`, in order, and where it
/// leads in each of `kernels`. What sequences have in common is walked once.
fn for_each_sequence<T: Number>(
    mdp: &Mdp<T>,
    kernels: &[&Kernel<T>],
    horizon: usize,
    mut visit: impl FnMut(usize, &[usize], &[Walk<T>]),
) -> Result<()> {
    let (states, actions) = (mdp.states(), mdp.actions());
    let work = (0..horizon).try_fold(states * states * states, |n, _| {
        n.checked_mul(actions).filter(|n| *n <= MAX_WORK)
    });
    if work.is_none() || horizon > MAX_WORK {
        let problem = format!(
            "expected at most {MAX_WORK} for states^3 x actions^steps, because all action sequences are \
             tried, got {states}^3 x {actions}^{horizon}; take a shorter horizon"
        );
        return Err(Error::config("horizon", problem));
    }
    for start in 0..states {
        // What is still to be walked, the next on top: actions so far and where they lead.
        let begin = kernels.iter().map(|_| Walk::new(mdp, start)).collect::<Vec<_>>();
        let mut open = vec![(Vec::new(), begin)];
        while let Some((sequence, walks)) = open.pop() {
            if sequence.len() == horizon {
                visit(start, &sequence, &walks);
                continue;
            }
            for a in (0..actions).rev() {
                let mut further = walks.clone();
                for (walk, kernel) in further.iter_mut().zip(kernels) {
                    walk.step(mdp, kernel, a);
                }
                open.push(([&sequence[..], &[a]].concat(), further));
            }
        }
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
    let kernels = [problem.mdp.transition(), &problem.model];
    let mut best: Option<(T, usize, Vec<usize>)> = None;
    for_each_sequence(&problem.mdp, &kernels, horizon, |start, actions, walks| {
        let difference = walks[0].total(terminal) - walks[1].total(terminal);
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
    for_each_sequence(&problem.mdp, &[&problem.model], horizon, |start, actions, walks| {
        let value = walks[0].total(terminal);
        if best[start].as_ref().is_none_or(|(v, _)| value > *v) {
            best[start] = Some((value, actions.first().copied().unwrap_or(0)));
        }
    })?;
    Ok(best.into_iter().map(|b| b.map_or(0, |(_, a)| a)).collect())
}
