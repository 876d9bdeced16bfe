//! Papers that a reader likes: a bibliography, an export of Zotero, records, or a list of ids.

use std::collections::HashMap;
use std::path::Path;

use biblatex::{
    Bibliography, ChunksExt, ParseError, ParseErrorKind, RawBibliography, RawChunk, Spanned,
};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::feed;
use crate::paper::{Paper, PaperId};
use crate::text::quantity::count;
use crate::text_file;

/// Largest file.
pub const MAX_LIBRARY_BYTES: u64 = 256 << 20;

/// Most papers of a library; of more the last ones count.
pub const MAX_LIKED: usize = 20_000;

/// Most entries of a library that are named where they cannot be read.
const MOST_FAULTS: usize = 3;

/// How deep braces may stand in braces: nobody writes more, and the parser takes each level's time again.
const DEEPEST: usize = 64;
/// How many braces an entry may have: the parser takes the square of their time.
const MOST_BRACES: usize = 2_000;

const HINT: &str = "a library is a BibTeX file, an export of Zotero as BibTeX or CSL JSON, records of \
                    wenzhai, or a list of arXiv ids, one a line";

/// Papers that a reader likes.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(super) liked: Vec<Liked>,
    pub(super) faults: Vec<String>,
}

/// A paper that a reader likes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Liked {
    pub(super) id: Option<PaperId>,
    /// Empty where nothing but the id is known.
    pub(super) title: String,
    pub(super) abstract_text: String,
}

/// An entry of CSL JSON (the Citation Style Language's format, which Zotero exports), or a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    id: serde_json::Value,
    title: Option<String>,
    #[serde(rename = "abstract")]
    abstract_text: Option<String>,
    #[serde(rename = "URL")]
    url: Option<String>,
    #[serde(rename = "DOI")]
    doi: Option<String>,
    link: Option<String>,
    number: serde_json::Value,
}

impl Library {
    /// Reads the file at `path` and adds its papers; what it is, is told by its content. Entries and
    /// records that cannot be read are left out, and are among the [faults](Library::faults).
    ///
    /// # Errors
    /// Those of [`text_file::read`]; [`ErrorKind::Usage`] where it holds no paper.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let text = text_file::read(path, "library", MAX_LIBRARY_BYTES)?;
        let of_file = |fault| format!("library {}: {fault}", path.display());
        let (liked, faults) = parse(&text)
            .map_err(|fault| Error::new(ErrorKind::Usage, of_file(fault)).hint(HINT))?;
        self.liked.extend(liked);
        let more = faults.len().saturating_sub(MOST_FAULTS);
        let more = (more > 0).then(|| format!("{more} more entries cannot be read"));
        self.faults.extend(faults.into_iter().take(MOST_FAULTS).chain(more).map(of_file));
        let excess = self.liked.len().saturating_sub(MAX_LIKED);
        self.liked.drain(..excess);
        if excess > 0 {
            let (excess, most) = (count(excess as u64), count(MAX_LIKED as u64));
            self.faults.push(format!(
                "the libraries have more than {most} papers: the first {excess} are left out"
            ));
        }
        Ok(())
    }

    /// What could not be read, in words.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// How many papers there are.
    pub fn len(&self) -> usize {
        self.liked.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.liked.is_empty()
    }

    /// Adds what `papers` tell of those of which nothing but the id is known, and leaves out the
    /// others.
    pub(super) fn known(&self, papers: &[Paper]) -> Vec<Liked> {
        let by_id: HashMap<&PaperId, &Paper> =
            papers.iter().rev().filter_map(|paper| Some((paper.id.as_ref()?, paper))).collect();
        let known = |liked: &Liked| {
            if !liked.title.is_empty() {
                return Some(liked.clone());
            }
            let paper = by_id.get(liked.id.as_ref()?)?;
            Some(Liked {
                id: liked.id.clone(),
                title: paper.plain_title.clone(),
                abstract_text: paper.plain_abstract.clone(),
            })
        };
        self.liked.iter().filter_map(known).collect()
    }
}

/// What a file holds, and what could not be read of it.
type Parsed = (Vec<Liked>, Vec<String>);

fn parse(text: &str) -> std::result::Result<Parsed, String> {
    let whole = |liked| (liked, Vec::new());
    let (mut liked, faults) = match text.trim_start().chars().next() {
        None => return Err("it is empty".to_owned()),
        Some('[') => {
            let entries: Vec<serde_json::Value> = serde_json::from_str(text)
                .map_err(|cause| format!("line {} is no JSON of a library", cause.line()))?;
            let (mut liked, mut faults) = (Vec::new(), Vec::new());
            for (number, entry) in entries.into_iter().enumerate() {
                match serde_json::from_value::<Entry>(entry) {
                    Ok(entry) => liked.push(Liked::from(entry)),
                    Err(_) => faults.push(format!("entry {} is none of a library", number + 1)),
                }
            }
            (liked, faults)
        }
        Some('{') => json_lines(text),
        Some('@' | '%') => bibliography(text),
        Some(_) if text.contains("\n@") => bibliography(text),
        Some(_) => whole(ids(text)?),
    };
    liked.retain(|liked| !liked.title.is_empty() || liked.id.is_some());
    match liked.is_empty() {
        false => Ok((liked, faults)),
        true => Err(faults.into_iter().next().unwrap_or_else(|| "it holds no paper".to_owned())),
    }
}

fn json_lines(text: &str) -> Parsed {
    let (mut liked, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Entry>(line) {
            Ok(entry) => liked.push(Liked::from(entry)),
            Err(_) => faults.push(format!("line {} is no record", number + 1)),
        }
    }
    (liked, faults)
}

/// As one text, or, where that is no BibTeX, entry by entry: many a library has a key twice, or an
/// entry that was never finished, and the others are worth reading.
fn bibliography(text: &str) -> Parsed {
    if entries(text).iter().all(|(_, entry)| is_plain(entry))
        && let Ok(whole) = bibtex(text, &FIELDS)
    {
        return (whole.iter().map(Liked::of_bibliography).collect(), Vec::new());
    }
    let is_string =
        |entry: &str| entry.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("@string"));
    let entries = entries(text);
    // Each entry gets the definitions that it names: all of them for all would take their product.
    let strings: HashMap<String, String> = entries
        .iter()
        .filter(|(_, entry)| is_string(entry))
        .filter_map(|(_, entry)| {
            let definition = entry[7..].trim().strip_prefix(['{', '('])?;
            let definition = definition.trim_end_matches([')', '}']);
            let name = definition.split('=').next()?.trim().to_ascii_lowercase();
            // Both kinds of brackets are BibTeX, one of them the parser's.
            let closing = if definition.contains('{') { "}" } else { "" };
            Some((name, format!("@string{{{definition}{closing}}}\n")))
        })
        .collect();
    let (mut liked, mut faults) = (Vec::new(), Vec::new());
    let entries = entries.into_iter().filter(|(_, entry)| !is_string(entry));
    for (line, entry) in entries {
        if !is_plain(entry) {
            faults.push(format!("line {line} begins an entry with too many braces"));
            continue;
        }
        let words = entry.split(|c: char| !(c.is_alphanumeric() || "-_.:+/".contains(c)));
        let mut named: Vec<&str> = words
            .filter_map(|word| strings.get(&word.to_ascii_lowercase()))
            .map(|s| &**s)
            .collect();
        named.sort_unstable();
        named.dedup();
        // Without definitions that are none, and without an abstract that is none.
        let parsed = parse_entry(&named.concat(), entry, &FIELDS)
            .or_else(|_| parse_entry("", entry, &FIELDS))
            .or_else(|cause| parse_entry("", entry, &FIELDS[1..]).map_err(|_| cause));
        match parsed {
            Ok(found) => liked.extend(found.iter().map(Liked::of_bibliography)),
            Err(cause) => {
                faults.push(format!(
                    "line {line} begins an entry that is no BibTeX ({})",
                    cause.kind
                ));
            }
        }
    }
    (liked, faults)
}

/// Whether the parser gets along with the braces of an entry.
fn is_plain(entry: &str) -> bool {
    depth(entry) <= DEEPEST && entry.bytes().filter(|byte| *byte == b'{').count() <= MOST_BRACES
}

/// How deep braces stand in braces at most. What is closed too often begins at nothing again.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What begins with an `@` at the beginning of a line, with the numbers of these lines.
fn entries(text: &str) -> Vec<(usize, &str)> {
    let mut starts: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with('@') {
            starts.push((number + 1, at + line.len() - line.trim_start().len()));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]);
    starts.iter().zip(ends).map(|(&(line, start), end)| (line, &text[start..end])).collect()
}

/// Parses an entry behind the definitions that it may use. Names that nobody defines stand for
/// themselves: those of months and journals are often left to a style.
fn parse_entry(
    strings: &str,
    entry: &str,
    fields: &[&str],
) -> std::result::Result<Bibliography, ParseError> {
    const MOST_NAMES: usize = 8;
    let mut text = format!("{strings}{entry}");
    for _ in 0..MOST_NAMES {
        match bibtex(&text, fields) {
            Err(ParseError { kind: ParseErrorKind::UnknownAbbreviation(name), .. }) => {
                text = format!("@string{{{name} = \"{name}\"}}\n{text}");
            }
            parsed => return parsed,
        }
    }
    bibtex(&text, fields)
}

/// What is read of an entry; the abstract comes first.
const FIELDS: [&str; 7] = ["abstract", "title", "eprint", "doi", "url", "journal", "note"];

/// Parses `text` and keeps `fields` alone: what refers to other entries may lead back to itself, and so may
/// definitions that name others.
fn bibtex(text: &str, fields: &[&str]) -> std::result::Result<Bibliography, ParseError> {
    let mut raw = RawBibliography::parse(text)?;
    for entry in &mut raw.entries {
        let is_read = |name: &str| fields.iter().any(|field| name.eq_ignore_ascii_case(field));
        entry.v.fields.retain(|field| is_read(field.key.v));
    }
    let is_text = |chunk: &Spanned<RawChunk<'_>>| matches!(chunk.v, RawChunk::Normal(_));
    raw.abbreviations.retain(|definition| definition.value.v.iter().all(is_text));
    Bibliography::from_raw(raw)
}

fn ids(text: &str) -> std::result::Result<Vec<Liked>, String> {
    let lines = text.lines().enumerate().map(|(number, line)| (number, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match PaperId::parse(line) {
            Some((id, _)) => Ok(Liked { id: Some(id), ..Liked::default() }),
            None => Err(format!("line {} is no arXiv id", number + 1)),
        })
        .collect()
}

impl Liked {
    fn of_bibliography(entry: &biblatex::Entry) -> Liked {
        let field =
            |name| entry.get(name).map(|chunks| chunks.format_verbatim()).unwrap_or_default();
        let names = ["eprint", "doi", "url", "journal", "note"].map(field);
        let preprint = |name: &String| {
            let name = name.trim();
            PaperId::parse(name.strip_prefix("arXiv preprint ").unwrap_or(name))
        };
        let (title, abstract_text) = feed::plain(&field("title"), &field("abstract"));
        Liked { id: names.iter().find_map(|name| Some(preprint(name)?.0)), title, abstract_text }
    }
}

impl From<Entry> for Liked {
    fn from(entry: Entry) -> Self {
        let Entry { id, title, abstract_text, url, doi, link, number } = entry;
        let names = [&id, &number].map(|value| value.as_str().unwrap_or_default());
        let others = [&link, &url, &doi].map(|name| name.as_deref().unwrap_or_default());
        let id = names.into_iter().chain(others).find_map(|name| Some(PaperId::parse(name)?.0));
        let [title, abstract_text] = [title, abstract_text].map(Option::unwrap_or_default);
        // Records have both as feeds have them.
        let (title, abstract_text) = feed::plain(&title, &abstract_text);
        Liked { id, title, abstract_text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Option<&str>, &str, &str)]) {
        let (liked, faults) = parse(text).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        let found: Vec<_> = liked
            .iter()
            .map(|l| {
                (l.id.as_ref().map(PaperId::as_str), l.title.as_str(), l.abstract_text.as_str())
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_form_of_a_library_is_read() {
        let bib = "% mine\n@article{a, title={Counting {Sheep}}, eprint={2699.00001v2},\n \
                   abstract={We count.}}\n@misc{b, title=\"Goats\", url={https://arxiv.org/abs/2699.00002}}";
        let id = Some("2699.00001");
        check(bib, &[(id, "Counting Sheep", "We count."), (Some("2699.00002"), "Goats", "")]);
        let scholar = "@article{c, title={Sheep}, journal={arXiv preprint arXiv:2699.00001}}";
        check(scholar, &[(id, "Sheep", "")]);
        let csl = r#"[{"id":"http://zotero.org/items/1","title":"Sheep","abstract":"We count.",
                      "DOI":"10.48550/arXiv.2699.00001","number":"arXiv:2699.00001"}]"#;
        check(csl, &[(id, "Sheep", "We count.")]);
        let record = r#"{"id":"2699.00001","title":"Sheep","link":"l","abstract":"We count."}"#;
        check(record, &[(id, "Sheep", "We count.")]);
        check(
            "# liked\n2699.00001\n\narXiv:2699.00002v3\n",
            &[(id, "", ""), (Some("2699.00002"), "", "")],
        );
    }

    #[test]
    fn what_is_no_library_is_told_with_its_line() {
        for (text, fault) in [
            ("", "it is empty"),
            ("2699.00001\nsheep", "line 2 is no arXiv id"),
            ("{\"title\":3}\n{", "line 1 is no record"),
            ("[{\"title\":\n3]", "line 2 is no JSON of a library"),
            ("[{\"title\":\n3}]", "entry 1 is none of a library"),
            ("[]", "it holds no paper"),
            (
                "@article{a,\n title={",
                "line 1 begins an entry that is no BibTeX (unexpected end of file)",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn a_value_that_is_null_is_none_and_a_line_that_is_no_record_takes_no_other_along() {
        check("[{\"title\":\"Sheep\",\"abstract\":null}]", &[(None, "Sheep", "")]);
        let (liked, faults) = parse("{\"title\":\"Sheep\",\"link\":null}\n{\n").unwrap();
        assert_eq!((liked.len(), faults), (1, vec!["line 2 is no record".to_owned()]));
        let (liked, faults) = parse("[{\"title\":\"Sheep\"},{\"URL\":[\"u\"]}]").unwrap();
        assert_eq!((liked.len(), faults), (1, vec!["entry 2 is none of a library".to_owned()]));
    }

    #[test]
    fn records_are_liked_for_what_they_say_and_not_for_what_feeds_put_before_it() {
        let record = "{\"title\":\"Sheep. (arXiv:2699.00001v1 [cs.CL])\",\"abstract\":\
            \"arXiv:2699.00001v1 Announce Type: new Abstract: We count \\\\emph{sheep}.\",\"link\":\"l\"}";
        check(record, &[(None, "Sheep", "We count sheep.")]);
    }

    /// Of a thousand definitions each entry may name one.
    #[test]
    fn many_definitions_and_a_key_twice_take_no_time() {
        let strings: String =
            (0..1_500).map(|i| format!("@string{{j{i} = \"Journal of {i} Sheep\"}}\n")).collect();
        let entries: String = (0..15_000)
            .map(|i| {
                format!("@article{{k{}, title={{Sheep {i}}}, journal=J{}}}\n", i / 2, i % 1_500)
            })
            .collect();
        let started = std::time::Instant::now();
        let (liked, faults) = parse(&(strings + &entries)).unwrap();
        assert_eq!((liked.len(), faults.len()), (15_000, 0));
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn braces_in_braces_without_end_take_no_time() {
        const TIMES: usize = 200_000;
        let deep = format!("@misc{{a, title={{{}x{}}}}}", "{".repeat(TIMES), "}".repeat(TIMES));
        let (liked, faults) = parse(&format!("{deep}\n@misc{{b, title={{Sheep}}}}\n")).unwrap();
        assert_eq!((liked.len(), &liked[0].title[..]), (1, "Sheep"));
        assert_eq!(faults, ["line 1 begins an entry with too many braces"]);
    }

    #[test]
    fn an_entry_that_cannot_be_read_takes_no_other_along() {
        let text = "@string{pond = \"Pond Studies\"}\n\
                    @article{a, title={Sheep}, journal=pond, doi={https://doi.org/10.48550/arXiv.2699.00001}}\n\
                    @article{a, title={Goats}, month=may, journal=unheard}\n\
                    @article{b,\n title={Never {finished},\n\n\
                    @misc(c, title={In parentheses})\n  @misc{d, title={Last}}\n";
        let (liked, faults) = parse(text).unwrap();
        let titles: Vec<_> = liked.iter().map(|liked| liked.title.as_str()).collect();
        assert_eq!(titles, ["Sheep", "Goats", "Last"]);
        assert_eq!(liked[0].id.as_ref().map(PaperId::as_str), Some("2699.00001"));
        let lines: Vec<_> =
            faults.iter().map(|fault| &fault[..fault.find(" begins").unwrap()]).collect();
        assert_eq!(lines, ["line 4", "line 7"]);
    }

    #[test]
    fn references_that_lead_back_to_themselves_are_not_followed() {
        let liked = |text: &str| parse(text).unwrap().0;
        for bib in [
            "@misc{a, title={Sheep}, crossref={a}}",
            "@misc{a, title={Sheep}, xdata={a}}",
            "@misc{a, title={Sheep}, crossref={b}}\n@misc{b, crossref={a}}",
            "@string{a = a}\n@misc{x, title={Sheep}, journal=a}",
            "@string{a = b}\n@string{b = a}\n@misc{x, title={Sheep}, journal=a}",
        ] {
            assert_eq!(liked(bib)[0].title, "Sheep", "{bib}");
        }
        let doubled = |at: usize| format!("@string{{a{at} = a{} # a{}}}\n", at - 1, at - 1);
        let strings: String = (1..50).map(doubled).collect();
        let bib = format!("@string{{a0 = \"x\"}}\n{strings}@misc{{x, title={{Sheep}}, note=a49}}");
        assert_eq!(liked(&bib)[0].title, "Sheep");
        let flat = format!("@misc{{x, title={{{}}}}}\n", "{a}".repeat(100_000));
        let (found, faults) = parse(&(flat + "@misc{y, title={Goats}}")).unwrap();
        assert_eq!((found[0].title.as_str(), faults.len()), ("Goats", 1));
    }

    /// As the template of a conference has them; and an abstract that no TeX could be made of.
    #[test]
    fn definitions_in_parentheses_and_lone_dollars_take_no_entry_along() {
        let bib = "@String(CVPR = {Computer Vision})\n@String(PAMI = \"Patterns\")\n\
            @misc{a, title={Sheep \\emph{counted}}, journal=CVPR}\n@misc{b, title={Goats}, note={CVPR}}\n\
            @misc{c, title={Herons}, abstract={costs $133.5 billion}}";
        let (found, faults) = parse(bib).unwrap();
        let titles: Vec<&str> = found.iter().map(|liked| &*liked.title).collect();
        assert_eq!(titles, ["Sheep counted", "Goats", "Herons"]);
        assert!(faults.is_empty(), "{faults:?}");
    }
}
