//! A Chinese summary of one paper, and every check that it must pass before it counts as clean.
//!
//! Small models fail in a few known ways: they fall into loops, answer in English or leave words of it,
//! repeat the prompt's labels or its example, run into their bound, or make up numbers. [`check`] finds these from the
//! text alone, without a second model: it is cheap, it is the same on every machine, and each
//! finding can be told to the reader. What it cannot see is whether a sentence is *true*; numbers,
//! magnitudes and words that always have their English in the source are what can be compared.
//!
//! The thresholds were set on 300 papers with reference summaries (a public digest's): each
//! check flags less than 2 % of those references, whose abstracts are cut, and words without a source
//! less than 4 %. A test holds this where the data is at hand.

mod boilerplate;
mod copied;
mod fields;
mod flaw;
mod magnitudes;
mod notice;
mod numbers;

use crate::text::numbers::without_chinese_scales;
use crate::text::{Unsourced, ends_in_a_number, ends_sentence, english, loops, tidy};

pub use fields::Fields;
pub use flaw::{Field, Flaw, FlawKind, Severity};
pub(crate) use magnitudes::Magnitudes;
pub use notice::{Notice, notice};

/// Fewest and most characters of a one-line summary.
pub const TLDR_CHARS: std::ops::RangeInclusive<usize> = 10..=160;
/// Length of the paragraph in per cent of the abstract's, in characters. References lie at 20
/// to 45; below 12 most of the content is gone, above 70 the model embroiders or copies.
pub const PARAGRAPH_PERCENT: std::ops::RangeInclusive<usize> = 12..=70;
/// Abstracts up to this many characters may have paragraphs of any length.
const SHORT_ABSTRACT_CHARS: usize = 200;

/// What the model wrote about a paper.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Chinese title.
    pub zh_title: String,
    /// Chinese one-line summary.
    pub zh_tldr: String,
    /// Chinese paragraph.
    pub zh_abstract: String,
}

/// What the model read and was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// English title, without suffix.
    pub title: &'a str,
    /// English abstract as far as the model read it, without boilerplate.
    pub abstract_text: &'a str,
    /// How its terms are to be translated, which may be written as well: a translation a line.
    pub translations: &'a str,
    /// What the prompt says by itself, such as a worked example, which may not be written.
    pub prompt: &'a str,
    /// The fields that were asked for.
    pub fields: Fields,
}

impl Summary {
    /// Whether none of its texts is empty.
    pub fn is_whole(&self) -> bool {
        self.has(Fields::ALL)
    }

    /// Whether none of `fields` is empty.
    pub fn has(&self, fields: Fields) -> bool {
        fields.iter().all(|field| !self.field(field).trim().is_empty())
    }

    /// The text of one field.
    pub fn field(&self, field: Field) -> &str {
        match field {
            Field::Title => &self.zh_title,
            Field::Tldr => &self.zh_tldr,
            Field::Paragraph => &self.zh_abstract,
        }
    }

    /// The text of one field, to be changed.
    pub fn field_mut(&mut self, field: Field) -> &mut String {
        match field {
            Field::Title => &mut self.zh_title,
            Field::Tldr => &mut self.zh_tldr,
            Field::Paragraph => &mut self.zh_abstract,
        }
    }

    /// The same summary with every field through [`tidy`].
    #[must_use]
    pub fn tidied(&self) -> Self {
        Summary {
            zh_title: tidy(&self.zh_title),
            zh_tldr: tidy(&self.zh_tldr),
            zh_abstract: tidy(&self.zh_abstract),
        }
    }
}

/// Everything that is wrong with `summary`; empty means clean.
///
/// `bounded` names the fields at which the model did not stop by itself but ran into its bound
/// of tokens: these must end with a sentence, others need not (the references that the default
/// model learned from end in the middle where their source did).
///
/// Each flaw names its field, and is found in the text of that field alone, beside the source.
pub fn check(source: &Source, summary: &Summary, bounded: &[Field]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let sources = [source.title, source.abstract_text, source.translations];
    let unsourced = Unsourced::of(&sources);
    for field in source.fields.iter() {
        let text = summary.field(field);
        if text.trim().is_empty() {
            flaws.push(Flaw::plain(FlawKind::Missing, field));
            continue;
        }
        check_form(field, text, &sources, &mut flaws);
        if let Some(text) = copied::find_copied(text, source.prompt, &sources) {
            flaws.push(Flaw::new(FlawKind::Copied, field, [text]));
        }
        let words = english::left_in(text, source.translations);
        if !words.is_empty() && boilerplate::is_chinese(text, field) {
            flaws.push(Flaw::new(FlawKind::English, field, words));
        }
        let words = unsourced.words_in(text);
        if !words.is_empty() {
            flaws.push(Flaw::new(FlawKind::Unsourced, field, words));
        }
        let breaks_off =
            bounded.contains(&field) && (field == Field::Title || !ends_sentence(text));
        if breaks_off || ends_in_a_number(text) {
            flaws.push(Flaw::plain(FlawKind::Unfinished, field));
        }
    }
    check_length(source, summary, &mut flaws);
    check_numbers(source, summary, &mut flaws);
    flaws
}

/// Chinese, one line, without loops and labels, but for what the paper says itself.
fn check_form(field: Field, text: &str, sources: &[&str], flaws: &mut Vec<Flaw>) {
    if !boilerplate::is_chinese(text, field) {
        flaws.push(Flaw::plain(FlawKind::NotChinese, field));
    }
    if text.contains(['\n', '\r']) {
        flaws.push(Flaw::plain(FlawKind::LineBreak, field));
    }
    if let Some(unit) = loops::find_loop(text, sources) {
        flaws.push(Flaw::new(FlawKind::Loop, field, [unit]));
    }
    if let Some(label) = boilerplate::find_boilerplate(text, sources) {
        flaws.push(Flaw::new(FlawKind::Boilerplate, field, [label]));
    }
}

fn check_length(source: &Source, summary: &Summary, flaws: &mut Vec<Flaw>) {
    let tldr_chars = summary.zh_tldr.trim().chars().count();
    if tldr_chars > 0 && !TLDR_CHARS.contains(&tldr_chars) {
        flaws.push(Flaw::new(FlawKind::Length, Field::Tldr, [tldr_chars.to_string()]));
    }
    let abstract_chars = source.abstract_text.chars().count();
    let paragraph_chars = summary.zh_abstract.trim().chars().count();
    if abstract_chars > SHORT_ABSTRACT_CHARS && paragraph_chars > 0 {
        let percent = paragraph_chars * 100 / abstract_chars;
        if !PARAGRAPH_PERCENT.contains(&percent) {
            flaws.push(Flaw::new(FlawKind::Length, Field::Paragraph, [percent.to_string()]));
        }
    }
}

fn check_numbers(source: &Source, summary: &Summary, flaws: &mut Vec<Flaw>) {
    let translations = without_chinese_scales(source.translations);
    let texts = [source.title, source.abstract_text, &translations];
    let known = numbers::SourceNumbers::of(&texts);
    let magnitudes = Magnitudes::beside(&texts, &known);
    for field in Field::ALL {
        let text = summary.field(field);
        let mut invented = known.invented_in(text);
        invented.extend(magnitudes.invented_in(text));
        if !invented.is_empty() {
            flaws.push(Flaw::new(FlawKind::InventedNumbers, field, invented));
        }
    }
    let (lost, stated) = numbers::lost(source.abstract_text, &summary.zh_abstract);
    let are_many = lost.len() >= 2 && 4 * lost.len() >= stated;
    if !summary.zh_abstract.trim().is_empty() && are_many {
        flaws.push(Flaw::new(FlawKind::LostNumbers, Field::Paragraph, lost));
    }
}
