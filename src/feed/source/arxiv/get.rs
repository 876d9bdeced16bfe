//! One answer of arXiv's, whole: from the cache, or asked for in turn, again where that helps.

use std::time::{Duration, Instant};

use super::cache::{Cache, Head};
use super::endpoint::Endpoint;
use super::service::Service;
use super::turn::Turn;
use crate::error::ErrorKind;
use crate::feed::source::http::charset;
use crate::http::{Client, Failure, FailureKind, Request, Tries};
use crate::{Error, Result};

/// Most bytes of one answer; the feed of a whole day has 4 MiB.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Longest time for one answer, from its first byte on.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(600);

/// What is asked for.
pub(in crate::feed) struct Target {
    pub(in crate::feed) endpoint: Endpoint,
    pub(in crate::feed) url: String,
    /// Whether the answer never changes, so that one that is kept need not be asked for again.
    pub(in crate::feed) is_settled: bool,
}

/// An answer.
pub(in crate::feed) struct Fetched {
    pub(in crate::feed) bytes: Vec<u8>,
    pub(in crate::feed) charset: Option<String>,
    head: Option<Head>,
    is_settled: bool,
}

impl Service {
    /// Asks for what is at an address; `name` is what messages call it, and `note` hears how it
    /// goes on.
    pub(in crate::feed) fn get(
        &self,
        target: &Target,
        name: &str,
        note: &mut dyn FnMut(&str),
    ) -> Result<Fetched> {
        let cache = Cache::open(self.folder());
        let kept = cache.find(&target.url);
        let is_settled = |(head, _): &&(Head, Vec<u8>)| target.is_settled && head.is_settled;
        if let Some((head, bytes)) = kept.as_ref().filter(is_settled) {
            return Ok(Fetched {
                bytes: bytes.clone(),
                charset: head.charset.clone(),
                head: None,
                is_settled: true,
            });
        }
        let turn = Turn::take(self.folder(), target.endpoint, self.pause(target.endpoint), note)?;
        // Another try is a request like any other, and comes no sooner.
        let mut limits = self.limits().clone();
        limits.pause = limits.pause.max(self.pause(target.endpoint));
        let client = Client::new(limits);
        let mut tries = Tries::new(client.limits());
        let outcome = loop {
            let outcome = self.ask(&client, target, kept.as_ref(), note);
            let Err(failure) = outcome else { break outcome };
            // The message of a pause speaks of the server, so that its name must be there.
            let mut note = |text: &str| note(&format!("{name}: {text}"));
            if let Err(failure) = tries.pause(failure, &mut note) {
                break Err(failure);
            }
        };
        drop(turn);
        outcome.map_err(|failure| refused(name, &failure))
    }

    /// Keeps an answer that turned out to be what it should be.
    pub(in crate::feed) fn keep(&self, got: Fetched) {
        let is_of_use =
            |head: &Head| got.is_settled || head.etag.is_some() || head.last_modified.is_some();
        if let Some(head) = got.head.filter(is_of_use) {
            let head = Head { is_settled: got.is_settled, ..head };
            Cache::open(self.folder()).keep(head, &got.bytes);
        }
    }

    fn ask(
        &self,
        client: &Client,
        target: &Target,
        kept: Option<&(Head, Vec<u8>)>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Fetched, Failure> {
        let mut request = Request::get(&target.url)
            .header("user-agent", self.user_agent())
            .header("accept-encoding", "gzip".to_owned());
        if let Some((head, _)) = kept {
            if let Some(etag) = &head.etag {
                request = request.header("if-none-match", etag.clone());
            }
            if let Some(date) = &head.last_modified {
                request = request.header("if-modified-since", date.clone());
            }
        }
        let mut answer = client.send(&request, note)?;
        if let (304, Some((head, bytes))) = (answer.status, kept) {
            let head = head.clone();
            return Ok(Fetched {
                bytes: bytes.clone(),
                charset: head.charset.clone(),
                head: Some(head),
                is_settled: target.is_settled,
            });
        }
        // The API says in a feed of one entry what is wrong with a request, which whoever reads it tells.
        let is_told = answer.status == 400
            && target.endpoint == Endpoint::Api
            && answer.header("content-type").is_some_and(|media_type| media_type.contains("xml"));
        if answer.status != 200 && !is_told {
            return Err(answer.failure());
        }
        let text = |name: &str| answer.header(name).map(str::to_owned);
        let head = Head {
            url: target.url.clone(),
            etag: text("etag"),
            last_modified: text("last-modified"),
            charset: answer.header("content-type").and_then(charset).map(str::to_owned),
            ..Head::default()
        };
        let began = Instant::now();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.next_piece(note)? {
            if bytes.len() + piece.len() > MAX_ANSWER_BYTES {
                let mib = MAX_ANSWER_BYTES >> 20;
                return Err(Failure::refused(format!("the answer is longer than {mib} MiB")));
            }
            if began.elapsed() > MAX_ANSWER_TIME {
                let minutes = MAX_ANSWER_TIME.as_secs() / 60;
                return Err(Failure::refused(format!("the answer takes more than {minutes} min")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Fetched {
            bytes,
            charset: head.charset.clone(),
            head: Some(head),
            is_settled: target.is_settled,
        })
    }
}

fn refused(name: &str, failure: &Failure) -> Error {
    let message = format!("cannot fetch {name}: {}", failure.message);
    let error = Error::new(ErrorKind::Network, message);
    let error = if failure.may_pass() { error.passing() } else { error };
    match failure.kind {
        FailureKind::Busy(_) => error
            .hint("the server asks for a pause: try again in some minutes; what was read is kept"),
        FailureKind::Unreachable | FailureKind::Broken => {
            error.hint("check the connection, and run again")
        }
        FailureKind::Refused => error,
    }
}
