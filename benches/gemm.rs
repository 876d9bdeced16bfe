//! Matrix products at the shapes of small models, as a share of what the processor's int8
//! multiply-adds reach when they do nothing else, measured in the same run.
//!
//! `cargo bench --bench gemm [-- <instruction set>]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wenzhai::kernels::gemm::{Gate, Scratch, argmax, gate_up, gemm};
use wenzhai::kernels::isa::Level;
use wenzhai::kernels::packed::Packed;
use wenzhai::kernels::{Grain, Isa, Pool, Quantized, Tiled};

/// (outputs, inputs): query, key and value; output; gate and up; down; output shortlist.
const SHAPES: [(usize, usize); 5] =
    [(1536, 640), (640, 1024), (4096, 640), (640, 2048), (20_000, 640)];
const ROWS: [usize; 5] = [1, 8, 32, 64, 128];

fn main() {
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let here = |isa: &Isa| wanted.as_ref().is_none_or(|wanted| wanted == isa.name());
    let isa = Isa::all().into_iter().rfind(here).expect("an instruction set of this processor");
    for (threads, fine) in [(1, 0), (2, 0), (2, 1)] {
        let name = isa.name();
        let rounding = if fine == 0 { "coarse" } else { "every other block fine" };
        println!("\n{name}, {threads} threads, {rounding}: G multiply-adds/s (of the peak)");
        println!("{:<22}{}", "outputs x inputs", ROWS.map(|r| format!("{r:>14}")).concat());
        let mut pool = Pool::new(threads);
        for (outputs, inputs) in SHAPES {
            let weights: Vec<f32> = noise(1).take(outputs * inputs).collect();
            let w = Packed::from_rows(&mut pool, &weights, outputs, inputs);
            let mut line = |name: &str, work: &mut dyn FnMut(&mut Pool, &Quantized)| {
                // Anew for each line: clocks change with load and temperature.
                let peak = peak(threads);
                print!("{:<22}", format!("{outputs} x {inputs} {name}"));
                for rows in ROWS {
                    let values: Vec<f32> = noise(2).take(rows * inputs).collect();
                    let x = Quantized::from_rows(&grain(inputs, fine), &values);
                    let seconds = best_time(|| work(&mut pool, &x));
                    // A fine activation takes two multiply-adds.
                    let products = inputs + 32 * grain(inputs, fine).fine_blocks();
                    let speed = (rows * outputs * products) as f64 / seconds / 1e9;
                    print!("{:>14}", format!("{speed:.0} ({:.0} %)", 100.0 * speed / peak));
                }
                println!();
            };
            let (mut out, mut scratch) = (Tiled::default(), Scratch::default());
            line("", &mut |pool, x| gemm(isa, pool, x, &w, &mut out));
            if outputs == 4096 {
                let mut pool = Pool::new(1);
                let half = outputs / 2 * inputs;
                let gate = Packed::from_rows(&mut pool, &weights[..half], outputs / 2, inputs);
                let up = Packed::from_rows(&mut pool, &weights[half..], outputs / 2, inputs);
                let (mut out, next) = (Quantized::default(), grain(outputs / 2, fine));
                line("gate", &mut |pool, x| {
                    gate_up(
                        isa,
                        pool,
                        x,
                        &gate,
                        &up,
                        Gate::GeluTanh,
                        &mut scratch,
                        &next,
                        &mut out,
                    );
                });
            }
            if outputs == 20_000 {
                let mut best = vec![(0.0, 0); 256];
                line("argmax", &mut |pool, x| {
                    argmax(isa, pool, x, &w, &mut scratch, &mut best[..x.rows()]);
                });
            }
        }
    }
    packing();
}

/// Every other block is fine, about as in the engine, or none.
fn grain(width: usize, fine: usize) -> Arc<Grain> {
    Arc::new(Grain::of(width, |block| fine > 0 && block % 2 == 0))
}

/// How long packing takes, for one thread.
fn packing() {
    use wenzhai::kernels::blocks::BlockType;
    println!();
    let (outputs, inputs) = (4096, 1024);
    for kind in BlockType::ALL {
        let bytes = vec![0x31; kind.bytes_of(outputs * inputs)];
        let mut pool = Pool::new(1);
        let seconds = best_time(|| {
            black_box(Packed::from_blocks(&mut pool, kind, &bytes, outputs, inputs));
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

/// Values in [-1, 1), always the same.
fn noise(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Int8 multiply-adds a second, in billions, of `vpdpbusd` on registers alone.
fn peak(threads: usize) -> f64 {
    const LOOPS: usize = 200_000;
    let mut pool = Pool::new(threads);
    let seconds = best_time(|| pool.run(threads, |_, _| multiply_add(LOOPS)));
    (threads * LOOPS * 16 * 64) as f64 / seconds / 1e9
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

    if Isa::all().into_iter().any(|isa| isa.level() == Level::Avx512Vnni) {
        // SAFETY: the processor has these instruction sets.
        black_box(unsafe { sums(black_box(loops)) });
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add(_: usize) {}
