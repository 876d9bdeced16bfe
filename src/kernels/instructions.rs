//! Proofs that this processor has an instruction set: a type for each, on which kernels are
//! implemented.

/// What every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

/// AVX-512 F, BW, DQ, VL and VNNI, with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

/// The same with AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512Bf16(pub Avx512);

/// NEON, which every 64-bit processor of Arm's has.
#[cfg(target_arch = "aarch64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon;

/// NEON with `sdot` (FEAT_DotProd).
#[cfg(target_arch = "aarch64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Dotprod(());

/// NEON with `smmla` (FEAT_I8MM).
#[cfg(target_arch = "aarch64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct I8mm(());

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
        let is_here = Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        is_here.then_some(Avx512(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx512Bf16 {
    pub fn new() -> Option<Avx512Bf16> {
        Avx512::new().filter(|_| is_x86_feature_detected!("avx512bf16")).map(Avx512Bf16)
    }
}

#[cfg(target_arch = "aarch64")]
impl Dotprod {
    pub fn new() -> Option<Dotprod> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Dotprod(()))
    }
}

#[cfg(target_arch = "aarch64")]
impl I8mm {
    pub fn new() -> Option<I8mm> {
        std::arch::is_aarch64_feature_detected!("i8mm").then_some(I8mm(()))
    }
}
