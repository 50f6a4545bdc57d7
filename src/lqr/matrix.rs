//! Small dense matrices in `f64`: as much linear algebra as LQR needs.

use std::fmt;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// A dense matrix, row-major. Products and sums of matrices whose sizes do not fit are a caller's
/// mistake and give [`Error::Shape`].
#[derive(Clone, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Matrix {
    /// From an entry function `f(row, column)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let data = (0..rows * cols).map(|k| f(k / cols, k % cols)).collect();
        Self { rows, cols, data }
    }

    /// From rows of equal length.
    ///
    /// # Errors
    /// [`Error::Shape`] when their lengths differ.
    pub fn from_rows(rows: &[&[f64]]) -> Result<Self> {
        let cols = rows.first().map_or(0, |r| r.len());
        if let Some(odd) = rows.iter().find(|r| r.len() != cols) {
            return Err(Error::shape("matrix from rows", format!("rows of {cols}"), [odd.len()]));
        }
        Ok(Self { rows: rows.len(), cols, data: rows.concat() })
    }

    /// A square matrix with `entries` on its diagonal.
    #[must_use]
    pub fn diagonal(entries: &[f64]) -> Self {
        Self::from_fn(entries.len(), entries.len(), |i, j| if i == j { entries[i] } else { 0.0 })
    }

    /// The identity of size `n`.
    #[must_use]
    pub fn identity(n: usize) -> Self {
        Self::diagonal(&vec![1.0; n])
    }

    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// Entries drawn from the standard normal distribution, row by row.
    #[must_use]
    pub fn normal(rows: usize, cols: usize, rng: &mut Rng) -> Self {
        Self::from_fn(rows, cols, |_, _| rng.normal())
    }

    /// Number of rows and of columns.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The entries, row-major.
    #[must_use]
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// The entry at `(row, column)`; NaN outside the matrix.
    #[must_use]
    pub fn at(&self, row: usize, col: usize) -> f64 {
        if row < self.rows && col < self.cols { self.data[row * self.cols + col] } else { f64::NAN }
    }

    /// The transpose.
    #[must_use]
    pub fn t(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |i, j| self.at(j, i))
    }

    /// The symmetric part `(self + self') / 2` of a square matrix: products round the two halves
    /// of what is symmetric differently.
    #[must_use]
    pub fn symmetrised(&self) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| 0.5 * (self.at(i, j) + self.at(j, i)))
    }

    /// The product `self * other`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the inner sizes differ.
    pub fn mul(&self, other: &Self) -> Result<Self> {
        if self.cols != other.rows {
            let expected = format!("{} rows on the right", self.cols);
            return Err(Error::shape("matrix product", expected, other.dims()));
        }
        Ok(Self::from_fn(self.rows, other.cols, |i, j| {
            (0..self.cols).map(|k| self.at(i, k) * other.at(k, j)).sum()
        }))
    }

    /// The sum `self + factor * other`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the sizes differ.
    pub fn add(&self, factor: f64, other: &Self) -> Result<Self> {
        if self.dims() != other.dims() {
            return Err(Error::shape("matrix sum", format!("{:?}", self.dims()), other.dims()));
        }
        Ok(Self::from_fn(self.rows, self.cols, |i, j| self.at(i, j) + factor * other.at(i, j)))
    }

    /// `factor * self`.
    #[must_use]
    pub fn scale(&self, factor: f64) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| factor * self.at(i, j))
    }

    /// `left' * self * right`: a change of coordinates of a quadratic or bilinear form.
    ///
    /// # Errors
    /// [`Error::Shape`] when the sizes do not fit.
    pub fn between(&self, left: &Self, right: &Self) -> Result<Self> {
        left.t().mul(&self.mul(right)?)
    }

    /// The quadratic form `x' self x`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` does not fit.
    pub fn quadratic(&self, x: &[f64]) -> Result<f64> {
        let x = Self { rows: x.len(), cols: 1, data: x.to_vec() };
        Ok(self.between(&x, &x)?.at(0, 0))
    }

    /// The block of `rows x cols` entries from `(row, column)` on.
    ///
    /// # Errors
    /// [`Error::Shape`] when it reaches outside the matrix.
    pub fn block(&self, row: usize, col: usize, rows: usize, cols: usize) -> Result<Self> {
        if row + rows > self.rows || col + cols > self.cols {
            let expected = format!("at least {} rows, {} columns", row + rows, col + cols);
            return Err(Error::shape("matrix block", expected, self.dims()));
        }
        Ok(Self::from_fn(rows, cols, |i, j| self.at(row + i, col + j)))
    }

    /// `self` above `other`.
    ///
    /// # Errors
    /// [`Error::Shape`] when they have different numbers of columns.
    pub fn above(&self, other: &Self) -> Result<Self> {
        if self.cols != other.cols {
            let expected = format!("{} columns below", self.cols);
            return Err(Error::shape("stacked matrices", expected, other.dims()));
        }
        let data = self.data.iter().chain(&other.data).copied().collect();
        Ok(Self { rows: self.rows + other.rows, cols: self.cols, data })
    }

    /// The sum of the diagonal.
    #[must_use]
    pub fn trace(&self) -> f64 {
        (0..self.rows.min(self.cols)).map(|i| self.at(i, i)).sum()
    }

    /// The sum of absolute entries.
    #[must_use]
    pub fn l1(&self) -> f64 {
        self.data.iter().map(|x| x.abs()).sum()
    }

    /// The greatest absolute entry; NaN if there is one.
    #[must_use]
    pub fn max_abs(&self) -> f64 {
        self.data.iter().fold(0.0, |m, x| if x.abs() > m || x.is_nan() { x.abs() } else { m })
    }

    /// Solves `self * x = right` by elimination with row pivots.
    ///
    /// # Errors
    /// [`Error::Shape`] when the sizes do not fit; [`Error::Config`] when `self` is singular to
    /// working precision.
    pub fn solve(&self, right: &Self) -> Result<Self> {
        let n = self.rows;
        if self.cols != n || right.rows != n {
            let expected = format!("a square matrix of {} rows", right.rows);
            return Err(Error::shape("matrix to solve with", expected, self.dims()));
        }
        let (mut a, mut x) = (self.clone(), right.clone());
        let floor = f64::EPSILON * self.max_abs();
        for k in 0..n {
            let size = |m: &Self, i: usize| m.at(i, k).abs();
            let pivot = (k..n).fold(k, |p, i| if size(&a, i) > size(&a, p) { i } else { p });
            // NaN is not above the floor either.
            if size(&a, pivot).partial_cmp(&floor) != Some(std::cmp::Ordering::Greater) {
                return Err(Error::config("matrix", "singular to working precision"));
            }
            a.swap_rows(k, pivot);
            x.swap_rows(k, pivot);
            for i in (0..n).filter(|&i| i != k) {
                let factor = a.at(i, k) / a.at(k, k);
                a.subtract_row(i, factor, k);
                x.subtract_row(i, factor, k);
            }
        }
        Ok(Self::from_fn(n, x.cols, |i, j| x.at(i, j) / a.at(i, i)))
    }

    /// The lower triangle `L [n,n]` with `L L' = self`, of a symmetric positive semi-definite
    /// matrix (Cholesky). Only the lower half of `self` is read.
    ///
    /// # Errors
    /// [`Error::Shape`] when `self` is not square, [`Error::Config`] when it has a negative
    /// direction.
    pub fn cholesky(&self) -> Result<Self> {
        let n = self.rows;
        if self.cols != n {
            return Err(Error::shape("matrix to factor", "a square matrix", self.dims()));
        }
        let slack = n as f64 * f64::EPSILON * self.max_abs();
        let mut l = Self::zeros(n, n);
        for j in 0..n {
            for i in j..n {
                let rest = self.at(i, j) - (0..j).map(|c| l.at(i, c) * l.at(j, c)).sum::<f64>();
                let root = l.at(j, j);
                l.data[i * n + j] = match (i == j, root > 0.0) {
                    (true, _) if rest >= -slack => rest.max(0.0).sqrt(),
                    (false, true) => rest / root,
                    (false, false) if rest.abs() <= slack => 0.0,
                    _ => {
                        return Err(Error::config("matrix", "expected no negative eigenvalue"));
                    }
                };
            }
        }
        Ok(l)
    }

    /// The largest singular value; NaN when an entry is not finite.
    ///
    /// Power iteration by repeated squaring of `X'X`: after 60 squarings it has converged to
    /// machine precision unless two singular values agree to 1e-15, when either will do.
    ///
    /// # Errors
    /// None for any matrix; the products inside always fit.
    pub fn spectral_norm(&self) -> Result<f64> {
        let gram = self.t().mul(self)?;
        let size = gram.trace();
        if size == 0.0 {
            return Ok(0.0);
        }
        let mut power = gram.scale(1.0 / size);
        for _ in 0..60 {
            power = power.mul(&power)?;
            power = power.scale(1.0 / power.trace());
        }
        // `power` is now the projection on the leading singular vectors, of trace one.
        Ok(gram.mul(&power)?.trace().sqrt())
    }

    fn swap_rows(&mut self, i: usize, j: usize) {
        for k in 0..self.cols {
            self.data.swap(i * self.cols + k, j * self.cols + k);
        }
    }

    fn subtract_row(&mut self, i: usize, factor: f64, from: usize) {
        for k in 0..self.cols {
            self.data[i * self.cols + k] -= factor * self.data[from * self.cols + k];
        }
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.data.chunks(self.cols.max(1))).finish()
    }
}
