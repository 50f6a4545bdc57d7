//! The command line of hstep: train, resume, evaluate, report, reproduce, check.

use std::process::ExitCode;

use hstep_experiments::{Counting, Registry};

/// A training step frees and takes the same large blocks over and over; the system's allocator gives
/// them back in between, and fresh pages cost a clearing each.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// mimalloc's number for the milliseconds after which it gives unused memory back, and what they are
/// set to. Its own 10 ms are less than one training step: every step would take its blocks anew.
const PURGE_DELAY: (std::ffi::c_int, std::ffi::c_long) = (15, 10_000);

#[allow(unsafe_code)]
fn keep_memory_for_the_next_step() {
    // SAFETY: sets one number of the allocator, before any other thread exists.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY.0, PURGE_DELAY.1) };
}

fn main() -> ExitCode {
    keep_memory_for_the_next_step();
    Registry::new().main()
}
