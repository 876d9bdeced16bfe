//! The program itself, run as a user runs it, as far as that goes without weights.
//!
//! Papers that bring their summaries along need no model, so that digests can be written here.

#[cfg(unix)]
mod signals;

use std::fs::File;
use std::io::{Read, Write};

use flate2::{Compression, write::GzEncoder};
use insta::assert_snapshot;

use crate::support::place::Place;
use crate::support::tiny;

fn summed_up(number: u32) -> String {
    format!(
        "{{\"id\":\"2401.{number:05}\",\"link\":\"http://arxiv.org/abs/2401.{number:05}\",\
         \"title\":\"Counting sheep {number}\",\"abstract\":\"We count sheep.\",\
         \"zh_title\":\"数羊{number}\",\"zh_tldr\":\"我们数羊。\",\"zh_abstract\":\"我们在牧场上数羊。\"}}\n"
    )
}

const EMPTY_FEED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:arxiv="http://arxiv.org/schemas/atom" version="2.0"><channel>
<title>cs.CL updates on arXiv.org</title><link>http://rss.arxiv.org/rss/cs.CL</link>
<description>cs.CL updates</description></channel></rss>
"#;

/// The program fails with `message` and leaves standard output alone.
fn check_error(args: &[&str], message: &str) {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1));
    place.write("letter.txt", "Dear editor,\n");
    let finished = place.run(args);
    assert_eq!(finished.stderr, message, "{args:?}");
    assert_eq!((finished.status, finished.stdout.as_str()), (1, ""), "{args:?}");
}

#[test]
fn help_reads_well() {
    for (name, args) in [
        ("help", &["--help"][..]),
        ("help-digest", &["digest", "--help"]),
        ("help-render", &["render", "--help"]),
        ("help-site", &["site", "--help"]),
        ("help-bench", &["bench", "--help"]),
        ("help-eval", &["eval", "--help"]),
        ("help-models", &["models", "--help"]),
        ("help-models-list", &["models", "list", "--help"]),
        ("help-models-show", &["models", "show", "--help"]),
        ("help-models-fetch", &["models", "fetch", "--help"]),
        ("help-models-export", &["models", "export", "--help"]),
        ("help-models-shortlist", &["models", "shortlist", "--help"]),
    ] {
        let finished = Place::new().run(args);
        assert_eq!((finished.status, finished.stderr.as_str()), (0, ""), "{args:?}");
        assert_snapshot!(name, finished.stdout);
    }
}

#[test]
fn wrong_usage_ends_with_status_1_and_version_with_0() {
    for args in [&[][..], &["digest"], &["digest", "x", "--format", "pdf"], &["dance"]] {
        let finished = Place::new().run(args);
        assert_eq!((finished.status, finished.stdout.as_str()), (1, ""), "{args:?}");
        assert!(!finished.stderr.is_empty());
    }
    let finished = Place::new().run(&["--version"]);
    assert_eq!(finished.status, 0);
    assert_eq!(finished.stdout, concat!("wenzhai ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn errors_name_the_thing_and_what_can_be_done() {
    check_error(
        &["digest", "papers.jsonl", "--model", "gpt"],
        "error: there is no model `gpt`\n  hint: known models: `default`, `small`, \
         `qwen2.5-coder-1.5b-zh`, `gemma3-270m-zh`, `qwen2.5-coder-1.5b`, `qwen2.5-coder-0.5b`, \
         `gemma3-270m`, `qwen2.5-0.5b`, `qwen2.5-1.5b`, `qwen2.5-3b`, `qwen3-0.6b`, `qwen3-1.7b`, `qwen3-4b`, \
         `gemma3-1b`, `gemma3-4b`, `smollm2-135m`; or a path to a .gguf file, or \
         hf:OWNER/NAME:FILE\n",
    );
    check_error(
        &["digest", "papers.jsonl", "--model", "smollm2-135m"],
        "error: the model smollm2-135m is not made for digests\n  \
         hint: use default, or give a prompt of your own with --prompt\n",
    );
    check_error(
        &["digest", "nothing.xml"],
        "error: cannot read nothing.xml\n  because: No such file or directory\n",
    );
    check_error(
        &["digest", "papers.jsonl", "--adapter", "a.safetensors"],
        "error: there is no adapter a.safetensors\n  \
         hint: an adapter is a safetensors file; `none` leaves out the model's own\n",
    );
    check_error(
        &["digest", "papers.jsonl", "--glossary", "terms.tsv"],
        "error: cannot read the glossary terms.tsv\n  because: No such file or directory\n  \
         hint: a glossary has a term, a tab and its translation a line; `none` is none\n",
    );
    check_error(&["digest", "-", "-"], "error: standard input (-) is named more than once\n");
    check_error(
        &["digest", "papers.jsonl", "--device", "tpu"],
        "error: unknown device \"tpu\"\n  hint: devices are cpu, cuda, cuda:N, cuda:0,1 and metal\n",
    );
    check_error(
        &["digest", "papers.jsonl", "--limit", "0"],
        "error: no paper is left of 1\n  hint: 1 over the limit\n",
    );
    let wrong = Place::new();
    wrong.write("letter.txt", "Dear editor,\n");
    let finished = wrong.run(&["digest", "letter.txt"]);
    assert_eq!(finished.status, 1);
    let start = "error: letter.txt is of no known form; it begins with \"Dear editor,";
    assert!(finished.stderr.starts_with(start), "{}", finished.stderr);
}

#[test]
fn papers_that_bring_summaries_along_are_a_digest_without_a_model() {
    let place = Place::new();
    place.write("papers.jsonl", &(summed_up(1) + &summed_up(2) + &summed_up(1)));
    let finished = place.run(&["digest", "papers.jsonl", "-o", "digest.md"]);
    assert_eq!((finished.status, finished.stdout.as_str()), (0, ""));
    let account = "read 3 = summarised 0 + reused 2 + skipped 1 + failed 0\n";
    assert_eq!(finished.stderr, account);
    let digest = place.read("digest.md");
    assert!(digest.starts_with("# 摘要\n\n| Ref | Title | Summary |\n"), "{digest}");
    assert!(place.has("data/wenzhai/store.sqlite") && !place.has("cache"));

    let to_stdout = place.run(&["digest", "papers.jsonl", "--quiet", "--no-store"]);
    assert_eq!((to_stdout.stdout, to_stdout.stderr), (digest, String::new()));
}

/// A prompt within the context of a tiny model.
const SHORT_PROMPT: &str = r#"
abstract_tokens = 40
template = "{{ title }}: {{ abstract }} "
[[field]]
name = "title"
label = ""
max_tokens = 6
[[field]]
name = "paragraph"
label = " a "
max_tokens = 12
[[field]]
name = "one-liner"
label = " b "
max_tokens = 8
"#;

fn bare(number: u32) -> String {
    summed_up(number).split(",\"zh_title\"").next().unwrap().to_owned() + "}\n"
}

#[test]
fn a_model_that_writes_nonsense_is_marked_as_such_and_not_asked_again() {
    let place = Place::new();
    tiny::write_model(&place.path().join("tiny.gguf"), "gemma3", 1);
    place.write("prompt.toml", SHORT_PROMPT);
    place.write("papers.jsonl", &(bare(1) + &bare(2) + &bare(3)));
    let digest = |more: &[&str]| {
        let model = ["digest", "papers.jsonl", "--model", "tiny.gguf", "--prompt", "prompt.toml"];
        place.run(&[&model, more].concat())
    };
    let first = digest(&["--format", "jsonl"]);
    let start = "read 3 = summarised 3 + reused 0 + skipped 0 + failed 0; 3 retried, 3 flagged; ";
    let account = first.stderr.lines().last().unwrap_or_default();
    assert!(account.starts_with(start), "{}", first.stderr);
    assert_eq!(first.status, 0);
    for record in first.stdout.lines() {
        assert!(record.contains("\"model\":\"tiny\"") && record.contains("\"retries\":2"));
        assert!(record.contains(r#""kind":"not-chinese""#), "{record}");
    }
    let again = digest(&["--format", "jsonl"]);
    assert_eq!(again.stderr, "read 3 = summarised 0 + reused 3 + skipped 0 + failed 0\n");
    assert_eq!(again.stdout, first.stdout);
    for batch in ["1", "2"] {
        let alone = digest(&["--format", "jsonl", "--no-store", "--batch", batch]);
        assert_eq!(alone.stdout, first.stdout, "a batch of {batch}");
    }
    assert!(digest(&[]).stdout.contains('⚠'));
}

#[test]
fn a_model_that_knows_chats_is_asked_in_one_unless_told_otherwise() {
    let place = Place::new();
    tiny::write_model(&place.path().join("base.gguf"), "qwen3", 1);
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    tiny::write_chat_model(&place.path().join("chat.gguf"), "qwen3", 1, template);
    place.write("mine.toml", SHORT_PROMPT);
    place.write("papers.jsonl", &summed_up(1));
    let prompt = |model: &str, args: &[&str]| {
        let all = ["digest", "papers.jsonl", "--no-store", "-v", "--model", model];
        let said = place.run(&[&all[..], args].concat()).stderr;
        said.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(prompt("base.gguf", &[]), "model: base, prompt: plain");
    assert_eq!(prompt("chat.gguf", &[]), "model: chat, prompt: chat");
    assert_eq!(prompt("chat.gguf", &["--prompt", "plain"]), "model: chat, prompt: plain");
    assert_eq!(prompt("chat.gguf", &["--prompt", "mine.toml"]), "model: chat, prompt: mine.toml");

    place.write("bare.jsonl", &bare(2));
    let message = "[[message]]\nrole = 'user'\ncontent = '{{ title }}: {{ abstract }}'";
    let short_chat = SHORT_PROMPT.replace("template = \"{{ title }}: {{ abstract }} \"", message);
    place.write("mine.toml", &short_chat);
    let args =
        ["digest", "bare.jsonl", "--no-store", "--model", "chat.gguf", "--prompt", "mine.toml"];
    let written = place.run(&args);
    let account = written.stderr.lines().last().unwrap_or_default();
    assert!(account.starts_with("read 1 = summarised 1 "), "{}", written.stderr);
    assert_eq!(written.status, 0);

    let args = ["digest", "bare.jsonl", "--no-store", "--model", "base.gguf", "--prompt", "chat"];
    assert_eq!(
        place.run(&args).stderr,
        "error: prompt chat: the model has no chat template\n  \
         hint: use --prompt plain, or a prompt of your own with a `template`\n"
    );
    let missing = place.run(&["digest", "bare.jsonl", "--prompt", "chatty"]).stderr;
    assert!(missing.starts_with("error: cannot read the prompt chatty\n"), "{missing}");
    let hint = "\n  hint: a prompt is a file, or one of qwen2.5-coder-1.5b-zh, gemma3-270m-zh, chat, \
                plain\n";
    assert!(missing.ends_with(hint), "{missing}");
}

#[test]
fn an_exported_model_writes_what_the_original_does() {
    let place = Place::new();
    tiny::write_model(&place.path().join("tiny.gguf"), "llama", 2);
    place.write("prompt.toml", SHORT_PROMPT);
    place.write("papers.jsonl", &(bare(1) + &bare(2)));
    let exported = place.run(&["models", "export", "tiny.gguf", "-o", "copy.gguf"]);
    assert_eq!((exported.status, exported.stderr.as_str()), (0, "copy.gguf is written\n"));
    let digest = |model: &str| {
        let args = ["digest", "papers.jsonl", "--no-store", "--prompt", "prompt.toml", "--model"];
        place.run(&[&args[..], &[model]].concat()).stdout
    };
    assert!(digest("tiny.gguf").contains("Counting sheep 2"));
    assert_eq!(digest("copy.gguf"), digest("tiny.gguf"));
}

#[test]
fn an_empty_feed_leaves_the_digest_of_yesterday_alone() {
    let place = Place::new();
    place.write("weekend.xml", EMPTY_FEED);
    place.write("digest.md", "yesterday");
    let finished = place.run(&["digest", "weekend.xml", "-o", "digest.md"]);
    assert_eq!(finished.status, 0, "{}", finished.stderr);
    assert_eq!(finished.stderr, "no paper was announced, as on weekends; nothing was written\n");
    assert_eq!(place.read("digest.md"), "yesterday");
    assert_eq!(place.run_with(&["digest", "-"], EMPTY_FEED).stdout, "");
}

#[test]
fn a_bad_input_among_good_ones_is_told_and_shows_in_the_status() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1));
    place.write("letter.txt", "Dear editor,\n");
    let finished = place.run(&["digest", "letter.txt", "papers.jsonl", "-o", "digest.md"]);
    assert_eq!(finished.status, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("error: letter.txt is of no known form"));
    assert!(place.read("digest.md").contains("Counting sheep 1"));
}

#[test]
fn bad_items_are_told_with_their_places_and_counted_after_twenty() {
    let place = Place::new();
    place.write("papers.jsonl", &(summed_up(1) + &"{\"title\": \"No abstract\"}\n".repeat(25)));
    let told = |args: &[&str]| {
        let finished = place.run(args);
        assert_eq!(finished.status, 2, "{}", finished.stderr);
        finished.stderr
    };
    let normal = told(&["digest", "papers.jsonl"]);
    assert_eq!(normal.matches("warning: papers.jsonl, line ").count(), 20, "{normal}");
    assert!(normal.contains("warning: papers.jsonl, line 2: "), "{normal}");
    assert!(normal.contains("\nand 5 more of the kind\n"), "{normal}");
    assert!(normal.contains("\nread 26 = summarised 0 + reused 1 + skipped 25 + failed 0\n"));
    let verbose = told(&["digest", "papers.jsonl", "-v"]);
    assert_eq!(verbose.matches("warning: papers.jsonl, line ").count(), 25, "{verbose}");
    assert!(verbose.contains("\nskipped: 25 could not be read\n"), "{verbose}");
    let quiet = told(&["digest", "papers.jsonl", "-q"]);
    assert!(quiet.contains(": 25; first papers.jsonl, line 2: ") && quiet.lines().count() == 1);
}

#[test]
fn a_dry_run_lists_what_would_be_read() {
    let place = Place::new();
    let papers = summed_up(1) + &summed_up(2) + &summed_up(3);
    let finished = place.run_with(&["digest", "-", "--dry-run", "--limit", "2"], &papers);
    let account = "read 2 = listed 2 + skipped 0; what follows the limit was not read\n";
    assert_eq!((finished.status, finished.stderr.as_str()), (0, account));
    assert_snapshot!(finished.stdout, @r#"
    {"id":"2401.00002","link":"http://arxiv.org/abs/2401.00002","title":"Counting sheep 2","abstract":"We count sheep."}
    {"id":"2401.00001","link":"http://arxiv.org/abs/2401.00001","title":"Counting sheep 1","abstract":"We count sheep."}
    "#);
    assert!(!place.has("data") && !place.has("cache"), "nothing is opened or fetched");
}

#[test]
fn records_go_out_and_come_back_in() {
    let place = Place::new();
    place.write("papers.jsonl", &(summed_up(1) + &summed_up(2)));
    let records = place.run(&["digest", "papers.jsonl", "--format", "jsonl", "-q"]).stdout;
    assert_eq!(records.lines().count(), 2);
    assert!(records.lines().next().unwrap().contains("2401.00002"), "digest order: {records}");
    let digest = place.run(&["digest", "papers.jsonl", "-q"]).stdout;
    assert_eq!(place.run_with(&["render", "-"], &records).stdout, digest);
    place.write("records.jsonl", &records);
    let finished = place.run(&["render", "records.jsonl", "-o", "rendered.md"]);
    assert_eq!((finished.status, finished.stdout + &finished.stderr), (0, String::new()));
    assert_eq!(place.read("rendered.md"), digest);
}

#[test]
fn records_may_be_packed() {
    let place = Place::new();
    let records = summed_up(1) + &summed_up(2);
    place.write("plain.jsonl", &records);
    let packed = File::create(place.path().join("packed.jsonl.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, Compression::fast());
    packed.write_all(records.as_bytes()).unwrap();
    packed.finish().unwrap();
    let plain = place.run(&["render", "plain.jsonl"]);
    assert_eq!((plain.status, plain.stdout.matches("\n[^").count()), (0, 2), "{}", plain.stdout);
    assert_eq!(place.run(&["render", "packed.jsonl.gz"]).stdout, plain.stdout);
}

#[test]
fn of_a_paper_that_comes_again_render_takes_the_last_record() {
    let place = Place::new();
    let records = summed_up(1) + &summed_up(2) + &summed_up(1).replace("数羊1", "再数羊");
    let finished = place.run_with(&["render", "-", "--format", "html"], &records);
    assert_eq!((finished.stdout.matches("<article ").count(), finished.status), (2, 0));
    assert!(finished.stdout.contains("再数羊") && !finished.stdout.contains("数羊1"));
    assert_eq!(
        finished.stderr,
        "records left out, since their papers come again: 1; the newest with a summary counts\n"
    );
}

#[test]
fn render_leaves_bad_lines_out_and_nothing_unwritten_over() {
    let place = Place::new();
    let finished = place.run_with(&["render", "-"], &("{}\n".to_owned() + &summed_up(1)));
    assert_eq!(finished.status, 2);
    assert!(finished.stderr.starts_with("warning: standard input, line 1: not a record: "));
    assert!(finished.stdout.contains("Counting sheep 1"));

    place.write("digest.md", "yesterday");
    let bad = place.run_with(&["render", "-", "-o", "digest.md"], "{}\n");
    assert_eq!(bad.status, 1);
    assert!(bad.stderr.contains("error: none of the 1 lines is a record"), "{}", bad.stderr);
    let empty = place.run_with(&["render", "-", "-o", "digest.md"], "");
    assert_eq!(
        (empty.status, empty.stderr.as_str()),
        (0, "there are no records; nothing was written\n")
    );
    assert_eq!(place.read("digest.md"), "yesterday");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_may_be_a_descriptor() {
    let place = Place::new();
    place.write("papers.jsonl", &summed_up(1));
    let run = place.run(&["render", "papers.jsonl", "-o", "/dev/stdout"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.starts_with("# 摘要"), "{}", run.stdout);
    // Where it leads to a file that others write, too, nothing of theirs is lost.
    for name in ["/dev/stdout", "/dev/fd/1", "-"] {
        place.write("log.md", "precious\n");
        let log = std::fs::File::options().append(true).open(place.path().join("log.md")).unwrap();
        let mut command = place.command(&["render", "papers.jsonl", "-o", name]);
        assert!(command.stdout(log).status().unwrap().success());
        let written = place.read("log.md");
        assert!(written.starts_with("precious\n# 摘要"), "{name}: {written}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    // More than a pipe holds, so that the program is still writing when the reader goes.
    let papers: String = (1..5_000).map(summed_up).collect();
    place.write("papers.jsonl", &papers);
    let mut child = place.command(&["render", "papers.jsonl"]).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_prompt_that_cannot_work_is_told_before_anything_is_read() {
    let place = Place::new();
    place.write("prompt.toml", "template = 'Write!'\nabstract_tokens = 10\nfield = []\n");
    let finished = place.run(&["digest", "nothing.xml", "--prompt", "prompt.toml"]);
    assert_eq!(finished.status, 1);
    let start = "error: prompt prompt.toml: the field title is there 0 times instead of once\n";
    assert!(finished.stderr.starts_with(start), "{}", finished.stderr);
}

#[test]
fn models_are_listed_and_shown_without_network() {
    let place = Place::new();
    let list = place.run(&["models", "list"]);
    assert_eq!((list.status, list.stderr.as_str()), (0, ""));
    assert_snapshot!(list.stdout, @r"
    qwen2.5-coder-1.5b-zh = default  1,066 MiB  to fetch  Chinese title, paragraph and one-liner of an abstract
                                     3,576 MiB of memory; 142 papers/h on two Zen 3 cores; 29 wrong claims in 30 papers
    gemma3-270m-zh = small             241 MiB  to fetch  the same in a sixteenth to a tenth of the time, and worse: to choose papers by
                                     1,240 MiB of memory; 2,257 papers/h on two Zen 3 cores; some three times the wrong claims of default
    qwen2.5-coder-1.5b               1,066 MiB  to fetch  the default model without its adapter; a general prompt
    qwen2.5-coder-0.5b                 469 MiB  to fetch  Qwen2.5-Coder 0.5B Instruct, Q4_K_M; a general prompt
    gemma3-270m                        241 MiB  to fetch  Base model without adapter; continues text, follows no instructions
    qwen2.5-0.5b                       469 MiB  to fetch  Qwen2.5 0.5B Instruct, Q4_K_M; a general prompt
    qwen2.5-1.5b                     1,066 MiB  to fetch  Qwen2.5 1.5B Instruct, Q4_K_M; a general prompt
    qwen2.5-3b                       2,007 MiB  to fetch  Qwen2.5 3B Instruct, Q4_K_M; a general prompt; no commercial use
    qwen3-0.6b                         610 MiB  to fetch  Qwen3 0.6B without thinking, Q8_0; a general prompt
    qwen3-1.7b                       1,749 MiB  to fetch  Qwen3 1.7B without thinking, Q8_0; a general prompt
    qwen3-4b                         2,382 MiB  to fetch  Qwen3 4B without thinking, Q4_K_M; a general prompt
    gemma3-1b                          769 MiB  to fetch  Gemma 3 1B instruction-tuned, Q4_K_M; a general prompt
    gemma3-4b                        2,374 MiB  to fetch  Gemma 3 4B instruction-tuned, Q4_K_M; a general prompt
    smollm2-135m                        94 MiB  to fetch  SmolLM2 135M Instruct; English only, not fit for digests
    ");
    let show = place.run(&["models", "show", "gemma3-270m-zh"]);
    assert_eq!(show.status, 0);
    assert!(show.stdout.contains("licence       Gemma Terms of Use\n"), "{}", show.stdout);
    assert!(show.stdout.contains("Gemma is provided under and subject to the Gemma Terms of Use"));
    let home = place.path().join("cache").display().to_string();
    let pinned = place.run(&["models", "show", "qwen2.5-3b"]).stdout.replace(&home, "HOME");
    assert_snapshot!(pinned, @r"
    qwen2.5-3b: Qwen2.5 3B Instruct, Q4_K_M; a general prompt; no commercial use

    parameters    3.09B
    architecture  qwen2
    context       32,768 tokens
    prompt        chat
    adapter       none
    file          qwen2.5-3b-instruct-q4_k_m.gguf, 2,007 MiB
    sha256        626b4a6678b86442240e33df819e00132d3ba7dddfe1cdc4fbb18e0a9615c62d
    measured      nothing yet
    from          hf:Qwen/Qwen2.5-3B-Instruct-GGUF:qwen2.5-3b-instruct-q4_k_m.gguf@7dabda4d13d513e3e842b20f0d435c732f172cbe
    here          not yet; `wenzhai models fetch qwen2.5-3b` brings it to HOME/models/626b4a6678b86442/qwen2.5-3b-instruct-q4_k_m.gguf
    licence       Qwen Research License (no commercial use)
    ");
    let unknown = place.run(&["models", "fetch", "gemma3-270m-zh", "gemma"]);
    assert_eq!(unknown.status, 1);
    assert!(unknown.stderr.contains("error: there is no model `gemma`\n  hint: did you mean"));
    assert!(!place.has("cache"), "nothing was fetched for the name that is right");
}
