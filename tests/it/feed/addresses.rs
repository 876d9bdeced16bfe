//! Feeds at addresses.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// Answers one request with `response` and hands back the request.
pub(super) fn serve(response: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/rss/cs.CL", server.local_addr().expect("an address"));
    let handle = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a request");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a whole request");
            request.push(byte[0]);
        }
        stream.write_all(&response).expect("the response goes out");
        String::from_utf8(request).expect("text")
    });
    (url, handle)
}

pub(super) fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn feeds_are_fetched_over_http() {
    let proxies = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if let Some(name) = proxies.iter().find(|name| std::env::var_os(name).is_some()) {
        crate::support::skipped(format_args!(
            "{name} is set, the loopback server would not be reached"
        ));
        return;
    }
    let plain = fixture_bytes("rss.xml");
    let expected = read_bytes(&plain).expect("the feed itself").items;
    let packed = gzip(&plain);
    for response in [
        http("200 OK", "", &plain),
        http("200 OK", "Content-Encoding: gzip\r\n", &packed),
        http("200 OK", "Content-Type: application/gzip\r\n", &packed),
    ] {
        let (url, server) = serve(response);
        let outcome = read_source(&Source::parse(&url).unwrap()).expect("the feed");
        assert_eq!(outcome.items, expected);
        assert!(outcome.faults()[0].starts_with(&url), "places name the address");
        let request = server.join().expect("the server").to_ascii_lowercase();
        assert!(request.starts_with("get /rss/cs.cl http/1.1"), "{request}");
        assert!(request.contains("user-agent: wenzhai/"), "{request}");
    }

    let (url, _) = serve(http("404 Not Found", "", b"<html/>"));
    check_error(read_source(&address(url)), ErrorKind::Network, &["404 (Not Found)"]);
    let (url, _) = serve(http("503 Service Unavailable", "Retry-After: 9999\r\n", b""));
    let error = check_error(read_source(&address(url)), ErrorKind::Network, &["503"]);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("pause")));
    let mut short = http("200 OK", "", &plain);
    short.truncate(short.len() - 300);
    let (url, _) = serve(short);
    let outcome = read_source(&address(url)).expect("what came before the break");
    assert!(outcome.report().cut_short && outcome.items[0] == expected[0]);
    assert!(outcome.report().may_pass, "another try may bring the rest");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
    let url = format!("http://{closed}/");
    check_error(read_source(&address(url.clone())), ErrorKind::Network, &[&url]);
}
