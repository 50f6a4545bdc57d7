//! Seeded initialisers of weights and biases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How the weights of a dense layer `[D,O]` start; biases start at zero unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with standard deviation `1 / (2 sqrt(D))`, redrawn beyond two deviations (PETS, MBPO).
    TruncatedNormal,
    /// Uniform within `sqrt(6 / (D + O))` (the fan-average rule of Glorot and Bengio).
    GlorotUniform,
    /// Weights and biases uniform within `1 / sqrt(D)`, torch's default for linear layers.
    FanInUniform,
    /// Normal with standard deviation `sqrt(2 / D)` (He et al. 2015), biases with `1 / (2 sqrt(D))`:
    /// the released code of Kubo et al. 2025, for ensembles.
    HeNormal,
    /// Rows or columns orthonormal, whichever are fewer (Saxe et al. 2014).
    Orthogonal,
}

impl Init {
    /// `n` weights of a layer with `fan_in` inputs and `fan_out` outputs.
    #[must_use]
    pub fn weights(self, n: usize, fan_in: usize, fan_out: usize, rng: &mut Rng) -> Vec<f64> {
        let bound = match self {
            Self::TruncatedNormal => {
                let std = 0.5 / (fan_in as f64).sqrt();
                return (0..n).map(|_| std * truncated_normal(rng)).collect();
            }
            Self::GlorotUniform => (6.0 / (fan_in + fan_out) as f64).sqrt(),
            Self::FanInUniform => 1.0 / (fan_in as f64).sqrt(),
            Self::HeNormal => {
                let std = (2.0 / fan_in as f64).sqrt();
                return (0..n).map(|_| std * rng.normal()).collect();
            }
            Self::Orthogonal => {
                let members = n / (fan_in * fan_out).max(1);
                return (0..members).flat_map(|_| orthogonal(fan_in, fan_out, rng)).collect();
            }
        };
        (0..n).map(|_| uniform_within(bound, rng)).collect()
    }

    /// `n` biases of a layer with `fan_in` inputs.
    #[must_use]
    pub fn biases(self, n: usize, fan_in: usize, rng: &mut Rng) -> Vec<f64> {
        match self {
            Self::TruncatedNormal | Self::GlorotUniform | Self::Orthogonal => vec![0.0; n],
            Self::HeNormal => {
                let spread = 0.5 / (fan_in as f64).sqrt();
                (0..n).map(|_| spread * rng.normal()).collect()
            }
            Self::FanInUniform => {
                (0..n).map(|_| uniform_within(1.0 / (fan_in as f64).sqrt(), rng)).collect()
            }
        }
    }
}

fn uniform_within(bound: f64, rng: &mut Rng) -> f64 {
    bound * (2.0 * rng.uniform() - 1.0)
}

/// A matrix `[D,O]`, row-major, of orthonormal rows or columns: Gram and Schmidt's of normal numbers,
/// twice over, which keeps the angles right to rounding.
fn orthogonal(fan_in: usize, fan_out: usize, rng: &mut Rng) -> Vec<f64> {
    let (few, long) = (fan_in.min(fan_out), fan_in.max(fan_out));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let mut all: Vec<Vec<f64>> = Vec::with_capacity(few);
    while all.len() < few {
        let mut new: Vec<f64> = (0..long).map(|_| rng.normal()).collect();
        for other in all.iter().chain(&all) {
            let along = dot(&new, other);
            new.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
        }
        let norm = dot(&new, &new).sqrt();
        new.iter_mut().for_each(|x| *x /= norm);
        all.push(new);
    }
    let at = |d: usize, o: usize| if fan_in <= fan_out { all[d][o] } else { all[o][d] };
    (0..fan_in).flat_map(|d| (0..fan_out).map(move |o| (d, o))).map(|(d, o)| at(d, o)).collect()
}

/// A standard normal number given that it lies within two deviations (95 % are accepted).
fn truncated_normal(rng: &mut Rng) -> f64 {
    loop {
        let z = rng.normal();
        if z.abs() <= 2.0 {
            return z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(x: &[f64]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn spreads_are_those_of_the_papers() {
        let mut rng = Rng::new(1);
        let n = 40_000;
        let (mean, std) = moments(&Init::TruncatedNormal.weights(n, 25, 7, &mut rng));
        // A normal cut at two deviations keeps 0.8796 of its standard deviation.
        assert!(mean.abs() < 2e-3 && (std / 0.1 - 0.8796).abs() < 0.01, "{mean} {std}");
        let glorot = Init::GlorotUniform.weights(n, 25, 29, &mut rng);
        let (_, std) = moments(&glorot);
        assert!((std * 3f64.sqrt() * 3.0 - 1.0).abs() < 0.02, "{std}");
        let fan_in = Init::FanInUniform.biases(n, 25, &mut rng);
        assert!(fan_in.iter().all(|b| b.abs() <= 0.2));
        assert!((moments(&fan_in).1 * 3f64.sqrt() / 0.2 - 1.0).abs() < 0.02);
        let (_, std) = moments(&Init::HeNormal.weights(n, 25, 7, &mut rng));
        assert!((std / (2.0f64 / 25.0).sqrt() - 1.0).abs() < 0.02, "{std}");
        assert!(Init::TruncatedNormal.biases(3, 25, &mut rng).iter().all(|b| *b == 0.0));
    }

    #[test]
    fn orthogonal_matrices_keep_lengths() {
        for (fan_in, fan_out) in [(3, 8), (8, 3), (5, 5)] {
            let w =
                Init::Orthogonal.weights(2 * fan_in * fan_out, fan_in, fan_out, &mut Rng::new(2));
            assert_ne!(w[0], w[fan_in * fan_out], "members differ");
            for own in w.chunks(fan_in * fan_out) {
                let row = |d: usize, o: usize| own[d * fan_out + o];
                let few = fan_in.min(fan_out);
                for (i, j) in (0..few).flat_map(|i| (0..few).map(move |j| (i, j))) {
                    let product: f64 = match fan_in <= fan_out {
                        true => (0..fan_out).map(|o| row(i, o) * row(j, o)).sum(),
                        false => (0..fan_in).map(|d| row(d, i) * row(d, j)).sum(),
                    };
                    let want = f64::from(u8::from(i == j));
                    assert!((product - want).abs() < 1e-12, "{i} {j} {product}");
                }
            }
        }
    }
}
