//! Proofs that this processor has an instruction set: a type for each, on which kernels are
//! implemented.

/// What every processor has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

/// AVX-VNNI, with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct AvxVnni(pub Avx2);

/// AVX-512 F, BW, DQ, VL and VNNI, with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

/// The same with AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512Bf16(pub Avx512);

/// AMX with products of int8, beside AVX-512. Only where the system is known to grant it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Amx(pub Avx512);

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
impl AvxVnni {
    pub fn new() -> Option<AvxVnni> {
        Avx2::new().filter(|_| is_x86_feature_detected!("avxvnni")).map(AvxVnni)
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

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl Amx {
    pub fn new() -> Option<Amx> {
        Avx512::new().filter(|_| has_amx_int8() && may_use_tiles()).map(Amx)
    }
}

/// Whether processor and system have tile registers and products of int8: Intel's Software
/// Developer's Manual, volume 2, CPUID leaf 7, and volume 1, 13.3.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_amx_int8() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    /// State components of the tiles' configuration and of their data.
    const TILES: u64 = 1 << 17 | 1 << 18;

    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: called where the system has enabled it.
        unsafe { _xgetbv(0) }
    }

    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let amx = AMX_TILE | AMX_INT8;
    // SAFETY: the system has enabled XSAVE, as asked above.
    __cpuid_count(7, 0).edx & amx == amx && unsafe { enabled_state() } & TILES == TILES
}

/// Asks Linux for the tiles' data, which a process has to: `arch_prctl(ARCH_REQ_XCOMP_PERM, 18)`, see
/// Documentation/arch/x86/xstate.rst of the kernel.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: usize;
    // SAFETY: a system call that takes two numbers and touches no memory of this process.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
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
