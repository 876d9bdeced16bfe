//! Fetching over networks and from servers that do what they should not.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use wenzhai::card::Card;
use wenzhai::error::{Error, Result};
use wenzhai::fetch::{Cache, ModelRef, Origins, ensure_from, resolve};
use wenzhai::http::Limits;

use super::server::{Server, head, read_request, send, send_from_the_start};
use super::{Recorder, card_for, content, files_called, nothing, sha256};

const SOURCE: &str =
    "source = [{ kind = 'hub', repo = 'o/r', revision = 'main', file = 'm.gguf' }]";

const PAGE: &str = "<!DOCTYPE html><html><head><title>Guest network</title></head></html>";

fn fetch(card: &'static Card, cache: &Cache, origins: &Origins) -> (Result<()>, Vec<String>) {
    let mut recorder = Recorder::default();
    let outcome = ensure_from(&ModelRef::Card(card), cache, origins, &mut recorder);
    let outcome = outcome.map(|model| {
        assert_eq!(sha256(&fs::read(model.path).expect("the file")), card.file.sha256);
    });
    (outcome, recorder.notes)
}

fn refused(card: &'static Card, cache: &Cache, origins: &Origins) -> (Error, Vec<String>) {
    let (outcome, notes) = fetch(card, cache, origins);
    (outcome.expect_err("no file"), notes)
}

/// The half of a file that is in the cache.
fn part(card: &Card, cache: &Cache) -> Option<PathBuf> {
    files_called(&format!("{}.part", &card.file.sha256[..16]), cache.root()).pop()
}

fn from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_whole_file_in_answer_to_a_range_costs_nothing_that_is_here() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => send(stream, request, &sent, 100_000),
        1 => send_from_the_start(stream, &sent, 50_000),
        2 => send_from_the_start(stream, &sent, 200_000),
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let (outcome, _) = fetch(card_for(&file, SOURCE), &cache, &server.origins(&offline));
    outcome.expect("fetched");
    assert_eq!(server.ranges(), [None, from(100_000), from(100_000), from(200_000)]);
}

#[test]
fn a_page_in_answer_to_a_range_costs_nothing_that_is_here() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => send(stream, request, &sent, 100_000),
        // Without a length, as such pages come.
        1 => {
            head(stream, "200 OK", &["content-type: text/html; charset=utf-8".to_owned()])?;
            stream.write_all(PAGE.as_bytes())
        }
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), server.origins(&offline));
    let (error, _) = refused(card, &cache, &origins);
    let message = error.to_string();
    assert!(message.contains("an HTML page instead of a GGUF file"), "{message}");
    let kept = part(card, &cache).expect("the part is kept");
    assert_eq!(fs::read(kept).expect("the part"), file[..100_000]);

    fetch(card, &cache, &origins).0.expect("continued");
    assert_eq!(server.ranges(), [None, from(100_000), from(100_000)]);
}

#[test]
fn bytes_that_differ_from_those_of_the_server_are_replaced() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => send(stream, request, &sent, 100_000),
        1..4 => head(stream, "500 Oops", &["content-length: 0".to_owned()]),
        _ => send_from_the_start(stream, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), server.origins(&offline));
    refused(card, &cache, &origins);
    let part = part(card, &cache).expect("a part");
    let mut damaged = fs::read(&part).expect("the part");
    damaged[70_000] ^= 1;
    fs::write(&part, damaged).expect("damaged");
    fetch(card, &cache, &origins).0.expect("fetched");
}

#[test]
fn a_body_without_a_length_that_ends_early_is_continued() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => {
            head(stream, "200 OK", &[])?;
            stream.write_all(&sent[..100_000])
        }
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    fetch(card_for(&file, SOURCE), &cache, &server.origins(&offline)).0.expect("fetched");
    assert_eq!(server.ranges(), [None, from(100_000)]);
}

/// The page must not become the beginning of the file that a later answer continues.
#[test]
fn a_page_in_place_of_the_file_is_no_beginning_of_it() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => {
            head(stream, "200 OK", &[])?;
            stream.write_all(PAGE.as_bytes())
        }
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), server.origins(&offline));
    let (error, _) = refused(card, &cache, &origins);
    assert!(error.hint_text().unwrap_or_default().contains("sign in"), "{:?}", error.hint_text());
    fetch(card, &cache, &origins).0.expect("fetched");
    assert_eq!(server.ranges(), [None, None]);
}

#[test]
fn a_server_that_gives_a_byte_a_connection_is_left_alone_soon() {
    let file = content(300_000);
    let sent = file.clone();
    let server = Server::start(move |request, _, stream| send(stream, request, &sent, 1));
    let (_folder, cache, offline) = nothing();
    let (card, origins) = (card_for(&file, SOURCE), server.origins(&offline));
    let (error, _) = refused(card, &cache, &origins);
    assert_eq!(server.ranges(), [None, from(1), from(2), from(3)]);
    let message = error.to_string();
    assert!(
        message.contains("the connection broke off, with 4 bytes here; tried 4 times"),
        "{message}"
    );
}

#[test]
fn much_that_arrives_makes_earlier_failures_forgotten() {
    let file = content(100_000);
    let sent = file.clone();
    let server = Server::start(move |request, _, stream| send(stream, request, &sent, 10_000));
    let (_folder, cache, offline) = nothing();
    let limits = Limits { substantial_bytes: 10_000, tries: 2, ..offline.limits.clone() };
    let origins = Origins { limits, ..server.origins(&offline) };
    fetch(card_for(&file, SOURCE), &cache, &origins).0.expect("fetched");
    assert_eq!(server.requests().len(), 10);
}

#[test]
fn pauses_between_tries_grow() {
    let server = Server::start(|_, _, stream| {
        head(stream, "502 Bad Gateway", &["content-length: 0".to_owned()])
    });
    let (_folder, cache, offline) = nothing();
    let pause = Duration::from_millis(40);
    let limits = Limits { pause, notice: 2 * pause, ..offline.limits.clone() };
    let origins = Origins { limits, ..server.origins(&offline) };
    let (error, notes) = refused(card_for(&content(100), SOURCE), &cache, &origins);
    let url = format!("{}/o/r/resolve/main/m.gguf", server.url());
    let message = format!("HTTP status 502 (Bad Gateway); tried 4 times ({url})");
    assert!(error.to_string().ends_with(&message), "{error}");
    assert!(error.may_pass());
    let times: Vec<_> = server.times().into_iter().map(|(at, _)| at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 3);
    for (gap, least) in gaps.into_iter().zip([pause, 2 * pause, 4 * pause]) {
        assert!(gap >= least, "{gap:?} instead of {least:?}");
    }
    // Pauses that are longer than `notice` are told; a slow machine has others to tell as well.
    let told = notes.iter().find(|note| note.contains("trying again in"));
    assert!(told.is_some_and(|note| note.ends_with("; trying again in 0.1 s")), "{notes:?}");
}

/// The connection of the first request is kept, and closed by the server as the second one comes.
#[test]
fn a_connection_that_the_server_kept_and_then_closed_is_no_failure() {
    let file = content(5_000);
    let hash = sha256(&file);
    let server = Server::start(move |request, before, stream| match before {
        0 => {
            let (etag, length) =
                (format!("etag: \"{hash}\""), format!("content-length: {}", 5_000));
            write!(stream, "HTTP/1.1 200 OK\r\n{etag}\r\n{length}\r\n\r\n")?;
            read_request(stream).map(drop)
        }
        _ => send(stream, request, &file, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let model = resolve("hf:o/r:m.gguf").expect("a spec");
    ensure_from(&model, &cache, &server.origins(&offline), &mut ()).expect("fetched");
}

#[test]
fn a_connection_that_closes_without_an_answer_is_tried_again() {
    let file = content(5_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => Ok(()),
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    fetch(card_for(&file, SOURCE), &cache, &server.origins(&offline)).0.expect("fetched");
}

/// A mirror that breaks off, and knows of no bytes behind those that it sent.
#[test]
fn what_comes_again_after_a_restart_is_no_gain() {
    let file = content(3_000_000);
    let sent = file.clone();
    let server = Server::start(move |request, _, stream| match request.range {
        Some(_) => head(stream, "416 Range Not Satisfiable", &["content-length: 0".to_owned()]),
        None => {
            head(stream, "200 OK", &[format!("content-length: {}", sent.len())])?;
            stream.write_all(&sent[..2_000_000])
        }
    });
    let (_folder, cache, offline) = nothing();
    refused(card_for(&file, SOURCE), &cache, &server.origins(&offline));
    assert!(server.requests().len() < 12, "{}", server.requests().len());
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let file = content(5_000);
    for wait in [
        "retry-after: 1".to_owned(),
        "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:38 GMT".into(),
    ] {
        let sent = file.clone();
        let server = Server::start(move |request, before, stream| match before {
            0 => {
                let length = "content-length: 0".to_owned();
                head(stream, "429 Too Many Requests", &[wait.clone(), length])
            }
            _ => send(stream, request, &sent, usize::MAX),
        });
        let (_folder, cache, offline) = nothing();
        let (outcome, notes) = fetch(card_for(&file, SOURCE), &cache, &server.origins(&offline));
        outcome.expect("fetched");
        let times = server.times();
        assert!(times[1].0 - times[0].0 >= Duration::from_secs(1), "{times:?}");
        let note =
            "HTTP status 429 (Too Many Requests): the server asks to wait 1 s; trying again then";
        assert_eq!(notes, [note]);
    }
}

#[test]
fn a_server_that_asks_for_hours_is_left_alone() {
    let server = Server::start(|_, _, stream| {
        let headers = ["retry-after: 7200", "content-length: 0"].map(str::to_owned);
        head(stream, "503 Service Unavailable", &headers)
    });
    let (_folder, cache, offline) = nothing();
    let (error, _) = refused(card_for(&content(100), SOURCE), &cache, &server.origins(&offline));
    let message =
        "HTTP status 503 (Service Unavailable); it asks to wait 7200 s, and 300 s are the most";
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(server.requests().len(), 1);
}

/// Limits for servers that are silent, so that a test is not.
fn impatient(otherwise: Origins) -> Origins {
    let limits = Limits {
        silence: Duration::from_millis(300),
        notice: Duration::from_millis(100),
        tries: 2,
        ..otherwise.limits
    };
    Origins { limits, ..otherwise }
}

#[test]
fn a_silent_server_is_told_of_and_given_up() {
    let file = content(5_000);
    let card = card_for(&file, SOURCE);
    for (sent, note, reason) in [
        (
            None,
            "127.0.0.1 has not answered for 0.1 s; waiting at most 0.3 s",
            "no answer within 0.3 s; tried 2 times",
        ),
        (
            Some(2_000),
            "127.0.0.1 has sent nothing to speak of for 0.1 s; waiting at most 0.3 s",
            "sent nothing for 0.3 s, with 2000 bytes here; tried 2 times",
        ),
    ] {
        let file = file.clone();
        let server = Server::start(move |request, _, stream| {
            if let Some(most) = sent {
                send(stream, request, &file, most.max(request.first()) - request.first())?;
            }
            thread::sleep(Duration::from_secs(5));
            Ok(())
        });
        let (_folder, cache, offline) = nothing();
        let (error, notes) = refused(card, &cache, &impatient(server.origins(&offline)));
        assert!(error.to_string().contains(reason), "{error}");
        assert!(notes.iter().any(|told| told == note), "{notes:?}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn a_byte_now_and_then_is_silence() {
    let file = content(5_000);
    let sent = file.clone();
    let server = Server::start(move |request, _, stream| {
        send(stream, request, &sent, 1)?;
        sent[1..60].iter().try_for_each(|byte| {
            thread::sleep(Duration::from_millis(50));
            stream.write_all(&[*byte])
        })
    });
    let (_folder, cache, offline) = nothing();
    let mut origins = impatient(server.origins(&offline));
    origins.limits.tries = 1;
    let (error, _) = refused(card_for(&file, SOURCE), &cache, &origins);
    let message = error.to_string();
    assert!(message.contains("sent only ") && message.contains(" bytes in 0.3 s"), "{message}");
}

#[test]
fn passwords_of_addresses_are_never_shown() {
    let server = Server::start(|request, before, stream| match before {
        0 => head(stream, "404 Not Found", &["content-length: 0".to_owned()]),
        _ => {
            assert!(request.authorization.is_some(), "the password is used");
            head(stream, "500 Oops", &["content-length: 0".to_owned()])
        }
    });
    let (_folder, cache, offline) = nothing();
    let limits = Limits { notice: Duration::ZERO, ..offline.limits.clone() };
    let hub_endpoint = format!("http://ann:pa55word@127.0.0.1:{}", server.port);
    let origins = Origins { hub_endpoint, limits, ..offline };
    for reason in ["there is no http://***@127.0.0.1:", "HTTP status 500"] {
        let (error, notes) = refused(card_for(&content(100), SOURCE), &cache, &origins);
        let told = format!("{error} {} {notes:?}", error.hint_text().unwrap_or_default());
        assert!(told.contains(reason), "{told}");
        assert!(!told.contains("pa55word"), "{told}");
    }
}

#[test]
fn what_a_server_says_is_cut() {
    let file = content(5_000);
    let sent = file.clone();
    let server = Server::start(move |request, before, stream| match before {
        0 => send(stream, request, &sent, 1_000),
        _ => {
            let range = format!("content-range: {}", "blah ".repeat(2_000));
            head(stream, "206 Partial Content", &[range, "content-length: 0".to_owned()])
        }
    });
    let (_folder, cache, offline) = nothing();
    let (error, _) = refused(card_for(&file, SOURCE), &cache, &server.origins(&offline));
    let message = error.to_string();
    assert!(message.contains("and sends `blah blah"), "{message}");
    assert!(message.len() < 1_000, "{message}");
}

#[test]
fn names_that_a_terminal_would_obey_are_escaped() {
    for spec in ["hf:o/r:\u{1b}[31mm.gguf", "\u{1b}[31mm.gguf", "mod\u{1b}[31mel"] {
        let message = resolve(spec).expect_err("no such model").to_string();
        assert!(message.contains("\\u{1b}[31m") && !message.contains('\u{1b}'), "{message:?}");
    }
}
