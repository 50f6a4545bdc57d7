//! `hstep bench env`: steps of environments a second, and beside them those of the bare simulation.

use std::time::Instant;

use anyhow::Result;
use hstep::env::{self, Simulator};
use hstep::nn::pool;
use hstep::rng::Rng;
use hstep::{Error, check};
use rustix::time::{ClockId, clock_gettime};

use super::WINDOW;
use crate::output::say;

/// Steps of the recorded course that is gone through over and over.
const COURSE: usize = 1000;

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

    /// Goes through once.
    fn walk(
        &self,
        mut begin: impl FnMut(&[f64]) -> Result<()>,
        mut step: impl FnMut(&[f64]) -> Result<()>,
    ) -> Result<()> {
        for (action, start) in self.actions.iter().zip(&self.starts) {
            if let Some(start) = start {
                begin(start)?;
            }
            step(action)?;
        }
        Ok(())
    }
}

/// Steps a second by the clock, and a second of the processor that the thread has had.
#[derive(Debug, Clone, Copy)]
struct Rate {
    wall: f64,
    cpu: f64,
}

/// Goes through courses for at least `seconds`.
fn rate(seconds: f64, mut once: impl FnMut() -> Result<()>) -> Result<Rate> {
    let (start, cpu, mut courses) = (Instant::now(), thread_seconds(), 0);
    while courses == 0 || start.elapsed().as_secs_f64() < seconds {
        once()?;
        courses += 1;
    }
    let steps = (courses * COURSE) as f64;
    // A clock that has not moved yet would make the rate infinite.
    let cpu = (thread_seconds() - cpu).max(1e-9);
    Ok(Rate { wall: steps / start.elapsed().as_secs_f64(), cpu: steps / cpu })
}

/// Seconds that a processor has worked for this thread.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// The middle one (the upper of two).
fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Steps a second of one environment.
fn of_env(name: &str, seed: u64, seconds: f64) -> Result<Rate> {
    let mut env = env::simulator(name)?;
    let course = Course::new(env.as_mut(), seed)?;
    let env = std::cell::RefCell::new(env);
    let once = || {
        course.walk(
            |start| Ok(env.borrow_mut().restore(start)?),
            |action| {
                std::hint::black_box(env.borrow_mut().step(action)?);
                Ok(())
            },
        )
    };
    rate(seconds, once)
}

/// Steps a second of the simulation alone along the same course: as many frames, nothing read.
#[cfg(feature = "mujoco")]
fn bare(name: &str, seed: u64, seconds: f64) -> Result<Option<Rate>> {
    use hstep::env::mujoco::{Data, Mujoco, Parts};

    if env::mujoco::task(name).is_none() {
        return Ok(None);
    }
    let mut env = Mujoco::named(name)?;
    let course = Course::new(&mut env, seed)?;
    let data = std::cell::RefCell::new(Data::new(env.data().model())?);
    let width = env.data().model().sizes().integration;
    let frames = env.task().frames;
    let once = || {
        course.walk(
            |start| Ok(data.borrow_mut().set(Parts::INTEGRATION, &start[..width])?),
            |action| {
                let mut data = data.borrow_mut();
                data.set(Parts::CTRL, action)?;
                data.step(frames)?;
                Ok(())
            },
        )
    };
    Ok(Some(rate(seconds, once)?))
}

#[cfg(not(feature = "mujoco"))]
fn bare(_: &str, _: u64, _: f64) -> Result<Option<Rate>> {
    Ok(None)
}

/// One environment a thread, each on its own course: by the clock all together, by the processor in
/// the mean.
fn together(name: &str, threads: usize, seconds: f64) -> Result<Rate> {
    let rates: Vec<Result<Rate>> = std::thread::scope(|scope| {
        let one = |seed: usize| scope.spawn(move || of_env(name, seed as u64, seconds));
        let handles: Vec<_> = (0..threads).map(one).collect();
        let lost = || Err(Error::env(name, "a thread of the measurement panicked").into());
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| lost())).collect()
    });
    let rates = rates.into_iter().collect::<Result<Vec<Rate>>>()?;
    Ok(Rate {
        wall: rates.iter().map(|rate| rate.wall).sum(),
        cpu: rates.iter().map(|rate| rate.cpu).sum::<f64>() / threads as f64,
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
    let threads = pool::threads();
    let window = WINDOW.min(seconds);
    for name in names {
        let (mut whole, mut beside, start) = (Vec::new(), Vec::new(), Instant::now());
        while whole.is_empty() || start.elapsed().as_secs_f64() < seconds {
            whole.push(together(name, threads, window)?);
            beside.extend(match threads {
                1 => bare(name, 0, window)?,
                _ => Some(of_env(name, 0, window)?),
            });
        }
        say_rate(&format!("ENV {name} hstep t{threads}"), &whole)?;
        if beside.is_empty() {
            continue;
        }
        // Ratios of neighbours in time: what else the machine does is in both.
        let pairs = || whole.iter().zip(&beside);
        if threads == 1 {
            say_rate(&format!("ENV {name} bare t1"), &beside)?;
            say!("SHARE {name} {:.3}", median(pairs().map(|(whole, bare)| whole.cpu / bare.cpu)))?;
        } else {
            say_rate(&format!("ENV {name} hstep t1"), &beside)?;
            say!("SCALING {name} {:.3}", median(pairs().map(|(all, one)| all.wall / one.wall)))?;
        }
    }
    Ok(())
}

fn say_rate(what: &str, rates: &[Rate]) -> Result<()> {
    let wall = || rates.iter().map(|rate| rate.wall);
    let (best, cpu) = (wall().fold(0.0, f64::max), median(rates.iter().map(|rate| rate.cpu)));
    say!("{what} med {:.1} best {best:.1} percpu {cpu:.1}", median(wall()))?;
    Ok(())
}
