//! How near attention comes to the processor's peak of multiply-adds of bf16, where it has such, or
//! else of f32.
//!
//! Four query heads of 256 dimensions share a KV head, as in Gemma 3 270M. "warm" rows attend to
//! one sequence, as in prefill; "cold" rows to a sequence each, as in decoding, whose keys and
//! values come from memory: all layers of a model take their turns, so that nothing stays in a cache.
//! Run by `cargo bench --bench attention`; `WENZHAI_ISA` chooses the instruction set.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::time::{Duration, Instant};

use wenzhai::kernels::attention::{
    AttentionScratch, PAGE, PageId, PagePool, PageShape, Queries, Query, RowPlace, attend,
};
use wenzhai::kernels::{Executor, Isa};

const HEADS: usize = 4;
const HEAD_DIM: usize = 256;
const LAYERS: usize = 18;
/// Rows of a phase.
const ROWS: usize = 64;
/// How long runs go on, of which the best counts, since cores may be shared.
const PATIENCE: Duration = Duration::from_millis(700);

fn main() {
    let isa = Isa::detect().expect("WENZHAI_ISA names an instruction set of this processor");
    for threads in [1, 2] {
        let mut exec = Executor::new(isa, threads);
        let peak = peak_gmacs(&mut exec);
        println!("{}, {threads} threads: peak {peak:.1} GMAC/s", isa.name());
        for context in [64, 300, 600] {
            let warm = attention_gmacs(&mut exec, context, 1);
            let cold = attention_gmacs(&mut exec, context, ROWS);
            let share = |rate| 100.0 * rate / peak;
            println!(
                "  context {context:3}: warm {warm:5.1} ({:2.0} %), cold {cold:5.1} ({:2.0} %)",
                share(warm),
                share(cold)
            );
        }
    }
}

/// Attention of [`ROWS`] rows to `sequences` sequences of `context` positions.
fn attention_gmacs(exec: &mut Executor, context: usize, sequences: usize) -> f64 {
    let shape = PageShape { layers: LAYERS, kv_heads: 1, head_dim: HEAD_DIM };
    let pages = context.div_ceil(PAGE);
    let tables: Vec<PageId> = (0..(sequences * pages) as u32).map(PageId).collect();
    let mut kv = PagePool::new(shape, sequences * pages);
    let key: Vec<f32> = (0..HEAD_DIM).map(|dim| (dim as f32).sin()).collect();
    for page in &tables {
        for offset in 0..PAGE {
            let place = RowPlace { page: *page, offset };
            for layer in 0..LAYERS {
                kv.write(place, layer, 0, &key, &key);
            }
        }
    }
    let query = |row: usize| {
        let first_page = row % sequences * pages;
        Query { pages: first_page..first_page + pages, first: 0, position: context - 1 }
    };
    let queries: Vec<_> = (0..ROWS).map(query).collect();
    let queries = Queries { rows: &queries, tables: &tables };
    let q = key.repeat(ROWS * HEADS).iter().map(|q| q / 16.0).collect::<Vec<f32>>();
    let (mut scratch, mut out) = (AttentionScratch::default(), vec![0.0; q.len()]);
    let macs = ROWS * HEADS * HEAD_DIM * context * 2;
    let share = kv.lend_whole(&[]);
    best_rate(macs * LAYERS, || {
        for layer in 0..LAYERS {
            attend(exec, &share, layer, queries, &q, &mut scratch, &mut out);
        }
    })
}

/// Multiply-adds into accumulators that are enough to hide their latency, on all threads.
fn peak_gmacs(exec: &mut Executor) -> f64 {
    const STEPS: usize = 1 << 18;
    let threads = exec.pool.threads();
    // SAFETY, of all: an `Isa` exists only where the processor has it.
    #[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
    let (lanes, peak): (usize, fn(usize) -> f32) = match exec.isa.name() {
        #[cfg(target_arch = "x86_64")]
        "avx512-bf16" => (32, |steps| unsafe { peak_bf16(steps) }),
        #[cfg(target_arch = "x86_64")]
        "avx512" => (16, |steps| unsafe { peak_avx512(steps) }),
        #[cfg(target_arch = "x86_64")]
        "avx2" => (8, |steps| unsafe { peak_avx2(steps) }),
        _ => (1, peak_scalar),
    };
    best_rate(threads * STEPS * CHAINS * lanes, || {
        exec.pool.run(threads, |_, _| {
            std::hint::black_box(peak(STEPS));
        });
    })
}

/// Independent sums of the peak's loop: two multiply-adds a cycle of a latency of four, and some.
const CHAINS: usize = 12;

fn peak_scalar(steps: usize) -> f32 {
    let factor = std::hint::black_box(0.999_f32);
    let mut sums = [1.0_f32; CHAINS];
    for _ in 0..steps {
        sums.iter_mut().for_each(|sum| *sum = sum.mul_add(factor, factor));
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn peak_bf16(steps: usize) -> f32 {
    let ones = _mm512_set1_epi32(std::hint::black_box(0x3f80_3f80));
    // SAFETY: both types are 64 bytes without meaning of their own.
    let ones: __m512bh = unsafe { std::mem::transmute(ones) };
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..steps {
        sums.iter_mut().for_each(|sum| *sum = _mm512_dpbf16_ps(*sum, ones, ones));
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn peak_avx512(steps: usize) -> f32 {
    let factor = _mm512_set1_ps(std::hint::black_box(0.999));
    let mut sums = [factor; CHAINS];
    for _ in 0..steps {
        sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(*sum, factor, factor));
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn peak_avx2(steps: usize) -> f32 {
    let factor = _mm256_set1_ps(std::hint::black_box(0.999));
    let mut sums = [factor; CHAINS];
    for _ in 0..steps {
        sums.iter_mut().for_each(|sum| *sum = _mm256_fmadd_ps(*sum, factor, factor));
    }
    sums.into_iter().map(|sum| _mm_cvtss_f32(_mm256_castps256_ps128(sum))).sum()
}

/// 10^9 multiply-adds a second in the best run of a second, after one that warms up.
fn best_rate(macs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed() < PATIENCE {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    macs as f64 * 1e-9 / best
}
