//! Standardisation of model inputs and targets.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::Params;
use crate::shape::Spec;

/// Columns whose standard deviation lies below this count as constant: they are centred only.
const STD_FLOOR: f64 = 1e-6;

/// `(x - mean) / std` a column; the identity until fitted. A clone shares the numbers.
#[derive(Debug, Clone)]
pub struct Normaliser(Params);

impl Normaliser {
    /// The identity over `width` columns.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when memory runs out.
    pub fn identity(width: usize, spec: &Spec) -> Result<Self> {
        let entries = [
            ("mean".to_owned(), vec![width], vec![0.0; width]),
            ("std".to_owned(), vec![width], vec![1.0; width]),
        ];
        Ok(Self(Params::new(&entries, spec)?.frozen()))
    }

    /// Takes mean and standard deviation from `rows` of [`Normaliser::width`] columns, row-major.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when the numbers cannot be stored.
    pub fn fit(&self, rows: &[f32]) -> Result<()> {
        let width = self.width();
        let n = (rows.len() / width.max(1)).max(1) as f64;
        let (mut mean, mut var) = (vec![0.0; width], vec![0.0; width]);
        for row in rows.chunks_exact(width.max(1)) {
            row.iter().zip(&mut mean).for_each(|(x, m)| *m += f64::from(*x) / n);
        }
        for row in rows.chunks_exact(width.max(1)) {
            for ((x, m), v) in row.iter().zip(&mean).zip(&mut var) {
                *v += (f64::from(*x) - m).powi(2) / n;
            }
        }
        let std = var.iter().map(|v| if v.sqrt() < STD_FLOOR { 1.0 } else { v.sqrt() });
        // Laid out as in `identity`: the means, then the standard deviations.
        let flat: Vec<f64> = mean.iter().copied().chain(std).collect();
        self.0.set_flat(&flat)
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.len() / 2
    }

    /// Mean and standard deviation a column.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when the numbers cannot be read.
    pub fn moments(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut mean = self.0.to_flat()?;
        let std = mean.split_off(self.width());
        Ok((mean, std))
    }

    /// Standardises rows `[B,width]`; no gradient reaches the statistics.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for rows of another width.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_sub(&self.0.view("mean")?)?.broadcast_div(&self.0.view("std")?)?)
    }

    /// Standardises numbers in place, row-major.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when the statistics cannot be read.
    pub fn apply_slice(&self, rows: &mut [f32]) -> Result<()> {
        let (mean, std) = self.moments()?;
        for row in rows.chunks_exact_mut(self.width().max(1)) {
            for ((x, m), s) in row.iter_mut().zip(&mean).zip(&std) {
                *x = ((f64::from(*x) - m) / s) as f32;
            }
        }
        Ok(())
    }

    /// The opposite of [`Normaliser::apply`], for tensors `[..,width]`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for rows of another width.
    pub fn undo(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.undo_scale(x)?.broadcast_add(&self.0.view("mean")?)?)
    }

    /// `std x`: what [`Normaliser::undo`] does to differences and standard deviations.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] for rows of another width.
    pub fn undo_scale(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_mul(&self.0.view("std")?)?)
    }

    /// The statistics as parameters, for checkpoints.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.0
    }
}
