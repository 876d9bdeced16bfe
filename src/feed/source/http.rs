//! Feeds from http and https addresses, piece by piece.
//!
//! The head of an answer is waited for and asked for again as [`crate::http`] does it; a body that
//! breaks off is an input that breaks off, since papers of it may have been handed over already.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::arxiv::{Turn, turn_of, user_agent};
use crate::error::ErrorKind;
use crate::http::{Answer, Client, Failure, FailureKind, Limits, Request, Tries, shown_text};
use crate::{Error, Result};

/// How many tries a request has.
const TRIES: u32 = 3;

/// Longest silence of a server; the API is slow at times.
const SILENCE: Duration = Duration::from_secs(90);

/// Longest time for a whole feed.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Most bytes of one response; the feed of a whole arXiv day has 4 MiB.
pub const MAX_RESPONSE_BYTES: u64 = 256 << 20;

/// Requests `url` and hands over the body as it arrives, and the charset that the answer names;
/// `contact` is whom the server can write to, `name` what messages call it, and `note` hears of
/// waits.
pub(super) fn open(
    url: &str,
    contact: Option<&str>,
    name: &str,
    note: &mut dyn FnMut(&str),
) -> Result<(impl Read + use<>, Option<String>)> {
    let mut limits = Limits { tries: TRIES, silence: SILENCE, ..Limits::default() };
    // An address of arXiv's is asked in turn with its other endpoints.
    // Where turns cannot be kept, a folder that cannot be written for one, it is asked all the same.
    let turn = turn_of(url, &mut |text| note(text)).unwrap_or_else(|error| {
        note(&format!("{name}: asked without regard to other runs: {error}"));
        None
    });
    if let Some((_, pause)) = &turn {
        limits.pause = limits.pause.max(*pause);
    }
    let request = Request::get(url)
        .header("user-agent", user_agent(contact))
        .header("accept-encoding", "gzip".to_owned());
    let client = Client::new(limits);
    let mut tries = Tries::new(client.limits());
    let mut note = |text: &str| note(&format!("{name}: {text}"));
    let answer = loop {
        let (failure, status) = match client.send(&request, &mut note) {
            Ok(answer) if (200..300).contains(&answer.status) => break answer,
            Ok(answer) => (answer.failure(), Some(answer.status)),
            Err(failure) => (failure, None),
        };
        tries.pause(failure, &mut note).map_err(|failure| refused(&failure, status, name))?;
    };
    let turn = turn.map(|(turn, _)| turn);
    let charset = answer.header("content-type").and_then(charset).map(str::to_owned);
    let (piece, began) = (Vec::new(), Instant::now());
    let body = Body { answer, piece, taken: 0, bytes: 0, began, is_over: false, turn };
    Ok((body, charset))
}

/// The charset of `text/xml; charset="gb2312"` (RFC 9110, chapter 8.3.1).
pub(in crate::feed::source) fn charset(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let (_, value) = charsets.next()?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

fn refused(failure: &Failure, status: Option<u16>, name: &str) -> Error {
    let message = format!("cannot fetch {name}: {}", failure.message);
    let error = Error::new(ErrorKind::Network, message);
    let error = if failure.may_pass() { error.passing() } else { error };
    match (status, failure.kind) {
        (Some(404 | 410), _) => {
            error.hint("check the address; feeds are at https://rss.arxiv.org/rss/")
        }
        (_, FailureKind::Busy(_)) => {
            error.hint("the server asks for a pause; try again in some minutes")
        }
        (Some(_), _) => error,
        (None, _) => {
            error.hint("check the address and the connection, or save the feed and name the file")
        }
    }
}

/// A body that breaks off. Where another try may bring all of it, the kind is one by which
/// [`Error::may_pass`] sees that.
fn broken_off(failure: &Failure) -> io::Error {
    let kind = match failure.may_pass() {
        true => io::ErrorKind::TimedOut,
        false => io::ErrorKind::Other,
    };
    io::Error::new(kind, shown_text(&failure.message))
}

/// The body of an answer.
struct Body {
    answer: Answer,
    piece: Vec<u8>,
    taken: usize,
    bytes: u64,
    began: Instant,
    is_over: bool,
    /// To ask arXiv, which is not asked again before it has sent all, or nobody wants more of it.
    turn: Option<Turn>,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            // Readers ask once more behind the end.
            if self.is_over {
                return Ok(0);
            }
            let failed = |what: String| io::Error::other(shown_text(&what));
            let piece = self.answer.next_piece(&mut |_| {}).map_err(|f| broken_off(&f))?;
            let Some(piece) = piece else {
                (self.is_over, self.turn) = (true, None);
                return Ok(0);
            };
            self.bytes += piece.len() as u64;
            if self.bytes > MAX_RESPONSE_BYTES {
                let mib = MAX_RESPONSE_BYTES >> 20;
                return Err(failed(format!("the answer is longer than {mib} MiB")));
            }
            if self.began.elapsed() > TOTAL_TIMEOUT {
                let minutes = TOTAL_TIMEOUT.as_secs() / 60;
                return Err(failed(format!("the answer takes more than {minutes} min")));
            }
            (self.piece, self.taken) = (piece, 0);
        }
        let rest = &self.piece[self.taken..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
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
