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
