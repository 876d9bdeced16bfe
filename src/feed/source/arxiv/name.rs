//! What the name of a source means: `arxiv:cs.CL@2026-11-25` and the other forms.

use super::request::Request;
use super::{days, taxonomy};
use crate::error::ErrorKind;
use crate::paper::{Date, PaperId};
use crate::text::printable;
use crate::{Error, Result};

/// What the names of all arXiv's sources begin with.
const PREFIX: &str = "arxiv:";

/// Most characters of a name in a message.
const MAX_NAME_CHARS: usize = 80;

/// Most bytes of a query; an address has to fit into a request.
const MAX_QUERY_BYTES: usize = 2_000;

/// Most categories or ids of one name.
const MAX_PARTS: usize = 1_000;

/// The forms, for whoever wrote none of them.
const FORMS: &str = "write arxiv:cs.CL for today's feed, arxiv:cs.CL@2026-11-25 or arxiv:cs.CL@-3 \
    for other days, arxiv:2411.00001 for papers, arxiv:query:ti:transformer, or \
    arxiv:oai:cs@2026-11-01..2026-11-07";

/// What follows `arxiv:`, where a name begins so.
pub(super) fn after_prefix(argument: &str) -> Option<&str> {
    let (start, rest) = argument.split_at_checked(PREFIX.len())?;
    start.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// What `name`, which follows `arxiv:`, asks for.
pub(super) fn parse(name: &str, today: Date) -> Result<Request> {
    let name = name.trim();
    if let Some(query) = name.strip_prefix("query:") {
        return parse_query(query.trim());
    }
    if let Some(list) = name.strip_prefix("oai:") {
        return parse_oai(list, today);
    }
    if name.is_empty() {
        return Err(usage("arxiv: names no source".to_owned(), FORMS));
    }
    if name.split(',').next().is_some_and(|first| is_like_an_id(first.trim())) {
        return parse_ids(name);
    }
    let (categories, when) = match name.split_once('@') {
        Some((categories, when)) => (categories, Some(when.trim())),
        None => (name, None),
    };
    let categories = parse_categories(categories)?;
    let days = when.map(|when| days::parse(when, today)).transpose()?;
    Ok(match (&categories[..], days.as_deref()) {
        ([category], None) => Request::Feed(category.clone()),
        ([category], Some([day])) => Request::Day(category.clone(), *day),
        _ => Request::Many(categories, days),
    })
}

fn parse_query(query: &str) -> Result<Request> {
    if query.is_empty() {
        return Err(usage(
            "arxiv:query: has no query".to_owned(),
            "write the query as arXiv's API knows it: arxiv:query:cat:cs.CL AND ti:transformer",
        ));
    }
    if query.len() > MAX_QUERY_BYTES {
        let message = format!("the query has more than {MAX_QUERY_BYTES} bytes");
        return Err(usage(message, "ask for less at a time"));
    }
    Ok(Request::Query(query.to_owned()))
}

fn parse_ids(list: &str) -> Result<Request> {
    let mut ids: Vec<String> = Vec::new();
    for id in list.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let Some((id, version)) = PaperId::parse(id).filter(|_| !id.contains("arxiv.org/")) else {
            let message = format!("`{}` is no arXiv id", printable(id, MAX_NAME_CHARS));
            return Err(usage(message, "write arxiv:2411.00001,2411.00002v2,astro-ph/0601001"));
        };
        // As the API takes it, however it was typed: a DOI, or with arXiv: before it.
        let id = version.map_or_else(|| id.to_string(), |version| format!("{id}v{version}"));
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    bounded(ids.len(), "ids")?;
    Ok(Request::Ids(ids))
}

fn parse_oai(list: &str, today: Date) -> Result<Request> {
    const EXAMPLE: &str = "write arxiv:oai:SET@FROM..UNTIL, as arxiv:oai:cs@2026-11-01..2026-11-07; \
        sets are those that arXiv's OAI-PMH lists: cs, math, physics:hep-th, cs:cs:CL";
    let Some((set, days)) = list.split_once('@') else {
        let message = format!("arxiv:oai:{} names no days", printable(list, MAX_NAME_CHARS));
        return Err(usage(message, EXAMPLE));
    };
    let is_set = !set.is_empty()
        && set.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'.'));
    if !is_set {
        let message = format!("`{}` is no set of OAI-PMH", printable(set, MAX_NAME_CHARS));
        return Err(usage(message, EXAMPLE));
    }
    let (from, until) = match days.split_once("..") {
        Some((from, until)) => (days::day(from)?, days::day(until)?),
        None => (days::day(days)?, days::day(days)?),
    };
    if from > until {
        let message = format!("the days {days} end before they begin");
        return Err(usage(message, &format!("write {until}..{from}")));
    }
    if from > today {
        let message = format!("{from} is still to come: arXiv's day is {today}");
        return Err(usage(message, EXAMPLE));
    }
    Ok(Request::Oai { set: set.to_owned(), from, until })
}

fn parse_categories(list: &str) -> Result<Vec<String>> {
    let mut categories: Vec<String> = Vec::new();
    for name in list.split('+').map(str::trim) {
        if !taxonomy::is_known(name) {
            let shown = printable(name, MAX_NAME_CHARS);
            let message = format!("arXiv has no category `{shown}`");
            let hint = match taxonomy::nearest(name) {
                Some(known) => format!("did you mean arxiv:{known}?"),
                None => FORMS.to_owned(),
            };
            return Err(usage(message, &hint));
        }
        if !categories.iter().any(|known| known == name) {
            categories.push(name.to_owned());
        }
    }
    bounded(categories.len(), "categories")?;
    Ok(categories)
}

fn bounded(number: usize, what: &str) -> Result<()> {
    if number <= MAX_PARTS {
        return Ok(());
    }
    let message = format!("the source names {number} {what}, and {MAX_PARTS} are the most");
    Err(usage(message, "give some of them as another source"))
}

/// What begins with a digit can only be an id, and so can what has a slash.
fn is_like_an_id(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default().trim();
    PaperId::parse(first).is_some()
        || text.starts_with(|c: char| c.is_ascii_digit())
        || text.contains('/')
}

fn usage(message: String, hint: &str) -> Error {
    Error::new(ErrorKind::Usage, message).hint(hint)
}
