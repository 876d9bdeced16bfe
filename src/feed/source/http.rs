//! Feeds from http and https addresses; the one part of reading that touches the network.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;

use crate::error::ErrorKind;
use crate::{Error, Result};

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest time for a whole feed, name look-up and redirects included; the API is slow at times.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);

/// Most bytes of one response; the feed of a whole arXiv day has 4 MiB.
pub const MAX_RESPONSE_BYTES: u64 = 256 << 20;

/// Requests `url` and hands over the body as it arrives, without HTTP's own compression.
pub(super) fn open(url: &str) -> Result<Box<dyn Read>> {
    let agent = Agent::new_with_config(
        Agent::config_builder()
            .user_agent(concat!("wenzhai/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TOTAL_TIMEOUT))
            .http_status_as_error(false)
            .build(),
    );
    let response = agent.get(url).call().map_err(|cause| {
        Error::new(ErrorKind::Network, format!("cannot fetch {url}: {cause}"))
            .because(cause)
            .hint("check the address and the connection, or save the feed and name the file")
    })?;
    let status = response.status();
    if !status.is_success() {
        let reason = status.canonical_reason().unwrap_or("no reason given");
        let message = format!("cannot fetch {url}: HTTP status {} ({reason})", status.as_u16());
        let error = Error::new(ErrorKind::Network, message);
        return Err(match status.as_u16() {
            404 | 410 => error.hint("check the address; feeds are at https://rss.arxiv.org/rss/"),
            429 | 503 => error.hint("the server asks for a pause; try again in some minutes"),
            _ => error,
        });
    }
    let body = response.into_body().into_with_config().limit(MAX_RESPONSE_BYTES).reader();
    Ok(Box::new(body))
}
