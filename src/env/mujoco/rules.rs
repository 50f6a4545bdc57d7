//! What the definitions of [`super::definition`] mean, in numbers of the simulator: a [`Reading`] between
//! two steps; observation, start, reward and end as functions of it.

use super::definition::{Contact, END, End, File, Part, Reward, Start, Task, Walker, When};
use super::tasks::PUSHER_COLUMNS;
use super::{Data, Field, Parts, cup};
use crate::env::EnvInfo;
use crate::env::native::{Leg2R, Physics as _};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The clock, positions and velocities, and what lags behind them.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Time, positions, velocities.
    moving: Vec<f64>,
    positions: usize,
    lagging: Vec<(Field, Vec<f64>)>,
}

/// What a [`Reading`] copies of the state of a simulation.
const MOVING: Parts = Parts::TIME.and(Parts::QPOS).and(Parts::QVEL);

impl Reading {
    /// Room for what `task` reads of `data`.
    pub fn new(task: &Task, data: &Data) -> Self {
        let sizes = data.model().sizes();
        let room = |field| (field, vec![0.0; data.field(field).len()]);
        Self {
            moving: vec![0.0; 1 + sizes.positions + sizes.velocities],
            positions: sizes.positions,
            lagging: task.fields().into_iter().map(room).collect(),
        }
    }

    /// Reads the state of `data` alone.
    pub fn read_moving(&mut self, data: &Data) -> Result<()> {
        data.get(MOVING, &mut self.moving)
    }

    /// Reads everything.
    pub fn read(&mut self, data: &Data) -> Result<()> {
        for (field, numbers) in &mut self.lagging {
            numbers.copy_from_slice(data.field(*field));
        }
        self.read_moving(data)
    }

    /// What does not follow from the state.
    pub fn lagging(&self) -> impl Iterator<Item = &f64> {
        self.lagging.iter().flat_map(|(_, numbers)| numbers)
    }

    /// Sets that again.
    pub fn set_lagging(&mut self, from: &[f64]) {
        let own = self.lagging.iter_mut().flat_map(|(_, numbers)| numbers);
        own.zip(from).for_each(|(own, from)| *own = *from);
    }

    pub fn time(&self) -> f64 {
        self.moving.first().copied().unwrap_or(f64::NAN)
    }

    pub fn qpos(&self) -> &[f64] {
        &self.moving[1..1 + self.positions]
    }

    pub fn qvel(&self) -> &[f64] {
        &self.moving[1 + self.positions..]
    }

    pub fn is_finite(&self) -> bool {
        self.moving.iter().chain(self.lagging()).all(|x| x.is_finite())
    }

    fn field(&self, field: Field) -> &[f64] {
        self.lagging.iter().find(|(own, _)| *own == field).map_or(&[], |(_, numbers)| numbers)
    }

    /// The position of a body; the table of tasks names bodies that there are, which is checked.
    fn body(&self, body: usize) -> [f64; 3] {
        let at = self.field(Field::Xpos).get(3 * body..3 * body + 3).unwrap_or_default();
        std::array::from_fn(|i| at.get(i).copied().unwrap_or(f64::NAN))
    }

    fn between(&self, to: usize, from: usize) -> [f64; 3] {
        let (to, from) = (self.body(to), self.body(from));
        std::array::from_fn(|i| to[i] - from[i])
    }

    /// The x coordinate whose velocity is the forward one.
    fn forward(&self, of: Walker) -> f64 {
        match of {
            Walker::Joint => self.qpos().first().copied().unwrap_or(f64::NAN),
            Walker::Torso => self.body(1)[0],
            Walker::Mass => {
                let inertias = self.field(Field::Cinert).chunks_exact(10).map(|body| body[9]);
                let places = self.field(Field::Xipos).chunks_exact(3).map(|body| body[0]);
                let (sum, mass) = inertias
                    .zip(places)
                    .fold((0.0, 0.0), |(sum, mass), (m, x)| (sum + m * x, mass + m));
                sum / mass
            }
        }
    }
}

/// The numbers `from..to` of a slice, as far as there are.
fn range(numbers: &[f64], from: usize, to: usize) -> &[f64] {
    let to = to.min(numbers.len());
    numbers.get(from..to).unwrap_or_default()
}

fn square_sum<'a>(x: impl IntoIterator<Item = &'a f64>) -> f64 {
    x.into_iter().map(|x| x * x).sum()
}

/// Euclidean length.
fn norm(x: &[f64]) -> f64 {
    square_sum(x).sqrt()
}

impl Contact {
    fn cost(&self, reading: &Reading) -> f64 {
        let forces = reading.field(Field::CfrcExt).iter();
        let squares: f64 = forces.map(|f| f.clamp(-self.clip, self.clip).powi(2)).sum();
        (self.weight * squares).min(self.most)
    }
}

impl Task {
    /// Name, sizes, bounds and time limit.
    #[must_use]
    pub fn info(&self) -> EnvInfo {
        EnvInfo {
            name: self.name.into(),
            obs_dim: self.obs_dim,
            action_low: self.limits.iter().map(|most| -most).collect(),
            action_high: self.limits.to_vec(),
            max_steps: self.max_steps,
        }
    }

    /// Time of a step, s.
    #[must_use]
    pub fn dt(&self) -> f64 {
        self.timestep * self.frames as f64
    }

    /// The phase of the leg, which is time by another name.
    pub(super) fn phase(reading: &Reading) -> f64 {
        Leg2R::PACE * reading.time()
    }

    /// The observation, length `O`.
    pub(super) fn observe(&self, reading: &Reading) -> Vec<f64> {
        let mut obs = Vec::with_capacity(self.obs_dim);
        for part in self.obs {
            match *part {
                Part::Qpos(from, to) => obs.extend(range(reading.qpos(), from, to)),
                Part::Cos(from, to) => {
                    obs.extend(range(reading.qpos(), from, to).iter().map(|q| q.cos()));
                }
                Part::Sin(from, to) => {
                    obs.extend(range(reading.qpos(), from, to).iter().map(|q| q.sin()));
                }
                Part::Qvel(from, to) => obs.extend(range(reading.qvel(), from, to)),
                Part::ClippedQvel(most) => {
                    obs.extend(reading.qvel().iter().map(|v| v.clamp(-most, most)));
                }
                Part::Body(body) => obs.extend(reading.body(body)),
                Part::Between(to, from, n) => obs.extend(&reading.between(to, from)[..n]),
                Part::Field(field, from) => {
                    obs.extend(range(reading.field(field), from, END));
                }
                Part::ClippedField(field, from, to, most) => {
                    let numbers = range(reading.field(field), from, to);
                    obs.extend(numbers.iter().map(|x| x.clamp(-most, most)));
                }
                Part::Ball => {
                    obs.extend(cup::ball(reading.qpos()));
                    obs.extend(cup::to_target(reading.qpos()));
                }
                Part::Phase => {
                    let (sin, cos) = Self::phase(reading).sin_cos();
                    obs.extend([cos, sin]);
                }
            }
        }
        obs
    }

    /// Time, positions and velocities of a start, from those of the model's own.
    pub(super) fn begin(&self, own: &Reading, rng: &mut Rng) -> Vec<f64> {
        let mut uniform = |low: f64, high: f64| low + (high - low) * rng.uniform();
        let (mut time, mut qpos, mut qvel) = (0.0, own.qpos().to_vec(), own.qvel().to_vec());
        match self.start {
            Start::Uniform(of_qpos, of_qvel) => {
                qpos.iter_mut().for_each(|q| *q += uniform(-of_qpos, of_qpos));
                qvel.iter_mut().for_each(|v| *v += uniform(-of_qvel, of_qvel));
            }
            Start::Normal(of_qpos, std) => {
                qpos.iter_mut().for_each(|q| *q += uniform(-of_qpos, of_qpos));
                qvel.iter_mut().for_each(|v| *v += std * rng.normal());
            }
            Start::Reach => {
                qpos.iter_mut().for_each(|q| *q += uniform(-0.1, 0.1));
                let target = loop {
                    let target = [uniform(-0.2, 0.2), uniform(-0.2, 0.2)];
                    if norm(&target) < 0.2 {
                        break target;
                    }
                };
                set_last(&mut qpos, &target);
                qvel.iter_mut().for_each(|v| *v += uniform(-5e-3, 5e-3));
                set_last(&mut qvel, &[0.0; 2]);
            }
            Start::Push => {
                let [x, y] = loop {
                    let cylinder = [uniform(-0.3, 0.0), uniform(-0.2, 0.2)];
                    if norm(&cylinder) > 0.17 {
                        break cylinder;
                    }
                };
                set_last(&mut qpos, &[x, y, 0.0, 0.0]);
                qvel.iter_mut().for_each(|v| *v += uniform(-5e-3, 5e-3));
                set_last(&mut qvel, &[0.0; 4]);
            }
            Start::Cup => set_last(&mut qpos, &cup::start(rng)),
            Start::Leg => {
                let [q1, q2, w1, w2, phase] = Leg2R::default().start(rng);
                time = phase / Leg2R::PACE;
                set_last(&mut qpos, &[q1, q2]);
                set_last(&mut qvel, &[w1, w2]);
            }
        }
        [vec![time], qpos, qvel].concat()
    }

    /// What the step from `before` to `after` earns; `ended` says whether it ended the episode.
    pub(super) fn reward(
        &self,
        before: &Reading,
        after: &Reading,
        action: &[f64],
        ended: bool,
    ) -> f64 {
        let bonus = |alive: f64, always: bool| if ended && !always { 0.0 } else { alive };
        let effort = square_sum(action);
        match self.reward {
            Reward::Forward { speed, of, control, contact, alive, always } => {
                let velocity = (after.forward(of) - before.forward(of)) / self.dt();
                let contact = contact.map_or(0.0, |contact| contact.cost(after));
                speed * velocity + bonus(alive, always) - (control * effort + contact)
            }
            Reward::Seen { velocity, height } => {
                let obs = self.observe(before);
                let upright = height.map_or(0.0, |height| 1.0 - 3.0 * (obs[0] - height).powi(2));
                obs[velocity] + upright - 0.1 * effort
            }
            Reward::Balance { always } => bonus(1.0, always),
            Reward::Tip { always } => {
                let (x, y) = tip(after);
                let far = 0.01 * x * x + (y - 2.0).powi(2);
                let turning = match after.qvel() {
                    [_, v1, v2] => 1e-3 * v1 * v1 + 5e-3 * v2 * v2,
                    _ => f64::NAN,
                };
                bonus(10.0, always) - far - turning
            }
            Reward::Reach { column, when } => {
                let obs = self.observe(match when {
                    When::Before => before,
                    When::After => after,
                });
                -norm(&obs[column..]) - effort
            }
            Reward::Push => {
                let obs = self.observe(after);
                let [hand, object, goal] = PUSHER_COLUMNS.map(|column| {
                    let at = &obs[column..column + 3];
                    [at[0], at[1], at[2]]
                });
                let distance = |a: [f64; 3], b: [f64; 3]| norm(&[0, 1, 2].map(|i| a[i] - b[i]));
                -distance(object, goal) - 0.1 * effort - 0.5 * distance(object, hand)
            }
            Reward::StandUp(contact) => {
                let height = after.qpos().get(2).copied().unwrap_or(f64::NAN);
                height / self.timestep - 0.1 * effort - contact.cost(after) + 1.0
            }
            Reward::Caught { always } => always + f64::from(u8::from(cup::is_caught(after.qpos()))),
            Reward::Leg => match (after.qpos(), after.qvel()) {
                (&[q1, q2], &[w1, w2]) => Leg2R::earns(&[q1, q2, w1, w2], Self::phase(after)),
                _ => f64::NAN,
            },
        }
    }

    /// Whether an episode ends in `reading`.
    pub(super) fn ends(&self, reading: &Reading) -> bool {
        match self.end {
            End::Never => false,
            End::Unhealthy { within, most } => {
                let numbers = reading.qpos().iter().chain(reading.qvel());
                let finite = numbers.clone().all(|x| x.is_finite());
                let bounded = numbers.skip(2).all(|x| x.abs() < most || most.is_infinite());
                let healthy = within.iter().all(|w| {
                    let x = reading.qpos().get(w.qpos).copied().unwrap_or(f64::NAN);
                    if w.closed { w.low <= x && x <= w.high } else { w.low < x && x < w.high }
                });
                !(finite && bounded && healthy)
            }
            End::TipDown => tip(reading).1 <= 1.0,
        }
    }
}

/// The tip of the double pendulum, x and height.
fn tip(reading: &Reading) -> (f64, f64) {
    match reading.field(Field::Site) {
        [x, _, y] => (*x, *y),
        _ => (f64::NAN, f64::NAN),
    }
}

/// Replaces the last numbers of a slice.
fn set_last(numbers: &mut [f64], last: &[f64]) {
    let from = numbers.len().saturating_sub(last.len());
    numbers[from..].iter_mut().zip(last).for_each(|(own, last)| *own = *last);
}

/// Sets a simulation to time, positions and velocities as [`Task::begin`] gives them.
pub(super) fn set_moving(data: &mut Data, moving: &[f64]) -> Result<()> {
    data.set(MOVING, moving)
}

/// Checks that a task is whole, and a model the one that it was defined on.
///
/// # Errors
/// [`Error::Env`] naming what differs.
pub(super) fn fits(task: &Task, data: &mut Data) -> Result<()> {
    if let Some(problem) = task.contradiction() {
        return Err(Error::env(task.name, format!("its definition {problem}")));
    }
    let model = std::sync::Arc::clone(data.model());
    let differs = |what: &str, expected: String, got: String| {
        let problem = format!(
            "the model {} has {what} {got}, the task expects {expected}: it is another file than \
             that of {}",
            model.name(),
            match task.file {
                File::Control(_) => "dm_control 1.0.50; `hstep setup models` fetches that",
                _ => "gymnasium 1.4.0; `hstep setup mujoco` fetches that",
            }
        );
        Err(Error::env(task.name, problem))
    };
    let controls = model.sizes().controls;
    if controls != task.limits.len() {
        return differs("controls", task.limits.len().to_string(), controls.to_string());
    }
    if let End::Unhealthy { within, .. } = task.end
        && let Some(beyond) = within.iter().find(|w| w.qpos >= model.sizes().positions)
    {
        return differs(
            "positions",
            format!("{} or more", beyond.qpos + 1),
            model.sizes().positions.to_string(),
        );
    }
    for (name, number) in task.bodies {
        let found = model.body(name);
        if found != Some(*number) {
            return differs(
                &format!("the body `{name}` at"),
                number.to_string(),
                format!("{found:?}"),
            );
        }
    }
    let mut reading = Reading::new(task, data);
    reading.read(data)?;
    let width = task.observe(&reading).len();
    if width != task.obs_dim {
        return differs("observations", task.obs_dim.to_string(), width.to_string());
    }
    // From time 0, one frame leads to the time step exactly.
    data.reset()?;
    data.step(1)?;
    reading.read_moving(data)?;
    data.reset()?;
    if reading.time() != task.timestep {
        return differs("a time step of", task.timestep.to_string(), reading.time().to_string());
    }
    Ok(())
}
