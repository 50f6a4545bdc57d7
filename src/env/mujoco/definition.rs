//! What a [`Task`] is made of: the words in which [`super::tasks`] defines each.

use super::Field;
use super::tasks::PUSHER_COLUMNS;

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum File {
    /// A file of the package `gymnasium`.
    Asset(&'static str),
    /// A file of the suite of the package `dm_control`.
    Control(&'static str),
    /// Ours: its name and its MJCF.
    Own(&'static str, &'static str),
}

/// The end of a range that goes as far as there are numbers.
pub const END: usize = usize::MAX;

/// A part of an observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// Positions from one to before another.
    Qpos(usize, usize),
    /// Cosines of such positions.
    Cos(usize, usize),
    /// Sines of such positions.
    Sin(usize, usize),
    /// Velocities from one to before another.
    Qvel(usize, usize),
    /// All velocities, clipped to so much.
    ClippedQvel(f64),
    /// The position of a body.
    Body(usize),
    /// From the second body to the first, so many coordinates.
    Between(usize, usize, usize),
    /// A field from so many numbers on.
    Field(Field, usize),
    /// A field between two of its numbers, clipped to so much.
    ClippedField(Field, usize, usize, f64),
    /// Cosine and sine of the leg's phase.
    Phase,
    /// The ball in its cup, and the way from it to the middle of the cup; x and z each.
    Ball,
}

/// How an episode begins: noise on the model's own start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Positions and velocities uniform, half-widths of each.
    Uniform(f64, f64),
    /// Positions uniform (half-width), velocities normal (standard deviation).
    Normal(f64, f64),
    /// An arm within 0.1, a target in the disc of radius 0.2, slow.
    Reach,
    /// The cylinder somewhere before the arm but not at the goal, slow.
    Push,
    /// The native leg's.
    Leg,
    /// The ball in its cup somewhere, at rest.
    Cup,
}

/// Whose way counts as forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walker {
    /// The first position.
    Joint,
    /// The frame of the first body, which lags by a frame.
    Torso,
    /// The centre of mass, which lags by a frame.
    Mass,
}

/// A cost of external forces: weight times the sum of squares of [`Field::CfrcExt`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contact {
    /// The weight.
    pub weight: f64,
    /// What each force is clipped to.
    pub clip: f64,
    /// What the cost is clipped to.
    pub most: f64,
}

/// Of which of the two observations of a step a reward speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The one before.
    Before,
    /// The one after.
    After,
}

/// What a step earns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reward {
    /// `speed` times the mean velocity along x, `alive`, less costs of control and contact.
    Forward {
        /// Weight of the velocity, s/m.
        speed: f64,
        /// Whose velocity.
        of: Walker,
        /// Weight of the sum of squared actions.
        control: f64,
        /// The cost of contacts.
        contact: Option<Contact>,
        /// For a step.
        alive: f64,
        /// Whether a step that ends the episode earns `alive`, too.
        always: bool,
    },
    /// A velocity in the observation before, less 3 times a squared height error, less 0.1 times the
    /// sum of squared actions.
    Seen {
        /// Column of the velocity.
        velocity: usize,
        /// The height wanted, in column 0, with 1 a step beside it.
        height: Option<f64>,
    },
    /// 1 a step; the last one too if `always`.
    Balance {
        /// See above.
        always: bool,
    },
    /// 10 a step (the last one too if `always`) less penalties for the tip's distance from (0, 2)
    /// and for turning.
    Tip {
        /// See above.
        always: bool,
    },
    /// Minus the distance in the last columns from so many on, less the sum of squared actions.
    Reach {
        /// First column.
        column: usize,
        /// Which observation.
        when: When,
    },
    /// Minus the distance from object to goal, half of that from object to hand, and 0.1 times the
    /// sum of squared actions.
    Push,
    /// Height over the time step of a frame, less 0.1 times the sum of squared actions and a cost of
    /// contacts, and 1.
    StandUp(Contact),
    /// The native leg's.
    Leg,
    /// 1 while the ball is in the cup, and `always` a step.
    Caught {
        /// See above.
        always: f64,
    },
}

/// A range that a position must stay in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Within {
    /// Which position.
    pub qpos: usize,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// Whether the bounds belong to the range.
    pub closed: bool,
}

/// What ends an episode early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// Nothing.
    Never,
    /// A position out of its range, or any number out of `(-most, most)` but the first two
    /// positions.
    Unhealthy {
        /// The ranges.
        within: &'static [Within],
        /// See above.
        most: f64,
    },
    /// The tip of the double pendulum at 1 m or below.
    TipDown,
}

/// A task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Task {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its model.
    pub file: File,
    /// Frames a step.
    pub frames: usize,
    /// Time of a frame, s; that of the model, which is checked.
    pub timestep: f64,
    /// Most and, negated, least of each action.
    pub limits: &'static [f64],
    /// Length of an observation.
    pub obs_dim: usize,
    /// What it is made of.
    pub obs: &'static [Part],
    /// Physical parameters that are not those of the file.
    pub parameters: &'static [(&'static str, f64)],
    /// Bodies that are spoken of by number; checked.
    pub bodies: &'static [(&'static str, usize)],
    /// How an episode begins.
    pub start: Start,
    /// What a step earns.
    pub reward: Reward,
    /// What ends an episode early.
    pub end: End,
    /// Steps after which an episode is truncated.
    pub max_steps: usize,
}

impl Task {
    /// The fields that its observations, rewards and ends read, each once.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let mut needed: Vec<Field> = Vec::new();
        for part in self.obs {
            match *part {
                Part::Body(_) | Part::Between(..) => needed.push(Field::Xpos),
                Part::Field(field, _) | Part::ClippedField(field, ..) => needed.push(field),
                _ => {}
            }
        }
        match self.reward {
            Reward::Forward { of, contact, .. } => {
                match of {
                    Walker::Joint => {}
                    Walker::Torso => needed.push(Field::Xpos),
                    Walker::Mass => needed.extend([Field::Xipos, Field::Cinert]),
                }
                needed.extend(contact.map(|_| Field::CfrcExt));
            }
            Reward::StandUp(_) => needed.push(Field::CfrcExt),
            Reward::Tip { .. } => needed.push(Field::Site),
            _ => {}
        }
        Field::ALL.into_iter().filter(|field| needed.contains(field)).collect()
    }

    /// The number of the first position that its observations begin with.
    #[must_use]
    pub fn first_position(&self) -> usize {
        self.leading().start
    }

    /// The positions that its observations begin with.
    fn leading(&self) -> std::ops::Range<usize> {
        match self.obs.first() {
            Some(&Part::Qpos(from, to)) => from..to.min(from.saturating_add(self.obs_dim)),
            _ => 0..0,
        }
    }

    /// What of the definition speaks of numbers that there are not, if anything does.
    pub(super) fn contradiction(&self) -> Option<String> {
        let columns = match self.reward {
            Reward::Seen { velocity, .. } => velocity.saturating_add(1),
            Reward::Reach { column, .. } => column,
            Reward::Push => PUSHER_COLUMNS.iter().fold(0, |most, column| most.max(column + 3)),
            _ => 0,
        };
        if columns > self.obs_dim {
            return Some(format!("reads {columns} observations, and there are {}", self.obs_dim));
        }
        if let Some(limit) = self.limits.iter().find(|limit| !(limit.is_finite() && **limit > 0.0))
        {
            return Some(format!("limits an action to {limit}, which is to be finite and above 0"));
        }
        if let End::Unhealthy { within, most } = self.end {
            // What is known of ends in model rollouts is read from there.
            let shown = self.leading();
            if let Some(hidden) = within.iter().find(|w| !shown.contains(&w.qpos)) {
                let qpos = hidden.qpos;
                return Some(format!("ends by position {qpos}, with which no observation begins"));
            }
            if most.is_finite() && !matches!(self.obs.first(), Some(Part::Qpos(0..=2, END))) {
                return Some("bounds numbers that its observation does not begin with".into());
            }
        }
        let between = self.obs.iter().find_map(|part| match part {
            Part::Between(_, _, n) if *n > 3 => Some(n),
            _ => None,
        });
        between.map(|n| format!("shows {n} coordinates of a difference, which has 3"))
    }
}
