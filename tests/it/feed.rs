//! Reading papers: every form, what is wrong with some, and captures of the real feeds.

mod addresses;
mod captures;
mod encodings;
mod fields;
mod hostile;

mod pages;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use wenzhai::feed::{
    self, Event, FeedReport, Format, Item, MAX_ITEM_BYTES, MAX_PIECE_BYTES, MAX_XML_LEVELS,
    Malformed, Source,
};
use wenzhai::paper::{Announce, Paper};
use wenzhai::{Error, error::ErrorKind};

/// All that reading an input handed over.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    items: Vec<Item>,
    malformed: Vec<Malformed>,
    mended: Vec<Malformed>,
    more: Vec<Malformed>,
    report: Option<FeedReport>,
}

impl Outcome {
    fn take(&mut self, event: Event) -> wenzhai::Result<()> {
        match event {
            Event::Item(item) => self.items.push(item),
            Event::Malformed { what, lost: 0 } => self.mended.push(what),
            Event::Malformed { what, lost: 1 } => self.malformed.push(what),
            Event::More(page) => self.more.push(page),
            Event::Malformed { .. } | Event::Deleted | Event::Fetching(_) => panic!("{event:?}"),
        }
        Ok(())
    }

    fn papers(&self) -> Vec<&Paper> {
        self.items.iter().map(|item| &item.paper).collect()
    }

    fn faults(&self) -> Vec<String> {
        self.malformed.iter().map(Malformed::to_string).collect()
    }

    fn report(&self) -> &FeedReport {
        self.report.as_ref().expect("reading came to an end")
    }
}

fn address(url: String) -> Source {
    Source::Url { url, contact: None }
}

fn read_source(source: &Source) -> wenzhai::Result<Outcome> {
    let mut outcome = Outcome::default();
    outcome.report = Some(feed::read(source, &mut |event| outcome.take(event))?);
    Ok(outcome)
}

fn read_bytes(bytes: impl AsRef<[u8]>) -> wenzhai::Result<Outcome> {
    let mut outcome = Outcome::default();
    outcome.report = Some(feed::read_from("in", bytes.as_ref(), &mut |event| outcome.take(event))?);
    Ok(outcome)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/feed").join(name)
}

fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect(name)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).and_then(|()| packer.finish()).expect("packing in memory")
}

/// Reads a fixture and checks form and counts.
#[track_caller]
fn read_fixture(name: &str, format: Format, items: u64, malformed: u64) -> Outcome {
    let outcome = read_bytes(fixture_bytes(name)).expect(name);
    let report = outcome.report();
    assert_eq!((report.format, report.items, report.malformed), (format, items, malformed));
    assert_eq!(report.items, outcome.items.len() as u64);
    assert_eq!(report.malformed, outcome.malformed.len() as u64);
    assert!(!report.cut_short && !report.well_formed_empty);
    outcome
}

#[track_caller]
fn check_error(result: wenzhai::Result<Outcome>, kind: ErrorKind, words: &[&str]) -> Error {
    let error = result.expect_err("an error");
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    error
}

#[track_caller]
fn check_id(paper: &Paper, id: Option<&str>, version: Option<u32>, link: &str) {
    let found = paper.id.as_ref().map(|id| id.as_str());
    assert_eq!((found, paper.version, paper.link.as_str()), (id, version, link));
}

#[test]
fn rdf_feeds_are_read() {
    let outcome = read_fixture("rdf.xml", Format::Rdf, 3, 0);
    let papers = outcome.papers();
    check_id(papers[0], Some("2699.00101"), Some(1), "http://arxiv.org/abs/2699.00101");
    assert_eq!(
        papers[0].title,
        "Can a Kettle Detect $p_T<5$ GeV Muons?. (arXiv:2699.00101v1 [hep-ex])"
    );
    assert_eq!(papers[0].plain_title, "Can a Kettle Detect $p_T<5$ GeV Muons?");
    assert_eq!(papers[0].plain_abstract, "We boil water at $2.6<\\eta<4$ & count the bubbles.");
    assert_eq!(papers[0].abstract_text, papers[0].plain_abstract);
    assert_eq!(papers[0].authors, ["Nia Oro", "André Vey"]);
    assert_eq!(papers[0].categories, ["hep-ex"]);
    assert_eq!(papers[0].announce, Some(Announce::New));
    assert_eq!((papers[1].version, papers[1].announce), (Some(3), Some(Announce::Replace)));
    assert_eq!(
        (papers[2].plain_title.as_str(), papers[2].plain_abstract.as_str()),
        ("A Title Without an Abstract", "")
    );
}

#[test]
fn rss_feeds_are_read() {
    let outcome = read_fixture("rss.xml", Format::Rss, 2, 1);
    let papers = outcome.papers();
    check_id(papers[0], Some("2699.00201"), Some(2), "https://arxiv.org/abs/2699.00201");
    assert_eq!(papers[0].title, "Ducks & Deadlines: when $n < 3$");
    assert_eq!(
        papers[0].abstract_text,
        "arXiv:2699.00201v2 Announce Type: replace-cross  Abstract: We ask ducks. \
         Andr\\'e disagrees."
    );
    assert_eq!(papers[0].plain_abstract, "We ask ducks. André disagrees.");
    assert_eq!(papers[0].authors, ["Ida Moor", "Jo Reed"]);
    assert_eq!(papers[0].categories, ["cs.HC", "cs.CL"]);
    assert_eq!(papers[0].announce, Some(Announce::ReplaceCross));
    check_id(papers[1], Some("math.GT/9901001"), Some(4), "https://arxiv.org/abs/math.GT/9901001");
    assert_eq!(papers[1].plain_abstract, "Knots & <braids>.");
    assert_eq!(papers[1].announce, Some(Announce::Replace));
    assert_eq!(outcome.faults(), ["in, line 20: the paper has no title"]);
}

#[test]
fn atom_feeds_are_read() {
    let outcome = read_fixture("atom.xml", Format::Atom, 1, 0);
    let paper = outcome.papers()[0];
    check_id(paper, Some("2699.00301"), Some(1), "https://arxiv.org/abs/2699.00301");
    assert_eq!(paper.plain_abstract, "We sleep on it.");
    assert_eq!(paper.authors, ["Lu Fen", "Ola Dag"]);
    assert_eq!(paper.announce, Some(Announce::Cross));

    let outcome = read_fixture("api.xml", Format::ApiAtom, 1, 0);
    let paper = outcome.papers()[0];
    check_id(paper, Some("hep-th/9901001"), Some(2), "https://arxiv.org/abs/hep-th/9901001v2");
    assert_eq!((paper.title.as_str(), paper.announce), ("A Title That Is Wrapped", None));
    assert_eq!(paper.abstract_text, "We wrap lines.");
    assert_eq!(paper.authors, ["Uma Lind", "Per Åse, Jr."]);
    assert_eq!(paper.categories, ["hep-th", "gr-qc"]);
}

#[test]
fn json_records_are_read() {
    let outcome = read_fixture("snapshot.jsonl", Format::Snapshot, 3, 1);
    let papers = outcome.papers();
    check_id(papers[0], Some("2699.00401"), Some(10), "https://arxiv.org/abs/2699.00401");
    assert_eq!(papers[0].title, "Counting Twice");
    assert_eq!(papers[0].abstract_text, "We count. We count again.");
    assert_eq!(papers[0].authors, ["Sol Pin", "Tim Row Jr."]);
    assert_eq!(papers[0].categories, ["math.CO", "cs.DM"]);
    check_id(papers[1], Some("astro-ph/9901002"), None, "https://arxiv.org/abs/astro-ph/9901002");
    assert_eq!(papers[1].authors, ["M. Sky"]);
    assert_eq!(outcome.faults(), ["in, line 3: no JSON: what stands there is no value"]);

    let outcome = read_fixture("daily.jsonl", Format::Daily, 1, 0);
    let paper = outcome.papers()[0];
    check_id(paper, Some("2699.00501"), None, "https://arxiv.org/abs/2699.00501");
    assert_eq!(paper.plain_abstract, "We fold paper until it bears a tram.");
    assert_eq!(paper.authors, ["Kim Ash", "Lee Fir"]);
}

#[test]
fn summaries_that_records_bring_along_are_imported() {
    let outcome = read_fixture("public.json", Format::Public, 1, 0);
    let paper = outcome.papers()[0];
    check_id(paper, Some("2699.00601"), Some(2), "http://arxiv.org/abs/2699.00601");
    assert_eq!(paper.plain_title, "Invented Tides");
    assert_eq!(paper.plain_abstract, "We invent tides.");
    let summary = &outcome.items[0].written.as_ref().expect("a summary").summary;
    assert_eq!(
        [&summary.zh_title, &summary.zh_tldr, &summary.zh_abstract],
        ["虚构的潮汐", "潮汐是虚构的。", "我们虚构了潮汐。"]
    );

    let outcome = read_fixture("records.jsonl", Format::Records, 3, 0);
    let papers = outcome.papers();
    check_id(papers[0], Some("2699.00701"), Some(3), "https://arxiv.org/abs/2699.00701");
    assert_eq!(papers[0].plain_abstract, "We invent bees.");
    check_id(papers[1], None, None, "https://example.org/a-paper");
    // The second has a title alone, and the third is a failure.
    let imported: Vec<bool> = outcome.items.iter().map(|item| item.written.is_some()).collect();
    assert_eq!(imported, [true, false, false]);
}

#[test]
fn json_is_read_in_any_layout() {
    let lines = String::from_utf8(fixture_bytes("records.jsonl")).expect("text");
    let expected = read_bytes(&lines).expect("lines").items;
    let array = format!("[{}]", lines.trim_end().replace('\n', ", "));
    assert_eq!(read_bytes(&array).expect("an array").items, expected);
    let pretty: String = lines.lines().map(|line| line.replacen('{', "{\n", 1) + "\n").collect();
    assert_eq!(read_bytes(&pretty).expect("objects over several lines").items, expected);
    let spaced = format!("\u{feff}\r\n{}\n\n", lines.replace('\n', "\r\n\r\n"));
    assert_eq!(read_bytes(&spaced).expect("a byte order mark, empty lines").items, expected);

    let late = format!("{}{lines}", "\n".repeat(100_000));
    assert_eq!(read_bytes(&late).expect("lines after many empty ones").items, expected);

    let mixed = lines + &String::from_utf8(fixture_bytes("daily.jsonl")).expect("text");
    let outcome = read_bytes(&mixed).expect("forms mixed");
    assert_eq!((outcome.items.len(), outcome.report().format), (4, Format::Records));

    let outcome = read_bytes(r#"[{"title": "T", "abstract": "A"}, 7, {"key": 1}]"#).expect("one");
    let faults = ["in, item 2: no JSON object".to_owned(), "in, item 3: ".to_owned()];
    assert!(outcome.faults().iter().zip(faults).all(|(fault, start)| fault.starts_with(&start)));
    assert_eq!(outcome.faults().len(), 2);
}

#[test]
fn packed_inputs_read_like_plain_ones() {
    for name in ["rdf.xml", "rss.xml", "atom.xml", "api.xml", "snapshot.jsonl", "public.json"] {
        let plain = fixture_bytes(name);
        let expected = read_bytes(&plain).expect(name);
        assert_eq!(read_bytes(gzip(&plain)).expect(name), expected, "{name}");
        let (head, tail) = plain.split_at(plain.len() / 2);
        let members = [gzip(head), gzip(tail)].concat();
        assert_eq!(read_bytes(members).expect(name), expected, "{name} in two members");
    }
}

#[test]
fn papers_before_a_break_are_kept() {
    let feed = fixture_bytes("rss.xml");
    let text = String::from_utf8(feed.clone()).expect("text");
    let break_at = text.find("math.GT").expect("the last item");
    let broken = text.replacen("</title>\n      <link>https://arxiv.org/abs/math", "</titel>", 1);
    for (what, bytes) in [
        ("truncated", feed[..break_at].to_vec()),
        ("a wrong tag", broken.into_bytes()),
        ("packed and truncated", {
            let packed = gzip(&[feed.clone(), noise(200_000)].concat());
            packed[..packed.len() - 1000].to_vec()
        }),
    ] {
        let outcome = read_bytes(&bytes).expect(what);
        assert!(outcome.report().cut_short, "{what}");
        assert_eq!(outcome.papers()[0].plain_title, "Ducks & Deadlines: when $n < 3$", "{what}");
        assert_eq!(outcome.report().malformed, outcome.malformed.len() as u64, "{what}");
    }
    let outcome = read_bytes(&feed[..break_at]).expect("one paper");
    assert_eq!(outcome.faults()[1], "in, line 28: the feed ends in the middle of <link>");
    let before_any = text.find("<description>arXiv").expect("the first item");
    check_error(
        read_bytes(&feed[..before_any]),
        ErrorKind::Input,
        &["no paper in in, line 11", "ends in the middle of <item>"],
    );
}

/// Bytes that do not pack, so that packed data ends in the middle of them: an XML comment.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = b"<!--".to_vec();
    bytes.extend((0..count).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        b'A' + ((state >> 33) % 26) as u8
    }));
    [bytes, b"-->".to_vec()].concat()
}

#[test]
fn a_feed_of_a_weekend_is_empty_and_no_error() {
    for bytes in [fixture_bytes("weekend.xml"), b"<feed></feed>".to_vec(), b" [ ] ".to_vec()] {
        let outcome = read_bytes(&bytes).expect("an empty feed");
        assert!(outcome.report().well_formed_empty && outcome.report().items == 0);
    }
}

#[test]
fn inputs_without_papers_are_errors_that_say_why() {
    let input = ErrorKind::Input;
    let check = |bytes: &[u8], words: &[&str]| check_error(read_bytes(bytes), input, words);
    check(b"", &["in is empty"]);
    check(b" \n\t", &["in is empty"]);
    let error = check("id,title\n1,x".as_bytes(), &["no known form", "\"id,title\\n1,x\""]);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("RSS 2.0")));
    let error = check(b"<!DOCTYPE html><html><body>", &["is a web page"]);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("feed itself")));
    check(b"{\"a\": 1}\n", &["line 1", "no known form", "keys are: a"]);
    check(b"{\"title\": \"T\"}\n{\"title\": \"U\"}", &["line 1", "\"T\" has no abstract"]);
    check(&fixture_bytes("error-feed.xml"), &["Feed error for query: cs.XY", "Bad archive"]);
    check(&fixture_bytes("error-api.xml"), &["incorrect id format for 2699.x"]);
    check_error(
        read_source(&Source::parse("/no/such/feed").unwrap()),
        ErrorKind::Io,
        &["/no/such/feed"],
    );
}

#[test]
fn bytes_that_are_not_utf8_are_mended_and_reported() {
    let mut feed = fixture_bytes("rss.xml");
    let at = feed.windows(5).position(|five| five == b"ducks").expect("a word");
    feed[at] = 0xe9;
    let outcome = read_bytes(&feed).expect("mended");
    assert_eq!(outcome.papers()[0].plain_abstract, "We ask \u{fffd}ucks. André disagrees.");
    assert_eq!(outcome.report().items, 2);
    assert_eq!(
        outcome.mended.iter().map(Malformed::to_string).collect::<Vec<_>>(),
        ["in, line 12: bytes that are not UTF-8 were replaced by U+FFFD"]
    );
}

#[test]
fn items_over_a_limit_are_named_and_the_rest_goes_on() {
    let item = |title: &str, text: &str| {
        format!("<item><title>{title}</title>\n<description>{text}</description></item>\n")
    };
    let rss = |items: &str| format!("<rss><channel>{items}</channel></rss>");
    let long = "long ".repeat(MAX_ITEM_BYTES / 4);
    let outcome = read_bytes(rss(&(item("T", &long) + &item("U", "kept")))).expect("one paper");
    assert_eq!(outcome.papers()[0].title, "U");
    assert_eq!(outcome.faults(), ["in, line 1: the item is longer than 4 MiB"]);

    let many = "<category>c</category>".repeat(MAX_ITEM_BYTES / 64);
    let outcome = read_bytes(rss(&format!("<item>{many}</item>{}", item("U", "kept"))));
    assert_eq!(outcome.expect("one paper").faults(), ["in, line 1: the item is longer than 4 MiB"]);

    let huge = "long ".repeat(MAX_PIECE_BYTES / 4);
    let outcome = read_bytes(rss(&(item("U", "kept") + &item("T", &huge)))).expect("one paper");
    assert!(outcome.faults()[0].contains("longer than 8 MiB"), "{:?}", outcome.faults());

    let deep = item("T", &"<i>".repeat(MAX_XML_LEVELS));
    let outcome = read_bytes(rss(&(item("U", "kept") + &deep))).expect("one paper");
    assert!(outcome.faults()[0].contains("more than 32 elements"), "{:?}", outcome.faults());

    let record =
        |title: &str, text: &str| format!("{{\"title\":\"{title}\",\"abstract\":\"{text}\"}}\n");
    let outcome = read_bytes(record("T", &long) + &record("U", "kept")).expect("one paper");
    assert_eq!(outcome.papers()[0].title, "U");
    assert_eq!(outcome.faults(), ["in, line 1: the line is longer than 4 MiB"]);
    let nested = format!("{}\n{}", "{\"a\":".repeat(100_000), record("U", "kept"));
    assert_eq!(read_bytes(nested).expect("one paper").malformed.len(), 1);
}

#[test]
fn entities_of_a_document_type_are_not_expanded() {
    let bomb = "<!DOCTYPE rss [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <rss><channel><item><title>&b;</title><description>A &b; &eacute; AT&T\
                </description></item></channel></rss>";
    let outcome = read_bytes(bomb).expect("one paper");
    assert_eq!(outcome.papers()[0].title, "&b;");
    assert_eq!(outcome.papers()[0].plain_abstract, "A &b; &eacute; AT&T");
}

#[test]
fn an_error_of_the_sink_ends_reading() {
    let mut count = 0;
    let result = feed::read_from("in", &fixture_bytes("records.jsonl")[..], &mut |_| {
        count += 1;
        Err(Error::new(ErrorKind::Store, "the disk is full"))
    });
    assert_eq!((count, result.expect_err("the sink's").kind()), (1, ErrorKind::Store));
}

#[test]
fn arguments_are_sources_and_folders_stand_for_their_files() {
    assert_eq!(Source::parse("-").unwrap(), Source::Stdin);
    let url = "HTTPS://rss.arxiv.org/rss/cs.CL";
    assert_eq!(Source::parse(url).unwrap(), Source::Url { url: url.to_owned(), contact: None });
    assert_eq!(Source::parse("https.xml").unwrap(), Source::Path(PathBuf::from("https.xml")));

    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for path in ["b/2.xml", "b/1.json", "c", ".hidden", ".git/config", "a.gz"] {
        std::fs::create_dir_all(root.join(path).parent().expect("a parent")).expect(path);
        std::fs::write(root.join(path), "").expect(path);
    }
    let sources = vec![Source::Stdin, Source::Path(root.to_owned())];
    let expected = ["a.gz", "b/1.json", "b/2.xml", "c"].map(|path| Source::Path(root.join(path)));
    let expanded = feed::expand(sources).expect("a list");
    assert_eq!((&expanded[0], &expanded[1..]), (&Source::Stdin, &expected[..]));
    #[cfg(unix)]
    {
        // A link back up adds nothing, and one elsewhere is followed.
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("3.xml"), "").expect("a file");
        std::os::unix::fs::symlink(root, root.join("b/up")).expect("a link");
        std::os::unix::fs::symlink(outside.path(), root.join("z")).expect("a link");
        let mut expected = expected.to_vec();
        expected.push(Source::Path(root.join("z/3.xml")));
        let sources = vec![Source::Path(root.to_owned())];
        assert_eq!(feed::expand(sources).expect("a list"), expected);
    }

    check_error(read_source(&Source::Path(root.to_owned())), ErrorKind::Input, &["is a folder"]);
    let deep = root.join("d/".repeat(20));
    std::fs::create_dir_all(&deep).expect("deep");
    let error = feed::expand(vec![Source::Path(root.to_owned())]).expect_err("too deep");
    assert!(error.to_string().contains("more than 16 folders deep"), "{error}");
    let error = feed::expand(vec![Source::Path(deep)]).expect_err("empty");
    assert!(error.to_string().contains("holds no file"), "{error}");
}

#[test]
fn the_sample_feed_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cs.CL-sample.xml");
    let outcome = read_source(&Source::Path(path)).expect("the sample");
    assert_eq!((outcome.report().format, outcome.items.len()), (Format::Rss, 12));
    assert!(outcome.malformed.is_empty() && outcome.mended.is_empty());
    for paper in outcome.papers() {
        let words = paper.plain_abstract.split(' ').count();
        assert!((110..=210).contains(&words), "{}: {words} words", paper.title);
        let id = paper.id.as_ref().expect("an id");
        assert!(id.as_str().starts_with("2699."), "{id}");
        assert_eq!(paper.link, id.link());
        assert!(paper.version.is_some() && paper.announce.is_some() && !paper.authors.is_empty());
        let boilerplate = format!("arXiv:{id}v{} Announce Type: ", paper.version.expect("one"));
        assert!(paper.abstract_text.starts_with(&boilerplate), "{}", paper.abstract_text);
        assert!(paper.abstract_text.contains("  Abstract: "), "{}", paper.abstract_text);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        start in prop::sample::select(vec!["", "<", "{", "[", "<rss>", "<feed><entry>", "\u{1f}"]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = read_bytes([start.as_bytes(), &bytes].concat());
    }

    #[test]
    fn damaged_inputs_read_alike_plain_and_packed(
        name in prop::sample::select(vec!["rdf.xml", "rss.xml", "api.xml", "snapshot.jsonl"]),
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = fixture_bytes(name);
        let at = at.index(bytes.len());
        let end = (at + damage.len()).min(bytes.len());
        bytes.splice(at..end, damage);
        prop_assume!(!bytes.starts_with(&[0x1f, 0x8b]));
        let summary = |result: wenzhai::Result<Outcome>| result.map_err(|error| error.to_string());
        prop_assert_eq!(summary(read_bytes(&bytes)), summary(read_bytes(gzip(&bytes))));
    }

    #[test]
    fn abstracts_come_out_plain_however_white_space_was_folded(
        gaps in prop::collection::vec("[ \n\t]{1,4}", 6),
        kind in prop::sample::select(vec!["new", "cross", "replace", "replace-cross"]),
    ) {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|gap| gaps[gap].as_str());
        let text = format!("{a}arXiv:2699.00001v2{b}Announce Type:{c}{kind}{d}Abstract:{e}We test.{f}");
        let feed = format!(
            "<rss><channel><item><title>T</title><description>{text}</description></item>\
             </channel></rss>"
        );
        let record = serde_json::json!({"title": "T", "abstract": text}).to_string();
        for input in [feed, record] {
            let outcome = read_bytes(input).expect("one paper");
            let paper = outcome.papers()[0];
            prop_assert_eq!(&paper.plain_abstract, "We test.");
            check_id(paper, Some("2699.00001"), Some(2), "https://arxiv.org/abs/2699.00001");
            let gap = if d.len() > 1 { "  " } else { " " };
            let shown = format!("arXiv:2699.00001v2 Announce Type: {kind}{gap}Abstract: We test.");
            prop_assert_eq!(&paper.abstract_text, &shown);
        }
    }
}
