//! Why an exchange failed, in words for people, and whether to try again.

use std::io;
use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;
use ureq::Timeout;
use ureq::http::{HeaderMap, StatusCode};

use super::limits::{Limits, seconds};
use super::shown::shown_text;
use crate::error::plain;

/// An exchange that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened: a clause without the address.
    pub message: String,
    /// What it means for another try.
    pub kind: FailureKind,
}

/// What a [`Failure`] means for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// There is no way to the server; another try would end the same way, unless there was one just
    /// now.
    Unreachable,
    /// Another try may do better.
    Broken,
    /// The server has too much to do; it may say how long to wait.
    Busy(Option<Duration>),
    /// Another try would end the same way.
    Refused,
}

impl Failure {
    /// A failure after which another try may do better.
    pub fn broken(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: FailureKind::Broken }
    }

    /// A failure after which another try would end the same way.
    pub fn refused(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: FailureKind::Refused }
    }

    /// Whether another try, later, may do better.
    pub fn may_pass(&self) -> bool {
        self.kind != FailureKind::Refused
    }

    /// What the status of an answer says that is no success.
    pub(super) fn of_status(status: u16, headers: &HeaderMap) -> Self {
        let kind = match status {
            429 | 503 => FailureKind::Busy(retry_after(headers, SystemTime::now())),
            408 | 425 | 500.. => FailureKind::Broken,
            _ => FailureKind::Refused,
        };
        let known = StatusCode::from_u16(status).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        Failure { message: format!("HTTP status {status}{reason}"), kind }
    }

    pub(super) fn of(error: &ureq::Error, limits: &Limits) -> Self {
        use ureq::Error;
        let unreachable = |message: String| Failure { message, kind: FailureKind::Unreachable };
        match error {
            Error::Timeout(Timeout::Resolve) => unreachable(format!(
                "the address of the host was not found within {}",
                seconds(limits.connect)
            )),
            Error::Timeout(Timeout::Connect) => {
                Failure::broken(format!("no connection within {}", seconds(limits.connect)))
            }
            Error::Timeout(_) => {
                Failure::broken(format!("no answer within {}", seconds(limits.silence)))
            }
            Error::Io(cause) => match cause.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::TimedOut => Failure::broken("the connection broke off"),
                io::ErrorKind::ConnectionRefused => {
                    unreachable("the connection was refused".into())
                }
                // Those of certificates are of this kind, and say what is wrong.
                io::ErrorKind::InvalidData => {
                    Failure::refused(format!("no secure connection: {}", shown_text(&plain(cause))))
                }
                _ => unreachable(format!("no connection: {}", shown_text(&plain(cause)))),
            },
            Error::HostNotFound => unreachable("the host was not found".into()),
            Error::ConnectionFailed => unreachable("there was no connection".into()),
            Error::ConnectProxyFailed(answer) => {
                Failure::refused(format!("the proxy refused: {}", shown_text(answer)))
            }
            Error::InvalidProxyUrl => {
                Failure::refused("the address of the proxy is not a valid one")
            }
            Error::TooManyRedirects => Failure::refused("is redirected too often"),
            Error::BadUri(_) | Error::RedirectFailed => {
                Failure::refused("the address, or one that it is redirected to, is not a valid one")
            }
            Error::LargeResponseHeader(..) => {
                Failure::refused("the head of the answer is too long")
            }
            Error::Protocol(_) | Error::Http(_) => {
                Failure::refused("the answer is not one of HTTP")
            }
            Error::BodyStalled => Failure::broken("the connection broke off"),
            Error::Tls(_) | Error::TlsRequired | Error::Rustls(_) | Error::Pem(_) => {
                Failure::refused(format!(
                    "no secure connection: {}",
                    shown_text(&error.to_string())
                ))
            }
            other => Failure::refused(shown_text(&other.to_string())),
        }
    }
}

/// How long the server asks to wait (RFC 9110, 10.2.3): seconds, or a date, which is taken by the
/// server's own clock where it tells the time.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text("retry-after")?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = |text| Some(SystemTime::from(rfc2822::parse(text).ok()?.timestamp()));
    let now = text("date").and_then(date).unwrap_or(now);
    Some(date(value)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |value: &str, date: Option<&str>, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", value.parse().unwrap());
            if let Some(date) = date {
                headers.insert("date", date.parse().unwrap());
            }
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        };
        check("120", None, Some(120));
        check("0", None, Some(0));
        check("99999999999999999999999", None, Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:50:07 GMT", None, Some(30));
        check("Sun, 06 Nov 1994 08:00:00 GMT", None, Some(0));
        let date = Some("Sun, 06 Nov 1994 08:50:00 GMT");
        check("Sun, 06 Nov 1994 08:50:07 GMT", date, Some(7));
        check("soon", None, None);
        check("-5", None, None);
    }
}
