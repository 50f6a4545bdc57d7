#![no_main]

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

// The main of libFuzzer is not Rust's, which ignores SIGPIPE (13) by SIG_IGN (1) in every program.
libfuzzer_sys::fuzz_target!(
    init: {
        // SAFETY: the C library's own function, with the constants of Linux, before any thread is started.
        unsafe { signal(13, 1) };
    },
    |data: &[u8]| hstep_fuzz::frames(data)
);
