//! The pipeline from papers to records, with a scribe in place of the model.

use std::path::PathBuf;

use wenzhai::digest::Records;
use wenzhai::feed::{Malformed, Source};
use wenzhai::generate::{Generator, Limits, Sampling};
use wenzhai::paper::Paper;
use wenzhai::pipeline::{self, Intake, MAX_TRIES, Observer, Progress, Treatment};
use wenzhai::prompt::{Codec, Template};
use wenzhai::record::Record;
use wenzhai::store::{Account, Identity, Run, Store};
use wenzhai::summary::{Flaw, FlawKind};
use wenzhai::{Error, Result};

use crate::support::scribe::{Characters, Scribe, good, paper, titled};

const MAX_POSITIONS: usize = 2000;

/// What a run came to.
struct Outcome {
    records: Vec<Record>,
    account: Account,
    progress: Result<Progress, Error>,
}

impl Outcome {
    fn record(&self, title: &str) -> &Record {
        self.records.iter().find(|record| record.title == title).expect(title)
    }
}

fn limits(max_sequences: usize) -> Limits {
    Limits {
        max_sequences,
        rows_per_step: 256,
        prefill_rows: 64,
        max_context: MAX_POSITIONS,
        kv_positions: MAX_POSITIONS * max_sequences,
    }
}

fn records(run: &Run) -> Vec<Record> {
    let mut records = Vec::new();
    run.for_each_record(&mut |record| {
        records.push(record.clone());
        Ok(())
    })
    .unwrap();
    records
}

fn offer(run: &mut Run, papers: &[Paper]) {
    for paper in papers {
        run.offer(paper).unwrap();
    }
}

fn summarise(run: &mut Run, scribe: &mut Scribe, batch: usize) -> Result<Progress> {
    let template = Template::built_in("gemma3-270m-zh")?;
    let codec = Codec::new(&template, &Characters, MAX_POSITIONS)?;
    let mut generator = Generator::new(scribe, limits(batch), codec.prefix().to_vec())?;
    pipeline::summarise(run, &codec, &mut generator, "scribe", &mut ())
}

fn run_in(store: &mut Store, papers: &[Paper], redo: bool, scribe: &mut Scribe) -> Outcome {
    run_batched(store, papers, redo, scribe, 4)
}

fn run_batched(
    store: &mut Store,
    papers: &[Paper],
    redo: bool,
    scribe: &mut Scribe,
    batch: usize,
) -> Outcome {
    let mut run = store.begin(&Identity::default(), redo).unwrap();
    offer(&mut run, papers);
    let progress = summarise(&mut run, scribe, batch);
    Outcome { records: records(&run), account: run.account().unwrap(), progress }
}

fn run(papers: &[Paper], scribe: &mut Scribe) -> Outcome {
    run_in(&mut Store::in_memory().unwrap(), papers, false, scribe)
}

fn many(papers: u32) -> Vec<Paper> {
    (0..papers).map(paper).collect()
}

/// Notes how many tokens had gone through the engine when the first paper was settled.
#[derive(Default)]
struct FirstSettled {
    at: Option<u64>,
    tokens: u64,
}

impl Observer for FirstSettled {
    fn reading(&mut self, _: &Source) {}
    fn malformed(&mut self, _: &Malformed, _: u64) {}
    fn progress(&mut self, progress: &Progress) {
        self.tokens = progress.prefill_tokens + progress.decode_tokens;
        if progress.settled > 0 {
            self.at.get_or_insert(self.tokens);
        }
    }
}

/// A paragraph as long as the title says.
fn as_long_as_asked(title: &str, sampling: Sampling) -> [String; 3] {
    let [zh_title, _, zh_tldr] = good("", sampling);
    let length: u32 = title.rsplit(' ').next().unwrap().parse().unwrap();
    let text: String = (0..length).filter_map(|n| char::from_u32('一' as u32 + n)).collect();
    [zh_title, format!("{text}。"), zh_tldr]
}

/// A run that is killed after a third of its work has kept something, also where all of its papers
/// are written at once.
#[test]
fn after_a_third_of_a_run_something_is_kept_at_any_batch() {
    let papers: Vec<Paper> = (0..60)
        .map(|number| {
            let length = 60 + 3 * (number * 37 % 60);
            let abstract_text = "sheep ".repeat(length as usize / 2);
            Paper { plain_abstract: abstract_text, ..titled(number, &format!("Sheep {length}")) }
        })
        .collect();
    let template = Template::built_in("gemma3-270m-zh").unwrap();
    let codec = Codec::new(&template, &Characters, MAX_POSITIONS).unwrap();
    for batch in [8, 24, 64] {
        let mut store = Store::in_memory().unwrap();
        let mut run = store.begin(&Identity::default(), false).unwrap();
        offer(&mut run, &papers);
        let bounds = Limits { rows_per_step: 512, ..limits(batch) };
        let scribe = Scribe::new(as_long_as_asked);
        let mut generator = Generator::new(scribe, bounds, codec.prefix().to_vec()).unwrap();
        let mut seen = FirstSettled::default();
        let progress = pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut seen);
        assert_eq!((progress.unwrap().settled, records(&run).len()), (60, 60));
        let first = seen.at.unwrap();
        assert!(3 * first < seen.tokens, "batch {batch}: {first} of {} tokens", seen.tokens);
    }
}

#[test]
fn every_paper_is_summarised_and_accounted_for() {
    let outcome = run(&many(11), &mut Scribe::new(good));
    assert_eq!(outcome.account, Account { read: 11, summarised: 11, ..Account::default() });
    let record = outcome.record("Counting sheep 3");
    let expected = Record {
        zh_title: "数羊：Counting sheep 3".into(),
        zh_abstract: "我们提出一种数羊的方法（Counting sheep 3），并在牧场上验证了它的可靠性。"
            .into(),
        zh_tldr: "提出一种在牧场上可靠地数羊的方法，并验证了它的结果：Counting sheep 3。".into(),
        model: "scribe".into(),
        ..Record::of(&paper(3))
    };
    assert_eq!(*record, expected);
    let progress = outcome.progress.unwrap();
    assert_eq!((progress.papers, progress.settled, progress.failed), (11, 11, 0));
    let one_each: usize = good("Counting sheep 3", Sampling::Greedy)
        .iter()
        .map(|field| field.chars().count() + 1)
        .sum();
    // Nine of the titles have one digit, two have two, in each of three fields.
    assert_eq!(progress.decode_tokens, (11 * one_each + 3) as u64);
}

#[test]
fn what_is_written_does_not_depend_on_the_batch() {
    let run = |batch| {
        let mut store = Store::in_memory().unwrap();
        run_batched(&mut store, &many(9), false, &mut Scribe::new(good), batch).records
    };
    assert_eq!(run(1), run(3));
    assert_eq!(run(1), run(32));
}

#[test]
fn no_slot_is_free_while_papers_wait() {
    let mut scribe = Scribe::new(good);
    run(&many(23), &mut scribe);
    let (begun_in_all, batch) = (scribe.jobs.len(), 4);
    assert_eq!(begun_in_all, 23);
    // A sequence that has no row in a step waits for its prompt to be read, of which a step has room
    // for a part beside those that write.
    for (sequences, begun, rows) in scribe.steps {
        let is_full = sequences == batch || rows >= 64;
        assert!(is_full || begun == begun_in_all, "{sequences} with {begun} begun, {rows} rows");
    }
}

/// Loops for ever unless tokens are picked in the way that the title names.
fn stubborn(title: &str, pick: Sampling) -> [String; 3] {
    let yields = match pick {
        Sampling::Greedy | Sampling::Beam { .. } => false,
        Sampling::Penalised { .. } => title.starts_with("Penalty"),
        Sampling::Sampled { .. } => title.starts_with("Draw"),
    };
    let mut answer = good(title, pick);
    if !yields {
        answer[1] = "数羊数羊".repeat(200);
    }
    if matches!(pick, Sampling::Greedy) {
        answer[0] = "Sheep".into();
    }
    answer
}

/// Notes which papers were tried again, and for which flaws.
#[derive(Default)]
struct TriedAgain(Vec<(String, Vec<FlawKind>)>);

impl Observer for TriedAgain {
    fn reading(&mut self, _: &Source) {}
    fn malformed(&mut self, _: &Malformed, _: u64) {}
    fn tried_again(&mut self, paper: &Paper, flaws: &[Flaw]) {
        self.0.push((paper.plain_title.clone(), flaws.iter().map(|flaw| flaw.kind).collect()));
    }
    fn progress(&mut self, _: &Progress) {}
}

#[test]
fn an_observer_hears_why_a_paper_is_tried_again() {
    let papers = [titled(0, "Penalty"), titled(1, "Nothing")];
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    offer(&mut run, &papers);
    let template = Template::built_in("gemma3-270m-zh").unwrap();
    let codec = Codec::new(&template, &Characters, MAX_POSITIONS).unwrap();
    let mut generator =
        Generator::new(Scribe::new(stubborn), limits(4), codec.prefix().to_vec()).unwrap();
    let mut heard = TriedAgain::default();
    pipeline::summarise(&mut run, &codec, &mut generator, "scribe", &mut heard).unwrap();
    heard.0.sort_by(|a, b| a.0.cmp(&b.0));
    let titles: Vec<&str> = heard.0.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, ["Nothing", "Nothing", "Penalty"], "not for the last attempt");
    assert!(heard.0.iter().all(|(_, flaws)| flaws.contains(&FlawKind::Loop)), "{:?}", heard.0);
}

#[test]
fn what_is_flawed_is_tried_again_in_two_other_ways() {
    let titles = ["Penalty", "Draw", "Nothing"];
    let papers: Vec<Paper> =
        titles.iter().zip(0..).map(|(title, number)| titled(number, title)).collect();
    let mut scribe = Scribe::new(stubborn);
    let outcome = run(&papers, &mut scribe);
    let kinds = |title: &str| -> Vec<&str> {
        let kind = |pick: &Sampling| match pick {
            Sampling::Greedy => "greedy",
            Sampling::Beam { .. } => "beam",
            Sampling::Penalised { .. } => "penalised",
            Sampling::Sampled { .. } => "sampled",
        };
        scribe.picks(title).iter().map(kind).collect()
    };
    let ladder = ["greedy", "penalised", "sampled"];
    assert_eq!(ladder.len() as u32, MAX_TRIES);
    for (title, tries) in titles.into_iter().zip([2, 3, 3]) {
        assert_eq!(kinds(title), ladder[..tries], "{title}");
        assert_eq!(outcome.record(title).retries as usize, tries - 1, "{title}");
    }
    assert_eq!(outcome.record("Penalty").marks, []);
    assert_eq!(outcome.record("Draw").marks, []);
    let kept = outcome.record("Nothing");
    assert_eq!(kept.zh_title, "数羊：Nothing", "the attempt with the fewest flaws is kept");
    assert!(kept.marks.iter().any(|flaw| flaw.kind == FlawKind::Loop));
    assert_eq!(kept.error, None);
    let progress = outcome.progress.unwrap();
    assert_eq!((progress.retried, progress.flagged, progress.failed), (3, 1, 0));
}

/// A one-liner without Chinese at first, and a word of its own in each attempt's other texts.
fn short_of_words(title: &str, pick: Sampling) -> [String; 3] {
    let is_first = matches!(pick, Sampling::Greedy);
    let mut answer = good(title, pick);
    for text in &mut answer[..2] {
        text.insert_str(0, if is_first { "先写的" } else { "后写的" });
    }
    if is_first {
        answer[2] = "Sheep are counted here.".into();
    }
    answer
}

#[test]
fn what_is_good_in_the_first_attempt_outlives_a_second_one_for_another_field() {
    let mut scribe = Scribe::new(short_of_words);
    let outcome = run(&[titled(1, "Counting")], &mut scribe);
    assert_eq!(scribe.picks("Counting").len(), 2);
    let kept = outcome.record("Counting");
    assert_eq!((kept.retries, kept.marks.as_slice()), (1, [].as_slice()));
    assert!(kept.zh_title.starts_with("先写的"), "{}", kept.zh_title);
    assert!(kept.zh_abstract.starts_with("先写的"), "{}", kept.zh_abstract);
    assert_eq!(kept.zh_tldr, good("Counting", Sampling::Greedy)[2]);
}

#[test]
fn a_draw_is_the_same_in_every_run() {
    let draws = || {
        let mut scribe = Scribe::new(stubborn);
        run(&[titled(1, "Draw helps"), titled(2, "Draw helps too")], &mut scribe);
        [scribe.picks("Draw helps")[2], scribe.picks("Draw helps too")[2]]
    };
    assert_eq!(draws(), draws());
    assert_ne!(draws()[0], draws()[1]);
}

#[test]
fn a_second_run_does_nothing_unless_asked_to() {
    let mut store = Store::in_memory().unwrap();
    let first = run_in(&mut store, &many(5), false, &mut Scribe::new(good));
    let mut scribe = Scribe::new(good);
    let second = run_in(&mut store, &many(6), false, &mut scribe);
    assert_eq!(scribe.jobs, [("Counting sheep 5".to_owned(), Sampling::Greedy)]);
    let expected = Account { read: 6, reused: 5, summarised: 1, ..Account::default() };
    assert_eq!(second.account, expected);
    assert_eq!(second.records[1..], first.records);

    let mut scribe = Scribe::new(good);
    let redone = run_in(&mut store, &many(6), true, &mut scribe);
    assert_eq!(scribe.jobs.len(), 6);
    assert_eq!(redone.account, Account { read: 6, summarised: 6, ..Account::default() });
}

fn silent_about_wolves(title: &str, pick: Sampling) -> [String; 3] {
    if title.contains("wolves") { Default::default() } else { good(title, pick) }
}

#[test]
fn a_paper_that_cannot_be_summarised_fails_alone() {
    let endless = "Sheep ".repeat(MAX_POSITIONS);
    let papers = [titled(1, "Counting wolves"), titled(2, &endless), paper(3)];
    let mut store = Store::in_memory().unwrap();
    let mut scribe = Scribe::new(silent_about_wolves);
    let outcome = run_in(&mut store, &papers, false, &mut scribe);
    let expected = Account { read: 3, summarised: 1, failed: 2, ..Account::default() };
    assert_eq!(outcome.account, expected);
    assert_eq!(scribe.picks("Counting wolves").len(), 3);
    let reason = |title: &str| outcome.record(title).error.clone().unwrap();
    let silence = reason("Counting wolves");
    assert!(silence.starts_with("the model wrote no summary: title is missing"), "{silence}");
    assert!(reason(&endless).starts_with("too long: "), "{}", reason(&endless));

    let again = run_in(&mut store, &papers, false, &mut Scribe::new(good));
    let expected = Account { read: 3, summarised: 1, reused: 1, failed: 1, ..Account::default() };
    assert_eq!(again.account, expected, "failed papers are tried again");
}

#[test]
fn a_long_abstract_is_cut_at_a_sentence_and_marked() {
    let long = Paper { plain_abstract: "We count sheep. ".repeat(100), ..paper(1) };
    let mut scribe = Scribe::new(good);
    let outcome = run(&[long], &mut scribe);
    assert!(outcome.record("Counting sheep 1").cut);
    let (_, abstract_text) = scribe.last_prompt.split_once("\nAbstract: ").unwrap();
    assert!(abstract_text.ends_with("sheep.") && (880..=900).contains(&abstract_text.len()));
}

#[test]
fn an_engine_that_fails_ends_the_run_and_what_is_finished_is_kept() {
    let mut store = Store::in_memory().unwrap();
    let mut scribe = Scribe::new(good);
    // Four sequences at a time take some 120 steps.
    scribe.fails_at_step = Some(150);
    let outcome = run_in(&mut store, &many(12), false, &mut scribe);
    assert_eq!(outcome.progress.unwrap_err().to_string(), "the engine stumbled");
    let kept = outcome.account.summarised;
    assert!((4..12).contains(&kept), "{kept}");
    assert_eq!(outcome.account.pending, 12 - kept);

    let mut scribe = Scribe::new(good);
    let rest = run_in(&mut store, &many(12), false, &mut scribe);
    assert_eq!(scribe.jobs.len() as u64, 12 - kept);
    assert_eq!(rest.records, run(&many(12), &mut Scribe::new(good)).records);
}

#[test]
fn what_a_failed_engine_left_is_written_by_another_in_the_same_run() {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    offer(&mut run, &many(12));
    let mut scribe = Scribe::new(good);
    scribe.fails_at_step = Some(150);
    summarise(&mut run, &mut scribe, 4).unwrap_err();
    summarise(&mut run, &mut Scribe::new(good), 4).unwrap();
    assert_eq!(run.account().unwrap().summarised, 12);
}

/// Remembers what it heard.
#[derive(Default)]
struct Ears {
    inputs: Vec<String>,
    malformed: Vec<String>,
}

impl Observer for Ears {
    fn reading(&mut self, input: &Source) {
        self.inputs.push(input.to_string());
    }
    fn malformed(&mut self, what: &Malformed, lost: u64) {
        assert!(lost > 0);
        self.malformed.push(what.to_string());
    }
    fn progress(&mut self, _: &Progress) {}
}

/// Files with one JSON value a line, in a folder of their own.
fn files(contents: &[&str]) -> (tempfile::TempDir, Vec<Source>) {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        let path = folder.path().join(format!("{number}.jsonl"));
        std::fs::write(&path, content).unwrap();
        sources.push(Source::Path(path));
    }
    (folder, sources)
}

fn line(number: u32) -> String {
    format!(
        "{{\"id\": \"2401.{number:05}\", \"link\": \"http://arxiv.org/abs/2401.{number:05}\", \
         \"title\": \"Counting sheep {number}\", \"abstract\": \"We count sheep in a meadow.\"}}\n"
    )
}

fn summed_up(number: u32) -> String {
    let added =
        "\", \"zh_title\": \"数羊\", \"zh_tldr\": \"我们数羊。\", \"zh_abstract\": \"数羊。\"}";
    line(number).replace("\"}", added)
}

fn read(sources: &[Source], intake: Intake) -> (Account, Vec<Record>, Ears, Vec<Error>) {
    let mut store = Store::in_memory().unwrap();
    let mut run = store.begin(&Identity::default(), false).unwrap();
    let mut ears = Ears::default();
    let inputs = pipeline::read(sources, intake, &mut run, &mut ears).unwrap();
    (run.account().unwrap(), records(&run), ears, inputs.failed)
}

#[test]
fn a_bad_input_does_not_keep_the_others_from_being_read() {
    let good = line(1) + &line(2) + "{\"title\": \"No abstract\"}\n" + &line(1);
    let (_folder, mut sources) = files(&[&good, "certainly no feed", &line(3)]);
    sources.push(Source::Path(PathBuf::from("/nowhere/at/all")));
    let (account, _, ears, failed) = read(&sources, Intake::default());
    let expected =
        Account { read: 5, pending: 3, duplicates: 1, malformed: 1, ..Account::default() };
    assert_eq!(account, expected);
    assert_eq!(ears.inputs.len(), 4);
    assert!(ears.malformed[0].contains("0.jsonl, line 3"), "{:?}", ears.malformed);
    assert_eq!(failed.len(), 2);
    assert!(failed[0].to_string().contains("1.jsonl is of no known form"), "{}", failed[0]);
    assert!(failed[1].to_string().contains("/nowhere/at/all"), "{}", failed[1]);
}

#[test]
fn what_is_over_the_limit_is_counted() {
    let (_folder, sources) = files(&[&(line(1) + &line(1) + &line(2) + &line(3) + &line(4))]);
    let (account, ..) = read(&sources, Intake { limit: Some(2), ..Intake::default() });
    let expected =
        Account { read: 5, pending: 2, duplicates: 1, over_limit: 2, ..Account::default() };
    assert_eq!(account, expected);
}

#[test]
fn summaries_that_papers_bring_along_are_taken_over_rewritten_or_listed() {
    let (_folder, sources) = files(&[&(line(1) + &summed_up(2))]);
    let check = |treatment: Treatment, pending: u64, imported: u64, zh_title: &str| {
        let (account, records, ..) = read(&sources, Intake { treatment, ..Intake::default() });
        assert_eq!(account, Account { read: 2, pending, imported, ..Account::default() });
        assert!(records.iter().all(|record| record.zh_title == zh_title), "{records:?}");
        assert_eq!(records.len() as u64, imported);
    };
    check(Treatment::Write, 1, 1, "数羊");
    check(Treatment::Rewrite, 2, 0, "");
    check(Treatment::List, 0, 2, "");
}

/// As `Source::parse` hands them out.
#[test]
fn folders_and_several_categories_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for number in [1, 2] {
        std::fs::write(folder.path().join(format!("{number}.jsonl")), line(number)).unwrap();
    }
    let folder = Source::parse(folder.path().to_str().unwrap()).unwrap();
    let (account, ..) = read(&[folder], Intake::default());
    assert_eq!(account.pending, 2);
}
