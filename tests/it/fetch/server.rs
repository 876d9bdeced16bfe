//! A server on the loopback interface that answers as a test says, and remembers what it was asked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use wenzhai::fetch::Origins;

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// It answers until the test ends.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<(Instant, Request)>>>,
}

impl Server {
    /// `answer` is given a request, how many came before it, and where to write to; the connection
    /// is closed afterwards.
    pub fn start(
        answer: impl Fn(&Request, usize, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let request = read_request(&stream)?;
                    let before = {
                        let mut seen = seen.lock().expect("requests");
                        seen.push((Instant::now(), request.clone()));
                        seen.len() - 1
                    };
                    // A client that goes away is no fault of the server's.
                    answer(&request, before, &mut stream)
                });
            }
        });
        Server { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn origins(&self, otherwise: &Origins) -> Origins {
        Origins { hub_endpoint: self.url(), ..otherwise.clone() }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.times().into_iter().map(|(_, request)| request).collect()
    }

    /// What `range` headers said.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.requests().into_iter().map(|asked| asked.range).collect()
    }

    /// The requests and when they came.
    pub fn times(&self) -> Vec<(Instant, Request)> {
        self.requests.lock().expect("requests").clone()
    }
}

pub fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..Request::default()
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

impl Request {
    /// Where the range begins that was asked for; 0 without one.
    pub fn first(&self) -> usize {
        let range = self.range.as_deref().unwrap_or("bytes=0-");
        range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')?.parse().ok()).expect("range")
    }
}

/// Writes the head of an answer; `headers` are whole lines.
pub fn head(stream: &mut TcpStream, status: &str, headers: &[String]) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n")?;
    for header in headers {
        write!(stream, "{header}\r\n")?;
    }
    write!(stream, "connection: close\r\n\r\n")
}

/// Answers as it should be, with as much of the body as is to be sent.
pub fn send(stream: &mut TcpStream, request: &Request, file: &[u8], most: usize) -> io::Result<()> {
    let (first, total) = (request.first(), file.len());
    let length = format!("content-length: {}", total - first);
    if request.range.is_some() {
        let range = format!("content-range: bytes {first}-{}/{total}", total - 1);
        head(stream, "206 Partial Content", &[length, range])?;
    } else {
        head(stream, "200 OK", &[length])?;
    }
    if request.method == "HEAD" {
        return Ok(());
    }
    stream.write_all(&file[first..total.min(first.saturating_add(most))])
}

/// Answers with the whole file whatever was asked for, cut after `most` bytes.
pub fn send_from_the_start(stream: &mut TcpStream, file: &[u8], most: usize) -> io::Result<()> {
    head(stream, "200 OK", &[format!("content-length: {}", file.len())])?;
    stream.write_all(&file[..most.min(file.len())])
}
