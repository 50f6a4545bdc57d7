//! The process-wide thread pool.
//!
//! Work is split by shape, never by the number of threads, and partial sums are added in index
//! order: results are bit-equal for any number of threads.

use std::cell::Cell;
use std::sync::OnceLock;

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::error::{Error, Result};

static THREADS: OnceLock<usize> = OnceLock::new();
static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();

/// Sets the number of threads; to be called once, before the first use.
///
/// # Errors
/// [`Error::Config`] for 0, or when another number is already in use.
pub fn set_threads(n: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::config("threads", "expected at least 1, got 0"));
    }
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
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// `None` with one thread, or when the system refuses to start any.
fn pool() -> Option<&'static rayon::ThreadPool> {
    POOL.get_or_init(|| {
        let n = threads();
        let builder = rayon::ThreadPoolBuilder::new().num_threads(n);
        if n == 1 { None } else { builder.thread_name(|i| format!("hstep-{i}")).build().ok() }
    })
    .as_ref()
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
pub fn for_each<T: Send>(tasks: Vec<T>, parallel: bool, f: impl Fn(T) + Sync + Send) {
    let parallel = parallel && tasks.len() > 1 && !SERIAL.get();
    // Asked for last: a process without large work starts no threads.
    match parallel.then(pool).flatten() {
        Some(pool) => pool.install(|| tasks.into_par_iter().with_max_len(1).for_each(f)),
        None => tasks.into_iter().for_each(f),
    }
}
