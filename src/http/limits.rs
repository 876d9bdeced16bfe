//! How long a server is waited for, and how often it is asked again.

use std::time::Duration;

/// How long a server is waited for, and how often it is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest time to find a host's address, and then to connect to it.
    pub connect: Duration,
    /// Longest time to the head of an answer, and then to each further KiB of its body.
    pub silence: Duration,
    /// When the user is told that a server is silent, or that it is asked again after a pause.
    pub notice: Duration,
    /// How many tries in a row may fail.
    pub tries: u32,
    /// Pause before the second try; each further one is twice as long.
    pub pause: Duration,
    /// Failed tries are forgotten when so many bytes have arrived.
    pub substantial_bytes: u64,
    /// Longest pause that a server may ask for (`Retry-After`).
    pub retry_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(20),
            notice: Duration::from_secs(5),
            tries: 4,
            pause: Duration::from_secs(1),
            substantial_bytes: 1 << 20,
            // The hub counts requests over five minutes.
            retry_after: Duration::from_secs(300),
        }
    }
}

/// "5 s".
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).round() / 10.0)
}
