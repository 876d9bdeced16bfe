//! A record as templates see it: texts of one line each, not escaped, and the decisions made.

use minijinja::{Value, context};

use super::entry::{self, State};
use super::line::{is_blank, one_line, web_address};
use super::order::announced;
use super::overview::categories;
use super::wording;
use crate::hash;
use crate::paper::PaperId;
use crate::record::Record;
use crate::summary::Field;
use crate::text::formula::{Piece, pieces};

/// How many authors are named before the others are folded.
const AUTHORS_SHOWN: usize = 6;

/// What templates know of `record`.
pub(super) fn view(record: &Record) -> Value {
    let state = entry::state(record);
    let authors: Vec<String> =
        record.authors.iter().map(|name| one_line(name)).filter(|name| !name.is_empty()).collect();
    // A fold that hides one name is longer than the name.
    let shown = if authors.len() > AUTHORS_SHOWN + 1 { AUTHORS_SHOWN } else { authors.len() };
    let (first, rest) = authors.split_at(shown);
    let has_summary = matches!(state, State::Clean | State::Marked);
    let text = |field| {
        let is_there = has_summary && record.fields.has(field);
        if is_there { text_value(entry::text(record, field)) } else { Value::from(()) }
    };
    let is_english = !record.has_summary() || is_blank(&record.zh_title);
    context! {
        anchor => anchor(record),
        link => web_address(&record.link),
        source => source(record),
        link_text => one_line(&record.link),
        state => name_of(state),
        heading => text_value(entry::heading(record)),
        heading_is_english => is_english,
        title => text_value(entry::short_title(&record.title)),
        plain_title => one_line(entry::short_title(&record.title)),
        plain_heading => one_line(entry::heading(record)),
        authors => first.to_vec(),
        more_authors => rest.to_vec(),
        categories => categories(record),
        announced => record.announce.map(announced),
        day => entry::day(record).map(|day| day.to_string()),
        why => record.relevance.as_ref().and_then(wording::relevance).map(|why| one_line(&why)),
        tldr => text(Field::Tldr),
        plain_tldr => plain_tldr(record, state),
        paragraph => text(Field::Paragraph),
        notice => record.notice.map(wording::notice),
        notes => if has_summary { notes(record) } else { Vec::new() },
        failure => (state == State::Failed).then(|| one_line(&entry::failure(record))),
        abstract_text => text_value(entry::plain_abstract(&record.abstract_text)),
    }
}

fn notes(record: &Record) -> Vec<String> {
    entry::notes(record).iter().map(|note| one_line(note)).collect()
}

/// What a document calls the place of a record in it: its arXiv id, where it has one, or what is made of
/// the record, so that a page and an index of another order agree.
pub(super) fn anchor(record: &Record) -> String {
    const DIGITS: usize = 12;
    let named = PaperId::parse(&record.id).or_else(|| PaperId::parse(&record.link));
    match named {
        Some((id, _)) => id.to_string(),
        None => format!("k{}", &hash::sha256(record.key())[..DIGITS]),
    }
}

/// What a link to the paper is called.
fn source(record: &Record) -> String {
    let named = PaperId::parse(&record.id).or_else(|| PaperId::parse(&record.link));
    named.map_or_else(|| "原文".to_owned(), |(id, _)| format!("arXiv:{id}"))
}

/// The one-liner as it stands where there is no room for more.
fn plain_tldr(record: &Record, state: State) -> String {
    match (record.notice, state) {
        (Some(notice), _) => wording::notice(notice).to_owned(),
        (None, State::Failed) => format!("❌ {}", one_line(&entry::failure(record))),
        (None, State::Marked) => format!("⚠ {}", one_line(entry::one_liner(record))),
        _ => one_line(entry::one_liner(record)),
    }
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Clean => "clean",
        State::Marked => "marked",
        State::Noticed => "noticed",
        State::Failed => "failed",
    }
}

/// A text as a list of stretches, each of them a formula or none.
pub(super) fn text_value(text: &str) -> Value {
    let line = one_line(text);
    let piece = |piece: Piece| match piece {
        Piece::Text(text) => context! { text => text, is_formula => false },
        Piece::Formula(text) => context! { text => text, is_formula => true },
    };
    Value::from(pieces(&line).into_iter().map(piece).collect::<Vec<_>>())
}
