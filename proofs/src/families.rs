//! Problems that break a printed bound or attain a corrected one, for any numbers.
//!
//! All preferences are strict for the numbers that the documentation asks for, so that no breaking of
//! ties is used.

use super::mdp::{Kernel, Mdp};
use super::number::{Number, power};
use super::problem::{Problem, product};
use super::reading::Play;
use hstep::Result;

/// Two states. State 1 pays 1 and stays; state 0 pays nothing, and action `i` moves to state 1 with
/// probability `truth[i]`, in the model `model[i]`. The value is exact.
///
/// Where the model prefers the worse action, playing it loses
/// `g (p_a - p_b) / ((1 - g + g p_a) (1 - g + g p_b))`, for every horizon and either way of playing:
/// with `truth = [p, 0]` that is `g p / ((1 - g) (1 - g + g p))`.
///
/// # Errors
/// [`hstep::Error::Config`] for numbers that are no probabilities or no discount.
pub fn swapped<T: Number>(gamma: T, truth: &[T; 2], model: &[T; 2]) -> Result<Problem<T>> {
    let kernel = |p: &[T; 2]| {
        Kernel::from_fn(2, 2, |s, a| match s {
            0 => vec![T::one() - &p[a], p[a].clone()],
            _ => vec![T::zero(), T::one()],
        })
    };
    let (zero, one) = (T::zero, T::one);
    let mdp = Mdp::new(gamma, &[vec![zero(), zero()], vec![one(), one()]], kernel(truth)?)?;
    Problem::new(mdp, kernel(model)?, vec![T::zero(); 2])
}

/// [`swapped`] with `truth = [p, 0]` and a model in which the two are `2 lead` apart the other way:
/// the loss stays and the model error is only `p/2 + lead`.
///
/// # Errors
/// As [`swapped`]; `0 < lead <= p/2` is for the caller.
pub fn nearly_tied<T: Number>(gamma: T, p: &T, lead: &T) -> Result<Problem<T>> {
    let half = p.clone() / T::ratio(2, 1);
    let model = [half.clone() - lead, half + lead];
    swapped(gamma, &[p.clone(), T::zero()], &model)
}

/// Three states; the choice is made once, between a chance `truth[i]` (in the model `model[i]`) of
/// state 1, which pays 1 forever, and of state 2, which never pays.
///
/// # Errors
/// As [`swapped`].
pub fn one_shot<T: Number>(gamma: T, truth: &[T; 2], model: &[T; 2]) -> Result<Problem<T>> {
    let (zero, one) = (T::zero, T::one);
    let kernel = |p: &[T; 2]| {
        Kernel::from_fn(3, 2, |s, a| match s {
            0 => vec![zero(), p[a].clone(), one() - &p[a]],
            1 => vec![zero(), one(), zero()],
            _ => vec![zero(), zero(), one()],
        })
    };
    let pays = [vec![zero(), zero()], vec![one(), one()], vec![zero(), zero()]];
    let mdp = Mdp::new(gamma, &pays, kernel(truth)?)?;
    Problem::new(mdp, kernel(model)?, vec![zero(); 3])
}

/// A ring of `horizon` states without chance, `V* = 0`, and a value that is `eps` too low at state 0
/// and `eps` too high elsewhere. At state 0 one may stay, which costs `cost`, or go round at no cost.
///
/// For `cost < 2 g^H eps` every H-step plan stays once and then goes, because a round takes H steps
/// and ends at state 0. Whoever plans anew at every step stays forever and loses `cost / (1 - g)`;
/// who runs the plan to its end does not. With one state (`horizon = 1`) a second one takes the place
/// of the ring.
///
/// # Errors
/// [`hstep::Error::Config`] when `gamma` is no discount.
pub fn detour<T: Number>(gamma: T, horizon: usize, eps: &T, cost: &T) -> Result<Problem<T>> {
    let pay = || -cost.clone();
    if horizon == 1 {
        // Action 0 leads to state 0 at a cost, action 1 to state 1, from either.
        let transition = Kernel::deterministic(&[vec![0, 1], vec![0, 1]])?;
        let reward = [vec![pay(), T::zero()], vec![pay(), T::zero()]];
        let mdp = Mdp::new(gamma, &reward, transition)?;
        return Ok(Problem { offset: vec![eps.clone(), -eps.clone()], ..Problem::exact(mdp) });
    }
    let next: Vec<Vec<usize>> = (0..horizon)
        .map(|s| if s == 0 { vec![0, 1] } else { vec![(s + 1) % horizon; 2] })
        .collect();
    let mut reward = vec![vec![T::zero(); 2]; horizon];
    let mut offset = vec![eps.clone(); horizon];
    if let (Some(first), Some(low)) = (reward.first_mut(), offset.first_mut()) {
        first[0] = pay();
        *low = -eps.clone();
    }
    let mdp = Mdp::new(gamma, &reward, Kernel::deterministic(&next)?)?;
    Ok(Problem { offset, ..Problem::exact(mdp) })
}

/// A chain of `horizon` states; from the last one back to the first at `cost`, or into a sink at none.
/// The value is `eps` too high at the first state and `eps` too low in the sink.
///
/// For `cost < 2 g eps` an H-step plan from the first state turns back at its end. Running it again and
/// again loses `g^(H-1) cost / (1 - g^H)`.
///
/// # Errors
/// [`hstep::Error::Config`] when `gamma` is no discount.
pub fn last_turn<T: Number>(gamma: T, horizon: usize, eps: &T, cost: &T) -> Result<Problem<T>> {
    let (last, sink) = (horizon.max(1) - 1, horizon.max(1));
    let next: Vec<Vec<usize>> = (0..=sink)
        .map(|s| match s {
            s if s == sink => vec![sink, sink],
            s if s == last => vec![0, sink],
            s => vec![s + 1, s + 1],
        })
        .collect();
    let mut reward = vec![vec![T::zero(); 2]; sink + 1];
    reward[last][0] = -cost.clone();
    let mut offset = vec![T::zero(); sink + 1];
    offset[0] = eps.clone();
    offset[sink] = -eps.clone();
    let mdp = Mdp::new(gamma, &reward, Kernel::deterministic(&next)?)?;
    Ok(Problem { offset, ..Problem::exact(mdp) })
}

/// The loss from an erroneous value alone, as large as the way of playing allows for `H = horizon`:
/// [`detour`] or [`last_turn`] with the largest cost of strict preference, but for a factor `1 - slack`.
///
/// # Errors
/// As [`detour`].
pub fn value_trap<T: Number>(
    gamma: T,
    horizon: usize,
    eps: &T,
    slack: &T,
    play: Play,
) -> Result<Problem<T>> {
    let most = T::ratio(2, 1) * eps * (T::one() - slack);
    match play {
        Play::Receding => {
            let cost = most * power(&gamma, horizon);
            detour(gamma, horizon, eps, &cost)
        }
        Play::Executed => {
            let cost = most * &gamma;
            last_turn(gamma, horizon, eps, &cost)
        }
    }
}

/// Model error and value error side by side: [`nearly_tied`] beside [`value_trap`]. For `eps` small
/// beside 1 both terms of the corrected Theorem 1 of MoPAC are attained at once.
///
/// # Errors
/// As the two.
pub fn joint<T: Number>(
    gamma: &T,
    horizon: usize,
    p: &T,
    eps: &T,
    slack: &T,
    play: Play,
) -> Result<Problem<T>> {
    let lead = p.clone() * slack / T::ratio(2, 1);
    let model = nearly_tied(gamma.clone(), p, &lead)?;
    product(&model, &value_trap(gamma.clone(), horizon, eps, slack, play)?)
}

/// Planning action sequences where chance reveals itself on the way: gamble for 1 after one look, or
/// take `3 g / 4` now. Feedback plans gamble and get `g`; of the sequences the safe one is best.
///
/// # Errors
/// [`hstep::Error::Config`] when `gamma` is no discount.
pub fn gamble<T: Number>(gamma: T) -> Result<Problem<T>> {
    let (zero, one) = (T::zero, T::one);
    let half = T::ratio(1, 2);
    let transition = Kernel::from_fn(4, 2, |s, a| match (s, a) {
        (0, 0) => vec![zero(), half.clone(), half.clone(), zero()],
        _ => vec![zero(), zero(), zero(), one()],
    })?;
    let safe = T::ratio(3, 4) * &gamma;
    let reward =
        [vec![zero(), safe], vec![one(), zero()], vec![zero(), one()], vec![zero(), zero()]];
    Ok(Problem::exact(Mdp::new(gamma, &reward, transition)?))
}

/// Two states that never change and pay `low` and `high`; in the model the first turns into the second
/// with probability `eps` a step. One action.
///
/// The model promises `g eps (high - low) / ((1 - g) (1 - g + g eps))` too much.
///
/// # Errors
/// As [`swapped`].
pub fn leak<T: Number>(gamma: T, eps: &T, low: T, high: T) -> Result<Problem<T>> {
    let (zero, one) = (T::zero, T::one);
    let kernel = |eps: &T| {
        Kernel::from_fn(2, 1, |s, _| match s {
            0 => vec![one() - eps, eps.clone()],
            _ => vec![zero(), one()],
        })
    };
    let mdp = Mdp::new(gamma, &[vec![low], vec![high]], kernel(&zero())?)?;
    Problem::new(mdp, kernel(eps)?, vec![zero(); 2])
}
