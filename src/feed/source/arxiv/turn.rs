//! One request at a time, with pauses between them, whichever process asks: a lock on a file that
//! says when arXiv was last asked for what.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::endpoint::Endpoint;
use crate::{Error, Result};

/// Most bytes of the file that are read.
const MAX_BYTES: u64 = 1 << 10;

/// The right to ask, until dropped.
pub(super) struct Turn {
    file: File,
    times: Vec<(String, u64)>,
    endpoint: Endpoint,
}

impl Turn {
    /// Waits until nobody else asks, and until `pause` has passed since the last request of this
    /// endpoint; `note` hears of a wait for another process.
    pub(super) fn take(
        folder: &Path,
        endpoint: Endpoint,
        pause: Duration,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let path = folder.join("turns");
        std::fs::create_dir_all(folder).map_err(|cause| Error::io("make", folder, cause))?;
        let failed = |cause| Error::io("lock", &path, cause);
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note("another run is asking arXiv; waiting for its turn to end");
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let mut text = String::new();
        // What is no text is as good as nothing.
        let _ = (&mut file).take(MAX_BYTES).read_to_string(&mut text);
        let times = text.lines().filter_map(|line| {
            let (endpoint, time) = line.split_once(' ')?;
            Some((endpoint.to_owned(), time.parse().ok()?))
        });
        let turn = Turn { times: times.collect(), file, endpoint };
        thread::sleep(turn.left(pause));
        Ok(turn)
    }

    /// What is left of the pause. A clock that was set back makes no longer one.
    fn left(&self, pause: Duration) -> Duration {
        let last = self.times.iter().find(|(endpoint, _)| endpoint == self.endpoint.name());
        let Some((_, last)) = last else { return Duration::ZERO };
        let passed = Duration::from_millis(now().saturating_sub(*last));
        pause.saturating_sub(passed)
    }

    /// Notes that the request has ended just now.
    pub(super) fn end(mut self) {
        let name = self.endpoint.name();
        self.times.retain(|(endpoint, _)| endpoint != name);
        self.times.push((name.to_owned(), now()));
        let text: String =
            self.times.iter().map(|(endpoint, time)| format!("{endpoint} {time}\n")).collect();
        // A time that cannot be written costs a pause, not the answer that has just come.
        let _ = self.file.set_len(0).and_then(|()| self.file.rewind());
        let _ = self.file.write_all(text.as_bytes());
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
