//! Seeded randomness: one stream from the run's seed, forked by name; and keys for noise that is a
//! function of (row, step).
//!
//! candle's CPU generator cannot be seeded, so nothing in this library uses it.

mod chacha;
mod gaussian;
mod key;

pub use key::Key;

use candle_core::Tensor;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::shape::Spec;

/// A seeded stream of random numbers (ChaCha, 8 rounds) whose position can be saved and restored.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

/// The position of an [`Rng`]: what a checkpoint stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngState {
    seed: [u8; 32],
    stream: u64,
    // u128 is split because TOML and some JSON readers stop at 64 bits.
    word_high: u64,
    word_low: u64,
}

/// FNV-1a: turns a fork's name into a ChaCha stream number.
fn stream_of(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl Rng {
    /// The root stream of a run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn from_key(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// An independent stream for `name`.
    ///
    /// It depends on this stream's seed and on the name, never on how much was drawn so far: adding
    /// a draw in one place does not shift the randomness of another.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        let mut parent = ChaCha8Rng::from_seed(self.0.get_seed());
        parent.set_stream(stream_of(name));
        let mut seed = [0; 32];
        parent.fill_bytes(&mut seed);
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Draws a [`Key`]: noise that is a function of (row, step) alone.
    pub fn key(&mut self) -> Key {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Key::new(seed)
    }

    /// A uniform number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        unit(self.0.next_u64())
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// A uniform index below `n`.
    ///
    /// # Panics
    /// Never: `n = 0` yields 0, and callers check for empty ranges.
    pub fn below(&mut self, n: usize) -> usize {
        // Multiply-shift; its bias is below n / 2^64.
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// A random order of `0..n` (Fisher-Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }

    /// A tensor of standard normal numbers.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when candle refuses the shape.
    pub fn normals(&mut self, shape: impl Into<candle_core::Shape>, spec: &Spec) -> Result<Tensor> {
        let shape = shape.into();
        let data: Vec<f64> = (0..shape.elem_count()).map(|_| self.normal()).collect();
        spec.tensor(&data, shape)
    }

    /// Where the stream stands.
    #[must_use]
    pub fn state(&self) -> RngState {
        let word = self.0.get_word_pos();
        RngState {
            seed: self.0.get_seed(),
            stream: self.0.get_stream(),
            word_high: (word >> 64) as u64,
            word_low: word as u64,
        }
    }

    /// A stream that goes on from `state`.
    #[must_use]
    pub fn from_state(state: &RngState) -> Self {
        let mut rng = ChaCha8Rng::from_seed(state.seed);
        rng.set_stream(state.stream);
        rng.set_word_pos((u128::from(state.word_high) << 64) | u128::from(state.word_low));
        Self(rng)
    }
}

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The eight words of a ChaCha key.
fn key_words(seed: &[u8; 32]) -> [u32; 8] {
    std::array::from_fn(|w| u32::from_le_bytes(std::array::from_fn(|i| seed[4 * w + i])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_ignore_what_was_drawn_and_differ_by_name() {
        let mut a = Rng::new(3);
        let before = a.fork("model").uniform();
        a.uniform();
        assert_eq!(before, a.fork("model").uniform());
        assert_ne!(before, a.fork("policy").uniform());
        assert_ne!(before, Rng::new(4).fork("model").uniform());
    }

    #[test]
    fn a_saved_position_goes_on_bit_for_bit() {
        let mut a = Rng::new(11).fork("x");
        for _ in 0..17 {
            a.normal();
        }
        let text = serde_json::to_string(&a.state()).unwrap();
        let mut b = Rng::from_state(&serde_json::from_str(&text).unwrap());
        for _ in 0..50 {
            assert_eq!(a.normal().to_bits(), b.normal().to_bits());
            assert_eq!(a.below(1000), b.below(1000));
        }
    }

    #[test]
    fn keyed_noise_does_not_depend_on_blocking() {
        let key = Rng::new(0).key();
        let whole = key.normals(0, 8, 3, 5, &Spec::f64()).unwrap();
        let part = key.normals(4, 2, 3, 5, &Spec::f64()).unwrap();
        assert_eq!(
            crate::shape::to_f64(&whole.narrow(0, 4, 2).unwrap()).unwrap(),
            crate::shape::to_f64(&part).unwrap()
        );
    }

    #[test]
    fn moments_are_those_of_the_standard_normal() {
        let key = Rng::new(5).key();
        let x = crate::shape::to_f64(&key.normals(0, 50_000, 3, 0, &Spec::f64()).unwrap()).unwrap();
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let kurtosis = x.iter().map(|v| (v - mean).powi(4)).sum::<f64>() / n / var.powi(2);
        // Standard errors: 0.0026, 0.0037, 0.013.
        assert!(mean.abs() < 0.011 && (var - 1.0).abs() < 0.015 && (kurtosis - 3.0).abs() < 0.06);
    }
}
