//! What readers of other digests complain of, by the name of the complaint, through the program's own
//! door. Complaints that an area of its own holds up are there: days that vanish, counts that
//! disagree and yesterday's feed in `arxiv::days`, weekends in `feed`, crashes in `store` and `soak`,
//! replacements in `selection`, speed in `benches/`.

use wenzhai::record::Record;

use crate::support::place::Place;
use crate::support::tiny;

/// A record with a summary.
fn summed_up(id: &str, title: &str, zh_title: &str) -> String {
    let record = serde_json::json!({
        "id": id, "link": format!("http://arxiv.org/abs/{id}"), "title": title,
        "abstract": "We count sheep at night.", "zh_title": zh_title,
        "zh_tldr": "我们数羊，以此入睡。", "zh_abstract": "我们在夜里数羊。", "model": "m"
    });
    format!("{record}\n")
}

fn digest(place: &Place, more: &[&str]) -> String {
    let run = place.run(&[&["digest", "papers.jsonl", "--no-store"], more].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    run.stdout
}

#[test]
fn a_bar_in_a_title_does_not_break_the_table() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up("2699.00001", "P(a|b)", "条件概率 P(a|b) 与 |x|"));
    let digest = digest(&place, &[]);
    let row = digest.lines().find(|line| line.starts_with("| [^")).unwrap();
    let bars = row.match_indices('|').filter(|(at, _)| !row[..*at].ends_with('\\')).count();
    assert_eq!(bars, 4, "three cells: {row}");
    assert!(row.contains("P(a") && row.contains("x"), "{row}");
}

#[test]
fn old_ids_of_two_archives_do_not_collide() {
    let place = Place::new();
    let [stars, strings] = ["astro-ph/0601001", "hep-th/0601001"];
    let papers = summed_up(stars, "Stars", "恒星") + &summed_up(strings, "Strings", "弦");
    place.write("papers.jsonl", &papers);
    let lines = digest(&place, &["--format", "jsonl"]);
    let ids: Vec<String> =
        lines.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().id).collect();
    assert_eq!(ids, [strings, stars]);
}

#[test]
fn the_feeds_own_words_do_not_leak_into_the_digest() {
    let place = Place::new();
    let own_words = "arXiv:2699.00001v1 Announce Type: new \\nAbstract: We count";
    let paper = summed_up("2699.00001", "Sheep", "羊").replace("We count", own_words);
    place.write("papers.jsonl", &paper);
    // Markdown has the abstract as the feed has it, as the public digest does.
    for format in ["html", "atom"] {
        let digest = digest(&place, &["--format", format]);
        assert!(digest.contains("羊") && !digest.contains("Announce"), "{digest}");
    }
}

#[test]
fn english_instead_of_chinese_is_never_passed_off_as_a_summary() {
    let place = Place::new();
    let paper = "{\"id\":\"2699.00001\",\"title\":\"Sheep\",\"abstract\":\"We count sheep.\"}\n";
    place.write("papers.jsonl", paper);
    // A model of random weights: what it writes is no Chinese.
    tiny::write_model_for(&place.path().join("tiny.gguf"), "gemma3", 1, 1024);
    let model = ["--model", "tiny.gguf", "--prompt", "gemma3-270m-zh", "--fields", "one-liner"];
    let more = ["--no-store", "--format", "jsonl"];
    let run = place.run(&[&["digest", "papers.jsonl"], &model[..], &more].concat());
    let record: Record = serde_json::from_str(&run.stdout).unwrap();
    assert!(!record.marks.is_empty(), "{}", run.stdout);
    let texts = [&record.zh_title, &record.zh_abstract, &record.zh_tldr];
    assert!(!texts.iter().any(|text| text.contains("We count sheep")), "{}", run.stdout);
}

#[test]
fn a_paper_that_is_far_too_long_does_not_end_the_run() {
    let place = Place::new();
    let long = "We count sheep at night and do not stop. ".repeat(2_000);
    let papers =
        [("2699.00001", long.as_str()), ("2699.00002", "We count goats.")].map(|(id, text)| {
            serde_json::json!({"id": id, "title": "T", "abstract": text}).to_string() + "\n"
        });
    place.write("papers.jsonl", &papers.concat());
    tiny::write_model_for(&place.path().join("tiny.gguf"), "gemma3", 1, 400);
    let model = ["--model", "tiny.gguf", "--prompt", "gemma3-270m-zh", "--fields", "one-liner"];
    let run = place.run(&[&["digest", "papers.jsonl", "--no-store"], &model[..]].concat());
    assert!(run.stderr.contains("read 2 = "), "{}", run.stderr);
    assert_eq!(run.stdout.matches("\n| [^").count(), 2, "{}", run.stdout);
}
