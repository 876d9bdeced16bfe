//! Abstracts that there is nothing to summarise in: notices of withdrawal, and what says next to
//! nothing. A model would make up a result for them.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Why there is nothing to summarise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The paper was withdrawn, by its authors or by arXiv.
    Withdrawn,
    /// The abstract is empty, or says only what kind of document it is.
    NoContent,
}

/// Fewer words than this say nothing that could be summarised.
const FEWEST_WORDS: usize = 3;
/// An abstract that says what kind of document it is, and has no more words, says nothing else.
const MOST_WORDS_OF_A_KIND: usize = 12;

/// A sentence that says that the paper itself is withdrawn, at the beginning of an abstract.
static WITHDRAWN: LazyLock<Regex> = LazyLock::new(|| withdrawal(r"[^,]{0,200} (?: [.;!] | $ )"));

/// The same in a remark, which says such a thing in fewer words and has no sentence behind it.
static WITHDRAWN_IN_REMARK: LazyLock<Regex> = LazyLock::new(|| withdrawal(""));

/// What a remark says of a paper that was withdrawn elsewhere, and lives.
static LIVES: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)\b(?:accepted|to appear)\b"));

/// A sentence that says that the paper itself is withdrawn. What is about withdrawals ("retracted papers
/// are cited for years") says it of something else: of several, of what is not called this one, ours
/// or the paper, or that it was taken away from elsewhere ("withdrawn from a conference"). `tail`
/// is how a sentence goes on that does not say what is withdrawn.
fn withdrawal(tail: &str) -> Regex {
    let paper = r"(?:paper|submission|article|manuscript|work|preprint|e-?print|version(?:\ of\ (?:the|this|our)\ (?:paper|article|manuscript|work))?|draft|note|document|arxiv\ (?:submission|admin\w*(?:\ note)?|note))";
    // What may be somebody else's as well, unless it is called this one.
    let document = r"(?:letter|comment|thesis|chapter|report|entry)";
    let gone = r"(?:withdrawn|retracted)";
    let verb = r"(?:withdrawn|retracted|removed|replaced\ by\ a\ withdrawal)";
    let adverb = r"(?:hereby|now|since|temporarily|permanently|voluntarily|therefore|already)";
    let been = format!(r"(?: (?: has|have|had|is|was|are|were|being|been | {adverb} ) \s+ )+");
    let is = format!(
        r"(?: (?: has|have|had | {adverb} ) \s+ )* (?:is|was|are|were|been) \s+ (?: (?: being | {adverb} ) \s+ )*"
    );
    let own = r"(?:this|our|the\ present|the\ current|the\ above|present|current|above)";
    let end = r"[\s\W]* $ | \s* [.;:!\])]";
    let arxiv = r"from \s+ (?: the\ authors? \b | (?:(?:the|this)\ )? (?:[\w-]+\ ){0,2}? (?:arxiv|archive|e-?print|server|circulation) \b | (?:hep|math|cs|cond|quant|astro|gr|nucl|physics|stat|nlin)\b | (?:publication|consideration) (?: [\s\W]* $ | \s* [.;] | \s+ by\b ) )";
    let reason = r"due|because|since|until|pending|temporarily|owing|in\ order|as\ (?:it|the|this|we|of)|at\ (?:the|my|our)\ request|for\ (?:now|further|revision|correction|the\ (?:moment|time))";
    let why = format!(r"(?: {end} | \s+ (?: (?:by|{reason}) \b | {arxiv} ) )");
    // Anything but what else it was taken away from.
    let after_gone = format!(
        r"(?: {why} | \s* [^\w\s] | \s+ (?: [^f\s] | f [^r\s] | fr [^o\s] | fro [^m\s] ) )"
    );
    let after_removed = format!(
        r"(?: {why} | \s* [,(] | \s+ (?:and|at\ (?:the|my|our)\ request|to\ (?:correct|fix)) \b )"
    );
    let whom = r"by \s+ (?:(?:the|its|all|both)\s+)? (?:\w+\s+)? (?:authors?|submitters?|arxiv|admin\w*|editors?|journal|publisher|me|us) \b";
    compile(&format!(
        r"(?ix) ^ [\s\W]* (?: arxiv\ admin\w* (?:\ note)? \s* : \s* )? (?:
            {own} \s+ (?:\w+\s+)? {paper} \s+ (?: {been} {gone} {after_gone} | {is} removed {after_removed} | {is} replaced\ by\ a\ withdrawal \b )
          | {own} \s+ {document} \s+ {been} {gone} {why}
          | {own} \s+ (?:\w+\s+)? {paper} \s* [:;,-]* \s* (?:{adverb}\s+)* {verb} {why}
          | (?:the\s+)? {paper} \s* (?: [:;,-]* \s* (?:{adverb}\s+)* | \s {is} ) {verb} {why}
          | {verb} (?: {end} | \s+ {whom} )
          | (?: {gone} | removed ) \s+ (?: (?:{reason}) \b | {arxiv} ) {tail}
          | (?:we|i|the\ authors?|authors?) \s+ (?: (?:have|has|are|am|hereby|decided\ to|wish\ to|would\ like\ to) \s+ )* (?:withdraws?|withdrew|withdrawn|withdrawing|retracts?|retracted|retracting) \s+ (?:this|our|the|their|my|his|her) \s+ (?: (?:present|current|above|whole|entire|short|full|arxiv|submitted) \s+ )? {paper} \b
        )"
    ))
}

/// What an abstract is that says only what kind of document it is.
static KIND_OF_DOCUMENT: LazyLock<Regex> = LazyLock::new(|| {
    let kind = r"(?:lecture\ notes?|notes\ of|course\ notes?|slides|(?:ph\.?\ ?d\.?|doctoral|master'?s?|diploma|bachelor'?s?)?\ ?(?:thesis|dissertation)|habilitation|comments?\ on|repl(?:y|ies)\ to|response\ to|errat(?:um|a)|corrigendum|addendum|translation\ of|proceedings|invited\ (?:talk|paper|review)|talk\ given|contribution\ to|book\ review|preface|foreword|editorial|extended\ abstract|abstract\ not\ available|no\ abstract)";
    compile(&format!(
        r"(?ix) ^ [\s\W]* (?:(?:this|these|it)\s+(?:paper\s+|document\s+|article\s+)?(?:is|are)\s+)? (?:an?\s+|the\s+|some\s+|my\s+|our\s+)? {kind} \b"
    ))
});

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that is tested")
}

/// Why there is nothing to summarise in `abstract_text`, if there is nothing. `comment` is what
/// the authors remarked beside it, where withdrawals are announced as well.
pub fn notice(abstract_text: &str, comment: &str) -> Option<Notice> {
    let is_remarked = || WITHDRAWN_IN_REMARK.is_match(comment) && !LIVES.is_match(comment);
    if WITHDRAWN.is_match(abstract_text) || is_remarked() {
        return Some(Notice::Withdrawn);
    }
    let words = abstract_text.split_whitespace().filter(|word| has_letters(word)).count();
    let is_chinese_like = abstract_text.chars().filter(|c| !c.is_ascii()).count() > 20;
    let says_its_kind = words <= MOST_WORDS_OF_A_KIND && KIND_OF_DOCUMENT.is_match(abstract_text);
    let is_empty = words < FEWEST_WORDS && !is_chinese_like;
    (is_empty || says_its_kind).then_some(Notice::NoContent)
}

fn has_letters(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withdrawals_are_told_in_their_many_wordings() {
        for text in [
            "This paper has been withdrawn by the author.",
            "This paper has been withdrawn.",
            "Withdrawn.",
            "withdrawn by the authors",
            "Paper withdrawn due to an error in Lemma 3.",
            "The paper is being withdrawn because of a gap in the proof of the main theorem.",
            "This submission has been withdrawn by arXiv administrators as it was made in violation.",
            "This article was retracted owing to a flaw in equation (4).",
            "[This manuscript has been temporarily withdrawn] We study lattices of operators.",
            "This paper has now been withdrawn since the result was known.",
            "We withdraw this paper because the main claim is wrong.",
            "The authors have withdrawn this submission.",
            "This draft is withdrawn until further notice",
            "This version has been removed by arXiv administrators due to a copyright claim.",
            "Withdrawn in order to correct an error in Theorem 2.",
            "Paper withdrawn in order to fix Lemma 3",
            "This version has been replaced by a withdrawal notice",
            "The paper was withdrawn from arXiv; a longer one will follow.",
            "This short note is withdrawn, as its claim is known.",
            "Manuscript has been retracted: see the journal.",
            "arXiv admin note: withdrawn by the submitter",
            "This paper has been withdrawn, see the comments.",
            "This paper has been withdrawn (error in Lemma 2).",
            "This paper has been withdrawn on 3 May 2011.",
            "This paper has been withdrawn for revision and more experiments.",
            "This manuscript has been withdrawn from publication.",
            "This paper has since been withdrawn and will be rewritten.",
            "The authors hereby retract the present manuscript.",
            "Removed by arXiv administrators.",
            "Paper temporarily withdrawn due to an error in equation (5)",
            "This paper hereby withdrawn by author",
            "This paper is now being withdrawn due to a gap.",
            "This paper has withdrawn by the author",
            "This paper has been withdrawn from the e-print archive",
            "This paper has been withdrawn from hep-th for a while.",
            "This paper has been withdrawn from circulation.",
            "This paper has been withdrawn! The proof is wrong.",
            "*This paper has been withdrawn* by the author",
            "The authors have withdrawn their paper due to an error in Theorem 1.",
            "I have withdrawn my paper due to a mistake.",
            "We have decided to withdraw this paper.",
            "This paper has been removed, see hep-th/0501001",
            "This paper has been removed at the request of the authors",
            "This paper was removed (error in Lemma 2)",
            "Removed due to an error in the proof.",
            "Removed from arXiv by the author",
            "arXiv admin note: This version has been removed by arXiv administrators due to a claim",
        ] {
            assert_eq!(notice(text, ""), Some(Notice::Withdrawn), "{text}");
        }
        let comment = "This paper has been withdrawn by the author due to a crucial sign error";
        assert_eq!(notice("We study sheep that count.", comment), Some(Notice::Withdrawn));
    }

    #[test]
    fn papers_about_withdrawals_are_papers() {
        for text in [
            "Withdrawn papers are cited for years. We count how often.",
            "Retracted articles remain visible. This work measures for how long.",
            "We study alcohol withdrawal in mice and find a new marker of it.",
            "The paper studies how sheep withdraw from wolves in the open field.",
            "This work has been motivated by retracted claims on room temperature.",
            "Removed edges make the graph sparse; we bound its spectral gap.",
            "This paper has shown that bank deposits are withdrawn in a panic.",
            "Scientific papers are retracted for many reasons. We analyse 10,000 of them.",
            "Preprints are withdrawn from servers without a word.",
            "The documents were removed from the index to test unlearning.",
            "The document was removed from the index to test unlearning.",
            "Withdrawn from the market in 2004, rofecoxib is studied still.",
            "Retracted, corrected and reinstated articles are compared.",
            "A paper is retracted because of fraud once in a thousand. We ask how.",
            "This version has removed Section 5, 12 pages",
            "This version has removed the proof of Lemma 2",
            "This paper was withdrawn from ICLR 2025 and accepted at ICML 2025, 12 pages",
            "Our work is removed from the usual setting of sheep in open fields.",
            "We withdraw the assumption that neural networks are smooth.",
            "The authors withdraw energy from a network of batteries.",
            "We retract every point onto a manifold and note its distance.",
            "Removed by a filter, noisy samples do no harm.",
            "Withdrawn by the state in 1990, the subsidy is missed still.",
            "We withdraw the previous version of this paper; this is the corrected one.",
            "Withdrawn from consideration at NeurIPS 2024; accepted at ICLR 2025, 12 pages",
            "This paper was withdrawn from consideration at ICLR 2025 and accepted at ICML 2025",
            "This paper was withdrawn from publication in PRL and submitted to PRB",
        ] {
            assert_eq!(notice(text, "12 pages, 3 figures"), None, "{text}");
            assert_eq!(notice("We study sheep that count.", text), None, "{text}");
        }
    }

    #[test]
    fn a_remark_on_a_paper_that_lives_withdraws_nothing() {
        for comment in [
            "This paper was withdrawn during review at ICLR 2025, accepted at ICML 2025",
            "This paper was withdrawn by the authors from ICLR 2025; accepted at ICML 2025",
        ] {
            assert_eq!(notice("We study sheep that count.", comment), None, "{comment}");
        }
        for text in [
            "Withdrawn due to safety concerns in 2004, rofecoxib is studied still.",
            "Retracted because of misconduct, articles continue to be cited.",
        ] {
            assert_eq!(notice(text, ""), None, "{text}");
        }
    }

    #[test]
    fn next_to_nothing_is_nothing() {
        for text in [
            "",
            " \n",
            "Sheep.",
            "N/A",
            "See title.",
            "These are lecture notes.",
            "PhD thesis, University of Somewhere, 2019.",
            "Comment on arXiv:2699.00001.",
            "This is a reply to the comment of A. Shepherd.",
            "No abstract available",
        ] {
            assert_eq!(notice(text, ""), Some(Notice::NoContent), "{text}");
        }
        for text in [
            "We prove the sheep conjecture.",
            "These are lecture notes on derived categories of sheaves over a sheepfold, which treat \
             flocks, herds and their duals in full detail.",
            "我们证明了羊群猜想在任意维数下都成立，并给出了它的最优常数。",
        ] {
            assert_eq!(notice(text, ""), None, "{text}");
        }
    }
}
