//! Rows by the formulas as they are written, and by themselves.

use std::sync::Arc;

use super::*;
use crate::kernels::attention::{PageId, PagePool, PageShape, RowPlace};
use crate::kernels::noise::Noise;
use crate::kernels::{BLOCK, Isa};

fn tiled(rows: usize, width: usize, values: &[f32]) -> Tiled {
    let mut tiled = Tiled::default();
    tiled.resize(rows, width);
    for (at, value) in values.iter().enumerate() {
        let (row, column) = (at / width, at % width);
        tiled.values[(column / BLOCK * rows + row) * BLOCK + column % BLOCK] = *value;
    }
    tiled
}

/// The formula as it is written, in f64.
fn normed(x: &[f32], weight: &[f32]) -> Vec<f64> {
    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean + 1e-6).sqrt();
    x.iter().zip(weight).map(|(x, w)| f64::from(*x) * scale * f64::from(*w)).collect()
}

#[test]
fn residual_and_norms_are_those_of_the_formula_on_every_instruction_set() {
    let (rows, width) = (7, 256);
    let (hidden, update) = (Noise(1).values(rows * width), Noise(2).values(rows * width));
    let (post, weight) = (Noise(3).values(width), Noise(4).values(width));
    let norm = |weight| Norm { weight, eps: 1e-6 };
    for group in [1, 2, 4] {
        let precision = Arc::new(Precision::grouped(width, group, |group| group == 1));
        let mut first = None;
        for isa in Isa::all() {
            for threads in [1, 2] {
                let (mut hidden, mut out) = (hidden.clone(), Quantized::default());
                let update = tiled(rows, width, &update);
                add_and_norm(
                    &mut Executor::new(isa, threads),
                    &mut hidden,
                    Some((&update, Some(norm(&post)))),
                    Some((norm(&weight), &precision, &mut out)),
                );
                let got = (hidden, out.quants, out.scales, out.corrections);
                assert!(*first.get_or_insert(got.clone()) == got, "{}", isa.name());
            }
        }
        let (sums, ..) = first.unwrap();
        for row in 0..rows {
            let range = row * width..(row + 1) * width;
            let updates = normed(&update[range.clone()], &post);
            for (at, update) in range.zip(updates) {
                assert!((f64::from(hidden[at]) + update - f64::from(sums[at])).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn quantized_rows_are_within_half_a_quant() {
    let (rows, width) = (5, 256);
    let values = Noise(5).values(rows * width);
    for size in [1, 2, 4] {
        let mut out = Quantized::default();
        let precision = Arc::new(Precision::grouped(width, size, |_| false));
        quantize(&mut Executor::new(Isa::SCALAR, 1), &values, &precision, &mut out);
        for row in 0..rows {
            for (group, values) in values[row * width..][..width].chunks(size * BLOCK).enumerate() {
                let at = group * rows + row;
                let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                assert_eq!(out.scales[at], largest * (1.0 / 127.0));
                let mut sum = 0;
                for (i, value) in values.iter().enumerate() {
                    let error = (out.value(row, group * size * BLOCK + i) - value).abs();
                    assert!(error <= 0.5001 * out.scales[at], "{row} {group} {i}");
                    let place = (group * size + i / BLOCK) * rows + row;
                    sum += i32::from(out.quants[place * BLOCK + i % BLOCK]);
                }
                assert_eq!(out.corrections[at], -128 * sum);
            }
        }
    }
}

#[test]
fn rotation_takes_the_pairs_it_names_and_keys_and_values_go_to_their_places() {
    let (rows, head_dim) = (3, 32);
    let width = 160;
    let product_values = Noise(6).values(rows * width);
    let product = tiled(rows, width, &product_values);
    let angle = |p: usize, i: usize| p as f64 * 0.7f64.powi(i as i32);
    let table = |f: fn(f64) -> f64| -> Vec<f32> {
        (0..9 * 16).map(|at| f(angle(at / 16, at % 16)) as f32).collect()
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let positions = [0, 8, 3];
    let places = positions.map(|offset| RowPlace { page: PageId(0), offset });
    for (pairing, pair) in [
        (RopePairing::Halves, (|i| (i, i + 16)) as fn(usize) -> (usize, usize)),
        (RopePairing::Adjacent, |i| (2 * i, 2 * i + 1)),
    ] {
        let rope = Some(Rope { cos: &cos, sin: &sin, pairing });
        let (bias, norm) = (None, None);
        let query = Heads { first_column: 32, heads: 2, head_dim, bias, norm, rope, scale: 0.5 };
        let key = Heads { first_column: 96, heads: 1, scale: 1.0, ..query };
        let value = Heads { first_column: 128, rope: None, ..key };
        let projections = Projections { query, key, value };
        let turned = |row: usize, first: usize, i: usize| {
            let before = |d| f64::from(product_values[row * width + first + d]);
            let (a, b) = pair(i);
            let (s, c) = angle(positions[row], i).sin_cos();
            [(a, before(a) * c - before(b) * s), (b, before(a) * s + before(b) * c)]
        };
        for isa in Isa::all() {
            let mut out = vec![0.0; rows * 64];
            let mut kv = PagePool::new(PageShape { layers: 1, kv_heads: 1, head_dim }, 1);
            let exec = &mut Executor::new(isa, 2);
            let heads = &projections;
            let mut share = kv.lend_whole(&places);
            take_heads(exec, &product, &positions, heads, &mut out, &mut share, 0);
            drop(share);
            for row in 0..rows {
                let (key, value) = (kv.key(places[row], 0, 0), kv.value(places[row], 0, 0));
                for i in 0..16 {
                    for head in 0..2 {
                        for (dim, x) in turned(row, 32 + head * 32, i) {
                            let found = f64::from(out[row * 64 + head * 32 + dim]);
                            assert!((found - 0.5 * x).abs() < 1e-6);
                        }
                    }
                    for (dim, x) in turned(row, 96, i) {
                        assert!((f64::from(key[dim]) - x).abs() < 0.005);
                    }
                }
                for (dim, x) in value.into_iter().enumerate() {
                    assert!((x - product_values[row * width + 128 + dim]).abs() < 0.005);
                }
            }
        }
    }
}

/// Three KV heads of 32 dimensions and as many query heads, taken as they are.
fn take_as_they_are(isa: Isa, kv: &mut PagePool, product: &Tiled, places: &[RowPlace]) {
    let (bias, norm, rope) = (None, None, None);
    let query = Heads { first_column: 0, heads: 3, head_dim: 32, bias, norm, rope, scale: 1.0 };
    let heads = Projections {
        query,
        key: Heads { first_column: 96, ..query },
        value: Heads { first_column: 192, ..query },
    };
    let positions = vec![0; places.len()];
    let (mut out, exec) = (vec![0.0; places.len() * 96], &mut Executor::new(isa, 2));
    let share = &mut kv.lend_whole(places);
    take_heads(exec, product, &positions, &heads, &mut out, share, 1);
}

#[test]
fn many_rows_are_written_as_each_by_itself() {
    let shape = PageShape { layers: 2, kv_heads: 3, head_dim: 32 };
    let place = |row: usize| RowPlace { page: PageId(row as u32 % 3), offset: row / 3 };
    let places: Vec<RowPlace> = (0..100).map(place).collect();
    let given = Noise(7).values(100 * 288);
    let product = tiled(100, 288, &given);
    let (mut single, mut many) = (PagePool::new(shape, 3), PagePool::new(shape, 3));
    // Twice, since places are free again.
    for isa in Isa::all().into_iter().chain([Isa::SCALAR]) {
        take_as_they_are(isa, &mut many, &product, &places);
        for (row, place) in places.iter().enumerate() {
            for kv_head in 0..3 {
                let at = row * 288 + 96 + kv_head * 32;
                let (key, value) = (&given[at..][..32], &given[at + 96..][..32]);
                single.write(*place, 1, kv_head, key, value);
                assert_eq!(many.key(*place, 1, kv_head), single.key(*place, 1, kv_head));
                assert_eq!(many.value(*place, 1, kv_head), single.value(*place, 1, kv_head));
                let length = key.iter().map(|x| x * x).sum::<f32>().sqrt();
                let near = |kept: &[f32], given: &[f32], bound: &dyn Fn(f32) -> f32| {
                    kept.iter().zip(given).all(|(a, b)| (a - b).abs() <= bound(*b))
                };
                let (kept, bound) = (many.key(*place, 1, kv_head), length / 65_000.0);
                assert!(near(&kept, key, &|_| bound), "row {row}");
                let kept = many.value(*place, 1, kv_head);
                assert!(near(&kept, value, &|x| x.abs() / 256.0), "row {row}");
                assert!(many.key(*place, 0, kv_head).iter().all(|key| *key == 0.0));
            }
        }
    }
}

#[test]
#[should_panic(expected = "two rows for position 5 of page 1")]
fn two_rows_cannot_be_written_to_one_place() {
    let mut kv = PagePool::new(PageShape { layers: 2, kv_heads: 3, head_dim: 32 }, 2);
    let place = RowPlace { page: PageId(1), offset: 5 };
    take_as_they_are(Isa::SCALAR, &mut kv, &tiled(2, 288, &[0.0; 576]), &[place, place]);
}
