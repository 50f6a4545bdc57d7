//! mimalloc with a count of the bytes in use, for as long as somebody counts.
//!
//! The process's resident size would not do: the allocator keeps what was freed, in whole pages.
//! An allocator is a trait of raw pointers, so this module may use `unsafe`; it passes every one on
//! as it came.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use mimalloc::MiMalloc;

/// The allocator of the binary.
pub struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// Bytes beyond those in use when the counting began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// In use now.
    pub live: i64,
    /// The most that ever were.
    pub peak: i64,
}

/// Counts from 0 from now on, on all threads.
pub fn start() {
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
}

/// What was counted since [`start`].
pub fn read() -> Bytes {
    Bytes { live: LIVE.load(Relaxed), peak: PEAK.load(Relaxed) }
}

/// Where nobody counts, a load and a branch.
fn add(bytes: impl FnOnce() -> i64) {
    if COUNTS.load(Relaxed) {
        let bytes = bytes();
        PEAK.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

fn taken(p: *mut u8, bytes: usize) -> *mut u8 {
    add(|| if p.is_null() { 0 } else { bytes as i64 });
    p
}

// SAFETY: every call goes to mimalloc with the arguments it came with, and nothing here allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        taken(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        taken(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        add(|| -(layout.size() as i64));
        // SAFETY: the caller's.
        unsafe { MiMalloc.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        let moved = unsafe { MiMalloc.realloc(p, layout, size) };
        add(|| if moved.is_null() { 0 } else { size as i64 - layout.size() as i64 });
        moved
    }
}
