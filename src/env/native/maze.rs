//! A point in a maze, without any reward: how much of it does an agent see?

use candle_core::Tensor;

use super::{Physics, ops};
use crate::env::EnvInfo;
use crate::env::parameters::Possible;
use crate::env::scene::{Camera, Part, Point, Role, Scene};
use crate::error::Result;
use crate::rng::Rng;
use crate::shape::to_f64;

/// Cells along a side.
const CELLS: usize = 4;
/// Squares from one wall to the next, the wall among them.
const PITCH: usize = 3;
/// Squares along a side.
const SIDE: usize = CELLS * PITCH + 1;
/// Width of a square: the world is `[-1, 1]` in both directions.
const WIDTH: f64 = 2.0 / SIDE as f64;
/// s.
const DT: f64 = 0.1;
/// Parts of a step between which walls are looked for.
const SUBSTEPS: usize = 10;
const MAX_STEPS: usize = 1000;
/// Walls that are opened beyond those that join all cells.
const LOOPS: usize = 2;

/// A point in a maze. State and observation: `x` and `y`, within `[-1, 1]`. Action: the velocity in
/// both directions, each in `[-1, 1]`. A step is 0.1 s; walls stop the direction that leads into them.
/// 1,000 steps, no termination, and every reward is 0. Starts: the middle of a free square.
///
/// The world is 13 x 13 squares: 4 x 4 cells of 2 x 2 squares, with walls between them. The parameter
/// `layout` says which are open: 0 is a box without inner walls; any other number is the seed of a
/// random tree that joins all cells, with two more openings.
///
/// It is the point mass of POLO (Lowrey et al. 2019, section 3.1), whose worlds are figures only;
/// size, time step, velocities as actions and collisions are those of the mazes of Lu et al. 2020
/// (adaptive online planning), the layouts are ours.
#[derive(Debug, Clone, Copy)]
pub struct Maze {
    layout: f64,
    /// Whether a square is a wall, by row and column.
    walls: [[bool; SIDE]; SIDE],
}

impl Default for Maze {
    fn default() -> Self {
        Self::of(1.0)
    }
}

/// The square of a coordinate.
fn square(x: f64) -> usize {
    (((x + 1.0) / WIDTH) as usize).min(SIDE - 1)
}

/// The middle of a square.
fn middle(square: usize) -> f64 {
    (square as f64 + 0.5) * WIDTH - 1.0
}

impl Maze {
    /// The maze with a layout.
    fn of(layout: f64) -> Self {
        let mut maze = Self { layout, walls: [[false; SIDE]; SIDE] };
        let boxed = layout == 0.0;
        for (y, row) in maze.walls.iter_mut().enumerate() {
            for (x, wall) in row.iter_mut().enumerate() {
                let edge = [x, y].iter().any(|i| *i == 0 || *i == SIDE - 1);
                *wall = edge || !boxed && (x % PITCH == 0 || y % PITCH == 0);
            }
        }
        if !boxed {
            maze.carve(&mut Rng::new(layout as u64));
        }
        maze
    }

    /// Opens walls: first a random walk that turns back where it cannot go on, then a few more.
    fn carve(&mut self, rng: &mut Rng) {
        let mut draw = |n: usize| ((rng.uniform() * n as f64) as usize).min(n - 1);
        let mut way = vec![[draw(CELLS), draw(CELLS)]];
        let mut seen = [[false; CELLS]; CELLS];
        while let Some(&cell) = way.last() {
            seen[cell[1]][cell[0]] = true;
            let fresh: Vec<[usize; 2]> =
                neighbours(cell).into_iter().filter(|[x, y]| !seen[*y][*x]).collect();
            if fresh.is_empty() {
                way.pop();
                continue;
            }
            let next = fresh[draw(fresh.len())];
            self.open(cell, next);
            way.push(next);
        }
        for _ in 0..LOOPS {
            let cell = [draw(CELLS), draw(CELLS)];
            let beside = neighbours(cell);
            self.open(cell, beside[draw(beside.len())]);
        }
    }

    /// Opens the wall between two neighbouring cells.
    fn open(&mut self, a: [usize; 2], b: [usize; 2]) {
        let across = usize::from(a[0] == b[0]);
        let wall = PITCH * a[across].max(b[across]);
        for i in 1..PITCH {
            let along = PITCH * a[1 - across] + i;
            let [x, y] = if across == 0 { [wall, along] } else { [along, wall] };
            self.walls[y][x] = false;
        }
    }

    /// Whether a point is in a wall.
    #[must_use]
    pub fn is_wall(&self, [x, y]: [f64; 2]) -> bool {
        self.walls[square(y)][square(x)]
    }

    /// Free squares.
    #[must_use]
    pub fn free(&self) -> usize {
        self.walls.iter().flatten().filter(|wall| !**wall).count()
    }

    /// The share of free squares that the points `path` lie in.
    #[must_use]
    pub fn coverage(&self, path: &[[f64; 2]]) -> f64 {
        let mut seen = [[false; SIDE]; SIDE];
        for &[x, y] in path.iter().filter(|p| !self.is_wall(**p)) {
            seen[square(y)][square(x)] = true;
        }
        seen.iter().flatten().filter(|seen| **seen).count() as f64 / self.free() as f64
    }

    /// Where a step leads, and how many of its parts each direction took.
    fn moved(&self, mut place: [f64; 2], velocity: [f64; 2]) -> ([f64; 2], [f64; 2]) {
        let mut taken = [0.0; 2];
        for _ in 0..SUBSTEPS {
            for direction in 0..2 {
                let mut next = place;
                next[direction] += velocity[direction].clamp(-1.0, 1.0) * DT / SUBSTEPS as f64;
                if !self.is_wall(next) {
                    place = next;
                    taken[direction] += 1.0;
                }
            }
        }
        (place, taken)
    }
}

/// The cells beside a cell.
fn neighbours([x, y]: [usize; 2]) -> Vec<[usize; 2]> {
    let mut all = Vec::with_capacity(4);
    for (ahead, next) in [
        (x + 1 < CELLS, [x + 1, y]),
        (x > 0, [x.wrapping_sub(1), y]),
        (y + 1 < CELLS, [x, y + 1]),
        (y > 0, [x, y.wrapping_sub(1)]),
    ] {
        if ahead {
            all.push(next);
        }
    }
    all
}

impl Physics for Maze {
    type State = [f64; 2];

    const PARAMETERS: &'static [(&'static str, Possible)] = &[("layout", Possible::Whole)];

    fn parameter(&self, _place: usize) -> f64 {
        self.layout
    }

    fn set_parameter(&mut self, _place: usize, value: f64) {
        if value != self.layout {
            *self = Self::of(value);
        }
    }

    fn info(&self) -> EnvInfo {
        EnvInfo {
            name: "maze".into(),
            obs_dim: 2,
            action_low: vec![-1.0; 2],
            action_high: vec![1.0; 2],
            max_steps: MAX_STEPS,
        }
    }

    fn start(&self, rng: &mut Rng) -> [f64; 2] {
        let chosen = (rng.uniform() * self.free() as f64) as usize;
        let squares = (0..SIDE * SIDE).map(|i| [i % SIDE, i / SIDE]);
        let mut free = squares.filter(|[x, y]| !self.walls[*y][*x]);
        free.nth(chosen).unwrap_or([1, 1]).map(middle)
    }

    fn observe(&self, state: &[f64; 2]) -> Vec<f64> {
        state.to_vec()
    }

    fn advance(&self, state: &[f64; 2], action: &[f64], _step: usize) -> ([f64; 2], f64, bool) {
        (self.moved(*state, [action[0], action[1]]).0, 0.0, false)
    }

    fn next(&self, obs: &Tensor, velocity: &Tensor) -> Result<Tensor> {
        let (places, velocities) = (to_f64(obs)?, to_f64(velocity)?);
        let rows = places.chunks_exact(2).zip(velocities.chunks_exact(2));
        let taken = rows.flat_map(|(s, v)| self.moved([s[0], s[1]], [v[0], v[1]]).1);
        let times = taken.map(|parts| parts * DT / SUBSTEPS as f64).collect::<Vec<f64>>();
        let times = Tensor::from_vec(times, obs.dims(), obs.device())?.to_dtype(obs.dtype())?;
        Ok((obs + (ops::clip(velocity, -1.0, 1.0)? * times)?)?)
    }

    fn reward(&self, obs: &Tensor, _velocity: &Tensor, _next: &Tensor) -> Result<Tensor> {
        Ok(Tensor::zeros(obs.dim(0)?, obs.dtype(), obs.device())?)
    }

    fn scene(&self, place: &[f64; 2]) -> Option<Scene> {
        let at = |x: usize, y: usize| -> Point { [middle(x), middle(y)] };
        let mut parts = Vec::new();
        for i in 0..=CELLS {
            for j in 0..CELLS {
                let (from, to, across) = (PITCH * j, PITCH * (j + 1), PITCH * i);
                let wall = |[a, b]: [Point; 2]| Part::capsule(Role::Fixed, a, b, WIDTH / 2.0);
                if self.walls[across][from + 1] {
                    parts.push(wall([at(from, across), at(to, across)]));
                }
                if self.walls[from + 1][across] {
                    parts.push(wall([at(across, from), at(across, to)]));
                }
            }
        }
        parts.push(Part::circle(Role::Body, *place, 0.04));
        Some(Scene {
            parts,
            ground: None,
            traced: vec![*place],
            camera: Camera { centre: [0.0, 0.0], size: [2.1, 2.1] },
            time_step: Some(DT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares that can be reached from the first free one.
    fn reached(maze: &Maze) -> usize {
        let mut seen = [[false; SIDE]; SIDE];
        let mut open = vec![[1, 1]];
        while let Some([x, y]) = open.pop() {
            if maze.walls[y][x] || std::mem::replace(&mut seen[y][x], true) {
                continue;
            }
            open.extend([[x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]]);
        }
        seen.iter().flatten().filter(|seen| **seen).count()
    }

    #[test]
    fn every_square_of_every_layout_can_be_reached() {
        assert_eq!(Maze::of(0.0).free(), 121);
        let mut kinds = std::collections::BTreeSet::new();
        for layout in 0..50 {
            let maze = Maze::of(f64::from(layout));
            assert_eq!(reached(&maze), maze.free(), "layout {layout}");
            kinds.insert(maze.walls);
        }
        assert!(kinds.len() > 45, "{} layouts", kinds.len());
    }

    #[test]
    fn walls_stop_what_leads_into_them_alone() {
        let maze = Maze::of(0.0);
        let mut place = [0.0, 0.0];
        for _ in 0..30 {
            place = maze.moved(place, [1.0, 0.01]).0;
        }
        let wall = 1.0 - WIDTH;
        assert!(place[0] < wall && place[0] > wall - 0.011, "{place:?}");
        assert!((place[1] - 0.03).abs() < 1e-12, "{place:?}");
        assert_eq!(maze.coverage(&[[0.0, 0.0], [0.01, 0.0], [0.99, 0.0]]), 1.0 / 121.0);
    }
}
