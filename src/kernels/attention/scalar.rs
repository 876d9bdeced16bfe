//! Attention to a page in plain Rust: the truth that the other instruction sets repeat.

use super::pages::{slot, widen};
use super::{Kernel, Product, softmax};

/// The kernel that every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

impl Kernel for Scalar {
    fn multiply<const HEADS: usize>(self, product: Product, out: &mut [f32]) {
        let Product { a, b, rows, columns, .. } = product;
        let (length, width) = (a.len() / HEADS, out.len() / HEADS);
        for (a, out) in a.chunks_exact(length).zip(out.chunks_exact_mut(width)) {
            for row in rows.clone() {
                for column in columns.clone() {
                    let b = widen(b[row * width + slot(column)]);
                    out[column] = a[row].mul_add(b, out[column]);
                }
            }
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }
}
