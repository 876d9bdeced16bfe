//! Devices: their names, how one is opened, and all that differs from one to another.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use crate::model;
use crate::{Error, Result, error::ErrorKind};

/// Where an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by its number; needs the feature `cuda`.
    Cuda(usize),
    /// Apple's GPU; needs the feature `metal`.
    Metal,
}

/// How many sequences share a block of keys and values on a card.
pub(crate) const CARD_LANES: usize = 32;

/// How a device is treated. The model itself asks for no device: what differs is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handling {
    /// How matrices are held.
    pub matrices: Matrices,
    /// How many sequences share a block of keys and values. Those of a block that have one row in
    /// a step attend together; a block of one is attended to by itself.
    pub lanes: usize,
}

/// How an engine holds the matrices of its layers, and what goes into a product with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrices {
    /// Expanded to f32 once: exact.
    F32,
    /// Expanded to f16 once; what goes into a product and what comes out of it is rounded to f16,
    /// too, and summed in f32. 2 bytes a weight.
    F16,
    /// As they are, through candle's quantized products, which round what goes in to 8 bits.
    Quantized,
}

impl Handling {
    /// How `device` is treated unless something else is asked for, with a model whose layers have
    /// `weights` elements in their matrices.
    ///
    /// A CPU's operations cost nothing to begin, so sequences attend one by one, and it has no
    /// products of f16. A card's cost some microseconds however small they are. It gets f16, which
    /// chooses the tokens that f32 does, unless that takes more than half of the memory that is
    /// free there, or nobody knows how much that is.
    pub(super) fn of(device: &Device, weights: u64) -> Handling {
        let matrices = match (device, free_memory(device)) {
            (Device::Cpu, _) => Matrices::F32,
            (_, free) => Matrices::on_card(free, weights),
        };
        Handling { matrices, lanes: if matches!(device, Device::Cpu) { 1 } else { CARD_LANES } }
    }
}

impl Matrices {
    /// What a card with `free` bytes left gets for a model with so many `weights` in its layers.
    pub(crate) fn on_card(free: Option<u64>, weights: u64) -> Matrices {
        let f16_bytes = 2 * weights;
        if free.is_some_and(|free| f16_bytes <= free / 2) {
            Matrices::F16
        } else {
            Matrices::Quantized
        }
    }
}

impl DeviceChoice {
    /// Whether the device can be used: found out before anything is fetched or loaded for it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where it is not built in, or not there.
    pub fn check(self) -> Result<()> {
        match self {
            DeviceChoice::Cpu => Ok(()),
            _ => self.open().map(drop),
        }
    }

    pub(in crate::engine) fn open(self) -> Result<Device> {
        let (is_built, feature) = match self {
            DeviceChoice::Cpu => return Ok(Device::Cpu),
            DeviceChoice::Cuda(_) => (cfg!(feature = "cuda"), "cuda"),
            DeviceChoice::Metal => (cfg!(feature = "metal"), "metal"),
        };
        let failed = |why: &str| {
            Error::new(ErrorKind::Usage, format!("device {self} cannot be used: {why}"))
        };
        if !is_built {
            let hint = match self {
                DeviceChoice::Cuda(_) => "`scripts/build-cuda` builds one that can",
                _ => "`cargo build --release --features metal` builds one that can",
            };
            return Err(failed(&format!("this program was built without {feature}"))
                .hint(format!("{hint}; --device cpu needs nothing")));
        }
        let opened = caught(|| match self {
            DeviceChoice::Cuda(number) => open_card(number),
            _ => Device::new_metal(0),
        });
        let hint = match self {
            DeviceChoice::Cuda(_) => {
                format!("`wenzhai doctor --device {self}` tells what is missing; ")
            }
            _ => String::new(),
        };
        let hint = format!("{hint}--device cpu needs nothing");
        match opened {
            Ok(Ok(device)) => Ok(device),
            Ok(Err(cause)) => {
                Err(failed("it does not answer").because(model::cause(cause)).hint(hint))
            }
            Err(panic) => Err(failed(&what_is_missing(&panic)).hint(hint)),
        }
    }
}

/// A card with one stream for all threads. `Device::new_cuda` takes the stream of the thread that
/// asks: what another thread begins there has no order with it.
fn open_card(number: usize) -> candle_core::Result<Device> {
    let device = Device::new_cuda_with_stream(number)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = &device {
        // SAFETY: events order the uses of a tensor on several streams, and every tensor of this
        // device is used on its one stream alone, which has an order.
        unsafe { card.disable_event_tracking() };
    }
    Ok(device)
}

/// What `open` gives, or with what it panicked: the bindings to CUDA panic where a library of it
/// cannot be loaded, which is no news for a terminal.
fn caught<T>(open: impl FnOnce() -> T) -> Result<T, String> {
    // The hook belongs to the whole process.
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let outcome = catch_unwind(AssertUnwindSafe(open));
    panic::set_hook(hook);
    outcome.map_err(|payload| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or_else(|_| String::new(), |t| (*t).into()),
    })
}

/// The library that a panic names between quotes, in words.
fn what_is_missing(panic: &str) -> String {
    match panic.split('"').nth(1) {
        Some("cuda") => "NVIDIA's driver is not here (its library libcuda cannot be loaded)".into(),
        Some(name) => format!("CUDA's library lib{name} cannot be loaded"),
        None => "a library of CUDA's cannot be used".into(),
    }
}

/// Bytes that are free on `device`; `None` where it does not tell.
pub(super) fn free_memory(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => {
            let (free, _) = card.cuda_stream().context().mem_get_info().ok()?;
            Some(free as u64)
        }
        _ => None,
    }
}

/// Whether the device has no memory left: CUDA's names for it, and Metal's words.
pub(in crate::engine) fn is_out_of_memory(cause: &candle_core::Error) -> bool {
    let text = cause.to_string();
    ["OUT_OF_MEMORY", "ALLOC_FAILED", "out of memory", "nsufficient Memory"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// An error of a step; [`ErrorKind::Memory`] where the device has no memory for it.
pub(in crate::engine) fn step_failed(cause: candle_core::Error) -> Error {
    if is_out_of_memory(&cause) {
        return Error::new(ErrorKind::Memory, "the device has no memory left for a step")
            .because(model::cause(cause))
            .hint("take a smaller --batch, or a smaller model");
    }
    Error::new(ErrorKind::Engine, "the engine failed in a step").because(model::cause(cause))
}

/// One device, or several cards that share the papers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices(Vec<DeviceChoice>);

impl Devices {
    /// All of them, at least one.
    pub fn all(&self) -> &[DeviceChoice] {
        &self.0
    }

    /// Whether there is nothing but the processor.
    pub fn is_cpu(&self) -> bool {
        self.0 == [DeviceChoice::Cpu]
    }

    /// Whether every one of them can be used: found out before anything is fetched or loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where one is not built in, or not there.
    pub fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|device| device.check())
    }
}

impl Default for Devices {
    fn default() -> Self {
        DeviceChoice::default().into()
    }
}

impl From<DeviceChoice> for Devices {
    fn from(device: DeviceChoice) -> Self {
        Devices(vec![device])
    }
}

impl std::fmt::Display for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[0].fmt(f)?;
        self.0[1..].iter().try_for_each(|device| match device {
            DeviceChoice::Cuda(number) => write!(f, ",{number}"),
            other => write!(f, ",{other}"),
        })
    }
}

impl std::str::FromStr for Devices {
    type Err = Error;

    /// A device, or several cards: `cuda:0,1`.
    fn from_str(text: &str) -> Result<Self> {
        let Some(("cuda", numbers)) = text.split_once(':') else {
            return Ok(text.parse::<DeviceChoice>()?.into());
        };
        let cards = numbers.split(',').map(|number| format!("cuda:{number}").parse());
        let cards = cards.collect::<Result<Vec<DeviceChoice>>>()?;
        let is_again = |(at, card): (usize, &DeviceChoice)| cards[..at].contains(card);
        if cards.iter().enumerate().any(is_again) {
            return Err(Error::new(ErrorKind::Usage, format!("device {text} names a card twice"))
                .hint("cuda:0,1 are two cards"));
        }
        Ok(Devices(cards))
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceChoice::Metal => f.write_str("metal"),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let cuda = |number: &str| number.parse().ok().map(DeviceChoice::Cuda);
        let choice = match text.split_once(':') {
            None if text == "cpu" => Some(DeviceChoice::Cpu),
            None if text == "cuda" => Some(DeviceChoice::Cuda(0)),
            None if text == "metal" => Some(DeviceChoice::Metal),
            Some(("cuda", number)) => cuda(number),
            _ => None,
        };
        choice.ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("unknown device {text:?}"))
                .hint("devices are cpu, cuda, cuda:N, cuda:0,1 and metal")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_cannot_be_loaded_is_an_error_and_named() {
        let check = |text: &str, expected: &str| {
            let panic = caught::<()>(|| panic!("{text}")).unwrap_err();
            assert_eq!(what_is_missing(&panic), expected);
        };
        check(
            "Unable to load the \"cuda\" shared library",
            "NVIDIA's driver is not here (its library libcuda cannot be loaded)",
        );
        check("cannot load \"cublasLt\"", "CUDA's library libcublasLt cannot be loaded");
        check("something else", "a library of CUDA's cannot be used");
        assert_eq!(caught::<u8>(|| panic!("fixed")), Err("fixed".to_owned()));
        assert_eq!(caught(|| 7), Ok(7));
    }

    #[test]
    fn a_card_gets_f16_where_half_of_its_free_memory_has_room_for_it() {
        assert_eq!(Matrices::on_card(Some(24 << 30), 6 << 30), Matrices::F16);
        assert_eq!(Matrices::on_card(Some((24 << 30) - 1), 6 << 30), Matrices::Quantized);
        assert_eq!(Matrices::on_card(None, 1 << 20), Matrices::Quantized);
    }

    #[test]
    fn no_memory_is_told_from_other_failures() {
        let kind = |text: &str| step_failed(candle_core::Error::Msg(text.to_owned())).kind();
        let of_cuda = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert_eq!(kind(of_cuda), ErrorKind::Memory);
        assert_eq!(kind("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"), ErrorKind::Memory);
        assert_eq!(kind("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)"), ErrorKind::Engine);
    }
}
