//! Attention to a page in plain Rust: the truth that the other instruction sets repeat.

use std::ops::Range;

use super::pages::{PAGE, slot, widen};
use super::{Kernel, softmax};

/// The kernel that every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

impl Kernel for Scalar {
    fn score<const HEADS: usize>(
        self,
        q: &[f32],
        keys: &[u16],
        positions: Range<usize>,
        scores: &mut [f32],
    ) {
        let heads = q.chunks_exact(q.len() / HEADS).zip(scores.chunks_exact_mut(PAGE));
        for (q, scores) in heads {
            for position in positions.clone() {
                let mut score = 0.0;
                for (q, row) in q.iter().zip(keys.chunks_exact(PAGE)) {
                    score = q.mul_add(widen(row[slot(position)]), score);
                }
                scores[position] = score;
            }
        }
    }

    fn softmax<const HEADS: usize>(self, scores: &mut [f32]) -> [f32; HEADS] {
        softmax::in_place(scores)
    }

    fn mix<const HEADS: usize>(
        self,
        weights: &[f32],
        values: &[u16],
        positions: Range<usize>,
        out: &mut [f32],
    ) {
        let head_dim = out.len() / HEADS;
        let heads = weights.chunks_exact(PAGE).zip(out.chunks_exact_mut(head_dim));
        for (weights, out) in heads {
            for position in positions.clone() {
                let row = &values[position * head_dim..][..head_dim];
                for (dim, out) in out.iter_mut().enumerate() {
                    *out = weights[position].mul_add(widen(row[slot(dim)]), *out);
                }
            }
        }
    }
}
