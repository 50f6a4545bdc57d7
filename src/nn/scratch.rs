//! Buffers that are used again: what an operation keeps for its backward pass is as large each
//! time, and clearing or mapping fresh memory costs as much as a tenth of a matrix product.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::kernel::Real;

/// Numbers that the shelves hold at most: 256 MB of `f32`.
const MOST: usize = 64 << 20;

/// Buffers nobody uses at present.
pub struct Shelf<T> {
    free: Vec<Vec<T>>,
    held: usize,
}

impl<T> Shelf<T> {
    /// An empty shelf.
    pub const fn new() -> Self {
        Self { free: Vec::new(), held: 0 }
    }
}

/// `len` numbers of arbitrary value (what an earlier user left); goes back to the shelf when dropped.
pub(crate) struct Scratch<T: Real> {
    data: Vec<T>,
    len: usize,
}

impl<T: Real> Scratch<T> {
    /// A buffer of `len` numbers to be overwritten.
    pub fn take(len: usize) -> Self {
        // Sizes are rounded up so that nearly equal requests share buffers.
        let size = len.next_multiple_of(1024);
        let mut shelf = T::shelf().lock().unwrap_or_else(PoisonError::into_inner);
        let fit = shelf.free.iter().rposition(|b| (size..=2 * size).contains(&b.len()));
        let data = fit.map(|i| shelf.free.swap_remove(i));
        shelf.held -= data.as_ref().map_or(0, Vec::len);
        drop(shelf);
        Self { data: data.unwrap_or_else(|| vec![T::default(); size]), len }
    }
}

impl<T: Real> Drop for Scratch<T> {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let mut shelf = T::shelf().lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.held + data.len() <= MOST {
            shelf.held += data.len();
            shelf.free.push(data);
        }
    }
}

impl<T: Real> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[..self.len]
    }
}

impl<T: Real> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[..self.len]
    }
}

/// The shelf of one number type, as [`Real::shelf`] gives it.
pub type Shelved<T> = Mutex<Shelf<T>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_length_asked_for() {
        for len in [0, 1, 1023, 1024, 1025, 5000] {
            let mut buffer = Scratch::<f32>::take(len);
            assert_eq!(buffer.len(), len);
            buffer.fill(7.0);
            assert!(buffer.iter().all(|x| *x == 7.0));
        }
    }

    #[test]
    fn two_buffers_at_once_do_not_share() {
        let (mut a, mut b) = (Scratch::<f64>::take(100), Scratch::<f64>::take(100));
        a.fill(1.0);
        b.fill(2.0);
        assert!(a.iter().all(|x| *x == 1.0) && b.iter().all(|x| *x == 2.0));
    }
}
