//! Whether the disk has room for what is fetched.

use super::cache::Slot;
use super::expected::Expected;
use crate::card::{self, Card, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::system;

/// What to do where there is none.
pub(super) const MAKE_ROOM: &str = "make room, or name a folder on another disk in WENZHAI_HOME";

/// Bytes of disk that a file of `bytes` takes while it is fetched: its pieces lie there as well until
/// it is verified, so that what arrived need not come again.
pub fn disk_while_fetched(bytes: u64, sources: &[Source]) -> u64 {
    let in_pieces = sources.iter().any(|source| matches!(source, Source::Pypi { .. }));
    if in_pieces { 2 * bytes } else { bytes }
}

/// Whether the disk has room for a file whose size is known.
pub(super) fn check_disk(slot: &Slot, expected: &Expected, sources: &[Source]) -> Result<()> {
    let (Some(bytes), Some(free)) = (expected.bytes, system::free_disk(&slot.partial())) else {
        return Ok(());
    };
    let there = slot.partial_bytes();
    let needed = disk_while_fetched(bytes, sources).saturating_sub(there);
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let message = format!(
        "{} takes {} MiB of disk while it is fetched, and {} has {} MiB free",
        slot.file_name(),
        mib(needed),
        slot.file().parent().unwrap_or(slot.file()).display(),
        mib(free)
    );
    let of_card = |card: &Card| disk_while_fetched(card.file.bytes, &card.sources);
    let smaller = match card::find(card::SMALL).map(of_card) {
        Some(small) if small < needed => {
            format!("; or take --model {}, which takes {} MiB", card::SMALL, mib(small))
        }
        _ => String::new(),
    };
    let hint = format!("{MAKE_ROOM}{smaller}");
    Err(Error::new(ErrorKind::Io, message).passing().hint(hint))
}
