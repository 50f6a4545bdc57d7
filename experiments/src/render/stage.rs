//! One state of an environment, with where it came from, as marks inside a rectangle.

use hstep::env::scene::{Camera, Ground, Part, Point as World, Role, Scene, Shape};

use super::marks::{Color, Mark, Point};
use crate::plot::{Anchor, Axis, text_width};

/// Behind everything.
pub const PAPER: Color = Color(255, 255, 255);
/// Behind a stage.
const AIR: Color = Color(244, 246, 249);
const EARTH: Color = Color(225, 229, 235);
const SURFACE: Color = Color(148, 158, 171);
/// Upright lines at round distances.
const GRID: Color = Color(233, 236, 241);
pub const INK: Color = Color(34, 40, 49);
pub const SOFT: Color = Color(104, 113, 125);
const BLACK: Color = Color(0, 0, 0);

/// Width of thin lines, CSS pixels.
const THIN: f64 = 2.0;
/// The share of paper in the oldest and in the newest of earlier poses.
const PALE: (f64, f64) = (0.9, 0.68);

fn color(role: Role) -> Color {
    match role {
        Role::Body => Color(45, 105, 175),
        Role::Limb => Color(232, 125, 44),
        Role::OtherLimb => Color(38, 156, 124),
        Role::Fixed => Color(86, 96, 110),
        Role::Target => Color(209, 58, 86),
    }
}

/// A rectangle that shows what a camera sees.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    pub from: Point,
    pub to: Point,
}

/// A camera's world on a stage.
struct View {
    stage: Stage,
    camera: Camera,
    /// CSS pixels a metre.
    scale: f64,
}

impl View {
    fn new(stage: Stage, camera: Camera) -> Self {
        let [w, h] = camera.size;
        let scale = ((stage.to.0 - stage.from.0) / w).min((stage.to.1 - stage.from.1) / h);
        Self { stage, camera, scale }
    }

    fn at(&self, [x, y]: World) -> Point {
        let Stage { from, to } = self.stage;
        (
            0.5 * (from.0 + to.0) + self.scale * (x - self.camera.centre[0]),
            0.5 * (from.1 + to.1) - self.scale * (y - self.camera.centre[1]),
        )
    }

    fn all(&self, points: &[World]) -> Vec<Point> {
        points.iter().map(|&p| self.at(p)).collect()
    }

    /// Leftmost and rightmost distance that is seen, m.
    fn sides(&self) -> (f64, f64) {
        let half = 0.5 * (self.stage.to.0 - self.stage.from.0) / self.scale;
        (self.camera.centre[0] - half, self.camera.centre[0] + half)
    }

    fn background(&self, ground: Option<&Ground>, marks: &mut Vec<Mark>) {
        let Stage { from, to } = self.stage;
        marks.push(Mark::rect(from, to, AIR));
        match ground {
            None => {}
            Some(Ground::Level(height)) => self.level(*height, marks),
            Some(Ground::Hill(points)) => {
                let mut surface = self.all(points);
                if let (Some(&first), Some(&last)) = (surface.first(), surface.last()) {
                    surface.insert(0, (from.0.min(first.0), first.1));
                    surface.push((to.0.max(last.0), last.1));
                    let below = [(to.0.max(last.0), to.1), (from.0.min(first.0), to.1)];
                    let points = [&surface[..], &below].concat();
                    marks.push(Mark::Area { points, color: EARTH });
                    marks.push(Mark::line(surface, THIN, SURFACE));
                }
            }
        }
    }

    /// Level ground, with its distances: where everything looks alike, they show what moves.
    fn level(&self, height: f64, marks: &mut Vec<Mark>) {
        let Stage { from, to } = self.stage;
        let y = self.at([0.0, height]).1;
        let ticks = Axis::linear("").ticks(self.sides());
        // The letters keep a distance from the lower edge and from one another.
        let em = (0.5 * (to.1 - y)).clamp(7.0, 12.0);
        let every = (60.0 * ticks.len() as f64 / (to.0 - from.0)).ceil().max(1.0) as i64;
        let step = ticks.windows(2).map(|w| w[1].0 - w[0].0).next().unwrap_or(1.0);
        for (x, _) in &ticks {
            let x = self.at([*x, height]).0;
            marks.push(Mark::line(vec![(x, from.1), (x, y)], 1.0, GRID));
        }
        marks.push(Mark::rect((from.0, y), to, EARTH));
        marks.push(Mark::line(vec![(from.0, y), (to.0, y)], THIN, SURFACE));
        for (value, text) in &ticks {
            let x = self.at([*value, height]).0;
            let number = (value / step).round() as i64;
            let named = number.rem_euclid(every) == 0;
            let length = if named { 0.35 * em } else { 0.25 * em };
            marks.push(Mark::line(vec![(x, y), (x, y + length)], 1.2, SURFACE));
            let text = format!("{text}\u{a0}m");
            // A number that is cut at the edge is another number.
            let half = 0.5 * text_width(&text, em).unwrap_or(0.0);
            let whole = x - half > from.0 && x + half < to.0;
            if named && whole && to.1 - y > 1.4 * em {
                marks.push(Mark::Text {
                    text,
                    at: (x, y + 1.35 * em),
                    anchor: Anchor::Middle,
                    em,
                    bold: false,
                    color: SOFT,
                });
            }
        }
    }

    /// An earlier pose as a pale silhouette: what moves, and no more.
    fn ghost(&self, scene: &Scene, pale: f64, marks: &mut Vec<Mark>) {
        for part in &scene.parts {
            if matches!(part.role, Role::Fixed | Role::Target) {
                continue;
            }
            let color = color(part.role).mixed(AIR, pale);
            match &part.shape {
                Shape::Capsule { ends, radius } => {
                    marks.push(Mark::line(self.all(ends), 2.0 * radius * self.scale, color));
                }
                Shape::Circle { centre, radius } => {
                    marks.push(Mark::disc(self.at(*centre), radius * self.scale, color));
                }
                Shape::Path(points) => marks.push(Mark::line(self.all(points), THIN, color)),
            }
        }
    }

    fn pose(&self, scene: &Scene, marks: &mut Vec<Mark>) {
        let ends = |part: &Part| match part.shape {
            Shape::Capsule { ends, radius } => Some((ends, radius)),
            _ => None,
        };
        let capsules: Vec<([World; 2], f64)> = scene.parts.iter().filter_map(ends).collect();
        for part in &scene.parts {
            let color = color(part.role);
            let edge = color.mixed(BLACK, 0.28);
            match &part.shape {
                Shape::Path(points) => {
                    let target = part.role == Role::Target;
                    let color = if target { color.mixed(AIR, 0.45) } else { SURFACE };
                    marks.push(Mark::line(self.all(points), THIN, color));
                }
                Shape::Circle { centre, radius } => {
                    let (at, radius) = (self.at(*centre), radius * self.scale);
                    let thin = (0.18 * radius).min(2.0);
                    let (rim, fill) = match part.role {
                        Role::Target => (thin, color.mixed(AIR, 0.35)),
                        // A bearing, a wheel: a dark ring.
                        Role::Fixed => (0.42 * radius, color.mixed(PAPER, 0.7)),
                        _ => (thin, color),
                    };
                    marks.push(Mark::disc(at, radius, edge));
                    marks.push(Mark::disc(at, radius - rim, fill));
                }
                Shape::Capsule { ends, radius } => {
                    let (line, width) = (self.all(ends), 2.0 * radius * self.scale);
                    let rim = (0.09 * width).clamp(0.6, 1.6);
                    marks.push(Mark::line(line.clone(), width, edge));
                    marks.push(Mark::line(line, width - 2.0 * rim, color));
                }
            }
            // A joint: where a capsule ends at the end of another, drawn before or after it.
            if let Some((own, radius)) = ends(part) {
                for end in own.iter().filter(|end| shared(**end, radius, &capsules)) {
                    let hinge = color.mixed(PAPER, 0.55);
                    marks.push(Mark::disc(self.at(*end), 0.36 * radius * self.scale, hinge));
                }
            }
        }
    }
}

/// Points between the points of a line, so that it bends instead of breaking: Catmull and Rom's
/// cubic through each and its neighbours.
fn smooth(points: &[Point]) -> Vec<Point> {
    const PIECES: usize = 4;
    let last = points.len().saturating_sub(1);
    let mut line = points.get(..1).unwrap_or_default().to_vec();
    for i in 0..last {
        let [a, b, c, d] =
            [points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(last)]];
        for piece in 1..=PIECES {
            let t = piece as f64 / PIECES as f64;
            let along = |a: f64, b: f64, c: f64, d: f64| {
                let (slope, bend) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d);
                let twist = 3.0 * (b - c) + d - a;
                b + 0.5 * t * (slope + t * (bend + t * twist))
            };
            line.push((along(a.0, b.0, c.0, d.0), along(a.1, b.1, c.1, d.1)));
        }
    }
    line
}

/// Whether a point is the end of more than one capsule.
fn shared(end: World, radius: f64, capsules: &[([World; 2], f64)]) -> bool {
    let near = |p: &World| (p[0] - end[0]).hypot(p[1] - end[1]) < 0.25 * radius;
    capsules.iter().filter(|(ends, _)| ends.iter().any(near)).count() > 1
}

impl Stage {
    /// The last of `scenes`, the ways of its traced points, and the poses `ghosts` (places in
    /// `scenes`, from the oldest on) behind it, all seen by its camera. First what stands still
    /// with the camera, then what moves.
    pub fn marks(self, scenes: &[&Scene], ghosts: &[usize]) -> [Mark; 2] {
        let (mut behind, mut marks) = (Vec::new(), Vec::new());
        if let Some(now) = scenes.last() {
            let view = View::new(self, now.camera);
            view.background(now.ground.as_ref(), &mut behind);
            for (i, &at) in ghosts.iter().enumerate() {
                let share = (i as f64 + 0.5) / ghosts.len() as f64;
                view.ghost(scenes[at], PALE.0 + share * (PALE.1 - PALE.0), &mut marks);
            }
            for point in 0..now.traced.len() {
                let way: Vec<World> =
                    scenes.iter().filter_map(|s| s.traced.get(point).copied()).collect();
                let color = SOFT.mixed(AIR, 0.35);
                marks.push(Mark::line(smooth(&view.all(&way)), 1.3, color));
            }
            view.pose(now, &mut marks);
        }
        [behind, marks].map(|marks| Mark::Clipped { from: self.from, to: self.to, marks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metres_keep_their_proportions_whatever_the_stage() {
        let camera = Camera { centre: [1.0, 2.0], size: [4.0, 2.0] };
        let view = View::new(Stage { from: (10.0, 20.0), to: (110.0, 220.0) }, camera);
        assert_eq!(view.scale, 25.0);
        assert_eq!(view.at([1.0, 2.0]), (60.0, 120.0));
        assert_eq!(view.at([3.0, 3.0]), (110.0, 95.0));
        assert_eq!(view.sides(), (-1.0, 3.0));
    }

    #[test]
    fn a_smooth_line_goes_through_its_points_and_keeps_a_straight_one() {
        let corner = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)];
        let line = smooth(&corner);
        assert_eq!((line.len(), line[0], line[4], line[8]), (9, corner[0], corner[1], corner[2]));
        assert!(smooth(&[(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)]).iter().all(|p| p.1 == 2.0 * p.0));
        assert_eq!(smooth(&corner[..1]), corner[..1]);
        assert!(smooth(&[]).is_empty());
    }

    #[test]
    fn only_ends_that_meet_are_joints() {
        let capsules = [([[0.0, 0.0], [1.0, 0.0]], 0.1), ([[1.0, 0.01], [1.0, 1.0]], 0.1)];
        assert!(shared([1.0, 0.0], 0.1, &capsules) && shared([1.0, 0.01], 0.1, &capsules));
        assert!(!shared([0.0, 0.0], 0.1, &capsules) && !shared([1.0, 1.0], 0.1, &capsules));
    }
}
