//! What a file must be.

use super::reason::Reason;
use crate::card::Card;

/// What is known of a file beforehand.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<&'a str>,
}

impl<'a> Expected<'a> {
    pub(super) const ANYTHING: Expected<'static> = Expected { bytes: None, sha256: None };

    pub(super) fn of_card(card: &'a Card) -> Self {
        Expected { bytes: Some(card.file.bytes), sha256: Some(&card.file.sha256) }
    }

    /// Whether a file of the cache is the expected one.
    pub(super) fn fits(&self, bytes: u64, sha256: &str) -> bool {
        check_bytes(self.bytes, bytes).is_ok() && check_sha256(self.sha256, sha256).is_ok()
    }
}

pub(super) fn check_bytes(wanted: Option<u64>, bytes: u64) -> Result<(), Reason> {
    match wanted {
        Some(wanted) if wanted != bytes => {
            Err(format!("delivers {bytes} bytes instead of {wanted}").into())
        }
        _ => Ok(()),
    }
}

pub(super) fn check_sha256(wanted: Option<&str>, sha256: &str) -> Result<(), Reason> {
    match wanted {
        Some(wanted) if wanted != sha256 => {
            Err(format!("delivers a file with SHA-256 {sha256} instead of {wanted}").into())
        }
        _ => Ok(()),
    }
}
