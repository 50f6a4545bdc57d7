//! Matrix products of slices.
//!
//! `unsafe`, because the matrix product of the `gemm` crate takes raw pointers; the wrappers here
//! check every length.
#![allow(unsafe_code)]

use super::Real;

/// A matrix read in place: strides in elements from row to row and from column to column.
struct View<'a, T> {
    data: &'a [T],
    row: usize,
    column: usize,
}

impl<T> View<'_, T> {
    /// Whether a matrix `[rows,columns]` lies within the data.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `out [m,n] <- a [m,k] b [k,n]`.
fn product<T: Real>(out: &mut [T], (m, k, n): (usize, usize, usize), a: &View<T>, b: &View<T>) {
    assert!(out.len() == m * n && a.holds(m, k) && b.holds(k, n), "matrix product");
    // SAFETY: the three matrices lie within their slices (checked above), `out` is dense, written
    // whole and not aliased, and T is f32 or f64, which gemm supports.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::default(),
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out [m,n] <- x [m,k] w [k,n]`.
pub(in crate::nn) fn x_w<T: Real>(out: &mut [T], x: &[T], w: &[T], m: usize, k: usize, n: usize) {
    let (a, b) = (View { data: x, row: k, column: 1 }, View { data: w, row: n, column: 1 });
    product(out, (m, k, n), &a, &b);
}

/// `out [m,k] <- dz [m,n] w^T [n,k]`: the gradient of the input.
pub(in crate::nn) fn dz_wt<T: Real>(
    out: &mut [T],
    dz: &[T],
    w: &[T],
    m: usize,
    k: usize,
    n: usize,
) {
    let (a, b) = (View { data: dz, row: n, column: 1 }, View { data: w, row: 1, column: n });
    product(out, (m, n, k), &a, &b);
}

/// `out [j,n] <- x^T dz [m,n]`, where `x` has `m` rows of length `k` and the first `j` columns are
/// meant: the gradient of `j` rows of the weights.
pub(in crate::nn) fn xt_dz<T: Real>(
    out: &mut [T],
    x: &[T],
    dz: &[T],
    m: usize,
    k: usize,
    n: usize,
) {
    let (a, b) = (View { data: x, row: 1, column: k }, View { data: dz, row: n, column: 1 });
    product(out, (out.len() / n, m, n), &a, &b);
}
