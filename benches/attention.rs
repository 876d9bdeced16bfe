//! How near attention comes to the processor's peak of multiply-adds of bf16, where it has such, or
//! else of f32.
//!
//! The heads are those of Gemma 3 270M (four of 256 dimensions share a KV head) and of Qwen2.5 1.5B
//! (six of 128 dimensions share each of two). "warm" rows attend to one sequence, as in prefill;
//! "cold" rows to a sequence each, as in decoding, whose keys and values come from memory: all layers
//! of a model take their turns, so that nothing stays in a cache.
//! Run by `cargo bench --bench attention`; `WENZHAI_ISA` chooses the instruction set.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::time::{Duration, Instant};

use wenzhai::kernels::attention::{
    AttentionScratch, PAGE, PageId, PagePool, PageShape, Queries, Query, RowPlace, attend,
};
use wenzhai::kernels::{Executor, Isa};

/// The heads of a model.
struct Model {
    name: &'static str,
    layers: usize,
    kv_heads: usize,
    /// Query heads of a KV head.
    group: usize,
    head_dim: usize,
    /// Rows of a phase.
    rows: usize,
}

const MODELS: [Model; 2] = [
    Model { name: "Gemma 3 270M", layers: 18, kv_heads: 1, group: 4, head_dim: 256, rows: 64 },
    Model { name: "Qwen2.5 1.5B", layers: 28, kv_heads: 2, group: 6, head_dim: 128, rows: 30 },
];
/// How long runs go on, of which the best counts, since cores may be shared.
const PATIENCE: Duration = Duration::from_millis(700);

fn main() {
    let isa = Isa::detect().expect("WENZHAI_ISA names an instruction set of this processor");
    for threads in [1, 2] {
        let mut exec = Executor::new(isa, threads);
        let peak = peak_gmacs(&mut exec);
        let shown = peak.map_or("not known".into(), |peak| format!("{peak:.1} GMAC/s"));
        println!("{}, {threads} threads: peak {shown}", isa.name());
        for (model, context) in
            MODELS.iter().flat_map(|model| [64, 300, 600].map(|context| (model, context)))
        {
            let warm = attention_gmacs(&mut exec, model, context, 1);
            let cold = attention_gmacs(&mut exec, model, context, model.rows);
            let share = |rate: f64| {
                peak.map_or(String::new(), |peak| format!(" ({:2.0} %)", 100.0 * rate / peak))
            };
            // Each element of a key or value, two bytes, is multiplied once for each head.
            let bytes = cold * 2.0 / model.group as f64;
            println!(
                "  {}, context {context:3}: warm {warm:5.1}{}, cold {cold:5.1}{}, \
                 {bytes:.0} GB/s",
                model.name,
                share(warm),
                share(cold)
            );
        }
    }
}

/// Attention of a phase's rows to `sequences` sequences of `context` positions.
fn attention_gmacs(exec: &mut Executor, model: &Model, context: usize, sequences: usize) -> f64 {
    let Model { layers, kv_heads, group, head_dim, rows, .. } = *model;
    let shape = PageShape { layers, kv_heads, head_dim };
    let pages = context.div_ceil(PAGE);
    let tables: Vec<PageId> = (0..(sequences * pages) as u32).map(PageId).collect();
    let mut kv = PagePool::new(shape, sequences * pages);
    let key: Vec<f32> = (0..head_dim).map(|dim| (dim as f32).sin()).collect();
    for page in &tables {
        for offset in 0..PAGE {
            let place = RowPlace { page: *page, offset };
            for (layer, head) in (0..layers * kv_heads).map(|at| (at / kv_heads, at % kv_heads)) {
                kv.write(place, layer, head, &key, &key);
            }
        }
    }
    let query = |row: usize| {
        let first_page = row % sequences * pages;
        Query { pages: first_page..first_page + pages, first: 0, position: context - 1 }
    };
    let queries: Vec<_> = (0..rows).map(query).collect();
    let queries = Queries { rows: &queries, tables: &tables };
    let q = key.repeat(rows * kv_heads * group).iter().map(|q| q / 16.0).collect::<Vec<f32>>();
    let (mut scratch, mut out) = (AttentionScratch::default(), vec![0.0; q.len()]);
    let macs = q.len() * context * 2;
    let share = kv.lend_whole(&[]);
    best_rate(macs * layers, || {
        for layer in 0..layers {
            attend(exec, &share, layer, queries, &q, &mut scratch, &mut out);
        }
    })
}

/// Multiply-adds into accumulators that are enough to hide their latency, on all threads.
fn peak_gmacs(exec: &mut Executor) -> Option<f64> {
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
        "avx2" | "avx-vnni" => (8, |steps| unsafe { peak_avx2(steps) }),
        // AMX attends as AVX-512 with BF16 does. What else there is has no peak of its own here.
        #[cfg(target_arch = "x86_64")]
        "amx" if is_x86_feature_detected!("avx512bf16") => {
            (32, |steps| unsafe { peak_bf16(steps) })
        }
        _ => return None,
    };
    Some(best_rate(threads * STEPS * CHAINS * lanes, || {
        exec.pool.run(threads, |_, _| {
            std::hint::black_box(peak(STEPS));
        });
    }))
}

/// Independent sums of the peak's loop: two multiply-adds a cycle of a latency of four, and some.
const CHAINS: usize = 12;

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
