//! `hstep bench env`: steps of environments a second, and beside them those of the bare simulation.

use std::sync::Barrier;
use std::time::Instant;

use anyhow::Result;
use hstep::Error;
use hstep::config::check;
use hstep::env::{self, Simulator};
use hstep::pool;
use hstep::rng::Rng;
use rustix::time::{ClockId, clock_gettime};

use super::WINDOW;
use crate::output::say;

/// Steps of the recorded course that is gone through over and over.
const COURSE: usize = 1000;
/// Steps between two looks at the clock.
const BATCH: usize = 20;

/// Actions and, where an episode begins, the state that it begins in.
struct Course {
    actions: Vec<Vec<f64>>,
    starts: Vec<Option<Vec<f64>>>,
}

impl Course {
    /// Random actions from random starts, for a reset wherever an episode ends.
    fn new(env: &mut dyn Simulator, seed: u64) -> Result<Self> {
        let mut rng = Rng::new(seed).fork("bench env");
        let width = env.info().action_dim();
        let mut course = Self { actions: Vec::new(), starts: Vec::new() };
        let mut ended = true;
        for _ in 0..COURSE {
            course.starts.push(if ended {
                env.reset(&mut rng)?;
                Some(env.save())
            } else {
                None
            });
            let action: Vec<f64> = (0..width).map(|_| 2.0 * rng.uniform() - 1.0).collect();
            let action = env.info().denormalise(&action)?;
            let step = env.step(&action)?;
            ended = step.terminated || step.truncated;
            course.actions.push(action);
        }
        Ok(course)
    }
}

/// What goes through a course.
trait Walker: Send {
    /// Begins an episode in a saved state.
    fn begin(&mut self, start: &[f64]) -> Result<()>;
    /// One step.
    fn step(&mut self, action: &[f64]) -> Result<()>;
}

/// The environment as it is used.
struct Whole(Box<dyn Simulator>);

impl Walker for Whole {
    fn begin(&mut self, start: &[f64]) -> Result<()> {
        Ok(self.0.restore(start)?)
    }

    fn step(&mut self, action: &[f64]) -> Result<()> {
        std::hint::black_box(self.0.step(action)?);
        Ok(())
    }
}

/// The simulation alone: as many frames a step, nothing read.
#[cfg(feature = "mujoco")]
struct Bare {
    data: env::mujoco::Data,
    width: usize,
    frames: usize,
}

#[cfg(feature = "mujoco")]
impl Walker for Bare {
    fn begin(&mut self, start: &[f64]) -> Result<()> {
        Ok(self.data.set(env::mujoco::Parts::INTEGRATION, &start[..self.width])?)
    }

    fn step(&mut self, action: &[f64]) -> Result<()> {
        self.data.set(env::mujoco::Parts::CTRL, action)?;
        self.data.step(self.frames)?;
        Ok(())
    }
}

/// A course and who goes through it.
struct Track {
    course: Course,
    walker: Box<dyn Walker>,
}

impl Track {
    fn whole(name: &str, seed: u64) -> Result<Self> {
        let mut env = env::simulator(name)?;
        let course = Course::new(env.as_mut(), seed)?;
        Ok(Self { course, walker: Box::new(Whole(env)) })
    }

    /// The same course without what the environment adds; `None` where there is nothing barer.
    #[cfg(feature = "mujoco")]
    fn bare(name: &str, seed: u64) -> Result<Option<Self>> {
        use env::mujoco::{Data, Mujoco};

        if env::mujoco::task(name).is_none() {
            return Ok(None);
        }
        let mut env = Mujoco::named(name)?;
        let course = Course::new(&mut env, seed)?;
        let (data, frames) = (Data::new(env.data().model())?, env.task().frames);
        let width = env.data().model().sizes().integration;
        Ok(Some(Self { course, walker: Box::new(Bare { data, width, frames }) }))
    }

    #[cfg(not(feature = "mujoco"))]
    fn bare(_: &str, _: u64) -> Result<Option<Self>> {
        Ok(None)
    }

    /// Steps a second, over at least `seconds` from the start of the course.
    fn rate(&mut self, seconds: f64) -> Result<Rate> {
        let (start, cpu, mut steps) = (Instant::now(), thread_seconds(), 0);
        while steps == 0 || start.elapsed().as_secs_f64() < seconds {
            for _ in 0..BATCH {
                let at = steps % COURSE;
                if let Some(state) = &self.course.starts[at] {
                    self.walker.begin(state)?;
                }
                self.walker.step(&self.course.actions[at])?;
                steps += 1;
            }
        }
        // A clock that has not moved yet would make the rate infinite.
        let cpu = (thread_seconds() - cpu).max(1e-9);
        Ok(Rate { wall: steps as f64 / start.elapsed().as_secs_f64(), cpu: steps as f64 / cpu })
    }
}

/// Steps a second by the clock, and a second of the processor that the thread has had.
#[derive(Debug, Clone, Copy)]
struct Rate {
    wall: f64,
    cpu: f64,
}

/// Seconds that a processor has worked for this thread.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// The middle one, or the mean of the two in the middle.
fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    match (rates.len() / 2, rates.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 1) => rates[middle],
        (middle, _) => f64::midpoint(rates[middle - 1], rates[middle]),
    }
}

/// All tracks at once, a thread each: by the clock all together, by the processor in the mean.
fn together(name: &str, tracks: &mut [Track], seconds: f64) -> Result<Rate> {
    let (count, barrier) = (tracks.len(), Barrier::new(tracks.len()));
    let rates: Vec<Result<Rate>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let one = |track| {
            scope.spawn(move || {
                barrier.wait();
                Track::rate(track, seconds)
            })
        };
        let handles: Vec<_> = tracks.iter_mut().map(one).collect();
        let lost = || Err(Error::env(name, "a thread of the measurement panicked").into());
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| lost())).collect()
    });
    let rates = rates.into_iter().collect::<Result<Vec<Rate>>>()?;
    Ok(Rate {
        wall: rates.iter().map(|rate| rate.wall).sum(),
        cpu: rates.iter().map(|rate| rate.cpu).sum::<f64>() / count as f64,
    })
}

/// Measures `names` for `seconds` each; beside them, window by window, the bare simulation on one
/// thread, and one thread where there are more.
///
/// # Errors
/// [`Error::Config`] for an unknown name, [`Error::Env`] for an environment that fails.
pub fn run(names: &[String], seconds: f64) -> Result<()> {
    check::at_least("environments", names.len(), 1)?;
    names.iter().try_for_each(|name| env::check(name))?;
    names.iter().try_for_each(|name| measure(name, seconds))
}

fn measure(name: &str, seconds: f64) -> Result<()> {
    let (threads, window) = (pool::threads(), WINDOW.min(seconds));
    let mut tracks: Vec<Track> =
        (0..threads).map(|_| Track::whole(name, 0)).collect::<Result<_>>()?;
    let mut other = match threads {
        1 => Track::bare(name, 0)?,
        _ => Some(Track::whole(name, 0)?),
    };
    let (mut whole, mut beside, start) = (Vec::new(), Vec::new(), Instant::now());
    while whole.is_empty() || start.elapsed().as_secs_f64() < seconds {
        whole.push(together(name, &mut tracks, window)?);
        if let Some(other) = &mut other {
            beside.push(together(name, std::slice::from_mut(other), window)?);
        }
    }
    say_rate(&format!("ENV {name} hstep t{threads}"), &whole)?;
    if beside.is_empty() {
        return Ok(());
    }
    // Ratios of neighbours in time. What else the machine does is in both by the processor's clock; by the
    // other it takes more from two threads than from one.
    let pairs = || whole.iter().zip(&beside);
    if threads == 1 {
        say_rate(&format!("ENV {name} bare t1"), &beside)?;
        say!("SHARE {name} {:.3}", median(pairs().map(|(whole, bare)| whole.cpu / bare.cpu)))?;
    } else {
        say_rate(&format!("ENV {name} hstep t1"), &beside)?;
        say!("SCALING {name} {:.3}", median(pairs().map(|(all, one)| all.wall / one.wall)))?;
    }
    Ok(())
}

fn say_rate(what: &str, rates: &[Rate]) -> Result<()> {
    let wall = || rates.iter().map(|rate| rate.wall);
    let (best, cpu) = (wall().fold(0.0, f64::max), median(rates.iter().map(|rate| rate.cpu)));
    say!("{what} med {:.1} best {best:.1} percpu {cpu:.1}", median(wall()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), 3.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
