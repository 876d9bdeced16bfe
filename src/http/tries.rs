//! When to try again, and when to stop.

use std::thread;
use std::time::Duration;

use super::failure::{Failure, FailureKind};
use super::limits::{Limits, seconds};

/// The tries of one download: so many may fail in a row, with growing pauses between them. A byte
/// or two that came in between does not make them fewer.
#[derive(Debug)]
pub struct Tries<'a> {
    limits: &'a Limits,
    failed: u32,
    /// Bytes since failed tries were last forgotten.
    gained: u64,
    /// Whether the server answered once, so that there is a way to it.
    under_way: bool,
}

impl<'a> Tries<'a> {
    /// None yet.
    pub fn new(limits: &'a Limits) -> Self {
        Tries { limits, failed: 0, gained: 0, under_way: false }
    }

    /// So many bytes have arrived.
    pub fn gain(&mut self, bytes: u64) {
        self.under_way |= bytes > 0;
        self.gained += bytes;
        if self.gained >= self.limits.substantial_bytes {
            (self.failed, self.gained) = (0, 0);
        }
    }

    /// Waits until it is time for another try; `note` hears of longer waits and why.
    ///
    /// # Errors
    /// `failure`, where there is to be no other try.
    pub fn pause(
        &mut self,
        mut failure: Failure,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        let asked = match failure.kind {
            FailureKind::Refused => return Err(failure),
            FailureKind::Unreachable if !self.under_way => return Err(failure),
            FailureKind::Busy(asked) => asked,
            FailureKind::Unreachable | FailureKind::Broken => None,
        };
        self.failed += 1;
        let most = self.limits.retry_after;
        if let Some(asked) = asked.filter(|asked| *asked > most) {
            let (asked, most) = (seconds(asked), seconds(most));
            failure.message += &format!("; it asks to wait {asked}, and {most} are the most");
            return Err(failure);
        }
        if self.failed >= self.limits.tries {
            if self.failed > 1 {
                failure.message += &format!("; tried {} times", self.failed);
            }
            return Err(failure);
        }
        let pause = self.own_pause().max(asked.unwrap_or_default());
        let message = &failure.message;
        if let Some(asked) = asked.filter(|asked| *asked > Duration::ZERO) {
            let asked = seconds(asked);
            note(&format!("{message}: the server asks to wait {asked}; trying again then"));
        } else if pause >= self.limits.notice {
            note(&format!("{message}; trying again in {}", seconds(pause)));
        }
        thread::sleep(pause);
        Ok(())
    }

    /// Twice as long each time.
    fn own_pause(&self) -> Duration {
        let doublings = self.failed.saturating_sub(1).min(16);
        self.limits.pause.saturating_mul(1 << doublings)
    }
}
