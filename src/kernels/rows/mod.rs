//! What happens to rows of activations between two matrix products: residual, norm, and
//! quantization for the next product; heads, their rotation, and storing of keys and values.
//!
//! Rows are independent, and each is computed in one fixed order.

mod heads;
pub(super) mod kernel;
mod norm;

use std::ops::Range;
use std::sync::Arc;

pub use heads::{Heads, MAX_HEAD_DIM, Projections, Rope, RopePairing};
pub use norm::Norm;

use super::attention::PageShare;
use super::disjoint::Disjoint;
use super::quantized::RowWriter;
use super::{Executor, Pool, Precision, Quantized, Tiled};
use heads::TakeHeads;
use norm::{AddAndNorm, Quantize};

/// Rows that one task computes: enough work to be worth a task, few enough to share out evenly.
/// Neighbouring tasks go to one thread, since rows share lines of what they write.
const ROWS_PER_TASK: usize = 8;

/// hidden += update, normalised by `post` where there is one; then, where `next` is given, the
/// normalised sum is quantized into `out`. `hidden` is (rows, width), row by row.
///
/// # Panics
/// Where the shapes differ.
pub fn add_and_norm(
    exec: &mut Executor,
    hidden: &mut [f32],
    update: Option<(&Tiled, Option<Norm<'_>>)>,
    next: Option<(Norm<'_>, &Arc<Precision>, &mut Quantized)>,
) {
    let width = match (&update, &next) {
        (_, Some((norm, ..))) => norm.weight.len(),
        (Some((update, _)), None) => update.width(),
        (None, None) => return,
    };
    let rows = hidden.len() / width;
    assert_eq!(hidden.len(), rows * width);
    if let Some((update, _)) = &update {
        assert_eq!((update.rows(), update.width()), (rows, width));
    }
    let (kernel, hidden) = (exec.isa.rows, Disjoint::new(hidden));
    let next = next.map(|(norm, precision, out)| {
        assert_eq!(precision.width(), width, "columns of the next product's inputs");
        out.resize(rows, precision);
        (norm, RowWriter::new(out))
    });
    for_rows(&mut exec.pool, rows, |rows| {
        // SAFETY: every row belongs to one task.
        let hidden = unsafe { hidden.part(rows.start * width..rows.end * width) };
        let next = next.as_ref().map(|(norm, out)| (*norm, out));
        // SAFETY: as above, and the kernel exists only where the processor has its instruction set.
        unsafe { kernel.add_and_norm(AddAndNorm { rows, hidden, update, next }) };
    });
}

/// Quantizes rows of `values` (rows, width of `precision`) as they are.
pub fn quantize(
    exec: &mut Executor,
    values: &[f32],
    precision: &Arc<Precision>,
    out: &mut Quantized,
) {
    let (kernel, rows) = (exec.isa.rows, values.len() / precision.width());
    out.resize(rows, precision);
    let out = &RowWriter::new(out);
    for_rows(&mut exec.pool, rows, |rows| {
        // SAFETY: every row belongs to one task, and the kernel exists only where the processor has
        // its instruction set.
        unsafe { kernel.quantize(Quantize { rows, values, out }) };
    });
}

/// Takes heads out of a product, whose rows are those of `kv` and stand at `positions`, and stores
/// keys and values in a layer. `queries` is (rows, heads · head_dim).
///
/// # Panics
/// Where shapes differ, heads are wider than [`MAX_HEAD_DIM`], or there is no such layer.
pub fn take_heads(
    exec: &mut Executor,
    product: &Tiled,
    positions: &[usize],
    projections: &Projections<'_>,
    queries: &mut [f32],
    kv: &mut PageShare<'_>,
    layer: usize,
) {
    let Projections { query, key, value } = projections;
    let (rows, shape, width) = (positions.len(), kv.shape(), query.width());
    assert_eq!((product.rows(), kv.rows(), queries.len()), (rows, rows, rows * width));
    for heads in [key, value] {
        assert_eq!((heads.heads, heads.head_dim), (shape.kv_heads, shape.head_dim));
    }
    assert!(shape.head_dim <= MAX_HEAD_DIM, "heads of {}", shape.head_dim);
    let (kernel, queries) = (exec.isa.rows, Disjoint::new(queries));
    let writer = &kv.writer(layer);
    for_rows(&mut exec.pool, rows, |rows| {
        // SAFETY: every row belongs to one task.
        let queries = unsafe { queries.part(rows.start * width..rows.end * width) };
        let work = TakeHeads { rows, product, positions, projections, queries, writer };
        // SAFETY: as above, and the kernel exists only where the processor has its instruction set.
        unsafe { kernel.take_heads(work) };
    });
    kv.has_stored(layer);
}

/// Calls `work` for all rows, some neighbours at a time, and each once.
fn for_rows(pool: &mut Pool, rows: usize, work: impl Fn(Range<usize>) + Sync) {
    pool.run_neighbours(rows.div_ceil(ROWS_PER_TASK), 1, |_, task| {
        work(task * ROWS_PER_TASK..rows.min((task + 1) * ROWS_PER_TASK));
    });
}

#[cfg(test)]
mod tests;
