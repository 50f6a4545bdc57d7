#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hstep_fuzz::metrics(data));
