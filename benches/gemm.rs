//! Matrix products at the shapes of small models, as a share of what the processor's int8
//! multiply-adds reach when they do nothing else, measured in the same run.
//!
//! `cargo bench --bench gemm [-- <instruction set>]`

#[path = "../tests/it/support/noise.rs"]
mod noise;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use noise::Noise;
use wenzhai::kernels::blocks::BlockType;
use wenzhai::kernels::gemm::{Activation, GateUp, Scratch, argmax, gate_up, gemm};
use wenzhai::kernels::packed::Packed;
use wenzhai::kernels::{Executor, Isa, Precision, Quantized, Tiled};

/// (outputs, inputs): of the small model query, key and value; output; gate and up; down; output
/// shortlist. Of the default gate and up; down.
const SHAPES: [(usize, usize); 7] = [
    (1536, 640),
    (640, 1024),
    (4096, 640),
    (640, 2048),
    (20_000, 640),
    (17_920, 1536),
    (1536, 8960),
];
/// Copies of a matrix that no cache holds together.
const COPIES: usize = 16;
const ROWS: [usize; 5] = [1, 8, 32, 64, 128];

fn main() {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let here = |isa: &Isa| wanted.as_ref().is_none_or(|wanted| wanted == isa.name());
    let isa = Isa::all().into_iter().rfind(here).expect("an instruction set of this processor");
    for (threads, int14, group) in
        [(1, false, 1), (2, false, 1), (2, true, 1), (1, false, 2), (2, false, 2), (2, true, 2)]
    {
        let name = isa.name();
        let rounding = if int14 { "every other group in 14 bits" } else { "8 bits" };
        let scales = format!("a scale for {} inputs", group * 32);
        println!("\n{name}, {threads} threads, {scales}, {rounding}:");
        println!("G multiply-adds/s (of the peak)");
        println!("{:<22}{}", "outputs x inputs", ROWS.map(|r| format!("{r:>14}")).concat());
        let mut exec = Executor::new(isa, threads);
        for (outputs, inputs) in SHAPES {
            let w = random(&mut exec, group, outputs, inputs);
            let mut line = |name: &str, work: &mut dyn FnMut(&mut Executor, &Quantized)| {
                // Anew for each line: clocks change with load and temperature.
                let peak = peak(isa, threads);
                print!("{:<22}", format!("{outputs} x {inputs} {name}"));
                for rows in ROWS {
                    let precision = precision(inputs, group, int14);
                    let x = Quantized::from_rows(&precision, &Noise(2).values(rows * inputs));
                    let seconds = best_time(|| work(&mut exec, &x));
                    // An activation of 14 bits takes two multiply-adds.
                    let products = inputs + 32 * precision.int14_blocks();
                    let speed = (rows * outputs * products) as f64 / seconds / 1e9;
                    let share = peak.map(|peak| format!(" ({:.0} %)", 100.0 * speed / peak));
                    print!("{:>14}", format!("{speed:.0}{}", share.unwrap_or_default()));
                }
                println!();
            };
            let (mut out, mut scratch) = (Tiled::default(), Scratch::default());
            line("", &mut |exec, x| gemm(exec, x, &w, &mut out));
            if outputs == 4096 {
                let mut exec = Executor::new(isa, 1);
                let [gate, up] = [0, 1].map(|_| random(&mut exec, group, outputs / 2, inputs));
                let weights = GateUp { gate, up, activation: Activation::GeluTanh };
                let (mut out, next) = (Quantized::default(), precision(outputs / 2, group, int14));
                line("gate", &mut |exec, x| {
                    gate_up(exec, x, &weights, &mut scratch, &next, &mut out);
                });
            }
            if inputs == 8960 {
                // As in a run, where a step goes through all layers: no cache holds these.
                let copies = vec![w.clone(); COPIES];
                let mut turn = 0;
                line("from memory", &mut |exec, x| {
                    turn = (turn + 1) % COPIES;
                    gemm(exec, x, &copies[turn], &mut out);
                });
            }
            if outputs == 20_000 {
                let mut best = vec![(0.0, 0); 256];
                line("argmax", &mut |exec, x| {
                    argmax(exec, x, &w, &mut scratch, &mut best[..x.rows()]);
                });
            }
        }
    }
    packing(isa);
}

/// A matrix of random weights, all with the same scale. Quants are of 6 bits, so that every kernel
/// multiplies them as it does merged weights (see [`wenzhai::kernels::blocks::has_int16_sums`]).
fn random(exec: &mut Executor, group: usize, outputs: usize, inputs: usize) -> Packed {
    /// 1 / 128 as an f16, little-endian.
    const SCALE: [u8; 2] = [0x00, 0x20];
    let weights = Noise(1).values(outputs * inputs);
    let quant = |weight: &f32| (weight * 32.0).round() as i8 as u8;
    let block = |weights: &[f32]| SCALE.into_iter().chain(weights.iter().map(quant)).collect();
    let bytes: Vec<Vec<u8>> = weights.chunks(32).map(block).collect();
    Packed::from_groups(exec, BlockType::Q8_0, group, &bytes.concat(), outputs, inputs)
}

/// Every other group has 14 bits, or none.
fn precision(width: usize, group: usize, int14: bool) -> Arc<Precision> {
    Arc::new(Precision::grouped(width, group, |group| int14 && group % 2 == 0))
}

/// How long packing takes, for one thread.
fn packing(isa: Isa) {
    println!();
    let (outputs, inputs) = (4096, 1024);
    for kind in BlockType::ALL {
        let bytes = vec![0x31; kind.bytes_of(outputs * inputs)];
        let mut exec = Executor::new(isa, 1);
        let seconds = best_time(|| {
            black_box(Packed::from_blocks(&mut exec, kind, &bytes, outputs, inputs));
        });
        let per_100_million = seconds * 1e8 / (outputs * inputs) as f64;
        println!("packing {kind:?}: {per_100_million:.2} s for 100 M weights");
    }
}

/// The best of what fits into a third of a second, in seconds: other work only ever slows it down.
fn best_time(mut work: impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Multiply-adds a second, in billions, on registers alone: of `vpdpbusd`, or, without it, of
/// `vpmaddubsw`, two of which are added up in 16 bits before `vpmaddwd` and `vpaddd`. None for what
/// multiplies otherwise.
fn peak(isa: Isa, threads: usize) -> Option<f64> {
    const LOOPS: usize = 200_000;
    let mut exec = Executor::new(isa, threads);
    let (multiply_add, at_once): (fn(usize), usize) = match isa.name() {
        "avx2" => (multiply_add_int16_sums, 4 * 64),
        "avx-vnni" => (multiply_add_256, 12 * 32),
        "avx512" | "avx512-bf16" => (multiply_add, 16 * 64),
        _ => return None,
    };
    let seconds = best_time(|| exec.pool.run(threads, |_, _| multiply_add(LOOPS)));
    Some((threads * LOOPS * at_once) as f64 / seconds / 1e9)
}

#[cfg(target_arch = "x86_64")]
fn multiply_add(loops: usize) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn sums(loops: usize) -> [__m512i; 16] {
        let a = black_box(_mm512_set1_epi32(0x0102_0304));
        let b = black_box(_mm512_set1_epi32(0x0403_0201));
        let mut sums = [_mm512_setzero_si512(); 16];
        for _ in 0..loops {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums
    }

    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the processor has these instruction sets.
        black_box(unsafe { sums(black_box(loops)) });
    }
}

#[cfg(target_arch = "x86_64")]
fn multiply_add_256(loops: usize) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avxvnni,avx2")]
    fn sums(loops: usize) -> [__m256i; 12] {
        let a = black_box(_mm256_set1_epi32(0x0102_0304));
        let b = black_box(_mm256_set1_epi32(0x0403_0201));
        let mut sums = [_mm256_setzero_si256(); 12];
        for _ in 0..loops {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
            }
        }
        sums
    }

    if is_x86_feature_detected!("avxvnni") {
        // SAFETY: the processor has these instruction sets.
        black_box(unsafe { sums(black_box(loops)) });
    }
}

#[cfg(target_arch = "x86_64")]
fn multiply_add_int16_sums(loops: usize) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    fn sums(loops: usize) -> [__m256i; 4] {
        let b: [__m256i; 4] = std::array::from_fn(|i| black_box(_mm256_set1_epi8(i as i8)));
        let ones = black_box(_mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); 4];
        for _ in 0..loops {
            // Not known to be the same in every turn, which would leave one product of all.
            let a = [0x0102_0304, 0x0403_0201].map(|a| black_box(_mm256_set1_epi32(a)));
            for (sum, b) in sums.iter_mut().zip(b) {
                let [first, second] = a.map(|a| _mm256_maddubs_epi16(a, b));
                let products = _mm256_madd_epi16(_mm256_add_epi16(first, second), ones);
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
        sums
    }

    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has this instruction set.
        black_box(unsafe { sums(black_box(loops)) });
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add(_: usize) {}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add_256(_: usize) {}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add_int16_sums(_: usize) {}
