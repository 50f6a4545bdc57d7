//! The threads that share work: panics, nesting, many callers.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use hstep::pool;

/// The sum of the squares below `n`, a task each.
fn squares(n: u64) -> u64 {
    let sum = AtomicU64::new(0);
    pool::for_each((0..n).collect(), true, |i| {
        sum.fetch_add(i * i, Ordering::SeqCst);
    });
    sum.into_inner()
}

fn by_formula(n: u64) -> u64 {
    (n - 1) * n * (2 * n - 1) / 6
}

#[test]
fn a_panic_in_a_task_comes_out_and_the_threads_go_on() {
    // Whichever thread takes it; and one in every task.
    for bad in (0..40u64).map(Some).chain([None]) {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool::for_each((0..40u64).collect(), true, |i| {
                if bad.is_none_or(|bad| bad == i) {
                    resume_unwind(Box::new(7u8));
                }
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&7), "{bad:?}");
        assert_eq!(squares(50), by_formula(50));
    }
}

#[test]
fn tasks_within_tasks_run_once() {
    let sum = AtomicU64::new(0);
    pool::for_each((1..9u64).collect(), true, |i| {
        pool::for_each((1..9u64).collect(), true, |j| {
            pool::for_each_index(3, |k| {
                sum.fetch_add(i * j * k as u64, Ordering::SeqCst);
            });
        });
    });
    assert_eq!(sum.into_inner(), 36 * 36 * 3);
}

#[test]
fn many_callers_at_once_get_their_own_results() {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8u64)
            .map(|caller| {
                scope.spawn(move || {
                    for round in 0..300 {
                        let n = 1 + (caller * 31 + round * 7) % 60;
                        assert_eq!(squares(n), by_formula(n), "caller {caller}, round {round}");
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}
