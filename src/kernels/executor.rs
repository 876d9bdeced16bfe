//! What a phase of a step is computed with.

use super::{Isa, Pool};

/// The kernels of an instruction set, and the threads that share the work.
#[derive(Debug)]
pub struct Executor {
    /// What matrices are packed for, and rows are computed with.
    pub isa: Isa,
    /// The threads.
    pub pool: Pool,
}

impl Executor {
    /// For `threads` threads, the caller's included; at least one.
    pub fn new(isa: Isa, threads: usize) -> Executor {
        Executor { isa, pool: Pool::new(threads) }
    }
}
