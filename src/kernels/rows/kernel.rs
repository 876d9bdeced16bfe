//! What an instruction set does with rows between products: the same code, compiled for it.

use super::heads::TakeHeads;
use super::norm::{AddAndNorm, Quantize};
#[cfg(target_arch = "aarch64")]
use crate::kernels::instructions::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::instructions::{Avx2, Avx512};
use crate::kernels::{instructions::Scalar, lanes::Plain};

/// Work on rows with an instruction set. A value proves that the processor has it.
pub(in crate::kernels) trait Kernel: Sync {
    /// # Safety
    /// The processor has the instruction set, and each row is in one call; here and below.
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>);

    /// # Safety
    /// As above.
    unsafe fn quantize(&self, work: Quantize<'_>);

    /// # Safety
    /// As above.
    unsafe fn take_heads(&self, work: TakeHeads<'_>);
}

// SAFETY, of all blocks here: the caller promises what the work asks for.
#[allow(clippy::undocumented_unsafe_blocks, reason = "all for the reason above")]
impl Kernel for Scalar {
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>) {
        unsafe { work.run(Plain) }
    }

    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(Plain) }
    }

    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(Plain) }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "as above")]
impl Kernel for Avx2 {
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>) {
        unsafe { work.run(*self) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(*self) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(*self) }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "as above")]
impl Kernel for Avx512 {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>) {
        unsafe { work.run(*self) }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(*self) }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(*self) }
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "as above")]
impl Kernel for Neon {
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>) {
        unsafe { work.run(*self) }
    }

    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(*self) }
    }

    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(*self) }
    }
}
