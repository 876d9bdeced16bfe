//! What an instruction set does with rows between products: the same code, compiled for it.

use super::heads::TakeHeads;
use super::norm::{AddAndNorm, Quantize};
use crate::kernels::lanes::Plain;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::Wide;

/// The work on rows of an instruction set. A value exists only where the processor has it.
pub(in crate::kernels) trait Kernel: Sync {
    /// # Safety
    /// The processor has what the kernel's `new` looks for, and each row is in one call; here and
    /// below.
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>);

    /// # Safety
    /// As above.
    unsafe fn quantize(&self, work: Quantize<'_>);

    /// # Safety
    /// As above.
    unsafe fn take_heads(&self, work: TakeHeads<'_>);
}

/// The kernel that every processor has.
pub(in crate::kernels) struct Scalar;

/// The kernel for processors with AVX2 and FMA: proof that this is one.
#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) struct Avx2(());

/// The kernel for processors with AVX-512: proof that this is one.
#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) struct Avx512(Wide);

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    pub fn new() -> Option<Avx2> {
        let is_here = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        is_here.then_some(Avx2(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    pub fn new() -> Option<Avx512> {
        Wide::new().map(Avx512)
    }
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
        unsafe { work.run(Plain) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(Plain) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(Plain) }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "as above")]
impl Kernel for Avx512 {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn add_and_norm(&self, work: AddAndNorm<'_>) {
        unsafe { work.run(self.0) }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn quantize(&self, work: Quantize<'_>) {
        unsafe { work.run(self.0) }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn take_heads(&self, work: TakeHeads<'_>) {
        unsafe { work.run(self.0) }
    }
}
