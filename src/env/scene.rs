//! What an environment looks like: a few shapes in metres, for whoever draws them.

/// A point in metres: to the right, upwards.
pub type Point = [f64; 2];

/// A side view (or a view from above, of a task in the horizontal plane) of one state.
///
/// Shapes are in the world's own coordinates; what moves is the camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The shapes, from back to front.
    pub parts: Vec<Part>,
    /// What everything stands on, if it does.
    pub ground: Option<Ground>,
    /// Points whose way is worth seeing, such as a fingertip; the same number in every state.
    pub traced: Vec<Point>,
    /// What of the world is seen.
    pub camera: Camera,
    /// Time from one step to the next, s; `None` for a task that names no unit of time.
    pub time_step: Option<f64>,
}

/// The part of the world that is seen; of the same size in every state of an environment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// The middle, m: follows a body that goes away.
    pub centre: Point,
    /// Width and height, m.
    pub size: [f64; 2],
}

/// The surface that something stands on; everything below it is ground.
#[derive(Debug, Clone, PartialEq)]
pub enum Ground {
    /// A level at this height, m, without an end to either side.
    Level(f64),
    /// A hill, its points from left to right, m; goes on level at both ends.
    Hill(Vec<Point>),
}

/// A shape and what it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Where it is.
    pub shape: Shape,
    /// What it is; who draws chooses the colour.
    pub role: Role,
}

/// What can be drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A line between two points, thick and with round ends, m.
    Capsule {
        /// The middles of the round ends.
        ends: [Point; 2],
        /// Half the thickness.
        radius: f64,
    },
    /// A disc, m.
    Circle {
        /// Its middle.
        centre: Point,
        /// Its radius.
        radius: f64,
    },
    /// A thin line through points, m: a rail, a path to follow.
    Path(Vec<Point>),
}

/// What a shape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The main body: a torso, a cart, the first link.
    Body,
    /// A limb: a pole, the second link, a hind leg.
    Limb,
    /// A limb to be told from the others: a fore leg.
    OtherLimb,
    /// What does not move: a pivot, a rail.
    Fixed,
    /// Where something ought to be.
    Target,
}

/// A picture in rows from the top: red, green and blue of each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 * width * height` numbers.
    pub rgb: Vec<u8>,
}

/// Makes pictures of an environment's states; stays with the thread that made it.
pub trait Painter {
    /// The picture of a state as [`Simulator::save`](super::Simulator::save) gave it.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a state of another length,
    /// [`Error::Env`](crate::Error::Env) where the renderer fails.
    fn paint(&mut self, state: &[f64]) -> crate::Result<Image>;
}

impl Part {
    /// A capsule.
    #[must_use]
    pub fn capsule(role: Role, from: Point, to: Point, radius: f64) -> Self {
        Self { shape: Shape::Capsule { ends: [from, to], radius }, role }
    }

    /// A disc.
    #[must_use]
    pub fn circle(role: Role, centre: Point, radius: f64) -> Self {
        Self { shape: Shape::Circle { centre, radius }, role }
    }

    /// A thin line.
    #[must_use]
    pub fn path(role: Role, points: Vec<Point>) -> Self {
        Self { shape: Shape::Path(points), role }
    }
}
