//! Block types against candle, and matrix products against a plain one and one another.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use wenzhai::kernels::blocks::{BlockType, Native, decode, group};
use wenzhai::kernels::gemm::{Activation, GateUp, Scratch, argmax, gate_up, gemm};
use wenzhai::kernels::math::{gelu_tanh, silu};
use wenzhai::kernels::packed::Packed;
use wenzhai::kernels::{Executor, Isa, Precision, Quantized, Tiled};

use crate::support::noise::Noise;

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
fn packing_keeps_native_quants_and_rounds_others_to_int8() {
    for kind in BlockType::ALL {
        let (outputs, inputs) = (33, 512);
        let bytes = random_blocks(kind, outputs * inputs);
        let mut values = vec![0.0; outputs * inputs];
        decode(kind, &bytes, &mut values);
        let mut exec = Executor::new(Isa::SCALAR, 2);
        let packed = Packed::from_blocks(&mut exec, kind, &bytes, outputs, inputs);
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
fn groups_are_found_where_all_blocks_share_their_scales() {
    let (outputs, inputs, kind) = (3, 256, BlockType::Q8_0);
    let bytes = random_blocks(kind, outputs * inputs);
    assert_eq!(group(kind, &bytes, inputs), 1);
    for size in [2, 4] {
        let mut shared = grouped(kind, size, bytes.clone());
        assert_eq!(group(kind, &shared, inputs), size);
        let mut exec = Executor::new(Isa::SCALAR, 1);
        let whole = Packed::from_blocks(&mut exec, kind, &shared, outputs, inputs);
        let packed = Packed::from_groups(&mut exec, kind, size, &shared, outputs, inputs);
        assert_eq!((whole.group(), packed.group()), (1, size));
        for at in 0..outputs * inputs {
            let [a, b] = [&whole, &packed].map(|w| w.weight(at / inputs, at % inputs));
            assert_eq!(a, b, "weight {at}");
        }
        // Three blocks a row are no pairs, even where scales would be the same.
        assert_eq!(group(kind, &shared[..96 / 32 * 34], 96), 1);
        let last = shared.len() - 34;
        shared[last] ^= 1;
        assert_eq!(group(kind, &shared, inputs), 1, "one scale differs");
    }
    let other = random_blocks(BlockType::Q4_0, inputs);
    assert_eq!(group(BlockType::Q4_0, &grouped(BlockType::Q4_0, 2, other), inputs), 1);
}

#[test]
fn a_matrix_that_is_filled_again_is_the_new_one() {
    let mut exec = Executor::new(Isa::SCALAR, 1);
    let x = Quantized::from_rows(&int8(64), &activations(3, 64));
    let mut refilled = Packed::empty(exec.isa);
    for (kind, outputs) in [(BlockType::Q4_1, 70), (BlockType::Q8_0, 33), (BlockType::Q5_1, 5)] {
        let bytes = random_blocks(kind, outputs * 64);
        refilled.fill(&mut exec, kind, 1, &bytes, outputs, 64);
        let new = Packed::from_blocks(&mut exec, kind, &bytes, outputs, 64);
        let [found, expected] = [&refilled, &new].map(|w| {
            let mut out = Tiled::default();
            gemm(&mut exec, &x, w, &mut out);
            (0..3).flat_map(|row| bits(out.segment(row, w.tiles() - 1))).collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[test]
fn every_type_and_shape_agrees_with_a_plain_product_and_across_instruction_sets() {
    for kind in BlockType::ALL {
        for (outputs, inputs) in SMALL {
            check_product(&int8(inputs), kind, outputs, inputs);
            check_product(&mixed(inputs), kind, outputs, inputs);
        }
    }
}

#[test]
fn large_products_agree_too() {
    for (kind, outputs, inputs) in LARGE {
        check_product(&int8(inputs), kind, outputs, inputs);
        check_product(&mixed(inputs), kind, outputs, inputs);
    }
}

#[test]
fn products_of_groups_agree_too() {
    for (group, outputs, inputs) in
        [(2, 33, 64), (2, 40, 576), (4, 65, 128), (2, 40, 1536), (4, 40, 1536)]
    {
        for is_mixed in [false, true] {
            let is_int14 = |group: usize| is_mixed && group % 3 != 1;
            let precision = Precision::grouped(inputs, group, is_int14);
            check_product(&Arc::new(precision), BlockType::Q8_0, outputs, inputs);
        }
    }
}

/// Checks the scalar product against f64, and that all instruction sets, numbers of rows and
/// numbers of threads give its bits.
fn check_product(precision: &Arc<Precision>, kind: BlockType, outputs: usize, inputs: usize) {
    if !inputs.is_multiple_of(kind.block_values()) {
        return;
    }
    let group = precision.group();
    let bytes = grouped(kind, group, random_blocks(kind, outputs * inputs));
    let values = activations(MOST_ROWS, inputs);
    let mut exec = Executor::new(Isa::SCALAR, 2);
    let w = Packed::from_groups(&mut exec, kind, group, &bytes, outputs, inputs);
    let x = Quantized::from_rows(precision, &values);
    let mut truth = Tiled::default();
    gemm(&mut exec, &x, &w, &mut truth);
    assert_eq!((truth.rows(), truth.width()), (MOST_ROWS, outputs.next_multiple_of(32)));
    check_against_f64(&x, &w, &truth, &format!("{precision:?} {kind:?} {outputs} x {inputs}"));
    for isa in Isa::all() {
        let mut exec = Executor::new(isa, 2);
        let w = Packed::from_groups(&mut exec, kind, group, &bytes, outputs, inputs);
        for rows in ROWS {
            if isa == Isa::SCALAR && rows != 1 {
                continue;
            }
            let x = Quantized::from_rows(precision, &values[..rows * inputs]);
            let mut out = Tiled::default();
            gemm(&mut Executor::new(isa, 1 + rows % 2), &x, &w, &mut out);
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
fn extreme_quants_do_not_saturate() {
    // The largest quants of both signs: a sum of two products already exceeds 16 bits.
    let inputs = 256;
    // A scale of 1 as an f16, and quants.
    let block = |quant: i8| [&[0x00, 0x3c][..], &[quant as u8; 32]].concat();
    let weights: Vec<u8> =
        (0..32 * inputs / 32).flat_map(|i| block([127, -127][i * 32 / inputs % 2])).collect();
    for (isa, group) in Isa::all().into_iter().flat_map(|isa| [1, 2, 4].map(|group| (isa, group))) {
        let mut exec = Executor::new(isa, 1);
        let w = Packed::from_groups(&mut exec, BlockType::Q8_0, group, &weights, 32, inputs);
        for is_int14 in [false, true] {
            let precision = Arc::new(Precision::grouped(inputs, group, |_| is_int14));
            let x = Quantized::from_rows(&precision, &vec![127.0; 2 * inputs]);
            let mut out = Tiled::default();
            gemm(&mut exec, &x, &w, &mut out);
            let expected = 127.0 * 127.0 * inputs as f32;
            let found = &out.segment(1, 0)[..2];
            assert_eq!(found, [expected, -expected], "{} {precision:?}", isa.name());
        }
    }
}

#[test]
fn quants_whose_sums_just_fill_16_bits_do_not_saturate() {
    // 255 · 128 is below 2^15, 255 · 129 above it: unsigned activations reach 255.
    let eights: [[i8; 8]; 6] = [
        [32, 32, -32, -32, 32, 32, -32, -32],
        [127, 1, -128, 0, 0, 0, 0, 0],
        [0, 64, 0, -64, 64, 0, -64, 0],
        [32, 32, -32, -32, 32, 33, -32, -33],
        [127, 1, -128, 0, 0, 1, 0, -1],
        [127, 127, -128, -128, 127, 127, -128, -128],
    ];
    let (outputs, inputs) = (32, 128);
    for eight in eights {
        // Every other output has the signs turned.
        let weight = |output: usize, input: usize| match output % 2 {
            0 => eight[input % 8],
            _ => eight[input % 8].saturating_neg(),
        };
        let blocks = (0..outputs * inputs / 32).map(|i| (i * 32 / inputs, i * 32 % inputs));
        let bytes: Vec<u8> = blocks
            .flat_map(|(output, input)| {
                let quants = (input..input + 32).map(move |input| weight(output, input) as u8);
                [0x00, 0x3c].into_iter().chain(quants)
            })
            .collect();
        let rows: [fn(i8) -> i32; 5] = [
            |_| 127,
            |_| -127,
            |weight| 127 * i32::from(weight.signum()),
            |weight| -127 * i32::from(weight.signum()),
            |weight| if weight > 0 { 127 } else { -127 },
        ];
        let activation = |row: usize, input: usize| rows[row](eight[input % 8]);
        let values: Vec<f32> =
            (0..5 * inputs).map(|i| activation(i / inputs, i % inputs) as f32).collect();
        for (isa, group) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 2), (isa, 4)]) {
            let mut exec = Executor::new(isa, 1);
            let kind = BlockType::Q8_0;
            let w = Packed::from_groups(&mut exec, kind, group, &bytes, outputs, inputs);
            let precision = Arc::new(Precision::grouped(inputs, group, |_| false));
            let mut out = Tiled::default();
            gemm(&mut exec, &Quantized::from_rows(&precision, &values), &w, &mut out);
            for (row, output) in (0..5).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let product = |input| activation(row, input) * i32::from(weight(output, input));
                let expected: i32 = (0..inputs).map(product).sum();
                let found = out.segment(row, 0)[output];
                assert_eq!(found, expected as f32, "{} {eight:?} {row}, {output}", isa.name());
            }
        }
    }
}

#[test]
fn gate_and_up_equal_the_separate_computation() {
    let inputs = 96;
    for (outputs, kind, group) in [
        (31, BlockType::Q8_0, 1),
        (64, BlockType::Q5_0, 2),
        (97, BlockType::Q4_1, 4),
        (97, BlockType::Q4_1, 1),
    ] {
        let bytes = random_blocks(kind, 2 * outputs * inputs);
        let (gate, up) = bytes.split_at(bytes.len() / 2);
        for (isa, is_silu) in Isa::all().into_iter().flat_map(|isa| [(isa, true), (isa, false)]) {
            let mut exec = Executor::new(isa, 1);
            let gate = Packed::from_blocks(&mut exec, kind, gate, outputs, inputs);
            let up = Packed::from_blocks(&mut exec, kind, up, outputs, inputs);
            let width = gate.tiles() * 32;
            let (activation, f) = match is_silu {
                true => (Activation::Silu, silu as fn(f32) -> f32),
                false => (Activation::GeluTanh, gelu_tanh as fn(f32) -> f32),
            };
            let is_int14 = |group: usize| !is_silu && group % 3 != 1;
            let next = Arc::new(Precision::grouped(width, group, is_int14));
            let weights = GateUp { gate, up, activation };
            let (mut scratch, mut out) = (Scratch::default(), Quantized::default());
            for rows in ROWS.into_iter().chain([0]) {
                let x = Quantized::from_rows(&mixed(inputs), &activations(rows, inputs));
                let (mut gates, mut ups) = (Tiled::default(), Tiled::default());
                gemm(&mut exec, &x, &weights.gate, &mut gates);
                gemm(&mut exec, &x, &weights.up, &mut ups);
                let at = |i: usize| (i / width, i % width / 32, i % 32);
                let products: Vec<f32> = (0..rows * width)
                    .map(at)
                    .map(|(r, t, c)| f(gates.segment(r, t)[c]) * ups.segment(r, t)[c])
                    .collect();
                let expected = Quantized::from_rows(&next, &products);
                let mut exec = Executor::new(isa, 1 + rows % 3);
                gate_up(&mut exec, &x, &weights, &mut scratch, &next, &mut out);
                assert_eq!(out, expected, "{} {activation:?} {rows} rows", isa.name());
            }
        }
    }
}

#[test]
fn the_maximum_is_that_of_the_stored_product() {
    let (outputs, inputs, kind) = (333, 64, BlockType::Q5_0);
    let bytes = random_blocks(kind, outputs * inputs);
    let mut scratch = Scratch::default();
    for isa in Isa::all() {
        let mut exec = Executor::new(isa, 2);
        let w = Packed::from_blocks(&mut exec, kind, &bytes, outputs, inputs);
        for rows in ROWS {
            let x = Quantized::from_rows(&mixed(inputs), &activations(rows, inputs));
            let mut out = Tiled::default();
            gemm(&mut exec, &x, &w, &mut out);
            let mut best = vec![(f32::NAN, 7); rows];
            argmax(&mut exec, &x, &w, &mut scratch, &mut best);
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
    // Winners point away from the activations, all others point farther away.
    let x = Quantized::from_rows(&int8(32), &[1.0; 64]);
    for winners in [vec![0], vec![5, 6], vec![31, 32], vec![40, 100, 200], vec![64, 65, 3000]] {
        let mut weights = vec![[-2.0; 32]; 3001];
        winners.iter().for_each(|&winner: &usize| weights[winner] = [-1.0; 32]);
        let bytes = f32_bytes(weights.as_flattened());
        for (isa, threads) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
            let mut exec = Executor::new(isa, threads);
            let w = Packed::from_blocks(&mut exec, BlockType::F32, &bytes, 3001, 32);
            let mut best = [(0.0, 0); 2];
            argmax(&mut exec, &x, &w, &mut Scratch::default(), &mut best);
            assert_eq!(best.map(|(_, index)| index as usize), [winners[0]; 2], "{}", isa.name());
            assert!(best[0].0 < 0.0);
        }
    }
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn int8(width: usize) -> Arc<Precision> {
    Arc::new(Precision::int8(width))
}

/// Blocks of 14 and of 8 bits in turns, the first of them 14.
fn mixed(width: usize) -> Arc<Precision> {
    Arc::new(Precision::mixed(width, |block| block % 3 != 1))
}

/// Rows with zeros, blocks of zeros, and magnitudes that differ by orders.
fn activations(rows: usize, inputs: usize) -> Vec<f32> {
    let mut values: Vec<f32> = Noise(3).values(rows * inputs);
    for (i, value) in values.iter_mut().enumerate() {
        let (row, block) = (i / inputs, i % inputs / 32);
        *value *= match (row, block) {
            (4, _) | (_, 1) => 0.0,
            _ => 10f32.powi(((row + block) % 5) as i32 - 1),
        };
    }
    values
}

/// The same blocks, each with the scale of the first of its group.
fn grouped(kind: BlockType, group: usize, mut bytes: Vec<u8>) -> Vec<u8> {
    for blocks in bytes.chunks_mut(group * kind.block_bytes()) {
        let (first, others) = blocks.split_at_mut(kind.block_bytes());
        others.chunks_mut(first.len()).for_each(|block| block[..2].copy_from_slice(&first[..2]));
    }
    bytes
}

/// As many weights in blocks that candle has quantized, in a random order.
fn random_blocks(kind: BlockType, weights: usize) -> Vec<u8> {
    const DIFFERENT: usize = 64;
    let tensor = candle_tensor(kind, DIFFERENT * kind.block_values());
    let data = tensor.data().unwrap();
    let blocks: Vec<&[u8]> = data.chunks(kind.block_bytes()).collect();
    Noise(5)
        .values(weights / kind.block_values())
        .iter()
        .flat_map(|at| blocks[(at.abs() * DIFFERENT as f32) as usize].to_vec())
        .collect()
}

fn candle_tensor(kind: BlockType, weights: usize) -> QTensor {
    let values: Vec<f32> =
        Noise(9).values(weights).iter().map(|value| value * 0.1 + 0.01).collect();
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
