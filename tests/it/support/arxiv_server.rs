//! A small arXiv on the loopback interface: feeds, catch-up pages, the API and OAI-PMH over invented
//! papers, with the faults that a test asks for, and a memory of what it was asked.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::arxiv_answers::{decoded, feed, list, page, results};
use super::place::{Finished, Place};

/// Why a paper is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    New,
    Cross,
    Replace,
}

/// A paper as arXiv announces it.
#[derive(Debug, Clone)]
pub struct Announced {
    pub id: String,
    pub version: u32,
    pub kind: Kind,
    pub title: String,
    pub abstract_text: String,
}

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status, and what `Retry-After` says.
    Status(u16, Option<u32>),
    /// What the API answers to a request that it does not take: status 400, and a feed that says why.
    Refused(&'static str),
    /// A page of a hotel's network, with status 200.
    SignIn,
    /// The end of the body is missing, and its length is told.
    Cut,
    /// The same, and nothing tells of its length.
    CutSilently,
    /// Nothing comes for so long, and then the answer.
    Slow(Duration),
    /// A body without end.
    Endless,
    /// What the answer counts is more than what it holds, by so many.
    CountsTooMany(usize),
    /// The answer holds none of what it counts.
    Empty,
    /// OAI-PMH knows the token no more.
    Expired,
    /// The answer begins with the entry of this number, from 0, whichever was asked for.
    BeginsWith(usize),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub at: Instant,
    pub user_agent: String,
    pub if_none_match: Option<String>,
}

#[derive(Default)]
struct State {
    feeds: HashMap<String, (Date, Vec<Announced>)>,
    days: HashMap<(String, Date), Vec<Announced>>,
    papers: Vec<Announced>,
    /// Sets of OAI-PMH; papers of version 0 are deleted ones.
    sets: HashMap<String, Vec<Announced>>,
    /// For the next requests whose paths have the text in them.
    faults: Vec<(String, Fault)>,
    /// Pages that are what they are, whatever else is known.
    pages: HashMap<String, String>,
    asked: Vec<Asked>,
    page_size: usize,
}

/// It answers until the test ends.
pub struct ArxivServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// New papers with these numbers, in which there is nothing to summarise: no model is needed.
pub fn withdrawn(numbers: impl IntoIterator<Item = u32>) -> Vec<Announced> {
    let paper = |number| Announced {
        abstract_text: "This paper has been withdrawn by the authors.".into(),
        ..paper(number)
    };
    numbers.into_iter().map(paper).collect()
}

/// A new paper.
pub fn paper(number: u32) -> Announced {
    Announced {
        id: format!("2699.{number:05}"),
        version: 1,
        kind: Kind::New,
        title: format!("Counting Herons {number}"),
        abstract_text: format!("We count herons at pond {number} & find $a<b$."),
    }
}

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

impl ArxivServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let state = Arc::new(Mutex::new(State { page_size: 2000, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away is no fault of the server's.
                thread::spawn(move || answer(stream, &state));
            }
        });
        ArxivServer { port, state }
    }

    /// What the feed of a category holds from now on, and the day that it says to be of.
    pub fn set_feed(&self, category: &str, of: &str, papers: Vec<Announced>) {
        self.state().feeds.insert(category.into(), (day(of), papers));
    }

    /// What was announced in a category on a day.
    pub fn set_day(&self, category: &str, of: &str, papers: Vec<Announced>) {
        self.state().days.insert((category.into(), day(of)), papers);
    }

    /// The papers that the API knows, all of which every query finds.
    pub fn set_papers(&self, papers: Vec<Announced>) {
        self.state().papers = papers;
    }

    /// The records of a set; those of version 0 are deleted.
    pub fn set_records(&self, set: &str, papers: Vec<Announced>) {
        self.state().sets.insert(set.into(), papers);
    }

    /// What is answered to a path, without its query.
    pub fn set_page(&self, path: &str, page: &str) {
        self.state().pages.insert(path.into(), page.into());
    }

    /// How many entries an answer holds at most.
    pub fn set_page_size(&self, papers: usize) {
        self.state().page_size = papers;
    }

    /// The next request whose path has `part` in it goes wrong; further calls are for further
    /// requests.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.state().faults.push((part.into(), fault));
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// The paths that were asked for so far.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }

    /// The address of a path.
    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The program in `place`, with this server for arXiv, on a day, and without pauses.
    pub fn command(&self, place: &Place, today: &str, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command
            .env("WENZHAI_ARXIV_URL", self.address(""))
            .env("WENZHAI_ARXIV_TODAY", today)
            .env("WENZHAI_ARXIV_PAUSE", "0.01")
            .env("WENZHAI_ARXIV_TIMEOUT", "20")
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env_remove("all_proxy")
            .env_remove("ALL_PROXY");
        command
    }

    /// Runs that program to its end.
    pub fn run(&self, place: &Place, today: &str, args: &[&str]) -> Finished {
        let output = self.command(place, today, args).output().unwrap();
        Finished {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let asked = read_request(&stream)?;
    let path = asked.path.clone();
    let if_none_match = asked.if_none_match.clone();
    let (fault, body) = {
        let mut state = state.lock().expect("the state");
        state.asked.push(asked);
        let at = state.faults.iter().position(|(part, _)| path.contains(part.as_str()));
        let fault = at.map(|at| state.faults.remove(at).1);
        let extra = match &fault {
            Some(Fault::CountsTooMany(extra)) => Some(*extra),
            Some(Fault::Empty) => None,
            _ => Some(0),
        };
        let first = match &fault {
            Some(Fault::BeginsWith(first)) => Some(*first),
            _ => None,
        };
        (fault, state.body(&path, extra, first))
    };
    match fault {
        Some(Fault::Status(status, after)) => {
            let after = after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
            return write!(stream, "HTTP/1.1 {status} No\r\n{after}content-length: 0\r\n\r\n");
        }
        Some(Fault::Refused(why)) => {
            let feed = format!(
                "<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'><title>q</title><entry>\
                 <id>http://arxiv.org/api/errors#oh</id><title>Error</title><summary>{why}</summary>\
                 </entry></feed>"
            );
            let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/atom+xml";
            let length = feed.len();
            return write!(
                stream,
                "{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{feed}"
            );
        }
        Some(Fault::SignIn) => {
            let page = "<!DOCTYPE html><html><title>Sign in</title><p>Welcome to the hotel</html>";
            return send(&mut stream, page, page.len());
        }
        Some(Fault::Expired) => {
            let error = "<OAI-PMH><error code='badResumptionToken'>expired</error></OAI-PMH>";
            return send(&mut stream, error, error.len());
        }
        Some(Fault::Slow(time)) => thread::sleep(time),
        Some(Fault::Endless) => {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n<rss><channel>")?;
            loop {
                stream.write_all(&[b' '; 1 << 16])?;
            }
        }
        _ => {}
    }
    let Some(body) = body else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    };
    let etag = format!("\"{}-{}\"", body.len(), body.bytes().map(u64::from).sum::<u64>());
    if if_none_match.as_deref() == Some(&etag) {
        return write!(stream, "HTTP/1.1 304 Not Modified\r\n\r\n");
    }
    match fault {
        Some(Fault::Cut) => send(&mut stream, &body, body.len() * 2 / 3),
        Some(Fault::CutSilently) => {
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            stream.write_all(&body.as_bytes()[..body.len() * 2 / 3])
        }
        _ => {
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {length}\r\n\r\n")?;
            stream.write_all(body.as_bytes())
        }
    }
}

fn send(stream: &mut TcpStream, body: &str, bytes: usize) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body.as_bytes()[..bytes])
}

fn read_request(stream: &TcpStream) -> io::Result<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let at = Instant::now();
    let mut asked = Asked { path, at, user_agent: String::new(), if_none_match: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "user-agent" => asked.user_agent = value.to_owned(),
            "if-none-match" => asked.if_none_match = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(asked)
}

impl State {
    /// The answer to a path. `extra` is how many papers it counts that it does not hold; without
    /// it, it holds none. `first` is the entry that it begins with, where that is not the one asked for.
    fn body(&self, path: &str, extra: Option<usize>, first: Option<usize>) -> Option<String> {
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        if let Some(page) = self.pages.get(place) {
            return Some(page.clone());
        }
        let mut parts = place.trim_start_matches('/').split('/');
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
        };
        match (parts.next()?, parts.next()) {
            ("rss", Some(category)) => {
                let (day, papers) = self.feeds.get(category)?;
                Some(feed(category, *day, papers))
            }
            ("catchup", Some(category)) => {
                let day: Date = parts.next()?.parse().ok()?;
                let number: usize = parameter("page")?.parse().ok()?;
                let empty = Vec::new();
                let papers = self.days.get(&(category.to_owned(), day)).unwrap_or(&empty);
                Some(page(
                    category,
                    day,
                    papers,
                    first.unwrap_or((number - 1) * self.page_size),
                    self.page_size,
                    extra,
                ))
            }
            ("api", Some("query")) => {
                let found: Vec<&Announced> = match parameter("id_list") {
                    Some(list) => {
                        let has = |paper: &&Announced| list.split(',').any(|id| id == paper.id);
                        self.papers.iter().filter(has).collect()
                    }
                    None => self.papers.iter().collect(),
                };
                let start = parameter("start").map_or(0, |start| start.parse().unwrap());
                let start = first.unwrap_or(start);
                Some(results(&found, start, self.page_size, extra))
            }
            ("oai", None) => {
                let (set, start) = match parameter("resumptionToken") {
                    Some(token) => {
                        let (set, start) = token.rsplit_once('|')?;
                        (set.to_owned(), start.parse().ok()?)
                    }
                    None => (parameter("set")?, 0),
                };
                Some(list(&set, self.sets.get(&set)?, start, self.page_size, extra?))
            }
            _ => None,
        }
    }
}
