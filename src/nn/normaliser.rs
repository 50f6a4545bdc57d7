//! Standardisation of what a network reads and predicts.

use candle_core::Tensor;

use super::params::Params;
use crate::error::Result;
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

    /// Takes mean and standard deviation from what was seen so far; nothing seen is the identity.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] when the numbers cannot be stored.
    pub fn follow(&self, seen: &Moments) -> Result<()> {
        let n = seen.rows.max(1.0);
        let std = seen.squares.iter().map(|square| (square / n).sqrt());
        let std = std.map(|std| if std < STD_FLOOR { 1.0 } else { std });
        let flat: Vec<f64> = seen.mean.iter().copied().chain(std).collect();
        self.0.set_flat(&flat)
    }

    /// Mean and standard deviation a column as rows need them; `None` where they cannot be read.
    pub(crate) fn rows(&self) -> Option<RowNormaliser> {
        let narrow = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect();
        let (mean, std) = self.moments().ok()?;
        Some(RowNormaliser { mean: narrow(mean), std: narrow(std) })
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

/// [`Normaliser::apply`] on rows of `f32`.
pub(crate) struct RowNormaliser {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl RowNormaliser {
    /// The standardised numbers of one row.
    pub fn row<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        row.iter().zip(&self.mean).zip(&self.std).map(|((x, mean), std)| (x - mean) / std)
    }
}

/// `rows` of `width` as a network reads them: standardised into `room`, or as they are.
pub(crate) fn standardised<'a>(
    inputs: Option<&RowNormaliser>,
    rows: &'a [f32],
    width: usize,
    room: &'a mut Vec<f32>,
) -> &'a [f32] {
    let Some(inputs) = inputs else { return rows };
    room.clear();
    room.extend(rows.chunks_exact(width.max(1)).flat_map(|row| inputs.row(row)));
    room
}

/// Running mean and variance a column (Welford 1962), in `f64`.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    rows: f64,
    mean: Vec<f64>,
    /// Sum of squared distances from the mean.
    squares: Vec<f64>,
}

impl Moments {
    /// Nothing seen of `width` columns.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { rows: 0.0, mean: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[f32]) {
        self.rows += 1.0;
        for ((x, mean), square) in row.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let from_old = f64::from(*x) - *mean;
            *mean += from_old / self.rows;
            *square += from_old * (f64::from(*x) - *mean);
        }
    }

    /// All numbers in a row, for checkpoints: the count, the means, the squares.
    #[must_use]
    pub fn to_flat(&self) -> Vec<f64> {
        let numbers = self.mean.iter().chain(&self.squares).copied();
        std::iter::once(self.rows).chain(numbers).collect()
    }

    /// Goes on from what [`Moments::to_flat`] gave; `None` for another width.
    #[must_use]
    pub fn from_flat(&self, flat: &[f64]) -> Option<Self> {
        let (rows, numbers) = flat.split_first()?;
        let (mean, squares) = numbers.split_at_checked(self.mean.len())?;
        let same = squares.len() == mean.len();
        same.then(|| Self { rows: *rows, mean: mean.into(), squares: squares.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn running_moments_are_those_of_all_rows() {
        let mut rng = Rng::new(3);
        // In millimetres, far from zero, and one column that never changes.
        let rows: Vec<f32> = (0..300)
            .flat_map(|_| [1000.0 + 20.0 * rng.normal() as f32, rng.normal() as f32, 7.0])
            .collect();
        let [fitted, running] =
            std::array::from_fn(|_| Normaliser::identity(3, &Spec::f64()).unwrap());
        fitted.fit(&rows).unwrap();
        let mut seen = Moments::new(3);
        rows.chunks(3).for_each(|row| seen.push(row));
        running.follow(&seen).unwrap();
        let [(mean, std), (want_mean, want_std)] =
            [&running, &fitted].map(|normaliser| normaliser.moments().unwrap());
        for (got, want) in mean.iter().chain(&std).zip(want_mean.iter().chain(&want_std)) {
            assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{got} {want}");
        }
        assert_eq!(std[2], 1.0, "constant");
        assert_eq!(seen.from_flat(&seen.to_flat()), Some(seen.clone()));
        assert_eq!(seen.from_flat(&[1.0; 6]), None);
    }
}
