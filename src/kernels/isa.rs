//! Which instruction set the kernels use.

use crate::{Error, Result, error::ErrorKind};

/// An instruction set that this processor has: values exist only for those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

/// The instruction sets that kernels are written for, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI (and AVX2 and FMA).
    Avx512Vnni,
    /// The same and AVX-512 BF16.
    Avx512Bf16,
}

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "WENZHAI_ISA";

impl Isa {
    /// The scalar kernels, which every processor has.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The best one here, or the one that [`VARIABLE`] names.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the variable names one that is unknown or not here.
    pub fn detect() -> Result<Isa> {
        let Some(name) = std::env::var_os(VARIABLE) else {
            return Ok(*Isa::all().last().expect("the scalar kernels are always there"));
        };
        let name = name.to_string_lossy();
        let named = Isa::all().into_iter().find(|isa| isa.name() == name);
        named.ok_or_else(|| {
            let known: Vec<_> = Isa::all().into_iter().map(Isa::name).collect();
            Error::new(ErrorKind::Usage, format!("{VARIABLE}={name} cannot be used here"))
                .hint(format!("this processor has {}", known.join(", ")))
        })
    }

    /// All that this processor has, in ascending order.
    pub fn all() -> Vec<Isa> {
        [Level::Scalar, Level::Avx2, Level::Avx512Vnni, Level::Avx512Bf16]
            .into_iter()
            .filter(|level| level.is_here())
            .map(Isa)
            .collect()
    }

    /// Which it is.
    pub fn level(self) -> Level {
        self.0
    }

    /// Its name, as [`VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512Vnni => "avx512",
            Level::Avx512Bf16 => "avx512-bf16",
        }
    }
}

impl Level {
    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Level::Scalar => true,
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Level::Avx512Vnni => {
                Level::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            Level::Avx512Bf16 => {
                Level::Avx512Vnni.is_here() && is_x86_feature_detected!("avx512bf16")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        self == Level::Scalar
    }
}
