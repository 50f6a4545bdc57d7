//! Evaluation episodes, kept state by state, and which of the states are shown.

use std::rc::Rc;

use hstep::env::native;
use hstep::env::scene::{Camera, Image, Point, Scene, Shape};
use hstep::learner::Agent;
use hstep::rng::Rng;
use hstep::train::{EnvFactory, EvalConfig, Evaluation, evaluate_watched};
use hstep::{Error, Result};

/// A state and how it was reached.
#[derive(Debug, Clone)]
pub struct Frame {
    pub scene: Scene,
    /// As a simulator saves it, where the environment is one.
    pub state: Option<Vec<f64>>,
    /// Made by the environment's own renderer; in place of `scene` where it is there.
    pub image: Option<Rc<Image>>,
    /// Normalised; empty in the first state.
    pub action: Vec<f64>,
    /// The sum of the rewards so far.
    pub total: f64,
}

/// An episode from its start to its end.
pub type Episode = Vec<Frame>;

/// Pictures of an episode that are asked for while it goes, at most: a thousand would not fit into the memory.
const TAKEN: usize = 400;

/// Runs the evaluation episodes and keeps every state; where an environment has pictures of its own alone,
/// those.
///
/// # Errors
/// As [`evaluate_watched`]; [`Error::Config`] for an environment that has no looks.
pub fn record(
    agent: &Agent,
    make: &EnvFactory,
    config: &EvalConfig,
) -> Result<(Vec<Episode>, Evaluation)> {
    let mut env = make()?;
    env.reset(&mut Rng::new(config.seed))?;
    let drawn = env.scene().is_some();
    if !drawn && env.picture()?.is_none() {
        return Err(no_scene(&env.info().name));
    }
    let apart = env.info().max_steps.div_ceil(TAKEN).max(1);
    drop(env);
    let mut failed = None;
    let mut episodes: Vec<Episode> = vec![Vec::new(); config.episodes];
    let result = evaluate_watched(agent, make, config, &mut |moment| {
        if let Some(scene) = moment.env.scene() {
            let action = moment.action.map(<[f64]>::to_vec).unwrap_or_default();
            let state = moment.env.as_simulator().map(|simulator| simulator.save());
            let frame = Frame { scene, state, image: None, action, total: moment.total };
            episodes[moment.episode].push(frame);
            return;
        }
        let episode = &mut episodes[moment.episode];
        let taken = match episode.last().and_then(|frame| frame.image.clone()) {
            Some(before) if !episode.len().is_multiple_of(apart) => Ok(Some(before)),
            _ => moment.env.picture().map(|image| image.map(Rc::new)),
        };
        match taken {
            Ok(Some(image)) => episode.push(shown(image, moment.action, moment.total)),
            Ok(None) => {}
            Err(error) => drop(failed.get_or_insert(error)),
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok((episodes, result)),
    }
}

/// A state that nothing but its picture is known of.
fn shown(image: Rc<Image>, action: Option<&[f64]>, total: f64) -> Frame {
    let size = [image.width as f64, image.height as f64];
    let scene = Scene {
        parts: Vec::new(),
        ground: None,
        traced: Vec::new(),
        camera: Camera { centre: [0.0, 0.0], size },
        time_step: None,
    };
    let action = action.map(<[f64]>::to_vec).unwrap_or_default();
    Frame { scene, state: None, image: Some(image), action, total }
}

/// Pictures of the steps `shown` by the environment's own renderer, `width` pixels wide.
///
/// # Errors
/// [`Error::Env`] for an environment without one, or where it fails.
pub fn paint(
    episode: &mut Episode,
    shown: &[usize],
    make: &EnvFactory,
    width: usize,
) -> Result<()> {
    let Some(first) = episode.first().filter(|first| first.image.is_none()) else { return Ok(()) };
    let [w, h] = first.scene.camera.size;
    let height = (width as f64 * h / w).round() as usize;
    let mut painter = make()?.painter([width, height])?;
    for &step in shown {
        let frame = &mut episode[step];
        if let (None, Some(state)) = (&frame.image, &frame.state) {
            frame.image = Some(Rc::new(painter.paint(state)?));
        }
    }
    Ok(())
}

fn no_scene(name: &str) -> Error {
    let shown = |name: &&&str| {
        let mut env = native::make(name).ok()?;
        env.reset(&mut Rng::new(0)).ok()?;
        env.scene()
    };
    let all: Vec<&str> =
        native::names().iter().filter(|name| shown(name).is_some()).copied().collect();
    let problem = format!(
        "`{name}` does not say what it looks like; {} and the MuJoCo tasks do, and `gym:` environments are \
         shown by --offscreen, if they can be made with render_mode=rgb_array",
        all.join(", ")
    );
    Error::config("run.env", problem)
}

/// Steps of an episode that are shown: from, to (inclusive), and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub from: usize,
    pub to: usize,
    /// `None`: as far apart as suits the picture.
    pub step: Option<usize>,
}

impl Part {
    /// The same part, cut at the last step that there is.
    fn of(self, episode: &[Frame]) -> (usize, usize) {
        let last = episode.len().saturating_sub(1);
        (self.from.min(last), self.to.min(last))
    }

    /// The steps of a strip of at most `count` pictures: equally far apart where that is given, else
    /// such that about as much moves from each to the next; the first and the last are among them.
    pub fn still(self, episode: &[Frame], count: usize) -> Vec<usize> {
        let (from, to) = self.of(episode);
        if let Some(step) = self.step {
            return (from..=to).step_by(step).take(count).collect();
        }
        let moved: Vec<f64> =
            (from..to).map(|t| motion(&episode[t].scene, &episode[t + 1].scene)).collect();
        let all: f64 = moved.iter().sum();
        // A share goes to time itself: a pose that is held is seen to be held.
        let idle = if all > 0.0 { 0.5 * all } else { 1.0 } / moved.len().max(1) as f64;
        let whole: f64 = moved.iter().map(|m| m + idle).sum();
        let pictures = count.min(to - from + 1);
        let (mut steps, mut sum, mut t) = (vec![from], 0.0, from);
        for i in 1..pictures {
            let goal = whole * (i as f64 / (pictures - 1) as f64 - 1e-9);
            // Steps enough must be left for the pictures that follow.
            let last = to - (pictures - 1 - i);
            while t < last && (sum < goal || t == steps[i - 1]) {
                sum += moved[t - from] + idle;
                t += 1;
            }
            steps.push(if i == pictures - 1 { to } else { t });
        }
        steps
    }

    /// The steps of a film, and hundredths of a second from one to the next: in real time, at most
    /// 25 pictures a second and `most` in all; a task without a unit of time is shown to its end.
    pub fn moving(self, episode: &[Frame], most: usize) -> (Vec<usize>, u16) {
        let (from, to) = self.of(episode);
        let (step, time) = self.pace(episode, most);
        ((from..=to).step_by(step).take(most).collect(), time)
    }

    /// Steps, and hundredths of a second, from one picture of a film to the next.
    fn pace(self, episode: &[Frame], most: usize) -> (usize, u16) {
        let (from, to) = self.of(episode);
        let Some(second) = episode[from].scene.time_step else {
            return (self.step.unwrap_or((to - from + 1).div_ceil(most.max(1)).max(1)), 4);
        };
        let step = self.step.unwrap_or(((0.04 / second).round() as usize).max(1));
        (step, (100.0 * second * step as f64).round().clamp(2.0, 1000.0) as u16)
    }

    /// The first step that a film of `most` pictures has no room for, if there is one.
    pub fn cut(self, episode: &[Frame], most: usize) -> Option<usize> {
        let (from, to) = self.of(episode);
        let next = from + most * self.pace(episode, most).0;
        (next <= to).then_some(next)
    }
}

/// How far the points of a scene move to the next, in heights of the picture.
fn motion(a: &Scene, b: &Scene) -> f64 {
    let points = |scene: &Scene| -> Vec<Point> {
        let of = |shape: &Shape| match shape {
            Shape::Capsule { ends, .. } => ends.to_vec(),
            Shape::Circle { centre, .. } => vec![*centre],
            Shape::Path(points) => points.clone(),
        };
        scene.parts.iter().flat_map(|part| of(&part.shape)).collect()
    };
    let pairs = points(a).into_iter().zip(points(b));
    let sum: f64 = pairs.map(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1])).sum();
    sum / a.camera.size[1]
}

/// Poses behind that of step `now`: at most `count`, back to the picture before it and no longer
/// than about half a second.
pub fn ghosts(episode: &[Frame], now: usize, before: usize, count: usize) -> Vec<usize> {
    let longest = episode[now].scene.time_step.map_or(15, |dt| ((0.5 / dt) as usize).max(count));
    let span = (now - before.min(now)).min(longest);
    let apart = span.div_ceil(count + 1).max(1);
    let all = (1..=count).map(|i| i * apart).filter(|back| *back < span);
    let mut ghosts: Vec<usize> = all.map(|back| now - back).collect();
    ghosts.reverse();
    ghosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use hstep::env::scene::{Camera, Part as Piece, Role};

    /// An episode in which a disc is at the given places.
    fn episode(places: &[f64]) -> Episode {
        let scene = |x: f64| Scene {
            parts: vec![Piece::circle(Role::Body, [x, 0.0], 0.1)],
            ground: None,
            traced: Vec::new(),
            camera: Camera { centre: [0.0, 0.0], size: [1.0, 1.0] },
            time_step: Some(0.02),
        };
        let frame = |&x: &f64| Frame {
            scene: scene(x),
            state: None,
            image: None,
            action: Vec::new(),
            total: 0.0,
        };
        places.iter().map(frame).collect()
    }

    const ALL: Part = Part { from: 0, to: usize::MAX, step: None };

    #[test]
    fn pictures_of_a_strip_follow_the_motion() {
        // All of the motion is in the first ten of a hundred steps, two thirds of the weight.
        let places: Vec<f64> = (0..=100).map(|t| f64::from(t.min(10))).collect();
        let steps = ALL.still(&episode(&places), 7);
        assert_eq!((steps.len(), steps[0], steps[6]), (7, 0, 100));
        assert!(steps.windows(2).all(|w| w[0] < w[1]), "{steps:?}");
        assert_eq!(steps.iter().filter(|t| **t <= 10).count(), 5, "{steps:?}");
        // Nothing moves: equally far apart in time.
        assert_eq!(ALL.still(&episode(&[0.0; 13]), 4), [0, 4, 8, 12]);
        // Fewer states than pictures, and a single one.
        assert_eq!(ALL.still(&episode(&[0.0, 5.0, 5.0]), 8), [0, 1, 2]);
        assert_eq!(ALL.still(&episode(&[0.0, 5.0, 5.0]), 1), [0]);
        let part = Part { from: 3, to: 9, step: Some(2) };
        assert_eq!(part.still(&episode(&places), 8), [3, 5, 7, 9]);
        assert_eq!(part.still(&episode(&places), 2), [3, 5]);
    }

    #[test]
    fn a_film_runs_in_real_time() {
        let places = [0.0; 51];
        let (steps, time) = ALL.moving(&episode(&places), 1000);
        assert_eq!((steps.len(), steps[1], time), (26, 2, 4));
        let (steps, _) = ALL.moving(&episode(&places), 5);
        assert_eq!(steps, [0, 2, 4, 6, 8]);
        assert_eq!(ALL.cut(&episode(&places), 5), Some(10));
        assert_eq!(ALL.cut(&episode(&places), 26), None);
        let mut timeless = episode(&places);
        timeless.iter_mut().for_each(|frame| frame.scene.time_step = None);
        assert_eq!(ALL.moving(&timeless, 11), (vec![0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50], 4));
        assert_eq!(ALL.cut(&timeless, 11), None);
        let slow = Part { step: Some(10), ..ALL };
        assert_eq!(slow.cut(&timeless, 5), Some(50));
        assert_eq!(slow.moving(&episode(&places), 1000).1, 20);
    }

    #[test]
    fn ghosts_lie_between_two_pictures() {
        let episode = episode(&[0.0; 101]);
        assert_eq!(ghosts(&episode, 100, 0, 4), [80, 85, 90, 95]);
        assert_eq!(ghosts(&episode, 100, 97, 4), [98, 99]);
        assert_eq!(ghosts(&episode, 0, 0, 4), [] as [usize; 0]);
    }
}
