//! What is written for users in English and in Chinese is kept in step: the same sections, the same
//! blocks of code, and in each section the same figures, the same names of commands, options and
//! files, the same links and tables of the same length. What stands between them is free, so that
//! either can be written for its readers. And the links of all documents lead somewhere.
//!
//! The rules are functions from texts to complaints, so that a test can show that they find what
//! they are there to find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Documents in both languages, without the ends of their names, `.md` and `.zh.md`.
const IN_BOTH: [&str; 2] = ["README", "docs/manual"];

#[test]
fn both_languages_are_in_step() {
    for name in IN_BOTH {
        let (english, chinese) = (read(&format!("{name}.md")), read(&format!("{name}.zh.md")));
        let sections = Document::parse(&english).sections.len();
        assert!(sections > 5, "only {sections} sections were found in {name}.md");
        let found = out_of_step(&english, &chinese);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn each_begins_with_a_link_to_the_other() {
    for name in IN_BOTH {
        let last = name.rsplit('/').next().unwrap_or_default();
        for (end, other) in [(".md", ".zh.md"), (".zh.md", ".md")] {
            let text = read(&format!("{name}{end}"));
            let top = text.split("\n## ").next().unwrap_or_default();
            assert!(top.contains(&format!("]({last}{other})")), "{name}{end} lacks its other one");
        }
    }
}

#[test]
fn links_of_documents_lead_somewhere() {
    let documents = documents();
    assert!(documents.len() > 10, "{documents:?}");
    for path in documents {
        let text = read(path.to_str().unwrap());
        let found =
            broken_links(&path, &text, |path| std::fs::read_to_string(root().join(path)).ok());
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
    }
}

#[test]
fn broken_links_are_found() {
    let files = |path: &Path| match path.to_str().unwrap() {
        "docs/a.md" => Some("# Stop it, and go on\n".to_owned()),
        "b.md" => Some("```sh\n# 注\n```\n## 使用 NVIDIA 显卡\n".to_owned()),
        _ => None,
    };
    let found = |link: &str| broken_links(Path::new("docs/a.md"), &format!("[x]({link})"), files);
    for good in ["#stop-it-and-go-on", "a.md", "../b.md#使用-nvidia-显卡", "https://example.org/#x"]
    {
        assert_eq!(found(good), Vec::<String>::new());
    }
    for bad in ["#stop-it", "b.md", "../b.md#注", "../b.md#使用-NVIDIA-显卡"] {
        assert_eq!(found(bad), [bad]);
    }
}

/// A rule that finds nothing in anything would pass all of the above.
#[test]
fn the_rule_finds_what_it_is_for() {
    let english = "# Name\n\n[中文](README.zh.md) Two readers.\n\n```sh\nwenzhai digest a.xml\n```\n\n\
        ## How fast\n\n| `--batch N` | 1,066 MiB in `store.sqlite` |\n|---|---|\n\nOf 300 papers 97 % \
        are read in 1.5 s; `/a word/` says [why](DESIGN.md). See `cs.CL.md`, `wenzhai doctor`.\n";
    let chinese = "# 名称\n\n[English](README.md) 两位读者。\n\n```sh\nwenzhai digest a.xml\n```\n\n\
        ## 速度\n\n| `--batch N` | `store.sqlite` 中 1,066 MiB |\n|---|---|\n\n`wenzhai doctor`、`cs.CL.md`：\
        97% 在 1.5 秒内读完，共 300 篇，用时 2 秒；`/一个词/` 说明[原因](DESIGN.md)。\n";
    assert_eq!(out_of_step(english, chinese), Vec::<String>::new());

    let found = |from: &str, to: &str| {
        assert!(chinese.contains(from), "{from}");
        out_of_step(english, &chinese.replace(from, to))
    };
    let section = "`## How fast` and `## 速度`: ";
    let one = |from: &str, to: &str, complaint: &str| {
        assert_eq!(found(from, to), [format!("{section}{complaint}")]);
    };
    one("97% 在", "在", "the number 97% stands 1 times in English, 0 times in Chinese");
    one("1.5 秒", "很快", "the number 1.5 stands 1 times in English, 0 times in Chinese");
    one("2 秒", "300 秒", "the number 300 stands 1 times in English, 2 times in Chinese");
    one("、`cs.CL.md`", "", "the code `cs.CL.md` is in the English one only");
    one("`--batch N`", "每批", "the code `--batch N` is in the English one only");
    one("`/一个词/`", "`--top 3`", "the code `--top 3` is in the Chinese one only");
    one("[原因](DESIGN.md)", "原因", "the link `DESIGN.md` is in the English one only");
    one("|---|---|\n", "", "2 lines of tables in English, 1 in Chinese");
    one("中 1,066", "` 中 1,066", "a span of code is not closed in Chinese");
    assert_eq!(found("1,066", "1,067").len(), 2);
    let other_block = "block of code 1: `wenzhai digest a.xml` in English, `ls` in Chinese";
    assert_eq!(found("wenzhai digest a.xml", "ls"), [other_block]);
    assert_eq!(found("```sh\n", "```\n").len(), 1);
    let one_block_more = "1 blocks of code in English, 2 in Chinese";
    assert_eq!(found("速度\n", "速度\n\n```\nls\n```\n"), [one_block_more]);
    let other_level = "`## How fast` and `### 速度`: headings of different levels";
    assert_eq!(found("## 速度", "### 速度"), [other_level]);
    assert_eq!(found("## 速度", "速度"), ["2 headings in English, 1 in Chinese"]);
    assert_eq!(found("300 篇", "三百篇\n\n## 其他\n\n300 篇").len(), 1);
}

#[test]
fn numbers_are_told_apart_from_what_surrounds_them() {
    let numbers =
        numbers("Qwen2.5 reads 11,558, 12 or 7 papers in 2026. 97 % of 98%、64.0、9 是 SHA-256。");
    assert_eq!(numbers, ["2.5", "11,558", "2026", "97%", "98%", "64.0", "256"]);
}

/// A document's blocks of code, and what stands beside them by sections.
struct Document {
    sections: Vec<Section>,
    /// Each with the line that opens it.
    blocks: Vec<String>,
}

/// What stands under a heading.
#[derive(Default)]
struct Section {
    /// With its number signs; empty for what stands before the first one.
    heading: String,
    text: String,
}

impl Document {
    fn parse(text: &str) -> Document {
        let mut document = Document { sections: vec![Section::default()], blocks: Vec::new() };
        let mut in_block = false;
        for line in text.lines() {
            let fence = line.starts_with("```");
            if fence && !in_block {
                document.blocks.push(String::new());
            }
            if fence || in_block {
                append(document.blocks.last_mut().unwrap(), line);
                in_block ^= fence;
            } else if line.starts_with('#') {
                document.sections.push(Section { heading: line.into(), ..Section::default() });
            } else {
                append(&mut document.sections.last_mut().unwrap().text, line);
            }
        }
        document
    }
}

impl Section {
    fn level(&self) -> usize {
        self.heading.chars().take_while(|character| *character == '#').count()
    }

    /// What GitHub calls the heading in an address: in small letters, without signs, with hyphens for blanks.
    fn anchor(&self) -> String {
        let heading = self.heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    /// Text and spans of code by turns, text first.
    fn pieces(&self) -> Vec<&str> {
        self.text.split('`').collect()
    }

    /// The text without spans of code and the targets of links.
    fn prose(&self) -> String {
        let text: Vec<_> = self.pieces().into_iter().step_by(2).collect();
        let text = text.join(" ");
        let mut parts = text.split("](");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |mut prose, part| {
            prose.push(' ');
            prose.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
            prose
        })
    }

    /// The spans of code that are to be typed or found as they stand. Those of several words, or of
    /// Chinese ones, that are neither a command, an option nor a source describe something, and are
    /// translated.
    fn code(&self) -> Vec<String> {
        let spans = self.pieces().into_iter().skip(1).step_by(2);
        let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
        let begins = |span: &str| ["wenzhai", "-", "arxiv:"].iter().any(|it| span.starts_with(it));
        let of_words = |c: char| c == ' ' || (c.is_alphabetic() && !c.is_ascii());
        spans.filter(|span| begins(span) || !span.contains(of_words)).collect()
    }

    /// The documents that links lead to, in English.
    fn links(&self) -> Vec<String> {
        let documents =
            targets(&self.text).map(|target| target.split('#').next().unwrap_or(target));
        documents.map(|document| document.replace(".zh.md", ".md")).collect()
    }

    fn table_lines(&self) -> usize {
        self.text.lines().filter(|line| line.starts_with('|')).count()
    }
}

/// Where two texts of the same document differ in what both must have.
fn out_of_step(english: &str, chinese: &str) -> Vec<String> {
    let (english, chinese) = (Document::parse(english), Document::parse(chinese));
    let mut found = different_blocks(&english.blocks, &chinese.blocks);
    let (here, there) = (english.sections.len() - 1, chinese.sections.len() - 1);
    if here != there {
        found.push(format!("{here} headings in English, {there} in Chinese"));
        return found;
    }
    for (english, chinese) in english.sections.iter().zip(&chinese.sections) {
        let at = format!("`{}` and `{}`: ", english.heading, chinese.heading);
        let complaints = different_sections(english, chinese);
        found.extend(complaints.into_iter().map(|complaint| at.clone() + &complaint));
    }
    found
}

fn different_blocks(english: &[String], chinese: &[String]) -> Vec<String> {
    if english.len() != chinese.len() {
        let (here, there) = (english.len(), chinese.len());
        return vec![format!("{here} blocks of code in English, {there} in Chinese")];
    }
    let pairs = english.iter().zip(chinese).enumerate();
    pairs
        .filter(|(_, (here, there))| here != there)
        .map(|(at, (here, there))| {
            let differs = |(here, there): &(&str, &str)| here != there;
            let end = "the end";
            let lines = here.lines().chain([end]).zip(there.lines().chain([end]));
            let (here, there) = lines.into_iter().find(differs).unwrap_or_default();
            format!("block of code {}: `{here}` in English, `{there}` in Chinese", at + 1)
        })
        .collect()
}

fn different_sections(english: &Section, chinese: &Section) -> Vec<String> {
    let mut found = Vec::new();
    if english.level() != chinese.level() {
        found.push("headings of different levels".into());
    }
    let (here, there) = (english.table_lines(), chinese.table_lines());
    if here != there {
        found.push(format!("{here} lines of tables in English, {there} in Chinese"));
    }
    for (section, name) in [(english, "English"), (chinese, "Chinese")] {
        if section.pieces().len() % 2 == 0 {
            found.push(format!("a span of code is not closed in {name}"));
            return found;
        }
    }
    let count = counts(numbers(&english.prose()), numbers(&chinese.prose()));
    let differing = count.iter().filter(|(_, [here, there])| here != there);
    found.extend(differing.map(|(number, [here, there])| {
        format!("the number {number} stands {here} times in English, {there} times in Chinese")
    }));
    found.extend(in_one_only("code", english.code(), chinese.code()));
    found.extend(in_one_only("link", english.links(), chinese.links()));
    found
}

/// Complaints of what only one of two lists has, however often.
fn in_one_only(what: &str, english: Vec<String>, chinese: Vec<String>) -> Vec<String> {
    let only = |(item, count): (String, [usize; 2])| match count {
        [_, 0] => Some(format!("the {what} `{item}` is in the English one only")),
        [0, _] => Some(format!("the {what} `{item}` is in the Chinese one only")),
        _ => None,
    };
    counts(english, chinese).into_iter().filter_map(only).collect()
}

/// How often each item is in the one list and in the other.
fn counts(english: Vec<String>, chinese: Vec<String>) -> BTreeMap<String, [usize; 2]> {
    let mut counts = BTreeMap::<String, [usize; 2]>::new();
    for (side, items) in [english, chinese].into_iter().enumerate() {
        for item in items {
            counts.entry(item).or_default()[side] += 1;
        }
    }
    counts
}

/// The numbers that both languages write in figures: those of three digits or more, with a point
/// or a comma, or with a per cent sign, before which a blank may stand. Smaller ones may be words.
fn numbers(text: &str) -> Vec<String> {
    let mut numbers = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let inside = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let end = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let number = number.trim_end_matches(['.', ',']);
        let per_cent = behind.trim_start_matches(' ').starts_with('%');
        if per_cent || number.len() > 2 {
            numbers.push(format!("{number}{}", if per_cent { "%" } else { "" }));
        }
        rest = behind;
    }
    numbers
}

/// Adds a line to a text.
fn append(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Where the links of a text lead.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|part| Some(part.split_once(')')?.0))
}

/// The links of the document at `path`, within the project, to a file or a heading that is not there.
fn broken_links(path: &Path, text: &str, file: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let leads_somewhere = |target: &str| {
        let (name, anchor) = target.split_once('#').unwrap_or((target, ""));
        let to = if name.is_empty() { path.to_owned() } else { beside(path, name) };
        let Some(text) = file(&to) else { return anchor.is_empty() && root().join(&to).exists() };
        let document = Document::parse(&text);
        anchor.is_empty() || document.sections.iter().any(|section| section.anchor() == anchor)
    };
    let prose: String = Document::parse(text).sections.into_iter().map(|it| it.text).collect();
    let inside = targets(&prose).filter(|target| !target.contains("://") && !target.contains(' '));
    inside.filter(|target| !leads_somewhere(target)).map(str::to_owned).collect()
}

/// The path that `name` means in a link of the document at `path`.
fn beside(path: &Path, name: &str) -> PathBuf {
    let mut to = path.parent().unwrap_or(Path::new("")).to_owned();
    for part in name.split('/') {
        match part {
            ".." => _ = to.pop(),
            "." | "" => {}
            part => to.push(part),
        }
    }
    to
}

/// All documents of the project but those of models' licences, from its root.
fn documents() -> Vec<PathBuf> {
    let folders = [
        "",
        "docs",
        "models",
        "models/training",
        "benches",
        "fuzz",
        "examples/daily",
        "examples/archive",
    ];
    let entries = folders.iter().flat_map(|folder| {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        entries.map(move |entry| Path::new(folder).join(entry.unwrap().file_name()))
    });
    entries.filter(|path| path.extension().is_some_and(|it| it == "md")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
