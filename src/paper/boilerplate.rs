//! What arXiv's feeds put around titles and abstracts.

use super::{Announce, PaperId};

/// What arXiv's boilerplate says about the paper that it is wrapped around.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Boilerplate {
    pub id: Option<PaperId>,
    pub version: Option<u32>,
    pub category: Option<String>,
    pub announce: Option<Announce>,
}

/// Takes `arXiv:2403.02839v1 Announce Type: new Abstract: ` off an abstract.
pub(crate) fn split_boilerplate(text: &str) -> Option<(Boilerplate, &str)> {
    let (name, rest) = match text.strip_prefix("arXiv:") {
        Some(rest) => rest.split_once(char::is_whitespace)?,
        None => ("", text),
    };
    let rest = rest.trim_start().strip_prefix("Announce Type:")?.trim_start();
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim_start();
    let body = rest.strip_prefix("Abstract:").unwrap_or(rest).trim_start();
    let (id, version) = PaperId::parse(name).unzip();
    let version = version.flatten();
    Some((Boilerplate { id, version, category: None, announce: announce_type(kind) }, body))
}

/// Takes `(arXiv:2401.08491v2 [cs.CL] UPDATED)` off a title. The full stop that feeds put before it stays.
pub(crate) fn split_suffix(title: &str) -> Option<(&str, Boilerplate)> {
    let start = title.rfind("(arXiv:")?;
    let inside = title[start..].strip_prefix("(arXiv:")?.strip_suffix(')')?;
    let (name, rest) = inside.split_once(' ').unwrap_or((inside, ""));
    let (id, version) = PaperId::parse(name)?;
    // Without a category it is the title itself that names a paper: "Comment on … (arXiv:2401.08491)".
    let (category, marker) = rest.strip_prefix('[')?.split_once(']')?;
    let announce = match marker.trim() {
        "" => Announce::New,
        "CROSS LISTED" => Announce::Cross,
        "UPDATED" => Announce::Replace,
        _ => return None,
    };
    let category = (!category.is_empty()).then(|| category.to_owned());
    Some((
        title[..start].trim_end(),
        Boilerplate { id: Some(id), version, category, announce: Some(announce) },
    ))
}

/// `new`, `cross`, `replace` and `replace-cross`, as `arxiv:announce_type` has them.
pub(crate) fn announce_type(text: &str) -> Option<Announce> {
    match text.trim() {
        "new" => Some(Announce::New),
        "cross" => Some(Announce::Cross),
        "replace" => Some(Announce::Replace),
        "replace-cross" => Some(Announce::ReplaceCross),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boilerplate_comes_off_whatever_the_white_space() {
        #[track_caller]
        fn check(text: &str, announce: Option<Announce>, body: &str) {
            let (found, rest) = split_boilerplate(text).expect(text);
            assert_eq!((found.announce, rest), (announce, body), "{text}");
            assert_eq!(found.id, PaperId::parse("2699.00001").map(|(id, _)| id), "{text}");
            assert_eq!(found.version, Some(2), "{text}");
        }
        let cross = Some(Announce::ReplaceCross);
        check("arXiv:2699.00001v2 Announce Type: replace-cross \nAbstract: We.", cross, "We.");
        check("arXiv:2699.00001v2\nAnnounce Type:replace-cross\u{a0}Abstract:We.", cross, "We.");
        check("arXiv:2699.00001v2 Announce Type: withdrawn Abstract: We.", None, "We.");
        check("arXiv:2699.00001v2 Announce Type: new", Some(Announce::New), "");
        assert_eq!(split_boilerplate("Abstract: of a thing."), None);
        assert_eq!(split_boilerplate("arXiv:2699.00001v2 is a paper."), None);
    }

    #[test]
    fn title_suffixes_come_off_and_the_full_stop_stays() {
        #[track_caller]
        fn check(title: &str, plain: &str, announce: Announce) {
            let (found, suffix) = split_suffix(title).expect(title);
            assert_eq!((found, suffix.announce), (plain, Some(announce)), "{title}");
        }
        check("T. (arXiv:2699.00001v2 [cs.CL] UPDATED)", "T.", Announce::Replace);
        check("Is it?. (arXiv:2699.00001v1 [cs.CL])", "Is it?.", Announce::New);
        check(
            "U.S. Law. (arXiv:hep-th/9901001v3 [hep-th] CROSS LISTED)",
            "U.S. Law.",
            Announce::Cross,
        );
        check("(arXiv:2699.00001) (arXiv:2699.00002 [cs.CL])", "(arXiv:2699.00001)", Announce::New);
        for title in [
            "T.",
            "Comment on T (arXiv:2699.00001)",
            "T (arXiv: a history)",
            "T (arXiv:2699.00001v1 [cs.CL] SOLD)",
        ] {
            assert_eq!(split_suffix(title), None, "{title}");
        }
    }
}
