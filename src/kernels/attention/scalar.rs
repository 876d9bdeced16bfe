//! Attention to a page in plain Rust: the truth that the other instruction sets repeat.

use super::{Kernel, Product, halves, pack, softmax};

/// The kernel that every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

impl Kernel for Scalar {
    fn multiply<const HEADS: usize>(self, product: Product, out: &mut [f32]) {
        let (pairs, width) = product.sizes::<HEADS>(out.len());
        for (a, out) in product.a.chunks_exact(pairs).zip(out.chunks_exact_mut(width)) {
            for pair in product.pairs() {
                let mask = product.mask(pair);
                let [first, second] = halves(a[pair]);
                for column in product.columns.clone() {
                    let (start, stride) = product.place(column, pairs, width);
                    let b = &product.b[start + pair * stride..][..2];
                    let word = u32::from(b[0]) | u32::from(b[1]) << 16;
                    let [above, below] = halves(word & mask);
                    out[column] = second.mul_add(below, first.mul_add(above, out[column]));
                }
            }
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    fn pack(self, values: &[f32], words: &mut [u32]) {
        pack(values, words);
    }
}
