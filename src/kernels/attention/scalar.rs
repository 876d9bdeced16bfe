//! Attention to a page in plain Rust: the truth that the other instruction sets repeat.

use super::kernel::{Keys, PageKernel, Product};
use super::layout::{PAGE, scales};
use super::{bf16, bf16::halves, int16, softmax};
use crate::kernels::instructions::Scalar;
use crate::kernels::lanes::Plain;

impl PageKernel for Scalar {
    unsafe fn score<const HEADS: usize>(self, keys: Keys<'_, HEADS>, out: &mut [f32]) {
        let pairs = keys.pairs(out.len());
        let scales = scales(keys.block);
        for (head, out) in out.chunks_exact_mut(PAGE).enumerate() {
            let queries = &keys.queries[head * pairs..][..pairs];
            for (position, out) in out.iter_mut().enumerate() {
                let mut sum = 0_i32;
                for (pair, query) in queries.iter().enumerate() {
                    let [below, above] = [0, 1].map(|half| {
                        let key = keys.block[2 * (pair * PAGE + position) + half] as i16;
                        i32::from(key) * i32::from((query >> (16 * half)) as i16)
                    });
                    // Of keys that are not attended to, sums may be anything.
                    sum = sum.wrapping_add(above).wrapping_add(below);
                }
                *out = sum as f32 * (keys.scales[head] * scales[position]);
            }
        }
    }

    unsafe fn quantize_query(self, values: &[f32], words: &mut [u32]) -> f32 {
        int16::quantize_query(Plain, values, words)
    }

    unsafe fn mix<const HEADS: usize>(self, product: Product<'_>, out: &mut [f32]) {
        let (pairs, width) = product.sizes::<HEADS>(out.len());
        for (a, out) in product.a.chunks_exact(pairs).zip(out.chunks_exact_mut(width)) {
            for pair in product.pairs() {
                let mask = product.mask(pair);
                let [first, second] = halves(a[pair]);
                for (column, out) in out.iter_mut().enumerate() {
                    let (start, stride) = product.place(column, pairs, width);
                    let b = &product.b[start + pair * stride..][..2];
                    let word = u32::from(b[0]) | u32::from(b[1]) << 16;
                    let [above, below] = halves(word & mask);
                    *out = second.mul_add(below, first.mul_add(above, *out));
                }
            }
        }
    }

    unsafe fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    unsafe fn pack(self, values: &[f32], words: &mut [u32]) {
        bf16::pack(values, words);
    }
}
