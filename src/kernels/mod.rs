//! The arithmetic of the CPU engine, behind a safe API; all `unsafe` of the crate lives here, but for
//! the calls of a card's driver.
//!
//! | module | what it computes |
//! |---|---|
//! | [`blocks`] | GGUF's block types, one block at a time |
//! | [`packed`], [`gemm`] | int8 matrix products on tiles of packed weights |
//! | [`attention`] | one position's heads against the paged keys and values before it |
//! | [`rows`] | rows between products: norms, quantization; queries, keys and values |
//! | [`precision`] | which blocks of activations get 8 bits, and which 14 |
//! | [`math`] | exp and what is built on it, the same bits on every instruction set |
//! | [`isa`] | the instruction sets: a kernel for each kind of work |
//! | [`pool`] | the threads that share a phase of a step |
//!
//! A phase of a step (a product, attention, what is done to rows) is a function that takes an
//! [`Executor`], checks shapes, and hands parts of the work to threads. What a thread does with its
//! part is the method of a kernel, a type for each instruction set behind a trait for each kind of
//! work; every one has a short scalar version, which is the truth. A kernel can be made only where
//! the processor has its instruction set, which is looked for when the program runs.
//!
//! Integer sums are exact on all of them, and every f32 result is built in one fixed order with
//! fused multiply-adds, so a row's result depends neither on the rows around it nor on the number of
//! threads, and the instruction sets agree to the bit.
//!
//! Nothing here knows of candle, of models or of text.

pub mod attention;
pub mod blocks;
mod disjoint;
mod executor;
pub mod gemm;
mod instructions;
pub mod isa;
mod lanes;
pub mod math;
mod memory;
pub mod packed;
pub mod pool;
pub mod precision;
mod quantized;
pub mod rows;

pub use blocks::BLOCK;
pub use executor::Executor;
pub use isa::Isa;
pub use pool::Pool;
pub use precision::Precision;
pub use quantized::{Quantized, Tiled};

#[cfg(test)]
#[path = "../../tests/it/support/noise.rs"]
mod noise;
