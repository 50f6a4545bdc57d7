//! Bounds of the value: slow quantiles of what a step can be worth for ever.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::Params;
use crate::shape::Spec;

/// How the bounds of the value are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BoundsConfig {
    /// Share of the rewards below the lower bound, and above the upper one. 0.01: code (Kubo et al.
    /// 2025).
    pub quantile: f64,
    /// Share by which a bound moves to the newest quantile, every update. 3e-4: code.
    pub rate: f64,
}

impl Default for BoundsConfig {
    fn default() -> Self {
        Self { quantile: 0.01, rate: 3e-4 }
    }
}

impl BoundsConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `critic.bounds`.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..0.5).contains(&self.quantile) {
            let problem = format!("expected a number in [0, 0.5), got {}", self.quantile);
            return Err(Error::config("critic.bounds.quantile", problem));
        }
        crate::check::fraction("critic.bounds.rate", self.rate)
    }
}

/// The bounds `low` and `high` of a critic's values (Kubo et al. 2025): the slow means of two
/// quantiles of `(r - alpha log pi) / (1 - gamma)`. The network's outputs are scaled by the half width
/// and the centre, and the values of targets are clipped. -1 and 1 until something was seen. A clone
/// shares the numbers.
#[derive(Debug, Clone)]
pub struct ValueBounds {
    config: BoundsConfig,
    /// `low`, `high`, and whether something was seen.
    numbers: Params,
}

impl ValueBounds {
    /// Bounds that nothing was seen for.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn new(config: &BoundsConfig, spec: &Spec) -> Result<Self> {
        let start = ("bounds".to_string(), vec![3], vec![-1.0, 1.0, 0.0]);
        Ok(Self { config: config.clone(), numbers: Params::new(&[start], spec)?.frozen() })
    }

    /// `low` and `high`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when they cannot be read.
    pub fn get(&self) -> Result<(f64, f64)> {
        let numbers = self.numbers.to_flat()?;
        Ok((numbers[0], numbers[1]))
    }

    /// Half their distance.
    ///
    /// # Errors
    /// As [`ValueBounds::get`].
    pub fn half_width(&self) -> Result<f64> {
        let (low, high) = self.get()?;
        Ok(0.5 * (high - low))
    }

    /// The values that outputs of a network stand for; within the bounds if `clipped`, with no gradient
    /// where they are met.
    ///
    /// # Errors
    /// [`Error::Tensor`] when candle refuses the tensor.
    pub fn scale(&self, out: &Tensor, clipped: bool) -> Result<Tensor> {
        let (low, high) = self.get()?;
        let q = out.affine(0.5 * (high - low), 0.5 * (high + low))?;
        Ok(if clipped { q.clamp(low, high)? } else { q })
    }

    /// Moves towards the quantiles of `gains`, each a reward less its cost, at discount `gamma`; the
    /// first ones are taken as they are.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when one of them is not finite.
    pub fn follow(&self, gains: &[f64], gamma: f64) -> Result<()> {
        if gains.iter().any(|gain| !gain.is_finite()) {
            let quantity = "reward that bounds the value".to_string();
            return Err(Error::NonFinite { quantity, step: String::new() });
        }
        if gains.is_empty() {
            return Ok(());
        }
        let mut sorted = gains.to_vec();
        sorted.sort_by(f64::total_cmp);
        // A discount of 1 has no sum to bound by.
        let scale = 1.0 / (1.0 - gamma).max(1e-6);
        let share = self.config.quantile;
        let new = [share, 1.0 - share].map(|share| scale * quantile(&sorted, share));
        let numbers = self.numbers.to_flat()?;
        let rate = if numbers[2] == 0.0 { 1.0 } else { self.config.rate };
        let moved = |old: f64, new: f64| if rate < 1.0 { old + rate * (new - old) } else { new };
        self.numbers.set_flat(&[moved(numbers[0], new[0]), moved(numbers[1], new[1]), 1.0])
    }

    /// The numbers, for checkpoints.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.numbers
    }
}

/// The quantile `share` of sorted numbers, interpolated linearly (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::to_f64;

    #[test]
    fn bounds_take_the_first_quantiles_and_then_move_slowly() {
        let spec = Spec::f64();
        let config = BoundsConfig { quantile: 0.25, rate: 0.1 };
        let bounds = ValueBounds::new(&config, &spec).unwrap();
        assert_eq!(bounds.get().unwrap(), (-1.0, 1.0));
        // Quantiles 1 and 3 of 0..4; a discount of 0.5 doubles them.
        bounds.follow(&[4.0, 0.0, 3.0, 1.0, 2.0], 0.5).unwrap();
        assert_eq!(bounds.get().unwrap(), (2.0, 6.0));
        bounds.follow(&[10.0, 10.0], 0.5).unwrap();
        let (low, high) = bounds.get().unwrap();
        assert!((low - 3.8).abs() < 1e-12 && (high - 7.4).abs() < 1e-12, "{low} {high}");

        // Half width 1.8, centre 5.6.
        let out = spec.tensor(&[0.0, 1.0, -2.0], 3).unwrap();
        let close = |got: &Tensor, want: [f64; 3]| {
            to_f64(got).unwrap().iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12)
        };
        assert!(close(&bounds.scale(&out, false).unwrap(), [5.6, 7.4, 2.0]));
        assert!(close(&bounds.scale(&out, true).unwrap(), [5.6, 7.4, 3.8]));

        let error = bounds.follow(&[f64::NAN], 0.5).unwrap_err().to_string();
        assert!(error.contains("reward that bounds the value"), "{error}");
    }
}
