//! `hstep bench`: how fast the parts of training run, in the format of the programs that run the
//! same work in other tools (`benches/peers`).

pub mod env;
mod error;
pub mod limit;
pub mod memory;
pub mod work;
pub mod workload;

use std::time::Instant;

use anyhow::Result;
use hstep::Error;
use hstep::pool;
use hstep::shape::Precision;
use rustix::time::{ClockId, clock_gettime};

use crate::cli::Bench;
use crate::output::say;
use work::Work;
use workload::{LIMIT, Sizes, Workload};

/// Seconds of a window; the median and the best of their rates are reported.
const WINDOW: f64 = 0.25;
/// Most seconds that are measured for.
const LONGEST: f64 = 1e6;
/// Most seconds of warming up.
const WARM_UP: f64 = 0.5;
/// Calls of warming up at least.
const WARM_UP_CALLS: usize = 2;

/// Measures what was asked for.
///
/// # Errors
/// [`Error::Config`] for an unknown workload, a time that is not positive, or a precision that the
/// workload does not have.
pub fn run(args: &Bench) -> Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= LONGEST) {
        let problem = format!("expected a number above 0, got {} (at most 1e6)", args.seconds);
        return Err(Error::config("--seconds", problem).into());
    }
    if let [word, names @ ..] = args.workloads.as_slice()
        && word == "env"
    {
        return env::run(names, args.seconds);
    }
    let wanted = workload::find(&args.workloads)?;
    let contender = match args.precision {
        Precision::F32 => "hstep",
        Precision::Bf16 => {
            if let Some((name, _)) = wanted.iter().find(|(_, workload)| !workload.is_forward()) {
                let problem =
                    format!("bf16 is for rollouts without gradients (c, d), not `{name}`");
                return Err(Error::config("--precision", problem).into());
            }
            if !hstep::nn::has_bf16() {
                let problem = "this processor does not multiply bfloat16 numbers (AVX-512 BF16); \
                               expected f32";
                return Err(Error::config("--precision", problem).into());
            }
            "hstep-bf16"
        }
    };
    let threads = pool::threads();
    let alone = !wanted.is_empty() && !args.workloads.iter().any(|name| name == LIMIT);
    let limit = limit::gflops(threads, args.seconds * if alone { 0.5 } else { 1.0 });
    say!("LIMIT t{threads} gflops {limit:.1}")?;
    for (name, workload) in wanted {
        let sizes = Sizes { precision: args.precision, ..Sizes::USUAL };
        let rates = measure(work::work(workload, &sizes)?, workload, args.seconds)?;
        let Rates { median, best, per_cpu } = rates;
        say!(
            "RESULT {name} {contender} t{threads} med {median:.3} best {best:.3} \
             percpu {per_cpu:.3}"
        )?;
        let gflops = median * workload.flops(&Sizes::USUAL) / 1e9;
        say!("FRACTION {name} t{threads} {:.3} gflops {gflops:.1}", gflops / limit)?;
        if args.precision != Precision::F32
            && let Some(error) = error::error(workload, &sizes)?
        {
            say!("ROUNDING {name} {contender} rms {error:.5}")?;
        }
    }
    Ok(())
}

/// Units of work a second.
struct Rates {
    /// The middle window (the upper one of two).
    median: f64,
    /// The best window.
    best: f64,
    /// A second of the processors, all windows together.
    per_cpu: f64,
}

/// Repeats `work` for `seconds` after warming up.
fn measure(mut work: Work, workload: Workload, seconds: f64) -> Result<Rates> {
    let first = Instant::now();
    repeat(&mut work, 0.0, 1)?;
    // A call of a second or more is its own warm-up.
    if first.elapsed().as_secs_f64() < 2.0 * WARM_UP {
        repeat(&mut work, WARM_UP.min(seconds), WARM_UP_CALLS - 1)?;
    }
    let units = workload.units() as f64;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let (mut windows, mut calls) = (Vec::new(), 0);
    while windows.is_empty() || start.elapsed().as_secs_f64() < seconds {
        let window = Instant::now();
        let n = repeat(&mut work, WINDOW.min(seconds), 1)?;
        windows.push(n as f64 * units / window.elapsed().as_secs_f64());
        calls += n;
    }
    // A clock that has not moved yet would make the rate infinite.
    let per_cpu = calls as f64 * units / (cpu_seconds() - cpu).max(1e-9);
    windows.sort_by(f64::total_cmp);
    let best = windows.last().copied().unwrap_or(f64::NAN);
    Ok(Rates { median: windows[windows.len() / 2], best, per_cpu })
}

/// Calls `work` until `seconds` have passed and it was called `calls` times; says how often it was.
///
/// # Errors
/// Those of `work`.
pub fn repeat(work: &mut Work, seconds: f64, calls: usize) -> Result<usize> {
    let (start, mut done) = (Instant::now(), 0);
    while done < calls || start.elapsed().as_secs_f64() < seconds {
        work()?;
        done += 1;
    }
    Ok(done)
}

/// Seconds that the processors have worked for this process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}
