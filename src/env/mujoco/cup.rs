//! The ball in a cup of the control suite: where things are, as functions of the positions.
//!
//! Cup and ball slide without turning, so their places follow from the four positions (cup x and z, ball
//! x and z) and lag behind nothing.

use crate::rng::Rng;

/// A point, x and z, m.
type Point = [f64; 2];

/// Where cup and ball are when all positions are 0.
const CUP: Point = [0.0, 0.6];
const BALL: Point = [0.0, 0.2];
/// The middle of the box that the ball is to be in, from the cup, and half its width in both directions.
const TARGET: Point = [0.0, -0.05];
const ROOM: f64 = 0.05;
const RADIUS: f64 = 0.025;
/// The corners of the cup, and half the thickness of its walls.
const CORNERS: [Point; 6] =
    [[-0.05, 0.0], [-0.05, -0.075], [-0.025, -0.1], [0.025, -0.1], [0.05, -0.075], [0.05, 0.0]];
const WALL: f64 = 0.008;
/// The box that the ball starts in, as positions.
const STARTS: [[f64; 2]; 2] = [[-0.2, 0.2], [0.2, 0.5]];

/// From the ball to the middle of the cup when all positions are 0.
pub(super) const MIDDLE: Point = [CUP[0] + TARGET[0] - BALL[0], CUP[1] + TARGET[1] - BALL[1]];
/// The ball is caught where it is off the middle by less than this in both directions.
pub(super) const FREE: f64 = ROOM - RADIUS;

/// Where the ball is.
pub(super) fn ball(qpos: &[f64]) -> Point {
    match qpos {
        [_, _, x, z] => [BALL[0] + x, BALL[1] + z],
        _ => [f64::NAN; 2],
    }
}

/// From the ball to the middle of the cup.
pub(super) fn to_target(qpos: &[f64]) -> Point {
    let ball = ball(qpos);
    [0, 1].map(|i| CUP[i] + qpos.get(i).copied().unwrap_or(f64::NAN) + TARGET[i] - ball[i])
}

/// Whether the whole ball is in the cup.
pub(super) fn is_caught(qpos: &[f64]) -> bool {
    to_target(qpos).iter().all(|away| away.abs() < FREE)
}

/// Positions of a start: the cup in its middle, the ball anywhere in its box where it touches nothing.
pub(super) fn start(rng: &mut Rng) -> [f64; 4] {
    loop {
        let [x, z] = STARTS.map(|[low, high]| low + (high - low) * rng.uniform());
        let from_cup = [BALL[0] + x - CUP[0], BALL[1] + z - CUP[1]];
        let mut walls = CORNERS.windows(2);
        if walls.all(|ends| distance(from_cup, ends[0], ends[1]) > RADIUS + WALL) {
            return [0.0, 0.0, x, z];
        }
    }
}

/// From a point to the line between two points.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let share = (along[0] * to[0] + along[1] * to[1]) / (along[0].powi(2) + along[1].powi(2));
    let share = share.clamp(0.0, 1.0);
    (to[0] - share * along[0]).hypot(to[1] - share * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ball_is_caught_in_the_middle_and_starts_clear_of_the_walls() {
        assert!(is_caught(&[0.0, 0.0, 0.0, 0.35]) && is_caught(&[0.3, 0.1, 0.31, 0.46]));
        assert!(!is_caught(&[0.0, 0.0, 0.0, 0.4]) && !is_caught(&[0.0, 0.0, 0.03, 0.35]));
        let mut rng = Rng::new(4);
        let (mut inside, mut all) = (0, 0);
        for _ in 0..4000 {
            let [_, _, x, z] = start(&mut rng);
            assert!(x.abs() <= 0.2 && (0.2..=0.5).contains(&z));
            // Nothing starts in the bottom of the cup.
            assert!(!(x.abs() < 0.02 && (z - 0.3).abs() < 0.02), "{x} {z}");
            inside += usize::from(is_caught(&[0.0, 0.0, x, z]));
            all += 1;
        }
        assert!(inside > 0 && inside < all / 10, "{inside}");
    }
}
