//! Problems of many states, in intervals: every figure holds the exact value.
//!
//! A value is the fixed point of a backup `T` that shrinks distances by `c < 1`. Near it in floats, at `v`, the
//! residual `T v - v` is enclosed in `[l, h]`, and so is the fixed point in `v + [l, h] / (1 - c)`: the bound of
//! MacQueen (1966), rounded outwards. Where intervals cannot tell which action a plan takes, the play is enclosed by
//! the worst and the best of those that it can be.

use num_traits::{One as _, Signed as _, Zero as _};

use super::interval::Interval;
use super::mopac::Theorem1;
use super::number::power;
use super::reading::{Norm, Play, Reading, RewardRange};

/// The most states and actions.
pub const MAX_STATES: usize = 2_000;
/// See [`MAX_STATES`].
pub const MAX_ACTIONS: usize = 1_000;

/// Sweeps after which a value has come as near as it will.
const MAX_SWEEPS: usize = 200_000;

/// Transition probabilities, only those that are not 0.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    /// Where the row of each pair `(s, a)` begins, and the end of the last. `[S*A+1]`
    starts: Vec<usize>,
    to: Vec<u32>,
    p: Vec<Interval>,
}

impl Sparse {
    /// From the rows of all pairs `(s, a)`: next states in ascending order, with their probabilities.
    pub fn new<'a>(rows: impl Iterator<Item = &'a [(usize, Interval)]>) -> Self {
        let mut own = Self { starts: vec![0], ..Self::default() };
        for row in rows {
            own.to.extend(row.iter().map(|(to, _)| *to as u32));
            own.p.extend(row.iter().map(|(_, p)| *p));
            own.starts.push(own.to.len());
        }
        own
    }

    fn row(&self, pair: usize) -> impl Iterator<Item = (usize, Interval)> + '_ {
        let range = self.starts[pair]..self.starts[pair + 1];
        self.to[range.clone()].iter().map(|to| *to as usize).zip(self.p[range].iter().copied())
    }
}

/// A planning problem: a process, a model of it, and an approximate value.
#[derive(Debug, Clone)]
pub struct Wide {
    /// The discount.
    pub gamma: Interval,
    /// `r(s, a)`, `[S*A]`.
    pub reward: Vec<Interval>,
    /// The number of actions.
    pub actions: usize,
    /// The true transitions.
    pub transition: Sparse,
    /// Those that plans are made in, where they are others.
    pub model: Option<Sparse>,
    /// `V^` `[S]`; `V*` where there is none.
    pub value: Option<Vec<Interval>>,
}

/// The actions that may be taken at each state, `[S]`.
type Choices = Vec<Vec<usize>>;

/// Which of the actions that may be taken is.
#[derive(Clone, Copy, PartialEq)]
enum Extreme {
    Worst,
    Best,
}

/// What playing plans comes to.
#[derive(Debug, Clone)]
pub struct Played {
    /// `max_s V*(s) - V(s)`.
    pub gap: Interval,
    /// A state where the gap may be reached.
    pub worst: usize,
    /// `V*` `[S]`.
    pub optimal: Vec<Interval>,
    /// The value of the play `[S]`.
    pub value: Vec<Interval>,
    /// States and stages at which intervals cannot tell which action is taken.
    pub untold: usize,
}

impl Wide {
    fn states(&self) -> usize {
        self.reward.len() / self.actions
    }

    /// `r + g P v` of a pair.
    fn backup(&self, kernel: &Sparse, pair: usize, v: &[Interval]) -> Interval {
        let next = kernel.row(pair).fold(Interval::zero(), |sum, (to, p)| sum + p * v[to]);
        self.reward[pair] + self.gamma * next
    }

    /// The same near the middle of the intervals.
    fn near(&self, pair: usize, v: &[f64]) -> f64 {
        let next: f64 = self.transition.row(pair).map(|(to, p)| p.middle() * v[to]).sum();
        self.reward[pair].middle() + self.gamma.middle() * next
    }

    /// The value in the true process of running `stages` to their end, over and over.
    fn value_of(&self, stages: &[Choices], extreme: Extreme) -> Vec<Interval> {
        let pair = |s: usize, a: &usize| s * self.actions + a;
        let near = |v: &[f64]| {
            stages.iter().rev().fold(v.to_vec(), |v, stage| {
                let of = |(s, choices): (usize, &Vec<usize>)| {
                    let all = choices.iter().map(|a| self.near(pair(s, a), &v));
                    match extreme {
                        Extreme::Worst => all.fold(f64::INFINITY, f64::min),
                        Extreme::Best => all.fold(f64::NEG_INFINITY, f64::max),
                    }
                };
                stage.iter().enumerate().map(of).collect()
            })
        };
        let shrinks = power(&self.gamma, stages.len());
        let c = shrinks.middle();
        let (mut v, mut least) = (vec![0.0; self.states()], f64::INFINITY);
        let mut idle = 0;
        for _ in 0..MAX_SWEEPS {
            let next = near(&v);
            let residuals = || next.iter().zip(&v).map(|(next, v)| next - v);
            let low = residuals().fold(f64::INFINITY, f64::min);
            let high = residuals().fold(f64::NEG_INFINITY, f64::max);
            let shift = 0.5 * (low + high) * c / (1.0 - c);
            v = next.into_iter().map(|x| x + shift).collect();
            // Rounding ends the approach: a few more sweeps without progress are enough.
            idle = if high - low < 0.999 * least { 0 } else { idle + 1 };
            least = least.min(high - low);
            if idle > 20 || least == 0.0 {
                break;
            }
        }
        let at: Vec<Interval> = v.iter().map(|x| Interval::exactly(*x)).collect();
        let next = stages.iter().rev().fold(at.clone(), |v, stage| {
            let of = |(s, choices): (usize, &Vec<usize>)| {
                let all = choices.iter().map(|a| self.backup(&self.transition, pair(s, a), &v));
                let pick = match extreme {
                    Extreme::Worst => Interval::min,
                    Extreme::Best => Interval::max,
                };
                all.reduce(pick).unwrap_or_else(Interval::zero)
            };
            stage.iter().enumerate().map(of).collect()
        });
        let residual = next.iter().zip(&at).map(|(next, v)| *next - *v);
        let ends = residual.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), r| {
            (low.min(r.low()), high.max(r.high()))
        });
        let beyond = Interval::new(ends.0, ends.1) * shrinks / (Interval::one() - shrinks);
        next.into_iter().map(|x| x + beyond).collect()
    }

    fn every_action(&self) -> Choices {
        vec![(0..self.actions).collect(); self.states()]
    }

    /// The optimal value `[S]`.
    #[must_use]
    pub fn optimal(&self) -> Vec<Interval> {
        self.value_of(&[self.every_action()], Extreme::Best)
    }

    /// The actions that an optimal plan of `horizon` steps in the model may take, `[H][S]`.
    fn plan(&self, terminal: &[Interval], horizon: usize) -> Vec<Choices> {
        let model = self.model.as_ref().unwrap_or(&self.transition);
        let mut value = terminal.to_vec();
        let mut stages = Vec::with_capacity(horizon);
        for _ in 0..horizon {
            let pairs = 0..self.reward.len();
            let q: Vec<Interval> = pairs.map(|pair| self.backup(model, pair, &value)).collect();
            let best = |q: &[Interval]| q.iter().copied().reduce(Interval::max);
            value = q.chunks(self.actions).filter_map(best).collect();
            // The first of equally good actions is taken, where intervals can tell that they are.
            let loses = |q: &[Interval], a: usize| {
                let beaten = |(b, other): (usize, &Interval)| {
                    other.low() > q[a].high() || b < a && other.low() == q[a].high()
                };
                q.iter().enumerate().any(beaten)
            };
            let may = |q: &[Interval]| (0..q.len()).filter(|a| !loses(q, *a)).collect::<Vec<_>>();
            stages.push(q.chunks(self.actions).map(may).collect());
        }
        stages.reverse();
        stages
    }

    /// Plans `horizon` steps ahead in the model with `V^` at the end, and plays it in the truth.
    #[must_use]
    pub fn play(&self, horizon: usize, play: Play) -> Played {
        let optimal = self.optimal();
        let terminal = self.value.as_ref().unwrap_or(&optimal);
        let mut stages = self.plan(terminal, horizon);
        if play == Play::Receding {
            stages.truncate(1);
        }
        let untold = stages.iter().flatten().filter(|choices| choices.len() > 1).count();
        let mut value = self.value_of(&stages, Extreme::Worst);
        if untold > 0 {
            let best = self.value_of(&stages, Extreme::Best);
            let both = |(low, high): (&Interval, Interval)| Interval::new(low.low(), high.high());
            value = value.iter().zip(best).map(both).collect();
        }
        let losses = optimal.iter().zip(&value).map(|(best, value)| *best - *value);
        // The exact loss is not negative.
        let (mut gap, mut worst) = (Interval::zero(), 0);
        for (s, loss) in losses.enumerate() {
            worst = if loss.high() > gap.high() { s } else { worst };
            gap = gap.max(loss);
        }
        Played { gap, worst, optimal, value, untold }
    }

    /// `max_s |V^(s) - V*(s)|`.
    fn eps_v(&self, optimal: &[Interval]) -> Interval {
        let Some(value) = &self.value else { return Interval::zero() };
        let off = value.iter().zip(optimal).map(|(v, best)| (*v - *best).abs());
        off.reduce(Interval::max).unwrap_or_else(Interval::zero)
    }

    /// The largest distance of the rows of model and truth.
    fn eps_f(&self, norm: Norm) -> Interval {
        let Some(model) = &self.model else { return Interval::zero() };
        let mut row = vec![Interval::zero(); self.states()];
        let distance = |pair: usize| {
            model.row(pair).for_each(|(to, p)| row[to] = row[to] + p);
            self.transition.row(pair).for_each(|(to, p)| row[to] = row[to] - p);
            // Each state once, and the row is empty again.
            let met = model.row(pair).chain(self.transition.row(pair));
            met.fold(Interval::zero(), |sum, (to, _)| {
                sum + std::mem::replace(&mut row[to], Interval::zero()).abs()
            })
        };
        let most = (0..self.reward.len()).map(distance).reduce(Interval::max);
        let l1 = most.unwrap_or_else(Interval::zero);
        match norm {
            Norm::Tv => l1 / Interval::exactly(2.0),
            Norm::L1 => l1,
        }
    }

    /// The constants of MoPAC's Theorem 1, and what of it POLO's lemmas share.
    #[must_use]
    pub fn constants(
        &self,
        played: &Played,
        horizon: usize,
        reading: &Reading,
    ) -> Theorem1<Interval> {
        let most = |of: &dyn Fn(Interval) -> Interval| {
            self.reward.iter().map(|r| of(*r)).reduce(Interval::max).unwrap_or_else(Interval::zero)
        };
        let span = most(&|r| r) + most(&|r| -r);
        Theorem1 {
            gamma: self.gamma,
            horizon,
            eps_f: self.eps_f(reading.norm),
            eps_v: self.eps_v(&played.optimal),
            r_max: match reading.range {
                RewardRange::Max => most(&|r| r),
                RewardRange::Abs => most(&|r| r.abs()),
                RewardRange::Span => span,
            },
            span,
            norm: reading.norm,
            play: reading.play,
        }
    }
}
