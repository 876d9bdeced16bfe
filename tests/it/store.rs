//! The store, through its doors: what is durable, what is reused, and that the account adds up.

mod account;
mod damage;
mod versions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use wenzhai::Result;
use wenzhai::digest::Records;
use wenzhai::paper::Paper;
use wenzhai::record::{Record, WrittenSummary};
use wenzhai::store::{Account, Identity, Offered, Run, Store};
use wenzhai::summary::{Field, Flaw, FlawKind, Summary};

fn paper(number: usize, version: u32) -> Paper {
    let id = format!("2401.{number:05}");
    Paper {
        id: Some(serde_json::from_value(id.clone().into()).unwrap()),
        version: Some(version),
        link: format!("http://arxiv.org/abs/{id}"),
        title: format!("Sheep {number}. (arXiv:{id}v{version} [cs.CL])"),
        abstract_text: "arXiv: We count sheep.".into(),
        plain_title: format!("Sheep {number}"),
        plain_abstract: "We count sheep. ".repeat(number % 7),
        ..Paper::default()
    }
}

fn identity() -> Identity {
    let guards = "all".into();
    Identity { model: "m".into(), prompt: "p".into(), guards, ..Identity::default() }
}

fn written(text: &str) -> Record {
    Record {
        zh_title: format!("题{text}"),
        zh_tldr: format!("一句话{text}"),
        zh_abstract: format!("段落{text}"),
        model: "tiny".into(),
        marks: vec![Flaw::plain(FlawKind::Unfinished, Field::Paragraph)],
        retries: 2,
        cut: true,
        ..Record::default()
    }
}

fn failure(reason: &str) -> Record {
    Record { error: Some(reason.into()), ..Record::default() }
}

fn records(run: &Run) -> Vec<Record> {
    let mut records = Vec::new();
    let mut collect = |record: &Record| -> Result<()> {
        records.push(record.clone());
        Ok(())
    };
    run.for_each_record(&mut collect).unwrap();
    records
}

/// A folder that is gone after the test, and a store's path in it.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wenzhai.db");
    (folder, path)
}

fn finish_all(run: &mut Run) {
    while let [pending] = &run.next(1).unwrap()[..] {
        run.finish(&pending.ticket, &written(&pending.paper.plain_title)).unwrap();
    }
}

#[test]
fn a_record_has_this_runs_english_and_the_stores_chinese() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    assert_eq!(run.offer(&paper(1, 1)).unwrap(), Offered::New);
    let [pending] = &run.next(8).unwrap()[..] else { panic!("one paper should be pending") };
    assert_eq!(pending.paper, paper(1, 1));
    let claimed = Record { title: "not this".into(), link: "nor this".into(), ..written("") };
    run.finish(&pending.ticket, &claimed).unwrap();
    drop(store);

    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.len().unwrap(), 1);
    let mut run = store.begin(&identity(), false).unwrap();
    let moved = Paper { link: "https://elsewhere".into(), ..paper(1, 1) };
    run.offer(&moved).unwrap();
    assert_eq!(run.next(8).unwrap(), []);
    let expected = Record {
        id: "2401.00001".into(),
        version: Some(1),
        link: "https://elsewhere".into(),
        title: "Sheep 1. (arXiv:2401.00001v1 [cs.CL])".into(),
        abstract_text: "arXiv: We count sheep.".into(),
        ..written("")
    };
    assert_eq!(records(&run), [expected]);
    let expected = Account { read: 1, reused: 1, ..Account::default() };
    assert_eq!(run.account().unwrap(), expected);
}

#[test]
fn another_model_prompt_version_or_text_is_another_summary() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper(1, 1)).unwrap();
    finish_all(&mut run);
    let mut check = |identity: Identity, redo: bool, paper: Paper, pending: u64| {
        let mut run = store.begin(&identity, redo).unwrap();
        run.offer(&paper).unwrap();
        assert_eq!(run.account().unwrap().pending, pending, "{identity:?} {paper:?}");
    };
    check(identity(), false, paper(1, 1), 0);
    check(identity(), true, paper(1, 1), 1);
    check(Identity { model: "n".into(), ..identity() }, false, paper(1, 1), 1);
    check(Identity { adapter: Some("a".into()), ..identity() }, false, paper(1, 1), 1);
    check(Identity { prompt: "q".into(), ..identity() }, false, paper(1, 1), 1);
    check(Identity { glossary: Some("g".into()), ..identity() }, false, paper(1, 1), 1);
    check(Identity { guards: "none".into(), ..identity() }, false, paper(1, 1), 1);
    check(identity(), false, paper(1, 2), 1);
    check(identity(), false, Paper { plain_abstract: "New.".into(), ..paper(1, 1) }, 1);
}

#[test]
fn redo_overwrites() {
    let mut store = Store::in_memory().unwrap();
    for text in ["old", "new"] {
        let mut run = store.begin(&identity(), true).unwrap();
        run.offer(&paper(1, 1)).unwrap();
        let pending = run.next(1).unwrap().remove(0);
        run.finish(&pending.ticket, &written(text)).unwrap();
    }
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper(1, 1)).unwrap();
    assert_eq!(records(&run)[0].zh_title, "题new");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_paper_met_twice_is_summarised_once_in_its_newest_version() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    let cross_listed = Paper { link: "https://second".into(), ..paper(1, 2) };
    let unversioned = Paper { version: None, ..paper(1, 1) };
    assert_eq!(run.offer(&paper(1, 1)).unwrap(), Offered::New);
    let stale = run.next(1).unwrap().remove(0);
    assert_eq!(run.offer(&paper(1, 2)).unwrap(), Offered::Replaced);
    assert_eq!(run.offer(&cross_listed).unwrap(), Offered::Duplicate);
    assert_eq!(run.offer(&paper(1, 1)).unwrap(), Offered::Duplicate);
    assert_eq!(run.offer(&unversioned).unwrap(), Offered::Duplicate);
    // What was written about the older version is kept for a run that meets it, and not shown.
    run.finish(&stale.ticket, &written("old")).unwrap();
    assert_eq!(records(&run), []);
    finish_all(&mut run);
    let shown = records(&run);
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].version, &shown[0].link[..]),
        (Some(2), "http://arxiv.org/abs/2401.00001")
    );
    let expected = Account { read: 5, summarised: 1, duplicates: 4, ..Account::default() };
    assert_eq!(run.account().unwrap(), expected);
}

#[test]
fn papers_without_id_are_told_apart_by_link_and_title() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    let mut check = |link: &str, title: &str, expected: Offered| {
        let paper = Paper { link: link.into(), title: title.into(), ..Paper::default() };
        assert_eq!(run.offer(&paper).unwrap(), expected, "{link} {title}");
    };
    check("a", "t", Offered::New);
    check("a", "u", Offered::Duplicate);
    check("b", "t", Offered::New);
    check("", "t", Offered::New);
    check("", "t", Offered::Duplicate);
    check("", "u", Offered::New);
}

#[test]
fn papers_of_similar_length_come_together_and_each_once() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for number in 0..50 {
        run.offer(&paper(number, 1)).unwrap();
    }
    let mut taken = Vec::new();
    loop {
        let pending = run.next(8).unwrap();
        taken.extend(pending.iter().map(|pending| pending.paper.clone()));
        if pending.len() < 8 {
            break;
        }
    }
    let mut expected: Vec<_> = (0..50).map(|number| paper(number, 1)).collect();
    expected.sort_by_key(|p| std::cmp::Reverse(p.plain_title.len() + p.plain_abstract.len()));
    assert_eq!(taken, expected);
}

#[test]
fn records_come_by_link_descending_with_failures_and_imports() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for (number, scheme) in [(1, "http"), (2, "https"), (3, "http"), (4, "http")] {
        let link = format!("{scheme}://arxiv.org/abs/{number}");
        let paper = Paper { link, ..paper(number, 1) };
        if number == 3 {
            let summary = Summary { zh_tldr: "来自别处".into(), ..Summary::default() };
            run.import(&paper, WrittenSummary { summary, ..WrittenSummary::default() }).unwrap();
        } else {
            run.offer(&paper).unwrap();
        }
    }
    for pending in run.next(2).unwrap() {
        run.fail(&pending.ticket, &failure("too long")).unwrap();
    }
    let shown: Vec<_> = records(&run).into_iter().map(|r| (r.link, r.error, r.zh_tldr)).collect();
    let failed = Some("too long".to_owned());
    let expected = [
        ("https://arxiv.org/abs/2".into(), failed.clone(), String::new()),
        ("http://arxiv.org/abs/4".into(), failed, String::new()),
        ("http://arxiv.org/abs/3".into(), None, "来自别处".into()),
    ];
    let pending = Account { read: 4, imported: 1, failed: 2, pending: 1, ..Account::default() };
    assert_eq!(run.account().unwrap(), pending);
    assert_eq!(shown, expected);
}

#[test]
fn a_summary_that_comes_along_is_kept_whatever_comes_first() {
    let summary = Summary { zh_tldr: "来自别处".into(), ..Summary::default() };
    let written = WrittenSummary { summary, version: Some(1), ..WrittenSummary::default() };
    for with_summary_first in [true, false] {
        let mut store = Store::in_memory().unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        for brings_summary in [with_summary_first, !with_summary_first] {
            match brings_summary {
                true => run.import(&paper(1, 2), written.clone()).unwrap(),
                false => run.offer(&paper(1, 2)).unwrap(),
            };
        }
        let account = Account { read: 2, duplicates: 1, imported: 1, ..Account::default() };
        assert_eq!(run.account().unwrap(), account);
        let shown: Vec<_> =
            records(&run).into_iter().map(|r| (r.zh_tldr, r.summarised_version)).collect();
        assert_eq!(shown, [("来自别处".to_owned(), Some(1))]);
    }
}

#[test]
fn what_failed_or_was_not_finished_is_tried_again() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for number in 0..3 {
        run.offer(&paper(number, 1)).unwrap();
    }
    let [failed, finished, _abandoned] = &run.next(3).unwrap()[..] else { panic!("three papers") };
    run.fail(&failed.ticket, &failure("no")).unwrap();
    run.finish(&finished.ticket, &written("yes")).unwrap();
    drop(store);

    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for number in 0..3 {
        run.offer(&paper(number, 1)).unwrap();
    }
    let expected = Account { read: 3, reused: 1, pending: 2, ..Account::default() };
    assert_eq!(run.account().unwrap(), expected);
}

#[test]
fn a_record_without_summary_is_not_kept() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper(1, 1)).unwrap();
    let pending = run.next(1).unwrap().remove(0);
    let error = run.finish(&pending.ticket, &Record::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot keep id:2401.00001: the record has no summary");
    assert_eq!(store.len().unwrap(), 0);
}

/// Opens `path`, which must fail, and gives message and hint with the path made short.
fn refusal(path: &Path) -> String {
    let error = Store::open(path).expect_err("the store should be refused");
    let text = format!("{error} / {}", error.hint_text().unwrap_or_default());
    text.replace(&path.display().to_string(), "STORE")
}

#[test]
fn a_second_run_is_refused_until_the_first_has_ended() {
    let (_folder, path) = scratch();
    let first = Store::open(&path).unwrap();
    let expected = format!(
        "the store STORE is in use by another run (process {}) / \
         wait until it has ended, or give another store",
        std::process::id()
    );
    assert_eq!(refusal(&path), expected);
    drop(first);
    // A process that another test starts holds all open files for the moment before it runs.
    let mut tries = (0..100).map(|_| Store::open(&path));
    let is_open = tries.any(|store| {
        std::thread::sleep(std::time::Duration::from_millis(if store.is_ok() { 0 } else { 50 }));
        store.is_ok()
    });
    assert!(is_open, "{}", refusal(&path));
}

#[cfg(unix)]
#[test]
fn a_link_to_a_store_is_that_store() {
    let (folder, path) = scratch();
    let _first = Store::open(&path).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refusal(&link).contains("is in use by another run"), "{}", refusal(&link));
    // And before it is there.
    let (first, second) = (folder.path().join("first.db"), folder.path().join("second.db"));
    std::os::unix::fs::symlink(&first, &second).unwrap();
    let _by_link = Store::open(&second).unwrap();
    assert!(refusal(&first).contains("is in use by another run"), "{}", refusal(&first));
}

#[test]
#[ignore = "runs only as a child process of another test"]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os("WENZHAI_TEST_STORE") else { return };
    let mut store = Store::open(Path::new(&path)).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for number in 0..CHILD_PAPERS {
        run.offer(&paper(number, 1)).unwrap();
    }
    while let [pending] = &run.next(1).unwrap()[..] {
        let title = &pending.paper.plain_title;
        run.finish(&pending.ticket, &written(title)).unwrap();
        println!("finished {title}.");
    }
}

const CHILD_PAPERS: usize = 300;

#[cfg(unix)]
#[test]
fn a_killed_run_loses_nothing_that_was_finished() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let (_folder, path) = scratch();
    let mut finished = std::collections::HashSet::new();
    // The moments differ from round to round; what they hit differs from machine to machine.
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::child_that_is_killed", "--ignored", "--nocapture"])
            .env("WENZHAI_TEST_STORE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = String::new();
        while !lines.contains("finished") && output.read_line(&mut lines).unwrap() > 0 {}
        std::thread::sleep(std::time::Duration::from_micros(700 * round * round));
        child.kill().unwrap();
        child.wait().unwrap();
        output.read_to_string(&mut lines).unwrap();
        // A line counts only with its full stop: the last one may be torn.
        let whole = lines.lines().filter_map(|line| line.strip_suffix('.'));
        let titles = whole.filter_map(|line| line.rsplit_once("finished "));
        finished.extend(titles.map(|(_, title)| title.to_owned()));

        let mut store = Store::open(&path).unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        for number in 0..CHILD_PAPERS {
            run.offer(&paper(number, 1)).unwrap();
        }
        let kept: HashMap<_, _> =
            records(&run).into_iter().map(|r| (r.zh_title, r.zh_abstract)).collect();
        for title in &finished {
            assert_eq!(kept.get(&format!("题{title}")), Some(&format!("段落{title}")));
        }
        // At most one a round was on the disk and could not be told any more.
        assert!(kept.len() <= finished.len() + round as usize + 1);
        run.account().unwrap();
    }
    assert!(finished.len() >= 8, "the children got nowhere: {finished:?}");
}

#[test]
fn a_store_of_the_first_version_has_its_marks_as_sentences() {
    let (_folder, path) = scratch();
    let paper = paper(1, 1);
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper).unwrap();
    let pending = run.next(1).unwrap().remove(0);
    run.finish(&pending.ticket, &written("一")).unwrap();
    drop(store);
    let sentences = r#"["paragraph lacks numbers of the abstract: 12, 7", "smells"]"#;
    let raw = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(raw.execute("UPDATE summary SET flags = ?1", [sentences]).unwrap(), 1);
    raw.execute_batch(
        "ALTER TABLE summary DROP COLUMN checksum; ALTER TABLE summary DROP COLUMN fields;
         PRAGMA user_version = 1",
    )
    .unwrap();
    drop(raw);

    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    run.offer(&paper).unwrap();
    let marks = records(&run).remove(0).marks;
    let odd = Flaw { kind: FlawKind::Other, field: None, detail: vec!["smells".into()] };
    let lost = Flaw::new(FlawKind::LostNumbers, Field::Paragraph, ["12", "7"]);
    assert_eq!(marks, [lost, odd]);
}

#[test]
fn which_fields_were_asked_for_is_kept_and_older_stores_had_all() {
    let fields_of = |path: &Path| {
        let mut store = Store::open(path).unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        run.offer(&paper(1, 1)).unwrap();
        run.offer(&paper(2, 1)).unwrap();
        records(&run).into_iter().map(|record| record.fields.to_string()).collect::<Vec<_>>()
    };
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for (number, fields) in [(1, "title,one-liner"), (2, "title,one-liner,paragraph")] {
        run.offer(&paper(number, 1)).unwrap();
        let pending = run.next(1).unwrap().remove(0);
        let record = Record { fields: fields.parse().unwrap(), ..written("一") };
        run.finish(&pending.ticket, &record).unwrap();
    }
    drop(store);
    assert_eq!(fields_of(&path), ["title,one-liner,paragraph", "title,one-liner"]);

    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("ALTER TABLE summary DROP COLUMN fields; PRAGMA user_version = 3").unwrap();
    drop(raw);
    // The brief one could not have been written by then: its checksum says so.
    assert_eq!(fields_of(&path), ["title,one-liner,paragraph"]);
}

#[test]
fn twenty_thousand_papers_come_back_in_order() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    let summary = Summary { zh_tldr: "好".into(), ..Summary::default() };
    let written = WrittenSummary { summary, ..WrittenSummary::default() };
    for number in 0..20_000 {
        run.import(&paper(number * 7_919 % 20_000, 1), written.clone()).unwrap();
    }
    let mut next = 20_000;
    run.for_each_record(&mut |record| {
        next -= 1;
        assert_eq!(record.link, format!("http://arxiv.org/abs/2401.{next:05}"));
        Ok(())
    })
    .unwrap();
    assert_eq!(next, 0);
}
