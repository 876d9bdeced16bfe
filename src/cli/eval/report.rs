//! What was measured: as a table for people, and whole as JSON.
//!
//! The keys of the JSON are short and stay, so that scripts can compare figures over time. Texts
//! are a model's and a feed's: in the table, which a terminal may show, they are a line each and
//! can neither move the cursor nor reorder what stands around them.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::wording;
use crate::digest::wording as flaws;
use crate::eval::{Coverage, Figures, PaperChrf, Reference, Written, round};
use crate::summary::{Field, Flaw, Summary};
use crate::text::is_invisible;

/// All figures, and the papers to look at.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) program: &'static str,
    /// Names of the two inputs.
    pub(super) written: String,
    pub(super) references: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
    #[serde(flatten)]
    pub(super) coverage: Coverage,
    /// The furthest from its reference first.
    pub(super) worst: Vec<Paper>,
}

/// A paper beside its reference.
#[derive(Debug, Serialize)]
pub(super) struct Paper {
    id: String,
    title: String,
    /// The mean of the three that follow.
    chrf: f64,
    chrf_title: f64,
    chrf_tldr: f64,
    chrf_abstract: f64,
    reference: Texts,
    /// Absent: there is no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Texts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    retries: u32,
    cut: bool,
    marks: Vec<Flaw>,
}

#[derive(Debug, Serialize)]
struct Texts {
    zh_title: String,
    zh_tldr: String,
    zh_abstract: String,
}

impl Report {
    pub(super) fn table(&self) -> String {
        let Coverage { matched, missing, failed, retried, flagged, cut, .. } = self.coverage;
        let [papers, matched, missing, failed, retried, flagged, cut] =
            [self.figures.papers, matched, missing, failed, retried, flagged, cut]
                .map(wording::count);
        let mut lines = vec![
            format!(
                "{}, {} against {}",
                self.program,
                printable(&self.written),
                printable(&self.references)
            ),
            format!("{papers} papers: {matched} with a record, {missing} without"),
            format!(
                "of those with a record: {failed} failed, {retried} retried, {flagged} flagged, {cut} cut"
            ),
            String::new(),
        ];
        lines.extend(self.figure_lines());
        if !self.worst.is_empty() {
            lines.push(String::new());
            lines.push("furthest from their references, by the mean of their three chrF:".into());
        }
        for (paper, place) in self.worst.iter().zip(1..) {
            lines.push(String::new());
            lines.extend(paper.lines(place));
        }
        lines.join("\n") + "\n"
    }

    fn figure_lines(&self) -> Vec<String> {
        let f = &self.figures;
        let chrf = [
            ("chrF title", f.chrf_title, "n-grams of characters shared with the reference"),
            ("chrF one-liner", f.chrf_tldr, "the same of the one-line summary"),
            ("chrF paragraph", f.chrf_abstract, "the same of the paragraph"),
        ];
        let shares = [
            ("complete", f.complete, "all three texts are there"),
            (
                "chinese",
                f.chinese,
                "at least half of the letters of one-liner and paragraph are Chinese",
            ),
            ("one_line", f.one_line, "the one-liner has 10 to 160 characters on one line"),
            ("clean", f.clean, "nothing is looped; no labels, no boilerplate"),
            ("length", f.length, "the paragraph has 18 to 55 per cent of the abstract's length"),
            (
                "no_english",
                f.no_english,
                "the paragraph has no English word that Chinese has words for",
            ),
            ("numbers", f.numbers, "of the abstract's numbers, those in the paragraph"),
            ("names", f.names, "of its acronyms and CamelCase names, those in the paragraph"),
        ];
        let line = |(name, figure, what): (&str, f64, &str), decimals: usize| {
            format!("{name:14}  {figure:>6.decimals$}  {what}")
        };
        let chrf = chrf.into_iter().map(|row| line(row, 2));
        chrf.chain(shares.into_iter().map(|row| line(row, 4))).collect()
    }
}

impl Paper {
    pub(super) fn new(chrf: PaperChrf, reference: &Reference, ours: Option<&Written>) -> Self {
        let [chrf_title, chrf_tldr, chrf_abstract] = chrf.fields.map(|score| round(score, 2));
        let version = reference.version.map(|version| format!("v{version}"));
        Paper {
            id: format!("{}{}", reference.id, version.unwrap_or_default()),
            title: reference.title.clone(),
            chrf: round(chrf.average(), 2),
            chrf_title,
            chrf_tldr,
            chrf_abstract,
            reference: Texts::of(&reference.summary),
            ours: ours.map(|ours| Texts::of(&ours.summary)),
            error: ours.and_then(|ours| ours.error.clone()),
            retries: ours.map_or(0, |ours| ours.retries),
            cut: ours.is_some_and(|ours| ours.cut),
            marks: ours.map(|ours| ours.marks.clone()).unwrap_or_default(),
        }
    }

    fn lines(&self, place: usize) -> Vec<String> {
        let Paper { id, chrf, chrf_title, chrf_tldr, chrf_abstract, .. } = self;
        let mut lines = vec![
            format!(
                "{place}. {}  chrF {chrf:.2}: title {chrf_title:.2}, one-liner {chrf_tldr:.2}, \
                 paragraph {chrf_abstract:.2}",
                printable(id)
            ),
            format!("   {}", printable(&self.title)),
        ];
        lines.extend(self.history().map(|history| format!("   {}", printable(&history))));
        for (field, name) in Field::ALL.into_iter().zip(["title", "one-liner", "paragraph"]) {
            let reference = self.reference.field(field);
            let ours = self.ours.as_ref().map_or("", |ours| ours.field(field));
            lines.push(format!("   {name:9}  reference  {}", printable(reference)));
            lines.push(format!("              ours       {}", printable(ours)));
        }
        lines
    }

    /// What the summary went through, if it is anything to tell.
    fn history(&self) -> Option<String> {
        let mut history = String::new();
        let mut add = |text: &str| {
            let separator = if history.is_empty() { "" } else { "; " };
            let _ = write!(history, "{separator}{text}");
        };
        if self.ours.is_none() {
            add("no record");
        }
        self.error.iter().for_each(|error| add(&format!("failed: {error}")));
        if self.retries > 0 {
            add(&format!("retried: {}", self.retries));
        }
        if self.cut {
            add("the abstract was cut");
        }
        self.marks.iter().for_each(|flaw| add(&format!("flagged: {}", flaws::english(flaw))));
        (!history.is_empty()).then_some(history)
    }
}

impl Texts {
    fn of(summary: &Summary) -> Self {
        let Summary { zh_title, zh_tldr, zh_abstract } = summary.clone();
        Texts { zh_title, zh_tldr, zh_abstract }
    }

    fn field(&self, field: Field) -> &str {
        match field {
            Field::Title => &self.zh_title,
            Field::Tldr => &self.zh_tldr,
            Field::Paragraph => &self.zh_abstract,
        }
    }
}

/// `text` on one line; what is no text is shown as such.
fn printable(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let shown = |character: char| match character {
        '\n' => '⏎',
        _ if character.is_control() || is_invisible(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    };
    text.chars().map(shown).collect()
}
