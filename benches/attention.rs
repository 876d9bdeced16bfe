//! How near attention comes to the processor's peak of f32 multiply-adds.
//!
//! Four query heads of 256 dimensions share a KV head, as in Gemma 3 270M. "warm" rows attend to
//! one sequence, as in prefill; "cold" rows to a sequence each, as in decoding, whose keys and
//! values come from memory. Run by `cargo bench --bench attention`.

use std::time::Instant;

use wenzhai::kernels::attention::{
    AttentionScratch, PAGE, PageId, PagePool, PageShape, Query, attend,
};
use wenzhai::kernels::{Isa, Pool};

const HEADS: usize = 4;
const HEAD_DIM: usize = 256;
/// Rows of a phase.
const ROWS: usize = 64;
/// Timings of which the best counts, since cores may be shared.
const REPEATS: usize = 25;

fn main() {
    for isa in Isa::all() {
        println!("{}", isa.name());
        for threads in [1, 2] {
            let mut pool = Pool::new(threads);
            let peak = peak_gmacs(isa, &mut pool);
            println!("  {threads} threads, peak {peak:.0} GMAC/s");
            for context in [64, 300, 600] {
                let (warm, cold) = (attention_gmacs(isa, &mut pool, context, 1), {
                    attention_gmacs(isa, &mut pool, context, ROWS)
                });
                println!(
                    "    context {context:3}: warm {warm:6.1} GMAC/s ({:2.0} %), cold {cold:6.1} ({:2.0} %)",
                    100.0 * warm / peak,
                    100.0 * cold / peak
                );
            }
        }
    }
}

/// Attention of [`ROWS`] rows to `sequences` sequences of `context` positions.
fn attention_gmacs(isa: Isa, pool: &mut Pool, context: usize, sequences: usize) -> f64 {
    let shape = PageShape { layers: 1, kv_heads: 1, head_dim: HEAD_DIM };
    let pages = context.div_ceil(PAGE);
    let tables: Vec<Vec<PageId>> = (0..sequences)
        .map(|sequence| (0..pages).map(|page| PageId((sequence * pages + page) as u32)).collect())
        .collect();
    let mut kv = PagePool::new(shape, sequences * pages);
    let key: Vec<f32> = (0..HEAD_DIM).map(|dim| (dim as f32).sin()).collect();
    for page in tables.iter().flatten() {
        for offset in 0..PAGE {
            let place = wenzhai::kernels::attention::RowPlace { page: *page, offset };
            kv.write(place, 0, 0, &key, &key);
        }
    }
    let query =
        |row: usize| Query { pages: &tables[row % sequences], first: 0, position: context - 1 };
    let queries: Vec<_> = (0..ROWS).map(query).collect();
    let q = key.repeat(ROWS * HEADS).iter().map(|q| q / 16.0).collect::<Vec<f32>>();
    let (mut scratch, mut out) = (AttentionScratch::default(), vec![0.0; q.len()]);
    let macs = ROWS * HEADS * HEAD_DIM * context * 2;
    best_rate(macs, || attend(isa, pool, &kv, 0, &queries, &q, &mut scratch, &mut out))
}

/// Multiply-adds into accumulators that are enough to hide their latency, on all threads.
fn peak_gmacs(isa: Isa, pool: &mut Pool) -> f64 {
    const STEPS: usize = 1 << 18;
    let threads = pool.threads();
    let lanes = match isa.name() {
        "avx512" => 16,
        "avx2" => 8,
        _ => 1,
    };
    best_rate(threads * STEPS * CHAINS * lanes, || {
        pool.run(threads, |_, _| {
            // SAFETY: `isa` exists only where the processor has the instruction set.
            let sum = match lanes {
                #[cfg(target_arch = "x86_64")]
                16 => unsafe { peak_avx512(STEPS) },
                #[cfg(target_arch = "x86_64")]
                8 => unsafe { peak_avx2(STEPS) },
                _ => chains::<1>(STEPS),
            };
            std::hint::black_box(sum);
        });
    })
}

/// Independent sums of the peak's loop.
const CHAINS: usize = 12;

#[inline(always)]
fn chains<const LANES: usize>(steps: usize) -> f32 {
    let factor = std::hint::black_box([0.999_f32; LANES]);
    let mut sums = [[1.0_f32; LANES]; CHAINS];
    for _ in 0..steps {
        for sum in &mut sums {
            for lane in 0..LANES {
                sum[lane] = sum[lane].mul_add(factor[lane], factor[lane]);
            }
        }
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn peak_avx512(steps: usize) -> f32 {
    chains::<16>(steps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn peak_avx2(steps: usize) -> f32 {
    chains::<8>(steps)
}

/// 10^9 multiply-adds a second in the best of some runs, after one that warms up.
fn best_rate(macs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let seconds = (0..REPEATS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    macs as f64 * 1e-9 / seconds.fold(f64::INFINITY, f64::min)
}
