//! One request at a time, with pauses between them, whichever process asks: a lock on a file that
//! says when arXiv was last asked for what.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::endpoint::Endpoint;
use super::service::Service;
use crate::{Error, Result};

/// Most bytes of the file that are read.
const MAX_BYTES: u64 = 1 << 10;

/// The pause that arXiv's terms ask for between requests of whatever kind.
const SHARED_PAUSE: Duration = Duration::from_secs(3);

/// The right to ask, until dropped.
pub struct Turn {
    file: File,
    times: Vec<(String, u64)>,
    endpoint: Endpoint,
}

impl Turn {
    /// Waits until nobody else asks, until `pause` has passed since the last request of this endpoint,
    /// and as much of it as all endpoints share since that of any; `note` hears of a wait for another
    /// process.
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
        let mut turn = Turn { times: times.collect(), file, endpoint };
        thread::sleep(turn.left(pause));
        // A run that is killed while it asks has asked all the same.
        turn.note_time();
        Ok(turn)
    }

    /// What is left of the pauses. A clock that was set back makes no longer one.
    fn left(&self, pause: Duration) -> Duration {
        let left = |(endpoint, last): &(String, u64)| {
            let pause =
                if endpoint == self.endpoint.name() { pause } else { pause.min(SHARED_PAUSE) };
            pause.saturating_sub(Duration::from_millis(now().saturating_sub(*last)))
        };
        self.times.iter().map(left).max().unwrap_or_default()
    }

    fn note_time(&mut self) {
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

/// The request has ended just now.
impl Drop for Turn {
    fn drop(&mut self) {
        self.note_time();
    }
}

impl Service {
    /// The turn to ask for feeds, which ends when it is dropped: no other run asks arXiv meanwhile.
    /// `note` hears of a wait for another process.
    ///
    /// # Errors
    /// Where the file by which turns are kept cannot be made or locked.
    pub fn turn(&self, note: &mut dyn FnMut(&str)) -> Result<Turn> {
        let endpoint = Endpoint::Rss;
        Turn::take(self.folder(), endpoint, self.pause(endpoint), note)
    }
}

/// The turn to ask for what is at `url`, and the pause between requests, where it is an address of
/// arXiv's.
pub(in crate::feed::source) fn turn_of(
    url: &str,
    note: &mut dyn FnMut(&str),
) -> Result<Option<(Turn, Duration)>> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let endpoint = match host.strip_suffix("arxiv.org") {
        Some("rss.") => Endpoint::Rss,
        Some("" | "www.") => Endpoint::Page,
        Some("oaipmh.") => Endpoint::Oai,
        Some(other) if other.ends_with('.') => Endpoint::Api,
        _ => return Ok(None),
    };
    let (folder, pause) = (Service::from_env()?.folder().to_owned(), endpoint.pause());
    Turn::take(&folder, endpoint, pause, note).map(|turn| Some((turn, pause)))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
