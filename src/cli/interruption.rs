//! Ctrl-C and SIGTERM while papers are written: the first asks for an end after the step under way,
//! the second ends the program at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, ErrorKind, Result};

/// What shells add to a signal's number for the exit status of what it ended.
const STATUS_OF_SIGNAL: i32 = 128;

/// Listens for signals, one at a time of its kind: each digest of a run has its own. Dropped, it lets
/// the first signal end the program at once, as the second does before.
#[derive(Debug)]
pub(super) struct Interruption(Flags);

/// What signals set, from when somebody first listens to the end of the program.
#[derive(Debug, Clone, Default)]
struct Flags {
    is_last: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

static REGISTERED: Mutex<Option<Flags>> = Mutex::new(None);

impl Interruption {
    pub(super) fn listen() -> Result<Self> {
        let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = match &*registered {
            Some(flags) => flags.clone(),
            None => registered.insert(Flags::registered()?).clone(),
        };
        flags.signal.store(0, Ordering::Relaxed);
        flags.is_last.store(false, Ordering::Relaxed);
        Ok(Interruption(flags))
    }

    /// Whether an end was asked for.
    pub(super) fn is_asked_for(&self) -> bool {
        self.status().is_some()
    }

    /// The exit status that tells of the signal that came, if one did.
    pub(super) fn status(&self) -> Option<u8> {
        self.0.status()
    }
}

/// The exit status that tells of the signal that came since somebody began to listen, if one did.
pub(super) fn status() -> Option<u8> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.status()
}

impl Flags {
    fn status(&self) -> Option<u8> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => u8::try_from(STATUS_OF_SIGNAL as usize + number).ok(),
        }
    }

    fn registered() -> Result<Self> {
        let this = Flags::default();
        for number in [SIGINT, SIGTERM] {
            let register = || {
                // In this order: what a signal sets is seen by the next one.
                let status = STATUS_OF_SIGNAL + number;
                flag::register_conditional_shutdown(number, status, Arc::clone(&this.is_last))?;
                flag::register(number, Arc::clone(&this.is_last))?;
                flag::register_usize(number, Arc::clone(&this.signal), number as usize)
            };
            register().map_err(|cause| {
                Error::new(ErrorKind::Io, "cannot listen for Ctrl-C").because(cause)
            })?;
        }
        Ok(this)
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }
}
