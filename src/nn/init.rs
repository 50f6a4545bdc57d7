//! Seeded initialisers of weights and biases.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How the weights of a dense layer `[D,O]` start; biases start at zero unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with standard deviation `1 / (2 sqrt(D))`, redrawn beyond two deviations (PETS, MBPO).
    TruncatedNormal,
    /// Uniform within `sqrt(6 / (D + O))` (the fan-average rule of Glorot and Bengio).
    GlorotUniform,
    /// Weights and biases uniform within `1 / sqrt(D)`, torch's default for linear layers.
    FanInUniform,
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
        };
        (0..n).map(|_| uniform_within(bound, rng)).collect()
    }

    /// `n` biases of a layer with `fan_in` inputs.
    #[must_use]
    pub fn biases(self, n: usize, fan_in: usize, rng: &mut Rng) -> Vec<f64> {
        match self {
            Self::TruncatedNormal | Self::GlorotUniform => vec![0.0; n],
            Self::FanInUniform => {
                (0..n).map(|_| uniform_within(1.0 / (fan_in as f64).sqrt(), rng)).collect()
            }
        }
    }
}

fn uniform_within(bound: f64, rng: &mut Rng) -> f64 {
    bound * (2.0 * rng.uniform() - 1.0)
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
        assert!(Init::TruncatedNormal.biases(3, 25, &mut rng).iter().all(|b| *b == 0.0));
    }
}
