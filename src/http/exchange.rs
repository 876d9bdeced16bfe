//! One request and its answer, bounded in time.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Method, Uri};
use ureq::{Agent, ResponseExt};

use super::failure::Failure;
use super::limits::{Limits, seconds};
use super::shown::shown_text;

/// Longest piece of a body that is handed over at once.
const PIECE_BYTES: usize = 1 << 16;

/// Pieces that may wait to be taken.
const PIECES_WAITING_MAX: usize = 4;

/// A body that brings fewer bytes than this within [`Limits::silence`] counts as silent, or a
/// byte now and then would hold the program for ever.
const TRICKLE_BYTES: usize = 1024;

/// Most redirects that a request follows.
const REDIRECTS_MAX: u32 = 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    method: Method,
    url: &'a str,
    headers: Vec<(&'static str, String)>,
    redirects: u32,
}

impl<'a> Request<'a> {
    /// Asks for what is at `url`, wherever that is redirected to.
    pub fn get(url: &'a str) -> Self {
        Request { method: Method::GET, url, headers: Vec::new(), redirects: REDIRECTS_MAX }
    }

    /// Asks what would be said about it; a redirect is an answer as well.
    pub fn head(url: &'a str) -> Self {
        Request { method: Method::HEAD, redirects: 0, ..Request::get(url) }
    }

    /// Adds a header. `authorization` is sent to the host of the address alone.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Sends requests.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    limits: Limits,
}

impl Client {
    /// A client that uses the proxy that the environment names.
    pub fn new(limits: Limits) -> Self {
        let agent = Agent::config_builder()
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.silence))
            .timeout_recv_response(Some(limits.silence))
            // Whoever takes the pieces gives up earlier; this one ends the thread.
            .timeout_per_read(Some(2 * limits.silence))
            .max_idle_connections(0)
            .http_status_as_error(false)
            // A range counts bytes of what is sent, which must therefore be the file itself.
            .accept_encoding("identity")
            .user_agent(concat!("wenzhai/", env!("CARGO_PKG_VERSION")))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .build()
            .into();
        Client { agent, limits }
    }

    /// What it keeps to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends `request` and waits for the head of the answer; `note` hears of a server that keeps
    /// silent.
    ///
    /// # Errors
    /// [`Failure`] where no answer came. Any answer is one, whatever its status.
    pub fn send(
        &self,
        request: &Request<'_>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Answer, Failure> {
        let message = message(request)?;
        let host = message.uri().host().unwrap_or_default().to_owned();
        let message =
            self.agent.configure_request(message).max_redirects(request.redirects).build();
        let agent = self.agent.clone();
        let (sender, events) = sync_channel(PIECES_WAITING_MAX);
        thread::Builder::new()
            .name("http".into())
            .spawn(move || exchange(&agent, message, &sender))
            .map_err(|cause| Failure::refused(format!("cannot begin a request: {cause}")))?;
        let limits = self.limits.clone();
        let mut wait = Wait { events, limits, host, waited: Duration::ZERO, told: false };
        let most = wait.limits.connect + wait.limits.silence;
        match wait.next(most, "has not answered", note) {
            Some(Event::Head { status, headers, host }) => {
                (wait.host, wait.waited, wait.told) = (host, Duration::ZERO, false);
                Ok(Answer { status, headers, wait, fresh: 0 })
            }
            Some(Event::Failed(error)) => Err(Failure::of(&error, &wait.limits)),
            // Without a head there is no body.
            Some(Event::Piece(_) | Event::End) | None => {
                Err(Failure::broken(format!("no answer within {}", seconds(most))))
            }
        }
    }
}

/// An answer whose head has arrived.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: HeaderMap,
    wait: Wait,
    /// Bytes since the wait for more began.
    fresh: usize,
}

impl Answer {
    /// A header, if there is one and it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What its status says, where that is no success.
    pub fn failure(&self) -> Failure {
        Failure::of_status(self.status, &self.headers)
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Failure`] where the connection broke off, or nothing to speak of came for too long. A body
    /// without a length that breaks off cannot be told from one that ends.
    pub fn next_piece(&mut self, note: &mut dyn FnMut(&str)) -> Result<Option<Vec<u8>>, Failure> {
        let most = self.wait.limits.silence;
        match self.wait.next(most, "has sent nothing to speak of", note) {
            Some(Event::Piece(bytes)) => {
                self.fresh += bytes.len();
                if self.fresh >= TRICKLE_BYTES {
                    (self.fresh, self.wait.waited, self.wait.told) = (0, Duration::ZERO, false);
                }
                Ok(Some(bytes))
            }
            Some(Event::End | Event::Head { .. }) => Ok(None),
            // The server was there just now, whatever it is that went wrong.
            Some(Event::Failed(error)) => {
                Err(Failure::broken(Failure::of(&error, &self.wait.limits).message))
            }
            None => {
                let (fresh, most) = (self.fresh, seconds(most));
                Err(Failure::broken(match fresh {
                    0 => format!("sent nothing for {most}"),
                    _ => format!("sent only {fresh} bytes in {most}"),
                }))
            }
        }
    }
}

/// What the thread of a request hands over: a head, pieces and the end, or a failure.
#[derive(Debug)]
enum Event {
    Head { status: u16, headers: HeaderMap, host: String },
    Piece(Vec<u8>),
    End,
    Failed(ureq::Error),
}

/// Waits for the events of a request.
#[derive(Debug)]
struct Wait {
    events: Receiver<Event>,
    limits: Limits,
    host: String,
    /// Only time that was spent here counts: a slow disk is no silence of the server's.
    waited: Duration,
    told: bool,
}

impl Wait {
    /// The next event; `None` where it does not come within `most`.
    fn next(&mut self, most: Duration, what: &str, note: &mut dyn FnMut(&str)) -> Option<Event> {
        loop {
            let until = if self.told { most } else { most.min(self.limits.notice) };
            let began = Instant::now();
            let event = self.events.recv_timeout(until.saturating_sub(self.waited));
            self.waited += began.elapsed();
            match event {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Disconnected) => {
                    let broken = io::ErrorKind::UnexpectedEof;
                    return Some(Event::Failed(ureq::Error::Io(broken.into())));
                }
                Err(RecvTimeoutError::Timeout) if self.waited >= most => return None,
                Err(RecvTimeoutError::Timeout) if self.waited < until => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.told = true;
                    let (host, so_far) = (shown_text(&self.host), seconds(until));
                    // Connecting has a limit of its own, and is mostly over.
                    let most = seconds(self.limits.silence);
                    note(&format!("{host} {what} for {so_far}; waiting at most {most}"));
                }
            }
        }
    }
}

fn message(request: &Request<'_>) -> Result<ureq::http::Request<()>, Failure> {
    let uri: Uri =
        request.url.parse().map_err(|_| Failure::refused("the address is not a valid one"))?;
    let mut message = ureq::http::Request::builder().method(request.method.clone()).uri(uri);
    for (name, value) in &request.headers {
        message = message.header(*name, value);
    }
    // Names are ours, so that only a value can be wrong: a token with a line break in it.
    message.body(()).map_err(|_| {
        let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
        Failure::refused(format!("{} has characters that cannot be sent", names.join(" or ")))
    })
}

/// One exchange; ends early when nobody waits for it any more.
fn exchange(agent: &Agent, message: ureq::http::Request<()>, events: &SyncSender<Event>) {
    let response = match agent.run(message) {
        Ok(response) => response,
        Err(error) => return drop(events.send(Event::Failed(error))),
    };
    let host = response.get_uri().host().unwrap_or_default().to_owned();
    let (head, body) = response.into_parts();
    let head = Event::Head { status: head.status.as_u16(), headers: head.headers, host };
    if events.send(head).is_err() {
        return;
    }
    let mut body = body.into_reader();
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let event = match body.read(&mut piece) {
            Ok(0) => return drop(events.send(Event::End)),
            Ok(count) => {
                piece.truncate(count);
                Event::Piece(piece)
            }
            Err(cause) => return drop(events.send(Event::Failed(cause.into()))),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
