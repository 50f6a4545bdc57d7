//! MAAC's Lemma 4.1: gradients through one-dimensional systems.

use serde_json::{Value, json};

use super::draws::{GAMMAS, chance, changed, log_uniform, one_of};
use super::{Certificate, Evaluated, Sides, Target};
use crate::file;
use crate::maac::{Maps, System, biased, feedback, positive};
use crate::number::{Rational, nearest};
use hstep::rng::Rng;

/// The search over systems.
pub struct Gradients {
    /// The horizon; 1 to 10 when left out.
    pub horizon: Option<usize>,
}

/// Horizon up to which a system that is not linear is computed exactly: its numbers have three times
/// as many digits after every step.
const EXACT_BENT: usize = 3;

/// Names of the numbers of [`Maps`], for files.
const MAPS: [&str; 8] =
    ["state", "action", "constant", "bend", "q_state", "q_action", "q_bend", "q_shift"];

fn fields<T>(maps: &Maps<T>) -> [&T; 8] {
    let Maps { state, action, constant, bend, q_state, q_action, q_bend, q_shift } = maps;
    [state, action, constant, bend, q_state, q_action, q_bend, q_shift]
}

fn fields_mut(maps: &mut Maps<f64>) -> [&mut f64; 8] {
    let Maps { state, action, constant, bend, q_state, q_action, q_bend, q_shift } = maps;
    [state, action, constant, bend, q_state, q_action, q_bend, q_shift]
}

/// The proof of the printed lemma has `|grad x_0| <= 1`, and no number beyond 3 is needed.
fn repaired(mut system: System<f64>) -> System<f64> {
    for x in fields_mut(&mut system.truth).into_iter().chain(fields_mut(&mut system.model)) {
        *x = x.clamp(-3.0, 3.0);
    }
    for x in [&mut system.start, &mut system.theta, &mut system.reward, &mut system.reward_bend] {
        *x = x.clamp(-3.0, 3.0);
    }
    let first = (system.offset + system.feedback * system.start).abs();
    if first > 1.0 {
        system.offset /= first;
        system.feedback /= first;
    }
    system.offset = system.offset.clamp(-3.0, 3.0);
    system.feedback = system.feedback.clamp(-3.0, 3.0);
    system
}

impl Target for Gradients {
    type Instance = System<f64>;

    fn name(&self) -> &'static str {
        "maac-lemma-4.1"
    }

    fn draw(&self, rng: &mut Rng) -> System<f64> {
        let gamma = one_of(&GAMMAS, rng);
        let horizon = self.horizon.unwrap_or_else(|| 1 + rng.below(10));
        let size = log_uniform(1e-4, 1.0, rng);
        match rng.below(8) {
            0 => return repaired(biased(gamma, horizon, &size)),
            1 if horizon == 1 => {
                return repaired(feedback(gamma, &log_uniform(0.1, 3.0, rng), &size));
            }
            1 | 2 => return repaired(positive(gamma, horizon, &size)),
            _ => {}
        }
        let linear = chance(0.5, rng);
        let mut maps = || Maps {
            state: rng.normal(),
            action: rng.normal(),
            constant: 0.5 * rng.normal(),
            bend: if linear { 0.0 } else { rng.normal() },
            q_state: rng.normal(),
            q_action: rng.normal(),
            q_bend: if linear { 0.0 } else { rng.normal() },
            q_shift: 0.0,
        };
        let (truth, other) = (maps(), maps());
        let mut model = truth.clone();
        for (m, o) in fields_mut(&mut model).into_iter().zip(fields(&other)) {
            if chance(0.7, rng) {
                *m += size * o;
            }
        }
        if linear {
            (model.bend, model.q_bend) = (0.0, 0.0);
        }
        repaired(System {
            gamma,
            horizon,
            start: rng.normal(),
            theta: rng.normal(),
            offset: rng.normal(),
            feedback: rng.normal(),
            reward: rng.normal(),
            reward_bend: if linear { 0.0 } else { rng.normal() },
            truth,
            model,
        })
    }

    fn vary(&self, instance: &System<f64>, rng: &mut Rng) -> System<f64> {
        let mut next = instance.clone();
        let (field, both) = (rng.below(14), chance(0.5, rng));
        let share = log_uniform(0.1, 1.0, rng);
        match field {
            0 => next.start = changed(next.start, 1.0, rng),
            1 => next.theta = changed(next.theta, 1.0, rng),
            2 => next.offset = changed(next.offset, 1.0, rng),
            3 => next.feedback = changed(next.feedback, 1.0, rng),
            4 => next.reward = changed(next.reward, 1.0, rng),
            5 => {
                let truth = next.truth.clone();
                for (m, t) in fields_mut(&mut next.model).into_iter().zip(fields(&truth)) {
                    *m = t + share * (*m - t);
                }
            }
            i => {
                let i = i - 6;
                let new = changed(*fields(&next.truth)[i], 0.5, rng);
                let moved = new - *fields(&next.truth)[i];
                if both {
                    *fields_mut(&mut next.truth)[i] += moved;
                }
                *fields_mut(&mut next.model)[i] += moved;
            }
        }
        repaired(next)
    }

    fn evaluate(&self, instance: &System<f64>) -> Option<Evaluated> {
        let found = instance.gradient_error().ok()?;
        Some(Evaluated {
            printed: Sides { left: found.error, right: found.printed },
            corrected: Sides { left: found.error, right: found.corrected },
            // Some ten roundings a step, each at most 1.2e-16 of the sizes.
            rounding: 2e-15 * (instance.horizon + 1) as f64 * found.size,
            has_error: instance.truth != instance.model,
        })
    }

    fn numbers(&self, instance: &System<f64>) -> Vec<f64> {
        let s = instance;
        let own = [s.gamma, s.horizon as f64, s.start, s.theta, s.offset, s.feedback, s.reward];
        let maps = fields(&s.truth).into_iter().chain(fields(&s.model)).copied();
        own.into_iter().chain([s.reward_bend]).chain(maps).collect()
    }

    fn certify(&self, instance: &System<f64>, denominator: i64) -> Option<Certificate> {
        let s = instance;
        let bent = s.truth.bend != 0.0 || s.model.bend != 0.0;
        if bent && s.horizon > EXACT_BENT {
            return None;
        }
        let q = |x: f64| nearest(x, denominator);
        let maps = |m: &Maps<f64>| Maps {
            state: q(m.state),
            action: q(m.action),
            constant: q(m.constant),
            bend: q(m.bend),
            q_state: q(m.q_state),
            q_action: q(m.q_action),
            q_bend: q(m.q_bend),
            q_shift: q(m.q_shift),
        };
        let system = System {
            gamma: nearest(s.gamma, 100),
            horizon: s.horizon,
            start: q(s.start),
            theta: q(s.theta),
            offset: q(s.offset),
            feedback: q(s.feedback),
            reward: q(s.reward),
            reward_bend: q(s.reward_bend),
            truth: maps(&s.truth),
            model: maps(&s.model),
        };
        let found = system.gradient_error().ok()?;
        Some(Certificate {
            printed: (found.error.clone(), found.printed),
            corrected: (found.error, found.corrected),
            instance: to_json(&system),
        })
    }
}

/// A system as JSON.
#[must_use]
pub fn to_json(s: &System<Rational>) -> Value {
    let maps = |m: &Maps<Rational>| -> Value {
        let entry = |(name, x): (&&str, &Rational)| ((*name).to_owned(), file::text(x));
        Value::Object(MAPS.iter().zip(fields(m)).map(entry).collect())
    };
    json!({
        "gamma": file::text(&s.gamma),
        "horizon": s.horizon,
        "start": file::text(&s.start),
        "theta": file::text(&s.theta),
        "policy": { "offset": file::text(&s.offset), "feedback": file::text(&s.feedback) },
        "reward": { "slope": file::text(&s.reward), "bend": file::text(&s.reward_bend) },
        "truth": maps(&s.truth),
        "model": maps(&s.model),
    })
}
