//! Loops compiled for several widths of vector registers.
//!
//! The compiler turns a plain loop over slices or arrays into vector instructions, but only into
//! those that every processor of the target has. `vectorised!` compiles a loop for each width and
//! asks the processor at run time. It needs `unsafe` because a function compiled for an extension
//! may be called only where the extension is there, which is what has just been asked.
//!
//! All versions of a loop do the same operations in the same order (Rust never contracts `a * b + c`
//! by itself), so their results are bit-equal.

/// Compiles a function for any x86-64, for AVX2 and for AVX-512, and picks at run time.
macro_rules! vectorised {
    (
        $(#[$doc:meta])*
        $vis:vis fn $name:ident $(<$t:ident: $bound:ident>)? ($($arg:ident: $ty:ty),* $(,)?)
        $(-> $out:ty)? $body:block
    ) => {
        $(#[$doc])*
        $vis fn $name $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
            #[inline(always)]
            fn body $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq")]
                fn avx512 $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
                    body($($arg),*)
                }
                let wide = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq");
                if wide {
                    // SAFETY: the processor has just said that it has the three extensions.
                    #[allow(unsafe_code)]
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just said that it has AVX2.
                    #[allow(unsafe_code)]
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}

pub(crate) use vectorised;
