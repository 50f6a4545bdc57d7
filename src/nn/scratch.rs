//! Buffers that are used again: what an operation keeps for its backward pass is as large each
//! time, and clearing or mapping fresh memory costs as much as a tenth of a matrix product.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Numbers that a free list holds at most: 256 MB of `f32`.
const MOST: usize = 64 << 20;

/// Buffers that nobody uses at present.
pub(crate) struct FreeList<T> {
    free: Vec<Vec<T>>,
    held: usize,
}

impl<T> FreeList<T> {
    const fn new() -> Mutex<Self> {
        Mutex::new(Self { free: Vec::new(), held: 0 })
    }
}

/// Number types that buffers are kept of.
pub(crate) trait Buffered: Copy + Default + 'static {
    /// The one list of this type.
    fn free_list() -> &'static Mutex<FreeList<Self>>;
}

impl Buffered for f32 {
    fn free_list() -> &'static Mutex<FreeList<Self>> {
        static FREE: Mutex<FreeList<f32>> = FreeList::new();
        &FREE
    }
}

impl Buffered for f64 {
    fn free_list() -> &'static Mutex<FreeList<Self>> {
        static FREE: Mutex<FreeList<f64>> = FreeList::new();
        &FREE
    }
}

/// `len` numbers of arbitrary value (what an earlier user left); goes back to the free list when
/// dropped.
pub(crate) struct Scratch<T: Buffered> {
    data: Vec<T>,
    len: usize,
}

impl<T: Buffered> Scratch<T> {
    /// A buffer of `len` numbers to be overwritten.
    pub fn take(len: usize) -> Self {
        // Sizes are rounded up so that nearly equal requests share buffers.
        let size = len.next_multiple_of(1024);
        let mut list = T::free_list().lock().unwrap_or_else(PoisonError::into_inner);
        let fit = list.free.iter().rposition(|b| (size..=2 * size).contains(&b.len()));
        let data = fit.map(|i| list.free.swap_remove(i));
        list.held -= data.as_ref().map_or(0, Vec::len);
        drop(list);
        Self { data: data.unwrap_or_else(|| vec![T::default(); size]), len }
    }
}

impl<T: Buffered> Drop for Scratch<T> {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let mut list = T::free_list().lock().unwrap_or_else(PoisonError::into_inner);
        if list.held + data.len() <= MOST {
            list.held += data.len();
            list.free.push(data);
        }
    }
}

impl<T: Buffered> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[..self.len]
    }
}

impl<T: Buffered> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[..self.len]
    }
}

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
