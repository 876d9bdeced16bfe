//! A paper as its form has it, and the one way from there to a [`Paper`].

use super::latex::without_latex;
use super::text::{fold, fold_shown};
use crate::paper::{Announce, Boilerplate, Date, Paper, PaperId, split_boilerplate, split_suffix};
use crate::record::WrittenSummary;
use crate::summary::Notice;
use crate::text::printable;

use jiff::fmt::rfc2822;

/// Most characters of a title in a message.
const MAX_TITLE_CHARS: usize = 120;

/// What a form says about a paper, text as it stands; empty or `None` where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Whatever may hold the id, most trusted first; the link is looked at too.
    pub ids: Vec<String>,
    pub version: Option<u32>,
    pub link: String,
    pub title: String,
    pub abstract_text: String,
    pub authors: Vec<String>,
    /// Primary first, where the form tells.
    pub categories: Vec<String>,
    pub announce: Option<Announce>,
    pub comment: String,
    /// Why there is nothing to summarise, where the form says so itself.
    pub notice: Option<Notice>,
    /// Days, in any of the forms that [`day`] reads.
    pub published: String,
    pub updated: String,
}

/// What a form of JSON makes of a record: the paper, and the summary it brings; or what is wrong.
pub(super) type Mapped = Result<(Raw, Option<WrittenSummary>), String>;

impl Raw {
    /// Folds text and takes boilerplate off; what the boilerplate says fills what the form left
    /// open. The error says what is missing.
    pub(super) fn into_paper(self) -> Result<Paper, String> {
        let title = fold(&self.title);
        let abstract_text = fold_shown(without_paragraph(&self.abstract_text));
        let (plain_title, suffix) = without_suffix(&title);
        let (plain_abstract, prefix) = without_boilerplate(&fold(&abstract_text));
        if plain_title.is_empty() {
            return Err("the paper has no title".to_owned());
        }
        let named = self.ids.iter().chain([&self.link]).filter_map(|text| PaperId::parse(text));
        let boilerplate = [prefix, suffix];
        let told = boilerplate.iter().filter_map(|b| Some((b.id.clone()?, b.version)));
        let mut candidates: Vec<(PaperId, Option<u32>)> = named.chain(told).collect();
        let id = candidates.first().map(|(id, _)| id.clone());
        candidates.retain(|(candidate, _)| Some(candidate) == id.as_ref());
        let link = match (self.link.trim(), &id) {
            ("", Some(id)) => id.link(),
            (link, _) => link.to_owned(),
        };
        if plain_abstract.is_empty() && id.is_none() && link.is_empty() {
            let title = printable(&title, MAX_TITLE_CHARS);
            return Err(format!("the paper \"{title}\" has no abstract"));
        }
        let announce = self.announce.or_else(|| boilerplate.iter().find_map(|b| b.announce));
        let told_category = boilerplate.into_iter().find_map(|b| b.category);
        Ok(Paper {
            version: self.version.or_else(|| candidates.iter().find_map(|(_, version)| *version)),
            id,
            link,
            title,
            abstract_text,
            plain_title,
            plain_abstract,
            authors: folded_list(self.authors.iter().map(|name| without_latex(&fold(name)))),
            categories: folded_list(told_category.into_iter().chain(self.categories)),
            announce,
            comment: fold(&self.comment),
            published: day(&self.published),
            updated: day(&self.updated),
        })
    }
}

/// Title and abstract as a feed or a record has them, without what feeds put around them and without
/// LaTeX.
pub fn plain(title: &str, abstract_text: &str) -> (String, String) {
    let (title, _) = without_suffix(&fold(title));
    let (abstract_text, _) = without_boilerplate(&fold(without_paragraph(abstract_text)));
    (title, abstract_text)
}

/// A title that is folded, and what stands behind it.
fn without_suffix(title: &str) -> (String, Boilerplate) {
    let Some((plain, suffix)) = split_suffix(title) else {
        return (without_latex(title), Boilerplate::default());
    };
    // The full stop is the feed's: it follows even a question mark.
    let plain = plain.strip_suffix('.').unwrap_or(plain).trim_end();
    (without_latex(plain), suffix)
}

/// An abstract that is folded, and what stands before it.
fn without_boilerplate(text: &str) -> (String, Boilerplate) {
    let (prefix, plain) = split_boilerplate(text).unwrap_or((Boilerplate::default(), text));
    (without_latex(plain), prefix)
}

/// Takes off the `<p>` that some hand abstracts on in.
fn without_paragraph(text: &str) -> &str {
    let text = text.trim();
    let text = text.strip_prefix("<p>").unwrap_or(text);
    text.strip_suffix("</p>").unwrap_or(text)
}

/// Folds every entry; drops empty ones and those that were there before.
fn folded_list(entries: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let folded = entries.into_iter().map(|entry| fold(&entry));
    folded.filter(|entry| !entry.is_empty() && seen.insert(entry.clone())).collect()
}

/// The day of `2024-03-05`, `2024-03-05T04:00:00Z` or `Tue, 05 Mar 2024 00:00:00 -0500`, as its own
/// place has it; none where the text says none.
pub(super) fn day(text: &str) -> Option<Date> {
    let text = text.trim();
    let iso = text.get(..10).and_then(|day| day.parse().ok());
    iso.or_else(|| Some(rfc2822::parse(text).ok()?.date()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_the_forms_of_the_feeds() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(day(text).map(|day| day.to_string()).as_deref(), expected, "{text}");
        };
        check("2024-03-05", Some("2024-03-05"));
        check(" 2024-03-05T23:59:00-05:00\n", Some("2024-03-05"));
        check("Tue, 05 Mar 2024 00:00:00 -0500", Some("2024-03-05"));
        check("Mon, 2 Apr 2007 19:18:42 GMT", Some("2007-04-02"));
        for none in ["", "yesterday", "2024-13-05", "05 Mar"] {
            check(none, None);
        }
    }
}
