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

/// Requests `url` and hands over the body as it arrives, without HTTP's own compression, and the
/// charset that the answer names; `name` is what messages call it.
pub(super) fn open(url: &str, name: &str) -> Result<(impl Read + use<>, Option<String>)> {
    let agent = Agent::new_with_config(
        Agent::config_builder()
            .user_agent(concat!("wenzhai/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TOTAL_TIMEOUT))
            .http_status_as_error(false)
            .build(),
    );
    let response = agent.get(url).call().map_err(|cause| {
        let reason = cause.to_string().replace(url, name);
        let error = Error::new(ErrorKind::Network, format!("cannot fetch {name}: {reason}"))
            .hint("check the address and the connection, or save the feed and name the file");
        // The cause may spell out a password that the name leaves away.
        if name == url { error.because(cause) } else { error }
    })?;
    let status = response.status();
    if !status.is_success() {
        let reason = status.canonical_reason().unwrap_or("no reason given");
        let message = format!("cannot fetch {name}: HTTP status {} ({reason})", status.as_u16());
        let error = Error::new(ErrorKind::Network, message);
        return Err(match status.as_u16() {
            404 | 410 => error.hint("check the address; feeds are at https://rss.arxiv.org/rss/"),
            429 | 503 => error.hint("the server asks for a pause; try again in some minutes"),
            _ => error,
        });
    }
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let charset = content_type.and_then(charset).map(str::to_owned);
    let body = response.into_body().into_with_config().limit(MAX_RESPONSE_BYTES).reader();
    Ok((body, charset))
}

/// The charset of `text/xml; charset="gb2312"` (RFC 9110, chapter 8.3.1).
fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let (_, value) = charsets.next()?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_are_read_off_content_types() {
        assert_eq!(charset("text/xml; charset=gb2312"), Some("gb2312"));
        assert_eq!(charset("text/xml;q=1; Charset=\"GBK\" "), Some("GBK"));
        assert_eq!(charset("application/atom+xml"), None);
        assert_eq!(charset("text/xml; charset="), None);
    }
}
