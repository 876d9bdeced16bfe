//! Inputs that would write on a terminal, fill a log, or never end.

use std::io;
use std::net::TcpListener;

use super::*;

/// What is said about an input: the error, or all that is wrong with it.
fn said(bytes: impl AsRef<[u8]>) -> String {
    match read_bytes(bytes) {
        Ok(outcome) => {
            let all = [outcome.malformed, outcome.mended, outcome.more].concat();
            all.iter().map(Malformed::to_string).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn messages_quote_no_control_characters_and_not_much() {
    let paper = "<item><title>T</title><description>A</description></item>";
    let escape = "\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    for hostile in [escape.to_owned(), "x".repeat(3 << 20)] {
        let json = serde_json::Value::from(hostile.clone()).to_string();
        for input in [
            format!("<{hostile}/>"),
            format!("<rss><channel><{hostile}>"),
            format!("<rss><channel>{paper}<a{hostile}></b></rss>"),
            format!("<rss><channel><item><title>{hostile}</title></item></channel></rss>"),
            format!("<feed><title>Feed error for query: {hostile}</title></feed>"),
            format!("<feed><entry><title>Error</title><summary>{hostile}</summary></entry></feed>"),
            format!("{{{json}: 1}}"),
            format!("{{\"title\": {json}}}"),
            format!("{{\"title\": \"T\", \"abstract\": \"A\", \"marks\": {json}}}"),
            format!("{{\"title\": \"T\"{hostile}"),
            format!("a{hostile}"),
        ] {
            let said = said(&input);
            let start: String = input.chars().take(40).collect();
            assert!(!said.is_empty(), "{start:?}");
            assert!(said.chars().count() < 900, "{} bytes about {start:?}", said.len());
            let obeyed = said.replace('\n', "");
            assert!(!obeyed.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        }
    }
}

#[test]
fn long_names_are_not_kept_for_every_element_inside() {
    let names: Vec<String> = (0..10).map(|n| format!("{}{n}", "x".repeat(1 << 20))).collect();
    let open: String = names.iter().map(|name| format!("<{name}>")).collect();
    let close: String = names.iter().rev().map(|name| format!("</{name}>")).collect();
    let paper = "<item><title>T</title><link>l</link><description>A</description></item>";
    let feed =
        format!("<rss><channel>{open}{}{close}{paper}</channel></rss>", "<a/>".repeat(20_000));
    let began = std::time::Instant::now();
    assert_eq!(read_bytes(&feed).unwrap().items.len(), 1);
    // It took minutes.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn what_no_answer_can_hold_is_not_counted() {
    for number in ["18446744073709551615", "1000000000"] {
        let page = format!(
            "<!DOCTYPE html><html><body><h1>Catchup results for cs.CL on Thu, 26 Nov 2026</h1>\
             <h3>New submissions (showing {number} of {number} entries)</h3>\
             <h3>Cross submissions (showing {number} of {number} entries)</h3></body></html>"
        );
        let told = said(&page);
        assert!(told.contains("more than there are"), "{told}");
        let api = format!(
            "<feed xmlns:opensearch=\"http://a9.com/-/spec/opensearch/1.1/\"><id>http://arxiv.org/api/x</id>\
             <opensearch:totalResults>{number}</opensearch:totalResults></feed>"
        );
        assert!(said(&api).contains("more than there are"), "{}", said(&api));
    }
}

#[test]
fn the_secrets_of_an_address_are_not_told() {
    let name = |url: &str| Source::parse(url).unwrap().to_string();
    assert_eq!(name("https://me:secret@host.org/rss?a=b@c"), "https://***@host.org/rss?a=b@c");
    assert_eq!(name("http://host.org/rss@home"), "http://host.org/rss@home");
    let long = format!("http://host.org/{}?user=me&token=", "a/".repeat(300));
    assert_eq!(name(&format!("{long}secret")), format!("{long}***"));
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
    let error = read_source(&address(format!("http://me:secret@{closed}/?token=secret")))
        .expect_err("closed");
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        told += &error.to_string();
        cause = error.source();
    }
    assert!(!told.contains("secret"), "{told}");
}

#[cfg(unix)]
#[test]
fn what_is_neither_file_nor_folder_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe.xml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        crate::support::skipped("there is no mkfifo");
        return;
    }
    let only_pipe = feed::expand(vec![Source::Path(folder.path().to_owned())]);
    assert!(only_pipe.expect_err("no file").to_string().contains("holds no file"));
    let file = folder.path().join("rss.xml");
    std::fs::copy(fixture("rss.xml"), &file).expect("a copy");
    std::os::unix::fs::symlink(&file, folder.path().join("z.xml")).expect("a link");
    let found = feed::expand(vec![Source::Path(folder.path().to_owned())]).expect("a list");
    assert_eq!(found, [file, folder.path().join("z.xml")].map(Source::Path));
}

#[test]
fn an_input_without_papers_ends_after_a_while() {
    let endless = |start: &'static str, unit: &str| {
        let unit = unit.repeat((64 << 10) / unit.len()).into_bytes();
        let bytes = start.as_bytes().chain(Endless { unit, at: 0 });
        feed::read_from("in", bytes, &mut |_| Ok(()))
    };
    // Of some length, since unoptimised code takes a microsecond for each.
    let (blank, element) = (" ".repeat(8000) + "\n", format!("<a>{}</a>", " ".repeat(8000)));
    for (start, unit) in [("", "\n"), ("{}\n", &blank[..]), ("<rss>", &element), ("{", "x")] {
        let message = endless(start, unit).expect_err(start).to_string();
        assert!(message.starts_with("cannot read in: ") || message.starts_with("no paper in in"));
    }
    let paper = "{\"title\": \"T\", \"abstract\": \"A\"}\n";
    let outcome = endless(paper, &blank).expect("a paper, and a break");
    assert!(outcome.cut_short && outcome.items == 1);
}

/// `unit` again and again.
struct Endless {
    unit: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.at %= self.unit.len();
        let count = (&self.unit[self.at..]).read(into)?;
        self.at += count;
        Ok(count)
    }
}
