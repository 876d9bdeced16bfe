//! A server that is slow, busy, someone else, cut off or without end; and the manners of asking it.

use std::time::{Duration, Instant};

use super::ids;
use crate::support::arxiv_server::{ArxivServer, Fault, paper};
use crate::support::place::Place;

/// Thursday.
const TODAY: &str = "2026-11-26";

fn two_papers() -> ArxivServer {
    let server = ArxivServer::start();
    server.set_feed("cs.CL", TODAY, vec![paper(1), paper(2)]);
    server.set_day("cs.CL", "2026-11-25", vec![paper(1), paper(2)]);
    server
}

fn list(server: &ArxivServer, source: &str) -> crate::support::place::Finished {
    server.run(&Place::new(), TODAY, &["digest", source, "--dry-run"])
}

#[test]
fn a_busy_server_is_asked_three_times_and_then_let_alone() {
    for status in [429, 503] {
        let server = two_papers();
        for _ in 0..2 {
            server.fail("/rss", Fault::Status(status, None));
        }
        let finished = list(&server, "arxiv:cs.CL");
        assert_eq!((finished.status, ids(&finished).len()), (0, 2), "{}", finished.stderr);
        assert_eq!(server.paths().len(), 3);

        let server = two_papers();
        for _ in 0..5 {
            server.fail("/rss", Fault::Status(status, None));
        }
        let finished = list(&server, "arxiv:cs.CL");
        assert_eq!((finished.status, server.paths().len()), (75, 3));
        let start = format!("error: cannot fetch arxiv:cs.CL: HTTP status {status}");
        assert!(finished.stderr.starts_with(&start), "{}", finished.stderr);
        assert!(finished.stderr.contains("tried 3 times\n  hint: the server asks for a pause"));
    }
}

#[test]
fn the_pause_that_a_server_asks_for_is_kept_and_told() {
    let server = two_papers();
    server.fail("/rss", Fault::Status(429, Some(1)));
    let finished = list(&server, "arxiv:cs.CL");
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("the server asks to wait 1 s"), "{}", finished.stderr);
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));
    // A day is too long to wait for.
    let server = two_papers();
    server.fail("/rss", Fault::Status(503, Some(86_400)));
    let began = Instant::now();
    let finished = list(&server, "arxiv:cs.CL");
    assert!(finished.stderr.contains("it asks to wait 86400 s, and 600 s are the most"));
    assert_eq!((finished.status, server.paths().len()), (75, 1));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_reason_of_the_api_is_told() {
    let server = two_papers();
    server.fail("/api", Fault::Refused("incorrect id format for 1234.1234v"));
    let finished = list(&server, "arxiv:query:id:1234.1234v");
    assert_eq!((finished.status, server.paths().len()), (1, 1), "{}", finished.stderr);
    let why = "is an error message of arXiv: incorrect id format for 1234.1234v";
    assert!(finished.stderr.contains(why), "{}", finished.stderr);
    // A page that tells nothing is a status like any other.
    server.fail("/api", Fault::Status(400, None));
    let finished = list(&server, "arxiv:query:id:1234.1234v");
    assert!(finished.stderr.contains("HTTP status 400 (Bad Request)"), "{}", finished.stderr);
}

#[test]
fn who_asks_can_be_reached_if_they_want() {
    let server = two_papers();
    let place = Place::new();
    server.run(&place, TODAY, &["digest", "arxiv:cs.CL", "--dry-run"]);
    let contact = ["digest", "arxiv:cs.CL", "--dry-run", "--contact", "ida@pond.example"];
    server.run(&place, TODAY, &contact);
    let mut command = server.command(&place, TODAY, &["digest", "arxiv:cs.CL", "--dry-run"]);
    command.env("WENZHAI_CONTACT", "https://pond.example").output().unwrap();
    let feed = server.address("/rss/cs.CL");
    let contact = ["digest", &feed, "--dry-run", "--contact", "ida@pond.example"];
    assert_eq!(server.run(&place, TODAY, &contact).status, 0);
    let agents: Vec<String> = server.asked().into_iter().map(|asked| asked.user_agent).collect();
    let name = concat!("wenzhai/", env!("CARGO_PKG_VERSION"), " (digest for one reader");
    assert_eq!(agents[0], format!("{name})"));
    assert_eq!(agents[1], format!("{name}; ida@pond.example)"));
    assert_eq!(agents[2], format!("{name}; https://pond.example)"));
    assert_eq!(agents[3], agents[1], "an address");
}

#[test]
fn requests_are_apart_whichever_process_makes_them() {
    let server = two_papers();
    let place = Place::new();
    let run = |source: &str| {
        let mut command = server.command(&place, TODAY, &["digest", source, "--dry-run"]);
        command.env("WENZHAI_ARXIV_PAUSE", "0.7");
        command
    };
    server.set_papers(vec![paper(1)]);
    // Of whatever endpoint.
    let three = [run("arxiv:2699.00001"), run("arxiv:query:ti:herons"), run("arxiv:cs.CL")]
        .map(|mut c| c.spawn().unwrap());
    for child in three {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    for pair in asked.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(700), "{apart:?}");
    }
}

#[test]
fn of_inputs_that_all_fail_one_that_may_pass_tells_to_run_again() {
    for sources in [["arxiv:cs.CL", "nothing.xml"], ["nothing.xml", "arxiv:cs.CL"]] {
        let server = two_papers();
        for _ in 0..5 {
            server.fail("/rss", Fault::Status(503, None));
        }
        let args = ["digest", sources[0], sources[1], "--dry-run"];
        let run = server.run(&Place::new(), TODAY, &args);
        assert_eq!(run.status, 75, "{}", run.stderr);
        assert!(run.stderr.contains("nothing.xml") && run.stderr.contains("HTTP status 503"));
    }
}

#[test]
fn arxivs_own_pauses_cannot_be_shortened_where_it_is_arxiv_that_is_asked() {
    use wenzhai::feed::arxiv::Service;
    // Whatever the environment of this test says, it names no mirror.
    if std::env::var_os("WENZHAI_ARXIV_URL").is_some() {
        crate::support::skipped("WENZHAI_ARXIV_URL is set");
        return;
    }
    let service = Service::from_env().unwrap();
    assert_eq!(
        service.pauses().map(|(name, pause)| (name, pause.as_secs())),
        [("rss", 3), ("page", 15), ("api", 3), ("oai", 3)]
    );
}

#[test]
fn the_page_of_a_hotel_is_no_feed() {
    for source in ["arxiv:cs.CL", "arxiv:cs.CL@2026-11-25", "arxiv:2699.00001"] {
        let server = two_papers();
        server.set_papers(vec![paper(1)]);
        server.fail("/", Fault::SignIn);
        let place = Place::new();
        let finished = server.run(&place, TODAY, &["digest", source, "--dry-run"]);
        assert_eq!(finished.status, 1);
        let start = format!("error: {source} is a web page, and no catch-up page of arXiv\n");
        assert!(finished.stderr.starts_with(&start), "{}", finished.stderr);
        assert!(finished.stderr.contains("hint: is it arXiv that answers?"));
        // And it is not kept: the next run, in another network, gets the papers.
        let finished = server.run(&place, TODAY, &["digest", source, "--dry-run"]);
        assert_eq!(finished.status, 0, "{}", finished.stderr);
    }
}

#[test]
fn an_answer_that_is_cut_is_asked_for_again() {
    let server = two_papers();
    server.fail("/rss", Fault::Cut);
    let finished = list(&server, "arxiv:cs.CL");
    assert_eq!((finished.status, ids(&finished).len()), (0, 2), "{}", finished.stderr);
    assert_eq!(server.paths().len(), 2);
}

#[test]
fn an_answer_that_is_cut_without_a_sign_is_a_loss_and_not_kept() {
    for source in ["arxiv:cs.CL", "arxiv:cs.CL@2026-11-25"] {
        let server = two_papers();
        server.fail("/", Fault::CutSilently);
        let place = Place::new();
        let finished = server.run(&place, TODAY, &["digest", source, "--dry-run"]);
        assert_eq!(finished.status, 2, "{}", finished.stderr);
        assert!(finished.stderr.contains(source) && finished.stderr.contains("(left out)"));
        let again = server.run(&place, TODAY, &["digest", source, "--dry-run"]);
        assert_eq!((again.status, ids(&again).len()), (0, 2));
    }
}

/// Readers ask once more behind the end.
#[test]
fn an_empty_answer_of_an_address_has_not_broken_off() {
    let server = two_papers();
    server.set_page("/empty.jsonl", "");
    let address = server.address("/empty.jsonl");
    let finished = server.run(&Place::new(), TODAY, &["digest", &address, "--dry-run"]);
    assert!(!finished.stderr.contains("broke off"), "{}", finished.stderr);
    assert_eq!((finished.status, server.paths().len()), (0, 1), "{}", finished.stderr);
}

/// Which papers there are is not known then, so that another run may find some.
#[test]
fn an_address_that_breaks_off_before_any_paper_is_left_tells_to_run_again() {
    let server = two_papers();
    server.set_page("/byte", "<");
    let blanks = " ".repeat(900);
    let start = format!("<rss><channel><description>Herons{blanks}</description></channel></rss>");
    server.set_page("/start", &start);
    for (path, more, error) in [
        ("/byte", &[][..], "error: cannot read http://"),
        ("/start", &[], "error: no paper in http://"),
        ("/rss/cs.CL", &["--keep", "zebras"], "error: no paper is left of "),
    ] {
        let address = server.address(path);
        let args = [&["digest", &address, "--dry-run"][..], more].concat();
        server.fail(path, Fault::Cut);
        let finished = server.run(&Place::new(), TODAY, &args);
        assert_eq!(finished.status, 75, "{}", finished.stderr);
        assert!(finished.stderr.contains(error), "{}", finished.stderr);
        assert!(finished.stderr.contains("the connection broke off"), "{}", finished.stderr);
        server.fail(path, Fault::CutSilently);
        let finished = server.run(&Place::new(), TODAY, &args);
        assert_eq!(finished.status, 75, "{}", finished.stderr);
    }
    // A file that is cut stays so.
    let place = Place::new();
    place.write("cut.xml", &start[..800]);
    assert_eq!(server.run(&place, TODAY, &["digest", "cut.xml", "--dry-run"]).status, 1);
}

#[test]
fn a_slow_server_is_told_of_and_a_silent_one_given_up() {
    let server = two_papers();
    server.fail("/rss", Fault::Slow(Duration::from_secs(6)));
    let finished = list(&server, "arxiv:cs.CL");
    assert_eq!((finished.status, ids(&finished).len()), (0, 2));
    assert!(finished.stderr.contains("has not answered for 5 s"), "{}", finished.stderr);

    let server = two_papers();
    for _ in 0..3 {
        server.fail("/rss", Fault::Slow(Duration::from_secs(30)));
    }
    let mut command = server.command(&Place::new(), TODAY, &["digest", "arxiv:cs.CL", "--dry-run"]);
    let began = Instant::now();
    let place = Place::new();
    let output = command.current_dir(place.path()).env("WENZHAI_ARXIV_TIMEOUT", "0.5").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.contains("cannot fetch arxiv:cs.CL: no answer within"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_answer_without_end_is_ended() {
    let server = two_papers();
    server.fail("/rss", Fault::Endless);
    let finished = list(&server, "arxiv:cs.CL");
    assert_eq!(finished.status, 1);
    let message = "error: cannot fetch arxiv:cs.CL: the answer is longer than 64 MiB\n";
    assert!(finished.stderr.starts_with(message), "{}", finished.stderr);
}

#[test]
fn running_again_on_the_same_day_does_not_fetch_again_what_is_here() {
    let server = two_papers();
    let place = Place::new();
    let run = |source: &str| server.run(&place, TODAY, &["digest", source, "--dry-run"]);
    let first = run("arxiv:cs.CL");
    let second = run("arxiv:cs.CL");
    assert_eq!((first.stdout, first.status), (second.stdout, second.status));
    let asked = server.asked();
    assert!(asked[0].if_none_match.is_none() && asked[1].if_none_match.is_some());
    // What is new is seen.
    server.set_feed("cs.CL", TODAY, vec![paper(1), paper(2), paper(3)]);
    assert_eq!(ids(&run("arxiv:cs.CL")).len(), 3);
    // A day that is over does not change.
    assert_eq!(ids(&run("arxiv:cs.CL@2026-11-25")), ids(&run("arxiv:cs.CL@2026-11-25")));
    let pages = server.paths().iter().filter(|path| path.starts_with("/catchup")).count();
    assert_eq!(pages, 1);
}
