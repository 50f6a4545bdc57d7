//! How fast this machine multiplies matrices in single precision: what no workload can exceed.
//!
//! `gemm::gemm` takes raw pointers; the one call here is to squares of known size that a thread
//! owns, so this module may use `unsafe`.
#![allow(unsafe_code)]

use std::sync::Barrier;
use std::time::{Duration, Instant};

use gemm::Parallelism;

/// `(m, n, k)` of the products tried: those of the networks, and larger ones.
const SHAPES: [(usize, usize, usize); 4] =
    [(256, 256, 256), (256, 200, 200), (512, 512, 512), (768, 768, 768)];
/// Seconds a rate is taken over. Short, so that one of them is not disturbed.
const WINDOW: f64 = 0.02;

/// Operands and result of one thread.
struct Product {
    shape: (usize, usize, usize),
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new(shape @ (m, n, k): (usize, usize, usize)) -> Self {
        let numbers = |len: usize| (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
        Self { shape, a: numbers(m * k), b: numbers(k * n), c: vec![0.0; m * n] }
    }

    /// `c = a b`, row-major.
    fn run(&mut self) {
        let (m, n, k) = self.shape;
        // SAFETY: a, b and c hold m k, k n and m n numbers, row-major, and c is borrowed
        // exclusively.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                self.c.as_mut_ptr(),
                1,
                n as isize,
                false,
                self.a.as_ptr(),
                1,
                k as isize,
                self.b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
        std::hint::black_box(&mut self.c);
    }

    /// Floating-point operations a second over one window.
    fn rate(&mut self, window: f64) -> f64 {
        let (m, n, k) = self.shape;
        let (start, mut products) = (Instant::now(), 0.0);
        loop {
            self.run();
            products += 1.0;
            let seconds = start.elapsed().as_secs_f64();
            if seconds >= window {
                return products * 2.0 * (m * n * k) as f64 / seconds;
            }
        }
    }
}

/// The best rate of all `threads` together, in GFLOP/s, each multiplying its own matrices; about
/// `seconds` are spent on it.
pub fn gflops(threads: usize, seconds: f64) -> f64 {
    let window = WINDOW.min(seconds / SHAPES.len() as f64);
    let best = SHAPES.iter().map(|&shape| {
        let end = Duration::from_secs_f64(seconds / SHAPES.len() as f64);
        best_of(threads, shape, window, end)
    });
    best.fold(0.0, f64::max) / 1e9
}

/// The best window of one shape: all threads start a window together.
fn best_of(threads: usize, shape: (usize, usize, usize), window: f64, end: Duration) -> f64 {
    let windows = ((end.as_secs_f64() / window) as usize).max(1);
    let barrier = Barrier::new(threads);
    let rates: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut product = Product::new(shape);
                    product.run();
                    let one = |_| {
                        barrier.wait();
                        product.rate(window)
                    };
                    (0..windows).map(one).collect::<Vec<f64>>()
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let total = |i: usize| rates.iter().map(|rate| rate[i]).sum::<f64>();
    (0..windows).map(total).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_a_product() {
        let mut product = Product::new((3, 2, 4));
        product.run();
        for i in 0..3 {
            for j in 0..2 {
                let want: f32 = (0..4).map(|l| product.a[4 * i + l] * product.b[2 * l + j]).sum();
                // Four products of numbers below one half, in another order.
                assert!((product.c[2 * i + j] - want).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_rate_is_positive_on_several_threads() {
        assert!(gflops(2, 0.001) > 0.0);
    }
}
