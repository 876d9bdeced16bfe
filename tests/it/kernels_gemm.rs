//! Block types against candle, and matrix products against a plain one and one another.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use wenzhai::kernels::blocks::{BlockType, Native, decode};
use wenzhai::kernels::gemm::{Gate, Scratch, argmax, gate_up, gemm};
use wenzhai::kernels::math::{gelu_tanh, silu};
use wenzhai::kernels::packed::Packed;
use wenzhai::kernels::{Grain, Isa, Pool, Quantized, Tiled};

/// Around the edges of micro-kernels (4 and 6 rows) and beyond.
const ROWS: [usize; 9] = [1, 2, 5, 6, 7, 12, 13, 31, 33];
const MOST_ROWS: usize = 33;

/// (outputs, inputs), for every type that can have such rows.
const SMALL: [(usize, usize); 5] = [(1, 32), (32, 32), (33, 64), (96, 576), (40, 1024)];
/// One type of each kind at the shapes of small models; the plain product takes its time.
const LARGE: [(BlockType, usize, usize); 6] = [
    (BlockType::Q5_0, 640, 640),
    (BlockType::Q8_0, 64, 896),
    (BlockType::Q4_1, 64, 896),
    (BlockType::Q5_0, 31, 1056),
    (BlockType::Q4_1, 65, 2080),
    (BlockType::Q4K, 1024, 1024),
];

#[test]
fn blocks_decode_as_candle_decodes_them() {
    for kind in BlockType::ALL {
        let tensor = candle_tensor(kind, 64 * 256);
        let expected = tensor.dequantize(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
        let mut values = vec![f32::NAN; expected.len()];
        decode(kind, &tensor.data().unwrap(), &mut values);
        assert!(expected.iter().any(|&value| value != 0.0), "{kind:?}");
        for (i, (value, expected)) in values.iter().zip(&expected).enumerate() {
            assert_eq!(value, expected, "{kind:?} weight {i}");
        }
    }
}

#[test]
fn packing_keeps_native_levels_and_rounds_others_to_int8() {
    let mut pool = Pool::new(2);
    for kind in BlockType::ALL {
        let (outputs, inputs) = (33, 512);
        let bytes = random_blocks(kind, outputs * inputs);
        let mut values = vec![0.0; outputs * inputs];
        decode(kind, &bytes, &mut values);
        let packed = Packed::from_blocks(&mut pool, kind, &bytes, outputs, inputs);
        assert_eq!((packed.outputs(), packed.tiles(), packed.inputs()), (outputs, 2, inputs));
        for (i, block) in values.chunks(32).enumerate() {
            let largest = block.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let exact = kind.native() != Native::Values;
            let bound = if exact { 0.0 } else { largest / 253.9 };
            for (j, value) in block.iter().enumerate() {
                let at = i * 32 + j;
                let error = (packed.weight(at / inputs, at % inputs) - value).abs();
                assert!(error <= bound, "{kind:?} weight {at}: {error:e} of {largest:e}");
            }
        }
    }
}

#[test]
fn selected_rows_are_those_of_the_matrix() {
    let (kind, inputs, mut pool) = (BlockType::Q5_1, 64, Pool::new(1));
    let bytes = random_blocks(kind, 50 * inputs);
    let all = Packed::from_blocks(&mut pool, kind, &bytes, 50, inputs);
    let rows: Vec<u32> = vec![49, 0, 7, 7, 31, 32];
    let some = Packed::select(&mut pool, kind, &bytes, inputs, &rows);
    assert_eq!(some.outputs(), rows.len());
    for (output, &row) in rows.iter().enumerate() {
        for input in 0..inputs {
            assert_eq!(some.weight(output, input), all.weight(row as usize, input));
        }
    }
}

#[test]
fn every_type_and_shape_agrees_with_a_plain_product_and_across_instruction_sets() {
    for kind in BlockType::ALL {
        for (outputs, inputs) in SMALL {
            check_product(&coarse(inputs), kind, outputs, inputs);
            check_product(&mixed(inputs), kind, outputs, inputs);
        }
    }
}

#[test]
fn large_products_agree_too() {
    for (kind, outputs, inputs) in LARGE {
        check_product(&coarse(inputs), kind, outputs, inputs);
        check_product(&mixed(inputs), kind, outputs, inputs);
    }
}

/// Checks the scalar product against f64, and that all instruction sets, numbers of rows and
/// numbers of threads give its bits.
fn check_product(grain: &Arc<Grain>, kind: BlockType, outputs: usize, inputs: usize) {
    if !inputs.is_multiple_of(kind.block_values()) {
        return;
    }
    let mut pool = Pool::new(2);
    let bytes = random_blocks(kind, outputs * inputs);
    let w = Packed::from_blocks(&mut pool, kind, &bytes, outputs, inputs);
    let values = activations(MOST_ROWS, inputs);
    let x = Quantized::from_rows(grain, &values);
    let mut truth = Tiled::default();
    gemm(Isa::SCALAR, &mut pool, &x, &w, &mut truth);
    assert_eq!((truth.rows(), truth.width()), (MOST_ROWS, outputs.next_multiple_of(32)));
    check_against_f64(&x, &w, &truth, &format!("{grain:?} {kind:?} {outputs} x {inputs}"));
    for isa in Isa::all() {
        for rows in ROWS {
            if isa == Isa::SCALAR && rows != 1 {
                continue;
            }
            let x = Quantized::from_rows(grain, &values[..rows * inputs]);
            let mut pool = Pool::new(1 + rows % 2);
            let mut out = Tiled::default();
            gemm(isa, &mut pool, &x, &w, &mut out);
            for row in 0..rows {
                for tile in 0..w.tiles() {
                    let (found, expected) = (out.segment(row, tile), truth.segment(row, tile));
                    let place = || format!("{} {kind:?} row {row} of {rows}", isa.name());
                    assert_eq!(bits(found), bits(expected), "{}, tile {tile}", place());
                }
            }
        }
    }
}

/// Every step of a block's sum rounds a partial result, which the sum of magnitudes bounds; types
/// with minimums subtract up to twice the largest weight on the way.
fn check_against_f64(x: &Quantized, w: &Packed, out: &Tiled, what: &str) {
    // A few rows and outputs show it: the others differ by their data only.
    for row in [0, 1, 4, MOST_ROWS - 1] {
        for output in (0..w.outputs()).step_by(1 + w.outputs() / 37) {
            let (mut sum, mut magnitude, mut largest) = (0.0, 0.0, 0f64);
            for input in 0..w.inputs() {
                let (a, b) = (f64::from(x.value(row, input)), f64::from(w.weight(output, input)));
                sum += a * b;
                magnitude += a.abs();
                largest = largest.max(b.abs());
            }
            let steps = 2.0 * (w.inputs() / 32) as f64 + 4.0;
            let bound = steps * f64::from(f32::EPSILON / 2.0) * magnitude * 3.0 * largest;
            let found = f64::from(out.segment(row, output / 32)[output % 32]);
            assert!(
                (found - sum).abs() <= bound,
                "{what}: row {row}, output {output}: {found} for {sum}"
            );
        }
        for padding in w.outputs()..w.tiles() * 32 {
            assert_eq!(out.segment(row, padding / 32)[padding % 32], 0.0, "{what}");
        }
    }
}

#[test]
fn extreme_levels_do_not_saturate() {
    // The largest levels of both signs: a sum of two products already exceeds 16 bits.
    let inputs = 64;
    let weights: Vec<f32> = (0..32 * inputs).map(|i| [127.0, -127.0][i / inputs % 2]).collect();
    let mut pool = Pool::new(1);
    let w = Packed::from_rows(&mut pool, &weights, 32, inputs);
    for grain in [coarse(inputs), mixed(inputs)] {
        let x = Quantized::from_rows(&grain, &vec![127.0; 2 * inputs]);
        for isa in Isa::all() {
            let mut out = Tiled::default();
            gemm(isa, &mut pool, &x, &w, &mut out);
            let expected = 127.0 * 127.0 * inputs as f32;
            let found = &out.segment(1, 0)[..2];
            assert_eq!(found, [expected, -expected], "{} {grain:?}", isa.name());
        }
    }
}

#[test]
fn gate_and_up_equal_the_separate_computation() {
    let inputs = 96;
    for (outputs, kind) in [(31, BlockType::Q8_0), (64, BlockType::Q5_0), (97, BlockType::Q4_1)] {
        let mut pool = Pool::new(1);
        let bytes = random_blocks(kind, 2 * outputs * inputs);
        let (gate, up) = bytes.split_at(bytes.len() / 2);
        let gate = Packed::from_blocks(&mut pool, kind, gate, outputs, inputs);
        let up = Packed::from_blocks(&mut pool, kind, up, outputs, inputs);
        let width = gate.tiles() * 32;
        for (isa, act, f, next) in Isa::all().into_iter().flat_map(|isa| {
            [
                (isa, Gate::Silu, silu as fn(f32) -> f32, coarse(width)),
                (isa, Gate::GeluTanh, gelu_tanh, mixed(width)),
            ]
        }) {
            let (mut scratch, mut out) = (Scratch::default(), Quantized::default());
            for rows in ROWS {
                let x = Quantized::from_rows(&mixed(inputs), &activations(rows, inputs));
                let (mut gates, mut ups) = (Tiled::default(), Tiled::default());
                gemm(Isa::SCALAR, &mut pool, &x, &gate, &mut gates);
                gemm(Isa::SCALAR, &mut pool, &x, &up, &mut ups);
                let at = |i: usize| (i / width, i % width / 32, i % 32);
                let products: Vec<f32> = (0..rows * width)
                    .map(at)
                    .map(|(r, t, c)| f(gates.segment(r, t)[c]) * ups.segment(r, t)[c])
                    .collect();
                let expected = Quantized::from_rows(&next, &products);
                let mut pool = Pool::new(1 + rows % 3);
                gate_up(isa, &mut pool, &x, &gate, &up, act, &mut scratch, &next, &mut out);
                assert_eq!(out, expected, "{} {act:?} {rows} rows", isa.name());
            }
        }
    }
}

#[test]
fn the_maximum_is_that_of_the_stored_product() {
    let (outputs, inputs, kind) = (333, 64, BlockType::Q5_0);
    let mut pool = Pool::new(2);
    let bytes = random_blocks(kind, outputs * inputs);
    let w = Packed::from_blocks(&mut pool, kind, &bytes, outputs, inputs);
    let mut scratch = Scratch::default();
    for isa in Isa::all() {
        for rows in ROWS {
            let x = Quantized::from_rows(&mixed(inputs), &activations(rows, inputs));
            let mut out = Tiled::default();
            gemm(Isa::SCALAR, &mut pool, &x, &w, &mut out);
            let mut best = vec![(f32::NAN, 7); rows];
            argmax(isa, &mut pool, &x, &w, &mut scratch, &mut best);
            for (row, best) in best.into_iter().enumerate() {
                let mut expected = (f32::NEG_INFINITY, 0);
                for output in 0..outputs {
                    let value = out.segment(row, output / 32)[output % 32];
                    if value > expected.0 {
                        expected = (value, output as u32);
                    }
                }
                assert_eq!(best, expected, "{} row {row} of {rows}", isa.name());
            }
        }
    }
}

#[test]
fn the_lowest_of_equal_maxima_wins_and_padding_never_does() {
    // Row 1 of the matrix points away from the activations, row 0 points farther away.
    let weights: Vec<f32> = [[-2.0; 32], [-1.0; 32]].concat();
    let bytes: Vec<u8> = weights.iter().flat_map(|value| value.to_le_bytes()).collect();
    let x = Quantized::from_rows(&coarse(32), &[1.0; 64]);
    for winners in [vec![0], vec![5, 6], vec![31, 32], vec![40, 100, 200], vec![64, 65, 3000]] {
        let mut rows = vec![0; 3001];
        winners.iter().for_each(|&winner| rows[winner] = 1);
        for (isa, threads) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
            let mut pool = Pool::new(threads);
            let w = Packed::select(&mut pool, BlockType::F32, &bytes, 32, &rows);
            let mut best = [(0.0, 0); 2];
            argmax(isa, &mut pool, &x, &w, &mut Scratch::default(), &mut best);
            assert_eq!(best.map(|(_, index)| index as usize), [winners[0]; 2], "{}", isa.name());
            assert!(best[0].0 < 0.0);
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn coarse(width: usize) -> Arc<Grain> {
    Arc::new(Grain::coarse(width))
}

/// Fine and coarse blocks in turns, the first of them fine.
fn mixed(width: usize) -> Arc<Grain> {
    Arc::new(Grain::of(width, |block| block % 3 != 1))
}

/// Rows with zeros, blocks of zeros, and magnitudes that differ by orders.
fn activations(rows: usize, inputs: usize) -> Vec<f32> {
    let mut values: Vec<f32> = noise(3).take(rows * inputs).collect();
    for (i, value) in values.iter_mut().enumerate() {
        let (row, block) = (i / inputs, i % inputs / 32);
        *value *= match (row, block) {
            (4, _) | (_, 1) => 0.0,
            _ => 10f32.powi(((row + block) % 5) as i32 - 1),
        };
    }
    values
}

/// As many weights in blocks that candle has quantized, in a random order.
fn random_blocks(kind: BlockType, weights: usize) -> Vec<u8> {
    const DIFFERENT: usize = 64;
    let tensor = candle_tensor(kind, DIFFERENT * kind.block_values());
    let data = tensor.data().unwrap();
    let blocks: Vec<&[u8]> = data.chunks(kind.block_bytes()).collect();
    noise(5)
        .take(weights / kind.block_values())
        .flat_map(|at| blocks[(at.abs() * DIFFERENT as f32) as usize].to_vec())
        .collect()
}

fn candle_tensor(kind: BlockType, weights: usize) -> QTensor {
    let values: Vec<f32> = noise(9).take(weights).map(|value| value * 0.1 + 0.01).collect();
    let dtype = match kind {
        BlockType::F32 => GgmlDType::F32,
        BlockType::F16 => GgmlDType::F16,
        BlockType::BF16 => GgmlDType::BF16,
        BlockType::Q4_0 => GgmlDType::Q4_0,
        BlockType::Q4_1 => GgmlDType::Q4_1,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q5_1 => GgmlDType::Q5_1,
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q2K => GgmlDType::Q2K,
        BlockType::Q3K => GgmlDType::Q3K,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q5K => GgmlDType::Q5K,
        BlockType::Q6K => GgmlDType::Q6K,
    };
    QTensor::quantize(&Tensor::new(values, &Device::Cpu).unwrap(), dtype).unwrap()
}

/// Values in [-1, 1), always the same.
fn noise(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}
