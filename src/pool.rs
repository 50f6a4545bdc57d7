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
/// Null until work is shared for the first time, and in a fork of the process.
static WORKERS: AtomicPtr<Workers> = AtomicPtr::new(std::ptr::null_mut());
/// Held while helpers are started. The one to be held in a fork is another one, so that none is inherited
/// in a locked state.
static STARTING: [Mutex<bool>; 2] = [Mutex::new(false), Mutex::new(false)];
static FORKED: AtomicUsize = AtomicUsize::new(0);

/// How long a helper waits awake for more work before it sleeps.
const AWAKE: Duration = Duration::from_micros(200);

/// A helper that is waited for so much longer than its caller worked has lost its core to another process.
const LOST: Duration = Duration::from_millis(1);

/// For how long a caller then works alone: at first, and while it goes on.
const ALONE: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(160)];

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

/// In [`Workers::state`]: helpers at work in the low half, then whether there is work to join, then a
/// count of the jobs.
const OPEN: u64 = 1 << 32;
const NEXT: u64 = 1 << 33;
const AT_WORK: u64 = OPEN - 1;

/// Whether the caller works alone because other processes have the cores. Two threads that wait for each
/// other's turns are slower than one.
#[derive(Debug, Default)]
struct Crowding {
    until: Option<Instant>,
    span: Duration,
}

impl Crowding {
    fn alone(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// After a job on which the caller worked from `began` to `done`, and then waited until `now`.
    fn note(&mut self, began: Instant, done: Instant, now: Instant) {
        let waited = now - done;
        if waited > LOST && waited > done - began {
            self.span = (2 * self.span).clamp(ALONE[0], ALONE[1]);
            self.until = Some(now + self.span);
        } else {
            self.span /= 2;
        }
    }
}

/// The helpers, and the one job they share.
struct Workers {
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// Held by the caller whose job it is.
    caller: Mutex<Crowding>,
    asleep: AtomicUsize,
    parked: Mutex<()>,
    wake: Condvar,
    /// How long a helper waits awake.
    awake: Duration,
}

impl Workers {
    /// Starts `n` helpers; `None` when the system refuses.
    fn start(n: usize, awake: Duration) -> Option<&'static Self> {
        let workers: &'static Self = Box::leak(Box::new(Self {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            caller: Mutex::default(),
            asleep: AtomicUsize::new(0),
            parked: Mutex::new(()),
            wake: Condvar::new(),
            awake,
        }));
        for i in 0..n {
            let thread = std::thread::Builder::new().name(format!("hstep-{i}"));
            thread.spawn(|| workers.help()).ok()?;
        }
        Some(workers)
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
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            self.asleep.fetch_add(1, Ordering::SeqCst);
            while !is_new(self.state.load(Ordering::SeqCst)) {
                parked = self.wake.wait(parked).unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Runs `work` here and on every helper that comes in time; `false` when another caller, or this
    /// one further up, has the helpers, or other processes have the cores.
    fn share(&self, work: &(dyn Fn() + Sync)) -> bool {
        let mut crowding = match self.caller.try_lock() {
            Ok(caller) => caller,
            // An earlier job panicked; it has ended like any other.
            Err(TryLockError::Poisoned(caller)) => caller.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let began = Instant::now();
        if crowding.alone(began) {
            return false;
        }
        let job = Job { work, panic: Mutex::new(None) };
        self.job.store((&raw const job).cast_mut().cast(), Ordering::SeqCst);
        let number = self.state.load(Ordering::SeqCst) / NEXT + 1;
        self.state.store((number * NEXT) | OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            let _parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(work));
        let done = Instant::now();
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
        crowding.note(began, done, Instant::now());
        let panic = job.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(panic) {
            resume_unwind(panic);
        }
        true
    }
}

/// `None` with one thread, or when the system refuses to start any.
fn workers() -> Option<&'static Workers> {
    let known = || {
        let known = WORKERS.load(Ordering::SeqCst);
        // SAFETY: null, or leaked by `Workers::start`.
        unsafe { known.as_ref() }
    };
    if let Some(workers) = known() {
        return Some(workers);
    }
    let n = threads();
    if n == 1 {
        return None;
    }
    let starting = &STARTING[FORKED.load(Ordering::SeqCst) % 2];
    let mut refused = starting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(workers) = known() {
        return Some(workers);
    }
    if *refused {
        return None;
    }
    let started = Workers::start(n - 1, AWAKE);
    *refused = started.is_none();
    if let Some(workers) = started {
        WORKERS.store(std::ptr::from_ref(workers).cast_mut(), Ordering::SeqCst);
    }
    started
}

/// Says that this process is a fork of the one that started the helpers: only the thread that forked is in
/// it. Helpers are started anew where work is shared next. To be called in the child, before anything else.
pub fn after_fork() {
    FORKED.fetch_add(1, Ordering::SeqCst);
    WORKERS.store(std::ptr::null_mut(), Ordering::SeqCst);
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
    let workers = (parallel && tasks.len() > 1 && !SERIAL.get()).then(workers).flatten();
    let Some(workers) = workers else { return tasks.into_iter().for_each(f) };
    let slots: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|t| Mutex::new(Some(t))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::SeqCst)) {
            let task = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            task.into_iter().for_each(&f);
        }
    };
    if !workers.share(&work) {
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
            let Some(workers) = Workers::start(3, awake) else { return };
            for round in 0..2000usize {
                let n = round % 7;
                let (next, ran) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 7]);
                let shared = workers.share(&|| {
                    while let i @ ..7 = next.fetch_add(1, Ordering::SeqCst) {
                        if i < n {
                            ran[i].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
                // Helpers that lose their core are let go; all the same each task runs once.
                if !shared {
                    continue;
                }
                for (i, ran) in ran.iter().enumerate() {
                    assert_eq!(ran.load(Ordering::SeqCst), usize::from(i < n));
                }
            }
        }
    }

    #[test]
    fn a_job_within_a_job_is_refused_and_a_panic_comes_out() {
        let Some(workers) = Workers::start(2, AWAKE) else { return };
        let share = |work: &(dyn Fn() + Sync)| {
            *workers.caller.lock().unwrap_or_else(PoisonError::into_inner) = Crowding::default();
            workers.share(work)
        };
        let nested = AtomicUsize::new(0);
        share(&|| {
            nested.fetch_add(usize::from(workers.share(&|| ())), Ordering::SeqCst);
        });
        assert_eq!(nested.load(Ordering::SeqCst), 0);
        let caught = catch_unwind(AssertUnwindSafe(|| share(&|| resume_unwind(Box::new(5u8)))));
        assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&5));
        assert!(share(&|| ()), "the helpers are still there");
    }

    #[test]
    fn a_caller_works_alone_while_helpers_lose_their_cores() {
        let (mut crowding, mut now) = (Crowding::default(), Instant::now());
        let mut job = |own: u64, waited: u64| {
            let done = now + Duration::from_micros(own);
            crowding.note(now, done, done + Duration::from_micros(waited));
            now = done + Duration::from_micros(waited);
            let span =
                crowding.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            now += span;
            assert!(!crowding.alone(now));
            span
        };
        let ms = Duration::from_millis;
        assert_eq!(job(100, 900), ms(0), "a short wait");
        assert_eq!(job(9_000, 6_000), ms(0), "uneven work");
        let crowded: Vec<_> = (0..8).map(|_| job(100, 3_000)).collect();
        assert_eq!(crowded, [5, 10, 20, 40, 80, 160, 160, 160].map(ms));
        (0..3).for_each(|_| assert_eq!(job(100, 10), ms(0)));
        assert_eq!(job(100, 3_000), ms(40), "as before, less what went well");
    }
}
