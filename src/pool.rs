//! The process-wide threads that share large pieces of work.
//!
//! Work is split by shape, never by the number of threads, and partial sums are added in index
//! order: results are bit-equal for any number of threads.
//!
//! A gradient step hands out some sixty pieces of about 100 microseconds. A general thread pool takes
//! 20 to 130 microseconds to wake its threads for each (measured on two cores); here they wait
//! awake for a while and begin within a few, which is why this is not left to one. Unsafe for one
//! reason: the helpers are older than the work, which borrows from its caller's stack, so it is
//! handed over as a pointer. The caller does not return before every helper has let go of it.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

static THREADS: OnceLock<usize> = OnceLock::new();
static CREW: OnceLock<Option<&'static Crew>> = OnceLock::new();

/// How long a helper waits awake for more work before it sleeps.
const AWAKE: Duration = Duration::from_micros(200);

/// The most threads that can be asked for, where the machine offers fewer.
const MOST: usize = 256;

/// Sets the number of threads; to be called once, before the first use.
///
/// # Errors
/// [`Error::Config`] for 0, for many more than the machine offers, or when another number is already in use.
pub fn set_threads(n: usize) -> Result<()> {
    // More than the machine has are no faster; many more end in a system that gives no memory for one.
    let most = available().max(MOST);
    crate::check::count("threads", n, most)?;
    let in_use = *THREADS.get_or_init(|| n);
    if in_use == n {
        return Ok(());
    }
    let problem =
        format!("cannot change to {n}: the pool already has {in_use}; set it at start-up");
    Err(Error::config("threads", problem))
}

/// The number of threads in use: what [`set_threads`] said, else what the machine offers.
pub fn threads() -> usize {
    *THREADS.get_or_init(available)
}

/// The threads that the machine offers.
fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Work that helpers may join: called once by each, it returns when nothing is left to begin.
struct Job<'a> {
    work: &'a (dyn Fn() + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// In [`Crew::state`]: helpers at work in the low half, then whether there is work to join, then a
/// count of the jobs.
const OPEN: u64 = 1 << 32;
const NEXT: u64 = 1 << 33;
const AT_WORK: u64 = OPEN - 1;

/// The helpers, and the one job they share.
struct Crew {
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// Held by the caller whose job it is.
    caller: Mutex<()>,
    asleep: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
    /// How long a helper waits awake.
    awake: Duration,
}

impl Crew {
    /// Starts `n` helpers; `None` when the system refuses.
    fn start(n: usize, awake: Duration) -> Option<&'static Self> {
        let crew: &'static Self = Box::leak(Box::new(Self {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            caller: Mutex::new(()),
            asleep: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
            awake,
        }));
        for i in 0..n {
            let thread = std::thread::Builder::new().name(format!("hstep-{i}"));
            thread.spawn(|| crew.help()).ok()?;
        }
        Some(crew)
    }

    /// A helper's life.
    fn help(&self) {
        let mut done = 0;
        loop {
            let state = self.wait_for_work(done);
            let joined = state + 1;
            if self
                .state
                .compare_exchange(state, joined, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
            {
                continue;
            }
            done = state / NEXT;
            // SAFETY: the job was open when this helper was counted among those at work, and its
            // caller keeps it alive until none is.
            let job = unsafe { &*self.job.load(Ordering::SeqCst) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job.work)) {
                *job.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The state once there is a job after number `done`.
    fn wait_for_work(&self, done: u64) -> u64 {
        let is_new = |state: u64| state & OPEN != 0 && state / NEXT != done;
        loop {
            let since = Instant::now();
            while since.elapsed() < self.awake {
                for _ in 0..64 {
                    let state = self.state.load(Ordering::SeqCst);
                    if is_new(state) {
                        return state;
                    }
                    std::hint::spin_loop();
                }
            }
            let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.asleep.fetch_add(1, Ordering::SeqCst);
            while !is_new(self.state.load(Ordering::SeqCst)) {
                bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Runs `work` here and on every helper that comes in time; `false` when another caller, or this
    /// one further up, has the helpers.
    fn share(&self, work: &(dyn Fn() + Sync)) -> bool {
        let _caller = match self.caller.try_lock() {
            Ok(caller) => caller,
            // An earlier job panicked; it has ended like any other.
            Err(TryLockError::Poisoned(caller)) => caller.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let job = Job { work, panic: Mutex::new(None) };
        self.job.store((&raw const job).cast_mut().cast(), Ordering::SeqCst);
        let number = self.state.load(Ordering::SeqCst) / NEXT + 1;
        self.state.store((number * NEXT) | OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            let _bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.alarm.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(work));
        // Nobody joins from here on; those at work finish what they have begun.
        self.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut rounds = 0u32;
        while self.state.load(Ordering::SeqCst) & AT_WORK > 0 {
            rounds += 1;
            // A helper that has lost its core to another process needs this one.
            if rounds > 10_000 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        let panic = job.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(panic) {
            resume_unwind(panic);
        }
        true
    }
}

/// `None` with one thread, or when the system refuses to start any.
fn crew() -> Option<&'static Crew> {
    *CREW.get_or_init(|| match threads() {
        1 => None,
        n => Crew::start(n - 1, AWAKE),
    })
}

/// Calls `f(0)`, ..., `f(n - 1)`, on all threads. The calls must not depend on each other.
pub fn for_each_index(n: usize, f: impl Fn(usize) + Sync + Send) {
    for_each((0..n).collect(), true, f);
}

thread_local! {
    static SERIAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` without handing any of its work to other threads: for work that is itself one task of
/// many, and for tests that one thread and several give equal bits.
pub fn serially<R>(f: impl FnOnce() -> R) -> R {
    /// Restores the flag even when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SERIAL.set(self.0);
        }
    }
    let _restore = Restore(SERIAL.replace(true));
    f()
}

/// Hands every task to `f`; on all threads if `parallel` (decided by shape alone), else in order.
/// Tasks within tasks run where they are.
pub fn for_each<T: Send>(tasks: Vec<T>, parallel: bool, f: impl Fn(T) + Sync + Send) {
    // Asked for last: a process without large work starts no threads.
    let crew = (parallel && tasks.len() > 1 && !SERIAL.get()).then(crew).flatten();
    let Some(crew) = crew else { return tasks.into_iter().for_each(f) };
    let slots: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|t| Mutex::new(Some(t))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::SeqCst)) {
            let task = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            task.into_iter().for_each(&f);
        }
    };
    if !crew.share(&work) {
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_share_many_jobs_and_each_task_runs_once() {
        // Helpers that stay awake, and such as sleep after every job.
        for awake in [AWAKE, Duration::ZERO] {
            let Some(crew) = Crew::start(3, awake) else { return };
            for round in 0..2000usize {
                let n = round % 7;
                let (next, ran) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 7]);
                let shared = crew.share(&|| {
                    while let i @ ..7 = next.fetch_add(1, Ordering::SeqCst) {
                        if i < n {
                            ran[i].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
                assert!(shared);
                for (i, ran) in ran.iter().enumerate() {
                    assert_eq!(ran.load(Ordering::SeqCst), usize::from(i < n));
                }
            }
        }
    }

    #[test]
    fn a_job_within_a_job_is_refused_and_a_panic_comes_out() {
        let Some(crew) = Crew::start(2, AWAKE) else { return };
        let nested = AtomicUsize::new(0);
        crew.share(&|| {
            nested.fetch_add(usize::from(crew.share(&|| ())), Ordering::SeqCst);
        });
        assert_eq!(nested.load(Ordering::SeqCst), 0);
        let caught =
            catch_unwind(AssertUnwindSafe(|| crew.share(&|| resume_unwind(Box::new(5u8)))));
        assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&5));
        assert!(crew.share(&|| ()), "the helpers are still there");
    }
}
