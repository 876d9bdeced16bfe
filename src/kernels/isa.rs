//! The instruction sets that kernels are written for, and which of them this processor has.

use std::ffi::OsStr;
use std::fmt;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::instructions::Amx;
use super::instructions::Scalar;
#[cfg(target_arch = "x86_64")]
use super::instructions::{Avx2, Avx512, Avx512Bf16, AvxVnni};
#[cfg(target_arch = "aarch64")]
use super::instructions::{Dotprod, I8mm, Neon};
use super::{attention::unit as attention, gemm::kernel as gemm, rows::kernel as rows};
use crate::{Error, Result, error::ErrorKind};

/// An instruction set that this processor has: values exist only for those.
///
/// It is a name and a kernel for each kind of work, so that what helps one kind of work alone (tiles
/// of AMX, Arm's i8mm) is a kernel of that kind and a row in [`Isa::all`].
#[derive(Clone, Copy)]
pub struct Isa {
    name: &'static str,
    pub(super) gemm: &'static dyn gemm::Kernel,
    pub(super) rows: &'static dyn rows::Kernel,
    pub(super) attention: &'static dyn attention::Kernel,
}

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "WENZHAI_ISA";

/// The one that needs a permission.
const AMX: &str = "amx";

impl Isa {
    /// The scalar kernels, which every processor has.
    pub const SCALAR: Isa =
        Isa { name: "scalar", gemm: &Scalar, rows: &Scalar, attention: &Scalar };

    /// The last of [`Isa::all`], or the one that [`VARIABLE`] names; empty, it names none.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the variable names one that is unknown or not here.
    pub fn detect() -> Result<Isa> {
        Isa::chosen(std::env::var_os(VARIABLE).as_deref())
    }

    /// The same, with the value of the variable.
    fn chosen(name: Option<&OsStr>) -> Result<Isa> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            // What is not used is not asked for: the permission for tiles cannot be given back.
            return Ok(*Isa::listed(false).last().expect("the scalar kernels are always there"));
        };
        let name = name.to_string_lossy();
        let listed = Isa::listed(name == AMX);
        listed.into_iter().find(|isa| isa.name == name).ok_or_else(|| {
            let known: Vec<_> = Isa::all().iter().map(|isa| isa.name).collect();
            Error::new(ErrorKind::Usage, format!("{VARIABLE}={name} cannot be used here"))
                .hint(format!("this processor has {}", known.join(", ")))
        })
    }

    /// All that this processor has; the last one is used where none is asked for.
    pub fn all() -> Vec<Isa> {
        Isa::listed(true)
    }

    /// The same, with AMX only where it is wanted.
    fn listed(with_amx: bool) -> Vec<Isa> {
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let _ = with_amx;
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            allow(unused_mut, reason = "no others there")
        )]
        let mut all = vec![Isa::SCALAR];
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Avx2::new().map(forever) {
            let avx2 = Isa { name: "avx2", gemm: kernel, rows: kernel, attention: kernel };
            all.push(avx2);
            if let Some(kernel) = AvxVnni::new().map(forever) {
                all.push(Isa { name: "avx-vnni", gemm: kernel, attention: kernel, ..avx2 });
            }
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Avx512::new().map(forever) {
            let avx512 = Isa { name: "avx512", gemm: kernel, rows: kernel, attention: kernel };
            let bf16 = Avx512Bf16::new().map(forever);
            let bf16 = bf16.map(|attention| Isa { name: "avx512-bf16", attention, ..avx512 });
            // Not last, so that it has to be asked for: its products are checked, but no machine has
            // timed them yet.
            #[cfg(target_os = "linux")]
            if let Some(gemm) = with_amx.then(Amx::new).flatten().map(forever) {
                all.push(Isa { name: AMX, gemm, ..bf16.unwrap_or(avx512) });
            }
            all.push(avx512);
            all.extend(bf16);
        }
        #[cfg(target_arch = "aarch64")]
        {
            let neon = Isa { name: "neon", gemm: &Neon, rows: &Neon, attention: &Neon };
            all.push(neon);
            if let Some(gemm) = Dotprod::new().map(forever) {
                all.push(Isa { name: "neon-dotprod", gemm, ..neon });
            }
            if let Some(gemm) = I8mm::new().map(forever) {
                all.push(Isa { name: "neon-i8mm", gemm, ..neon });
            }
        }
        all
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

/// A kernel is a proof and takes no memory, so keeping it for ever costs none.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn forever<K>(kernel: K) -> &'static K {
    const { assert!(size_of::<K>() == 0) };
    Box::leak(Box::new(kernel))
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_as_none() {
        let chosen = |name: &str| Isa::chosen(Some(OsStr::new(name)));
        assert_eq!(chosen("").unwrap(), Isa::chosen(None).unwrap());
        assert_eq!(chosen("scalar").unwrap(), Isa::SCALAR);
        let error = chosen("sse2").unwrap_err();
        assert_eq!(error.to_string(), "WENZHAI_ISA=sse2 cannot be used here");
    }

    #[test]
    fn what_the_system_says_of_the_processor_is_found() {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = information.lines().find(|line| line.starts_with("flags")).unwrap();
        let has =
            |needed: &str| needed.split(' ').all(|flag| flags.split(' ').any(|it| it == flag));
        let (avx2, avx512) = ("avx2 fma", "avx512f avx512bw avx512dq avx512vl avx512_vnni");
        let expected = [
            ("scalar", true),
            ("avx2", has(avx2)),
            ("avx-vnni", has(avx2) && has("avx_vnni")),
            ("amx", has(avx2) && has(avx512) && has("amx_tile amx_int8")),
            ("avx512", has(avx2) && has(avx512)),
            ("avx512-bf16", has(avx2) && has(avx512) && has("avx512_bf16")),
        ];
        let expected = expected.iter().filter(|(_, is_here)| *is_here).map(|(name, _)| *name);
        let found: Vec<_> = Isa::all().iter().map(|isa| isa.name()).collect();
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
