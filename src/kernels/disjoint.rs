//! A slice that several threads write at once, each in places of its own.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice whose parts are handed out by promise instead of by split.
///
/// Kernels write tiles and rows that interleave in memory, which `split_at_mut` cannot express.
/// Copies are the same slice: promises are made of all of them together.
pub(super) struct Disjoint<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Disjoint<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// The part at `range`.
    ///
    /// # Safety
    /// While the result lives, no other part that overlaps `range` may live or be read, on any thread.
    ///
    /// # Panics
    /// When `range` is not inside the slice.
    #[allow(clippy::mut_from_ref, reason = "that is what the type is for")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "{range:?} of {}",
            self.length
        );
        // SAFETY: the range is inside the slice that `self` borrows mutably, and the caller
        // promises that nobody else holds a part of it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The part at `range`, to be read.
    ///
    /// # Safety
    /// While the result lives, no part that overlaps `range` may live and no element of it be
    /// replaced, on any thread.
    ///
    /// # Panics
    /// When `range` is not inside the slice.
    pub unsafe fn read(&self, range: Range<usize>) -> &[T] {
        let Range { start, end } = range;
        assert!(start <= end && end <= self.length, "{start}..{end} of {}", self.length);
        // SAFETY: the range is inside the slice that `self` borrows, and nobody writes there, as
        // the caller promises.
        unsafe { std::slice::from_raw_parts(self.start.add(start), end - start) }
    }

    /// Replaces the element at `index`.
    ///
    /// # Safety
    /// No part holds it, and no other thread replaces it meanwhile.
    ///
    /// # Panics
    /// When `index` is not inside the slice.
    #[inline(always)]
    pub unsafe fn set(&self, index: usize, value: T)
    where
        T: Copy,
    {
        assert!(index < self.length, "{index} of {}", self.length);
        // SAFETY: the element is inside the slice that `self` borrows mutably, and the caller
        // promises that nobody else uses it.
        unsafe { self.start.add(index).write(value) };
    }
}

// SAFETY: `part`, `read` and `set` give access to the elements, and their callers promise that what
// one thread writes no other reads or writes meanwhile. Parts move elements between threads (`Send`),
// and what is read may be read by several at once (`Sync`).
unsafe impl<T: Send + Sync> Sync for Disjoint<'_, T> {}
// SAFETY: copies of it are the same borrow, so sending one shares the slice, as above.
unsafe impl<T: Send + Sync> Send for Disjoint<'_, T> {}
