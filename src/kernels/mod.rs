//! The arithmetic of the CPU engine, behind a safe API; all `unsafe` of the crate lives here.
//!
//! | module | what it computes |
//! |---|---|
//! | [`blocks`] | GGUF's block types, one block at a time |
//! | [`packed`], [`gemm`] | int8 matrix products on tiles of packed weights |
//! | [`attention`] | one position's heads against the paged keys and values before it |
//! | [`rows`] | norms, residuals and quantization, a row at a time |
//! | [`heads`] | from a product to queries, keys and values: head norms, rotary positions, storing |
//! | [`math`] | exp and what is built on it, the same bits on every instruction set |
//! | [`pool`] | the threads that share a phase of a step |
//!
//! Every kernel exists as a short scalar version, which is the truth, and as versions for
//! instruction sets that are looked for when the program runs. Holding an [`Isa`] proves that the
//! processor has it. Integer sums are exact on all of them, and every f32 result is built in one
//! fixed order with fused multiply-adds, so a row's result depends neither on the rows around it
//! nor on the number of threads, and the instruction sets agree to the bit where stated.
//!
//! Nothing here knows of candle, of models or of text.

pub mod attention;
pub mod blocks;
mod disjoint;
pub mod gemm;
pub mod grain;
pub mod heads;
pub mod isa;
mod lanes;
pub mod math;
mod memory;
pub mod packed;
pub mod pool;
pub mod quantized;
pub mod rows;

pub use grain::Grain;
pub use isa::Isa;
pub use pool::Pool;
pub use quantized::{Quantized, Tiled};

/// Values that share a scale: the block of every format here.
pub const BLOCK: usize = 32;
