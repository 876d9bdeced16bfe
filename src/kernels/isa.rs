//! The instruction sets that kernels are written for, and which of them this processor has.

use std::fmt;

use super::attention::unit as attention;
use super::gemm::kernel as gemm;
use super::rows::kernel as rows;
use crate::{Error, Result, error::ErrorKind};

/// An instruction set that this processor has: values exist only for those.
///
/// It is a name and a kernel for each kind of work. A kernel's `new` looks whether the processor
/// has what it needs, so that a kernel which one kind of work has to itself (tiles of AMX, say, or
/// the products of Arm's i8mm) is one more row in [`Isa::all`], whatever the others have.
#[derive(Clone, Copy)]
pub struct Isa {
    name: &'static str,
    pub(super) gemm: &'static dyn gemm::Kernel,
    pub(super) rows: &'static dyn rows::Kernel,
    pub(super) attention: &'static dyn attention::Kernel,
}

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "WENZHAI_ISA";

impl Isa {
    /// The scalar kernels, which every processor has.
    pub const SCALAR: Isa = Isa {
        name: "scalar",
        gemm: &super::gemm::scalar::Scalar,
        rows: &rows::Scalar,
        attention: &super::attention::scalar::Scalar,
    };

    /// The last of [`Isa::all`], or the one that [`VARIABLE`] names.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the variable names one that is unknown or not here.
    pub fn detect() -> Result<Isa> {
        let all = Isa::all();
        let Some(name) = std::env::var_os(VARIABLE) else {
            return Ok(*all.last().expect("the scalar kernels are always there"));
        };
        let name = name.to_string_lossy();
        all.iter().copied().find(|isa| isa.name == name).ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|isa| isa.name).collect();
            Error::new(ErrorKind::Usage, format!("{VARIABLE}={name} cannot be used here"))
                .hint(format!("this processor has {}", known.join(", ")))
        })
    }

    /// All that this processor has; the last one is used where none is asked for.
    pub fn all() -> Vec<Isa> {
        let all = [
            Some(Isa::SCALAR),
            #[cfg(target_arch = "x86_64")]
            avx2(),
            #[cfg(target_arch = "x86_64")]
            avx512(),
            #[cfg(target_arch = "x86_64")]
            avx512_bf16(),
        ];
        all.into_iter().flatten().collect()
    }

    /// Its name, as [`VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        self.name
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Isa) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Option<Isa> {
    Some(Isa {
        name: "avx2",
        gemm: forever(super::gemm::avx2::Avx2::new()?),
        rows: forever(rows::Avx2::new()?),
        attention: forever(super::attention::avx2::Avx2::new()?),
    })
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> Option<Isa> {
    Some(Isa {
        name: "avx512",
        gemm: forever(super::gemm::vnni::Vnni::new()?),
        rows: forever(rows::Avx512::new()?),
        attention: forever(super::attention::avx512::Avx512::new()?),
    })
}

#[cfg(target_arch = "x86_64")]
fn avx512_bf16() -> Option<Isa> {
    let attention = forever(super::attention::avx512_bf16::Avx512Bf16::new()?);
    Some(Isa { name: "avx512-bf16", attention, ..avx512()? })
}

/// A kernel is the proof that the processor can run it and takes no memory, so that keeping it for
/// ever costs none.
#[cfg(target_arch = "x86_64")]
fn forever<K>(kernel: K) -> &'static K {
    const { assert!(size_of::<K>() == 0) };
    Box::leak(Box::new(kernel))
}
