//! Outputs, more than one at a time, and the folder of many days.

use wenzhai::digest::{Group, InOrder, Records};
use wenzhai::record::{Record, read_jsonl};

use crate::support::place::Place;

const FIXTURE: &str = include_str!("../fixtures/digest/2026-11-25.jsonl");
const DAY_BEFORE: &str = include_str!("../fixtures/digest/2026-11-24.jsonl");

fn fixture() -> Vec<Record> {
    read_jsonl(FIXTURE.as_bytes(), "fixture").map(Result::unwrap).collect()
}

fn place() -> Place {
    let place = Place::new();
    place.write("in.jsonl", FIXTURE);
    place
}

#[track_caller]
fn refused(place: &Place, args: &[&str], message: &str) {
    let finished = place.run(args);
    assert_eq!((finished.status, finished.stdout.as_str()), (1, ""), "{args:?}");
    assert_eq!(finished.stderr, message, "{args:?}");
}

#[test]
fn the_end_of_a_name_tells_its_form_in_digest_and_render() {
    for command in [
        &["render", "in.jsonl"][..],
        &["digest", "in.jsonl", "-q", "--no-store", "--announce", "all"],
    ] {
        let place = place();
        // A paper without a summary would be written about.
        let whole: Vec<_> = FIXTURE.lines().filter(|line| !line.contains("\"error\"")).collect();
        place.write("in.jsonl", &whole.join("\n"));
        let outputs = ["-o", "a.md", "-o", "b.jsonl", "-o", "c.HTML", "-o", "d.xml"];
        let finished = place.run(&[command, &outputs].concat());
        assert_eq!(finished.stdout, "", "{}", finished.stderr);
        assert!(place.read("a.md").starts_with("# 摘要\n"));
        assert_eq!(place.read("b.jsonl").lines().count(), 7);
        assert!(place.read("c.HTML").starts_with("<!DOCTYPE html>"));
        assert!(place.read("d.xml").contains("<title>文摘 d</title>"));
        for (format, file) in [("md", "a.md"), ("jsonl", "b.jsonl"), ("html", "c.HTML")] {
            let to_stdout = place.run(&[command, &["--format", format]].concat());
            assert_eq!(to_stdout.stdout, place.read(file), "{format}");
        }
        // Standard output and a file, a form for each.
        let both = ["-o", "-", "--format", "jsonl", "-o", "page.html", "-o", "records"];
        let finished = place.run(&[command, &both].concat());
        assert_eq!(finished.stdout, place.read("b.jsonl"));
        assert_eq!(place.read("records"), place.read("b.jsonl"));
        assert_eq!(place.read("page.html"), place.read("c.HTML"));
    }
}

/// Whoever reads a little of standard output has what was wanted; the files are for others.
#[cfg(unix)]
#[test]
fn where_the_reader_of_standard_output_goes_away_the_files_count() {
    let place = place();
    let nobody = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let whole: Vec<_> = FIXTURE.lines().filter(|line| !line.contains("\"error\"")).collect();
    place.write("in.jsonl", &whole.join("\n"));
    let digest = ["digest", "in.jsonl", "--no-store", "--announce", "all", "-o", "a.md", "-o", "-"];
    let output = place.command(&digest).stdout(nobody()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("read 7 = "), "{told}");
    assert!(place.read("a.md").starts_with("# 摘要\n"));

    place.write("records.jsonl", include_str!("../fixtures/eval/records.jsonl"));
    place.write("references.jsonl", include_str!("../fixtures/eval/references.jsonl"));
    let eval = ["eval", "records.jsonl", "references.jsonl", "--json", "figures.json"];
    let output = place.command(&eval).stdout(nobody()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(place.read("figures.json").starts_with('{'));
}

/// The first output is on the disk when the second cannot be written.
#[cfg(unix)]
#[test]
fn where_one_output_fails_no_file_is_new() {
    let place = place();
    // More than a pipe holds.
    let record =
        |n: u32| format!("{{\"link\":\"{n}\",\"title\":\"Sheep\",\"abstract\":\"We count.\"}}\n");
    place.write("many.jsonl", &(0..5_000).map(record).collect::<String>());
    place.write("a.md", "yesterday");
    let pipe = place.path().join("pipe.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let outputs = ["-o", "a.md", "-o", "pipe.jsonl"];
    let child = place.command(&[&["render", "many.jsonl"][..], &outputs].concat()).spawn().unwrap();
    // It reads a little and goes away, which is an error of this output.
    use std::io::Read;
    let mut reader = std::fs::File::open(&pipe).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("pipe"), "{told}");
    assert_eq!(place.read("a.md"), "yesterday");
    let names = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left = names.filter(|name| name.to_string_lossy().starts_with(".wenzhai-"));
    assert_eq!(left.count(), 0);
}

/// Files that were put together have papers twice, and records of other programs no days.
#[test]
fn a_page_of_a_site_has_each_paper_once_and_the_day_of_its_file() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("days")).unwrap();
    let record = |n: u32, tldr: &str| {
        format!(
            "{{\"id\":\"2699.0000{n}\",\"link\":\"https://arxiv.org/abs/2699.0000{n}\",\"title\":\"T{n}\",\
             \"abstract\":\"A.\",\"zh_title\":\"题\",\"zh_tldr\":\"{tldr}\",\"zh_abstract\":\"文。\"}}\n"
        )
    };
    let records = record(1, "先。") + &record(2, "二。") + &record(1, "后。");
    place.write("days/2026-11-01.jsonl", &records);
    let run = place.run(&["site", "days"]);
    assert!(run.stderr.starts_with("1 days, 2 papers"), "{}", run.stderr);
    let page = place.read("days/2026-11-01.html");
    assert!(page.contains("2026-11-01") && page.contains("后。") && !page.contains("先。"));
    let place_of = |id: &str| page.find(id).unwrap();
    assert!(place_of("2699.00002") < place_of("2699.00001"), "by link, descending");
    let feed = place.read("days/feed.xml");
    assert_eq!(feed.matches("<updated>2026-11-01T00:00:00Z</updated>").count(), 3, "{feed}");
}

#[test]
fn a_date_in_a_name_is_the_digests_day() {
    let place = place();
    let finished = place.run(&["render", "in.jsonl", "-o", "day-{date}.html", "-o", "{date}.md"]);
    assert_eq!((finished.status, finished.stderr.as_str()), (0, ""));
    assert!(place.has("day-2026-11-25.html") && place.has("2026-11-25.md"));
    // Without a day of the records it is today's.
    place.write("undated.jsonl", "{\"link\":\"http://a/1\",\"title\":\"t\",\"abstract\":\"a\"}\n");
    let today = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let before = today();
    let mut command = place.command(&["render", "undated.jsonl", "-o", "u-{date}.md"]);
    assert!(command.env("TZ", "Pacific/Kiritimati").status().unwrap().success());
    assert!([before, today()].iter().any(|day| place.has(&format!("u-{day}.md"))), "{before}");
    // A feed is the same one from day to day.
    place.write("other.jsonl", DAY_BEFORE);
    for input in ["in.jsonl", "other.jsonl"] {
        assert_eq!(place.run(&["render", input, "-o", "cs-{date}.xml"]).status, 0);
    }
    let id = |name: &str| place.read(name).split("</id>").next().unwrap().to_owned();
    assert_eq!(id("cs-2026-11-25.xml"), id("cs-2026-11-24.xml"));
}

#[test]
fn names_that_cannot_be_meant_are_refused_before_the_work() {
    let place = place();
    refused(
        &place,
        &["digest", "missing.xml", "-o", "x-{day}.md"],
        "error: x-{day}.md: unknown placeholder {day}\n  \
         hint: {date} is the only one: the digest's day, as in 2026-11-25\n",
    );
    refused(
        &place,
        &["digest", "missing.xml", "-o", "{date}/x.md"],
        "error: {date}/x.md: {date} stands in the name of a folder\n  \
         hint: put it into the name of the file: 'days/{date}.html'\n",
    );
    refused(
        &place,
        &["digest", "missing.xml", "-o", "x.md", "-o", "./x.md"],
        "error: ./x.md is named for two outputs\n  hint: give each output a name of its own\n",
    );
    refused(
        &place,
        &["digest", "missing.xml", "-o", "-", "-o", "-"],
        "error: standard output (-) is named for two outputs\n",
    );
    refused(
        &place,
        &["digest", "missing.xml", "-o", "x.html", "--format", "atom"],
        "error: --format atom is not the form of x.html\n  \
         hint: leave out --format, or end the name otherwise\n",
    );
    refused(
        &place,
        &["render", "in.jsonl", "-o", "x.md", "-o", "in.jsonl"],
        "error: in.jsonl is an input, and would be written over\n  \
         hint: give the output another name\n",
    );
    assert!(!place.has("x.md"));
    // The name is an input's only once the day is known.
    place.write("2026-11-25.jsonl", FIXTURE);
    refused(
        &place,
        &["render", "2026-11-25.jsonl", "-o", "x.md", "-o", "{date}.jsonl"],
        "error: 2026-11-25.jsonl is an input, and would be written over\n  \
         hint: give the output another name\n",
    );
    assert!(!place.has("x.md"));
    assert_eq!(place.read("2026-11-25.jsonl"), FIXTURE);
}

#[test]
fn order_and_groups_are_options_and_the_default_is_as_ever() {
    let place = place();
    place.write("both.jsonl", &format!("{DAY_BEFORE}{FIXTURE}"));
    let ids = |args: &[&str]| {
        let start = ["render", "both.jsonl", "--format", "jsonl"];
        let records = place.run(&[&start[..], args].concat()).stdout;
        let id = |line: &str| line[7..17].to_owned();
        records.lines().map(id).collect::<Vec<_>>().join(" ").replace("2699.", "")
    };
    // One paper is in both days: its last record counts.
    let digest_order = "01108 01107 01106 01105 01104 01103 01102 01101 01002 01001";
    // One record has a place by likeness, which it keeps unless another order is asked for.
    assert_eq!(ids(&[]), format!("01101 {}", digest_order.replace(" 01101", "")));
    assert_eq!(ids(&["--sort", "link"]), digest_order);
    // One that was changed on a later day.
    let changed = DAY_BEFORE.replacen("{", r#"{"updated":"2031-01-01","#, 1);
    assert!(changed.contains(r#""id": "2699.01001""#));
    place.write("both.jsonl", &format!("{changed}{FIXTURE}"));
    let by_day = ids(&["--sort", "date"]);
    assert!(by_day.starts_with("01001 01108 01107") && by_day.ends_with("01101 01002"), "{by_day}");
    place.write("both.jsonl", &format!("{DAY_BEFORE}{FIXTURE}"));
    // Records that stand by likeness keep standing so within their groups.
    let nearest = InOrder::arranged(fixture(), None, Some(Group::Announce));
    let mut order = Vec::new();
    nearest
        .for_each_record(&mut |record| {
            order.push(record.id.clone());
            Ok(())
        })
        .unwrap();
    let as_they_came = ["2699.01101", "2699.01102", "2699.01105", "2699.01107"];
    assert_eq!(order[..4], as_they_came);
    let by_category = ids(&["--group", "category"]);
    assert!(by_category.starts_with("01103 01102 01105 01101 01108 01107 01001"));
    let grouped = place.run(&["render", "in.jsonl", "--group", "announce"]).stdout;
    let headings: Vec<_> = grouped.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings, ["# 摘要", "## 新论文", "## 交叉列表", "## 新版本", "# 详细"]);
    assert_eq!(grouped.matches("| Ref | Title | Summary |").count(), 3);
    assert_eq!(grouped.matches("\n| [^").count(), 8);
}

#[test]
fn a_list_stands_in_the_order_of_the_digest_that_it_foretells() {
    let place = place();
    place.write("both.jsonl", &format!("{DAY_BEFORE}{FIXTURE}"));
    let run = |args: &[&str]| {
        place.run(&[&["digest", "both.jsonl", "--dry-run", "--announce", "all"], args].concat())
    };
    for order in [&["--sort", "date"][..], &["--sort", "link"], &["--group", "category"]] {
        let ids = |records: &str| {
            let ids = records.lines().map(|line| line[7..17].to_owned());
            ids.collect::<Vec<_>>()
        };
        let listed = run(order);
        assert_eq!(listed.status, 0, "{}", listed.stderr);
        place.write("listed.jsonl", &listed.stdout);
        let rendered = ["render", "listed.jsonl", "--format", "jsonl"];
        let rendered = place.run(&[&rendered[..], order].concat());
        assert_eq!(ids(&listed.stdout), ids(&rendered.stdout), "{order:?}");
        assert_eq!(ids(&listed.stdout).len(), 10);
    }
    let [by_date, by_category] =
        [["--sort", "date"], ["--group", "category"]].map(|order| run(&order).stdout);
    assert_ne!(by_date, by_category);
}

#[test]
fn a_site_has_a_page_a_day_an_index_and_a_feed() {
    let place = Place::new();
    place.write("2026-11-25.jsonl", FIXTURE);
    place.write("2026-11-24.jsonl", DAY_BEFORE);
    place.write("notes.jsonl", "not a day\n");
    let files = ["2026-11-25.html", "2026-11-24.html", "index.html", "feed.xml"];
    let all = || files.map(|file| place.read(file));
    let first = place.run(&["site", "."]);
    assert_eq!(first.status, 0, "{}", first.stderr);
    let said = "2 days, 11 papers: 2 pages written, index.html and feed.xml renewed\n";
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("", said));
    let before = all();
    assert!(before[2].contains("2 天，11 篇") && before[2].contains("href=\"2026-11-24.html\""));
    // A replaced paper is in the feed once, in its newest version.
    assert_eq!(before[3].matches("<entry>").count(), 10);
    assert!(before[3].contains("1,200") && !before[3].contains("35%"));

    let again = place.run(&["site", "."]).stderr;
    assert!(again.contains(": 0 pages written, "), "{again}");
    assert_eq!(all(), before);
    for file in files {
        std::fs::remove_file(place.path().join(file)).unwrap();
    }
    place.run(&["site", "."]);
    assert_eq!(all(), before, "everything comes back as it was");

    // Records that are younger than their page make it anew; --redo makes all anew.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let page = std::fs::File::options().write(true).open(place.path().join(files[1])).unwrap();
    page.set_modified(old).unwrap();
    assert!(place.run(&["site", "."]).stderr.contains(": 1 pages written, "));
    // So do records that were written before it and put there after it, as rsync does.
    #[cfg(unix)]
    {
        place.write("copy", DAY_BEFORE);
        let copy = place.path().join("copy");
        std::fs::File::options().write(true).open(&copy).unwrap().set_modified(old).unwrap();
        std::fs::rename(&copy, place.path().join("2026-11-24.jsonl")).unwrap();
        assert!(place.run(&["site", "."]).stderr.contains(": 1 pages written, "));
    }
    assert!(place.run(&["site", ".", "--redo"]).stderr.contains(": 2 pages written, "));
    assert_eq!(all(), before);
}

/// Its page may be the last that has its papers.
#[test]
fn a_day_whose_records_are_damaged_keeps_its_page() {
    let place = Place::new();
    place.write("2026-11-25.jsonl", FIXTURE);
    place.write("2026-11-24.jsonl", DAY_BEFORE);
    assert_eq!(place.run(&["site", "."]).status, 0);
    let page = place.read("2026-11-24.html");
    place.write("2026-11-24.jsonl", &DAY_BEFORE[..40]);
    let finished = place.run(&["site", ".", "--redo"]);
    assert_eq!((finished.status, place.read("2026-11-24.html")), (2, page));
    assert!(finished.stderr.contains("1 days, "), "{}", finished.stderr);
    let index = place.read("index.html");
    assert!(
        index.contains("href=\"2026-11-24.html\"") && index.contains("记录无法读取"),
        "{index}"
    );
    // One that never had a page gets none.
    place.write("2026-11-23.jsonl", &DAY_BEFORE[..40]);
    assert_eq!(place.run(&["site", "."]).status, 2);
    assert!(!place.has("2026-11-23.html") && !place.read("index.html").contains("2026-11-23"));
    // And where none can be read, nothing is touched.
    let (index, feed) = (place.read("index.html"), place.read("feed.xml"));
    place.write("2026-11-25.jsonl", &FIXTURE[..40]);
    let finished = place.run(&["site", ".", "--redo"]);
    let message = "error: of the 3 days in . none can be read\n  hint: the site stays as it was\n";
    assert!(finished.stderr.ends_with(message), "{}", finished.stderr);
    assert_eq!(
        (finished.status, place.read("index.html"), place.read("feed.xml")),
        (1, index, feed)
    );
}

#[test]
fn a_feed_tells_where_it_stands_once_that_is_known() {
    let place = Place::new();
    place.write("2026-11-25.jsonl", FIXTURE);
    assert_eq!(place.run(&["site", "."]).status, 0);
    assert!(!place.read("feed.xml").contains("rel=\"self\""), "nobody said where");
    for address in ["https://example.org/arxiv", "https://example.org/arxiv/"] {
        assert_eq!(place.run(&["site", ".", "--url", address]).status, 0);
        let feed = place.read("feed.xml");
        let head = feed.split("<entry>").next().unwrap();
        let own = "<link rel=\"self\" type=\"application/atom+xml\" \
             href=\"https://example.org/arxiv/feed.xml\"/>";
        assert!(head.contains(own), "{head}");
        let page =
            "<link rel=\"alternate\" type=\"text/html\" href=\"https://example.org/arxiv/\"/>";
        assert!(head.contains(page), "{head}");
    }
    for address in ["example.org", "javascript:alert(1)", "https://example.org/?day=1"] {
        let message = format!(
            "error: --url {address}: not the address of a folder\n  \
             hint: such as https://example.org/papers/\n"
        );
        refused(&place, &["site", ".", "--url", address], &message);
    }
}

#[test]
fn a_site_replaces_nothing_that_is_not_its_own() {
    let place = Place::new();
    refused(
        &place,
        &["site", "."],
        "error: there are no days in .\n  hint: a day is a file of records: \
         wenzhai digest FEED -o 'DIR/{date}.jsonl' writes one\n",
    );
    place.write("2026-11-25.jsonl", FIXTURE);
    place.write("index.html", "<h1>My page</h1>");
    refused(
        &place,
        &["site", "."],
        "error: ./index.html is not from wenzhai, and would be written over\n  \
         hint: move it, or put the records elsewhere\n",
    );
    assert!(!place.has("feed.xml") && !place.has("2026-11-25.html"));
    place.write("index.html", "");
    std::fs::remove_file(place.path().join("index.html")).unwrap();
    place.write("2026-11-24.jsonl", "nonsense\n");
    let finished = place.run(&["site", "."]);
    assert_eq!(finished.status, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("2026-11-24.jsonl, line 1: not a record"));
    assert!(!place.has("2026-11-24.html") && place.has("2026-11-25.html"));
}
