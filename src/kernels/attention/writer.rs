//! How a position's keys and values get into its page.

use super::layout::{Layout, PAGE, RowPlace, SCALES, slot};
use super::{bf16, int16};
use crate::kernels::lanes::Lanes;
use crate::kernels::{BLOCK, disjoint::Disjoint};

/// Writes the keys and values of rows in a layer, on any number of threads.
pub(in crate::kernels) struct PageWriter<'a> {
    pub(super) memory: Disjoint<'a, u16>,
    pub(super) layout: Layout,
    pub(super) layer: usize,
    /// Of each row.
    pub(super) places: &'a [RowPlace],
}

impl PageWriter<'_> {
    /// Writes a row's key and value of a KV head. A key's quants are the nearest of some 32,760 to
    /// its length; values are rounded to the nearest bf16, to even ones from the middle.
    ///
    /// # Safety
    /// Nobody reads the places of the rows, and no two threads write the same row at once.
    ///
    /// # Panics
    /// When there is no such place, or a slice has not `head_dim` values.
    #[inline(always)]
    pub unsafe fn write<L: Lanes>(
        &self,
        lanes: L,
        row: usize,
        kv_head: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let PageWriter { memory, layout, layer, places } = self;
        let RowPlace { page, offset } = places[row];
        let at = layout.block(page, *layer, kv_head);
        let head_dim = layout.shape.head_dim;
        assert!(offset < PAGE, "position {offset} of a page");
        assert!(key.len() == head_dim && value.len() == head_dim, "keys of {head_dim}");
        let scales_at = at + PAGE * head_dim;
        let values_at = scales_at + SCALES;
        let scale = int16::quantize(lanes, key, |first, quants| {
            // Rounding is vector code; the elements go to places that are apart.
            for (dim, pair) in (first..).step_by(2).zip(quants.as_chunks::<2>().0) {
                let word = at + slot(dim + 1, offset, head_dim, PAGE);
                // SAFETY: both halves of the word belong to this position alone.
                unsafe { memory.part(word..word + 2) }.copy_from_slice(&[pair[1], pair[0]]);
            }
        });
        let (bits, scale_at) = (scale.to_bits(), scales_at + 2 * offset);
        // SAFETY: the scale belongs to this position alone.
        unsafe { memory.part(scale_at..scale_at + 2) }
            .copy_from_slice(&[bits as u16, (bits >> 16) as u16]);
        let mut elements = [0; BLOCK];
        for (block, values) in value.as_chunks::<BLOCK>().0.iter().enumerate() {
            for (element, value) in elements.iter_mut().zip(values) {
                *element = (bf16::rounded(*value) >> 16) as u16;
            }
            let place = values_at + slot(offset, block * BLOCK, PAGE, head_dim);
            for (dim, bf16) in elements.into_iter().enumerate() {
                // SAFETY: the element belongs to this position alone.
                unsafe { memory.set(place + 2 * dim, bf16) };
            }
        }
    }
}
